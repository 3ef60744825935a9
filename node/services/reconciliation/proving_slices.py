"""Proving the ledger a little at every finality advance: what is new, and some of what is old.

The newest batches since the last time are proven each time; of the others a slice, so that all of
them come round. The same with the counters of accounts: those that moved, those this process has
seen before, and a slice of the rest. A ledger that is no longer than a slice is proven whole each
time. Everything at once is `node.services.ledger.verifying`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.ports import Unit, UnitOfWork
from node.core.ports.comparisons import State
from node.core.proof.accounts import Counters, counters_text
from node.core.proof.records import GENESIS, BatchRow, HeadRow
from node.core.proof.slices import Slice, WrongBatch, wrong_batches
from node.core.reconcile import Check, none_of

NEWEST_SEQUENCES: Final = 20_000
"""Most sequences since the last advance that are proven at once; the rest at the next advance."""

SLICE_SEQUENCES: Final = 4_000
"""Old sequences proven at each advance; some 0.1 s."""

SLICE_ACCOUNTS: Final = 1_000
"""Accounts whose counters are derived again at each advance, besides those that moved."""

REMEMBERED_ACCOUNTS: Final = 5_000
"""Accounts compared at every advance, because this process derived them before."""

_HINTS_SEQUENCES: Final = 500_000  # entries are read from the beginning for a hint only up to here
_BEGINNING: Final = HeadRow(0, 0, GENESIS, 0)
_NOTHING: Final = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class SliceProof:
    """What one advance proved.

    Attributes:
        proven: The newest batches are proven up to here.
        turn_batch: The turn over old batches goes on after this one; so with `turn_account`.
    """

    checks: Sequence[Check]
    proven: HeadRow
    turn_batch: int
    turn_account: int


class LedgerSlices:
    """Proves parts of the ledger; remembers counters between advances."""

    def __init__(self, units: UnitOfWork) -> None:
        self._units = units
        self._known: dict[int, Counters] = {}
        self._known_at = 0

    async def prove(self, state: State | None) -> SliceProof:
        """Prove what is new since `state`, and the next slices of what is old."""
        async with self._units() as unit:
            before, breaks = await self._begin(unit, state)
            head = await unit.comparisons.head()
            off, turn_account = await self._counters(unit, before, head, state)
            parts = await self._parts(unit, before, head, state)
            wrong: dict[int, WrongBatch] = {}
            for part in parts:
                for each in wrong_batches(part, {}, {}):
                    wrong[each.batch.number] = each
            if wrong:
                wrong |= await _explained(unit, parts, sorted(wrong))
        proven = before
        if parts and parts[0].batches:
            last = parts[0].batches[-1]
            proven = HeadRow(last.number, last.last_sequence, last.hash, last.created_at_us)
        turned = parts[-1].batches[-1].number if parts and parts[-1].batches else 0
        breaks += [_batch_break(each) for each in wrong.values()]
        return SliceProof(
            [none_of("ledger.chain", breaks), none_of("ledger.balances", off)],
            proven,
            0 if turned >= head.batch else turned,
            turn_account,
        )

    async def _begin(self, unit: Unit, state: State | None) -> tuple[HeadRow, list[NewBreak]]:
        """The batch that is proven last, if it is still what it was."""
        if state is None or state.proven.batch == 0:
            return _BEGINNING, []
        noted = state.proven
        batch = await unit.comparisons.batch(noted.batch)
        if batch is not None and batch.hash == noted.hash:
            return HeadRow(*_end_of(batch)), []
        found = break_of(
            BreakCode.LEDGER_LAW,
            f"chain:batch {noted.batch}",
            expected=f"batch {noted.batch} with hash {noted.hash.hex()}, as it was proven once",
            actual="it is gone" if batch is None else f"hash {batch.hash.hex()}",
            evidence={"batch": str(noted.batch)},
            cause="Batches that were proven before were taken away or written anew in the database,"
            " past the node.",
        )
        return _BEGINNING, [found]

    async def _parts(
        self, unit: Unit, before: HeadRow, head: HeadRow, state: State | None
    ) -> list[Slice]:
        """What is new first, then the slice of what is old."""
        if head.sequence <= SLICE_SEQUENCES:
            return [await _slice(unit, _BEGINNING, NEWEST_SEQUENCES)]
        newest = await _slice(unit, before, NEWEST_SEQUENCES)
        turn = 0 if state is None else state.turns.batch
        batch = await unit.comparisons.batch(turn) if turn else None
        begin = _BEGINNING if batch is None else HeadRow(*_end_of(batch))
        return [newest, await _slice(unit, begin, SLICE_SEQUENCES)]

    async def _counters(
        self, unit: Unit, before: HeadRow, head: HeadRow, state: State | None
    ) -> tuple[list[NewBreak], int]:
        """Accounts whose counters do not follow from their entries, and how far the turn came."""
        ask = unit.comparisons
        turn = 0 if state is None else state.turns.account
        some = await ask.accounts_after(turn, SLICE_ACCOUNTS)
        since = max(self._known_at, before.sequence, head.sequence - NEWEST_SEQUENCES)
        moved = await ask.moved_accounts(since + 1, head.sequence)
        if head.sequence - self._known_at > NEWEST_SEQUENCES:
            self._known = {}  # reading on from there costs more than from a checkpoint
        sequence, stored = await ask.counters(sorted({*some, *moved, *self._known}))
        derived = await self._derived(unit, [each.number for each in stored], sequence)
        off = {each.number: each for each in stored if derived[each.number] != each.counters}
        kept = {each.number: derived[each.number] for each in stored if each.number not in off}
        self._known = dict(list(kept.items())[-REMEMBERED_ACCOUNTS:])
        self._known_at = sequence
        breaks = [
            break_of(
                BreakCode.LEDGER_LAW,
                f"balances:{each.path}",
                expected=counters_text(derived[number]),
                actual=counters_text(each.counters),
                evidence={"account": each.path, "sequence": str(sequence)},
                cause=f"The counters of {each.path} do not follow from its entries up to sequence"
                f" {sequence}: counters or entries were changed in the database, past the node.",
            )
            for number, each in off.items()
        ]
        return breaks, some[-1] if len(some) == SLICE_ACCOUNTS else 0

    async def _derived(
        self, unit: Unit, accounts: Sequence[int], sequence: int
    ) -> Mapping[int, Counters]:
        """Counters by entries: of accounts known from before what moved since, else all of it."""
        ask = unit.comparisons
        known = [each for each in accounts if each in self._known]
        new = [each for each in accounts if each not in self._known]
        checkpoint, bases = await ask.bases(new)
        moves = dict(await ask.moved(known, self._known_at, sequence)) if known else {}
        if new:
            moves |= await ask.moved(new, checkpoint, sequence)
        return {
            each: _plus(self._known.get(each, bases.get(each, _NOTHING)), moves.get(each, _NOTHING))
            for each in accounts
        }


async def _slice(unit: Unit, before: HeadRow, sequences_max: int) -> Slice:
    """The batches after `before`, with their rows."""
    ask = unit.comparisons
    batches = await ask.batches(before.batch, sequences_max)
    if not batches:
        return Slice(before, (), (), ())
    first, last = batches[0], batches[-1]
    openings = await ask.openings(first.number, last.number)
    lowest = min(each.first_sequence for each in batches)
    highest = max(each.last_sequence for each in batches)
    return Slice(before, batches, openings, await ask.records(lowest, highest))


async def _explained(
    unit: Unit, parts: Sequence[Slice], numbers: Sequence[int]
) -> dict[int, WrongBatch]:
    """The wrong batches again, with what counters and entries tell of them."""
    ask = unit.comparisons
    wrong = [each for part in parts for each in part.batches if each.number in set(numbers)]
    accounts = set(await ask.accounts_after(0, SLICE_ACCOUNTS))
    for each in wrong:
        accounts.update(await ask.moved_accounts(each.first_sequence, each.last_sequence))
    sequence, stored = await ask.counters(sorted(accounts))
    checkpoint, bases = await ask.bases(sorted(accounts))
    if checkpoint >= min(each.first_sequence for each in wrong):
        checkpoint, bases = 0, {}
    moved: dict[int, Counters] = {}
    if sequence - checkpoint <= _HINTS_SEQUENCES:
        moves = await ask.moved(sorted(accounts), checkpoint, sequence)
        for account in stored:
            number = account.number
            derived = _plus(bases.get(number, _NOTHING), moves.get(number, _NOTHING))
            if derived != account.counters:
                moved[number] = _minus(account.counters, derived)
    paths = {each.number: each.path for each in stored}
    return {each.batch.number: each for part in parts for each in wrong_batches(part, moved, paths)}


def _batch_break(found: WrongBatch) -> NewBreak:
    batch = found.batch
    evidence = {
        "batch": str(batch.number),
        "sequences": f"{batch.first_sequence} to {batch.last_sequence}",
        "booked_hash": batch.hash.hex(),
    }
    if found.sequence is not None:
        evidence["sequence"] = str(found.sequence)
    evidence |= {f"row_{n}": row for n, row in enumerate(found.rows, start=1)}
    cause = found.alteration or (
        f"A row of batch {batch.number} (sequences {batch.first_sequence} to"
        f" {batch.last_sequence}) is not what was booked"
    )
    return break_of(
        BreakCode.LEDGER_LAW,
        f"chain:batch {batch.number}",
        expected=found.expected,
        actual=found.actual,
        evidence=evidence,
        cause=f"{cause}: it was altered in the database, past the node.",
    )


def _end_of(batch: BatchRow) -> tuple[int, int, bytes, int]:
    return batch.number, batch.last_sequence, batch.hash, batch.created_at_us


def _plus(one: Counters, other: Counters) -> Counters:
    a, b, c, d = (x + y for x, y in zip(one, other, strict=True))
    return a, b, c, d


def _minus(one: Counters, other: Counters) -> Counters:
    a, b, c, d = (x - y for x, y in zip(one, other, strict=True))
    return a, b, c, d
