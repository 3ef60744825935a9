"""Where rates come from, and in the store: firm quotes, halts of quoting, trusted levels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """Quotes that name a currency, on either side, and may still make a transfer.

    Attributes:
        minor: Sum of their amounts in it, minor units.
        count: How many they are.
        free_at: When the first of them stops counting, `ACCEPTED_LATE_S` after it expires; None:
            there are none.
    """

    minor: int = 0
    count: int = 0
    free_at: datetime | None = None


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
class Level:
    """Where the mid rate of a pair stands: what the next one is compared with.

    Attributes:
        mid: The last one that was trusted.
        since: When the level began, on the database clock: when a mid rate of the pair was first
            believed, or an operator accepted one after a jump. Small moves do not begin another.
        accepted: The mid rate that an operator accepted then; None: it was believed.
    """

    mid: Decimal
    since: datetime
    accepted: Decimal | None


@dataclass(frozen=True, slots=True)
class OpenQuotes:
    """Active quotes by maker, and what may still be paid by currency; who has none is left out."""

    by_maker: Mapping[str, ActiveQuotes]
    by_currency: Mapping[str, Exposure]


class QuoteRepository(Protocol):
    """Firm quotes, halts of quoting, and the levels that mid rates are compared with."""

    async def lock(self) -> int:
        """Let nobody else make quotes, halt or resume until the end of the transaction.

        Returns:
            A number that rises with everyone who gets the lock: whoever gets the one after its own
            knows that nobody else had it in between.
        """
        ...

    async def open_quotes(self) -> OpenQuotes:
        """All that is open, counted in one statement; its cost grows with how many those are.

        Active is what is neither consumed nor revoked, and not expired when the transaction began.
        By currency, what expired less than `ACCEPTED_LATE_S` ago counts as well. With `lock()`
        nothing is added until the end of the transaction.
        """
        ...

    async def insert_many(self, quotes: Sequence[Quote]) -> None:
        """Store new quotes."""
        ...

    async def any_stored(self, ids: Sequence[UUID]) -> bool:
        """Whether one of these quotes is there."""
        ...

    async def is_leg_used(self, partner_id: UUID, partner_quote_id: str) -> bool:
        """Whether a quote has this quote of a partner as its leg."""
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

    async def halts(self) -> Sequence[Halt]:
        """Halts of quoting in force now, the oldest first."""
        ...

    async def halt(
        self, currency: str | None, reason: HaltReason, halted_by: str, note: str | None
    ) -> None:
        """Halt quoting of a currency, or all; a halt for the same reason stays as it is.

        Needs `lock()`.
        """
        ...

    async def revoke(self, currency: str | None, reason: HaltReason) -> int:
        """Revoke every quote that names a currency, or all, and may still make a transfer.

        Between a quote's transfer and this, its row decides: it is consumed or revoked. An
        acceptance that began before a quote expired may still be waiting for its locks, so what
        expired less than `ACCEPTED_LATE_S` ago is revoked as well. Needs `lock()`, so that none is
        being made.

        Returns:
            How many active ones those were.
        """
        ...

    async def resume(
        self, currency: str | None, resumed_by: str, mids: Mapping[Pair, Decimal]
    ) -> bool:
        """End the halts of a currency, or of all, whatever their reason. Needs `lock()`.

        Args:
            currency: As it was halted; None ends what was halted as a whole, and nothing else.
            resumed_by: `Principal.key`.
            mids: Of the pairs it covers, as they are now. After a jump each begins a level, and
                is kept with the halt; the level of a pair that is not among them stays.

        Returns:
            Whether they were accepted as levels: one of the halts was after a jump.
        """
        ...

    async def levels(self) -> Mapping[Pair, Level]:
        """Where the mid rates of all pairs stand that have been trusted once."""
        ...

    async def trust(self, mids: Mapping[Pair, Decimal]) -> None:
        """Move levels to where the mid rates are now; begin one where there is none.

        Needs `lock()`: who moves a level has compared with it, and an operator may have accepted
        another.
        """
        ...
