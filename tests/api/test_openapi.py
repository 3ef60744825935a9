"""The document describes the behaviour: a snapshot, its examples, and every answer against it."""

import json
import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from node.api.bank_examples import LINE_ID, STATEMENT_ID
from node.api.bulk_examples import BULK_ID
from node.api.deposit_examples import DEPOSIT_ID, REQUEST_ID
from node.api.examples import BATCH_ID, BREAK_ID, MOVEMENT_ID, RULE_ID, RUN_ID, TOP_UP_BODY
from node.api.mirror_examples import REORG_BODY
from node.api.openapi import document, errors_of
from node.api.operations import KeyRule, Operation
from node.api.partner_examples import KEY_ID, SIGNING_KEY_ID
from node.api.payout_examples import PAYOUT_ID, REFUND_ID
from node.api.problems import status_of
from node.api.routes import OPERATIONS
from node.api.webhook_examples import DELIVERY_ID, ENDPOINT_ID
from node.core.parties import Role
from tests.api.fake_partners import SHOP_ID
from tests.api.fake_peers import signed_by_peer
from tests.api.fake_world import ANA_ID

SNAPSHOT = Path(__file__).parent / "openapi.json"
DOCUMENT = json.loads(json.dumps(document(OPERATIONS)))
SECRET_OF = {
    Role.OPERATOR: "operator-key",
    Role.PARTNER: "partner-key",
    Role.REMITTER: "remitter-key",
}
QUOTE = {"sell": {"currency": "EUR", "amount": "200.00"}, "buy": {"currency": "USDC"}}
NAMES = [f"{each.method} {each.path}" for each in OPERATIONS]


def fits(kind: Any, value: object) -> bool:
    """Whether a JSON value has exactly the members of a type, each of its own type."""
    return bool(TypeAdapter(kind).validate_python(value, strict=True) == value)


def test_the_document_is_the_one_last_agreed_on() -> None:
    """`CORRIDOR_SNAPSHOT=1` writes it anew; read the difference before it is committed."""
    if "CORRIDOR_SNAPSHOT" in os.environ:  # noqa: TID251 - a switch of this test
        SNAPSHOT.write_text(json.dumps(DOCUMENT, indent=1, sort_keys=True) + "\n")
    assert json.loads(SNAPSHOT.read_text()) == DOCUMENT


def test_the_document_is_openapi_3_1_with_one_name_for_each_operation() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    names = [each["operationId"] for path in DOCUMENT["paths"].values() for each in path.values()]
    assert len(names) == len(set(names))
    assert {each.handler.__name__ for each in OPERATIONS} <= set(names)


async def test_pages_for_anyone_are_described_and_are_what_they_are_said_to_be(
    client: httpx.AsyncClient,
) -> None:
    operations = {each.path for each in OPERATIONS}
    pages = {path: each for path, each in DOCUMENT["paths"].items() if path not in operations}
    assert set(pages) == {
        "/metrics", "/openapi.json", "/docs", "/docs/problems", "/docs/reference",
    }  # fmt: skip
    for path, each in pages.items():
        response = await client.get(path)
        (media_type,) = each["get"]["responses"]["200"]["content"]
        assert response.status_code == 200
        assert response.headers["content-type"].startswith(media_type)


def test_every_reference_leads_somewhere() -> None:
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT))):
        place = DOCUMENT
        for step in reference.split("/"):
            assert step in place, reference
            place = place[step]


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_every_operation_is_described_with_examples_that_fit(operation: Operation) -> None:
    described = DOCUMENT["paths"][operation.path][operation.method.lower()]
    assert described["summary"]
    assert fits(operation.answer, operation.example.answer)
    if operation.uploads:
        assert set(operation.uploads) == set(described["requestBody"]["content"])
        assert operation.example.files
        assert set(operation.example.files) <= set(operation.uploads)
    elif operation.body is not None:
        operation.body.model_validate(operation.example.body)
        content = described["requestBody"]["content"]["application/json"]
        assert content["examples"]["example"]["value"] == operation.example.body
    assert set(re.findall(r"{(\w+)}", operation.path)) == set(operation.example.path)
    assert {str(status_of(each)) for each in errors_of(operation)} <= set(described["responses"])
    assert (described["security"] == []) == (operation.who is None)


def test_a_transfer_on_a_quote_of_a_payout_is_a_refusal_that_is_described() -> None:
    """Found by requests made of this document."""
    described = DOCUMENT["paths"]["/v1/transfers"]["post"]["responses"]["422"]
    assert "pair_not_offered" in described["content"]["application/problem+json"]["examples"]


FIXED_IDS = {
    "customer_id": ANA_ID,
    "line_id": LINE_ID,
    "statement_id": STATEMENT_ID,
    "account_id": "acc_01jd0000000000000000000001",
    "batch_id": BATCH_ID,
    "break_id": BREAK_ID,
    "bulk_id": BULK_ID,
    "deposit_id": DEPOSIT_ID,
    "delivery_id": DELIVERY_ID,
    "endpoint_id": ENDPOINT_ID,
    "key_id": KEY_ID,
    "movement_id": MOVEMENT_ID,
    "partner": "manila",
    "partner_id": SHOP_ID,
    "payout_id": PAYOUT_ID,
    "refund_id": REFUND_ID,
    "request_id": REQUEST_ID,
    "rule_id": RULE_ID,
    "run_id": RUN_ID,
    "sequence": "12",
    "signing_key_id": SIGNING_KEY_ID,
}
"""What the fakes have from the start."""


async def proposed_reorg(client: httpx.AsyncClient) -> str:
    """The id of one that another operator proposed, so that there is something to accept."""
    headers = {"Authorization": "Bearer second-operator-key"}
    made = await client.post("/v1/mirror/reorgs", headers=headers, json=REORG_BODY)
    return str(made.json()["id"])


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
async def test_every_operation_answers_as_described(
    client: httpx.AsyncClient, operation: Operation
) -> None:
    who = min(operation.who or [Role.OPERATOR])  # the operator, where it may
    headers = {"Authorization": f"Bearer {SECRET_OF[who]}"}
    quotes = [await client.post("/v1/quotes", headers=headers, json=QUOTE) for _ in range(2)]
    body: dict[str, Any] = {
        "quote_id": quotes[0].json()["id"],
        "customer_id": ANA_ID,
        "beneficiary": {"name": "Bea", "country": "PH", "address": "0x" + "11" * 20},
    }
    headers_first = {**headers, "Idempotency-Key": "first"}
    made = await client.post("/v1/transfers", headers=headers_first, json=body)
    top_up = await client.post(
        f"/v1/customers/{ANA_ID}/top-ups",
        headers={**headers, "Authorization": "Bearer operator-key", "Idempotency-Key": "first"},
        json={**TOP_UP_BODY, "reference": "another"},
    )
    await client.post(  # so that there is something to approve, or to withdraw
        f"/v1/reconciliation/breaks/{BREAK_ID}/resolve",
        headers={"Authorization": "Bearer second-operator-key", "Idempotency-Key": "first"},
        json={"reason": "much"},
    )
    ids = FIXED_IDS | {
        "quote_id": quotes[1].json()["id"],
        "reorg_id": await proposed_reorg(client),
        "transfer_id": made.json()["id"],
        "top_up_id": top_up.json()["id"],
    }
    sent = operation.example.body
    if operation.path == "/v1/transfers" and operation.method == "POST":
        sent = {**body, "quote_id": ids["quote_id"]}
    if operation.key is not KeyRule.UNUSED:
        headers["Idempotency-Key"] = "second"
    if operation.path.startswith("/v1/peers/"):
        headers |= signed_by_peer(b"<Document/>")
    response = await client.request(
        operation.method,
        operation.path.format(**ids),
        headers=headers | ({"Content-Type": operation.uploads[0]} if operation.uploads else {}),
        json=None if operation.uploads else sent,
        content=b"<Document/>" if operation.uploads else None,
        params=operation.example.query,
    )
    assert response.status_code == operation.status, response.text
    assert response.headers["content-type"] == "application/json"
    assert fits(operation.answer, response.json())
    if operation.status in (201, 202):
        assert response.headers["location"].startswith("/v1/")


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
async def test_no_operation_is_open_that_is_not_said_to_be(
    client: httpx.AsyncClient, operation: Operation
) -> None:
    path = operation.path.format(**operation.example.path)
    anonymous = await client.request(operation.method, path)
    wants_a_key = anonymous.status_code == 401 and anonymous.json()["code"] == "credential_missing"
    assert wants_a_key == (operation.who is not None)
    for role in set(Role) - (operation.who or frozenset(Role)):
        headers = {"Authorization": f"Bearer {SECRET_OF[role]}"}
        refused = await client.request(operation.method, path, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
