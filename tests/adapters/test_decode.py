"""Decoding by hand gives what the ABI library gives, for every argument."""

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from adapters.evm.decode import (
    SETTLEMENT_TOPICS,
    TRANSFER_TOPIC,
    Unreadable,
    address_topic,
    settlement_log,
    stray_log,
    token_log,
)
from node.core.mirror import SettlementKind
from node.core.units import Address

TX = "0x" + "11" * 32
BLOCK = "0x" + "22" * 32
TOKEN = "0x" + "33" * 20
NOBODY = address_topic(Address(bytes(20)))


def raw(topics: list[str], data: bytes = b"", index: int = 3) -> dict[str, object]:
    return {
        "address": TOKEN,
        "blockHash": BLOCK,
        "transactionHash": TX,
        "logIndex": hex(index),
        "topics": topics,
        "data": "0x" + data.hex(),
        "removed": False,
    }


addresses = st.binary(min_size=20, max_size=20).map(Address)
amounts = st.integers(0, 2**256 - 1)


@given(addresses, addresses, amounts, st.integers(0, 2**20))
def test_a_transfer_is_read_to_the_last_bit(
    sender: Address, receiver: Address, amount: int, index: int
) -> None:
    topics = [TRANSFER_TOPIC, address_topic(sender), address_topic(receiver)]
    log = token_log(raw(topics, encode(["uint256"], [amount]), index))
    assert (log.from_address, log.to_address, log.amount) == (sender, receiver, amount)
    assert (log.log_index, log.tx_hash.hex()) == (index, TX[2:])


@given(addresses, addresses, amounts, st.booleans())
def test_a_transfer_of_any_token_is_read_whether_it_has_an_amount_or_an_item(
    sender: Address, receiver: Address, amount: int, is_item: bool
) -> None:
    word = encode(["uint256"], [amount])
    topics = [TRANSFER_TOPIC, address_topic(sender), address_topic(receiver)]
    topics += [f"0x{word.hex()}"] if is_item else []
    log = stray_log(raw(topics, b"" if is_item else word))
    assert (log.from_address, log.to_address, log.amount) == (sender, receiver, amount)
    assert log.token.hex() == TOKEN[2:]


@pytest.mark.parametrize(
    ("topics", "data"),
    [
        ([TRANSFER_TOPIC, NOBODY], bytes(64)),
        ([TRANSFER_TOPIC, NOBODY, NOBODY, NOBODY], b""),
        ([TRANSFER_TOPIC, NOBODY, NOBODY], b""),
        ([TRANSFER_TOPIC, NOBODY, NOBODY], bytes(33)),
        ([TRANSFER_TOPIC, NOBODY, "0x" + "01" * 32], bytes(32)),
    ],
    ids=["two topics", "an item", "no amount", "too long", "no address"],
)
def test_what_is_no_transfer_of_the_token_is_not_read_as_one(
    topics: list[str], data: bytes
) -> None:
    with pytest.raises(Unreadable):
        token_log(raw(topics, data))


@given(st.integers(0, 2**64 - 1), st.binary(max_size=100))
def test_a_failure_carries_its_number_and_reason(number: int, reason: bytes) -> None:
    topics = [SETTLEMENT_TOPICS[1], "0x" + encode(["uint64"], [number]).hex()]
    log = settlement_log(raw(topics, encode(["bytes"], [reason])))
    assert (log.kind, log.payment_number, log.reason) == (SettlementKind.FAILED, number, reason)


@pytest.mark.parametrize("place", [0, 2, 3])
def test_the_other_events_carry_a_number(place: int) -> None:
    topics = [SETTLEMENT_TOPICS[place], "0x" + encode(["uint64"], [9]).hex()]
    log = settlement_log(raw(topics))
    assert (log.kind, log.payment_number) == (list(SettlementKind)[place], 9)


@pytest.mark.parametrize(
    ("place", "number", "data"),
    [(0, 2**64, b""), (0, 1, bytes(32)), (1, 1, b""), (1, 1, encode(["bytes"], [b"x" * 40])[:70])],
    ids=["number too large", "data too much", "no reason", "reason cut off"],
)
def test_what_is_no_event_of_a_payment_is_not_read_as_one(
    place: int, number: int, data: bytes
) -> None:
    with pytest.raises(Unreadable):
        settlement_log(raw([SETTLEMENT_TOPICS[place], f"0x{number:064x}"], data))
    with pytest.raises(Unreadable):
        settlement_log(raw([SETTLEMENT_TOPICS[place]]))
