"""What the routes of the treasury call. See `node.api.services` for why this is a Protocol."""

from collections.abc import Callable
from typing import Protocol

from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.movements import Movement
from node.services.idempotency import RenderError
from node.services.settlement.treasury_operations import MovementRequest, RuleLimits, RuleRequest


class Treasury(Protocol):
    """See `node.services.settlement.treasury_operations.TreasuryOperations`."""

    async def request_movement(
        self,
        request: MovementRequest,
        claim: Claim | None,
        render: Callable[[Movement], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Ask for a treasury movement."""
        ...

    async def movement(self, movement_id: str, /) -> Movement:
        """One movement."""
        ...

    async def movements(self, query: ListQuery, /) -> Page[Movement]:
        """Movements."""
        ...

    async def add_rule(
        self,
        request: RuleRequest,
        claim: Claim | None,
        render: Callable[[RuleLimits], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Top up below a mark."""
        ...

    async def rule(self, rule_id: str, /) -> RuleLimits:
        """One rule."""
        ...

    async def rules(self, query: ListQuery, /) -> Page[RuleLimits]:
        """Rules."""
        ...

    async def end_rule(
        self,
        principal: Principal,
        rule_id: str,
        /,
        *,
        claim: Claim | None,
        render: Callable[[RuleLimits], Answer],
        render_error: RenderError,
    ) -> Answer:
        """End a rule."""
        ...
