"""Positions over HTTP: as JSON, as CSV, and what cannot be asked for."""

import csv
import io
from datetime import date

import httpx
import pytest

from node.api.position_examples import POSITIONS
from node.core.catalog import USDC
from node.core.positions import Worth
from tests.api.conftest import RealNode
from tests.api.fakes import FakeNode

AS_OPERATOR = {"Authorization": "Bearer operator-key"}


async def test_positions_are_those_of_the_documentation(client: httpx.AsyncClient) -> None:
    told = (await client.get("/v1/positions", headers=AS_OPERATOR)).json()
    expected = {**POSITIONS, "rates": told["rates"]}  # observed at another time
    assert told == expected
    assert [each["mid_rate"] for each in told["rates"]] == ["1", "1.15626"]
    assert [each["name"] for each in told["rates"][1]["rate_sources"]] == ["ecb", "fixed"]


async def test_the_days_and_the_currency_asked_for_are_the_ones_answered(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    answer = await client.get(
        "/v1/positions?from=2026-11-20&to=2026-11-22&currency=USDC", headers=AS_OPERATOR
    )
    assert fake_node.positions.asked == [(date(2026, 11, 20), date(2026, 11, 22), "USDC")]
    told = answer.json()
    assert [each["day"] for each in told["days"]] == ["2026-11-20", "2026-11-21", "2026-11-22"]
    assert {row["currency"] for each in told["days"] for row in each["positions"]} == {"USDC"}
    assert (told["period"]["from"], told["period"]["to"]) == ("2026-11-20", "2026-11-22")
    assert [each["result"] for each in told["days"]] == ["0.00", "0.00", "-198.99"]


async def test_a_value_without_a_rate_is_null_with_the_reason(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    fake_node.positions.worth = Worth.unknown(USDC, "no source states a rate for EUR/USDC")
    told = (await client.get("/v1/positions", headers=AS_OPERATOR)).json()
    usdc = told["total"]["positions"][1]
    assert (usdc["closing"], usdc["value"], usdc["result"]) == ("-230.074048", None, None)
    assert usdc["reason"] == told["rates"][1]["reason"] == "no source states a rate for EUR/USDC"
    for each in (told["total"], told["period"], told["days"][0]):
        assert each["result"] is None
        assert each["reason"] == "USDC: no source states a rate for EUR/USDC"
    assert told["total"]["positions"][0]["value"] == "198.99"


async def test_days_are_a_csv_file_where_that_is_asked_for(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/v1/positions?format=csv", headers=AS_OPERATOR)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    named = 'attachment; filename="positions-2026-11-22-2026-11-22.csv"'
    assert answer.headers["content-disposition"] == named
    assert answer.content.count(b"\r\n") == 3
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["day"], row["currency"]) for row in rows] == [
        ("2026-11-22", "EUR"),
        ("2026-11-22", "USDC"),
    ]
    (day,) = POSITIONS["days"]
    for row, told in zip(rows, day["positions"], strict=True):
        assert {name: row[name] or None for name in told} == told
    assert [row["mid_rate"] for row in rows] == ["1", "1.15626"]
    assert {row["reporting_currency"] for row in rows} == {"EUR"}


async def test_what_is_not_known_is_empty_in_a_csv_file_and_the_reason_is_there(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    fake_node.positions.worth = Worth.unknown(USDC, 'moody says "no", and nothing else')
    answer = await client.get("/v1/positions?format=csv", headers=AS_OPERATOR)
    _, row = csv.DictReader(io.StringIO(answer.text))
    assert (row["value"], row["result"], row["mid_rate"]) == ("", "", "")
    assert row["reason"] == 'moody says "no", and nothing else'


@pytest.mark.parametrize("accept", ["text/csv", "text/html", "*/*", ""])
async def test_the_format_parameter_alone_decides(client: httpx.AsyncClient, accept: str) -> None:
    headers = {**AS_OPERATOR, "Accept": accept}
    for query, media_type in (("", "application/json"), ("?format=json", "application/json"),
                              ("?format=csv", "text/csv")):  # fmt: skip
        answer = await client.get(f"/v1/positions{query}", headers=headers)
        assert answer.headers["content-type"].startswith(media_type)


@pytest.mark.parametrize(
    ("query", "code", "parameter"),
    [
        ("from=2025-11-21", "period_invalid", "from"),
        ("from=2026-11-22&to=2026-11-21", "period_invalid", "from"),
        ("to=2026-11-23", "period_invalid", "to"),
        ("from=yesterday", "invalid_query", "from"),
        ("from=1795305600", "invalid_query", "from"),
        ("to=2026-02-30", "invalid_query", "to"),
        ("currency=eur", "invalid_query", "currency"),
        ("format=pdf", "invalid_query", "format"),
        ("days=7", "invalid_query", "days"),
    ],
)
async def test_days_that_cannot_be_answered_for_are_422_and_say_what_to_write(
    client: httpx.AsyncClient, query: str, code: str, parameter: str
) -> None:
    answer = await client.get(f"/v1/positions?{query}", headers=AS_OPERATOR)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    (error,) = answer.json()["errors"]
    assert error["parameter"] == parameter
    assert error["message"]


async def test_a_currency_the_node_does_not_have_is_422(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/positions?currency=XXX", headers=AS_OPERATOR)
    assert (answer.status_code, answer.json()["code"]) == (422, "currency_unknown")


async def test_the_whole_node_answers_with_its_positions(real_app: RealNode) -> None:
    operator = {"Authorization": f"Bearer {real_app.operator}"}
    empty = (await real_app.client.get("/v1/positions", headers=operator)).json()
    assert empty["total"] == {"result": "0.00", "reason": None, "positions": []}
    assert empty["reporting_currency"] == "EUR"

    as_remitter = {"Authorization": f"Bearer {real_app.remitter}", "Idempotency-Key": "one"}
    body = {"sell": {"currency": "EUR", "amount": "200.00"}, "buy": {"currency": "USDC"}}
    quote = (await real_app.client.post("/v1/quotes", headers=as_remitter, json=body)).json()
    told = (await real_app.client.get("/v1/positions", headers=operator)).json()
    assert told["open_quotes"] == [
        {"currency": "EUR", "open": quote["sell"], "quotes": 1},
        {"currency": "USDC", "open": quote["buy"], "quotes": 1},
    ]

    beneficiary = {"name": "Bea", "country": "PH", "address": "0x" + "11" * 20}
    transfer = {"quote_id": quote["id"], "beneficiary": beneficiary}
    made = await real_app.client.post("/v1/transfers", headers=as_remitter, json=transfer)
    assert made.status_code == 201, made.text
    told = (await real_app.client.get("/v1/positions", headers=operator)).json()
    eur, usdc = told["total"]["positions"]
    assert (eur["closing"], eur["pending"], eur["fees_deferred"]) == ("0.00", "198.99", "0.62")
    assert usdc["pending"] == f"-{quote['buy']['amount']}"
    assert told["open_quotes"] == []
    assert told["rates"][1]["mid_rate"] == quote["mid_rate"]
