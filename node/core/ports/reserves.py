"""What a proof of reserves asks of the store: who is owed what, and what addresses should hold."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from node.core.units import Address


@dataclass(frozen=True, slots=True)
class Debt:
    """What the node owes on one account, as law 8 counts it.

    Attributes:
        kind: First word of the account's path.
        account: Id of a customer or partner (`cus_…`, `par_…`); of others the path.
        minor: Posted balance; of payouts promised on chain (`in_flight`) the pending credits.
    """

    kind: str
    account: str
    minor: int


@dataclass(frozen=True, slots=True)
class Holder:
    """An address of the node.

    Attributes:
        minor: Posted balance of its ledger account.
        is_deposit: Whether customers or partners are paid there.
    """

    address: Address
    minor: int
    is_deposit: bool


class ReservesRepository(Protocol):
    """Debts and holders of one asset. To be read in one snapshot."""

    def debts(self, asset: str) -> AsyncIterator[Sequence[Debt]]:
        """Every account of customers, partners and others who are owed money, in pages."""
        ...

    async def holders(self, chain_id: int, asset: str) -> Sequence[Holder]:
        """Every address that mirror or ledger know to have held the asset, by address."""
        ...
