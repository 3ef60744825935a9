"""What may be in bodies and queries about webhooks. See `schemas`."""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from node.api.bodies import Body, PageQuery
from node.api.forms import EVENT_TYPE
from node.api.schemas import Id
from node.core.paging import ROW_ID_MAX
from node.services.webhooks.endpoints import KEEP_PREVIOUS_MAX_S, KEEP_PREVIOUS_S

_EVENTS_MAX: Final = 32

EventType = Annotated[str, StringConstraints(max_length=64, pattern=EVENT_TYPE)]


class WebhookEndpointBody(Body):
    """Where events are sent to, and which."""

    url: Annotated[
        str,
        Field(
            min_length=1,
            max_length=2048,
            description="https, with a public address; no user name, password or fragment.",
        ),
    ]
    events: Annotated[
        list[EventType],
        Field(
            max_length=_EVENTS_MAX,
            default_factory=list,
            description="Objects (`transfer`) or types (`transfer.settled`); none: all.",
        ),
    ]
    partner_id: Annotated[
        Id | None, Field(description="Whose events, where an operator asks; none: of everybody.")
    ] = None


class RotationBody(Body):
    """How long the secret before the new one is used as well."""

    keep_previous_s: Annotated[
        int,
        Field(ge=0, le=KEEP_PREVIOUS_MAX_S, description="Seconds in which both secrets sign."),
    ] = KEEP_PREVIOUS_S


class RedeliverBody(Body):
    """From where on events are sent again."""

    after: Annotated[int, Field(ge=0, le=ROW_ID_MAX, description="Sequence of an event.")]


class WebhookEndpointQuery(PageQuery):
    """Which endpoints."""

    status: Literal["active", "disabled"] | None = None


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    status: Literal["pending", "delivered", "dead", "canceled"] | None = None
