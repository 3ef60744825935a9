"""The database of the simulation: one transaction at a time, rolled back on any exception."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast
from uuid import UUID

from node.core.adoption.facts import NumberUse
from node.core.breaks import BreakCode, NewBreak
from node.core.deposits import DepositRow
from node.core.errors import Conflict, InvariantBroken
from node.core.ledger import LedgerTransaction, Resolution
from node.core.mirror import SettlementKind
from node.core.ports import Unit, UnitOfWork
from node.core.ports.adoption import LaneProgress, OwnLane
from node.core.ports.breaks import Break
from node.core.ports.reorgs import OpenShortfall
from node.core.ports.transfers import BareTransfer, NewEvent, Transfer, TransferMove
from node.core.settlement import SlotState
from node.core.units import Address
from tests.simulation.mirror_memory import MirrorMemory
from tests.simulation.settlement_memory import SettlementMemory
from tests.simulation.tables import Tables


@dataclass(frozen=True, slots=True)
class TransferMemory:
    """See `node.core.ports.transfers.TransferRepository`; what settlement and mirror use of it."""

    tables: Tables

    async def allot_numbers(self, chain_id: int, contract: Address, count: int) -> int:
        first = self.tables.next_number
        self.tables.next_number += count
        return first

    async def insert_many(self, transfers: Sequence[Transfer]) -> None:
        self.tables.transfers |= {each.id: each for each in transfers}

    async def lock_many(self, ids: Sequence[UUID]) -> Sequence[Transfer]:
        found = [self.tables.transfers[each] for each in set(ids)]
        return sorted(found, key=lambda each: (each.created_at, each.id))

    async def lock_bare(self, ids: Sequence[UUID]) -> Sequence[BareTransfer]:
        return await self.lock_many(ids)

    async def apply_moves(self, moves: Sequence[TransferMove]) -> None:
        for each in moves:
            old = self.tables.transfers[each.transfer_id]
            if old.version != each.version:
                raise Conflict("a transfer changed meanwhile")
            self.tables.transfers[old.id] = replace(
                old,
                state=each.state,
                version=each.version + each.steps,
                waiting_code=None,
                **each.changes,  # type: ignore[arg-type]
            )

    async def mark_waiting(self, ids: Sequence[UUID], code: str | None) -> None:
        for each in ids:
            self.tables.transfers[each] = replace(self.tables.transfers[each], waiting_code=code)

    async def used_on_chain(self, ids: Sequence[UUID]) -> frozenset[UUID]:
        used = {
            log.payment_number
            for line in self.tables.blocks.values()
            for log in line.facts.settlement_logs
            if line.status != "orphaned"
            and log.kind in (SettlementKind.SETTLED, SettlementKind.VOIDED)
        }
        return frozenset(e for e in ids if self.tables.transfers[e].payment_number in used)


@dataclass(frozen=True, slots=True)
class EventMemory:
    """See `node.core.ports.transfers.EventRepository`."""

    tables: Tables

    async def append(self, events: Sequence[NewEvent]) -> None:
        self.tables.events += events


@dataclass(frozen=True, slots=True)
class LedgerMemory:
    """See `node.core.ports.ledger.LedgerRepository`."""

    tables: Tables

    async def lock(self) -> None:
        return

    async def post(
        self,
        transactions: Sequence[LedgerTransaction] = (),
        resolutions: Sequence[Resolution] = (),
    ) -> Mapping[str, int]:
        for each in resolutions:
            if each.pending_sequence in self.tables.resolutions:
                raise InvariantBroken("a pending ledger transaction was resolved twice")
            self.tables.resolutions[each.pending_sequence] = each.outcome
        sequences = self.tables.post(transactions)
        if below := self.tables.below_floor():
            raise InvariantBroken(f"below the floor: {below}")
        return sequences


@dataclass(frozen=True, slots=True)
class BreakMemory:
    """See `node.core.ports.breaks.BreakRepository`."""

    tables: Tables

    async def open(self, breaks: Sequence[tuple[UUID, NewBreak]]) -> frozenset[str]:
        self.tables.breaks += [each for _, each in breaks]
        return frozenset(each.fingerprint for _, each in breaks)

    async def open_of(self, codes: Sequence[BreakCode]) -> Sequence[Break]:
        return []

    async def close_all(self, fingerprints: Sequence[str], kind: str, reason: str) -> None:
        """What is not looked for as open any more."""
        self.tables.breaks = [e for e in self.tables.breaks if e.fingerprint not in fingerprints]


@dataclass(frozen=True, slots=True)
class AdoptionMemory:
    """See `node.core.ports.adoption.AdoptionRepository`; what guards finality."""

    tables: Tables

    async def lanes(self, chain_id: int) -> Sequence[OwnLane]:
        return [
            OwnLane(
                each.id,
                each.address,
                each.role.value,
                each.next_nonce,
                each.status,
                each.status_reason,
            )
            for each in self.tables.lanes.values()
        ]

    async def lock_lanes(self, chain_id: int) -> Sequence[OwnLane]:
        return await self.lanes(chain_id)

    async def progress(self, chain_id: int, block_number: int) -> Sequence[LaneProgress]:
        found = []
        for lane in await self.lanes(chain_id):
            lines = [line for line in self.tables.slots.values() if line.lane_id == lane.id]
            mined = [
                line.slot.nonce
                for line in lines
                if line.mined is not None and line.mined.block_number <= block_number
            ]
            missing = [
                line.slot.nonce
                for line in lines
                if line.state is not SlotState.FINAL and line.slot.nonce not in mined
            ]
            highest = max(mined, default=-1) + 1
            unexplained = highest or min((s.slot.nonce for s in lines), default=lane.next_nonce)
            found.append(LaneProgress(lane, highest, min([unexplained, *missing])))
        return found

    async def uses(self, transfers: Sequence[UUID]) -> Sequence[NumberUse]:
        return []


@dataclass(frozen=True, slots=True)
class MovementMemory:
    """See `node.core.ports.movements.MovementRepository`: there are none."""

    async def withdraw(self, slot_ids: Sequence[UUID]) -> None:
        return


@dataclass(frozen=True, slots=True)
class DepositMemory:
    """See `node.core.ports.deposits.DepositRepository`: there are no deposit addresses."""

    async def addresses_since(self, after_id: int) -> Sequence[tuple[int, Address]]:
        return []

    async def add_deposits(self, chain_id: int, rows: Sequence[DepositRow]) -> None:
        """Money that came to other addresses is listed as well; the ledger tells the same."""
        assert all(each.owner is None for each in rows)

    async def change_requests(self, changes: Sequence[object]) -> Sequence[object]:
        assert not changes
        return []


@dataclass(frozen=True, slots=True)
class ReorgMemory:
    """See `node.core.ports.reorgs.ReorgRepository`: none past finality is accepted."""

    async def epoch(self, chain_id: int) -> int:
        return 0

    async def due_shortfalls(self, chain_id: int) -> Sequence[OpenShortfall]:
        return []


class MemoryUnit:
    """See `node.core.ports.Unit`."""

    def __init__(self, tables: Tables) -> None:
        self.now: datetime = tables.now
        self.settlement = SettlementMemory(tables)
        self.mirror = MirrorMemory(tables)
        self.transfers = TransferMemory(tables)
        self.events = EventMemory(tables)
        self.ledger = LedgerMemory(tables)
        self.breaks = BreakMemory(tables)
        self.adoption = AdoptionMemory(tables)
        self.movements = MovementMemory()
        self.deposits = DepositMemory()
        self.reorgs = ReorgMemory()


class MemoryUnits:
    """See `node.core.ports.UnitOfWork`. Transactions of one task never overlap."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def __call__(self) -> AbstractAsyncContextManager[Unit]:
        return self._open()

    def snapshot(self) -> AbstractAsyncContextManager[Unit]:
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Unit]:
        before = self.tables.copy()
        try:
            yield cast("Unit", MemoryUnit(self.tables))
            self.tables.check()
        except BaseException:
            self.tables.restore(before)
            raise


def units_of(tables: Tables) -> UnitOfWork:
    """The database as services get it."""
    return MemoryUnits(tables)
