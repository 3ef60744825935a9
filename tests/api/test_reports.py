"""Reports about transfers as JSON and CSV, and a partner's statement, over fakes."""

import csv
import io

import httpx
from lxml import etree

from node.core.ids import Prefix, encode_id
from tests.api.fake_world import PARTNER
from tests.api.test_requests import bearer, code_of
from tests.api.test_statements import read_csv, schema

AS_PARTNER = bearer("partner-key")
COSTS = "/v1/reports/transfers"
SETTLEMENT = "/v1/reports/settlement"
assert PARTNER.partner_id is not None
STATEMENT = f"/v1/partners/{encode_id(Prefix.PARTNER, PARTNER.partner_id)}/statement"


def rows_of(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text, newline=""), strict=True))


async def test_a_transfer_is_told_with_its_fees_and_its_exchange(client: httpx.AsyncClient) -> None:
    told = (await client.get(COSTS, headers=AS_PARTNER)).json()
    [line], [total] = told["data"], told["totals"]
    assert (line["service_fee"]["amount"], line["network_fee"]["amount"]) == ("0.60", "0.02")
    assert (line["spread"]["amount"], line["mid_rate"], line["spread_bps"]) == (
        "0.39",
        "1.15626",
        20,
    )
    assert (total["count"], total["buy"]["amount"]) == (1, "230.074048")


async def test_a_payout_is_told_with_its_proof(client: httpx.AsyncClient) -> None:
    told = (await client.get(SETTLEMENT, headers=AS_PARTNER)).json()
    [line] = told["data"]
    assert (line["payment_number"], line["block_number"]) == (42, 12)
    assert line["tx_hash"] == "0x" + "00" * 32
    assert told["totals"] == [{"currency": "USDC", "amount": "230.074048"}]


async def test_reports_are_tables_in_which_no_cell_is_a_formula(client: httpx.AsyncClient) -> None:
    for path in (COSTS, SETTLEMENT):
        [row] = rows_of(await client.get(path, headers=AS_PARTNER, params={"format": "csv"}))
        assert row["client_reference"] == "'=rent"
        assert all(row.values())


async def test_a_day_that_has_not_come_has_no_report(client: httpx.AsyncClient) -> None:
    for path in (COSTS, SETTLEMENT):
        refused = await client.get(path, headers=AS_PARTNER, params={"to": "2027-01-01"})
        assert code_of(refused) == "period_invalid"


async def test_a_partner_has_a_statement_of_its_own_balance_in_every_format(
    client: httpx.AsyncClient,
) -> None:
    query = {"currency": "EUR", "from": "2026-11-22", "to": "2026-11-22"}
    told = (await client.get(STATEMENT, headers=AS_PARTNER, params=query)).json()
    assert STATEMENT.split("/")[3] == told["partner_id"]
    assert (told["opening"], told["closing"]) == ("0.00", "1000.00")
    table = await client.get(STATEMENT, headers=AS_PARTNER, params={**query, "format": "csv"})
    assert [each["row"] for each in read_csv(table.content)] == ["opening", "line", "closing"]
    message = await client.get(
        STATEMENT, headers=AS_PARTNER, params={**query, "format": "camt.053"}
    )
    root = etree.fromstring(message.content)
    schema().assertValid(root)
    assert told["partner_id"] in message.text


async def test_another_partners_statement_does_not_exist(client: httpx.AsyncClient) -> None:
    refused = await client.get(
        STATEMENT, headers=bearer("stranger-key"), params={"currency": "EUR"}
    )
    assert refused.status_code == 404
