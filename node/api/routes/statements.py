"""Statements of a customer, as JSON and as files."""

import asyncio
from typing import Final

from node.api import examples
from node.api.camt053 import XML, statement_camt053
from node.api.money import check_currency
from node.api.operations import CSV, Call, Example, File, Operations
from node.api.schemas import StatementQuery
from node.api.statement_views import StatementView, file_stem, statement_csv, statement_view
from node.core.errors import FormatUnfit, InFuture, NotFound, PeriodInvalid, StatementTooLarge
from node.core.ports.idempotency import Answer

operations: Final = Operations("Customers")

_EXAMPLE: Final = {
    "customer_id": examples.CUSTOMER_ID,
    "currency": "EUR",
    "from": "2026-11-01",
    "to": "2026-11-22",
    "is_complete": False,
    "as_of": {"sequence": 12, "booked_at": "2026-11-22T16:00:00Z"},
    "opening": "0.00",
    "lines": [
        {
            **examples.MOVEMENT_LINE,
            "posted_sequence": 12,
            "client_reference": None,
            "beneficiary_name": None,
        }
    ],
    "closing": "1000.00",
    "totals": {"in": {"count": 1, "amount": "1000.00"}, "out": {"count": 0, "amount": "0.00"}},
    "created_at": "2026-11-22T16:01:00Z",
}


@operations.get(
    "/v1/customers/{customer_id}/statement",
    query=StatementQuery,
    answer=StatementView,
    example=Example(
        _EXAMPLE, path={"customer_id": examples.CUSTOMER_ID}, query={"currency": "EUR"}
    ),
    refusals=(NotFound, InFuture, PeriodInvalid, FormatUnfit, StatementTooLarge),
    files=("text/csv", XML),
)
async def show_statement(call: Call[None, StatementQuery]) -> Answer | File:
    """Show a customer's statement of some days.

    Opening balance, every posted movement with the balance after it, closing balance and totals, in
    one currency. Days are those of UTC, both included; without any it is this month so far. With
    `at` or `sequence` instead of `to` it ends there, on that day. As JSON, as CSV (RFC 4180), or as
    ISO 20022 camt.053.001.08, which has no currency of more than three letters or five digits; the
    parameter `format` alone decides, not `Accept`. At most 10,000 lines.
    """
    catalog, query = call.services.catalog, call.query
    check_currency(catalog.asset, query.currency)
    statement = await call.services.statements.statement(
        call.principal,
        call.parameters["customer_id"],
        query.currency,
        first=query.from_,
        last=query.to,
        asked=query.asked,
    )
    if query.format == "csv":
        return File(CSV, f"{file_stem(statement)}.csv", statement_csv(statement, catalog))
    if query.format == "camt.053":
        # Seconds, where there are thousands of lines: others are answered meanwhile.
        body = await asyncio.to_thread(statement_camt053, statement, catalog)
        return File(XML, f"{file_stem(statement)}.camt053.xml", body)
    return call.answer(statement_view(statement, catalog))
