"""Every operation of the node, in the order of the documentation."""

from node.api.operations import Operation
from node.api.routes import (
    catalog,
    customers,
    ledger,
    operator,
    quotes,
    reconciliation,
    settlement,
    transfers,
)

OPERATIONS: tuple[Operation, ...] = tuple(
    operation
    for chapter in (
        quotes.operations,
        transfers.operations,
        customers.operations,
        catalog.operations,
        ledger.operations,
        reconciliation.operations,
        settlement.operations,
        operator.operations,
    )
    for operation in chapter.all
)
"""Quotes and transfers first: routes are tried in order, and these are asked for most."""
