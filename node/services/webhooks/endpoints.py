"""Webhook endpoints: where events are sent to, with which secrets, and what was sent.

Secrets are shown once, when they are made, and stored encrypted. Not here: sending (`delivering`).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from node.core.errors import (
    Conflict,
    NotFound,
    WrongState,
)
from node.core.ids import Prefix, decode_id, encode_id
from node.core.paging import ListQuery, Page
from node.core.parties import Principal, Role
from node.core.ports import Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.webhooks import (
    Attempt,
    Delivery,
    Endpoint,
    KeyKeeper,
    NewEndpoint,
    WebhookFigures,
    WebhookSender,
)
from node.core.webhooks import (
    SECRET_BYTES,
    DeliveryStatus,
    EndpointStatus,
    Keys,
    TooManyWebhookEndpoints,
    WebhooksNotOffered,
    secret_text,
)
from node.services.idempotency import RenderError, once

TEST: Final = "webhook.test"
"""Type of what `test` sends."""

ACTIVE_MAX: Final = 16
REDELIVERED_MAX: Final = 1000
"""Events that one request sends again."""

KEEP_PREVIOUS_S: Final = 24 * 3600
"""How long the keys before a rotation sign as well, unless asked for."""

KEEP_PREVIOUS_MAX_S: Final = 7 * 24 * 3600


class SecretAlreadyShown(Conflict):
    """The request was carried out before; its secret is not known (`webhook_endpoint_id`)."""

    code = "secret_already_shown"
    title = "The secret was shown before"


@dataclass(frozen=True, slots=True)
class EndpointAsk:
    """An endpoint to be made.

    Attributes:
        partner_id: Whose, as an operator says it; None: the principal's own.
        events: Types, or their beginnings; none: all.
    """

    principal: Principal
    partner_id: str | None
    url: str
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShownEndpoint:
    """An endpoint with the secret that was just made for it, `whsec_…`."""

    endpoint: Endpoint
    secret: str


@dataclass(frozen=True, slots=True)
class Redelivered:
    """What a request to send again has come to.

    Attributes:
        count: Events that are sent.
        next_after: Where to go on; None: that was all.
    """

    count: int
    next_after: int | None


@dataclass(frozen=True, slots=True)
class Making:
    """What keys and ids are made with.

    Attributes:
        keeper: None: the node has no key to keep secrets with.
        new_bytes: So many random bytes.
    """

    keeper: KeyKeeper | None
    new_id: Callable[[], UUID]
    new_bytes: Callable[[int], bytes]


class WebhookService:
    """What owners do with their endpoints."""

    def __init__(self, units: UnitOfWork, sender: WebhookSender, making: Making) -> None:
        self._units = units
        self._sender = sender
        self._making = making

    async def create(
        self,
        ask: EndpointAsk,
        claim: Claim | None,
        render: Callable[[ShownEndpoint], Answer],
        render_error: RenderError,
    ) -> Answer:
        """A new endpoint; it gets the events from now on.

        Raises:
            WebhookUrlRefused: Nothing is sent to such a URL.
            WebhooksNotOffered: The node has no key to keep secrets with.
            TooManyWebhookEndpoints: The owner has as many as allowed.
            NotFound: There is no such partner.
        """

        async def make(unit: Unit) -> ShownEndpoint:
            self._sender.check(ask.url)
            owner = await _owner(unit, ask)
            await _check_room(unit, owner)
            endpoint_id = self._making.new_id()
            keys, sealed = self._new_keys(endpoint_id)
            new = NewEndpoint(endpoint_id, owner, ask.url, ask.events, sealed, keys.public_key)
            return ShownEndpoint(await unit.webhooks.add(new), secret_text(keys.secret))

        return await self._shown_once(make, claim, render, render_error)

    async def rotate(
        self,
        principal: Principal,
        endpoint_id: str,
        keep_previous_s: int,
        claim: Claim | None,
        render: Callable[[ShownEndpoint], Answer],
        render_error: RenderError,
    ) -> Answer:
        """New keys; those before them sign as well for so long, and any before those no more.

        Raises:
            NotFound: There is no such endpoint.
            WebhooksNotOffered: The node has no key to keep secrets with.
        """

        async def make(unit: Unit) -> ShownEndpoint:
            endpoint = await _locked(unit, principal, endpoint_id)
            keys, sealed = self._new_keys(endpoint.id)
            until = unit.now + timedelta(seconds=keep_previous_s)
            await unit.webhooks.rotate(endpoint.id, sealed, keys.public_key, until)
            rotated = await _locked(unit, principal, endpoint_id)
            return ShownEndpoint(rotated, secret_text(keys.secret))

        return await self._shown_once(make, claim, render, render_error)

    async def get(self, principal: Principal, endpoint_id: str) -> Endpoint:
        """One endpoint.

        Raises:
            NotFound: It does not exist for this principal.
        """
        async with self._units() as unit:
            return await _visible(unit, principal, endpoint_id)

    async def page(self, principal: Principal, query: ListQuery) -> Page[Endpoint]:
        """Own endpoints, newest first."""
        async with self._units() as unit:
            return await unit.webhooks.page(principal, query)

    async def disable(self, principal: Principal, endpoint_id: str) -> Endpoint:
        """Send nothing more, and cancel what is pending; nothing where it is disabled already.

        Raises:
            NotFound: It does not exist for this principal.
        """
        async with self._units() as unit:
            endpoint = await _locked(unit, principal, endpoint_id)
            who = "an operator" if principal.role is Role.OPERATOR else "its partner"
            await unit.webhooks.disable(endpoint.id, f"by {who}")
            return await _locked(unit, principal, endpoint_id)

    async def enable(self, principal: Principal, endpoint_id: str) -> Endpoint:
        """Send the events from now on; nothing where it is active already.

        What happened meanwhile is sent by `redeliver_since`.

        Raises:
            NotFound: It does not exist for this principal.
            TooManyWebhookEndpoints: The owner has as many active ones as allowed.
            WebhookUrlRefused: Nothing is sent to its URL any more.
        """
        async with self._units() as unit:
            endpoint = await _visible(unit, principal, endpoint_id)
            if endpoint.status is EndpointStatus.ACTIVE:
                return endpoint
            self._sender.check(endpoint.url)
            await _check_room(unit, endpoint.partner_id)
            await unit.webhooks.enable(endpoint.id)
            return await _locked(unit, principal, endpoint_id)

    async def test(
        self,
        principal: Principal,
        endpoint_id: str,
        claim: Claim | None,
        render: Callable[[Delivery], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Send `webhook.test`.

        Raises:
            NotFound: It does not exist for this principal.
            WrongState: It is disabled.
        """

        async def work(unit: Unit) -> Answer:
            endpoint = await _active(unit, principal, endpoint_id)
            delivery_id = self._making.new_id()
            await unit.webhook_queue.add_test(delivery_id, endpoint.id, TEST)
            return render(await _delivery(unit, principal, delivery_id))

        return await once(self._units, claim, work, render_error)

    async def deliveries(
        self, principal: Principal, endpoint_id: str, query: ListQuery
    ) -> Page[Delivery]:
        """Deliveries to an endpoint, newest first.

        Raises:
            NotFound: It does not exist for this principal.
        """
        async with self._units() as unit:
            endpoint = await _visible(unit, principal, endpoint_id)
            return await unit.webhooks.deliveries(endpoint.id, query)

    async def delivery(
        self, principal: Principal, delivery_id: str
    ) -> tuple[Delivery, Sequence[Attempt]]:
        """One delivery with its log.

        Raises:
            NotFound: It does not exist for this principal.
        """
        decoded = decode_id(Prefix.DELIVERY, delivery_id)
        async with self._units() as unit:
            found = await _delivery(unit, principal, decoded)
            return found, await unit.webhooks.attempts(decoded)

    async def redeliver(
        self,
        principal: Principal,
        delivery_id: str,
        claim: Claim | None,
        render: Callable[[Delivery], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Send it again, under the same id, whatever came of it.

        Raises:
            NotFound: It does not exist for this principal.
            WrongState: Its endpoint is disabled, or it is about to be sent anyway.
        """
        decoded = decode_id(Prefix.DELIVERY, delivery_id)

        async def work(unit: Unit) -> Answer:
            found = await _delivery(unit, principal, decoded)
            whose = encode_id(Prefix.WEBHOOK_ENDPOINT, found.endpoint_id)
            await _active(unit, principal, whose)
            found = await _delivery(unit, principal, decoded)  # as it is under the lock
            if found.status is DeliveryStatus.PENDING and found.attempts == 0:
                raise WrongState("it was not sent yet, and will be", state=found.status.value)
            await unit.webhook_queue.begin_again(decoded)
            return render(await _delivery(unit, principal, decoded))

        return await once(self._units, claim, work, render_error)

    async def redeliver_since(
        self,
        principal: Principal,
        endpoint_id: str,
        after: int,
        claim: Claim | None,
        render: Callable[[Redelivered], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Send the events after a sequence, those it got and those it missed, oldest first.

        At most `REDELIVERED_MAX` events are looked at; `next_after` continues.

        Raises:
            NotFound: It does not exist for this principal.
            WrongState: It is disabled.
        """

        async def work(unit: Unit) -> Answer:
            endpoint = await _active(unit, principal, endpoint_id)
            count, following = await unit.webhook_queue.begin_since(
                endpoint, after, self._making.new_id, REDELIVERED_MAX
            )
            return render(Redelivered(count, following))

        return await once(self._units, claim, work, render_error)

    async def figures(self) -> WebhookFigures:
        """Of all endpoints together."""
        async with self._units() as unit:
            return await unit.webhooks.figures()

    def _new_keys(self, endpoint_id: UUID) -> tuple[Keys, bytes]:
        if self._making.keeper is None:
            raise WebhooksNotOffered(
                "this node keeps no secrets, so it sends no webhooks: its operator sets"
                " CORRIDOR_SECRETS_KEY_FILE"
            )
        keys = Keys.of(self._making.new_bytes(2 * SECRET_BYTES))
        return keys, self._making.keeper.seal(keys.packed, endpoint_id)

    async def _shown_once(
        self,
        make: Callable[[Unit], Awaitable[ShownEndpoint]],
        claim: Claim | None,
        render: Callable[[ShownEndpoint], Answer],
        render_error: RenderError,
    ) -> Answer:
        """The secret for the first request, and for a repeated one that it was shown."""
        shown: list[Answer] = []

        async def work(unit: Unit) -> Answer:
            made = await make(unit)
            shown.append(render(made))
            return render_error(
                SecretAlreadyShown(
                    "this request made a secret before, and it is shown only once; if it was lost,"
                    " rotate it with a new Idempotency-Key",
                    webhook_endpoint_id=encode_id(Prefix.WEBHOOK_ENDPOINT, made.endpoint.id),
                )
            )

        kept = await once(self._units, claim, work, render_error)
        return shown[0] if shown else kept


async def _owner(unit: Unit, ask: EndpointAsk) -> UUID | None:
    if ask.partner_id is None:
        return ask.principal.partner_id
    decoded = decode_id(Prefix.PARTNER, ask.partner_id)
    is_own = ask.principal.role is Role.OPERATOR or ask.principal.partner_id == decoded
    if not is_own or decoded not in await unit.parties.partners([decoded]):
        raise NotFound("there is no such partner")
    return decoded


async def _check_room(unit: Unit, owner: UUID | None) -> None:
    if await unit.webhooks.active_count(owner) >= ACTIVE_MAX:
        raise TooManyWebhookEndpoints(
            f"{ACTIVE_MAX} endpoints are active; disable one first", limit=ACTIVE_MAX
        )


async def _visible(unit: Unit, principal: Principal, endpoint_id: str) -> Endpoint:
    found = await unit.webhooks.get(principal, decode_id(Prefix.WEBHOOK_ENDPOINT, endpoint_id))
    return _existing(found)


async def _locked(unit: Unit, principal: Principal, endpoint_id: str) -> Endpoint:
    decoded = decode_id(Prefix.WEBHOOK_ENDPOINT, endpoint_id)
    return _existing(await unit.webhooks.get(principal, decoded, lock=True))


async def _active(unit: Unit, principal: Principal, endpoint_id: str) -> Endpoint:
    endpoint = await _locked(unit, principal, endpoint_id)
    if endpoint.status is not EndpointStatus.ACTIVE:
        raise WrongState("the endpoint is disabled; enable it first", state=endpoint.status.value)
    return endpoint


def _existing(endpoint: Endpoint | None) -> Endpoint:
    if endpoint is None:
        raise NotFound("there is no such webhook endpoint")
    return endpoint


async def _delivery(unit: Unit, principal: Principal, delivery_id: UUID) -> Delivery:
    found = await unit.webhooks.delivery(principal, delivery_id)
    if found is None:
        raise NotFound("there is no such delivery")
    return found
