"""The partners that pay out, read from a TOML file and checked to the last member.

    [[peer]]
    name = "manila"                    # as `corridor partner create` named it
    url = "https://manila.example"     # of its node, without a path
    key_file = "manila.key"            # the key that it gave this node
    webhook_secret_file = "manila.whsec"  # of the endpoint it has for this node; may be left out
    signing_key_file = "manila.pem"    # ed25519, PKCS 8; both or none: what requests are signed
    signing_key_id = "sig_..."         # with (RFC 9421), and as what the node registered it
    countries = ["PH"]
    currencies = ["PHP"]
    settlement_contract = "0x..."      # its refunds come from there

Files are looked for beside the one that names them. Secrets are read when they are needed, so that
they can be replaced while the node runs, and never shown.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from node.core.units import Address

_BYTES_MAX: Final = 262_144
_SECRET_BYTES_MAX: Final = 4096
_REQUIRED: Final = ("name", "url", "key_file", "countries", "currencies", "settlement_contract")
_SIGNING: Final = ("signing_key_file", "signing_key_id")
_MEMBERS: Final = (*_REQUIRED, "webhook_secret_file", *_SIGNING)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_URL: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")
_KEY_ID: Final = re.compile(r"sig_[0-9a-z]{26}")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What requests are signed with.

    Attributes:
        id: As the partner's node names its public half.
    """

    id: str
    private: Ed25519PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Peer:
    """One partner of the file.

    Attributes:
        url: Scheme and authority.
        key_file: Its one line is the bearer key.
        webhook_secret_file: Its lines are keys that webhooks are signed by, `whsec_` or `whpk_`;
            two while one is rotated. None: it sends none.
        signing_key_file: A private key, ed25519 (RFC 8410); None: requests are not signed.
        signing_key_id: As the partner's node names its public half.
    """

    name: str
    url: str
    key_file: Path
    webhook_secret_file: Path | None
    countries: frozenset[str]
    currencies: frozenset[str]
    settlement_contract: Address
    signing_key_file: Path | None = None
    signing_key_id: str = ""

    def key(self) -> str:
        """The bearer key.

        Raises:
            ValueError: The file cannot be read; says why, without it.
        """
        return _lines(self.key_file)[0]

    def webhook_keys(self) -> Sequence[str]:
        """What its webhooks are signed by; none: it sends none.

        Raises:
            ValueError: The file cannot be read; says why, without it.
        """
        return () if self.webhook_secret_file is None else _lines(self.webhook_secret_file)

    def signing_key(self) -> RequestKey | None:
        """What requests are signed with; None: they are not.

        Raises:
            ValueError: The file cannot be read, or is no such key; says why, without it.
        """
        path = self.signing_key_file
        if path is None:
            return None
        try:
            key = load_pem_private_key(path.read_bytes()[:_SECRET_BYTES_MAX], password=None)
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror})") from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError(f"{path} is no private key in PEM without a password") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{path} is no ed25519 key")  # noqa: TRY004 - one error for all
        return RequestKey(self.signing_key_id, key)


def load_peers(path: Path) -> tuple[Peer, ...]:
    """The partners of a file, the preferred ones first.

    Raises:
        ValueError: It cannot be read, or something in it is wrong; names the file, the place, the
            fault and the remedy.
    """
    try:
        return _peers(tomllib.loads(_content(path)), path.parent)
    except OSError as error:
        fault = error.strerror or error
        raise ValueError(f"{path} cannot be read ({fault}); name a file that is there") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML file: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _content(path: Path) -> str:
    with path.open("rb") as opened:
        content = opened.read(_BYTES_MAX + 1)
    if len(content) > _BYTES_MAX:
        raise ValueError(f"the file is longer than {_BYTES_MAX} bytes")
    return content.decode()


def _peers(document: Mapping[str, Any], beside: Path) -> tuple[Peer, ...]:
    listed = document.get("peer")
    if set(document) != {"peer"} or not isinstance(listed, list) or not listed:
        raise ValueError("write tables [[peer]] and nothing else")
    peers = tuple(_peer(each, number, beside) for number, each in enumerate(listed, start=1))
    names = [each.name for each in peers]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"there are two peers '{name}'; keep one")
    return peers


def _peer(members: object, number: int, beside: Path) -> Peer:
    place = f"peer {number}"
    if not isinstance(members, dict):
        raise ValueError(f"{place}: write a table [[peer]]")  # noqa: TRY004 - one error for all
    for name in members:
        if name not in _MEMBERS:
            raise ValueError(f"{place} has no member '{name}'; write {', '.join(_MEMBERS)}")
    for name in _REQUIRED:
        if name not in members:
            raise ValueError(f"{place}: {name} is missing; add a line '{name} = ...'")
    secret = members.get("webhook_secret_file")
    contract = _text(members, "settlement_contract", place, _ADDRESS)
    return Peer(
        name=_text(members, "name", place, _NAME),
        url=_text(members, "url", place, _URL).rstrip("/"),
        key_file=beside.joinpath(_text(members, "key_file", place)),
        webhook_secret_file=None
        if secret is None
        else beside.joinpath(_text(members, "webhook_secret_file", place)),
        countries=_codes(members, "countries", place, 2),
        currencies=_codes(members, "currencies", place, 3),
        settlement_contract=Address(bytes.fromhex(contract[2:])),
        **_signing(members, place, beside),
    )


def _signing(members: Mapping[str, object], place: str, beside: Path) -> dict[str, Any]:
    """Both members, or neither."""
    given = [name for name in _SIGNING if name in members]
    if not given:
        return {}
    if len(given) < len(_SIGNING):
        raise ValueError(f"{place}: write both of {' and '.join(_SIGNING)}, or neither")
    return {
        "signing_key_file": beside.joinpath(_text(members, "signing_key_file", place)),
        "signing_key_id": _text(members, "signing_key_id", place, _KEY_ID),
    }


def _text(
    members: Mapping[str, object], name: str, place: str, form: re.Pattern[str] | None = None
) -> str:
    value = members[name]
    if not isinstance(value, str) or not value or (form and not form.fullmatch(value)):
        raise ValueError(f"{place}: {name}: '{value}' has not the form that is asked for")
    return value


def _codes(members: Mapping[str, object], name: str, place: str, length: int) -> frozenset[str]:
    value = members[name]
    if not isinstance(value, list) or not value:
        raise ValueError(f"{place}: {name}: write a list of codes")
    for each in value:
        if not isinstance(each, str) or len(each) != length or not each.isupper():
            raise ValueError(f"{place}: {name}: '{each}' is no code of {length} capital letters")
    return frozenset(value)


def _lines(path: Path) -> list[str]:
    """The lines of a file of secrets that say something; at least one."""
    try:
        text = path.read_bytes()[:_SECRET_BYTES_MAX].decode("ascii")
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} holds more than ASCII") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{path} is empty")
    return lines
