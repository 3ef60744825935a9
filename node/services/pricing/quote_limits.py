"""Limits of open quotes: how many a maker holds, and what they sum up to in each currency.

Everything that is active counts, whoever made it in whatever process; what is consumed, expired or
revoked does not. In a currency, what has just expired counts as long as it may still make a
transfer (`ACCEPTED_LATE_S`). Counting all of it for each batch would cost the more the busier the
node is. But only makers of quotes add to it, one batch at a time: as long as nobody else has held
their lock since, what this process counted last plus what it made since is an upper bound. Within
the bound nothing needs to be counted; where it is reached, the count decides.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from node.core.errors import ExposureLimitReached, NodeError, TooManyQuotes
from node.core.ports import Unit
from node.core.ports.quotes import ActiveQuotes, Exposure
from node.core.quotes import ACCEPTED_LATE_S, Quote
from node.core.units import Money

_LATE: Final = timedelta(seconds=ACCEPTED_LATE_S)
_COUNTED_EVERY: Final = 20_000
"""Quotes after which the bound is counted anew: it would only grow, and so would the memory."""


class OpenLimits:
    """Admits quotes, batch by batch.

    Args:
        active_max: Active quotes of one maker.
        exposure_max_minor: What active quotes may sum up to, by currency; others have no limit.
    """

    def __init__(self, active_max: int, exposure_max_minor: Mapping[str, int]) -> None:
        self._active_max = active_max
        self._exposure_max_minor = exposure_max_minor
        self._by_maker: dict[str, ActiveQuotes] = {}
        self._by_currency: dict[str, Exposure] = {}
        self._is_exact = False
        self._added = 0
        self._batch: list[Quote] = []
        self._turn = 0  # of this batch
        self._committed_turn: int | None = None  # None: nothing is known

    async def begin(self, unit: Unit) -> None:
        """Start a batch: take the lock of making quotes. `end` follows once it is committed."""
        self._turn = await unit.quotes.lock()
        is_bound = self._committed_turn == self._turn - 1 and self._added < _COUNTED_EVERY
        self._committed_turn = None
        self._batch = []
        self._is_exact = False
        if not is_bound:
            await self._count(unit)

    async def admit(self, unit: Unit, quote: Quote) -> None:
        """Add one more quote to the batch.

        Raises:
            ExposureLimitReached: Too much of a currency is open, this quote included.
            TooManyQuotes: Its maker holds as many as allowed.
        """
        refusal = self._refusal(quote)
        if refusal is not None and not self._is_exact:
            await self._count(unit)
            refusal = self._refusal(quote)
        if refusal is not None:
            raise refusal
        self._batch.append(quote)
        self._add(quote)

    def end(self) -> None:
        """The batch is committed: what it added counts from now on."""
        self._committed_turn = self._turn

    async def _count(self, unit: Unit) -> None:
        counted = await unit.quotes.open_quotes()
        self._by_maker, self._by_currency = dict(counted.by_maker), dict(counted.by_currency)
        self._is_exact = True
        self._added = 0
        for each in self._batch:  # not stored yet
            self._add(each)

    def _add(self, quote: Quote) -> None:
        at = quote.expires_at
        mine = self._by_maker.get(quote.maker, ActiveQuotes())
        self._by_maker[quote.maker] = ActiveQuotes(
            mine.count + 1, min(mine.first_expires_at or at, at)
        )
        for money in (quote.price.sell, quote.price.buy):
            there = self._by_currency.get(money.asset.code, Exposure())
            free_at = at + _LATE
            self._by_currency[money.asset.code] = Exposure(
                there.minor + money.minor, there.count + 1, min(there.free_at or free_at, free_at)
            )
        self._added += 1

    def _refusal(self, quote: Quote) -> NodeError | None:
        for money in (quote.price.sell, quote.price.buy):
            limit = self._exposure_max_minor.get(money.asset.code)
            there = self._by_currency.get(money.asset.code, Exposure())
            if limit is not None and there.minor + money.minor > limit:
                return _too_much(money, Money(limit, money.asset), there)
        mine = self._by_maker.get(quote.maker, ActiveQuotes())
        if mine.count >= self._active_max:
            return TooManyQuotes(
                f"you hold {self._active_max} active quotes; use one or wait until one expires",
                limit=self._active_max,
                remaining=0,
                resets_at=_time_text(mine.first_expires_at or quote.expires_at),
            )
        return None


def _too_much(money: Money, limit: Money, there: Exposure) -> ExposureLimitReached:
    code = money.asset.code
    remaining = Money(max(0, limit.minor - there.minor), money.asset)
    is_ever_possible = money.minor <= limit.minor and there.free_at is not None
    return ExposureLimitReached(
        f"open quotes may sum up to {limit} {code}, of which {remaining} are left, and this one"
        f" takes {money}; ask for less, or wait until one expires",
        limit=limit.stated,
        remaining=remaining.stated,
        resets_at=_time_text(there.free_at) if is_ever_possible else None,
    )


def _time_text(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
