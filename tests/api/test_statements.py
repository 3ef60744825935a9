"""Statements as JSON, CSV and camt.053, and balances as of a point, over fakes."""

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import hypothesis
import pytest
from hypothesis import strategies as st
from lxml import etree

from node.api.camt053 import statement_camt053
from node.api.statement_views import statement_csv, statement_view
from node.core.errors import FormatUnfit, StatementTooLarge
from node.core.ids import Prefix, encode_id
from node.core.ledger import NATIVE_DIGITS
from node.core.statements import Line, Period, Statement
from node.core.units import Asset
from tests.api.fake_operations import A_LINE
from tests.api.fake_world import ANA_ID, CATALOG, NOW
from tests.api.fakes import FakeNode
from tests.api.test_requests import bearer, code_of

SCHEMA = Path(__file__).parent / "iso20022" / "camt.053.001.08.xsd"
NAMESPACE = {"c": "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"}
PATH = f"/v1/customers/{ANA_ID}/statement"
AS_REMITTER = bearer("remitter-key")
TRANSFER = UUID(int=7)
PERIOD = Period(date(2026, 11, 1), date(2026, 11, 22))
KINDS = ("top_up", "transfer", "correction")
COUNTERS = ("bank/x/EUR", "fx_position/EUR", "deferred/fee/EUR", "capital/EUR")

# What people might write, and programs might pass on: anything a database text can hold.
NASTY = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=500)


@cache
def schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(SCHEMA))


def read_xml(document: bytes) -> Any:
    """The document, if it is valid."""
    root = etree.fromstring(document)
    schema().assertValid(root)
    return root


def found(root: Any, path: str) -> list[str]:
    """Texts at a path, whose steps are names of the schema."""
    steps = "/".join(f"c:{step}" for step in path.split("/"))
    return [each.text for each in root.findall(f".//{steps}", NAMESPACE)]


def read_csv(document: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(document.decode(), newline=""), strict=True))


@st.composite
def statements(draw: st.DrawFn, currency: str = "EUR") -> Statement:
    """Any statement whose figures agree; texts are nasty."""
    opening = balance = draw(st.integers(0, 10**12))
    lines = []
    for number in range(draw(st.integers(0, 5))):
        is_debit, amount = draw(st.booleans()), draw(st.integers(1, 10**12))
        is_debit = is_debit and amount <= balance
        balance += -amount if is_debit else amount
        lines.append(
            Line(
                id=number * 1000 + draw(st.integers(0, 998)),
                sequence=number,
                place=number + 1,
                kind=draw(st.sampled_from(KINDS)),
                is_debit=is_debit,
                counter_path=draw(st.sampled_from(COUNTERS)),
                amount=amount,
                balance_after=balance,
                transfer_id=draw(st.sampled_from([None, TRANSFER])),
                client_reference=draw(st.none() | NASTY),
                beneficiary_name=draw(st.none() | NASTY),
                detail=draw(st.dictionaries(st.sampled_from(["reference", "rail"]), NASTY)),
                posted_at=NOW - timedelta(microseconds=draw(st.integers(0, 10**12))),
            )
        )
    return Statement(
        UUID(int=5), draw(NASTY), currency, PERIOD, opening, lines, balance, 9, NOW, NOW, NOW
    )


def a_statement(*lines: Line, owner_name: str = "Ana", currency: str = "EUR") -> Statement:
    closing = lines[-1].balance_after if lines else 0
    return Statement(UUID(int=5), owner_name, currency, PERIOD, 0, lines, closing, 9, NOW, NOW, NOW)


@hypothesis.given(statements())
def test_every_statement_is_valid_camt_053(statement: Statement) -> None:
    root = read_xml(statement_camt053(statement, CATALOG))
    opening, closing = found(root, "Bal/Amt")
    credits_, debits = (
        sum(int(each.amount) for each in statement.lines if each.is_debit == is_debit)
        for is_debit in (False, True)
    )
    assert cents(opening) + credits_ - debits == cents(closing)
    assert found(root, "TxsSummry/TtlCdtNtries/Sum") == [euros(credits_)]
    assert found(root, "TxsSummry/TtlDbtNtries/Sum") == [euros(debits)]
    assert found(root, "Ntry/Amt") == [euros(each.amount) for each in statement.lines]
    assert found(root, "Ntry/CdtDbtInd") == [
        "DBIT" if each.is_debit else "CRDT" for each in statement.lines
    ]


@hypothesis.given(statements())
def test_every_statement_is_csv_that_adds_up_and_holds_no_formula(statement: Statement) -> None:
    rows = read_csv(statement_csv(statement, CATALOG))
    assert [row["row"] for row in rows] == ["opening", *["line"] * len(statement.lines), "closing"]
    balance = cents(rows[0]["balance"])
    for row in rows[1:-1]:
        balance += cents(row["in"] or "0.00") - cents(row["out"] or "0.00")
        assert cents(row["balance"]) == balance
    assert cents(rows[-1]["balance"]) == balance == statement.closing
    totals = statement.totals
    assert (cents(rows[-1]["in"]), cents(rows[-1]["out"])) == (totals.credited, totals.debited)
    for row in rows:
        for cell in row.values():
            assert not cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d", "\uff0b"))
            assert not any(sign in cell for sign in "\r\n\t\x00")


def cents(amount: str) -> int:
    whole, _, fraction = amount.partition(".")
    assert len(fraction) == 2
    return int(whole + fraction)


def euros(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =cmd|' /C calc'!A0", "\uff1d1", "=", "-"],
)
def test_a_reference_that_a_spreadsheet_would_run_becomes_text(cell: str) -> None:
    line = replace(A_LINE, client_reference=cell, beneficiary_name=cell, detail={"reference": cell})
    (_, row, _) = read_csv(statement_csv(a_statement(line), CATALOG))
    for name in ("client_reference", "beneficiary_name", "reference"):
        assert row[name].startswith("'")
        assert row[name].lstrip("' ") == cell.strip()


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        (str(UUID(int=7)), "pay_00000000000000000000000007"),
        (f"{UUID(int=5)} pay_of manila 1334564 PHP 0x{'0b' * 32}", "pay_of manila"),
        ("pay_of_manila", "pay_of_manila"),
    ],
)
def test_a_line_names_quote_and_payout_as_callers_know_them(kept: str, shown: str) -> None:
    line = replace(A_LINE, detail={"quote": str(UUID(int=6)), "payout": kept, "rail": "a b c d e"})
    statement = a_statement(replace(line, client_reference=None))
    (told,) = statement_view(statement, CATALOG)["lines"]
    quote = "quo_00000000000000000000000006"
    assert told["detail"] == {"quote": quote, "payout": shown, "rail": "a b c d e"}
    (_, row, _) = read_csv(statement_csv(statement, CATALOG))
    assert row["reference"] == shown
    assert found(read_xml(statement_camt053(statement, CATALOG)), "RmtInf/Ustrd") == [shown]


def test_csv_quotes_what_must_be_quoted_and_ends_lines_as_rfc_4180_says() -> None:
    line = replace(A_LINE, beneficiary_name='Bea "B", of Cebu')
    document = statement_csv(a_statement(line), CATALOG).decode()
    assert '"Bea ""B"", of Cebu"' in document
    assert document.count("\r\n") == document.count("\n") == 4
    assert document.startswith("row,id,sequence,occurred_at,kind,part,currency,in,out,balance,")


def test_texts_are_cut_to_the_schemas_lengths_and_cleaned() -> None:
    line = replace(
        A_LINE,
        counter_path="fx_position/EUR",
        transfer_id=TRANSFER,
        client_reference="r" * 64,
        beneficiary_name="B\x00e\x1ba\u2028 " + "\U0001f600" * 500,
    )
    root = read_xml(statement_camt053(a_statement(line, owner_name="\x01" * 500), CATALOG))
    assert found(root, "Refs/EndToEndId") == ["r" * 35]
    assert found(root, "RmtInf/Ustrd") == ["r" * 64]
    assert found(root, "Refs/TxId") == [encode_id(Prefix.TRANSFER, TRANSFER)]
    assert found(root, "Cdtr/Pty/Nm") == ["B e a " + "\U0001f600" * 134]
    assert found(root, "Acct/Ownr/Nm") == []


def test_an_entry_of_camt_says_what_the_line_of_the_statement_says() -> None:
    root = read_xml(statement_camt053(a_statement(A_LINE, owner_name="Ana & <Ben>"), CATALOG))
    for path, text in {
        "GrpHdr/CreDtTm": "2026-11-22T16:00:00Z",
        "Stmt/Id": "EUR-20261101-20261122-9",
        "FrToDt/FrDtTm": "2026-11-01T00:00:00Z",
        "FrToDt/ToDtTm": "2026-11-22T16:00:00Z",
        "Acct/Id/Othr/Id": encode_id(Prefix.CUSTOMER, UUID(int=5)),
        "Acct/Ccy": "EUR",
        "Acct/Ownr/Nm": "Ana & <Ben>",
        "TxsSummry/TtlNtries/NbOfNtries": "1",
        "TxsSummry/TtlNtries/TtlNetNtry/Amt": "1000.00",
        "Ntry/NtryRef": "1-1",
        "Ntry/Amt": "1000.00",
        "Ntry/CdtDbtInd": "CRDT",
        "Ntry/Sts/Cd": "BOOK",
        "Ntry/BookgDt/Dt": "2026-11-22",
        "Ntry/ValDt/Dt": "2026-11-22",
        "Ntry/AcctSvcrRef": "1001",
        "Ntry/BkTxCd/Prtry/Cd": "top_up",
        "Ntry/AddtlNtryInf": "deposit",
        "RmtInf/Ustrd": "wire-17",
    }.items():
        assert found(root, path) == [text], path
    assert found(root, "Bal/Tp/CdOrPrtry/Cd") == ["OPBD", "CLBD"]
    assert found(root, "Bal/Amt") == ["0.00", "1000.00"]
    assert found(root, "Bal/Dt/Dt") == ["2026-11-01", "2026-11-22"]
    assert root.find(".//c:Ntry/c:Amt", NAMESPACE).get("Ccy") == "EUR"


def test_yen_have_no_decimals() -> None:
    root = read_xml(statement_camt053(a_statement(A_LINE, currency="JPY"), CATALOG))
    assert found(root, "Ntry/Amt") == ["100000"]


@pytest.mark.parametrize("currency", ["USDC", "ETH"])
def test_a_currency_that_camt_cannot_name_is_refused_with_the_remedy(currency: str) -> None:
    with pytest.raises(FormatUnfit, match="ask for format=csv"):
        statement_camt053(a_statement(A_LINE, currency=currency), CATALOG)


def test_a_currency_of_more_digits_than_camt_has_is_refused() -> None:
    assert NATIVE_DIGITS > 5  # of ETH, whose code camt would take
    small = replace(CATALOG, assets={**CATALOG.assets, "XTS": Asset("XTS", 6)})
    with pytest.raises(FormatUnfit, match="5 decimal digits"):
        statement_camt053(a_statement(A_LINE, currency="XTS"), small)


def test_amounts_of_more_than_18_digits_are_refused_and_those_of_18_are_not() -> None:
    most = 10**18 - 1
    line = replace(A_LINE, amount=most, balance_after=most)
    root = read_xml(statement_camt053(a_statement(line), CATALOG))
    assert found(root, "Ntry/Amt") == [f"{most // 100}.99"]
    with pytest.raises(FormatUnfit, match="18 digits"):
        statement_camt053(
            a_statement(replace(line, amount=most + 1, balance_after=most + 1)), CATALOG
        )


def test_the_same_statement_has_the_same_message_id_and_another_has_another() -> None:
    one, other = a_statement(A_LINE), replace(a_statement(A_LINE), sequence=10)
    ids = [found(read_xml(statement_camt053(each, CATALOG)), "GrpHdr/MsgId")[0]
           for each in (one, one, other)]  # fmt: skip
    assert ids[0] == ids[1] != ids[2]


@hypothesis.given(statements())
def test_json_says_what_the_statement_says(statement: Statement) -> None:
    view = statement_view(statement, CATALOG)
    assert cents(view["opening"]) + cents(view["totals"]["in"]["amount"]) - cents(
        view["totals"]["out"]["amount"]
    ) == cents(view["closing"])
    assert [each["id"] for each in view["lines"]] == [str(each.id) for each in statement.lines]
    assert all(each["id"].isdigit() for each in view["lines"])


FORMATS: Mapping[str, tuple[str, str]] = {
    "json": ("application/json", ""),
    "csv": ("text/csv; charset=utf-8; header=present", ".csv"),
    "camt.053": ("application/xml", ".camt053.xml"),
}


@pytest.mark.parametrize("asked_for", FORMATS)
async def test_a_statement_comes_in_the_format_asked_for_with_a_name_to_keep_it_by(
    client: httpx.AsyncClient, asked_for: str
) -> None:
    query = {"currency": "EUR", "from": "2026-11-01", "to": "2026-11-22", "format": asked_for}
    response = await client.get(PATH, params=query, headers=AS_REMITTER)
    media_type, ending = FORMATS[asked_for]
    assert (response.status_code, response.headers["content-type"]) == (200, media_type)
    assert response.headers["cache-control"] == "no-store"
    assert int(response.headers["content-length"]) == len(response.content)
    name = f'attachment; filename="statement-{ANA_ID}-EUR-2026-11-01-2026-11-22{ending}"'
    assert response.headers.get("content-disposition") == (name if ending else None)


async def test_without_days_it_is_this_month_so_far_in_json(client: httpx.AsyncClient) -> None:
    response = await client.get(PATH, params={"currency": "EUR"}, headers=AS_REMITTER)
    body = response.json()
    assert (body["from"], body["to"], body["is_complete"]) == ("2026-11-01", "2026-11-22", False)
    assert (body["opening"], body["closing"]) == ("0.00", "1000.00")
    assert body["as_of"] == {"sequence": 7, "booked_at": "2026-11-22T16:00:00Z"}
    (line,) = body["lines"]
    assert (line["part"], line["direction"], line["balance"]) == ("deposit", "in", "1000.00")


@pytest.mark.parametrize(
    ("query", "parameter", "code"),
    [
        ("", "currency", "required"),
        ("currency=XXX", "currency", "currency_unknown"),
        ("currency=EUR&format=pdf", "format", "not_one_of"),
        ("currency=EUR&from=22.11.2026", "from", "day_invalid"),
        ("currency=EUR&from=2026-02-30", "from", "day_invalid"),
        ("currency=EUR&to=1700000000", "to", "day_invalid"),
        ("currency=EUR&to=2026-11-22T00:00:00Z", "to", "day_invalid"),
        ("currency=EUR&to=2026-11-23", "to", "in_future"),
        ("currency=EUR&from=2026-11-22&to=2026-11-21", "from", "after_end"),
        ("currency=EUR&to=2026-11-22&sequence=7", "to", "one_end"),
        ("currency=EUR&to=2026-11-22&at=2026-11-22T16:00:00Z", "to", "one_end"),
        ("currency=EUR&at=2026-11-22T16:00:00Z&sequence=7", "sequence", "one_point"),
    ],
)
async def test_a_fault_of_what_is_asked_for_is_422_and_says_where(
    client: httpx.AsyncClient, query: str, parameter: str, code: str
) -> None:
    response = await client.get(f"{PATH}?{query}", headers=AS_REMITTER)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert (error["parameter"], error["code"]) == (parameter, code)
    assert error["message"]


@pytest.mark.parametrize("accept", ["text/csv", "application/xml", "text/html", "*/*"])
async def test_the_format_parameter_alone_decides(client: httpx.AsyncClient, accept: str) -> None:
    headers = {**AS_REMITTER, "Accept": accept}
    plain = await client.get(f"{PATH}?currency=EUR", headers=headers)
    assert plain.headers["content-type"] == "application/json"
    as_csv = await client.get(f"{PATH}?currency=EUR&format=csv", headers=headers)
    assert as_csv.headers["content-type"].startswith("text/csv")


def test_a_statement_that_ends_before_its_last_day_does_says_so_in_every_format() -> None:
    early = NOW.replace(hour=9)
    statement = replace(a_statement(A_LINE), ends_at=early)
    assert not statement_view(statement, CATALOG)["is_complete"]
    assert read_csv(statement_csv(statement, CATALOG))[-1]["occurred_at"] == "2026-11-22T09:00:00Z"
    root = read_xml(statement_camt053(statement, CATALOG))
    assert found(root, "FrToDt/ToDtTm") == ["2026-11-22T09:00:00Z"]


async def test_usdc_as_camt_is_422_and_as_csv_it_is_there(client: httpx.AsyncClient) -> None:
    refused = await client.get(f"{PATH}?currency=USDC&format=camt.053", headers=AS_REMITTER)
    assert (refused.status_code, code_of(refused)) == (422, "format_unfit")
    assert "format=csv" in refused.json()["detail"]
    answered = await client.get(f"{PATH}?currency=USDC&format=csv", headers=AS_REMITTER)
    assert read_csv(answered.content)[-1]["balance"] == "0.100000"


async def test_a_statement_that_is_too_large_says_how_many_lines_there_may_be(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    fake_node.statements.refuses = StatementTooLarge("too many", limit=10_000)
    response = await client.get(f"{PATH}?currency=EUR&format=csv", headers=AS_REMITTER)
    assert (response.status_code, code_of(response)) == (422, "statement_too_large")
    assert response.json()["limit"] == 10_000
    assert response.headers["content-type"] == "application/problem+json"


async def test_anothers_statement_does_not_exist(client: httpx.AsyncClient) -> None:
    response = await client.get(f"{PATH}?currency=EUR", headers=bearer("stranger-key"))
    assert (response.status_code, code_of(response)) == (404, "not_found")


AS_OF_PATHS = {
    f"/v1/customers/{ANA_ID}/balances?": "remitter-key",
    f"{PATH}?currency=EUR&": "remitter-key",
    "/v1/ledger/trial-balance?": "operator-key",
    "/v1/ledger/accounts/acc_01jd0000000000000000000001?": "operator-key",
}
AS_OF_NAMES = ("balances", "statement", "trial balance", "account")  # no id that is made anew


@pytest.mark.parametrize("path", AS_OF_PATHS, ids=AS_OF_NAMES)
async def test_answers_name_the_point_they_are_as_of(client: httpx.AsyncClient, path: str) -> None:
    headers = bearer(AS_OF_PATHS[path])
    for query, sequence in (("", 7), ("sequence=3", 3), ("at=2026-11-22T17:00:00%2B01:00", 7)):
        response = await client.get(path + query, headers=headers)
        assert response.json()["as_of"] == {
            "sequence": sequence,
            "booked_at": "2026-11-22T16:00:00Z",
        }


@pytest.mark.parametrize("path", AS_OF_PATHS, ids=AS_OF_NAMES)
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("at=2026-11-22T16:00:00Z&sequence=1", "one_point"),
        ("sequence=-1", "too_small"),
        ("sequence=1.5", "not_an_integer"),
        (f"sequence={2**63}", "too_large"),
        ("sequence=8", "in_future"),
        ("at=2026-11-22T16:00:01Z", "in_future"),
        ("at=9999-12-31T23:59:59Z", "in_future"),
        ("at=2026-11-22", "time_invalid"),
        ("at=2026-11-22T16:00:00", "time_invalid"),
        ("at=2026-11-22T16:00:00+01:00", "time_invalid"),  # in a URL, + is a space
        ("at=1700000000", "time_invalid"),
        ("at=2026-13-01T00:00:00Z", "time_invalid"),
        ("at=0001-01-01T00:00:00%2B23:00", "time_invalid"),
    ],
)
async def test_a_point_that_cannot_be_is_422_and_says_why(
    client: httpx.AsyncClient, path: str, query: str, code: str
) -> None:
    response = await client.get(path + query, headers=bearer(AS_OF_PATHS[path]))
    assert response.status_code == 422, response.text
    assert [each["code"] for each in response.json()["errors"]] == [code]


def test_the_schema_is_the_one_that_is_said_to_be() -> None:
    import hashlib

    digest = hashlib.sha256(SCHEMA.read_bytes()).hexdigest()
    assert digest in (SCHEMA.parent / "README.md").read_text()
    with pytest.raises(etree.DocumentInvalid):
        schema().assertValid(
            etree.fromstring(b"<Document xmlns='" + NAMESPACE["c"].encode() + b"'/>")
        )
