"""What a proof of the books finds: where they say something twice, differently."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

SHOWN_MAX: Final = 20
"""Differences kept of one check; the first ones tell the story."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something the books say twice, differently.

    Attributes:
        check: Which check found it.
        subject: What it is about: an account path, a transfer, a batch, a sequence.
        expected: What the records say.
        actual: What is stored.
        evidence: Where to look, and the rows themselves; a line each.
    """

    check: str
    subject: str
    expected: str
    actual: str
    evidence: tuple[str, ...] = ()


@dataclass(slots=True)
class Findings:
    """Gathers differences: the first ones of each check in full, the others by number.

    Attributes:
        tell: Told of every difference that is kept, as soon as it is found.
    """

    tell: Callable[[Difference], None] = lambda _: None
    kept: list[Difference] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(
        self, check: str, subject: object, expected: object, actual: object, *evidence: str
    ) -> None:
        """Note one difference; see `Difference`."""
        self.take(Difference(check, str(subject), str(expected), str(actual), evidence))

    def take(self, found: Difference) -> None:
        """Note one difference."""
        self.counts[found.check] += 1
        if self.counts[found.check] <= SHOWN_MAX:
            self.kept.append(found)
            self.tell(found)
