"""keys, verify, migrate: commands on the database itself, on a real PostgreSQL."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from eth_account import Account

from node.cli.faults import Status
from node.devnet.programs import free_port
from tests.cli.conftest import Run
from tests.rig import PostgresServer


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A migrated database that the commands of this test use."""
    monkeypatch.setenv("CORRIDOR_DATABASE_URL", database_url)
    return database_url


@pytest.mark.usefixtures("database")
def test_a_key_is_shown_once_listed_without_its_secret_and_revoked_for_good(run: Run) -> None:
    made = json.loads(run("keys", "create", "operator", "night", "--json").out)
    assert made["key_id"].startswith("key_")
    assert len(made["token"]) >= 43  # 256 bits in base64

    listed = run("keys", "list", "--json").out
    assert made["token"] not in listed
    assert [each["key_id"] for each in json.loads(listed)["data"]] == [made["key_id"]]

    assert run("keys", "revoke", made["key_id"]).status == Status.DONE
    (listed_again,) = json.loads(run("keys", "list", "--json").out)["data"]
    assert listed_again["revoked_at"] is not None
    assert "revoked" in run("keys", "list").out


@pytest.mark.usefixtures("database")
def test_keys_of_one_partner_name_belong_to_one_partner(run: Run) -> None:
    first, second = (
        json.loads(run("keys", "create", "partner", "exchange", "--json").out) for _ in range(2)
    )
    assert first["owner"] == second["owner"]
    assert first["token"] != second["token"]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("create", "emperor", "x"), Status.USAGE),
        (("create", "remitter", "cus_none"), Status.REFUSED),
        (("revoke", "key_none"), Status.REFUSED),
    ],
)
def test_a_key_that_cannot_be_is_refused_in_words(
    run: Run, arguments: tuple[str, ...], status: Status
) -> None:
    outcome = run("keys", *arguments)
    assert outcome.status == status
    assert outcome.err.startswith("Error: ")


@pytest.mark.usefixtures("database")
def test_verify_of_an_empty_ledger_finds_no_difference(run: Run) -> None:
    outcome = run("verify")
    assert outcome.status == Status.DONE
    assert "follows from the entries" in outcome.out
    assert json.loads(run("verify", "--json").out)["differences"] == []


def test_verify_ends_with_status_1_and_names_what_was_changed_behind_the_ledgers_back(
    run: Run, database: str, postgres_server: PostgresServer
) -> None:
    postgres_server.sql(
        database,
        "SET session_replication_role = replica; INSERT INTO account"
        " (path, kind, asset, batch, credits_posted) VALUES ('capital/EUR', 'equity', 'EUR', 1, 5)",
    )
    outcome = run("verify")
    assert outcome.status == Status.NO
    assert "capital/EUR" in outcome.out
    (difference, *_) = json.loads(run("verify", "--json").out)["differences"]
    assert difference["subject"] == "capital/EUR"


def test_migrate_brings_an_empty_database_up_to_date_and_is_safe_to_repeat(
    run: Run, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_server.create_database(migrated=False)
    monkeypatch.setenv("CORRIDOR_DATABASE_URL", url)
    assert run("migrate").status == Status.DONE
    assert run("migrate").status == Status.DONE
    assert postgres_server.sql(url, "SELECT count(*) FROM transfer").strip() == "0"
    postgres_server.drop_database(url)


@pytest.mark.parametrize("command", [("verify",), ("keys", "list"), ("migrate",)])
def test_a_database_that_is_away_is_a_sentence_and_status_4(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CORRIDOR_DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    outcome = run(*command)
    assert outcome.status == Status.AWAY
    assert "database" in outcome.err
    assert "secret" not in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("command", [("verify",), ("keys", "list"), ("migrate",), ("work",)])
def test_without_a_database_the_missing_setting_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...]
) -> None:
    monkeypatch.delenv("CORRIDOR_DATABASE_URL", raising=False)
    outcome = run(*command, "--state-dir", str(tmp_path / "none"))
    assert outcome.status == Status.REFUSED
    assert "CORRIDOR_DATABASE_URL" in outcome.err


def test_a_wrong_setting_is_named_with_its_fault(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRIDOR_HTTP_PORT", "eighty")
    outcome = run("serve")
    assert outcome.status == Status.REFUSED
    assert "CORRIDOR_HTTP_PORT" in outcome.err


@pytest.mark.usefixtures("database")
def test_serve_prints_its_line_once_it_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = tmp_path / "lane.json"
    key.write_text(json.dumps(Account.encrypt(Account.create().key, "play", iterations=2)))
    (tmp_path / "lane.json.password").write_text("play")
    port = free_port()
    settings = {
        "CORRIDOR_HTTP_PORT": str(port),
        "CORRIDOR_STATE_DIR": str(tmp_path),
        "CORRIDOR_CHAIN_RPC_URLS": "http://127.0.0.1:9",
        "CORRIDOR_TOKEN_ADDRESS": "0x" + "70" * 20,
        "CORRIDOR_SETTLEMENT_ADDRESS": "0x" + "c0" * 20,
        "CORRIDOR_SIGNER": f"keystore:{key}",
        "CORRIDOR_FX_SOURCES": "fixed:USD/USDC=1",
        "CORRIDOR_SANDBOX": "1",
        "CORRIDOR_LOG_LEVEL": "error",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    process = subprocess.Popen(
        [sys.executable, "-m", "node", "serve"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        assert process.stderr.readline().startswith(f"http://127.0.0.1:{port}  documentation")
        answer = httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=30)
        assert answer.json() == {"status": "alive"}
    finally:
        process.terminate()
        process.communicate(timeout=60)
