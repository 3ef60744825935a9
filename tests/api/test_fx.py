"""Halting and resuming over HTTP, as an operator does and as callers see it."""

import httpx

from node.api.examples import HALT_BODY
from tests.api.conftest import RealNode
from tests.api.test_bad_input import a_quote, a_transfer, headers
from tests.api.test_requests import AS_OPERATOR, code_of

PRICE = {"sell": "EUR", "buy": "USDC", "sell_amount": "200.00"}


async def test_callers_see_a_halt_as_503_and_a_revoked_quote_as_such(real_app: RealNode) -> None:
    node = real_app
    as_operator, as_partner = headers(node.operator), headers(node.partner)
    quote_id = await a_quote(node)
    halted = await node.client.post(
        "/v1/fx/halt", headers=as_operator, json={"currency": "EUR", "note": "a look"}
    )
    assert halted.status_code == 200
    (halt,) = halted.json()["data"]
    assert (halt["currency"], halt["reason"], halt["note"]) == ("EUR", "operator", "a look")
    assert halted.json()["quotes_revoked"] == 1

    shown = (await node.client.get(f"/v1/quotes/{quote_id}", headers=as_partner)).json()
    assert (shown["status"], shown["revoked_reason"]) == ("revoked", "operator")

    body = {"sell": {"currency": "EUR", "amount": "200.00"}, "buy": {"currency": "USDC"}}
    for refused in (
        await node.client.get("/v1/prices", params=PRICE),
        await node.client.post("/v1/quotes", headers=as_partner, json=body),
    ):
        assert (refused.status_code, code_of(refused)) == (503, "quoting_halted")
        assert refused.headers["retry-after"] == "30"
        told = refused.json()
        assert (told["currency"], told["reason"], told["retryable"]) == ("EUR", "operator", True)
        assert told["since"] == halt["halted_at"]
        assert "a look" not in refused.text  # notes are for operators

    transfer = await node.client.post(
        "/v1/transfers", headers=headers(node.partner, "k"), json=a_transfer(node, quote_id)
    )
    assert (transfer.status_code, code_of(transfer)) == (409, "quote_revoked")
    assert transfer.json()["reason"] == "operator"

    resumed = await node.client.post("/v1/fx/resume", headers=as_operator, json={"currency": "EUR"})
    assert resumed.json() == {"data": [], "accepted": []}  # no rate had jumped
    assert (await node.client.get("/v1/prices", params=PRICE)).status_code == 200


async def test_an_operator_sees_what_prices_are_made_of_and_what_is_open(
    real_app: RealNode,
) -> None:
    node = real_app
    await a_quote(node)
    shown = await node.client.get("/v1/fx", headers=headers(node.operator))
    assert shown.status_code == 200
    state = shown.json()
    assert state["pricing"]["method"] == "first"
    ecb, fixed = state["sources"]
    assert {rate["buy"] for rate in ecb["rates"]} == {"USD", "GBP", "JPY", "PHP", "MXN", "CNY"}
    assert all(rate["usable"] and rate["age_s"] > 0 for rate in ecb["rates"])
    assert (fixed["name"], fixed["max_age_s"], fixed["fault"]) == ("fixed", None, None)
    euro = state["corridors"][0]
    assert euro["mid_rate"] == euro["trusted_mid_rate"]
    exposure = {each["currency"]: each for each in state["exposure"]}
    assert exposure["EUR"] == {
        "currency": "EUR",
        "open": {"currency": "EUR", "amount": "200.00"},
        "quotes": 1,
        "limit": {"currency": "EUR", "amount": "100000000.00"},
        "remaining": {"currency": "EUR", "amount": "99999800.00"},
    }
    assert state["halts"] == []


async def test_a_level_other_than_the_one_that_was_seen_is_not_accepted(
    real_app: RealNode,
) -> None:
    node, as_operator = real_app, headers(real_app.operator)
    await node.client.post("/v1/fx/halt", headers=as_operator, json={"currency": "EUR"})
    shown = (await node.client.get("/v1/fx", headers=as_operator)).json()
    there = shown["corridors"][0]["mid_rate"]
    for seen, status in ((f"1{there}", 409), ("-1", 422), ("1e3", 422), (there, 200)):
        answer = await node.client.post(
            "/v1/fx/resume", headers=as_operator, json={"currency": "EUR", "mid_rate": seen}
        )
        assert answer.status_code == status, answer.text
        if status == 409:
            assert (code_of(answer), answer.json()["mid_rate"]) == ("wrong_state", there)
        elif status == 422:
            assert answer.json()["errors"][0]["pointer"] == "/mid_rate"


async def test_what_is_to_be_halted_must_be_said_and_be_a_currency_of_the_node(
    client: httpx.AsyncClient,
) -> None:
    for path in ("/v1/fx/halt", "/v1/fx/resume"):
        for body, pointer in (
            ({}, "/currency"),
            ({"currency": "XXX"}, "/currency"),
            ({"currency": 1}, "/currency"),
            ({"currency": "EUR", "reason": "jump"}, "/reason"),
        ):
            refused = await client.post(path, headers=AS_OPERATOR, json=body)
            assert refused.status_code == 422
            assert [each["pointer"] for each in refused.json()["errors"]] == [pointer]


async def test_a_repeated_halt_with_its_key_gets_the_first_answer(
    client: httpx.AsyncClient,
) -> None:
    keyed = {**AS_OPERATOR, "Idempotency-Key": "k"}
    first, again = [
        await client.post("/v1/fx/halt", headers=keyed, json=HALT_BODY) for _ in range(2)
    ]
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    everything = await client.post("/v1/fx/halt", headers=AS_OPERATOR, json={"currency": None})
    assert [each["currency"] for each in everything.json()["data"]] == ["EUR", None]
