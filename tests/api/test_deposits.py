"""Deposits over HTTP: what is refused, who sees what, and a whole node without a chain."""

import httpx
import pytest

from node.api.deposit_examples import ATTRIBUTION_BODY, REQUEST_BODY
from node.store.database import Database
from tests.api.conftest import RealNode, open_client
from tests.api.fake_world import ANA_ID
from tests.api.fakes import FakeNode
from tests.builders import CHAIN_ID

AS_OPERATOR = {"Authorization": "Bearer operator-key"}
AS_PARTNER = {"Authorization": "Bearer partner-key"}
AS_STRANGER = {"Authorization": "Bearer stranger-key"}
AS_REMITTER = {"Authorization": "Bearer remitter-key"}
REQUESTS = f"/v1/customers/{ANA_ID}/payment-requests"
REQUEST = "/v1/payment-requests/req_01kanv8q6dfk5vbz2m3n8r1c4x"
DEPOSIT = "/v1/deposits/dep_01kanv8q6dfk5vbz2m3n8r1c4x"


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"currency": "EUR"}, ["/currency"]),
        ({"amount": "1e3"}, ["/amount"]),
        ({"amount": "1.0000001"}, ["/amount"]),
        ({"reference": ""}, ["/reference"]),
        ({"expires_in_s": 59}, ["/expires_in_s"]),
        ({"expires_in_s": 30 * 86_400 + 1}, ["/expires_in_s"]),
        ({"payer": "0x"}, ["/payer"]),
    ],
)
async def test_a_payment_request_with_a_wrong_member_is_refused_by_name(
    client: httpx.AsyncClient, changes: dict[str, object], pointers: list[str]
) -> None:
    answer = await client.post(REQUESTS, headers=AS_PARTNER, json={**REQUEST_BODY, **changes})
    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == pointers


async def test_a_payment_request_has_an_address_and_a_location(client: httpx.AsyncClient) -> None:
    made = await client.post(REQUESTS, headers=AS_REMITTER, json=REQUEST_BODY)
    assert made.status_code == 201
    assert made.json()["amount"] == "100.000000"
    assert made.json()["address"].startswith("0x")
    assert made.headers["location"] == f"/v1/payment-requests/{made.json()['id']}"
    again = await client.post(REQUESTS, headers=AS_REMITTER, json=REQUEST_BODY)
    assert (again.status_code, again.json()["code"]) == (409, "request_reference_used")
    assert again.json()["payment_request_id"] == made.json()["id"]


async def test_anothers_customer_does_not_exist(client: httpx.AsyncClient) -> None:
    paths = (f"/v1/customers/{ANA_ID}/deposit-address", f"/v1/customers/{ANA_ID}/deposits")
    for path in paths:
        assert (await client.get(path, headers=AS_STRANGER)).status_code == 404
        assert (await client.get(path, headers=AS_REMITTER)).status_code == 200
    made = await client.post(REQUESTS, headers=AS_STRANGER, json=REQUEST_BODY)
    assert made.status_code == 404


async def test_a_node_without_the_contract_says_so(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    fake_node.deposits.offers = False
    answer = await client.get(f"/v1/customers/{ANA_ID}/deposit-address", headers=AS_PARTNER)
    assert (answer.status_code, answer.json()["code"]) == (422, "deposits_not_offered")


async def test_only_operators_say_whose_a_deposit_is(client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "first"}
    for who in (AS_PARTNER, AS_REMITTER):
        answer = await client.post(
            f"{DEPOSIT}/attribute", headers={**who, **key}, json=ATTRIBUTION_BODY
        )
        assert answer.status_code == 403
    answer = await client.post(
        f"{DEPOSIT}/attribute", headers={**AS_OPERATOR, **key}, json=ATTRIBUTION_BODY
    )
    assert (answer.status_code, answer.json()["status"]) == (200, "credited")
    assert answer.json()["customer_id"] == ATTRIBUTION_BODY["customer_id"]


@pytest.mark.parametrize(
    "owners", [{}, {"customer_id": ANA_ID, "partner_id": "par_01kanv8q6dfk5vbz2m3n8r1c4x"}]
)
async def test_a_deposit_is_attributed_to_exactly_one(
    client: httpx.AsyncClient, owners: dict[str, str]
) -> None:
    answer = await client.post(
        f"{DEPOSIT}/attribute",
        headers={**AS_OPERATOR, "Idempotency-Key": "first"},
        json={"reason": "theirs", **owners},
    )
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "one_owner")


async def test_what_moves_money_needs_an_idempotency_key_and_is_done_once(
    client: httpx.AsyncClient,
) -> None:
    path = f"{REQUEST}/accept"
    assert (await client.post(path, headers=AS_REMITTER, json={})).status_code == 400
    headers = {**AS_REMITTER, "Idempotency-Key": "first"}
    first = await client.post(path, headers=headers, json={})
    again = await client.post(path, headers=headers, json={})
    assert first.json() == again.json()
    assert (first.json()["status"], again.headers["idempotent-replayed"]) == ("accepted", "true")


async def test_lists_are_for_those_they_concern(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/deposits", headers=AS_REMITTER)).status_code == 403
    assert (await client.get("/v1/deposit-address", headers=AS_OPERATOR)).status_code == 403
    own = await client.get("/v1/deposit-address", headers=AS_PARTNER)
    assert own.json()["partner_id"].startswith("par_")
    page = (await client.get("/v1/payment-requests", headers=AS_REMITTER)).json()
    assert page["data"][0]["other_tokens"] is None
    assert (await client.get(f"{DEPOSIT[:-1]}y", headers=AS_OPERATOR)).status_code == 200
    assert (await client.get("/v1/deposits?status=lost", headers=AS_OPERATOR)).status_code == 422


async def begin_mirror(database_url: str) -> None:
    """A mirror that has begun, as far as the API asks."""
    database = Database.at(database_url)
    async with database.transaction() as connection:
        await connection.raw.execute(
            "INSERT INTO chain_cursor (chain_id, start_number, head_number, head_hash,"
            " final_number, final_hash) VALUES ($1, 1, 1, $2, 1, $2)",
            CHAIN_ID,
            bytes(32),
        )
    await database.close()


async def test_the_real_node_keeps_requests_by_owner(
    deposits_app: RealNode, database_url: str
) -> None:
    node = deposits_app
    path = f"/v1/customers/{node.customer_id}"
    client = open_client(node.app)
    async with client:
        partner, stranger = bearer(node.partner), bearer(node.stranger)
        operator, remitter = bearer(node.operator), bearer(node.remitter)
        early = await client.get(f"{path}/deposit-address", headers=partner)
        assert (early.status_code, early.json()["code"]) == (503, "chain_unavailable")
        await begin_mirror(database_url)
        address = (await client.get(f"{path}/deposit-address", headers=partner)).json()
        again = (await client.get(f"{path}/deposit-address", headers=remitter)).json()
        assert address == again
        assert address["customer_id"] == node.customer_id
        key = {"Idempotency-Key": "first"}
        made = await client.post(
            f"{path}/payment-requests", headers={**partner, **key}, json=REQUEST_BODY
        )
        assert made.status_code == 201, made.text
        replayed = await client.post(
            f"{path}/payment-requests", headers={**partner, **key}, json=REQUEST_BODY
        )
        assert replayed.json() == made.json()
        assert made.json()["address"] != address["address"]
        used = await client.post(f"{path}/payment-requests", headers=remitter, json=REQUEST_BODY)
        assert used.json()["code"] == "request_reference_used"
        shown = made.headers["location"]
        for who, status in ((partner, 200), (remitter, 200), (operator, 200), (stranger, 404)):
            assert (await client.get(shown, headers=who)).status_code == status
        own = await client.post("/v1/payment-requests", headers=partner, json=REQUEST_BODY)
        assert (own.status_code, own.json()["partner_id"]) == (201, node.partner_id)
        listed = (await client.get("/v1/payment-requests?limit=1", headers=partner)).json()
        cursor = listed["next_cursor"]
        rest = await client.get(f"/v1/payment-requests?limit=1&cursor={cursor}", headers=partner)
        ids = [each["id"] for each in (*listed["data"], *rest.json()["data"])]
        assert ids == [own.json()["id"], made.json()["id"]]
        mine = await client.get(
            f"/v1/payment-requests?customer_id={node.customer_id}&status=awaiting",
            headers=operator,
        )
        assert [each["id"] for each in mine.json()["data"]] == [made.json()["id"]]
        none = (await client.get("/v1/payment-requests", headers=stranger)).json()
        assert none["data"] == []
        too_much = {**REQUEST_BODY, "reference": "x", "amount": "1000000000.000001"}
        refused = await client.post(f"{path}/payment-requests", headers=partner, json=too_much)
        assert refused.json()["code"] == "amount_out_of_range"
        events = (await client.get("/v1/events", headers=partner)).json()["data"]
        assert [each["type"] for each in events] == ["request.created", "request.created"]
        assert {each["object_id"] for each in events} == set(ids)


async def test_the_real_node_without_the_contract_offers_no_deposits(real_app: RealNode) -> None:
    path = f"/v1/customers/{real_app.customer_id}/deposit-address"
    answer = await real_app.client.get(path, headers=bearer(real_app.partner))
    assert (answer.status_code, answer.json()["code"]) == (422, "deposits_not_offered")


def bearer(secret: str) -> dict[str, str]:
    """The header of a credential."""
    return {"Authorization": f"Bearer {secret}"}
