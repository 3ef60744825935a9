"""corridor prove reserves on a real PostgreSQL and a real chain, and the script for outsiders."""

import asyncio
import json
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from node.cli.faults import Status
from node.core.ids import Prefix, encode_id
from node.core.ledger import (
    Entry,
    LedgerTransaction,
    chain_account,
    customer_account,
    in_flight_account,
    partner_account,
    suspense_account,
)
from node.core.units import Address
from tests.builders import CHAIN_ID
from tests.cli.conftest import Run
from tests.mirrored import TREASURY, MirroredNode
from tests.rig import AnvilServer

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "verify_reserves.py"
CUSTOMERS = [UUID(int=n) for n in range(1, 6)]
PARTNER = UUID(int=77)
OWED = {customer: 1_000_000 * n for n, customer in enumerate(CUSTOMERS)}  # one is owed nothing


async def owe(url: str, anvil: AnvilServer) -> MirroredNode:
    """A node that owes customers, a partner, a stranger, and a payout that is promised."""
    node = await MirroredNode.open(url, anvil)
    capital = "capital/USDC"
    entries = [
        Entry(capital, customer_account(customer, "USDC"), "USDC", minor)
        for customer, minor in OWED.items()
        if minor
    ]
    nothing = customer_account(CUSTOMERS[0], "USDC")
    entries += [
        Entry(capital, nothing, "USDC", 5),
        Entry(nothing, capital, "USDC", 5),
        Entry(capital, partner_account(PARTNER, "USDC"), "USDC", 20_000_000),
        Entry(capital, suspense_account(CHAIN_ID, "USDC"), "USDC", 300),
    ]
    await node.ledger.post(*entries)
    promise = Entry("fx_position/USDC", in_flight_account(CHAIN_ID, "USDC"), "USDC", 7_000)
    async with node.ledger.units() as unit:
        await unit.ledger.lock()
        await unit.ledger.post([LedgerTransaction("promise", "transfer", [promise], pending=True)])
    return node


@pytest.fixture
def owing(
    database_url: str,
    start_anvil: Callable[..., AnvilServer],
    monkeypatch: pytest.MonkeyPatch,
) -> MirroredNode:
    """A node whose settings the commands of this test read."""
    anvil = start_anvil(automine=False)
    made: MirroredNode = asyncio.run(_closed(owe(database_url, anvil)))
    for name, value in {
        "DATABASE_URL": database_url,
        "CHAIN_RPC_URLS": anvil.rpc_url,
        "TOKEN_ADDRESS": f"0x{made.onchain.token.hex()}",
        "SETTLEMENT_ADDRESS": f"0x{made.onchain.contract.hex()}",
        "TREASURY_ADDRESS": f"0x{TREASURY.hex()}",
    }.items():
        monkeypatch.setenv(f"CORRIDOR_{name}", value)
    return made


async def _closed(opening: Any) -> Any:
    node = await opening
    await node.close()
    return node


def offline(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The script, alone: no module of the node, no module of others."""
    return subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def statement(proof: Path, customer: UUID) -> Path:
    return proof / "statements" / f"{encode_id(Prefix.CUSTOMER, customer)}.json"


@pytest.fixture
def proof(owing: MirroredNode, run: Run, tmp_path: Path) -> Path:
    made = tmp_path / "proof"
    outcome = run("prove", "reserves", "--out", str(made))
    assert outcome.status == Status.DONE, outcome.err + outcome.out
    return made


def test_every_creditor_finds_what_they_are_owed_in_the_total(proof: Path) -> None:
    for customer, minor in OWED.items():
        amount = f"{minor // 10**6}.000000"
        found = offline(proof / "reserves.json", statement(proof, customer), "--amount", amount)
        assert found.returncode == 0, found.stdout + found.stderr
        assert f"is owed {amount} USDC" in found.stdout
        assert "Not shown:" in found.stdout
    for each in (proof / "statements").iterdir():
        assert offline(proof / "reserves.json", each).returncode == 0


def test_the_total_is_what_law_8_counts_as_owed(proof: Path, owing: MirroredNode) -> None:
    told = json.loads((proof / "reserves.json").read_text())
    assert told["owed_minor"] == {
        "customer": str(sum(OWED.values())),
        "in_flight": "7000",
        "partner": "20000000",
        "suspense": "300",
    }
    assert told["total_minor"] == str(sum(OWED.values()) + 20_007_300)
    held = owing.onchain.balance(owing.onchain.contract)
    assert told["reserves"] == [
        {
            "address": f"0x{address.hex()}",
            "role": role,
            "balance_minor": str(owing.onchain.balance(address)),
        }
        for address, role in sorted([(owing.onchain.contract, "contract"), (TREASURY, "treasury")])
    ]
    assert int(told["reserves_minor"]) == held + owing.onchain.balance(TREASURY)
    block = owing.onchain.anvil.rpc("eth_getBlockByNumber", hex(told["block"]["number"]), False)
    assert told["block"]["hash"] == block["hash"]


def test_what_deposit_addresses_hold_counts_and_is_what_the_chain_says(
    owing: MirroredNode, run: Run, tmp_path: Path
) -> None:
    address = Address(b"\xde" * 20)

    async def deposit() -> None:
        there = await owing.at(owing.database_url)
        payee = await there.ledger.remitter()
        async with there.database.transaction() as connection:
            await connection.raw.execute(
                "INSERT INTO deposit_address (chain_id, address, factory, salt, customer_id,"
                " is_standing) VALUES ($1, $2, $3, $4, $5, true)",
                CHAIN_ID,
                address,
                bytes(20),
                bytes(32),
                payee.customer_id,
            )
        there.onchain.send(there.onchain.token, "mint(address,uint256)", address, 12_000_000)
        there.mine(4)
        await there.follow()
        await there.close()

    asyncio.run(deposit())
    made = tmp_path / "proof"
    outcome = run("prove", "reserves", "--out", str(made))
    assert outcome.status == Status.DONE, outcome.err + outcome.out
    told = json.loads((made / "reserves.json").read_text())
    held = {each["address"]: (each["role"], each["balance_minor"]) for each in told["reserves"]}
    assert held[f"0x{address.hex()}"] == ("deposit", "12000000")
    total = int(told["owed_minor"]["customer"]) + int(told["owed_minor"]["suspense"])
    assert total == sum(OWED.values()) + 300 + 12_000_000


def test_only_the_owner_of_the_directory_may_look_into_it(proof: Path) -> None:
    for each in (proof, *proof.rglob("*")):
        mode = stat.S_IMODE(each.stat().st_mode)
        assert mode == (0o700 if each.is_dir() else 0o600), each
    assert not [each for each in proof.parent.iterdir() if each.name.endswith(".partial")]


def test_a_statement_names_nobody_else_and_shows_nobody_elses_leaf(proof: Path) -> None:
    files = list((proof / "statements").iterdir())
    told = {each: json.loads(each.read_text()) for each in files}
    public = (proof / "reserves.json").read_text()
    assert len({one["nonce"] for one in told.values()}) == len(files) == len(OWED) + 3
    for file, one in told.items():
        text = file.read_text()
        for other in told.values():
            if other is not one:
                assert other["account"] not in text
                assert other["nonce"] not in text
        assert one["account"] not in public
        assert one["nonce"] not in public
        assert set(one) == {
            "format", "audit_id", "asset", "account", "nonce", "amount_minor", "slot", "siblings",
        }  # fmt: skip


def test_two_proofs_of_the_same_books_share_nothing_that_tells_who_is_who(
    proof: Path, run: Run, tmp_path: Path
) -> None:
    assert run("prove", "reserves", "--out", str(tmp_path / "again")).status == Status.DONE
    first, second = (
        {
            sibling["hash"]
            for each in (directory / "statements").iterdir()
            for sibling in json.loads(each.read_text())["siblings"]
        }
        for directory in (proof, tmp_path / "again")
    )
    assert not first & second
    one = statement(tmp_path / "again", CUSTOMERS[1])
    assert "another audit" in offline(proof / "reserves.json", one).stdout


def changed(text: str, old: str) -> str:
    """`text` with the first digit or letter of `old` replaced by another of its kind."""
    letter = old[0]
    other = {"0": "1", "a": "b"}.get(letter, "0" if letter.isdigit() else "a")
    assert text.count(old) >= 1
    return text.replace(old, other + old[1:])


STATEMENT_BYTES: Sequence[Callable[[dict[str, Any]], str]] = (
    lambda one: one["format"],
    lambda one: one["audit_id"],
    lambda one: f'"{one["asset"]}"',
    lambda one: one["account"][4:],
    lambda one: one["nonce"],
    lambda one: one["amount_minor"],
    lambda one: one["siblings"][0]["hash"],
    lambda one: one["siblings"][-1]["hash"],
    lambda one: one["siblings"][-1]["sum_minor"],
    lambda one: "slot",
    lambda one: "{",
    lambda one: "siblings",
)
PUBLIC_BYTES: Sequence[Callable[[dict[str, Any]], str]] = (
    lambda all_: all_["format"],
    lambda all_: all_["audit_id"],
    lambda all_: all_["root"],
    lambda all_: all_["total_minor"],
    lambda all_: all_["reserves_minor"],
    lambda all_: all_["owed_minor"]["customer"],
    lambda all_: all_["reserves"][0]["balance_minor"],
    lambda all_: all_["reserves"][0]["role"],
    lambda all_: "true",
    lambda all_: "depth",
    lambda all_: "[",
)


@pytest.mark.parametrize("name", ["statement", "public"])
def test_a_byte_of_any_kind_that_was_changed_is_found(proof: Path, name: str) -> None:
    public, own = proof / "reserves.json", statement(proof, CUSTOMERS[3])
    file = own if name == "statement" else public
    before = file.read_text()
    told = json.loads(before)
    for kind in STATEMENT_BYTES if name == "statement" else PUBLIC_BYTES:
        file.write_text(changed(before, kind(told)))
        found = offline(public, own)
        assert found.returncode == 1, f"{kind(told)}: {found.stdout}"
        assert found.stdout.startswith("NOT PROVEN."), found.stderr
        assert not found.stderr
    for data in (b"", b"\xff\xfe", b"[]", b"null", before.encode()[:-20], b"[" * 100_000):
        file.write_bytes(data)
        found = offline(public, own)
        assert (found.returncode, found.stderr) == (1, "")
    file.unlink()
    assert offline(public, own).returncode == 2


def test_every_single_byte_of_a_statement_counts_or_says_nothing(proof: Path) -> None:
    """No change of one byte is accepted that changes what is said."""
    from tests.core.test_reserves import Fault, verifier

    own = statement(proof, CUSTOMERS[2])
    reserves = verifier["Reserves"](proof / "reserves.json")
    before = own.read_bytes()
    said = json.loads(before)
    accepted = 0
    for at in range(len(before)):
        for bit in (0x01, 0x20):
            own.write_bytes(before[:at] + bytes([before[at] ^ bit]) + before[at + 1 :])
            try:
                verifier["check_statement"](own, reserves)
            except Fault:
                continue
            assert json.loads(own.read_bytes()) == said, f"byte {at}"
            accepted += 1
    assert accepted < len(before) // 10  # spaces between members say nothing


def test_nothing_is_written_where_ledger_and_chain_differ(
    owing: MirroredNode, run: Run, tmp_path: Path
) -> None:
    async def take() -> None:
        there = await owing.at(owing.database_url)
        held = chain_account(CHAIN_ID, owing.onchain.contract, "USDC")
        await there.ledger.post(Entry("capital/USDC", held, "USDC", 1))
        await there.close()

    asyncio.run(take())
    outcome = run("prove", "reserves", "--out", str(tmp_path / "proof"))
    assert outcome.status == Status.NO
    assert f"0x{owing.onchain.contract.hex()}" in outcome.out
    assert "difference 1" in outcome.out
    assert not (tmp_path / "proof").exists()
    (difference,) = json.loads(
        run("prove", "reserves", "--json", "--out", str(tmp_path / "proof")).out
    )["differences"]
    assert int(difference["chain_minor"]) == int(difference["ledger_minor"]) + 1


def test_debts_above_what_the_chain_holds_are_told_as_they_are(
    owing: MirroredNode, run: Run, tmp_path: Path
) -> None:
    async def owe_more() -> None:
        there = await owing.at(owing.database_url)
        account = customer_account(CUSTOMERS[1], "USDC")
        await there.ledger.post(Entry("bank/sandbox_bank/USDC", account, "USDC", 10**15))
        await there.close()

    asyncio.run(owe_more())
    made = tmp_path / "proof"
    outcome = run("prove", "reserves", "--json", "--out", str(made))
    assert outcome.status == Status.NO
    assert json.loads(outcome.out)["covered"] is False
    found = offline(made / "reserves.json", statement(made, CUSTOMERS[1]))
    assert found.returncode == 1
    assert "NOT COVERED" in found.stdout


def test_what_cannot_be_done_is_a_sentence(run: Run, proof: Path, tmp_path: Path) -> None:
    again = run("prove", "reserves", "--out", str(proof))
    assert again.status == Status.REFUSED
    assert "exists already" in again.err
    assert "holds no 'EUR' on the chain" in run("prove", "reserves", "--asset", "eur").err
    nowhere = run("prove", "reserves", "--out", str(tmp_path / "none" / "proof"))
    assert "cannot be written" in nowhere.err
    assert sorted(each.name for each in tmp_path.iterdir() if each.name != "state") == ["proof"]
