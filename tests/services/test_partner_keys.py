"""Keys of partners: shown once, two of a name, and never more than who made them had."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from node.core.errors import (
    Forbidden,
    InvalidInput,
    NodeError,
    NotFound,
    TooManyKeys,
)
from node.core.ids import Prefix, encode_id
from node.core.paging import ListQuery
from node.core.parties import ALL_SCOPES, Principal, Scope
from node.core.ports.idempotency import Answer
from node.services.partners.keys import KeyAsk
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import a_claim
from tests.services.partner_desk import (
    OPERATOR,
    Desk,
    as_json,
    id_of,
    render_error,
    said,
    secret_answer,
)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    database = Database.at(database_url)
    yield Desk.over(StoreUnits(database), database_url)
    await database.close()


async def test_a_key_carries_its_scopes_and_networks_and_shows_its_use(desk: Desk) -> None:
    shop = await desk.partner()
    made = await desk.key(
        shop, scopes=frozenset({Scope.READ}), networks=["192.0.2.0/24"], expires_in_s=3600
    )
    caller = await desk.parties.caller(made["token"])
    assert caller.principal.scopes == frozenset({Scope.READ})
    assert caller.principal.key == shop.key
    assert caller.partner is not None
    assert caller.credential.networks == ("192.0.2.0/24",)
    (shown,) = (await desk.keys.list(shop, id_of(shop), ListQuery())).items
    assert shown.last_used_at is not None
    assert desk.keys.is_live(shown)


async def test_two_keys_of_a_name_work_and_a_third_needs_one_to_end(desk: Desk) -> None:
    shop = await desk.partner()
    first = await desk.key(shop)
    await desk.key(shop)
    with pytest.raises(TooManyKeys):
        await desk.key(shop)
    await desk.key(shop, "batch job")  # another name
    await _revoke(desk, shop, first["id"])
    await desk.key(shop)


async def test_parallel_requests_make_two_keys_of_a_name(desk: Desk) -> None:
    shop = await desk.partner()
    made = await asyncio.gather(*(desk.key(shop) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(each, TooManyKeys) for each in made) == 4


async def test_a_rotated_key_has_the_terms_of_the_old_one(desk: Desk) -> None:
    shop = await desk.partner()
    old = await desk.key(shop, scopes=frozenset({Scope.PAY}), networks=["192.0.2.0/24"])
    new = await desk.keys.rotate(old["id"])
    assert new.credential.principal == (await desk.parties.caller(old["token"])).principal
    assert new.credential.networks == ("192.0.2.0/24",)
    with pytest.raises(TooManyKeys):
        await desk.keys.rotate(old["id"])


async def test_a_secret_is_shown_once_also_when_the_request_is_repeated(desk: Desk) -> None:
    shop = await desk.partner()
    ask, claim = KeyAsk("backend", ALL_SCOPES), a_claim(OPERATOR, "k")
    first = await desk.keys.create(OPERATOR, id_of(shop), ask, claim, secret_answer, render_error)
    again = await desk.keys.create(OPERATOR, id_of(shop), ask, claim, secret_answer, render_error)
    assert said(first)["token"]
    assert said(again) == {"code": "key_already_created", "key_id": said(first)["id"]}


async def test_nobody_gives_a_scope_that_it_has_not(desk: Desk) -> None:
    shop = await desk.partner()
    admin = replace(shop, scopes=frozenset({Scope.ADMIN, Scope.READ}))

    async def ask(*scopes: Scope) -> Answer:
        wanted = KeyAsk("another", frozenset(scopes))
        return await desk.keys.create(admin, id_of(shop), wanted, None, secret_answer, render_error)

    assert said(await ask(Scope.READ))["token"]
    with pytest.raises(Forbidden) as caught:
        await ask(Scope.READ, Scope.PAY)
    assert caught.value.context["scope"] == "pay"


async def test_a_partner_ends_its_own_keys_and_no_others(desk: Desk) -> None:
    shop, other = await desk.partner("shop"), await desk.partner("other")
    made = await desk.key(shop)
    operators = await desk.parties.create_key(OPERATOR)
    with pytest.raises(NotFound):
        await _revoke(desk, other, made["id"])
    with pytest.raises(NotFound):
        await _revoke(desk, shop, encode_id(Prefix.KEY, operators.credential.id))
    await desk.parties.caller(made["token"])
    await _revoke(desk, shop, made["id"])
    with pytest.raises(NodeError, match="revoked"):
        await desk.parties.caller(made["token"])


async def test_networks_that_are_none_make_no_key(desk: Desk) -> None:
    shop = await desk.partner()
    with pytest.raises(InvalidInput):
        await desk.key(shop, networks=["192.0.2.1/24"])
    assert (await desk.keys.list(shop, id_of(shop), ListQuery())).items == ()


async def _revoke(desk: Desk, principal: Principal, key_id: str) -> None:
    await desk.keys.revoke(
        principal, key_id, None, lambda key: as_json(id=str(key.id)), render_error
    )
