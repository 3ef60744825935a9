"""What is wrong with a request is said in words of its caller."""

import json
import re

import httpx
import pytest

from node.api.forms import AMOUNT, MEANT
from node.api.routes import OPERATIONS
from node.core.errors import WrongState
from node.core.transfers import State
from tests.api.fakes import FakeNode
from tests.api.test_requests import AS_PARTNER, bearer, code_of

WORDS_OF_FAULTS = {
    "[]": "write an object, in braces",
    '{"tip": "1"}': "there is no member of this name here; leave it out",
    '{"sell": null}': "write an object, in braces",
    '{"sell": {"currency": "EUR", "amount": 200}}': "write a string, in double quotes",
    '{"sell": {"currency": ""}}': "write at least 1 character(s)",
    '{"ttl_s": "60"}': "write an integer, without quotes",
    '{"ttl_s": 1.5}': "write an integer, without quotes",
    '{"ttl_s": 0}': "write 1 or more",
    '{"ttl_s": 1801}': "write 1800 or less",
    '{"payout": {"method": "pigeon"}}': "write 'onchain', 'bank' or 'partner'",
    '{"customer_id": "\\u0000"}': "write text without control characters",
    '{"buy": {}}': "this member is required",
}


@pytest.mark.parametrize(("body", "message"), WORDS_OF_FAULTS.items())
async def test_a_fault_of_a_body_says_what_to_write(
    client: httpx.AsyncClient, body: str, message: str
) -> None:
    response = await client.post("/v1/quotes", headers=AS_PARTNER, content=body.encode())
    messages = [each["message"] for each in response.json()["errors"]]
    assert message in messages
    assert not re.search(r"Input|Field|valid|pydantic|match|\\x", " ".join(messages))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "write 1 or more"),
        ("limit=ten", "write an integer"),
        ("colour=red", "there is no parameter of this name here; leave it out"),
        ("sort=up&limit=1", "there is no parameter of this name here; leave it out"),
        (
            "state=lost",
            f"write {', '.join(repr(each.value) for each in list(State)[:-1])} or 'refunded'",
        ),
    ],
)
async def test_a_fault_of_a_query_says_what_to_write(
    client: httpx.AsyncClient, query: str, message: str
) -> None:
    response = await client.get(f"/v1/transfers?{query}", headers=AS_PARTNER)
    assert [each["message"] for each in response.json()["errors"]] == [message]


def test_every_form_of_a_text_has_words_for_it() -> None:
    patterns = set(re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', json.dumps(validated_schemas())))
    meant = {json.dumps(each)[1:-1] for each in MEANT}
    # Amounts and countries are judged by the node itself, with sentences of their own.
    assert patterns - meant == {json.dumps(each)[1:-1] for each in (AMOUNT, "^[A-Z]{2}$")}


def validated_schemas() -> list[object]:
    """The schema of every body and query."""
    models = {model for each in OPERATIONS for model in (each.body, each.query) if model}
    return [model.model_json_schema() for model in models]


async def test_a_void_that_cannot_be_says_so_in_the_callers_words(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    fake_node.transfers.refuses = WrongState("x does not accept 'void_asked'", state="payout")
    for asked, word in (("void", "voided"), ("release", "released")):
        response = await client.post(
            f"/v1/transfers/tra_01jd0000000000000000000001/{asked}",
            headers=bearer("operator-key", **{"Idempotency-Key": "k"}),
        )
        assert (response.status_code, code_of(response)) == (409, "wrong_state")
        assert response.json()["detail"] == f"a transfer that is payout cannot be {word}"
