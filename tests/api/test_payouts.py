"""Payouts over HTTP: what is refused, who sees what, and a whole node with its chain."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.evm.reader import EvmReader
from adapters.evm.rpc import Providers
from adapters.machine import new_id
from node.api.payout_examples import (
    BENEFICIARY_BODY,
    CONTRACT_BODY,
    CORRECTION_BODY,
    PAYOUT_BODY,
    PAYOUT_ID,
    REFUND_ID,
)
from node.core.ledger import Entry
from node.core.mirror import Finality, Watch
from node.services.mirror.mirroring import MirrorService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.api.conftest import RealNode, open_real
from tests.builders import CHAIN_ID, LedgerNode
from tests.onchain import OnChain
from tests.rig import AnvilServer

AS_OPERATOR = {"Authorization": "Bearer operator-key"}
AS_PARTNER = {"Authorization": "Bearer partner-key"}
AS_REMITTER = {"Authorization": "Bearer remitter-key"}
PAYOUT = f"/v1/payouts/{PAYOUT_ID}"
BERLIN = "0x" + "be" * 20


def keyed(headers: dict[str, str]) -> dict[str, str]:
    """With a new key."""
    return {**headers, "Idempotency-Key": str(new_id())}


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"beneficiary": {**BENEFICIARY_BODY, "name": ""}}, ["/beneficiary/name"]),
        ({"beneficiary": {**BENEFICIARY_BODY, "country": "XX"}}, ["/beneficiary/country"]),
        (
            {"beneficiary": {**BENEFICIARY_BODY, "account": {"number": "1", "bank_code": "BOPI"}}},
            ["/beneficiary/account/number"],
        ),
        ({"beneficiary": {"name": "Maria", "country": "PH"}}, ["/beneficiary/account"]),
        ({"originator": {"name": "Ana", "country": "DE", "account": {}}}, ["/originator/account"]),
        (
            {"originator": {"name": "A", "country": "DE", "date_of_birth": "1990-02-30"}},
            ["/originator/date_of_birth"],
        ),
        ({"refund_policy": "keep"}, ["/refund_policy"]),
        ({"client_reference": ""}, ["/client_reference"]),
        ({"amount": "1.00"}, ["/amount"]),
    ],
)
async def test_a_payout_with_a_wrong_member_is_refused_by_name(
    client: httpx.AsyncClient, changes: dict[str, object], pointers: list[str]
) -> None:
    body = {**PAYOUT_BODY, **changes}
    answer = await client.post("/v1/payouts", headers=keyed(AS_PARTNER), json=body)
    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == pointers


async def test_a_payout_needs_a_key_and_is_made_once_for_it(client: httpx.AsyncClient) -> None:
    without = await client.post("/v1/payouts", headers=AS_PARTNER, json=PAYOUT_BODY)
    assert (without.status_code, without.json()["code"]) == (400, "idempotency_key_missing")
    headers = keyed(AS_PARTNER)
    made = await client.post("/v1/payouts", headers=headers, json=PAYOUT_BODY)
    again = await client.post("/v1/payouts", headers=headers, json=PAYOUT_BODY)
    assert (made.status_code, again.status_code) == (201, 201)
    assert made.headers["location"] == f"/v1/payouts/{made.json()['id']}"
    assert again.json() == made.json()
    other = await client.post("/v1/payouts", headers=keyed(AS_PARTNER), json=PAYOUT_BODY)
    assert (other.status_code, other.json()["code"]) == (409, "quote_used")
    assert other.json()["payout_id"].startswith("pay_")


async def test_names_and_account_numbers_are_masked_in_every_answer(
    client: httpx.AsyncClient,
) -> None:
    made = await client.post("/v1/payouts", headers=keyed(AS_PARTNER), json=PAYOUT_BODY)
    shown = await client.get(PAYOUT, headers=AS_PARTNER)
    listed = await client.get("/v1/payouts", headers=AS_OPERATOR)
    for answer in (made, shown, listed):
        assert answer.status_code in (200, 201)
        assert "Maria" not in answer.text
        assert "000123456789" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/payouts", PAYOUT_BODY),
        ("GET", "/v1/payouts", None),
        ("GET", PAYOUT, None),
        ("POST", f"{PAYOUT}/refund", {}),
        ("POST", f"{PAYOUT}/correct", CORRECTION_BODY),
        ("GET", f"/v1/refunds/{REFUND_ID}", None),
    ],
)
async def test_payouts_are_no_business_of_remitters(
    client: httpx.AsyncClient, method: str, path: str, body: Any
) -> None:
    answer = await client.request(method, path, headers=keyed(AS_REMITTER), json=body)
    assert answer.status_code == 403


async def test_operators_register_contracts_and_partners_do_not(client: httpx.AsyncClient) -> None:
    path = "/v1/partners/par_01kanv8q6dfk5vbz2m3n8r1c4x/contracts"
    assert (await client.post(path, headers=AS_PARTNER, json=CONTRACT_BODY)).status_code == 403
    made = await client.post(path, headers=AS_OPERATOR, json=CONTRACT_BODY)
    assert (made.status_code, made.json()["chain_id"]) == (201, 31337)


async def test_a_payout_is_decided_about_once(client: httpx.AsyncClient) -> None:
    corrected = await client.post(
        f"{PAYOUT}/correct", headers=keyed(AS_PARTNER), json=CORRECTION_BODY
    )
    assert (corrected.json()["state"], corrected.json()["rail"]["attempt"]) == ("matched", 2)
    refused = await client.post(f"{PAYOUT}/refund", headers=keyed(AS_OPERATOR), json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")


# ------------------------------------------------------------------------------- a whole node


@pytest.fixture
async def paying_app(
    database_url: str, tmp_path: Path, anvil: AnvilServer
) -> AsyncIterator[RealNode]:
    """A node that pays out PHP, its mirror begun; a partner with a registered contract."""
    onchain = OnChain.deploy(anvil)
    async with open_real(
        tmp_path,
        database_url,
        onchain.contract,
        token_address=f"0x{onchain.token.hex()}",
        settlement_address=f"0x{onchain.contract.hex()}",
        deposits_address="0x" + "fa" * 20,
        chain_rpc_urls=(anvil.rpc_url,),
    ) as node:
        units = StoreUnits(Database.at(database_url))
        ledger = LedgerNode(units)
        await ledger.post(Entry("bank/sandbox_bank/PHP", "capital/PHP", "PHP", 10**8))
        watch = Watch(
            CHAIN_ID, onchain.contract, onchain.token, "USDC", "ETH", frozenset({onchain.contract})
        )
        providers = Providers.at([anvil.rpc_url])
        mirror = MirrorService(
            units=units,
            reader=EvmReader(providers, watch),
            watch=watch,
            lanes={},
            finality=Finality(1),
            new_id=new_id,
        )
        await mirror.run_once()
        await providers.close()
        await units.database.close()
        yield node


def bearer(secret: str) -> dict[str, str]:
    return keyed({"Authorization": f"Bearer {secret}"})


async def quoted(node: RealNode, secret: str, sell: str = "230.00") -> dict[str, Any]:
    """A firm quote for a payout."""
    body = {
        "sell": {"currency": "USDC", "amount": sell},
        "buy": {"currency": "PHP"},
        "payout": {"method": "bank"},
    }
    answer = await node.client.post("/v1/quotes", headers=bearer(secret), json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_a_partner_registers_a_payout_with_curl_alone(paying_app: RealNode) -> None:
    node = paying_app
    quote = await quoted(node, node.partner)
    body = {**PAYOUT_BODY, "quote_id": quote["id"], "refund_address": BERLIN}
    post = node.client.post
    early = await post("/v1/payouts", headers=bearer(node.partner), json=body)
    assert (early.status_code, early.json()["code"]) == (422, "payouts_not_offered")
    path = f"/v1/partners/{node.partner_id}/contracts"
    contract = {"chain_id": CHAIN_ID, "address": BERLIN}
    registered = await post(path, headers=bearer(node.operator), json=contract)
    assert registered.status_code == 201, registered.text
    twice = await post(path, headers=bearer(node.operator), json=contract)
    assert (twice.status_code, twice.json()["code"]) == (409, "contract_registered")
    elsewhere = await post(
        path, headers=bearer(node.operator), json={**contract, "chain_id": CHAIN_ID + 1}
    )
    assert elsewhere.json()["errors"][0]["pointer"] == "/chain_id"
    listed = await node.client.get(path, headers=bearer(node.partner))
    assert [each["refund_address"] for each in listed.json()["data"]] == [None]

    key = bearer(node.partner)
    made = await post("/v1/payouts", headers=key, json=body)
    assert made.status_code == 201, made.text
    payout = made.json()
    assert (payout["status"], payout["sell"], payout["buy"]) == (
        "pending_sender",
        quote["sell"],
        quote["buy"],
    )
    assert payout["deposit"]["amount"] == "230.000000"
    again = await post("/v1/payouts", headers=key, json=body)
    assert (again.status_code, again.json()) == (201, payout)
    shown = await node.client.get(f"/v1/quotes/{quote['id']}", headers=bearer(node.partner))
    assert (shown.json()["status"], shown.json()["payout_id"]) == ("consumed", payout["id"])
    assert shown.json()["transfer_id"] is None


async def test_a_payout_of_another_partner_does_not_exist(paying_app: RealNode) -> None:
    node = paying_app
    contract = {"chain_id": CHAIN_ID, "address": BERLIN}
    path = f"/v1/partners/{node.partner_id}/contracts"
    await node.client.post(path, headers=bearer(node.operator), json=contract)
    quote = await quoted(node, node.partner)
    body = {**PAYOUT_BODY, "quote_id": quote["id"], "refund_address": BERLIN}
    made = await node.client.post("/v1/payouts", headers=bearer(node.partner), json=body)
    own = f"/v1/payouts/{made.json()['id']}"
    strangers = bearer(node.stranger)
    assert (await node.client.get(own, headers=strangers)).status_code == 404
    assert (await node.client.get("/v1/payouts", headers=strangers)).json()["data"] == []
    assert (await node.client.get(path, headers=strangers)).status_code == 404
    for verb, sent in (("refund", {}), ("correct", CORRECTION_BODY)):
        answer = await node.client.post(f"{own}/{verb}", headers=bearer(node.stranger), json=sent)
        assert answer.status_code == 404
    refused = await node.client.post(f"{own}/refund", headers=bearer(node.partner), json={})
    assert (refused.status_code, refused.json()["state"]) == (409, "awaiting_payment")
    told = await node.client.get("/v1/events", headers=bearer(node.partner))
    assert [each["type"] for each in told.json()["data"]][-1] == "payout.awaiting_payment"
    assert (await node.client.get("/v1/events", headers=strangers)).json()["data"] == []


async def test_a_quote_for_a_payout_makes_no_transfer_and_more_than_the_bank_has_is_not_quoted(
    paying_app: RealNode,
) -> None:
    node = paying_app
    quote = await quoted(node, node.partner)
    transfer = {
        "quote_id": quote["id"],
        "customer_id": node.customer_id,
        "beneficiary": {"name": "Ben", "country": "PH", "address": BERLIN},
    }
    answer = await node.client.post("/v1/transfers", headers=bearer(node.partner), json=transfer)
    assert (answer.status_code, answer.json()["code"]) == (422, "pair_not_offered")
    body = {
        "sell": {"currency": "USDC", "amount": "90000.00"},
        "buy": {"currency": "PHP"},
        "payout": {"method": "bank"},
    }
    answer = await node.client.post("/v1/quotes", headers=bearer(node.partner), json=body)
    assert (answer.status_code, answer.json()["code"]) == (503, "liquidity_unavailable")


async def test_figures_of_payouts_are_on_the_page_of_metrics(client: httpx.AsyncClient) -> None:
    page = (await client.get("/metrics")).text
    assert '\ncorridor_payouts{state="ordered"} 2.0\n' in page
    assert '\ncorridor_payouts{state="on_hold"} 1.0\n' in page
