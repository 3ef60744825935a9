"""Logs as JSON-RPC gives them -> the mirror's values, by hand.

web3.py decodes the same about fifty times slower, and reading back is a hot path: two logs per
payment. Only the events the mirror follows are known here; every other event is None.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from eth_utils.crypto import keccak

from adapters.evm.errors import NoAnswer
from node.core.mirror import SettlementKind, SettlementLog, TokenLog
from node.core.units import Address, BlockHash, TxHash

_Value = TypeVar("_Value")

RawLog = Mapping[str, Any]
"""One log of `eth_getLogs` or of a receipt."""


def _topic(signature: str) -> str:
    return "0x" + keccak(text=signature).hex()


TRANSFER_TOPIC: Final = _topic("Transfer(address,address,uint256)")
"""ERC-20."""

_KINDS: Final[Mapping[str, SettlementKind]] = {
    _topic("Settled(uint64)"): SettlementKind.SETTLED,
    _topic("Failed(uint64,bytes)"): SettlementKind.FAILED,
    _topic("Skipped(uint64)"): SettlementKind.SKIPPED,
    _topic("Voided(uint64)"): SettlementKind.VOIDED,
}
SETTLEMENT_TOPICS: Final = tuple(_KINDS)

_ERC20_TOPICS: Final = 3  # ERC-721 has the same signature and four
_WORD: Final = 32


def address_topic(address: Address) -> str:
    """An address as an indexed argument."""
    return "0x" + address.rjust(_WORD, b"\0").hex()


def token_log(log: RawLog) -> TokenLog | None:
    """The ERC-20 Transfer in a log of the token; None: another event.

    Raises:
        NoAnswer: It looks like one and is not.
    """
    topics = log["topics"]
    if len(topics) != _ERC20_TOPICS or topics[0] != TRANSFER_TOPIC:
        return None
    return _read(log, _token_log)


def settlement_log(log: RawLog) -> SettlementLog | None:
    """The event of a payment number in a log of the settlement contract; None: another event.

    The payout of a Settled is not in the log itself: see `node.core.mirror.pair_payouts`.

    Raises:
        NoAnswer: It looks like one and is not.
    """
    topics = log["topics"]
    if not topics or topics[0] not in _KINDS:
        return None
    return _read(log, _settlement_log)


def block_of(log: RawLog) -> BlockHash:
    """The block a log says it is in.

    Raises:
        NoAnswer: It is marked as removed, or names no block.
    """
    if log.get("removed") or not log.get("blockHash"):
        raise NoAnswer("the provider gives a log that is in no block")
    return _read(log, lambda each: BlockHash(bytes.fromhex(each["blockHash"][2:])))


def _token_log(log: RawLog) -> TokenLog:
    topics = log["topics"]
    return TokenLog(
        log_index=int(log["logIndex"], 16),
        tx_hash=TxHash(bytes.fromhex(log["transactionHash"][2:])),
        from_address=Address(bytes.fromhex(topics[1][26:])),
        to_address=Address(bytes.fromhex(topics[2][26:])),
        amount=int(log["data"], 16),
    )


def _settlement_log(log: RawLog) -> SettlementLog:
    topics = log["topics"]
    kind = _KINDS[topics[0]]
    return SettlementLog(
        log_index=int(log["logIndex"], 16),
        tx_hash=TxHash(bytes.fromhex(log["transactionHash"][2:])),
        kind=kind,
        payment_number=int(topics[1], 16),
        reason=_bytes_argument(log["data"]) if kind is SettlementKind.FAILED else b"",
    )


def _bytes_argument(data: str) -> bytes:
    """The only argument, of type `bytes`: offset, length, content (Solidity ABI)."""
    raw = bytes.fromhex(data[2:])
    offset = int.from_bytes(raw[:_WORD])
    length = int.from_bytes(raw[offset : offset + _WORD])
    content = raw[offset + _WORD : offset + _WORD + length]
    if len(content) != length:
        raise ValueError("the reason is cut off")
    return content


def _read(log: RawLog, read: Callable[[RawLog], _Value]) -> _Value:
    try:
        return read(log)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise NoAnswer(f"the provider gives a log that cannot be read: {error}") from error
