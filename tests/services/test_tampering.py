"""Tampering: books of the node are proven, and whatever is done to a row of them is named."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import pairwise

import asyncpg
import pytest

from node.core.differences import Difference
from node.core.ledger import Entry
from node.core.ledger_records import Anchor
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import LedgerNode
from tests.rig import PostgresServer
from tests.services.tampering import LEDGER_TABLES, Tamperer, changes, write_books


@pytest.fixture(scope="module")
def books_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database with books of every kind; tests undo what they do to them."""
    url = postgres_server.create_database()
    asyncio.run(write_books(url))
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def tamperer(books_url: str) -> Iterator[Tamperer]:
    with Tamperer.at(books_url) as tamperer:
        yield tamperer


@pytest.fixture
def lawless(tamperer: Tamperer) -> Tamperer:
    """No constraint is left on the ledger's tables."""
    tamperer.drop_constraints(LEDGER_TABLES)
    return tamperer


def test_the_books_of_the_node_are_proven(tamperer: Tamperer) -> None:
    found = tamperer.verify()
    assert found.differences == []
    assert (found.transfers, found.counts) == (4, {})
    assert found.sequences == tamperer.rows("SELECT sequence FROM ledger")[0]["sequence"]
    assert found.entries == tamperer.rows("SELECT count(*) FROM entry")[0]["count"]
    for table in LEDGER_TABLES:
        assert tamperer.places(table), f"nothing to tamper with in {table}"


def names_of(tamperer: Tamperer, table: str, row: asyncpg.Record) -> set[str]:
    """What a difference about a row must name: its batch, its sequence, or its account."""
    if table == "ledger":
        return {"the head of the ledger"}
    if table == "ledger_batch":
        return {f"batch {row['number']}", f"batch {row['number'] + 1}", "the head of the ledger"}
    if table == "account":
        return {row["path"], f"batch {row['batch']}"}
    (batch,) = tamperer.rows(
        "SELECT number FROM ledger_batch WHERE $1 BETWEEN first_sequence AND last_sequence",
        row["sequence"],
    )
    return {f"batch {batch['number']}", f"sequence {row['sequence']}"}


def is_named(found: Sequence[Difference], names: set[str]) -> bool:
    starts = tuple(name + end for name in names for end in (" ", ","))
    return any(each.subject in names or each.subject.startswith(starts) for each in found)


@pytest.mark.parametrize("table", LEDGER_TABLES)
def test_a_changed_value_of_any_row_is_named(lawless: Tamperer, table: str) -> None:
    unnoticed = []
    for row in lawless.places(table):
        names = names_of(lawless, table, row)
        for _, column, kind in lawless.columns([table]):
            values = [*changes(column, kind, row[column])]
            values += [] if row[column] is None else ["NULL"]
            unnoticed += [
                f"{column} = {value} of {dict(row)}"
                for value in values
                if not is_named(
                    lawless.found(
                        f"UPDATE {table} SET {column} = {value} WHERE ctid = $1::text::tid",
                        row["place"],
                    ),
                    names,
                )
                and not is_same(lawless, table, column, value, row)
            ]
    assert unnoticed == []


def is_same(tamperer: Tamperer, table: str, column: str, value: str, row: asyncpg.Record) -> bool:
    """Whether the other value is the one that is there."""
    (same,) = tamperer.rows(
        f"SELECT {column} IS NOT DISTINCT FROM {value} AS same FROM {table}"
        " WHERE ctid = $1::text::tid",
        row["place"],
    )
    return bool(same["same"])


@pytest.mark.parametrize("table", LEDGER_TABLES)
def test_any_deleted_row_is_named(lawless: Tamperer, table: str) -> None:
    unnoticed = [
        dict(row)
        for row in lawless.places(table)
        if not is_named(
            lawless.found(f"DELETE FROM {table} WHERE ctid = $1::text::tid", row["place"]),
            names_of(lawless, table, row),
        )
    ]
    assert unnoticed == []


@pytest.mark.parametrize("table", LEDGER_TABLES)
def test_an_inserted_row_is_named_whether_it_repeats_another_or_is_new(
    lawless: Tamperer, table: str
) -> None:
    keys = {
        "account": ("id", "path", "batch"),
        "ledger": ("is_only", "batch", "sequence"),
        "ledger_batch": ("number",),
        "ledger_transaction": ("sequence", "key"),
        "entry": ("sequence", "position"),
        "ledger_resolution": ("sequence", "pending_sequence"),
    }[table]
    columns = [(column, kind) for _, column, kind in lawless.columns([table])]
    shifts = {
        "bigint": "{c} + 1000",
        "smallint": "{c} + 100",
        "text": "'rounding/EUR'",
        "boolean": "NOT {c}",
    }
    unnoticed = []
    for row in lawless.places(table):
        for changed in ((), *((key,) for key in keys), keys):
            values = ", ".join(
                shifts[kind].format(c=column) if column in changed else column
                for column, kind in columns
            )
            if not lawless.found(
                f"INSERT INTO {table} ({', '.join(column for column, _ in columns)})"
                f" SELECT {values} FROM {table} WHERE ctid = $1::text::tid",
                row["place"],
            ):
                unnoticed.append(f"{changed} of {dict(row)}")
    assert unnoticed == []


@pytest.mark.parametrize("table", [each for each in LEDGER_TABLES if each != "ledger"])
def test_values_of_two_rows_that_changed_places_are_named(lawless: Tamperer, table: str) -> None:
    unnoticed, swaps = [], 0
    for one, two in pairwise(lawless.places(table)):
        names = names_of(lawless, table, one) | names_of(lawless, table, two)
        for _, column, _ in lawless.columns([table]):
            if one[column] == two[column]:
                continue
            swaps += 1
            found = lawless.found(
                f"UPDATE {table} t SET {column} = o.{column} FROM {table} o"
                " WHERE t.ctid = $1::text::tid AND o.ctid = $2::text::tid"
                " OR t.ctid = $2::text::tid AND o.ctid = $1::text::tid",
                one["place"],
                two["place"],
            )
            if not is_named(found, names):
                unnoticed.append(f"{column} of {dict(one)} and {dict(two)}")
    assert swaps
    assert unnoticed == []


CHECKPOINT_TABLES = ("account_checkpoint", "ledger_checkpoint")


@pytest.mark.parametrize("table", CHECKPOINT_TABLES)
def test_a_checkpoint_that_does_not_follow_from_the_records_is_named(
    tamperer: Tamperer, table: str
) -> None:
    tamperer.drop_constraints(CHECKPOINT_TABLES)
    where = "WHERE ctid = $1::text::tid"
    rows = tamperer.places(table)
    assert len(rows) > 1
    statements = [f"DELETE FROM {table} {where}"] + [
        f"UPDATE {table} SET {column} = {value} {where}"
        for _, column, kind in tamperer.columns([table])
        if column != "created_at"  # when it was written down, which nothing depends on
        for value in changes(column, kind, 1)
    ]
    unnoticed = [
        f"{statement} {dict(row)}"
        for row in rows
        for statement in statements
        if "checkpoints" not in {each.check for each in tamperer.found(statement, row["place"])}
    ]
    assert unnoticed == []


# Columns of these tables that say nothing about money: who, how and when. `rate_sources` explains
# the mid rate, which must give the amounts; the beneficiary's name is not the ledger's.
NOT_MONEY = {
    "transfer": {
        "owner", "client_reference", "purpose", "slot_id", "was_written", "batches_failed",
        "void_outcome", "waiting_code", "waiting_since", "tx_hash", "block_number", "failure",
        "created_at", "updated_at", "settle_by", "beneficiary",
    },
    "top_up": {"made_by", "created_at"},
    "quote": {
        "id", "maker", "customer_id", "fixed_side", "rate_sources", "payout_method",
        "estimated_delivery_s", "created_at", "expires_at", "revoked_at", "revoked_reason",
    },
}  # fmt: skip


@pytest.mark.parametrize("table", list(NOT_MONEY))
def test_a_changed_term_of_any_transfer_top_up_or_quote_is_named(
    tamperer: Tamperer, table: str
) -> None:
    drop_checks(tamperer, table)
    unnoticed = []
    for row in tamperer.places(table):
        for _, column, kind in tamperer.columns([table]):
            if column in NOT_MONEY[table]:
                continue
            unnoticed += [
                f"{column} = {value} of {dict(row)}"
                for value in changes(column, kind, row[column])
                if not tamperer.found(
                    f"UPDATE {table} SET {column} = {value} WHERE ctid = $1::text::tid",
                    row["place"],
                )
            ]
    assert unnoticed == []


def drop_checks(tamperer: Tamperer, table: str) -> None:
    """Let the rules of one row and between rows go; transfers keep their primary key."""
    for row in tamperer.rows(
        "SELECT conname FROM pg_constraint WHERE conrelid = $1::regclass"
        " AND contype IN ('c', 'u', 'f')",
        table,
    ):
        tamperer.run(f"ALTER TABLE {table} DROP CONSTRAINT {row['conname']} CASCADE")


@pytest.mark.parametrize("table", list(NOT_MONEY))
def test_a_transfer_top_up_or_quote_that_was_deleted_or_invented_is_named(
    tamperer: Tamperer, table: str
) -> None:
    drop_checks(tamperer, table)
    columns = [column for _, column, _ in tamperer.columns([table])]
    others = ", ".join(column for column in columns if column != "id")
    for row in tamperer.places(table):
        where = "WHERE ctid = $1::text::tid"
        assert tamperer.found(f"DELETE FROM {table} {where}", row["place"])
        assert tamperer.found(
            f"INSERT INTO {table} (id, {others})"
            f" SELECT gen_random_uuid(), {others} FROM {table} {where}",
            row["place"],
        )


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


CUT = """
WITH kept AS (SELECT * FROM ledger_batch WHERE number = $1)
UPDATE ledger SET batch = number, sequence = last_sequence, hash = kept.hash,
    moved_at = kept.created_at FROM kept
"""


async def book_batches(url: str, count: int) -> None:
    database = Database.at(url)
    node = LedgerNode(StoreUnits(database))
    for n in range(count):
        await node.post(Entry("bank/sepa/EUR", f"customer/c{n}/EUR", "EUR", 5))
    await database.close()


def test_a_tail_that_was_cut_off_is_found_by_an_anchor_and_by_nothing_else(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    asyncio.run(book_batches(url, 3))
    with Tamperer.at(url) as tamperer:
        early, late = anchor_of(tamperer, 1), anchor_of(tamperer, 3)
        assert tamperer.verify([early, late]).differences == []
        tamperer.run("DELETE FROM entry WHERE sequence > 1")
        tamperer.run("DELETE FROM ledger_transaction WHERE sequence > 1")
        tamperer.run("DELETE FROM account WHERE batch > 1")
        tamperer.run("UPDATE account SET debits_posted = 5 WHERE path LIKE 'bank/%'")
        tamperer.run(CUT, 1)
        tamperer.run("DELETE FROM ledger_batch WHERE number > 1")
        assert tamperer.verify().differences == []
        assert tamperer.verify([early]).differences == []
        (found,) = tamperer.verify([early, late]).differences
        assert (found.check, found.subject) == ("anchor", "batch 3")
        assert "cut off" in found.actual
    postgres_server.drop_database(url)


REWRITE = """
DO $$
DECLARE
    each ledger_batch;
    before bytea := decode(repeat('00', 32), 'hex');
BEGIN
    FOR each IN SELECT * FROM ledger_batch ORDER BY number LOOP
        before := ledger_hash(before, each.number, each.first_sequence, each.last_sequence,
            each.created_at);
        UPDATE ledger_batch SET hash = before WHERE number = each.number;
    END LOOP;
    UPDATE ledger SET hash = before;
END $$
"""


def test_a_chain_that_was_written_anew_is_found_by_an_anchor_and_by_nothing_else(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    asyncio.run(book_batches(url, 3))
    with Tamperer.at(url) as tamperer:
        untouched, later = anchor_of(tamperer, 1), anchor_of(tamperer, 3)
        tamperer.run("UPDATE entry SET amount = 50 WHERE sequence = 2")
        tamperer.run("UPDATE account SET debits_posted = 60 WHERE path LIKE 'bank/%'")
        tamperer.run("UPDATE account SET credits_posted = 50 WHERE path = 'customer/c1/EUR'")
        assert {each.check for each in tamperer.verify().differences} == {"chain"}
        tamperer.run(REWRITE)
        assert tamperer.verify([untouched]).differences == []
        (found,) = tamperer.verify([untouched, later]).differences
        assert (found.check, found.subject) == ("anchor", "batch 3")
        assert "written anew" in found.actual
    postgres_server.drop_database(url)


def anchor_of(tamperer: Tamperer, number: int) -> Anchor:
    (row,) = tamperer.rows("SELECT hash FROM ledger_batch WHERE number = $1", number)
    return Anchor(number, row["hash"])


def test_functions_and_views_of_the_ledger_are_not_trusted(tamperer: Tamperer) -> None:
    """Who changes a row may also change what writes and reads the records."""
    with tamperer.undone():
        tamperer.run("DROP VIEW sequence_record CASCADE")
        tamperer.run("CREATE VIEW sequence_record AS SELECT 1::bigint AS sequence, ''::bytea AS r")
        tamperer.run("UPDATE entry SET amount = amount + 1 WHERE sequence = 1")
        assert {"chain", "balances"} <= {each.check for each in tamperer.verify().differences}
