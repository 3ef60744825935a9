"""Bad input against the whole node over PostgreSQL: each its code and a sentence that helps."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.api.conftest import BENEFICIARY, RealNode

WRONG_CHECKSUM = BENEFICIARY.replace("F", "f", 1)
QUOTE: dict[str, Any] = {
    "sell": {"currency": "EUR", "amount": "200.00"},
    "buy": {"currency": "USDC"},
    "payout": {"method": "onchain"},
}
AMOUNTS = {
    "1e5": "amount_invalid",
    "0.001": "amount_invalid",
    "-1.00": "amount_invalid",
    "+1.00": "amount_invalid",
    "9" * 40: "amount_invalid",
    "NaN": "amount_invalid",
    "1,000.00": "amount_invalid",
    " 1.00": "amount_invalid",
    "1.": "amount_invalid",
    "0x10": "amount_invalid",
}


def headers(secret: str, key: str | None = None) -> dict[str, str]:
    found = {"Authorization": f"Bearer {secret}"}
    return found if key is None else {**found, "Idempotency-Key": key}


def code_of(response: httpx.Response) -> str:
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert len(problem["detail"]) > 15
    code = problem["code"]
    assert isinstance(code, str)
    return code


async def a_quote(node: RealNode, **more: object) -> str:
    response = await node.client.post(
        "/v1/quotes", headers=headers(node.partner), json={**QUOTE, **more}
    )
    assert response.status_code == 201, response.text
    found = response.json()["id"]
    assert isinstance(found, str)
    return found


def a_transfer(node: RealNode, quote_id: str, **beneficiary: str) -> dict[str, Any]:
    person = {"name": "Bea", "country": "PH", "address": BENEFICIARY, **beneficiary}
    return {"quote_id": quote_id, "customer_id": node.customer_id, "beneficiary": person}


async def test_amounts_that_are_none_are_named_everywhere(real_app: RealNode) -> None:
    node = real_app
    for amount, code in AMOUNTS.items():
        bodies = {
            "/v1/quotes": {**QUOTE, "sell": {"currency": "EUR", "amount": amount}},
            f"/v1/customers/{node.customer_id}/top-ups": {
                "currency": "EUR",
                "amount": amount,
                "rail": "sandbox_bank",
                "reference": "r",
            },
        }
        for path, body in bodies.items():
            response = await node.client.post(path, headers=headers(node.partner, "k"), json=body)
            assert (response.status_code, code_of(response)) == (422, "invalid_body")
            (fault,) = response.json()["errors"]
            assert (fault["pointer"].endswith("/amount"), fault["code"]) == (True, code)
        priced = await node.client.get(
            "/v1/prices", params={"sell": "EUR", "buy": "USDC", "sell_amount": amount}
        )
        assert (priced.status_code, priced.json()["errors"][0]["code"]) == (422, code)


async def test_zero_is_out_of_range_not_a_quote_or_a_top_up(real_app: RealNode) -> None:
    node = real_app
    body = {**QUOTE, "sell": {"currency": "EUR", "amount": "0.00"}}
    quoted = await node.client.post("/v1/quotes", headers=headers(node.partner), json=body)
    top_up = {"currency": "EUR", "amount": "0", "rail": "sandbox_bank", "reference": "zero"}
    path = f"/v1/customers/{node.customer_id}/top-ups"
    booked = await node.client.post(path, headers=headers(node.partner, "zero"), json=top_up)
    assert code_of(quoted) == code_of(booked) == "amount_out_of_range"


@pytest.mark.parametrize("currency", ["XXX", "eur", "NGNN", "€", "EUR\x00"])
async def test_a_currency_nobody_has_is_named(real_app: RealNode, currency: str) -> None:
    body = {**QUOTE, "sell": {"currency": currency, "amount": "1.00"}}
    response = await real_app.client.post(
        "/v1/quotes", headers=headers(real_app.partner), json=body
    )
    assert (response.status_code, code_of(response)) == (422, "invalid_body")
    assert response.json()["errors"][0]["code"] == "currency_unknown"


async def test_a_pair_that_is_not_offered_is_refused(real_app: RealNode) -> None:
    body = {"sell": {"currency": "EUR", "amount": "1.00"}, "buy": {"currency": "USD"}}
    response = await real_app.client.post(
        "/v1/quotes", headers=headers(real_app.partner), json=body
    )
    assert (response.status_code, code_of(response)) == (422, "pair_not_offered")


async def test_an_address_that_cannot_be_paid_is_refused_and_the_quote_stays(
    real_app: RealNode,
) -> None:
    node = real_app
    quote_id = await a_quote(node)
    bad = (WRONG_CHECKSUM, "0x" + "0" * 40, node.token_address, "0x12", "vitalik.eth", "")
    for place, address in enumerate(bad):
        response = await node.client.post(
            "/v1/transfers",
            headers=headers(node.partner, f"bad-{place}"),
            json=a_transfer(node, quote_id, address=address),
        )
        assert (response.status_code, code_of(response)) == (422, "address_invalid"), address
    shown = await node.client.get(f"/v1/quotes/{quote_id}", headers=headers(node.partner))
    assert shown.json()["status"] == "active"


async def test_texts_no_database_can_hold_are_refused_not_an_error_of_the_node(
    real_app: RealNode,
) -> None:
    node = real_app
    quote_id = await a_quote(node)
    for member in ("name", "country", "address"):
        response = await node.client.post(
            "/v1/transfers",
            headers=headers(node.partner, "nul"),
            json=a_transfer(node, quote_id, **{member: "A\x00"}),
        )
        assert (response.status_code, code_of(response)) == (422, "invalid_body")
    for query in ("client_reference=%00", "customer_id=cus_%00", "cursor=%00"):
        response = await node.client.get(f"/v1/transfers?{query}", headers=headers(node.partner))
        assert response.status_code == 422


async def test_ids_that_name_nothing_are_404(real_app: RealNode) -> None:
    node = real_app
    stranger = headers(node.stranger)
    for path in (
        "/v1/quotes/quo_01jd0000000000000000000001",
        "/v1/quotes/nonsense",
        "/v1/transfers/tra_01jd0000000000000000000001",
        "/v1/transfers/tra_01jd0000000000000000000001/events",
        f"/v1/customers/{node.customer_id}",
        f"/v1/customers/{node.customer_id}/balances",
        f"/v1/customers/{node.customer_id}/entries",
        f"/v1/transfers/{'x' * 3000}",
        "/v1/transfers/%00",
    ):
        response = await node.client.get(path, headers=stranger)
        assert (response.status_code, code_of(response)) == (404, "not_found"), path
    quote_id = await a_quote(node)
    for body in (
        a_transfer(node, "quo_01jd0000000000000000000001"),
        {**a_transfer(node, quote_id), "customer_id": "cus_01jd0000000000000000000001"},
    ):
        response = await node.client.post(
            "/v1/transfers", headers=headers(node.partner, "missing"), json=body
        )
        assert (response.status_code, code_of(response)) == (404, "not_found")
    foreign = await node.client.post(
        "/v1/transfers", headers=headers(node.stranger, "f"), json=a_transfer(node, quote_id)
    )
    assert (foreign.status_code, code_of(foreign)) == (404, "not_found")


async def test_forged_cursors_are_refused_by_every_list(real_app: RealNode) -> None:
    node = real_app
    for path in (
        "/v1/transfers",
        "/v1/customers",
        f"/v1/customers/{node.customer_id}/entries",
        "/v1/ledger/accounts",
        "/v1/reconciliation/breaks",
    ):
        response = await node.client.get(
            path, headers=headers(node.operator), params={"cursor": "A" * 43}
        )
        assert (response.status_code, code_of(response)) == (422, "cursor_invalid"), path


async def test_a_key_is_needed_where_money_moves(real_app: RealNode) -> None:
    node = real_app
    for path in (
        "/v1/transfers",
        f"/v1/customers/{node.customer_id}/top-ups",
        "/v1/transfers/tra_01jd0000000000000000000001/cancel",
        "/v1/transfers/tra_01jd0000000000000000000001/void",
        "/v1/reconciliation/breaks/brk_01jd0000000000000000000001/resolve",
    ):
        response = await node.client.post(path, headers=headers(node.operator), json={})
        assert (response.status_code, code_of(response)) == (400, "idempotency_key_missing"), path


async def test_a_body_too_large_or_broken_is_refused(real_app: RealNode) -> None:
    node = real_app
    for path in ("/v1/quotes", "/v1/transfers", "/v1/customers"):
        large = await node.client.post(
            path, headers=headers(node.partner, "k"), content=b" " * 70_000
        )
        assert (large.status_code, code_of(large)) == (413, "body_too_large")
        broken = await node.client.post(path, headers=headers(node.partner, "k"), content=b"{")
        assert (broken.status_code, code_of(broken)) == (400, "json_invalid")


async def test_a_reference_of_a_rail_is_booked_once(real_app: RealNode) -> None:
    node = real_app
    body = {"currency": "EUR", "amount": "5.00", "rail": "sandbox_bank", "reference": "once"}
    path = f"/v1/customers/{node.customer_id}/top-ups"
    first = await node.client.post(path, headers=headers(node.operator, "a"), json=body)
    second = await node.client.post(path, headers=headers(node.operator, "b"), json=body)
    again = await node.client.post(path, headers=headers(node.operator, "a"), json=body)
    assert (first.status_code, second.status_code) == (201, 409)
    assert second.json()["top_up_id"] == first.json()["id"]
    assert again.content == first.content
    balances = await node.client.get(
        f"/v1/customers/{node.customer_id}/balances", headers=headers(node.remitter)
    )
    assert balances.json()["data"] == [
        {"currency": "EUR", "available": "1005.00", "reserved": "0.00"}
    ]


async def test_a_quote_the_node_cannot_back_is_503_not_a_promise(real_app: RealNode) -> None:
    node = real_app
    body = {**QUOTE, "sell": {"currency": "EUR", "amount": "50000.00"}}
    response = await node.client.post("/v1/quotes", headers=headers(node.partner), json=body)
    assert (response.status_code, code_of(response)) == (503, "liquidity_unavailable")
    assert response.headers["retry-after"] == "1"


async def test_a_quote_that_expired_or_was_used_makes_no_transfer(real_app: RealNode) -> None:
    node = real_app
    short = await a_quote(node, ttl_s=1)
    used = await a_quote(node)
    first = await node.client.post(
        "/v1/transfers", headers=headers(node.partner, "1"), json=a_transfer(node, used)
    )
    second = await node.client.post(
        "/v1/transfers", headers=headers(node.partner, "2"), json=a_transfer(node, used)
    )
    assert (first.status_code, second.status_code) == (201, 409)
    assert (code_of(second), second.json()["transfer_id"]) == ("quote_used", first.json()["id"])
    for _ in range(100):
        shown = await node.client.get(f"/v1/quotes/{short}", headers=headers(node.partner))
        if shown.json()["status"] == "expired":
            break
        await asyncio.sleep(0.05)
    late = await node.client.post(
        "/v1/transfers", headers=headers(node.partner, "3"), json=a_transfer(node, short)
    )
    assert (late.status_code, code_of(late)) == (409, "quote_expired")


async def test_a_customer_with_too_little_is_told_what_there_is(real_app: RealNode) -> None:
    node = real_app
    quotes = [await a_quote(node, sell={"currency": "EUR", "amount": "501.00"}) for _ in range(2)]
    answers = [
        await node.client.post(
            "/v1/transfers", headers=headers(node.partner, each), json=a_transfer(node, each)
        )
        for each in quotes
    ]
    assert [each.status_code for each in answers] == [201, 422]
    assert code_of(answers[1]) == "insufficient_funds"
    assert answers[1].json()["available"] == {"currency": "EUR", "amount": "499.00"}


async def test_a_client_reference_names_one_transfer(real_app: RealNode) -> None:
    node = real_app
    bodies = [
        {**a_transfer(node, await a_quote(node)), "client_reference": "rent"} for _ in range(2)
    ]
    first, second = [
        await node.client.post(
            "/v1/transfers", headers=headers(node.partner, body["quote_id"]), json=body
        )
        for body in bodies
    ]
    assert (first.status_code, second.status_code) == (201, 409)
    assert code_of(second) == "client_reference_used"
    assert second.json()["transfer_id"] == first.json()["id"]
