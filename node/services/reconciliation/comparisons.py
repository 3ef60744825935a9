"""What reconciliation found on every account of the chain last, and before, for operators.

It reads what was stored; comparing is `node.services.reconciliation.reconciling`.
"""

from collections.abc import Sequence

from node.core.errors import NotFound
from node.core.paging import ListQuery, Page
from node.core.ports import UnitOfWork
from node.core.ports.comparisons import (
    AccountComparison,
    ComparisonPoint,
    ComparisonSummary,
    Holder,
)


class ComparisonService:
    """Shows accounts of the chain as ledger, mirror and chain had them.

    There may be any number of them, so they are read in pages.
    """

    def __init__(self, units: UnitOfWork, chain_id: int) -> None:
        self._units = units
        self._chain_id = chain_id

    async def summary(self) -> ComparisonSummary:
        """How many there are, and how many differ."""
        async with self._units() as unit:
            return await unit.comparisons.comparison_summary(self._chain_id)

    async def page(self, query: ListQuery) -> Page[AccountComparison]:
        """Every account, in the order they were first compared: deposit addresses last."""
        async with self._units() as unit:
            return await unit.comparisons.comparison_page(self._chain_id, query)

    async def by_verdict(
        self, query: ListQuery, *, with_empty: bool = True
    ) -> Page[AccountComparison]:
        """The same, those that differ first; without `with_empty` none that hold nothing."""
        async with self._units() as unit:
            return await unit.comparisons.comparisons_by_verdict(
                self._chain_id, query, with_empty=with_empty
            )

    async def account(self, holder: Holder) -> AccountComparison:
        """One account. Raises NotFound."""
        async with self._units() as unit:
            found = await unit.comparisons.last_of(self._chain_id, [holder])
        if holder not in found:
            raise NotFound("no account of this address and asset was compared yet")
        return found[holder]

    async def course(self, holder: Holder, points_max: int) -> Sequence[ComparisonPoint]:
        """Earlier comparisons of one account, oldest first, the newest `points_max` of them."""
        async with self._units() as unit:
            return await unit.comparisons.course(self._chain_id, holder, points_max)
