"""A bank's statement as CSV (RFC 4180), UTF-8, its lines in the order they were booked.

Columns, in any order:

* `date`: the day of booking, `2026-11-22`
* `amount`: decimal point, a minus sign where money went out
* `currency`: three letters; may be left out where the request names one
* `reference`: the payment's reference
* `counterparty`, `description`: for people
* `servicer_reference`: the bank's own name of the line
* `balance`: the account's after the line

The header is required, and in it `date` and `amount`. A header that is separated by semicolons or
tabs, and has no comma, says that the lines are, too. With `balance` in every line the statement
has an opening and a closing balance, and each line is checked; without, it goes on from the one
before.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from node.core.bank import StatedBalance, StatedLine, StatedStatement, StatementInvalid

_COLUMNS: Final = frozenset(
    {
        "date", "amount", "currency", "reference", "counterparty", "description",
        "servicer_reference", "balance",
    }
)  # fmt: skip
_NEEDED: Final = frozenset({"date", "amount"})
_AMOUNT: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,6})?")
_SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs"}
_TEXT_MAX: Final = 500
_LINES_MAX: Final = 100_000


def read_csv(content: bytes, *, currency: str) -> StatedStatement:
    """The statement of a file.

    Raises:
        StatementInvalid: It cannot be read; says in which line, and why.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _fault(line, "the file is not UTF-8") from None
    rows = list(_rows(text))
    if not rows:
        raise StatementInvalid("the file has a header and no line")
    codes = {row["currency"] for _, row in rows if row.get("currency")} | ({currency} - {""})
    if len(codes) != 1:
        raise StatementInvalid(
            f"one currency is wanted, and the file and the request say:"
            f" {', '.join(sorted(codes))[:100] or 'none'}"
        )
    lines = [_line(number, row) for number, row in rows]
    opening, closing = _balances(rows)
    days = [each.booked_on for each in lines]
    return StatedStatement(
        name=f"csv-{hashlib.sha256(content).hexdigest()[:16]}",
        account="",
        number=None,
        currency=codes.pop(),
        first=min(days),
        last=max(days),
        opening=opening,
        closing=closing,
        lines=lines,
    )


def _rows(text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    header: Sequence[str] | None = None
    try:
        for row in reader:
            if not any(row):
                continue
            if header is None:
                header = _header([each.strip().lower() for each in row])
            elif len(row) != len(header):
                raise _fault(
                    reader.line_num,
                    f"it has {len(row)} columns and the header {len(header)}, which are separated"
                    f" by {_SEPARATORS[reader.dialect.delimiter]}; a text with one in it is"
                    ' written in quotes, "like, this"',
                )
            elif reader.line_num > _LINES_MAX:
                raise _fault(reader.line_num, f"a file has at most {_LINES_MAX} lines")
            else:
                yield reader.line_num, dict(zip(header, map(str.strip, row), strict=True))
    except csv.Error as error:
        raise _fault(reader.line_num, str(error)) from None
    if header is None:
        raise StatementInvalid("the file is empty; the first line names the columns")


def _separator(text: str) -> str:
    """What separates columns, by the first line that is not empty; where in doubt a comma.

    No column's name has any of them in it.
    """
    header = next((each for each in text.splitlines() if each.strip()), "")
    found = [each for each in _SEPARATORS if each in header]
    return found[0] if len(found) == 1 else ","


def _header(names: Sequence[str]) -> Sequence[str]:
    unknown = sorted(set(names) - _COLUMNS)
    missing = sorted(_NEEDED - set(names))
    if unknown or missing or len(set(names)) != len(names):
        faults = [f"has no column {each!r}" for each in missing]
        faults += [f"has {each[:40]!r}, which is no column" for each in unknown]
        told = "; ".join(faults) or "names a column twice"
        raise _fault(
            1,
            f"the header {told}; columns are {', '.join(sorted(_COLUMNS))}, separated by commas,"
            " semicolons or tabs, all of them by the same",
        )
    return names


def _line(number: int, row: Mapping[str, str]) -> StatedLine:
    amount = _amount(number, row["amount"])
    try:
        booked_on = date.fromisoformat(row["date"])
    except ValueError:
        raise _fault(number, f"{row['date'][:40]!r} is no day; write 2026-11-22") from None
    reference = row.get("reference", "")[:_TEXT_MAX]
    return StatedLine(
        f"line {number}",
        amount.amount,
        amount.is_credit,
        booked_on,
        references=(reference,) if reference else (),
        servicer_reference=row.get("servicer_reference", "")[:_TEXT_MAX],
        counterparty=row.get("counterparty", "")[:_TEXT_MAX],
        description=row.get("description", "")[:_TEXT_MAX],
    )


def _amount(number: int, text: str) -> StatedBalance:
    if not _AMOUNT.fullmatch(text):
        raise _fault(
            number, f"{text[:40]!r} is no amount; write 1000.00, or -1000.00 for money that left"
        )
    return StatedBalance(text.removeprefix("-"), is_credit=not text.startswith("-"))


def _balances(
    rows: Sequence[tuple[int, Mapping[str, str]]],
) -> tuple[StatedBalance | None, StatedBalance | None]:
    """Opening and closing, from the balance after each line; None without that column."""
    if "balance" not in rows[0][1]:
        return None, None
    after = [Decimal(_plain(_amount(number, row["balance"]))) for number, row in rows]
    moved = [Decimal(_plain(_amount(number, row["amount"]))) for number, row in rows]
    for (number, _), earlier, step, balance in zip(
        rows[1:], after, moved[1:], after[1:], strict=False
    ):
        if earlier + step != balance:
            raise _fault(number, f"the balance is {balance}, and {earlier + step} by the lines")
    return _stated(after[0] - moved[0]), _stated(after[-1])


def _plain(stated: StatedBalance) -> str:
    return stated.amount if stated.is_credit else f"-{stated.amount}"


def _stated(value: Decimal) -> StatedBalance:
    return StatedBalance(f"{abs(value):f}", is_credit=value >= 0)


def _fault(line: int, message: str) -> StatementInvalid:
    return StatementInvalid(f"line {line}: {message}", line=str(line))
