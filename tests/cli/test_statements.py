"""statement, balances: a customer's account in the terminal and as files."""

import json
from pathlib import Path

import pytest

from node.cli.faults import Status
from tests.cli.conftest import Run
from tests.cli.fake_node import CUSTOMER, STATEMENT, FakeNode

WHO = CUSTOMER["id"]
FILE = "row,id\r\nopening,\r\n"


def test_a_statement_shows_opening_lines_closing_and_totals(run: Run) -> None:
    shown = run("statement", WHO, "--currency", "eur")
    assert shown.status == Status.DONE
    for text in (
        "EUR, 2026-11-01 to 2026-11-22, up to the point below (UTC)",
        "opening balance  0.00 EUR",
        "wire [17]",
        "Ben, rent",
        "closing balance  801.01 EUR",
        "in 1000.00 (1 line), out 198.99 (1 line)",
        "as of sequence 12",
    ):
        assert text in shown.out


def test_days_and_currency_go_to_the_node_as_they_are_written(run: Run, node: FakeNode) -> None:
    arguments = ("--from", "2026-11-01", "--to", "2026-11-30", "--json")
    told = run("statement", WHO, "--currency", "EUR", *arguments)
    assert json.loads(told.out) == STATEMENT
    path = f"/v1/customers/{WHO}/statement?currency=EUR&from=2026-11-01&to=2026-11-30"
    assert node.requests == [("GET", path, None)]


@pytest.mark.parametrize("form", ["csv", "camt.053"])
def test_a_file_is_printed_as_it_came_or_written_as_it_came(
    run: Run, tmp_path: Path, form: str
) -> None:
    asked = ("statement", WHO, "--currency", "EUR", "--format", form)
    assert run(*asked).out == FILE
    output = tmp_path / "statement"
    written = run(*asked, "--output", str(output))
    assert (written.status, written.out) == (Status.DONE, "")
    assert output.read_bytes() == FILE.encode()
    again = run(*asked, "--output", str(output))
    assert again.status == Status.REFUSED
    assert "--force" in again.err
    assert run(*asked, "--output", str(output), "--force").status == Status.DONE


def test_json_can_be_written_too(run: Run, tmp_path: Path) -> None:
    output = tmp_path / "statement.json"
    run("statement", WHO, "--currency", "EUR", "--format", "json", "--output", str(output))
    assert json.loads(output.read_text()) == STATEMENT


def test_what_the_format_cannot_carry_leaves_no_file_and_says_the_remedy(
    run: Run, tmp_path: Path
) -> None:
    output = tmp_path / "statement.xml"
    asked = ("statement", WHO, "--currency", "USDC", "--format", "camt.053")
    refused = run(*asked, "--output", str(output))
    assert refused.status == Status.REFUSED
    assert "format=csv" in refused.err
    assert list(tmp_path.glob("*statement*")) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--format", "pdf"),
        ("--output", "x.txt"),
        ("--format", "table", "--output", "x.txt"),
        ("--json", "--format", "csv"),
        ("--json", "--format", "camt.053", "--output", "x.txt"),
        ("--force",),
    ],
)
def test_a_format_there_is_not_or_two_of_them_are_wrong_usage(
    run: Run, node: FakeNode, arguments: tuple[str, ...]
) -> None:
    assert run("statement", WHO, "--currency", "EUR", *arguments).status == Status.USAGE
    assert node.requests == []


def test_json_may_be_said_twice(run: Run) -> None:
    told = run("statement", WHO, "--currency", "EUR", "--json", "--format", "json")
    assert json.loads(told.out) == STATEMENT


def test_a_statement_can_end_at_a_sequence_or_a_time(run: Run, node: FakeNode) -> None:
    asked = ("statement", WHO, "--currency", "EUR", "--from", "2026-11-01")
    run(*asked, "--sequence", "12")
    run(*asked, "--at", "2026-11-22T10:00:00Z", "--format", "csv")
    path = f"/v1/customers/{WHO}/statement"
    query = "currency=EUR&from=2026-11-01"
    assert [asked for _, asked, _ in node.requests] == [
        f"{path}?{query}&sequence=12",
        f"{path}?format=csv&{query}&at=2026-11-22T10%3A00%3A00Z",
    ]


def test_balances_are_shown_now_or_as_of_then(run: Run, node: FakeNode) -> None:
    shown = run("balances", WHO)
    assert "600.00" in shown.out
    assert "201.01" in shown.out
    assert "as of sequence 12" in shown.out
    run("balances", WHO, "--at", "2026-11-01T00:00:00+01:00")
    assert node.requests[-1][1].endswith("/balances?at=2026-11-01T00%3A00%3A00%2B01%3A00")
    assert json.loads(run("balances", WHO, "--json").out)["data"][0]["currency"] == "EUR"
    assert "Nothing was booked" in run("balances", WHO, "--sequence", "0").out
