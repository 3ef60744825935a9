"""`corridor bank`: a file is sent as it is, and what is left is said."""

import json
from copy import deepcopy
from pathlib import Path

import pytest

from node.api.bank_examples import IMPORTED, STATEMENT_ID
from node.cli.faults import Status
from tests.cli.conftest import Run
from tests.cli.fake_node import FakeNode

AT = "/v1/reconciliation/bank-statements"


@pytest.fixture
def file(tmp_path: Path, node: FakeNode) -> Path:
    """A file that the node takes for a statement."""
    node.bank = {**deepcopy(dict(IMPORTED)), "next_cursor": None}
    path = tmp_path / "november.csv"
    path.write_bytes(b"date,amount\n2026-11-22,200.00\n\xc3\xa4")
    return path


def test_a_file_is_sent_as_it_is_and_open_lines_end_with_status_1(
    run: Run, node: FakeNode, file: Path
) -> None:
    outcome = run("bank", "import", str(file), "--rail", "sandbox_bank", "--currency", "EUR")
    assert outcome.status == Status.NO
    assert node.bank_files == [file.read_bytes()]
    assert ("POST", f"{AT}?rail=sandbox_bank&currency=EUR", None) in node.requests
    assert "1 (200.00)" in outcome.out
    assert STATEMENT_ID in outcome.out


def test_an_import_says_what_was_new(run: Run, node: FakeNode, file: Path) -> None:
    first = run("bank", "import", str(file), "--rail", "sandbox_bank")
    assert "2 lines are new, 0 were known already." in first.out
    node.bank |= {"lines_new": 0, "lines_known": 2}
    again = run("bank", "import", str(file), "--rail", "sandbox_bank")
    assert "Nothing is new: all 2 lines of the file were known already." in again.out


def test_a_statement_that_matches_whole_ends_well(run: Run, node: FakeNode, file: Path) -> None:
    node.bank["data"][0]["lines"]["unmatched"] = {"count": 0, "amount": "0.00"}
    outcome = run("bank", "import", str(file), "--rail", "sandbox_bank", "--json")
    assert outcome.status == Status.DONE
    assert json.loads(outcome.out) == node.bank


def test_a_file_that_is_not_there_is_a_wrong_use(run: Run, tmp_path: Path) -> None:
    outcome = run("bank", "import", str(tmp_path / "none.xml"), "--rail", "sandbox_bank")
    assert outcome.status == Status.USAGE


def test_statements_are_listed(run: Run, node: FakeNode, file: Path) -> None:
    outcome = run("bank", "statements", "--rail", "sandbox_bank")
    assert (outcome.status, STATEMENT_ID in outcome.out) == (Status.DONE, True)
    assert ("GET", f"{AT}?rail=sandbox_bank", None) in node.requests
    node.bank = {"data": [], "next_cursor": None}
    assert "No statement was imported yet." in run("bank", "statements").out
