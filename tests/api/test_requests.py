"""How every request is read: order of checks, headers, methods, size, JSON, members."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from node.api.bodies import BODY_BYTES_MAX
from node.api.examples import MOVEMENT_ID, TOP_UP_BODY
from node.core.errors import DatabaseUnavailable
from node.core.transfers import State
from tests.api.fake_world import ANA_ID
from tests.api.fakes import FakeNode

QUOTE = {"sell": {"currency": "EUR", "amount": "200.00"}, "buy": {"currency": "USDC"}}
TRANSFER = {
    "quote_id": "quo_none",
    "beneficiary": {"name": "Bea", "country": "PH", "address": "0x" + "11" * 20},
}


def bearer(secret: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}", **more}


AS_PARTNER = bearer("partner-key")
AS_OPERATOR = bearer("operator-key")
AS_REMITTER = bearer("remitter-key")


def code_of(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == response.status_code
    assert document["type"] == f"/docs/problems#{document['code']}"
    assert document["request_id"] == response.headers["x-request-id"]
    assert document["instance"] == response.request.url.path
    assert document["detail"]
    code = document["code"]
    assert isinstance(code, str)
    return code


async def test_a_quote_carries_the_figures_of_the_worked_example(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/quotes", headers=AS_PARTNER, json=QUOTE)
    assert response.status_code == 201
    quote = response.json()
    assert response.headers["location"] == f"/v1/quotes/{quote['id']}"
    assert quote["buy"] == {"currency": "USDC", "amount": "230.074048"}
    assert (quote["mid_rate"], quote["rate"]) == ("1.15626", "1.15394748")
    assert [each["amount"] for each in quote["fees"]] == ["0.60", "0.02"]
    assert quote["total_cost"] == {"currency": "EUR", "amount": "1.02", "percent": "0.51"}
    assert [each["rate"] for each in quote["rate_sources"]] == ["1.15626", "1"]
    shown = await client.get(response.headers["location"], headers=AS_PARTNER)
    assert shown.json() == quote


async def test_the_credential_is_checked_before_key_and_body(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/transfers", content=b"{")
    assert (response.status_code, code_of(response)) == (401, "credential_missing")
    assert response.headers["www-authenticate"] == 'Bearer realm="corridor"'


@pytest.mark.parametrize("value", ["Bearer wrong", "Basic b3BzOg==", "Bearer", "partner-key"])
async def test_a_bad_credential_is_401(client: httpx.AsyncClient, value: str) -> None:
    response = await client.get("/v1/transfers", headers={"Authorization": value})
    assert (response.status_code, code_of(response)) == (401, "credential_invalid")
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


async def test_the_role_is_checked_before_the_key(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/transfers/tra_x/void", headers=AS_PARTNER)
    assert (response.status_code, code_of(response)) == (403, "scope_missing")
    assert response.json()["role"] == "partner"


async def test_the_key_is_checked_before_the_body(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/transfers", headers=AS_PARTNER, content=b"{")
    assert (response.status_code, code_of(response)) == (400, "idempotency_key_missing")


@pytest.mark.parametrize("key", ["", "a b", "k" * 256, "schlüssel".encode()])
async def test_a_key_that_is_not_visible_ascii_is_refused(
    client: httpx.AsyncClient, key: str | bytes
) -> None:
    headers = [(b"authorization", b"Bearer partner-key")]
    headers.append((b"idempotency-key", key.encode() if isinstance(key, str) else key))
    response = await client.post("/v1/transfers", headers=headers, json=TRANSFER)
    assert (response.status_code, code_of(response)) == (400, "idempotency_key_invalid")


async def test_two_keys_are_none(client: httpx.AsyncClient) -> None:
    headers = [*AS_PARTNER.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    response = await client.post("/v1/transfers", headers=headers, json=TRANSFER)
    assert code_of(response) == "idempotency_key_invalid"


async def test_a_body_above_the_limit_is_refused_whether_announced_or_not(
    client: httpx.AsyncClient,
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        sent = 0
        while sent <= BODY_BYTES_MAX + 8192:
            sent += 4096
            yield b" " * 4096

    announced = await client.post(
        "/v1/quotes", headers=AS_PARTNER, content=b" " * (BODY_BYTES_MAX + 1)
    )
    chunked = await client.post("/v1/quotes", headers=AS_PARTNER, content=endless())
    for response in (announced, chunked):
        assert (response.status_code, code_of(response)) == (413, "body_too_large")
        assert response.json()["limit_bytes"] == BODY_BYTES_MAX


async def test_a_body_of_just_the_limit_is_read(client: httpx.AsyncClient) -> None:
    body = json.dumps(QUOTE).encode().ljust(BODY_BYTES_MAX)
    response = await client.post("/v1/quotes", headers=AS_PARTNER, content=body)
    assert response.status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"sell": NaN}',
        b'{"sell": Infinity}',
        b'{"sell": 1, "sell": 2}',
        b'{"sell": {"currency": "EUR", "currency": "USD"}}',
        b'{"sell": "\\ud800"}',
        b'{"a": 1} trailing',
        b"[" * 60_000,
        b'{"a":' * 1100 + b"1" + b"}" * 1100,
        b"9" * 60_000,
        b"\xef\xbb\xbf{}",
    ],
)
async def test_what_is_not_strict_json_is_400(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/v1/quotes", headers=AS_PARTNER, content=body)
    assert (response.status_code, code_of(response)) == (400, "json_invalid")


@pytest.mark.parametrize("body", [b"null", b"[]", b"1", b'"text"', b"true"])
async def test_json_that_is_no_object_is_422(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/v1/quotes", headers=AS_PARTNER, content=body)
    assert (response.status_code, code_of(response)) == (422, "invalid_body")
    assert response.json()["errors"][0] == {
        "pointer": "",
        "code": "not_an_object",
        "message": response.json()["errors"][0]["message"],
    }


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"sell": {"currency": "EUR", "amount": 200}}, "/sell/amount", "not_a_string"),
        ({"sell": {"currency": "EUR", "amount": "1e5"}}, "/sell/amount", "amount_invalid"),
        ({"sell": {"currency": "EUR", "amount": "0.001"}}, "/sell/amount", "amount_invalid"),
        ({"sell": {"currency": "EUR", "amount": "-1"}}, "/sell/amount", "amount_invalid"),
        ({"sell": {"currency": "EUR", "amount": "9" * 40}}, "/sell/amount", "amount_invalid"),
        ({"sell": {"currency": "EUR", "amount": "1,00"}}, "/sell/amount", "amount_invalid"),
        ({"sell": {"currency": "EUR", "amount": " 1"}}, "/sell/amount", "amount_invalid"),
        ({"sell": {"currency": "EUR", "amount": "\u0661"}}, "/sell/amount", "amount_invalid"),
        ({"sell": {"currency": "EUR", "amount": ""}}, "/sell/amount", "amount_invalid"),
        ({"sell": {"currency": "XXX", "amount": "1"}}, "/sell/currency", "currency_unknown"),
        ({"sell": {"currency": "eur", "amount": "1"}}, "/sell/currency", "currency_unknown"),
        ({"buy": {"currency": "USDC", "amount": "1"}}, "", "one_amount"),
        ({"sell": {"currency": "EUR"}}, "", "one_amount"),
        ({"payout": {"method": "pigeon"}}, "/payout/method", "not_one_of"),
        ({"ttl_s": 1801}, "/ttl_s", "too_large"),
        ({"ttl_s": "60"}, "/ttl_s", "not_an_integer"),
        ({"ttl_s": True}, "/ttl_s", "not_an_integer"),
        ({"tip": "1"}, "/tip", "unknown_member"),
        ({"a/b~c": "1"}, "/a~1b~0c", "unknown_member"),
        ({"customer_id": "cus_\x00"}, "/customer_id", "wrong_form"),
    ],
)
async def test_a_wrong_member_is_named_by_pointer_and_code(
    client: httpx.AsyncClient, change: dict[str, object], pointer: str, code: str
) -> None:
    response = await client.post("/v1/quotes", headers=AS_PARTNER, json={**QUOTE, **change})
    assert (response.status_code, code_of(response)) == (422, "invalid_body")
    faults = [(each["pointer"], each["code"]) for each in response.json()["errors"]]
    assert faults == [(pointer, code)]


async def test_many_wrong_members_are_told_at_once_but_not_without_end(
    client: httpx.AsyncClient,
) -> None:
    body = {f"m{n}": n for n in range(500)}
    response = await client.post("/v1/quotes", headers=AS_PARTNER, json=body)
    assert len(response.json()["errors"]) == 20


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "", "country": "DE"}, "/name"),
        ({"name": "   ", "country": "DE"}, "/name"),
        ({"name": "A\x00na", "country": "DE"}, "/name"),
        ({"name": "A" * 141, "country": "DE"}, "/name"),
        ({"name": "Ana", "country": "XX"}, "/country"),
        ({"name": "Ana", "country": "de"}, "/country"),
        ({"name": "Ana", "country": "DE", "email": "ana"}, "/email"),
    ],
)
async def test_a_customer_needs_a_name_and_a_country(
    client: httpx.AsyncClient, body: dict[str, str], pointer: str
) -> None:
    response = await client.post("/v1/customers", headers=AS_PARTNER, json=body)
    assert (response.status_code, code_of(response)) == (422, "invalid_body")
    assert [each["pointer"] for each in response.json()["errors"]] == [pointer]


async def test_names_of_every_script_are_welcome(client: httpx.AsyncClient) -> None:
    name = "Ñandú O'Brien-李 محمّد क्ष"
    response = await client.post(
        "/v1/customers", headers=AS_PARTNER, json={"name": name, "country": "DE"}
    )
    assert response.json()["name"] == name


@pytest.mark.parametrize(
    ("query", "parameter", "code"),
    [
        ("limit=0", "limit", "too_small"),
        ("limit=201", "limit", "too_large"),
        ("limit=ten", "limit", "not_an_integer"),
        ("limit=1&limit=2", "limit", "repeated"),
        ("status=lost", "status", "not_one_of"),
        ("colour=red", "colour", "unknown_member"),
        ("customer_id=%00", "customer_id", "wrong_form"),
    ],
)
async def test_a_wrong_query_parameter_is_named(
    client: httpx.AsyncClient, query: str, parameter: str, code: str
) -> None:
    response = await client.get(f"/v1/transfers?{query}", headers=AS_PARTNER)
    assert (response.status_code, code_of(response)) == (422, "invalid_query")
    (fault,) = response.json()["errors"]
    assert (fault["parameter"], fault["code"]) == (parameter, code)


async def test_a_query_that_is_not_utf8_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/transfers?cursor=%ff", headers=AS_PARTNER)
    assert (response.status_code, code_of(response)) == (422, "invalid_query")


async def test_a_price_names_the_parameter_that_is_wrong(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/prices?sell=EUR&buy=USDC&sell_amount=1e5")
    (fault,) = response.json()["errors"]
    assert (fault["parameter"], fault["code"]) == ("sell_amount", "amount_invalid")
    good = await client.get("/v1/prices?sell=EUR&buy=USDC&buy_amount=230.000000")
    assert good.json()["sell"]["amount"] == "199.94"
    assert good.json()["firm"] is False


async def test_an_amount_beyond_the_limits_says_them(client: httpx.AsyncClient) -> None:
    for amount in ("0.05", "100000.01", "9" * 30):
        body = {**QUOTE, "sell": {"currency": "EUR", "amount": amount}}
        response = await client.post("/v1/quotes", headers=AS_PARTNER, json=body)
        assert (response.status_code, code_of(response)) == (422, "amount_out_of_range")
        assert response.json()["max"] == {"currency": "EUR", "amount": "100000.00"}


async def test_a_path_that_is_not_there_is_a_problem_too(client: httpx.AsyncClient) -> None:
    for path in ("/v1", "/v1/quotes/", "/v1/nothing", "/v1/quotes/a/b"):
        response = await client.get(path)
        assert (response.status_code, code_of(response)) == (404, "path_unknown")


async def test_the_first_page_is_the_documentation(client: httpx.AsyncClient) -> None:
    response = await client.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/docs")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/transfers", "POST, GET, HEAD, OPTIONS"),
        ("GET", "/v1/transfers/x/cancel", "POST, OPTIONS"),
        ("PATCH", "/v1/quotes/x", "GET, HEAD, OPTIONS"),
        ("POST", "/docs", "GET, HEAD, OPTIONS"),
        ("PUT", "/metrics", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_method_the_path_has_not_is_405_and_names_those_it_has(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    response = await client.request(method, path)
    assert (response.status_code, code_of(response)) == (405, "method_not_allowed")
    assert response.headers["allow"] == allowed
    options = await client.options(path)
    assert (options.status_code, options.headers["allow"]) == (204, allowed)
    assert "content-length" not in options.headers  # RFC 9110 8.6


async def test_head_answers_as_get_does(client: httpx.AsyncClient) -> None:
    for path in ("/v1/assets", "/healthz", "/docs", "/metrics"):
        response = await client.head(path)
        assert response.status_code == 200


async def test_a_plain_request_id_is_kept_and_any_other_replaced(client: httpx.AsyncClient) -> None:
    kept = await client.get("/healthz", headers={"X-Request-Id": "call-17:a_b.c"})
    assert kept.headers["x-request-id"] == "call-17:a_b.c"
    for strange in ("a b", "x" * 65, "<script>"):
        replaced = await client.get("/healthz", headers={"X-Request-Id": strange})
        assert len(replaced.headers["x-request-id"]) == 32


async def test_answers_are_kept_by_nobody(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/transfers", headers=AS_REMITTER)
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_a_bug_is_500_and_tells_nothing_but_the_request_id(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    fake_node.parties.fails_with = RuntimeError("password=hunter2")
    response = await client.get("/v1/transfers", headers=AS_PARTNER)
    assert (response.status_code, code_of(response)) == (500, "internal")
    assert "hunter2" not in response.text


async def test_a_database_that_is_away_is_503_with_retry_after(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    fake_node.parties.fails_with = DatabaseUnavailable("the database does not answer")
    response = await client.get("/v1/transfers", headers=AS_PARTNER)
    assert (response.status_code, code_of(response)) == (503, "database_unavailable")
    assert response.headers["retry-after"] == "1"
    assert response.json()["retryable"] is True


async def test_a_remitter_need_not_name_itself(client: httpx.AsyncClient) -> None:
    quote = await client.post("/v1/quotes", headers=AS_REMITTER, json=QUOTE)
    body = {**TRANSFER, "quote_id": quote.json()["id"]}
    made = await client.post(
        "/v1/transfers", headers=bearer("remitter-key", **{"Idempotency-Key": "k"}), json=body
    )
    assert made.status_code == 201, made.text
    assert made.json()["customer_id"] == ANA_ID
    by_partner = await client.post(
        "/v1/transfers", headers=bearer("partner-key", **{"Idempotency-Key": "k"}), json=body
    )
    assert by_partner.json()["errors"][0]["pointer"] == "/customer_id"


async def test_a_caller_that_leaves_in_the_middle_of_a_body_gets_no_answer(
    fake_node: FakeNode,
) -> None:
    from node.api.app import create_app

    messages: list[dict[str, object]] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[object] = []

    async def receive() -> dict[str, object]:
        await asyncio.sleep(0)
        return messages.pop(0)

    async def send(message: object) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/quotes",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer partner-key")],
    }
    await create_app(fake_node.services)(scope, receive, send)
    assert sent == []


@pytest.mark.parametrize("state", State)
async def test_a_failure_is_shown_where_the_money_is_back_or_somebody_must_act(
    client: httpx.AsyncClient, fake_node: FakeNode, state: State
) -> None:
    quote = await client.post("/v1/quotes", headers=AS_REMITTER, json=QUOTE)
    made = await client.post(
        "/v1/transfers",
        headers=bearer("remitter-key", **{"Idempotency-Key": "k"}),
        json={**TRANSFER, "quote_id": quote.json()["id"]},
    )
    ((identity, transfer),) = fake_node.transfers.transfers.items()
    failure = {"code": "canceled", "message": "a void was asked for"}
    fake_node.transfers.transfers[identity] = replace(transfer, state=state, failure=failure)
    shown = (await client.get(made.headers["location"], headers=AS_REMITTER)).json()
    told = ("canceled", "failed", "expired", "refunded", "action_required")
    assert shown["failure"] == (failure if shown["status"] in told else None)


async def test_every_currency_of_an_answer_is_an_asset(client: httpx.AsyncClient) -> None:
    assets = {each["code"]: each for each in (await client.get("/v1/assets")).json()["data"]}
    assert {each["kind"] for each in assets.values()} == {"fiat", "token", "native"}
    native = assets["ETH"]
    assert (native["kind"], native["digits"], native["address"]) == ("native", 9, None)
    movement = await client.get(f"/v1/settlement/movements/{MOVEMENT_ID}", headers=AS_OPERATOR)
    assert movement.json()["currency"] in assets
    body = {"sell": {"currency": "ETH", "amount": "1"}, "buy": {"currency": "USDC"}}
    sold = await client.post("/v1/quotes", headers=AS_PARTNER, json=body)
    assert sold.json()["errors"][0]["code"] == "currency_unknown"


async def test_a_line_of_the_statement_says_what_it_is(client: httpx.AsyncClient) -> None:
    page = await client.get(f"/v1/customers/{ANA_ID}/entries", headers=AS_REMITTER)
    (line,) = page.json()["data"]
    assert (line["id"], line["kind"], line["part"]) == ("1001", "top_up", "deposit")


async def test_a_top_up_is_found_where_its_location_says(client: httpx.AsyncClient) -> None:
    path = f"/v1/customers/{ANA_ID}/top-ups"
    booked = await client.post(
        path, headers=bearer("operator-key", **{"Idempotency-Key": "k"}), json=TOP_UP_BODY
    )
    shown = await client.get(booked.headers["location"], headers=AS_REMITTER)
    assert shown.json() == booked.json()
    listed = await client.get(path, headers=AS_REMITTER)
    assert listed.json() == {"data": [booked.json()], "next_cursor": None}
    nobodys = await client.get(f"{path}/top_01jd0000000000000000000001", headers=AS_REMITTER)
    assert (nobodys.status_code, code_of(nobodys)) == (404, "not_found")
