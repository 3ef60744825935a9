"""The node's side of the settings: which variable is wrong, and how to write it."""

from pathlib import Path
from typing import Any

import pytest

from adapters.evm.signer import write_keystore
from node.bootstrap.keys import own_keys
from node.config import Settings, SettingsInvalid
from node.core.units import Address
from tests.rig import DEV_ACCOUNTS

CONTRACT, TOKEN = ("0x" + digit * 40 for digit in "12")
REMOTE = "0x" + "ab" * 20


def settings(directory: Path, **signers: str) -> Settings:
    write_keystore(directory / "lane.json", DEV_ACCOUNTS[0][1], "correct horse", iterations=2)
    values: dict[str, Any] = {
        "settlement_address": CONTRACT,
        "token_address": TOKEN,
        "signer": f"keystore:{directory / 'lane.json'}",
        **signers,
    }
    return Settings(**values)


def test_own_keys_may_be_here_and_elsewhere_and_no_secret_is_needed_to_know_them(
    tmp_path: Path,
) -> None:
    made = settings(tmp_path, pauser_signer=f"remote:https://signer.example;address={REMOTE}")
    (tmp_path / "lane.password").unlink()
    keys = own_keys(made)
    assert keys.lanes == (Address(bytes.fromhex(DEV_ACCOUNTS[0][0][2:])),)
    assert keys.pauser == Address(b"\xab" * 20)
    assert keys.pauser in keys.signing(made).own


@pytest.mark.parametrize("name", ["signer", "treasury_signer", "pauser_signer", "rescuer_signer"])
def test_a_wrong_signer_setting_is_told_by_its_variable(tmp_path: Path, name: str) -> None:
    wrong = f"remote:http://signer.example;address={REMOTE}"
    with pytest.raises(SettingsInvalid, match=f"CORRIDOR_{name.upper()}: http:// to signer"):
        own_keys(settings(tmp_path, **{name: wrong}))


def test_a_password_in_a_setting_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="never part of a setting") as caught:
        own_keys(settings(tmp_path, signer="keystore:/keys;password=hunter2"))
    assert "hunter2" not in str(caught.value)
