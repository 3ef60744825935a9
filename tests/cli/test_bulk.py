"""`corridor bulk` and `corridor report`: files are sent as they are, and shown as they come."""

import json
from pathlib import Path

import pytest

from node.api.bulk_examples import BULK, BULK_ID, FAULTY_ROW, ROW, TAKEN_IN
from node.api.partner_examples import PARTNER_ID
from node.api.routes.reports import operations as reports
from node.cli.faults import Status
from tests.cli.conftest import Run
from tests.cli.fake_node import CUSTOMER, FILE, STATEMENT, FakeNode

AT = "/v1/bulk-transfers"
COSTS, SETTLEMENT = (each.example.answer for each in reports.all)


@pytest.fixture
def file(tmp_path: Path, node: FakeNode) -> Path:
    """A file, and a node that took it in."""
    rows = {"data": [ROW, FAULTY_ROW], "next_after": 3}
    node.documents = {
        AT: TAKEN_IN,
        f"{AT}/{BULK_ID}": BULK,
        f"{AT}/{BULK_ID}/rows": rows,
        f"{AT}/{BULK_ID}/report": {"bulk_transfer": BULK, "rows": rows["data"]},
        "/v1/reports/transfers": COSTS,
        "/v1/reports/settlement": SETTLEMENT,
        f"/v1/partners/{PARTNER_ID}/statement": STATEMENT,
    }
    path = tmp_path / "salaries.csv"
    path.write_bytes(b"client_reference\npay-1\n")
    return path


def test_a_file_is_sent_as_it_is_and_rejected_rows_end_with_status_1(
    run: Run, node: FakeNode, file: Path
) -> None:
    options = ("--sell", "eur", "--buy", "usdc", "--customer", CUSTOMER["id"], "--all-or-nothing")
    outcome = run("bulk", "send", str(file), *options)
    assert outcome.status == Status.NO
    assert node.files == [file.read_bytes()]
    assert "rows 2: 1 accepted, 1 rejected, 0 pending" in outcome.out
    assert f"corridor bulk rows {BULK_ID} --status rejected" in outcome.err.replace("\n", " ")
    [(_, path, _)] = [each for each in node.requests if each[0] == "POST"]
    assert path == (
        f"{AT}?mode=all_or_nothing&sell_currency=EUR&buy_currency=USDC&customer_id={CUSTOMER['id']}"
    )


def test_the_same_command_again_is_the_same_request_and_again_is_another(
    run: Run, node: FakeNode, file: Path
) -> None:
    for options in ((), (), ("--again",), ("--all-or-nothing",)):
        run("bulk", "send", str(file), *options)
    first, second, anew, otherwise = [key for method, _, key in node.requests if method == "POST"]
    assert first == second
    assert len({first, anew, otherwise}) == 3


def test_a_file_says_by_its_name_what_it_is(run: Run, node: FakeNode, file: Path) -> None:
    other = file.rename(file.with_suffix(".ods"))
    outcome = run("bulk", "send", str(other))
    assert outcome.status == Status.USAGE
    assert ".jsonl" in outcome.err
    assert node.files == []


def test_rows_are_shown_with_what_is_wrong(run: Run, node: FakeNode, file: Path) -> None:
    shown = run("bulk", "rows", BULK_ID, "--status", "rejected", "--after", "1")
    assert shown.status == Status.DONE
    assert "/sell/amount EUR has 2 decimal digits" in shown.out
    assert node.requests[-1][1] == f"{AT}/{BULK_ID}/rows?status=rejected&after=1"


def test_how_far_it_is_is_shown(run: Run, file: Path) -> None:
    shown = run("bulk", "show", BULK_ID)
    assert "0 completed, 1 on their way, 0 failed" in shown.out
    assert "200.00 EUR for 230.074048 USDC" in shown.out
    assert json.loads(run("bulk", "show", BULK_ID, "--json").out) == BULK


@pytest.mark.parametrize("form", ["csv", "pain.002"])
def test_a_report_is_written_as_it_came(run: Run, file: Path, tmp_path: Path, form: str) -> None:
    output = tmp_path / "report"
    written = run("bulk", "report", BULK_ID, "--format", form, "--output", str(output))
    assert written.status == Status.DONE
    assert output.read_bytes() == FILE
    assert "pay-2" in run("bulk", "report", BULK_ID).out


@pytest.mark.parametrize("name", ["transfers", "settlement"])
def test_reports_of_days_are_shown_and_written(
    run: Run, node: FakeNode, file: Path, name: str
) -> None:
    day = ("--from", "2026-11-22", "--to", "2026-11-22")
    shown = run("report", name, *day)
    assert "2026-11-22 to 2026-11-22 (UTC): 1" in shown.out
    assert node.requests[-1][1] == f"/v1/reports/{name}?from=2026-11-22&to=2026-11-22"
    assert run("report", name, *day, "--format", "csv").out == FILE.decode()


def test_a_partners_statement_is_shown_and_written(run: Run, node: FakeNode, file: Path) -> None:
    shown = run("report", "partner", PARTNER_ID, "--currency", "eur")
    assert "closing balance  801.01 EUR" in shown.out
    asked = ("report", "partner", PARTNER_ID, "--currency", "EUR", "--format", "camt.053")
    assert run(*asked).out == FILE.decode()
