"""ISO 20022 camt.053 (BankToCustomerStatement), versions 001.02 to 001.08, as banks write it.

Read by local names, because versions differ little in what is needed here and banks differ much in
what they fill. A document type declaration is refused, so there are no entities to expand; amounts
stay decimal strings. What an element means follows the message definition reports of ISO 20022:

* `CdtDbtInd` is the sign of the entry itself, also where `RvslInd` says that it takes back an
  earlier one (whose sign was the other).
* An `Ntry` with several `TxDtls` is a batch. It becomes a line for each of them if all have an
  amount and these make the entry's; else it stays one line, without references.
* Only `BOOK` entries count; `PDNG` and `INFO` are announced, and kept apart by their number.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from node.core.bank import StatedBalance, StatedLine, StatedStatement, StatementInvalid
from node.core.iso20022 import children_named, first_at, text_at

_NAMESPACE: Final = re.compile(r"\{urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.0[2-8]\}Document")
_DECIMAL: Final = re.compile(r"\+?([0-9]{0,20})(?:\.([0-9]{0,20}))?")
"""xs:decimal of XML Schema 1.1, 3.3.3, without a minus."""

_OPENING: Final = ("OPBD", "PRCD")
_CLOSING: Final = ("CLBD",)
_NOT_GIVEN: Final = frozenset({"", "NOTPROVIDED", "NONREF", "NOTAVAILABLE"})
"""What banks write where there is no reference (EPC guidelines; SWIFT's NONREF)."""

_REFERENCES: Final = ("EndToEndId", "PmtInfId", "InstrId", "TxId", "MsgId")
_TEXT_MAX: Final = 500


def read_camt053(content: bytes) -> Sequence[StatedStatement]:
    """The statements of a file, in its order.

    Raises:
        StatementInvalid: It is not XML, has a document type declaration, is another message, or
            lacks what a statement must have.
    """
    try:
        root = fromstring(content, forbid_dtd=True)
    except DefusedXmlException:
        raise StatementInvalid("the file declares a document type or entities") from None
    except ParseError as error:
        line, column = error.position
        raise StatementInvalid(
            f"line {line}, column {column}: the file is not XML", line=str(line)
        ) from None
    except (ValueError, LookupError) as error:  # an encoding that nobody knows
        raise StatementInvalid(f"the file cannot be read: {str(error)[:100]}") from None
    if not _NAMESPACE.fullmatch(root.tag):
        raise StatementInvalid(
            f"the file is {root.tag[:100]}; camt.053.001.02 to camt.053.001.08 can be read"
        )
    found = [
        _statement(each, n)
        for n, each in enumerate(children_named(root, "Stmt", deep=True), start=1)
    ]
    if not found:
        raise StatementInvalid("the file has no statement (Stmt)")
    return found


def _statement(node: Element, place: int) -> StatedStatement:
    at = f"statement {place}"
    balances = {
        text_at(each, "Tp", "CdOrPrtry", "Cd"): each for each in children_named(node, "Bal")
    }
    opening = next((balances[code] for code in _OPENING if code in balances), None)
    closing = next((balances[code] for code in _CLOSING if code in balances), None)
    if opening is None or closing is None:
        raise StatementInvalid(f"{at}: it has no booked opening (OPBD) or closing balance (CLBD)")
    currency = _currency(closing, at)
    lines: list[StatedLine] = []
    pending = 0
    for number, entry in enumerate(children_named(node, "Ntry"), start=1):
        if (text_at(entry, "Sts", "Cd") or text_at(entry, "Sts")) != "BOOK":
            pending += 1
            continue
        lines += _lines(entry, f"{at}, entry {number}", currency)
    last = _day(closing, f"{at}, closing balance", "Dt")
    first = _period(node, at) or min([each.booked_on for each in lines] + [last])
    number_text = text_at(node, "ElctrncSeqNb")
    return StatedStatement(
        name=text_at(node, "Id")[:_TEXT_MAX],
        account=text_at(node, "Acct", "Id", "IBAN") or text_at(node, "Acct", "Id", "Othr", "Id"),
        number=int(number_text) if re.fullmatch(r"[0-9]{1,18}", number_text) else None,
        currency=currency,
        first=min(first, last),
        last=last,
        opening=_balance(opening, f"{at}, opening balance", currency),
        closing=_balance(closing, f"{at}, closing balance", currency),
        lines=lines,
        pending=pending,
    )


def _period(node: Element, at: str) -> date | None:
    text = text_at(node, "FrToDt", "FrDtTm") or text_at(node, "FrToDt", "FrDt")
    return _date(text, at) if text else None


def _balance(node: Element, at: str, currency: str) -> StatedBalance:
    if _currency(node, at) != currency:
        raise StatementInvalid(f"{at}: it is in another currency than {currency}")
    return StatedBalance(_amount(node, at), _is_credit(node, at))


def _lines(entry: Element, at: str, currency: str) -> Iterator[StatedLine]:
    """The lines of one entry: one, or one for each transaction of a batch."""
    if _currency(entry, at) != currency:
        raise StatementInvalid(f"{at}: it is in another currency than {currency}")
    whole = StatedBalance(_amount(entry, at), _is_credit(entry, at))
    name = _given(text_at(entry, "AcctSvcrRef"))
    details = [
        each
        for group in children_named(entry, "NtryDtls")
        for each in children_named(group, "TxDtls")
    ]
    parts = [_part(each, at, currency, is_credit=whole.is_credit) for each in details]
    if len(details) > 1 and _make(parts, whole):
        for number, (detail, part) in enumerate(zip(details, parts, strict=True), start=1):
            assert part is not None  # `_make` says so
            own = _given(text_at(detail, "Refs", "AcctSvcrRef"))
            own = own if own != name else ""
            yield _line(entry, detail, part, at, own or (f"{name}#{number}" if name else ""))
        return
    yield _line(entry, details[0] if len(details) == 1 else None, whole, at, name)


def _line(
    entry: Element, detail: Element | None, stated: StatedBalance, at: str, name: str
) -> StatedLine:
    told = entry if detail is None else detail
    return StatedLine(
        at,
        stated.amount,
        stated.is_credit,
        _day(entry, at, "BookgDt"),
        None if first_at(entry, "ValDt") is None else _day(entry, at, "ValDt"),
        () if detail is None else _references(detail),
        name,
        _counterparty(told, is_credit=stated.is_credit),
        _description(entry, detail),
        text_at(entry, "RvslInd") in ("true", "1"),
    )


def _part(detail: Element, at: str, currency: str, *, is_credit: bool) -> StatedBalance | None:
    """Amount and side of one transaction of a batch; None where it has none in this currency."""
    for path in (("Amt",), ("AmtDtls", "TxAmt", "Amt"), ("AmtDtls", "InstdAmt", "Amt")):
        node = first_at(detail, *path)
        if node is not None and node.get("Ccy") == currency:
            side = first_at(detail, "CdtDbtInd")
            own = is_credit if side is None else _is_credit(detail, at)
            return StatedBalance(_decimal(node.text or "", at), own)
    return None


def _make(parts: Sequence[StatedBalance | None], whole: StatedBalance) -> bool:
    """Whether parts add up to the entry's amount, exactly."""
    total = Decimal(0)
    for each in parts:
        if each is None:
            return False
        total += Decimal(each.amount) * (1 if each.is_credit is whole.is_credit else -1)
    return total == Decimal(whole.amount)


def _references(detail: Element) -> tuple[str, ...]:
    found = [text_at(detail, "Refs", name) for name in _REFERENCES]
    remittance = first_at(detail, "RmtInf")
    if remittance is not None:
        found += [text_at(each, "CdtrRefInf", "Ref") for each in children_named(remittance, "Strd")]
        texts = [(each.text or "").strip() for each in children_named(remittance, "Ustrd")]
        found += [*texts, "".join(texts)]
    given = (_given(each) for each in found)
    return tuple(dict.fromkeys(each for each in given if each))


def _counterparty(detail: Element, *, is_credit: bool) -> str:
    side = "Dbtr" if is_credit else "Cdtr"
    for path in (("RltdPties", side, "Pty", "Nm"), ("RltdPties", side, "Nm")):
        if name := text_at(detail, *path):
            return name[:_TEXT_MAX]
    return ""


def _description(entry: Element, detail: Element | None) -> str:
    texts = [text_at(entry, "AddtlNtryInf")]
    if detail is not None:
        texts.append(text_at(detail, "AddtlTxInf"))
        remittance = first_at(detail, "RmtInf")
        if remittance is not None:
            texts += [(each.text or "").strip() for each in children_named(remittance, "Ustrd")]
    return " ".join(each for each in texts if each)[:_TEXT_MAX]


def _given(text: str) -> str:
    return "" if text.strip().upper() in _NOT_GIVEN else text.strip()[:_TEXT_MAX]


def _amount(node: Element, at: str) -> str:
    found = first_at(node, "Amt")
    return _decimal("" if found is None else found.text or "", at)


def _decimal(text: str, at: str) -> str:
    """A plain decimal string without zeros at its end, which mean nothing."""
    matched = _DECIMAL.fullmatch(text.strip())
    if matched is None or not (matched[1] or matched[2]):
        raise StatementInvalid(f"{at}: {text[:40]!r} is no amount", line=at)
    fraction = (matched[2] or "").rstrip("0")
    return f"{matched[1] or '0'}.{fraction}" if fraction else matched[1] or "0"


def _currency(node: Element, at: str) -> str:
    found = first_at(node, "Amt")
    currency = "" if found is None else found.get("Ccy", "")
    if not re.fullmatch("[A-Z]{3}", currency):
        raise StatementInvalid(f"{at}: its amount has no currency (Ccy)", line=at)
    return currency


def _is_credit(node: Element, at: str) -> bool:
    side = text_at(node, "CdtDbtInd")
    if side not in ("CRDT", "DBIT"):
        raise StatementInvalid(f"{at}: it is neither CRDT nor DBIT", line=at)
    return side == "CRDT"


def _day(node: Element, at: str, name: str) -> date:
    text = text_at(node, name, "Dt") or text_at(node, name, "DtTm")
    if not text:
        raise StatementInvalid(f"{at}: it has no day ({name})", line=at)
    return _date(text, at)


def _date(text: str, at: str) -> date:
    """The day as the bank writes it: of its own clock, not shifted."""
    try:
        return datetime.fromisoformat(text).date() if "T" in text else date.fromisoformat(text[:10])
    except ValueError:
        raise StatementInvalid(f"{at}: {text[:40]!r} is no day", line=at) from None
