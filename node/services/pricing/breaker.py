"""The breaker: a mid rate that moves too far halts quoting, until an operator has looked.

Every mid rate is compared with the level of its pair: the last one that was trusted. While the move
is small it is trusted in turn, once for each reading of the sources. A jump halts quoting of the
currency, in the same transaction that found it, and revokes the quotes that are open at the old
level. A rate that more than doubles or halves is taken for a fault of a source: it halts quoting as
well, and open quotes are honoured, if the level they were made at has stood for longer than any
quote lives. If it has not, it may itself have been the fault, and they are revoked.

Processes agree through the database: halts and levels are rows, and a process that has just started
compares with what another trusted. A pair without a level has never been priced: its first mid rate
is believed, as far as its sources agree.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Final

from node.core.catalog import Catalog
from node.core.errors import QuotingHalted, RateUnavailable
from node.core.ports import Unit
from node.core.ports.quotes import Halt, Level, Pair
from node.core.quotes import TTL_MAX_S, HaltReason, Mid
from node.core.rates import is_fault, is_jump
from node.services.pricing.rates import Rates

BREAKER: Final = "breaker"
"""Who halts when nobody did."""

_PROVEN_AFTER: Final = timedelta(seconds=TTL_MAX_S)


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
    level: Level
    mid: Mid
    now: datetime

    @property
    def is_fault(self) -> bool:
        return is_fault(self.mid.rate, self.level.mid)

    @property
    def keeps_quotes(self) -> bool:
        """Whether what is open was made at a level that was right."""
        return self.is_fault and self.now - self.level.since > _PROVEN_AFTER

    def __str__(self) -> str:
        stated = ", ".join(
            f"{each.source} {each.sell}/{each.buy} {each.text}" for each in self.mid.sources
        )
        levels = f"from {self.level.mid:f} to {self.mid.rate:f}"
        moved = f"{'/'.join(self.pair)} went {levels} ({stated})"
        if self.keeps_quotes:
            return f"{moved}; a fault, so open quotes are kept"
        if self.is_fault:
            return f"{moved}; one of the two is a fault, so open quotes are revoked"
        return moved


@dataclass(frozen=True, slots=True)
class _Verdict:
    """A board, and what it comes to.

    Attributes:
        trusted: Mid rates that are near their level, or the first of their pair.
        is_new: Whether one of them is the first.
    """

    board: Board
    jumps: Sequence[_Jump]
    trusted: Mapping[Pair, Decimal]
    is_new: bool


class Breaker:
    """Decides what may be quoted.

    Args:
        rates: What the sources say.
        catalog: Its token is never the currency that is halted for a jump.
    """

    def __init__(self, rates: Rates, catalog: Catalog) -> None:
        self._rates = rates
        self._token = catalog.token.asset.code

    async def board(self, unit: Unit, pairs: Collection[Pair]) -> Board:
        """What may be quoted of these pairs; halts what has jumped.

        Nothing is written unless something jumped, or a pair is priced for the first time.

        Args:
            unit: Where a jump is stored.
            pairs: Of corridors.
        """
        verdict = await self._judge(unit, pairs)
        if verdict.jumps or verdict.is_new:
            return await self.watch(unit, pairs)
        return verdict.board

    async def watch(self, unit: Unit, pairs: Collection[Pair]) -> Board:
        """Like `board`, and moves the levels to where the mid rates are.

        Once for each reading: several small moves in one would add up to a jump that nobody sees.
        """
        await unit.quotes.lock()  # whoever resumes or trusts holds it
        verdict = await self._judge(unit, pairs)
        await unit.quotes.trust(verdict.trusted)
        if not verdict.jumps:
            return verdict.board
        by_currency = groupby(sorted(verdict.jumps, key=_currency), key=_currency)
        for currency, found in by_currency:
            await self._halt(unit, currency, list(found))
        return Board(await unit.quotes.halts(), verdict.board.mids)

    async def _judge(self, unit: Unit, pairs: Collection[Pair]) -> _Verdict:
        halts = await unit.quotes.halts()
        levels = await unit.quotes.levels()
        rates = self._rates
        rates.follow(levels)
        mids: dict[Pair, Mid | RateUnavailable] = {}
        jumps: list[_Jump] = []
        trusted: dict[Pair, Decimal] = {}
        jumped = [each for each in halts if each.reason is HaltReason.JUMP]
        for pair in pairs:
            try:
                mid = rates.mid(*pair, unit.now)
            except RateUnavailable as error:
                mids[pair] = error
                continue
            mids[pair] = mid
            if any(each.covers(*pair) for each in jumped):
                continue  # the level stays, until an operator accepts another
            level = levels.get(pair)
            if level is None or not is_jump(mid.rate, level.mid, rates.policy.jump_max_bps):
                trusted[pair] = mid.rate
            else:
                jumps.append(_Jump(self._at_risk(*pair), pair, level, mid, unit.now))
        return _Verdict(Board(halts, mids), jumps, trusted, not trusted.keys() <= levels.keys())

    def _at_risk(self, sell: str, buy: str) -> str:
        """The currency to halt: of a pair with the token the other one, else what is sold."""
        return buy if sell == self._token else sell

    async def _halt(self, unit: Unit, currency: str, jumps: Sequence[_Jump]) -> None:
        note = "; ".join(map(str, jumps))
        await unit.quotes.halt(currency, HaltReason.JUMP, BREAKER, note)
        if not all(each.keeps_quotes for each in jumps):
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
