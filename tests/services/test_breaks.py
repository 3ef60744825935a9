"""The life of a break: opened once, looked after, closed by one operator or by two."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson
import pytest

from adapters.machine import new_id
from node.core.breaks import BreakCode, BreakStep, break_of
from node.core.consent import TwoPersons
from node.core.errors import (
    InsufficientFunds,
    InvalidInput,
    NotFound,
    RailUnknown,
    SecondPersonNeeded,
    WrongState,
)
from node.core.ids import Prefix, encode_id
from node.core.ledger import Balance, Entry, customer_account, suspense_account
from node.core.mirror import Watch
from node.core.paging import ListQuery
from node.core.parties import Principal, Role
from node.core.ports.breaks import Break, BreakEvent
from node.core.ports.idempotency import Answer, Claim
from node.services.ledger.posting import PostingService
from node.services.reconciliation.breaks import BreakRequest, BreakService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CATALOG, CHAIN_ID, CONTRACT, TOKEN, LedgerNode, render_error

OLGA, OMAR, ANNE = (Principal(Role.OPERATOR, name) for name in ("olga", "omar", "anne"))
WATCH = Watch(CHAIN_ID, CONTRACT, TOKEN, "USDC", "ETH", frozenset({CONTRACT}))
SUSPENSE = suspense_account(CHAIN_ID, "USDC")
MUCH = 1001 * 10**6


@dataclass
class Desk:
    """Breaks over a real database, and what operators ask."""

    url: str
    ledger: LedgerNode
    service: BreakService

    async def find(self, code: BreakCode, *, expected: object = 0, actual: object = 1) -> str:
        """The public id of a break, opened or seen again."""
        async with self.ledger.units() as unit:
            found = break_of(code, "it", expected=expected, actual=actual)
            await unit.breaks.open([(new_id(), found)])
        listed = await self.service.page(ListQuery(limit=200, filters={}, scope="breaks"))
        (newest, *_) = [each for each in listed.items if each.code == code]
        return encode_id(Prefix.BREAK, newest.id)

    async def rederived(self, code: BreakCode) -> None:
        """The difference is gone."""
        async with self.ledger.units() as unit:
            open_ones = await unit.breaks.open_of([code])
            seen = {each.id: each.last_seen_at for each in open_ones}
            await unit.breaks.close_rederived(seen, "gone")

    def request(self, who: Principal, break_id: str, key: str | None = None) -> BreakRequest:
        """A request as the edge makes it."""
        claim = key and Claim(who.key, "POST", f"/{break_id}", key, b"body".ljust(32))
        return BreakRequest(who, break_id, claim or None, answer_of, render_error)

    async def propose(self, break_id: str, *entries: Entry, who: Principal = OLGA) -> Answer:
        """Resolve, or propose to."""
        return await self.service.resolve(self.request(who, break_id), "known", entries)

    async def approve(self, who: Principal, break_id: str, key: str | None = None) -> Answer:
        """Agree."""
        return await self.service.approve(self.request(who, break_id, key))

    async def steps(self, break_id: str) -> list[tuple[str, str]]:
        """The history, in short."""
        return [(each.step.value, each.by) for each in await self.service.history(break_id)]

    async def balance(self, path: str) -> Balance:
        """One account."""
        async with self.ledger.units() as unit:
            return (await unit.ledger.balances([path]))[path]


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    database = Database.at(database_url)
    units = StoreUnits(database)
    service = BreakService(
        units=units,
        watch=WATCH,
        posting=PostingService(units, CATALOG),
        two_persons=TwoPersons(1000, lambda code: CATALOG.ledger_asset(code).digits),
    )
    yield Desk(database_url, LedgerNode(units), service)
    await database.close()


def answer_of(found: Break) -> Answer:
    return Answer(200, orjson.dumps({"state": found.state, "resolution": found.resolution}))


def said(answer: Answer) -> Mapping[str, Any]:
    document: Mapping[str, Any] = orjson.loads(answer.body)
    return document


def loss(units: int) -> Entry:
    return Entry("loss/theft/USDC", f"chain/{CHAIN_ID}/0x{CONTRACT.hex()}/USDC", "USDC", units)


async def test_what_one_operator_may_move_is_closed_at_once(desk: Desk) -> None:
    await desk.ledger.fund_contract()
    break_id = await desk.find(BreakCode.ORPHAN_OUTBOUND)
    answer = said(await desk.propose(break_id, loss(1000 * 10**6)))
    assert answer["state"] == "resolved"
    assert answer["resolution"]["kind"] == "ledger_transaction"
    assert (await desk.balance("loss/theft/USDC")).posted == 1000 * 10**6
    assert await desk.steps(break_id) == [
        ("opened", "reconciliation"),
        ("resolved", "operator:olga"),
    ]


async def test_above_the_threshold_nothing_is_booked_until_another_approves(desk: Desk) -> None:
    await desk.ledger.fund_contract()
    break_id = await desk.find(BreakCode.ORPHAN_OUTBOUND)
    assert said(await desk.propose(break_id, loss(MUCH))) == {
        "state": "proposed",
        "resolution": None,
    }
    assert (await desk.balance("loss/theft/USDC")).posted == 0
    shown = await desk.service.get(break_id)
    assert shown.proposal is not None
    assert (shown.proposal.made_by, shown.proposal.entries) == (OLGA.key, (loss(MUCH),))
    with pytest.raises(SecondPersonNeeded):
        await desk.approve(OLGA, break_id)
    resolution = said(await desk.approve(OMAR, break_id))["resolution"]
    assert (resolution["proposed_by"], resolution["reason"]) == (OLGA.key, "known")
    assert (await desk.balance("loss/theft/USDC")).posted == MUCH
    closed = await desk.service.get(break_id)
    assert (closed.state, closed.resolved_by, closed.proposal) == ("resolved", OMAR.key, None)
    async with desk.ledger.units() as unit:
        booked = await unit.history.transaction(int(resolution["ledger_sequence"]))
    assert booked is not None
    detail = booked.transaction.detail
    assert (detail["made_by"], detail["approved_by"]) == (OLGA.key, OMAR.key)
    assert [step for step, _ in await desk.steps(break_id)] == [
        "opened",
        "proposed",
        "approved",
        "resolved",
    ]


async def test_missing_money_is_called_a_match_by_two_persons(desk: Desk) -> None:
    break_id = await desk.find(BreakCode.LEDGER_OFF_CHAIN)
    assert said(await desk.propose(break_id))["state"] == "proposed"
    assert said(await desk.approve(OMAR, break_id))["resolution"]["kind"] == "match"


async def test_two_who_approve_at_once_book_once(desk: Desk) -> None:
    await desk.ledger.fund_contract()
    break_id = await desk.find(BreakCode.ORPHAN_OUTBOUND)
    await desk.propose(break_id, loss(MUCH))
    answers = await asyncio.gather(
        *(desk.approve(who, break_id) for who in (OMAR, ANNE, OMAR, ANNE)), return_exceptions=True
    )
    assert sum(isinstance(each, Answer) for each in answers) == 1
    assert sum(isinstance(each, WrongState) for each in answers) == 3
    assert (await desk.balance("loss/theft/USDC")).posted == MUCH


async def test_a_repeated_approval_gets_the_first_answer(desk: Desk) -> None:
    await desk.ledger.fund_contract()
    break_id = await desk.find(BreakCode.ORPHAN_OUTBOUND)
    await desk.propose(break_id, loss(MUCH))
    first, *again = await asyncio.gather(*(desk.approve(OMAR, break_id, "k") for _ in range(5)))
    assert {each.body for each in again} == {first.body}
    assert sum(each.replayed for each in (first, *again)) == 4
    assert (await desk.balance("loss/theft/USDC")).posted == MUCH


async def test_an_approval_and_a_difference_that_goes_away_leave_one_ending(desk: Desk) -> None:
    for _ in range(10):
        break_id = await desk.find(BreakCode.LEDGER_OFF_CHAIN)
        await desk.propose(break_id)
        approved, _ = await asyncio.gather(
            desk.approve(OMAR, break_id),
            desk.rederived(BreakCode.LEDGER_OFF_CHAIN),
            return_exceptions=True,
        )
        closed = await desk.service.get(break_id)
        ends = [step for step, _ in await desk.steps(break_id) if step in ("resolved", "rederived")]
        assert closed.resolution is not None
        assert closed.proposal is None
        if isinstance(approved, Answer):
            assert closed.resolution["kind"] == "match"
            assert ends[-1] == "resolved"
            return  # the same numbers stay closed from now on
        assert isinstance(approved, WrongState)
        assert closed.resolution["kind"] == "rederived"
        assert ends[-1] == "rederived"


async def test_what_changed_since_it_was_proposed_is_not_approved(desk: Desk) -> None:
    break_id = await desk.find(BreakCode.LEDGER_OFF_CHAIN, actual=1)
    await desk.propose(break_id)
    assert await desk.find(BreakCode.LEDGER_OFF_CHAIN, actual=2) == break_id
    with pytest.raises(WrongState, match="withdraw it"):
        await desk.approve(OMAR, break_id)
    with pytest.raises(WrongState, match="operator:olga proposed"):
        await desk.propose(break_id, who=OMAR)
    await desk.service.withdraw(desk.request(OMAR, break_id), "the numbers are others")
    await desk.propose(break_id, who=OMAR)
    assert said(await desk.approve(OLGA, break_id))["state"] == "resolved"
    assert [step for step, _ in await desk.steps(break_id)] == [
        "opened", "proposed", "changed", "withdrawn", "proposed", "approved", "resolved",
    ]  # fmt: skip


async def test_what_is_proposed_is_checked_again_when_it_is_approved(desk: Desk) -> None:
    break_id = await desk.find(BreakCode.ORPHAN_OUTBOUND)
    await desk.propose(break_id, loss(MUCH))  # the contract has nothing yet
    with pytest.raises(InsufficientFunds):
        await desk.approve(OMAR, break_id)
    assert (await desk.service.get(break_id)).state == "proposed"
    await desk.ledger.fund_contract()
    assert said(await desk.approve(OMAR, break_id))["state"] == "resolved"


async def test_nothing_is_approved_or_withdrawn_where_nothing_is_proposed(desk: Desk) -> None:
    break_id = await desk.find(BreakCode.STUCK)
    with pytest.raises(WrongState, match="nothing is proposed"):
        await desk.approve(OMAR, break_id)
    with pytest.raises(WrongState, match="nothing is proposed"):
        await desk.service.withdraw(desk.request(OMAR, break_id), "x")


async def test_a_proposal_that_could_never_be_booked_is_refused_at_once(desk: Desk) -> None:
    break_id = await desk.find(BreakCode.STUCK)
    with pytest.raises(InvalidInput):
        await desk.propose(break_id, Entry("customer/x/USDC", SUSPENSE, "USDC", MUCH))
    nobody = f"customer/{encode_id(Prefix.CUSTOMER, new_id())}/USDC"
    with pytest.raises(NotFound, match="customer"):
        await desk.propose(break_id, Entry(SUSPENSE, nobody, "USDC", MUCH))
    assert (await desk.service.get(break_id)).state == "open"


async def test_a_break_is_taken_and_given_back(desk: Desk) -> None:
    break_id = await desk.find(BreakCode.STUCK)
    for owner in ("omar", "omar", None):
        await desk.service.assign(desk.request(OLGA, break_id), owner)
    assert await desk.steps(break_id) == [
        ("opened", "reconciliation"),
        ("assigned", OLGA.key),
        ("assigned", OLGA.key),
    ]
    await desk.service.assign(desk.request(OLGA, break_id), "omar")
    query = ListQuery(limit=10, filters={"owner": "omar"}, scope="breaks")
    assert len((await desk.service.page(query)).items) == 1


async def test_a_difference_that_comes_back_names_the_break_it_was(desk: Desk) -> None:
    first = await desk.find(BreakCode.LEDGER_OFF_CHAIN)
    await desk.rederived(BreakCode.LEDGER_OFF_CHAIN)
    second = await desk.find(BreakCode.LEDGER_OFF_CHAIN)
    assert second != first
    reopened = await desk.service.get(second)
    assert reopened.reopens is not None
    assert encode_id(Prefix.BREAK, reopened.reopens) == first
    history: list[BreakEvent] = list(await desk.service.history(second))
    assert [each.step for each in history] == [
        BreakStep.OPENED,
        BreakStep.REDERIVED,
        BreakStep.REOPENED,
    ]
    assert len(await desk.service.history(first)) == 2


async def test_a_difference_that_was_closed_and_is_still_the_same_stays_closed(desk: Desk) -> None:
    break_id = await desk.find(BreakCode.STUCK)
    await desk.propose(break_id)
    assert await desk.find(BreakCode.STUCK) == break_id
    assert (await desk.service.get(break_id)).state == "resolved"
    other = await desk.find(BreakCode.STUCK, actual=7)
    assert other != break_id
    assert await desk.find(BreakCode.STUCK) == other  # it changed back: the newest tells so
    assert (await desk.service.get(other)).actual == "1"


async def test_the_same_difference_that_was_gone_meanwhile_is_opened_anew(desk: Desk) -> None:
    first = await desk.find(BreakCode.STUCK)
    await desk.propose(first)
    async with desk.ledger.units() as unit:
        await unit.breaks.note_gone([BreakCode.STUCK], [f"{BreakCode.STUCK}:it"])  # not gone
        await unit.breaks.note_gone([BreakCode.SPOOFED], [])
    assert await desk.find(BreakCode.STUCK) == first
    async with desk.ledger.units() as unit:
        await unit.breaks.note_gone([BreakCode.STUCK], [])
    assert await desk.find(BreakCode.STUCK) != first


async def test_nobody_makes_money_for_a_customer_out_of_an_empty_suspense(desk: Desk) -> None:
    customer = (await desk.ledger.remitter()).customer_id
    assert customer is not None
    out = Entry(SUSPENSE, customer_account(customer, "USDC"), "USDC", 1000 * 10**6)
    into = Entry("loss/chargeback/USDC", SUSPENSE, "USDC", 1000 * 10**6)
    break_id = await desk.find(BreakCode.CHARGEBACK_LOSS)
    with pytest.raises(InsufficientFunds) as refused:
        await desk.propose(break_id, out)
    assert refused.value.context == {"available": {"currency": "USDC", "amount": "0.000000"}}
    assert said(await desk.propose(break_id, into, out))["state"] == "proposed"
    assert (await desk.balance(out.credit)).posted == 0


@pytest.mark.parametrize(
    "path",
    [
        f"chain/{CHAIN_ID}/0x{CONTRACT.hex().upper()}/USDC",
        f"chain/{CHAIN_ID}/0x{'ab' * 20}/USDC",
        f"chain/1/0x{CONTRACT.hex()}/USDC",
        f"chain/{CHAIN_ID}/treasury/USDC",
        "suspense/1/USDC",
        f"expense/gas/{CHAIN_ID}/USDC",
        "bank/nowhere/USDC",
    ],
)
async def test_a_correction_names_accounts_of_this_node_alone(desk: Desk, path: str) -> None:
    break_id = await desk.find(BreakCode.STUCK)
    with pytest.raises((InvalidInput, RailUnknown)):
        await desk.propose(break_id, Entry(path, "capital/USDC", "USDC", 1))


async def test_a_ledger_that_is_off_the_chain_is_closed_by_what_makes_it_agree(desk: Desk) -> None:
    await desk.ledger.fund_contract()
    account = loss(1).credit
    found = break_of(
        BreakCode.LEDGER_OFF_CHAIN,
        f"balance.token:0x{CONTRACT.hex()}",
        expected=10,
        actual=7,
        evidence={"account": account},
    )
    break_id = new_id()
    async with desk.ledger.units() as unit:
        await unit.breaks.open([(break_id, found)])
    name = encode_id(Prefix.BREAK, break_id)
    for entry in (loss(2), loss(4), Entry("loss/x/USDC", "capital/USDC", "USDC", 3)):
        with pytest.raises(InvalidInput, match="off the chain by -3"):
            await desk.propose(name, entry)
    assert said(await desk.propose(name, loss(3)))["state"] == "resolved"


async def test_seen_again_with_the_same_numbers_is_no_line_of_history(desk: Desk) -> None:
    break_id = await desk.find(BreakCode.LEDGER_OFF_CHAIN, actual=1)
    for actual in (1, 2, 2, 3):
        break_id = await desk.find(BreakCode.LEDGER_OFF_CHAIN, actual=actual)
    history = await desk.service.history(break_id)
    assert [(each.step.value, each.detail["actual"]) for each in history] == [
        ("opened", "1"),
        ("changed", "2"),
        ("changed", "3"),
    ]


async def test_open_breaks_are_counted_by_code_with_their_age_and_what_is_overdue(
    desk: Desk,
) -> None:
    await desk.find(BreakCode.LEDGER_OFF_CHAIN)
    await desk.find(BreakCode.SPOOFED)
    await desk.find(BreakCode.STUCK)
    owner = await asyncpg.connect(desk.url)
    await owner.execute(
        "UPDATE reconciliation_break SET first_seen_at = now() - interval '2 days',"
        " due_at = due_at - interval '2 days'"
    )
    await owner.close()
    found = {each.code: each for each in await desk.service.summary()}
    assert [(code, each.count, each.overdue) for code, each in found.items()] == [
        ("B01", 1, 1),
        ("B08", 1, 1),
        ("B17", 1, 0),  # nobody has to look at it
    ]
    assert found["B01"].ages == {"0-1d": 0, "1-3d": 1, "3-7d": 0, "7-30d": 0, ">30d": 0}
    (listed, *_) = (await desk.service.page(ListQuery(10, None, {}, scope="breaks"))).items
    assert listed.age.days == 2


async def test_a_breaks_history_is_never_changed(desk: Desk) -> None:
    await desk.find(BreakCode.STUCK)
    owner = await asyncpg.connect(desk.url)
    for statement in ("UPDATE break_event SET by = 'x'", "DELETE FROM break_event"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await owner.execute(statement)
    await owner.close()
