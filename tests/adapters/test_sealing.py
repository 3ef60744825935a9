"""Secrets are encrypted for one row, by one key; anything else is not opened."""

import base64
from pathlib import Path
from uuid import UUID

import pytest

from adapters.sealing import SealedKeys
from node.core.webhooks import (
    WebhooksNotOffered,
)

KEY = bytes(range(32))
ROW = UUID(int=7)


def test_what_is_sealed_can_be_opened_and_is_never_sealed_the_same() -> None:
    keeper = SealedKeys(KEY)
    one, two = keeper.seal(b"secret" * 4, ROW), keeper.seal(b"secret" * 4, ROW)
    assert one != two
    assert b"secret" not in one
    assert keeper.open(one, ROW) == keeper.open(two, ROW) == b"secret" * 4


def test_a_changed_a_moved_and_a_foreign_secret_are_not_opened() -> None:
    keeper = SealedKeys(KEY)
    sealed = keeper.seal(b"secret" * 4, ROW)
    flipped = [bytes([*sealed[:n], sealed[n] ^ 1, *sealed[n + 1 :]]) for n in range(len(sealed))]
    for wrong in (*flipped, sealed[:-1], sealed[:5], b"", sealed + b"\0"):
        with pytest.raises(WebhooksNotOffered):
            keeper.open(wrong, ROW)
    with pytest.raises(WebhooksNotOffered):
        keeper.open(sealed, UUID(int=8))
    with pytest.raises(WebhooksNotOffered):
        SealedKeys(KEY[::-1]).open(sealed, ROW)


@pytest.mark.parametrize("text", [KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode()])
def test_the_key_is_read_from_a_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text + "\n")
    assert SealedKeys.from_file(file).open(SealedKeys(KEY).seal(b"s", ROW), ROW) == b"s"


@pytest.mark.parametrize("text", ["", "abc", "00" * 31, "00" * 33, "ü" * 32, "zz" * 32])
def test_a_file_that_holds_no_key_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(ValueError, match=str(file)) as told:
        SealedKeys.from_file(file)
    assert not text or text not in str(told.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        SealedKeys.from_file(tmp_path / "nothing")
