"""Payouts that partners were asked to make, and what is asked about them later, in the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from node.core.payout_matching import PaymentLog
from node.core.payout_orders import (
    ChangeKind,
    ChangeState,
    Conclusion,
    OrderState,
    PartnerPayout,
    PartnerState,
    Payee,
    PayoutOrder,
)
from node.core.payouts import RefundPolicy
from node.core.ports.deposits import Released
from node.core.units import Address, TxHash


@dataclass(frozen=True, slots=True)
class DueOrder:
    """A payout that its partner is to be asked about.

    Attributes:
        asks: Answers in a row that changed nothing.
    """

    order: PayoutOrder
    transfer_id: UUID
    asks: int


@dataclass(frozen=True, slots=True)
class Asking:
    """What is to be registered for a quote, or was.

    Attributes:
        beneficiary_hash: Whom it is for: see `node.core.payout_orders.beneficiary_hash`.
    """

    beneficiary_hash: bytes
    purpose: str | None
    refund_policy: RefundPolicy


@dataclass(frozen=True, slots=True)
class PayoutChange:
    """Something that a sender asked of a partner about a payout.

    Attributes:
        number: From 1 for each payout.
        payee: Of a correction.
        asked_by: Principal, and `asked_key` its Idempotency-Key: who repeats it means this one.
        reason: The partner's code, where it refused.
        asks: Questions in a row that got no answer.
    """

    quote_id: UUID
    number: int
    kind: ChangeKind
    payee: Payee | None
    asked_by: str
    asked_key: str
    state: ChangeState = ChangeState.ASKING
    reason: str | None = None
    asks: int = 0

    @property
    def key(self) -> str:
        """The idempotency key under which the partner is asked."""
        return f"{self.quote_id}-{self.kind}-{self.number}"


class PayoutOrderRepository(Protocol):
    """Registrations, and what partners told. Who moves transfers locks those first."""

    async def order(self, quote_id: UUID) -> PayoutOrder | None:
        """The payout of a quote, if one was asked for."""
        ...

    async def orders(self, quote_ids: Sequence[UUID]) -> Mapping[UUID, PayoutOrder]:
        """By quote; those without one are left out."""
        ...

    async def lock(self, quote_id: UUID) -> PayoutOrder | None:
        """The payout of a quote, held until the end of the transaction."""
        ...

    async def begin(self, quote_id: UUID, partner_id: UUID, asking: Asking) -> PayoutOrder:
        """The payout of a quote, held until the end of the transaction; a new one if there is none.

        One that its partner refused begins anew, for this beneficiary and under another key.
        """
        ...

    async def register(self, quote_id: UUID, told: PartnerPayout) -> bool:
        """Keep what the partner answered to a registration that is under way.

        False, and nothing is kept: there is none, or the partner named another payout so.
        """
        ...

    async def end(self, quote_id: UUID, state: OrderState) -> None:
        """Refused, lapsed, disputed or closed."""
        ...

    async def conclude(self, quote_id: UUID, conclusion: Conclusion) -> None:
        """Keep that two operators ended it, and how; once, of one that is locked."""
        ...

    async def due(self, limit: int, lease: timedelta) -> Sequence[DueOrder]:
        """Payouts to ask about now; nobody else gets them for as long as `lease`."""
        ...

    async def told(
        self, quote_id: UUID, state: PartnerState, asks: int, again_after: timedelta
    ) -> None:
        """Keep what the partner told, and when it is asked again."""
        ...

    async def refunded(self, quote_id: UUID, tx_hash: TxHash, number: int, minor: int) -> bool:
        """Keep by which payment the partner says that it sent the money back.

        False, and nothing is kept: the same payment gave another transfer's money back. Its number
        is of one contract of the partner, so it is told with its transaction.
        """
        ...

    async def wake(self, partner_id: UUID, payout_id: str) -> bool:
        """Ask about a payout as soon as possible; False: there is no such payout to ask about."""
        ...

    async def reopen(self, transfer_ids: Sequence[UUID]) -> None:
        """Ask again about refunded transfers whose refund a reorg past finality took back."""
        ...

    async def lapse(self, limit: int) -> int:
        """End registrations whose time is over and whose quote no transfer consumed."""
        ...

    async def refund_logs(
        self, chain_id: int, tx_hash: TxHash, from_address: Address, minor: int
    ) -> Sequence[PaymentLog]:
        """Final payments of so much by a contract, in a transaction, that nobody has yet."""
        ...

    async def refund_deposit(self, chain_id: int, payment: PaymentLog) -> Released | None:
        """The held deposit of such a payment, locked; None: somebody has it meanwhile."""
        ...

    async def promised_at_partners(self, asset: str) -> int:
        """What partners have been paid whose promise is still open, minor units of the token."""
        ...

    # ------------------------------------------------------------------------------- changes

    async def newest_change(self, quote_id: UUID) -> PayoutChange | None:
        """What was asked last about a payout."""
        ...

    async def begin_change(self, change: PayoutChange) -> None:
        """Keep what is to be asked."""
        ...

    async def end_change(
        self, change: PayoutChange, state: ChangeState, reason: str | None = None
    ) -> bool:
        """Keep the partner's answer; False, and nothing is kept: it was answered before."""
        ...

    async def ask_change_later(self, change: PayoutChange, again_after: timedelta) -> None:
        """Keep that no answer came."""
        ...

    async def due_changes(self, limit: int, lease: timedelta) -> Sequence[PayoutChange]:
        """What is to be asked again now; nobody else gets it for as long as `lease`."""
        ...

    async def corrected(self, quote_id: UUID) -> Payee | None:
        """Who is paid by the newest correction that the partner has made; None: none was made."""
        ...
