"""Every operation of the node, in the order of the documentation."""

from node.api.operations import Operation
from node.api.routes import (
    adoption,
    bank,
    bookings,
    breaks,
    bulk,
    catalog,
    comparisons,
    customers,
    deposits,
    fx,
    ledger,
    mirror,
    operator,
    partners,
    payouts,
    peers,
    positions,
    quotes,
    reconciliation,
    reports,
    settlement,
    statements,
    transfers,
    treasury,
    webhooks,
)

OPERATIONS: tuple[Operation, ...] = tuple(
    operation
    for chapter in (
        quotes.operations,
        transfers.operations,
        peers.operations,
        bulk.operations,
        customers.operations,
        partners.operations,
        deposits.operations,
        payouts.operations,
        webhooks.operations,
        statements.operations,
        reports.operations,
        catalog.operations,
        ledger.operations,
        bookings.operations,
        reconciliation.operations,
        comparisons.operations,
        breaks.operations,
        bank.operations,
        settlement.operations,
        adoption.operations,
        mirror.operations,
        treasury.operations,
        fx.operations,
        positions.operations,
        operator.operations,
    )
    for operation in chapter.all
)
"""Quotes and transfers first: routes are tried in order, and these are asked for most."""
