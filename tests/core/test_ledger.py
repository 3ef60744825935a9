"""What is booked: the entries of each event add up, and natives never drift from the chain."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.errors import InvariantBroken
from node.core.ledger import (
    WEI_PER_UNIT,
    AccountKind,
    Entry,
    TransferAmounts,
    acceptance_entries,
    account_rules,
    batch_final_entries,
    gas_units,
)
from node.core.units import Address

CUSTOMER = UUID(int=7)
CONTRACT = Address(b"\x11" * 20)


@given(
    fees=st.integers(0, 10**6),
    principal=st.integers(1, 10**12),
    spread_bps=st.integers(0, 9_999),
    buy=st.integers(1, 10**15),
)
def test_acceptance_holds_exactly_what_the_customer_pays_and_what_is_promised(
    fees: int, principal: int, spread_bps: int, buy: int
) -> None:
    spread = principal * spread_bps // 10_000
    amounts = TransferAmounts("EUR", fees + principal, fees, 0, spread, "USDC", buy)
    entries = acceptance_entries(CUSTOMER, 1, amounts)
    assert sum(each.amount for each in entries if each.asset == "EUR") == fees + principal
    assert all(each.debit.startswith("customer/cus_") for each in entries if each.asset == "EUR")
    assert [each.amount for each in entries if each.credit == "in_flight/1/USDC"] == [buy]


def test_the_worked_example_of_200_euro_is_booked_as_written() -> None:
    amounts = TransferAmounts("EUR", 20000, 60, 2, 39, "USDC", 230_074_048)
    entries = acceptance_entries(CUSTOMER, 31337, amounts)
    assert [(each.credit, each.amount) for each in entries] == [
        ("fx_position/EUR", 19899),
        ("deferred/spread/EUR", 39),
        ("deferred/fee/EUR", 62),
        ("in_flight/31337/USDC", 230_074_048),
    ]
    final = batch_final_entries(31337, CONTRACT, "USDC", 230_074_048, {"EUR": 62}, {"EUR": 39})
    assert [(each.debit, each.amount) for each in final] == [
        ("in_flight/31337/USDC", 230_074_048),
        ("deferred/fee/EUR", 62),
        ("deferred/spread/EUR", 39),
    ]


@given(st.integers(0, 10**24), st.lists(st.integers(0, 10**17), max_size=30))
def test_native_coin_in_the_ledger_is_always_the_floor_of_the_chain(
    opening_wei: int, costs_wei: list[int]
) -> None:
    held_wei, booked = opening_wei, opening_wei // WEI_PER_UNIT
    for cost_wei in costs_wei:
        after_wei = max(held_wei - cost_wei, 0)
        booked -= gas_units(held_wei, after_wei)
        held_wei = after_wei
        assert booked == held_wei // WEI_PER_UNIT


@pytest.mark.parametrize("amount", [0, -1, 2**62])
def test_an_entry_of_nothing_or_of_too_much_cannot_be_written_down(amount: int) -> None:
    with pytest.raises(InvariantBroken):
        Entry("bank/x/EUR", "customer/y/EUR", "EUR", amount)


def test_an_entry_between_an_account_and_itself_cannot_be_written_down() -> None:
    with pytest.raises(InvariantBroken):
        Entry("bank/x/EUR", "bank/x/EUR", "EUR", 1)


def test_an_account_outside_the_chart_cannot_be_opened() -> None:
    with pytest.raises(InvariantBroken):
        account_rules("pocket/mine/EUR")


def test_customers_and_what_the_chain_holds_cannot_go_below_zero() -> None:
    assert account_rules("customer/x/EUR") == (AccountKind.LIABILITY, 0)
    assert account_rules("chain/1/0x00/USDC") == (AccountKind.ASSET, 0)
