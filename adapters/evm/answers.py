"""Answers of JSON-RPC about blocks and transactions -> the mirror's values.

What cannot be read raises one of `UNREADABLE`, what is not there `Lacking`; the reader says whose
answer it was. Logs are in `adapters.evm.decode`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from adapters.evm.bloom import bloom_of
from adapters.evm.client import from_hex, quantity
from adapters.evm.decode import RawLog
from adapters.evm.errors import Implausible, Lacking, NoAnswer
from adapters.evm.raw import raw_of
from node.core.adoption.facts import MinedTransaction
from node.core.mirror import BlockHeader, BlockPoint
from node.core.ports.chain import Receipt
from node.core.submission import Fees
from node.core.units import Address, BlockHash, TxHash

_HASH_BYTES: Final = 32
_WORD_BYTES: Final = 32
_COUNT_BITS: Final = 63  # what the store holds
_WORD_BITS: Final = 256


def count_of(text: str) -> int:
    """A number of blocks, of transactions, of gas, or a time.

    Raises:
        ValueError: No chain has so many.
    """
    return _within(text, _COUNT_BITS)


def amount_of(text: str) -> int:
    """A number of at most 256 bits.

    Raises:
        ValueError: It is another.
    """
    return _within(text, _WORD_BITS)


def _within(text: str, bits: int) -> int:
    number = quantity(text)
    if number < 0 or number.bit_length() > bits:
        raise ValueError(f"a quantity that no chain has: {text[:_WORD_BYTES]}")
    return number


def tx_hash_of(text: str) -> TxHash:
    """The hash of a transaction."""
    return TxHash(_hash(text))


def block_hash_of(text: str) -> BlockHash:
    """The hash of a block."""
    return BlockHash(_hash(text))


def header_of(block: Mapping[str, Any]) -> BlockHeader:
    """A block of `eth_getBlockBy...`, asked without its transactions."""
    return BlockHeader(
        number=count_of(block["number"]),
        hash=block_hash_of(block["hash"]),
        parent_hash=block_hash_of(block["parentHash"]),
        mined_at=datetime.fromtimestamp(count_of(block["timestamp"]), UTC),
        tx_hashes=tuple(tx_hash_of(each) for each in block["transactions"]),
        logs_bloom=from_hex(block["logsBloom"]),
    )


def receipt_of(answer: Mapping[str, Any] | None) -> Receipt:
    """One of `eth_getTransactionReceipt`.

    Raises:
        Lacking: There is none, or it is of no block.
    """
    if answer is None or answer.get("blockHash") is None:
        raise Lacking("the provider has no receipt of a transaction that is in a block")
    return Receipt(
        tx_hash=tx_hash_of(answer["transactionHash"]),
        block_hash=block_hash_of(answer["blockHash"]),
        block_number=count_of(answer["blockNumber"]),
        succeeded=count_of(answer["status"]) == 1,
        gas_used=count_of(answer["gasUsed"]),
        effective_gas_price_wei=amount_of(answer["effectiveGasPrice"]),
    )


def logs_of_block(
    header: BlockHeader,
    receipts: Sequence[Mapping[str, Any] | None] | None,
    *,
    bloom_is_exact: bool = True,
) -> list[RawLog]:
    """All logs of a block, out of all its receipts.

    The bloom filter is compared where the header has one that is not all zeros: it covers also
    the logs of strangers, so a provider that leaves out one log has to lie about the header, too.

    Args:
        header: The block's.
        receipts: As `eth_getBlockReceipts` gives them.
        bloom_is_exact: Whether the chain puts every log into the filter; else it is not compared.

    Raises:
        Implausible: These are not the receipts of this block, or not all of it.
        Lacking: They are not there.
    """
    if receipts is None or any(each is None for each in receipts):
        raise Lacking(f"the provider has not all receipts of block {header.number}")
    logs = _logs_of(header, [each for each in receipts if each is not None])
    stated = int.from_bytes(header.logs_bloom)
    if bloom_is_exact and stated and bloom_of(logs) != stated:
        raise Implausible("its receipts' logs are not those of its bloom filter", header.point)
    return logs


def _logs_of(header: BlockHeader, receipts: Sequence[Mapping[str, Any]]) -> list[RawLog]:
    """All logs of these receipts, if they are all of the block, and all logs numbered in order."""
    point = header.point
    hashes = [from_hex(each["transactionHash"]) for each in receipts]
    if hashes != list(header.tx_hashes):
        raise Implausible(
            f"it has {len(header.tx_hashes)} transactions, the provider gives {len(hashes)}"
            " receipts or others",
            point,
        )
    logs: list[RawLog] = []
    for receipt in receipts:
        if from_hex(receipt["blockHash"]) != header.hash:
            raise Implausible("the provider gives receipts of another block", point)
        for log in receipt["logs"]:
            place = len(logs)
            if log["logIndex"] != hex(place) and quantity(log["logIndex"]) != place:
                raise Implausible("its receipts' logs are not numbered in order", point, len(logs))
            if log["transactionHash"] != receipt["transactionHash"]:
                raise Implausible("a receipt has the log of another", point, len(logs))
            logs.append(log)
    return logs


def mined_of(
    block: Mapping[str, Any], told: Mapping[str, Any], receipt: Receipt
) -> MinedTransaction:
    """A transaction of a block read whole, with its receipt.

    Raises:
        Lacking: The receipt is of another block, or what is told is not what was signed.
    """
    try:
        raw = raw_of(told)
    except NoAnswer as error:
        raise Lacking(str(error)) from error
    point = BlockPoint(count_of(block["number"]), block_hash_of(block["hash"]))
    if receipt.block_hash != point.hash:
        raise Lacking("a transaction changed its block while it was read")
    fee = told.get("maxFeePerGas") or told["gasPrice"]
    tip = told.get("maxPriorityFeePerGas") or fee
    return MinedTransaction(
        tx_hash=receipt.tx_hash,
        sender=Address(from_hex(told["from"])),
        nonce=count_of(told["nonce"]),
        to=Address(from_hex(told["to"])) if told["to"] else None,
        value_wei=amount_of(told["value"]),
        data=from_hex(told["input"]),
        gas_limit=count_of(told["gas"]),
        fees=Fees(amount_of(fee), amount_of(tip)),
        raw=raw,
        block=point,
        mined_at=datetime.fromtimestamp(count_of(block["timestamp"]), UTC),
        index=count_of(told["transactionIndex"]),
        succeeded=receipt.succeeded,
        gas_used=receipt.gas_used,
        gas_price_wei=receipt.effective_gas_price_wei,
    )


def word_of(answer: str) -> int:
    """The number that a call returned.

    Raises:
        Lacking: It returned something else.
    """
    raw = from_hex(answer)
    if len(raw) != _WORD_BYTES:
        raise Lacking("the token does not answer balanceOf; is it a contract?")
    return int.from_bytes(raw)


def address_of_log(log: RawLog) -> RawLog:
    """The log with its address in lower case: some providers write it with a checksum."""
    return log if log["address"].islower() else {**log, "address": log["address"].lower()}


def _hash(text: str) -> bytes:
    raw = from_hex(text)
    if len(raw) != _HASH_BYTES:
        raise ValueError("a hash has 32 bytes")
    return raw
