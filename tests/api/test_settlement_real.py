"""Settlement's views and figures as `corridor serve` wires them, over PostgreSQL; no chain."""

import httpx

from tests.api.conftest import RealNode


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def funded(node: RealNode) -> str:
    """A transfer that waits for a batch."""
    headers = {**bearer(node.remitter), "Idempotency-Key": "one"}
    body = {"sell": {"currency": "EUR", "amount": "200.00"}, "buy": {"currency": "USDC"}}
    quote = await node.client.post("/v1/quotes", headers=bearer(node.remitter), json=body)
    person = {"name": "Bea", "country": "PH", "address": "0x" + "11" * 20}
    made = await node.client.post(
        "/v1/transfers",
        headers=headers,
        json={"quote_id": quote.json()["id"], "beneficiary": person},
    )
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def get(node: RealNode, path: str) -> httpx.Response:
    return await node.client.get(path, headers=bearer(node.operator))


async def test_a_node_whose_worker_never_ran_is_shown(real_app: RealNode) -> None:
    await funded(real_app)
    look = (await get(real_app, "/v1/settlement")).json()
    (row,) = look["transfers"]
    assert (row["state"], row["waiting"], row["count"]) == ("funded", None, 1)
    assert look["contract"]["balance"] is None
    assert [each["role"] for each in look["addresses"]] == ["contract", "settle"]
    assert look["lanes"] == []
    assert [each["code"] for each in look["alerts"]] == ["lane_idle"]
    assert (await get(real_app, "/v1/settlement/lanes")).json() == {"data": [], "pauses": []}
    assert (await get(real_app, "/v1/settlement/batches")).json()["data"] == []
    spending = (await get(real_app, "/v1/settlement/spending")).json()
    assert (spending["total"]["payments"], spending["purposes"]) == (0, [])


async def test_a_pause_is_an_alert_and_a_figure_at_once(real_app: RealNode) -> None:
    await real_app.client.post(
        "/v1/settlement/pause",
        headers=bearer(real_app.operator),
        json={"hard": True, "note": "a look"},
    )
    look = (await get(real_app, "/v1/settlement")).json()
    assert [each["code"] for each in look["alerts"]] == ["paused", "lane_idle"]
    assert "a look" in look["alerts"][0]["seen"]
    page = (await real_app.client.get("/metrics")).text
    assert 'corridor_settlement_paused{reason="operator"} 1.0' in page
    assert "corridor_settlement_paused_hard 1.0" in page


async def test_what_waits_is_in_the_figures(real_app: RealNode) -> None:
    await funded(real_app)
    page = (await real_app.client.get("/metrics")).text
    assert 'corridor_settlement_transfers{state="funded",waiting="none"} 1.0' in page
    assert "corridor_provider_up{" in page


async def test_a_cursor_of_batches_serves_no_other_filter(real_app: RealNode) -> None:
    refused = await get(real_app, "/v1/settlement/batches?cursor=nonsense")
    assert (refused.status_code, refused.json()["code"]) == (422, "cursor_invalid")


async def test_only_operators_see_settlement(real_app: RealNode) -> None:
    for path in ("", "/lanes", "/batches", "/spending", "/adoption"):
        for secret in (real_app.partner, real_app.remitter):
            refused = await real_app.client.get(f"/v1/settlement{path}", headers=bearer(secret))
            assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
