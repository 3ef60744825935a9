"""Webhook endpoints over HTTP: what is refused, who sees what, and secrets that are shown once."""

import httpx
import pytest

from node.core.webhooks import secret_of
from tests.api.conftest import RealNode
from tests.api.fakes import FakeNode

ENDPOINTS = "/v1/webhook-endpoints"
ENDPOINT = f"{ENDPOINTS}/whe_01kanv8q6dfk5vbz2m3n8r1c4x"
BODY = {"url": "https://example.com/hook"}
AS_OPERATOR = {"Authorization": "Bearer operator-key"}
AS_PARTNER = {"Authorization": "Bearer partner-key"}
AS_REMITTER = {"Authorization": "Bearer remitter-key"}


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"url": ""}, ["/url"]),
        ({"url": 7}, ["/url"]),
        ({"url": "https://example.com/" + "a" * 2048}, ["/url"]),
        ({"events": ["Transfer"]}, ["/events/0"]),
        ({"events": ["transfer", "transfer."]}, ["/events/1"]),
        ({"events": ["transfer.settled.twice"]}, ["/events/0"]),
        ({"events": ["transfer%"]}, ["/events/0"]),
        ({"events": ["a"] * 33}, ["/events"]),
        ({"secret": "whsec_AAAA"}, ["/secret"]),
    ],
)
async def test_an_endpoint_with_a_wrong_member_is_refused_by_name(
    client: httpx.AsyncClient, changes: dict[str, object], pointers: list[str]
) -> None:
    answer = await client.post(ENDPOINTS, headers=AS_PARTNER, json={**BODY, **changes})
    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == pointers


async def test_filters_are_kept_and_a_refused_url_says_why(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    body = {**BODY, "events": ["transfer", "deposit.credited"]}
    made = await client.post(ENDPOINTS, headers=AS_PARTNER, json=body)
    assert made.status_code == 201
    assert made.json()["events"] == body["events"]
    assert fake_node.webhooks.asked[0].events == ("transfer", "deposit.credited")
    assert made.headers["location"] == f"{ENDPOINTS}/{made.json()['id']}"
    refused = await client.post(ENDPOINTS, headers=AS_PARTNER, json={"url": "http://a.example/"})
    assert (refused.status_code, refused.json()["code"]) == (422, "webhook_url_refused")


async def test_remitters_have_no_webhooks(client: httpx.AsyncClient) -> None:
    for path in (ENDPOINTS, ENDPOINT, f"{ENDPOINT}/deliveries"):
        assert (await client.get(path, headers=AS_REMITTER)).status_code == 403
    assert (await client.post(ENDPOINTS, headers=AS_REMITTER, json=BODY)).status_code == 403


async def test_a_rotation_keeps_the_secret_before_for_a_week_at_most(
    client: httpx.AsyncClient,
) -> None:
    path = f"{ENDPOINT}/rotate-secret"
    for wrong in (-1, 7 * 86_400 + 1, "1", 1.5):
        answer = await client.post(path, headers=AS_PARTNER, json={"keep_previous_s": wrong})
        assert answer.status_code == 422
    answer = await client.post(path, headers=AS_PARTNER, json={})
    assert answer.status_code == 200


async def test_figures_of_webhooks_are_on_the_page_of_metrics(client: httpx.AsyncClient) -> None:
    page = (await client.get("/metrics")).text
    assert "\ncorridor_webhooks_pending 3.0\n" in page
    assert "\ncorridor_webhooks_dead 2.0\n" in page
    assert "\ncorridor_webhooks_oldest_pending_age_seconds 61.0\n" in page
    assert "\ncorridor_webhooks_endpoints_failing 1.0\n" in page
    assert "\ncorridor_webhooks_endpoints_disabled 4.0\n" in page


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def test_a_secret_is_shown_once_and_a_repeated_request_says_so(
    hooked_app: RealNode,
) -> None:
    node, headers = hooked_app, bearer(hooked_app.partner)
    keyed = {**headers, "Idempotency-Key": "first"}
    made = await node.client.post(ENDPOINTS, headers=keyed, json=BODY)
    assert made.status_code == 201, made.text
    assert len(secret_of(made.json()["secret"])) == 32
    assert made.json()["public_key"].startswith("whpk_")
    assert made.json()["partner_id"] == node.partner_id
    again = await node.client.post(ENDPOINTS, headers=keyed, json=BODY)
    assert (again.status_code, again.json()["code"]) == (409, "secret_already_shown")
    assert again.json()["webhook_endpoint_id"] == made.json()["id"]
    path = f"{ENDPOINTS}/{made.json()['id']}"
    shown = (await node.client.get(path, headers=headers)).json()
    assert "secret" not in shown
    assert shown.items() <= made.json().items()
    rotated = await node.client.post(f"{path}/rotate-secret", headers=headers, json={})
    assert rotated.json()["secret"] != made.json()["secret"]
    assert rotated.json()["public_key"] != made.json()["public_key"]
    assert rotated.json()["previous_until"] is not None
    page = (await node.client.get(ENDPOINTS, headers=headers)).json()
    assert [each["id"] for each in page["data"]] == [made.json()["id"]]


async def test_an_endpoint_is_its_partners_and_every_operators(hooked_app: RealNode) -> None:
    node = hooked_app
    made = await node.client.post(ENDPOINTS, headers=bearer(node.partner), json=BODY)
    path = f"{ENDPOINTS}/{made.json()['id']}"
    told = await node.client.post(f"{path}/test", headers=bearer(node.partner), json={})
    assert told.status_code == 201, told.text
    delivery = f"/v1/webhook-deliveries/{told.json()['id']}"
    assert told.headers["location"] == delivery
    reads = (path, f"{path}/deliveries", delivery)
    writes = {
        f"{path}/rotate-secret": {},
        f"{path}/test": {},
        f"{path}/redeliver-since": {"after": 0},
        f"{delivery}/redeliver": {},
        f"{path}/disable": {},
        f"{path}/enable": {},
    }
    for secret, is_own in ((node.stranger, False), (node.operator, True), (node.partner, True)):
        for read in reads:
            answer = await node.client.get(read, headers=bearer(secret))
            assert answer.status_code == (200 if is_own else 404), read
        if not is_own:
            for write, body in writes.items():
                answer = await node.client.post(write, headers=bearer(secret), json=body)
                assert answer.status_code == 404, write
    assert (await node.client.get(ENDPOINTS, headers=bearer(node.stranger))).json()["data"] == []
    assert (
        len((await node.client.get(ENDPOINTS, headers=bearer(node.operator))).json()["data"]) == 1
    )


async def test_an_operator_makes_one_for_a_partner_and_a_partner_for_no_other(
    hooked_app: RealNode,
) -> None:
    node = hooked_app
    for_partner = {**BODY, "partner_id": node.partner_id}
    made = await node.client.post(ENDPOINTS, headers=bearer(node.operator), json=for_partner)
    assert made.json()["partner_id"] == node.partner_id
    own = await node.client.post(ENDPOINTS, headers=bearer(node.operator), json=BODY)
    assert own.json()["partner_id"] is None
    for secret in (node.stranger, node.operator):
        unknown = {**BODY, "partner_id": "par_01kanv8q6dfk5vbz2m3n8r1c4x"}
        body = for_partner if secret == node.stranger else unknown
        answer = await node.client.post(ENDPOINTS, headers=bearer(secret), json=body)
        assert answer.status_code == 404


async def test_nothing_is_sent_into_the_nodes_own_network(hooked_app: RealNode) -> None:
    for url in ("http://example.com/", "https://127.0.0.1/", "https://[::ffff:10.0.0.1]/"):
        answer = await hooked_app.client.post(
            ENDPOINTS, headers=bearer(hooked_app.partner), json={"url": url}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "webhook_url_refused")


async def test_a_disabled_endpoint_is_enabled_again_and_refuses_tests_meanwhile(
    hooked_app: RealNode,
) -> None:
    client, headers = hooked_app.client, bearer(hooked_app.partner)
    made = await client.post(ENDPOINTS, headers=headers, json=BODY)
    path = f"{ENDPOINTS}/{made.json()['id']}"
    await client.post(f"{path}/test", headers=headers, json={})
    for _ in range(2):
        off = await client.post(f"{path}/disable", headers=headers, json={})
        assert (off.json()["status"], off.json()["disabled_reason"]) == (
            "disabled",
            "by its partner",
        )
    refused = await client.post(f"{path}/test", headers=headers, json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
    page = await client.get(f"{path}/deliveries?status=canceled", headers=headers)
    assert len(page.json()["data"]) == 1
    listed = await client.get(f"{ENDPOINTS}?status=active", headers=headers)
    assert listed.json()["data"] == []
    on = await client.post(f"{path}/enable", headers=headers, json={})
    assert (on.json()["status"], on.json()["disabled_reason"]) == ("active", None)
    told = await client.post(f"{path}/test", headers=headers, json={})
    again = await client.post(
        f"/v1/webhook-deliveries/{told.json()['id']}/redeliver", headers=headers, json={}
    )
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")


async def test_a_node_without_a_key_for_secrets_offers_none(real_app: RealNode) -> None:
    answer = await real_app.client.post(ENDPOINTS, headers=bearer(real_app.partner), json=BODY)
    assert (answer.status_code, answer.json()["code"]) == (503, "webhooks_not_offered")
    assert answer.json()["retryable"] is False


async def test_lists_go_on_page_by_page(hooked_app: RealNode) -> None:
    client, headers = hooked_app.client, bearer(hooked_app.partner)
    made = await client.post(ENDPOINTS, headers=headers, json=BODY)
    path = f"{ENDPOINTS}/{made.json()['id']}"
    ids = [
        (await client.post(f"{path}/test", headers=headers, json={})).json()["id"] for _ in range(3)
    ]
    seen, query = [], "?limit=2"
    while query:
        page = (await client.get(f"{path}/deliveries{query}", headers=headers)).json()
        seen += [each["id"] for each in page["data"]]
        query = f"?limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    assert seen == ids[::-1]
