"""The signer setting: which keys there are, and opening them.

    keystore:PATH                        a keystore file (version 3), or a directory of `*.json`;
                                         the password of NAME.json is in NAME.password beside it
    keystore:PATH;password_file=FILE     one password for all of them
    keystore:PATH;password=prompt        asked for on the terminal, once for each file
    remote:URL;address=0x...             a signer over HTTP (`eth_signTransaction`) that holds
                                         these keys; `address` once for each
    remote:URL;address=0x...;token_file=FILE   its bearer token

A URL is https, or http on this machine. Not here: how many of the keys settle (`LANES`).
"""

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from getpass import getpass
from pathlib import Path
from typing import Final

from adapters.evm.addresses import Eip55
from adapters.evm.keystores import keystore_address, keystore_files, read_password
from adapters.evm.remote_signer import RemoteSigner, url_fault
from node.core.errors import AddressInvalid, SignerUnavailable
from node.core.ports.chain import Signer
from node.core.units import Address

_KEYSTORE: Final = "keystore:"
_REMOTE: Final = "remote:"
_OPTION: Final = re.compile(r"([a-z_]+)=(.*)")
_FORMS: Final = (
    "write keystore:PATH, a keystore v3 file or a directory of them, with ;password_file=FILE or"
    " ;password=prompt if the password is not beside it; or remote:URL;address=0x... of a signer"
    " over HTTP, with ;token_file=FILE if it wants a token"
)


@dataclass(frozen=True, slots=True)
class _Keystore:
    path: Path
    password_file: Path | None = None
    asks: bool = False


@dataclass(frozen=True, slots=True)
class _Remote:
    url: str
    addresses: list[Address] = field(default_factory=list)
    token_file: Path | None = None


def settings_fault(setting: str) -> str | None:
    """What is wrong with a signer setting, and the remedy; None: it can be read. Opens nothing."""
    try:
        _parsed(setting)
    except ValueError as error:
        return str(error)
    return None


def signer_addresses(setting: str) -> list[Address]:
    """The accounts of a signer setting, in order; no secret is read.

    Raises:
        SignerUnavailable: It cannot be read, or one keystore of it; names fault and remedy.
    """
    parsed = _parsed_or_unavailable(setting)
    if isinstance(parsed, _Remote):
        return parsed.addresses
    return _unrepeated([keystore_address(each) for each in keystore_files(parsed.path)])


def open_signers(setting: str, *, ask: Callable[[str], str] | None = None) -> list[Signer]:
    """The signers of a signer setting, in order; slow on purpose, as keystores are.

    A remote one is not asked for anything yet; `close_signers` ends its connections.

    Args:
        setting: The setting.
        ask: Shows words and returns a password; None: the terminal does.

    Raises:
        SignerUnavailable: One cannot be opened; names fault and remedy.
    """
    parsed = _parsed_or_unavailable(setting)
    if isinstance(parsed, _Remote):
        token = _token(parsed.token_file) if parsed.token_file else None
        return list(RemoteSigner.at(parsed.url, parsed.addresses, token))
    # Here, not above: eth_account takes a second to load, and only who holds keys needs it.
    from adapters.evm.signer import KeystoreSigner  # noqa: PLC0415

    password = read_password(parsed.password_file) if parsed.password_file else None
    signers: list[Signer] = []
    for each in keystore_files(parsed.path):
        given = (ask or _ask_terminal)(f"Password of {each}: ") if parsed.asks else password
        signers.append(KeystoreSigner.open(each, given))
    _unrepeated([each.address for each in signers])
    return signers


async def close_signers(signers: Sequence[Signer]) -> None:
    """End the connections of signers that have some."""
    for each in signers:
        if isinstance(each, RemoteSigner):
            await each.close()


def _parsed_or_unavailable(setting: str) -> _Keystore | _Remote:
    try:
        return _parsed(setting)
    except ValueError as error:
        raise SignerUnavailable(str(error)) from None


def _parsed(setting: str) -> _Keystore | _Remote:
    """The parts of a setting. Raises `ValueError` with fault and remedy."""
    head, *rest = setting.split(";")
    options = [_OPTION.fullmatch(each) for each in rest]
    pairs = [(each[1], each[2]) for each in options if each is not None and each[2]]
    if len(pairs) != len(rest):
        raise ValueError(f"each part after a semicolon must be NAME=VALUE: {_FORMS}")
    if head.startswith(_KEYSTORE) and head != _KEYSTORE:
        return _keystore(Path(head.removeprefix(_KEYSTORE)), pairs)
    if head.startswith(_REMOTE):
        return _remote(head.removeprefix(_REMOTE), pairs)
    raise ValueError(f"neither a keystore nor a remote signer: {_FORMS}")


def _keystore(path: Path, pairs: list[tuple[str, str]]) -> _Keystore:
    if not pairs:
        return _Keystore(path)
    match pairs:
        case [("password_file", file)]:
            return _Keystore(path, Path(file))
        case [("password", "prompt")]:
            return _Keystore(path, asks=True)
        case [("password", _)]:
            raise ValueError(
                "a password is never part of a setting: write ;password=prompt, or put it into a"
                " file and write ;password_file=FILE"
            )
        case _:
            raise ValueError(f"a keystore has one password: {_FORMS}")


def _remote(url: str, pairs: list[tuple[str, str]]) -> _Remote:
    fault = url_fault(url)
    if fault is not None:
        raise ValueError(fault)
    unknown = sorted({name for name, _ in pairs} - {"address", "token_file"})
    if unknown:
        raise ValueError(f"a remote signer has no {', '.join(unknown)}: {_FORMS}")
    texts = [value for name, value in pairs if name == "address"]
    files = [Path(value) for name, value in pairs if name == "token_file"]
    if not texts:
        raise ValueError("name the accounts that the remote signer holds: ;address=0x...")
    if len(files) > 1:
        raise ValueError("a remote signer has one token_file")
    try:
        addresses = [Eip55().parse(each) for each in texts]
    except AddressInvalid as error:
        raise ValueError(f"address: {error.detail}") from None
    if len(set(addresses)) != len(addresses):
        raise ValueError("an address is named twice: name each account once")
    return _Remote(url, addresses, files[0] if files else None)


def _unrepeated(addresses: list[Address]) -> list[Address]:
    """The addresses, each of them once: two lanes of one key would fight for its nonces."""
    for each in addresses:
        if addresses.count(each) > 1:
            raise SignerUnavailable(
                f"the key of 0x{each.hex()} is in two keystores of the directory: remove one"
            )
    return addresses


def _token(path: Path) -> str:
    try:
        token = path.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise SignerUnavailable(
            f"the token file {path} cannot be read ({type(error).__name__}): put the remote"
            " signer's bearer token there"
        ) from None
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise SignerUnavailable(f"the token file {path} holds no bearer token: put it there")
    return token


def _ask_terminal(words: str) -> str:
    if not sys.stdin.isatty():
        raise SignerUnavailable(
            "there is no terminal to ask for the keystore's password: start this on a terminal, or"
            " write ;password_file=FILE instead of ;password=prompt"
        )
    return getpass(words)
