"""Firm quotes in PostgreSQL. Set-based: a batch of any size is one statement.

A quote is stored with the digits of its assets and the rates it was made of, so it reads the same
for ever, whatever the catalogue says later.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from node.core.errors import InvariantBroken
from node.core.ports.quotes import ActiveQuotes
from node.core.quotes import FixedSide, Price, Quote, Rate
from node.core.units import Asset, Money
from node.store.database import Connection

_LOCK_MAKERS: Final = """
SELECT pg_advisory_xact_lock(hashtextextended('quotes of ' || maker, 0))
FROM (SELECT DISTINCT unnest($1::text[]) AS maker ORDER BY maker) AS makers
"""
_ACTIVE: Final = """
SELECT maker, count(*) AS count, min(expires_at) AS first_expires_at FROM quote
WHERE maker = ANY($1::text[]) AND transfer_id IS NULL AND revoked_at IS NULL
  AND expires_at > now()
GROUP BY maker
"""
_INSERT: Final = """
INSERT INTO quote (
    id, maker, customer_id, fixed_side, sell_asset, sell_digits, sell_amount,
    buy_asset, buy_digits, buy_amount, service_fee, network_fee, mid_rate, spread_bps,
    rate_sources, payout_method, estimated_delivery_s, created_at, expires_at)
SELECT id, maker, customer_id, fixed_side, sell_asset, sell_digits, sell_amount,
    buy_asset, buy_digits, buy_amount, service_fee, network_fee, mid_rate, spread_bps,
    rate_sources::jsonb, payout_method, estimated_delivery_s, created_at, expires_at
FROM unnest(
    $1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::smallint[], $7::bigint[],
    $8::text[], $9::smallint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::numeric[],
    $14::smallint[], $15::text[], $16::text[], $17::integer[], $18::timestamptz[],
    $19::timestamptz[]
) AS new (
    id, maker, customer_id, fixed_side, sell_asset, sell_digits, sell_amount,
    buy_asset, buy_digits, buy_amount, service_fee, network_fee, mid_rate, spread_bps,
    rate_sources, payout_method, estimated_delivery_s, created_at, expires_at)
"""
_LOCK: Final = "SELECT * FROM quote WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"
_CONSUME: Final = """
UPDATE quote SET transfer_id = consumed.transfer_id
FROM unnest($1::uuid[], $2::uuid[]) AS consumed (quote_id, transfer_id)
WHERE quote.id = consumed.quote_id AND quote.transfer_id IS NULL
  AND quote.revoked_at IS NULL AND quote.expires_at > now()
"""


class QuoteStore:
    """See `node.core.ports.quotes.QuoteRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def lock_makers(self, makers: Sequence[str]) -> None:
        """Let nobody else add quotes of these makers until the end of the transaction."""
        await self._raw.execute(_LOCK_MAKERS, list(makers))

    async def active(self, makers: Sequence[str]) -> Mapping[str, ActiveQuotes]:
        """Active quotes by maker, at the start of the transaction; every maker is there."""
        rows = await self._raw.fetch(_ACTIVE, list(makers))
        found = {row["maker"]: ActiveQuotes(row["count"], row["first_expires_at"]) for row in rows}
        return {maker: found.get(maker, ActiveQuotes(0, None)) for maker in makers}

    async def insert_many(self, quotes: Sequence[Quote]) -> None:
        """Store new quotes."""
        if quotes:
            columns = zip(*map(_row, quotes), strict=True)
            await self._raw.execute(_INSERT, *map(list, columns))

    async def get(self, quote_id: UUID) -> Quote | None:
        """One quote."""
        row = await self._raw.fetchrow("SELECT * FROM quote WHERE id = $1", quote_id)
        return _quote(row) if row else None

    async def lock_many(self, ids: Sequence[UUID]) -> Mapping[UUID, Quote]:
        """Quotes by id, held until the end of the transaction."""
        return {row["id"]: _quote(row) for row in await self._raw.fetch(_LOCK, list(ids))}

    async def consume_many(self, consumed: Sequence[tuple[UUID, UUID]]) -> None:
        """Bind quotes to transfers: pairs of quote and transfer id."""
        status = await self._raw.execute(
            _CONSUME,
            [quote_id for quote_id, _ in consumed],
            [transfer_id for _, transfer_id in consumed],
        )
        if status != f"UPDATE {len(consumed)}":
            raise InvariantBroken(f"of {len(consumed)} quotes to consume, not all are active")


def _row(quote: Quote) -> tuple[object, ...]:
    price = quote.price
    return (
        quote.id,
        quote.maker,
        quote.customer_id,
        price.fixed_side.value,
        price.sell.asset.code,
        price.sell.asset.digits,
        price.sell.minor,
        price.buy.asset.code,
        price.buy.asset.digits,
        price.buy.minor,
        price.service_fee.minor,
        price.network_fee.minor,
        price.mid_rate,
        price.spread_bps,
        orjson.dumps([_stored_rate(each) for each in price.sources]).decode(),
        price.payout_method,
        price.estimated_delivery_s,
        quote.created_at,
        quote.expires_at,
    )


def _stored_rate(rate: Rate) -> dict[str, str | bool]:
    return {
        "name": rate.source,
        "sell": rate.sell,
        "buy": rate.buy,
        "rate": rate.text,
        "observed_at": rate.observed_at.isoformat(),
        "stale": rate.stale,
    }


def _read_rate(stored: Mapping[str, Any]) -> Rate:
    whole, _, fraction = stored["rate"].partition(".")
    return Rate(
        stored["sell"],
        stored["buy"],
        int(whole + fraction),
        10 ** len(fraction),
        stored["name"],
        datetime.fromisoformat(stored["observed_at"]),
        stored["stale"],
    )


def _quote(row: Mapping[str, Any]) -> Quote:
    sell = Asset(row["sell_asset"], row["sell_digits"])
    buy = Asset(row["buy_asset"], row["buy_digits"])
    return Quote(
        id=row["id"],
        maker=row["maker"],
        customer_id=row["customer_id"],
        price=Price(
            fixed_side=FixedSide(row["fixed_side"]),
            sell=Money(row["sell_amount"], sell),
            buy=Money(row["buy_amount"], buy),
            service_fee=Money(row["service_fee"], sell),
            network_fee=Money(row["network_fee"], sell),
            mid_rate=row["mid_rate"],
            spread_bps=row["spread_bps"],
            sources=tuple(map(_read_rate, row["rate_sources"])),
            payout_method=row["payout_method"],
            estimated_delivery_s=row["estimated_delivery_s"],
        ),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        transfer_id=row["transfer_id"],
    )
