"""Follows the chain by block hash and stores its facts; undoes what a reorg takes back.

One pass looks at the chain through one provider and then does one thing: open, extend, rewind or
halt, or, far behind, read a span in bulk (`node.services.mirror.backfilling`); after that it makes
final what has become final (`node.services.mirror.finalizing`). Reads come before each transaction,
never inside it; each transaction stands behind the cursor's fence, so any number of workers may
run, and one that is killed between any two statements has done nothing.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final
from uuid import UUID

from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.deposits import DEFAULT_POLICY, DepositPolicy
from node.core.errors import ChainUnavailable
from node.core.ledger import Entry, LedgerTransaction, chain_account, suspense_account
from node.core.mirror import (
    BlockHeader,
    BlockPoint,
    Cursor,
    Facts,
    Finality,
    Plan,
    PlanKind,
    Watch,
    plan,
)
from node.core.ports import UnitOfWork
from node.core.ports.chain import Receipt
from node.core.ports.mirror import ChainReader, Contradiction
from node.core.ports.payouts import PaymentProofs
from node.core.reconcile import native_units
from node.core.settlement import PauseReason
from node.core.signing import KeyRole
from node.core.transfers import Happening, State
from node.core.units import Address
from node.services.mirror.backfilling import Backfilling
from node.services.mirror.block_storing import (
    BlockStoring,
    WatchedDeposits,
    check_lists,
    unread_break,
)
from node.services.mirror.booking_beside import Steps
from node.services.mirror.final_agreement import WITNESSES_MIN, FinalAgreement, ProvidersDiffer
from node.services.mirror.finalizing import Finalizing, FinalStep
from node.services.mirror.forking import deep_reorg_break, deep_reorg_evidence
from node.services.transfers import transfer_moves

MIRROR: Final = "mirror"
"""Who pauses and opens breaks here."""

_BLOCKS_PER_LOOK: Final = 64
_BULK_BLOCKS: Final = 16  # final blocks that the mirror lacks; fewer it reads one by one
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
        deposit_policy: DepositPolicy = DEFAULT_POLICY,
        proofs: PaymentProofs | None = None,
        witnesses_min: int = WITNESSES_MIN,
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
            deposit_policy: What is still a payment of a payment request.
            proofs: What is next to payments of partners; None: there are no such partners.
            witnesses_min: How many providers must have a block before it is final, where others
                answer and have it not.
        """
        self._units = units
        self._reader = reader
        self._watch = watch
        self._finality = finality
        self._new_id = new_id
        self._failpoint = failpoint
        self._deposits = WatchedDeposits(units)
        self._storing = BlockStoring(units, watch, failpoint)
        self._backfilling = Backfilling(
            units, reader, watch, self._deposits, self._storing, self._report
        )
        self._agreement = FinalAgreement(units, reader, watch.chain_id, new_id, witnesses_min)
        self._finalizing = Finalizing(
            units=units,
            reader=reader,
            watch=watch,
            lanes=lanes,
            new_id=new_id,
            failpoint=failpoint,
            agreement=self._agreement,
            deposit_policy=deposit_policy,
            proofs=proofs,
        )

    async def run_once(self) -> int:
        """One pass.

        Returns:
            Blocks that moved; 0: there was nothing to do.

        Raises:
            ChainUnavailable: The chain is away or contradicts itself, or providers differ. What was
                stored before may have become final; nothing else changed.
            DatabaseUnavailable: The database is away.
        """
        try:
            return await self._pass()
        except Contradiction as error:
            await self._report(error)
            raise

    async def _pass(self) -> int:
        cursor = await self.cursor()
        if cursor is None:
            return await self._open()
        if cursor.halted_reason is not None:
            return await self._look_again(cursor)
        with self._reader.pinned():
            head_number, tagged_number = await self._look()
            cursor = await self._note_tag(cursor, tagged_number)
            try:
                moved = await self._advance(cursor, head_number, tagged_number)
                self._agreement.untie()
            except (Contradiction, ProvidersDiffer):
                with suppress(ChainUnavailable):  # what is stored already does not wait for it
                    await self._finalize(head_number, tagged_number)
                raise
        return moved + await self._finalize(head_number, tagged_number)

    async def _finalize(self, head_number: int, tagged_number: int | None) -> int:
        """One step of finality over what is stored."""
        step = await self._prepare(head_number, tagged_number)
        return 0 if step is None else await self._finalizing.commit(step)

    async def _prepare(
        self, head_number: int, tagged_number: int | None, above: BlockPoint | None = None
    ) -> FinalStep | None:
        """Read the next step: above the newest final block, or the one that is about to be that."""
        at = await self.cursor()
        assert at is not None
        number = self._final_number(at, min(head_number, at.head.number), tagged_number)
        if number is None or at.halted_reason is not None:
            return None
        return await self._finalizing.prepare(above or at.final, min(number, at.head.number))

    async def _advance(self, cursor: Cursor, head_number: int, tagged_number: int | None) -> int:
        """In bulk where much is final that the mirror has not; else block by block."""
        number = self._final_number(cursor, head_number, tagged_number)
        if number is not None and min(number, head_number) - cursor.head.number >= _BULK_BLOCKS:
            stored = await self._backfilling.run(
                cursor,
                min(number, head_number),
                Steps(partial(self._prepare, head_number, tagged_number), self._finalizing.commit),
            )
            if stored is not None:
                return stored
        return await self._follow(cursor, head_number)

    def _final_number(self, at: Cursor, head_number: int, tagged_number: int | None) -> int | None:
        return self._finality.final_number(
            head_number, tagged_number, has_lost_its_tag=at.has_lost_its_tag
        )

    async def _note_tag(self, cursor: Cursor, tagged_number: int | None) -> Cursor:
        """Keep when the tag last rose: only that tells whether it still moves."""
        if tagged_number is None or tagged_number <= (cursor.tag_number or -1):
            return cursor
        async with self._units() as unit:
            await unit.mirror.saw_tag(self._watch.chain_id, tagged_number)
            noted = await unit.mirror.cursor(self._watch.chain_id)
        assert noted is not None
        return noted

    async def _report(self, error: Contradiction) -> None:
        """Tell operators of a provider that contradicts itself; in a transaction of its own."""
        cursor = await self.cursor()
        found = unread_break(error, 0 if cursor is None else cursor.head.number + 1)
        async with self._units() as unit:
            await unit.breaks.open([(self._new_id(), found)])

    async def cursor(self) -> Cursor | None:
        """How far the mirror has come; None: not opened yet. For readiness, too."""
        async with self._units() as unit:
            return await unit.mirror.cursor(self._watch.chain_id)

    async def _look(self) -> tuple[int, int | None]:
        """Numbers of the newest block and, where the tag decides, of the finalized one."""
        head = await self._reader.head()
        if not self._finality.asks_for_tag:
            return head.number, None
        return head.number, await self._reader.finalized_number()

    async def _open(self) -> int:
        """Begin at the newest final block, with what the node's addresses hold there.

        Waits (0) while no block is final, or the contract is not there yet. What a deposit address
        holds by then came from somebody by a log that is never read: it is suspense.
        """
        head_number, tagged_number = await self._look()
        number = self._finality.final_number(
            head_number, tagged_number, has_lost_its_tag=tagged_number is None
        )
        if number is None:
            return 0
        header, _ = await self._agreement.newest(number, self._header)
        if header is None or not await self._reader.has_code(self._watch.contract, header.hash):
            return 0
        addresses = sorted(self._watch.addresses)
        tokens = await self._reader.token_balances(addresses, header.hash)
        natives = await self._reader.agreed_native_balances(addresses, header.hash)
        token, native = self._watch.token_asset, self._watch.native_asset
        holdings = {(address, token): n for address, n in zip(addresses, tokens, strict=True)}
        holdings |= {(address, native): n for address, n in zip(addresses, natives, strict=True)}
        deposits = sorted(frozenset(await self._deposits.refresh()) - self._watch.addresses)
        amounts = await self._reader.token_balances(deposits, header.hash)
        held = {each: n for each, n in zip(deposits, amounts, strict=True) if n}
        unknown = [opening_deposit(self._watch, header.point, *each) for each in held.items()]
        async with self._units() as unit:
            if not await unit.mirror.open(
                self._watch.chain_id, header, holdings | {(a, token): n for a, n in held.items()}
            ):
                return 0
            await unit.ledger.lock()
            await unit.ledger.post(
                opening_transactions(self._watch, header.point, holdings)
                + [each for each, _ in unknown]
            )
            await unit.breaks.open([(self._new_id(), each) for _, each in unknown])
        return 1

    async def _header(self, number: int) -> BlockHeader | None:
        """The provider's block of that number; None: not there yet."""
        found = await self._reader.headers(number, number)
        return found[0] if found else None

    async def _follow(self, cursor: Cursor, head_number: int) -> int:
        """Extend, rewind or halt.

        Compared is the head alone; where the chain has another one, some blocks below it; and only
        where all of those differ, everything down to the final block, which may be far below.
        """
        last = min(head_number, cursor.head.number + _BLOCKS_PER_LOOK)
        first = min(last, cursor.head.number)
        step, shown = await self._compared(cursor, first, last)
        for depth in (_BLOCKS_PER_LOOK, first):
            if step.kind is PlanKind.WIDEN:
                lowest = max(first - depth, cursor.final.number)
                step, shown = await self._compared(cursor, lowest, last)
        match step.kind:
            case PlanKind.EXTEND:
                return await self._extend(cursor, step.headers)
            case PlanKind.REWIND:
                assert step.rewind_to is not None
                if cursor.head.number - step.rewind_to.number > 1:
                    await self._confirm(cursor, step.rewind_to.number + 1, shown)
                return await self._rewind(cursor, step.rewind_to)
            case PlanKind.HALT:
                await self._confirm(cursor, cursor.final.number, shown)
                await self._halt(cursor, shown)
                return 1
            case PlanKind.WIDEN:
                raise ChainUnavailable("the chain changed while it was read")

    async def _compared(
        self, cursor: Cursor, first: int, last: int
    ) -> tuple[Plan, Sequence[BlockHeader]]:
        """What these blocks of the chain mean for the mirror, and the blocks."""
        async with self._units() as unit:
            ours = await unit.mirror.canonical(self._watch.chain_id, first)
        shown = await self._reader.headers(first, last)
        return plan(cursor, ours, shown), shown

    async def _extend(self, cursor: Cursor, headers: Sequence[BlockHeader]) -> int:
        """Store as many of these blocks as one transaction should hold.

        Raises:
            ChainUnavailable: One of them could not be read; those before it are stored.
        """
        if not headers:
            return 0
        facts, fault = await self._read(headers, await self._deposits.refresh())
        stored = 0
        if facts:
            taken = headers[: len(facts)]
            receipts = await self._own_receipts(taken)
            stored = await self._storing.store(cursor.head, taken, facts, receipts)
        if fault is not None:
            raise fault
        return stored

    async def _read(
        self, headers: Sequence[BlockHeader], also: Collection[Address]
    ) -> tuple[list[Facts], ChainUnavailable | None]:
        """What these blocks say, up to the first that cannot be read, and why it cannot."""
        facts: list[Facts] = []
        while len(facts) < len(headers) and sum(f.log_count for f in facts) < _LOGS_PER_PASS:
            part = headers[len(facts) : len(facts) + _BLOCKS_PER_READ]
            try:
                facts += await self._reader.facts(part, also)
            except Contradiction as error:
                good = [each for each in part if error.block and each.number < error.block.number]
                with suppress(ChainUnavailable):
                    facts += await self._reader.facts(good, also) if good else []
                return facts, error
            except ChainUnavailable as error:
                return facts, error
        return facts, None

    async def _own_receipts(self, headers: Sequence[BlockHeader]) -> Sequence[Receipt]:
        """Receipts of the node's own attempts in these blocks.

        An attempt is stored before it is sent, so one that is in a block is known by now.

        Raises:
            ChainUnavailable: A block's list of transactions lacks one of them.
        """
        hashes = [tx_hash for header in headers for tx_hash in header.tx_hashes]
        async with self._units() as unit:
            own = await unit.mirror.own_transactions(hashes)
            waiting = await unit.mirror.waiting_transactions(self._watch.chain_id)
        await check_lists(self._reader, headers, frozenset(waiting).difference(own), {})
        receipts = await self._reader.receipts(own)
        blocks = {each: header.hash for header in headers for each in header.tx_hashes}
        if any(blocks.get(receipt.tx_hash) != receipt.block_hash for receipt in receipts):
            raise ChainUnavailable("a transaction changed its block while it was read")
        return receipts

    async def _confirm(self, cursor: Cursor, number: int, shown: Sequence[BlockHeader]) -> None:
        """Nothing, if more providers have the new block than another, or if there is one alone.

        One provider that lies, or is on a branch that nobody else has, must not roll the mirror
        back, nor stop it; nor must one that stays on the mirror's old branch keep it there.

        Raises:
            ProvidersDiffer: They are even; operators are told when they stay so.
            Contradiction: This one is alone: it is in doubt.
        """
        theirs = next((each.hash for each in shown if each.number == number), None)
        async with self._units() as unit:
            blocks = await unit.mirror.canonical(self._watch.chain_id, number)
        ours = blocks.get(number)
        told = await self._reader.hashes_at(number)
        hashes = list(told.values())
        have_it = sum(each == theirs for each in hashes)
        if sum(each == ours for each in hashes) > have_it:
            raise self._reader.doubt(
                f"nobody else has its block {number}: all others have the one of the mirror",
                block=None if theirs is None else BlockPoint(number, theirs),
            )
        if hashes and have_it <= len(hashes) - have_it:
            raise await self._agreement.tied(BlockPoint(number, ours or cursor.head.hash), told)

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
                await unit.transfers.lock_bare(list(seen)),
                Happening.REORGED,
                changes=lambda _: {"tx_hash": None, "block_number": None},
                detail=lambda transfer: transfer_moves.payout_detail(seen[transfer.id]),
            )
            await unit.events.append(events)
            self._failpoint("before_rewind_commit")
        self._failpoint("after_rewind_commit")
        return len(orphaned)

    async def _halt(self, cursor: Cursor, shown: Sequence[BlockHeader]) -> None:
        """The chain took back what was final: stand still until an operator decides.

        What it comes to is looked for afterwards: that may take long, or not be possible.
        """
        theirs = next((each.hash for each in shown if each.number == cursor.final.number), None)
        found = deep_reorg_break(self._watch, cursor.final, theirs)
        async with self._units() as unit:
            held = await unit.adoption.lock_cursor(self._watch.chain_id)
            if held is None or held.final != cursor.final or held.halted_reason is not None:
                return  # it was decided meanwhile
            await unit.mirror.halt(self._watch.chain_id, PauseReason.DEEP_REORG)
            await unit.settlement.pause(
                PauseReason.DEEP_REORG, by=MIRROR, note=found.summary, hard=False
            )
            await unit.breaks.open([(self._new_id(), found)])
        evidence = await deep_reorg_evidence(self._units, self._reader, self._watch, cursor)
        async with self._units() as unit:
            await unit.breaks.add_evidence(found.fingerprint, evidence)

    async def _look_again(self, cursor: Cursor) -> int:
        """Go on only when all providers show the final block again: one had lied, or they all had.

        The pause and the break stay for the operator.
        """
        told = await self._reader.hashes_at(cursor.final.number)
        if set(told.values()) != {cursor.final.hash}:
            return 0
        async with self._units() as unit:
            held = await unit.adoption.lock_cursor(self._watch.chain_id)
            if held is None or held.final != cursor.final:
                return 0
            await unit.mirror.halt(self._watch.chain_id, None)
        return 1


def opening_deposit(
    watch: Watch, block: BlockPoint, address: Address, units: int
) -> tuple[LedgerTransaction, NewBreak]:
    """What a deposit address held when the mirror began: somebody's money, an operator says whose.

    Args:
        watch: Names chain and token.
        block: Where the mirror begins.
        address: The deposit address.
        units: Token units, greater than 0.
    """
    asset, holder = watch.token_asset, f"0x{address.hex()}"
    booked = LedgerTransaction(
        key=f"opening:{watch.chain_id}/{holder}/{asset}",
        kind="suspense",
        entries=(
            Entry(
                chain_account(watch.chain_id, address, asset),
                suspense_account(watch.chain_id, asset),
                asset,
                units,
            ),
        ),
        detail={"block_number": str(block.number), "block_hash": f"0x{block.hash.hex()}"},
    )
    return booked, break_of(
        BreakCode.UNKNOWN_DEPOSIT,
        f"opening:{holder}",
        expected="nothing at a deposit address before the mirror began",
        actual=f"{units} units of {asset} at {holder}",
        evidence={"block_number": str(block.number), "address": holder, "minor": str(units)},
    )


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
