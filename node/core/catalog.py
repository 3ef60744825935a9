"""What the node offers: assets, the token, corridors. Data; prices are in `node.core.quotes`.

Digits of currencies are those of ISO 4217. The currencies are those with a reference rate of the
European Central Bank. The token's digits are checked against its contract at start, elsewhere.
Corridors, limits and the pricing policy come from a file (`adapters.corridors`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from node.core.errors import CurrencyUnknown, InvariantBroken, PairNotOffered
from node.core.ledger import NATIVE_DIGITS
from node.core.quotes import Corridor
from node.core.rates import DEFAULT_POLICY, PricingPolicy
from node.core.units import Address, Asset

ONCHAIN: Final = "onchain"
"""Payout method: the token arrives at the beneficiary's own address."""

FIAT: Final = (
    Asset("EUR", 2, "Euro"),
    Asset("USD", 2, "US dollar"),
    Asset("GBP", 2, "Pound sterling"),
    Asset("JPY", 0, "Yen"),
    Asset("PHP", 2, "Philippine peso"),
    Asset("MXN", 2, "Mexican peso"),
    Asset("CNY", 2, "Yuan renminbi"),
)
USDC: Final = Asset("USDC", 6, "USD Coin")
ETH: Final = Asset("ETH", NATIVE_DIGITS, "Ether")


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """The stablecoin payouts are made in."""

    asset: Asset
    chain_id: int
    address: Address


@dataclass(frozen=True, slots=True)
class Offer:
    """What is exchanged, at what cost, within which limits: the figures an operator sets.

    Attributes:
        corridors: At most one for each pair.
        pricing: How rates are made of what the sources state.
        exposure_max_minor: What open quotes may sum up to, by currency, minor units.
    """

    corridors: tuple[Corridor, ...]
    pricing: PricingPolicy = DEFAULT_POLICY
    exposure_max_minor: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that can be named in a request.

    Attributes:
        assets: By code, those that can be sold, bought or held by a customer.
        corridors: By codes of sell and buy.
        token: The stablecoin; its asset is among `assets`.
        native: The chain's coin; in the ledger only, never sold or bought.
        pricing, exposure_max_minor: See `Offer`; a currency that is not named has no limit.
    """

    assets: Mapping[str, Asset]
    corridors: Mapping[tuple[str, str], Corridor]
    token: TokenInfo
    native: Asset
    pricing: PricingPolicy = DEFAULT_POLICY
    exposure_max_minor: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.assets.get(self.token.asset.code) != self.token.asset:
            raise InvariantBroken(f"the token {self.token.asset} is not among the assets")
        if any(
            self.assets.get(each.code) != each
            for corridor in self.corridors.values()
            for each in (corridor.sell, corridor.buy)
        ):
            raise InvariantBroken("a corridor names an asset that is not in the catalogue")

    def asset(self, code: str) -> Asset:
        """The asset of this code.

        Raises:
            CurrencyUnknown: There is none that could be sold, bought or held.
        """
        found = self.assets.get(code)
        if found is None:
            raise CurrencyUnknown(
                f"the node has no currency {code[:16]!r}; it has {', '.join(sorted(self.assets))}"
            )
        return found

    def fiat(self, code: str) -> Asset:
        """The currency of this code, the token left out.

        Raises:
            CurrencyUnknown: There is none that could arrive at a bank.
        """
        found = self.asset(code)
        if found == self.token.asset:
            raise CurrencyUnknown(f"{code} is a token; it does not arrive at a bank")
        return found

    def ledger_asset(self, code: str) -> Asset:
        """The asset of this code, the native coin included.

        Raises:
            CurrencyUnknown: The ledger cannot hold it.
        """
        return self.native if code == self.native.code else self.asset(code)

    def corridor(self, sell: str, buy: str, payout_method: str = ONCHAIN) -> Corridor:
        """The corridor of a pair.

        Raises:
            CurrencyUnknown: One of them is no currency of the node.
            PairNotOffered: Both are, but the node does not exchange them, or not for this payout.
        """
        codes = (self.asset(sell).code, self.asset(buy).code)
        found = self.corridors.get(codes)
        if found is None or found.payout_method != payout_method:
            raise PairNotOffered(
                f"the node does not exchange {sell} for {buy} with payout {payout_method[:32]!r};"
                " GET /v1/corridors lists what it offers"
            )
        return found


def assets_with(token: Asset) -> dict[str, Asset]:
    """What can be sold, bought or held by a customer, by code: every currency, and the token."""
    return {each.code: each for each in (*FIAT, token)}


def catalog_of(token: TokenInfo, offer: Offer, native: Asset = ETH) -> Catalog:
    """A catalogue of every currency and the token.

    Args:
        token: What payouts are made in.
        offer: What is exchanged.
        native: The chain's coin.
    """
    return Catalog(
        assets=assets_with(token.asset),
        corridors={(each.sell.code, each.buy.code): each for each in offer.corridors},
        token=token,
        native=native,
        pricing=offer.pricing,
        exposure_max_minor=offer.exposure_max_minor,
    )
