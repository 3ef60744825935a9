"""`corridor positions`: a table, JSON, CSV, and files."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from node.api.position_examples import POSITIONS
from node.cli.faults import Status
from tests.cli.conftest import Run
from tests.cli.fake_node import FakeNode


@pytest.fixture
def told(node: FakeNode) -> dict[str, Any]:
    """What the node says; a test may change it."""
    node.positions = deepcopy(dict(POSITIONS))
    return node.positions


def rows(printed: str) -> list[list[str]]:
    return [line.split() for line in printed.splitlines()]


def test_the_table_has_position_earnings_value_and_result_of_each_currency(
    run: Run, told: dict[str, Any]
) -> None:
    outcome = run("positions")
    assert outcome.status == Status.DONE
    found = rows(outcome.out)
    assert ["EUR", "198.99", "0.00", "0.39", "0.62", "198.99", "198.99"] in found
    usdc = ["USDC", "-230.074048", "0.000000", "0.000000", "0.000000", "-198.99", "-198.99"]
    assert usdc in found
    assert ["together", "0.00", "0.00"] in found
    assert "unrealised result since the beginning: 0.00 EUR" in outcome.out
    assert "unrealised result on 2026-11-22: 0.00 EUR" in outcome.out
    assert "1 EUR = 1.15626 USDC (ecb 2026-11-20 15:00 UTC, fixed" in outcome.out
    assert "open firm quotes: 200.00 EUR in 1" in outcome.out


def test_the_days_are_shown_one_by_one_and_quiet_ones_are_left_out(
    run: Run, told: dict[str, Any], node: FakeNode
) -> None:
    (day,) = told["days"]
    quiet = deepcopy(day)
    quiet["day"] = "2026-11-21"
    for each in quiet["positions"]:
        each |= {"in": "0.00", "out": "0.00", "spread_earned": "0.00", "fees_earned": "0.00"}
    told["days"] = [quiet, day]
    told["period"]["from"] = "2026-11-21"
    outcome = run("positions", "--from", "2026-11-21", "--to", "2026-11-22", "--currency", "eur")
    asked = "/v1/positions?from=2026-11-21&to=2026-11-22&currency=EUR"
    assert ("GET", asked, None) in node.requests
    days = [row[0] for row in rows(outcome.out) if row and row[0].startswith("2026-")]
    assert days == ["2026-11-22", "2026-11-22"]
    assert "from 2026-11-21 to 2026-11-22 (UTC)" in outcome.out
    assert "left out" in outcome.out

    told["days"] = [quiet, quiet]
    assert "Nothing changed in these days." in run("positions", "--from", "2026-11-21").out


def test_a_value_that_is_not_known_says_so_with_the_reason(run: Run, told: dict[str, Any]) -> None:
    reason = "no source [any] states a rate for EUR/USDC"
    told["rates"][1] |= {"mid_rate": None, "rate_sources": [], "reason": reason}
    for each in (told["total"], told["period"], *told["days"]):
        each |= {"result": None, "reason": f"USDC: {reason}"}
        each["positions"][1] |= {"value": None, "result": None, "reason": reason}
    outcome = run("positions")
    assert outcome.status == Status.DONE
    assert f"unrealised result since the beginning: not known (USDC: {reason})" in outcome.out
    assert f"no rate of USDC: {reason}" in outcome.out
    assert next(row for row in rows(outcome.out) if row[:1] == ["USDC"])[-2:] == ["not", "known"]


def test_a_node_that_never_exchanged_anything_says_so_in_words(
    run: Run, told: dict[str, Any]
) -> None:
    for each in (told["total"], told["period"], *told["days"]):
        each["positions"] = []
    told["open_quotes"] = []
    assert run("positions").out == "No positions: nothing was exchanged yet.\n"
    in_pounds = run("positions", "--currency", "GBP").out
    assert in_pounds == "No positions: nothing was exchanged in GBP yet.\n"


def test_json_is_what_the_node_said(run: Run, told: dict[str, Any]) -> None:
    assert json.loads(run("positions", "--json").out) == told


def test_csv_is_printed_as_it_came_or_written_to_a_file_that_is_not_replaced_unasked(
    run: Run, told: dict[str, Any], tmp_path: Path
) -> None:
    assert run("positions", "--format", "csv").out == "day,currency\r\n"
    file = tmp_path / "positions.csv"
    outcome = run("positions", "--format", "csv", "--output", str(file))
    assert (outcome.status, outcome.out) == (Status.DONE, "")
    assert str(file) in outcome.err
    assert file.read_bytes() == b"day,currency\r\n"

    file.write_text("precious")
    refused = run("positions", "--format", "csv", "--output", str(file))
    assert refused.status == Status.REFUSED
    assert "--force" in refused.err
    assert file.read_text() == "precious"
    assert run("positions", "--json", "--output", str(file), "--force").status == Status.DONE
    assert json.loads(file.read_bytes()) == told
    assert list(tmp_path.glob(".*")) == []  # nothing is left beside it


@pytest.mark.parametrize(
    "arguments",
    [
        ("--json", "--format", "csv"),
        ("--json", "--format", "table"),
        ("--format", "pdf"),
        ("--format", "camt.053"),
        ("--output", "x.csv"),
        ("--force",),
        ("--csv",),
    ],
)
def test_flags_that_contradict_each_other_are_wrong_usage_and_nothing_is_asked(
    run: Run, told: dict[str, Any], node: FakeNode, arguments: tuple[str, ...]
) -> None:
    assert run("positions", *arguments).status == Status.USAGE
    assert node.requests == []


def test_figures_are_never_broken_however_narrow_the_terminal_is(
    run: Run, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (day,) = told["days"]
    told["days"] = [deepcopy(day), day]
    told["period"]["from"] = "2026-11-21"
    day["positions"][1] |= {"out": "123456789.074048", "closing": "-123456789.074048"}
    for columns in ("40", "60", "80", "100", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        shown = run("positions", "--from", "2026-11-21").out
        for figure in ("-123456789.074048", "230.074048", "198.99", "-198.99", "0.62"):
            assert figure in shown.split(), columns
        # The widest line is no wider than the terminal.
        assert max(map(len, shown.splitlines())) <= int(columns)


def test_days_the_node_declines_are_told_in_its_words(
    run: Run, told: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "positions.csv"
    for arguments in ((), ("--format", "csv"), ("--format", "csv", "--output", str(file))):
        outcome = run("positions", "--from", "2020-12-31", *arguments)
        assert outcome.status == Status.REFUSED
        assert "from: ask for at most 366 days at once" in outcome.err
    assert not file.exists()


def test_a_reporting_currency_the_node_does_not_have_stops_it_with_the_remedy(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = tmp_path / "lane.json"
    key.write_text(json.dumps(Account.encrypt(Account.create().key, "play", iterations=2)))
    (tmp_path / "lane.json.password").write_text("play")
    settings = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "CHAIN_RPC_URLS": "http://127.0.0.1:9",
        "TOKEN_ADDRESS": "0x" + "70" * 20,
        "SETTLEMENT_ADDRESS": "0x" + "c0" * 20,
        "SIGNER": f"keystore:{key}",
        "REPORTING_CURRENCY": "XXX",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"CORRIDOR_{name}", value)
    outcome = run("serve")
    assert outcome.status == Status.REFUSED
    assert "CORRIDOR_REPORTING_CURRENCY: the node has no currency 'XXX'; it has CNY" in outcome.err
