"""The signer setting: which keys there are, and opening them."""

from pathlib import Path

from adapters.evm.signer import KeystoreSigner, keystore_address
from node.core.ports.chain import Signer
from node.core.units import Address


def signer_addresses(setting: str) -> list[Address]:
    """The accounts of a signer setting; no secret is read.

    Raises:
        SignerUnavailable: A keystore cannot be read; names it.
    """
    return [keystore_address(each) for each in _files(setting)]


def open_signers(setting: str) -> list[Signer]:
    """The signers of a signer setting; slow on purpose, as keystores are.

    Raises:
        SignerUnavailable: One cannot be opened; names fault and remedy.
    """
    return [KeystoreSigner.open(each) for each in _files(setting)]


def _files(setting: str) -> list[Path]:
    path = Path(setting.removeprefix("keystore:"))
    return sorted(path.glob("*.json")) if path.is_dir() else [path]
