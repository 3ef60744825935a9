"""The house rules of scripts/tidy.py: each finds its breach and leaves good code alone."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
USED = "node/core/used.py"


def tidy(root: Path) -> tuple[int, list[str]]:
    ended = subprocess.run(
        [sys.executable, ROOT / "scripts" / "tidy.py", "--root", root],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    return ended.returncode, ended.stdout.splitlines()


def findings(tmp_path: Path, text: str, path: str = USED) -> list[str]:
    """Rules broken by one module that is imported by another."""
    for name, content in ((path, text), ("node/imports.py", "import node.core.used, node.imports")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    status, lines = tidy(tmp_path)
    found = [line for line in lines if not line.startswith("node/imports.py")]
    assert status == (1 if lines else 0)
    return [line.split(": ")[1] for line in found]


@pytest.mark.parametrize(
    "text",
    ["x = 0.5", "def f(x: float) -> None: ...", "x = 1 / 2", "x = 4\nx /= 2", "x = round(5)"],
)
def test_inexact_arithmetic_is_found_where_money_lives(tmp_path: Path, text: str) -> None:
    assert findings(tmp_path, text) == ["T1"]
    assert findings(tmp_path / "elsewhere", text, "node/logs.py").count("T1") == 0


@pytest.mark.parametrize(
    "text",
    [
        "x = 7 // 2",
        "x = folder / 'file'",
        "wait_s = 0.5",
        "def f(wait_s: float = 0.5) -> None: ...",
        "class A:\n    idle_s: float = 1.5",
        "x = 0.5  # tidy: T1 because a probability, not money",
    ],
)
def test_exact_arithmetic_durations_and_excused_lines_pass(tmp_path: Path, text: str) -> None:
    assert findings(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("def f(fee: int) -> None: ...", ["T2"]),
        ("def f(*, ttl_max: int | None) -> None: ...", ["T2"]),
        ("class A:\n    gas_price: int", ["T2"]),
        ("def f(fee_minor: int, gas_price_wei_max: int, ttl_s: int) -> None: ...", []),
        ("def f(fee: Money, age: timedelta) -> None: ...", []),
    ],
)
def test_numbers_end_in_their_unit(tmp_path: Path, text: str, broken: list[str]) -> None:
    assert findings(tmp_path, text) == broken


def test_a_function_may_have_60_lines_besides_its_docstring(tmp_path: Path) -> None:
    body = "    x = 1\n"
    docstring = '    """One.\n\n    Two.\n    """\n'
    assert findings(tmp_path, "def f() -> None:\n" + docstring + body * 59) == []
    assert findings(tmp_path, "def f() -> None:\n" + docstring + body * 60) == ["T3"]


def test_a_file_may_have_500_lines(tmp_path: Path) -> None:
    assert findings(tmp_path, "x = 1\n" * 500) == []
    assert findings(tmp_path, "x = 1\n" * 501) == ["T3"]


def test_a_file_that_a_script_made_may_be_longer(tmp_path: Path) -> None:
    text = '"""Made by `scripts/client_types.py`; not to be edited."""\n' + "x = 1\n" * 501
    assert findings(tmp_path, text) == ["T3"]
    assert findings(tmp_path / "second", text, "node/client/made.py") == ["T4"]


def test_a_module_nobody_imports_is_dead_unless_it_is_a_program(tmp_path: Path) -> None:
    assert findings(tmp_path, "x = 1", "node/core/alone.py") == ["T4"]
    program = 'if __name__ == "__main__":\n    print()'
    assert findings(tmp_path / "second", program, "node/core/program.py") == []


def test_a_module_imported_by_tests_alone_is_dead(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_alone.py").write_text("import node.core.alone")
    assert findings(tmp_path, "x = 1", "node/core/alone.py") == ["T4"]


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "manager"])
def test_names_that_say_nothing_are_found(tmp_path: Path, name: str) -> None:
    assert "T5" in findings(tmp_path, "x = 1", f"node/core/{name}.py")


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("x = 1  # TO" + "DO later", ["T6"]),
        ("x = 1  # FIX" + "ME", ["T6"]),
        ("x = 1  # TO" + "DO(#12) later", []),
    ],
)
def test_unfinished_work_names_its_issue(tmp_path: Path, text: str, broken: list[str]) -> None:
    assert findings(tmp_path, text) == broken


def test_this_repository_is_tidy() -> None:
    assert tidy(ROOT) == (0, [])
