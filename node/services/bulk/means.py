"""What payers can pay and may sell, row after row: how far it is worth asking a partner.

Acceptance decides for good, under the ledger's lock; nothing is locked or promised here.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self
from uuid import UUID

from node.core.errors import LimitExceeded
from node.core.ledger import customer_account
from node.core.parties import Customer
from node.core.ports import Unit
from node.core.units import Money
from node.services.partners.selling import DailyLimits


@dataclass(slots=True)
class Means:
    """Of the payers of a batch.

    Attributes:
        available: Minor units by account; `left` after the rows so far.
        daily: What their partners may sell today; `left_today` after the rows so far.
    """

    customers: Mapping[UUID, Customer]
    available: Mapping[str, int]
    left: dict[str, int]
    daily: DailyLimits
    left_today: DailyLimits

    @classmethod
    async def read(cls, unit: Unit, sales: Sequence[tuple[UUID, Money]]) -> Self:
        """As they are now, of the customers and assets of these sales."""
        customers = await unit.parties.customers([customer_id for customer_id, _ in sales])
        paths = {customer_account(customer_id, sell.asset.code) for customer_id, sell in sales}
        balances = await unit.ledger.balances(sorted(paths)) if paths else {}
        available = {path: balances[path].available for path in paths}
        daily = await DailyLimits.read(
            unit,
            [
                (customers[customer_id].partner_id, sell.asset.code)
                for customer_id, sell in sales
                if customer_id in customers
            ],
        )
        return cls(
            customers, available, dict(available), daily, replace(daily, sold=dict(daily.sold))
        )

    def covers(self, customer_id: UUID, sell: Money) -> bool:
        """Whether a row is covered after those before it; one that is not even alone, is refused.

        It counts from now on.
        """
        customer = self.customers.get(customer_id)
        path = customer_account(customer_id, sell.asset.code)
        if customer is None or self.available[path] < sell.minor:
            return True  # refused whatever comes before it
        try:
            self.daily.check(customer, sell)
        except LimitExceeded:
            return True
        if self.left[path] < sell.minor:
            return False
        with suppress(LimitExceeded):
            self.left_today.check(customer, sell)
            self.left[path] -= sell.minor
            self.left_today.take(customer, sell)
            return True
        return False
