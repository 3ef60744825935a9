"""Reading back what was signed: the content of a transaction, and whose key signed it."""

from typing import Any, Final

import rlp
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from node.core.ports.chain import UnsignedTransaction
from node.core.units import Address, TxHash

_EIP_1559: Final = 2
_FIELDS: Final = 12
_ADDRESS_BYTES: Final = 20
_CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1 (SEC 2, 2.4.1)."""


def signer_of(digest: bytes, parity: int, r: int, s: int) -> Address:
    """The account whose key signed this digest: recovered from the signature (SEC 1, 4.1.6).

    Args:
        digest: 32 bytes.
        parity: Of the y of the signature's point, 0 or 1.
        r: Of the signature.
        s: Of the signature.

    Raises:
        ValueError: No key made this signature.
    """
    try:
        key = Signature(vrs=(parity, r, s)).recover_public_key_from_msg_hash(digest)
    except (BadSignature, ValidationError) as error:
        raise ValueError("no key made this signature") from error
    return Address(key.to_canonical_address())


class Eip1559Reader:
    """See `node.core.ports.chain.TransactionReader`."""

    def decode(self, raw: bytes) -> tuple[Address, TxHash, UnsignedTransaction]:
        """Sender, hash and content of signed bytes, all derived from the bytes.

        Only the one encoding of a content is read: no leading zeros, no bytes behind, and of the
        two signatures that a key can make of one the one with the lower s (EIP-2).

        Raises:
            ValueError: Not a signed transaction of type 2 with an empty access list.
        """
        try:
            fields = _fields(raw)
            return _sender(fields), TxHash(keccak(raw)), _content(fields)
        except ValueError:
            raise
        except Exception as error:
            raise ValueError("these bytes are no signed typed transaction") from error


def _fields(raw: bytes) -> list[Any]:
    """The twelve fields of a signed transaction of type 2 (EIP-1559)."""
    if raw[:1] != bytes([_EIP_1559]):
        raise ValueError("the transaction is not of type 2")
    fields = rlp.decode(raw[1:], strict=True)
    if not isinstance(fields, list) or len(fields) != _FIELDS or rlp.encode(fields) != raw[1:]:
        raise ValueError("the fields are not those of type 2")
    return fields


def _content(fields: list[Any]) -> UnsignedTransaction:
    chain_id, nonce, tip, fee, gas, to, value, data, access_list = fields[:9]
    if access_list != [] or len(to) != _ADDRESS_BYTES or not isinstance(data, bytes):
        raise ValueError("the transaction has an access list, or no address that it goes to")
    return UnsignedTransaction(
        chain_id=_number(chain_id),
        nonce=_number(nonce),
        to=Address(to),
        value_wei=_number(value),
        data=data,
        gas_limit=_number(gas),
        max_fee_per_gas_wei=_number(fee),
        max_priority_fee_per_gas_wei=_number(tip),
    )


def _sender(fields: list[Any]) -> Address:
    """Who signed: recovered from the signature over everything else (EIP-1559)."""
    parity, r, s = (_number(each) for each in fields[9:])
    if parity > 1 or not 0 < r < _CURVE_ORDER or not 0 < s <= _CURVE_ORDER // 2:
        raise ValueError("the signature is not the one a key makes of this content")
    signed = keccak(bytes([_EIP_1559]) + rlp.encode(fields[:9]))
    return signer_of(signed, parity, r, s)


def _number(field: object) -> int:
    if not isinstance(field, bytes) or field[:1] == b"\0":
        raise ValueError("a number is not written in the shortest way")
    return int.from_bytes(field)
