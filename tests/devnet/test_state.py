"""A state directory is private, and only one of ours is ever deleted."""

import json
import stat
from pathlib import Path

import pytest

from node.devnet.errors import DevnetError
from node.devnet.state import StateDirectory, read_json, write_json


def a_state(root: Path) -> StateDirectory:
    state = StateDirectory(root)
    state.prepare(made_by="devnet")
    return state


def test_a_directory_with_other_things_in_it_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    state = StateDirectory(tmp_path)
    with pytest.raises(DevnetError, match="not empty"):
        state.prepare(made_by="devnet")
    with pytest.raises(DevnetError, match="not deleted"):
        state.wipe()
    assert (tmp_path / "thesis.txt").exists()


def test_wiping_deletes_all_of_it_but_nothing_behind_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    state = a_state(tmp_path / "state")
    (state.root / "link").symlink_to(outside)
    (state.root / "logs").mkdir()
    state.wipe()
    assert not state.root.exists()
    assert (outside / "kept").exists()


def test_a_directory_of_another_layout_is_refused_with_a_remedy(tmp_path: Path) -> None:
    state = a_state(tmp_path / "state")
    (state.root / "corridor-devnet").write_text(json.dumps({"layout": 0}))
    with pytest.raises(DevnetError, match="--wipe"):
        state.prepare(made_by="devnet")


def test_only_the_owner_can_read_what_holds_secrets(tmp_path: Path) -> None:
    state = a_state(tmp_path / "state")
    write_json(state.description, {"key": "secret"})
    assert stat.S_IMODE(state.description.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.root.stat().st_mode) == 0o700


def test_a_damaged_file_is_named_with_a_remedy(tmp_path: Path) -> None:
    damaged = tmp_path / "chain.json"
    damaged.write_text('{"token": ')
    with pytest.raises(DevnetError, match=r"chain\.json is damaged[^$]*Remedy"):
        read_json(damaged)
    assert read_json(tmp_path / "missing.json") == {}


def test_a_directory_has_one_supervisor_at_a_time(tmp_path: Path) -> None:
    state = a_state(tmp_path / "state")
    assert state.lock() is not None
    assert state.lock() is None
