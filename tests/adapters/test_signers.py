"""The signer setting: every form of it, and what is wrong with it told with the remedy."""

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.evm.addresses import Eip55
from adapters.evm.signer import write_keystore
from adapters.evm.signers import close_signers, open_signers, settings_fault, signer_addresses
from node.core.errors import SignerUnavailable
from node.core.units import Address
from tests.adapters.lying_rpc import lying
from tests.adapters.signer_suite import PAYMENT
from tests.rig import DEV_ACCOUNTS

ADDRESSES = [Address(bytes.fromhex(each[2:])) for each, _ in DEV_ACCOUNTS[:2]]
TEXTS = [Eip55().text(each) for each in ADDRESSES]
PASSWORD = "correct horse"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Two keystores, in the order of their names."""
    keys = tmp_path / "keys"
    keys.mkdir()
    for name, (_, key) in zip(("a", "b"), DEV_ACCOUNTS, strict=False):
        write_keystore(keys / f"{name}.json", key, PASSWORD, iterations=2)
    return keys


def opened(setting: str) -> list[Address]:
    assert settings_fault(setting) is None
    addresses = [each.address for each in open_signers(setting)]
    assert addresses == signer_addresses(setting)
    return addresses


# ----------------------------------------------------------------------------------- keystores


def test_a_file_is_one_key_and_a_directory_all_of_them_by_name(directory: Path) -> None:
    assert opened(f"keystore:{directory / 'b.json'}") == ADDRESSES[1:]
    assert opened(f"keystore:{directory}") == ADDRESSES


def test_one_password_file_serves_all_keys(directory: Path, tmp_path: Path) -> None:
    for each in directory.glob("*.password"):
        each.unlink()
    password = tmp_path / "secret"
    password.write_text(f"{PASSWORD}\n")
    assert opened(f"keystore:{directory};password_file={password}") == ADDRESSES


def test_addresses_are_told_without_any_password(directory: Path) -> None:
    for each in directory.glob("*.password"):
        each.unlink()
    assert signer_addresses(f"keystore:{directory}") == ADDRESSES


def test_the_password_is_asked_for_once_for_each_key(directory: Path) -> None:
    asked: list[str] = []

    def ask(words: str) -> str:
        asked.append(words)
        return PASSWORD

    signers = open_signers(f"keystore:{directory};password=prompt", ask=ask)
    assert [each.address for each in signers] == ADDRESSES
    assert [name in words for name, words in zip(("a.json", "b.json"), asked, strict=True)] == [
        True,
        True,
    ]


PROMPTED = """
import sys
from adapters.evm.signers import open_signers
print([each.address.hex() for each in open_signers(sys.argv[1])])
"""


def test_a_password_typed_on_a_terminal_opens_the_key_and_is_not_echoed(directory: Path) -> None:
    setting = f"keystore:{directory / 'a.json'};password=prompt"
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROMPTED, setting],
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
    )
    os.close(end)
    shown = b""
    while b"Password of" not in shown:
        shown += os.read(terminal, 1024)
    os.write(terminal, f"{PASSWORD}\n".encode())
    try:
        while more := os.read(terminal, 1024):
            shown += more
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    assert process.wait() == 0
    assert ADDRESSES[0].hex().encode() in shown
    assert PASSWORD.encode() not in shown


def test_without_a_terminal_the_remedy_is_told(directory: Path) -> None:
    setting = f"keystore:{directory / 'a.json'};password=prompt"
    done = subprocess.run(
        [sys.executable, "-c", PROMPTED, setting],
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 1
    assert b"SignerUnavailable: there is no terminal" in done.stderr
    assert b"password_file=FILE" in done.stderr


def test_one_key_in_two_files_is_refused(directory: Path) -> None:
    for suffix in ("json", "password"):
        shutil.copy(directory / f"a.{suffix}", directory / f"c.{suffix}")
    for read in (signer_addresses, open_signers):
        with pytest.raises(SignerUnavailable, match="in two keystores"):
            read(f"keystore:{directory}")


@pytest.mark.parametrize("read", [signer_addresses, open_signers])
def test_what_is_not_there_is_named(tmp_path: Path, read: object) -> None:
    assert callable(read)
    for setting in (f"keystore:{tmp_path}", f"keystore:{tmp_path / 'none.json'}"):
        with pytest.raises(SignerUnavailable, match=str(tmp_path)):
            read(setting)
    with pytest.raises(SignerUnavailable, match="neither a keystore nor"):
        read("vault:somewhere")


# -------------------------------------------------------------------------------------- remote


async def test_a_remote_signer_has_the_addresses_of_its_setting_and_its_token(
    tmp_path: Path,
) -> None:
    token = tmp_path / "token"
    token.write_text("a-token\n")
    async with lying("http://127.0.0.1:1") as server:
        server.lie = lambda _method, _params: 500
        setting = f"remote:{server.url};address={TEXTS[0]};address={TEXTS[1]};token_file={token}"
        assert settings_fault(setting) is None
        assert signer_addresses(setting) == ADDRESSES
        signers = open_signers(setting)
        assert [each.address for each in signers] == ADDRESSES
        assert server.asked == []
        for each in signers:
            with pytest.raises(SignerUnavailable):
                await each.sign(PAYMENT)
        assert {each[b"authorization"] for each in server.headers} == {b"Bearer a-token"}
        assert [each[0]["from"] for each in server.params] == [text.lower() for text in TEXTS]
        await close_signers(signers)


@pytest.mark.parametrize("content", [None, "", "two words", "ünicode", "line\nline"])
def test_a_token_file_without_a_token_is_named(tmp_path: Path, content: str | None) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content)
    with pytest.raises(SignerUnavailable, match="token") as caught:
        open_signers(f"remote:https://signer.example;address={TEXTS[0]};token_file={token}")
    assert str(token) in str(caught.value)


# -------------------------------------------------------------------------------------- faults


FAULTS = {
    "": "neither a keystore nor",
    "keystore:": "neither a keystore nor",
    "/a/path": "neither a keystore nor",
    "keystore:/a;password=hunter2": "never part of a setting",
    "keystore:/a;password_file=": "NAME=VALUE",
    "keystore:/a;": "NAME=VALUE",
    "keystore:/a;prompt": "NAME=VALUE",
    "keystore:/a;password_file=/b;password=prompt": "has one password",
    "keystore:/a;address=0x00": "has one password",
    "remote:https://signer.example": "name the accounts",
    f"remote:http://signer.example;address={TEXTS[0]}": "openly",
    f"remote:https://signer.example;address={TEXTS[0][:-1]}": "40 hexadecimal digits",
    f"remote:https://signer.example;address={TEXTS[0].swapcase().replace('0X', '0x')}": "EIP-55",
    f"remote:https://signer.example;address={TEXTS[0]};address={TEXTS[0]}": "named twice",
    f"remote:https://signer.example;address={TEXTS[0]};token=abc": "has no token",
    f"remote:https://s.example;address={TEXTS[0]};token_file=/a;token_file=/b": "one token_file",
}


@pytest.mark.parametrize("setting", FAULTS)
def test_a_wrong_setting_is_told_with_its_remedy_and_without_its_secrets(setting: str) -> None:
    fault = settings_fault(setting)
    assert fault is not None
    assert FAULTS[setting] in fault
    assert "hunter2" not in fault
    for read in (signer_addresses, open_signers):
        with pytest.raises(SignerUnavailable):
            read(setting)


@given(st.text(alphabet=st.sampled_from([*"keystore:;password=prompt/.x01[]@%\0 "]), max_size=60))
def test_no_text_makes_the_setting_s_reader_fall_over(text: str) -> None:
    for setting in (text, "keystore:" + text, "remote:" + text, "remote:https://a;" + text):
        fault = settings_fault(setting)
        assert fault is None or fault
