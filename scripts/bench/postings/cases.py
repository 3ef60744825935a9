"""The cases that are measured, in the order in which they take turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scripts.bench.postings.content import CUSTOMERS
from scripts.bench.postings.window import Figure

Kind = tuple[str, int]
"""Side (`post`, `bulk` or `naive`) and how many callers have a call under way at once."""

POST: Final[tuple[Kind, ...]] = (("post", 1), ("post", 32), ("post", 256))
BULK: Final[Kind] = ("bulk", 1)
NAIVE: Final[tuple[Kind, ...]] = (("naive", 1), ("naive", 8), ("naive", 32))
ACCOUNTS: Final = ("hot", "uniform")


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured, apart from how much is in the books already.

    Attributes:
        side: `post`, `bulk` or `naive`.
        callers: Calls under way at once.
        accounts: `hot` or `uniform`.
    """

    side: str
    callers: int
    accounts: str

    @property
    def customers(self) -> int:
        """How many customers' accounts it moves."""
        return 1 if self.accounts == "hot" else CUSTOMERS

    def __str__(self) -> str:
        """As in a line of output."""
        return f"{self.side} callers={self.callers} {self.accounts}"


Figures = dict[Case, Figure]
"""Of one size of the books."""


# What is compared with each other is measured next to each other.
CASES: Final = tuple(
    Case(*kind, accounts)
    for kind in (*NAIVE[1:], *POST[:-1], NAIVE[0], POST[-1], BULK)
    for accounts in ACCOUNTS
)
