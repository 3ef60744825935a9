"""Accepting transfers: once for each claim, never beyond the money, first failing check first."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from node.core.errors import LiquidityUnavailable, NodeError, NotFound
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, customer_account, in_flight_account
from node.core.paging import ListQuery
from node.core.parties import Principal, Role
from node.core.ports.idempotency import Answer
from node.services.idempotency import IdempotencyKeyReused
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CHAIN_ID, LedgerNode, a_claim, a_quote, render, render_error

OPERATOR = Principal(Role.OPERATOR, "olga")


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[LedgerNode]:
    database = Database.at(database_url)
    node = LedgerNode(StoreUnits(database))
    await node.fund_contract()
    yield node
    await database.close()


async def count_of(node: LedgerNode) -> int:
    async with node.units() as unit:
        return len((await unit.transfers.list(OPERATOR, ListQuery(limit=200))).items)


def code_of(answer: Answer) -> object:
    return orjson.loads(answer.body).get("code")


async def balance_of(node: LedgerNode, principal: Principal) -> tuple[int, int]:
    assert principal.customer_id is not None
    path = customer_account(principal.customer_id, "EUR")
    async with node.units() as unit:
        balance = (await unit.ledger.balances([path]))[path]
    return balance.posted, balance.available


async def test_acceptance_reserves_the_money_and_promises_the_buy(node: LedgerNode) -> None:
    ann = await node.remitter(eur_minor=30_000)
    quote = a_quote(ann)
    await node.add_quotes(quote)
    answer = await node.acceptance.create(node.submission(ann, quote))
    assert answer.status == 201
    assert await balance_of(node, ann) == (30_000, 10_000)
    promised = in_flight_account(CHAIN_ID, "USDC")
    async with node.units() as unit:
        assert (await unit.ledger.balances([promised]))[promised].credits_pending == 230_074_048


async def test_200_concurrent_identical_requests_make_one_transfer_and_200_equal_answers(
    node: LedgerNode,
) -> None:
    ann = await node.remitter(eur_minor=30_000)
    quote = a_quote(ann)
    await node.add_quotes(quote)
    answers = await asyncio.gather(
        *(node.acceptance.create(node.submission(ann, quote, key="k")) for _ in range(200))
    )
    assert len({(each.status, each.body) for each in answers}) == 1
    assert sum(not each.replayed for each in answers) == 1
    assert await count_of(node) == 1


async def test_of_two_transfers_for_one_quote_one_wins(node: LedgerNode) -> None:
    ann = await node.remitter(eur_minor=90_000)
    quote = a_quote(ann)
    await node.add_quotes(quote)
    answers = await asyncio.gather(
        *(node.acceptance.create(node.submission(ann, quote)) for _ in range(2))
    )
    assert sorted(str(code_of(each)) for each in answers) == ["None", "quote_used"]
    assert await count_of(node) == 1


async def test_of_100_parallel_transfers_with_money_for_10_exactly_10_succeed(
    node: LedgerNode,
) -> None:
    ann = await node.remitter(eur_minor=10 * 20_000 + 19_999)
    quotes = [a_quote(ann) for _ in range(100)]
    await node.add_quotes(*quotes)
    other = LedgerNode(node.units)  # a second process on the same database
    answers = await asyncio.gather(
        *(
            (node if place % 2 else other).acceptance.create(node.submission(ann, quote))
            for place, quote in enumerate(quotes)
        )
    )
    assert sum(each.status == 201 for each in answers) == 10
    assert sum(code_of(each) == "insufficient_funds" for each in answers) == 90
    assert await balance_of(node, ann) == (219_999, 19_999)


async def test_a_refusal_that_depends_on_state_is_remembered(node: LedgerNode) -> None:
    ann = await node.remitter()
    quote = a_quote(ann)
    await node.add_quotes(quote)
    first = await node.acceptance.create(node.submission(ann, quote, key="k"))
    assert ann.customer_id is not None
    rich = customer_account(ann.customer_id, "EUR")
    await node.post(Entry("bank/sandbox_bank/EUR", rich, "EUR", 90_000))
    again = await node.acceptance.create(node.submission(ann, quote, key="k"))
    assert (again.status, again.body, again.replayed) == (first.status, first.body, True)
    fresh = await node.acceptance.create(node.submission(ann, quote))
    assert fresh.status == 201


async def test_a_key_with_another_body_is_a_misuse_also_in_the_same_batch(
    node: LedgerNode,
) -> None:
    ann = await node.remitter(eur_minor=30_000)
    quote = a_quote(ann)
    await node.add_quotes(quote)
    first, second = await asyncio.gather(
        node.acceptance.create(node.submission(ann, quote, key="k")),
        node.acceptance.create(node.submission(ann, quote, key="k", body=b"other")),
        return_exceptions=True,
    )
    assert isinstance(first, Answer)
    assert isinstance(second, IdempotencyKeyReused)


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("0x" + "00" * 20, "address_invalid"),
        ("0x" + "70" * 20, "address_invalid"),
        ("0x" + "c0" * 20, "address_invalid"),
        ("0x00000000000000000000000000000000000000bE", "address_invalid"),
        ("nobody", "address_invalid"),
        ("0x00000000000000000000000000000000000000be", None),
    ],
)
async def test_only_an_address_that_can_be_paid_is_accepted(
    node: LedgerNode, address: str, code: str | None
) -> None:
    ann = await node.remitter(eur_minor=30_000)
    quote = a_quote(ann)
    await node.add_quotes(quote)
    answer = await node.acceptance.create(node.submission(ann, quote, address=address))
    assert code_of(answer) == code


async def test_an_expired_quote_is_refused_and_a_foreign_one_does_not_exist(
    node: LedgerNode,
) -> None:
    ann, ben = await node.remitter(eur_minor=30_000), await node.remitter(eur_minor=30_000)
    expired, foreign = a_quote(ann, lives_s=-1), a_quote(ben)
    await node.add_quotes(expired, foreign)
    assert code_of(await node.acceptance.create(node.submission(ann, expired))) == "quote_expired"
    with pytest.raises(NotFound):
        await node.acceptance.create(node.submission(ann, foreign))


async def test_a_client_reference_is_used_once_per_owner(node: LedgerNode) -> None:
    ann, ben = await node.remitter(eur_minor=90_000), await node.remitter(eur_minor=90_000)
    quotes = [a_quote(ann), a_quote(ann), a_quote(ben)]
    await node.add_quotes(*quotes)
    codes = [
        code_of(await node.acceptance.create(node.submission(who, quote, reference="rent")))
        for who, quote in zip((ann, ann, ben), quotes, strict=True)
    ]
    assert codes == [None, "client_reference_used", None]


async def test_no_more_is_promised_than_the_node_holds_and_the_quote_stays_active(
    node: LedgerNode,
) -> None:
    poor = LedgerNode(node.units)
    ann = await node.remitter(eur_minor=90_000)
    too_much = a_quote(ann, buy_minor=10**14 + 1)
    just_right = a_quote(ann, buy_minor=10**14)
    await node.add_quotes(too_much, just_right)
    with pytest.raises(LiquidityUnavailable):
        await poor.acceptance.create(node.submission(ann, too_much))
    async with node.units() as unit:
        stored = await unit.quotes.get(too_much.id)
    assert stored is not None
    assert stored.transfer_id is None
    assert (await node.acceptance.create(node.submission(ann, just_right))).status == 201


async def test_one_refusal_does_not_touch_the_others_of_its_batch(node: LedgerNode) -> None:
    ann, ben = await node.remitter(eur_minor=20_000), await node.remitter()
    quotes = [a_quote(ann), a_quote(ben), a_quote(ben)]
    await node.add_quotes(*quotes)
    outcomes = await asyncio.gather(
        node.acceptance.create(node.submission(ann, quotes[0])),
        node.acceptance.create(node.submission(ben, quotes[1])),
        node.acceptance.create(node.submission(ann, quotes[2])),
        return_exceptions=True,
    )
    assert [
        each.status if isinstance(each, Answer) else isinstance(each, NodeError)
        for each in outcomes
    ] == [201, 422, True]


async def test_canceling_gives_the_money_back_once_and_says_so_again(node: LedgerNode) -> None:
    ann = await node.remitter(eur_minor=30_000)
    (transfer,) = await node.funded(ann, 1)
    transfer_id = encode_id(Prefix.TRANSFER, transfer.id)
    answers = await asyncio.gather(
        *(
            node.transfers.cancel(ann, transfer_id, a_claim(ann), render, render_error)
            for _ in range(5)
        )
    )
    assert {orjson.loads(each.body)["state"] for each in answers} == {"canceled"}
    assert await balance_of(node, ann) == (30_000, 30_000)
    timeline = await node.transfers.timeline(ann, transfer_id)
    assert [each.type for each in timeline] == ["transfer.funded", "transfer.canceled"]


async def test_events_of_all_objects_are_ascending_and_only_own_ones(node: LedgerNode) -> None:
    ann, ben = await node.remitter(eur_minor=90_000), await node.remitter(eur_minor=90_000)
    await node.funded(ann, 2)
    await node.funded(ben, 1)
    everything = await node.transfers.events(OPERATOR, 0, 10)
    assert [each.sequence for each in everything] == sorted(each.sequence for each in everything)
    assert len(everything) == 3
    assert len(await node.transfers.events(ben, 0, 10)) == 1
    assert len(await node.transfers.events(OPERATOR, everything[0].sequence, 10)) == 2
