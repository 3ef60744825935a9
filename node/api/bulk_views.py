"""What answers about bulk transfers look like. As pain.002: `node.api.pain002`."""

import csv
import io
from collections.abc import Sequence
from typing import Final

from typing_extensions import TypedDict

from node.api.statement_views import written_by_people
from node.api.views import FailureView, MoneyView, WaitingView, failure_view, time_text
from node.core.bulk import Bulk, BulkRow, Progress, RowTransfer, Sum
from node.core.catalog import Catalog
from node.core.ids import Prefix, encode_id
from node.core.transfers import STATUS, Status
from node.core.units import format_minor

_UNDER_WAY: Final = (Status.PROCESSING, Status.ACTION_REQUIRED)
_CSV_HEADER: Final = (
    "line", "client_reference", "status", "transfer_id", "transfer_status", "transfer_state",
    "repeated", "sell_currency", "sell_amount", "buy_currency", "buy_amount", "pointer", "code",
    "message",
)  # fmt: skip


class RowCountsView(TypedDict):
    """How many rows, and what of them came."""

    total: int
    pending: int
    accepted: int
    rejected: int


class BulkView(TypedDict):
    """A bulk transfer: a file whose rows become transfers.

    `status` is `processing` while rows are pending, `completed` when each is accepted or rejected,
    `rejected` where all or nothing was asked for and it was nothing.
    """

    id: str
    status: str
    mode: str
    format: str
    message_id: str | None
    rows: RowCountsView
    waiting: WaitingView | None
    accept_by: str
    created_at: str
    completed_at: str | None


class TransferCountsView(TypedDict):
    """Where the transfers of accepted rows are; `failed` ones paid nothing."""

    processing: int
    completed: int
    failed: int


class PairSumView(TypedDict):
    """What accepted rows of a pair come to, and what of it is paid."""

    count: int
    sell: MoneyView
    buy: MoneyView
    completed_buy: MoneyView


class BulkProgressView(BulkView):
    """A bulk transfer with where its transfers are."""

    transfers: TransferCountsView
    sums: list[PairSumView]


class RowErrorView(TypedDict):
    """What is wrong with a row; `pointer` leads into the row as JSON has it."""

    pointer: str
    code: str
    message: str


class RowTransferView(TypedDict):
    """The transfer of a row; `buy` is what the beneficiary gets."""

    id: str
    status: str
    state: str
    sell: MoneyView
    buy: MoneyView
    failure: FailureView | None


class BulkRowView(TypedDict):
    """A row: `line` of the file (of pain.001 the place of the transaction), from 1.

    `repeated`: the transfer was there before, ordered by an equal row or request.
    """

    line: int
    client_reference: str | None
    status: str
    repeated: bool
    transfer: RowTransferView | None
    errors: list[RowErrorView]


class BulkRowsView(TypedDict):
    """Rows, ascending; ask again with `after` = `next_after`."""

    data: list[BulkRowView]
    next_after: int


class BulkReportView(TypedDict):
    """All of a bulk transfer."""

    bulk_transfer: BulkProgressView
    rows: list[BulkRowView]


def bulk_view(bulk: Bulk) -> BulkView:
    """A bulk transfer."""
    waiting: WaitingView | None = None
    if bulk.waiting_code is not None and bulk.waiting_since is not None:
        waiting = {"code": bulk.waiting_code, "since": time_text(bulk.waiting_since)}
    return {
        "id": encode_id(Prefix.BULK, bulk.id),
        "status": bulk.status.value,
        "mode": bulk.mode.value,
        "format": bulk.form.value,
        "message_id": bulk.message_id,
        "rows": {
            "total": bulk.rows,
            "pending": bulk.pending,
            "accepted": bulk.accepted,
            "rejected": bulk.rejected,
        },
        "waiting": waiting,
        "accept_by": time_text(bulk.accept_by),
        "created_at": time_text(bulk.created_at),
        "completed_at": time_text(bulk.completed_at) if bulk.completed_at else None,
    }


def progress_view(progress: Progress, catalog: Catalog) -> BulkProgressView:
    """A bulk transfer with where its transfers are."""
    sums = progress.sums
    processing = sum(each.count for each in sums if each.status in _UNDER_WAY)
    completed = sum(each.count for each in sums if each.status is Status.COMPLETED)
    pairs = sorted({(each.sell_asset, each.buy_asset) for each in sums})
    return {
        **bulk_view(progress.bulk),
        "transfers": {
            "processing": processing,
            "completed": completed,
            "failed": sum(each.count for each in sums) - processing - completed,
        },
        "sums": [
            _pair([each for each in sums if (each.sell_asset, each.buy_asset) == pair], catalog)
            for pair in pairs
        ],
    }


def row_view(row: BulkRow, catalog: Catalog) -> BulkRowView:
    """A row."""
    return {
        "line": row.line,
        "client_reference": row.client_reference,
        "status": row.status.value,
        "repeated": row.is_repeated,
        "transfer": None if row.transfer is None else _transfer(row.transfer, catalog),
        "errors": [
            {"pointer": each.pointer, "code": each.code, "message": each.message}
            for each in row.faults
        ],
    }


def report_csv(rows: Sequence[BulkRow], catalog: Catalog) -> bytes:
    """Rows as CSV (RFC 4180); of a faulty row its first fault."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_CSV_HEADER)
    for each in rows:
        shown = None if each.transfer is None else _transfer(each.transfer, catalog)
        fault = each.faults[0] if each.faults else None
        writer.writerow(
            (
                each.line,
                written_by_people(each.client_reference),
                each.status.value,
                shown["id"] if shown else "",
                shown["status"] if shown else "",
                shown["state"] if shown else "",
                "yes" if each.is_repeated else "",
                shown["sell"]["currency"] if shown else "",
                shown["sell"]["amount"] if shown else "",
                shown["buy"]["currency"] if shown else "",
                shown["buy"]["amount"] if shown else "",
                fault.pointer if fault else "",
                fault.code if fault else "",
                written_by_people(fault.message if fault else None),
            )
        )
    return text.getvalue().encode()


def _pair(sums: Sequence[Sum], catalog: Catalog) -> PairSumView:
    first = sums[0]
    paid = sum(each.buy for each in sums if each.status is Status.COMPLETED)
    return {
        "count": sum(each.count for each in sums),
        "sell": _money(first.sell_asset, sum(each.sell for each in sums), catalog),
        "buy": _money(first.buy_asset, sum(each.buy for each in sums), catalog),
        "completed_buy": _money(first.buy_asset, paid, catalog),
    }


def _transfer(transfer: RowTransfer, catalog: Catalog) -> RowTransferView:
    return {
        "id": encode_id(Prefix.TRANSFER, transfer.id),
        "status": STATUS[transfer.state].value,
        "state": transfer.state.value,
        "sell": _money(transfer.sell_asset, transfer.sell, catalog),
        "buy": _money(transfer.buy_asset, transfer.buy, catalog),
        "failure": failure_view(transfer.failure) if _is_over(transfer) else None,
    }


def _is_over(transfer: RowTransfer) -> bool:
    return STATUS[transfer.state] is not Status.PROCESSING


def _money(code: str, minor: int, catalog: Catalog) -> MoneyView:
    return {
        "currency": code,
        "amount": format_minor(minor, catalog.ledger_asset(code).digits),
    }
