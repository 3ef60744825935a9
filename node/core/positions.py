"""The node's positions: what it is exposed to in each currency, and what closing them would leave.

Exchanging leaves the node long of what it was paid and short of what it paid out: the posted
balance of `fx_position/{asset}`, where credits make it long. Spread and fees are no part of it;
they are `deferred` until a transfer is complete, and `income` from then on.

**The unrealised result at the current mid** is what would be left, in the reporting currency, if
every position were closed now at the mid rate, with nobody's spread or fee: for each currency the
position times its current mid, and the sum of these.

Worked through for EUR 200.00 at mid 1.15626. Fees are 0.62 and the principal is 199.38. The spread,
20 bps of it, is 0.39876 and booked as 0.39, so the position is EUR 198.99 long. What is paid out is
floor(199.38 x 1.15394748) = 230.074048 USDC, so the position is USDC 230.074048 short. At the same
mid that is worth 230.074048 / 1.15626 = 198.98123951... EUR, and closing would leave
0.00876048... EUR: the part of the spread that is below a cent, and the part of the payout that is
below a millionth. If a euro then buys only 1.10 USDC, the same USDC cost 209.15822545... EUR, and
the result is a loss of 10.16822545... EUR.

It is the result of all exchanging since the beginning: what the treasury closed stays in
`fx_position` as the difference it was closed at. Not part of it are spread and fees, gas, and the
capital that the node holds in any currency.

**Rounding.** The value of a position is rounded down once, towards minus infinity, to a minor unit
of the reporting currency: what the node is long of is never overstated, what it is short of never
understated. The result of some days is the value of the position after them less that before them,
both at the current mid. So every figure is less than one minor unit per currency away from the
exact one, and all of them add up: days to periods, periods to the total, currencies to their sum.

Not here: the rates (`node.core.rates`), reading the books (`node.services.pricing.positions`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final, Self

from node.core.errors import PeriodInvalid
from node.core.ledger import AccountKind, Balance
from node.core.quotes import Mid, Rate, chained
from node.core.statements import Period
from node.core.units import Asset

PREFIXES: Final = ("fx_position/", "income/", "deferred/")
"""How the paths of all accounts begin that positions are made of."""

DAYS_MAX: Final = 366
"""Days that are answered for at once: a leap year."""


def period_of(first: date | None, last: date | None, today: date) -> Period:
    """The days asked for.

    Args:
        first: First day; None: the last one.
        last: Last day; None: today.
        today: The day it is, UTC.

    Raises:
        PeriodInvalid: It ends before it begins or after today, or has more than `DAYS_MAX` days
            (`errors`).
    """
    period = Period.of(first or last or today, last, today)
    days = (period.last - period.first).days + 1
    if days > DAYS_MAX:
        message = f"ask for at most {DAYS_MAX} days at once, not {days}"
        raise PeriodInvalid(
            f"`from` is wrong: {message}",
            errors=[{"parameter": "from", "code": "too_long", "message": message}],
            days_max=DAYS_MAX,
        )
    return period


@dataclass(frozen=True, slots=True)
class Standing:
    """What the books say of one currency at one point; minor units, since the beginning.

    Attributes:
        came_in: Posted credits of the position.
        went_out: Posted debits of the position.
        pending: By how much the position would grow if all that is accepted and not final yet were
            posted; either sign.
        spread_earned: Spread of what is complete.
        fees_earned: Fees of what is complete.
        spread_deferred: Spread taken at acceptance and not earned yet.
        fees_deferred: Fees taken at acceptance and not earned yet.
    """

    came_in: int = 0
    went_out: int = 0
    pending: int = 0
    spread_earned: int = 0
    fees_earned: int = 0
    spread_deferred: int = 0
    fees_deferred: int = 0

    @property
    def position(self) -> int:
        """Above 0 the node is long, below 0 it is short."""
        return self.came_in - self.went_out


NOTHING: Final = Standing()


def standings(balances: Iterable[Balance]) -> Mapping[str, Standing]:
    """What the accounts below `PREFIXES` say, by currency code."""
    known = {each.path: each for each in balances}
    codes = sorted({each.asset for each in known.values()})
    return {code: _standing(known, code) for code in codes}


def _standing(known: Mapping[str, Balance], code: str) -> Standing:
    def account(path: str) -> Balance:
        whole = f"{path}/{code}"
        return known.get(whole) or Balance(whole, AccountKind.EQUITY, code)

    def held(path: str) -> int:
        """What a liability is, and what it will be once pending entries are posted."""
        found = account(path)
        return found.posted + _pending(found)

    position = account("fx_position")
    return Standing(
        came_in=position.credits_posted,
        went_out=position.debits_posted,
        pending=_pending(position),
        spread_earned=account("income/spread").posted,
        fees_earned=account("income/fee").posted,
        spread_deferred=held("deferred/spread"),
        fees_deferred=held("deferred/fee"),
    )


def _pending(balance: Balance) -> int:
    return balance.credits_pending - balance.debits_pending


@dataclass(frozen=True, slots=True)
class Worth:
    """What amounts of one currency are worth in the reporting currency now.

    Attributes:
        asset: The currency.
        mid_rate: How much of it one unit of the reporting currency is, as quotes print it: to be
            read, not applied. None where it is not known.
        sources: The rates that `mid_rate` is the product of; amounts are valued with their exact
            product.
        reason: Why the rate is not known, a sentence; None where it is.
        ratio: Minor units of the reporting currency for one minor unit of this one, as numerator
            and denominator above 0.
    """

    asset: Asset
    mid_rate: Decimal | None
    sources: tuple[Rate, ...]
    reason: str | None
    ratio: tuple[int, int] | None

    @classmethod
    def at(cls, mid: Mid, asset: Asset, reporting: Asset) -> Self:
        """Worth at the mid rate from the reporting currency to this one."""
        bought, sold = chained(reporting.code, asset.code, mid.sources)
        ratio = (sold * 10**reporting.digits, bought * 10**asset.digits)
        return cls(asset, mid.rate, mid.sources, None, ratio)

    @classmethod
    def itself(cls, reporting: Asset) -> Self:
        """What the reporting currency is worth in itself."""
        return cls(reporting, Decimal(1), (), None, (1, 1))

    @classmethod
    def unknown(cls, asset: Asset, reason: str) -> Self:
        """There is no rate, for this reason."""
        return cls(asset, None, (), reason, None)

    def value(self, minor: int) -> int | None:
        """Worth of `minor` units, rounded down, towards minus infinity; None: not known.

        Nothing is worth nothing at any rate.
        """
        if minor == 0:
            return 0
        if self.ratio is None:
            return None
        numerator, denominator = self.ratio
        return minor * numerator // denominator


@dataclass(frozen=True, slots=True)
class Change:
    """What became of the position in one currency between two points.

    Attributes:
        opening: At the first point.
        closing: At the second one.
    """

    worth: Worth
    opening: Standing
    closing: Standing

    @property
    def came_in(self) -> int:
        """What was posted to the long side."""
        return self.closing.came_in - self.opening.came_in

    @property
    def went_out(self) -> int:
        """What was posted to the short side."""
        return self.closing.went_out - self.opening.went_out

    @property
    def spread_earned(self) -> int:
        """Spread of what became complete."""
        return self.closing.spread_earned - self.opening.spread_earned

    @property
    def fees_earned(self) -> int:
        """Fees of what became complete."""
        return self.closing.fees_earned - self.opening.fees_earned

    @property
    def value(self) -> int | None:
        """What the closing position is worth now, minor units of the reporting currency."""
        return self.worth.value(self.closing.position)

    @property
    def result(self) -> int | None:
        """What the position's change is worth now: the value of its closing less its opening.

        No change is worth nothing at any rate.
        """
        if self.opening.position == self.closing.position:
            return 0
        before, after = self.worth.value(self.opening.position), self.value
        return None if before is None or after is None else after - before


@dataclass(frozen=True, slots=True)
class Result:
    """What positions in several currencies left, together.

    Attributes:
        minor: Minor units of the reporting currency; None: not known.
        reason: Why not, a sentence; None where it is known.
    """

    minor: int | None
    reason: str | None


def result_of(changes: Iterable[Change]) -> Result:
    """The sum of all results; not known if one of them is not."""
    known = [(each.worth, each.result) for each in changes]
    lacking = [worth for worth, minor in known if minor is None]
    if lacking:
        return Result(None, "; ".join(f"{each.asset.code}: {each.reason}" for each in lacking))
    return Result(sum(minor for _, minor in known if minor is not None), None)


@dataclass(frozen=True, slots=True)
class OpenSum:
    """Active firm quotes that name a currency on either side.

    Attributes:
        minor: Sum of their amounts in it, fees included; minor units.
        count: How many they are.
    """

    asset: Asset
    minor: int
    count: int


@dataclass(frozen=True, slots=True)
class Day:
    """One day, UTC.

    Attributes:
        sequence: The newest of the ledger that counts; of today, the newest so far.
        changes: By currency; the same currencies every day.
    """

    day: date
    sequence: int
    changes: Sequence[Change]


@dataclass(frozen=True, slots=True)
class Positions:
    """The node's positions now, and day by day.

    Attributes:
        reporting: The currency everything is valued in.
        made_at: When, and the moment of the rates.
        sequence: The newest of the ledger.
        booked_at: When that was booked; None: nothing was yet.
        total: From the beginning until now, by currency.
        open_quotes: What active firm quotes sum up to, of currencies that have some.
        period: The days asked for.
        days: Each of them, the first first.
    """

    reporting: Asset
    made_at: datetime
    sequence: int
    booked_at: datetime | None
    total: Sequence[Change]
    open_quotes: Sequence[OpenSum]
    period: Period
    days: Sequence[Day]

    @property
    def changes(self) -> Sequence[Change]:
        """From the beginning of the period to its end, by currency."""
        return [
            Change(first.worth, first.opening, last.closing)
            for first, last in zip(self.days[0].changes, self.days[-1].changes, strict=True)
        ]
