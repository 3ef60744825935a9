"""The client of a node: its operations, bulk files, events, and waiting for an end."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from node.client.answers import (
    BulkProgressView,
    EventView,
    PayoutDocument,
    TimelineView,
    TransferView,
)
from node.client.asking import FILE_TIMEOUT_S
from node.client.bulk import bulk_call
from node.client.errors import ClientError
from node.client.operations import Operations
from node.client.waiting import (
    BULK_UNDER_WAY,
    PAGE,
    PAYOUT_ENDED,
    POLL_S,
    TRANSFER_ENDED,
    Patience,
    events_after,
    is_passing,
    is_wanted,
    newest_event,
)

T = TypeVar("T")


class Client(Operations):
    """A node, spoken to with one credential. `AsyncClient` is the same to be awaited.

    Every POST carries an Idempotency-Key, a new one unless `key` is given, and is repeated with it
    when its answer is lost: it is done once. Keep your own key with your own record of what you
    send, if it must survive your process.
    """

    def wait_for_transfer(
        self,
        transfer_id: str,
        *,
        timeout_s: float | None = None,
        poll_s: float = POLL_S,
        on_event: Callable[[TimelineView], object] | None = None,
    ) -> TransferView:
        """The transfer when it has ended: completed, canceled, failed, expired or refunded.

        A node that is away is waited out: the transfer goes on without it.

        Args:
            transfer_id: Which one.
            timeout_s: None: forever.
            poll_s: Between two looks.
            on_event: Called with each event of its timeline, in order.

        Raises:
            WaitedTooLong: It has not.
            Problem: There is no such transfer, or not for this credential.
        """
        told = 0

        def look() -> TransferView:
            nonlocal told
            transfer = self.show_transfer(transfer_id)  # first: the events are never behind it
            if on_event is not None:
                for event in self.show_timeline(transfer_id):
                    if event["sequence"] > told:
                        told = event["sequence"]
                        on_event(event)
            return transfer

        patience = Patience(timeout_s, poll_s)
        return self._until(
            look, lambda each: each["status"] in TRANSFER_ENDED, patience, transfer_id
        )

    def wait_for_payout(
        self, payout_id: str, *, timeout_s: float | None = None, poll_s: float = POLL_S
    ) -> PayoutDocument:
        """The payout when it is completed, refunded or expired. See `wait_for_transfer`."""
        return self._until(
            lambda: self.show_payout(payout_id),
            lambda each: each["status"] in PAYOUT_ENDED,
            Patience(timeout_s, poll_s),
            payout_id,
        )

    def send_bulk(  # noqa: PLR0913 - parameters of the node, by name
        self,
        file: Path | bytes,
        media_type: str | None = None,
        *,
        key: str | None = None,
        mode: Literal["best_effort", "all_or_nothing"] = "best_effort",
        sell_currency: str | None = None,
        buy_currency: str | None = None,
        customer_id: str | None = None,
        refund_policy: Literal["refund", "correct"] | None = None,
        instructed: Literal["sell", "buy"] | None = None,
        accept_within_s: int | None = None,
    ) -> BulkProgressView:
        """Send a file of transfers: CSV, JSON lines or pain.001.

        Without a `key` the same file, taken the same way, is one bulk transfer however often it is
        sent.

        Args:
            file: Where it is, or its content.
            media_type: `text/csv`, `application/x-ndjson` or `application/xml`; None: as the end
                of its name says.
            key: Idempotency-Key.
            mode: Whether a faulty row keeps the others from being accepted.
            sell_currency: Of rows that name none; so are `buy_currency` and `customer_id`.
            buy_currency: See above.
            customer_id: See above.
            refund_policy: Of rows that partners pay out and that name none: what follows where the
                rail refuses for good; None: the money comes back.
            instructed: What amounts of pain.001 are; None: what is sold.
            accept_within_s: For how long rows are tried that cannot be accepted now.

        Raises:
            ValueError: Nothing says what kind of file it is.
            Problem: The file as a whole cannot be read. Faulty rows are no problem: see
                `list_bulk_rows`.
        """
        query = {
            "mode": mode,
            "sell_currency": sell_currency,
            "buy_currency": buy_currency,
            "customer_id": customer_id,
            "refund_policy": refund_policy,
            "instructed": instructed,
            "accept_within_s": accept_within_s,
        }
        return self.ask(bulk_call(file, media_type, key, query), timeout_s=FILE_TIMEOUT_S)

    def wait_for_bulk(
        self,
        bulk_id: str,
        *,
        timeout_s: float | None = None,
        poll_s: float = POLL_S,
        on_progress: Callable[[BulkProgressView], object] | None = None,
    ) -> BulkProgressView:
        """The bulk transfer when each row is accepted or rejected. Its transfers go on.

        `on_progress` is called at each look. See `wait_for_transfer`.
        """

        def look() -> BulkProgressView:
            progress = self.show_bulk_transfer(bulk_id)
            if on_progress is not None:
                on_progress(progress)
            return progress

        return self._until(
            look,
            lambda each: each["status"] != BULK_UNDER_WAY,
            Patience(timeout_s, poll_s),
            bulk_id,
        )

    def events(
        self, *, after: int | None = None, types: Sequence[str] = (), poll_s: float = POLL_S
    ) -> Iterator[EventView]:
        """Events of all own objects, those to come as well: it never ends by itself.

        A node that is away is waited out. Keep the `sequence` of the last event you have dealt
        with, and go on `after` it another time: each comes at least once.

        Args:
            after: A sequence; 0: from the beginning; None: from now.
            types: Such as `transfer` or `transfer.settled`; none: all.
            poll_s: Between two questions while there is nothing new.

        Raises:
            Problem: The credential may not.
        """
        after = self.newest_event() if after is None else after
        while True:
            found = 0
            try:
                page = self.ask(events_after(after))
            except ClientError as error:
                if not is_passing(error):
                    raise
            else:
                found = len(page["data"])
                yield from (each for each in page["data"] if is_wanted(types, each["type"]))
                after = page["next_after"]
            if found < PAGE:
                time.sleep(poll_s)

    def newest_event(self) -> int:
        """The sequence of the newest event, 0 if there is none, in some dozen questions."""
        search = newest_event()
        sequence = next(search)
        while True:
            try:
                sequence = search.send(bool(self.ask(events_after(sequence, 1))["data"]))
            except StopIteration as found:
                return int(found.value)

    def _until(
        self, look: Callable[[], T], has_ended: Callable[[T], bool], patience: Patience, what: str
    ) -> T:
        while True:
            try:
                found = look()
                if has_ended(found):
                    return found
            except ClientError as error:
                if not is_passing(error):
                    raise
            time.sleep(patience.pause_s(what))
