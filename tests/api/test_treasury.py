"""Treasury movements and rules over HTTP: what is refused before anything is asked for."""

import httpx
import pytest

from node.api.treasury_examples import MOVEMENT_BODY, RULE_BODY

AS_OPERATOR = {"Authorization": "Bearer operator-key"}
AS_PARTNER = {"Authorization": "Bearer partner-key"}


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"mark": "0.0000000001"}, ["/mark"]),
        ({"mark": "1,5", "daily_limit": "-1"}, ["/daily_limit", "/mark"]),
        ({"fill_to": "1e3"}, ["/fill_to"]),
        ({"currency": "XXX"}, ["/currency"]),
        ({"kind": "sweep"}, ["/kind"]),
    ],
)
async def test_a_rule_with_a_wrong_member_is_refused_and_each_fault_is_named(
    client: httpx.AsyncClient, changes: dict[str, str], pointers: list[str]
) -> None:
    answer = await client.post(
        "/v1/settlement/rules", headers=AS_OPERATOR, json={**RULE_BODY, **changes}
    )
    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == pointers


async def test_a_rule_without_a_target_fills_every_lane(client: httpx.AsyncClient) -> None:
    body = {name: value for name, value in RULE_BODY.items() if name != "to"}
    made = await client.post("/v1/settlement/rules", headers=AS_OPERATOR, json=body)
    assert (made.status_code, made.json()["to"]) == (201, None)
    assert made.json()["limit_left"] == RULE_BODY["daily_limit"]
    shown = await client.get(made.headers["location"], headers=AS_OPERATOR)
    assert shown.json()["id"] == made.json()["id"]


@pytest.mark.parametrize("path", ["movements", "rules"])
async def test_only_operators_see_and_make_movements_and_rules(
    client: httpx.AsyncClient, path: str
) -> None:
    body = MOVEMENT_BODY if path == "movements" else RULE_BODY
    asked = await client.post(f"/v1/settlement/{path}", headers=AS_PARTNER, json=body)
    seen = await client.get(f"/v1/settlement/{path}", headers=AS_PARTNER)
    assert (asked.status_code, seen.status_code) == (403, 403)


@pytest.mark.parametrize("query", ["state=lost", "kind=gift"])
async def test_an_unknown_filter_of_movements_is_422(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/v1/settlement/movements?{query}", headers=AS_OPERATOR)
    assert answer.status_code == 422


async def test_a_movement_shows_why_it_waits_and_what_made_it(client: httpx.AsyncClient) -> None:
    page = (await client.get("/v1/settlement/movements", headers=AS_OPERATOR)).json()
    (movement,) = page["data"]
    assert movement["waiting"] == "paused"
    assert movement["rule_id"].startswith("rul_")
