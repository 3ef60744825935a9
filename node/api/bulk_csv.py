"""A bulk file as CSV (RFC 4180), UTF-8, with a header.

Columns in any order, under the names of `_COLUMNS` or under one of their other names; spaces,
hyphens and capitals do not count. A cell that is empty says nothing: so one file has rows to an
`address` and rows to an account (`account_number`, `bank_code`).
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from node.api.bulk_rows import RawRow
from node.core.bulk import ROWS_MAX, BulkFileInvalid, Fault

_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "client_reference": ("reference", "client_ref", "end_to_end_id"),
    "customer_id": ("customer", "payer", "debtor"),
    "sell_currency": ("currency", "send_currency", "source_currency"),
    "sell_amount": ("amount", "send_amount", "source_amount"),
    "buy_currency": ("receive_currency", "target_currency"),
    "buy_amount": ("receive_amount", "target_amount"),
    "name": ("beneficiary", "beneficiary_name", "recipient", "creditor"),
    "country": ("beneficiary_country", "recipient_country", "creditor_country"),
    "address": ("beneficiary_address", "wallet", "wallet_address"),
    "account_number": ("account", "iban", "beneficiary_account"),
    "bank_code": ("bank", "bic", "swift"),
    "purpose": ("purpose_code",),
    "refund_policy": ("if_refused",),
}
_NAMES: Final = {other: name for name, others in _COLUMNS.items() for other in (name, *others)}
_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "client_reference": ("client_reference",),
    "customer_id": ("customer_id",),
    "sell_currency": ("sell", "currency"),
    "sell_amount": ("sell", "amount"),
    "buy_currency": ("buy", "currency"),
    "buy_amount": ("buy", "amount"),
    "name": ("beneficiary", "name"),
    "country": ("beneficiary", "country"),
    "address": ("beneficiary", "address"),
    "account_number": ("beneficiary", "account", "number"),
    "bank_code": ("beneficiary", "account", "bank_code"),
    "purpose": ("purpose",),
    "refund_policy": ("refund_policy",),
}
_NEEDED: Final = ("client_reference", "name", "country")
_WHERE_TO: Final = ("address", "account_number")
_SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "bars"}
_SPACES: Final = re.compile(r"[\s\-]+")


def csv_rows(content: bytes) -> Iterator[RawRow]:
    """The rows of a file.

    Raises:
        BulkFileInvalid: It is not UTF-8, its quotes do not close, or its header is not that of a
            bulk transfer.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _invalid("the file is not UTF-8; save it as CSV in UTF-8", line) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: Sequence[str] | None = None
    count = began = 0
    try:
        for cells in reader:
            line, began = began + 1, reader.line_num
            if not any(each.strip() for each in cells):
                continue
            if header is None:
                header = _header(cells, line)
                continue
            count += 1
            if count > ROWS_MAX:
                raise _invalid(f"a bulk transfer has at most {ROWS_MAX} rows", line)
            yield _row(line, header, cells)
    except csv.Error as error:
        raise _invalid(f"the file is not CSV: {error}", reader.line_num) from None
    if header is None:
        raise _invalid("the file is empty; its first line names the columns", 1)


def _header(cells: Sequence[str], line: int) -> Sequence[str]:
    names = [_SPACES.sub("_", each.strip().lower()) for each in cells]
    if len(names) == 1:
        for separator, word in _SEPARATORS.items():
            if separator in cells[0]:
                raise _invalid(
                    f"the columns are separated by {word}; separate them by commas, and write"
                    " amounts with a decimal point",
                    line,
                )
    unknown = [each for each in names if each not in _NAMES]
    known = [_NAMES[each] for each in names if each in _NAMES]
    twice = sorted({each for each in known if known.count(each) > 1})
    faults = [f"has no column {each!r}" for each in _NEEDED if each not in known]
    if not set(_WHERE_TO) & set(known):
        faults.append("has no column 'address', and no 'account_number'")
    faults += [f"has {each[:40]!r}, which is no column" for each in unknown[:5]]
    faults += [f"has the column {each!r} twice" for each in twice]
    if faults:
        raise _invalid(f"the header {'; '.join(faults)}; columns are {', '.join(_COLUMNS)}", line)
    return known


def _row(line: int, header: Sequence[str], cells: Sequence[str]) -> RawRow:
    if len(cells) != len(header):
        fault = Fault(
            "",
            "wrong_columns",
            f"it has {len(cells)} columns and the header {len(header)}; a text with a comma is"
            " written in double quotes",
        )
        return RawRow(line, None, fault)
    document: dict[str, Any] = {}
    for name, cell in zip(header, map(str.strip, cells), strict=True):
        if cell:
            *parents, last = _PLACES[name]
            place = document
            for each in parents:
                place = place.setdefault(each, {})
            place[last] = cell
    return RawRow(line, document)


def _invalid(why: str, line: int) -> BulkFileInvalid:
    return BulkFileInvalid(f"line {line}: {why}", line=line)
