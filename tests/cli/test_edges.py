"""What every command has in common: connection, help, faults, terminals."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from node.api import examples
from node.cli.app import app
from node.cli.faults import Status
from tests.cli.conftest import Run
from tests.cli.fake_node import CUSTOMER, TOKEN, TRANSFER_ID, FakeNode


def every_command(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Each command of a program, by its words."""
    for name, command in group.commands.items():
        if getattr(command, "commands", {}):
            yield from every_command(command, (*path, name))
        else:
            yield (*path, name)


COMMANDS = tuple(every_command(get_command(app)))
HEAVY = ("httpx", "web3", "sqlalchemy", "fastapi", "pydantic", "asyncpg", "eth_account")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(run: Run, command: tuple[str, ...]) -> None:
    outcome = run(*command, "--help")
    assert outcome.status == Status.DONE
    assert "Example:" in outcome.out


def test_help_is_folded_at_the_terminals_edge_only(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    told = [each.strip() for each in run("mirror", "accept-reorg", "--help").out.splitlines()]
    first = told.index(next(each for each in told if each.startswith("The first proposes")))
    last = told.index(next(each for each in told if each.endswith("resumes it.")))
    assert all(len(each) > 45 for each in told[first:last])


def test_help_loads_nothing_that_a_command_would_need() -> None:
    code = (
        "import sys\nfrom node.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"


def test_python_m_node_is_the_same_program() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "node", "--version"], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+\n", ended.stdout)


def test_a_node_that_is_away_is_a_sentence_and_status_4(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORRIDOR_URL", "http://127.0.0.1:1")
    outcome = run("quote", "1", "EUR", "USDC")
    assert outcome.status == Status.AWAY
    assert "does not answer" in outcome.err
    assert "corridor doctor" in outcome.err


def test_without_a_devnet_the_remedy_names_both_ways_to_a_node(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CORRIDOR_URL")
    outcome = run("quote", "1", "EUR", "USDC")
    assert outcome.status == Status.AWAY
    assert "corridor devnet up" in outcome.err
    assert "CORRIDOR_TOKEN" in outcome.err


def test_keys_of_the_devnet_are_never_sent_to_another_url(
    run: Run, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CORRIDOR_TOKEN")
    assert run("quote", "1", "EUR", "USDC").status == Status.USAGE
    assert node.requests == []


def test_without_settings_a_command_speaks_to_the_devnet_as_whoever_may(
    run: Run, node: FakeNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CORRIDOR_URL")
    monkeypatch.delenv("CORRIDOR_TOKEN")
    described = {
        "url": node.url,
        "keys": {"operator": TOKEN, "partner": "not this"},
        "customers": [{**CUSTOMER, "token": TOKEN}],
    }
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "devnet.json").write_text(json.dumps({"nodes": [described]}))
    assert run("watch", TRANSFER_ID).status == Status.DONE
    assert run("quote", "1", "EUR", "USDC", "--customer", CUSTOMER["id"]).status == Status.DONE
    assert run("quote", "1", "EUR", "USDC").status == Status.REFUSED


@pytest.mark.parametrize("text", ["", "[]", '{"nodes": []}', "{"])
def test_a_broken_devnet_file_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    monkeypatch.delenv("CORRIDOR_URL")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "devnet.json").write_text(text)
    outcome = run("watch", TRANSFER_ID)
    assert outcome.status == Status.NO
    assert "devnet.json cannot be used" in outcome.err


def test_a_url_that_is_no_node_is_said_to_be_none(
    run: Run, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "answer", lambda *_: (200, ["hello"]))
    outcome = run("watch", TRANSFER_ID)
    assert outcome.status == Status.NO
    assert "not Corridor's" in outcome.err


@pytest.mark.parametrize("columns", ["20", "40", "200"])
def test_output_fits_the_terminal_and_loses_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    outcome = run("quote", "200.00", "EUR", "USDC")
    assert max(map(len, outcome.out.splitlines())) <= int(columns)
    assert "quo_01jd0000000000000000000001" in re.sub(r"\s", "", outcome.out)


def test_no_color_leaves_no_escape_codes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in run("quote", "200.00", "EUR", "USDC").out


def test_a_run_that_failed_shows_the_breaks_that_were_open_before(run: Run, node: FakeNode) -> None:
    node.run = {
        "id": "run_01jd0000000000000000000001",
        "status": "failed",
        "failure": "the chain does not answer",
        "as_of": None,
        "checks": [],
        "breaks_open": None,
    }
    node.breaks = [dict(examples.BREAK)]
    outcome = run("reconcile")
    assert outcome.status == Status.NO
    assert "the chain does not answer" in outcome.out
    assert str(examples.BREAK["id"]) in outcome.out


def run_reconcile(node: FakeNode, run: Run, breaks_open: int, *arguments: str) -> tuple[int, str]:
    node.run = {
        "id": "run_1",
        "status": "completed",
        "as_of": {"block_number": 40, "block_hash": "0x" + "0" * 64},
        "checks": [{"name": "balances", "ok": not breaks_open, "expected": "5", "actual": "4"}],
        "breaks_open": breaks_open,
    }
    outcome = run("reconcile", *arguments)
    return outcome.status, outcome.out


def test_reconcile_without_breaks_ends_with_status_0(run: Run, node: FakeNode) -> None:
    status, out = run_reconcile(node, run, 0)
    assert status == Status.DONE
    assert "final block 40" in out


def test_reconcile_with_breaks_ends_with_status_1_and_explains_them(
    run: Run, node: FakeNode
) -> None:
    node.breaks = [
        {
            "id": "brk_1",
            "code": "B01",
            "summary": "the contract holds less than the ledger says",
            "expected": "5",
            "actual": "4",
            "evidence": {"block": "40"},
            "story": ["The ledger has 5 and the chain 4.", "What to do: look at block 40."],
        }
    ]
    status, out = run_reconcile(node, run, 1, "--explain")
    assert status == Status.NO
    for text in ("B01", "holds less", "The ledger has 5", "look at block 40", "brk_1"):
        assert text in out
    status, out = run_reconcile(node, run, 1, "--json")
    assert status == Status.NO
    assert json.loads(out)["breaks"][0]["code"] == "B01"


def test_doctor_says_what_it_looked_at_and_its_status_agrees(run: Run, tmp_path: Path) -> None:
    outcome = run("doctor", "--state-dir", str(tmp_path), "--json")
    document = json.loads(outcome.out)
    assert {"Python", "PostgreSQL", "anvil"} <= {each["name"] for each in document["findings"]}
    assert outcome.status == (Status.DONE if document["ok"] else Status.NO)
    assert all(each["remedy"] for each in document["findings"] if not each["ok"])


def test_doctor_finds_a_wrong_setting_and_tells_the_remedy(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CORRIDOR_HTTP_PORT", "eighty")
    outcome = run("doctor", "--state-dir", str(tmp_path))
    assert outcome.status == Status.NO
    assert "CORRIDOR_HTTP_PORT" in outcome.out
    assert "Remedy:" in outcome.out


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("FX_SOURCES", "foo", "CORRIDOR_FX_SOURCES"),
        ("CORRIDORS_FILE", "/nowhere/at/all.toml", "cannot be read"),
        ("REPORTING_CURRENCY", "XXX", "the node has no currency 'XXX'"),
        ("CHAIN_FINALITY", "soon", "must be 'tag' or 'depth:N'"),
        ("CHAIN_FINALITY", "depth:2,tag", "or 'tag,depth:N'"),
        ("CHAIN_WS_URLS", "http://127.0.0.1:1", "must be a ws:// or wss:// URL"),
        ("TRUSTED_PROXIES", "0.0.0.0/0", "not everybody's"),
    ],
)
def test_doctor_finds_what_serve_would_refuse(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(f"CORRIDOR_{name}", value)
    assert run("doctor", "--state-dir", str(tmp_path)).status == Status.NO
    found = settings_of(run, tmp_path)
    assert not found["ok"]
    assert f"CORRIDOR_{name}" in found["detail"]
    assert told in found["detail"]
    assert found["remedy"]


def test_doctor_says_defaults_only_where_nothing_is_set(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert settings_of(run, tmp_path)["detail"] == "valid, nothing but defaults"
    monkeypatch.setenv("CORRIDOR_HTTP_PORT", "8001")
    monkeypatch.setenv("CORRIDOR_QUOTE_TTL_S", "30")
    found = settings_of(run, tmp_path)
    assert found["detail"] == "valid; set: CORRIDOR_HTTP_PORT, CORRIDOR_QUOTE_TTL_S"


def test_doctor_finds_a_login_that_owns_the_ledgers_tables(
    run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CORRIDOR_DATABASE_URL", database_url)
    (found,) = looked_at(run, tmp_path, "CORRIDOR_DATABASE_URL")
    assert not found["ok"]
    assert "owns the ledger's tables" in found["detail"]
    assert "node/README.md" in found["remedy"]


def settings_of(run: Run, state_dir: Path) -> dict[str, Any]:
    (found,) = looked_at(run, state_dir, "settings")
    return found


def looked_at(run: Run, state_dir: Path, name: str) -> list[dict[str, Any]]:
    """What `corridor doctor --json` says of one thing."""
    document = json.loads(run("doctor", "--state-dir", str(state_dir), "--json").out)
    return [each for each in document["findings"] if each["name"] == name]


def test_a_terminal_that_cannot_show_a_character_gets_the_rest(node: FakeNode) -> None:
    node.breaks = []
    node.run = {
        "id": "run_1",
        "status": "completed",
        "as_of": None,
        "checks": [{"name": "nonce:0x" + "a" * 40, "ok": True, "expected": "1", "actual": "1"}],
        "breaks_open": 0,
    }
    settings = {"CORRIDOR_URL": node.url, "CORRIDOR_TOKEN": TOKEN, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(
        [
            "env",
            *(f"{name}={value}" for name, value in settings.items()),
            *(sys.executable, "-m", "node", "reconcile", "--explain"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == Status.DONE, ended.stderr
    assert "0xaaaa" in ended.stdout


CHECKS = (
    ("completeness.final_block", "0x" + "5e" * 32, "0x5e5e…5e5e"),
    ("items.no_transfer_left_behind", "0", "0"),
    (f"balance.token:0x{'ab' * 20}", "999769925952", "999769.925952 USDC"),
    (f"balance.native:0x{'ab' * 20}", "9999999979000", "9999.999979000 ETH"),
    (f"nonce:0x{'ab' * 20}", "7", "7"),
    ("ledger.trial_balance:EUR", "120000", "1200.00 EUR"),
    ("solvency:USDC", "covered", "covered"),
    ("in_flight:USDC", "5 promised, 0 posted", "0.000005 USDC promised"),
)


@pytest.mark.parametrize("ok", [True, False])
def test_the_table_of_checks_fits_80_columns_and_names_currencies(
    run: Run, node: FakeNode, monkeypatch: pytest.MonkeyPatch, ok: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    checks = [
        {"name": name, "ok": ok, "expected": "1" if not ok else actual, "actual": actual}
        for name, actual, _ in CHECKS
    ]
    node.run = {
        "id": "run_1",
        "status": "completed",
        "as_of": {"block_number": 40, "block_hash": "0x" + "0" * 64},
        "checks": checks,
        "breaks_open": 0,
    }
    lines = run("reconcile", "--explain").out.splitlines()
    assert max(map(len, lines)) <= 80
    for name, _, told in CHECKS:
        kind, _, subject = name.partition(":")
        of = "0xabab…abab" if subject.startswith("0x") else subject
        (line,) = [line for line in lines if kind in line.split() and of in line]
        assert told in line
    full = json.loads(run("reconcile", "--json").out)
    assert full["checks"] == checks


def test_the_line_with_the_database_is_not_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from node.cli.local import show

    monkeypatch.setenv("COLUMNS", "40")
    url = "postgresql://corridor:secret@/corridor?host=/a/path/that/is/much/longer/than/40/columns"
    customer = {"id": CUSTOMER["id"], "name": "Ada", "country": "DE", "token": "t"}
    node = {
        "name": "berlin",
        "url": "http://127.0.0.1:8000",
        "database_url": url,
        "settlement": "0x1",
        "keys": {"operator": "o", "partner": "p"},
        "customers": [customer],
    }
    chain = {"rpc_url": "http://127.0.0.1:8545", "chain_id": 31337}
    show({"chain": chain, "contracts": {"USDC": "0x2"}, "nodes": [node]}, Path("s"), False)
    assert url in capsys.readouterr().out.splitlines()


def test_a_port_that_is_taken_is_named_with_its_setting(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("CORRIDOR_HTTP_HOST", "127.0.0.1")
        monkeypatch.setenv("CORRIDOR_HTTP_PORT", str(port))
        outcome = run("serve")
    assert outcome.status == Status.REFUSED
    assert f"CORRIDOR_HTTP_PORT {port} is taken" in outcome.err
    assert "documentation at" not in outcome.err


def test_an_address_that_is_not_of_this_machine_is_named_with_its_setting(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORRIDOR_HTTP_HOST", "192.0.2.1")  # RFC 5737: nobody's
    monkeypatch.setenv("CORRIDOR_HTTP_PORT", "8000")
    outcome = run("serve")
    assert outcome.status == Status.REFUSED
    assert "CORRIDOR_HTTP_HOST 192.0.2.1" in outcome.err


def test_lines_of_the_migration_library_are_not_shown() -> None:
    code = (
        "import logging; from node import logs; logs.configure(level='info', form='console');"
        " logging.getLogger('alembic.runtime.migration').info('Context impl PostgresqlImpl.')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr == ""
