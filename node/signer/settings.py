"""The signer process's own settings: a TOML file, because nothing the node says may change them."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.core.errors import NodeError
from node.core.ports.chain import AddressCodec
from node.core.signing import KeyRole
from node.core.units import Address

EXAMPLE: Final = """\
listen = "127.0.0.1:9100"       # this machine only; others come through a tunnel or a TLS proxy
token_file = "signer.token"     # bearer token of the node, 32 characters or more
state_dir = "signer-state"      # what was signed, and how much today; keep it
chain_id = 1
contract = "0x..."              # the settlement contract
token = "0x..."                 # the token it pays
deposits = "0x..."              # the contract of deposit addresses; leave it out if there is none
treasury = "0x..."              # where sweeps and rescues go; leave it out if there is none
own = ["0x..."]                 # the node's keys that are not held here
fee_max_wei = 500_000_000_000   # most wei per gas

[[keys]]
keystore = "keys/lanes"         # a keystore v3 file, or a directory of them
role = "settle"                 # settle, treasury, pauser or rescuer
units_per_day = 250_000_000_000 # token units each of these keys may pay out in a day, UTC
# password_file = "..."         # else NAME.password beside NAME.json; or password = "prompt"
"""

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_TOKEN_LENGTH_MIN: Final = 32
_PORT_MAX: Final = 65535
_MEMBERS: Final = frozenset(
    {
        "listen", "token_file", "state_dir", "chain_id", "contract", "token", "deposits",
        "treasury", "own", "fee_max_wei", "keys",
    }
)  # fmt: skip
_KEY_MEMBERS: Final = frozenset({"keystore", "role", "units_per_day", "password_file", "password"})


class SignerSettingsInvalid(NodeError):
    """The file does not describe a signer."""

    code = "settings_invalid"
    title = "Settings are not valid"


@dataclass(frozen=True, slots=True)
class KeySettings:
    """Keys of one role.

    Attributes:
        signer: The keystores, as a signer setting (`adapters.evm.signers`).
        role: What they are for.
        units_per_day: Token units each may pay out in a day; 0 where the role pays nothing out.
    """

    signer: str
    role: KeyRole
    units_per_day: int


@dataclass(frozen=True, slots=True)
class SignerSettings:
    """One signer process. `token` is the bearer token of the node, never shown."""

    host: str
    port: int
    bearer: str
    state_dir: Path
    chain_id: int
    contract: Address
    token: Address
    treasury: Address | None
    own: frozenset[Address]
    fee_max_wei: int
    keys: Sequence[KeySettings]
    deposits: Address | None = None

    def __repr__(self) -> str:
        return f"<SignerSettings {self.host}:{self.port}>"


def load_settings(path: Path, codec: AddressCodec) -> SignerSettings:
    """The settings in a file; paths in it are from the file's directory.

    Raises:
        SignerSettingsInvalid: Something is wrong; says which member, and the remedy.
    """
    try:
        members = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SignerSettingsInvalid(
            f"{path} cannot be read ({error}): `corridor signer --example` prints one"
        ) from None
    try:
        return _Reading(path.parent, codec).settings(members)
    except ValueError as error:
        raise SignerSettingsInvalid(f"{path}: {error}") from None
    except NodeError as error:
        raise SignerSettingsInvalid(f"{path}: {error.detail}") from None


@dataclass(frozen=True, slots=True)
class _Reading:
    """Reads members; every fault is a `ValueError` with the member's name."""

    base: Path
    codec: AddressCodec

    def settings(self, members: Mapping[str, Any]) -> SignerSettings:
        _known(members, _MEMBERS)
        host, port = _endpoint(_text(members, "listen", "127.0.0.1:9100"))
        treasury, deposits = members.get("treasury"), members.get("deposits")
        own = members.get("own", [])
        if not isinstance(own, list):
            raise ValueError("own must be a list of addresses")  # noqa: TRY004 - one kind of error
        return SignerSettings(
            host=host,
            port=port,
            bearer=self._bearer(_text(members, "token_file")),
            state_dir=self.base / _text(members, "state_dir"),
            chain_id=_count(members, "chain_id"),
            contract=self._address("contract", members.get("contract")),
            token=self._address("token", members.get("token")),
            treasury=None if treasury is None else self._address("treasury", treasury),
            own=frozenset(self._address("own", each) for each in own),
            fee_max_wei=_count(members, "fee_max_wei"),
            keys=self._keys(members.get("keys")),
            deposits=None if deposits is None else self._address("deposits", deposits),
        )

    def _keys(self, tables: object) -> Sequence[KeySettings]:
        if not isinstance(tables, list) or not tables:
            raise ValueError("there is no [[keys]] table: name at least one keystore and its role")
        return [self._key(each) for each in tables]

    def _key(self, members: Mapping[str, Any]) -> KeySettings:
        _known(members, _KEY_MEMBERS)
        try:
            role = KeyRole(_text(members, "role"))
        except ValueError:
            raise ValueError(f"role must be one of {', '.join(KeyRole)}") from None
        pays = role is KeyRole.SETTLE
        if pays != ("units_per_day" in members):
            raise ValueError(
                "a key that settles needs units_per_day, the token units it may pay out in a day"
                if pays
                else f"a {role.value} key pays nothing out: leave units_per_day away"
            )
        setting = f"keystore:{self.base / _text(members, 'keystore')}"
        if "password_file" in members:
            setting += f";password_file={self.base / _text(members, 'password_file')}"
        if "password" in members:
            if members["password"] != "prompt":  # noqa: S105 - a word, not a password
                raise ValueError('a password is never in this file: password = "prompt" asks')
            setting += ";password=prompt"
        return KeySettings(setting, role, _count(members, "units_per_day") if pays else 0)

    def _bearer(self, name: str) -> str:
        path = self.base / name
        try:
            bearer = path.read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise ValueError(
                f"token_file {path} cannot be read ({type(error).__name__}): make one, for example"
                f" with `openssl rand -hex 32 > {path}`"
            ) from None
        if len(bearer) < _TOKEN_LENGTH_MIN or not bearer.isascii() or not bearer.isprintable():
            raise ValueError(
                f"token_file {path} must hold {_TOKEN_LENGTH_MIN} printable characters or more"
            )
        return bearer

    def _address(self, name: str, text: object) -> Address:
        if not isinstance(text, str):
            raise ValueError(f"{name} must be an address, 0x...")  # noqa: TRY004 - as above
        try:
            return self.codec.parse(text)
        except NodeError as error:
            raise ValueError(f"{name}: {error.detail}") from None


def _known(members: Mapping[str, Any], known: frozenset[str]) -> None:
    if unknown := sorted(set(members) - known):
        raise ValueError(
            f"there is no {', '.join(unknown)} here; there are {', '.join(sorted(known))}"
        )


def _text(members: Mapping[str, Any], name: str, default: str = "") -> str:
    text = members.get(name, default)
    if not isinstance(text, str) or not text:
        raise ValueError(f"{name} is missing, or is no text")
    return text


def _count(members: Mapping[str, Any], name: str) -> int:
    count = members.get(name)
    if not isinstance(count, int) or isinstance(count, bool) or count <= 0:
        raise ValueError(f"{name} is missing, or is no whole number above zero")
    return count


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if host not in _LOOPBACK:
        raise ValueError(
            f"listen: {host or text} is not this machine; listen at 127.0.0.1:PORT, and let the"
            " node come through a tunnel, or through a proxy here that speaks TLS"
        )
    if not port.isdecimal() or int(port) > _PORT_MAX:
        raise ValueError("listen must end in a port, such as 127.0.0.1:9100")
    return host, int(port)
