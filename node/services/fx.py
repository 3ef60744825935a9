"""Rates and open quotes as operators see them; halting and resuming what is quoted.

Halting revokes every open quote of the currency in the transaction that halts, under the lock of
making quotes, so none is made beside it. A quote that a transfer is consuming at that moment is
decided by its row: consumed or revoked. Resuming after a jump accepts the level of the rates as
they are then. The breaker itself is `node.services.breaker`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from node.core.catalog import Catalog
from node.core.errors import RateUnavailable
from node.core.parties import Principal
from node.core.ports import Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.quotes import Exposure, Halt, Pair
from node.core.quotes import HaltReason, Mid
from node.core.rates import Feed, PricingPolicy
from node.core.units import Asset
from node.services.breaker import Breaker
from node.services.idempotency import RenderError, once
from node.services.rates import Rates


@dataclass(frozen=True, slots=True)
class PairRate:
    """What a corridor would be priced with.

    Attributes:
        mid: As composed now; None: see `fault`.
        trusted: The last mid rate that was trusted by this process; None: none yet.
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
        feeds: What each source said last to the process that answers.
        halts: In force, the oldest first.
    """

    as_of: datetime
    policy: PricingPolicy
    feeds: Sequence[Feed]
    pairs: Sequence[PairRate]
    halts: Sequence[Halt]
    exposure: Sequence[OpenAmount]


@dataclass(frozen=True, slots=True)
class Halted:
    """What halting did: the halts in force, and how many quotes it revoked."""

    halts: Sequence[Halt]
    revoked: int


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
            there = await unit.quotes.open_quotes()
            now = unit.now
        limits = self._catalog.exposure_max_minor
        named = dict.fromkeys(code for pair in self._catalog.corridors for code in pair)
        return FxState(
            now,
            self._rates.policy,
            self._rates.feeds,
            [self._pair(*pair, now) for pair in self._catalog.corridors],
            halts.in_force,
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
        await self._rates.refresh()
        async with self._units() as unit:
            pairs = self._catalog.corridors.keys()
            board = await self._breaker.board(unit, pairs, await unit.quotes.halts())
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
            return render(Halted((await unit.quotes.halts()).in_force, revoked))

        return await once(self._units, claim, work, render_error)

    async def resume(
        self,
        principal: Principal,
        currency: str | None,
        /,
        *,
        claim: Claim | None,
        render: Callable[[Sequence[Halt]], Answer],
        render_error: RenderError,
    ) -> Answer:
        """End the halts of a currency, or the halt of everything, if there are any.

        A currency that was halted by itself stays so when the halt of everything ends. After a
        jump the mid rates as they are now are accepted as the new level. The answer is rendered
        from the halts that are left.
        """

        async def work(unit: Unit) -> Answer:
            await unit.quotes.lock()
            await unit.quotes.resume(currency, principal.key, self._mids(currency, unit.now))
            return render((await unit.quotes.halts()).in_force)

        return await once(self._units, claim, work, render_error)

    def _mids(self, currency: str | None, now: datetime) -> Mapping[Pair, Decimal]:
        """Mid rates of the pairs that a halt covers, where there are any now."""
        rates = [
            self._pair(*pair, now)
            for pair in self._catalog.corridors
            if currency is None or currency in pair
        ]
        return {(each.sell, each.buy): each.mid.rate for each in rates if each.mid is not None}

    def _pair(self, sell: str, buy: str, now: datetime) -> PairRate:
        mid: Mid | None = None
        fault: str | None = None
        try:
            mid = self._rates.mid(sell, buy, now)
        except RateUnavailable as error:
            fault = error.detail
        return PairRate(sell, buy, mid, self._rates.trusted.get((sell, buy)), fault)
