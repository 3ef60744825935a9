"""Signed requests: whatever was signed cannot be changed, and is accepted once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.http.signatures import sign
from adapters.machine import SystemClock, new_id
from node.core.errors import (
    SignatureInvalid,
    SignatureReplayed,
)
from node.core.ids import Prefix, encode_id
from node.core.parties import Partner, Principal
from node.core.partners import SIGNATURE_TAG, SignedRequest
from node.services.partners.keys import SigningKeyAsk
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.services.partner_desk import (
    OPERATOR,
    Desk,
    id_of,
    render_error,
    said,
    signing_answer,
)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    database = Database.at(database_url)
    yield Desk.over(StoreUnits(database), database_url)
    await database.close()


REQUEST = SignedRequest(
    "POST",
    "node.example",
    "/v1/quotes?x=1",
    [("host", "node.example"), ("idempotency-key", "k-1")],
    b'{"sell": {}}',
)


async def _registered(desk: Desk, principal: Principal, key: Ed25519PrivateKey, **more: Any) -> str:
    ask = SigningKeyAsk("signer", key.public_key().public_bytes_raw(), **more)
    answer = await desk.keys.add_signing_key(
        OPERATOR, id_of(principal), ask, None, signing_answer, render_error
    )
    found: str = said(answer)["id"]
    return found


async def _partner(desk: Desk, principal: Principal) -> Partner:
    return (await desk.terms.get(OPERATOR, id_of(principal))).partner


def signed(
    key: Ed25519PrivateKey,
    key_id: str,
    *,
    nonce: str = "nonce-0123456789",
    request: SignedRequest = REQUEST,
    scheme: str = "https",
    life_s: int = 60,
) -> SignedRequest:
    """A request as it arrives: names of headers in lower case."""
    now_s = int(SystemClock().now().timestamp())
    headers = sign(
        request,
        key,
        key_id=key_id,
        nonce=nonce,
        tag=SIGNATURE_TAG,
        created_s=now_s,
        expires_s=now_s + life_s,
        scheme=scheme,
    )
    return replace(request, headers=[(name.lower(), value) for name, value in headers])


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_a_signed_request_is_accepted_once(desk: Desk, scheme: str) -> None:
    shop, key = await desk.partner(), Ed25519PrivateKey.generate()
    key_id, partner = await _registered(desk, shop, key), await _partner(desk, shop)
    request = signed(key, key_id, scheme=scheme)
    await desk.requests.check(partner, request)
    with pytest.raises(SignatureReplayed):
        await desk.requests.check(partner, request)
    await desk.requests.check(partner, signed(key, key_id, nonce="another-01234567", scheme=scheme))


async def test_of_parallel_copies_of_a_signed_request_one_is_accepted(desk: Desk) -> None:
    shop, key = await desk.partner(), Ed25519PrivateKey.generate()
    request = signed(key, await _registered(desk, shop, key))
    partner = await _partner(desk, shop)
    came = await asyncio.gather(
        *(desk.requests.check(partner, request) for _ in range(8)), return_exceptions=True
    )
    assert sum(each is None for each in came) == 1
    assert sum(isinstance(each, SignatureReplayed) for each in came) == 7


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"target": "/v1/transfers?x=1"},
        {"target": "/v1/quotes?x=2"},
        {"host": "other.example"},
        {"body": b'{"sell": 1}'},
        {"body": b""},
    ],
)
async def test_whatever_was_signed_cannot_be_changed(desk: Desk, change: dict[str, Any]) -> None:
    shop, key = await desk.partner(), Ed25519PrivateKey.generate()
    request = replace(signed(key, await _registered(desk, shop, key)), **change)
    with pytest.raises(SignatureInvalid):
        await desk.requests.check(await _partner(desk, shop), request)


async def test_another_idempotency_key_is_another_request(desk: Desk) -> None:
    shop, key = await desk.partner(), Ed25519PrivateKey.generate()
    request = signed(key, await _registered(desk, shop, key))
    swapped = [
        (name, "k-2" if name == "idempotency-key" else value) for name, value in request.headers
    ]
    with pytest.raises(SignatureInvalid):
        await desk.requests.check(await _partner(desk, shop), replace(request, headers=swapped))


async def test_a_key_of_another_or_one_that_ended_signs_nothing(desk: Desk) -> None:
    shop, other = await desk.partner("shop"), await desk.partner("other")
    key, strangers = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    key_id = await _registered(desk, shop, key)
    others_id = await _registered(desk, other, strangers)
    partner = await _partner(desk, shop)
    for request in (
        signed(strangers, others_id),
        signed(strangers, key_id),
        signed(key, encode_id(Prefix.SIGNING_KEY, new_id())),
        signed(key, "nobody"),
        signed(key, key_id, life_s=301),
    ):
        with pytest.raises(SignatureInvalid):
            await desk.requests.check(partner, request)
    await desk.keys.revoke_signing_key(shop, key_id, None, signing_answer, render_error)
    with pytest.raises(SignatureInvalid, match="revoked"):
        await desk.requests.check(partner, signed(key, key_id))


@pytest.mark.parametrize(
    "headers",
    [
        [("signature-input", "")],
        [("signature-input", "sig1=1")],
        [("signature-input", "sig1=(")],
        [("signature-input", 'sig1=("@method");tag="other"'), ("signature", "sig1=:AA==:")],
        [("signature-input", "\xff")],
    ],
)
async def test_a_signature_that_cannot_be_read_is_refused(
    desk: Desk, headers: list[tuple[str, str]]
) -> None:
    partner = await _partner(desk, await desk.partner())
    with pytest.raises(SignatureInvalid):
        await desk.requests.check(partner, replace(REQUEST, headers=headers))


async def test_nonces_are_forgotten_once_they_are_of_no_use(desk: Desk) -> None:
    shop = await desk.partner()
    assert shop.partner_id is not None
    async with desk.units() as unit:
        ended = unit.now - timedelta(seconds=1)
        assert await unit.partners.take_nonce(shop.partner_id, "a", ended)
        assert await unit.partners.take_nonce(
            shop.partner_id, "b", unit.now + timedelta(seconds=60)
        )
    async with desk.units() as unit:
        assert await unit.partners.take_nonce(shop.partner_id, "a", unit.now)
        assert not await unit.partners.take_nonce(shop.partner_id, "b", unit.now)
