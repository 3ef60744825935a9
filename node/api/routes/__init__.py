"""Every operation of the node, in the order of the documentation."""

from node.api.operations import Operation
from node.api.routes import (
    adoption,
    bookings,
    catalog,
    customers,
    fx,
    ledger,
    operator,
    positions,
    quotes,
    reconciliation,
    settlement,
    statements,
    transfers,
    treasury,
)

OPERATIONS: tuple[Operation, ...] = tuple(
    operation
    for chapter in (
        quotes.operations,
        transfers.operations,
        customers.operations,
        statements.operations,
        catalog.operations,
        ledger.operations,
        bookings.operations,
        reconciliation.operations,
        settlement.operations,
        adoption.operations,
        treasury.operations,
        fx.operations,
        positions.operations,
        operator.operations,
    )
    for operation in chapter.all
)
"""Quotes and transfers first: routes are tried in order, and these are asked for most."""
