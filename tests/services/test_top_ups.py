"""Top-ups in batches: a reference once, a partner never overspent, each its own answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
import pytest

from adapters.machine import new_id
from node.core.errors import NodeError, NotFound
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, bank_account, customer_account, partner_account
from node.core.parties import Customer, Partner, Principal, Role
from node.core.ports.idempotency import Answer
from node.core.ports.transfers import TopUp
from node.services.idempotency import IdempotencyKeyReused
from node.services.ledger.top_ups import TopUpRequest, TopUpService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CATALOG, LedgerNode, a_claim

OPERATOR = Principal(Role.OPERATOR, "olga")


def render(top_up: TopUp) -> Answer:
    body = {
        "id": encode_id(Prefix.TOP_UP, top_up.id),
        "funded_by": top_up.funded_by,
        "amount": top_up.amount,
    }
    return Answer(201, orjson.dumps(body))


def render_error(error: NodeError) -> Answer:
    return Answer(422, orjson.dumps({"code": error.code, **error.context}, default=str))


def code_of(answer: Answer) -> object:
    return orjson.loads(answer.body).get("code")


@dataclass
class Shop:
    """A partner with a customer, and the services over one database."""

    units: StoreUnits
    service: TopUpService
    partner: Principal
    customer_id: UUID

    async def top_up(
        self,
        amount: str,
        reference: str,
        *,
        principal: Principal = OPERATOR,
        key: str | None = None,
        rail: str = "sepa",
        customer_id: UUID | None = None,
        body: bytes = b"body",
    ) -> Answer:
        customer = encode_id(Prefix.CUSTOMER, customer_id or self.customer_id)
        request = TopUpRequest(principal, customer, "EUR", amount, rail, reference)
        return await self.service.create(
            request, a_claim(principal, key, body), render, render_error
        )

    async def prefund(self, minor: int) -> None:
        assert self.partner.partner_id is not None
        path = partner_account(self.partner.partner_id, "EUR")
        await LedgerNode(self.units).post(Entry("bank/sepa/EUR", path, "EUR", minor))

    async def posted(self) -> Sequence[int]:
        """Balances of bank, partner and customer."""
        assert self.partner.partner_id is not None
        paths = [
            bank_account("sepa", "EUR"),
            partner_account(self.partner.partner_id, "EUR"),
            customer_account(self.customer_id, "EUR"),
        ]
        async with self.units() as unit:
            found = await unit.ledger.balances(paths)
        return [found[path].posted for path in paths]


def a_service(units: StoreUnits) -> TopUpService:
    return TopUpService(units, CATALOG, new_id, sandbox=False, rails=frozenset({"sepa", "cards"}))


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Shop]:
    database = Database.at(database_url)
    units = StoreUnits(database)
    async with units() as unit:
        partner = Partner(new_id(), "shop", unit.now)
        await unit.parties.add_partner(partner)
        customer = Customer(new_id(), partner.id, "Ada", "DE", None, unit.now)
        await unit.parties.add_customer(customer)
    principal = Principal(Role.PARTNER, "shop", partner_id=partner.id)
    yield Shop(units, a_service(units), principal, customer.id)
    await database.close()


async def test_an_operator_books_from_the_bank_and_a_partner_from_its_prefunding(
    shop: Shop,
) -> None:
    await shop.prefund(500)
    first = await shop.top_up("1.00", "a")
    second = await shop.top_up("2.00", "b", principal=shop.partner)
    assert [orjson.loads(each.body)["funded_by"] for each in (first, second)] == [
        "bank",
        "partner",
    ]
    assert await shop.posted() == [600, 300, 300]


async def test_of_many_at_once_exactly_those_are_booked_that_the_partner_has_money_for(
    shop: Shop,
) -> None:
    await shop.prefund(1_099)
    other = Shop(shop.units, a_service(shop.units), shop.partner, shop.customer_id)
    answers = await asyncio.gather(
        *(
            (shop if n % 2 else other).top_up("1.00", f"r{n}", principal=shop.partner)
            for n in range(40)
        )
    )
    assert sum(each.status == 201 for each in answers) == 10
    refused = [orjson.loads(each.body) for each in answers if each.status != 201]
    assert len(refused) == 30
    assert all(each["code"] == "insufficient_funds" for each in refused)
    assert all(each["available"] == {"currency": "EUR", "amount": "0.99"} for each in refused)
    assert await shop.posted() == [1_099, 99, 1_000]


async def test_a_reference_of_a_rail_is_booked_once_also_within_a_batch(shop: Shop) -> None:
    answers = await asyncio.gather(*(shop.top_up("1.00", "same") for _ in range(10)))
    (booked,) = [orjson.loads(each.body) for each in answers if each.status == 201]
    refused = [orjson.loads(each.body) for each in answers if each.status != 201]
    assert {each["code"] for each in refused} == {"reference_used"}
    assert {each["top_up_id"] for each in refused} == {booked["id"]}
    later = orjson.loads((await shop.top_up("1.00", "same")).body)
    assert later["top_up_id"] == booked["id"]
    assert (await shop.top_up("1.00", "same", rail="cards")).status == 201
    assert (await shop.posted())[0] == 100


async def test_a_refused_one_leaves_its_reference_and_the_others_alone(shop: Shop) -> None:
    await shop.prefund(100)
    answers = await asyncio.gather(
        shop.top_up("1.01", "r", principal=shop.partner),
        shop.top_up("1.00", "r", principal=shop.partner),
        shop.top_up("0.01", "s", principal=shop.partner),
        shop.top_up("0.01", "t"),
    )
    assert [code_of(each) for each in answers] == [
        "insufficient_funds",
        None,
        "insufficient_funds",
        None,
    ]
    assert await shop.posted() == [101, 0, 101]


async def test_equal_requests_make_one_top_up_and_equal_answers(shop: Shop) -> None:
    answers = await asyncio.gather(*(shop.top_up("1.00", "r", key="k") for _ in range(100)))
    assert len({each.body for each in answers}) == 1
    assert sum(not each.replayed for each in answers) == 1
    assert await shop.posted() == [100, 0, 100]


async def test_a_refusal_that_depends_on_state_is_remembered_and_others_are_not(
    shop: Shop,
) -> None:
    first = await shop.top_up("1.00", "r", principal=shop.partner, key="k")
    await shop.prefund(1_000)
    again = await shop.top_up("1.00", "r", principal=shop.partner, key="k")
    assert (again.body, again.replayed) == (first.body, True)
    assert (await shop.top_up("1.00", "r", principal=shop.partner, key="new")).status == 201
    with pytest.raises(NotFound):
        await shop.top_up("1.00", "x", key="nobody", customer_id=UUID(int=1))
    assert (await shop.top_up("1.00", "x", key="nobody")).status == 201


async def test_a_key_with_another_body_is_a_misuse_also_within_a_batch(shop: Shop) -> None:
    first, second = await asyncio.gather(
        shop.top_up("1.00", "r", key="k"),
        shop.top_up("2.00", "s", key="k", body=b"other"),
        return_exceptions=True,
    )
    assert isinstance(first, Answer)
    assert isinstance(second, IdempotencyKeyReused)
    assert await shop.posted() == [100, 0, 100]


@pytest.mark.parametrize(
    ("amount", "rail", "code"),
    [
        ("0", "sepa", "amount_out_of_range"),
        ("10000000000000.01", "sepa", "amount_out_of_range"),
        ("10000000000000.00", "sepa", None),
        ("1.00", "swift", "rail_unknown"),
        ("1.00", "sandbox_bank", "rail_unknown"),
    ],
)
async def test_what_is_no_top_up_is_refused_by_name(
    shop: Shop, amount: str, rail: str, code: str | None
) -> None:
    assert code_of(await shop.top_up(amount, "r", rail=rail)) == code


async def test_another_partners_customer_does_not_exist(shop: Shop) -> None:
    stranger = Principal(Role.PARTNER, "other", partner_id=new_id())
    with pytest.raises(NotFound):
        await shop.top_up("1.00", "r", principal=stranger)
