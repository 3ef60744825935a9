"""What the routes of bulk transfers call. See `node.api.services` for why this is a Protocol."""

from collections.abc import Callable, Sequence
from typing import Protocol

from node.core.bulk import Bulk, BulkRow, Progress, RowStatus
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports.idempotency import Answer, Claim
from node.services.bulk.bulk_transfers import BulkOrder
from node.services.idempotency import RenderError


class BulkTransfers(Protocol):
    """See `node.services.bulk.bulk_transfers.BulkService`."""

    async def create(
        self,
        order: BulkOrder,
        claim: Claim,
        render: Callable[[Progress], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Take a file in."""
        ...

    async def get(self, principal: Principal, bulk_id: str, /) -> Progress:
        """One bulk transfer."""
        ...

    async def list(self, principal: Principal, query: ListQuery, /) -> Page[Bulk]:
        """Own bulk transfers."""
        ...

    async def rows(
        self,
        principal: Principal,
        bulk_id: str,
        /,
        *,
        status: RowStatus | None,
        after_line: int,
        limit: int,
    ) -> Sequence[BulkRow]:
        """Rows after a line."""
        ...

    async def report(
        self, principal: Principal, bulk_id: str, /
    ) -> tuple[Progress, Sequence[BulkRow]]:
        """All of one."""
        ...
