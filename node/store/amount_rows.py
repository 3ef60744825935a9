"""Amounts of a row, whatever it is of."""

from node.core.ledger import TransferAmounts
from node.store.database import Row


def amounts_of(row: Row) -> TransferAmounts:
    """The amounts in a row that has the columns of what was quoted: a transfer's, a payout's."""
    return TransferAmounts(
        row["sell_asset"],
        row["sell_amount"],
        row["service_fee"],
        row["network_fee"],
        row["spread_amount"],
        row["buy_asset"],
        row["buy_amount"],
    )
