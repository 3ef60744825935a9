"""What the node offers."""

import pytest

from adapters.corridors import load_offer
from node.core.catalog import ETH, USDC, Catalog, TokenInfo, catalog_of
from node.core.errors import CurrencyUnknown, InvariantBroken, PairNotOffered
from node.core.units import Address, Asset

TOKEN = TokenInfo(USDC, 31337, Address(b"\x11" * 20))
OFFER = load_offer(None, USDC)
CATALOG = catalog_of(TOKEN, OFFER)


def test_every_currency_can_be_sold_for_the_token() -> None:
    sold = {sell for sell, buy in CATALOG.corridors if buy == "USDC"}
    assert sold == set(CATALOG.assets) - {"USDC"}


def test_the_token_can_be_sold_for_what_the_bank_pays_out() -> None:
    assert {buy for sell, buy in CATALOG.corridors if sell == "USDC"} == {"PHP"}


def test_the_euro_corridor_is_the_published_one() -> None:
    corridor = CATALOG.corridor("EUR", "USDC")
    assert corridor == OFFER.corridors[0]
    assert (corridor.service_fee_bps, corridor.service_fee_min_minor) == (30, 0)
    assert (corridor.network_fee_minor, corridor.spread_bps) == (2, 20)
    assert (corridor.sell_min_minor, corridor.sell_max_minor) == (10, 10_000_000)


@pytest.mark.parametrize("code", ["XXX", "eur", "", "ETH", "€" * 40])
def test_an_unknown_currency_is_refused_by_name(code: str) -> None:
    for ask in (CATALOG.asset, CATALOG.fiat):
        with pytest.raises(CurrencyUnknown, match="EUR"):
            ask(code)
    with pytest.raises(CurrencyUnknown):
        CATALOG.corridor(code, "USDC")


def test_the_token_is_an_asset_and_no_fiat() -> None:
    assert CATALOG.asset("USDC") == USDC
    with pytest.raises(CurrencyUnknown):
        CATALOG.fiat("USDC")


def test_the_native_coin_is_in_the_ledger_only() -> None:
    assert CATALOG.ledger_asset("ETH") == ETH
    assert CATALOG.ledger_asset("EUR") == CATALOG.asset("EUR")


@pytest.mark.parametrize(("sell", "buy"), [("USDC", "EUR"), ("EUR", "GBP"), ("EUR", "EUR")])
def test_a_pair_without_a_corridor_is_refused(sell: str, buy: str) -> None:
    with pytest.raises(PairNotOffered):
        CATALOG.corridor(sell, buy)


def test_a_payout_the_corridor_does_not_have_is_refused() -> None:
    with pytest.raises(PairNotOffered):
        CATALOG.corridor("EUR", "USDC", "cash")


def test_a_catalogue_that_contradicts_itself_cannot_be_made() -> None:
    with pytest.raises(InvariantBroken):
        Catalog({"EUR": CATALOG.asset("EUR")}, {}, TOKEN, ETH)
    with pytest.raises(InvariantBroken):
        catalog_of(TokenInfo(Asset("USDC", 18), 1, TOKEN.address), OFFER)
