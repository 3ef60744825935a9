"""Deriving the books again from their entries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Difference:
    """Something the books say twice, differently.

    Attributes:
        check: Which check found it.
        subject: What it is about: an account path, a transfer, a sequence.
        expected: What the entries say.
        actual: What is stored.
    """

    check: str
    subject: str
    expected: str
    actual: str


class VerificationRepository(Protocol):
    """One check after the other over everything that is stored."""

    @property
    def checks(self) -> Sequence[tuple[str, str]]:
        """Name of each check and what it holds, in words."""
        ...

    async def differences(self, check: str, limit: int) -> Sequence[Difference]:
        """The first differences a check finds; none when it holds."""
        ...

    async def counts(self) -> tuple[int, int, int]:
        """Accounts, entries and transfers there are."""
        ...
