"""What can be asked of an accepted transfer: look, cancel, void, follow its timeline."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from node.core.errors import (
    CancelTooLate,
    NotFound,
    NumberUsed,
    SettlementRecovering,
    WrongState,
)
from node.core.ids import Prefix, decode_id
from node.core.paging import ListQuery, Page
from node.core.parties import Principal, Role
from node.core.ports import Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import EventRow, NewEvent, Transfer, UsedNumber
from node.core.transfers import TERMINAL, Happening, State
from node.services.idempotency import RenderError, once
from node.services.transfers.acceptance import Acceptance, Submission
from node.services.transfers.transfer_moves import after, apply

Render = Callable[[Transfer], Answer]


class TransferService:
    """Transfers as their owners and the operator use them."""

    def __init__(
        self,
        units: UnitOfWork,
        acceptance: Acceptance,
        check_unpaid: Callable[[Transfer], Awaitable[None]],
        prepare: Callable[[Submission], Awaitable[Answer | None]] | None = None,
    ) -> None:
        """Wire it.

        Args:
            units: Opens transactions.
            acceptance: Accepts transfers.
            check_unpaid: Asks the chain about a transfer that was never written, before its money
                goes back: see `node.services.settlement.recollection.Recollection`.
            prepare: What must be done before acceptance, of transfers that partners pay out: see
                `node.services.payouts.ordering`. What it answers is the answer.
        """
        self._units = units
        self._acceptance = acceptance
        self._check_unpaid = check_unpaid
        self._prepare = prepare

    async def create(self, submission: Submission) -> Answer:
        """Accept or refuse; see `node.services.transfers.acceptance`."""
        answer = None if self._prepare is None else await self._prepare(submission)
        return await self._acceptance.create(submission) if answer is None else answer

    async def get(self, principal: Principal, transfer_id: str) -> Transfer:
        """One transfer.

        Raises:
            NotFound: It does not exist for this principal.
        """
        async with self._units() as unit:
            return await visible(unit, principal, decode_id(Prefix.TRANSFER, transfer_id))

    async def list(self, principal: Principal, query: ListQuery) -> Page[Transfer]:
        """Own transfers, newest first; filters as in `TransferRepository.list`."""
        async with self._units() as unit:
            return await unit.transfers.list(principal, query)

    async def timeline(self, principal: Principal, transfer_id: str) -> Sequence[EventRow]:
        """Everything that happened to a transfer, oldest first."""
        async with self._units() as unit:
            transfer = await visible(unit, principal, decode_id(Prefix.TRANSFER, transfer_id))
            return await unit.events.of_object(transfer.id)

    async def events(self, principal: Principal, after: int, limit: int) -> Sequence[EventRow]:
        """Events of all own objects with a higher sequence, ascending."""
        async with self._units() as unit:
            return await unit.events.after(principal, after, limit)

    async def cancel(
        self,
        principal: Principal,
        transfer_id: str,
        claim: Claim,
        render: Render,
        render_error: RenderError,
    ) -> Answer:
        """Give the money back, while the transfer is not written into a batch.

        Canceling what is canceled already answers with the transfer again.

        Raises:
            CancelTooLate: It is written into a batch or has ended otherwise.
            SettlementRecovering: The chain may have paid it, and the database does not know.
            ChainUnavailable: The chain cannot be asked whether it has.
        """
        await self._ask_chain(principal, transfer_id)
        act = self._act(principal, transfer_id, _cancel, render)
        return await once(self._units, claim, act, render_error)

    async def void(
        self,
        principal: Principal,
        transfer_id: str,
        claim: Claim,
        render: Render,
        render_error: RenderError,
    ) -> Answer:
        """Ask for a void on chain; what becomes final decides. One never written ends at once.

        So does one whose number is finally used for something else: it can never be paid.

        Raises:
            WrongState: The transfer has ended.
            NumberUsed: Its number is used, and not provably for something else.
            SettlementRecovering, ChainUnavailable: As for `cancel`, of one never written.
        """
        await self._ask_chain(principal, transfer_id)
        act = self._act(principal, transfer_id, _void, render)
        return await once(self._units, claim, act, render_error)

    async def release(
        self,
        principal: Principal,
        transfer_id: str,
        claim: Claim,
        render: Render,
        render_error: RenderError,
    ) -> Answer:
        """Let a transfer that is on hold try again, with three batches before it.

        Raises:
            WrongState: It is not on hold.
            NumberUsed: Its number is used: it would only be held again.
        """
        act = self._act(principal, transfer_id, _release, render)
        return await once(self._units, claim, act, render_error)

    async def _ask_chain(self, principal: Principal, transfer_id: str) -> None:
        """Before money goes back by the database alone: outside its transaction."""
        async with self._units() as unit:
            transfer = await visible(unit, principal, decode_id(Prefix.TRANSFER, transfer_id))
        if transfer.state not in TERMINAL and not transfer.was_written:
            await self._check_unpaid(transfer)

    @staticmethod
    def _act(
        principal: Principal,
        transfer_id: str,
        decide: Callable[[Transfer], "_Act | None"],
        render: Render,
    ) -> Callable[[Unit], Awaitable[Answer]]:
        """Work that lets `decide` say what happens to one transfer; None: nothing is to be done."""

        async def work(unit: Unit) -> Answer:
            transfer = await _locked(unit, principal, decode_id(Prefix.TRANSFER, transfer_id))
            act = decide(transfer)
            if act is not None:
                act = await _allowed(unit, transfer, act)
                await unit.events.append(await _done(unit, transfer, act))
            return render(await visible(unit, principal, transfer.id))

        return work


@dataclass(frozen=True, slots=True)
class _Act:
    """What somebody does to a transfer: moves in a row; `reason` is for its timeline.

    Attributes:
        is_void: An operator gives the money back, also where that was too late to cancel.
    """

    happenings: Sequence[Happening]
    reason: str
    changes: Mapping[str, object]
    is_void: bool = False


def _cancel(transfer: Transfer) -> _Act | None:
    if transfer.state is State.CANCELED:
        return None
    if not transfer.is_cancellable:
        raise CancelTooLate(
            f"the transfer is {transfer.state} and can no longer be canceled; an operator may ask"
            " for a void"
        )
    return _canceled("canceled before it was sent", Happening.CANCELED)


def _void(transfer: Transfer) -> _Act | None:
    if transfer.state is State.VOIDING:
        return None
    if transfer.state in TERMINAL:
        raise WrongState(f"the transfer is {transfer.state}: there is nothing to void")
    first = (Happening.RELEASED,) if transfer.state is State.ON_HOLD else ()
    if not transfer.was_written:
        act = _canceled("canceled by the operator", *first, Happening.CANCELED)
    else:
        act = _canceled("a void was asked for by the operator", *first, Happening.VOID_ASKED)
    return replace(act, is_void=True)


def _canceled(reason: str, *happenings: Happening) -> _Act:
    failure = {"code": "canceled", "message": reason}
    return _Act(happenings, reason, {"void_outcome": "canceled", "failure": failure})


def _release(_transfer: Transfer) -> _Act:
    changes = {"batches_failed": 0, "failure": None}
    return _Act((Happening.RELEASED,), "released by the operator", changes)


async def _done(unit: Unit, transfer: Transfer, act: _Act) -> list[NewEvent]:
    """Let it happen, each move on the version the one before made."""
    events: list[NewEvent] = []
    for happening in act.happenings:
        events += await apply(
            unit,
            [transfer],
            happening,
            changes=lambda _: act.changes,
            detail=lambda _: {"reason": act.reason},
        )
        transfer = after(transfer, happening)
    return events


async def _allowed(unit: Unit, transfer: Transfer, act: _Act) -> _Act:
    """The act, as far as what the chain did with the number allows it.

    No money goes back for a number that the chain has used, or may have, unless a final event
    proves that it was used for something else. A database restored from an older copy does not
    know of its newest batches; the chain does.
    """
    is_release = act.happenings[-1] is Happening.RELEASED
    if not is_release and await unit.settlement.is_recovering(transfer.chain_id):
        raise SettlementRecovering(
            "an operator must act first, the transfer may be paid: a settlement lane is to be"
            " adopted, or the chain has replaced a block that was final"
        )
    used = (await unit.transfers.used_numbers([transfer.id])).get(transfer.id)
    if used is None or (is_release and transfer.state is not State.ON_HOLD):
        return act
    if is_release:
        raise _number_used(transfer, used, "it would only be held again; void it, or leave it")
    if not act.is_void:
        raise CancelTooLate("the settlement contract has used the transfer's payment number")
    if not used.is_final or transfer.slot_id is not None:
        raise _number_used(
            transfer, used, "ask again when that, and the transfer's own batch, is final"
        )
    if used.pays(transfer):
        raise _number_used(
            transfer,
            used,
            "that paid what the transfer owes, so its money is not given back. Find out who sent"
            " it, and book what follows; while the transfer is on hold its money stays reserved",
        )
    reason = "its payment number is used for something else, so it can never be paid"
    return replace(
        act,
        happenings=[*act.happenings, Happening.CANCELED]
        if transfer.was_written
        else act.happenings,
        reason=reason,
        changes={**act.changes, "failure": {"code": "canceled", "message": reason}},
    )


def _number_used(transfer: Transfer, used: UsedNumber, remedy: str) -> NumberUsed:
    tx_hash = f"0x{used.tx_hash.hex()}"
    return NumberUsed(
        f"payment number {transfer.payment_number} is {used.kind} on chain, in block"
        f" {used.block_number} by {tx_hash}: {remedy}",
        tx_hash=tx_hash,
        block_number=used.block_number,
    )


async def visible(unit: Unit, principal: Principal, transfer_id: UUID) -> Transfer:
    """One transfer, for whoever may see it. Raises NotFound."""
    transfer = await unit.transfers.get(transfer_id)
    if transfer is not None and principal.role is Role.OPERATOR:
        return transfer
    if transfer is not None:
        customers = await unit.parties.customers([transfer.customer_id])
        if customers[transfer.customer_id].is_visible_to(principal):
            return transfer
    raise NotFound("there is no such transfer")


async def _locked(unit: Unit, principal: Principal, transfer_id: UUID) -> Transfer:
    """The transfer, locked, with the ledger locked before it (the common order)."""
    await visible(unit, principal, transfer_id)
    await unit.ledger.lock()
    (transfer,) = await unit.transfers.lock_many([transfer_id])
    return transfer
