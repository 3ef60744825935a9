"""Adoption over HTTP: shown without a change, written once it is confirmed, refused until final."""

import httpx

from adapters.evm.addresses import Eip55
from node.core.ids import Prefix, encode_id
from tests.api.fake_adoption import A_TRANSFER
from tests.api.fake_world import CONTRACT, LANE
from tests.api.fakes import FakeNode

AS_OPERATOR = {"Authorization": "Bearer operator-key"}
PATH = "/v1/settlement/adoption"


async def test_what_was_found_is_shown_decoded(client: httpx.AsyncClient) -> None:
    found = (await client.get(PATH, headers=AS_OPERATOR)).json()
    assert (found["needed"], found["written"], found["orphans"]) == (True, False, 1)
    (lane,) = found["lanes"]
    assert (lane["next_nonce"], lane["next_nonce_then"], lane["unexplained"]) == (7, 9, 2)
    paid, moved = found["transactions"]
    assert (paid["finding"], paid["purpose"], paid["batch_id"]) == ("new", "settle", None)
    linked, orphan = paid["payments"]
    assert linked["transfer_id"] == encode_id(Prefix.TRANSFER, A_TRANSFER)
    assert (linked["amount"], linked["link"], linked["outcome"]) == (
        "5.000000", "linked", "settled",
    )  # fmt: skip
    assert (orphan["link"], orphan["transfer_id"]) == ("no_transfer", None)
    assert moved["to"] is None
    assert moved["movement"] == {
        "kind": "sweep",
        "from": Eip55().text(LANE),
        "to": Eip55().text(CONTRACT),
        "currency": "ETH",
        "amount": "0.000000005",
        "movement_id": None,
    }
    assert [each["new_number"] for each in found["renumbered"]] == [None]
    assert found["skipped"] == [{"lane": Eip55().text(LANE), "first": 5, "last": 6}]


async def test_adoption_is_written_only_when_it_is_confirmed(client: httpx.AsyncClient) -> None:
    for body in ({}, {"confirm": False}, {"confirm": "true"}, {"confirm": None}):
        refused = await client.post(PATH, headers=AS_OPERATOR, json=body)
        assert refused.status_code == 422, body
        (fault,) = refused.json()["errors"]
        assert fault["pointer"] == "/confirm"
        assert fault["message"] in ("this member is required", "write true")
    adopted = await client.post(PATH, headers=AS_OPERATOR, json={"confirm": True})
    assert adopted.status_code == 200
    assert (adopted.json()["written"], adopted.json()["renumbered"][0]["new_number"]) == (True, 44)


async def test_what_is_not_final_is_shown_and_cannot_be_adopted_yet(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    fake_node.adoption.waits_for = ("nonce 8 is not final",)
    shown = (await client.get(PATH, headers=AS_OPERATOR)).json()
    assert shown["waits_for"] == ["nonce 8 is not final"]
    refused = await client.post(PATH, headers=AS_OPERATOR, json={"confirm": True})
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (503, "settlement_recovering")
    assert problem["retryable"] is True
    assert "nonce 8 is not final" in problem["detail"]
