"""The signer's own file: what is wrong with it is told by the member's name, with a remedy."""

from pathlib import Path
from typing import Any

import pytest

from adapters.evm.addresses import Eip55
from node.core.signing import KeyRole
from node.core.units import Address
from node.signer.settings import EXAMPLE, SignerSettings, SignerSettingsInvalid, load_settings

TOKEN = "0123456789abcdef" * 4
CONTRACT, USDC, TREASURY, OWN, DEPOSITS = ("0x" + digit * 40 for digit in "12345")


def written(directory: Path, **changes: str | None) -> Path:
    """A file in good order but for these members; None leaves one out."""
    members: dict[str, str | None] = {
        "token_file": '"signer.token"',
        "state_dir": '"state"',
        "chain_id": "31337",
        "contract": f'"{CONTRACT}"',
        "token": f'"{USDC}"',
        "fee_max_wei": "500_000_000_000",
        **changes,
    }
    keys = members.pop("keys", None) or (
        '[[keys]]\nkeystore = "lanes"\nrole = "settle"\nunits_per_day = 1000\n'
    )
    lines = [f"{name} = {value}" for name, value in members.items() if value is not None]
    (directory / "signer.token").write_text(f"{TOKEN}\n")
    file = directory / "signer.toml"
    file.write_text("\n".join(lines) + "\n" + keys)
    return file


def loaded(file: Path) -> SignerSettings:
    return load_settings(file, Eip55())


def test_paths_are_from_the_file_s_own_directory_and_defaults_are_careful(tmp_path: Path) -> None:
    settings = loaded(written(tmp_path))
    assert (settings.host, settings.port) == ("127.0.0.1", 9100)
    assert settings.state_dir == tmp_path / "state"
    assert settings.treasury is None
    assert settings.own == frozenset()
    assert settings.bearer == TOKEN
    (key,) = settings.keys
    assert key.signer == f"keystore:{tmp_path / 'lanes'}"
    assert (key.role, key.units_per_day) == (KeyRole.SETTLE, 1000)


def test_every_member_is_read(tmp_path: Path) -> None:
    keys = (
        '[[keys]]\nkeystore = "/keys/t.json"\nrole = "treasury"\npassword = "prompt"\n'
        '[[keys]]\nkeystore = "p.json"\nrole = "pauser"\npassword_file = "p.secret"\n'
    )
    settings = loaded(
        written(
            tmp_path,
            listen='"[::1]:7"',
            treasury=f'"{TREASURY}"',
            own=f'["{OWN}"]',
            keys=keys,
        )
    )
    assert (settings.host, settings.port) == ("::1", 7)
    assert settings.treasury == Address(b"\x33" * 20)
    assert settings.own == {Address(b"\x44" * 20)}
    assert [each.signer for each in settings.keys] == [
        "keystore:/keys/t.json;password=prompt",
        f"keystore:{tmp_path / 'p.json'};password_file={tmp_path / 'p.secret'}",
    ]


KEY = '[[keys]]\nkeystore = "a"\n'
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a listener for everybody": ({"listen": '"0.0.0.0:9100"'}, "is not this machine"),
    "a listener by name": ({"listen": '"signer.example:9100"'}, "is not this machine"),
    "no port": ({"listen": '"127.0.0.1"'}, "is not this machine"),
    "a port that is none": ({"listen": '"127.0.0.1:70000"'}, "end in a port"),
    "no token": ({"token_file": None}, "token_file is missing"),
    "a token file that is not there": ({"token_file": '"none"'}, "openssl rand -hex 32"),
    "no chain": ({"chain_id": None}, "chain_id is missing"),
    "a chain in words": ({"chain_id": '"1"'}, "chain_id"),
    "no contract": ({"contract": None}, "contract must be an address"),
    "half a contract": ({"contract": '"0x11"'}, "contract: write the address"),
    "a wrong treasury": ({"treasury": "7"}, "treasury must be an address"),
    "own that is no list": ({"own": f'"{OWN}"'}, "own must be a list"),
    "no cap of fees": ({"fee_max_wei": None}, "fee_max_wei is missing"),
    "a cap of nothing": ({"fee_max_wei": "0"}, "fee_max_wei"),
    "a cap that is no number": ({"fee_max_wei": "true"}, "fee_max_wei"),
    "a member that is not known": ({"fee_max": "1"}, "there is no fee_max here"),
    "no keys": ({"keys": "\n"}, "no [[keys]]"),
    "keys that are no tables": ({"keys": "keys = 7\n"}, "no [[keys]]"),
    "an unknown role": ({"keys": KEY + 'role = "admin"\n'}, "role must be one of settle"),
    "a lane without a limit": ({"keys": KEY + 'role = "settle"\n'}, "needs units_per_day"),
    "a pauser with one": (
        {"keys": KEY + 'role = "pauser"\nunits_per_day = 1\n'},
        "leave units_per_day away",
    ),
    "a password in the file": (
        {"keys": KEY + 'role = "pauser"\npassword = "hunter2"\n'},
        "never in this file",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_by_its_name(tmp_path: Path, name: str) -> None:
    changes, words = WRONG[name]
    with pytest.raises(SignerSettingsInvalid) as caught:
        loaded(written(tmp_path, **changes))
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("token", ["", "short", "ü" * 40, "a\tb" * 20])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(tmp_path: Path, token: str) -> None:
    file = written(tmp_path)
    (tmp_path / "signer.token").write_text(token)
    with pytest.raises(SignerSettingsInvalid, match="32 printable characters"):
        loaded(file)


def test_a_file_that_is_not_there_or_no_toml_names_the_way_to_one(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("= 7")
    for name in ("none.toml", "broken.toml"):
        with pytest.raises(SignerSettingsInvalid, match="corridor signer --example"):
            loaded(tmp_path / name)


def test_the_example_has_every_member_and_only_addresses_and_files_to_fill_in(
    tmp_path: Path,
) -> None:
    text = EXAMPLE
    for address in (CONTRACT, USDC, DEPOSITS, TREASURY, OWN):
        text = text.replace('"0x..."', f'"{address}"', 1)
    file = tmp_path / "signer.toml"
    file.write_text(text)
    (tmp_path / "signer.token").write_text(TOKEN)
    settings = loaded(file)
    assert settings.keys[0].units_per_day == 250_000_000_000
    assert settings.treasury is not None
    assert settings.deposits == bytes.fromhex(DEPOSITS[2:])


def test_settings_show_no_token(tmp_path: Path) -> None:
    settings = loaded(written(tmp_path))
    assert TOKEN not in repr(settings) + str(settings)
