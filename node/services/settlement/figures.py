"""Figures of settlement for monitoring: one look a second at most, and what it has come to.

A scrape costs a few indexed queries however large the tables are: totals are counted from where
this process began, each final block once. Not here: their names (`node.api.settlement_metrics`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from node.core.ports import Clock, UnitOfWork
from node.core.ports.chain import ProviderHealth, ProviderHealthSource
from node.core.ports.settlement_views import Spending
from node.core.settlement import Purpose
from node.services.settlement.alerts import AlertRules
from node.services.settlement.overview import SettlementLook, Watched, look_at

_FRESH: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class SettlementFigures:
    """What is measured.

    Attributes:
        totals: Of transactions that became final since this process began to count.
        providers: As this process sees them.
    """

    look: SettlementLook
    totals: Mapping[Purpose, Spending]
    providers: Sequence[ProviderHealth]


class SettlementMeter:
    """Measures for as long as its process lives."""

    def __init__(
        self,
        units: UnitOfWork,
        watched: Watched,
        rules: AlertRules,
        *,
        clock: Clock,
        providers: ProviderHealthSource,
    ) -> None:
        self._units = units
        self._watched = watched
        self._rules = rules
        self._clock = clock
        self._providers = providers
        self._one_at_a_time = asyncio.Lock()
        self._totals: dict[Purpose, Spending] = {}
        self._counted: int | None = None  # up to this block
        self._newest: tuple[datetime, SettlementLook] | None = None

    async def figures(self) -> SettlementFigures:
        """As they are, or were at most a second ago.

        Raises:
            DatabaseUnavailable: The database is away.
        """
        async with self._one_at_a_time:
            now = self._clock.now()
            if self._newest is None or not timedelta() <= now - self._newest[0] < _FRESH:
                self._newest = (now, await self._measure())
            return SettlementFigures(self._newest[1], dict(self._totals), self.providers())

    def providers(self) -> Sequence[ProviderHealth]:
        """The chain's providers as this process sees them; asks nobody."""
        return self._providers.health()

    async def _measure(self) -> SettlementLook:
        async with self._units() as unit:
            look = await look_at(unit, self._watched, self._rules)
            if look.final_number is None:
                return look
            new: Sequence[Spending] = ()
            if self._counted is not None and look.final_number > self._counted:
                new = await unit.settlement_views.spending_of_blocks(
                    self._watched.chain_id, self._counted, look.final_number
                )
        for each in new:
            self._totals[each.purpose] = _sum(self._totals.get(each.purpose), each)
        self._counted = max(look.final_number, self._counted or 0)
        return look


def _sum(one: Spending | None, other: Spending) -> Spending:
    if one is None:
        return other
    return Spending(
        purpose=other.purpose,
        transactions=one.transactions + other.transactions,
        reverted=one.reverted + other.reverted,
        payments=one.payments + other.payments,
        attempts=one.attempts + other.attempts,
        gas_used=one.gas_used + other.gas_used,
        fees_wei=one.fees_wei + other.fees_wei,
    )
