"""Keys in keystore files (Web3 Secret Storage, version 3), and reading back what was signed.

A keystore is `NAME.json`; its password is in `NAME.password` beside it, unless it is given. A key
is in this process's memory and nowhere else: not in a log, an error, a `repr`, a pickle. Not here:
what may be signed (`node.core.signing`), keys elsewhere (`adapters.evm.remote_signer`), the
setting that names them (`adapters.evm.signers`).
"""

import asyncio
import os
from pathlib import Path
from typing import Any, Final, NoReturn, Self

import orjson
import rlp
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_keys.datatypes import Signature
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from node.core.errors import InvariantBroken, SignerUnavailable
from node.core.ports.chain import SignedTransaction, UnsignedTransaction
from node.core.units import Address, TxHash

_EIP_1559: Final = 2
_FIELDS: Final = 12
_ADDRESS_BYTES: Final = 20
_OWNER_ONLY: Final = 0o600
_CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1 (SEC 2, 2.4.1)."""

_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError)


class KeystoreSigner:
    """See `node.core.ports.chain.Signer`. The key lives in this process's memory."""

    __slots__ = ("_account", "_address")

    def __init__(self, account: LocalAccount) -> None:
        self._account = account
        self._address = Address(bytes.fromhex(account.address[2:]))

    @classmethod
    def of_key(cls, private_key: str) -> Self:
        """A signer with this key (64 hex digits), for tests and development chains."""
        return cls(Account.from_key(private_key))

    @classmethod
    def open(cls, path: Path, password: str | None = None) -> Self:
        """The key of a keystore file. Slow on purpose: the file's own key derivation.

        Args:
            path: The file.
            password: Of the file; None: in the file `NAME.password` beside it.

        Raises:
            SignerUnavailable: A file is missing or unreadable, the password is wrong, or the
                keystore states another address than its key's.
        """
        remedy = "check the file and its password"
        if password is None:
            beside = path.with_suffix(".password")
            remedy = f"check the file and {beside.name} beside it"
            password = read_password(beside)
        account = _decrypted(path, password)
        del password
        if isinstance(account, str):
            # Raised here, where no secret is among the variables of the failed call.
            raise SignerUnavailable(f"the keystore {path} cannot be opened ({account}): {remedy}")
        signer = cls(account)
        if keystore_address(path) != signer.address:
            raise SignerUnavailable(
                f"the keystore {path} states another address than that of its key: it was"
                " tampered with, or damaged; take it from a backup"
            )
        return signer

    @property
    def address(self) -> Address:
        """The account that signs."""
        return self._address

    async def sign(self, transaction: UnsignedTransaction) -> SignedTransaction:
        """Sign it; deterministic (RFC 6979), so the same transaction has one hash.

        Raises:
            InvariantBroken: No transaction can be like that.
        """
        signed = self._signed(transaction)
        if isinstance(signed, str):
            raise InvariantBroken(f"a transaction like this cannot be signed ({signed})")
        await asyncio.sleep(0)  # many signatures in a row leave room for others
        return signed

    def _signed(self, transaction: UnsignedTransaction) -> SignedTransaction | str:
        """The signed bytes, or the kind of error: what raised it has the key among its names."""
        try:
            signed = self._account.sign_transaction(_dictionary(transaction))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not be shown
            return type(error).__name__
        return SignedTransaction(bytes(signed.raw_transaction), TxHash(bytes(signed.hash)))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} 0x{self._address.hex()}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is neither pickled nor copied")


def _decrypted(path: Path, password: str) -> LocalAccount | str:
    """The account of a keystore, or the kind of error, which could itself carry key material."""
    try:
        document = orjson.loads(path.read_bytes())
        account: LocalAccount = Account.from_key(Account.decrypt(document, password))
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not be shown
        return type(error).__name__
    return account


def read_password(path: Path) -> str:
    """The password in a file, without white space around it.

    Raises:
        SignerUnavailable: There is none to read.
    """
    try:
        password = path.read_text("utf-8").strip()
    except _UNREADABLE as error:
        raise SignerUnavailable(
            f"the password file {path} cannot be read ({type(error).__name__}): put the keystore's"
            " password there, readable by this program's user only"
        ) from None
    if not password:
        raise SignerUnavailable(f"the password file {path} is empty: put the password there")
    return password


def keystore_files(path: Path) -> list[Path]:
    """The keystore itself, or every `*.json` of a directory, by name.

    Raises:
        SignerUnavailable: There is none in the directory.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise SignerUnavailable(f"there is no keystore (*.json) in {path}: put one there")
    return files


def keystore_address(path: Path) -> Address:
    """The account of a keystore file, which says it openly; no password is needed.

    Raises:
        SignerUnavailable: The file is missing or no keystore.
    """
    try:
        address = bytes.fromhex(orjson.loads(path.read_bytes())["address"].removeprefix("0x"))
        if len(address) != _ADDRESS_BYTES:
            raise ValueError("no address")
        return Address(address)
    except _UNREADABLE as error:
        raise SignerUnavailable(
            f"the keystore {path} cannot be read ({type(error).__name__}): it must be a keystore"
            " (version 3) that names its address"
        ) from None


def write_keystore(path: Path, private_key: str, password: str, *, iterations: int) -> Address:
    """Write `path` (a `.json`) and its password file, readable by the owner only.

    Args:
        path: Where.
        private_key: 64 hex digits.
        password: What protects the file.
        iterations: Of PBKDF2; 1,000,000 for keys of worth, few for development chains.
    """
    document = Account.encrypt(
        bytes.fromhex(private_key.removeprefix("0x")), password, kdf="pbkdf2", iterations=iterations
    )
    for file, content in (
        (path, orjson.dumps(document)),
        (path.with_suffix(".password"), password.encode()),
    ):
        with os.fdopen(
            os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY), "wb"
        ) as f:
            f.write(content)
    return Address(bytes.fromhex(Account.from_key(private_key).address[2:]))


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
    public_key = Signature(vrs=(parity, r, s)).recover_public_key_from_msg_hash(signed)
    return Address(public_key.to_canonical_address())


def _number(field: object) -> int:
    if not isinstance(field, bytes) or field[:1] == b"\0":
        raise ValueError("a number is not written in the shortest way")
    return int.from_bytes(field)


def _dictionary(transaction: UnsignedTransaction) -> dict[str, Any]:
    return {
        "type": _EIP_1559,
        "chainId": transaction.chain_id,
        "nonce": transaction.nonce,
        "to": to_checksum_address(transaction.to),
        "value": transaction.value_wei,
        "data": transaction.data,
        "gas": transaction.gas_limit,
        "maxFeePerGas": transaction.max_fee_per_gas_wei,
        "maxPriorityFeePerGas": transaction.max_priority_fee_per_gas_wei,
    }
