"""The whole HTTP interface over the real services: what happens when many ask at once."""

import asyncio

import httpx

from tests.api.conftest import RealNode
from tests.api.test_bad_input import a_quote, a_transfer, headers


async def balance(node: RealNode) -> tuple[str, str]:
    response = await node.client.get(
        f"/v1/customers/{node.customer_id}/balances", headers=headers(node.remitter)
    )
    (row,) = response.json()["data"]
    return row["available"], row["reserved"]


async def test_200_equal_posts_at_once_make_one_transfer(real_app: RealNode) -> None:
    node = real_app
    body = a_transfer(node, await a_quote(node))
    answers = await asyncio.gather(
        *(
            node.client.post("/v1/transfers", headers=headers(node.partner, "same"), json=body)
            for _ in range(200)
        )
    )
    assert {each.status_code for each in answers} == {201}
    assert len({each.content for each in answers}) == 1
    assert len({each.headers["location"] for each in answers}) == 1
    listed = await node.client.get("/v1/transfers", headers=headers(node.partner))
    assert len(listed.json()["data"]) == 1
    assert await balance(node) == ("800.00", "200.00")


async def test_of_two_transfers_for_one_quote_one_wins(real_app: RealNode) -> None:
    node = real_app
    body = a_transfer(node, await a_quote(node))
    answers = await asyncio.gather(
        *(
            node.client.post("/v1/transfers", headers=headers(node.partner, f"k{n}"), json=body)
            for n in range(2)
        )
    )
    assert sorted(each.status_code for each in answers) == [201, 409]
    assert await balance(node) == ("800.00", "200.00")


async def test_of_many_at_once_exactly_those_succeed_that_there_is_money_for(
    real_app: RealNode,
) -> None:
    node = real_app
    side = {"currency": "EUR", "amount": "100.00"}
    quotes = [await a_quote(node, sell=side) for _ in range(30)]

    async def send(quote_id: str) -> httpx.Response:
        body = a_transfer(node, quote_id)
        return await node.client.post(
            "/v1/transfers", headers=headers(node.partner, quote_id), json=body
        )

    answers = await asyncio.gather(*(send(each) for each in quotes))
    succeeded = [each for each in answers if each.status_code == 201]
    assert len(succeeded) == 10
    assert {each.json()["code"] for each in answers if each.status_code != 201} == {
        "insufficient_funds"
    }
    assert await balance(node) == ("0.00", "1000.00")


async def test_no_money_goes_back_while_nobody_can_ask_the_chain_whether_it_was_paid(
    real_app: RealNode,
) -> None:
    node = real_app
    made = await node.client.post(
        "/v1/transfers",
        headers=headers(node.partner, "k"),
        json=a_transfer(node, await a_quote(node)),
    )
    path = f"/v1/transfers/{made.json()['id']}"
    answer = await node.client.post(f"{path}/cancel", headers=headers(node.partner, "c"))
    assert (answer.status_code, answer.json()["code"]) == (503, "chain_unavailable")
    assert answer.json()["retryable"] is True
    shown = await node.client.get(path, headers=headers(node.partner))
    assert shown.json()["state"] == "funded"


async def test_a_canceled_transfer_gives_everything_back_and_tells_its_timeline(
    chained_app: RealNode,
) -> None:
    node = chained_app
    made = await node.client.post(
        "/v1/transfers",
        headers=headers(node.remitter, "k"),
        json={**a_transfer(node, await remitters_quote(node)), "customer_id": None},
    )
    assert made.status_code == 201, made.text
    path = f"/v1/transfers/{made.json()['id']}"
    assert made.json()["state"] == "funded"
    assert made.json()["cancellable"] is True
    for key in ("c", "c", "d"):
        canceled = await node.client.post(f"{path}/cancel", headers=headers(node.remitter, key))
        assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
    assert await balance(node) == ("1000.00", "0.00")
    timeline = (await node.client.get(f"{path}/events", headers=headers(node.partner))).json()
    assert [(each["sequence"], each["type"]) for each in timeline["data"]] == [
        (1, "transfer.funded"),
        (2, "transfer.canceled"),
    ]
    trial = await node.client.get("/v1/ledger/trial-balance", headers=headers(node.operator))
    assert all(each["debits"] == each["credits"] for each in trial.json()["data"])


async def remitters_quote(node: RealNode) -> str:
    body = {
        "sell": {"currency": "EUR", "amount": "200.00"},
        "buy": {"currency": "USDC"},
    }
    response = await node.client.post("/v1/quotes", headers=headers(node.remitter), json=body)
    assert response.status_code == 201, response.text
    found = response.json()["id"]
    assert isinstance(found, str)
    return found


async def test_operator_pages_answer_on_a_node_that_has_done_nothing_yet(
    real_app: RealNode,
) -> None:
    node = real_app
    for path in (
        "/v1/assets",
        "/v1/corridors",
        "/v1/transfers",
        "/v1/events",
        "/v1/ledger/accounts",
        "/v1/settlement/lanes",
        "/v1/reconciliation/breaks",
        "/metrics",
    ):
        response = await node.client.get(path, headers=headers(node.operator))
        assert response.status_code == 200, (path, response.text)
    ready = await node.client.get("/readyz")
    assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
    accounts = (await node.client.get("/v1/ledger/accounts", headers=headers(node.operator))).json()
    entries = await node.client.get(
        f"/v1/ledger/accounts/{accounts['data'][0]['id']}/entries", headers=headers(node.operator)
    )
    assert entries.json()["data"]
    first, paused = [
        await node.client.post(
            "/v1/settlement/pause", headers=headers(node.operator, "p"), json={"note": "a look"}
        )
        for _ in range(2)
    ]
    assert (paused.content, paused.headers["idempotent-replayed"]) == (first.content, "true")
    assert [each["reason"] for each in paused.json()["data"]] == ["operator"]
    resumed = await node.client.post("/v1/settlement/resume", headers=headers(node.operator))
    assert resumed.json()["data"] == []
    begun = await node.client.post("/v1/reconciliation/runs", headers=headers(node.operator))
    assert (begun.status_code, begun.json()["status"]) == (202, "running")
    run = begun
    for _ in range(1000):
        run = await node.client.get(begun.headers["location"], headers=headers(node.operator))
        if run.json()["status"] != "running":
            break
    assert run.json()["status"] == "failed"
    assert "mirror has not begun" in run.json()["failure"]


async def test_every_filter_narrows_its_list_and_its_pages(real_app: RealNode) -> None:
    node = real_app
    for place in range(3):
        side = {"currency": "EUR", "amount": "10.00"}
        body = a_transfer(node, await a_quote(node, sell=side))
        body["client_reference"] = f"rent-{place}"
        made = await node.client.post(
            "/v1/transfers", headers=headers(node.partner, f"k{place}"), json=body
        )
        assert made.status_code == 201, made.text
    nobody = "cus_01jd0000000000000000000001"
    expected = {
        f"/v1/transfers?customer_id={node.customer_id}": 3,
        f"/v1/transfers?customer_id={nobody}": 0,
        "/v1/transfers?status=processing&state=funded": 3,
        "/v1/transfers?status=completed": 0,
        "/v1/transfers?client_reference=rent-1": 1,
        f"/v1/customers/{node.customer_id}/entries?currency=EUR": 1,
        f"/v1/customers/{node.customer_id}/entries?currency=USD": 0,
        f"/v1/ledger/accounts?path=customer/{node.customer_id}": 1,
        "/v1/ledger/accounts?path=nothing%25": 0,
        "/v1/ledger/accounts?currency=JPY": 0,
        "/v1/reconciliation/breaks?status=open&code=B04": 0,
    }
    for path, count in expected.items():
        response = await node.client.get(path, headers=headers(node.operator))
        assert response.status_code == 200, (path, response.text)
        assert len(response.json()["data"]) == count, path
    seen = []
    cursor = ""
    while True:
        page = await node.client.get(
            f"/v1/transfers?limit=2&customer_id={node.customer_id}{cursor}",
            headers=headers(node.remitter),
        )
        seen += [each["client_reference"] for each in page.json()["data"]]
        if page.json()["next_cursor"] is None:
            break
        cursor = f"&cursor={page.json()['next_cursor']}"
    assert seen == ["rent-2", "rent-1", "rent-0"]
    malformed = await node.client.get(
        "/v1/transfers?customer_id=me", headers=headers(node.operator)
    )
    assert (malformed.status_code, malformed.json()["code"]) == (422, "invalid_query")


async def test_top_ups_and_the_parts_of_a_transfer_are_told_apart(real_app: RealNode) -> None:
    node = real_app
    path = f"/v1/customers/{node.customer_id}/top-ups"
    for place in range(2):
        body = {
            "currency": "EUR",
            "amount": "5.00",
            "rail": "sandbox_bank",
            "reference": f"more-{place}",
        }
        booked = await node.client.post(
            path, headers=headers(node.operator, f"t{place}"), json=body
        )
        shown = await node.client.get(booked.headers["location"], headers=headers(node.remitter))
        assert shown.json() == booked.json()
        theirs = await node.client.get(booked.headers["location"], headers=headers(node.stranger))
        assert theirs.status_code == 404
    seen: list[str] = []
    cursor = ""
    while True:
        page = await node.client.get(f"{path}?limit=2{cursor}", headers=headers(node.remitter))
        seen += [each["reference"] for each in page.json()["data"]]
        if page.json()["next_cursor"] is None:
            break
        cursor = f"&cursor={page.json()['next_cursor']}"
    assert seen == ["more-1", "more-0", "first"]
    lines = await node.client.get(
        f"/v1/customers/{node.customer_id}/entries", headers=headers(node.remitter)
    )
    told = [(each["kind"], each["part"], each["amount"]) for each in lines.json()["data"]]
    assert told == [("top_up", "deposit", amount) for amount in ("5.00", "5.00", "1000.00")]
    assert len({each["id"] for each in lines.json()["data"]}) == 3


async def test_a_repeated_token_request_with_a_key_answers_409_with_the_key_id(
    real_app: RealNode,
) -> None:
    node = real_app
    path = f"/v1/customers/{node.customer_id}/tokens"
    first = await node.client.post(path, headers=headers(node.partner, "token"))
    again = await node.client.post(path, headers=headers(node.partner, "token"))
    assert (first.status_code, again.status_code) == (201, 409)
    assert again.json()["code"] == "token_already_created"
    assert again.json()["key_id"] == first.json()["key_id"]
    works = await node.client.get("/v1/transfers", headers=headers(first.json()["token"]))
    assert works.status_code == 200
