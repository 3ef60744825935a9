"""Movements get their nonces: what was asked of a key is written within its coin and its tokens.

Used by every own key's job. Not here: signing and sending (`node.services.settlement_sending`);
whether a movement happened is the mirror's to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from node.core.catalog import USDC
from node.core.errors import ChainUnavailable
from node.core.ledger import NATIVE_DIGITS
from node.core.ports import Unit
from node.core.ports.movements import Movement
from node.core.ports.settlement import Lane, NewSlot, OpenSlot
from node.core.settlement import TOKEN_TRANSFER_GAS, Purpose, settle_gas
from node.core.treasury import (
    SLOTS_OF_GAS_KEPT,
    Failure,
    Hold,
    MovementCall,
    MovementKind,
    NodeAddresses,
    Purse,
    native_call,
    rescue_call,
    token_call,
)
from node.core.units import Address, Asset
from node.services.settlement_parts import SettlementParts
from node.services.treasury_reads import is_contract_paused, token_units

_PATIENCE = timedelta(seconds=1)
"""How long movements that must wait are left alone before the chain is asked again."""

_KEYLESS_PERIOD = timedelta(seconds=60)
_NOT_OWN = Failure(
    "not_own", "the node does not move its money this way any more: its addresses have changed"
)
_NOT_PAUSED = Failure(
    "contract_not_paused",
    "the contract gives its float out only while it is paused: pause with `hard` first",
)


@dataclass(frozen=True, slots=True)
class _Holdings:
    """What the chain says now, and what gas costs."""

    balance_wei: int
    fee_wei: int
    tokens: dict[Address, int]
    contract_is_paused: bool


class MovementWriter:
    """Writes the requested movements whose sender is the key of its parts."""

    def __init__(self, parts: SettlementParts, own: NodeAddresses) -> None:
        self._parts = parts
        self._own = own
        self._patient_until: datetime | None = None
        self._keyless_due: datetime | None = None

    async def write(self, lane: Lane) -> int:
        """Give requested movements their nonces, in one transaction; how many were dealt with.

        Raises:
            ChainUnavailable: Balances cannot be read.
            LeaseLost: Another process has taken the lane.
        """
        parts = self._parts
        slots_max = parts.batches.slots_unmined_max
        async with parts.units() as unit:
            if self._patient_until is not None and unit.now < self._patient_until:
                return 0
            self._patient_until = unit.now + _PATIENCE
            await self._mark_keyless(unit)
            requested = await unit.movements.requested(lane.address, slots_max)
            if not requested:
                self._patient_until = None
                return 0
            may_go = await self._allowed(unit, requested)
            await _mark(unit, [each for each in requested if each not in may_go], Hold.PAUSED)
            load = await unit.settlement.workload(lane.id, parts.chain_id, parts.contract.address)
            if load.unmined >= slots_max:
                await _mark(unit, may_go, Hold.SLOTS_FULL)
                return 0
        if not may_go:
            return 0
        with parts.chain.pinned():
            holdings = await self._holdings(lane, may_go)
        known = {each.id for each in may_go}
        async with parts.units() as unit:
            lane = await unit.settlement.lock_lane(lane.id, lane.epoch, parts.lease_s)
            requested = await unit.movements.requested(lane.address, slots_max)
            may_go = await self._allowed(unit, [e for e in requested if e.id in known])
            free = slots_max - load.unmined
            done = await self._write_within(unit, lane, may_go[:free], holdings)
            await _mark(unit, may_go[free:], Hold.SLOTS_FULL)
        parts.failpoint("after_movement_write")
        if done:
            self._patient_until = None
        return done

    async def _allowed(self, unit: Unit, movements: Sequence[Movement]) -> Sequence[Movement]:
        """During a pause nothing moves but what needs the pause: the contract's float to safety."""
        if not await is_held(unit, self._parts.chain_id):
            return movements
        return [each for each in movements if each.kind == MovementKind.RESCUE]

    async def _mark_keyless(self, unit: Unit) -> None:
        """Now and then, tell of movements that wait for a key that nobody has set."""
        if self._keyless_due is None or unit.now >= self._keyless_due:
            self._keyless_due = unit.now + _KEYLESS_PERIOD
            await unit.movements.mark_keyless(self._own.senders)

    async def _holdings(self, lane: Lane, movements: Sequence[Movement]) -> _Holdings:
        parts = self._parts
        if await parts.chain.chain_id() != parts.chain_id:
            raise ChainUnavailable(f"the provider is not of chain {parts.chain_id}")
        token, contract = parts.contract.token, parts.contract.address
        holders = {each.from_address for each in movements if each.asset != self._own.native}
        tokens = {}
        for holder in sorted(holders):
            tokens[holder] = await token_units(parts.chain, token, holder)
        has_rescue = any(each.kind == MovementKind.RESCUE for each in movements)
        return _Holdings(
            balance_wei=await parts.chain.native_balance(lane.address, "latest"),
            fee_wei=(await parts.market_fees()).max_fee_per_gas_wei,
            tokens=tokens,
            contract_is_paused=has_rescue and await is_contract_paused(parts.chain, contract),
        )

    async def _write_within(
        self, unit: Unit, lane: Lane, movements: Sequence[Movement], holdings: _Holdings
    ) -> int:
        """Write, oldest first, what the key can pay for; how many were written or failed."""
        purse = await self._purse(unit, lane, holdings)
        written: list[tuple[Movement, NewSlot]] = []
        waiting: dict[Hold, list[Movement]] = {}
        failed = 0
        for movement in movements:
            slot = self._slot(lane.next_nonce + len(written), movement)
            verdict = self._judge(purse, movement, slot, holdings)
            if isinstance(verdict, Failure):
                await unit.movements.fail(movement.id, verdict.code, verdict.message)
                failed += 1
            elif verdict is not None:
                waiting.setdefault(verdict, []).append(movement)
            else:
                written.append((movement, slot))
        await unit.settlement.write_slots(lane, [slot for _, slot in written])
        for movement, slot in written:
            await unit.movements.assign(movement.id, slot.id)
        for hold, held in waiting.items():
            await _mark(unit, held, hold)
        return len(written) + failed

    async def _purse(self, unit: Unit, lane: Lane, holdings: _Holdings) -> Purse:
        """What the key can spend beside what it has under way."""
        unmined = await unit.settlement.open_slots(lane.id)
        tokens_left = dict(holdings.tokens)
        for each in await unit.movements.unmined(lane.address):
            if each.asset != self._own.native and each.from_address in tokens_left:
                tokens_left[each.from_address] -= each.amount
        settles = lane.address in self._own.lanes
        slot_gas = settle_gas(self._parts.batches.payments_max) if settles else TOKEN_TRANSFER_GAS
        return Purse(
            coin=Asset(self._own.native, NATIVE_DIGITS),
            token=Asset(self._own.token, USDC.digits),
            balance_wei=holdings.balance_wei,
            left_wei=holdings.balance_wei
            - sum(each.value_wei + _gas_wei(each, holdings.fee_wei) for each in unmined),
            kept_wei=SLOTS_OF_GAS_KEPT * slot_gas * holdings.fee_wei,
            tokens=holdings.tokens,
            tokens_left=tokens_left,
        )

    def _judge(
        self, purse: Purse, movement: Movement, slot: NewSlot, holdings: _Holdings
    ) -> Hold | Failure | None:
        route = self._own.route(MovementKind(movement.kind))
        if movement.from_address not in route.sources or movement.to_address not in route.targets:
            return _NOT_OWN  # the key would not sign it, and its lane would stop
        if movement.kind == MovementKind.RESCUE and not holdings.contract_is_paused:
            return _NOT_PAUSED
        return purse.take(
            MovementKind(movement.kind),
            movement.from_address,
            0 if movement.asset == self._own.native else movement.amount,
            slot.value_wei,
            _gas_wei(slot, holdings.fee_wei),
        )

    def _slot(self, nonce: int, movement: Movement) -> NewSlot:
        call = self._call(movement)
        is_rescue = movement.kind == MovementKind.RESCUE
        return NewSlot(
            id=self._parts.new_id(),
            nonce=nonce,
            purpose=Purpose.ADMIN if is_rescue else Purpose.MOVEMENT,
            contract=None,
            to=call.to,
            value_wei=call.value_wei,
            calldata=call.calldata,
            gas_limit=call.gas_limit,
        )

    def _call(self, movement: Movement) -> MovementCall:
        contract, to, amount = self._parts.contract, movement.to_address, movement.amount
        if movement.kind == MovementKind.RESCUE:
            return rescue_call(contract.address, contract.token, to, amount)
        if movement.asset == self._own.native:
            return native_call(to, amount)
        return token_call(contract.token, to, amount)


async def is_held(unit: Unit, chain_id: int) -> bool:
    """Whether treasury movements wait: settlement is paused, or its lanes have to be adopted."""
    return bool(await unit.settlement.pauses()) or await unit.settlement.is_recovering(chain_id)


async def _mark(unit: Unit, movements: Sequence[Movement], hold: Hold) -> None:
    await unit.movements.mark_waiting({each.id: hold.value for each in movements})


def _gas_wei(slot: NewSlot | OpenSlot, fee_wei: int) -> int:
    """Most that a slot's gas takes from its account at this fee per gas."""
    return slot.gas_limit * fee_wei
