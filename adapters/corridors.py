"""What the node offers, read from a TOML file and checked to the last member.

The file is described in `corridors.toml` beside this module, which is the default. A mistake is
refused with the file, the place, the fault and what to write instead. What the figures mean is in
`node.core.quotes` and `node.core.rates`.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from node.core.catalog import ONCHAIN, Offer, assets_with
from node.core.errors import AmountInvalid
from node.core.payouts import BANK
from node.core.quotes import ONE_BPS, Corridor
from node.core.rates import Method, PricingPolicy
from node.core.units import Asset, format_minor, parse_amount

_FILE: Final = "corridors.toml"
_BYTES_MAX: Final = 262_144
_SOURCES_MAX: Final = 16
_MEDIAN_SOURCES_MIN: Final = 2
_BRIDGE_MAX: Final = 4  # every order of them is a way to be compared
_DELIVERY_S_MAX: Final = 30 * 86_400
_TABLES: Final = {
    "pricing": "a table [pricing]",
    "exposure": "a table [exposure]",
    "corridor": "a table [[corridor]]",
}
_PRICING: Final = ("method", "sources_min", "disagreement_max_bps", "jump_max_bps", "bridge")
_CORRIDOR: Final = (
    "sell",
    "buy",
    "payout",
    "service_fee_bps",
    "service_fee_min",
    "network_fee",
    "spread_bps",
    "sell_min",
    "sell_max",
    "estimated_delivery_s",
)


def load_offer(path: Path | None, token: Asset) -> Offer:
    """The offer of a file.

    Args:
        path: The file; None: the one of the package.
        token: What payouts are made in.

    Raises:
        ValueError: The file cannot be read, or something in it is wrong; a sentence that names the
            file, the corridor, the member, the fault and the remedy.
    """
    name = str(path) if path is not None else f"the default {_FILE}"
    try:
        return _offer(tomllib.loads(_text(path), parse_float=Decimal), token)
    except OSError as error:
        raise ValueError(
            f"{name} cannot be read ({error.strerror or error}); name a file that is there"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{name} is no TOML file: {error}") from None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _text(path: Path | None) -> str:
    source = path if path is not None else files("adapters").joinpath(_FILE)
    with source.open("rb") as opened:
        content = opened.read(_BYTES_MAX + 1)
    if len(content) > _BYTES_MAX:
        raise ValueError(f"the file is longer than {_BYTES_MAX} bytes")
    return content.decode()


@dataclass(frozen=True, slots=True)
class _Table:
    """One table of the file.

    Attributes:
        place: For people, such as `corridor EUR/USDC`.
    """

    place: str
    members: Mapping[str, Any]

    def has_exactly(self, names: Sequence[str]) -> None:
        for name in self.members:
            if name not in names:
                raise ValueError(
                    f"{self.place} has no member '{name}'; write {', '.join(names)} and nothing"
                    " else"
                )
        for name in names:
            if name not in self.members:
                line = _TABLES.get(name, f"a line '{name} = ...'")
                raise ValueError(f"{self.place}: {name} is missing; add {line}")

    def wrong(self, name: str, fault: str) -> ValueError:
        return ValueError(f"{self.place}: {name}: {fault}")

    def text(self, name: str) -> str:
        value = self.members[name]
        if not isinstance(value, str):
            raise self.wrong(name, f"write it as text in quotes, not {value}")
        return value

    def whole(self, name: str, least: int, most: int) -> int:
        value = self.members[name]
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(name, f"write a whole number from {least} to {most}, not {value!s}")
        return value

    def asset(self, name: str, assets: Mapping[str, Asset]) -> Asset:
        code = self.text(name)
        if code not in assets:
            raise self.wrong(
                name, f"there is no currency '{code}'; there are {', '.join(sorted(assets))}"
            )
        return assets[code]

    def amount_minor(self, name: str, asset: Asset) -> int:
        value = self.members[name]
        if not isinstance(value, str):
            raise self.wrong(
                name, f'write the amount as text, {name} = "{value}", so that it is exact'
            )
        try:
            return parse_amount(value, asset).minor
        except AmountInvalid as error:
            raise self.wrong(name, f"'{value}': {error.detail}") from None


def _offer(document: Mapping[str, Any], token: Asset) -> Offer:
    assets = assets_with(token)
    whole = _Table("the file", document)
    whole.has_exactly(tuple(_TABLES))
    exposure_max = _exposure(_table(document["exposure"], "[exposure]"), assets)
    listed = document["corridor"]
    if not isinstance(listed, list) or not listed:
        raise ValueError("write at least one corridor, as a table [[corridor]]")
    corridors: dict[tuple[str, str], Corridor] = {}
    for number, members in enumerate(listed, start=1):
        corridor = _corridor(_table(members, f"corridor {number}"), assets, token)
        pair = (corridor.sell.code, corridor.buy.code)
        if pair in corridors:
            raise ValueError(
                f"corridor {'/'.join(pair)} is there twice; leave one of its tables out"
            )
        corridors[pair] = corridor
        _check_exposure(corridor, exposure_max)
    return Offer(
        tuple(corridors.values()),
        _pricing(_table(document["pricing"], "[pricing]"), assets),
        exposure_max,
    )


def _table(members: Any, place: str) -> _Table:
    if not isinstance(members, dict):
        raise ValueError(f"{place} must be a table of lines, name = value")  # noqa: TRY004
    return _Table(place, members)


def _corridor(table: _Table, assets: Mapping[str, Asset], token: Asset) -> Corridor:
    pair = [table.members.get(side) for side in ("sell", "buy")]
    if all(isinstance(each, str) for each in pair):
        table = _Table(f"corridor {'/'.join(map(str, pair))}", table.members)
    table.has_exactly(_CORRIDOR)
    sell, buy = table.asset("sell", assets), table.asset("buy", assets)
    if sell == buy:
        raise table.wrong("buy", f"{sell} is not exchanged for itself; name another currency")
    method = _payout_method(table, sell, buy, token)
    least, most = (table.amount_minor(name, sell) for name in ("sell_min", "sell_max"))
    if least < 1:
        raise table.wrong("sell_min", f"write an amount above zero, at least {_minor(1, sell)}")
    if least > most:
        raise table.wrong(
            "sell_max",
            f"{_minor(most, sell)} is less than sell_min {_minor(least, sell)}; exchange the two",
        )
    return Corridor(
        sell=sell,
        buy=buy,
        payout_method=method,
        service_fee_bps=table.whole("service_fee_bps", 0, ONE_BPS - 1),
        service_fee_min_minor=table.amount_minor("service_fee_min", sell),
        network_fee_minor=table.amount_minor("network_fee", sell),
        spread_bps=table.whole("spread_bps", 0, ONE_BPS - 1),
        sell_min_minor=least,
        sell_max_minor=most,
        estimated_delivery_s=table.whole("estimated_delivery_s", 0, _DELIVERY_S_MAX),
    )


def _payout_method(table: _Table, sell: Asset, buy: Asset, token: Asset) -> str:
    """How the beneficiary is paid: the token arrives on the chain, or local money at a bank."""
    method = table.text("payout")
    if method not in (ONCHAIN, BANK):
        raise table.wrong("payout", f"there are '{ONCHAIN}' and '{BANK}' only")
    if method == ONCHAIN and buy != token:
        raise table.wrong("buy", f"payout '{ONCHAIN}' pays {token} only; write buy = \"{token}\"")
    if method == BANK and sell != token:
        raise table.wrong("sell", f"payout '{BANK}' is for {token} only; write sell = \"{token}\"")
    return method


def _exposure(table: _Table, assets: Mapping[str, Asset]) -> dict[str, int]:
    limits: dict[str, int] = {}
    for code in table.members:
        if code not in assets:
            raise table.wrong(code, f"there is no such currency; there are {', '.join(assets)}")
        limits[code] = table.amount_minor(code, assets[code])
    return limits


def _check_exposure(corridor: Corridor, exposure_max: Mapping[str, int]) -> None:
    sell, buy = corridor.sell, corridor.buy
    place = f"corridor {sell}/{buy}"
    for asset in (sell, buy):
        if asset.code not in exposure_max:
            raise ValueError(
                f"[exposure]: {asset} is missing, and {place} names it; add a line"
                f' {asset} = "..." with what its open quotes may sum up to'
            )
    limit = exposure_max[sell.code]
    if corridor.sell_max_minor > limit:
        raise ValueError(
            f"{place}: sell_max: {_minor(corridor.sell_max_minor, sell)} is above the [exposure]"
            f" limit {_minor(limit, sell)}; lower the one or raise the other"
        )


def _pricing(table: _Table, assets: Mapping[str, Asset]) -> PricingPolicy:
    table.has_exactly(_PRICING)
    methods = [each.value for each in Method]
    if table.text("method") not in methods:
        raise table.wrong("method", f"write one of {', '.join(methods)}")
    bridge = table.members["bridge"]
    if (
        not isinstance(bridge, list)
        or len(bridge) > _BRIDGE_MAX
        or any(not isinstance(each, str) or each not in assets for each in bridge)
        or len(set(bridge)) < len(bridge)
    ):
        raise table.wrong(
            "bridge",
            f"write a list of at most {_BRIDGE_MAX} different currencies of the node, such as"
            ' ["EUR", "USD"]',
        )
    method = Method(table.text("method"))
    sources_min = table.whole("sources_min", 1, _SOURCES_MAX)
    if method is Method.MEDIAN and sources_min < _MEDIAN_SOURCES_MIN:
        raise table.wrong(
            "sources_min",
            f"{sources_min} is a median of nothing: a source that is left alone would be believed;"
            f' write at least {_MEDIAN_SOURCES_MIN}, or method = "{Method.FIRST}"',
        )
    return PricingPolicy(
        method=method,
        sources_min=sources_min,
        disagreement_max_bps=table.whole("disagreement_max_bps", 0, ONE_BPS - 1),
        jump_max_bps=table.whole("jump_max_bps", 1, ONE_BPS - 1),
        bridge=tuple(bridge),
    )


def _minor(minor: int, asset: Asset) -> str:
    return format_minor(minor, asset.digits)
