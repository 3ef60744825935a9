"""The commands of the README, run as they are printed there, on a real devnet."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.conftest import until_well

ROOT = Path(__file__).resolve().parents[2]
_SECTION = "## One payment, end to end"
_LIMIT_S = 180


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder to work in; a devnet that is left there is stopped."""
    yield tmp_path
    corridor(tmp_path, "devnet down --wipe")


def corridor(folder: Path, arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("corridor"), *arguments.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=_LIMIT_S,
    )


def commands_of_the_readme() -> list[str]:
    """`quote 200.00 EUR USDC` and so on, in order, without comments."""
    section = (ROOT / "README.md").read_text().partition(_SECTION)[2]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    lines = [line.partition("#")[0].strip() for line in block[1].splitlines()]
    return [line.removeprefix("corridor ") for line in lines if line.startswith("corridor ")]


def request_of_the_readme() -> str:
    """The lines that set the variables, and the request made with them."""
    section = (ROOT / "README.md").read_text().partition("over HTTP")[2]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    return block[1]


def test_the_commands_of_the_readme_work_one_after_the_other(folder: Path) -> None:
    shown = ""
    done: list[str] = []
    for command in commands_of_the_readme():
        filled = command
        for prefix in ("cus_", "tra_"):
            if f"{prefix}..." in command:
                found = re.search(rf"{prefix}[0-9a-z]{{26}}", shown)
                assert found is not None, f"nothing printed before {command!r} has a {prefix}..."
                filled = filled.replace(f"{prefix}...", found[0])
        if command.startswith("send"):
            filled += " --yes"  # nobody is here to be asked
        run = partial(corridor, folder, filled)
        ended = until_well(run, filled) if command.startswith("reconcile") else run()
        assert ended.returncode == 0, f"{filled}\n{ended.stdout}\n{ended.stderr}"
        if command.startswith("quote"):
            asked = subprocess.run(
                ["bash", "-euc", request_of_the_readme()],
                cwd=folder, capture_output=True, check=True, timeout=_LIMIT_S,
            )  # fmt: skip
            assert json.loads(asked.stdout)["buy"]["currency"] == "USDC"
        shown += ended.stdout
        done.append(command.split()[0])
    assert done == ["devnet", "quote", "send", "watch", "reconcile", "verify", "devnet"]
    assert "completed" in shown
    assert "breaks open: 0" in shown
    assert "Everything that is stored follows from the entries." in shown
