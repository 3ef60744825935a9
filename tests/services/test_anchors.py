"""Anchors: what was cut off or written anew consistently is found by them, and by nothing else."""

import asyncio

from node.core.ledger import Entry
from node.core.proof.records import Anchor
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import LedgerNode
from tests.rig import PostgresServer
from tests.services.tampering import Tamperer

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
