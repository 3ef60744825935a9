"""Statements of banks as files: what is read out of them, and which files are refused."""

from datetime import date
from pathlib import Path

import pytest
from lxml import etree

from adapters.bank import StatementFiles
from node.core.bank import StatedBalance, StatedStatement, StatementInvalid

FILES = Path(__file__).parent / "bank"
SCHEMA = Path(__file__).parents[1] / "api" / "iso20022" / "camt.053.001.08.xsd"
XML = (FILES / "play-camt053-08.xml").read_bytes()
CSV = (FILES / "play.csv").read_bytes()


def of_xml(content: bytes) -> StatedStatement:
    (found,) = StatementFiles().read(content, "application/xml", currency="")
    return found


def of_csv(content: bytes | str, currency: str = "") -> StatedStatement:
    raw = content.encode() if isinstance(content, str) else content
    (found,) = StatementFiles().read(raw, "text/csv", currency=currency)
    return found


def as_older(content: bytes, version: str) -> bytes:
    """The same in a version before 08: the status is a plain text, parties have names directly."""
    for new, old in (
        (b"camt.053.001.08", f"camt.053.001.{version}".encode()),
        (b"<Sts><Cd>BOOK</Cd></Sts>", b"<Sts>BOOK</Sts>"),
        (b"<Sts><Cd>PDNG</Cd></Sts>", b"<Sts>PDNG</Sts>"),
        (b"<Pty>", b""),
        (b"</Pty>", b""),
    ):
        content = content.replace(new, old)
    return content


def test_the_file_of_these_tests_is_valid_by_the_schema() -> None:
    etree.XMLSchema(etree.parse(SCHEMA)).assertValid(etree.fromstring(XML))


def test_a_camt053_is_read_to_the_line() -> None:
    found = of_xml(XML)
    assert (found.name, found.account, found.number) == ("PLAY-2026-226", "PLAY-ACCOUNT-1", 226)
    assert (found.first, found.last) == (date(2026, 11, 22), date(2026, 11, 22))
    assert found.opening == StatedBalance("100", is_credit=True)
    assert found.closing == StatedBalance("1389.5", is_credit=True)
    assert found.pending == 1
    lines = found.lines
    assert [(each.amount, each.is_credit, each.servicer_reference) for each in lines] == [
        ("1000", True, "PLAY-A"),
        ("120", True, "PLAY-B#1"),
        ("180", True, "PLAY-B-2"),
        ("10.5", False, "PLAY-C"),
    ]
    assert [each.references for each in lines] == [
        ("wire-17",), ("wire-18",), ("wire-19",), ("wire-12",),
    ]  # fmt: skip
    assert [each.is_reversal for each in lines] == [False, False, False, True]
    assert (lines[0].counterparty, lines[3].counterparty) == ("Ana", "Ben")
    assert lines[0].value_on == date(2026, 11, 23)
    assert lines[3].booked_on == date(2026, 11, 22)


@pytest.mark.parametrize("version", ["02", "03", "04", "05", "06", "07"])
def test_an_older_version_says_the_same(version: str) -> None:
    assert of_xml(as_older(XML, version)) == of_xml(XML)


@pytest.mark.parametrize("encoding", ["UTF-16", "ISO-8859-1"])
def test_the_encoding_is_the_one_the_file_names(encoding: str) -> None:
    text = XML.decode().replace("UTF-8", encoding).replace("Ana", "Änne")
    assert of_xml(text.encode(encoding)).lines[0].counterparty == "Änne"


def test_a_prefix_of_the_namespace_changes_nothing() -> None:
    root = etree.fromstring(XML)
    prefixed = etree.Element(
        root.tag, nsmap={"x": "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"}
    )
    prefixed.extend(list(root))
    etree.cleanup_namespaces(prefixed)
    content = etree.tostring(prefixed)
    assert b"<x:Stmt>" in content
    assert of_xml(content) == of_xml(XML)


def test_a_batch_whose_parts_do_not_make_it_stays_one_line_without_a_reference() -> None:
    found = of_xml(XML.replace(b'<Amt Ccy="EUR">120.00', b'<Amt Ccy="EUR">120.01'))
    assert (found.lines[1].amount, found.lines[1].references) == ("300", ())
    assert len(found.lines) == 3


def test_a_batch_with_a_part_that_goes_the_other_way_is_read_by_its_signs() -> None:
    content = XML.replace(
        b'<Amt Ccy="EUR">120.00</Amt><CdtDbtInd>CRDT', b'<Amt Ccy="EUR">120.00</Amt><CdtDbtInd>DBIT'
    ).replace(b'<Amt Ccy="EUR">180.00', b'<Amt Ccy="EUR">420.00')
    lines = of_xml(content).lines
    assert [(each.amount, each.is_credit) for each in lines[1:3]] == [("120", False), ("420", True)]


def test_amounts_of_older_versions_lie_deeper() -> None:
    content = as_older(XML, "02")
    for text in (b"120.00", b"180.00"):
        flat = b'<Amt Ccy="EUR">' + text + b"</Amt><CdtDbtInd>CRDT</CdtDbtInd>"
        deep = b'<AmtDtls><TxAmt><Amt Ccy="EUR">' + text + b"</Amt></TxAmt></AmtDtls>"
        assert content.count(flat) == 1
        content = content.replace(flat, deep)
    assert [each.amount for each in of_xml(content).lines] == ["1000", "120", "180", "10.5"]


BOMB = b"""<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><Document>&b;</Document>"""
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/hostname">]>
<Document>&a;</Document>"""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (BOMB, "entities"),
        (OUTSIDE, "entities"),
        (b"<?xml version='1.0'?><!DOCTYPE Document><Document/>", "entities"),
        (b"", "not XML"),
        (b"<Document", "line 1, column"),
        (b"date,amount\n", "not XML"),
        (b"<?xml version='1.0' encoding='nonsense'?><Document/>", "cannot be read|not XML"),
        (XML.replace(b"camt.053.001.08", b"camt.054.001.08"), "camt.053.001.02 to"),
        (XML.replace(b"camt.053.001.08", b"camt.053.001.09"), "camt.053.001.02 to"),
        (XML.replace(b"OPBD", b"ITBD"), "opening"),
        (XML.replace(b"<Cd>CLBD", b"<Cd>CLAV"), "closing balance"),
        (XML.replace(b">1000.00<", b">1,000.00<"), "entry 1: '1,000.00' is no amount"),
        (XML.replace(b">1000.00<", b">-1000.00<"), "is no amount"),
        (XML.replace(b">1000.00<", b">1E3<"), "is no amount"),
        (XML.replace(b">1000.00<", b">.<"), "is no amount"),
        (XML.replace(b'"EUR">1000.00', b'"USD">1000.00'), "another currency"),
        (XML.replace(b"<CdtDbtInd>DBIT", b"<CdtDbtInd>SIDE"), "neither CRDT nor DBIT"),
        (XML.replace(b"<BookgDt><Dt>2026-11-22", b"<BookgDt><Dt>2026-11-31"), "is no day"),
    ],
)
def test_what_is_no_statement_is_refused_and_says_where(content: bytes, says: str) -> None:
    with pytest.raises(StatementInvalid, match=says):
        of_xml(content)


def test_several_statements_of_one_file_are_read_in_its_order() -> None:
    start, end = XML.index(b"<Stmt>"), XML.index(b"</Stmt>") + len(b"</Stmt>")
    twice = XML[:end] + XML[start:end].replace(b">226<", b">227<") + XML[end:]
    found = StatementFiles().read(twice, "application/xml", currency="")
    assert [each.number for each in found] == [226, 227]


def test_a_csv_is_read_to_the_line() -> None:
    found = of_csv(CSV)
    assert (found.currency, found.first, found.last) == (
        "EUR", date(2026, 11, 22), date(2026, 11, 22),
    )  # fmt: skip
    assert found.opening == StatedBalance("100.00", is_credit=True)
    assert found.closing == StatedBalance("1089.50", is_credit=True)
    assert [(each.amount, each.is_credit, each.references) for each in found.lines] == [
        ("1000.00", True, ("wire-17",)),
        ("10.50", False, ("wire-12",)),
    ]
    assert found.lines[0].description == "top-up, first"


def test_a_csv_may_leave_out_what_is_not_needed_and_start_with_a_byte_order_mark() -> None:
    found = of_csv(b"\xef\xbb\xbfAmount,DATE\r\n5.00,2026-11-22\r\n\r\n", "EUR")
    assert (found.opening, found.closing, len(found.lines)) == (None, None, 1)
    assert found.lines[0].references == ()


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_csv_may_be_separated_by_semicolons_or_tabs_if_its_header_is(separator: str) -> None:
    rows = ("date,amount,reference", "2026-11-22,-5.00,one, two")
    text = "\n".join(each.replace(",", separator, 2) for each in rows)
    (line,) = of_csv(text, "EUR").lines
    assert (line.amount, line.is_credit, line.references) == ("5.00", False, ("one, two",))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("date,amount\n", "no line"),
        ("date,sum\n2026-11-22,1\n", "line 1: .*no column 'amount'.*'sum', which is no column"),
        ("date,amount,amount\n2026-11-22,1,1\n", "names a column twice"),
        ("2026-11-22,5.00\n", "line 1: the header"),
        ("date,amount\n2026-11-22,1\n2026-11-22,1,2\n", "line 3: it has 3 columns"),
        ("date,amount\n2026-11-22,'1\n", "line 2: .*no amount"),
        ('date,amount\n2026-11-22,"1,00"\n', "line 2: '1,00' is no amount"),
        ("date,amount\n2026-11-22,1e3\n", "line 2: '1e3' is no amount"),
        ("date,amount\n2026-11-22,NaN\n", "no amount"),
        ("date,amount\n22.11.2026,1\n", "line 2: '22.11.2026' is no day"),
        ("date,amount,balance\n2026-11-22,1,1\n2026-11-22,1,3\n", "line 3: the balance is 3"),
        ("date,amount,currency\n2026-11-22,1,USD\n", "USD"),
        ('date,amount\n2026-11-22,"1\n', "line"),
        (b"date,amount\n2026-11-22,\xff\n", "line 2: the file is not UTF-8"),
        ("Buchungstag;Betrag\n2026-11-22;1\n", "'betrag', which is no column.*semicolons"),
        ("date;amount,reference\n2026-11-22;1\n", "line 1: .*all of them by the same"),
        ("date;amount\n2026-11-22;1;2\n", "line 2: .*separated by semicolons.*in quotes"),
        ("date;amount\n2026-11-22;1,00\n", "line 2: '1,00' is no amount; write 1000.00"),
    ],
)
def test_a_csv_that_cannot_be_read_is_refused_with_its_line(
    content: bytes | str, says: str
) -> None:
    with pytest.raises(StatementInvalid, match=says):
        of_csv(content, "EUR")


def test_a_csv_without_a_currency_needs_one_in_the_request() -> None:
    with pytest.raises(StatementInvalid, match="one currency is wanted"):
        of_csv("date,amount\n2026-11-22,1\n")


def test_another_media_type_is_no_statement() -> None:
    with pytest.raises(StatementInvalid, match=r"camt\.053"):
        StatementFiles().read(b"{}", "application/json", currency="")
