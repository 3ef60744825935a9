"""Movements get their nonces: what was asked of a key is written within its coin and its tokens.

Used by every own key's job. Not here: signing and sending (`node.services.settlement.sending`);
whether a movement happened is the mirror's to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from node.core.catalog import USDC
from node.core.errors import ChainUnavailable
from node.core.ledger import NATIVE_DIGITS
from node.core.ports import Unit
from node.core.ports.movements import Movement
from node.core.ports.settlement import Lane, NewSlot, OpenSlot
from node.core.settlement import TOKEN_TRANSFER_GAS, Purpose, settle_gas
from node.core.sweeping import SweepOutcome
from node.core.treasury import (
    SLOTS_OF_GAS_KEPT,
    Failure,
    Hold,
    MovementCall,
    MovementKind,
    NodeAddresses,
    Purse,
    deposit_sweep_call,
    native_call,
    rescue_call,
    token_call,
)
from node.core.units import Address, Asset
from node.services.settlement.parts import SettlementParts
from node.services.settlement.treasury_reads import is_contract_paused, sweep_preview, token_units

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
_NOTHING_TO_SWEEP = Failure(
    "nothing_to_sweep", "the deposit addresses hold nothing that the token lets go"
)


@dataclass(frozen=True, slots=True)
class _Holdings:
    """What the chain says now, and what gas costs.

    Attributes:
        salts: Of the deposit addresses of each sweep, by movement.
        useless: Sweeps that would move nothing.
    """

    balance_wei: int
    fee_wei: int
    tokens: dict[Address, int]
    contract_is_paused: bool
    salts: Mapping[UUID, Sequence[bytes]]
    useless: frozenset[UUID]


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
            salts = await _salts(unit, may_go)
        if not may_go:
            return 0
        with parts.chain.pinned():
            holdings = await self._holdings(lane, may_go, salts)
        ids = {each.id for each in may_go}
        async with parts.units() as unit:
            lane = await unit.settlement.lock_lane(lane.id, lane.epoch, parts.lease_s)
            requested = await unit.movements.requested(lane.address, slots_max)
            may_go = await self._allowed(unit, [e for e in requested if e.id in ids])
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

    async def _holdings(
        self, lane: Lane, movements: Sequence[Movement], salts: Mapping[UUID, Sequence[bytes]]
    ) -> _Holdings:
        parts = self._parts
        if await parts.chain.chain_id() != parts.chain_id:
            raise ChainUnavailable(f"the provider is not of chain {parts.chain_id}")
        token, contract = parts.contract.token, parts.contract.address
        holders = {
            each.from_address
            for each in movements
            if each.asset != self._own.native and each.kind != MovementKind.DEPOSIT_SWEEP
        }
        tokens = {}
        for holder in sorted(holders):
            tokens[holder] = await token_units(parts.chain, token, holder)
        has_rescue = any(each.kind == MovementKind.RESCUE for each in movements)
        return _Holdings(
            balance_wei=await parts.chain.native_balance(lane.address, "latest"),
            fee_wei=(await parts.market_fees()).max_fee_per_gas_wei,
            tokens=tokens,
            contract_is_paused=has_rescue and await is_contract_paused(parts.chain, contract),
            salts=salts,
            useless=await self._useless(lane, salts),
        )

    async def _useless(self, lane: Lane, salts: Mapping[UUID, Sequence[bytes]]) -> frozenset[UUID]:
        """Sweeps that would move nothing now: somebody was quicker, or the token refuses."""
        parts, deposits = self._parts, self._own.deposits
        useful = set()
        for movement_id, of_one in salts.items():
            if deposits is None or not of_one:
                continue
            outcomes = await sweep_preview(
                parts.chain, deposits, parts.contract.token, of_one, lane.address
            )
            if SweepOutcome.SWEPT in outcomes:
                useful.add(movement_id)
        return frozenset(salts.keys() - useful)

    async def _write_within(
        self, unit: Unit, lane: Lane, movements: Sequence[Movement], holdings: _Holdings
    ) -> int:
        """Write, oldest first, what the key can pay for; how many were written or failed."""
        purse = await self._purse(unit, lane, holdings)
        written: list[tuple[Movement, NewSlot]] = []
        waiting: dict[Hold, list[Movement]] = {}
        failed = 0
        for movement in movements:
            verdict = self._judge(purse, movement, lane.next_nonce + len(written), holdings)
            if isinstance(verdict, Failure):
                await unit.movements.fail(movement.id, verdict.code, verdict.message)
                failed += 1
            elif isinstance(verdict, NewSlot):
                written.append((movement, verdict))
            else:
                waiting.setdefault(verdict, []).append(movement)
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
        self, purse: Purse, movement: Movement, nonce: int, holdings: _Holdings
    ) -> NewSlot | Hold | Failure:
        """The slot that it is written into, its money taken out of the purse; or why not."""
        kind = MovementKind(movement.kind)
        if (fault := self._fault(movement, holdings)) is not None:
            return fault
        slot = self._slot(nonce, movement, holdings.salts)
        # Deposits that are swept are no tokens of the purse.
        moves_tokens = movement.asset != self._own.native and kind != MovementKind.DEPOSIT_SWEEP
        refused = purse.take(
            kind,
            movement.from_address,
            movement.amount if moves_tokens else 0,
            slot.value_wei,
            _gas_wei(slot, holdings.fee_wei),
        )
        return slot if refused is None else refused

    def _fault(self, movement: Movement, holdings: _Holdings) -> Failure | None:
        """Why it can never be sent as it was asked for."""
        route = self._own.route(MovementKind(movement.kind))
        if movement.from_address not in route.sources or movement.to_address not in route.targets:
            return _NOT_OWN  # the key would not sign it, and its lane would stop
        if movement.kind == MovementKind.RESCUE and not holdings.contract_is_paused:
            return _NOT_PAUSED
        return _NOTHING_TO_SWEEP if movement.id in holdings.useless else None

    def _slot(
        self, nonce: int, movement: Movement, salts: Mapping[UUID, Sequence[bytes]]
    ) -> NewSlot:
        call = self._call(movement, salts)
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

    def _call(self, movement: Movement, salts: Mapping[UUID, Sequence[bytes]]) -> MovementCall:
        contract, to, amount = self._parts.contract, movement.to_address, movement.amount
        if movement.kind == MovementKind.DEPOSIT_SWEEP:
            return deposit_sweep_call(movement.from_address, contract.token, salts[movement.id])
        if movement.kind == MovementKind.RESCUE:
            return rescue_call(contract.address, contract.token, to, amount)
        if movement.asset == self._own.native:
            return native_call(to, amount)
        return token_call(contract.token, to, amount)


async def is_held(unit: Unit, chain_id: int) -> bool:
    """Whether treasury movements wait: settlement is paused, or its lanes have to be adopted."""
    return bool(await unit.settlement.pauses()) or await unit.settlement.is_recovering(chain_id)


async def _salts(unit: Unit, movements: Sequence[Movement]) -> dict[UUID, Sequence[bytes]]:
    """Of the deposit addresses of each sweep; none where the books do not know them."""
    sweeps = [each.id for each in movements if each.kind == MovementKind.DEPOSIT_SWEEP]
    known = await unit.movements.salts(sweeps) if sweeps else {}
    return {each: known.get(each, ()) for each in sweeps}


async def _mark(unit: Unit, movements: Sequence[Movement], hold: Hold) -> None:
    await unit.movements.mark_waiting({each.id: hold.value for each in movements})


def _gas_wei(slot: NewSlot | OpenSlot, fee_wei: int) -> int:
    """Most that a slot's gas takes from its account at this fee per gas."""
    return slot.gas_limit * fee_wei
