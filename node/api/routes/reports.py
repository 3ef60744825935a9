"""Reports about transfers over days."""

import asyncio
from typing import Annotated, Final, Literal

from pydantic import Field

from node.api.bodies import Query
from node.api.examples import BATCH_ID, CUSTOMER_ID, TRANSFER_ID, eur
from node.api.operations import CSV, Call, Example, File, Operations
from node.api.report_views import (
    CostReportView,
    SettlementReportView,
    cost_report_csv,
    cost_report_view,
    settlement_report_csv,
    settlement_report_view,
)
from node.api.times import Day
from node.core.errors import PeriodInvalid, StatementTooLarge
from node.core.ports.idempotency import Answer

operations: Final = Operations("Reports")

_USDC: Final = {"currency": "USDC", "amount": "230.074048"}
_PERIOD: Final = {"from": "2026-11-22", "to": "2026-11-22", "is_complete": True}
_COST: Final = {
    "transfer_id": TRANSFER_ID,
    "customer_id": CUSTOMER_ID,
    "client_reference": "rent-11",
    "status": "completed",
    "sell": eur("200.00"),
    "service_fee": eur("0.60"),
    "network_fee": eur("0.02"),
    "spread": eur("0.39"),
    "mid_rate": "1.15626",
    "spread_bps": 20,
    "buy": _USDC,
    "created_at": "2026-11-22T16:00:00Z",
}
_COSTS: Final = {
    **_PERIOD,
    "data": [_COST],
    "totals": [
        {
            "count": 1,
            "sell": eur("200.00"),
            "service_fees": eur("0.60"),
            "network_fees": eur("0.02"),
            "spread": eur("0.39"),
            "buy": _USDC,
        }
    ],
    "created_at": "2026-11-23T00:00:01Z",
}
_SETTLEMENT: Final = {
    **_PERIOD,
    "data": [
        {
            "transfer_id": TRANSFER_ID,
            "customer_id": CUSTOMER_ID,
            "client_reference": "rent-11",
            "state": "settled",
            "completed_at": "2026-11-22T16:00:05Z",
            "chain_id": 31337,
            "contract": "0x5FbDB2315678afecb367f032d93F642f64180aa3",
            "payment_number": 42,
            "tx_hash": "0x" + "5e" * 32,
            "block_number": 12,
            "batch_id": BATCH_ID,
            "beneficiary": "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
            "amount": _USDC,
        }
    ],
    "totals": [_USDC],
    "created_at": "2026-11-23T00:00:01Z",
}


class ReportQuery(Query):
    """Which days, and in which format."""

    from_: Annotated[
        Day | None,
        Field(alias="from", description="First day, UTC; the first of the last day's month."),
    ] = None
    to: Annotated[Day | None, Field(description="Last day, UTC, included; today.")] = None
    format: Literal["json", "csv"] = "json"


@operations.get(
    "/v1/reports/transfers",
    query=ReportQuery,
    answer=CostReportView,
    example=Example(_COSTS, query={"from": "2026-11-22", "to": "2026-11-22"}),
    refusals=(PeriodInvalid, StatementTooLarge),
    files=("text/csv",),
)
async def show_transfer_report(call: Call[None, ReportQuery]) -> Answer | File:
    """Show fees and exchange of each transfer accepted on some days.

    Of one's own transfers; of an operator, of all. As JSON or as CSV (RFC 4180); the parameter
    `format` alone decides, not `Accept`. At most 10,000 lines.
    """
    query, catalog = call.query, call.services.catalog
    report = await call.services.reports.costs(call.principal, query.from_, query.to)
    if query.format == "csv":
        name = f"transfers-{report.period.first}-{report.period.last}.csv"
        return File(CSV, name, await asyncio.to_thread(cost_report_csv, report, catalog))
    return call.answer(await asyncio.to_thread(cost_report_view, report, catalog))


@operations.get(
    "/v1/reports/settlement",
    query=ReportQuery,
    answer=SettlementReportView,
    example=Example(_SETTLEMENT, query={"from": "2026-11-22", "to": "2026-11-22"}),
    refusals=(PeriodInvalid, StatementTooLarge),
    files=("text/csv",),
)
async def show_settlement_report(call: Call[None, ReportQuery]) -> Answer | File:
    """Show the payouts of some days, each with transaction hash, block and payment number.

    Of one's own transfers; of an operator, of all. A day's payouts are those that were completed on
    it. As JSON or as CSV (RFC 4180); the parameter `format` alone decides, not `Accept`. At most
    10,000 lines.
    """
    query, services = call.query, call.services
    report = await services.reports.payouts(call.principal, query.from_, query.to)
    parts = (report, services.catalog, services.addresses)
    if query.format == "csv":
        name = f"settlement-{report.period.first}-{report.period.last}.csv"
        return File(CSV, name, await asyncio.to_thread(settlement_report_csv, *parts))
    return call.answer(await asyncio.to_thread(settlement_report_view, *parts))
