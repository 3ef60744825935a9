"""Partners over HTTP: terms, keys that are shown once, signed requests, how many may be sent."""

import base64
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from adapters.http.signatures import sign
from node.api.app import create_app
from node.api.rate_limits import RateLimiter
from node.core.partners import SIGNATURE_TAG, SignedRequest
from node.core.throttling import Allowance, RequestClass
from tests.api.conftest import RealNode, open_client
from tests.api.fakes import FakeNode

LIMITS = [{"currency": "EUR", "credit_line": "50.00", "sell_max": "100.00"}]
QUOTE = {"sell": {"currency": "EUR", "amount": "100.00"}, "buy": {"currency": "USDC"}}


def bearer(secret: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}", **more}


async def created(node: RealNode, path: str, body: object, **more: str) -> dict[str, Any]:
    answer = await node.client.post(path, headers=bearer(node.operator, **more), json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_partner_is_made_gets_a_key_and_finds_itself(real_app: RealNode) -> None:
    node = real_app
    body = {"name": "exchange", "country": "PH", "spread_bps": 5, "limits": LIMITS}
    partner = await created(node, "/v1/partners", body)
    assert partner["limits"] == [{**LIMITS[0], "daily_sell_max": None}]
    path = f"/v1/partners/{partner['id']}"
    key = await created(node, f"{path}/keys", {"name": "backend", "scopes": ["quote", "read"]})
    own = bearer(key["token"])
    me = (await node.client.get("/v1/me", headers=own)).json()
    assert (me["role"], me["partner_id"], me["name"]) == ("partner", partner["id"], "backend")
    assert me["key"]["scopes"] == ["read", "quote"]
    assert me["partner"] == partner
    assert (await node.client.get(path, headers=own)).json() == partner
    quoted = await node.client.post("/v1/quotes", headers=own, json=QUOTE)
    assert (quoted.status_code, quoted.json()["spread_bps"]) == (201, 5)
    above = {**QUOTE, "sell": {"currency": "EUR", "amount": "100.01"}}
    refused = await node.client.post("/v1/quotes", headers=own, json=above)
    assert (refused.status_code, refused.json()["code"]) == (422, "limit_exceeded")
    assert refused.json()["limit"] == {"currency": "EUR", "amount": "100.00"}
    listed = (await node.client.get("/v1/partners", headers=bearer(node.operator))).json()["data"]
    assert partner in listed


async def test_a_prefunding_is_seen_in_the_partners_balances(real_app: RealNode) -> None:
    node = real_app
    path = f"/v1/partners/{node.partner_id}"
    await _changed(node, {"limits": LIMITS})
    body = {"currency": "EUR", "amount": "20.00", "rail": "sandbox_bank", "reference": "w-71"}
    made = await created(node, f"{path}/prefundings", body, **{"Idempotency-Key": "p-1"})
    listed = await node.client.get(f"{path}/prefundings", headers=bearer(node.partner))
    assert listed.json()["data"] == [made]
    balances = await node.client.get(f"{path}/balances", headers=bearer(node.partner))
    assert balances.json()["data"] == [
        {
            "currency": "EUR",
            "available": "70.00",
            "reserved": "0.00",
            "prefunded": "20.00",
            "credit_line": "50.00",
            "credit_used": "0.00",
        }
    ]


async def _changed(node: RealNode, terms: object) -> httpx.Response:
    answer = await node.client.post(
        f"/v1/partners/{node.partner_id}/terms", headers=bearer(node.operator), json=terms
    )
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize(
    ("limits", "pointer", "code"),
    [
        ([{"currency": "XXX"}], "/limits/0/currency", "currency_unknown"),
        ([{"currency": "EUR", "credit_line": "1.001"}], "/limits/0/credit_line", "amount_invalid"),
        ([{"currency": "EUR", "sell_max": "0.00"}], "/limits/0/sell_max", "too_small"),
        ([{"currency": "EUR"}, {"currency": "EUR"}], "/limits/1/currency", "repeated"),
    ],
)
async def test_limits_that_cannot_be_are_named(
    client: httpx.AsyncClient, limits: object, pointer: str, code: str
) -> None:
    body = {"name": "exchange", "country": "PH", "limits": limits}
    answer = await client.post("/v1/partners", headers=bearer("operator-key"), json=body)
    assert answer.status_code == 422
    assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [
        (pointer, code)
    ]


async def test_a_public_key_is_taken_in_base64_and_in_pem(real_app: RealNode) -> None:
    node, key = real_app, Ed25519PrivateKey.generate().public_key()
    raw = base64.b64encode(key.public_bytes_raw()).decode()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    path = f"/v1/partners/{node.partner_id}/signing-keys"
    for text in (raw, pem):
        made = await created(node, path, {"name": "signer", "public_key": text})
        assert made["public_key"] == raw
    for text in ("AAAA", pem.replace("MCow", "MCox"), "no key"):
        answer = await node.client.post(
            path, headers=bearer(node.operator), json={"name": "other", "public_key": text}
        )
        assert answer.status_code == 422, text
    third = await node.client.post(
        path, headers=bearer(node.operator), json={"name": "signer", "public_key": raw}
    )
    assert (third.status_code, third.json()["code"]) == (409, "too_many_keys")


# --------------------------------------------------------------------------------- signed requests


def signed(
    key: Ed25519PrivateKey, key_id: str, request: httpx.Request, *, nonce: str = "n" * 16
) -> httpx.Request:
    """The request with a signature, as a partner's client makes it."""
    lines = [(name.decode(), value.decode()) for name, value in request.headers.raw]
    now_s = int(time.time())  # noqa: TID251 - a signer's clock
    headers = sign(
        SignedRequest(
            request.method,
            request.url.netloc.decode(),
            request.url.raw_path.decode(),
            [(name.lower(), value) for name, value in lines],
            request.content,
        ),
        key,
        key_id=key_id,
        nonce=nonce,
        tag=SIGNATURE_TAG,
        created_s=now_s,
        expires_s=now_s + 60,
        scheme=request.url.scheme,
    )
    return httpx.Request(request.method, request.url, headers=headers, content=request.content)


async def test_a_partner_that_signs_is_answered_signed_requests_only(real_app: RealNode) -> None:
    node, client, key = real_app, real_app.client, Ed25519PrivateKey.generate()
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    made = await created(
        node,
        f"/v1/partners/{node.partner_id}/signing-keys",
        {"name": "signer", "public_key": public},
    )
    await _changed(node, {"requires_signature": True})
    own = bearer(node.partner, **{"Idempotency-Key": "k-1"})
    unsigned = await client.get("/v1/me", headers=own)
    assert (unsigned.status_code, unsigned.json()["code"]) == (401, "signature_required")

    looking = client.build_request("GET", "/v1/events?limit=1", headers=bearer(node.partner))
    assert (await client.send(signed(key, made["id"], looking))).status_code == 200
    again = await client.send(signed(key, made["id"], looking))
    assert (again.status_code, again.json()["code"]) == (401, "signature_replayed")

    asking = client.build_request("POST", "/v1/quotes", headers=own, json=QUOTE)
    request = signed(key, made["id"], asking, nonce="m" * 16)
    assert (await client.send(request)).status_code == 201
    changed = httpx.Request(
        "POST", request.url, headers=request.headers, content=asking.content.replace(b"100", b"900")
    )
    refused = await client.send(changed)
    assert (refused.status_code, refused.json()["code"]) == (401, "signature_invalid")
    assert "Content-Digest" in refused.json()["detail"]
    bare = client.build_request("POST", "/v1/quotes", headers=bearer(node.partner), json=QUOTE)
    mended = await client.send(signed(key, made["id"], bare, nonce="o" * 16))
    assert mended.status_code == 201
    customers = bearer(node.remitter)  # its customers do not sign
    assert (await client.get("/v1/transfers", headers=customers)).status_code == 200


async def test_a_signature_counts_wherever_one_comes(real_app: RealNode) -> None:
    node, key = real_app, Ed25519PrivateKey.generate()
    request = node.client.build_request("GET", "/v1/me", headers=bearer(node.partner))
    answer = await node.client.send(signed(key, "sig_01kanv8q6dfk5vbz2m3n8r1c4x", request))
    assert (answer.status_code, answer.json()["code"]) == (401, "signature_invalid")
    assert (await node.client.send(request)).status_code == 200


# ------------------------------------------------------------------------------------ rate limits


@pytest.fixture
async def limited() -> AsyncIterator[httpx.AsyncClient]:
    """The application with three reads, two quotes and one write for each caller, for an hour."""
    allowances = {
        RequestClass.READ: Allowance(3, 3600),
        RequestClass.QUOTE: Allowance(2, 3600),
        RequestClass.WRITE: Allowance(1, 3600),
    }
    app = create_app(FakeNode().services, limiter=RateLimiter(allowances))
    async with open_client(app) as opened:
        yield opened


async def test_each_answer_says_what_is_left_and_then_nothing_is(
    limited: httpx.AsyncClient,
) -> None:
    own = bearer("partner-key")
    for left in (2, 1, 0):
        answer = await limited.get("/v1/customers", headers=own)
        assert answer.status_code == 200
        assert answer.headers["ratelimit-policy"] == '"read";q=3;w=3600'
        name, remaining, resets = answer.headers["ratelimit"].split(";")
        assert (name, remaining) == ('"read"', f"r={left}")
        assert 3590 <= int(resets.removeprefix("t=")) <= 3600
    over = await limited.get("/v1/customers", headers=own)
    assert (over.status_code, over.json()["code"]) == (429, "rate_limited")
    assert over.headers["ratelimit"].startswith('"read";r=0;')
    assert 3590 <= int(over.headers["retry-after"]) <= 3600


async def test_classes_and_refused_requests_count_each_for_themselves(
    limited: httpx.AsyncClient,
) -> None:
    """A caller of another key has an allowance of its own; see the fake's keys."""
    own = bearer("partner-key")
    answers = [await limited.post("/v1/quotes", headers=own, json=QUOTE) for _ in range(3)]
    assert [each.status_code for each in answers] == [201, 201, 429]
    bad = await limited.post("/v1/customers", headers=own, json={})
    assert (bad.status_code, bad.headers["ratelimit"].split(";")[1]) == (422, "r=0")
    assert (await limited.post("/v1/customers", headers=own, json={})).status_code == 429
    assert (await limited.get("/v1/customers", headers=own)).status_code == 200


async def test_who_tries_keys_is_counted_by_its_address(limited: httpx.AsyncClient) -> None:
    tried = [await limited.get("/v1/me", headers=bearer(f"guess-{n}")) for n in range(5)]
    assert [each.status_code for each in tried] == [401, 401, 401, 429, 429]
    known = await limited.get("/v1/customers", headers=bearer("partner-key"))
    assert known.status_code == 200
    assert (await limited.get("/v1/assets")).status_code == 429  # the address has used it up


async def test_whoever_watches_the_node_is_not_limited(limited: httpx.AsyncClient) -> None:
    assert {(await limited.get("/healthz")).status_code for _ in range(10)} == {200}
