"""What reconciliation found on every account of the chain last, and before, for operators.

It reads what was stored; comparing is `node.services.reconciliation.reconciling`.
"""

from collections.abc import Sequence
from typing import Final

from node.core.paging import ListQuery, Page
from node.core.ports import UnitOfWork
from node.core.ports.comparisons import AccountComparison, ComparisonPoint

_ROLES: Final = ("contract", "treasury")


class ComparisonService:
    """Shows accounts of the chain as ledger, mirror and chain had them."""

    def __init__(self, units: UnitOfWork, chain_id: int, token: str) -> None:
        self._units = units
        self._chain_id = chain_id
        self._token = token

    async def accounts(self) -> Sequence[AccountComparison]:
        """Every account that was compared, by role and address: the contract first, its token."""
        async with self._units() as unit:
            found = await unit.comparisons.comparisons(self._chain_id)
        return sorted(found, key=self._place)

    async def page(self, query: ListQuery) -> Page[AccountComparison]:
        """The same in pages, in the order they were first compared: deposit addresses last."""
        async with self._units() as unit:
            return await unit.comparisons.comparison_page(self._chain_id, query)

    async def course(self, points_max: int) -> Sequence[ComparisonPoint]:
        """Earlier comparisons, oldest first, the newest `points_max` blocks of them."""
        async with self._units() as unit:
            return await unit.comparisons.course(self._chain_id, points_max)

    def _place(self, each: AccountComparison) -> tuple[int, str, bytes, bool, str]:
        first = _ROLES.index(each.role) if each.role in _ROLES else len(_ROLES)
        return first, each.role, each.address, each.asset != self._token, each.asset
