"""Statements of the bank over HTTP: a file as the body, its lines, and what a person confirms."""

import httpx
import pytest

from node.api.bank_examples import LINE_ID, STATEMENT_ID
from node.api.bodies import UPLOAD_BYTES_MAX
from tests.api.conftest import RealNode
from tests.api.fakes import FakeNode
from tests.api.test_bad_input import headers
from tests.api.test_idempotency import with_key
from tests.api.test_requests import bearer, code_of

PATH = "/v1/reconciliation/bank-statements"
MATCH = f"/v1/reconciliation/bank-lines/{LINE_ID}/match"
CSV = {"Content-Type": "text/csv; charset=utf-8"}
ROWS = b"date,amount\n2026-11-22,1.00\n"


async def test_a_file_reaches_the_service_as_it_was_sent(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    content = b"<?xml version='1.0' encoding='UTF-16'?>\xff\xfe\x00"
    answer = await client.post(
        f"{PATH}?rail=sandbox_bank",
        headers=bearer("operator-key") | {"Content-Type": "text/XML"},
        content=content,
    )
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{PATH}/{STATEMENT_ID}"
    file = fake_node.bank.file
    assert file is not None
    assert (file.content, file.media_type, file.rail) == (
        content,
        "application/xml",
        "sandbox_bank",
    )


async def test_a_file_may_be_larger_than_other_bodies_and_not_without_end(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    def of(size: int) -> bytes:
        return b"date" + b" " * (size - 4)

    where = f"{PATH}?rail=sandbox_bank"
    as_operator = bearer("operator-key") | CSV
    done = await client.post(where, headers=as_operator, content=of(UPLOAD_BYTES_MAX))
    assert done.status_code == 201
    refused = await client.post(where, headers=as_operator, content=of(UPLOAD_BYTES_MAX + 1))
    assert (refused.status_code, code_of(refused)) == (413, "body_too_large")
    assert refused.json()["limit_bytes"] == UPLOAD_BYTES_MAX == 10 * 2**20


async def test_a_repeated_import_is_known_by_its_key_file_and_account(
    client: httpx.AsyncClient,
) -> None:
    as_operator = with_key("k", "operator-key") | CSV
    where = f"{PATH}?rail=sandbox_bank"
    first = await client.post(where, headers=as_operator, content=ROWS)
    again = await client.post(where, headers=as_operator, content=ROWS)
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    other = await client.post(where, headers=as_operator, content=ROWS + b"\n")
    assert code_of(other) == "idempotency_key_reused"
    account = await client.post(f"{where}&currency=USD", headers=as_operator, content=ROWS)
    assert code_of(account) == "idempotency_key_reused"


async def test_an_import_says_which_bank_and_what_is_wrong_with_the_file(
    client: httpx.AsyncClient,
) -> None:
    as_operator = bearer("operator-key") | CSV
    nowhere = await client.post(PATH, headers=as_operator, content=ROWS)
    assert (nowhere.status_code, code_of(nowhere)) == (422, "invalid_query")
    wrong = await client.post(f"{PATH}?rail=x", headers=as_operator, content=b"nonsense")
    assert (wrong.status_code, code_of(wrong)) == (422, "statement_invalid")
    assert wrong.json()["line"] == "1"
    stranger = await client.post(f"{PATH}?rail=x", headers=bearer("partner-key"), content=ROWS)
    assert (stranger.status_code, code_of(stranger)) == (403, "scope_missing")


async def test_a_line_tells_what_it_could_be(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{PATH}/{STATEMENT_ID}/lines", headers=bearer("operator-key"))
    (line,) = answer.json()["data"]
    assert (line["amount"], line["ledger_sequence"]) == ("200.00", None)
    assert line["suggestions"][0]["ledger_sequence"] == 7


@pytest.mark.parametrize(
    "body",
    [
        {"reason": "x"},
        {"reason": "x", "ledger_sequence": 7, "top_up_id": "top_x"},
        {"ledger_sequence": 7},
        {"reason": "x", "ledger_sequence": "7"},
    ],
)
async def test_a_match_names_one_thing_and_a_reason(
    client: httpx.AsyncClient, body: dict[str, object]
) -> None:
    answer = await client.post(MATCH, headers=with_key("k", "operator-key"), json=body)
    assert (answer.status_code, code_of(answer)) == (422, "invalid_body")


async def test_a_statement_is_imported_matched_and_confirmed(real_app: RealNode) -> None:
    node, as_operator = real_app, headers(real_app.operator)
    first = await node.client.post(
        f"{PATH}?rail=sandbox_bank&currency=EUR",
        headers=as_operator | CSV,
        content=await rows(node, ("1000.00", "first"), ("25.00", "not so")),
    )
    assert first.status_code == 201, first.text
    (made,) = first.json()["data"]
    assert made["lines"] == {
        "total": {"count": 2, "amount": "1025.00"},
        "matched": {"count": 1, "amount": "1000.00"},
        "unmatched": {"count": 1, "amount": "25.00"},
    }
    top_up = await node.client.post(
        f"/v1/customers/{node.customer_id}/top-ups",
        headers=headers(node.operator, "t"),
        json={"currency": "EUR", "amount": "25.00", "rail": "sandbox_bank", "reference": "so"},
    )
    at = f"{PATH}/{made['id']}"
    listed = await node.client.get(f"{at}/lines?status=unmatched", headers=as_operator)
    (line,) = listed.json()["data"]
    (suggestion,) = line["suggestions"]
    assert suggestion["reference"] == "so"
    confirmed = await node.client.post(
        f"/v1/reconciliation/bank-lines/{line['id']}/match",
        headers=headers(node.operator, "m"),
        json={"top_up_id": top_up.json()["id"], "reason": "misspelt"},
    )
    assert confirmed.json()["matched_by"] == "confirmed", confirmed.text
    shown = await node.client.get(at, headers=as_operator)
    assert shown.json()["lines"]["unmatched"]["count"] == 0
    breaks = await node.client.get("/v1/reconciliation/breaks?status=open", headers=as_operator)
    assert breaks.json()["data"] == []


async def rows(node: RealNode, *lines: tuple[str, str]) -> bytes:
    """A CSV of today, by the node's clock."""
    path = f"/v1/customers/{node.customer_id}/balances"
    told = await node.client.get(path, headers=headers(node.operator))
    day = told.json()["as_of"]["booked_at"][:10]
    texts = [f"{day},{amount},{reference}" for amount, reference in lines]
    return "\n".join(("date,amount,reference", *texts)).encode()
