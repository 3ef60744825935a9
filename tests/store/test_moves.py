"""Every pair of states: what is written where the table has the move, and never where it has not.

Rows are made in each state as they are, without what they refer to: triggers are off.
"""

import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from adapters.machine import SystemClock, new_id
from node.core.deposits import REQUEST_MOVES, RequestStatus
from node.core.errors import InvariantBroken
from node.core.parties import Principal, Role
from node.core.payouts import REFUND_MOVES, Refund, RefundReason, RefundState
from node.core.ports.deposits import RequestChange
from node.core.ports.webhooks import Answered, Due, Recorded
from node.core.quotes import QUOTE_MOVES, HaltReason, QuoteStatus
from node.core.units import Address
from node.core.webhooks import DELIVERY_MOVES, DeliveryStatus
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import a_quote

NOW = SystemClock().now()
D = DeliveryStatus


class Rows:
    """Rows of any state, and the store that changes them."""

    def __init__(self, units: StoreUnits, database_url: str) -> None:
        self.units = units
        self._url = database_url

    async def sql(self, statement: str, *values: object) -> Sequence[asyncpg.Record]:
        connection = await asyncpg.connect(self._url)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def delivery(self, status: DeliveryStatus) -> Due:
        """As it is while its attempt is under way."""
        endpoint, delivery = new_id(), new_id()
        await self.sql(
            "INSERT INTO webhook_endpoint (id, url, keys, public_key, after_sequence)"
            " VALUES ($1, 'https://example.com', '', $2, 0)",
            endpoint,
            bytes(32),
        )
        await self.sql(
            "INSERT INTO webhook_delivery (id, endpoint_id, type, status, ended_at)"
            " VALUES ($1, $2, 'x', $3, CASE WHEN $3 <> 'pending' THEN now() END)",
            delivery,
            endpoint,
            status,
        )
        return Due(delivery, endpoint, "https://example.com", (), None, "x", NOW, 0, 0, NOW)

    async def request(self, status: RequestStatus) -> UUID:
        request = new_id()
        await self.sql(
            "INSERT INTO payment_request (id, address_id, customer_id, reference, asset, amount,"
            " status, made_by, expires_at)"
            " VALUES ($1, (random() * 1e15)::bigint, $1, $3, 'USDC', 1, $2, 'x', now())",
            request,
            status,
            str(request),
        )
        return request

    async def refund(self, state: RefundState) -> Refund:
        refund = Refund(
            new_id(), new_id(), new_id(), state, RefundReason.ASKED, "USDC", 1,
            Address(bytes(20)), new_id(), None, 1, NOW,
        )  # fmt: skip
        sequence = refund.id.int % 10**15
        await self.sql(
            "INSERT INTO refund (id, payout_id, partner_id, account_id, state, reason, asset,"
            " amount, address, set_aside_sequence, put_back_sequence, transfer_id)"
            " VALUES ($1, $2, $3, $3, $4, 'asked', 'USDC', 1, $5, $6,"
            " $8, $7)",
            refund.id,
            refund.payout_id,
            refund.partner_id,
            state,
            refund.address,
            sequence,
            refund.transfer_id,
            sequence if state is RefundState.FAILED else None,
        )
        return refund

    async def quote(self, status: QuoteStatus) -> UUID:
        is_over = status is QuoteStatus.EXPIRED
        quote = a_quote(Principal(Role.PARTNER, "shop", partner_id=new_id()))
        expires_at = NOW - timedelta(seconds=1) if is_over else NOW + timedelta(days=1)
        quote = replace(quote, created_at=NOW - timedelta(hours=1), expires_at=expires_at)
        async with self.units() as unit:
            await unit.quotes.insert_many([quote])
        if status is QuoteStatus.CONSUMED:
            await self.sql("UPDATE quote SET transfer_id = $1", new_id())
        if status is QuoteStatus.REVOKED:
            await self.sql("UPDATE quote SET revoked_at = $1, revoked_reason = 'jump'", NOW)
        return quote.id

    async def quote_status(self, quote_id: UUID) -> QuoteStatus:
        async with self.units() as unit:
            found = await unit.quotes.get(quote_id)
            assert found is not None
            return found.status(unit.now)


@pytest.fixture
async def rows(database_url: str) -> AsyncIterator[Rows]:
    connection = await asyncpg.connect(database_url)
    name = database_url.rpartition("/")[2]
    await connection.execute(f'ALTER DATABASE "{name}" SET session_replication_role = replica')
    await connection.close()
    database = Database.at(database_url)
    yield Rows(StoreUnits(database), database_url)
    await database.close()


async def test_a_payment_request_moves_as_its_table_says_and_not_otherwise(rows: Rows) -> None:
    for before, after in itertools.product(RequestStatus, repeat=2):
        request = await rows.request(before)
        is_move = after in REQUEST_MOVES[before] or after is before  # more may be paid of it
        try:
            async with rows.units() as unit:
                await unit.deposits.change_requests([RequestChange(request, 2, after)])
        except InvariantBroken:
            assert not is_move, (before, after)
        [row] = await rows.sql("SELECT status, version FROM payment_request WHERE id = $1", request)
        expected = (after, 2) if is_move else (before, 1)
        assert (row["status"], row["version"]) == expected, (before, after)


async def test_of_many_requests_none_is_changed_where_one_may_not_be(rows: Rows) -> None:
    good, bad = [await rows.request(each) for each in (RequestStatus.AWAITING, RequestStatus.PAID)]
    changes = [RequestChange(each, 2, RequestStatus.EXPIRED) for each in (good, bad)]
    with pytest.raises(InvariantBroken):
        async with rows.units() as unit:
            await unit.deposits.change_requests(changes)
    found = await rows.sql("SELECT version FROM payment_request")
    assert [row["version"] for row in found] == [1, 1]


async def test_a_refund_moves_as_its_table_says_and_not_otherwise(rows: Rows) -> None:
    for before, after in itertools.product(RefundState, repeat=2):
        refund = await rows.refund(before)
        is_move = after in REFUND_MOVES[before]
        put_back = (refund.id.int + 1) % 10**15 if after is RefundState.FAILED else None
        try:
            async with rows.units() as unit:
                await unit.payouts.move_refund(refund, after, put_back_sequence=put_back)
        except (InvariantBroken, ValueError):
            assert not is_move, (before, after)
        [row] = await rows.sql("SELECT state, version FROM refund WHERE id = $1", refund.id)
        assert (row["state"], row["version"]) == ((after, 2) if is_move else (before, 1))


async def test_a_delivery_moves_as_its_table_says_and_not_otherwise(rows: Rows) -> None:
    """An attempt that failed leaves what was given up, or arrived, as it is."""
    for before, after in itertools.product(D, (D.DELIVERED, D.DEAD)):
        due = await rows.delivery(before)
        status = 204 if after is D.DELIVERED else 500
        answered = Answered(status, None, None, 1, "")
        async with rows.units() as unit:
            await unit.webhook_queue.record(due, Recorded(answered, after, 0, False, False))
        is_move = after in DELIVERY_MOVES[before]
        assert await delivery_of(rows, due) == (after if is_move else before), (before, after)
    for before in D:
        due = await rows.delivery(before)
        async with rows.units() as unit:
            await unit.webhook_queue.begin_again(due.id)
        is_move = D.PENDING in DELIVERY_MOVES[before]
        assert await delivery_of(rows, due) == (D.PENDING if is_move else before)
        due = await rows.delivery(before)
        async with rows.units() as unit:
            await unit.webhooks.disable(due.endpoint_id, "by its partner")
        is_move = D.CANCELED in DELIVERY_MOVES[before]
        assert await delivery_of(rows, due) == (D.CANCELED if is_move else before)


async def delivery_of(rows: Rows, due: Due) -> str:
    """Its status; what has ended has a time of its end, and nothing else has."""
    [row] = await rows.sql("SELECT status, ended_at FROM webhook_delivery WHERE id = $1", due.id)
    assert (row["status"] == "pending") == (row["ended_at"] is None)
    return str(row["status"])


async def test_a_quote_is_consumed_and_revoked_as_its_table_says_and_not_otherwise(
    rows: Rows,
) -> None:
    for before in QuoteStatus:
        quote_id = await rows.quote(before)
        is_move = QuoteStatus.CONSUMED in QUOTE_MOVES[before]
        try:
            async with rows.units() as unit:
                await unit.quotes.consume_many([(quote_id, new_id())])
        except InvariantBroken:
            assert not is_move, before
        assert await rows.quote_status(quote_id) is (QuoteStatus.CONSUMED if is_move else before)
        await rows.sql("DELETE FROM quote")
        quote_id = await rows.quote(before)
        async with rows.units() as unit:
            await unit.quotes.revoke(None, HaltReason.OPERATOR)
        is_move = QuoteStatus.REVOKED in QUOTE_MOVES[before]
        assert await rows.quote_status(quote_id) is (QuoteStatus.REVOKED if is_move else before)
        await rows.sql("DELETE FROM quote")
