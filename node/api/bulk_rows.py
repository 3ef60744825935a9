"""A row of a bulk file before it is checked: what every format becomes."""

from dataclasses import dataclass
from datetime import date

from node.core.bulk import Fault


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as its file has it.

    Attributes:
        line: Of the file, from 1; of pain.001 the place of the transaction.
        document: The JSON value that it is, or says.
        fault: Why there is none.
        group: Of pain.001, `PmtInfId`.
        not_before: Of pain.001, the day it is for.
    """

    line: int
    document: object
    fault: Fault | None = None
    group: str | None = None
    not_before: date | None = None
