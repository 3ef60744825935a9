"""Quotes: rates as exact ratios, corridors, prices of either side, and the life of a firm quote.

Everything is integer arithmetic. What the customer pays rounds up, what the beneficiary gets
rounds down, each amount once. Which rates are fit to price with is in `node.core.rates`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, Self
from uuid import UUID

from node.core.errors import AmountOutOfRange, InvariantBroken, RateUnavailable
from node.core.ledger import TransferAmounts
from node.core.parties import Principal, Role
from node.core.units import MINOR_LIMIT, Asset, Money, format_minor

ONE_BPS: Final = 10_000
"""Basis points of the whole."""

MID_DIGITS: Final = 18
"""Significant decimal digits of a mid rate."""

TTL_MAX_S: Final = 1800
"""Longest life of a quote that may be asked for."""

ACCEPTED_LATE_S: Final = 60
"""How long after it expired, by another's clock, a quote may still make a transfer.

An acceptance is judged at the moment its transaction began, and then waits for the ledger and for
the rows of its quotes, for each no longer than `lock_timeout` (30 s, `node.store.database`).
"""

_STATED = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")


class FixedSide(StrEnum):
    """Which amount the caller gave."""

    SELL = "sell"
    BUY = "buy"


class HaltReason(StrEnum):
    """Why quoting is halted, and why a quote that was open then is revoked."""

    OPERATOR = "operator"
    """A person said so."""

    JUMP = "jump"
    """The mid rate moved too far from the last one that was trusted."""


class QuoteStatus(StrEnum):
    """The life of a firm quote; all but `active` are final."""

    ACTIVE = "active"
    CONSUMED = "consumed"
    EXPIRED = "expired"
    REVOKED = "revoked"


QUOTE_MOVES: Final[Mapping[QuoteStatus, frozenset[QuoteStatus]]] = {
    QuoteStatus.ACTIVE: frozenset(QuoteStatus) - {QuoteStatus.ACTIVE},
    QuoteStatus.CONSUMED: frozenset(),
    QuoteStatus.EXPIRED: frozenset(),
    QuoteStatus.REVOKED: frozenset(),
}
"""Every move there is."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What a source states: `numerator / denominator` units of `buy` for one unit of `sell`.

    Units are whole ones (euros, not cents). Used against its direction, a rate counts as its
    exact reciprocal; it is always printed in the direction its source states, where it is a
    finite decimal.

    Attributes:
        denominator: A power of ten.
        source: Name of the source.
        observed_at: When the source saw it, aware UTC.
        stale: Older than its source's rates usually are.
    """

    sell: str
    buy: str
    numerator: int
    denominator: int
    source: str
    observed_at: datetime
    stale: bool = False

    def __post_init__(self) -> None:
        if self.numerator <= 0 or self.denominator != 10**self._decimals or self.sell == self.buy:
            raise InvariantBroken(f"no rate is {self.numerator}/{self.denominator}")

    @classmethod
    def stated(cls, sell: str, buy: str, text: str, source: str, observed_at: datetime) -> Self:
        """A rate from the decimal string of its source.

        Raises:
            RateUnavailable: Not a plain decimal above zero (`NaN`, `inf`, a sign or an exponent
                are not), or one asset against itself.
        """
        if not _STATED.fullmatch(text) or not text.strip("0.") or sell == buy:
            raise RateUnavailable(f"{source} states no usable rate for {sell}/{buy}", source=source)
        whole, _, fraction = text.partition(".")
        return cls(sell, buy, int(whole + fraction), 10 ** len(fraction), source, observed_at)

    @property
    def text(self) -> str:
        """The rate as a decimal string, all digits of the source."""
        return format_minor(self.numerator, self._decimals)

    @property
    def _decimals(self) -> int:
        return len(str(self.denominator)) - 1


@dataclass(frozen=True, slots=True)
class Mid:
    """The rate before the spread: buy units per one sell unit, with what it is made of."""

    rate: Decimal
    sources: tuple[Rate, ...]


def mid_of(sell: str, buy: str, sources: Sequence[Rate]) -> Mid:
    """The product of the rates that lead from `sell` to `buy`, cut off downwards to 18 digits.

    Raises:
        InvariantBroken: They do not lead there.
    """
    numerator, denominator = chained(sell, buy, sources)
    return Mid(cut_rate(numerator, denominator), tuple(sources))


def chained(sell: str, buy: str, sources: Sequence[Rate]) -> tuple[int, int]:
    """The exact product of rates that lead from one asset to another, as a ratio.

    A rate that is passed against its direction counts as its reciprocal.

    Raises:
        InvariantBroken: They do not lead there.
    """
    numerator = denominator = 1
    reached = sell
    for each in sources:
        if reached == each.sell:
            reached = each.buy
            numerator, denominator = numerator * each.numerator, denominator * each.denominator
        elif reached == each.buy:
            reached = each.sell
            numerator, denominator = numerator * each.denominator, denominator * each.numerator
        else:
            raise InvariantBroken(f"{each.sell}/{each.buy} does not follow {reached}")
    if reached != buy:
        raise InvariantBroken(f"the rates lead from {sell} to {reached}, not to {buy}")
    return numerator, denominator


def cut_rate(numerator: int, denominator: int) -> Decimal:
    """The ratio with at most 18 significant digits, downwards; no trailing zeros."""
    shift = MID_DIGITS - len(str(numerator)) + len(str(denominator))
    digits = _scaled(numerator, shift) // _scaled(denominator, -shift)
    if digits >= 10**MID_DIGITS:
        digits, shift = digits // 10, shift - 1
    return _decimal(digits, shift)


def _scaled(number: int, power: int) -> int:
    return number * 10**power if power > 0 else number


def _decimal(digits: int, decimals: int) -> Decimal:
    """The number `digits x 10^-decimals`, exactly: no trailing zeros, no decimal context."""
    while digits % 10 == 0:
        digits, decimals = digits // 10, decimals - 1
    return Decimal(f"{digits}E{-decimals}")


@dataclass(frozen=True, slots=True)
class Corridor:
    """What the node charges and allows for one pair.

    Attributes:
        payout_method: How the beneficiary is paid; `onchain`.
        service_fee_bps: Of the whole sell amount.
        service_fee_min_minor: Least service fee, minor units of the sell asset.
        network_fee_minor: Minor units of the sell asset.
        spread_bps: Taken off the mid rate.
        sell_min_minor: Least sell amount, minor units; `sell_max_minor` the most.
        estimated_delivery_s: From acceptance to the beneficiary.
    """

    sell: Asset
    buy: Asset
    payout_method: str
    service_fee_bps: int
    service_fee_min_minor: int
    network_fee_minor: int
    spread_bps: int
    sell_min_minor: int
    sell_max_minor: int
    estimated_delivery_s: int

    def __post_init__(self) -> None:
        if not (
            self.sell != self.buy
            and 0 <= self.service_fee_bps < ONE_BPS
            and 0 <= self.spread_bps < ONE_BPS
            and min(self.service_fee_min_minor, self.network_fee_minor) >= 0
            and 0 < self.sell_min_minor <= self.sell_max_minor < MINOR_LIMIT
        ):
            raise InvariantBroken(f"the corridor {self.sell}/{self.buy} is not possible")


@dataclass(frozen=True, slots=True)
class Price:
    """Both amounts with everything that lies between them.

    `sell = fees + principal`, exactly. For a fixed sell, `buy` is the principal times `rate`
    rounded down; for a fixed buy, `sell` is the least amount that buys it.

    Attributes:
        mid_rate: Buy units per sell unit, before the spread.
        sources: The rates `mid_rate` is the product of, on the way from sell to buy.
    """

    fixed_side: FixedSide
    sell: Money
    buy: Money
    service_fee: Money
    network_fee: Money
    mid_rate: Decimal
    spread_bps: int
    sources: tuple[Rate, ...]
    payout_method: str
    estimated_delivery_s: int

    @property
    def rate(self) -> Decimal:
        """`mid_rate x (10000 - spread_bps) / 10000`, exactly."""
        _, digits, exponent = self.mid_rate.as_tuple()
        assert isinstance(exponent, int)  # neither NaN nor infinite
        number = int("".join(map(str, digits))) * (ONE_BPS - self.spread_bps)
        return _decimal(number, 4 - exponent)

    @property
    def fees(self) -> Money:
        """Service and network fee together."""
        return self.service_fee + self.network_fee

    @property
    def principal(self) -> Money:
        """What is exchanged, spread included."""
        return self.sell - self.fees

    @property
    def spread(self) -> Money:
        """The part of the principal that is the node's spread, rounded down."""
        return Money(self.principal.minor * self.spread_bps // ONE_BPS, self.sell.asset)

    @property
    def total_cost(self) -> Money:
        """`sell - buy / mid_rate`: fees, spread and rounding, rounded up to a minor unit."""
        numerator, denominator = self.mid_rate.as_integer_ratio()
        worth = (self.buy.minor * denominator * 10**self.sell.asset.digits) // (
            numerator * 10**self.buy.asset.digits
        )
        return Money(self.sell.minor - worth, self.sell.asset)

    @property
    def total_cost_percent(self) -> str:
        """Total cost in percent of the sell amount, half up, two digits."""
        hundredths = (2 * ONE_BPS * self.total_cost.minor + self.sell.minor) // (
            2 * self.sell.minor
        )
        return format_minor(hundredths, 2)


@dataclass(frozen=True, slots=True)
class _Terms:
    """A corridor at one moment: `numerator / denominator` buy minor units per sell minor unit."""

    corridor: Corridor
    numerator: int
    denominator: int

    def service_fee(self, sell: int) -> int:
        """Rounded up, so that it is never undercharged."""
        fee = -(-sell * self.corridor.service_fee_bps // ONE_BPS)
        return max(self.corridor.service_fee_min_minor, fee)

    def principal(self, sell: int) -> int:
        """What is left to exchange; negative where the fees eat it all."""
        return sell - self.service_fee(sell) - self.corridor.network_fee_minor

    def bought(self, sell: int) -> int:
        """Rounded down: the residue stays in the node's position."""
        return max(0, self.principal(sell)) * self.numerator // self.denominator

    def sell_for_principal(self, principal: int) -> int:
        """Least sell amount that leaves at least this principal.

        `principal(s)` is the lesser of s - minimum - network and floor(s x (1 - bps)) - network.
        Each has a least s of its own; the greater of the two is the answer.
        """
        wanted = principal + self.corridor.network_fee_minor
        kept_bps = ONE_BPS - self.corridor.service_fee_bps
        return max(wanted + self.corridor.service_fee_min_minor, -(-wanted * ONE_BPS // kept_bps))

    def sell_for(self, buy: int) -> int:
        """Least sell amount that buys at least this; limits apart."""
        return self.sell_for_principal(-(-buy * self.denominator // self.numerator))

    def limits(self) -> tuple[int, int]:
        """Least and greatest sell amount that are allowed and buy a countable amount."""
        beyond = self.sell_for(MINOR_LIMIT)
        return (
            max(self.corridor.sell_min_minor, self.sell_for(1)),
            min(self.corridor.sell_max_minor, beyond - 1),
        )


def price_fixed_sell(corridor: Corridor, mid: Mid, sell_minor: int) -> Price:
    """Price a sell amount: what the beneficiary gets is rounded down.

    Raises:
        AmountOutOfRange: Outside the corridor's limits, or the fees or the rounding leave nothing,
            or the buy amount is 2^62 minor units or more.
    """
    terms = _terms(corridor, mid)
    buy_minor = terms.bought(sell_minor)
    if (
        not corridor.sell_min_minor <= sell_minor <= corridor.sell_max_minor
        or not 0 < buy_minor < MINOR_LIMIT
    ):
        least, most = terms.limits()
        raise _out_of_range(Money(least, corridor.sell), Money(most, corridor.sell))
    return _price(FixedSide.SELL, terms, mid, sell_minor, buy_minor)


def price_fixed_buy(corridor: Corridor, mid: Mid, buy_minor: int) -> Price:
    """Price a buy amount: the least sell amount of the corridor that buys it.

    A buy amount whose least sell amount is below the corridor's minimum is sold at the minimum
    when the minimum buys exactly that amount, and is refused otherwise.

    Raises:
        AmountOutOfRange: The sell amount would be outside the corridor's limits, or the buy
            amount is zero, or the sell amount would buy 2^62 minor units or more.
    """
    terms = _terms(corridor, mid)
    sell_minor = terms.sell_for(buy_minor)
    if sell_minor < corridor.sell_min_minor and terms.bought(corridor.sell_min_minor) == buy_minor:
        sell_minor = corridor.sell_min_minor
    if (
        buy_minor <= 0
        or not corridor.sell_min_minor <= sell_minor <= corridor.sell_max_minor
        or terms.bought(sell_minor) >= MINOR_LIMIT
    ):
        least, most = terms.limits()
        least_bought = min(terms.bought(least), terms.bought(least - 1) + 1)
        raise _out_of_range(
            Money(least_bought, corridor.buy), Money(terms.bought(most), corridor.buy)
        )
    return _price(FixedSide.BUY, terms, mid, sell_minor, buy_minor)


def _terms(corridor: Corridor, mid: Mid) -> _Terms:
    numerator, denominator = mid.rate.as_integer_ratio()
    return _Terms(
        corridor,
        numerator * (ONE_BPS - corridor.spread_bps) * 10**corridor.buy.digits,
        denominator * ONE_BPS * 10**corridor.sell.digits,
    )


def _price(side: FixedSide, terms: _Terms, mid: Mid, sell_minor: int, buy_minor: int) -> Price:
    corridor = terms.corridor
    return Price(
        fixed_side=side,
        sell=Money(sell_minor, corridor.sell),
        buy=Money(buy_minor, corridor.buy),
        service_fee=Money(terms.service_fee(sell_minor), corridor.sell),
        network_fee=Money(corridor.network_fee_minor, corridor.sell),
        mid_rate=mid.rate,
        spread_bps=corridor.spread_bps,
        sources=mid.sources,
        payout_method=corridor.payout_method,
        estimated_delivery_s=corridor.estimated_delivery_s,
    )


def _out_of_range(least: Money, most: Money) -> AmountOutOfRange:
    code = least.asset.code
    if most < least:
        return AmountOutOfRange(f"at this rate no {code} amount is possible", min=None, max=None)
    return AmountOutOfRange(
        f"the amount must be from {least} to {most} {code}",
        min=least.stated,
        max=most.stated,
    )


@dataclass(frozen=True, slots=True)
class PartnerLeg:
    """What a partner is bound to pay out for the token that a quote buys.

    Attributes:
        partner: Its name.
        quote_id: As the partner names its quote.
        price: Sells the token, by the partner's word; its fees are in the token.
        expires_at: When the partner is bound no more, aware UTC.
    """

    partner_id: UUID
    partner: str
    quote_id: str
    price: Price
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Quote:
    """A price the node is bound to until `expires_at`, for one transfer.

    Attributes:
        maker: `Principal.key` of who asked; only its transfers consume the quote.
        customer_id: If set, only this customer's transfer does.
        created_at: Database clock, aware UTC; so are `expires_at` and `revoked_at`.
        revoked_reason: Why it was revoked, if it was.
        transfer_id: The transfer that consumed it.
        leg: Where a partner pays out: what it pays for what `price` buys.
    """

    id: UUID
    maker: str
    customer_id: UUID | None
    price: Price
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    revoked_reason: HaltReason | None = None
    transfer_id: UUID | None = None
    leg: PartnerLeg | None = None

    def status(self, now: datetime) -> QuoteStatus:
        """Where the quote stands; active only while `expires_at > now`.

        What was revoked after it had expired (see `ACCEPTED_LATE_S`) stays expired.
        """
        if self.transfer_id is not None:
            return QuoteStatus.CONSUMED
        if self.revoked_at is not None:
            was_open = self.revoked_at < self.expires_at
            return QuoteStatus.REVOKED if was_open else QuoteStatus.EXPIRED
        return QuoteStatus.ACTIVE if self.expires_at > now else QuoteStatus.EXPIRED

    def is_visible_to(self, principal: Principal) -> bool:
        """Whether the quote exists for this principal: its maker and the operator."""
        return principal.role is Role.OPERATOR or self.maker == principal.key

    @property
    def delivered(self) -> Money:
        """What the beneficiary gets."""
        return self.price.buy if self.leg is None else self.leg.price.buy

    @property
    def amounts(self) -> TransferAmounts:
        """The integers a transfer takes over and never computes again."""
        price = self.price
        return TransferAmounts(
            sell_asset=price.sell.asset.code,
            sell=price.sell.minor,
            service_fee_minor=price.service_fee.minor,
            network_fee_minor=price.network_fee.minor,
            spread=price.spread.minor,
            buy_asset=price.buy.asset.code,
            buy=price.buy.minor,
        )
