"""The offer is read from a file, and a mistake in it is refused by its place and its remedy."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.corridors import load_offer
from node.core.catalog import USDC
from node.core.rates import Method

SMALL = """
[pricing]
method = "median"
sources_min = 2
disagreement_max_bps = 100
jump_max_bps = 300
bridge = ["USD"]

[exposure]
EUR = "2000.00"
USDC = "2500.000000"

[[corridor]]
sell = "EUR"
buy = "USDC"
payout = "onchain"
service_fee_bps = 30
service_fee_min = "0.50"
network_fee = "0.02"
spread_bps = 20
sell_min = "1.00"
sell_max = "1000.00"
estimated_delivery_s = 15
"""
Load = Callable[[str], object]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a file with this content."""

    def of_text(text: str) -> object:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return load_offer(path, USDC)

    return of_text


def with_line(name: str, line: str) -> str:
    """The small file with the line of a member replaced."""
    changed, count = re.subn(rf"^{name} = .*$", line, SMALL, flags=re.MULTILINE)
    assert count == 1
    return changed


def test_the_default_offers_every_currency_for_the_token_as_published() -> None:
    offer = load_offer(None, USDC)
    (
        euro,
        *_,
    ) = offer.corridors
    assert (euro.sell.code, euro.buy) == ("EUR", USDC)
    assert (euro.service_fee_bps, euro.service_fee_min_minor, euro.network_fee_minor) == (30, 0, 2)
    assert (euro.spread_bps, euro.sell_min_minor, euro.sell_max_minor) == (20, 10, 10_000_000)
    *_, local = offer.corridors
    assert (local.sell, local.buy.code, local.payout_method) == (USDC, "PHP", "bank")
    assert len(offer.corridors) == 8
    assert offer.pricing.bridge == ("EUR", "USD")
    assert set(offer.exposure_max_minor) == {each.sell.code for each in offer.corridors} | {"USDC"}


def test_a_file_of_ones_own_is_read_to_the_minor_unit(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SMALL)
    offer = load_offer(path, USDC)
    (corridor,) = offer.corridors
    assert (corridor.service_fee_min_minor, corridor.sell_min_minor) == (50, 100)
    assert dict(offer.exposure_max_minor) == {"EUR": 200_000, "USDC": 2_500_000_000}
    assert offer.pricing.method is Method.MEDIAN
    assert (offer.pricing.sources_min, offer.pricing.jump_max_bps) == (2, 300)


@pytest.mark.parametrize(
    ("name", "line", "told"),
    [
        ("network_fee", "network_fee = 0.02",
         'corridor EUR/USDC: network_fee: write the amount as text, network_fee = "0.02"'),
        ("network_fee", "network_fee = 1", 'write the amount as text, network_fee = "1"'),
        ("network_fee", 'network_fee = "0.021"',
         "corridor EUR/USDC: network_fee: '0.021': EUR has 2 decimal digits; the amount has 3"),
        ("network_fee", 'network_fee = "-0.02"', "network_fee: '-0.02': write the amount as a"),
        ("network_fee", 'network_fee = "1e3"', "network_fee: '1e3': write the amount as a plain"),
        ("network_fee", "network_fee = true", "write the amount as text"),
        ("network_fee", 'net_fee = "0.02"', "corridor EUR/USDC has no member 'net_fee'; write"),
        ("network_fee", "", "corridor EUR/USDC: network_fee is missing; add a line"),
        ("sell_min", 'sell_min = "1000.01"',
         "corridor EUR/USDC: sell_max: 1000.00 is less than sell_min 1000.01; exchange the two"),
        ("sell_min", 'sell_min = "0.00"', "sell_min: write an amount above zero, at least 0.01"),
        ("sell_max", 'sell_max = "2000.01"',
         "corridor EUR/USDC: sell_max: 2000.01 is above the [exposure] limit 2000.00"),
        ("sell_max", 'sell_max = "99999999999999999999.00"', "larger than the ledger can hold"),
        ("service_fee_bps", "service_fee_bps = 10000", "a whole number from 0 to 9999, not 10000"),
        ("service_fee_bps", "service_fee_bps = -1", "a whole number from 0 to 9999, not -1"),
        ("spread_bps", "spread_bps = 2.5", "spread_bps: write a whole number from 0 to 9999"),
        ("spread_bps", 'spread_bps = "20"', "spread_bps: write a whole number from 0 to 9999"),
        ("spread_bps", "spread_bps = true", "spread_bps: write a whole number"),
        ("sell", 'sell = "EURO"',
         "corridor EURO/USDC: sell: there is no currency 'EURO'; there are CNY, EUR"),
        ("sell", "sell = 978", "corridor 1: sell: write it as text in quotes, not 978"),
        ("sell", 'sell = "USDC"', "corridor USDC/USDC: buy: USDC is not exchanged for itself"),
        ("buy", 'buy = "USD"', "corridor EUR/USD: buy: payout 'onchain' pays USDC only"),
        ("payout", 'payout = "cash"', "payout: there are 'onchain' and 'bank' only"),
        ("payout", 'payout = "bank"', "sell: payout 'bank' is for USDC only"),
        ("EUR", 'EURO = "1.00"', "[exposure]: EURO: there is no such currency"),
        ("EUR", "EUR = 2000.00", '[exposure]: EUR: write the amount as text, EUR = "2000.00"'),
        ("USDC", "", "[exposure]: USDC is missing, and corridor EUR/USDC names it; add a line"),
        ("method", 'method = "mean"', "[pricing]: method: write one of first, median"),
        ("sources_min", "sources_min = 1",
         "[pricing]: sources_min: 1 is a median of nothing: a source that is left alone would be"),
        ("sources_min", "sources_min = 1", 'write at least 2, or method = "first"'),
        ("sources_min", "sources_min = 0", "sources_min: write a whole number from 1 to 16, not 0"),
        ("jump_max_bps", "jump_max_bps = 0", "jump_max_bps: write a whole number from 1 to 9999"),
        ("bridge", 'bridge = "EUR"', "[pricing]: bridge: write a list of at most 4 different"),
        ("bridge", 'bridge = ["EUR", "EUR"]', "write a list of at most 4 different currencies"),
        ("bridge", 'bridge = ["XAU"]', "write a list of at most 4 different currencies"),
        ("bridge", "bridge = [1]", "write a list of at most 4 different currencies"),
    ],
)  # fmt: skip
def test_a_mistake_names_its_file_its_corridor_its_member_and_the_remedy(
    load: Load, name: str, line: str, told: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(told)) as refusal:
        load(with_line(name, line))
    assert "mine.toml: " in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SMALL + SMALL[SMALL.index("[[") :], "corridor EUR/USDC is there twice; leave one"),
        (SMALL[: SMALL.index("[[")], "the file: corridor is missing; add a table [[corridor]]"),
        (
            SMALL.replace("[exposure]", "[pricing.more]"),
            "the file: exposure is missing; add a table [exposure]",
        ),
        (SMALL + "[more]\n", "the file has no member 'more'; write pricing, exposure, corridor"),
        (SMALL.replace("[[corridor]]", "[corridor]"), "write at least one corridor"),
        ("exposure = 1\npricing = 2\ncorridor = 3\n", "[exposure] must be a table of lines"),
        ("corridor = [1]\n" + SMALL[: SMALL.index("[[")], "corridor 1 must be a table of lines"),
        ("[pricing\n", "is no TOML file: "),
        ("x" * 300_000, "the file is longer than 262144 bytes"),
    ],
)
def test_a_file_of_another_form_is_refused(load: Load, text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        load(text)


def test_a_file_that_is_not_there_or_is_no_text_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.toml cannot be read \(No such file"):
        load_offer(tmp_path / "nowhere.toml", USDC)
    with pytest.raises(ValueError, match="cannot be read"):
        load_offer(tmp_path, USDC)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"bytes\.toml is no TOML file"):
        load_offer(tmp_path / "bytes.toml", USDC)
