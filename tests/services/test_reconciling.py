"""Reconciliation on a real chain and a real database: what was tampered with is found and named."""

from dataclasses import replace
from uuid import UUID, uuid4

import orjson
import pytest

from adapters.evm.errors import RpcError
from adapters.evm.rpc import Call
from node.core.errors import ChainUnavailable, InvalidInput, NotFound, WrongState
from node.core.ids import Prefix, encode_id
from node.core.ledger import (
    Entry,
    LedgerTransaction,
    chain_account,
    customer_account,
    suspense_account,
)
from node.core.paging import ListQuery
from node.core.parties import Principal, Role
from node.core.ports.breaks import Break
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import Transfer
from node.core.settlement import PauseReason
from node.services.reconciliation.breaks import BreakRequest
from node.services.reconciliation.reconciling import ReconciliationService
from tests.builders import CHAIN_ID, render_error
from tests.mirrored import BUY, DEPTH_BLOCKS, TREASURY, Lying, MirroredNode, failing
from tests.onchain import LANE, address_of

OPERATOR = Principal(Role.OPERATOR, "olga")


async def paid(node: MirroredNode, count: int = 2) -> list[Transfer]:
    """Transfers that were paid and booked."""
    transfers = await node.sent(count)
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    return await node.again(transfers)


def answer_of(found: Break) -> Answer:
    return Answer(200, orjson.dumps({"resolution": found.resolution}))


async def resolve(
    node: MirroredNode, found: Break, *entries: Entry, key: str = "k", reason: str = "known"
) -> Answer:
    claim = Claim(OPERATOR.key, "POST", f"/v1/breaks/{found.id}", key, b"body".ljust(32))
    name = encode_id(Prefix.BREAK, found.id)
    request = BreakRequest(OPERATOR, name, claim, answer_of, render_error)
    return await node.breaks().resolve(request, reason, entries)


async def test_a_run_names_every_check_and_the_final_block_it_is_about(node: MirroredNode) -> None:
    await paid(node)
    run = await node.reconcile()
    assert (run.status, run.breaks_open, failing(run)) == ("completed", 0, [])
    assert run.block == (await node.cursor()).final
    names = {check.name for check in run.checks}
    contract, lane = f"0x{node.onchain.contract.hex()}", LANE.lower()
    assert names >= {
        "completeness.blocks",
        "completeness.logs",
        "items.settled_has_transfer",
        "items.transfer_has_settled",
        "items.outbound_has_cause",
        f"balance.token:{contract}",
        f"balance.delta:{contract}",
        f"balance.native:{lane}",
        f"nonce:{lane}",
        "solvency:USDC",
        "in_flight:USDC",
        "ledger.balances",
    }
    assert [each for each in names if "in_flight" in each] == ["in_flight:USDC"]  # said once
    assert await node.reconciliation().get(encode_id(Prefix.RUN, run.id)) == run


async def test_a_run_before_the_mirror_began_fails_and_says_so(node: MirroredNode) -> None:
    await node.execute("DELETE FROM chain_cursor")
    with pytest.raises(ChainUnavailable, match="mirror has not begun"):
        await node.reconcile()
    assert [r["status"] for r in await node.rows("SELECT status FROM reconciliation_run")] == [
        "failed"
    ]


@pytest.mark.parametrize(
    ("tampering", "check"),
    [
        ("UPDATE token_log SET amount = amount + 1", "completeness.logs"),
        ("UPDATE token_log SET cause = NULL", "items.outbound_has_cause"),
        ("DELETE FROM settlement_log WHERE log_index = 1", "completeness.logs"),
        ("DELETE FROM settlement_log WHERE log_index = 1", "items.transfer_has_settled"),
        ("UPDATE settlement_log SET beneficiary = '\\x01'", "items.settled_has_transfer"),
        (
            "DELETE FROM block WHERE number = (SELECT final_number FROM chain_cursor) - 1",
            "completeness.blocks",
        ),
        ("UPDATE chain_holding SET amount = amount + 1", "balance.delta"),
        ("UPDATE transfer SET buy_amount = buy_amount - 1", "items.settled_has_transfer"),
        (
            (
                "ALTER TABLE transfer DISABLE TRIGGER USER; UPDATE transfer SET state = 'funded';"
                " ALTER TABLE transfer ENABLE TRIGGER USER"
            ),
            "in_flight:USDC",
        ),
        ("UPDATE quote SET buy_amount = buy_amount + 1", "items.delivered_as_quoted"),
        ("UPDATE quote SET buy_asset = 'EURC'", "items.delivered_as_quoted"),
        ("UPDATE transfer SET buy_amount = buy_amount - 1", "items.delivered_as_quoted"),
        ("UPDATE settlement_log SET amount = amount - 1", "items.delivered_as_quoted"),
        ("DELETE FROM settlement_log WHERE log_index = 1", "items.delivered_as_quoted"),
    ],
)
async def test_a_row_that_was_changed_behind_the_nodes_back_is_found(
    node: MirroredNode, tampering: str, check: str
) -> None:
    await paid(node)
    assert failing(await node.reconcile()) == []
    await node.execute(tampering)
    run = await node.reconcile()
    assert any(name.startswith(check) for name in failing(run)), failing(run)
    assert run.breaks_open
    assert all(each.next_action for each in await node.open_breaks())


async def test_every_completed_transfer_delivered_what_was_quoted_or_is_a_break_of_its_own(
    node: MirroredNode,
) -> None:
    first, second = await paid(node)
    assert failing(await node.reconcile()) == []
    await node.execute("UPDATE quote SET buy_amount = $2 WHERE id = $1", first.quote_id, BUY + 5)
    run = await node.reconcile()
    assert "items.delivered_as_quoted" in failing(run)
    (found,) = [each for each in await node.open_breaks() if each.code == "B23"]
    assert found.severity == "critical"
    assert found.expected == f"{BUY + 5} USDC quoted and delivered"
    assert found.actual == f"{BUY} delivered, transfer of {BUY} USDC"
    assert found.evidence["transfer_id"] == encode_id(Prefix.TRANSFER, first.id)
    assert encode_id(Prefix.TRANSFER, second.id) not in found.evidence.values()


async def test_what_became_final_since_the_last_run_is_compared_with_its_quote_at_once(
    node: MirroredNode,
) -> None:
    service = node.reconciliation()
    await service.run("operator:test")
    transfers = await paid(node, 1)
    await node.execute(
        "UPDATE quote SET buy_amount = buy_amount + 1 WHERE id = $1", transfers[0].quote_id
    )
    run = await service.run("reconcile", full=False)
    assert failing(run) == ["items.delivered_as_quoted"]
    node.mine(1)
    await node.follow()
    assert failing(await service.run("reconcile", full=False)) == []  # looked at once


async def test_logs_are_read_in_spans_that_the_provider_allows(node: MirroredNode) -> None:
    await paid(node)
    node.mine(20)
    await node.follow()

    def capped(asked: Call, answer: object) -> object:
        ranges = [each for each in asked[1] if isinstance(each, dict) and "fromBlock" in each]
        too_long = any(int(r["toBlock"], 16) - int(r["fromBlock"], 16) >= 5 for r in ranges)
        return RpcError(-32005, "query exceeds max block range 5") if too_long else answer

    service = node.reconciliation(Lying(node.providers, capped))
    assert failing(await service.run("operator:test")) == []


async def test_a_log_the_provider_invents_is_no_log_of_ours(node: MirroredNode) -> None:
    await paid(node)

    def inventing(asked: Call, answer: object) -> object:
        if asked[0] != "eth_getLogs" or not isinstance(answer, list) or not answer:
            return answer
        place = int(answer[-1]["logIndex"], 16) + 99
        return [*answer, {**answer[-1], "logIndex": hex(place)}]

    run = await node.reconciliation(Lying(node.providers, inventing)).run("operator:test")
    assert failing(run) == ["completeness.logs"]
    assert {each.code for each in await node.open_breaks()} == {"B02"}


async def test_a_provider_that_shows_no_final_block_proves_nothing(node: MirroredNode) -> None:
    await paid(node)

    def silent(asked: Call, answer: object) -> object:
        return None if asked[0] == "eth_getBlockByNumber" else answer

    with pytest.raises(ChainUnavailable, match="final block"):
        await node.reconciliation(Lying(node.providers, silent)).run("operator:test")
    assert await node.open_breaks() == []


async def test_an_entry_that_was_changed_behind_the_nodes_back_is_found(
    node: MirroredNode,
) -> None:
    await paid(node)
    await node.execute(
        "ALTER TABLE entry DISABLE TRIGGER USER; UPDATE entry SET amount = amount + 1"
        " WHERE sequence = 1 AND position = 0; ALTER TABLE entry ENABLE TRIGGER USER"
    )
    assert "ledger.balances" in failing(await node.reconcile())


async def test_a_balance_that_was_changed_behind_the_nodes_back_is_off_the_chain(
    node: MirroredNode,
) -> None:
    await node.execute(
        "ALTER TABLE account DISABLE TRIGGER USER; UPDATE account SET debits_posted ="
        " debits_posted + 1 WHERE path LIKE 'chain/%/USDC'; ALTER TABLE account ENABLE TRIGGER USER"
    )
    contract = node.onchain.contract.hex()
    assert failing(await node.reconcile()) == [
        f"balance.token:0x{contract}",
        "ledger.trial_balance:USDC",
        "ledger.balances",
    ]


async def reasons_paused(node: MirroredNode) -> set[str]:
    async with node.ledger.units() as unit:
        return {pause.reason for pause in await unit.settlement.pauses()}


TAMPERED_BALANCE = (
    "ALTER TABLE account DISABLE TRIGGER USER; UPDATE account SET debits_posted = debits_posted + 1"
    " WHERE path = '{}'; ALTER TABLE account ENABLE TRIGGER USER"
)


@pytest.mark.parametrize("full", [True, False])
async def test_settlement_pauses_when_the_ledger_and_the_contracts_tokens_differ(
    node: MirroredNode, full: bool
) -> None:
    service = node.reconciliation()
    await service.run("operator:test")
    held = chain_account(CHAIN_ID, node.onchain.contract, "USDC")
    await node.execute(TAMPERED_BALANCE.format(held))
    await service.run("operator:test", full=full)
    assert await reasons_paused(node) == {"float"}
    async with node.ledger.units() as unit:
        (pause,) = await unit.settlement.pauses()
        await unit.settlement.resume(PauseReason.FLOAT, OPERATOR.key)
    assert (pause.paused_by, pause.hard) == ("reconciliation", False)
    await service.run("operator:test", full=full)
    assert await reasons_paused(node) == set()  # one difference pauses once


async def test_a_difference_of_another_balance_is_a_break_and_no_pause(node: MirroredNode) -> None:
    await paid(node)
    gas = chain_account(CHAIN_ID, address_of(LANE), "ETH")
    await node.execute(TAMPERED_BALANCE.format(gas))
    assert f"balance.native:{LANE.lower()}" in failing(await node.reconcile())
    assert await reasons_paused(node) == set()


async def test_a_difference_that_is_gone_closes_by_itself(node: MirroredNode) -> None:
    await paid(node)
    await node.execute("UPDATE token_log SET amount = amount + 1")
    await node.reconcile()
    before = await node.open_breaks()
    assert before
    await node.execute("UPDATE token_log SET amount = amount - 1")
    run = await node.reconcile()
    assert (failing(run), run.breaks_open) == ([], 0)
    closed = await node.rows("SELECT * FROM reconciliation_break")
    assert {row["resolution"]["kind"] for row in closed} == {"rederived"}


async def test_the_same_difference_is_one_break_however_often_it_is_seen(
    node: MirroredNode,
) -> None:
    await node.execute("UPDATE chain_holding SET amount = amount + 1 WHERE asset = 'USDC'")
    first = [await node.reconcile() for _ in range(3)]
    assert len({run.breaks_open for run in first}) == 1
    assert len(await node.open_breaks()) == first[0].breaks_open


async def test_a_stranger_with_a_lanes_key_is_found_by_the_nonce_and_stops_settlement(
    node: MirroredNode,
) -> None:
    await paid(node)
    node.onchain.anvil.rpc("eth_sendTransaction", {"from": LANE, "to": LANE, "value": "0x0"})
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    final = (await node.cursor()).final.number
    node.mine()
    await node.follow()
    assert (await node.cursor()).final.number == final  # below what nobody has explained
    service = node.reconciliation()
    assert await service.run_once() == 1
    assert [each.code for each in await node.open_breaks()] == ["B12"]
    assert "foreign_nonce" in await reasons_paused(node)


async def test_the_job_compares_only_when_finality_has_moved(node: MirroredNode) -> None:
    service = node.reconciliation()
    assert await service.run_once() == 1
    assert await service.run_once() == 0
    await paid(node)
    assert await service.run_once() == 1
    assert await service.run_once() == 0
    assert await node.open_breaks() == []
    assert len(await node.rows("SELECT 1 FROM reconciliation_run")) == 1  # quiet runs leave no row


async def test_the_job_finds_a_tampered_log_in_a_block_that_became_final(
    node: MirroredNode,
) -> None:
    service = node.reconciliation()
    await service.run_once()
    await paid(node)
    await node.execute("UPDATE settlement_log SET payment_number = payment_number + 100")
    assert await service.run_once() == 1
    assert {"B02", "B03"} <= {each.code for each in await node.open_breaks()}


async def deposited(node: MirroredNode, units: int) -> Break:
    """An unknown deposit at the treasury, final."""
    node.onchain.send(node.onchain.token, "mint(address,uint256)", "0x" + TREASURY.hex(), units)
    node.mine(DEPTH_BLOCKS)
    await node.follow()
    (found,) = await node.open_breaks()
    return found


async def test_a_deposit_is_given_to_its_customer_by_the_breaks_resolution(
    node: MirroredNode,
) -> None:
    found = await deposited(node, 5_000)
    assert node.payer.customer_id is not None
    owner = customer_account(node.payer.customer_id, "USDC")
    entry = Entry(suspense_account(CHAIN_ID, "USDC"), owner, "USDC", 5_000)
    first = await resolve(node, found, entry)
    again = await resolve(node, found, entry)
    assert (again.body, again.replayed) == (first.body, True)
    assert (await node.balance(owner)).posted == 5_000
    assert (await node.balance(suspense_account(CHAIN_ID, "USDC"))).posted == 0
    assert await node.open_breaks() == []
    assert failing(await node.reconcile()) == []
    key = f"break:{encode_id(Prefix.BREAK, found.id)}"
    (booked,) = await node.rows("SELECT kind FROM ledger_transaction WHERE key = $1", key)
    assert booked["kind"] == "correction"


async def test_a_closed_break_is_not_closed_again(node: MirroredNode) -> None:
    found = await deposited(node, 5_000)
    entry = Entry(suspense_account(CHAIN_ID, "USDC"), "capital/USDC", "USDC", 5_000)
    await resolve(node, found, entry)
    async with node.ledger.units() as unit:  # more money in suspense: only the break is closed
        await unit.ledger.lock()
        more = Entry("capital/USDC", suspense_account(CHAIN_ID, "USDC"), "USDC", 5_000)
        await unit.ledger.post([LedgerTransaction("more", "correction", [more])])
    answer = await resolve(node, found, entry, key="other")
    assert orjson.loads(answer.body)["code"] == WrongState.code


@pytest.mark.parametrize("units", [0, 4_999, 5_001])
async def test_an_unknown_deposit_is_closed_only_by_moving_all_of_it_out_of_suspense(
    node: MirroredNode, units: int
) -> None:
    found = await deposited(node, 5_000)
    suspense = suspense_account(CHAIN_ID, "USDC")
    async with node.ledger.units() as unit:
        await unit.ledger.lock()
        more = Entry("capital/USDC", suspense, "USDC", 5_000)
        await unit.ledger.post([LedgerTransaction("more", "correction", [more])])
    entries = [Entry(suspense, "capital/USDC", "USDC", units)] if units else []
    with pytest.raises(InvalidInput, match=f"debit {suspense} with all of it"):
        await resolve(node, found, *entries)
    assert [each.id for each in await node.open_breaks()] == [found.id]
    assert (await node.balance(suspense)).posted == 10_000
    assert (await node.breaks().get(encode_id(Prefix.BREAK, found.id))) == found


async def test_runs_are_listed_newest_first_in_pages(node: MirroredNode) -> None:
    made = [(await node.reconcile()).id for _ in range(3)]
    service = node.reconciliation()
    first = await service.runs(ListQuery(limit=2))
    rest = await service.runs(ListQuery(limit=2, cursor=first.next_cursor))
    assert [each.id for each in (*first.items, *rest.items)] == made[::-1]
    assert rest.next_cursor is None
    failed = await service.runs(ListQuery(filters={"status": "failed"}))
    assert failed.items == ()


async def test_a_resolution_that_takes_from_a_customer_is_refused(node: MirroredNode) -> None:
    found = await deposited(node, 5_000)
    assert node.payer.customer_id is not None
    owner = customer_account(node.payer.customer_id, "EUR")
    with pytest.raises(InvalidInput):
        await resolve(node, found, Entry(owner, "capital/EUR", "EUR", 1))
    assert [each.id for each in await node.open_breaks()] == [found.id]


async def test_a_break_that_does_not_exist_is_not_found(node: MirroredNode) -> None:
    found = replace(await deposited(node, 1), id=UUID(int=7))
    with pytest.raises(NotFound):
        await resolve(node, found)


async def test_a_theft_that_was_written_off_leaves_the_books_equal_to_the_chain(
    node: MirroredNode,
) -> None:
    token, stranger = "0x" + node.onchain.token.hex(), "0x" + "57" * 20
    node.onchain.send(node.onchain.contract, "pause()")
    node.onchain.send(
        node.onchain.contract, "rescue(address,address,uint256)", token, stranger, BUY
    )
    node.mine(DEPTH_BLOCKS)
    await node.follow()
    (found,) = await node.open_breaks()
    held = chain_account(CHAIN_ID, node.onchain.contract, "USDC")
    await resolve(node, found, Entry("loss/theft/USDC", held, "USDC", BUY))
    run = await node.reconcile()
    assert (failing(run), run.breaks_open) == ([], 0)


async def test_a_run_that_meets_no_chain_is_kept_as_failed(
    node: MirroredNode,
) -> None:
    node.onchain.anvil.stop()
    service: ReconciliationService = node.reconciliation()
    with pytest.raises(ChainUnavailable):
        await service.run("operator:test")
    assert [r["status"] for r in await node.rows("SELECT status FROM reconciliation_run")] == [
        "failed"
    ]


async def test_who_is_left_behind_is_told_until_a_slot_carries_the_number_again(
    node: MirroredNode,
) -> None:
    [transfer] = await node.sent(1)
    await node.follow()
    [slot] = await node.rows("SELECT slot_id FROM slot_member WHERE live")
    await node.rows("UPDATE slot SET state = 'foreign' WHERE id = $1", slot["slot_id"])
    await node.rows("UPDATE slot_member SET live = false WHERE slot_id = $1", slot["slot_id"])
    await node.reconcile()
    left_behind = f"B08:{encode_id(Prefix.TRANSFER, transfer.id)}"
    assert left_behind in {each.fingerprint for each in await node.open_breaks()}
    again = uuid4()
    await node.rows(
        "INSERT INTO slot (id, lane_id, nonce, purpose, state, to_address, calldata, gas_limit,"
        " adopted) SELECT $2, lane_id, nonce, purpose, 'submitted', to_address, calldata,"
        " gas_limit, true FROM slot WHERE id = $1",
        slot["slot_id"],
        again,
    )
    await node.rows(
        "INSERT INTO slot_member SELECT $2, position, transfer_id, payment_number, contract,"
        " beneficiary, amount, purpose, true FROM slot_member WHERE slot_id = $1",
        slot["slot_id"],
        again,
    )
    await node.reconcile()
    assert left_behind not in {each.fingerprint for each in await node.open_breaks()}
