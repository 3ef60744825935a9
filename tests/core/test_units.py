"""Amounts and identifiers: what is written is what is read, or it is refused."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.errors import AmountInvalid, InvariantBroken, NotFound
from node.core.ids import Prefix, decode_id, encode_id
from node.core.units import MINOR_LIMIT, Asset, Money, format_minor, parse_amount

EUR = Asset("EUR", 2)
JPY = Asset("JPY", 0)
ASSETS = st.sampled_from([Asset(f"A{n}", n) for n in (0, 2, 3, 6, 8, 9)])


@given(st.integers(0, MINOR_LIMIT - 1), ASSETS)
def test_an_amount_printed_and_read_again_is_the_same(minor: int, asset: Asset) -> None:
    money = Money(minor, asset)
    assert parse_amount(str(money), asset) == money


@given(ASSETS)
def test_an_amount_is_printed_with_exactly_its_assets_digits(asset: Asset) -> None:
    _, _, fraction = str(Money(1, asset)).partition(".")
    assert len(fraction) == asset.digits


def test_missing_decimals_are_zeros() -> None:
    assert parse_amount("200", EUR) == parse_amount("200.0", EUR) == Money(20000, EUR)


NO_AMOUNTS = ["1e5", "-1.00", "+1.00", "1,00", ".5", "5.", "0x10", "1_000", "NaN", "٣", "--1"]


@pytest.mark.parametrize("text", [*NO_AMOUNTS, "", " 1", "1 ", "1.00\n"])
def test_what_is_no_plain_decimal_string_is_refused(text: str) -> None:
    with pytest.raises(AmountInvalid):
        parse_amount(text, EUR)


def test_more_decimals_than_the_asset_has_are_refused_even_when_zero() -> None:
    with pytest.raises(AmountInvalid, match="2 decimal digits"):
        parse_amount("0.001", EUR)
    with pytest.raises(AmountInvalid):
        parse_amount("1.0", JPY)


def test_forty_digits_are_refused() -> None:
    with pytest.raises(AmountInvalid):
        parse_amount("1" * 40, EUR)


def test_amounts_the_ledger_cannot_hold_are_refused() -> None:
    with pytest.raises(AmountInvalid):
        parse_amount(str(MINOR_LIMIT), JPY)
    assert parse_amount(str(MINOR_LIMIT - 1), JPY).minor == MINOR_LIMIT - 1


def test_negative_balances_are_printed_with_a_sign() -> None:
    assert format_minor(-5, 2) == "-0.05"


def test_two_assets_never_mix() -> None:
    with pytest.raises(InvariantBroken):
        Money(1, EUR) + Money(1, JPY)
    with pytest.raises(InvariantBroken):
        assert Money(1, EUR) < Money(2, JPY)


@given(st.uuids(), st.sampled_from(Prefix))
def test_an_id_printed_and_read_again_is_the_same(value: UUID, prefix: Prefix) -> None:
    text = encode_id(prefix, value)
    assert len(text) == len(prefix) + 1 + 26
    assert decode_id(prefix, text) == value


@given(st.uuids(), st.uuids())
def test_ids_sort_as_their_uuids(one: UUID, other: UUID) -> None:
    ids = [encode_id(Prefix.TRANSFER, each) for each in (one, other)]
    assert (ids[0] < ids[1]) == (one < other)


@given(st.text(max_size=40))
def test_any_other_text_names_nothing(text: str) -> None:
    try:
        value = decode_id(Prefix.QUOTE, text)
    except NotFound:
        return
    assert encode_id(Prefix.QUOTE, value) == text


@pytest.mark.parametrize(
    "text",
    [
        "cus_00000000000000000000000001",
        "quo_8zzzzzzzzzzzzzzzzzzzzzzzzz",
        "quo_0000000000000000000000000i",
        "quo_0000000000000000000000000A",
        "quo_",
    ],
)
def test_wrong_prefix_overflow_and_foreign_letters_name_nothing(text: str) -> None:
    with pytest.raises(NotFound):
        decode_id(Prefix.QUOTE, text)
