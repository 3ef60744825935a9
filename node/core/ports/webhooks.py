"""What webhooks need of the world: their tables, somewhere to keep keys, and a way out.

See `node.core.webhooks` for what is signed, and when it is sent again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports.transfers import EventRow
from node.core.webhooks import DeliveryStatus, EndpointStatus


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where events of an owner are sent to.

    Attributes:
        partner_id: Whose events; None: an operator's, all events.
        events: Types of events, or their beginnings; none: all.
        disabled_reason: Why, where it is disabled; `disabled_at`: since when.
        public_key: Of the Ed25519 key that signs.
        previous_until: Until when the keys before the newest sign as well, if they do.
        after_sequence: Events up to this one are not sent by themselves.
        failing_since: Every attempt since then has failed; None: the newest has not, or none was
            made.
        missed_after: When it was last disabled not every event after this one was delivered; None:
            it never was.
    """

    id: UUID
    partner_id: UUID | None
    url: str
    events: tuple[str, ...]
    status: EndpointStatus
    disabled_reason: str | None
    public_key: bytes
    previous_until: datetime | None
    after_sequence: int
    created_at: datetime
    failing_since: datetime | None = None
    disabled_at: datetime | None = None
    missed_after: int | None = None


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint to be stored.

    Attributes:
        sealed_keys: As `KeyKeeper.seal` made it.
    """

    id: UUID
    partner_id: UUID | None
    url: str
    events: tuple[str, ...]
    sealed_keys: bytes
    public_key: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint.

    Attributes:
        event_sequence: None: a test.
        object_type, object_id: What the event is about; None: a test.
        attempts: How many were made, ever.
        next_at: When the next is made, while it is pending.
        last_status: Of the newest answer; None: there was none.
        last_error: Why there was none.
    """

    id: UUID
    endpoint_id: UUID
    event_sequence: int | None
    type: str
    object_type: str | None
    object_id: UUID | None
    status: DeliveryStatus
    attempts: int
    next_at: datetime
    last_status: int | None
    last_error: str | None
    delivered_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one attempt.

    Attributes:
        status: HTTP status; None: there was no answer.
        error: Why there was none, for the endpoint's owner.
        retry_after: The header of that name.
        duration_ms: From the look-up of the name to the end of the answer.
        answer: The first KiB of it, as text.
    """

    status: int | None
    error: str | None
    retry_after: str | None
    duration_ms: int
    answer: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of a delivery's log; see `Answered`."""

    attempt: int
    at: datetime
    status: int | None
    error: str | None
    duration_ms: int
    answer: str


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that this process is to make now.

    Attributes:
        sealed_keys: The newest first; two while the ones before sign as well.
        event: None: a test.
        attempts: Made before, ever.
        failures: Those of them since it was last begun.
        claimed_at: The database's time.
    """

    id: UUID
    endpoint_id: UUID
    url: str
    sealed_keys: tuple[bytes, ...]
    event: EventRow | None
    type: str
    created_at: datetime
    attempts: int
    failures: int
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is stored of an attempt.

    Attributes:
        status: Of the delivery from now on.
        wait_ms: Until the next attempt, while it is pending.
        order_kept: Whether later events of its object wait for it as long.
        is_gone: Whether its endpoint is disabled, because it said that it is gone.
    """

    answered: Answered
    status: DeliveryStatus
    wait_ms: int
    order_kept: bool
    is_gone: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """How long deliveries are kept after they ended, with their logs.

    Attributes:
        delivered_s: Those that arrived.
        undelivered_s: Those that were given up or canceled.
    """

    delivered_s: int
    undelivered_s: int


@dataclass(frozen=True, slots=True)
class WebhookFigures:
    """Deliveries as they stand.

    Attributes:
        oldest_age_s: Of the oldest pending one; 0: there is none.
        endpoints_failing: Active endpoints whose newest attempt failed.
        endpoints_disabled: Disabled ones.
    """

    pending: int
    dead: int
    oldest_age_s: int
    endpoints_failing: int
    endpoints_disabled: int


class WebhookRepository(Protocol):
    """Endpoints, and deliveries as they are shown. Another's do not exist for a principal."""

    async def add(self, endpoint: NewEndpoint) -> Endpoint:
        """Store an endpoint; it gets the events from now on."""
        ...

    async def active_count(self, partner_id: UUID | None) -> int:
        """How many active endpoints an owner has; locks them against being more until the end."""
        ...

    async def get(
        self, principal: Principal, endpoint_id: UUID, *, lock: bool = False
    ) -> Endpoint | None:
        """One endpoint."""
        ...

    async def page(self, principal: Principal, query: ListQuery) -> Page[Endpoint]:
        """Endpoints, newest first. Filter: `status`."""
        ...

    async def rotate(
        self, endpoint_id: UUID, sealed_keys: bytes, public_key: bytes, previous_until: datetime
    ) -> None:
        """Sign with these keys, and until then with those before as well."""
        ...

    async def disable(self, endpoint_id: UUID, reason: str) -> None:
        """Send nothing more; what is pending is canceled."""
        ...

    async def enable(self, endpoint_id: UUID) -> None:
        """Send the events from now on."""
        ...

    async def delivery(self, principal: Principal, delivery_id: UUID) -> Delivery | None:
        """One delivery."""
        ...

    async def attempts(self, delivery_id: UUID) -> Sequence[Attempt]:
        """The log of a delivery, oldest first."""
        ...

    async def deliveries(self, endpoint_id: UUID, query: ListQuery) -> Page[Delivery]:
        """Deliveries to an endpoint, newest first. Filter: `status`."""
        ...

    async def figures(self) -> WebhookFigures:
        """Of all endpoints together."""
        ...


class WebhookQueue(Protocol):
    """What is to be sent."""

    async def fan_out(self, new_id: Callable[[], UUID], events_max: int) -> int:
        """Make deliveries of the next events; how many events were looked at.

        One process at a time does; 0 where another does.
        """
        ...

    async def add_test(self, delivery_id: UUID, endpoint_id: UUID, event_type: str) -> None:
        """A delivery of no event."""
        ...

    async def begin_again(self, delivery_id: UUID) -> None:
        """Send it again, with all its attempts before it."""
        ...

    async def begin_since(
        self, endpoint: Endpoint, after: int, new_id: Callable[[], UUID], events_max: int
    ) -> tuple[int, int | None]:
        """Send the events after a sequence again that the endpoint wants.

        Returns:
            How many are sent, and from where to go on; None: these are all.
        """
        ...

    async def claim(
        self, count: int, *, per_endpoint: int, per_owner: int, lease_s: int
    ) -> Sequence[Due]:
        """Take deliveries that are due, for so long; nobody else makes them meanwhile."""
        ...

    async def record(self, due: Due, recorded: Recorded) -> str | None:
        """Note an attempt and end the lease; nothing where another process was faster.

        An endpoint that is gone, or whose every attempt has failed for `GIVEN_UP_AFTER_S`, is
        disabled.

        Returns:
            Why the endpoint is disabled now; None: it is not by this.
        """
        ...

    async def cancel_left(self) -> int:
        """Cancel what is pending of endpoints that are disabled; how many.

        An event that was on its way into the queue while its endpoint was disabled is left there.
        """
        ...

    async def forget(self, kept: Kept, count: int) -> int:
        """Delete so many deliveries that ended long enough ago, with their logs; how many.

        Those that another process deletes or begins again are left out.
        """
        ...


class KeyKeeper(Protocol):
    """Encrypts the keys of endpoints for the database."""

    def seal(self, keys: bytes, endpoint_id: UUID) -> bytes:
        """Encrypted, for this endpoint alone."""
        ...

    def open(self, sealed: bytes, endpoint_id: UUID) -> bytes:
        """What was sealed.

        Raises:
            WebhooksNotOffered: It was sealed by another key, for another endpoint, or changed.
        """
        ...


class WebhookSender(Protocol):
    """The way out: HTTP POST to addresses that others chose."""

    def check(self, url: str) -> None:
        """Whether messages are sent to such a URL; looks nothing up.

        Raises:
            WebhookUrlRefused: They are not; says why.
        """
        ...

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        """Send once. Whatever goes wrong is in what is returned."""
        ...
