"""Lanes whose keys are in keystore files (Web3 Secret Storage, version 3), signed by eth-account.

A keystore is `NAME.json`; its password is in `NAME.password` beside it. Not here: what may be
signed (`node.services.settlement_signing` compares what was signed with what was written).
"""

import asyncio
import os
from pathlib import Path
from typing import Any, Final, Self

import orjson
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from node.core.errors import SignerUnavailable
from node.core.ports.chain import SignedTransaction, UnsignedTransaction
from node.core.units import Address, TxHash

_EIP_1559: Final = 2
_OWNER_ONLY: Final = 0o600


class KeystoreSigner:
    """See `node.core.ports.chain.Signer`. The key lives in this process's memory."""

    def __init__(self, account: LocalAccount) -> None:
        self._account = account
        self._address = Address(bytes.fromhex(account.address[2:]))

    @classmethod
    def of_key(cls, private_key: str) -> Self:
        """A signer with this key (64 hex digits), for tests and development chains."""
        return cls(Account.from_key(private_key))

    @classmethod
    def open(cls, path: Path) -> Self:
        """The key of a keystore file. Slow on purpose: the file's own key derivation.

        Raises:
            SignerUnavailable: A file is missing or unreadable, or the password is wrong.
        """
        try:
            document = orjson.loads(path.read_bytes())
            password = path.with_suffix(".password").read_text("utf-8").strip()
            return cls(Account.from_key(Account.decrypt(document, password)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            # The cause could carry key material; its kind is enough.
            raise SignerUnavailable(
                f"the keystore {path} cannot be opened ({type(error).__name__}): check the file and"
                f" {path.with_suffix('.password').name} beside it"
            ) from None

    @classmethod
    def open_all(cls, path: Path) -> list[Self]:
        """The signers of a keystore file, or of every `*.json` in a directory, by name.

        Raises:
            SignerUnavailable: There is none, or one cannot be opened.
        """
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not files:
            raise SignerUnavailable(f"there is no keystore (*.json) in {path}")
        return [cls.open(each) for each in files]

    @property
    def address(self) -> Address:
        """The account that signs."""
        return self._address

    async def sign(self, transaction: UnsignedTransaction) -> SignedTransaction:
        """Sign it; deterministic (RFC 6979), so the same transaction has one hash."""
        signed = self._account.sign_transaction(_dictionary(transaction))
        await asyncio.sleep(0)  # many signatures in a row leave room for others
        return SignedTransaction(bytes(signed.raw_transaction), TxHash(bytes(signed.hash)))


def keystore_address(path: Path) -> Address:
    """The account of a keystore file, which says it openly; no password is needed.

    Raises:
        SignerUnavailable: The file is missing or no keystore.
    """
    try:
        return Address(bytes.fromhex(orjson.loads(path.read_bytes())["address"].removeprefix("0x")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SignerUnavailable(
            f"the keystore {path} cannot be read ({type(error).__name__}): check CORRIDOR_SIGNER"
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

        Raises:
            ValueError: Not a signed transaction of type 2 with an empty access list.
        """
        try:
            fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
            sender = Account.recover_transaction(raw)
        except Exception as error:
            raise ValueError("these bytes are no signed typed transaction") from error
        if fields["type"] != _EIP_1559 or fields["accessList"]:
            raise ValueError("the transaction is not of type 2 with an empty access list")
        content = UnsignedTransaction(
            chain_id=fields["chainId"],
            nonce=fields["nonce"],
            to=Address(bytes(fields["to"])),
            value_wei=fields["value"],
            data=bytes(fields["data"]),
            gas_limit=fields["gas"],
            max_fee_per_gas_wei=fields["maxFeePerGas"],
            max_priority_fee_per_gas_wei=fields["maxPriorityFeePerGas"],
        )
        return Address(bytes.fromhex(sender[2:])), TxHash(keccak(raw)), content


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
