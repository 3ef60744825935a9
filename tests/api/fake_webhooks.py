"""A fake of webhooks: any id is one endpoint or one delivery; secrets are all the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from adapters.machine import new_id
from node.core.errors import (
    WrongState,
)
from node.core.ids import Prefix, decode_id
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.webhooks import Attempt, Delivery, Endpoint, WebhookFigures
from node.core.webhooks import (
    DeliveryStatus,
    EndpointStatus,
    WebhookUrlRefused,
)
from node.services.idempotency import RenderError
from node.services.webhooks.endpoints import EndpointAsk, Redelivered, ShownEndpoint
from tests.api.fake_world import NOW, Memory

SECRET = "whsec_" + "A" * 43 + "="
AN_ENDPOINT = Endpoint(
    new_id(), None, "https://example.com/", (), EndpointStatus.ACTIVE, None, bytes(32), None, 7, NOW
)
A_DELIVERY = Delivery(
    new_id(), AN_ENDPOINT.id, None, "webhook.test", None, None, DeliveryStatus.PENDING, 1, NOW,
    500, None, None, NOW,
)  # fmt: skip


@dataclass
class FakeWebhooks:
    """Answers with what it was asked."""

    memory: Memory
    asked: list[EndpointAsk] = field(default_factory=list)

    async def create(
        self,
        ask: EndpointAsk,
        claim: Claim | None,
        render: Callable[[ShownEndpoint], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            if not ask.url.startswith("https://"):
                raise WebhookUrlRefused("the URL must begin with https://")
            self.asked.append(ask)
            made = replace(AN_ENDPOINT, id=new_id(), url=ask.url, events=ask.events)
            return render(ShownEndpoint(made, SECRET))

        return await self.memory.once(claim, work, render_error)

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
        found = await self.get(principal, endpoint_id)
        rotated = ShownEndpoint(replace(found, previous_until=NOW), SECRET)
        return await self.memory.once(claim, _given(render(rotated)), render_error)

    async def get(self, principal: Principal, endpoint_id: str, /) -> Endpoint:
        return replace(AN_ENDPOINT, id=decode_id(Prefix.WEBHOOK_ENDPOINT, endpoint_id))

    async def page(self, principal: Principal, query: ListQuery, /) -> Page[Endpoint]:
        query.position()
        return Page([AN_ENDPOINT], None)

    async def disable(self, principal: Principal, endpoint_id: str, /) -> Endpoint:
        found = await self.get(principal, endpoint_id)
        return replace(found, status=EndpointStatus.DISABLED, disabled_reason="by an operator")

    async def enable(self, principal: Principal, endpoint_id: str, /) -> Endpoint:
        return await self.get(principal, endpoint_id)

    async def test(
        self,
        principal: Principal,
        endpoint_id: str,
        claim: Claim | None,
        render: Callable[[Delivery], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        await self.get(principal, endpoint_id)
        return await self.memory.once(claim, _given(render(A_DELIVERY)), render_error)

    async def deliveries(
        self, principal: Principal, endpoint_id: str, query: ListQuery, /
    ) -> Page[Delivery]:
        await self.get(principal, endpoint_id)
        query.position()
        return Page([A_DELIVERY], None)

    async def delivery(
        self, principal: Principal, delivery_id: str, /
    ) -> tuple[Delivery, Sequence[Attempt]]:
        found = replace(A_DELIVERY, id=decode_id(Prefix.DELIVERY, delivery_id))
        return found, [Attempt(1, NOW, 500, None, 12, "no")]

    async def redeliver(
        self,
        principal: Principal,
        delivery_id: str,
        claim: Claim | None,
        render: Callable[[Delivery], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        found, _ = await self.delivery(principal, delivery_id)
        return await self.memory.once(claim, _given(render(found)), render_error)

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
        await self.get(principal, endpoint_id)

        async def work() -> Answer:
            if after == 0:
                raise WrongState("the endpoint is disabled; enable it first", state="disabled")
            return render(Redelivered(12, None))

        return await self.memory.once(claim, work, render_error)

    async def figures(self) -> WebhookFigures:
        return WebhookFigures(3, 2, 61, 1, 4)


def _given(answer: Answer) -> Callable[[], Awaitable[Answer]]:
    async def work() -> Answer:
        return answer

    return work
