"""The page of failure windows names every window, and tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "node" / "docs" / "failure_windows.md").read_text()
TESTS = "\n".join(path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py")))
SERVICES = "\n".join(path.read_text() for path in (ROOT / "node" / "services").rglob("*.py"))


def test_the_page_has_every_window_once() -> None:
    assert re.findall(r"^\| W(\d+) ", PAGE, re.MULTILINE) == [str(number) for number in range(28)]


def test_every_window_names_a_test() -> None:
    for line in re.findall(r"^\| W\d+ .*$", PAGE, re.MULTILINE):
        assert re.search(r"`test_\w+` \|$", line), line


def test_every_test_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named - set(re.findall(r"def (test_\w+)\(", TESTS)) == set()


def test_every_failpoint_is_on_the_page_and_the_page_has_no_other() -> None:
    named = set(re.findall(r"`((?:after|before)_\w+)`", PAGE))
    assert named == set(re.findall(r'failpoint\("(\w+)"\)', SERVICES))
