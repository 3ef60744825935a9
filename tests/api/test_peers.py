"""Transfers that partners pay out, on the wire: what is asked, shown, and refused."""

import httpx
import orjson
import pytest

from node.core.errors import NodeError, WrongState
from node.core.partner_legs import PartnerCorridor
from node.core.payout_orders import ChangeKind, PartnerRefused, PartnerUnavailable, Payee
from node.core.payouts import BankAccount
from node.core.units import Asset
from tests.api.fake_peers import signed_by_peer
from tests.api.fake_world import ANA_ID
from tests.api.fakes import FakeNode

PARTNER = {"Authorization": "Bearer partner-key"}
OPERATOR = {"Authorization": "Bearer operator-key"}
EVENT = orjson.dumps({"type": "payout.paid_out", "data": {"object": "payout"}})


async def a_transfer(client: httpx.AsyncClient, beneficiary: dict[str, object]) -> httpx.Response:
    sides = {"sell": {"currency": "EUR", "amount": "200.00"}, "buy": {"currency": "USDC"}}
    quote = await client.post("/v1/quotes", headers=PARTNER, json=sides)
    body = {
        "quote_id": quote.json()["id"],
        "customer_id": ANA_ID,
        "beneficiary": {"name": "Bea", "country": "PH", **beneficiary},
    }
    headers = {**PARTNER, "Idempotency-Key": quote.json()["id"]}
    return await client.post("/v1/transfers", headers=headers, json=body)


@pytest.mark.parametrize(
    "beneficiary",
    [
        {},
        {
            "address": "0x" + "11" * 20,
            "account": {"number": "001234567890", "bank_code": "BOPIPHMM"},
        },
    ],
)
async def test_a_beneficiary_has_an_address_or_an_account_and_not_both(
    client: httpx.AsyncClient, beneficiary: dict[str, object]
) -> None:
    answer = await a_transfer(client, beneficiary)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == "one_place"


async def test_an_account_on_a_quote_that_pays_on_chain_is_refused(
    client: httpx.AsyncClient,
) -> None:
    account = {"number": "001234567890", "bank_code": "BOPIPHMM"}
    answer = await a_transfer(client, {"account": account})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")
    assert answer.json()["errors"][0]["pointer"] == "/beneficiary"


async def test_a_quote_of_one_leg_shows_it_and_a_transfer_without_partner_has_no_payout(
    client: httpx.AsyncClient,
) -> None:
    made = (await a_transfer(client, {"address": "0x" + "11" * 20})).json()
    assert (made["payout"], made["beneficiary"]["account"]) == (None, None)
    quote = await client.get(f"/v1/quotes/{made['quote_id']}", headers=PARTNER)
    [leg] = quote.json()["legs"]
    assert (leg["partner"], leg["sell"], leg["buy"]) == (None, made["sell"], made["buy"])


async def test_a_webhook_of_a_partner_is_taken_when_it_signed_it(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    headers = {"Content-Type": "application/json", **signed_by_peer(EVENT)}
    taken = await client.post("/v1/peers/manila/events", headers=headers, content=EVENT)
    assert (taken.status_code, taken.json()) == (200, {"taken": True})
    assert fake_node.peers.heard == [EVENT]
    other = await client.post("/v1/peers/manila/events", headers=headers, content=EVENT + b" ")
    assert (other.status_code, other.json()["code"]) == (401, "webhook_unverified")
    nobody = await client.post("/v1/peers/nobody/events", headers=headers, content=EVENT)
    assert nobody.status_code == 404


async def test_only_operators_have_a_partner_asked_again(client: httpx.AsyncClient) -> None:
    made = (await a_transfer(client, {"address": "0x" + "11" * 20})).json()
    path = f"/v1/transfers/{made['id']}/ask-partner"
    assert (await client.post(path, headers={**PARTNER, "Idempotency-Key": "a"})).status_code == 403
    asked = await client.post(path, headers={**OPERATOR, "Idempotency-Key": "a"})
    assert (asked.status_code, asked.json()["id"]) == (200, made["id"])


CORRECTION = {
    "beneficiary": {
        "name": "Amihan",
        "country": "PH",
        "account": {"number": "001234567890", "bank_code": "BOPIPHMM"},
    }
}


async def test_a_transfer_is_corrected_and_asked_back_by_whoever_has_it(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    made = (await a_transfer(client, {"address": "0x" + "11" * 20})).json()
    path = f"/v1/transfers/{made['id']}"
    corrected = await client.post(
        f"{path}/correct", headers={**PARTNER, "Idempotency-Key": "a"}, json=CORRECTION
    )
    assert (corrected.status_code, corrected.json()["id"]) == (200, made["id"])
    asked = await client.post(f"{path}/refund", headers={**PARTNER, "Idempotency-Key": "b"})
    assert asked.status_code == 200
    [first, second] = fake_node.payout_changes.asked
    account = BankAccount("001234567890", "BOPIPHMM")
    assert (first.kind, first.payee) == (
        ChangeKind.CORRECT,
        Payee("Amihan", "PH", account),
    )
    assert (second.kind, second.payee, second.transfer_id) == (ChangeKind.REFUND, None, made["id"])
    bare = await client.post(f"{path}/refund", headers=PARTNER)
    assert (bare.status_code, bare.json()["code"]) == (400, "idempotency_key_missing")


@pytest.mark.parametrize(
    ("error", "status", "retryable"),
    [
        (WrongState("no", state="settled"), 409, False),
        (PartnerRefused("no", reason="wrong_state"), 422, False),
        (PartnerUnavailable("away"), 503, True),
    ],
)
async def test_what_the_partner_does_not_do_is_told_with_its_reason(
    client: httpx.AsyncClient, fake_node: FakeNode, error: NodeError, status: int, retryable: bool
) -> None:
    made = (await a_transfer(client, {"address": "0x" + "11" * 20})).json()
    fake_node.payout_changes.refuses = error
    answer = await client.post(
        f"/v1/transfers/{made['id']}/refund", headers={**PARTNER, "Idempotency-Key": "b"}
    )
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, error.code)
    assert problem["retryable"] is retryable
    for name, value in error.context.items():
        assert problem[name] == value


async def test_a_refund_policy_is_for_what_a_partner_pays_out(client: httpx.AsyncClient) -> None:
    quote = await client.post(
        "/v1/quotes",
        headers=PARTNER,
        json={"sell": {"currency": "EUR", "amount": "200.00"}, "buy": {"currency": "USDC"}},
    )
    body = {
        "quote_id": quote.json()["id"],
        "customer_id": ANA_ID,
        "beneficiary": {"name": "Bea", "country": "PH", "address": "0x" + "11" * 20},
        "refund_policy": "correct",
    }
    headers = {**PARTNER, "Idempotency-Key": "policy"}
    answer = await client.post("/v1/transfers", headers=headers, json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/refund_policy"


async def test_corridors_name_those_that_partners_pay_out(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    own = fake_node.services.catalog.corridor("EUR", "USDC")
    php = Asset("PHP", 2, "Philippine peso")
    fake_node.quoting.by_partners = [PartnerCorridor(own, php, "manila", frozenset({"PH"}))]
    listed = (await client.get("/v1/corridors")).json()["data"]
    [found] = [each for each in listed if each["payout"]["method"] == "partner"]
    assert (found["sell"], found["buy"]) == ("EUR", "PHP")
    assert (found["payout"]["partner"], found["payout"]["countries"]) == ("manila", ["PH"])
    [first] = [each for each in listed if (each["sell"], each["buy"]) == ("EUR", "USDC")]
    assert found["service_fee_bps"] == first["service_fee_bps"]
