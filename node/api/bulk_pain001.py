"""A bulk file as ISO 20022 pain.001 (CustomerCreditTransferInitiation), 001.09 to 001.12.

Read by local names, as banks' programs write it; a document type declaration is refused, so there
are no entities to expand. What each element is here:

* `PmtId/EndToEndId` is the client reference, `Purp` the purpose, `Cdtr` the beneficiary with the
  country of `PstlAdr/Ctry`, else `CtryOfRes`.
* `DbtrAcct/Id/Othr/Id` is the id of the customer who pays.
* `InstdAmt` is what is sold, or what is bought where the request says so; `EqvtAmt` is what is
  sold, for `CcyOfTrf`. Currencies of ISO 20022 have three letters: the token that is bought is
  named by the request.
* `CdtrAcct/Prxy/Id` is the beneficiary's address on the chain (an `Id` has 34 characters at most,
  and an address 42).
* Without one, `CdtrAcct/Id` (`IBAN`, or `Othr/Id`) is the account that a partner pays to, at the
  bank of `CdtrAgt/FinInstnId` (`BICFI`, `ClrSysMmbId/MmbId` or `Othr/Id`), in the currency of
  `CdtrAcct/Ccy` where that is given.

`NbOfTxs` and `CtrlSum` must be those of the transactions: a file that was cut is refused.
"""

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from node.api.bulk_rows import RawRow
from node.core.bulk import ROWS_MAX, BulkFileInvalid, Fault
from node.core.iso20022 import children_named, first_at, text_at

_NAME: Final = re.compile(
    r"\{urn:iso:std:iso:20022:tech:xsd:(pain\.001\.001\.(?:09|1[0-2]))\}Document"
)
_DECIMAL: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")
_ELEMENTS_MAX: Final = 1_000_000
"""Of a file: 100 for each transaction. It bounds the memory that a file takes."""

_ID_MAX: Final = 35  # Max35Text
_NOT_PROVIDED: Final = "NOTPROVIDED"
"""What stands where a message must have something and there is nothing."""


@dataclass(frozen=True, slots=True)
class Pain001:
    """A message that was read.

    Attributes:
        name: Such as `pain.001.001.09`.
        message_id: `MsgId`.
    """

    name: str
    message_id: str
    rows: Sequence[RawRow]


def read_pain001(content: bytes, *, instructed: Literal["sell", "buy"]) -> Pain001:
    """The transactions of a message.

    Raises:
        BulkFileInvalid: It is not XML, declares a document type, is another message, or its
            figures are not those of its transactions.
    """
    root = _parsed(content)
    named = _NAME.fullmatch(root.tag)
    if named is None:
        raise BulkFileInvalid(
            f"the file is {root.tag[:100]}; pain.001.001.09 to pain.001.001.12 can be read"
        )
    initiation = first_at(root, "CstmrCdtTrfInitn")
    header = None if initiation is None else first_at(initiation, "GrpHdr")
    if initiation is None or header is None:
        raise BulkFileInvalid("the message has no GrpHdr")
    message_id = text_at(header, "MsgId")
    if not 0 < len(message_id) <= _ID_MAX:
        raise BulkFileInvalid(f"MsgId has 1 to {_ID_MAX} characters")
    payments = children_named(initiation, "PmtInf")
    transactions = [each for payment in payments for each in children_named(payment, "CdtTrfTxInf")]
    _check_figures(header, transactions, "GrpHdr")
    if len(transactions) > ROWS_MAX:
        raise BulkFileInvalid(f"a bulk transfer has at most {ROWS_MAX} rows")
    return Pain001(named[1], message_id, list(_rows(payments, instructed)))


def _parsed(content: bytes) -> Element:
    root: Element | None = None
    try:
        events = iterparse(io.BytesIO(content), events=("start",), forbid_dtd=True)
        for count, (_, element) in enumerate(events, start=1):
            root = element if root is None else root
            if count > _ELEMENTS_MAX:
                raise BulkFileInvalid(f"the file has more than {_ELEMENTS_MAX} elements")
    except DefusedXmlException:
        raise BulkFileInvalid("the file declares a document type or entities") from None
    except ParseError as error:
        line, column = error.position
        raise BulkFileInvalid(
            f"line {line}, column {column}: the file is not XML", line=line
        ) from None
    except (ValueError, LookupError) as error:  # an encoding that nobody knows
        raise BulkFileInvalid(f"the file cannot be read: {str(error)[:100]}") from None
    if root is None:
        raise BulkFileInvalid("the file is empty")
    return root


def _check_figures(node: Element, transactions: Sequence[Element], at: str) -> None:
    """The number and sum that a header tells must be those of its transactions."""
    told = text_at(node, "NbOfTxs")
    if told and told != str(len(transactions)) and told.lstrip("0") != str(len(transactions)):
        raise BulkFileInvalid(
            f"{at}: NbOfTxs is {told[:20]}, and there are {len(transactions)} transactions"
        )
    told = text_at(node, "CtrlSum")
    if not told:
        return
    total = Decimal(0)
    for each in transactions:
        amount = (_amount(each)[0].text or "").strip() if _amount(each) else ""
        if not _DECIMAL.fullmatch(amount):
            return  # the transaction is faulty, and says so itself
        total += Decimal(amount)
    if not _DECIMAL.fullmatch(told) or Decimal(told) != total:
        raise BulkFileInvalid(f"{at}: CtrlSum is {told[:40]}, and the amounts come to {total}")


def _rows(payments: Sequence[Element], instructed: Literal["sell", "buy"]) -> Iterator[RawRow]:
    place = 0
    for payment in payments:
        transactions = children_named(payment, "CdtTrfTxInf")
        group = text_at(payment, "PmtInfId")[:_ID_MAX] or None
        _check_figures(payment, transactions, f"PmtInf {group or ''}".rstrip())
        common = _common(payment)
        day, fault = _day(payment), None
        if text_at(payment, "PmtMtd") != "TRF":
            fault = Fault("", "method_unknown", "PmtMtd must be TRF")
        elif isinstance(day, Fault):
            fault, day = day, None
        for each in transactions:
            place += 1
            document = {**common, **_transaction(each, instructed)}
            yield RawRow(place, document, fault, group, day if isinstance(day, date) else None)


def _common(payment: Element) -> dict[str, Any]:
    """What all transactions of a payment share."""
    account = text_at(payment, "DbtrAcct", "Id", "Othr", "Id")
    return {"customer_id": account} if account else {}


def _day(payment: Element) -> date | Fault | None:
    """The day it is for: `ReqdExctnDt`, as a day or as a time."""
    text = text_at(payment, "ReqdExctnDt", "Dt") or text_at(payment, "ReqdExctnDt", "DtTm")
    if not text:
        return None
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return Fault("", "day_invalid", f"ReqdExctnDt: {text[:40]!r} is no day")


def _transaction(node: Element, instructed: Literal["sell", "buy"]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if reference := text_at(node, "PmtId", "EndToEndId"):
        made["client_reference"] = reference
    if purpose := text_at(node, "Purp", "Cd") or text_at(node, "Purp", "Prtry"):
        made["purpose"] = purpose
    creditor: dict[str, object] = {
        "name": text_at(node, "Cdtr", "Nm"),
        "country": text_at(node, "Cdtr", "PstlAdr", "Ctry") or text_at(node, "Cdtr", "CtryOfRes"),
        **_where_to(node),
    }
    made["beneficiary"] = {name: value for name, value in creditor.items() if value}
    for found in _amount(node):
        side = {"currency": found.get("Ccy", ""), "amount": (found.text or "").strip()}
        side = {name: value for name, value in side.items() if value}
        transferred = text_at(node, "Amt", "EqvtAmt", "CcyOfTrf")
        if transferred:
            made |= {"sell": side, "buy": {"currency": transferred}}
        else:
            made[instructed] = side
            if instructed == "sell" and "account" in creditor:
                currency = text_at(node, "CdtrAcct", "Ccy")
                made |= {"buy": {"currency": currency}} if currency else {}
    return made


def _where_to(node: Element) -> dict[str, object]:
    """The beneficiary's address on the chain, or its account at a bank."""
    proxy = text_at(node, "CdtrAcct", "Prxy", "Id")
    other = text_at(node, "CdtrAcct", "Id", "Othr", "Id")
    if proxy or other.startswith("0x"):
        return {"address": proxy or other}
    number = text_at(node, "CdtrAcct", "Id", "IBAN") or other
    if not number or number == _NOT_PROVIDED:
        return {}
    bank = ("CdtrAgt", "FinInstnId")
    code = (
        text_at(node, *bank, "BICFI")
        or text_at(node, *bank, "ClrSysMmbId", "MmbId")
        or text_at(node, *bank, "Othr", "Id")
    )
    return {"account": {"number": number, **({"bank_code": code} if code else {})}}


def _amount(node: Element) -> list[Element]:
    """The amount of a transaction, if it has one."""
    for path in (("Amt", "InstdAmt"), ("Amt", "EqvtAmt", "Amt")):
        found = first_at(node, *path)
        if found is not None:
            return [found]
    return []
