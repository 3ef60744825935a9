"""What pages call besides what routes call. See `node.api.services`."""

from collections.abc import Sequence
from typing import Protocol

from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports.comparisons import AccountComparison, ComparisonPoint
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

    async def accounts(self) -> Sequence[AccountComparison]:
        """The last comparison of every account."""
        ...

    async def page(self, query: ListQuery, /) -> Page[AccountComparison]:
        """The same in pages."""
        ...

    async def course(self, points_max: int, /) -> Sequence[ComparisonPoint]:
        """Earlier ones."""
        ...
