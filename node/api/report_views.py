"""What reports about transfers look like, as JSON and as CSV (RFC 4180)."""

import csv
import io
from collections.abc import Iterable, Sequence

from typing_extensions import TypedDict

from node.api.statement_views import written_by_people
from node.api.views import MoneyView, hex_text, id_or_none, time_text
from node.core.catalog import Catalog
from node.core.ids import Prefix, encode_id
from node.core.ports.chain import AddressCodec
from node.core.ports.reports import CostLine, PayoutLine
from node.core.transfers import STATUS, Status
from node.core.units import format_minor
from node.services.transfers.reports import Report

_COST_HEADER = (
    "transfer_id", "customer_id", "client_reference", "created_at", "status", "sell_currency",
    "sell_amount", "service_fee", "network_fee", "spread", "mid_rate", "spread_bps",
    "buy_currency", "buy_amount",
)  # fmt: skip
_PAYOUT_HEADER = (
    "transfer_id", "customer_id", "client_reference", "completed_at", "state", "chain_id",
    "contract", "payment_number", "tx_hash", "block_number", "batch_id", "beneficiary", "currency",
    "amount",
)  # fmt: skip


class CostView(TypedDict):
    """What a transfer cost: `sell` is the fees, the spread and what was exchanged at `mid_rate`.

    All but `buy` in the sell currency, to the minor unit as booked.
    """

    transfer_id: str
    customer_id: str
    client_reference: str | None
    status: str
    sell: MoneyView
    service_fee: MoneyView
    network_fee: MoneyView
    spread: MoneyView
    mid_rate: str
    spread_bps: int
    buy: MoneyView
    created_at: str


class CostTotalView(TypedDict):
    """What the completed transfers of a pair come to."""

    count: int
    sell: MoneyView
    service_fees: MoneyView
    network_fees: MoneyView
    spread: MoneyView
    buy: MoneyView


CostReportView = TypedDict(
    "CostReportView",
    {
        "from": str,
        "to": str,
        "is_complete": bool,
        "data": list[CostView],
        "totals": list[CostTotalView],
        "created_at": str,
    },
)
"""Transfers accepted on these days (UTC, both included), oldest first; totals of the completed."""


class PayoutLineView(TypedDict):
    """A payout with its proof: the contract's payment number in a block of the chain."""

    transfer_id: str
    customer_id: str
    client_reference: str | None
    state: str
    completed_at: str
    chain_id: int
    contract: str
    payment_number: int
    tx_hash: str | None
    block_number: int | None
    batch_id: str | None
    beneficiary: str
    amount: MoneyView


SettlementReportView = TypedDict(
    "SettlementReportView",
    {
        "from": str,
        "to": str,
        "is_complete": bool,
        "data": list[PayoutLineView],
        "totals": list[MoneyView],
        "created_at": str,
    },
)
"""Payouts that became final on these days (UTC, both included), oldest first."""


def cost_report_view(report: Report[CostLine], catalog: Catalog) -> CostReportView:
    """Fees and exchange of transfers as JSON."""
    return {
        "from": report.period.first.isoformat(),
        "to": report.period.last.isoformat(),
        "is_complete": report.is_complete,
        "data": [_cost(each, catalog) for each in report.lines],
        "totals": _cost_totals(report.lines, catalog),
        "created_at": time_text(report.made_at),
    }


def cost_report_csv(report: Report[CostLine], catalog: Catalog) -> bytes:
    """The same as CSV, without totals."""

    def rows() -> Iterable[Sequence[object]]:
        for line in report.lines:
            each = _cost(line, catalog)
            yield (
                each["transfer_id"],
                each["customer_id"],
                written_by_people(each["client_reference"]),
                each["created_at"],
                each["status"],
                each["sell"]["currency"],
                each["sell"]["amount"],
                each["service_fee"]["amount"],
                each["network_fee"]["amount"],
                each["spread"]["amount"],
                each["mid_rate"],
                each["spread_bps"],
                each["buy"]["currency"],
                each["buy"]["amount"],
            )

    return _csv(_COST_HEADER, rows())


def settlement_report_view(
    report: Report[PayoutLine], catalog: Catalog, addresses: AddressCodec
) -> SettlementReportView:
    """Payouts as JSON."""
    sums: dict[str, int] = {}
    for each in report.lines:
        sums[each.asset] = sums.get(each.asset, 0) + each.amount
    return {
        "from": report.period.first.isoformat(),
        "to": report.period.last.isoformat(),
        "is_complete": report.is_complete,
        "data": [_payout(each, catalog, addresses) for each in report.lines],
        "totals": [_money(code, minor, catalog) for code, minor in sorted(sums.items())],
        "created_at": time_text(report.made_at),
    }


def settlement_report_csv(
    report: Report[PayoutLine], catalog: Catalog, addresses: AddressCodec
) -> bytes:
    """The same as CSV, without totals."""

    def rows() -> Iterable[Sequence[object]]:
        for line in report.lines:
            each = _payout(line, catalog, addresses)
            yield (
                each["transfer_id"],
                each["customer_id"],
                written_by_people(each["client_reference"]),
                each["completed_at"],
                each["state"],
                each["chain_id"],
                each["contract"],
                each["payment_number"],
                each["tx_hash"] or "",
                "" if each["block_number"] is None else each["block_number"],
                each["batch_id"] or "",
                each["beneficiary"],
                each["amount"]["currency"],
                each["amount"]["amount"],
            )

    return _csv(_PAYOUT_HEADER, rows())


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _cost(line: CostLine, catalog: Catalog) -> CostView:
    amounts = line.amounts
    sell = amounts.sell_asset
    return {
        "transfer_id": encode_id(Prefix.TRANSFER, line.transfer_id),
        "customer_id": encode_id(Prefix.CUSTOMER, line.customer_id),
        "client_reference": line.client_reference,
        "status": STATUS[line.state].value,
        "sell": _money(sell, amounts.sell, catalog),
        "service_fee": _money(sell, amounts.service_fee_minor, catalog),
        "network_fee": _money(sell, amounts.network_fee_minor, catalog),
        "spread": _money(sell, amounts.spread, catalog),
        "mid_rate": format(line.mid_rate, "f"),
        "spread_bps": line.spread_bps,
        "buy": _money(amounts.buy_asset, amounts.buy, catalog),
        "created_at": time_text(line.created_at),
    }


def _cost_totals(lines: Sequence[CostLine], catalog: Catalog) -> list[CostTotalView]:
    done = [each.amounts for each in lines if STATUS[each.state] is Status.COMPLETED]
    totals: list[CostTotalView] = []
    for sell, buy in sorted({(each.sell_asset, each.buy_asset) for each in done}):
        pair = [each for each in done if (each.sell_asset, each.buy_asset) == (sell, buy)]
        totals.append(
            {
                "count": len(pair),
                "sell": _money(sell, sum(each.sell for each in pair), catalog),
                "service_fees": _money(sell, sum(each.service_fee_minor for each in pair), catalog),
                "network_fees": _money(sell, sum(each.network_fee_minor for each in pair), catalog),
                "spread": _money(sell, sum(each.spread for each in pair), catalog),
                "buy": _money(buy, sum(each.buy for each in pair), catalog),
            }
        )
    return totals


def _payout(line: PayoutLine, catalog: Catalog, addresses: AddressCodec) -> PayoutLineView:
    return {
        "transfer_id": encode_id(Prefix.TRANSFER, line.transfer_id),
        "customer_id": encode_id(Prefix.CUSTOMER, line.customer_id),
        "client_reference": line.client_reference,
        "state": line.state.value,
        "completed_at": time_text(line.completed_at),
        "chain_id": line.chain_id,
        "contract": addresses.text(line.contract),
        "payment_number": line.payment_number,
        "tx_hash": None if line.tx_hash is None else hex_text(line.tx_hash),
        "block_number": line.block_number,
        "batch_id": id_or_none(Prefix.BATCH, line.batch_id),
        "beneficiary": addresses.text(line.beneficiary),
        "amount": _money(line.asset, line.amount, catalog),
    }


def _money(code: str, minor: int, catalog: Catalog) -> MoneyView:
    return {"currency": code, "amount": format_minor(minor, catalog.ledger_asset(code).digits)}
