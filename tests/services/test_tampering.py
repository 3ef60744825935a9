"""Tampering: books of the node are proven, and whatever is done to a row of them is named."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import asyncpg
import pytest

from node.core.ids import Prefix, encode_id
from node.core.proof.findings import Difference
from tests.services.tampering import LEDGER_TABLES, Tamperer, changes


@pytest.fixture
def lawless(tamperer: Tamperer) -> Tamperer:
    """No constraint is left on the ledger's tables."""
    tamperer.drop_constraints(LEDGER_TABLES)
    return tamperer


def test_the_books_of_the_node_are_proven(tamperer: Tamperer) -> None:
    found = tamperer.verify()
    assert found.differences == []
    assert (found.transfers, found.counts) == (5, {})
    assert found.sequences == tamperer.rows("SELECT sequence FROM ledger")[0]["sequence"]
    assert found.entries == tamperer.rows("SELECT count(*) FROM entry")[0]["count"]
    for table in LEDGER_TABLES:
        assert tamperer.places(table), f"nothing to tamper with in {table}"


PAGE = Path(__file__).resolve().parents[2] / "node" / "docs" / "ledger_export.md"
CHECKPOINT_TABLES = ("account_checkpoint", "ledger_checkpoint")
COMPARED_TABLES = (
    *("transfer", "event", "top_up", "quote", "payment_number_change", "ledger_refusal"),
)
TABLES = (*LEDGER_TABLES, *CHECKPOINT_TABLES, *COMPARED_TABLES)


def listed() -> tuple[dict[str, set[str]], dict[str, set[str]], set[str]]:
    """Of the page: columns not covered, columns covered in part, tables not covered."""
    section = PAGE.read_text().partition("covers besides, and what it does not")[2]
    none: dict[str, set[str]] = {}
    some: dict[str, set[str]] = {}
    for row in re.findall(r"^\| `.*$", section, re.MULTILINE):
        table, left_out, in_part = (re.findall(r"`(\w+)`", each) for each in row.split("|")[1:4])
        none[table[0]], some[table[0]] = set(left_out), set(in_part)
    tables = section.partition("of these tables:")[2].partition(". What")[0]
    return none, some, set(re.findall(r"`(\w+)`", tables))


NOT_COVERED, IN_PART, TABLES_NOT_COVERED = listed()


def test_every_column_there_is_is_covered_or_listed_as_not(tamperer: Tamperer) -> None:
    tables = {
        row["tablename"]
        for row in tamperer.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    } - {"alembic_version"}
    assert tables == {*TABLES, *TABLES_NOT_COVERED}
    assert not {*TABLES} & TABLES_NOT_COVERED
    there = {(table, column) for table, column, _ in tamperer.columns(TABLES)}
    for columns in (NOT_COVERED, IN_PART):
        assert {(table, each) for table in columns for each in columns[table]} <= there


Namer = Callable[[asyncpg.Record], set[str]]
NAMES: dict[str, Namer] = {
    "ledger": lambda row: {"the head of the ledger"},
    "ledger_batch": lambda row: {
        f"batch {row['number']}", f"batch {row['number'] + 1}", "the head of the ledger"
    },
    "account": lambda row: {row["path"], f"batch {row['batch']}"},
    "account_checkpoint": lambda row: {f"checkpoint {row['sequence'] or 0}"},
    "ledger_checkpoint": lambda row: {f"checkpoint {row['sequence'] or 0}"},
    "transfer": lambda row: {encode_id(Prefix.TRANSFER, row["id"])},
    "event": lambda row: {encode_id(Prefix.TRANSFER, row["object_id"])},
    "top_up": lambda row: {encode_id(Prefix.TOP_UP, row["id"])},
    "quote": lambda row: {
        encode_id(Prefix.QUOTE, row["id"]), encode_id(Prefix.TRANSFER, row["transfer_id"])
    },
    "payment_number_change": lambda row: {encode_id(Prefix.TRANSFER, row["transfer_id"])},
    "ledger_refusal": lambda row: {f"key {row['key']}"},
}  # fmt: skip


def names_of(tamperer: Tamperer, table: str, row: asyncpg.Record) -> set[str]:
    """What a difference about a row must name: its batch, its sequence, its account, its id."""
    if table in NAMES:
        return NAMES[table](row)
    batches = tamperer.rows(
        "SELECT number FROM ledger_batch WHERE $1 BETWEEN first_sequence AND last_sequence",
        row["sequence"],
    )
    return {f"sequence {row['sequence']}"} | {f"batch {each['number']}" for each in batches}


def is_named(found: Sequence[Difference], names: set[str]) -> bool:
    starts = tuple(name + end for name in names for end in (" ", ","))
    return any(each.subject in names or each.subject.startswith(starts) for each in found)


def changes_of(
    tamperer: Tamperer, table: str, columns: Callable[[str], bool]
) -> Iterator[tuple[asyncpg.Record, str]]:
    """Every row, and SQL of every other value of those of its columns."""
    for row in tamperer.places(table):
        for _, column, kind in tamperer.columns([table]):
            if columns(column):
                for value in changes(column, kind, row[column]):
                    yield row, f"{column} = {value}"


def found_by(
    tamperer: Tamperer, table: str, row: asyncpg.Record, change: str
) -> Sequence[Difference]:
    return tamperer.found(f"UPDATE {table} SET {change} WHERE ctid = $1::text::tid", row["place"])


@pytest.mark.parametrize("table", TABLES)
def test_a_changed_value_of_any_row_is_named(tamperer: Tamperer, table: str) -> None:
    tamperer.drop_constraints([*LEDGER_TABLES, *CHECKPOINT_TABLES, table])
    left_out = NOT_COVERED.get(table, set()) | IN_PART.get(table, set())
    unnoticed = []
    for row, change in changes_of(tamperer, table, lambda column: column not in left_out):
        with tamperer.undone():
            (changed,) = tamperer.rows(
                f"UPDATE {table} SET {change} WHERE ctid = $1::text::tid RETURNING *", row["place"]
            )
            found = tamperer.verify().differences
        names = names_of(tamperer, table, row)
        if table in NAMED_AS_CHANGED and changed[KEYS[table][0]] is not None:
            names |= names_of(tamperer, table, changed)
        if not is_named(found, names) and not is_same(tamperer, table, change, row):
            unnoticed.append(f"{change} of {dict(row)}")
    assert unnoticed == []


NAMED_AS_CHANGED = ("account_checkpoint", "ledger_checkpoint", "top_up")
"""Where a row with another key is named by that one: nothing else remembers the one it had."""


def is_same(tamperer: Tamperer, table: str, change: str, row: asyncpg.Record) -> bool:
    """Whether the other value is the one that is there."""
    column, _, value = change.partition(" = ")
    (same,) = tamperer.rows(
        f"SELECT {column} IS NOT DISTINCT FROM {value} AS same FROM {table}"
        " WHERE ctid = $1::text::tid",
        row["place"],
    )
    return bool(same["same"])


@pytest.mark.parametrize("table", list(NOT_COVERED))
def test_what_is_listed_as_not_covered_is_not(tamperer: Tamperer, table: str) -> None:
    tamperer.drop_constraints([*CHECKPOINT_TABLES, table])
    noticed = [
        f"{change} of {dict(row)}"
        for row, change in changes_of(tamperer, table, NOT_COVERED[table].__contains__)
        if found_by(tamperer, table, row, change)
    ]
    assert noticed == []


@pytest.mark.parametrize("table", [each for each in TABLES if each != "ledger_refusal"])
def test_any_deleted_row_is_named(tamperer: Tamperer, table: str) -> None:
    tamperer.drop_constraints([*LEDGER_TABLES, *CHECKPOINT_TABLES, table])
    unnoticed = [
        dict(row)
        for row in tamperer.places(table)
        if not is_named(
            tamperer.found(f"DELETE FROM {table} WHERE ctid = $1::text::tid", row["place"]),
            names_of(tamperer, table, row),
        )
    ]
    assert unnoticed == []


KEYS = {
    "account": ("id", "path", "batch"),
    "ledger": ("is_only", "batch", "sequence"),
    "ledger_batch": ("number",),
    "ledger_transaction": ("sequence", "key"),
    "entry": ("sequence", "position"),
    "ledger_resolution": ("sequence", "pending_sequence"),
    "account_checkpoint": ("account_id", "sequence"),
    "ledger_checkpoint": ("sequence",),
    "transfer": ("id", "payment_number", "pending_sequence", "quote_id"),
    "event": ("sequence", "object_id", "object_sequence"),
    "top_up": ("id", "reference", "ledger_sequence"),
    "quote": ("id", "transfer_id"),
    "payment_number_change": ("transfer_id", "old_number", "new_number"),
    "ledger_refusal": (),
}
"""What tells the rows of a table apart: an invented row has another one of each, or of all."""

SHIFTS = {
    "bigint": "{c} + 1000",
    "integer": "{c} + 1000",
    "smallint": "{c} + 100",
    "text": "'rounding/EUR'",
    "boolean": "NOT {c}",
    "uuid": "gen_random_uuid()",
}


@pytest.mark.parametrize("table", TABLES)
def test_an_inserted_row_is_named_whether_it_repeats_another_or_is_new(
    tamperer: Tamperer, table: str
) -> None:
    tamperer.drop_constraints([*LEDGER_TABLES, *CHECKPOINT_TABLES, table])
    columns = [(column, kind) for _, column, kind in tamperer.columns([table])]
    keys, unnoticed = KEYS[table], []
    for row in tamperer.places(table):
        for changed in ((), *((key,) for key in keys), keys):
            values = ", ".join(
                SHIFTS[kind].format(c=column) if column in changed else column
                for column, kind in columns
            )
            with tamperer.undone():
                (new,) = tamperer.rows(
                    f"INSERT INTO {table} ({', '.join(column for column, _ in columns)})"
                    f" OVERRIDING SYSTEM VALUE SELECT {values} FROM {table}"
                    " WHERE ctid = $1::text::tid RETURNING *",
                    row["place"],
                )
                names = names_of(tamperer, table, new)
                if not is_named(tamperer.verify().differences, names):
                    unnoticed.append(f"{changed} of {dict(row)}")
    assert unnoticed == []


# The one column of `ledger_checkpoint` that counts says the same in any order.
@pytest.mark.parametrize("table", sorted({*TABLES} - {"ledger", "ledger_checkpoint"}))
def test_values_of_two_rows_that_changed_places_are_named(tamperer: Tamperer, table: str) -> None:
    tamperer.drop_constraints([*LEDGER_TABLES, *CHECKPOINT_TABLES, table])
    left_out = NOT_COVERED.get(table, set()) | IN_PART.get(table, set())
    unnoticed, swaps = [], 0
    for one, two in pairwise(tamperer.places(table)):
        names = names_of(tamperer, table, one) | names_of(tamperer, table, two)
        for _, column, _ in tamperer.columns([table]):
            if one[column] == two[column] or column in left_out:
                continue
            if table == "event" and says_the_same(one, two, without=column):
                continue  # two equal moves of two transfers
            swaps += 1
            found = tamperer.found(
                f"UPDATE {table} t SET {column} = o.{column} FROM {table} o"
                " WHERE t.ctid = $1::text::tid AND o.ctid = $2::text::tid"
                " OR t.ctid = $2::text::tid AND o.ctid = $1::text::tid",
                one["place"],
                two["place"],
            )
            if not is_named(found, names):
                unnoticed.append(f"{column} of {dict(one)} and {dict(two)}")
    assert swaps or table == "ledger_refusal"
    assert unnoticed == []


def says_the_same(one: asyncpg.Record, two: asyncpg.Record, *, without: str) -> bool:
    """Whether two events differ in nothing else that is covered but their place in the table."""
    others = {*one.keys()} - {without, "place", "sequence"} - NOT_COVERED["event"]
    return all(one[each] == two[each] for each in others)


def test_a_refusal_of_a_booked_key_is_named_and_so_is_one_without_its_form(
    tamperer: Tamperer,
) -> None:
    tamperer.drop_constraints(["ledger_refusal"])
    refusals, booked = tamperer.places("ledger_refusal"), tamperer.places("ledger_transaction")
    assert {each["code"] for each in refusals} == {"insufficient_funds", "amount_out_of_range"}
    for refusal in refusals:
        for row in booked:
            key = row["key"]
            found = found_by(tamperer, "ledger_refusal", refusal, f"key = '{key}'")
            assert is_named(found, {f"key {key}"})
        for change in (
            "code = 'x'",
            "code = NULL",
            "detail = NULL",
            "detail = '[]'",
            *(f"detail = detail - '{each}'" for each in ("content", "sentence", "context")),
            "detail = detail || '{\"x\": 1}'",
            'detail = detail || \'{"content": "00"}\'',
            "detail = detail || '{\"context\": {}}'",
        ):
            found = found_by(tamperer, "ledger_refusal", refusal, change)
            assert is_named(found, {f"key {refusal['key']}"}), change


def in_part(table: str, change: str, where: str = "true") -> tuple[str, str, str]:
    return table, change, where


@pytest.mark.parametrize(
    ("table", "change", "where"),
    [
        in_part("transfer", "tx_hash = set_byte(tx_hash, 0, 1)", "state = 'settled'"),
        in_part("transfer", "tx_hash = NULL", "state = 'settled'"),
        in_part("transfer", "block_number = block_number + 1", "state = 'settled'"),
        in_part("transfer", "block_number = NULL", "state = 'settled'"),
        in_part("transfer", "block_number = 1", "state <> 'settled'"),
        in_part("transfer", "beneficiary = beneficiary - 'address'"),
        in_part("transfer", "created_at = created_at + interval '1 year'"),
        in_part("event", "sequence = sequence + 1000", "state = 'submitted'"),
        in_part("event", "detail = '{}'", "state IN ('included', 'settled')"),
        in_part("event", "detail = detail - 'block_hash'", "state IN ('included', 'settled')"),
        in_part("event", "detail = detail || '{\"block_number\": 8}'", "state <> 'funded'"),
        in_part("event", 'detail = detail || \'{"block_hash": "0x00"}\'', "state <> 'funded'"),
        in_part("event", 'detail = detail || \'{"tx_hash": "0x00"}\'', "state = 'submitted'"),
        in_part("event", "detail = '{\"payment_number\": 99}'", "state = 'funded'"),
        in_part("quote", "customer_id = gen_random_uuid()"),
        in_part("quote", "expires_at = created_at"),
    ],
)
def test_what_is_covered_in_part_is_named_where_it_is(
    tamperer: Tamperer, table: str, change: str, where: str
) -> None:
    tamperer.drop_constraints([table])
    rows = tamperer.rows(f"SELECT ctid::text AS place, * FROM {table} WHERE {where}")
    assert rows
    for row in rows:
        found = found_by(tamperer, table, row, change)
        assert is_named(found, names_of(tamperer, table, row)), dict(row)


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        (
            "UPDATE transfer SET beneficiary = beneficiary || '{\"address\": \"0x00\"}'",
            "transfer_terms",
        ),
        ("UPDATE transfer SET beneficiary_address = set_byte(beneficiary_address, 19, 1)",
         "transfer_terms"),
        ("UPDATE transfer SET payment_number = payment_number + 10", "transfer_terms"),
        ("UPDATE transfer SET payment_number = payment_number + 10", "renumbered"),
        ("DELETE FROM payment_number_change", "transfer_terms"),
        ("DELETE FROM payment_number_change", "renumbered"),
        ("DELETE FROM event WHERE type = 'transfer.renumbered'", "renumbered"),
        ("DELETE FROM settlement_log WHERE kind = 'voided'", "renumbered"),
        ("UPDATE event SET type = 'transfer.submitted' WHERE object_sequence = 2", "renumbered"),
        ("UPDATE transfer SET buy_amount = buy_amount + 1", "transfer_money"),
        (
            "UPDATE transfer SET service_fee = service_fee - 1, network_fee = network_fee + 1",
            "quoted",
        ),
        (
            "UPDATE transfer SET customer_id = gen_random_uuid()",
            "owners",
        ),
        ("UPDATE top_up SET customer_id = gen_random_uuid()", "owners"),
        ("UPDATE top_up SET amount = amount + 1", "top_ups"),
        ("UPDATE transfer SET state = 'settled' WHERE state = 'funded'", "transfer_ends"),
        ("UPDATE transfer SET state = 'failed' WHERE state = 'settled'", "transfer_ends"),
        ("DELETE FROM event WHERE object_sequence = 2", "timelines"),
        ("UPDATE event SET state = 'included' WHERE state = 'submitted'", "moves"),
        ("UPDATE event SET customer_id = gen_random_uuid()", "moves"),
        ("UPDATE event SET object_id = gen_random_uuid()", "moves"),
        ("UPDATE transfer SET tx_hash = NULL", "payouts"),
        ("UPDATE event SET detail = '{}'", "told"),
        ("UPDATE settlement_log SET block_number = 8", "told"),
        ("INSERT INTO ledger_refusal SELECT key, 'x', '{}' FROM ledger_transaction", "refusals"),
        ("UPDATE quote SET maker = 'operator:x'", "quoted"),
        ("UPDATE quote SET mid_rate = mid_rate * 1.0001", "prices"),
        ("DELETE FROM ledger_transaction WHERE key LIKE 'transfer:%'", "orphans"),
        ("UPDATE ledger_transaction SET key = 'same'", "keys"),
    ],
)  # fmt: skip
def test_each_check_between_tables_finds_what_it_is_for(
    lawless: Tamperer, statement: str, check: str
) -> None:
    found = lawless.found(statement)
    assert check in {each.check for each in found}
    assert all(each.expected != each.actual for each in found)


def test_the_first_difference_comes_with_its_batch_and_its_rows(tamperer: Tamperer) -> None:
    tamperer.drop_constraints(["entry"])
    (entry,) = tamperer.rows(
        "SELECT * FROM entry WHERE amount = (SELECT max(amount) FROM entry) LIMIT 1"
    )
    found = tamperer.found(
        "UPDATE entry SET amount = amount - 1 WHERE sequence = $1 AND position = $2",
        entry["sequence"],
        entry["position"],
    )
    wrong_hash = next(each for each in found if each.check == "chain")
    assert any(f"{entry['amount'] - 1} {entry['asset']}" in row for row in wrong_hash.evidence)
    assert {each.check for each in found} >= {"chain", "balances"}


def test_many_differences_do_not_flood_and_are_counted(lawless: Tamperer) -> None:
    with lawless.undone():
        lawless.run("UPDATE account SET credits_posted = credits_posted + 1")
        lawless.run(
            "INSERT INTO entry SELECT sequence + 5000 + n, 0, 1, 2, 'EUR', 1"
            " FROM entry, generate_series(1, 200) n"
        )
        found = lawless.verify()
    assert found.counts["orphans"] > 20
    assert sum(each.check == "orphans" for each in found.differences) == 20


def test_functions_and_views_of_the_ledger_are_not_trusted(tamperer: Tamperer) -> None:
    """Who changes a row may also change what writes and reads the records."""
    with tamperer.undone():
        tamperer.run("DROP VIEW sequence_record CASCADE")
        tamperer.run("CREATE VIEW sequence_record AS SELECT 1::bigint AS sequence, ''::bytea AS r")
        tamperer.run("UPDATE entry SET amount = amount + 1 WHERE sequence = 1")
        assert {"chain", "balances"} <= {each.check for each in tamperer.verify().differences}
