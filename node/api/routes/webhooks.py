"""Webhooks: where events are sent to, and what came of it."""

from collections.abc import Awaitable, Callable
from typing import Final

from node.api import webhook_examples as examples
from node.api.bodies import EmptyBody
from node.api.operations import INSTITUTIONS, Call, Example, KeyRule, Operations, list_query
from node.api.views import PageView
from node.api.webhook_bodies import (
    DeliveryQuery,
    RedeliverBody,
    RotationBody,
    WebhookEndpointBody,
    WebhookEndpointQuery,
)
from node.api.webhook_views import (
    DeliveryDocument,
    DeliveryWithLogDocument,
    RedeliveredDocument,
    ShownEndpointDocument,
    WebhookEndpointDocument,
    delivery_document,
    delivery_with_log,
    redelivered_document,
    webhook_endpoint_document,
)
from node.core.errors import (
    NotFound,
    WrongState,
)
from node.core.ids import Prefix, encode_id
from node.core.parties import Principal, Scope
from node.core.ports.idempotency import Answer
from node.core.ports.webhooks import Endpoint
from node.core.webhooks import (
    TooManyWebhookEndpoints,
    WebhooksNotOffered,
    WebhookUrlRefused,
)
from node.services.webhooks.endpoints import EndpointAsk, SecretAlreadyShown, ShownEndpoint

operations: Final = Operations("Webhooks")

_ENDPOINT: Final = {"endpoint_id": examples.ENDPOINT_ID}
_DELIVERY: Final = {"delivery_id": examples.DELIVERY_ID}


@operations.post(
    "/v1/webhook-endpoints",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    body=WebhookEndpointBody,
    answer=ShownEndpointDocument,
    example=Example(examples.SHOWN, body=examples.ENDPOINT_BODY),
    refusals=(
        NotFound,
        SecretAlreadyShown,
        WebhookUrlRefused,
        TooManyWebhookEndpoints,
        WebhooksNotOffered,
    ),
)
async def create_webhook_endpoint(call: Call[WebhookEndpointBody, None]) -> Answer:
    """Have events sent to a URL.

    From now on every event of own objects is sent by POST, as Standard Webhooks 1.0.0 says: headers
    `webhook-id`, `webhook-timestamp` and `webhook-signature`, the body
    `{"type", "timestamp", "data"}` with the event as `GET /v1/events` shows it in `data`. It is
    signed with the `secret` (`v1`, HMAC-SHA256), which is shown this once, and by Ed25519 (`v1a`,
    `public_key`). Answer with 2xx within 10 seconds; else it is sent again after 5 s, 5 min,
    30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h, with the same `webhook-id`: the same event may come
    twice. Events of one object come in order until one has failed three times; `object_sequence`
    tells the order. 410 ends it. Redirections are not followed.
    """
    body = call.body
    return await call.services.webhooks.create(
        EndpointAsk(call.principal, body.partner_id, body.url, tuple(body.events)),
        call.claim,
        lambda made: call.answer(_shown(made), _location(made)),
        call.refusal,
    )


@operations.get(
    "/v1/webhook-endpoints",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    query=WebhookEndpointQuery,
    answer=PageView[WebhookEndpointDocument],
    example=Example({"data": [examples.ENDPOINT], "next_cursor": None}),
)
async def list_webhook_endpoints(call: Call[None, WebhookEndpointQuery]) -> Answer:
    """List webhook endpoints, newest first."""
    page = await call.services.webhooks.page(call.principal, list_query(call))
    views = [webhook_endpoint_document(each) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    "/v1/webhook-endpoints/{endpoint_id}",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    answer=WebhookEndpointDocument,
    example=Example(examples.ENDPOINT, path=_ENDPOINT),
    refusals=(NotFound,),
)
async def show_webhook_endpoint(call: Call[None, None]) -> Answer:
    """Show a webhook endpoint; never its secret."""
    found = await call.services.webhooks.get(call.principal, call.parameters["endpoint_id"])
    return call.answer(webhook_endpoint_document(found))


@operations.post(
    "/v1/webhook-endpoints/{endpoint_id}/rotate-secret",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    body=RotationBody,
    status=200,
    answer=ShownEndpointDocument,
    example=Example(examples.ROTATED, body={"keep_previous_s": 86_400}, path=_ENDPOINT),
    refusals=(NotFound, SecretAlreadyShown, WebhooksNotOffered),
)
async def rotate_webhook_secret(call: Call[RotationBody, None]) -> Answer:
    """Make a new secret and a new Ed25519 key.

    For `keep_previous_s` messages are signed with the ones before as well, so that receivers can
    change over. Those before them end at once.
    """
    return await call.services.webhooks.rotate(
        call.principal,
        call.parameters["endpoint_id"],
        call.body.keep_previous_s,
        call.claim,
        lambda made: call.answer(_shown(made)),
        call.refusal,
    )


@operations.post(
    "/v1/webhook-endpoints/{endpoint_id}/disable",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    key=KeyRule.UNUSED,
    body=EmptyBody,
    status=200,
    answer=WebhookEndpointDocument,
    example=Example(examples.DISABLED, body={}, path=_ENDPOINT),
    refusals=(NotFound,),
)
async def disable_webhook_endpoint(call: Call[EmptyBody, None]) -> Answer:
    """Send nothing more to it.

    What was pending is canceled. Changes nothing where it is disabled.
    """
    return await _changed(call, call.services.webhooks.disable)


@operations.post(
    "/v1/webhook-endpoints/{endpoint_id}/enable",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    key=KeyRule.UNUSED,
    body=EmptyBody,
    status=200,
    answer=WebhookEndpointDocument,
    example=Example(examples.ENDPOINT, body={}, path=_ENDPOINT),
    refusals=(NotFound, WebhookUrlRefused, TooManyWebhookEndpoints),
)
async def enable_webhook_endpoint(call: Call[EmptyBody, None]) -> Answer:
    """Send the events from now on to it.

    What happened meanwhile is sent by `redeliver-since`. Changes nothing where it is active.
    """
    return await _changed(call, call.services.webhooks.enable)


@operations.post(
    "/v1/webhook-endpoints/{endpoint_id}/test",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    body=EmptyBody,
    answer=DeliveryDocument,
    example=Example(examples.TEST, body={}, path=_ENDPOINT),
    refusals=(NotFound, WrongState),
)
async def test_webhook_endpoint(call: Call[EmptyBody, None]) -> Answer:
    """Send a `webhook.test`.

    The answer is a delivery; look at it to see what came of it.
    """
    return await call.services.webhooks.test(
        call.principal,
        call.parameters["endpoint_id"],
        call.claim,
        lambda made: call.answer(
            delivery_document(made),
            f"/v1/webhook-deliveries/{encode_id(Prefix.DELIVERY, made.id)}",
        ),
        call.refusal,
    )


@operations.get(
    "/v1/webhook-endpoints/{endpoint_id}/deliveries",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    query=DeliveryQuery,
    answer=PageView[DeliveryDocument],
    example=Example({"data": [examples.DELIVERY], "next_cursor": None}, path=_ENDPOINT),
    refusals=(NotFound,),
)
async def list_webhook_deliveries(call: Call[None, DeliveryQuery]) -> Answer:
    """List what was and is to be sent to an endpoint, newest first."""
    page = await call.services.webhooks.deliveries(
        call.principal, call.parameters["endpoint_id"], list_query(call)
    )
    views = [delivery_document(each) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    "/v1/webhook-deliveries/{delivery_id}",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    answer=DeliveryWithLogDocument,
    example=Example({**examples.DELIVERY, "log": [examples.ATTEMPT]}, path=_DELIVERY),
    refusals=(NotFound,),
)
async def show_webhook_delivery(call: Call[None, None]) -> Answer:
    """Show a delivery with the log of its attempts."""
    found, log = await call.services.webhooks.delivery(
        call.principal, call.parameters["delivery_id"]
    )
    return call.answer(delivery_with_log(found, log))


@operations.post(
    "/v1/webhook-deliveries/{delivery_id}/redeliver",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    body=EmptyBody,
    status=200,
    answer=DeliveryDocument,
    example=Example(examples.PENDING, body={}, path=_DELIVERY),
    refusals=(NotFound, WrongState),
)
async def redeliver_webhook(call: Call[EmptyBody, None]) -> Answer:
    """Send a delivery again, with the same `webhook-id`, whatever came of it before."""
    return await call.services.webhooks.redeliver(
        call.principal,
        call.parameters["delivery_id"],
        call.claim,
        lambda found: call.answer(delivery_document(found)),
        call.refusal,
    )


@operations.post(
    "/v1/webhook-endpoints/{endpoint_id}/redeliver-since",
    who=INSTITUTIONS,
    scope=Scope.ADMIN,
    body=RedeliverBody,
    status=200,
    answer=RedeliveredDocument,
    example=Example({"count": 12, "next_after": None}, body={"after": 45}, path=_ENDPOINT),
    refusals=(NotFound, WrongState),
)
async def redeliver_webhooks_since(call: Call[RedeliverBody, None]) -> Answer:
    """Send the events after a sequence, those that were sent and those that were missed.

    At most a thousand events are looked at: ask again with `next_after` until it is null.
    """
    return await call.services.webhooks.redeliver_since(
        call.principal,
        call.parameters["endpoint_id"],
        call.body.after,
        call.claim,
        lambda done: call.answer(redelivered_document(done)),
        call.refusal,
    )


async def _changed(
    call: Call[EmptyBody, None], change: Callable[[Principal, str], Awaitable[Endpoint]]
) -> Answer:
    changed = await change(call.principal, call.parameters["endpoint_id"])
    return call.answer(webhook_endpoint_document(changed))


def _shown(made: ShownEndpoint) -> ShownEndpointDocument:
    return {**webhook_endpoint_document(made.endpoint), "secret": made.secret}


def _location(made: ShownEndpoint) -> str:
    return f"/v1/webhook-endpoints/{encode_id(Prefix.WEBHOOK_ENDPOINT, made.endpoint.id)}"
