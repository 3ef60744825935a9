"""Every event of issuer and contract that is no payment is known, and read as the ABI says."""

from collections.abc import Mapping
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from adapters.evm.artifacts import load
from adapters.evm.decode import SETTLEMENT_TOPICS, TRANSFER_TOPIC, Unreadable
from adapters.evm.events import CONTROL_EVENTS, ISSUER_EVENTS, Event, notice
from node.core.watchlist import NoticeKind

TX, CONTRACT = "0x" + "11" * 32, "0x" + "44" * 20
A, B = bytes.fromhex("aa" * 20), bytes.fromhex("bb" * 20)


def log(topics: list[bytes], data: bytes = b"") -> dict[str, object]:
    return {
        "address": CONTRACT,
        "transactionHash": TX,
        "logIndex": "0x5",
        "topics": [f"0x{each.hex()}" for each in topics],
        "data": f"0x{data.hex()}",
    }


def event_named(table: Mapping[str, Event], name: str, count: int) -> Event:
    (found,) = [e for e in table.values() if (e.name, len(e.arguments)) == (name, count)]
    return found


def events_of(contract: str) -> list[Mapping[str, Any]]:
    return [dict(each) for each in load(contract).abi if each["type"] == "event"]


def topic_of(event: Mapping[str, Any]) -> str:
    types = ",".join(each["type"] for each in event["inputs"])
    return "0x" + keccak(text=f"{event['name']}({types})").hex()


def test_every_event_of_the_settlement_contract_is_followed() -> None:
    followed = {*SETTLEMENT_TOPICS, *CONTROL_EVENTS}
    assert {topic_of(each) for each in events_of("TransferSettlement")} == followed


def test_every_event_of_the_token_is_followed_but_what_shows_as_a_transfer() -> None:
    not_followed = {
        each["name"] for each in events_of("TestUSD") if topic_of(each) not in ISSUER_EVENTS
    }
    assert not_followed == {"Transfer", "Mint", "Burn"}
    assert TRANSFER_TOPIC not in ISSUER_EVENTS


@pytest.mark.parametrize("indexed", [0, 1, 2, 3])
def test_an_argument_is_read_wherever_the_issuer_put_it(indexed: int) -> None:
    event = event_named(ISSUER_EVENTS, "Approval", 3)
    words = [A.rjust(32, b"\0"), B.rjust(32, b"\0"), (2**256 - 1).to_bytes(32)]
    topics = [bytes.fromhex(event.topic[2:]), *words[:indexed]]
    found, own = notice(log(topics, b"".join(words[indexed:])), event)
    assert own == A
    assert (found.kind, found.subject, found.amount) == (NoticeKind.APPROVED, B, 2**256 - 1)
    assert (found.log_index, found.contract.hex()) == (5, CONTRACT[2:])
    assert found.detail == {
        "event": "Approval",
        "owner": f"0x{A.hex()}",
        "spender": f"0x{B.hex()}",
        "value": str(2**256 - 1),
    }


@given(st.integers(0, 3), st.binary(min_size=20, max_size=20), st.integers(0, 2**64 - 1), st.data())
def test_a_proposal_is_read_as_the_abi_library_writes_it(
    right: int, account: bytes, cap: int, data: st.DataObject
) -> None:
    ready_at = data.draw(st.integers(0, 2**40 - 1))
    event = event_named(CONTROL_EVENTS, "Proposed", 4)
    topics = [
        bytes.fromhex(event.topic[2:]),
        encode(["uint8"], [right]),
        encode(["address"], [account]),
    ]
    found, own = notice(log(topics, encode(["uint64", "uint40"], [cap, ready_at])), event)
    assert (own, found.subject, found.amount) == (None, account, cap)
    assert (found.detail["right"], found.detail["ready_at"]) == (str(right), str(ready_at))


@pytest.mark.parametrize(
    ("topics", "data"),
    [
        ([], b""),
        ([bytes(32)] * 2, bytes(64)),
        ([b"\1" * 32, bytes(32)], bytes(32)),
        ([bytes(32)] * 2, bytes(31)),
    ],
    ids=["too few", "too many", "no address", "no word"],
)
def test_a_log_that_is_not_the_event_is_not_read_as_it(topics: list[bytes], data: bytes) -> None:
    event = event_named(ISSUER_EVENTS, "Approval", 3)
    with pytest.raises(Unreadable):
        notice(log([bytes.fromhex(event.topic[2:]), *topics], data), event)


def test_a_number_that_is_too_large_for_its_type_is_not_read() -> None:
    event = event_named(CONTROL_EVENTS, "ContractCapChanged", 1)
    with pytest.raises(Unreadable, match="too large"):
        notice(log([bytes.fromhex(event.topic[2:])], (2**64).to_bytes(32)), event)
