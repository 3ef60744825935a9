"""What answers about the bank's statements look like. See `views`."""

from typing_extensions import TypedDict

from node.api.views import time_text
from node.core.bank import LedgerItem, Tally
from node.core.catalog import Catalog
from node.core.ids import Prefix, encode_id
from node.core.ports.bank import StoredStatement
from node.core.units import Asset, format_minor
from node.services.reconciliation.bank import SuggestedLine


class TallyDocument(TypedDict):
    """How many lines, and what they come to: below zero where money went out."""

    count: int
    amount: str


class LineTotalsDocument(TypedDict):
    """A statement's own lines: matched and unmatched make the total."""

    total: TallyDocument
    matched: TallyDocument
    unmatched: TallyDocument


class BankStatementDocument(TypedDict):
    """A statement that was imported.

    `lines` are its own; `lines_known` came in an earlier statement and are kept there;
    `lines_pending` are announced and not booked, so they are left out.
    """

    id: str
    rail: str
    currency: str
    name: str
    account: str
    number: int | None
    first_day: str
    last_day: str
    opening: str
    closing: str
    lines: LineTotalsDocument
    lines_known: int
    lines_pending: int
    made_by: str
    imported_at: str


class BankStatementsDocument(TypedDict):
    """The statements of a file.

    `lines_new` were kept by this import, `lines_known` were kept before: all of them where the same
    file comes again.
    """

    data: list[BankStatementDocument]
    lines_new: int
    lines_known: int


class SuggestionDocument(TypedDict):
    """A ledger transaction of the same amount, some days away at most; a person confirms it."""

    ledger_sequence: int
    amount: str
    booked_on: str
    reference: str


class BankLineDocument(TypedDict):
    """A line of a statement; `amount` is below zero where money went out.

    `matched_by` is reference, break or confirmed; `null` where nothing is matched.
    """

    id: str
    statement_id: str
    position: int
    currency: str
    amount: str
    booked_on: str
    value_on: str | None
    references: list[str]
    servicer_reference: str | None
    counterparty: str
    description: str
    is_reversal: bool
    ledger_sequence: int | None
    matched_by: str | None
    suggestions: list[SuggestionDocument]


def statement_document(found: StoredStatement, catalog: Catalog) -> BankStatementDocument:
    """A statement."""
    asset = catalog.fiat(found.asset)
    return {
        "id": encode_id(Prefix.BANK_STATEMENT, found.id),
        "rail": found.rail,
        "currency": asset.code,
        "name": found.name,
        "account": found.account,
        "number": found.number,
        "first_day": found.first.isoformat(),
        "last_day": found.last.isoformat(),
        "opening": format_minor(found.opening, asset.digits),
        "closing": format_minor(found.closing, asset.digits),
        "lines": {
            "total": _tally(found.lines.total, asset),
            "matched": _tally(found.lines.matched, asset),
            "unmatched": _tally(found.lines.unmatched, asset),
        },
        "lines_known": found.known,
        "lines_pending": found.pending,
        "made_by": found.made_by,
        "imported_at": time_text(found.imported_at),
    }


def line_document(found: SuggestedLine, catalog: Catalog) -> BankLineDocument:
    """A line."""
    line = found.line
    asset = catalog.fiat(line.asset)
    return {
        "id": encode_id(Prefix.BANK_LINE, line.id),
        "statement_id": encode_id(Prefix.BANK_STATEMENT, line.statement_id),
        "position": line.position,
        "currency": asset.code,
        "amount": format_minor(line.amount, asset.digits),
        "booked_on": line.booked_on.isoformat(),
        "value_on": None if line.value_on is None else line.value_on.isoformat(),
        "references": list(line.references),
        "servicer_reference": line.identity,
        "counterparty": line.counterparty,
        "description": line.description,
        "is_reversal": line.is_reversal,
        "ledger_sequence": line.ledger_sequence,
        "matched_by": line.matched_by,
        "suggestions": [_suggestion(each, asset) for each in found.suggestions],
    }


def _suggestion(item: LedgerItem, asset: Asset) -> SuggestionDocument:
    return {
        "ledger_sequence": item.sequence,
        "amount": format_minor(item.amount, asset.digits),
        "booked_on": item.booked_on.isoformat(),
        "reference": item.reference,
    }


def _tally(tally: Tally, asset: Asset) -> TallyDocument:
    return {"count": tally.count, "amount": format_minor(tally.amount, asset.digits)}
