"""Signed bytes of a mined transaction, put together again from what JSON-RPC tells of it.

The types of transactions are those of EIP-2718: legacy, 1 (EIP-2930), 2 (EIP-1559), 3 (EIP-4844,
without its blobs, as in a block) and 4 (EIP-7702). Whoever relies on them compares the hash.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import rlp
from eth_utils.crypto import keccak
from rlp.exceptions import RLPException

from adapters.evm.errors import NoAnswer
from adapters.evm.signed import signer_of
from node.core.units import Address, TxHash

_NO_CHAIN_IN_V: Final = 27
_CHAIN_IN_V: Final = 35
"""What legacy signatures add to the parity (EIP-155)."""

_Field = Callable[[Mapping[str, Any]], Any]


def raw_of(told: Mapping[str, Any]) -> bytes:
    """The bytes that were signed and sent.

    Args:
        told: One transaction of a block, as `eth_getBlockByHash` gives it.

    Raises:
        NoAnswer: They are not of the hash, or not of the sender, that the provider tells.
    """
    try:
        kind = int(told.get("type", "0x0"), 16)
        content = [field(told) for field in _FIELDS[kind]]
        encoded = bytes(rlp.encode(content))
    except (KeyError, TypeError, ValueError, AttributeError, RLPException) as error:
        raise NoAnswer(f"transaction {told.get('hash')} is of no known form") from error
    raw = (bytes([kind]) if kind else b"") + encoded
    if TxHash(keccak(raw)) != bytes.fromhex(told["hash"][2:]):
        raise NoAnswer(f"what the provider tells of transaction {told['hash']} has another hash")
    if _sender(kind, content) != bytes.fromhex(told["from"][2:]):
        raise NoAnswer(f"transaction {told['hash']} was signed by somebody else than is told")
    return raw


def _sender(kind: int, content: Sequence[Any]) -> Address | None:
    """Whose signature it has: over everything before it (EIP-2718; of legacy ones EIP-155)."""
    *signed, v, r, s = content
    if kind:
        digest, parity = keccak(bytes([kind]) + rlp.encode(signed)), v
    elif v >= _CHAIN_IN_V:
        chain_id, parity = divmod(v - _CHAIN_IN_V, 2)
        digest = keccak(rlp.encode([*signed, chain_id, 0, 0]))
    else:
        digest, parity = keccak(rlp.encode(signed)), v - _NO_CHAIN_IN_V
    try:
        return signer_of(digest, parity, r, s)
    except ValueError:
        return None


def _number(name: str) -> _Field:
    return lambda told: int(told[name], 16)


def _data(name: str) -> _Field:
    return lambda told: bytes.fromhex((told[name] or "0x")[2:])


def _parity(told: Mapping[str, Any]) -> int:
    return int(told["yParity"] if told.get("yParity") is not None else told["v"], 16)


def _access_list(told: Mapping[str, Any]) -> list[Any]:
    return [
        [bytes.fromhex(each["address"][2:]), _words(each["storageKeys"])]
        for each in told.get("accessList") or ()
    ]


def _blob_hashes(told: Mapping[str, Any]) -> list[bytes]:
    return _words(told["blobVersionedHashes"])


def _words(texts: Sequence[str]) -> list[bytes]:
    return [bytes.fromhex(each[2:]) for each in texts]


def _authorizations(told: Mapping[str, Any]) -> list[Any]:
    return [
        [
            int(each["chainId"], 16),
            bytes.fromhex(each["address"][2:]),
            int(each["nonce"], 16),
            _parity(each),
            int(each["r"], 16),
            int(each["s"], 16),
        ]
        for each in told["authorizationList"]
    ]


_CALL: Final = (_number("gas"), _data("to"), _number("value"), _data("input"))
_SIGNATURE: Final = (_parity, _number("r"), _number("s"))
_HEAD: Final = (_number("chainId"), _number("nonce"))
_MARKET: Final = (_number("maxPriorityFeePerGas"), _number("maxFeePerGas"))
_FIELDS: Final[Mapping[int, Sequence[_Field]]] = {
    0: (_number("nonce"), _number("gasPrice"), *_CALL, _number("v"), _number("r"), _number("s")),
    1: (*_HEAD, _number("gasPrice"), *_CALL, _access_list, *_SIGNATURE),
    2: (*_HEAD, *_MARKET, *_CALL, _access_list, *_SIGNATURE),
    3: (
        *(*_HEAD, *_MARKET, *_CALL, _access_list),
        *(_number("maxFeePerBlobGas"), _blob_hashes, *_SIGNATURE),
    ),
    4: (*_HEAD, *_MARKET, *_CALL, _access_list, _authorizations, *_SIGNATURE),
}
"""The fields of each type, in the order in which they are signed."""
