"""Keystore files (Web3 Secret Storage, version 3): which there are, whose, and with what password.

A keystore is `NAME.json`; its password is in `NAME.password` beside it, unless it is given. Not
here: opening one (`adapters.evm.signer`).
"""

from pathlib import Path
from typing import Final

import orjson

from node.core.errors import SignerUnavailable
from node.core.units import Address

_ADDRESS_BYTES: Final = 20
_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError)


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
