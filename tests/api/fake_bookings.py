"""A fake of what books by hand: numbers in order, no rules of money."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from node.core.bookings import BookingKind
from node.core.errors import NodeError, NotFound
from node.core.ledger import Entry, LedgerTransaction
from node.core.ports.history import TransactionRow
from node.core.ports.idempotency import Answer, Claim
from node.services.idempotency import RenderError
from node.services.ledger.bookings import BookingRequest
from tests.api.fake_world import NOW, OPERATOR, Memory

A_BOOKING = BookingRequest(
    OPERATOR,
    BookingKind.CAPITAL,
    "the owner paid in",
    [Entry("bank/sandbox_bank/EUR", "capital/EUR", "EUR", 5_000_000)],
)


@dataclass
class FakeBookings:
    """Books whatever it is told to; number 12 is there from the start."""

    memory: Memory
    fails_with: NodeError | None = None
    booked: dict[str, TransactionRow] = field(
        default_factory=lambda: {"12": _booked(12, A_BOOKING)}
    )

    async def create(
        self,
        request: BookingRequest,
        claim: Claim,
        render: Callable[[TransactionRow], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            if self.fails_with is not None:
                raise self.fails_with
            made = _booked(12 + len(self.booked), request)
            self.booked[str(made.sequence)] = made
            return render(made)

        return await self.memory.once(claim, work, render_error)

    async def get(self, sequence: str, /) -> TransactionRow:
        if sequence not in self.booked:
            raise NotFound("there is no such ledger transaction")
        return self.booked[sequence]


def _booked(sequence: int, request: BookingRequest) -> TransactionRow:
    detail = {"reason": request.reason, "made_by": request.principal.key}
    transaction = LedgerTransaction(
        f"booking:{sequence}", request.kind, request.entries, detail=detail
    )
    return TransactionRow(sequence, transaction, None, NOW)
