"""Breaks as operators see and close them, over fakes: two persons, history, owners."""

import httpx
import pytest

from node.api.examples import BREAK_ID
from tests.api.fake_world import SECRETS
from tests.api.test_idempotency import with_key
from tests.api.test_requests import bearer, code_of

AT = f"/v1/reconciliation/breaks/{BREAK_ID}"
MUCH = {"reason": "much", "entries": []}
SECOND = "second-operator-key"


async def test_what_needs_two_persons_is_proposed_and_approved_by_another(
    client: httpx.AsyncClient,
) -> None:
    proposed = await client.post(f"{AT}/resolve", headers=with_key("a", "operator-key"), json=MUCH)
    assert proposed.status_code == 200
    told = proposed.json()
    assert (told["status"], told["state"]) == ("open", "proposed")
    assert told["proposal"]["made_by"] == SECRETS["operator-key"].key
    assert (told["proposal"]["kind"], told["resolution"]) == ("match", None)
    own = await client.post(f"{AT}/approve", headers=with_key("b", "operator-key"))
    assert (own.status_code, code_of(own)) == (409, "second_person_needed")
    assert own.json()["made_by"] == SECRETS["operator-key"].key
    other = await client.post(f"{AT}/approve", headers=with_key("b", SECOND))
    assert (other.status_code, other.json()["state"]) == (200, "resolved")


async def test_a_conclusion_is_proposed_with_its_evidence_and_what_it_books(
    client: httpx.AsyncClient,
) -> None:
    conclusion = {"outcome": "given_back", "evidence": "receipt 4711"}
    body = {"reason": "bankrupt", "conclusion": conclusion}
    told = await client.post(f"{AT}/resolve", headers=with_key("a", "operator-key"), json=body)
    proposal = told.json()["proposal"]
    assert (told.status_code, proposal["kind"]) == (200, "given_back")
    assert (proposal["reference"], len(proposal["entries"])) == ("receipt 4711", 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"conclusion": {"outcome": "given_back"}},
        {"conclusion": {"outcome": "lost", "evidence": "x"}},
        {"conclusion": {"outcome": "paid_out", "evidence": ""}},
        {
            "conclusion": {"outcome": "paid_out", "evidence": "x"},
            "entries": [{"debit": "loss/x/EUR", "credit": "capital/EUR", "currency": "EUR",
                         "amount": "1.00"}],
        },
    ],
)  # fmt: skip
async def test_a_conclusion_names_one_outcome_and_its_evidence_and_no_entries(
    client: httpx.AsyncClient, wrong: dict[str, object]
) -> None:
    body = {"reason": "bankrupt", **wrong}
    told = await client.post(f"{AT}/resolve", headers=with_key("a", "operator-key"), json=body)
    assert (told.status_code, code_of(told)) == (422, "invalid_body")


async def test_a_proposal_is_withdrawn_with_a_reason(client: httpx.AsyncClient) -> None:
    await client.post(f"{AT}/resolve", headers=with_key("a", "operator-key"), json=MUCH)
    bare = await client.post(f"{AT}/withdraw", headers=with_key("b", SECOND), json={})
    assert (bare.status_code, code_of(bare)) == (422, "invalid_body")
    body = {"reason": "another sender"}
    done = await client.post(f"{AT}/withdraw", headers=with_key("c", SECOND), json=body)
    assert (done.status_code, done.json()["state"]) == (200, "open")
    again = await client.post(f"{AT}/withdraw", headers=with_key("d", SECOND), json=body)
    assert (again.status_code, code_of(again)) == (409, "wrong_state")


async def test_a_break_is_given_to_an_operator_and_back(client: httpx.AsyncClient) -> None:
    for owner in ("omar", None):
        answer = await client.post(
            f"{AT}/assign", headers=bearer("operator-key"), json={"owner": owner}
        )
        assert (answer.status_code, answer.json()["owner"]) == (200, owner)
    missing = await client.post(f"{AT}/assign", headers=bearer("operator-key"), json={})
    assert missing.json()["errors"][0]["pointer"] == "/owner"


async def test_a_breaks_history_is_told_oldest_first(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{AT}/history", headers=bearer("operator-key"))
    (line,) = answer.json()["data"]
    assert (line["step"], line["by"], line["break_id"]) == ("opened", "reconciliation", BREAK_ID)


async def test_a_break_says_its_age_and_when_it_is_due(client: httpx.AsyncClient) -> None:
    told = (await client.get(AT, headers=bearer("operator-key"))).json()
    assert (told["age"], told["age_s"]) == ("0-1d", 0)
    assert told["due_at"] is not None


@pytest.mark.parametrize("step", ["resolve", "approve", "withdraw"])
async def test_what_decides_about_money_needs_an_idempotency_key(
    client: httpx.AsyncClient, step: str
) -> None:
    answer = await client.post(f"{AT}/{step}", headers=bearer("operator-key"), json={})
    assert (answer.status_code, code_of(answer)) == (400, "idempotency_key_missing")


@pytest.mark.parametrize("step", ["resolve", "approve", "withdraw", "assign"])
async def test_breaks_are_the_operators_alone(client: httpx.AsyncClient, step: str) -> None:
    answer = await client.post(f"{AT}/{step}", headers=with_key("k"), json={})
    assert (answer.status_code, code_of(answer)) == (403, "scope_missing")
