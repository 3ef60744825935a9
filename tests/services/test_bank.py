"""The bank's statements against the ledger's `bank` account, over a real database."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from adapters.bank import StatementFiles
from adapters.machine import new_id
from node.core.bank import StatementInvalid, StatementUnfit
from node.core.consent import TwoPersons
from node.core.errors import InvalidInput, NodeError, NotFound, RailUnknown, WrongState
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, LedgerTransaction
from node.core.paging import ListQuery
from node.core.parties import Principal, Role
from node.core.ports.bank import StoredStatement
from node.core.ports.breaks import Break
from node.core.ports.idempotency import Answer, Claim
from node.services.ledger.posting import PostingService
from node.services.ledger.top_ups import TopUpRequest, TopUpService
from node.services.reconciliation.bank import (
    BankService,
    Imported,
    StatementFile,
    SuggestedLine,
)
from node.services.reconciliation.breaks import BreakRequest, BreakService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CATALOG, LedgerNode, a_claim, render_error
from tests.services.test_breaks import WATCH

pytestmark = pytest.mark.usefixtures("one_day")

OLGA = Principal(Role.OPERATOR, "olga")
RAIL = "bank_one"
BANK = f"bank/{RAIL}/EUR"
HEADER = "date,amount,reference,servicer_reference,balance"


@dataclass
class Bank:
    """One account at one bank, over a real database."""

    url: str
    ledger: LedgerNode
    service: BankService
    breaks: BreakService
    top_ups: TopUpService
    today: date
    counted: tuple[int, int] = (0, 0)

    async def top_up(self, reference: str, amount: str, rail: str = RAIL) -> int:
        """Money that an operator booked; the sequence."""
        who = await self.ledger.remitter()
        assert who.customer_id is not None
        customer = encode_id(Prefix.CUSTOMER, who.customer_id)
        request = TopUpRequest(OLGA, customer, "EUR", amount, rail, reference)
        claim = a_claim(OLGA)
        answer = await self.top_ups.create(
            request,
            claim,
            lambda made: Answer(201, str(made.ledger_sequence).encode()),
            render_error,
        )
        assert answer.status == 201, answer.body
        return int(answer.body)

    async def bring(
        self, *rows: str, claim: Claim | None = None, content: bytes | None = None
    ) -> Sequence[StoredStatement]:
        """Import a CSV with these rows; `T` stands for today."""
        text = "\n".join((HEADER, *rows)).replace("T,", f"{self.today.isoformat()},") + "\n"
        file = StatementFile(RAIL, content or text.encode(), "text/csv", "EUR")
        return await self.send(file, claim)

    async def send(
        self, file: StatementFile, claim: Claim | None = None
    ) -> Sequence[StoredStatement]:
        """Import a file."""
        seen: list[StoredStatement] = []

        def render(found: Imported) -> Answer:
            seen.extend(found.statements)
            self.counted = (found.lines_new, found.lines_known)
            return Answer(201, orjson.dumps([str(each.id) for each in found.statements]))

        await self.service.import_file(
            OLGA, file, claim=claim, render=render, render_error=render_error
        )
        return seen

    async def confirm(self, line: UUID, sequence: int | None, top_up: str | None = None) -> int:
        """Say that a line is a ledger transaction."""
        answer = await self.service.confirm(
            OLGA,
            encode_id(Prefix.BANK_LINE, line),
            ledger_sequence=sequence,
            top_up_id=top_up,
            reason="seen by eye",
            claim=None,
            render=lambda found: Answer(200, str(found.line.ledger_sequence).encode()),
            render_error=render_error,
        )
        return int(answer.body)

    async def lines(self, statement: StoredStatement) -> list[SuggestedLine]:
        """Its lines."""
        name = encode_id(Prefix.BANK_STATEMENT, statement.id)
        return list((await self.service.lines(name, ListQuery(scope="l"))).items)

    async def open(self) -> list[Break]:
        """Open breaks, in order of their codes."""
        page = await self.breaks.page(ListQuery(200, None, {"status": "open"}, "b"))
        return sorted(page.items, key=lambda each: each.code)

    async def codes(self) -> list[str]:
        """Codes of the open breaks."""
        return [each.code for each in await self.open()]

    async def post(self, entry: Entry, **detail: str) -> int:
        """Book one entry."""
        async with self.ledger.units() as unit:
            await unit.ledger.lock()
            key = f"test:{new_id()}"
            made = await unit.ledger.post([LedgerTransaction(key, "test", [entry], detail=detail)])
        return made[key]

    async def rows(self, query: str) -> list[Any]:
        """Rows of any query."""
        owner = await asyncpg.connect(self.url)
        try:
            return list(await owner.fetch(query))
        finally:
            await owner.close()


@pytest.fixture
async def bank(database_url: str) -> AsyncIterator[Bank]:
    database = Database.at(database_url)
    units = StoreUnits(database)
    async with units() as unit:
        today = unit.now.astimezone(UTC).date()
    yield Bank(
        database_url,
        LedgerNode(units),
        BankService(
            units=units,
            catalog=CATALOG,
            reader=StatementFiles(),
            rails=frozenset({RAIL}),
            new_id=new_id,
        ),
        BreakService(
            units=units,
            watch=WATCH,
            posting=PostingService(units, CATALOG),
            two_persons=TwoPersons(1000, lambda code: CATALOG.ledger_asset(code).digits),
            rails=frozenset({RAIL}),
        ),
        TopUpService(units, CATALOG, new_id, sandbox=False, rails=frozenset({RAIL})),
        today,
    )
    await database.close()


async def test_a_line_with_the_reference_and_amount_of_a_top_up_is_matched(bank: Bank) -> None:
    sequence = await bank.top_up("wire-17", "200.00")
    (kept,) = await bank.bring("T,200.00,wire-17,a,200.00")
    assert (kept.opening, kept.closing) == (0, 20_000)
    assert (kept.lines.matched.count, kept.lines.unmatched.count) == (1, 0)
    (line,) = await bank.lines(kept)
    assert (line.line.ledger_sequence, line.line.matched_by) == (sequence, "reference")
    assert await bank.codes() == []


async def test_each_side_that_is_alone_is_a_break_and_so_is_the_difference(bank: Bank) -> None:
    booked = await bank.top_up("wire-17", "200.00")
    (kept,) = await bank.bring("T,300.00,wire-18,a,300.00")
    of_line, of_item, of_balance = await bank.open()
    assert [of_line.code, of_item.code, of_balance.code] == ["B27", "B28", "B29"]
    (line,) = await bank.lines(kept)
    assert of_line.evidence["bank_line"] == encode_id(Prefix.BANK_LINE, line.line.id)
    assert (of_line.evidence["amount"], of_line.evidence["reference"]) == ("300.00 EUR", "wire-18")
    assert of_item.evidence["ledger_sequence"] == str(booked)
    assert (of_balance.expected, of_balance.actual) == (
        "200.00 EUR by the ledger",
        "300.00 EUR by the bank",
    )
    assert of_balance.evidence["unexplained"] == "0.00 EUR"  # both lines tell all of it


async def test_what_is_booked_later_is_matched_by_the_job_and_closes_its_break(bank: Bank) -> None:
    await bank.bring("T,200.00,wire-17,a,200.00")
    assert await bank.codes() == ["B27", "B29"]
    assert await bank.service.run_once() == 1  # it looks at everything once
    assert await bank.service.run_once() == 0
    await bank.top_up("wire-17", "200.00")
    assert await bank.service.run_once() == 1
    assert await bank.codes() == []
    closed = await bank.rows("SELECT resolution ->> 'kind' AS kind FROM reconciliation_break")
    assert {row["kind"] for row in closed} == {"rederived"}


async def test_a_booking_after_the_statements_day_counts_for_it_when_it_matches(
    bank: Bank,
) -> None:
    yesterday = (bank.today - timedelta(days=1)).isoformat()
    await bank.bring(f"{yesterday},200.00,wire-17,a,200.00")
    assert await bank.codes() == ["B27", "B29"]
    await bank.top_up("wire-17", "200.00")  # today
    await bank.service.run_once()
    assert await bank.codes() == []


async def test_what_was_booked_after_the_statement_ends_waits_for_the_next_one(bank: Bank) -> None:
    yesterday = (bank.today - timedelta(days=1)).isoformat()
    await bank.top_up("wire-17", "200.00")
    await bank.bring(f"{yesterday},5.00,x,a,5.00")
    assert "B28" not in await bank.codes()
    await bank.bring("T,1.00,y,b,6.00")
    assert "B28" in await bank.codes()


async def test_an_equal_amount_with_another_reference_is_a_suggestion_until_a_person_confirms(
    bank: Bank,
) -> None:
    sequence = await bank.top_up("wire-17", "200.00")
    other = await bank.top_up("other", "201.00")
    (kept,) = await bank.bring("T,200.00,wire 17,a,200.00", "T,201.00,,b,401.00")
    first, second = await bank.lines(kept)
    assert [each.sequence for each in first.suggestions] == [sequence]
    assert kept.lines.matched.count == 0
    with pytest.raises(InvalidInput, match=r"201\.00 EUR and the line 200\.00"):
        await bank.confirm(first.line.id, other)
    with pytest.raises(NotFound):
        await bank.confirm(first.line.id, 10**9)
    assert await bank.confirm(first.line.id, sequence) == sequence
    with pytest.raises(WrongState):
        await bank.confirm(first.line.id, sequence)
    with pytest.raises(WrongState):
        await bank.confirm(second.line.id, sequence)
    (top_up,) = await bank.rows("SELECT id FROM top_up WHERE reference = 'other'")
    name = encode_id(Prefix.TOP_UP, top_up["id"])
    assert await bank.confirm(second.line.id, None, name) == other
    assert await bank.codes() == []


async def test_two_who_confirm_the_same_ledger_transaction_match_it_once(bank: Bank) -> None:
    sequence = await bank.top_up("wire-17", "200.00")
    (kept,) = await bank.bring("T,200.00,x,a,200.00", "T,200.00,y,b,400.00")
    ids = [each.line.id for each in await bank.lines(kept)]
    answers = await asyncio.gather(
        *(bank.confirm(each, sequence) for each in ids * 2), return_exceptions=True
    )
    assert sum(each == sequence for each in answers) == 1
    assert sum(isinstance(each, WrongState) for each in answers) == 3


async def test_the_same_file_again_changes_nothing_and_answers_the_same(bank: Bank) -> None:
    rows = ("T,200.00,wire-17,a,200.00", "T,-5.00,fee,b,195.00")
    found = await asyncio.gather(*(bank.bring(*rows) for _ in range(4)))
    assert len({each.id for (each,) in found}) == 1
    counts = await bank.rows(
        "SELECT (SELECT count(*) FROM bank_statement) AS statements,"
        " (SELECT count(*) FROM bank_line) AS lines"
    )
    assert tuple(counts[0]) == (1, 2)


async def test_an_import_says_how_many_lines_are_new_and_how_many_were_known(bank: Bank) -> None:
    first = ("T,200.00,wire-17,a,200.00", "T,50.00,wire-18,b,250.00")
    await bank.bring(*first)
    assert bank.counted == (2, 0)
    await bank.bring(*first)
    assert bank.counted == (0, 2)
    second = ("T,50.00,wire-18,b,250.00", "T,7.00,wire-19,c,257.00")
    await bank.bring(*second)
    assert bank.counted == (1, 1)
    await bank.bring(*second)
    assert bank.counted == (0, 2)


async def test_lines_that_come_again_in_the_next_file_are_known(bank: Bank) -> None:
    await bank.bring("T,200.00,wire-17,a,200.00", "T,50.00,wire-18,b,250.00")
    (kept,) = await bank.bring("T,50.00,wire-18,b,250.00", "T,7.00,wire-19,c,257.00")
    assert (kept.known, kept.lines.total.count, kept.closing) == (1, 1, 25_700)
    assert len([code for code in await bank.codes() if code == "B27"]) == 3
    with pytest.raises(StatementUnfit, match="another amount"):
        await bank.bring("T,7.50,wire-19,c,257.50")


async def test_a_statement_that_leaves_a_gap_is_refused_whole(bank: Bank) -> None:
    await bank.bring("T,200.00,wire-17,a,200.00")
    with pytest.raises(StatementUnfit, match="import what lies in between first") as refused:
        await bank.bring("T,5.00,x,b,255.00")
    assert refused.value.context == {"expected": "200.00", "actual": "250.00"}
    assert len(await bank.rows("SELECT FROM bank_line")) == 1
    (kept,) = await bank.bring("T,5.00,x,b,205.00")
    assert kept.opening == 20_000


async def test_a_statement_without_balances_goes_on_from_the_one_before(bank: Bank) -> None:
    await bank.bring("T,200.00,wire-17,a,200.00")
    content = f"date,amount\n{bank.today.isoformat()},-5.00\n".encode()
    (kept,) = await bank.bring(content=content)
    assert (kept.opening, kept.closing) == (20_000, 19_500)


async def test_a_chargeback_of_several_entries_is_one_line_of_the_bank(bank: Bank) -> None:
    async with bank.ledger.units() as unit:
        await unit.ledger.lock()
        entries = [Entry("loss/chargeback/EUR", BANK, "EUR", n) for n in (100, 23)]
        await unit.ledger.post(
            [LedgerTransaction("back", "chargeback", entries, detail={"reference": "R-1"})]
        )
    (kept,) = await bank.bring("T,-1.23,R-1,a,-1.23")
    assert kept.lines.matched.count == 1
    assert await bank.codes() == []


async def test_a_line_is_booked_by_resolving_its_break_and_is_matched_by_it(bank: Bank) -> None:
    (kept,) = await bank.bring("T,-3.00,monthly fee,a,-3.00")
    (found, _) = await bank.open()
    name = encode_id(Prefix.BREAK, found.id)
    request = BreakRequest(OLGA, name, None, lambda _: Answer(200, b""), render_error)
    await bank.breaks.resolve(request, "a fee", [Entry("loss/fees/EUR", BANK, "EUR", 300)])
    assert await bank.service.run_once() == 1
    (line,) = await bank.lines(kept)
    assert line.line.matched_by == "break"
    assert await bank.codes() == []


async def test_a_payment_that_the_bank_has_twice_leaves_one_line_over(bank: Bank) -> None:
    await bank.top_up("wire-17", "200.00")
    await bank.bring("T,200.00,wire-17,a,200.00", "T,200.00,wire-17,b,400.00")
    assert await bank.codes() == ["B27", "B29"]


async def test_matched_and_unmatched_make_all_of_each_statement(bank: Bank) -> None:
    await bank.top_up("wire-17", "200.00")
    (kept,) = await bank.bring(
        "T,200.00,wire-17,a,200.00", "T,-5.00,fee,b,195.00", "T,1.00,,c,196.00"
    )
    lines = kept.lines
    assert (lines.total.count, lines.total.amount) == (3, 19_600)
    assert (lines.matched.count, lines.matched.amount) == (1, 20_000)
    assert (lines.unmatched.count, lines.unmatched.amount) == (2, -400)


@pytest.mark.parametrize(
    ("file", "error"),
    [
        (StatementFile("nowhere", b"", "text/csv"), RailUnknown),
        (StatementFile(RAIL, b"{}", "application/json"), StatementInvalid),
        (StatementFile(RAIL, b"date,amount\n2026-11-22,1\n", "text/csv", "XXX"), NodeError),
        (StatementFile(RAIL, b"date,amount\n2026-11-22,1.001\n", "text/csv", "EUR"), NodeError),
    ],
)
async def test_what_cannot_be_read_changes_nothing(
    bank: Bank, file: StatementFile, error: type[NodeError]
) -> None:
    with pytest.raises(error):
        await bank.send(file)
    assert await bank.rows("SELECT FROM bank_statement") == []


async def test_what_the_bank_said_is_never_changed(bank: Bank) -> None:
    await bank.top_up("wire-17", "200.00")
    await bank.bring("T,200.00,wire-17,a,200.00")
    for table in ("bank_statement", "bank_line", "bank_match"):
        for statement in (f"UPDATE {table} SET rail = 'x'", f"DELETE FROM {table}"):
            with pytest.raises(asyncpg.RestrictViolationError):
                await bank.rows(statement)


async def test_the_same_lines_in_a_file_with_other_line_ends_are_refused(bank: Bank) -> None:
    rows = ["date,amount,reference", f"{bank.today},200.00,wire-17", f"{bank.today},-3.00,fee"]
    first, second = ("".join(row + end for row in rows).encode() for end in ("\n", "\r\n"))
    await bank.bring(content=first)
    with pytest.raises(StatementUnfit, match="imported before"):
        await bank.bring(content=second)
    more = second + f"{bank.today},-3.00,fee\r\n".encode()  # one that is new
    await bank.bring(content=more)
    assert len(await bank.rows("SELECT FROM bank_line")) == 5


async def test_a_large_hole_at_the_bank_is_no_match_of_one_operator(bank: Bank) -> None:
    await bank.top_up("wire-17", "1000.01")
    await bank.top_up("wire-19", "10.00")
    await bank.bring("T,1.00,wire-18,a,1.00")
    closed = {}
    for found in await bank.open():
        request = BreakRequest(
            OLGA,
            encode_id(Prefix.BREAK, found.id),
            None,
            lambda each: Answer(200, each.state.encode()),
            render_error,
        )
        answer = await bank.breaks.resolve(request, "all is well", ())
        closed[found.code, found.evidence.get("reference", "")] = answer.body.decode()
    assert closed == {
        ("B27", "wire-18"): "resolved",
        ("B28", "wire-17"): "proposed",
        ("B28", "wire-19"): "resolved",
        ("B29", ""): "proposed",
    }
