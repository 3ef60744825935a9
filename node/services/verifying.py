"""Proving the books: everything that can be derived from entries is derived again and compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from node.core.ports import UnitOfWork
from node.core.ports.verification import Difference

_SHOWN_MAX: Final = 20  # differences per check; the first ones tell the story


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of one run.

    Attributes:
        checks: Name and meaning of each check made.
        differences: What does not hold; empty: the books are proven.
    """

    accounts: int
    entries: int
    transfers: int
    checks: Sequence[tuple[str, str]]
    differences: Sequence[Difference]


class VerifyService:
    """Verifies the books at one instant."""

    def __init__(self, units: UnitOfWork) -> None:
        self._units = units

    async def verify(
        self, progress: Callable[[str, int, int], None] = lambda _name, _done, _total: None
    ) -> Verification:
        """Make every check in one transaction, all on the same snapshot under the ledger's lock.

        Args:
            progress: Told the check's name, how many are done and how many there are.
        """
        async with self._units() as unit:
            await unit.ledger.lock()
            accounts, entries, transfers = await unit.verification.counts()
            checks = unit.verification.checks
            differences: list[Difference] = []
            for done, (name, _) in enumerate(checks):
                progress(name, done, len(checks))
                differences += await unit.verification.differences(name, _SHOWN_MAX)
            progress("", len(checks), len(checks))
            return Verification(accounts, entries, transfers, checks, differences)
