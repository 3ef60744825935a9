"""Which breaks a comparison may close by itself: those that it looked for again, and no others."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from adapters.evm.rpc import Call, Providers
from adapters.machine import new_id
from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.mirror import BlockPoint
from node.core.ports.mirror import Contradiction
from node.core.units import BlockHash
from node.services.mirror.block_storing import unread_break
from tests.mirrored import DEPTH_BLOCKS, MirroredNode, failing

MANY = 101


class Meanwhile(Providers):
    """A provider during whose first answer about logs something else happens."""

    def __init__(self, honest: Providers, happening: Callable[[], Awaitable[None]]) -> None:
        super().__init__(honest.all)
        self._happening: Callable[[], Awaitable[None]] | None = happening

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """What the chain says."""
        if self._happening and any(each[0] == "eth_getLogs" for each in calls):
            happening, self._happening = self._happening, None
            await happening()
        return await super().batch(calls)

    async def batch_of_each(self, calls: Sequence[Call]) -> Mapping[str, list[Any]]:
        """There is one."""
        return {"only": await self.batch(calls)}


async def paid(node: MirroredNode, count: int = 2) -> None:
    """Transfers that were paid and booked."""
    await node.sent(count)
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()


async def opened(node: MirroredNode, *breaks: NewBreak) -> None:
    async with node.ledger.units() as unit:
        await unit.breaks.open([(new_id(), each) for each in breaks])


async def open_codes(node: MirroredNode) -> list[str]:
    return sorted(each.code for each in await node.open_breaks())


def a_break(code: BreakCode, actual: str = "another") -> NewBreak:
    return break_of(code, "a later block", expected="one thing", actual=actual)


async def test_what_is_opened_while_a_full_run_compares_stays_open(node: MirroredNode) -> None:
    await paid(node)
    codes = (BreakCode.MISSED_LOG, BreakCode.PHANTOM_LOG, BreakCode.LEDGER_LAW)

    async def another_worker() -> None:
        await opened(node, *map(a_break, codes))

    service = node.reconciliation(Meanwhile(node.providers, another_worker))
    assert failing(await service.run("operator:test")) == []
    assert await open_codes(node) == ["B02", "B03", "B21"]
    await node.reconcile()  # a run that began later may
    assert await open_codes(node) == []


async def test_what_is_seen_again_while_a_full_run_compares_stays_open(node: MirroredNode) -> None:
    await paid(node)
    await opened(node, a_break(BreakCode.MISSED_LOG), a_break(BreakCode.LEDGER_LAW))

    async def another_worker() -> None:
        await opened(node, a_break(BreakCode.MISSED_LOG, "the same, seen again"))

    await node.reconciliation(Meanwhile(node.providers, another_worker)).run("operator:test")
    assert await open_codes(node) == ["B02"]


async def test_a_block_that_the_mirror_cannot_read_is_closed_by_the_mirror_alone(
    node: MirroredNode,
) -> None:
    await paid(node)
    block = BlockPoint(10**6, BlockHash(b"\x0b" * 32))
    await opened(
        node, unread_break(Contradiction("it lists less than it has", provider="a", block=block), 1)
    )
    assert failing(await node.reconcile()) == []
    assert await open_codes(node) == ["B02"]


async def test_every_difference_is_a_break_however_many_there_are(node: MirroredNode) -> None:
    job = node.reconciliation()
    await job.run_once()
    await paid(node, MANY)
    await node.execute("UPDATE quote SET buy_amount = buy_amount + 1")
    await job.run_once()
    assert await count_open(node, "B23") == MANY
    await node.execute("DELETE FROM settlement_log")
    for _ in range(2):
        await node.reconcile()
        assert await count_open(node, "B02") >= MANY


async def count_open(node: MirroredNode, code: str) -> int:
    (row,) = await node.rows(
        "SELECT count(*) AS n FROM reconciliation_break WHERE code = $1 AND resolved_at IS NULL",
        code,
    )
    return int(row["n"])


async def test_the_job_does_not_close_what_only_a_full_run_adds_up(node: MirroredNode) -> None:
    await paid(node)
    job = node.reconciliation()
    await job.run_once()
    added = "amount = amount + 7 WHERE to_address <> from_address"
    await node.execute(f"UPDATE token_log SET {added}")
    await node.reconcile()
    logs = {e.fingerprint for e in await node.open_breaks() if "balance.logs" in e.fingerprint}
    assert logs
    node.mine()
    await node.follow()
    assert await job.run_once() == 1
    assert logs <= {each.fingerprint for each in await node.open_breaks()}
    await node.execute(f"UPDATE token_log SET {added.replace('+', '-')}")
    await node.reconcile()
    assert not logs & {each.fingerprint for each in await node.open_breaks()}


async def test_a_cause_is_written_to_a_break_that_is_open_and_has_none(node: MirroredNode) -> None:
    await opened(node, a_break(BreakCode.MISSED_LOG), a_break(BreakCode.PHANTOM_LOG))
    missed, phantom = sorted(await node.open_breaks(), key=lambda each: each.code)
    async with node.ledger.units() as unit:
        await unit.breaks.close(phantom.id, "olga", {"kind": "match", "reason": "known"})
        await unit.breaks.explain({missed.id: "found", phantom.id: "found"})
    await opened(node, a_break(BreakCode.MISSED_LOG, "newer"))
    async with node.ledger.units() as unit:
        await unit.breaks.explain({missed.id: "found later"})
        closed = await unit.breaks.get(phantom.id)
    (left,) = await node.open_breaks()
    assert (left.id, left.cause, left.actual) == (missed.id, "found", "newer")
    assert closed is not None
    assert (closed.cause, closed.state) == ("", "resolved")


async def test_a_difference_that_an_operator_closed_and_that_was_gone_is_a_break_when_it_is_back(
    node: MirroredNode,
) -> None:
    await paid(node)
    for _ in range(2):
        await node.execute("UPDATE chain_holding SET amount = amount + 1 WHERE asset = 'USDC'")
        await node.reconcile()
        (found, *others) = await node.open_breaks()
        assert {each.code for each in (found, *others)} == {"B01"}
        async with node.ledger.units() as unit:
            for each in (found, *others):
                await unit.breaks.close(each.id, "olga", {"kind": "match", "reason": "known"})
        await node.reconcile()
        assert await node.open_breaks() == []  # the same to the unit
        await node.execute("UPDATE chain_holding SET amount = amount - 1 WHERE asset = 'USDC'")
        await node.reconcile()
