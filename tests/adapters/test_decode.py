"""Decoding by hand gives what the ABI library gives, for every argument."""

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from adapters.evm.decode import (
    SETTLEMENT_TOPICS,
    TRANSFER_TOPIC,
    address_topic,
    block_of,
    settlement_log,
    token_log,
)
from adapters.evm.errors import NoAnswer
from node.core.mirror import SettlementKind
from node.core.units import Address

TX = "0x" + "11" * 32
BLOCK = "0x" + "22" * 32


def raw(topics: list[str], data: bytes = b"", index: int = 3) -> dict[str, object]:
    return {
        "blockHash": BLOCK,
        "transactionHash": TX,
        "logIndex": hex(index),
        "topics": topics,
        "data": "0x" + data.hex(),
        "removed": False,
    }


addresses = st.binary(min_size=20, max_size=20).map(Address)


@given(addresses, addresses, st.integers(0, 2**256 - 1), st.integers(0, 2**20))
def test_a_transfer_is_read_to_the_last_bit(
    sender: Address, receiver: Address, amount: int, index: int
) -> None:
    topics = [TRANSFER_TOPIC, address_topic(sender), address_topic(receiver)]
    log = token_log(raw(topics, encode(["uint256"], [amount]), index))
    assert log is not None
    assert (log.from_address, log.to_address, log.amount) == (sender, receiver, amount)
    assert (log.log_index, log.tx_hash.hex()) == (index, TX[2:])


@given(st.integers(0, 2**64 - 1), st.binary(max_size=100))
def test_a_failure_carries_its_number_and_reason(number: int, reason: bytes) -> None:
    topics = [SETTLEMENT_TOPICS[1], "0x" + encode(["uint64"], [number]).hex()]
    log = settlement_log(raw(topics, encode(["bytes"], [reason])))
    assert log is not None
    assert (log.kind, log.payment_number, log.reason) == (SettlementKind.FAILED, number, reason)


@pytest.mark.parametrize("place", [0, 2, 3])
def test_the_other_events_carry_a_number(place: int) -> None:
    topics = [SETTLEMENT_TOPICS[place], "0x" + encode(["uint64"], [9]).hex()]
    log = settlement_log(raw(topics))
    assert log is not None
    assert (log.kind, log.payment_number) == (list(SettlementKind)[place], 9)


def test_other_events_are_not_ours() -> None:
    assert settlement_log(raw([TRANSFER_TOPIC])) is None
    assert settlement_log(raw([])) is None
    assert token_log(raw([SETTLEMENT_TOPICS[0], "0x", "0x"])) is None
    of_an_nft = [TRANSFER_TOPIC, *[address_topic(Address(bytes(20)))] * 3]
    assert token_log(raw(of_an_nft)) is None


def test_a_log_that_was_removed_or_is_in_no_block_is_refused() -> None:
    assert block_of(raw([])) == bytes.fromhex(BLOCK[2:])
    for fault in ({"removed": True}, {"blockHash": None}):
        with pytest.raises(NoAnswer):
            block_of({**raw([]), **fault})


def test_a_reason_that_is_cut_off_is_refused() -> None:
    topics = [SETTLEMENT_TOPICS[1], "0x" + encode(["uint64"], [1]).hex()]
    with pytest.raises(NoAnswer):
        settlement_log(raw(topics, encode(["bytes"], [b"x" * 40])[:70]))
