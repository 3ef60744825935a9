"""Firm quotes, halts of quoting, trusted levels in PostgreSQL. Set-based: one statement a batch.

A quote is stored with the digits of its assets and the rates it was made of, so it reads the same
for ever, whatever the catalogue says later. All that is open is counted by one pass over the
index `quote_open`, which holds nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import orjson

from node.core.errors import InvariantBroken
from node.core.moves import before
from node.core.partner_legs import PARTNER
from node.core.ports.quotes import ActiveQuotes, Exposure, Halt, Level, OpenQuotes, Pair
from node.core.quotes import (
    ACCEPTED_LATE_S,
    QUOTE_MOVES,
    FixedSide,
    HaltReason,
    PartnerLeg,
    Price,
    Quote,
    QuoteStatus,
    Rate,
)
from node.core.units import Asset, Money
from node.store.database import Connection, Row

# The number is drawn once the lock is had: OFFSET 0 keeps the two apart.
_LOCK_MAKING: Final = """
SELECT nextval('quote_turn') FROM (
    SELECT pg_advisory_xact_lock(hashtextextended('making of quotes', 0)) OFFSET 0) AS held
"""
_LATE: Final = timedelta(seconds=ACCEPTED_LATE_S)
_USABLE: Final = f"""transfer_id IS NULL AND revoked_at IS NULL
      AND expires_at > now() - interval '{ACCEPTED_LATE_S} seconds'"""
# The status of a quote is not written: it follows from its columns and the time, as `Quote.status`
# says, by which what is revoked after it expired stays expired.
_IS: Final = {
    QuoteStatus.ACTIVE: "quote.transfer_id IS NULL AND quote.revoked_at IS NULL"
    " AND quote.expires_at > now()"
}
_OPEN: Final = f"""
SELECT maker, sell_asset, buy_asset, count(*) AS count, sum(sell_amount) AS sell,
       sum(buy_amount) AS buy, min(expires_at) AS first_expires_at,
       count(*) FILTER (WHERE expires_at > now()) AS active,
       min(expires_at) FILTER (WHERE expires_at > now()) AS active_until
FROM quote WHERE {_USABLE} GROUP BY maker, sell_asset, buy_asset
"""  # noqa: S608 - constants
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
_INSERT_LEGS: Final = """
INSERT INTO partner_quote (
    quote_id, partner_id, partner_quote_id, sell_asset, sell_digits, sell_amount, buy_asset,
    buy_digits, buy_amount, service_fee, network_fee, mid_rate, spread_bps, rate_sources,
    payout_method, estimated_delivery_s, expires_at)
SELECT i, p, q, sa, sd, sm, ba, bd, bm, sf, nf, m, sp, rs::jsonb, pm, ed, e FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::smallint[], $6::bigint[], $7::text[],
    $8::smallint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::numeric[], $13::smallint[],
    $14::text[], $15::text[], $16::integer[], $17::timestamptz[]
) AS new (i, p, q, sa, sd, sm, ba, bd, bm, sf, nf, m, sp, rs, pm, ed, e)
"""
_LEGS: Final = """
SELECT l.*, q.fixed_side, p.name AS partner FROM partner_quote l JOIN quote q ON q.id = l.quote_id
JOIN partner p ON p.id = l.partner_id WHERE l.quote_id = ANY($1::uuid[])
"""
_LOCK: Final = "SELECT * FROM quote WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"
_CONSUME: Final = f"""
UPDATE quote SET transfer_id = consumed.transfer_id
FROM unnest($1::uuid[], $2::uuid[]) AS consumed (quote_id, transfer_id)
WHERE quote.id = consumed.quote_id
  AND ({" OR ".join(_IS[each] for each in before(QUOTE_MOVES, QuoteStatus.CONSUMED))})
"""  # noqa: S608 - constants
_HALTS: Final = """
SELECT currency, reason, note, halted_by, halted_at
FROM quoting_halt WHERE resumed_at IS NULL ORDER BY halted_at
"""
_HALT: Final = """
INSERT INTO quoting_halt (currency, reason, halted_by, note, halted_at)
VALUES ($1, $2, $3, $4, clock_timestamp())
ON CONFLICT (coalesce(currency, ''), reason) WHERE resumed_at IS NULL DO NOTHING
"""
# Rows are locked in the order in which `lock_many` does it, so neither waits for the other in turn;
# one that was consumed meanwhile is no longer among them.
_REVOKE: Final = f"""
WITH usable AS (
    SELECT id FROM quote
    WHERE {_USABLE} AND ($1::text IS NULL OR sell_asset = $1 OR buy_asset = $1)
    ORDER BY id FOR UPDATE
), revoked AS (
    UPDATE quote SET revoked_at = clock_timestamp(), revoked_reason = $2
    FROM usable WHERE quote.id = usable.id RETURNING quote.expires_at
)
SELECT count(*) FROM revoked WHERE expires_at > now()
"""  # noqa: S608 - constants
_RESUME: Final = """
UPDATE quoting_halt SET resumed_by = $2, resumed_at = clock_timestamp(),
    accepted = CASE WHEN reason = 'jump' THEN $3::jsonb END
WHERE resumed_at IS NULL AND currency IS NOT DISTINCT FROM $1 RETURNING reason
"""
_TRUST: Final = """
INSERT INTO trusted_mid (sell, buy, mid, since, trusted_at)
SELECT sell, buy, mid, clock_timestamp(), clock_timestamp()
FROM unnest($1::text[], $2::text[], $3::numeric[]) AS new (sell, buy, mid)
ON CONFLICT (sell, buy) DO UPDATE SET mid = excluded.mid, trusted_at = excluded.trusted_at
WHERE trusted_mid.mid <> excluded.mid
"""
_ACCEPT: Final = """
INSERT INTO trusted_mid (sell, buy, mid, since, accepted, trusted_at)
SELECT sell, buy, mid, clock_timestamp(), mid, clock_timestamp()
FROM unnest($1::text[], $2::text[], $3::numeric[]) AS new (sell, buy, mid)
ON CONFLICT (sell, buy) DO UPDATE SET mid = excluded.mid, since = excluded.since,
    accepted = excluded.accepted, trusted_at = excluded.trusted_at
"""


class QuoteStore:
    """See `node.core.ports.quotes.QuoteRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def lock(self) -> int:
        """Let nobody else make quotes, halt or resume until the end of the transaction."""
        turn: int = await self._raw.fetchval(_LOCK_MAKING)
        return turn

    async def open_quotes(self) -> OpenQuotes:
        """All that is open, counted in one statement; its cost grows with how many those are."""
        by_maker: dict[str, ActiveQuotes] = {}
        by_currency: dict[str, Exposure] = {}
        for row in await self._raw.fetch(_OPEN):
            if row["active"]:
                until = row["active_until"]
                mine = by_maker.get(row["maker"], ActiveQuotes())
                first = min(mine.first_expires_at or until, until)
                by_maker[row["maker"]] = ActiveQuotes(mine.count + row["active"], first)
            at = row["first_expires_at"] + _LATE
            for currency, amount in (
                (row["sell_asset"], row["sell"]),
                (row["buy_asset"], row["buy"]),
            ):
                there = by_currency.get(currency, Exposure())
                by_currency[currency] = Exposure(
                    there.minor + int(amount),
                    there.count + row["count"],
                    min(there.free_at or at, at),
                )
        return OpenQuotes(by_maker, by_currency)

    async def insert_many(self, quotes: Sequence[Quote]) -> None:
        """Store new quotes."""
        if quotes:
            columns = zip(*map(_row, quotes), strict=True)
            await self._raw.execute(_INSERT, *map(list, columns))
        if legs := [_leg_row(each.id, each.leg) for each in quotes if each.leg is not None]:
            await self._raw.execute(_INSERT_LEGS, *map(list, zip(*legs, strict=True)))

    async def any_stored(self, ids: Sequence[UUID]) -> bool:
        """Whether one of these quotes is there."""
        query = "SELECT EXISTS (SELECT FROM quote WHERE id = ANY($1::uuid[]))"
        return bool(await self._raw.fetchval(query, list(ids)))

    async def is_leg_used(self, partner_id: UUID, partner_quote_id: str) -> bool:
        """Whether a quote has this quote of a partner as its leg."""
        query = (
            "SELECT EXISTS (SELECT FROM partner_quote"
            " WHERE partner_id = $1 AND partner_quote_id = $2)"
        )
        return bool(await self._raw.fetchval(query, partner_id, partner_quote_id))

    async def get(self, quote_id: UUID) -> Quote | None:
        """One quote."""
        row = await self._raw.fetchrow("SELECT * FROM quote WHERE id = $1", quote_id)
        return (await self._with_legs([row]))[0] if row else None

    async def lock_many(self, ids: Sequence[UUID]) -> Mapping[UUID, Quote]:
        """Quotes by id, held until the end of the transaction."""
        quotes = await self._with_legs(await self._raw.fetch(_LOCK, list(ids)))
        return {each.id: each for each in quotes}

    async def _with_legs(self, rows: Sequence[Row]) -> list[Quote]:
        """Quotes with the legs of those that partners pay out."""
        quotes = [_quote(row) for row in rows]
        asked = [each.id for each in quotes if each.price.payout_method == PARTNER]
        if not asked:
            return quotes
        legs = {row["quote_id"]: _leg(row) for row in await self._raw.fetch(_LEGS, asked)}
        return [replace(each, leg=legs.get(each.id)) for each in quotes]

    async def consume_many(self, consumed: Sequence[tuple[UUID, UUID]]) -> None:
        """Bind quotes to transfers: pairs of quote and transfer id."""
        status = await self._raw.execute(
            _CONSUME,
            [quote_id for quote_id, _ in consumed],
            [transfer_id for _, transfer_id in consumed],
        )
        if status != f"UPDATE {len(consumed)}":
            raise InvariantBroken(f"of {len(consumed)} quotes to consume, not all are active")

    async def halts(self) -> Sequence[Halt]:
        """Halts of quoting in force now, the oldest first."""
        return tuple(
            Halt(
                row["currency"],
                HaltReason(row["reason"]),
                row["note"],
                row["halted_by"],
                row["halted_at"],
            )
            for row in await self._raw.fetch(_HALTS)
        )

    async def halt(
        self, currency: str | None, reason: HaltReason, halted_by: str, note: str | None
    ) -> None:
        """Halt quoting of a currency, or all; a halt for the same reason stays as it is."""
        await self._raw.execute(_HALT, currency, reason.value, halted_by, note)

    async def revoke(self, currency: str | None, reason: HaltReason) -> int:
        """Revoke every quote that names a currency, or all; how many active ones those were."""
        return int(await self._raw.fetchval(_REVOKE, currency, reason.value))

    async def resume(
        self, currency: str | None, resumed_by: str, mids: Mapping[Pair, Decimal]
    ) -> bool:
        """End the halts of a currency, or of all, whatever their reason."""
        told = {"/".join(pair): format(mid, "f") for pair, mid in mids.items()}
        ended = await self._raw.fetch(_RESUME, currency, resumed_by, orjson.dumps(told).decode())
        has_jumped = any(row["reason"] == HaltReason.JUMP for row in ended)
        if has_jumped:
            await self._raw.execute(_ACCEPT, *_columns(mids))
        return has_jumped

    async def levels(self) -> Mapping[Pair, Level]:
        """Where the mid rates of all pairs stand that have been trusted once."""
        rows = await self._raw.fetch("SELECT sell, buy, mid, since, accepted FROM trusted_mid")
        return {
            (row["sell"], row["buy"]): Level(row["mid"], row["since"], row["accepted"])
            for row in rows
        }

    async def trust(self, mids: Mapping[Pair, Decimal]) -> None:
        """Move levels to where the mid rates are now; begin one where there is none."""
        if mids:
            await self._raw.execute(_TRUST, *_columns(mids))


def _columns(mids: Mapping[Pair, Decimal]) -> tuple[list[str], list[str], list[Decimal]]:
    return [sell for sell, _ in mids], [buy for _, buy in mids], list(mids.values())


def _row(quote: Quote) -> tuple[object, ...]:
    price = quote.price
    return (
        quote.id,
        quote.maker,
        quote.customer_id,
        price.fixed_side.value,
        *_price_row(price),
        quote.created_at,
        quote.expires_at,
    )


def _leg_row(quote_id: UUID, leg: PartnerLeg) -> tuple[object, ...]:
    return (quote_id, leg.partner_id, leg.quote_id, *_price_row(leg.price), leg.expires_at)


def _price_row(price: Price) -> tuple[object, ...]:
    return (
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


def _price(row: Mapping[str, Any]) -> Price:
    sell = Asset(row["sell_asset"], row["sell_digits"])
    buy = Asset(row["buy_asset"], row["buy_digits"])
    return Price(
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
    )


def _leg(row: Mapping[str, Any]) -> PartnerLeg:
    return PartnerLeg(
        row["partner_id"],
        row["partner"],
        row["partner_quote_id"],
        _price(row),
        row["expires_at"],
    )


def _quote(row: Mapping[str, Any]) -> Quote:
    return Quote(
        id=row["id"],
        maker=row["maker"],
        customer_id=row["customer_id"],
        price=_price(row),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        revoked_reason=HaltReason(row["revoked_reason"]) if row["revoked_reason"] else None,
        transfer_id=row["transfer_id"],
    )
