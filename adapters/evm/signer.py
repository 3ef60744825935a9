"""Signing with keys in keystore files (Web3 Secret Storage, version 3), and writing such files.

A keystore is `NAME.json`; its password is in `NAME.password` beside it, unless it is given. A key
is in this process's memory and nowhere else: not in a log, an error, a `repr`, a pickle. Not here:
what may be signed (`node.core.signing`), keys elsewhere (`adapters.evm.remote_signer`), the
setting that names them (`adapters.evm.signers`), reading back what was signed
(`adapters.evm.signed`). Only who holds keys loads this: `eth_account` takes long to load.
"""

import asyncio
import os
from pathlib import Path
from typing import Any, Final, NoReturn, Self

import orjson
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address

from adapters.evm.keystores import keystore_address, read_password
from node.core.errors import InvariantBroken, SignerUnavailable
from node.core.ports.chain import SignedTransaction, UnsignedTransaction
from node.core.units import Address, TxHash

_EIP_1559: Final = 2
_OWNER_ONLY: Final = 0o600


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
