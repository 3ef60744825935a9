"""What pages call besides what routes call. See `node.api.services`."""

from collections.abc import Sequence
from typing import Protocol

from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports.comparisons import (
    AccountComparison,
    ComparisonPoint,
    ComparisonSummary,
    Holder,
)
from node.services.mirror.blocks import BlockLook
from node.services.sessions import NewSession


class Sessions(Protocol):
    """See `node.services.sessions.SessionService`."""

    async def sign_in(self, key: str, /) -> NewSession:
        """Begin a session."""
        ...

    async def principal(self, token: str, /) -> Principal | None:
        """Whose session it is."""
        ...

    async def sign_out(self, token: str, /) -> None:
        """End it."""
        ...


class Blocks(Protocol):
    """See `node.services.mirror.blocks.BlockService`."""

    async def look(self, number: str, /) -> BlockLook:
        """One block."""
        ...


class Comparisons(Protocol):
    """See `node.services.reconciliation.comparisons.ComparisonService`."""

    async def summary(self) -> ComparisonSummary:
        """How many there are, and how many differ."""
        ...

    async def page(self, query: ListQuery, /) -> Page[AccountComparison]:
        """Every account, in the order they were first compared."""
        ...

    async def by_verdict(
        self, query: ListQuery, /, *, with_empty: bool = True
    ) -> Page[AccountComparison]:
        """The same, those that differ first."""
        ...

    async def account(self, holder: Holder, /) -> AccountComparison:
        """One account."""
        ...

    async def course(self, holder: Holder, points_max: int, /) -> Sequence[ComparisonPoint]:
        """Earlier comparisons of it."""
        ...
