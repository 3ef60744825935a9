"""Where rates come from, and firm quotes in the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from node.core.quotes import Quote, Rate


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

    count: int
    first_expires_at: datetime | None


class QuoteRepository(Protocol):
    """Firm quotes."""

    async def lock_makers(self, makers: Sequence[str]) -> None:
        """Let nobody else add quotes of these makers until the end of the transaction."""
        ...

    async def active(self, makers: Sequence[str]) -> Mapping[str, ActiveQuotes]:
        """Active quotes by maker, at the start of the transaction; every maker is there."""
        ...

    async def insert_many(self, quotes: Sequence[Quote]) -> None:
        """Store new quotes."""
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
