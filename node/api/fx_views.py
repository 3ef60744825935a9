"""What operators see of rates, halts and open quotes. See `views`."""

from datetime import datetime

from typing_extensions import TypedDict

from node.api.views import MoneyView, money_view, time_text
from node.core.catalog import Catalog
from node.core.ports.quotes import Halt
from node.core.rates import PricingPolicy, Reading, is_too_old
from node.core.units import Money
from node.services.pricing.fx import FxState, OpenAmount, PairRate, Resumed


class PricingView(TypedDict):
    """What is asked of the sources before there is a price."""

    method: str
    sources_min: int
    disagreement_max_bps: int
    jump_max_bps: int
    bridge: list[str]


class ReadingView(TypedDict):
    """A rate as its source states it; `usable` unless it is too old or from the future."""

    sell: str
    buy: str
    rate: str
    observed_at: str
    age_s: int
    usable: bool


class SourceView(TypedDict):
    """A source: what it said last, and why it could not be read since, if so."""

    name: str
    max_age_s: int | None
    fault: str | None
    rates: list[ReadingView]


class PairRateView(TypedDict):
    """What a corridor would be priced with; `fault` says why there is no `mid_rate`."""

    sell: str
    buy: str
    mid_rate: str | None
    trusted_mid_rate: str | None
    fault: str | None


class HaltView(TypedDict):
    """A halt of quoting; `currency` null: of everything."""

    currency: str | None
    reason: str
    note: str | None
    halted_by: str
    halted_at: str


class LevelView(TypedDict):
    """A mid rate that an operator accepted after a jump."""

    sell: str
    buy: str
    mid_rate: str


class ResumedView(TypedDict):
    """The halts still in force, and the levels that were accepted."""

    data: list[HaltView]
    accepted: list[LevelView]


class HaltedView(TypedDict):
    """The halts in force, and how many open quotes were revoked."""

    data: list[HaltView]
    quotes_revoked: int


class OpenAmountView(TypedDict):
    """What active quotes sum up to in a currency; `limit` null: there is none."""

    currency: str
    open: MoneyView
    quotes: int
    limit: MoneyView | None
    remaining: MoneyView | None


class FxView(TypedDict):
    """Rates and open quotes; `sources` and `corridors` as the process that answers has them."""

    as_of: str
    pricing: PricingView
    sources: list[SourceView]
    corridors: list[PairRateView]
    halts: list[HaltView]
    exposure: list[OpenAmountView]


def fx_view(state: FxState, catalog: Catalog) -> FxView:
    """Rates and open quotes; of the sources, what is about currencies of the node."""
    return {
        "as_of": time_text(state.as_of),
        "pricing": _pricing(state.policy),
        "sources": [_source(each, catalog, state.as_of) for each in state.readings],
        "corridors": [_pair(each) for each in state.pairs],
        "halts": [halt_view(each) for each in state.halts],
        "exposure": [_open_amount(each) for each in state.exposure],
    }


def halt_view(halt: Halt) -> HaltView:
    """A halt of quoting."""
    return {
        "currency": halt.currency,
        "reason": halt.reason.value,
        "note": halt.note,
        "halted_by": halt.halted_by,
        "halted_at": time_text(halt.halted_at),
    }


def resumed_view(resumed: Resumed) -> ResumedView:
    """What resuming did."""
    return {
        "data": [halt_view(each) for each in resumed.halts],
        "accepted": [
            {"sell": sell, "buy": buy, "mid_rate": format(mid, "f")}
            for (sell, buy), mid in resumed.accepted.items()
        ],
    }


def _pricing(policy: PricingPolicy) -> PricingView:
    return {
        "method": policy.method.value,
        "sources_min": policy.sources_min,
        "disagreement_max_bps": policy.disagreement_max_bps,
        "jump_max_bps": policy.jump_max_bps,
        "bridge": list(policy.bridge),
    }


def _source(reading: Reading, catalog: Catalog, now: datetime) -> SourceView:
    return {
        "name": reading.name,
        "max_age_s": reading.max_age_s,
        "fault": reading.fault,
        "rates": [
            {
                "sell": each.sell,
                "buy": each.buy,
                "rate": each.text,
                "observed_at": time_text(each.observed_at),
                "age_s": (now - each.observed_at).days * 86_400 + (now - each.observed_at).seconds,
                "usable": not is_too_old(each, reading.max_age_s, now),
            }
            for each in reading.rates
            if each.sell in catalog.assets and each.buy in catalog.assets
        ],
    }


def _pair(pair: PairRate) -> PairRateView:
    return {
        "sell": pair.sell,
        "buy": pair.buy,
        "mid_rate": None if pair.mid is None else format(pair.mid.rate, "f"),
        "trusted_mid_rate": None if pair.trusted is None else format(pair.trusted, "f"),
        "fault": pair.fault,
    }


def _open_amount(amount: OpenAmount) -> OpenAmountView:
    limit = amount.limit_minor
    left = None if limit is None else max(0, limit - amount.open.minor)
    return {
        "currency": amount.asset.code,
        "open": money_view(Money(amount.open.minor, amount.asset)),
        "quotes": amount.open.count,
        "limit": None if limit is None else money_view(Money(limit, amount.asset)),
        "remaining": None if left is None else money_view(Money(left, amount.asset)),
    }
