"""What the routes of the mirror call. See `node.api.services` for why this is a Protocol."""

from collections.abc import Callable
from typing import Protocol

from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.reorgs import Reorg
from node.core.units import BlockHash
from node.services.idempotency import RenderError
from node.services.mirror.reorgs import MirrorLook


class MirrorDesk(Protocol):
    """See `node.services.mirror.reorgs.ReorgService`."""

    async def look(self) -> MirrorLook:
        """Where the mirror stands."""
        ...

    async def reorgs(self, query: ListQuery, /) -> Page[Reorg]:
        """Reorgs past finality."""
        ...

    async def reorg(self, reorg_id: str, /) -> Reorg:
        """One of them."""
        ...

    async def propose(
        self,
        principal: Principal,
        block_hash: BlockHash,
        /,
        *,
        reason: str | None,
        claim: Claim | None,
        render: Callable[[Reorg], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Propose to accept one."""
        ...

    async def accept(
        self,
        principal: Principal,
        reorg_id: str,
        /,
        *,
        claim: Claim | None,
        render: Callable[[Reorg], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Accept what another proposed."""
        ...
