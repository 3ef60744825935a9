"""Follows the chain by block hash and stores its facts; undoes what a reorg takes back.

One pass looks at the chain once and then does one thing: open, extend, rewind or halt; after that
it makes final what has become final (`node.services.finalizing`). Reads come before each
transaction, never inside it; each transaction stands behind the cursor's fence, so any number of
workers may run, and one that is killed between any two statements has done nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

from node.core.breaks import BreakCode, break_of
from node.core.errors import ChainUnavailable
from node.core.ledger import Entry, LedgerTransaction, chain_account
from node.core.mirror import (
    BlockHeader,
    BlockPoint,
    Cursor,
    Facts,
    Finality,
    PlanKind,
    Watch,
    plan,
)
from node.core.ports import Unit, UnitOfWork
from node.core.ports.chain import Receipt
from node.core.ports.mirror import ChainReader
from node.core.ports.transfers import NewEvent
from node.core.reconcile import native_units
from node.core.settlement import PauseReason
from node.core.signing import KeyRole
from node.core.transfers import Happening, State
from node.core.units import Address
from node.services import transfer_moves
from node.services.finalizing import Finalizing

MIRROR: Final = "mirror"
"""Who pauses and opens breaks here."""

_BLOCKS_PER_LOOK: Final = 64
_BLOCKS_PER_READ: Final = 4
_LOGS_PER_PASS: Final = 20_000


class MirrorService:
    """The mirror's job."""

    def __init__(  # noqa: PLR0913 - keyword-only parts
        self,
        *,
        units: UnitOfWork,
        reader: ChainReader,
        watch: Watch,
        lanes: Mapping[Address, KeyRole],
        finality: Finality,
        new_id: Callable[[], UUID],
        failpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Does nothing yet.

        Args:
            units: The store.
            reader: The chain.
            watch: What is followed.
            lanes: Accounts that the node signs for, and what for.
            finality: When a block is final.
            new_id: Ids of breaks.
            failpoint: Called with the name of each window at which a crash must be harmless.
        """
        self._units = units
        self._reader = reader
        self._watch = watch
        self._finality = finality
        self._new_id = new_id
        self._failpoint = failpoint
        self._finalizing = Finalizing(
            units=units,
            reader=reader,
            watch=watch,
            lanes=lanes,
            new_id=new_id,
            failpoint=failpoint,
        )

    async def run_once(self) -> int:
        """One pass.

        Returns:
            Blocks that moved; 0: there was nothing to do.

        Raises:
            ChainUnavailable: The chain is away or contradicts itself. Nothing changed.
            DatabaseUnavailable: The database is away.
        """
        cursor = await self.cursor()
        if cursor is None:
            return await self._open()
        if cursor.halted_reason is not None:
            return await self._look_again(cursor)
        head_number, tagged_number = await self._look()
        moved = await self._follow(cursor, head_number)
        cursor = await self.cursor()
        assert cursor is not None
        final_number = self._finality.final_number(
            min(head_number, cursor.head.number), tagged_number
        )
        if final_number is None or cursor.halted_reason is not None:
            return moved
        return moved + await self._finalizing.run(cursor, min(final_number, cursor.head.number))

    async def cursor(self) -> Cursor | None:
        """How far the mirror has come; None: not opened yet. For readiness, too."""
        async with self._units() as unit:
            return await unit.mirror.cursor(self._watch.chain_id)

    async def _look(self) -> tuple[int, int | None]:
        """Numbers of the newest block and, where the tag decides, of the finalized one."""
        head = await self._reader.head()
        if self._finality.depth_blocks is not None:
            return head.number, None
        return head.number, await self._reader.finalized_number()

    async def _open(self) -> int:
        """Begin at the newest final block, with what the node's addresses hold there.

        Waits (0) while no block is final, or the contract is not there yet.
        """
        head_number, tagged_number = await self._look()
        number = self._finality.final_number(head_number, tagged_number)
        headers = [] if number is None else await self._reader.headers(number, number)
        if not headers:
            return 0
        header = headers[0]
        if not await self._reader.has_code(self._watch.contract, header.hash):
            return 0
        addresses = sorted(self._watch.addresses)
        tokens = await self._reader.token_balances(addresses, header.hash)
        natives = await self._reader.native_balances(addresses, header.hash)
        token, native = self._watch.token_asset, self._watch.native_asset
        holdings = {(address, token): n for address, n in zip(addresses, tokens, strict=True)}
        holdings |= {(address, native): n for address, n in zip(addresses, natives, strict=True)}
        async with self._units() as unit:
            if not await unit.mirror.open(self._watch.chain_id, header, holdings):
                return 0
            await unit.ledger.lock()
            await unit.ledger.post(opening_transactions(self._watch, header.point, holdings))
        return 1

    async def _follow(self, cursor: Cursor, head_number: int) -> int:
        """Extend, rewind or halt."""
        last = min(head_number, cursor.head.number + _BLOCKS_PER_LOOK)
        first = min(last, cursor.head.number)
        async with self._units() as unit:
            ours = await unit.mirror.canonical(self._watch.chain_id, cursor.final.number)
        step = plan(cursor, ours, await self._reader.headers(first, last))
        if step.kind is PlanKind.WIDEN:
            step = plan(cursor, ours, await self._reader.headers(cursor.final.number, last))
        match step.kind:
            case PlanKind.EXTEND:
                return await self._extend(cursor, step.headers)
            case PlanKind.REWIND:
                assert step.rewind_to is not None
                return await self._rewind(cursor, step.rewind_to)
            case PlanKind.HALT:
                await self._halt(cursor)
                return 1
            case PlanKind.WIDEN:
                raise ChainUnavailable("the chain changed while it was read")

    async def _extend(self, cursor: Cursor, headers: Sequence[BlockHeader]) -> int:
        """Store as many of these blocks as one transaction should hold."""
        facts: list[Facts] = []
        while len(facts) < len(headers) and sum(f.log_count for f in facts) < _LOGS_PER_PASS:
            part = headers[len(facts) : len(facts) + _BLOCKS_PER_READ]
            facts += await self._reader.facts(part)
        if not facts:
            return 0
        taken = headers[: len(facts)]
        receipts = await self._own_receipts(taken)
        self._failpoint("after_block_read")
        async with self._units() as unit:
            if not await unit.mirror.move_head(
                self._watch.chain_id, held=cursor.head.hash, to=taken[-1].point
            ):
                return 0  # another worker was quicker
            await unit.mirror.add_blocks(self._watch, taken, facts)
            await unit.mirror.include_slots(receipts)
            await unit.events.append(await self._include(unit, [h.point for h in taken]))
            self._failpoint("before_block_commit")
        self._failpoint("after_block_commit")
        return len(taken)

    async def _own_receipts(self, headers: Sequence[BlockHeader]) -> Sequence[Receipt]:
        """Receipts of the node's own attempts in these blocks.

        An attempt is stored before it is sent, so one that is in a block is known by now.
        """
        hashes = [tx_hash for header in headers for tx_hash in header.tx_hashes]
        async with self._units() as unit:
            own = await unit.mirror.own_transactions(hashes)
        receipts = await self._reader.receipts(own)
        blocks = {header.hash for header in headers}
        if any(receipt.block_hash not in blocks for receipt in receipts):
            raise ChainUnavailable("a transaction changed its block while it was read")
        return receipts

    async def _include(self, unit: Unit, blocks: Sequence[BlockPoint]) -> list[NewEvent]:
        payouts = await unit.mirror.payouts_seen(
            self._watch.chain_id,
            [block.hash for block in blocks],
            [State.SUBMITTED, State.UNKNOWN],
        )
        seen = {each.transfer_id: each for each in payouts}
        return await transfer_moves.apply(
            unit,
            await unit.transfers.lock_many(list(seen)),
            Happening.INCLUDED,
            changes=lambda transfer: {
                "tx_hash": seen[transfer.id].tx_hash,
                "block_number": seen[transfer.id].block_number,
            },
            detail=lambda transfer: transfer_moves.payout_detail(seen[transfer.id]),
        )

    async def _rewind(self, cursor: Cursor, to: BlockPoint) -> int:
        """Take back the blocks above `to`: rows are marked, nothing was booked from them."""
        async with self._units() as unit:
            if not await unit.mirror.move_head(self._watch.chain_id, held=cursor.head.hash, to=to):
                return 0
            orphaned = await unit.mirror.orphan_above(self._watch.chain_id, to.number)
            await unit.mirror.forget_payouts(self._watch.chain_id, orphaned, State.VOIDING)
            payouts = await unit.mirror.payouts_seen(
                self._watch.chain_id, orphaned, [State.INCLUDED]
            )
            seen = {each.transfer_id: each for each in payouts}
            events = await transfer_moves.apply(
                unit,
                await unit.transfers.lock_many(list(seen)),
                Happening.REORGED,
                changes=lambda _: {"tx_hash": None, "block_number": None},
                detail=lambda transfer: transfer_moves.payout_detail(seen[transfer.id]),
            )
            await unit.events.append(events)
            self._failpoint("before_rewind_commit")
        self._failpoint("after_rewind_commit")
        return len(orphaned)

    async def _halt(self, cursor: Cursor) -> None:
        """The chain took back what was final: stand still until an operator decides."""
        found = break_of(
            BreakCode.DEEP_REORG,
            f"{self._watch.chain_id}:{cursor.final.hash.hex()}",
            expected=f"block {cursor.final.number} is 0x{cursor.final.hash.hex()}",
            actual="the chain has another block there",
            evidence={"block_number": str(cursor.final.number)},
        )
        async with self._units() as unit:
            await unit.mirror.halt(self._watch.chain_id, PauseReason.DEEP_REORG)
            await unit.settlement.pause(
                PauseReason.DEEP_REORG, by=MIRROR, note=found.summary, hard=False
            )
            await unit.breaks.open([(self._new_id(), found)])

    async def _look_again(self, cursor: Cursor) -> int:
        """Go on only when the chain shows the final block again: one provider had lied.

        The pause and the break stay for the operator.
        """
        headers = await self._reader.headers(cursor.final.number, cursor.final.number)
        if not headers or headers[0].hash != cursor.final.hash:
            return 0
        async with self._units() as unit:
            await unit.mirror.halt(self._watch.chain_id, None)
        return 1


def opening_transactions(
    watch: Watch, block: BlockPoint, holdings: Mapping[tuple[Address, str], int]
) -> list[LedgerTransaction]:
    """What the node's addresses held when the mirror began: the owner's money."""
    booked: list[LedgerTransaction] = []
    for (address, asset), amount in sorted(holdings.items()):
        units = native_units(amount) if asset == watch.native_asset else amount
        if units:
            booked.append(
                LedgerTransaction(
                    key=f"opening:{watch.chain_id}/0x{address.hex()}/{asset}",
                    kind="opening",
                    entries=(
                        Entry(
                            chain_account(watch.chain_id, address, asset),
                            f"capital/{asset}",
                            asset,
                            units,
                        ),
                    ),
                    detail={
                        "block_number": str(block.number),
                        "block_hash": f"0x{block.hash.hex()}",
                    },
                )
            )
    return booked
