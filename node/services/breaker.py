"""The breaker: a mid rate that moves too far halts quoting, until an operator has looked.

Every mid rate is compared with the last one of its pair that was trusted. While the move is small
the new one is trusted in turn. A jump halts quoting of the currency, in the same transaction that
found it, and revokes the quotes that are open at the old level. A rate that more than doubles or
halves is taken for a fault of a source: it halts quoting as well, but open quotes, which were made
at a level that was right, are honoured.

Processes agree through the database: halts are rows, the newest stored quote of a pair is what a
process that has just started compares with, and what an operator accepted is kept with the halt.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Final

from node.core.catalog import Catalog
from node.core.errors import QuotingHalted, RateUnavailable
from node.core.ports import Unit
from node.core.ports.quotes import Halt, Halts, Pair
from node.core.quotes import HaltReason, Mid
from node.core.rates import is_fault, is_jump
from node.services.rates import Rates

BREAKER: Final = "breaker"
"""Who halts when nobody did."""


@dataclass(frozen=True, slots=True)
class Board:
    """What may be quoted at one moment.

    Attributes:
        mids: Of the pairs asked for; or why there is none.
    """

    halts: Sequence[Halt]
    mids: Mapping[Pair, Mid | RateUnavailable]

    def mid(self, sell: str, buy: str) -> Mid:
        """The mid rate to quote at.

        Raises:
            QuotingHalted: The currency of one side is halted; with `currency`, `reason`, `since`.
            RateUnavailable: There is no rate that could be trusted.
        """
        for halt in self.halts:
            if halt.covers(sell, buy):
                raise _halted(halt)
        found = self.mids[sell, buy]
        if isinstance(found, RateUnavailable):
            raise found
        return found


@dataclass(frozen=True, slots=True)
class _Jump:
    currency: str
    pair: Pair
    trusted: Decimal
    mid: Mid

    @property
    def is_fault(self) -> bool:
        return is_fault(self.mid.rate, self.trusted)

    def __str__(self) -> str:
        stated = ", ".join(
            f"{each.source} {each.sell}/{each.buy} {each.text}" for each in self.mid.sources
        )
        moved = f"{'/'.join(self.pair)} went from {self.trusted:f} to {self.mid.rate:f} ({stated})"
        return f"{moved}; a fault, so open quotes are kept" if self.is_fault else moved


class Breaker:
    """Decides what may be quoted.

    Args:
        rates: What the sources say, and what was trusted last.
        catalog: Its token is never the currency that is halted for a jump.
    """

    def __init__(self, rates: Rates, catalog: Catalog) -> None:
        self._rates = rates
        self._token = catalog.token.asset.code

    async def board(self, unit: Unit, pairs: Collection[Pair], halts: Halts) -> Board:
        """What may be quoted of these pairs; halts what has jumped.

        Args:
            unit: Where a jump is stored; `halts` were read in it.
            pairs: Of corridors.
            halts: As they are.
        """
        mids, jumps = await self._judge(unit, pairs, halts)
        if not jumps:
            return Board(halts.in_force, mids)
        await unit.quotes.lock()  # whoever resumes holds it, so look again with it
        mids, jumps = await self._judge(unit, pairs, await unit.quotes.halts())
        by_currency = groupby(sorted(jumps, key=_currency), key=_currency)
        for currency, found in by_currency:
            await self._halt(unit, currency, list(found))
        return Board((await unit.quotes.halts()).in_force, mids)

    async def _judge(
        self, unit: Unit, pairs: Collection[Pair], halts: Halts
    ) -> tuple[dict[Pair, Mid | RateUnavailable], list[_Jump]]:
        """Every pair's mid rate, trusted from now on unless it has jumped."""
        rates = self._rates
        rates.follow(halts.accepted_at)
        if unknown := [pair for pair in pairs if pair not in rates.trusted]:
            for pair, mid_rate in (await unit.quotes.trusted_mids(unknown)).items():
                rates.trusted.setdefault(pair, mid_rate)
        mids: dict[Pair, Mid | RateUnavailable] = {}
        jumps: list[_Jump] = []
        jumped = [each for each in halts.in_force if each.reason is HaltReason.JUMP]
        for pair in pairs:
            try:
                mid = rates.mid(*pair, unit.now)
            except RateUnavailable as error:
                mids[pair] = error
                continue
            mids[pair] = mid
            if any(each.covers(*pair) for each in jumped):
                continue  # what is trusted stays, until an operator accepts the new level
            trusted = rates.trusted.setdefault(pair, mid.rate)
            if is_jump(mid.rate, trusted, rates.policy.jump_max_bps):
                jumps.append(_Jump(self._at_risk(*pair), pair, trusted, mid))
            else:
                rates.trusted[pair] = mid.rate
        return mids, jumps

    def _at_risk(self, sell: str, buy: str) -> str:
        """The currency to halt: of a pair with the token the other one, else what is sold."""
        return buy if sell == self._token else sell

    async def _halt(self, unit: Unit, currency: str, jumps: Sequence[_Jump]) -> None:
        note = "; ".join(map(str, jumps))
        await unit.quotes.halt(currency, HaltReason.JUMP, BREAKER, note)
        if not any(each.is_fault for each in jumps):
            await unit.quotes.revoke(currency, HaltReason.JUMP)


def _currency(jump: _Jump) -> str:
    return jump.currency


def _halted(halt: Halt) -> QuotingHalted:
    what = "quoting" if halt.currency is None else f"quoting of {halt.currency}"
    since = halt.halted_at.isoformat().replace("+00:00", "Z")
    why = (
        "by the operator"
        if halt.reason is HaltReason.OPERATOR
        else "because its rate moved too far, until an operator has looked"
    )
    return QuotingHalted(
        f"{what} is halted since {since} {why}",
        currency=halt.currency,
        reason=halt.reason.value,
        since=since,
    )
