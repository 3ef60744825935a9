"""What deposit addresses hold is swept into the float: the duty of one key of the node.

It only asks for movements, which are written and sent like all others. Anybody may sweep an
address, since its tokens can go to the settlement contract only; so whatever a sweep of the node
was to move may have moved before, and the mirror books what the token tells, not what was asked.
Not here: the call (`node.core.sweeping`), writing it (`node.services.settlement.movement_writing`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from node.core.ports import Unit
from node.core.ports.deposits import DepositHolding
from node.core.ports.movements import Movement
from node.core.ports.settlement import Lane
from node.core.sweeping import SALTS_MAX, SweepOutcome, SweepRules
from node.core.treasury import MovementKind, NodeAddresses
from node.services.settlement.movement_writing import is_held
from node.services.settlement.parts import SettlementParts
from node.services.settlement.treasury_reads import sweep_preview

_PATIENCE: Final = timedelta(minutes=10)
"""How long an address that the token refuses is left alone: a denied one may stay so for years."""

_LEFT_ALONE_MAX: Final = 1_000
"""Most addresses left alone at once, and so the most that are read beyond those that are swept."""

_NODE: Final = "node:sweep"


class Sweeper:
    """See `node.services.settlement.treasury.Duty`. Its parts are those of the key that sweeps."""

    def __init__(self, parts: SettlementParts, own: NodeAddresses, rules: SweepRules) -> None:
        self._parts = parts
        self._own = own
        self._rules = rules
        self._due: datetime | None = None
        self._left_alone: dict[bytes, datetime] = {}

    def is_due(self, now: datetime) -> bool:
        """Whether a pass may find anything: once per block's time."""
        return self._due is None or now >= self._due

    async def run(self, lane: Lane) -> int:
        """Ask for one sweep of what holds enough and is not swept yet; how many were asked for.

        The chain says first which addresses it would empty now. The transaction that makes the
        movement holds the lane, and looks again: of any number of processes one makes it, and an
        address is in one sweep at a time.

        Raises:
            ChainUnavailable: The sweep cannot be tried.
            LeaseLost: Another process has taken the lane.
        """
        parts = self._parts
        async with parts.units() as unit:
            now = unit.now
            if lane.address != self._own.sweeper or not self.is_due(now):
                return 0
            self._due = now + timedelta(seconds=parts.block_s)
            if await is_held(unit, parts.chain_id):
                return 0
            await unit.movements.end_sweeps_of_others(lane.address)
            found = await self._found(unit, now)
        if not found:
            return 0
        outcomes = await self._previewed(lane, found)
        self._leave_alone(found, outcomes, now)
        parts.failpoint("after_sweep_reading")
        async with parts.units() as unit:
            await unit.settlement.lock_lane(lane.id, lane.epoch, parts.lease_s)
            if await is_held(unit, parts.chain_id):
                return 0
            found = [
                each
                for each in await self._found(unit, now)
                if outcomes.get(each.salt) is SweepOutcome.SWEPT
            ]
            if not found:
                return 0
            movement = self._movement(lane, found, now)
            await unit.movements.add(movement)
            await unit.movements.add_swept(movement.id, [(e.salt, e.amount) for e in found])
        parts.failpoint("after_sweep_asked")
        return 1

    async def _found(self, unit: Unit, now: datetime) -> Sequence[DepositHolding]:
        """The greatest holdings that are due, as far as one sweep takes them."""
        self._left_alone = {salt: until for salt, until in self._left_alone.items() if until > now}
        passed_over = await unit.movements.sweeping() | self._left_alone.keys()
        if self._own.deposits is None:
            return []
        holdings = await unit.deposits.holdings(
            self._parts.chain_id,
            self._own.token,
            self._own.deposits,
            self._rules.above_minor,
            SALTS_MAX + len(passed_over),
        )
        return [each for each in holdings if each.salt not in passed_over][:SALTS_MAX]

    async def _previewed(
        self, lane: Lane, found: Sequence[DepositHolding]
    ) -> Mapping[bytes, SweepOutcome]:
        salts = [each.salt for each in found]
        outcomes = await sweep_preview(
            self._parts.chain, found[0].factory, self._parts.contract.token, salts, lane.address
        )
        return dict(zip(salts, outcomes, strict=True))

    def _leave_alone(
        self,
        found: Sequence[DepositHolding],
        outcomes: Mapping[bytes, SweepOutcome],
        now: datetime,
    ) -> None:
        """What is refused makes room for what is not. What is empty was swept by somebody."""
        for each in found:
            is_refused = outcomes[each.salt] is SweepOutcome.FAILED
            if is_refused and len(self._left_alone) < _LEFT_ALONE_MAX:
                self._left_alone[each.salt] = now + _PATIENCE

    def _movement(self, lane: Lane, found: Sequence[DepositHolding], now: datetime) -> Movement:
        return Movement(
            id=self._parts.new_id(),
            kind=MovementKind.DEPOSIT_SWEEP.value,
            sender=lane.address,
            from_address=found[0].factory,
            to_address=self._own.contract,
            asset=self._own.token,
            amount=sum(each.amount for each in found),
            state="requested",
            slot_id=None,
            made_by=_NODE,
            failure=None,
            created_at=now,
        )
