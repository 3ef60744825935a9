"""Statements of banks, read from the files they give: camt.053 and CSV.

Not here: what the lines are matched to (`node.core.bank`).
"""

from collections.abc import Sequence

from adapters.bank.camt053 import read_camt053
from adapters.bank.csv_statement import read_csv
from node.core.bank import StatedStatement, StatementInvalid


class StatementFiles:
    """See `node.core.ports.bank.StatementReader`."""

    def read(self, content: bytes, media_type: str, *, currency: str) -> Sequence[StatedStatement]:
        """The statements of a file, in its order."""
        if media_type == "text/csv":
            return [read_csv(content, currency=currency)]
        if media_type == "application/xml":
            return read_camt053(content)
        raise StatementInvalid("a statement is application/xml (camt.053) or text/csv")
