"""The logs of a devnet: which are found by which words, their last lines, and what is added."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.devnet.errors import DevnetError
from node.devnet.log_files import LogFile, follow, last_lines, log_files
from node.devnet.state import StateDirectory


@pytest.fixture
def two_nodes(tmp_path: Path) -> StateDirectory:
    """A directory of two nodes that has logs; nothing runs."""
    state = StateDirectory(tmp_path / "state")
    state.prepare(made_by="devnet", nodes=2)
    for place, programs in (
        (state, ("supervisor", "postgres", "anvil", "serve", "work")),
        (state.node("manila"), ("serve", "work")),
    ):
        for program in programs:
            log = place.log(program)
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("".join(f"{program} says {number}\n" for number in range(5)))
    return state


def found(state: StateDirectory, **asked: str) -> list[tuple[str | None, str]]:
    return [(each.node, each.program) for each in log_files(state.root, **asked)]


def test_each_log_is_found_by_its_program_and_its_node(two_nodes: StateDirectory) -> None:
    assert found(two_nodes) == [
        (None, "anvil"), (None, "postgres"), ("berlin", "serve"), (None, "supervisor"),
        ("berlin", "work"), ("manila", "serve"), ("manila", "work"),
    ]  # fmt: skip
    assert found(two_nodes, program="work") == [("berlin", "work"), ("manila", "work")]
    assert found(two_nodes, node="berlin") == [("berlin", "serve"), ("berlin", "work")]
    assert found(two_nodes, node="manila", program="serve") == [("manila", "serve")]
    [file] = log_files(two_nodes.root, node="manila", program="serve")
    assert file.path == two_nodes.root / "manila" / "logs" / "serve.log"


@pytest.mark.parametrize(
    ("asked", "remedy"),
    [
        ({"program": "sevre"}, "there are anvil, postgres, serve, supervisor, work"),
        ({"node": "lagos"}, "it has berlin, manila"),
        ({"node": "manila", "program": "anvil"}, "there are serve, work"),
    ],
)
def test_a_log_that_is_not_there_names_those_that_are(
    two_nodes: StateDirectory, asked: dict[str, str], remedy: str
) -> None:
    with pytest.raises(DevnetError) as refused:
        log_files(two_nodes.root, **asked)
    assert refused.value.remedy == remedy


def test_without_a_devnet_or_a_start_of_it_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(DevnetError, match="there is no devnet in"):
        log_files(tmp_path)
    StateDirectory(tmp_path / "new").prepare(made_by="devnet")
    with pytest.raises(DevnetError, match="nothing was started"):
        log_files(tmp_path / "new")


@pytest.mark.parametrize("length", [10, 60_000])
def test_the_last_lines_are_whole_however_long_the_log_and_its_lines_are(
    tmp_path: Path, length: int
) -> None:
    file = LogFile("serve", "berlin", tmp_path / "serve.log")
    assert last_lines(file, 3) == []
    lines = [f"{number}-" + "é" * length for number in range(9)]
    file.path.write_text("\n".join(lines) + "\n")
    for count in (0, 1, 3, 9, 99):
        assert last_lines(file, count) == (lines[-count:] if count else [])
    file.path.write_text("\n".join(lines))  # whoever died has not ended the last one
    assert last_lines(file, 2) == lines[-2:]
    file.path.write_text("a\n\nb\n\n")
    assert last_lines(file, 3) == ["", "b", ""]


def test_what_is_added_follows_line_by_line_also_to_a_log_that_begins_anew(
    two_nodes: StateDirectory,
) -> None:
    files = log_files(two_nodes.root, program="work")
    one, two = (each.path for each in files)
    told: Iterator[tuple[LogFile, str]] = follow(files, 1)

    def following() -> tuple[str | None, str]:
        file, line = next(told)
        return file.node, line

    assert [following(), following()] == [("berlin", "work says 4"), ("manila", "work says 4")]
    with one.open("a") as log:
        log.write("half ")
        log.flush()
        with two.open("a") as other:
            other.write("whole\n\n")
        assert [following(), following()] == [("manila", "whole"), ("manila", "")]
        log.write("and half\nno end")
    assert following() == ("berlin", "half and half")
    one.write_text("anew\n")
    assert following() == ("berlin", "anew")
    two.unlink()
    one.write_text("anew\nand on\n")
    assert following() == ("berlin", "and on")
