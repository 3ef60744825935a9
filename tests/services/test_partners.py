"""Partners: terms that hold at once, credit that is never exceeded, what they pay in."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import orjson
import pytest

from adapters.machine import new_id
from node.core.errors import (
    NotFound,
)
from node.core.ids import Prefix, encode_id
from node.core.paging import ListQuery
from node.core.parties import PartnerStatus, Principal, Role
from node.core.partners import PartnerLimit
from node.services.ledger.top_ups import TopUpRequest
from node.services.partners.terms import NewPartner, TermsAsk
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import a_claim
from tests.services.partner_desk import (
    CREDIT,
    OPERATOR,
    Desk,
    agreed_answer,
    id_of,
    render_error,
    said,
    top_up_answer,
)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    database = Database.at(database_url)
    yield Desk.over(StoreUnits(database), database_url)
    await database.close()


async def test_a_partner_sees_itself_and_an_operator_all(desk: Desk) -> None:
    shop, other = await desk.partner("shop"), await desk.partner("other")
    assert (await desk.terms.get(shop, id_of(shop))).partner.name == "shop"
    with pytest.raises(NotFound):
        await desk.terms.get(shop, id_of(other))
    page = await desk.terms.list(ListQuery())
    assert {each.partner.name for each in page.items} == {"shop", "other"}
    answer = await desk.terms.create(
        OPERATOR,
        NewPartner("shop", "FR", TermsAsk()),
        a_claim(OPERATOR, "k"),
        agreed_answer,
        render_error,
    )
    assert said(answer)["code"] == "name_taken"


async def test_a_change_of_terms_keeps_what_it_does_not_name_and_is_remembered(desk: Desk) -> None:
    shop = await desk.partner(spread_bps=15, limits=[CREDIT])
    await desk.change(shop, requires_signature=True)
    await desk.change(shop, requires_signature=True)  # the same again is no change
    await desk.change(shop, resets_spread=True, limits=[PartnerLimit("PHP", sell_max=7)])
    await desk.change(shop, status=PartnerStatus.SUSPENDED)
    found = await desk.terms.get(OPERATOR, id_of(shop))
    assert found.partner.requires_signature
    assert found.partner.spread_bps is None
    assert found.partner.status is PartnerStatus.SUSPENDED
    assert found.limits == [CREDIT, PartnerLimit("PHP", sell_max=7)]
    raw = await asyncpg.connect(desk.database_url)
    rows = await raw.fetch("SELECT version, made_by, change FROM partner_change ORDER BY version")
    with pytest.raises(asyncpg.RestrictViolationError):
        await raw.execute("UPDATE partner_change SET made_by = 'nobody'")
    await raw.close()
    assert [(row["version"], row["made_by"]) for row in rows] == [
        (place, "operator:olga") for place in (1, 2, 3, 4)
    ]
    assert orjson.loads(rows[2]["change"]) == {
        "spread_bps": None,
        "limits": {"EUR": [10_000, None, None], "PHP": [0, 7, None]},
    }


async def test_a_partner_spends_its_credit_line_and_not_a_cent_more(desk: Desk) -> None:
    shop = await desk.partner(limits=[CREDIT])
    customer_id = await desk.customer(shop)
    assert (await desk.pay(shop, customer_id, "60.00")).status == 201  # opens the account
    refused = await desk.pay(shop, customer_id, "40.01")
    assert said(refused) == {
        "code": "insufficient_funds",
        "available": {"currency": "EUR", "amount": "40.00"},
    }
    await desk.change(shop, limits=[replace(CREDIT, credit_line=10_001)])
    assert (await desk.pay(shop, customer_id, "40.01")).status == 201
    assert await desk.available(shop) == -10_001
    (balance,) = await desk.terms.balances(shop, id_of(shop))
    assert (balance.balance.available, balance.credit_line) == (-10_001, 10_001)
    assert await desk.differences() == []


async def test_parallel_payments_never_exceed_the_credit_line(desk: Desk) -> None:
    shop = await desk.partner(limits=[CREDIT])
    customer_id = await desk.customer(shop)
    other = Desk.over(desk.units, desk.database_url)  # a second process
    answers = await asyncio.gather(
        *((desk, other)[place % 2].pay(shop, customer_id, "10.00") for place in range(24))
    )
    assert sum(each.status == 201 for each in answers) == 10
    assert await desk.available(shop) == -10_000


async def test_a_credit_line_in_use_is_not_lowered(desk: Desk) -> None:
    shop = await desk.partner(limits=[CREDIT])
    await desk.pay(shop, await desk.customer(shop), "60.00")
    claim = a_claim(OPERATOR, None)
    answer = await desk.terms.change(
        OPERATOR,
        id_of(shop),
        TermsAsk(limits=[replace(CREDIT, credit_line=5_999)]),
        claim,
        agreed_answer,
        render_error,
    )
    assert said(answer)["code"] == "credit_line_used"
    assert (await desk.terms.get(OPERATOR, id_of(shop))).limits == [CREDIT]
    await desk.change(shop, limits=[replace(CREDIT, credit_line=6_000)])
    await desk.prefund(shop, "60.00", "w-1")
    await desk.change(shop, limits=[replace(CREDIT, credit_line=0)])
    assert await desk.differences() == []


async def test_the_database_itself_holds_the_credit_line(desk: Desk) -> None:
    shop = await desk.partner(limits=[CREDIT])
    await desk.pay(shop, await desk.customer(shop), "100.00")
    raw = await asyncpg.connect(desk.database_url)
    with pytest.raises(asyncpg.CheckViolationError, match="available_not_below_floor"):
        await raw.execute("UPDATE partner_limit SET credit_line = 9999")
    with pytest.raises(asyncpg.RestrictViolationError):
        await raw.execute("UPDATE account SET credit_line = 1000000")
    await raw.execute("SET ROLE corridor_node")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await raw.execute("UPDATE account SET credit_line = 5")
    await raw.close()


@pytest.mark.parametrize(
    ("tampering", "actual"),
    [
        ("UPDATE account SET credit_line = 99 WHERE path LIKE 'partner/%'", "one of 99"),
        ("UPDATE partner_change SET change = '{}'", "-6000"),
    ],
)
async def test_verification_finds_a_line_that_was_not_agreed(
    desk: Desk, tampering: str, actual: str
) -> None:
    shop = await desk.partner(limits=[CREDIT])
    await desk.pay(shop, await desk.customer(shop), "60.00")
    raw = await asyncpg.connect(desk.database_url)
    await raw.execute("ALTER TABLE account DROP CONSTRAINT available_not_below_floor")
    await raw.execute("SET session_replication_role = replica")  # no trigger is asked
    await raw.execute(tampering)
    await raw.close()
    found = [each for each in await desk.differences() if "partner/" in str(each)]
    assert any(actual in str(each) for each in found)


async def test_what_a_partner_pays_in_is_booked_once_for_its_reference(desk: Desk) -> None:
    shop = await desk.partner()
    first = await desk.prefund(shop, "500.00", "w-1", key="k")
    again = await desk.prefund(shop, "500.00", "w-1", key="k")
    assert (again.body, again.replayed) == (first.body, True)
    other = await desk.prefund(shop, "500.00", "w-1")
    assert said(other) == {"code": "reference_used", "prefunding_id": said(first)["id"]}
    assert await desk.available(shop) == 50_000
    page = await desk.prefundings.list(shop, id_of(shop), ListQuery())
    assert [each.amount for each in page.items] == [50_000]
    assert await desk.differences() == []


async def test_a_reference_of_a_top_up_is_no_prefunding(desk: Desk) -> None:
    shop = await desk.partner()
    customer = encode_id(Prefix.CUSTOMER, await desk.customer(shop))
    request = TopUpRequest(OPERATOR, customer, "EUR", "5.00", "sepa", "w-1")
    booked = await desk.top_ups.create(
        request, a_claim(OPERATOR, None), top_up_answer, render_error
    )
    refused = await desk.prefund(shop, "5.00", "w-1")
    assert said(refused) == {"code": "reference_used", "top_up_id": said(booked)["id"]}


async def test_a_prefunding_of_nobody_and_of_nothing_is_refused(desk: Desk) -> None:
    shop = await desk.partner()
    nobody = Principal(Role.PARTNER, "nobody", partner_id=new_id())
    with pytest.raises(NotFound):
        await desk.prefund(nobody, "5.00", "w-1")
    assert said(await desk.prefund(shop, "0.00", "w-2"))["code"] == "amount_out_of_range"
    with pytest.raises(NotFound):
        await desk.prefundings.list(nobody, id_of(shop), ListQuery())
