"""A reorg past finality over HTTP: one operator proposes, another accepts, nobody else sees it."""

import httpx

from tests.api.fake_mirror import THEIRS

OLGA = {"Authorization": "Bearer operator-key"}
OTTO = {"Authorization": "Bearer second-operator-key"}
PATH = "/v1/mirror/reorgs"
BODY = {"block_hash": f"0x{THEIRS.hex()}", "reason": "all providers agree"}


async def test_the_mirror_says_where_and_why_it_stands(client: httpx.AsyncClient) -> None:
    found = (await client.get("/v1/mirror", headers=OLGA)).json()
    assert (found["halted"], found["epoch"], found["proposal"]) == ("deep_reorg", 0, None)
    assert found["final"] == {"block_number": 40, "block_hash": "0x" + "0a" * 32}
    assert [each["head"] for each in found["providers"]] == [44]


async def test_one_operator_proposes_and_another_accepts(client: httpx.AsyncClient) -> None:
    made = await client.post(PATH, headers=OLGA, json=BODY)
    assert made.status_code == 201
    proposed = made.json()
    assert made.headers["location"] == f"{PATH}/{proposed['id']}"
    assert (proposed["state"], proposed["reason"]) == ("proposed", BODY["reason"])
    assert proposed["fork"]["block_number"] == 38
    plan = proposed["plan"]
    assert [each["amount"] for each in plan["payments"]] == ["230.074048"]
    assert [each["amount"] for each in plan["accounts"]] == ["-230.074048"]
    assert [each["amount"] for each in plan["shortfalls"]] == ["0.000005"]
    assert plan["gas"] == "0.000096000"
    shown = (await client.get("/v1/mirror", headers=OTTO)).json()
    assert shown["proposal"] == proposed

    alone = await client.post(f"{PATH}/{proposed['id']}/accept", headers=OLGA, json={})
    assert (alone.status_code, alone.json()["code"]) == (409, "second_person_needed")
    done = await client.post(f"{PATH}/{proposed['id']}/accept", headers=OTTO, json={})
    assert done.status_code == 200
    accepted = done.json()
    assert (accepted["state"], accepted["epoch"]) == ("accepted", 1)
    assert (accepted["proposed_by"], accepted["accepted_by"]) == ("operator:ops", "operator:otto")
    again = await client.post(f"{PATH}/{proposed['id']}/accept", headers=OTTO, json={})
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")
    assert (await client.get(made.headers["location"], headers=OLGA)).json() == accepted
    listed = await client.get(f"{PATH}?state=accepted", headers=OLGA)
    assert listed.json() == {"data": [accepted], "next_cursor": None}
    assert (await client.get(f"{PATH}?state=proposed", headers=OLGA)).json()["data"] == []


async def test_an_answer_that_was_lost_is_given_again(client: httpx.AsyncClient) -> None:
    proposed = (await client.post(PATH, headers=OLGA, json=BODY)).json()
    with_key = {**OTTO, "Idempotency-Key": "accept-1"}
    first = await client.post(f"{PATH}/{proposed['id']}/accept", headers=with_key, json={})
    second = await client.post(f"{PATH}/{proposed['id']}/accept", headers=with_key, json={})
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert second.headers["idempotent-replayed"] == "true"


async def test_a_block_that_is_not_the_chains_is_refused_and_says_who_has_what(
    client: httpx.AsyncClient,
) -> None:
    refused = await client.post(PATH, headers=OLGA, json={"block_hash": "0x" + "01" * 32})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert refused.json()["providers"] == {"127.0.0.1:8545": "0x0b"}
    for wrong in ("0x01", "0b" * 32, "0x" + "zz" * 32):
        answer = await client.post(PATH, headers=OLGA, json={"block_hash": wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")


async def test_an_unknown_reorg_is_not_there(client: httpx.AsyncClient) -> None:
    for path in (f"{PATH}/reo_01jd0000000000000000000001", f"{PATH}/nothing"):
        assert (await client.get(path, headers=OLGA)).status_code == 404


async def test_only_operators_see_and_decide(client: httpx.AsyncClient) -> None:
    as_partner = {"Authorization": "Bearer partner-key"}
    for answer in (
        await client.get("/v1/mirror", headers=as_partner),
        await client.get(PATH, headers=as_partner),
        await client.post(PATH, headers=as_partner, json=BODY),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
