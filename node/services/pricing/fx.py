"""Rates and open quotes as operators see them; halting and resuming what is quoted.

Halting revokes every open quote of the currency in the transaction that halts, under the lock of
making quotes, so none is made beside it. A quote that a transfer is consuming at that moment is
decided by its row: consumed or revoked. Resuming after a jump accepts the level of the rates as
the process that answers has them then, and says which; where it has none, the level stays. The
breaker itself is `node.services.pricing.breaker`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from node.core.catalog import Catalog
from node.core.errors import DatabaseUnavailable, InvalidInput, RateUnavailable, WrongState
from node.core.parties import Principal
from node.core.ports import Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.quotes import Exposure, Halt, Level, Pair
from node.core.quotes import HaltReason, Mid
from node.core.rates import PricingPolicy, Reading, is_jump
from node.core.units import Asset
from node.services.idempotency import RenderError, once
from node.services.pricing.breaker import Breaker
from node.services.pricing.rates import Rates


@dataclass(frozen=True, slots=True)
class PairRate:
    """What a corridor would be priced with.

    Attributes:
        mid: As composed now; None: see `fault`.
        trusted: The last mid rate that was trusted, by any process; None: none yet.
        fault: Why there is no mid rate, a sentence.
    """

    sell: str
    buy: str
    mid: Mid | None
    trusted: Decimal | None
    fault: str | None


@dataclass(frozen=True, slots=True)
class OpenAmount:
    """What active quotes of a currency sum up to, and may; None: it has no limit."""

    asset: Asset
    open: Exposure
    limit_minor: int | None


@dataclass(frozen=True, slots=True)
class FxState:
    """Rates and open quotes at one moment.

    Attributes:
        readings: What each source said last to the process that answers.
        halts: In force, the oldest first.
    """

    as_of: datetime
    policy: PricingPolicy
    readings: Sequence[Reading]
    pairs: Sequence[PairRate]
    halts: Sequence[Halt]
    exposure: Sequence[OpenAmount]


@dataclass(frozen=True, slots=True)
class Halted:
    """What halting did: the halts in force, and how many quotes it revoked."""

    halts: Sequence[Halt]
    revoked: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """What resuming did: the halts that are left, and the mid rates accepted as new levels."""

    halts: Sequence[Halt]
    accepted: Mapping[Pair, Decimal]


class FxService:
    """For operators only; the edge has checked the role."""

    def __init__(self, units: UnitOfWork, catalog: Catalog, rates: Rates) -> None:
        self._units = units
        self._catalog = catalog
        self._rates = rates
        self._breaker = Breaker(rates, catalog)

    async def state(self) -> FxState:
        """Rates and open quotes now."""
        async with self._units() as unit:
            halts = await unit.quotes.halts()
            levels = await unit.quotes.levels()
            there = await unit.quotes.open_quotes()
            now = unit.now
        self._rates.follow(levels)
        limits = self._catalog.exposure_max_minor
        named = dict.fromkeys(code for pair in self._catalog.corridors for code in pair)
        return FxState(
            now,
            self._rates.policy,
            self._rates.readings,
            [self._pair(pair, levels.get(pair), now) for pair in self._catalog.corridors],
            halts,
            [
                OpenAmount(
                    self._catalog.asset(code),
                    there.by_currency.get(code, Exposure()),
                    limits.get(code),
                )
                for code in named
            ],
        )

    async def refresh(self) -> Sequence[Halt]:
        """Read every source, and halt what has jumped; the halts that are then in force.

        Raises:
            DatabaseUnavailable: The sources are read; what has jumped is halted by whoever is
                next asked for a price.
        """
        now: datetime | None = None
        with suppress(DatabaseUnavailable):
            async with self._units() as unit:
                now = unit.now  # before they are read: what is accepted from now on is newer
        await self._rates.refresh(now)
        async with self._units() as unit:
            board = await self._breaker.watch(unit, self._catalog.corridors.keys())
        return board.halts

    async def halt(
        self,
        principal: Principal,
        currency: str | None,
        /,
        *,
        note: str | None,
        claim: Claim | None,
        render: Callable[[Halted], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Quote nothing more in a currency, or in any, and revoke what is open.

        Halting what is halted changes nothing.
        """

        async def work(unit: Unit) -> Answer:
            await unit.quotes.lock()
            await unit.quotes.halt(currency, HaltReason.OPERATOR, principal.key, note)
            revoked = await unit.quotes.revoke(currency, HaltReason.OPERATOR)
            return render(Halted(await unit.quotes.halts(), revoked))

        return await once(self._units, claim, work, render_error)

    async def resume(
        self,
        principal: Principal,
        currency: str | None,
        /,
        *,
        mid: Decimal | None,
        claim: Claim | None,
        render: Callable[[Resumed], Answer],
        render_error: RenderError,
    ) -> Answer:
        """End the halts of a currency, or the halt of everything, if there are any.

        A currency that was halted by itself stays so when the halt of everything ends. After a
        jump the mid rates as this process has them now are accepted as the new levels; where it has
        none, the level before stays, and is what the next mid rate is compared with.

        `mid` is what the operator has seen of the currency: only a level near it is accepted.

        Raises:
            InvalidInput: `mid` without a currency.
            WrongState: This process has no mid rate, or one further than `jump_max_bps` from
                `mid`; with `mid_rate`. Nothing was resumed.
        """
        if mid is not None and currency is None:
            raise InvalidInput("a mid rate is of one currency: say which, or leave it out")

        async def work(unit: Unit) -> Answer:
            await unit.quotes.lock()
            levels = await unit.quotes.levels()
            self._rates.follow(levels)
            pairs = [
                self._pair(pair, levels.get(pair), unit.now)
                for pair in self._catalog.corridors
                if currency is None or currency in pair
            ]
            if mid is not None:
                self._check_seen(mid, pairs)
            mids = {(each.sell, each.buy): each.mid.rate for each in pairs if each.mid is not None}
            has_jumped = await unit.quotes.resume(currency, principal.key, mids)
            return render(Resumed(await unit.quotes.halts(), mids if has_jumped else {}))

        return await once(self._units, claim, work, render_error)

    def _check_seen(self, seen: Decimal, pairs: Sequence[PairRate]) -> None:
        for each in pairs:
            there = None if each.mid is None else each.mid.rate
            if there is None or is_jump(there, seen, self._rates.policy.jump_max_bps):
                now = "there is none" if there is None else f"it is {there:f}"
                raise WrongState(
                    f"the mid rate of {each.sell}/{each.buy} is not near {seen:f} here, {now}; look"
                    " at the rates again",
                    mid_rate=None if there is None else format(there, "f"),
                )

    def _pair(self, pair: Pair, level: Level | None, now: datetime) -> PairRate:
        mid: Mid | None = None
        fault: str | None = None
        try:
            mid = self._rates.mid(*pair, now)
        except RateUnavailable as error:
            fault = error.detail
        return PairRate(*pair, mid, None if level is None else level.mid, fault)
