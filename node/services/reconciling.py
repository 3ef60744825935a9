"""Reconciliation: ledger, mirror and chain compared at one final block, to the unit.

Four layers: completeness (every block and log was seen), items (every payout has its transfer and
the other way round, every outflow its cause), balances (at one block hash), solvency and the laws
of the ledger. The store is read as one snapshot that names its final block; the chain is then
asked about exactly that block, so nothing can move in between. The comparisons themselves are
`node.core.reconcile`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from node.core.bookings import named_in
from node.core.breaks import REDERIVED, BreakCode, NewBreak, break_of, pause_of, token_balance
from node.core.errors import (
    ChainUnavailable,
    InvalidInput,
    InvariantBroken,
    NodeError,
    NotFound,
    WrongState,
)
from node.core.ids import Prefix, decode_id
from node.core.ledger import Entry, LedgerTransaction, chain_account, suspense_account
from node.core.mirror import Facts, Watch
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports import Unit, UnitOfWork
from node.core.ports.breaks import Break
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.mirror import ChainReader
from node.core.ports.reconciliation import Books, Run, Suspect
from node.core.reconcile import (
    Check,
    check_resolution,
    different_logs,
    native_units,
    none_of,
    same,
    takes_capital,
)
from node.core.units import MINOR_LIMIT
from node.services.idempotency import RenderError, once, replay
from node.services.lane_guard import lane_check
from node.services.posting import PostingService
from node.services.solvency import solvency_checks
from node.services.verifying import VerifyService

_BLOCKS_PER_SPAN: Final = 100
_BLOCKS_BY_RECEIPTS: Final = 16
_DIFFERENCES_SHOWN: Final = 20
_RUN_KEPT_EVERY: Final = timedelta(minutes=5)
_CHECKED_EVERY_TIME: Final = (BreakCode.LEDGER_OFF_CHAIN, BreakCode.FOREIGN_NONCE)


class ReconciliationService:
    """Runs and breaks; also the job that runs whenever finality advances."""

    def __init__(
        self,
        *,
        units: UnitOfWork,
        reader: ChainReader,
        watch: Watch,
        posting: PostingService,
        new_id: Callable[[], UUID],
    ) -> None:
        self._units = units
        self._reader = reader
        self._watch = watch
        self._posting = posting
        self._new_id = new_id
        self._reconciled_number: int | None = None

    async def run(self, made_by: str, *, full: bool = True) -> Run:
        """One reconciliation at the mirror's final block, done when this returns.

        Args:
            made_by: `Principal.key` or a job's name.
            full: Read everything since the mirror began again, and derive the ledger anew; else
                only what became final since the last run.

        Raises:
            ChainUnavailable: The chain is away, or the mirror has not begun. The run is kept as
                failed.
        """
        run_id = self._new_id()
        async with self._units() as unit:
            await unit.reconciliation.begin(run_id, made_by)
        try:
            books, checks = await self._compare(full=full)
        except NodeError:
            async with self._units() as unit:
                await unit.reconciliation.fail(run_id)
            raise
        async with self._units() as unit:
            await self._report(unit, checks, full=full)
            await unit.reconciliation.complete(run_id, books.final, checks)
            run = await unit.reconciliation.run(run_id)
        self._reconciled_number = books.final.number
        return _present(run)

    async def request_run(
        self,
        principal: Principal,
        *,
        claim: Claim | None,
        render: Callable[[Run], Answer],
        render_error: RenderError,
    ) -> Answer:
        """`run` for a request that may come again.

        A run reads the chain, so it holds no lock: of two equal requests at once both may run, and
        both get the answer of the one that ended first.
        """
        if claim is not None:
            async with self._units() as unit:
                if earlier := replay(claim, await unit.idempotency.find([claim])):
                    return earlier
        answer = render(await self.run(principal.key))

        async def keep(_: Unit) -> Answer:
            return answer

        return await once(self._units, claim, keep, render_error)

    async def run_once(self) -> int:
        """The job: compare what became final since the last time.

        A run that finds nothing is kept as a row only every few minutes; its breaks always are.

        Returns:
            1 when something was compared, 0 when finality stands still.
        """
        async with self._units() as unit:
            cursor = await unit.mirror.cursor(self._watch.chain_id)
            last = await unit.reconciliation.last_completed()
            now = unit.now
        if cursor is None:
            return 0
        if self._reconciled_number is None:
            self._reconciled_number = (
                last.block.number if last and last.block else cursor.start_number - 1
            )
        if cursor.final.number <= self._reconciled_number:
            return 0
        if last is None or last.completed_at is None or now - last.completed_at > _RUN_KEPT_EVERY:
            await self.run("reconcile", full=False)
            return 1
        books, checks = await self._compare(full=False)
        async with self._units() as unit:
            await self._report(unit, checks, full=False)
        self._reconciled_number = books.final.number
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

    async def get_break(self, break_id: str) -> Break:
        """One break. Raises NotFound."""
        async with self._units() as unit:
            found = await unit.breaks.lock(decode_id(Prefix.BREAK, break_id))
        return _known(found)

    async def breaks(self, query: ListQuery) -> Page[Break]:
        """Breaks, newest first. Filters: `status` (open, resolved), `code`."""
        async with self._units() as unit:
            return await unit.breaks.page(query)

    async def resolve(  # noqa: PLR0913 - all by name
        self,
        principal: Principal,
        break_id: str,
        *,
        reason: str,
        entries: Sequence[Entry],
        claim: Claim | None,
        render: Callable[[Break], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Close a break by a ledger transaction, or, without entries, as a match.

        Raises:
            NotFound: There is no such break, or no such customer or partner.
            WrongState: It is closed already.
            InvalidInput: The entries name accounts that a correction may not touch, or leave an
                unknown deposit in suspense.
            InsufficientFunds: An account would fall below its floor, or capital is taken out that
                covers what the node owes; with `available`.
            AmountOutOfRange: A counter cannot hold it; with `min` and `max`.
        """
        identity = decode_id(Prefix.BREAK, break_id)
        if entries:
            check_resolution(entries)

        async def work(unit: Unit) -> Answer:
            if entries:
                await unit.ledger.lock()  # before the break's, as whoever books does
            found = _known(await unit.breaks.lock(identity))
            if found.resolved_at is not None:
                raise WrongState("the break is closed already")
            self._check_suspense(found, entries)
            sequence = await self._correct(unit, break_id, reason, entries)
            resolution = {"kind": "match", "reason": reason}
            if sequence is not None:
                resolution |= {"kind": "ledger_transaction", "ledger_sequence": str(sequence)}
            await unit.breaks.close(identity, principal.key, resolution)
            return render(
                replace(
                    found,
                    resolved_at=unit.now,
                    resolved_by=principal.key,
                    resolution=resolution,
                )
            )

        return await once(self._units, claim, work, render_error)

    def _check_suspense(self, found: Break, entries: Sequence[Entry]) -> None:
        """An unknown deposit is closed by moving it to whoever it belongs to, all of it."""
        units = int(found.evidence.get("minor", "0"))
        if found.code != BreakCode.UNKNOWN_DEPOSIT or not 0 < units < MINOR_LIMIT:
            return  # an amount that no entry can hold was never booked
        path = suspense_account(self._watch.chain_id, self._watch.token_asset)
        moved = sum(each.amount for each in entries if each.debit == path)
        moved -= sum(each.amount for each in entries if each.credit == path)
        if moved != units:
            raise InvalidInput(
                f"an unknown deposit is closed by entries that debit {path} with all of it,"
                f" {units} minor units; these debit it with {moved}"
            )

    async def _correct(
        self, unit: Unit, break_id: str, reason: str, entries: Sequence[Entry]
    ) -> int | None:
        if not entries:
            return None
        named = named_in(entries)
        if not named.customers <= (await unit.parties.customers(sorted(named.customers))).keys():
            raise NotFound("there is no such customer")
        if not named.partners <= await unit.parties.partners(sorted(named.partners)):
            raise NotFound("there is no such partner")
        key, detail = f"break:{break_id}", {"break": break_id, "reason": reason}
        (outcome,) = await self._posting.book(
            unit,
            [LedgerTransaction(key, "correction", entries, detail=detail)],
            decisions=[key] if takes_capital(entries) else (),
        )
        if isinstance(outcome, NodeError):
            raise outcome  # the key is free again: nothing of this transaction is kept
        return outcome

    async def _report(self, unit: Unit, checks: Sequence[Check], *, full: bool) -> None:
        """Open breaks, stop settlement for the new ones that call for it, close what is cured."""
        found = [each for check in checks for each in check.breaks]
        new = await unit.breaks.open([(self._new_id(), each) for each in found])
        for each in found:
            reason = pause_of(each, self._watch.contract)
            if each.fingerprint in new and reason is not None:
                await unit.settlement.pause(
                    reason, by="reconciliation", note=each.summary, hard=False
                )
        await unit.breaks.close_rederived(
            sorted(REDERIVED) if full else _CHECKED_EVERY_TIME,
            [each.fingerprint for each in found],
            "derived anew from the chain, the difference is gone",
        )

    async def _compare(self, *, full: bool) -> tuple[Books, list[Check]]:
        async with self._units() as unit:
            books = await unit.reconciliation.books(self._watch.chain_id)
            cursor = await unit.mirror.cursor(self._watch.chain_id)
        if books is None or cursor is None:
            raise ChainUnavailable("the mirror has not begun yet; is the worker running?")
        above = cursor.start_number
        if not full and self._reconciled_number is not None:
            above = max(above, self._reconciled_number)
        checks = await self._completeness(books, above, full=full)
        checks += await self._items(above, full=full)
        checks += await self._balances(books)
        checks.append(await lane_check(self._units, self._watch.chain_id))
        checks += solvency_checks(self._watch, books)
        if full:
            checks += await self._ledger_laws()
        return books, checks

    async def _completeness(self, books: Books, above: int, *, full: bool) -> list[Check]:
        chain_id, final = self._watch.chain_id, books.final
        async with self._units() as unit:
            broken = await unit.reconciliation.broken_links(chain_id, above)
        headers = await self._reader.headers(final.number, final.number)
        if not headers:  # a silence proves nothing; a chain that is shorter halts the mirror
            raise ChainUnavailable(f"the provider does not show the final block {final.number}")
        theirs = f"0x{headers[0].hash.hex()}"
        breaks = (
            await self._logs_by_range(above + 1, final.number)
            if full
            else await self._logs_by_receipts(
                max(above + 1, final.number - _BLOCKS_BY_RECEIPTS + 1), final.number
            )
        )
        return [
            same("completeness.blocks", BreakCode.MISSED_LOG, expected=0, actual=broken),
            same(
                "completeness.final_block",
                BreakCode.DEEP_REORG,
                expected=f"0x{final.hash.hex()}",
                actual=theirs,
                evidence={"block_number": str(final.number)},
            ),
            none_of("completeness.logs", breaks[:_DIFFERENCES_SHOWN]),
        ]

    async def _logs_by_range(self, first: int, last: int) -> list[NewBreak]:
        """Read every log again by number range, which is safe for final blocks."""
        found: list[NewBreak] = []
        start, span = first, _BLOCKS_PER_SPAN
        while start <= last:
            end = min(start + span - 1, last)
            try:
                theirs = await self._reader.facts_by_range(start, end)
            except ChainUnavailable:
                if start == end:
                    raise
                span = (end - start + 1) // 2  # providers refuse answers that are too long
                continue
            found += await self._different(start, end, theirs)
            start = end + 1
        return found

    async def _logs_by_receipts(self, first: int, last: int) -> list[NewBreak]:
        """Read the newest blocks again through all their receipts."""
        headers = await self._reader.headers(first, last) if first <= last else []
        theirs = [(await self._reader.facts_by_receipts([header]))[0] for header in headers]
        return await self._different(first, last, theirs)

    async def _different(self, first: int, last: int, theirs: Sequence[Facts]) -> list[NewBreak]:
        async with self._units() as unit:
            ours = await unit.reconciliation.mirrored(self._watch.chain_id, first, last)
        chain = {each.block.hash: each for each in theirs}
        mirror = {each.block.hash: each for each in ours}
        found: list[NewBreak] = []
        for each in {**chain, **mirror}.values():
            nothing = Facts(each.block, (), ())
            missed, phantom = different_logs(
                mirror.get(each.block.hash, nothing), chain.get(each.block.hash, nothing)
            )
            found += [_log_break(BreakCode.MISSED_LOG, each, index) for index in missed]
            found += [_log_break(BreakCode.PHANTOM_LOG, each, index) for index in phantom]
        return found

    async def _items(self, above: int, *, full: bool) -> list[Check]:
        chain_id = self._watch.chain_id
        async with self._units() as unit:
            ask = unit.reconciliation
            checks = [
                _suspects(
                    "items.settled_has_transfer",
                    BreakCode.PAID_WRONG,
                    await ask.settled_without_transfer(chain_id, above),
                ),
                _suspects(
                    "items.delivered_as_quoted",
                    BreakCode.NOT_AS_QUOTED,
                    await ask.not_as_quoted(chain_id, above, full=full),
                ),
                _suspects(
                    "items.outbound_has_cause",
                    BreakCode.ORPHAN_OUTBOUND,
                    await ask.outbound_without_cause(chain_id),
                ),
                _suspects(
                    "items.no_transfer_left_behind",
                    BreakCode.STUCK,
                    await ask.left_behind(chain_id),
                ),
            ]
            if full:
                alone = await ask.transfers_without_settled(chain_id)
                name = "items.transfer_has_settled"
                checks.append(_suspects(name, BreakCode.PHANTOM_LOG, alone))
            return checks

    async def _balances(self, books: Books) -> list[Check]:
        """Ledger and mirror beside what the chain says in the state of the final block."""
        watch, final = self._watch, books.final
        addresses = sorted(watch.addresses)
        tokens = await self._reader.token_balances(addresses, final.hash)
        natives = await self._reader.native_balances(addresses, final.hash)
        lanes = sorted(books.nonces)
        nonces = await self._reader.nonces(lanes, final.hash)
        ledger = {each.path: each.posted for each in books.balances}
        evidence = {"block_number": str(final.number), "block_hash": f"0x{final.hash.hex()}"}
        off_chain = BreakCode.LEDGER_OFF_CHAIN
        checks: list[Check] = []
        for address, units, wei in zip(addresses, tokens, natives, strict=True):
            name = f"0x{address.hex()}"
            token_path = chain_account(watch.chain_id, address, watch.token_asset)
            native_path = chain_account(watch.chain_id, address, watch.native_asset)
            held = books.holdings.get((address, watch.token_asset), 0)
            for check_name, expected, actual in (
                (token_balance(address), ledger.get(token_path, 0), units),
                (f"balance.delta:{name}", held, units),
                (f"balance.native:{name}", ledger.get(native_path, 0), native_units(wei)),
            ):
                checks.append(
                    same(check_name, off_chain, expected=expected, actual=actual, evidence=evidence)
                )
        for address, nonce in zip(lanes, nonces, strict=True):
            checks.append(
                same(
                    f"nonce:0x{address.hex()}",
                    BreakCode.FOREIGN_NONCE,
                    expected=books.nonces[address],
                    actual=nonce,
                    evidence=evidence,
                )
            )
        return checks

    async def _ledger_laws(self) -> list[Check]:
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
        return [
            none_of(f"ledger.{name}", [each for key, each in first.items() if key[0] == name])
            for name, _ in verified.checks
            if name != "in_flight"  # compared at every run, see `solvency_checks`
        ]


def _suspects(name: str, code: BreakCode, suspects: Sequence[Suspect]) -> Check:
    return none_of(
        name,
        [
            break_of(
                code,
                each.subject,
                expected=each.expected,
                actual=each.actual,
                evidence=each.evidence,
            )
            for each in suspects
        ],
    )


def _log_break(code: BreakCode, facts: Facts, log_index: int) -> NewBreak:
    missed = code is BreakCode.MISSED_LOG
    return break_of(
        code,
        f"0x{facts.block.hash.hex()}:{log_index}",
        expected="a log as the chain has it" if missed else "no log, or another one",
        actual="none in the mirror, or another one" if missed else "a log in the mirror",
        evidence={"block_number": str(facts.block.number), "log_index": str(log_index)},
    )


def _known(found: Break | None) -> Break:
    if found is None:
        raise NotFound("there is no such break")
    return found


def _present(run: Run | None) -> Run:
    if run is None:
        raise InvariantBroken("a reconciliation run vanished")
    return run
