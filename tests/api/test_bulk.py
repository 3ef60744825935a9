"""Files of bulk transfers: what can be read, what is wrong with a row, and reports as files."""

import csv
import io
import json
from contextlib import suppress
from dataclasses import replace
from datetime import date
from typing import Any

import httpx
import hypothesis
import pytest
from hypothesis import strategies as st
from lxml import etree

from adapters.evm.addresses import Eip55
from node.api.bodies import Upload
from node.api.bulk_examples import BULK_ID, FILE
from node.api.bulk_files import CSV, JSON_LINES, XML, BulkReader
from node.api.bulk_schemas import BulkQuery
from node.api.pain002 import report_pain002
from node.core.bulk import (
    ROWS_MAX,
    BulkFile,
    BulkFileInvalid,
    Fault,
    FileRow,
    Form,
    Mode,
    due,
    without_repetitions,
)
from node.core.parties import Principal
from node.core.payouts import BankAccount, RefundPolicy
from node.core.transfers import State
from tests.api.fake_bulk import A_BULK, A_TRANSFER, THE_ROWS
from tests.api.fake_world import ANA, ANA_ID, CATALOG, NOW, PARTNER, REMITTER
from tests.api.fakes import FakeNode
from tests.api.pain001_messages import ADDRESS, NAMES, Instruction, message, schema
from tests.api.test_requests import bearer, code_of

PATH = "/v1/bulk-transfers"
AS_PARTNER = bearer("partner-key")
SHOWN = f"{PATH}/{BULK_ID}"


def read(
    content: bytes | str, media_type: str, principal: Principal = PARTNER, **query: Any
) -> BulkFile:
    """A file as the route reads it."""
    raw = content.encode() if isinstance(content, str) else content
    reader = BulkReader(CATALOG, Eip55(), principal, BulkQuery(**query))
    return reader.read(Upload(content=raw, sha256="00" * 32, media_type=media_type, query=""))


def a_document(**changes: Any) -> dict[str, Any]:
    usual = {
        "client_reference": "pay-1",
        "customer_id": ANA_ID,
        "sell": {"currency": "EUR", "amount": "200.00"},
        "buy": {"currency": "USDC"},
        "beneficiary": {"name": "Ben", "country": "PH", "address": ADDRESS},
    }
    return {**usual, **changes}


def lines(*documents: Any) -> str:
    return "\n".join(json.dumps(each) for each in documents)


def the_row(file: BulkFile) -> FileRow:
    [row] = file.rows
    return row


def faults(row: FileRow) -> list[tuple[str, str]]:
    return [(each.pointer, each.code) for each in row.faults]


def test_the_same_order_reads_the_same_from_every_format() -> None:
    document = a_document(purpose="SALA")
    header = "Client Reference;customer-id;".replace(";", ",")
    table = (
        f"{header}sell_currency,amount,buy_currency,beneficiary,country,wallet,purpose\r\n"
        f"pay-1,{ANA_ID},EUR,200.00,USDC,Ben,PH,{ADDRESS},SALA\r\n"
    )
    from_json = the_row(read(lines(document), JSON_LINES))
    from_csv = the_row(read("\ufeff" + table, CSV))
    from_xml = the_row(read(message(ANA_ID, Instruction()), XML, buy_currency="USDC"))
    assert from_json.order is not None
    assert from_json.order.customer_id == ANA.id
    assert from_json.order == from_csv.order == from_xml.order
    assert (from_csv.line, from_xml.line, from_xml.group) == (2, 1, "PMT-1")


AN_ACCOUNT = {"type": "bank", "number": "DE89370400440532013000", "bank_code": "BOPIPHMM"}


def to_account(account: dict[str, Any] = AN_ACCOUNT, **changes: Any) -> dict[str, Any]:
    beneficiary = {"name": "Ben", "country": "PH", "account": account}
    return a_document(buy={"currency": "PHP"}, beneficiary=beneficiary, **changes)


def test_the_same_order_to_an_account_reads_the_same_from_every_format() -> None:
    header = "client_reference,customer_id,sell_currency,sell_amount,buy_currency,name,country"
    table = (
        f"{header},address,IBAN,BIC,purpose,refund_policy\n"
        f"pay-1,{ANA_ID},EUR,200.00,PHP,Ben,PH,,DE89370400440532013000,BOPIPHMM,SALA,correct\n"
        f"pay-2,{ANA_ID},EUR,200.00,USDC,Ben,PH,{ADDRESS},,,SALA,\n"
    )
    transfer = Instruction(iban="DE89370400440532013000", account_currency="PHP")
    document = to_account(purpose="SALA", refund_policy="correct")
    from_json = the_row(read(lines(document), JSON_LINES)).order
    from_csv = read(table, CSV).rows
    content = message(ANA_ID, transfer)
    from_xml = the_row(read(content, XML, buy_currency="USDC", refund_policy="correct")).order
    assert from_json is not None
    assert from_json.account == BankAccount("DE89370400440532013000", "BOPIPHMM")
    assert (from_json.buy, from_json.address) == ("PHP", "")
    assert from_json.refund_policy is RefundPolicy.CORRECT
    assert from_json == from_csv[0].order == from_xml
    assert from_csv[1].order is not None
    assert (from_csv[1].order.address, from_csv[1].order.account) == (ADDRESS, None)


def test_a_policy_is_of_rows_that_partners_pay_out() -> None:
    own = the_row(
        read(lines(to_account(refund_policy="refund")), JSON_LINES, refund_policy="correct")
    )
    assert own.order is not None
    assert own.order.refund_policy is RefundPolicy.REFUND
    to_address = the_row(read(lines(a_document()), JSON_LINES, refund_policy="correct"))
    assert to_address.order is not None
    assert to_address.order.refund_policy is None
    refused = the_row(read(lines(a_document(refund_policy="correct")), JSON_LINES))
    assert faults(refused) == [("/refund_policy", "wrong_form")]


@pytest.mark.parametrize(
    ("bank", "code"), [("bic", "BOPIPHMM"), ("clearing", "010040018"), ("other", "BPI 1040")]
)
@pytest.mark.parametrize("name", NAMES)
def test_an_account_of_pain_001_is_a_number_at_a_bank(name: str, bank: str, code: str) -> None:
    content = message(ANA_ID, Instruction(number="000123456789", bank=bank), name=name)
    row = the_row(read(content, XML, buy_currency="PHP"))
    assert row.order is not None
    assert row.order.account == BankAccount("000123456789", code)
    assert row.order.buy == "PHP"


def test_one_message_pays_to_accounts_and_to_addresses() -> None:
    content = message(
        ANA_ID, Instruction("a"), Instruction("b", number="000123456789", account_currency="PHP")
    )
    orders = [each.order for each in read(content, XML, buy_currency="USDC").rows if each.order]
    assert [(each.buy, each.is_paid_out) for each in orders] == [("USDC", False), ("PHP", True)]


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (
            to_account({"number": "000123456789"}),
            [("/beneficiary/account/bank_code", "required")],
        ),
        (
            to_account({"number": "1", "bank_code": "BOPIPHMM"}),
            [("/beneficiary/account/number", "wrong_form")],
        ),
        (
            a_document(
                beneficiary={
                    "name": "Ben",
                    "country": "PH",
                    "address": ADDRESS,
                    "account": AN_ACCOUNT,
                }
            ),
            [("/beneficiary", "one_place")],
        ),
        (a_document(beneficiary={"name": "Ben", "country": "PH"}), [("/beneficiary", "one_place")]),
    ],
)
def test_what_is_wrong_with_an_account_is_told_where_it_is(
    document: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    assert faults(the_row(read(lines(document), JSON_LINES))) == found


def test_a_table_says_where_beneficiaries_are_paid() -> None:
    with pytest.raises(BulkFileInvalid, match="no column 'address', and no 'account_number'"):
        read("client_reference,name,country\na,Ben,PH\n", CSV)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"client_reference": ""}, [("/client_reference", "too_short")]),
        ({"customer_id": "cus_x"}, [("/customer_id", "not_found")]),
        ({"customer_id": None}, [("/customer_id", "required")]),
        ({"sell": {"currency": "EUR", "amount": "1,00"}}, [("/sell/amount", "amount_invalid")]),
        ({"sell": {"currency": "EUR", "amount": "1.001"}}, [("/sell/amount", "amount_invalid")]),
        ({"sell": {"amount": "1.00"}}, [("/sell/currency", "required")]),
        ({"sell": {"currency": "XXX", "amount": "1"}}, [("/sell/currency", "currency_unknown")]),
        ({"sell": {"currency": "EUR"}}, [("", "one_amount")]),
        ({"buy": {"currency": "USDC", "amount": "1.00"}}, [("", "one_amount")]),
        ({"iban": "DE00"}, [("/iban", "unknown_member")]),
        (
            {"beneficiary": {"name": "Ben", "country": "PX", "address": ADDRESS}},
            [("/beneficiary/country", "country_unknown")],
        ),
        (
            {"beneficiary": {"name": "Ben", "country": "PH", "address": "0x12"}},
            [("/beneficiary/address", "address_invalid")],
        ),
        (
            {"customer_id": None, "sell": {"amount": "1"}, "buy": {}},
            [
                ("/customer_id", "required"),
                ("/sell/currency", "required"),
                ("/buy/currency", "required"),
            ],
        ),
    ],
)
def test_what_is_wrong_with_a_row_is_told_where_it_is(
    changes: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    row = the_row(read(lines(a_document(**changes)), JSON_LINES))
    assert row.order is None
    assert faults(row) == found
    assert all(each.message for each in row.faults)


def test_what_rows_do_not_say_the_request_may() -> None:
    bare = a_document(sell={"amount": "1.00"}, buy={}, customer_id=None)
    query: dict[str, Any] = {
        "sell_currency": "EUR",
        "buy_currency": "USDC",
        "customer_id": ANA_ID,
    }
    order = the_row(read(lines(bare), JSON_LINES, **query)).order
    assert order is not None
    assert (order.sell, order.buy, order.customer_id) == ("EUR", "USDC", ANA.id)
    own = read(lines(a_document(customer_id=None)), JSON_LINES, REMITTER)
    assert the_row(own).order is not None


def test_a_line_that_is_no_json_leaves_the_others_as_they_are() -> None:
    text = f'{lines(a_document())}\n\n{{broken\n[1]\n{{"a":1,"a":2}}\n{lines(a_document())}\n'
    file = read(text, JSON_LINES)
    assert [(each.line, faults(each)) for each in file.rows] == [
        (1, []),
        (3, [("", "json_invalid")]),
        (4, [("", "not_an_object")]),
        (5, [("", "json_invalid")]),
        (6, []),
    ]


def test_a_row_of_csv_with_too_many_cells_is_faulty_alone() -> None:
    file = read(FILE + FILE.splitlines()[1].replace("Ben", "Ben, junior") + "\n", CSV)
    assert [faults(each) for each in file.rows] == [[], [("", "wrong_columns")]]
    assert "double quotes" in file.rows[1].faults[0].message


@pytest.mark.parametrize(
    ("content", "media_type", "words"),
    [
        (FILE.replace(",", ";"), CSV, "semicolons"),
        (FILE.replace(",", "\t"), CSV, "tabs"),
        (FILE.replace("client_reference", "id"), CSV, "'id', which is no column"),
        (FILE.replace("buy_currency", "reference"), CSV, "'client_reference' twice"),
        (FILE.replace("country", "iban"), CSV, "no column 'country'"),
        (FILE + '"open\n', CSV, "not CSV"),
        ("", CSV, "empty"),
        (FILE.encode("utf-16"), CSV, "UTF-8"),
        ("<Document/>", XML, "can be read"),
        ("<Document", XML, "not XML"),
        ("", XML, "not XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', XML, "document type"),
        ("{}", "application/json", "Content-Type"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_remedy(
    content: str | bytes, media_type: str, words: str
) -> None:
    with pytest.raises(BulkFileInvalid) as refused:
        read(content, media_type)
    assert words in refused.value.detail


@pytest.mark.parametrize("media_type", [JSON_LINES, CSV])
def test_more_rows_than_there_may_be_are_refused_before_they_are_read(media_type: str) -> None:
    head = "client_reference,name,country,address\n" if media_type == CSV else ""
    with pytest.raises(BulkFileInvalid) as refused:
        read(head + "{}\n" * (ROWS_MAX + 1), media_type)
    assert str(ROWS_MAX) in refused.value.detail


@pytest.mark.parametrize("name", NAMES)
def test_pain_001_of_these_versions_is_read(name: str) -> None:
    file = read(
        message(ANA_ID, Instruction("a", "1.00"), Instruction("b", "2.50"), name=name),
        XML,
        buy_currency="USDC",
    )
    assert (file.form, file.message_id, file.message_name) == (Form.PAIN_001, "MSG-1", name)
    orders = [each.order for each in file.rows if each.order]
    assert [(each.client_reference, each.sell_amount) for each in orders] == [
        ("a", "1.00"),
        ("b", "2.50"),
    ]


def test_what_is_instructed_is_what_is_bought_where_the_request_says_so() -> None:
    content = message(ANA_ID, Instruction(currency="EUR"))
    order = the_row(read(content, XML, instructed="buy", sell_currency="GBP")).order
    assert order is not None
    assert (order.sell, order.sell_amount) == ("GBP", None)
    assert (order.buy, order.buy_amount) == ("EUR", "200.00")


def test_an_equivalent_amount_is_what_is_sold_for_another_currency() -> None:
    order = the_row(read(message(ANA_ID, Instruction(equivalent_in="GBP")), XML)).order
    assert order is not None
    assert (order.sell, order.sell_amount, order.buy) == ("EUR", "200.00", "GBP")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<NbOfTxs>2</NbOfTxs>", b"<NbOfTxs>3</NbOfTxs>"),
        (b"<CtrlSum>400", b"<CtrlSum>401"),
    ],
)
def test_a_message_whose_figures_are_not_those_of_its_transactions_is_refused(
    old: bytes, new: bytes
) -> None:
    content = message(ANA_ID, Instruction("a"), Instruction("b"))
    assert content.count(old) == 2  # of the message, and of its payment
    first = content.index(old)
    for at in (first, content.index(old, first + 1)):
        with pytest.raises(BulkFileInvalid):
            read(content[:at] + new + content[at + len(old) :], XML, buy_currency="USDC")


def test_what_is_for_a_later_day_is_not_carried_out_today() -> None:
    later = read(message(ANA_ID, Instruction(), day=date(2026, 12, 1)), XML, buy_currency="USDC")
    [row] = due(later.rows, date(2026, 11, 22))
    assert (row.order, faults(row)) == (None, [("", "not_due")])
    assert due(later.rows, date(2026, 12, 1)) == later.rows


def test_of_rows_with_one_reference_the_first_counts() -> None:
    file = read(lines(a_document(), a_document(), a_document(client_reference="b")), JSON_LINES)
    checked = without_repetitions(file.rows)
    assert [faults(each) for each in checked] == [
        [],
        [("/client_reference", "client_reference_used")],
        [],
    ]
    assert "line 1" in checked[1].faults[0].message


@hypothesis.given(st.binary(max_size=300), st.sampled_from([JSON_LINES, CSV, XML]))
def test_whatever_bytes_come_they_are_read_or_refused(content: bytes, media_type: str) -> None:
    with suppress(BulkFileInvalid):
        assert len(read(content, media_type).rows) <= len(content)


async def test_a_file_is_taken_in_with_how_its_rows_are_to_be_taken(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    headers = {**AS_PARTNER, "Idempotency-Key": "one", "Content-Type": "text/csv; charset=utf-8"}
    query = {"mode": "all_or_nothing", "accept_within_s": "60"}
    taken = await client.post(PATH, headers=headers, params=query, content=FILE)
    assert taken.status_code == 202, taken.text
    assert taken.headers["location"] == f"{PATH}/{taken.json()['id']}"
    order = fake_node.bulk.order
    assert order is not None
    assert (order.mode, order.accept_within_s) == (Mode.ALL_OR_NOTHING, 60)
    again = await client.post(PATH, headers=headers, params=query, content=FILE)
    assert again.headers["idempotent-replayed"] == "true"
    other = await client.post(PATH, headers=headers, params=query, content=FILE + "\n")
    assert code_of(other) == "idempotency_key_reused"


async def test_a_file_needs_a_key_and_has_a_most_of_bytes(client: httpx.AsyncClient) -> None:
    headers = {**AS_PARTNER, "Content-Type": "text/csv"}
    assert code_of(await client.post(PATH, headers=headers, content=FILE)) == (
        "idempotency_key_missing"
    )
    headers["Idempotency-Key"] = "one"
    big = await client.post(PATH, headers=headers, content=b"a" * (2**24 + 1))
    assert (big.status_code, big.json()["limit_bytes"]) == (413, 2**24)
    broken = await client.post(PATH, headers=headers, content=b"a;b\n")
    assert (broken.status_code, code_of(broken)) == (422, "bulk_file_invalid")
    assert broken.json()["line"] == 1


async def test_rows_are_listed_by_status_and_in_parts(client: httpx.AsyncClient) -> None:
    first = await client.get(f"{SHOWN}/rows", headers=AS_PARTNER, params={"limit": 3})
    assert [each["line"] for each in first.json()["data"]] == [1, 2, 3]
    rest = await client.get(
        f"{SHOWN}/rows", headers=AS_PARTNER, params={"after": first.json()["next_after"]}
    )
    assert [each["line"] for each in rest.json()["data"]] == [4]
    faulty = await client.get(f"{SHOWN}/rows", headers=AS_PARTNER, params={"status": "rejected"})
    assert [each["errors"][0]["code"] for each in faulty.json()["data"]] == [
        "insufficient_funds",
        "some_code_that_is_ours",
    ]


async def test_a_bulk_transfer_shows_what_is_paid(client: httpx.AsyncClient) -> None:
    shown = (await client.get(SHOWN, headers=AS_PARTNER)).json()
    assert shown["transfers"] == {"processing": 0, "completed": 1, "failed": 1}
    [total] = shown["sums"]
    assert total["sell"] == {"currency": "EUR", "amount": "400.00"}
    assert total["completed_buy"] == {"currency": "USDC", "amount": "230.074048"}
    assert (await client.get(SHOWN, headers=bearer("stranger-key"))).status_code == 404


async def test_its_report_is_a_table_in_which_no_cell_is_a_formula(
    client: httpx.AsyncClient,
) -> None:
    file = await client.get(f"{SHOWN}/report", headers=AS_PARTNER, params={"format": "csv"})
    assert file.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(file.text, newline=""), strict=True))
    assert [each["status"] for each in rows] == ["accepted", "rejected", "accepted", "rejected"]
    assert rows[1]["client_reference"] == "'=pay-2"
    assert (rows[0]["buy_amount"], rows[1]["code"]) == ("230.074048", "insufficient_funds")
    assert rows[2]["repeated"] == "yes"


async def test_its_report_is_valid_pain_002_with_each_status_and_reason(
    client: httpx.AsyncClient,
) -> None:
    file = await client.get(f"{SHOWN}/report", headers=AS_PARTNER, params={"format": "pain.002"})
    assert file.headers["content-type"] == "application/xml"
    root = etree.fromstring(file.content)
    schema("pain.002.001.12").assertValid(root)

    def found(name: str) -> list[str]:
        return [each.text for each in root.iterfind(f".//{{*}}{name}")]

    assert found("OrgnlMsgId") == ["MSG-1"]
    assert found("GrpSts") == ["PART"]
    assert found("OrgnlPmtInfId") == ["PMT-1", "PMT-2", "NOTPROVIDED"]
    assert found("TxSts") == ["ACSC", "RJCT", "RJCT", "RJCT"]
    assert found("Rsn/{*}Cd") == ["AM04"]
    assert found("Rsn/{*}Prtry") == ["expired", "some_code_that_is_ours"]


def test_rows_that_partners_pay_out_have_their_status_and_reason_in_pain_002() -> None:
    paid_out = replace(A_TRANSFER, state=State.PAID_OUT, buy_asset="PHP", buy=1_315_739)
    undeliverable = replace(paid_out, state=State.UNDELIVERABLE)
    refunded = replace(
        paid_out, state=State.REFUNDED, failure={"code": "refunded", "message": "it is back"}
    )
    rows = [
        replace(THE_ROWS[0], line=line, transfer=transfer)
        for line, transfer in enumerate((paid_out, undeliverable, refunded), start=1)
    ]
    for code in ("beneficiary_refused", "partner_unavailable", "partner_refused"):
        fault = Fault("/beneficiary", code, "not this one")
        rows.append(replace(THE_ROWS[1], line=len(rows) + 1, faults=(fault,)))
    root = etree.fromstring(report_pain002(A_BULK, rows, NOW))
    schema("pain.002.001.12").assertValid(root)
    found = {
        name: [each.text for each in root.iterfind(f".//{{*}}{name}")]
        for name in ("TxSts", "Rsn/{*}Cd", "Rsn/{*}Prtry")
    }
    assert found["TxSts"] == ["ACSC", "PDNG", "RJCT", "RJCT", "RJCT", "RJCT"]
    assert found["Rsn/{*}Cd"] == ["AC03", "AB08"]
    assert found["Rsn/{*}Prtry"] == ["refunded", "partner_refused"]


async def test_a_file_that_was_no_pain_001_has_no_pain_002(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    fake_node.bulk.bulk = replace(fake_node.bulk.bulk, message_id=None, message_name=None)
    refused = await client.get(f"{SHOWN}/report", headers=AS_PARTNER, params={"format": "pain.002"})
    assert (refused.status_code, code_of(refused)) == (422, "format_unfit")
