"""What the routes of settlement call: what operators see, and what they may do.

See `node.api.services` for the others, and for why these are Protocols.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports.adoption import Adoption
from node.core.ports.chain import ProviderHealth
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.settlement import Pause
from node.core.ports.settlement_views import BatchRow, BatchView, LaneSpending
from node.core.settlement import PauseReason
from node.services.idempotency import RenderError
from node.services.settlement.figures import SettlementFigures
from node.services.settlement.overview import Period, SettlementLook


class Overview(Protocol):
    """See `node.services.settlement.overview.SettlementOverview`."""

    async def look(self) -> SettlementLook:
        """Everything in one look."""
        ...

    async def lanes(self) -> tuple[SettlementLook, Sequence[LaneSpending]]:
        """Every lane, with what it has spent."""
        ...

    async def batches(self, query: ListQuery, /) -> Page[BatchRow]:
        """Batches."""
        ...

    async def batch(self, batch_id: str, /) -> BatchView:
        """One batch."""
        ...

    async def spending(self, since: datetime | None, before: datetime | None, /) -> Period:
        """What a period's transactions came to."""
        ...


class Meter(Protocol):
    """See `node.services.settlement.figures.SettlementMeter`."""

    async def figures(self) -> SettlementFigures:
        """What is measured."""
        ...

    def providers(self) -> Sequence[ProviderHealth]:
        """The chain's providers as this process sees them."""
        ...


class AdoptionDesk(Protocol):
    """See `node.services.settlement.adoption.AdoptionService`."""

    async def look(self) -> Adoption:
        """What would be adopted."""
        ...

    async def adopt(
        self,
        principal: Principal,
        /,
        *,
        claim: Claim | None,
        render: Callable[[Adoption], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Adopt it."""
        ...


class Settlement(Protocol):
    """See `node.services.settlement.operations.SettlementOperations`."""

    async def pauses(self) -> Sequence[Pause]:
        """Pauses in force."""
        ...

    async def pause(
        self,
        principal: Principal,
        /,
        *,
        hard: bool,
        note: str | None,
        claim: Claim | None,
        render: Callable[[Sequence[Pause]], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Stop new work."""
        ...

    async def resume(
        self,
        principal: Principal,
        reason: PauseReason,
        /,
        *,
        claim: Claim | None,
        render: Callable[[Sequence[Pause]], Answer],
        render_error: RenderError,
    ) -> Answer:
        """End a pause."""
        ...
