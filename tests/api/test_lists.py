"""Lists in pages, and who sees what."""

from dataclasses import replace

import httpx
import pytest

from node.api.ledger_views import movement_line_view
from tests.api.fake_operations import AN_ENTRY
from tests.api.fake_world import CATALOG

AS_PARTNER = {"Authorization": "Bearer partner-key"}
AS_STRANGER = {"Authorization": "Bearer stranger-key"}


async def test_pages_show_every_customer_once_while_others_are_added(
    client: httpx.AsyncClient,
) -> None:
    made = []
    for n in range(7):
        body = {"name": f"Ana {n}", "country": "DE"}
        answer = await client.post("/v1/customers", headers=AS_PARTNER, json=body)
        made.append(answer.json()["id"])
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await client.get(f"/v1/customers?limit=3{cursor}", headers=AS_PARTNER)).json()
        seen += [each["id"] for each in page["data"]]
        await client.post(
            "/v1/customers", headers=AS_PARTNER, json={"name": "Late", "country": "DE"}
        )
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen)) == 8  # and the one there was before
    assert set(made) <= set(seen)


async def test_a_cursor_of_another_list_or_filter_is_422(client: httpx.AsyncClient) -> None:
    for n in range(3):
        await client.post(
            "/v1/customers", headers=AS_PARTNER, json={"name": f"A{n}", "country": "DE"}
        )
    page = (await client.get("/v1/customers?limit=1", headers=AS_PARTNER)).json()
    cursor = page["next_cursor"]
    for path in (
        f"/v1/transfers?cursor={cursor}",
        f"/v1/transfers?status=completed&cursor={cursor}",
        "/v1/customers?cursor=nonsense",
        f"/v1/customers?cursor={cursor}x",
    ):
        response = await client.get(path, headers=AS_PARTNER)
        assert (response.status_code, response.json()["code"]) == (422, "cursor_invalid")
    other_limit = await client.get(f"/v1/customers?limit=2&cursor={cursor}", headers=AS_PARTNER)
    assert other_limit.status_code == 200


async def test_another_owners_object_does_not_exist(client: httpx.AsyncClient) -> None:
    made = await client.post(
        "/v1/customers", headers=AS_PARTNER, json={"name": "Ana", "country": "DE"}
    )
    path = f"/v1/customers/{made.json()['id']}"
    theirs = await client.get(path, headers=AS_STRANGER)
    nobodys = await client.get("/v1/customers/cus_01jd0000000000000000000001", headers=AS_STRANGER)
    assert (theirs.status_code, theirs.json()["code"]) == (404, "not_found")
    assert theirs.json()["detail"] == nobodys.json()["detail"]
    assert (await client.get("/v1/customers", headers=AS_STRANGER)).json()["data"] == []


async def test_events_say_from_where_to_go_on(client: httpx.AsyncClient) -> None:
    page = (await client.get("/v1/events?after=41", headers=AS_PARTNER)).json()
    assert page == {"data": [], "next_after": 41}
    beyond = await client.get(f"/v1/events?after={2**63}", headers=AS_PARTNER)
    assert beyond.json()["errors"][0]["parameter"] == "after"


@pytest.mark.parametrize(
    ("counter_account", "part"),
    [
        ("bank/sandbox_bank/EUR", "deposit"),
        ("partner/par_x/EUR", "deposit"),
        ("suspense/31337/USDC", "deposit"),
        ("fx_position/EUR", "exchange"),
        ("deferred/spread/EUR", "spread"),
        ("deferred/fee/EUR", "fees"),
        ("capital/EUR", "other"),
    ],
)
def test_each_line_of_a_statement_is_one_understandable_part(
    counter_account: str, part: str
) -> None:
    row = replace(AN_ENTRY, counter_path=counter_account)
    assert movement_line_view(row, CATALOG)["part"] == part
