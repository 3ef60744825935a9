"""Deposits at finality: whose each token log to a deposit address is, and what it books.

`match` decides, in chain order, within the transaction that makes the blocks final; `FinalBookings`
books what it says; `record` then stores deposits and requests with the sequences they were booked
under. Each is a fixed number of statements, whatever the number of logs, but for the breaks of
late deposits that became a whole, which are closed one by one. The rules are `node.core.deposits`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.deposits import (
    OPEN,
    DepositBooking,
    DepositPolicy,
    DepositRow,
    DepositStatus,
    Flag,
    Judgement,
    Owner,
    RequestStatus,
    Ruling,
    Target,
    deposit_entries,
    judge,
)
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, LedgerTransaction
from node.core.mirror import Watch
from node.core.parties import Principal
from node.core.payout_matching import LogName, judge_payment, payout_after
from node.core.payouts import PayoutTerms
from node.core.ports import Unit
from node.core.ports.deposits import Released, RequestChange
from node.core.ports.mirror import TokenLogRow
from node.core.ports.transfers import NewEvent
from node.core.reconcile import solvency
from node.core.units import BlockHash
from node.services.ledger.final_bookings import deposit_key, log_name

LogKey = tuple[BlockHash, int | None]
"""One log; None: a payout that has no log of its own."""

_STATUS: Final[Mapping[Ruling, DepositStatus]] = {
    Ruling.CREDIT: DepositStatus.CREDITED,
    Ruling.COMPLETE: DepositStatus.CREDITED,
    Ruling.HOLD: DepositStatus.HELD,
    Ruling.SET_ASIDE: DepositStatus.HELD,
    Ruling.LEAVE: DepositStatus.UNBOOKED,
}


@dataclass(frozen=True, slots=True)
class DepositMatching:
    """Gives every final deposit its owner and its meaning.

    Attributes:
        policy: Tolerance and grace.
    """

    watch: Watch
    new_id: Callable[[], UUID]
    policy: DepositPolicy

    async def match(
        self,
        unit: Unit,
        rows: Sequence[TokenLogRow],
        paid: Collection[LogKey],
        proofs: Mapping[LogName, int] = MappingProxyType({}),
    ) -> Mapping[tuple[BlockHash, int], DepositBooking]:
        """What each deposit among these logs books.

        Args:
            unit: Holds the ledger's lock.
            rows: Token logs of the blocks that become final, in chain order.
            paid: Those that paid a transfer of the node: they may be a deposit at once.
            proofs: Of logs to addresses of payouts, the number of the `Settled` next to each.
        """
        found = [row for row in rows if self._may_be_deposit(row, paid)]
        if not found:
            return {}
        deposits, chain_id = unit.deposits, self.watch.chain_id
        targets = dict(await deposits.targets(chain_id, {row.log.to_address for row in found}))
        times = await deposits.block_times(chain_id, {row.block.hash for row in found})
        spare = await self._spare(unit, targets.values())
        bookings: dict[tuple[BlockHash, int], DepositBooking] = {}
        for row in found:
            target = targets.get(row.log.to_address)
            if target is None:
                continue
            mined_at = times[row.block.hash]
            if target.payout is not None:
                booking = self._payment(row, target, target.payout, mined_at, proofs)
            else:
                judgement = judge(target.terms, row.log.amount, mined_at, self.policy, spare)
                spare -= judgement.borne
                booking = self._booking(row, target, judgement, mined_at)
            bookings[row.block.hash, row.log.log_index] = booking
            targets[row.log.to_address] = _target_after(booking)
        return bookings

    def _payment(
        self,
        row: TokenLogRow,
        target: Target,
        terms: PayoutTerms,
        mined_at: datetime,
        proofs: Mapping[LogName, int],
    ) -> DepositBooking:
        """A deposit to a payout's address; from anywhere else it belongs to nobody known."""
        number = proofs.get((row.block.hash, row.log.log_index))
        is_proven = number is not None and row.log.from_address in terms.contracts
        judgement = judge_payment(
            terms, row.log.amount, mined_at, self.policy.late_grace, is_proven=is_proven
        )
        booking = self._booking(row, target, judgement, mined_at)
        if not is_proven:
            return replace(booking, row=replace(booking.row, owner=None))
        stored = replace(booking.row, payout_id=terms.payout_id, settlement_number=number)
        return replace(booking, row=stored)

    async def record(
        self,
        unit: Unit,
        bookings: Mapping[tuple[BlockHash, int], DepositBooking],
        unknown: Sequence[TokenLogRow],
        sequences: Mapping[str, int],
    ) -> list[NewEvent]:
        """Store what was decided, once it is booked and its breaks are open.

        Args:
            unit: The same transaction.
            bookings: What `match` said.
            unknown: Logs that came in and belong to nobody known.
            sequences: Ledger key -> sequence.

        Returns:
            Lines of the timelines, to be appended at the end.
        """
        rows = [
            replace(each.row, ledger_sequence=sequences.get(each.key)) for each in bookings.values()
        ]
        rows += await self._unknown_rows(unit, unknown, sequences)
        await unit.deposits.add_deposits(self.watch.chain_id, rows)
        events = [_deposit_event(row) for row in rows]
        changes = _changes(bookings.values(), sequences)
        released = await unit.deposits.change_requests(changes)
        events += [released_event(each) for each in released]
        await close_breaks(
            unit, released, "mirror", "the rest came, and the owner has all of it", None
        )
        paying = [each for each in bookings.values() if each.is_paying and each.target.terms]
        return events + [_paid_event(each) for each in paying]

    def _may_be_deposit(self, row: TokenLogRow, paid: Collection[LogKey]) -> bool:
        """Whether money of others came to a deposit address; own money only as a payout."""
        log = row.log
        if not row.to_deposit or row.from_deposit or row.movement_id is not None or not log.amount:
            return False
        is_own = log.from_address in self.watch.addresses
        return not is_own or (row.block.hash, log.log_index) in paid

    async def _spare(self, unit: Unit, targets: Collection[Target]) -> int:
        """What the node may bear; it is added up only where it could be asked for."""
        is_open = any(each.terms is not None and each.terms.status in OPEN for each in targets)
        if self.policy.tolerance_minor == 0 or not is_open:
            return 0
        asset = self.watch.token_asset
        owed, covered = solvency(asset, await unit.ledger.totals([asset]))
        return max(0, covered - owed)

    def _booking(
        self, row: TokenLogRow, target: Target, judgement: Judgement, mined_at: datetime
    ) -> DepositBooking:
        log, asset = row.log, self.watch.token_asset
        new_break = _break_of(row, target, judgement, asset)
        status = _STATUS[judgement.ruling]
        return DepositBooking(
            key=deposit_key(self.watch.chain_id, row),
            kind="suspense" if status is DepositStatus.HELD else "deposit",
            entries=deposit_entries(
                self.watch.chain_id, log.to_address, asset, target.owner, log.amount, judgement
            ),
            new_break=new_break,
            row=DepositRow(
                id=self.new_id(),
                block_hash=row.block.hash,
                log_index=log.log_index,
                block_number=row.block.number,
                mined_at=mined_at,
                tx_hash=log.tx_hash,
                asset=asset,
                amount=log.amount,
                from_address=log.from_address,
                to_address=log.to_address,
                address_id=target.address_id,
                owner=target.owner,
                request_id=target.terms.request_id if target.terms else None,
                status=status,
                flags=judgement.flags,
                is_counted=judgement.ruling is Ruling.HOLD,
                break_fingerprint=new_break.fingerprint if new_break else None,
                ledger_sequence=None,
            ),
            judgement=judgement,
            target=target,
        )

    async def _unknown_rows(
        self, unit: Unit, unknown: Sequence[TokenLogRow], sequences: Mapping[str, int]
    ) -> list[DepositRow]:
        """Money that came to another address of the node: an operator says whose it is."""
        if not unknown:
            return []
        chain_id = self.watch.chain_id
        times = await unit.deposits.block_times(chain_id, {row.block.hash for row in unknown})
        return [
            DepositRow(
                id=self.new_id(),
                block_hash=row.block.hash,
                log_index=row.log.log_index,
                block_number=row.block.number,
                mined_at=times[row.block.hash],
                tx_hash=row.log.tx_hash,
                asset=self.watch.token_asset,
                amount=row.log.amount,
                from_address=row.log.from_address,
                to_address=row.log.to_address,
                address_id=None,
                owner=None,
                request_id=None,
                status=DepositStatus.UNBOOKED if sequence is None else DepositStatus.HELD,
                flags=frozenset(),
                is_counted=False,
                break_fingerprint=f"{BreakCode.UNKNOWN_DEPOSIT}:{_name(row)}",
                ledger_sequence=sequence,
            )
            for row in unknown
            for sequence in (sequences.get(deposit_key(chain_id, row)),)
        ]


def _changes(
    bookings: Collection[DepositBooking], sequences: Mapping[str, int]
) -> list[RequestChange]:
    """One change for each request, whatever the number of its deposits."""
    changes: dict[UUID, RequestChange] = {}
    for each in bookings:
        target = each.target_after
        if target.terms is None:
            continue
        request_id = target.terms.request_id
        change = changes.get(request_id) or RequestChange(
            request_id, target.request_version, target.terms.status
        )
        changes[request_id] = replace(
            change,
            version=target.request_version,
            status=target.terms.status,
            flags=change.flags | each.judgement.flags - {Flag.SHORT},
            surplus=change.surplus + each.judgement.surplus,
            released_sequence=sequences[each.key] if each.is_paying else change.released_sequence,
        )
    return list(changes.values())


def _target_after(booking: DepositBooking) -> Target:
    """Where the next deposit to the same address comes to."""
    terms = booking.target.payout
    if terms is None:
        return booking.target_after
    return replace(
        booking.target, payout=payout_after(terms, booking.row.amount, booking.judgement)
    )


def _break_of(
    row: TokenLogRow, target: Target, judgement: Judgement, asset: str
) -> NewBreak | None:
    """What a person must be told of a deposit; None: nothing."""
    terms = target.terms
    is_unbooked = judgement.ruling is Ruling.LEAVE
    if not is_unbooked and not judgement.is_differing:
        return None
    log = row.log
    evidence = {
        "tx_hash": f"0x{log.tx_hash.hex()}",
        "block_number": str(row.block.number),
        "log_index": str(log.log_index),
        "address": f"0x{log.to_address.hex()}",
        "minor": str(log.amount),
    }
    expected = "an amount that the ledger can hold"
    if terms is not None:
        evidence["payment_request"] = encode_id(Prefix.PAYMENT_REQUEST, terms.request_id)
        if not is_unbooked:
            expected = f"{terms.amount} units of {asset} by {terms.expires_at.isoformat()}"
    is_unknown = is_unbooked
    if target.payout is not None and not is_unbooked:
        is_unknown = True
        evidence["payout"] = encode_id(Prefix.PAYOUT, target.payout.payout_id)
        expected = "a payment out of the partner's registered contract, Settled by it"
    return break_of(
        BreakCode.UNKNOWN_DEPOSIT if is_unknown else BreakCode.DEPOSIT_DIFFERS,
        _name(row),
        expected=expected,
        actual=", ".join([f"{log.amount} units of {asset}", *sorted(judgement.flags)]),
        evidence=evidence,
    )


def _name(row: TokenLogRow) -> str:
    return log_name(row.block, row.log.log_index)


def _deposit_event(row: DepositRow) -> NewEvent:
    detail: dict[str, object] = {
        "minor": str(row.amount),
        "currency": row.asset,
        "tx_hash": f"0x{row.tx_hash.hex()}",
        "block_number": row.block_number,
        "flags": sorted(row.flags),
    }
    if row.request_id is not None:
        detail["payment_request_id"] = encode_id(Prefix.PAYMENT_REQUEST, row.request_id)
    if row.payout_id is not None:
        detail["payout_id"] = encode_id(Prefix.PAYOUT, row.payout_id)
    owner = row.owner or Owner()
    return NewEvent(
        row.id,
        1,
        f"deposit.{row.status}",
        row.status,
        owner.customer_id,
        detail,
        object_type="deposit",
        partner_id=owner.partner_id,
    )


def released_event(released: Released, status: DepositStatus = DepositStatus.CREDITED) -> NewEvent:
    """The line that a held deposit is its owner's now, or was given to no owner (`resolved`)."""
    return NewEvent(
        released.id,
        released.version,
        f"deposit.{status}",
        status,
        released.owner.customer_id,
        {"minor": str(released.amount), "currency": released.asset},
        object_type="deposit",
        partner_id=released.owner.partner_id,
    )


def request_event(
    request_id: UUID,
    version: int,
    status: RequestStatus,
    owner: Owner,
    detail: Mapping[str, object],
) -> NewEvent:
    """A line of a payment request's timeline; the first says `created`."""
    word = "created" if status is RequestStatus.AWAITING else status.value
    return NewEvent(
        request_id,
        version,
        f"request.{word}",
        status,
        owner.customer_id,
        detail,
        object_type="payment_request",
        partner_id=owner.partner_id,
    )


def _paid_event(booking: DepositBooking) -> NewEvent:
    judgement, target = booking.judgement, booking.target_after
    assert target.terms is not None
    return request_event(
        target.terms.request_id,
        target.request_version,
        RequestStatus.PAID,
        target.owner,
        {
            "deposit_id": encode_id(Prefix.DEPOSIT, booking.row.id),
            "flags": sorted(judgement.flags),
            "surplus_minor": str(judgement.surplus),
        },
    )


async def close_breaks(
    unit: Unit, released: Sequence[Released], by: str, reason: str, ledger_sequence: int | None
) -> None:
    """Close the breaks of deposits that are their owner's now, those that are still open.

    Args:
        unit: Holds the ledger's lock.
        released: The deposits.
        by: Principal that decided it, or `mirror`.
        reason: Kept with each.
        ledger_sequence: What gave them to their owner; None: a deposit that came after them.
    """
    resolution = {"kind": "match", "reason": reason}
    if ledger_sequence is not None:
        resolution |= {"kind": "ledger_transaction", "ledger_sequence": str(ledger_sequence)}
    for break_id in sorted({each.break_id for each in released if each.break_id is not None}):
        found = await unit.breaks.lock(break_id)
        if found is not None and found.resolved_at is None:
            await unit.breaks.close(break_id, by, resolution)


async def give(  # noqa: PLR0913 - the last by name
    unit: Unit,
    held: Sequence[Released],
    owner: Owner,
    entries: Sequence[Entry],
    key: str,
    *,
    by: Principal,
    reason: str,
) -> list[NewEvent]:
    """Book what gives held deposits to somebody, and close their breaks; lines of timelines."""
    detail = {"reason": reason, "made_by": by.key}
    transaction = LedgerTransaction(key, "deposit", entries, detail=detail)
    sequence = (await unit.ledger.post([transaction]))[key]
    await unit.deposits.credit([each.id for each in held], owner, sequence)
    await close_breaks(unit, held, by.key, reason, sequence)
    return [released_event(replace(each, owner=owner, version=each.version + 1)) for each in held]
