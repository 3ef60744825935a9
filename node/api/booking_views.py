"""What ledger transactions look like in answers. See `views`."""

from typing_extensions import TypedDict

from node.api.views import id_or_none, time_text
from node.core.catalog import Catalog
from node.core.ids import Prefix
from node.core.ports.history import TransactionRow
from node.core.units import format_minor


class LedgerEntryView(TypedDict):
    """One entry: `amount` is debited to one account and credited to the other."""

    debit: str
    credit: str
    currency: str
    amount: str


class LedgerTransactionView(TypedDict):
    """Entries booked together; `status` is pending, posted or voided.

    `detail` holds what is kept beside the entries: of a booking by hand `reason`, `made_by` and
    the `break` it belongs to.
    """

    sequence: int
    kind: str
    status: str
    entries: list[LedgerEntryView]
    transfer_id: str | None
    detail: dict[str, str]
    created_at: str


def ledger_transaction_view(booked: TransactionRow, catalog: Catalog) -> LedgerTransactionView:
    """A ledger transaction."""
    transaction = booked.transaction
    return {
        "sequence": booked.sequence,
        "kind": transaction.kind,
        "status": booked.status,
        "entries": [
            {
                "debit": entry.debit,
                "credit": entry.credit,
                "currency": entry.asset,
                "amount": format_minor(entry.amount, catalog.ledger_asset(entry.asset).digits),
            }
            for entry in transaction.entries
        ],
        "transfer_id": id_or_none(Prefix.TRANSFER, transaction.transfer_id),
        "detail": dict(transaction.detail),
        "created_at": time_text(booked.created_at),
    }
