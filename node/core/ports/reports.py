"""Reports about transfers, as the store has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from node.core.ledger import TransferAmounts
from node.core.parties import Principal
from node.core.transfers import State
from node.core.units import Address, TxHash


@dataclass(frozen=True, slots=True)
class CostLine:
    """What a transfer cost, and at which rate: the recorded integers.

    Attributes:
        mid_rate: Buy units per sell unit, before the spread.
    """

    transfer_id: UUID
    customer_id: UUID
    client_reference: str | None
    state: State
    amounts: TransferAmounts
    mid_rate: Decimal
    spread_bps: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PayoutLine:
    """A payout that is final, and where it is on the chain.

    Attributes:
        completed_at: When it became final, or the partner confirmed it.
        batch_id: The node's batch that paid it.
    """

    transfer_id: UUID
    customer_id: UUID
    client_reference: str | None
    state: State
    completed_at: datetime
    chain_id: int
    contract: Address
    payment_number: int
    tx_hash: TxHash | None
    block_number: int | None
    batch_id: UUID | None
    beneficiary: Address
    asset: str
    amount: int


class ReportRepository(Protocol):
    """Transfers that exist for a principal, in the order of their times; ends are not included."""

    async def costs(
        self, principal: Principal, start: datetime, end: datetime, limit: int
    ) -> Sequence[CostLine]:
        """Transfers that were accepted in a period, at most so many."""
        ...

    async def payouts(
        self, principal: Principal, start: datetime, end: datetime, limit: int
    ) -> Sequence[PayoutLine]:
        """Transfers that were completed in a period, at most so many."""
        ...
