"""Where rates come from, and in the store: firm quotes, and halts of quoting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from node.core.quotes import HaltReason, Quote, Rate

Pair = tuple[str, str]
"""Codes of what is sold and what is bought."""


class RateSource(Protocol):
    """States rates, each in one direction; cross rates and reciprocals are the node's business."""

    @property
    def name(self) -> str:
        """As printed in quotes."""
        ...

    @property
    def max_age_s(self) -> int | None:
        """Older rates are not used; None: age is not checked."""
        ...

    @property
    def natural_age_s(self) -> int | None:
        """Older rates are marked stale; None: they never are."""
        ...

    async def rates(self) -> Sequence[Rate]:
        """Every rate the source states now, at most one for each pair.

        Raises:
            RateUnavailable: The source does not answer, or not sensibly. Nothing else.
        """
        ...


@dataclass(frozen=True, slots=True)
class ActiveQuotes:
    """Active quotes of a maker: how many, and when the first of them expires."""

    count: int = 0
    first_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Exposure:
    """Active quotes that name a currency, on either side.

    Attributes:
        minor: Sum of their amounts in it, minor units.
        count: How many they are.
        first_expires_at: When the first of them expires; None: there are none.
    """

    minor: int = 0
    count: int = 0
    first_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Halt:
    """A halt of quoting that is in force.

    Attributes:
        currency: What is not quoted, on either side; None: nothing is.
        note: For operators.
        halted_by: `Principal.key`, or what did it by itself.
    """

    currency: str | None
    reason: HaltReason
    note: str | None
    halted_by: str
    halted_at: datetime

    def covers(self, sell: str, buy: str) -> bool:
        """Whether this pair is not quoted."""
        return self.currency is None or self.currency in (sell, buy)


@dataclass(frozen=True, slots=True)
class Halts:
    """Halts of quoting at one moment.

    Attributes:
        in_force: The oldest first.
        accepted_at: Currency -> when an operator last resumed it after a jump, and so accepted the
            level of its rates.
    """

    in_force: tuple[Halt, ...] = ()
    accepted_at: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenQuotes:
    """All active quotes, counted; who and what has none is left out."""

    by_maker: Mapping[str, ActiveQuotes]
    by_currency: Mapping[str, Exposure]


class QuoteRepository(Protocol):
    """Firm quotes, and halts of quoting."""

    async def lock(self) -> int:
        """Let nobody else make quotes, halt or resume until the end of the transaction.

        Returns:
            A number that rises with everyone who gets the lock: whoever gets the one after its own
            knows that nobody else had it in between.
        """
        ...

    async def open_quotes(self) -> OpenQuotes:
        """All that is active, counted in one statement; its cost grows with how many those are.

        Active is what is neither consumed nor revoked, and not expired when the transaction began.
        With `lock()` nothing is added until the end of the transaction.
        """
        ...

    async def insert_many(self, quotes: Sequence[Quote]) -> None:
        """Store new quotes."""
        ...

    async def any_stored(self, ids: Sequence[UUID]) -> bool:
        """Whether one of these quotes is there."""
        ...

    async def get(self, quote_id: UUID) -> Quote | None:
        """One quote."""
        ...

    async def lock_many(self, ids: Sequence[UUID]) -> Mapping[UUID, Quote]:
        """Quotes by id, held until the end of the transaction; unknown ids are left out."""
        ...

    async def consume_many(self, consumed: Sequence[tuple[UUID, UUID]]) -> None:
        """Bind quotes to transfers: pairs of quote and transfer id.

        Raises:
            InvariantBroken: One of them is not active. Who decides holds them by `lock_many`.
        """
        ...

    async def halts(self) -> Halts:
        """Halts of quoting now."""
        ...

    async def halt(
        self, currency: str | None, reason: HaltReason, halted_by: str, note: str | None
    ) -> None:
        """Halt quoting of a currency, or all; a halt for the same reason stays as it is.

        Needs `lock()`.
        """
        ...

    async def revoke(self, currency: str | None, reason: HaltReason) -> int:
        """Revoke every active quote that names a currency, or all; how many those were.

        Between a quote's transfer and this, its row decides: it is consumed or revoked. Needs
        `lock()`, so that none is being made.
        """
        ...

    async def resume(
        self, currency: str | None, resumed_by: str, accepted: Mapping[Pair, Decimal]
    ) -> None:
        """End the halts of a currency, or of all, whatever their reason.

        Args:
            currency: As it was halted; None ends what was halted as a whole, and nothing else.
            resumed_by: `Principal.key`.
            accepted: The mid rates as they are now; kept with a halt after a jump, as the level
                that the operator accepted.
        """
        ...

    async def trusted_mids(self, pairs: Sequence[Pair]) -> Mapping[Pair, Decimal]:
        """The last mid rate that was trusted, of pairs that have one.

        That of the newest quote, or the level that an operator accepted since.
        """
        ...
