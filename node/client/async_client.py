"""The client of a node to be awaited. What it does is told in `client.py`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
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
from node.client.async_operations import AsyncOperations
from node.client.bulk import bulk_call
from node.client.errors import ClientError
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


class AsyncClient(AsyncOperations):
    """See `Client`. May be used by many tasks of one event loop at once."""

    async def wait_for_transfer(
        self,
        transfer_id: str,
        *,
        timeout_s: float | None = None,
        poll_s: float = POLL_S,
        on_event: Callable[[TimelineView], object] | None = None,
    ) -> TransferView:
        """See `Client.wait_for_transfer`."""
        told = 0

        async def look() -> TransferView:
            nonlocal told
            transfer = await self.show_transfer(transfer_id)
            if on_event is not None:
                async for event in self.show_timeline(transfer_id):
                    if event["sequence"] > told:
                        told = event["sequence"]
                        on_event(event)
            return transfer

        patience = Patience(timeout_s, poll_s)
        return await self._until(
            look, lambda each: each["status"] in TRANSFER_ENDED, patience, transfer_id
        )

    async def wait_for_payout(
        self, payout_id: str, *, timeout_s: float | None = None, poll_s: float = POLL_S
    ) -> PayoutDocument:
        """See `Client.wait_for_payout`."""
        return await self._until(
            lambda: self.show_payout(payout_id),
            lambda each: each["status"] in PAYOUT_ENDED,
            Patience(timeout_s, poll_s),
            payout_id,
        )

    async def send_bulk(  # noqa: PLR0913 - parameters of the node, by name
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
        """See `Client.send_bulk`."""
        query = {
            "mode": mode,
            "sell_currency": sell_currency,
            "buy_currency": buy_currency,
            "customer_id": customer_id,
            "refund_policy": refund_policy,
            "instructed": instructed,
            "accept_within_s": accept_within_s,
        }
        call = await asyncio.to_thread(bulk_call, file, media_type, key, query)  # it reads a file
        return await self.ask(call, timeout_s=FILE_TIMEOUT_S)

    async def wait_for_bulk(
        self,
        bulk_id: str,
        *,
        timeout_s: float | None = None,
        poll_s: float = POLL_S,
        on_progress: Callable[[BulkProgressView], object] | None = None,
    ) -> BulkProgressView:
        """See `Client.wait_for_bulk`."""

        async def look() -> BulkProgressView:
            progress = await self.show_bulk_transfer(bulk_id)
            if on_progress is not None:
                on_progress(progress)
            return progress

        return await self._until(
            look,
            lambda each: each["status"] != BULK_UNDER_WAY,
            Patience(timeout_s, poll_s),
            bulk_id,
        )

    async def events(
        self, *, after: int | None = None, types: Sequence[str] = (), poll_s: float = POLL_S
    ) -> AsyncIterator[EventView]:
        """See `Client.events`."""
        after = await self.newest_event() if after is None else after
        while True:
            found = 0
            try:
                page = await self.ask(events_after(after))
            except ClientError as error:
                if not is_passing(error):
                    raise
            else:
                found = len(page["data"])
                for each in page["data"]:
                    if is_wanted(types, each["type"]):
                        yield each
                after = page["next_after"]
            if found < PAGE:
                await asyncio.sleep(poll_s)

    async def newest_event(self) -> int:
        """See `Client.newest_event`."""
        search = newest_event()
        sequence = next(search)
        while True:
            page = await self.ask(events_after(sequence, 1))
            try:
                sequence = search.send(bool(page["data"]))
            except StopIteration as found:
                return int(found.value)

    async def _until(
        self,
        look: Callable[[], Awaitable[T]],
        has_ended: Callable[[T], bool],
        patience: Patience,
        what: str,
    ) -> T:
        while True:
            try:
                found = await look()
                if has_ended(found):
                    return found
            except ClientError as error:
                if not is_passing(error):
                    raise
            await asyncio.sleep(patience.pause_s(what))
