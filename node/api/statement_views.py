"""What a statement looks like in answers: as JSON, and as CSV. As camt.053: `node.api.camt053`.

CSV is that of RFC 4180, in UTF-8. A spreadsheet takes a cell for a formula by its first character,
so cells with text that people wrote get an apostrophe before such a one.
"""

import csv
import io
import re
from collections.abc import Iterator
from typing import Final

from typing_extensions import TypedDict

from node.api.ledger_details import payout_named, public_detail
from node.api.ledger_views import AsOfView, MovementLineView, as_of_view, part_of
from node.api.views import id_or_none, time_text
from node.core.catalog import Catalog
from node.core.ids import Prefix
from node.core.ports.history import AsOf
from node.core.statements import Line, Statement
from node.core.units import format_minor

_CSV_HEADER: Final = (
    "row", "id", "sequence", "occurred_at", "kind", "part", "currency", "in", "out", "balance",
    "transfer_id", "client_reference", "beneficiary_name", "reference",
)  # fmt: skip
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_FORMULA: Final = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")  # full width too


class StatementLineView(MovementLineView):
    """A line of a statement, as of the entries; with what the transfer says of itself.

    `posted_sequence` is where it began to count, and `occurred_at` when.
    """

    posted_sequence: int
    client_reference: str | None
    beneficiary_name: str | None


class SumView(TypedDict):
    """So many lines, and their sum."""

    count: int
    amount: str


# `in` and `from` are words of Python, so these are written as calls.
TotalsView = TypedDict("TotalsView", {"in": SumView, "out": SumView})
"""What came in and what went out."""

_Statement = TypedDict(
    "_Statement",
    {
        "currency": str,
        "from": str,
        "to": str,
        "is_complete": bool,
        "as_of": AsOfView,
        "opening": str,
        "lines": list[StatementLineView],
        "closing": str,
        "totals": TotalsView,
        "created_at": str,
    },
)


class StatementView(_Statement):
    """What moved a customer's balance of one currency, oldest first.

    `opening` and the lines come to `closing`. Days are those of UTC, both included; `is_complete`
    says that the statement reaches to the end of the last one, and `closing` is then the opening of
    the next day. Nothing after `as_of` is in it. Balances are posted ones: what open transfers hold
    is still in them.
    """

    customer_id: str


class PartnerStatementView(_Statement):
    """What moved a partner's own balance of one currency. See `StatementView`."""

    partner_id: str


def statement_view(statement: Statement, catalog: Catalog) -> StatementView:
    """A customer's statement as JSON."""
    return {"customer_id": statement.owner, **_statement(statement, catalog)}


def partner_statement_view(statement: Statement, catalog: Catalog) -> PartnerStatementView:
    """A partner's statement as JSON."""
    return {"partner_id": statement.owner, **_statement(statement, catalog)}


def _statement(statement: Statement, catalog: Catalog) -> _Statement:
    digits = catalog.ledger_asset(statement.asset).digits
    totals = statement.totals
    return {
        "currency": statement.asset,
        "from": statement.period.first.isoformat(),
        "to": statement.period.last.isoformat(),
        "is_complete": statement.is_complete,
        "as_of": as_of_view(AsOf(statement.sequence, statement.booked_at)),
        "opening": format_minor(statement.opening, digits),
        "lines": [_line_view(each, statement.asset, digits) for each in statement.lines],
        "closing": format_minor(statement.closing, digits),
        "totals": {
            "in": {"count": totals.credits, "amount": format_minor(totals.credited, digits)},
            "out": {"count": totals.debits, "amount": format_minor(totals.debited, digits)},
        },
        "created_at": time_text(statement.made_at),
    }


def _line_view(line: Line, currency: str, digits: int) -> StatementLineView:
    return {
        "id": str(line.id),
        "sequence": line.sequence,
        "posted_sequence": line.place,
        "kind": line.kind,
        "part": part_of(line.counter_path),
        "direction": "out" if line.is_debit else "in",
        "currency": currency,
        "amount": format_minor(line.amount, digits),
        "balance": format_minor(line.balance_after, digits),
        "transfer_id": id_or_none(Prefix.TRANSFER, line.transfer_id),
        "client_reference": line.client_reference,
        "beneficiary_name": line.beneficiary_name,
        "detail": public_detail(line.detail),
        "occurred_at": time_text(line.posted_at),
    }


def file_stem(statement: Statement) -> str:
    """The name of a statement's file, without what says its format; ASCII."""
    period = statement.period
    return f"statement-{statement.owner}-{statement.asset}-{period.first}-{period.last}"


def statement_csv(statement: Statement, catalog: Catalog) -> bytes:
    """A statement as CSV: a header, the opening balance, a row for each line, the closing balance.

    The rows of the balances hold the totals: none before the first line, all after the last.
    """
    digits = catalog.ledger_asset(statement.asset).digits
    text = io.StringIO(newline="")
    writer = csv.writer(text)  # RFC 4180: commas, CRLF, quotes doubled
    writer.writerow(_CSV_HEADER)
    writer.writerows(_csv_rows(statement, digits))
    return text.getvalue().encode()


def _csv_rows(statement: Statement, digits: int) -> Iterator[tuple[str, ...]]:
    currency, totals = statement.asset, statement.totals

    def balance(row: str, at: str, came_in: int, went_out: int, minor: int) -> tuple[str, ...]:
        amounts = [format_minor(each, digits) for each in (came_in, went_out, minor)]
        return (row, "", "", at, "", "", currency, *amounts, "", "", "", "")

    period = statement.period
    yield balance("opening", f"{period.first}T00:00:00Z", 0, 0, statement.opening)
    for each in statement.lines:
        amount = format_minor(each.amount, digits)
        yield (
            "line",
            str(each.id),
            str(each.sequence),
            time_text(each.posted_at),
            each.kind,
            part_of(each.counter_path),
            currency,
            "" if each.is_debit else amount,
            amount if each.is_debit else "",
            format_minor(each.balance_after, digits),
            id_or_none(Prefix.TRANSFER, each.transfer_id) or "",
            written_by_people(each.client_reference),
            written_by_people(each.beneficiary_name),
            written_by_people(each.detail.get("reference") or payout_named(each.detail)),
        )
    at = time_text(statement.ends_at)
    yield balance("closing", at, totals.credited, totals.debited, statement.closing)


def written_by_people(text: str | None) -> str:
    """A cell that is text in every spreadsheet, and one line."""
    plain = _CONTROL.sub(" ", text or "")
    return f"'{plain}" if _FORMULA.match(plain) else plain
