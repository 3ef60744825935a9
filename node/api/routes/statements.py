"""Statements of customers and partners, as JSON and as files."""

import asyncio
from collections.abc import Callable
from typing import Final

from node.api import examples, partner_examples
from node.api.camt053 import statement_camt053
from node.api.iso20022 import XML
from node.api.money import check_currency
from node.api.operations import CSV, INSTITUTIONS, Call, Example, File, Operations
from node.api.schemas import StatementQuery
from node.api.statement_views import (
    PartnerStatementView,
    StatementView,
    file_stem,
    partner_statement_view,
    statement_csv,
    statement_view,
)
from node.core.errors import FormatUnfit, InFuture, NotFound, PeriodInvalid, StatementTooLarge
from node.core.ports.idempotency import Answer
from node.core.statements import Statement

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
_PARTNER_EXAMPLE: Final = {
    "partner_id": partner_examples.PARTNER_ID,
    **{name: value for name, value in _EXAMPLE.items() if name != "customer_id"},
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
    return await _in_format(call, statement, lambda: statement_view(statement, catalog))


@operations.get(
    "/v1/partners/{partner_id}/statement",
    who=INSTITUTIONS,
    query=StatementQuery,
    answer=PartnerStatementView,
    example=Example(
        _PARTNER_EXAMPLE,
        path={"partner_id": partner_examples.PARTNER_ID},
        query={"currency": "EUR"},
    ),
    refusals=(NotFound, InFuture, PeriodInvalid, FormatUnfit, StatementTooLarge),
    files=("text/csv", XML),
)
async def show_partner_statement(call: Call[None, StatementQuery]) -> Answer | File:
    """Show the statement of a partner's own balance.

    As `GET /v1/customers/{customer_id}/statement`; of one day with `from` and `to` that day. What
    was prefunded, what was moved to customers, what payouts took, and what came back. It may be
    below zero, by the credit line.
    """
    catalog, query = call.services.catalog, call.query
    check_currency(catalog.asset, query.currency)
    statement = await call.services.statements.partner_statement(
        call.principal,
        call.parameters["partner_id"],
        query.currency,
        first=query.from_,
        last=query.to,
        asked=query.asked,
    )
    return await _in_format(call, statement, lambda: partner_statement_view(statement, catalog))


async def _in_format(
    call: Call[None, StatementQuery], statement: Statement, view: Callable[[], object]
) -> Answer | File:
    """The statement in the format asked for."""
    catalog = call.services.catalog
    if call.query.format == "csv":
        return File(CSV, f"{file_stem(statement)}.csv", statement_csv(statement, catalog))
    if call.query.format == "camt.053":
        # Seconds, where there are thousands of lines: others are answered meanwhile.
        body = await asyncio.to_thread(statement_camt053, statement, catalog)
        return File(XML, f"{file_stem(statement)}.camt053.xml", body)
    return call.answer(view())
