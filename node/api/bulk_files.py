"""Files of bulk transfers: from bytes to rows that are orders, or say what is wrong with them.

A file that cannot be read as a whole is refused; a fault of a row is the row's. Whatever the file
is, a row becomes the JSON that `BulkRowBody` is, and is checked as bodies of quotes and transfers
are, with the same codes. CSV is `bulk_csv`, pain.001 is `bulk_pain001`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from node.api import bodies
from node.api.bodies import Upload
from node.api.bulk_csv import csv_rows
from node.api.bulk_pain001 import read_pain001
from node.api.bulk_rows import RawRow
from node.api.bulk_schemas import BulkQuery, BulkRowBody, BulkSide
from node.api.money import faults_of
from node.api.problems import JsonInvalid
from node.core.bulk import (
    FAULTS_MAX,
    ROWS_MAX,
    BulkFile,
    BulkFileInvalid,
    Fault,
    FileRow,
    Form,
    Order,
)
from node.core.catalog import Catalog
from node.core.errors import AddressInvalid, InvalidInput, NotFound
from node.core.ids import Prefix, decode_id, encode_id
from node.core.parties import Principal, Role
from node.core.payouts import BankAccount, RefundPolicy
from node.core.ports.chain import AddressCodec
from node.core.units import parse_minor

BYTES_MAX: Final = 16 * 1024 * 1024
"""Of a file: 10,000 transactions of pain.001 with everything that banks fill in."""

JSON_LINES: Final = "application/x-ndjson"
CSV: Final = "text/csv"
XML: Final = "application/xml"
MEDIA_TYPES: Final = (JSON_LINES, CSV, XML)

_XML_TYPES: Final = (XML, "text/xml")
_JSON_TYPES: Final = (JSON_LINES, "application/jsonl", "application/json-lines")
_REFERENCE_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class BulkReader:
    """Reads files for one caller.

    Attributes:
        defaults: What rows need not say.
    """

    catalog: Catalog
    addresses: AddressCodec
    principal: Principal
    defaults: BulkQuery

    def read(self, upload: Upload) -> BulkFile:
        """The rows of a file. About 50 microseconds a row.

        Raises:
            BulkFileInvalid: It is none of these files, or cannot be read as a whole.
        """
        sha256 = bytes.fromhex(upload.sha256)
        if upload.media_type in _XML_TYPES:
            message = read_pain001(upload.content, instructed=self.defaults.instructed)
            rows = [self._row(each) for each in message.rows]
            return BulkFile(Form.PAIN_001, sha256, rows, message.message_id, message.name)
        if upload.media_type == CSV:
            return BulkFile(
                Form.CSV, sha256, [self._row(each) for each in csv_rows(upload.content)]
            )
        if upload.media_type in _JSON_TYPES:
            rows = [self._row(each) for each in _json_rows(upload.content)]
            return BulkFile(Form.JSON_LINES, sha256, rows)
        raise BulkFileInvalid(
            f"a bulk transfer is {JSON_LINES}, {CSV} or {XML} (pain.001); the Content-Type says"
            f" {upload.media_type[:60] or 'nothing'!r}"
        )

    def _row(self, raw: RawRow) -> FileRow:
        reference = _reference(raw.document)
        if raw.fault is not None:
            return FileRow(raw.line, reference, None, (raw.fault,), raw.group, raw.not_before)
        try:
            body = bodies.check(raw.document, BulkRowBody)
        except InvalidInput as error:
            return FileRow(raw.line, reference, None, _faults(error), raw.group, raw.not_before)
        made = self._order(body)
        if isinstance(made, Order):
            return FileRow(raw.line, reference, made, (), raw.group, raw.not_before)
        return FileRow(raw.line, reference, None, made, raw.group, raw.not_before)

    def _order(self, body: BulkRowBody) -> Order | tuple[Fault, ...]:
        faults: list[Fault] = []
        customer = self._customer_id(body.customer_id)
        if isinstance(customer, Fault):
            faults.append(customer)
        sell = self._side("/sell", body.sell, self.defaults.sell_currency, faults)
        buy = self._side("/buy", body.buy, self.defaults.buy_currency, faults)
        if (body.sell.amount is None) == (body.buy.amount is None):
            message = "give the amount on exactly one side, sell or buy"
            faults.append(Fault("", "one_amount", message))
        to = body.beneficiary
        try:
            if to.address is not None:
                self.addresses.parse(to.address)
        except AddressInvalid as error:
            faults.append(Fault("/beneficiary/address", error.code, error.detail))
        if body.refund_policy is not None and to.account is None:
            message = "leave it out: no partner pays this row out"
            faults.append(Fault("/refund_policy", "wrong_form", message))
        if faults or isinstance(customer, Fault):
            return tuple(faults[:FAULTS_MAX])
        policy = (body.refund_policy or self.defaults.refund_policy) if to.account else None
        return Order(
            client_reference=body.client_reference,
            customer_id=decode_id(Prefix.CUSTOMER, customer),
            sell=sell,
            buy=buy,
            sell_amount=body.sell.amount,
            buy_amount=body.buy.amount,
            name=to.name,
            country=to.country,
            address=to.address or "",
            purpose=body.purpose,
            account=BankAccount(to.account.number, to.account.bank_code) if to.account else None,
            refund_policy=RefundPolicy(policy) if policy else None,
        )

    def _customer_id(self, given: str | None) -> str | Fault:
        at, principal = "/customer_id", self.principal
        customer_id = given or self.defaults.customer_id
        if customer_id is None and principal.role is Role.REMITTER and principal.customer_id:
            customer_id = encode_id(Prefix.CUSTOMER, principal.customer_id)
        if customer_id is None:
            return Fault(at, "required", "say whose money it is")
        try:
            decode_id(Prefix.CUSTOMER, customer_id)
        except NotFound as error:
            return Fault(at, error.code, error.detail)
        return customer_id

    def _side(self, at: str, side: BulkSide, default: str | None, faults: list[Fault]) -> str:
        """The currency of a side; what is wrong with it, or its amount, is added to `faults`."""
        currency = side.currency or default
        if currency is None:
            message = "name the currency, in the row or for all of them in the query"
            faults.append(Fault(f"{at}/currency", "required", message))
            return ""
        found = faults_of(
            self.catalog.asset,
            currency,
            side.amount,
            at_currency=f"{at}/currency",
            at_amount=f"{at}/amount",
            read=parse_minor,
        )
        faults += [Fault(*each) for each in found]
        return currency


def _json_rows(content: bytes) -> Iterator[RawRow]:
    """One JSON object on each line (RFC 8259); empty lines are left out."""
    count = 0
    for line, text in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not text.strip():
            continue
        count += 1
        if count > ROWS_MAX:
            raise BulkFileInvalid(f"a bulk transfer has at most {ROWS_MAX} rows", line=line)
        try:
            yield RawRow(line, bodies.strict_json(text))
        except JsonInvalid as error:
            fault = Fault("", error.code, error.detail.replace("the body", "the line"))
            yield RawRow(line, None, fault)


def _reference(document: object) -> str | None:
    """What a row calls itself, where that can be said."""
    found = document.get("client_reference") if isinstance(document, dict) else None
    is_plain = isinstance(found, str) and 0 < len(found) <= _REFERENCE_MAX and found.isprintable()
    return found if is_plain else None


def _faults(error: InvalidInput) -> tuple[Fault, ...]:
    errors = error.context["errors"]
    assert isinstance(errors, list)  # as `bodies.invalid_body` makes them
    return tuple(
        Fault(each["pointer"], each["code"], each["message"].replace("this member", "this"))
        for each in errors[:FAULTS_MAX]
    )
