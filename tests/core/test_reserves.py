"""The Merkle-sum tree: whatever is altered leads elsewhere. Checked by the outsiders' script."""

import copy
import hashlib
import json
import re
import runpy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.core.errors import InvariantBroken
from node.core.mirror import BlockHeader
from node.core.reserves import (
    Attestation,
    Audit,
    Reserve,
    SumTree,
    published,
    shuffled,
    statement,
)
from node.core.units import MINOR_LIMIT, Address, BlockHash

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "verify_reserves.py"
verifier = runpy.run_path(str(SCRIPT))
Fault: type[Exception] = verifier["Fault"]
MOMENT = datetime(2026, 11, 23, tzinfo=UTC)
AUDIT = Audit(b"\xa1" * 32, "USDC")

Json = dict[str, Any]


def chance(seed: int, length: int) -> bytes:
    return hashlib.shake_256(seed.to_bytes(8)).digest(length)


def proof_of(amounts: list[int], seed: int = 7, held: int = MINOR_LIMIT - 1) -> tuple[Json, Any]:
    """`reserves.json`, and a statement for each amount, as JSON gives them back."""
    tree = SumTree(len(amounts))
    order = shuffled(tree.slots, chance(seed, 8 * tree.slots))
    nonces = [chance(seed * 10_000 + n, 32) for n in range(tree.slots)]
    for place, slot in enumerate(order):
        if place < len(amounts):
            minor = amounts[place]
            tree.put(slot, AUDIT.leaf(f"cus_{place}", nonces[place], minor), minor)
        else:
            tree.put(slot, AUDIT.leaf_of(nonces[place], 0), 0)
    root = tree.close()
    found = Attestation(
        audit=AUDIT,
        made_at=MOMENT,
        chain_id=31337,
        block=BlockHeader(9, BlockHash(b"\xb0" * 32), BlockHash(bytes(32)), MOMENT),
        token=Address(b"\x70" * 20),
        digits=6,
        ledger_anchor=f"3:{'ab' * 32}",
        owed={"customer": sum(amounts)},
        root=root,
        depth=tree.depth,
        accounts=len(amounts),
        reserves=[Reserve(Address(b"\xc0" * 20), "contract", held, held)],
    )
    statements = [
        statement(AUDIT, f"cus_{n}", nonces[n], minor, order[n], tree.siblings(order[n]))
        for n, minor in enumerate(amounts)
    ]
    return json.loads(json.dumps(published(found))), json.loads(json.dumps(statements))


def check(directory: Path, reserves: Json, one: Json) -> tuple[str, int]:
    """What the script makes of the two files; raises its Fault."""
    (directory / "reserves.json").write_text(json.dumps(reserves))
    (directory / "one.json").write_text(json.dumps(one))
    read = verifier["Reserves"](directory / "reserves.json")
    found: tuple[str, int] = verifier["check_statement"](directory / "one.json", read)
    return found


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proof")


amounts = st.lists(st.integers(0, 2**50), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(amounts=amounts, seed=st.integers(0, 2**32))
def test_every_balance_is_proven_to_be_in_the_total(
    directory: Path, amounts: list[int], seed: int
) -> None:
    reserves, statements = proof_of(amounts, seed)
    assert int(reserves["total_minor"]) == sum(amounts)
    for n, one in enumerate(statements):
        assert check(directory, reserves, one) == (f"cus_{n}", amounts[n])


@settings(max_examples=8, deadline=None)
@given(data=st.data(), size=st.integers(100, 1000), seed=st.integers(0, 2**32))
def test_balances_of_large_trees_are_proven_too(
    directory: Path, data: st.DataObject, size: int, seed: int
) -> None:
    reserves, statements = proof_of([(seed * n) % 10**12 for n in range(size)], seed)
    for n in data.draw(st.lists(st.integers(0, size - 1), min_size=5, max_size=5)):
        assert check(directory, reserves, statements[n])[0] == f"cus_{n}"


def flipped(text: str, at: int) -> str:
    """Another digit at one place, of a number or a hash."""
    return text[:at] + {"0": "1", "9": "8", "f": "e"}.get(text[at], "0") + text[at + 1 :]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), amounts=st.lists(st.integers(1, 2**50), min_size=2, max_size=40))
def test_a_statement_that_was_altered_anywhere_is_rejected(
    directory: Path, data: st.DataObject, amounts: list[int]
) -> None:
    reserves, statements = proof_of(amounts)
    one = copy.deepcopy(data.draw(st.sampled_from(statements)))
    sibling = data.draw(st.sampled_from(one["siblings"]))
    kind = data.draw(
        st.sampled_from(
            ("account", "nonce", "amount", "slot", "hash", "sum", "order", "audit", "shift")
        )
    )
    at = data.draw(st.integers(0, 63))
    match kind:
        case "account":
            one["account"] += "0"
        case "nonce":
            one["nonce"] = flipped(one["nonce"], at)
        case "amount":
            one["amount_minor"] = str(
                int(one["amount_minor"]) + data.draw(st.sampled_from((-1, 1)))
            )
        case "slot":
            one["slot"] ^= 1 << data.draw(st.integers(0, reserves["depth"] - 1))
        case "hash":
            sibling["hash"] = flipped(sibling["hash"], at)
        case "sum":
            sibling["sum_minor"] = str(int(sibling["sum_minor"]) + 1)
        case "order":
            one["siblings"] = one["siblings"][1:] + one["siblings"][:1]
            one["siblings"][0]["sum_minor"] += "0"  # where all siblings are one, the order is none
        case "audit":
            one["audit_id"] = flipped(one["audit_id"], at)
        case "shift":  # what is taken from a sibling's sum is added to the own amount
            one["amount_minor"] = str(int(one["amount_minor"]) + 1)
            taken = next((e for e in one["siblings"] if e["sum_minor"] != "0"), sibling)
            taken["sum_minor"] = str(max(0, int(taken["sum_minor"]) - 1))
        case _:
            raise AssertionError(kind)
    with pytest.raises(Fault):
        check(directory, reserves, one)


def test_siblings_in_another_order_are_rejected(directory: Path) -> None:
    reserves, statements = proof_of([5, 6, 7, 8])
    one = copy.deepcopy(statements[0])
    one["siblings"].reverse()
    with pytest.raises(Fault, match="root"):
        check(directory, reserves, one)


@pytest.mark.parametrize("claimed", [(70, 0), (70, 29), (40, 30), (0, 30), (100, 0)])
def test_debts_cannot_be_understated_by_telling_each_creditor_another_sum(
    directory: Path, claimed: tuple[int, int]
) -> None:
    """The attack of eprint 2018/1139: each child is shown a sibling of whatever sum suits.

    A node that binds only the sum of its children has one hash for many splits of it. Here a root
    over sums that are not the true ones leads back to at most one of the two creditors, whatever
    sum the other is shown beside their own.
    """
    owed = {"a": 70, "b": 30}
    nonces = {name: name.encode() * 32 for name in owed}
    leaves = {name: AUDIT.leaf(name, nonces[name], minor) for name, minor in owed.items()}
    tree = SumTree(2)
    for slot, (name, minor) in enumerate(zip(owed, claimed, strict=True)):
        tree.put(slot, leaves[name], minor)
    root = tree.close()
    reserves, (one, _) = proof_of([70, 30])
    reserves |= {"root": root.hash.hex(), "total_minor": str(root.minor)}
    reserves["owed_minor"] = {"customer": str(root.minor)}

    def is_proven(name: str, slot: int, beside: int) -> bool:
        other = leaves["b" if name == "a" else "a"].hex()
        shown = one | {
            "account": name,
            "nonce": nonces[name].hex(),
            "amount_minor": str(owed[name]),
            "slot": slot,
            "siblings": [{"hash": other, "sum_minor": str(beside)}],
        }
        try:
            check(directory, reserves, shown)
        except Fault:
            return False
        return True

    proven = {
        name
        for slot, name in enumerate(owed)
        if any(is_proven(name, slot, beside) for beside in range(101))
    }
    assert len(proven) < 2


def test_a_node_cannot_be_taken_for_a_leaf(directory: Path) -> None:
    reserves, statements = proof_of([5, 6, 7, 8])
    one = copy.deepcopy(statements[0])
    one["siblings"] = one["siblings"][1:]
    with pytest.raises(Fault, match="another length"):
        check(directory, reserves, one)


@pytest.mark.parametrize("minor", [-1, MINOR_LIMIT])
def test_no_balance_is_negative_or_too_large(minor: int) -> None:
    with pytest.raises(InvariantBroken):
        AUDIT.leaf("a", bytes(32), minor)


def test_no_sum_is_too_large() -> None:
    tree = SumTree(2)
    for slot in (0, 1):
        tree.put(slot, bytes(32), MINOR_LIMIT // 2)
    with pytest.raises(InvariantBroken):
        tree.close()


def test_a_sum_above_the_limit_is_rejected_by_the_script_as_well(directory: Path) -> None:
    reserves, statements = proof_of([5, 6])
    for sum_ in (str(MINOR_LIMIT), str(MINOR_LIMIT - 1), "-6", "06", "6.0", 6, "٦"):
        one = copy.deepcopy(statements[0])
        one["siblings"][0]["sum_minor"] = sum_
        with pytest.raises(Fault):
            check(directory, reserves, one)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"total_minor": "10"}, "sum up to the total"),
        ({"owed_minor": {"customer": "10"}}, "sum up to the total"),
        ({"reserves_minor": "10"}, "sum up to the reserves"),
        ({"covered": False}, "does not follow"),
        ({"covered": 1}, "does not follow"),
        ({"format": "corridor-reserves-2"}, "format"),
        ({"depth": 0}, "two leaves"),
        ({"depth": 41}, "malformed"),
        ({"more": 1}, "other members"),
        ({"root": "00" * 31}, "malformed"),
        ({"token": {"asset": "USDC", "address": "0x" + "70" * 20, "digits": 6.0}}, "not allowed"),
        ({"does_not_show": [1]}, "list of texts"),
    ],
)
def test_what_everybody_sees_must_add_up(directory: Path, change: Json, why: str) -> None:
    reserves, statements = proof_of([5, 6])
    with pytest.raises(Fault, match=re.escape(why)):
        check(directory, reserves | change, statements[0])


def test_an_address_counts_once(directory: Path) -> None:
    reserves, statements = proof_of([5, 6], held=100)
    reserves["reserves"] *= 2
    reserves["reserves_minor"] = "200"
    with pytest.raises(Fault, match="twice"):
        check(directory, reserves, statements[0])


def test_an_order_has_every_place_once_and_follows_from_chance() -> None:
    orders = [shuffled(64, chance(seed, 8 * 64)) for seed in range(20)]
    assert all(sorted(each) == list(range(64)) for each in orders)
    assert len({tuple(each) for each in orders}) == 20
