"""Reconciliation: ledger, mirror and chain compared at one final block, to the unit.

Four layers: completeness (every block and log was seen), items (every payout has its transfer and
the other way round, every outflow its cause), balances (at one block hash), solvency and the proof
of the ledger. The store is read as one snapshot that names its final block; the chain is then
asked about exactly that block, so nothing can move in between. The job compares what became final
since the last time, and some of everything old (`ADR 0025`); a full run compares everything.
How far it has come is in the database, so any worker goes on where another stopped.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from node.core.breaks import REDERIVED, BreakCode, NewBreak, break_of, pause_of
from node.core.errors import ChainUnavailable, InvariantBroken, NodeError, NotFound
from node.core.ids import Prefix, decode_id
from node.core.mirror import Watch
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports import Unit, UnitOfWork
from node.core.ports.breaks import Break
from node.core.ports.comparisons import AccountComparison, State, Turns
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.mirror import ChainReader
from node.core.ports.reconciliation import Books, Run
from node.core.proof.records import GENESIS, HeadRow
from node.core.reconcile import Check, none_of
from node.core.units import Address
from node.services.idempotency import RenderError, once, replay
from node.services.ledger.solvency import payout_due_checks, solvency_checks, suspense_check
from node.services.ledger.verifying import VerifyService
from node.services.meanwhile import meanwhile
from node.services.reconciliation.balances import Balances, is_sum_of_logs
from node.services.reconciliation.bisecting import Bisection
from node.services.reconciliation.completeness import Completeness, Span
from node.services.reconciliation.explaining import Explaining
from node.services.reconciliation.item_checks import item_checks
from node.services.reconciliation.proving_slices import LedgerSlices, SliceProof
from node.services.settlement.lane_guard import lane_check

_log = structlog.get_logger()

_RUN_KEPT_EVERY: Final = timedelta(minutes=5)
_ALIVE_EVERY_S: Final = 2


@dataclass(frozen=True, slots=True)
class _Compared:
    """What one comparison came to.

    Attributes:
        open_before: Breaks that were open before anything was read, and may be gone.
    """

    open_before: Sequence[Break]
    books: Books
    checks: Sequence[Check]
    accounts: Sequence[AccountComparison]
    proven: HeadRow
    turns: Turns
    before: State | None
    began_ns: int
    full: bool


class ReconciliationService:
    """Runs; also the job that runs whenever finality advances."""

    def __init__(
        self,
        *,
        units: UnitOfWork,
        reader: ChainReader,
        watch: Watch,
        new_id: Callable[[], UUID],
    ) -> None:
        self._units = units
        self._reader = reader
        self._watch = watch
        self._new_id = new_id
        self._completeness = Completeness(units, reader, watch)
        self._bisection = Bisection(units, reader, watch, self._completeness)
        self._balances = Balances(units, reader, watch, self._bisection)
        self._explaining = Explaining(units, reader, watch, self._bisection)
        self._slices = LedgerSlices(units)
        self._going_on: set[asyncio.Task[None]] = set()

    async def run(self, made_by: str, *, full: bool = True) -> Run:
        """One reconciliation at the mirror's final block, done when this returns.

        Args:
            made_by: `Principal.key` or a job's name.
            full: Read everything since the mirror began again, and derive the ledger anew; else
                what only became final since the last comparison, and the next part of the turns.

        Raises:
            ChainUnavailable: The chain is away, or the mirror has not begun. The run is kept as
                failed.
        """
        async with self._units() as unit:
            run_id = await unit.reconciliation.begin(self._new_id(), made_by, join=False)
        return await self._finish(run_id, full=full)

    async def request_run(
        self,
        principal: Principal,
        *,
        claim: Claim | None,
        render: Callable[[Run], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Begin a full run, which goes on after this has answered with `running`.

        Whoever asks while one goes on is told of that one.
        """
        if claim is not None:
            async with self._units() as unit:
                if earlier := replay(claim, await unit.idempotency.find([claim])):
                    return earlier
        run_id = self._new_id()
        async with self._units() as unit:
            begun = await unit.reconciliation.begin(run_id, principal.key, join=True)
            run = _present(await unit.reconciliation.run(begun))
        if begun == run_id:
            task = asyncio.create_task(self._go_on(run_id), name="reconciliation run")
            self._going_on.add(task)
            task.add_done_callback(self._going_on.discard)

        async def keep(_: Unit) -> Answer:
            return render(run)

        return await once(self._units, claim, keep, render_error)

    async def run_once(self) -> int:
        """The job: compare what became final since the last time.

        A run that finds nothing is kept as a row only every few minutes; its breaks always are.

        Returns:
            1 when something was compared, 0 when finality stands still.
        """
        async with self._units() as unit:
            cursor = await unit.mirror.cursor(self._watch.chain_id)
            state = await unit.comparisons.state(self._watch.chain_id)
            last = await unit.reconciliation.last_completed()
            now = unit.now
        if cursor is None:
            return 0
        if state is not None and state.is_canonical and cursor.final.number <= state.block.number:
            return 0
        if last is None or last.completed_at is None or now - last.completed_at > _RUN_KEPT_EVERY:
            await self.run("reconcile", full=False)
            return 1
        await self._store(await self._compare(full=False), run_id=None)
        return 1

    async def get(self, run_id: str) -> Run:
        """One run. Raises NotFound."""
        async with self._units() as unit:
            run = await unit.reconciliation.run(decode_id(Prefix.RUN, run_id))
        if run is None:
            raise NotFound("there is no such reconciliation run")
        return run

    async def runs(self, query: ListQuery) -> Page[Run]:
        """Runs, newest first. Filters: `status` (running, completed, failed)."""
        async with self._units() as unit:
            return await unit.reconciliation.runs(query)

    # ------------------------------------------------------------------------------- one run

    async def _go_on(self, run_id: UUID) -> None:
        """A run that nobody waits for; whatever ends it is in its row, or its row grows old."""
        alive = asyncio.create_task(self._stay_alive(run_id))
        try:
            await self._finish(run_id, full=True)
        except NodeError as error:
            _log.warning("reconciliation failed", run=str(run_id), reason=error.detail)
        finally:
            alive.cancel()

    async def _stay_alive(self, run_id: UUID) -> None:
        while True:
            await asyncio.sleep(_ALIVE_EVERY_S)
            try:
                async with self._units() as unit:
                    await unit.reconciliation.alive(run_id)
            except NodeError as error:  # the run itself will tell
                _log.info("reconciliation waits", reason=error.detail)

    async def _finish(self, run_id: UUID, *, full: bool) -> Run:
        try:
            compared = await self._compare(full=full)
        except NodeError as error:
            async with self._units() as unit:
                await unit.reconciliation.fail(run_id, error.detail)
            raise
        return _present(await self._store(compared, run_id=run_id))

    async def _compare(self, *, full: bool) -> _Compared:
        try:
            return await self._compared(full=full)
        except ChainUnavailable as error:
            if told := await self._halted():
                raise ChainUnavailable(told) from error
            raise

    async def _halted(self) -> str:
        """Why nothing can be compared where the mirror is halted; empty: it is not."""
        async with self._units() as unit:
            cursor = await unit.mirror.cursor(self._watch.chain_id)
        if cursor is None or cursor.halted_reason is None:
            return ""
        return (
            f"the mirror is halted at block {cursor.final.number} ({cursor.halted_reason}): the"
            " chain has another block there than the one that was final, so there is nothing to"
            " compare until two operators have decided; see what the chain has with"
            " `corridor mirror status`, and accept it with `corridor mirror accept-reorg`"
        )

    async def _compared(self, *, full: bool) -> _Compared:
        began_ns = time.monotonic_ns()
        chain_id = self._watch.chain_id
        async with self._units() as unit:
            open_before = await unit.breaks.open_of(sorted(REDERIVED))  # before the final block
            cursor = await unit.mirror.cursor(chain_id)
            state = await unit.comparisons.state(chain_id)
            if cursor is None:
                raise ChainUnavailable("the mirror has not begun yet; is the worker running?")
            if state is not None and not state.is_canonical:
                state, full = None, True  # an operator accepted another chain
            above = cursor.start_number
            if state is not None and not full:
                above = max(above, state.block.number)
            books = await unit.reconciliation.books(
                chain_id, sorted(self._watch.addresses), above, full=full
            )
        if books is None:
            raise ChainUnavailable("the mirror has not begun yet; is the worker running?")
        turns = Turns() if state is None else state.turns
        span = Span(books.start_number, above, books.final, full)
        async with (
            meanwhile(self._prove(state, full=full)) as proof,
            meanwhile(item_checks(self._units, chain_id, above, full=full)) as items,
            meanwhile(self._balances.compare(books, full=full)) as balances,
        ):
            checks, turns = await self._completeness.compare(span, turns)
            checks += await items
            found = await balances
            checks += [*found.checks, await lane_check(self._units, chain_id)]
            checks += solvency_checks(self._watch, books)
            checks.append(await suspense_check(self._units, self._watch))
            checks += await payout_due_checks(self._units)
            part = await proof
        checks += part.checks
        turns = replace(turns, batch=part.turn_batch, account=part.turn_account)
        return _Compared(
            open_before,
            books,
            checks,
            found.comparisons,
            part.proven,
            turns,
            state,
            began_ns,
            full,
        )

    async def _store(self, compared: _Compared, *, run_id: UUID | None) -> Run | None:
        """Breaks, how far it came, the accounts, and the run if it is kept; then causes."""
        chain_id, final = self._watch.chain_id, compared.books.final
        duration_ms = (time.monotonic_ns() - compared.began_ns) // 1_000_000
        async with self._units() as unit:
            await self._report(unit, compared)
            await unit.comparisons.store_comparisons(
                chain_id, sorted(compared.accounts, key=_place), keep=run_id is not None
            )
            await unit.comparisons.store_state(
                chain_id, final, duration_ms, compared.proven, compared.turns
            )
        before = None if compared.before is None else compared.before.block
        causes = await self._explaining.causes(before, final, self._roles(compared))
        async with self._units() as unit:
            await unit.breaks.explain(causes)
            if run_id is None:
                return None
            await unit.reconciliation.complete(run_id, final, compared.checks)
            return await unit.reconciliation.run(run_id)

    def _roles(self, compared: _Compared) -> Mapping[Address, str]:
        return {each.address: each.role for each in compared.accounts}

    async def _report(self, unit: Unit, compared: _Compared) -> None:
        """Open breaks, stop settlement for the new ones that call for it, close what is cured."""
        found = [each for check in compared.checks for each in check.breaks]
        new = await unit.breaks.open([(self._new_id(), each) for each in found])
        for each in found:
            reason = pause_of(each, self._watch.contract)
            if each.fingerprint in new and reason is not None:
                await unit.settlement.pause(
                    reason, by="reconciliation", note=each.summary, hard=False
                )
        still_there = {each.fingerprint for each in found}
        await unit.breaks.close_rederived(
            _cured(compared, still_there), "derived anew from the chain, the difference is gone"
        )
        if compared.full:
            await unit.breaks.note_gone(sorted(REDERIVED), sorted(still_there))

    async def _prove(self, state: State | None, *, full: bool) -> SliceProof:
        """The ledger by itself: all of it, or the next slices."""
        if not full:
            return await self._slices.prove(state)
        checks, proven = await self._ledger_laws()
        turns = Turns() if state is None else state.turns
        return SliceProof(checks, proven, turns.batch, turns.account)

    async def _ledger_laws(self) -> tuple[list[Check], HeadRow]:
        """Everything that follows from the records of the ledger, derived again."""
        verified = await VerifyService(self._units).verify()
        first: dict[tuple[str, str], NewBreak] = {}
        for each in verified.differences:
            found = break_of(
                BreakCode.LEDGER_LAW,
                f"{each.check}:{each.subject}",
                expected=each.expected,
                actual=each.actual,
                evidence={f"row_{n}": row for n, row in enumerate(each.evidence, start=1)},
            )
            first.setdefault((each.check, each.subject), found)
        checks = [
            none_of(f"ledger.{name}", [each for key, each in first.items() if key[0] == name])
            for name, _ in verified.checks
            if name != "in_flight"  # compared at every run, see `solvency_checks`
        ]
        if verified.differences:
            return checks, HeadRow(0, 0, GENESIS, 0)  # so that the next slice looks for the cause
        anchor = verified.anchor
        return checks, HeadRow(anchor.number, 0, anchor.hash, 0)


def _place(each: AccountComparison) -> tuple[bool, bool]:
    """The contract first, deposit addresses last: so they are listed."""
    return each.role != "contract", each.role == "deposit"


def _cured(compared: _Compared, still_there: Collection[str]) -> dict[UUID, datetime]:
    """Break -> when it was last seen, of those that this comparison looked for and did not find.

    The job looks for balances, nonces and what is stuck again, and adds up the logs of a balance
    only since the last comparison: what a full run found of older ones, a full run alone closes.
    """
    looked_for = {f"{BreakCode.LEDGER_OFF_CHAIN}:{each.name}" for each in compared.checks}
    return {
        each.id: each.last_seen_at
        for each in compared.open_before
        if each.fingerprint not in still_there
        and "found_by" not in each.evidence  # the mirror closes itself what it found
        and (
            compared.full
            or each.code in (BreakCode.FOREIGN_NONCE, BreakCode.STUCK)
            or (each.fingerprint in looked_for and not is_sum_of_logs(each.fingerprint))
        )
    }


def _present(run: Run | None) -> Run:
    if run is None:
        raise InvariantBroken("a reconciliation run vanished")
    return run
