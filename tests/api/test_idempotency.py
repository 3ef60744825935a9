"""Requests that are safe to repeat, as the edge builds claims and replays answers."""

import asyncio

import httpx

from node.api.bodies import hash_of, parse
from node.api.schemas import QuoteBody
from tests.api.fake_world import ANA_ID
from tests.api.fakes import FakeNode

QUOTE = {"sell": {"currency": "EUR", "amount": "200.00"}, "buy": {"currency": "USDC"}}
CUSTOMER = {"name": "Bea", "country": "PH"}


def with_key(key: str, secret: str = "partner-key") -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}", "Idempotency-Key": key}


async def a_transfer_body(client: httpx.AsyncClient) -> dict[str, object]:
    quote = await client.post(
        "/v1/quotes", headers={"Authorization": "Bearer partner-key"}, json=QUOTE
    )
    return {
        "quote_id": quote.json()["id"],
        "customer_id": ANA_ID,
        "beneficiary": {"name": "Bea", "country": "PH", "address": "0x" + "11" * 20},
    }


async def test_a_repeated_request_gets_the_first_answer_byte_for_byte(
    client: httpx.AsyncClient,
) -> None:
    body = await a_transfer_body(client)
    first = await client.post("/v1/transfers", headers=with_key("k"), json=body)
    again = await client.post("/v1/transfers", headers=with_key("k"), json=body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"


async def test_200_equal_requests_at_once_make_one_transfer(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    body = await a_transfer_body(client)
    answers = await asyncio.gather(
        *(client.post("/v1/transfers", headers=with_key("k"), json=body) for _ in range(200))
    )
    assert {each.content for each in answers} == {answers[0].content}
    assert [each.status_code for each in answers] == [201] * 200
    assert len(fake_node.transfers.transfers) == 1


async def test_another_body_under_the_same_key_is_refused(client: httpx.AsyncClient) -> None:
    await client.post("/v1/customers", headers=with_key("k"), json=CUSTOMER)
    other = await client.post(
        "/v1/customers", headers=with_key("k"), json={**CUSTOMER, "name": "C"}
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_order_spaces_and_trailing_zeros_do_not_make_another_body(
    client: httpx.AsyncClient,
) -> None:
    first = await client.post("/v1/quotes", headers=with_key("k"), json=QUOTE)
    same = b'{ "buy":{"currency":"USDC"},  "sell":{"amount":"0200.0","currency":"EUR"}}'
    again = await client.post("/v1/quotes", headers=with_key("k"), content=same)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.content == first.content


def test_different_amounts_are_different_bodies() -> None:
    def hashed(amount: str) -> bytes:
        body = b'{"sell":{"currency":"JPY","amount":"%s"},"buy":{"currency":"USDC"}}'
        return hash_of(parse(body % amount.encode(), QuoteBody))

    assert hashed("100") == hashed("100.0") == hashed("0100")
    assert len({hashed(each) for each in ("100", "10", "1", "1000", "100.01", "0.1")}) == 6


async def test_a_key_belongs_to_its_principal_and_path(client: httpx.AsyncClient) -> None:
    mine = await client.post("/v1/customers", headers=with_key("k"), json=CUSTOMER)
    theirs = await client.post(
        "/v1/customers", headers=with_key("k", "stranger-key"), json=CUSTOMER
    )
    quote = await client.post("/v1/quotes", headers=with_key("k"), json=QUOTE)
    assert theirs.json()["id"] != mine.json()["id"]
    assert quote.status_code == 201
    assert "idempotent-replayed" not in quote.headers


async def test_a_refusal_that_depends_on_state_is_remembered_as_a_problem(
    client: httpx.AsyncClient,
) -> None:
    body = await a_transfer_body(client)
    await client.post("/v1/transfers", headers=with_key("first"), json=body)
    refused = await client.post("/v1/transfers", headers=with_key("second"), json=body)
    again = await client.post("/v1/transfers", headers=with_key("second"), json=body)
    assert (refused.status_code, refused.json()["code"]) == (409, "quote_used")
    assert refused.json()["transfer_id"].startswith("tra_")
    assert again.content == refused.content
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["content-type"] == "application/problem+json"


async def test_what_was_wrong_with_the_body_is_not_remembered(client: httpx.AsyncClient) -> None:
    wrong = await client.post("/v1/customers", headers=with_key("k"), json={"name": "Bea"})
    right = await client.post("/v1/customers", headers=with_key("k"), json=CUSTOMER)
    assert (wrong.status_code, right.status_code) == (422, 201)


async def test_what_does_not_exist_is_not_remembered(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    body = await a_transfer_body(client)
    quotes = dict(fake_node.quoting.quotes)
    fake_node.quoting.quotes.clear()
    missing = await client.post("/v1/transfers", headers=with_key("k"), json=body)
    fake_node.quoting.quotes.update(quotes)
    found = await client.post("/v1/transfers", headers=with_key("k"), json=body)
    assert (missing.status_code, found.status_code) == (404, 201)


async def test_canceling_twice_answers_twice_with_the_transfer(client: httpx.AsyncClient) -> None:
    body = await a_transfer_body(client)
    made = await client.post("/v1/transfers", headers=with_key("k"), json=body)
    path = f"/v1/transfers/{made.json()['id']}/cancel"
    for key in ("c1", "c1", "c2"):
        canceled = await client.post(path, headers=with_key(key))
        assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
        assert canceled.json()["failure"]["code"] == "canceled"
        assert canceled.json()["cancellable"] is False


async def test_a_repeated_token_request_makes_no_second_token_and_shows_no_secret(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    path = f"/v1/customers/{ANA_ID}/tokens"
    first = await client.post(path, headers=with_key("k"))
    again = await client.post(path, headers=with_key("k"))
    assert (first.status_code, first.headers["location"]) == (201, f"/v1/customers/{ANA_ID}")
    assert (again.status_code, again.json()["code"]) == (409, "token_already_created")
    assert again.json()["key_id"] == first.json()["key_id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json()["token"] not in again.text
    assert len(fake_node.parties.tokens_made) == 1
    await client.post(path, headers={"Authorization": "Bearer partner-key"})
    assert len(fake_node.parties.tokens_made) == 2


async def test_a_repeated_reconciliation_request_gets_the_first_run(
    client: httpx.AsyncClient,
) -> None:
    path, headers = "/v1/reconciliation/runs", with_key("k", "operator-key")
    first = await client.post(path, headers=headers)
    again = await client.post(path, headers=headers)
    other = await client.post(path, headers=with_key("other", "operator-key"))
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert other.json()["id"] != first.json()["id"]


async def test_a_repeated_pause_or_resume_changes_nothing_after_what_came_between(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    async def ask(act: str, key: str) -> httpx.Response:
        return await client.post(f"/v1/settlement/{act}", headers=with_key(key, "operator-key"))

    paused = await ask("pause", "p")
    resumed = await ask("resume", "r")
    again = await ask("pause", "p")
    assert (again.content, again.headers["idempotent-replayed"]) == (paused.content, "true")
    assert fake_node.settlement.paused == []
    await ask("pause", "new")
    again = await ask("resume", "r")
    assert (again.content, again.headers["idempotent-replayed"]) == (resumed.content, "true")
    assert len(fake_node.settlement.paused) == 1
