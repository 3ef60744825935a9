"""What can be asked of an accepted transfer: look, cancel, void, follow its timeline."""

from collections.abc import Callable, Sequence
from uuid import UUID

from node.core.errors import CancelTooLate, NotFound
from node.core.ids import Prefix, decode_id
from node.core.paging import ListQuery, Page
from node.core.parties import Principal, Role
from node.core.ports import Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import EventRow, Transfer
from node.core.transfers import Happening, State
from node.services.acceptance import Acceptance, Submission
from node.services.idempotency import RenderError, once
from node.services.transfer_moves import apply

Render = Callable[[Transfer], Answer]


class TransferService:
    """Transfers as their owners and the operator use them."""

    def __init__(self, units: UnitOfWork, acceptance: Acceptance) -> None:
        self._units = units
        self._acceptance = acceptance

    async def create(self, submission: Submission) -> Answer:
        """Accept or refuse; see `node.services.acceptance`."""
        return await self._acceptance.create(submission)

    async def get(self, principal: Principal, transfer_id: str) -> Transfer:
        """One transfer.

        Raises:
            NotFound: It does not exist for this principal.
        """
        async with self._units() as unit:
            return await _visible(unit, principal, decode_id(Prefix.TRANSFER, transfer_id))

    async def list(self, principal: Principal, query: ListQuery) -> Page[Transfer]:
        """Own transfers, newest first; filters as in `TransferRepository.list`."""
        async with self._units() as unit:
            return await unit.transfers.list(principal, query)

    async def timeline(self, principal: Principal, transfer_id: str) -> Sequence[EventRow]:
        """Everything that happened to a transfer, oldest first."""
        async with self._units() as unit:
            transfer = await _visible(unit, principal, decode_id(Prefix.TRANSFER, transfer_id))
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
        """

        async def work(unit: Unit) -> Answer:
            transfer = await _locked(unit, principal, decode_id(Prefix.TRANSFER, transfer_id))
            if transfer.state is State.CANCELED:
                return render(transfer)
            if not transfer.is_cancellable:
                raise CancelTooLate(
                    f"the transfer is {transfer.state} and can no longer be canceled; an operator"
                    " may ask for a void"
                )
            events = await apply(
                unit,
                [transfer],
                Happening.CANCELED,
                changes=lambda _: {
                    "failure": {"code": "canceled", "message": "canceled before it was sent"}
                },
            )
            await unit.events.append(events)
            return render(await _visible(unit, principal, transfer.id))

        return await once(self._units, claim, work, render_error)

    async def void(
        self,
        principal: Principal,
        transfer_id: str,
        claim: Claim,
        render: Render,
        render_error: RenderError,
    ) -> Answer:
        """Ask for a void on chain; what becomes final decides. One never written ends at once.

        Raises:
            WrongState: The transfer has ended.
        """

        async def work(unit: Unit) -> Answer:
            transfer = await _locked(unit, principal, decode_id(Prefix.TRANSFER, transfer_id))
            if transfer.state is State.VOIDING:
                return render(transfer)
            if transfer.is_cancellable:
                happening, message = Happening.CANCELED, "canceled by the operator"
            else:
                happening, message = Happening.VOID_ASKED, "a void was asked for by the operator"
            events = await apply(
                unit,
                [transfer],
                happening,
                changes=lambda _: {
                    "void_outcome": "canceled",
                    "failure": {"code": "canceled", "message": message},
                },
                detail=lambda _: {"reason": message},
            )
            await unit.events.append(events)
            return render(await _visible(unit, principal, transfer.id))

        return await once(self._units, claim, work, render_error)


async def _visible(unit: Unit, principal: Principal, transfer_id: UUID) -> Transfer:
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
    await _visible(unit, principal, transfer_id)
    await unit.ledger.lock()
    (transfer,) = await unit.transfers.lock_many([transfer_id])
    return transfer
