"""Logs as JSON-RPC gives them -> the mirror's values, by hand.

web3.py decodes the same about fifty times slower, and reading back is a hot path: two logs per
payment. Here are transfers and payments; other events are in `adapters.evm.events`, and which log
is which is decided in `adapters.evm.watched`.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from eth_utils.crypto import keccak

from node.core.mirror import SettlementKind, SettlementLog, TokenLog
from node.core.units import Address, TxHash
from node.core.watchlist import StrayLog, UndecodedLog

RawLog = Mapping[str, Any]
"""One log of `eth_getLogs` or of a receipt."""


class Unreadable(Exception):
    """A log has the first topic of an event and is not that event."""


def _topic(signature: str) -> str:
    return "0x" + keccak(text=signature).hex()


TRANSFER_TOPIC: Final = _topic("Transfer(address,address,uint256)")
"""ERC-20, and ERC-721."""

APPROVAL_TOPIC: Final = _topic("Approval(address,address,uint256)")
"""ERC-20, and ERC-721."""

_KINDS: Final[Mapping[str, SettlementKind]] = {
    _topic("Settled(uint64)"): SettlementKind.SETTLED,
    _topic("Failed(uint64,bytes)"): SettlementKind.FAILED,
    _topic("Skipped(uint64)"): SettlementKind.SKIPPED,
    _topic("Voided(uint64)"): SettlementKind.VOIDED,
}
SETTLEMENT_TOPICS: Final = tuple(_KINDS)

ERC20_TOPICS: Final = 3
ERC721_TOPICS: Final = 4  # the same signature; the number of the item is indexed, too
_WORD: Final = 32
_WORD_TEXT: Final = 2 + 2 * _WORD
_ADDRESS_AT: Final = _WORD_TEXT - 40
_NO_MORE: Final = "0x" + "0" * (_ADDRESS_AT - 2)  # what comes before an address in its word
_SETTLEMENT_TOPICS_COUNT: Final = 2
_NUMBER_BITS: Final = 64
_KEPT: Final = 1024


def address_topic(address: Address) -> str:
    """An address as an indexed argument."""
    return "0x" + address.rjust(_WORD, b"\0").hex()


def token_log(log: RawLog) -> TokenLog:
    """The ERC-20 Transfer in a log with its first topic.

    Raises:
        Unreadable: It is none.
    """
    topics, data = log["topics"], log["data"]
    if len(topics) != ERC20_TOPICS:
        raise Unreadable(f"Transfer has 3 topics, the log {len(topics)}")
    if len(data) != _WORD_TEXT:
        raise Unreadable(f"Transfer has 32 bytes of data, the log {_length(data)}")
    return TokenLog(  # by place: names cost a fifth of the time here
        int(log["logIndex"], 16),
        _tx_hash(log["transactionHash"]),
        _address(topics[1]),
        _address(topics[2]),
        _number(data),
    )


def stray_log(log: RawLog) -> StrayLog:
    """The Transfer of ERC-20 or ERC-721 in a log with its first topic.

    Raises:
        Unreadable: It is neither.
    """
    topics, data = log["topics"], log["data"]
    is_item = len(topics) == ERC721_TOPICS
    if not is_item and (len(topics) != ERC20_TOPICS or len(data) != _WORD_TEXT):
        raise Unreadable("it is no Transfer of a token")
    return StrayLog(
        log_index=int(log["logIndex"], 16),
        tx_hash=_tx_hash(log["transactionHash"]),
        token=Address(bytes.fromhex(log["address"][2:])),
        from_address=_address(topics[1]),
        to_address=_address(topics[2]),
        amount=_number(topics[3] if is_item else data),
    )


def settlement_log(log: RawLog) -> SettlementLog:
    """The event of a payment number in a log with such an event's first topic.

    The payout of a Settled is not in the log itself: see `node.core.mirror.pair_payouts`.

    Raises:
        Unreadable: It is no such event.
    """
    topics, data = log["topics"], log["data"]
    kind = _KINDS[topics[0].lower()]
    if len(topics) != _SETTLEMENT_TOPICS_COUNT:
        raise Unreadable(f"{kind.value} has 2 topics, the log {len(topics)}")
    number = _number(topics[1])
    if number.bit_length() > _NUMBER_BITS:
        raise Unreadable("a payment number has 64 bits, the log's more")
    if kind is not SettlementKind.FAILED and len(data) != len("0x"):
        raise Unreadable(f"{kind.value} has no data, the log {_length(data)} bytes")
    reason = _bytes_argument(data) if kind is SettlementKind.FAILED else b""
    tx_hash = _tx_hash(log["transactionHash"])
    return SettlementLog(int(log["logIndex"], 16), tx_hash, kind, number, None, reason)


def undecoded_log(log: RawLog, fault: str) -> UndecodedLog:
    """A log as it came."""
    return UndecodedLog(
        log_index=int(log["logIndex"], 16),
        tx_hash=_tx_hash(log["transactionHash"]),
        contract=Address(bytes.fromhex(log["address"][2:])),
        topics=tuple(bytes.fromhex(each[2:]) for each in log["topics"]),
        data=bytes.fromhex(log["data"][2:]),
        fault=fault,
    )


@lru_cache(maxsize=_KEPT)
def _tx_hash(text: str) -> TxHash:
    """A transaction of many payments has it in each of their logs."""
    return TxHash(bytes.fromhex(text[2:]))


@lru_cache(maxsize=_KEPT)
def _address(word: str) -> Address:
    """One end of most transfers is the settlement contract."""
    if not word.startswith(_NO_MORE):
        raise Unreadable("there is no address where one belongs")
    return Address(bytes.fromhex(word[_ADDRESS_AT:]))


def _number(word: str) -> int:
    """`int(word, 16)` would take a sign, too."""
    return int.from_bytes(bytes.fromhex(word[2:]))


def _length(data: str) -> int:
    return (len(data) - 2) // 2


def _bytes_argument(data: str) -> bytes:
    """The only argument, of type `bytes`: offset, length, content (Solidity ABI)."""
    raw = bytes.fromhex(data[2:])
    offset = int.from_bytes(raw[:_WORD])
    length = int.from_bytes(raw[offset : offset + _WORD])
    content = raw[offset + _WORD : offset + _WORD + length]
    if len(raw) < 2 * _WORD or len(content) != length:
        raise Unreadable("the reason is cut off")
    return content
