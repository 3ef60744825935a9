"""The rules of treasury movements: what a key can pay for, and what a rule tops up."""

from dataclasses import replace

from eth_utils.abi import function_signature_to_4byte_selector
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from adapters.evm.artifacts import load
from node.core.catalog import ETH, USDC
from node.core.ledger import WEI_PER_UNIT
from node.core.settlement import TRANSFER_SELECTOR
from node.core.treasury import (
    ASKED_KINDS,
    BALANCE_OF_SELECTOR,
    PAUSED_CALL,
    PAUSED_TOPIC,
    UNPAUSED_TOPIC,
    Failure,
    Hold,
    MovementKind,
    NodeAddresses,
    Purse,
    balance_of_call,
    native_call,
    rescue_call,
    token_call,
    top_up_amount,
)
from node.core.units import Address

CONTRACT, TREASURY, LANE, PAUSER, TOKEN = (Address(bytes([n]) * 20) for n in range(1, 6))
GAS_WEI = 21_000 * 10**9
minor = st.integers(0, 10**12)


def test_the_selectors_are_those_of_the_contracts() -> None:
    for selector, signature in (
        (PAUSED_CALL, "paused()"),
        (BALANCE_OF_SELECTOR, "balanceOf(address)"),
        (TRANSFER_SELECTOR, "transfer(address,uint256)"),
    ):
        assert function_signature_to_4byte_selector(signature) == selector
    assert keccak(text="Paused(address)") == PAUSED_TOPIC
    assert keccak(text="Unpaused(address)") == UNPAUSED_TOPIC
    assert PAUSED_CALL in load("TransferSettlement").bytecode
    assert BALANCE_OF_SELECTOR in load("TestUSD").bytecode


def test_calls_name_whom_and_how_much() -> None:
    assert native_call(TREASURY, 7).value_wei == 7 * WEI_PER_UNIT
    for call in (
        token_call(TOKEN, TREASURY, 7),
        rescue_call(CONTRACT, TOKEN, TREASURY, 7),
    ):
        assert call.value_wei == 0
        assert call.calldata[-64:] == bytes(12) + TREASURY + (7).to_bytes(32)
    assert balance_of_call(LANE) == BALANCE_OF_SELECTOR + bytes(12) + LANE


def test_the_nodes_keys_are_each_named_once() -> None:
    own = NodeAddresses(CONTRACT, "USDC", "ETH", [LANE, PAUSER], TREASURY, PAUSER, LANE)
    assert own.others == (LANE, PAUSER)
    assert own.senders == (LANE, PAUSER, TREASURY)
    receiving = NodeAddresses(CONTRACT, "USDC", "ETH", [LANE], TREASURY, treasury_signs=False)
    assert receiving.senders == (LANE,)


def test_deposits_are_swept_by_the_treasury_and_without_its_key_by_the_first_that_settles() -> None:
    deposits = Address(bytes([9]) * 20)
    usual = NodeAddresses(CONTRACT, "USDC", "ETH", [LANE, PAUSER], TREASURY, deposits=deposits)
    receiving = replace(usual, treasury_signs=False)
    alone = replace(usual, treasury=None)
    assert [each.sweeper for each in (usual, receiving, alone)] == [TREASURY, LANE, LANE]
    assert replace(usual, deposits=None).sweeper is None
    route = alone.route(MovementKind.DEPOSIT_SWEEP)
    assert (route.sources, route.targets, route.assets) == ((deposits,), (CONTRACT,), ("USDC",))
    assert replace(usual, deposits=None).route(MovementKind.DEPOSIT_SWEEP).sources == ()


def test_people_do_not_ask_for_sweeps_of_deposits() -> None:
    assert set(MovementKind) - set(ASKED_KINDS) == {MovementKind.DEPOSIT_SWEEP}


def purse(balance_wei: int, *, left_wei: int | None = None, tokens: int = 0) -> Purse:
    return Purse(
        ETH,
        USDC,
        balance_wei,
        balance_wei if left_wei is None else left_wei,
        5 * GAS_WEI,
        {LANE: tokens},
        {LANE: tokens},
    )


def test_what_the_whole_balance_does_not_hold_fails_and_what_earlier_ones_hold_waits() -> None:
    held = purse(10 * GAS_WEI)
    gift = MovementKind.LANE_GAS
    assert isinstance(held.take(gift, LANE, 0, 10 * GAS_WEI, GAS_WEI), Failure)
    assert held.take(gift, LANE, 0, 6 * GAS_WEI, GAS_WEI) is None
    assert held.take(gift, LANE, 0, 6 * GAS_WEI, GAS_WEI) is Hold.EARLIER_FIRST
    assert held.take(gift, LANE, 0, 1, GAS_WEI) is Hold.EARLIER_FIRST  # none overtakes another


def test_tokens_that_only_earlier_ones_hold_wait_and_coin_goes_on() -> None:
    held = purse(10 * GAS_WEI, tokens=5)
    assert held.take(MovementKind.SWEEP, LANE, 3, 0, GAS_WEI) is None
    assert held.take(MovementKind.SWEEP, LANE, 3, 0, GAS_WEI) is Hold.EARLIER_FIRST
    assert held.take(MovementKind.SWEEP, LANE, 1, 0, GAS_WEI) is Hold.EARLIER_FIRST
    assert held.take(MovementKind.SWEEP, LANE, 0, GAS_WEI, GAS_WEI) is None
    failure = held.take(MovementKind.SWEEP, LANE, 6, 0, GAS_WEI)
    assert failure == Failure("insufficient_funds", "`from` holds 0.000005 USDC")


def test_a_movement_of_too_much_coin_is_told_what_can_go_and_what_stays_for_gas() -> None:
    held = Purse(ETH, USDC, 10**18 + 7, 10**18 + 7, 10**16 + 1, {}, {})
    gift = held.take(MovementKind.LANE_GAS, LANE, 0, 10**18, 10**15)
    assert gift == Failure(
        "insufficient_funds",
        "`from` does not hold this and its gas; at most 0.999000000 ETH can go",
    )
    sweep = held.take(MovementKind.SWEEP, LANE, 0, 10**18, 10**15)
    assert sweep == Failure(
        "insufficient_funds",
        "`from` does not hold this and its gas; at most 0.989000000 ETH can go"
        " (0.010000001 ETH stay, the gas of 16 transactions)",
    )


def test_without_coin_for_gas_a_movement_of_tokens_waits_for_it() -> None:
    assert purse(GAS_WEI - 1, tokens=5).take(MovementKind.SWEEP, LANE, 5, 0, GAS_WEI) is (
        Hold.GAS_LOW
    )


@given(
    st.integers(0, 100 * GAS_WEI),
    st.integers(0, 50),
    st.lists(st.tuples(st.sampled_from(MovementKind), minor, st.integers(0, 40 * GAS_WEI))),
)
def test_nothing_is_spent_that_is_not_there(
    balance_wei: int, tokens: int, asked: list[tuple[MovementKind, int, int]]
) -> None:
    held = purse(balance_wei, tokens=tokens)
    spent_wei = spent = 0
    for kind, wanted, value_wei in asked:
        units = 0 if value_wei else wanted
        if held.take(kind, LANE, units, value_wei, GAS_WEI) is None:
            spent_wei += value_wei + GAS_WEI
            spent += units
            if kind is MovementKind.SWEEP and value_wei:
                assert balance_wei - spent_wei >= held.kept_wei
    assert spent_wei <= balance_wei
    assert spent <= tokens


@given(minor, minor, minor, minor, minor, minor)
def test_a_rule_fills_up_to_its_level_within_limit_and_treasury_or_does_nothing(
    mark: int, step: int, holds: int, coming: int, limit_left: int, available: int
) -> None:
    fill_to = mark + step + 1
    amount = top_up_amount(
        mark=mark,
        fill_to=fill_to,
        holds=holds,
        coming=coming,
        limit_left=limit_left,
        available=available,
    )
    assert 0 <= amount <= max(0, min(limit_left, available))
    if holds + coming >= mark:
        assert amount == 0
    elif amount:
        assert fill_to - mark <= amount
        assert holds + coming + amount <= fill_to
    else:
        assert min(limit_left, available) < fill_to - mark
