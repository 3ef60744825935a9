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


@pytest.mark.parametrize(("made_with", "asked"), [(None, 2), (1, 2), (2, 1)])
def test_the_number_of_nodes_stays_what_the_directory_was_made_with(
    tmp_path: Path, made_with: int | None, asked: int
) -> None:
    state = StateDirectory(tmp_path / "state")
    state.prepare(made_by="devnet", nodes=made_with)
    names = state.node_names
    state.prepare(made_by="devnet", nodes=None)
    state.prepare(made_by="devnet", nodes=len(names))
    with pytest.raises(DevnetError, match=r"cannot be changed[^$]*Remedy"):
        state.prepare(made_by="devnet", nodes=asked)
    assert state.node_names == names == ("berlin", "manila")[: made_with or 1]


def test_a_further_node_keeps_its_own_in_a_directory_inside(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.prepare(made_by="devnet", nodes=2)
    first, second = (state.node(name) for name in state.node_names)
    assert first == state
    for place in (first, second):
        place.root.mkdir(exist_ok=True)
        write_json(place.description, {})
    assert second.seed == state.root / "manila" / "seed.json"
    state.forget_running()
    assert not first.description.exists()
    assert not second.description.exists()
