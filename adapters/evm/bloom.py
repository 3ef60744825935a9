"""The bloom filter of a block's logs: 2,048 bits, three for each address and topic of a log.

As in the Ethereum yellow paper, 4.3.1. A filter says "certainly not" or "perhaps", nothing else.
Some chains give one of zeros whatever is in the block (those that execute blocks after they are
agreed on, and some rollups), so one of zeros is no statement.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from eth_utils.crypto import keccak

_BLOOM_BITS: Final = 2048
_ITEMS_KEPT: Final = 1 << 14  # some 8 MB; the addresses and topics of busy contracts come again


@lru_cache(maxsize=_ITEMS_KEPT)
def bits_of(item: str) -> int:
    """The three bits of one address or topic, given as JSON-RPC data."""
    three = int.from_bytes(keccak(bytes.fromhex(item[2:]))[:6])  # 16 bits for each
    return (
        1 << (three >> 32) % _BLOOM_BITS
        | 1 << (three >> 16) % _BLOOM_BITS
        | 1 << three % _BLOOM_BITS
    )


def bloom_of(logs: Iterable[Mapping[str, Any]]) -> int:
    """The filter of these logs, given as JSON-RPC has them."""
    items: set[str] = set()
    for log in logs:
        items.add(log["address"])
        items.update(log["topics"])
    bloom = 0
    for item in items:
        bloom |= bits_of(item)
    return bloom


def all_in(bits: int, bloom: int) -> bool:
    """Whether the filter has all of these bits."""
    return bits & bloom == bits


def any_in(each_bits: Iterable[int], bloom: int) -> bool:
    """Whether the filter has all bits of one of these."""
    return any(bits & bloom == bits for bits in each_bits)
