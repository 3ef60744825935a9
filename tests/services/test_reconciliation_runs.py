"""Runs of reconciliation: they go on by themselves, are shared, survive nobody, and remember."""

import asyncio
from uuid import UUID

import orjson
import pytest

from node.core.errors import NotFound
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, LedgerTransaction, chain_account
from node.core.paging import ListQuery
from node.core.parties import Principal, Role
from node.core.ports.comparisons import AccountComparison
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.reconciliation import Run
from node.core.units import Address
from node.services.reconciliation.comparisons import ComparisonService
from node.services.reconciliation.reconciling import ReconciliationService
from tests.builders import CHAIN_ID, render_error
from tests.mirrored import DEPTH_BLOCKS, MirroredNode, failing

OPERATOR = Principal(Role.OPERATOR, "olga")


async def paid(node: MirroredNode, count: int = 2) -> None:
    """Transfers that were paid and booked."""
    await node.sent(count)
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()


async def ask_for_run(service: ReconciliationService, key: str | None = None) -> Answer:
    claim = None
    if key is not None:
        claim = Claim(OPERATOR.key, "POST", "/v1/reconciliation/runs", key, b"body".ljust(32))
    return await service.request_run(
        OPERATOR,
        claim=claim,
        render=lambda run: Answer(202, orjson.dumps([str(run.id), run.status])),
        render_error=render_error,
    )


async def ended(service: ReconciliationService, run_id: str) -> Run:
    """The run once it has ended."""
    for _ in range(2000):
        run = await service.get(encode_id(Prefix.RUN, UUID(run_id)))
        if run.status != "running":
            return run
        await asyncio.sleep(0.01)
    raise AssertionError("the run does not end")


async def test_a_run_that_is_asked_for_answers_at_once_and_goes_on(node: MirroredNode) -> None:
    await paid(node)
    service = node.reconciliation()
    run_id, status = orjson.loads((await ask_for_run(service)).body)
    assert status == "running"
    run = await ended(service, run_id)
    assert (run.status, failing(run), run.made_by) == ("completed", [], OPERATOR.key)


async def test_two_requests_at_once_share_one_run_also_in_two_processes(
    node: MirroredNode,
) -> None:
    one, other = node.reconciliation(), node.reconciliation()
    first, second = await asyncio.gather(ask_for_run(one), ask_for_run(other))
    assert first.body == second.body
    run_id, _ = orjson.loads(first.body)
    await ended(one, run_id)
    assert len(await node.rows("SELECT id FROM reconciliation_run")) == 1
    again, _ = orjson.loads((await ask_for_run(one)).body)
    assert again != run_id
    await ended(one, again)


async def test_equal_requests_for_a_run_get_one_answer(node: MirroredNode) -> None:
    service = node.reconciliation()
    first, second = await asyncio.gather(ask_for_run(service, "k"), ask_for_run(service, "k"))
    assert first.body == second.body
    run_id, _ = orjson.loads(first.body)
    await ended(service, run_id)
    again = await ask_for_run(service, "k")
    assert (again.body, again.replayed) == (first.body, True)
    assert len(await node.rows("SELECT id FROM reconciliation_run")) == 1  # nothing ran again


async def test_a_run_whose_process_has_died_has_failed_and_the_next_begins(
    node: MirroredNode,
) -> None:
    service = node.reconciliation()
    async with node.ledger.units() as unit:
        dead = await unit.reconciliation.begin(UUID(int=5), "operator:gone", join=True)
    assert orjson.loads((await ask_for_run(service)).body) == [str(dead), "running"]
    await node.execute("UPDATE reconciliation_run SET alive_at = now() - interval '21 seconds'")
    run = await service.get(encode_id(Prefix.RUN, dead))
    assert (run.status, run.failure) == ("failed", "its process ended before it was done")
    assert [each.id for each in (await service.runs(ListQuery(filters={"status": "failed"}))).items]
    new, _ = orjson.loads((await ask_for_run(service)).body)
    assert (await ended(service, new)).status == "completed"


async def test_another_worker_goes_on_where_one_stopped(node: MirroredNode) -> None:
    await paid(node)
    assert await node.reconciliation().run_once() == 1
    assert await node.reconciliation().run_once() == 0
    async with node.ledger.units() as unit:
        state = await unit.comparisons.state(CHAIN_ID)
    assert state is not None
    assert state.block == (await node.cursor()).final
    assert state.proven.batch > 0


async def test_every_account_is_kept_with_what_ledger_mirror_and_chain_say(
    node: MirroredNode,
) -> None:
    await paid(node)
    await node.reconcile()
    async with node.ledger.units() as unit:
        compared = await unit.comparisons.comparisons(CHAIN_ID)
        found = {(each.address, each.asset): each for each in compared}
        course = await unit.comparisons.course(CHAIN_ID, (node.onchain.contract, "USDC"), 10)
    contract = found[node.onchain.contract, "USDC"]
    held = await node.booked(node.onchain.contract)
    assert (contract.ledger, contract.mirror, contract.chain) == (held, held, held)
    assert contract.role == "contract"
    assert {each.asset for each in found.values()} == {"USDC", "ETH"}
    assert {each.block_number for each in course} == {(await node.cursor()).final.number}


async def test_an_account_of_the_chain_that_the_mirror_does_not_hold_is_found(
    node: MirroredNode,
) -> None:
    path = f"chain/{CHAIN_ID}/0x{'ab' * 20}/USDC"
    async with node.ledger.units() as unit:
        await unit.ledger.lock()
        entry = Entry(path, "capital/USDC", "USDC", 5)
        await unit.ledger.post([LedgerTransaction("by hand", "correction", [entry])])
    run = await node.reconcile()
    assert "balance.unheld" in failing(run)


async def test_accounts_are_read_in_pages_those_that_differ_first(node: MirroredNode) -> None:
    final = (await node.cursor()).final

    def compared(n: int, ledger: int, chain: int) -> AccountComparison:
        address = Address(n.to_bytes(20))
        path = chain_account(CHAIN_ID, address, "USDC")
        return AccountComparison(path, address, "deposit", "USDC", ledger, chain, chain, final)

    amounts = [(n, 0 if n % 3 == 0 else n, (n % 3 > 0) * n + (n % 10 == 0)) for n in range(1, 31)]
    async with node.ledger.units() as unit:
        await unit.comparisons.store_comparisons(
            CHAIN_ID, [compared(*each) for each in amounts], keep=True
        )
    service = ComparisonService(node.ledger.units, CHAIN_ID)
    differing = [n for n, ledger, chain in amounts if ledger != chain]
    equal = [n for n, ledger, chain in amounts if ledger == chain]
    holding = [n for n, ledger, chain in amounts if ledger == chain and ledger]
    for with_empty, wanted in ((True, differing + equal), (False, differing + holding)):
        seen: list[int] = []
        cursor = None
        while True:
            query = ListQuery(limit=7, cursor=cursor, scope="accounts")
            page = await service.by_verdict(query, with_empty=with_empty)
            assert len(page.items) <= 7
            seen += [int.from_bytes(each.address) for each in page.items]
            if (cursor := page.next_cursor) is None:
                break
        assert seen == wanted
    summary = await service.summary()
    assert (summary.count, summary.differing, summary.holding) == (30, 3, len(holding))
    assert summary.newest_block == final.number
    one = compared(10, 10, 11)
    assert (await service.account((one.address, "USDC"))).chain == 11
    assert [each.chain for each in await service.course((one.address, "USDC"), 5)] == [11]
    with pytest.raises(NotFound):
        await service.account((Address(b"\xee" * 20), "USDC"))
