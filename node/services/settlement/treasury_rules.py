"""Rules top the contract's float and the lanes' gas up below a mark: the treasury's duty.

A rule only asks for movements; they are written and sent like those that an operator asked for.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from node.core.ledger import WEI_PER_UNIT
from node.core.ports.movements import Movement, TreasuryRule
from node.core.ports.settlement import Lane
from node.core.settlement import TOKEN_TRANSFER_GAS
from node.core.treasury import (
    SLOTS_OF_GAS_KEPT,
    MovementKind,
    NodeAddresses,
    top_up_amount,
)
from node.core.units import Address
from node.services.settlement.movement_writing import is_held
from node.services.settlement.parts import SettlementParts
from node.services.settlement.treasury_reads import token_units

_Balances = Mapping[tuple[Address, str], int]


class TreasuryRules:
    """See `node.services.settlement.treasury.Duty`. Its parts are those of the treasury's key."""

    def __init__(self, parts: SettlementParts, own: NodeAddresses) -> None:
        self._parts = parts
        self._own = own
        self._due: datetime | None = None

    async def run(self, lane: Lane) -> int:
        """Once per block's time: ask for the movements that the rules call for; how many.

        Balances are read first. The transaction that makes movements holds the treasury's lane,
        without which nothing of it is sent, and the rules; if what was under way before the
        reading is not what is under way then, the balances may be old, and it is left to the next
        pass. So of any number of processes one makes a movement.

        Raises:
            ChainUnavailable: Balances cannot be read.
            LeaseLost: Another process has taken the lane.
        """
        parts = self._parts
        async with parts.units() as unit:
            if self._due is not None and unit.now < self._due:
                return 0
            rules = await unit.movements.rules_in_force(locked=False)
            seen = {each.id for each in await unit.movements.under_way()}
            now = unit.now
            if not rules or await is_held(unit, parts.chain_id):
                self._due = now + timedelta(seconds=parts.block_s)
                return 0
        with parts.chain.pinned():
            balances = await self._balances(lane.address, rules)
        parts.failpoint("after_rule_reading")
        async with parts.units() as unit:
            await unit.settlement.lock_lane(lane.id, lane.epoch, parts.lease_s)
            rules = await unit.movements.rules_in_force(locked=True)
            under_way = await unit.movements.under_way()
            if {each.id for each in under_way} != seen or await is_held(unit, parts.chain_id):
                return 0
            moved = await unit.movements.moved_by_rules([each.id for each in rules])
            made = self._made(lane.address, rules, balances, under_way, moved, unit.now)
            for movement in made:
                await unit.movements.add(movement)
        self._due = now + timedelta(seconds=parts.block_s)
        parts.failpoint("after_rule_write")
        return len(made)

    def _targets(self, rule: TreasuryRule) -> Sequence[Address]:
        """Whom a rule fills; nobody, where the node has other addresses now."""
        own = self._own
        if rule.kind == MovementKind.FLOAT_TOP_UP:
            known: Sequence[Address] = (own.contract,)
            everybody = known
        else:
            known, everybody = own.others, own.lanes
        if rule.to_address is None:
            return everybody
        return [each for each in known if each == rule.to_address]

    async def _balances(self, treasury: Address, rules: Sequence[TreasuryRule]) -> _Balances:
        """What targets and treasury hold, in minor units; of the treasury's coin less its gas."""
        parts, own = self._parts, self._own
        kept_wei = (
            SLOTS_OF_GAS_KEPT * TOKEN_TRANSFER_GAS * (await parts.market_fees()).max_fee_per_gas_wei
        )
        wanted = {(target, rule.asset) for rule in rules for target in self._targets(rule)}
        wanted |= {(treasury, rule.asset) for rule in rules}
        balances = {}
        for holder, asset in sorted(wanted):
            if asset == own.native:
                wei = await parts.chain.native_balance(holder, "latest")
                spare_wei = max(0, wei - kept_wei) if holder == treasury else wei
                balances[holder, asset] = spare_wei // WEI_PER_UNIT
            else:
                balances[holder, asset] = await token_units(
                    parts.chain, parts.contract.token, holder
                )
        return balances

    def _made(
        self,
        treasury: Address,
        rules: Sequence[TreasuryRule],
        balances: _Balances,
        under_way: Sequence[Movement],
        moved: Mapping[UUID, int],
        now: datetime,
    ) -> Sequence[Movement]:
        """The movements to ask for. A rule has one for a target at a time."""
        pending = list(under_way)
        for rule in rules:
            limit_left = rule.daily_limit - moved.get(rule.id, 0)
            for target in self._targets(rule):
                bound = [e for e in pending if e.to_address == target and e.asset == rule.asset]
                if any(each.rule_id == rule.id for each in bound):
                    continue
                if (target, rule.asset) not in balances:
                    continue  # a rule made since they were read
                leaving = [
                    e for e in pending if e.from_address == treasury and e.asset == rule.asset
                ]
                amount = top_up_amount(
                    mark=rule.mark,
                    fill_to=rule.fill_to,
                    holds=balances[target, rule.asset],
                    coming=sum(each.amount for each in bound),
                    limit_left=limit_left,
                    available=balances[treasury, rule.asset] - sum(e.amount for e in leaving),
                )
                if amount > 0:
                    limit_left -= amount
                    pending.append(self._movement(rule, treasury, target, amount, now))
        return pending[len(under_way) :]

    def _movement(
        self, rule: TreasuryRule, treasury: Address, target: Address, amount: int, now: datetime
    ) -> Movement:
        return Movement(
            id=self._parts.new_id(),
            kind=rule.kind,
            sender=treasury,
            from_address=treasury,
            to_address=target,
            asset=rule.asset,
            amount=amount,
            state="requested",
            slot_id=None,
            made_by=f"rule:{rule.id}",
            failure=None,
            created_at=now,
            rule_id=rule.id,
        )
