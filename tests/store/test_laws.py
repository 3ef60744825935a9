"""The nine laws of the ledger against SQL: what the node's own role, and the owner, cannot do.

Each test is one law. `node` speaks as the node does (role `corridor_node`), `owner` as whoever owns
the tables, with triggers on. Not here: superusers who switch triggers off (they are found, not
stopped: `tests/services/test_tampering.py`).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import asyncpg
import pytest

from node.core.errors import InvariantBroken
from node.core.ledger import (
    _CHART,
    Entry,
    LedgerTransaction,
    Outcome,
    Resolution,
    account_rules,
)
from node.core.ports.transfers import Transfer
from node.store.database import ROLE, Database
from node.store.ledger import LedgerStore
from node.store.unit_of_work import StoreUnits
from tests.builders import LedgerNode

BANK, ANN, POSITION = "bank/x/EUR", "customer/ann/EUR", "fx_position/EUR"
LEDGER_TABLES = ("ledger", "ledger_batch", "account", "ledger_transaction", "entry",
                 "ledger_resolution")  # fmt: skip
REFUSED = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.RestrictViolationError,
    asyncpg.GeneratedAlwaysError,
)

Speaker = Any  # an asyncpg connection, which comes without types


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A ledger with 100.00 EUR of one customer, 60.00 of it held by sequence 2."""
    database = Database.at(database_url)
    await post(database, top_up("in", 10_000), hold("out", 6_000))
    yield database
    await database.close()


@pytest.fixture
async def node(database: Database, database_url: str) -> AsyncIterator[Speaker]:
    connection = await asyncpg.connect(database_url, server_settings={"role": ROLE})
    yield connection
    await connection.close()


@pytest.fixture
async def owner(database: Database, database_url: str) -> AsyncIterator[Speaker]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def post(
    database: Database, *transactions: LedgerTransaction, resolve: Sequence[Resolution] = ()
) -> Any:
    async with database.transaction() as connection:
        ledger = LedgerStore(connection)
        await ledger.lock()
        return await ledger.post(transactions, resolve)


def top_up(key: str, amount: int) -> LedgerTransaction:
    return LedgerTransaction(key, "top_up", [Entry(BANK, ANN, "EUR", amount)])


def hold(key: str, amount: int) -> LedgerTransaction:
    return LedgerTransaction(key, "transfer", [Entry(ANN, POSITION, "EUR", amount)], pending=True)


async def everything(speaker: Speaker) -> list[Any]:
    return [await speaker.fetch(f"SELECT * FROM {table} ORDER BY 1, 2") for table in LEDGER_TABLES]


async def cannot(speaker: Speaker, *statements: str) -> None:
    """Each statement is refused, also inside a transaction, and changes nothing."""
    before = await everything(speaker)
    for statement in statements:
        with pytest.raises(REFUSED):
            async with speaker.transaction():
                await speaker.execute(statement)
        assert await everything(speaker) == before, statement


POST = (
    "SELECT ledger_post({keys}, ARRAY['x'], ARRAY[{pending}], ARRAY[NULL]::uuid[], ARRAY['{{}}'],"
    " {paths}, ARRAY[1], ARRAY[0]::smallint[], ARRAY[{debit}], ARRAY[{credit}], ARRAY['{asset}'],"
    " ARRAY[{amount}]::bigint[], '{{}}'::bigint[], '{{}}'::text[])"
)


def posting(  # one entry, as anybody who may call the function could spell it
    *,
    key: str = "new",
    pending: bool = False,
    paths: Sequence[str] = (BANK, ANN),
    debit: int = 1,
    credit: int = 2,
    asset: str = "EUR",
    amount: int = 1,
) -> str:
    return POST.format(
        keys=f"ARRAY['{key}']",
        pending=str(pending).lower(),
        paths=f"ARRAY{list(paths)}",
        debit=debit,
        credit=credit,
        asset=asset,
        amount=amount,
    )


async def test_law_1_an_entry_has_two_accounts_one_asset_and_an_amount(
    node: Speaker, owner: Speaker
) -> None:
    imbalances = [
        posting(amount=0),
        posting(amount=-1),
        posting(amount=2**62),
        posting(credit=1),
        posting(asset="USD"),
        posting(paths=(BANK, "fx_position/USD")),
        posting(credit=3),
    ]
    await cannot(node, *imbalances)
    await cannot(
        owner,
        *imbalances,
        "INSERT INTO entry VALUES (1, 1, 1, 1, 'EUR', 1)",
        "INSERT INTO entry VALUES (1, 1, 1, 2, 'EUR', 0)",
        "INSERT INTO entry VALUES (1, 1, 1, 2, 'USD', 1)",
        "INSERT INTO entry VALUES (1, 1, 1, 4711, 'EUR', 1)",
        "INSERT INTO entry VALUES (9, 0, 1, 2, 'EUR', 1)",
    )


@pytest.mark.parametrize("table", [*LEDGER_TABLES, "ledger_refusal"])
async def test_law_2_no_row_is_updated_or_deleted(
    node: Speaker, owner: Speaker, table: str
) -> None:
    columns = [
        each["column_name"]
        for each in await owner.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = $1", table
        )
    ]
    assert columns
    writes = [f"UPDATE {table} SET {column} = {column}" for column in columns]
    writes += [f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"]
    harmless = "UPDATE ledger SET is_only = is_only"  # what the lock of the head is taken with
    await cannot(node, *(each for each in writes if each != harmless))
    if table != "ledger":  # its one row says where the chain ends; verification compares it
        await cannot(owner, *writes)


async def test_law_2_the_node_writes_the_ledger_by_its_function_alone(node: Speaker) -> None:
    await cannot(
        node,
        "INSERT INTO account (path, batch) VALUES ('customer/eve/EUR', 1)",
        "INSERT INTO ledger_batch SELECT number + 1, first_sequence, last_sequence, now(), hash"
        " FROM ledger_batch",
        "INSERT INTO ledger_transaction (sequence, key, kind, pending, created_at)"
        " VALUES (3, 'eve', 'x', false, now())",
        "INSERT INTO entry VALUES (1, 1, 1, 2, 'EUR', 1)",
        "INSERT INTO ledger_resolution VALUES (2, 3, 'voided', now())",
        "ALTER TABLE entry DISABLE TRIGGER USER",
        "SET session_replication_role = replica",
        "DROP TRIGGER append_only ON entry",
        "CREATE TABLE public.mine ()",
    )


async def test_law_3_counters_move_with_entries_and_with_nothing_else(
    node: Speaker, owner: Speaker
) -> None:
    writes = [
        f"UPDATE account SET {counter} = {counter} + 1"
        for counter in ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
    ]
    await cannot(node, *writes)
    await cannot(
        owner,
        *writes,
        "INSERT INTO account (path, batch, credits_posted) VALUES ('capital/EUR', 1, 1)",
    )


async def test_law_4_nothing_spends_more_than_is_available_holds_counted(
    node: Speaker, owner: Speaker
) -> None:
    overspent = [
        posting(paths=(ANN, POSITION), amount=4_001),
        posting(paths=(ANN, POSITION), amount=4_001, pending=True),
        posting(paths=("customer/new/EUR", POSITION), amount=1),
        posting(paths=("customer/new/EUR", POSITION), amount=1, pending=True),
    ]
    await cannot(node, *overspent)
    await cannot(owner, *overspent, "UPDATE account SET floor = NULL")


async def test_law_4_parallel_spenders_never_get_more_than_there_is(database: Database) -> None:
    async def spend(n: int) -> bool:
        try:
            await post(database, hold(f"spend {n}", 1_000))
        except InvariantBroken:
            return False
        return True

    assert sum(await asyncio.gather(*(spend(n) for n in range(50)))) == 4


async def test_law_4_an_account_is_what_its_path_says(owner: Speaker) -> None:
    await owner.execute(
        "INSERT INTO account (path, kind, asset, floor, batch)"
        " VALUES ('customer/eve/EUR', 'asset', 'USD', -1000000, 1)"
    )
    row = await owner.fetchrow("SELECT kind, asset, floor FROM account WHERE path LIKE '%eve%'")
    assert tuple(row) == ("liability", "EUR", 0)
    await cannot(owner, "INSERT INTO account (path, batch) VALUES ('petty_cash/EUR', 1)")


async def test_the_chart_of_the_database_is_the_chart_of_the_program(owner: Speaker) -> None:
    paths = [f"{word}/any/EUR" for word in _CHART]
    await owner.execute(
        "INSERT INTO account (path, batch) SELECT p, 1 FROM unnest($1::text[]) AS n (p)", paths
    )
    rows = await owner.fetch(
        "SELECT path, kind, asset, floor FROM account WHERE path = ANY($1::text[])", paths
    )
    assert {row["path"]: (row["kind"], row["floor"], row["asset"]) for row in rows} == {
        path: (*account_rules(path), "EUR") for path in paths
    }


async def test_law_5_a_pending_one_ends_once_and_as_a_whole(
    database: Database, owner: Speaker
) -> None:
    ends = (Outcome.POSTED, Outcome.VOIDED)
    results = await asyncio.gather(
        *(post(database, resolve=[Resolution(2, ends[n % 2])]) for n in range(10)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, InvariantBroken) for each in results) == 9
    await cannot(
        owner,
        "INSERT INTO ledger_resolution VALUES (2, 99, 'voided', now())",
        "INSERT INTO ledger_resolution VALUES (1, 99, 'voided', now())",
        "INSERT INTO ledger_resolution VALUES (77, 99, 'posted', now())",
        "INSERT INTO entry VALUES (2, 1, 2, 3, 'EUR', 1)",
    )


async def test_law_6_a_key_books_at_most_once(database: Database, owner: Speaker) -> None:
    booked = await asyncio.gather(*(post(database, top_up("same", 5)) for _ in range(20)))
    assert booked == [{"same": 3}] * 20
    assert await owner.fetchval("SELECT count(*) FROM ledger_transaction") == 3
    await cannot(
        owner,
        "INSERT INTO ledger_transaction (sequence, key, kind, pending, created_at)"
        " VALUES (4, 'same', 'top_up', false, now())",
    )


async def test_law_7_numbers_have_no_gaps_and_times_rise_whatever_runs_in_parallel(
    database: Database, owner: Speaker
) -> None:
    async def try_one(n: int) -> None:
        with suppress(InvariantBroken):
            await post(database, hold(f"n{n}", 1_000 if n % 3 else 1))

    await asyncio.gather(*(try_one(n) for n in range(60)))
    batches = await owner.fetch("SELECT * FROM ledger_batch ORDER BY number")
    assert [each["number"] for each in batches] == list(range(1, len(batches) + 1))
    for earlier, later in pairwise(batches):
        assert later["first_sequence"] == earlier["last_sequence"] + 1
        assert later["created_at"] > earlier["created_at"]
    sequences = await owner.fetch("SELECT sequence FROM sequence_record ORDER BY sequence")
    assert [each["sequence"] for each in sequences] == list(
        range(1, batches[-1]["last_sequence"] + 1)
    )


async def test_law_7_a_batch_carries_the_hash_of_the_one_before(owner: Speaker) -> None:
    head = await owner.fetchrow("SELECT * FROM ledger")
    (batch,) = await owner.fetch("SELECT * FROM ledger_batch")
    assert (head["batch"], head["hash"]) == (batch["number"], batch["hash"])
    await owner.execute(posting())
    before, after = await owner.fetch("SELECT * FROM ledger_batch ORDER BY number")
    assert after["hash"] == await owner.fetchval(
        "SELECT ledger_hash($1, $2, $3, $4, $5)",
        before["hash"],
        *(after[name] for name in ("number", "first_sequence", "last_sequence", "created_at")),
    )


async def test_law_8_what_is_in_flight_is_pending_and_never_overdrawn(node: Speaker) -> None:
    await cannot(
        node,
        posting(paths=("in_flight/1/USDC", "fx_position/USDC"), asset="USDC"),
        posting(paths=("chain/1/0x00/USDC", "chain/1/0x01/USDC"), asset="USDC"),
    )


async def test_law_9_a_batch_is_whole_or_not_there(database: Database, owner: Speaker) -> None:
    before = await everything(owner)
    with pytest.raises(InvariantBroken):
        await post(database, top_up("fine", 1), hold("too much", 10**6))
    with pytest.raises(InvariantBroken):
        await post(database, top_up("fine", 1), LedgerTransaction("no entries", "x", []))
    assert await everything(owner) == before


async def test_what_a_transfer_owes_cannot_be_changed_by_the_node(node: Speaker) -> None:
    for table, columns in {
        "transfer": "customer_id, quote_id, beneficiary, beneficiary_address, sell_asset,"
        " sell_amount, service_fee, network_fee, spread_amount, buy_asset, buy_amount, chain_id,"
        " contract, settle_by, owner",
        "quote": "sell_amount, buy_amount, mid_rate, spread_bps, expires_at, maker",
        "top_up": "amount, customer_id, reference",
        "slot_member": "amount, beneficiary, payment_number, purpose",
        "attempt": "raw, slot_id, tx_hash",
        "event": "type, state, detail",
        "idempotency": "body, status, request_hash",
    }.items():
        for column in columns.split(", "):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await node.execute(f"UPDATE {table} SET {column} = {column}")


async def test_a_payment_number_changes_with_a_trace_and_never_once_written(
    database: Database, node: Speaker
) -> None:
    books = LedgerNode(StoreUnits(database))
    await books.fund_contract()
    payer = await books.remitter(eur_minor=10**6)
    transfers = await books.funded(payer, 2, sell_minor=100, buy_minor=10**6)
    free, written = transfers
    await node.execute("UPDATE transfer SET was_written = true WHERE id = $1", written.id)

    async def note(transfer: Transfer, new_number: int) -> None:
        await node.execute(
            "INSERT INTO payment_number_change (transfer_id, old_number, new_number)"
            " VALUES ($1, $2, $3)",
            *(transfer.id, transfer.payment_number, new_number),
        )

    async def change(transfer: Transfer, new_number: int) -> None:
        await node.execute(
            "UPDATE transfer SET payment_number = $2 WHERE id = $1", transfer.id, new_number
        )

    with pytest.raises(asyncpg.RestrictViolationError):
        await change(free, 77)  # without a trace
    for each in transfers:
        await note(each, 80 + each.payment_number)
    with pytest.raises(asyncpg.RestrictViolationError):
        await change(free, 77)  # another than was noted
    with pytest.raises(asyncpg.RestrictViolationError):
        await change(written, 80 + written.payment_number)
    await change(free, 80 + free.payment_number)
    with pytest.raises(asyncpg.RestrictViolationError):
        await change(free, free.payment_number)  # and not back
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await node.execute("UPDATE payment_number_change SET new_number = 5")


async def test_the_call_of_a_slot_never_changes(node: Speaker, owner: Speaker) -> None:
    await owner.execute(
        "INSERT INTO lane (chain_id, address, next_nonce)"
        " VALUES (1, decode(repeat('aa', 20), 'hex'), 1)"
    )
    await owner.execute(
        "INSERT INTO slot (id, lane_id, nonce, purpose, contract, to_address, calldata, gas_limit,"
        " members, amount_total) SELECT gen_random_uuid(), id, 0, 'settle', address, address,"
        " decode('beef', 'hex'), 100, 1, 5 FROM lane"
    )
    for speaker in (node, owner):
        for change in (
            "calldata = ''",
            "to_address = decode(repeat('bb', 20), 'hex')",
            "value_wei = 1",
            "purpose = 'movement'",
            (
                "purpose = 'noop', contract = NULL, calldata = '', members = 0, amount_total = 0,"
                " to_address = decode(repeat('bb', 20), 'hex')"
            ),
        ):
            with pytest.raises(asyncpg.RestrictViolationError):
                await speaker.execute(f"UPDATE slot SET {change}")
    await node.execute(
        "UPDATE slot SET purpose = 'noop', contract = NULL, calldata = '', members = 0,"
        " amount_total = 0, gas_limit = 21000"
    )


async def test_a_number_is_free_only_when_its_slot_is_decided_and_then_for_ever(
    database: Database, node: Speaker, owner: Speaker
) -> None:
    books = LedgerNode(StoreUnits(database))
    await books.fund_contract()
    payer = await books.remitter(eur_minor=10**6)
    await books.funded(payer, 1, sell_minor=100, buy_minor=10**6)
    await owner.execute(
        "INSERT INTO lane (chain_id, address, next_nonce)"
        " VALUES (1, decode(repeat('aa', 20), 'hex'), 1)"
    )
    await owner.execute(
        "INSERT INTO slot (id, lane_id, nonce, purpose, to_address, calldata, gas_limit)"
        " SELECT gen_random_uuid(), id, 0, 'settle', address, '', 1 FROM lane"
    )
    await owner.execute(
        "INSERT INTO slot_member SELECT s.id, 0, t.id, t.payment_number, t.contract,"
        " t.beneficiary_address, t.buy_amount, 'settle' FROM transfer t, slot s"
    )
    for state in ("written", "submitted", "unknown", "included"):
        await owner.execute(f"UPDATE slot SET state = '{state}'")
        for speaker in (node, owner):
            with pytest.raises(asyncpg.RestrictViolationError):
                await speaker.execute("UPDATE slot_member SET live = false")
    for state in ("final", "foreign"):
        await owner.execute(f"UPDATE slot SET state = '{state}'")
        await node.execute("UPDATE slot_member SET live = false")
        with pytest.raises(asyncpg.RestrictViolationError):
            await node.execute("UPDATE slot_member SET live = true")
        await owner.execute("ALTER TABLE slot_member DISABLE TRIGGER lives_until_decided")
        await owner.execute("UPDATE slot_member SET live = true")
        await owner.execute("ALTER TABLE slot_member ENABLE TRIGGER lives_until_decided")


async def test_the_node_deletes_nothing_but_webhooks_that_have_ended(node: Speaker) -> None:
    tables = await node.fetch(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
    )
    for row in tables:
        refused = [f"TRUNCATE {row[0]}"]
        if row[0] != "webhook_delivery":  # of which a trigger lets go what has ended
            refused.append(f"DELETE FROM {row[0]}")
        for statement in refused:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await node.execute(statement)
