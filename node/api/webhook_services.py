"""What the routes of webhooks call. See `node.api.services` for why this is a Protocol."""

from collections.abc import Callable, Sequence
from typing import Protocol

from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.webhooks import Attempt, Delivery, Endpoint, WebhookFigures
from node.services.idempotency import RenderError
from node.services.webhooks.endpoints import EndpointAsk, Redelivered, ShownEndpoint


class Webhooks(Protocol):
    """See `node.services.webhooks.endpoints.WebhookService`."""

    async def create(
        self,
        ask: EndpointAsk,
        claim: Claim | None,
        render: Callable[[ShownEndpoint], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """A new endpoint."""
        ...

    async def rotate(
        self,
        principal: Principal,
        endpoint_id: str,
        keep_previous_s: int,
        claim: Claim | None,
        render: Callable[[ShownEndpoint], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """New keys."""
        ...

    async def get(self, principal: Principal, endpoint_id: str, /) -> Endpoint:
        """One endpoint."""
        ...

    async def page(self, principal: Principal, query: ListQuery, /) -> Page[Endpoint]:
        """Own endpoints."""
        ...

    async def disable(self, principal: Principal, endpoint_id: str, /) -> Endpoint:
        """Send nothing more."""
        ...

    async def enable(self, principal: Principal, endpoint_id: str, /) -> Endpoint:
        """Send the events from now on."""
        ...

    async def test(
        self,
        principal: Principal,
        endpoint_id: str,
        claim: Claim | None,
        render: Callable[[Delivery], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Send a test."""
        ...

    async def deliveries(
        self, principal: Principal, endpoint_id: str, query: ListQuery, /
    ) -> Page[Delivery]:
        """Deliveries to an endpoint."""
        ...

    async def delivery(
        self, principal: Principal, delivery_id: str, /
    ) -> tuple[Delivery, Sequence[Attempt]]:
        """One delivery with its log."""
        ...

    async def redeliver(
        self,
        principal: Principal,
        delivery_id: str,
        claim: Claim | None,
        render: Callable[[Delivery], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Send it again."""
        ...

    async def redeliver_since(
        self,
        principal: Principal,
        endpoint_id: str,
        after: int,
        claim: Claim | None,
        render: Callable[[Redelivered], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Send the events after a sequence again."""
        ...

    async def figures(self) -> WebhookFigures:
        """Of all endpoints together."""
        ...
