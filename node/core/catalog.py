"""What the node offers: assets, the token, corridors. Data; prices are in `node.core.quotes`.

Digits of currencies are those of ISO 4217. The currencies are those with a reference rate of the
European Central Bank. The token's digits are checked against its contract at start, elsewhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from node.core.errors import CurrencyUnknown, InvariantBroken, PairNotOffered
from node.core.ledger import NATIVE_DIGITS
from node.core.quotes import Corridor
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

_DELIVERY_S: Final = 15


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """The stablecoin payouts are made in."""

    asset: Asset
    chain_id: int
    address: Address


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that can be named in a request.

    Attributes:
        assets: By code, those that can be sold, bought or held by a customer.
        corridors: By codes of sell and buy.
        token: The stablecoin; its asset is among `assets`.
        native: The chain's coin; in the ledger only, never sold or bought.
    """

    assets: Mapping[str, Asset]
    corridors: Mapping[tuple[str, str], Corridor]
    token: TokenInfo
    native: Asset

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


def catalog_of(
    token: TokenInfo, corridors: Iterable[Corridor] | None = None, native: Asset = ETH
) -> Catalog:
    """A catalogue of every currency and the token.

    Args:
        token: What payouts are made in.
        corridors: What is offered; None: `devnet_corridors` of the token.
        native: The chain's coin.
    """
    offered = devnet_corridors(token.asset) if corridors is None else corridors
    return Catalog(
        assets={each.code: each for each in (*FIAT, token.asset)},
        corridors={(each.sell.code, each.buy.code): each for each in offered},
        token=token,
        native=native,
    )


_DEVNET: Final[Mapping[str, tuple[int, int, int]]] = {
    "EUR": (2, 10, 10_000_000),
    "USD": (2, 10, 10_000_000),
    "GBP": (2, 10, 10_000_000),
    "JPY": (3, 15, 15_000_000),
    "PHP": (120, 600, 600_000_000),
    "MXN": (40, 200, 200_000_000),
    "CNY": (15, 75, 75_000_000),
}
"""Sell asset -> network fee, least and greatest sell amount, minor units of the sell asset.

EUR is the published example (0.02; 0.10 to 100000.00); the others are comparable amounts.
"""


def devnet_corridors(token: Asset) -> tuple[Corridor, ...]:
    """Every currency into the token: 30 bps without a minimum, spread 20 bps."""
    by_code = {each.code: each for each in FIAT}
    return tuple(
        Corridor(
            sell=by_code[code],
            buy=token,
            payout_method=ONCHAIN,
            service_fee_bps=30,
            service_fee_min_minor=0,
            network_fee_minor=network_fee,
            spread_bps=20,
            sell_min_minor=least,
            sell_max_minor=most,
            estimated_delivery_s=_DELIVERY_S,
        )
        for code, (network_fee, least, most) in _DEVNET.items()
    )


DEVNET_CORRIDORS: Final = devnet_corridors(USDC)
"""The corridors of the local devnet."""
