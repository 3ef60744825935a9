"""corridor verify on a real PostgreSQL: exports, anchors, differences, and what may go wrong."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from node.cli.exporting import PartialFile
from node.cli.faults import Fault, Status
from node.core.ledger import Entry
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import LedgerNode
from tests.cli.conftest import Run
from tests.rig import PostgresServer

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "verify_export.py"


async def book(url: str, count: int) -> None:
    database = Database.at(url)
    node = LedgerNode(StoreUnits(database))
    for _ in range(count):
        await node.post(Entry("bank/sepa/EUR", "customer/c/EUR", "EUR", 500))
    await database.close()


@pytest.fixture
def books(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with three batches that the commands of this test use."""
    monkeypatch.setenv("CORRIDOR_DATABASE_URL", database_url)
    asyncio.run(book(database_url, 3))
    return database_url


def offline(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", SCRIPT, file, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def document(run: Run, *arguments: str) -> dict[str, object]:
    found = json.loads(run("verify", "--json", *arguments).out)
    assert isinstance(found, dict)
    return found


@pytest.mark.usefixtures("books")
def test_verify_prints_every_check_and_an_anchor(run: Run) -> None:
    outcome = run("verify")
    assert outcome.status == Status.DONE
    found = document(run)
    assert f"anchor {found['anchor']}" in outcome.out
    assert isinstance(found["checks"], list)
    for check in found["checks"]:
        assert check in outcome.out
    counts = {name: found[name] for name in ("batches", "sequences", "entries", "accounts")}
    assert counts == {"batches": 3, "sequences": 3, "entries": 3, "accounts": 2}


@pytest.mark.usefixtures("books")
def test_an_export_is_proven_by_the_script_with_the_anchor_that_verify_prints(
    run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "ledger.bin"
    outcome = run("verify", "--export", str(file))
    assert outcome.status == Status.DONE
    assert f"scripts/verify_export.py {file}" in outcome.out
    anchor = str(document(run)["anchor"])
    proven = offline(file, "--anchor", anchor)
    assert proven.returncode == 0, proven.stdout
    assert f"anchor {anchor}" in proven.stdout
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["ledger.bin"]
    content = file.read_bytes()
    file.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    assert offline(file).returncode == 1


@pytest.mark.usefixtures("books")
def test_an_export_replaces_nothing_unless_it_is_told_to(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "ledger.bin"
    file.write_text("mine")
    outcome = run("verify", "--export", str(file))
    assert outcome.status == Status.REFUSED
    assert "--force" in outcome.err
    assert file.read_text() == "mine"
    assert run("verify", "--export", str(file), "--force").status == Status.DONE
    assert offline(file).returncode == 0


@pytest.mark.usefixtures("books")
def test_a_place_that_cannot_be_written_is_a_sentence(run: Run, tmp_path: Path) -> None:
    outcome = run("verify", "--export", str(tmp_path / "none" / "ledger.bin"))
    assert outcome.status == Status.REFUSED
    assert "cannot be written" in outcome.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to try")
def test_a_full_disk_is_not_taken_for_a_database_that_is_away(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        partial = PartialFile(tmp_path / "ledger.bin", full)
        with pytest.raises(Fault, match="cannot be written: No space left"):
            partial.write(b"x")


def test_an_earlier_export_or_anchor_finds_a_tail_that_was_cut_off(
    run: Run, books: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    early, late = tmp_path / "early.bin", tmp_path / "late.bin"
    assert run("verify", "--export", str(early)).status == Status.DONE
    asyncio.run(book(books, 1))
    anchor = str(document(run)["anchor"])
    both = ("--anchor", str(early), "--anchor", anchor)
    assert run("verify", *both, "--export", str(late)).status == Status.DONE
    postgres_server.sql(
        books,
        "SET session_replication_role = replica;"
        " DELETE FROM entry WHERE sequence = 4; DELETE FROM ledger_transaction WHERE sequence = 4;"
        " UPDATE account SET debits_posted = 1500 WHERE path LIKE 'bank/%';"
        " UPDATE account SET credits_posted = 1500 WHERE path LIKE 'customer/%';"
        " DELETE FROM ledger_batch WHERE number = 4;"
        " UPDATE ledger l SET batch = number, sequence = last_sequence, hash = b.hash,"
        " moved_at = b.created_at FROM ledger_batch b WHERE b.number = 3",
    )
    assert run("verify").status == Status.DONE
    assert run("verify", "--anchor", str(early)).status == Status.DONE
    for later in (anchor, str(late)):
        outcome = run("verify", "--anchor", later)
        assert outcome.status == Status.NO
        assert "cut off" in outcome.out


def test_differences_come_with_evidence_and_nothing_is_exported(
    run: Run, books: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    postgres_server.sql(
        books,
        "SET session_replication_role = replica; UPDATE entry SET amount = 499 WHERE sequence = 2",
    )
    file = tmp_path / "ledger.bin"
    outcome = run("verify", "--export", str(file))
    assert outcome.status == Status.NO
    assert "Nothing was exported" in outcome.out
    assert "499 EUR bank/sepa/EUR from customer/c/EUR" in outcome.out
    assert "Difference: chain: batch 2" in outcome.err
    assert not [each for each in tmp_path.iterdir() if each.is_file()]
    found = document(run)
    assert found["counts"] == {"chain": 1, "balances": 2}
    assert isinstance(found["differences"], list)
    assert found["differences"][0]["evidence"]


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize(
    ("anchor", "status"),
    [("7", Status.USAGE), ("1:00", Status.USAGE), ("{file}", Status.REFUSED)],
)
def test_what_is_no_anchor_is_refused_in_words(
    run: Run, tmp_path: Path, anchor: str, status: Status
) -> None:
    (tmp_path / "other").write_text("something else")
    outcome = run("verify", "--anchor", anchor.format(file=tmp_path / "other"))
    assert outcome.status == status
    assert outcome.err.startswith("Error: ")
    assert "Traceback" not in outcome.err
