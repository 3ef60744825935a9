"""The mirror's repository of the simulation: see `node.core.ports.mirror.MirrorRepository`."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from node.core.mirror import (
    BlockHeader,
    BlockPoint,
    Cursor,
    Facts,
    SettlementKind,
    SettlementLog,
    Watch,
)
from node.core.ports.chain import Receipt
from node.core.ports.mirror import (
    FinalCause,
    OutcomeRow,
    PayoutSeen,
    SlotRow,
    TokenLogRow,
    WatchedRows,
)
from node.core.ports.transfers import Transfer
from node.core.settlement import Purpose, SlotState
from node.core.transfers import State
from node.core.units import Address, BlockHash, TxHash
from tests.simulation.tables import BlockLine, Tables


@dataclass(frozen=True, slots=True)
class MirrorMemory:
    """One transaction's view of the mirror's tables."""

    tables: Tables

    async def cursor(self, chain_id: int) -> Cursor | None:
        return self.tables.cursor

    async def open(
        self, chain_id: int, header: BlockHeader, holdings: Mapping[tuple[Address, str], int]
    ) -> bool:
        if self.tables.cursor is not None:
            return False
        point = header.point
        now = self.tables.now
        self.tables.cursor = Cursor(header.number, point, point, None, now, now)
        self.tables.blocks[header.hash] = BlockLine(header, Facts(point, [], []), "final")
        self.tables.holdings |= holdings
        return True

    async def canonical(self, chain_id: int, first: int) -> Mapping[int, BlockHash]:
        return {
            line.header.number: block_hash
            for block_hash, line in self.tables.blocks.items()
            if line.status != "orphaned" and line.header.number >= first
        }

    async def begin_blocks(self, chain_id: int, *, held: BlockHash) -> bool:
        return self.tables.cursor is not None and self.tables.cursor.head.hash == held

    async def move_head(self, chain_id: int, *, held: BlockHash, to: BlockPoint) -> bool:
        cursor = self.tables.cursor
        assert cursor is not None
        if cursor.head.hash != held or to.number < cursor.final.number or cursor.halted_reason:
            return False
        if to.number == cursor.final.number and to.hash != cursor.final.hash:
            return False
        self.tables.cursor = replace(cursor, head=to)
        return True

    async def move_final(self, chain_id: int, *, held: BlockHash, to: BlockPoint) -> bool:
        cursor = self.tables.cursor
        assert cursor is not None
        line = self.tables.blocks.get(to.hash)
        is_ahead = cursor.final.number < to.number
        if cursor.final.hash != held or not is_ahead or line is None or line.status != "seen":
            return False
        self.tables.cursor = replace(cursor, final=to)
        for block_hash, each in self.tables.blocks.items():
            if each.status == "seen" and each.header.number <= to.number:
                self.tables.blocks[block_hash] = replace(each, status="final")
        return True

    async def saw_tag(self, chain_id: int, number: int) -> None:
        raise AssertionError("the model chain has no tags")

    async def halt(self, chain_id: int, reason: str | None) -> None:
        assert self.tables.cursor is not None
        self.tables.cursor = replace(self.tables.cursor, halted_reason=reason)

    async def add_blocks(
        self, watch: Watch, headers: Sequence[BlockHeader], facts: Sequence[Facts]
    ) -> None:
        said = {each.block.hash: each for each in facts}
        for header in headers:
            each = said.get(header.hash, Facts(header.point, [], []))
            self.tables.blocks[header.hash] = BlockLine(header, each)

    async def own_transactions(self, tx_hashes: Sequence[TxHash]) -> Sequence[TxHash]:
        return [each for each in tx_hashes if each in self.tables.attempts]

    async def waiting_transactions(self, chain_id: int) -> Collection[TxHash]:
        return set(self.tables.attempts)

    async def include_slots(self, receipts: Sequence[Receipt]) -> None:
        for each in receipts:
            slot_id = self.tables.attempts[each.tx_hash].slot_id
            line = self.tables.slots[slot_id]
            if line.state not in (SlotState.FINAL, SlotState.FOREIGN):
                self.tables.slots[slot_id] = replace(line, state=SlotState.INCLUDED, mined=each)

    async def payouts_seen(
        self, chain_id: int, block_hashes: Sequence[BlockHash], states: Sequence[str]
    ) -> Sequence[PayoutSeen]:
        found = []
        for line, log in self._settlement_logs():
            transfer = self._transfer(log.payment_number)
            if (
                line.header.hash in block_hashes
                and log.kind is SettlementKind.SETTLED
                and transfer is not None
                and transfer.state in states
                and self._agrees(log, transfer)
            ):
                point = line.header.point
                found.append(PayoutSeen(transfer.id, log.tx_hash, point.number, point.hash))
        return found

    async def forget_payouts(
        self, chain_id: int, blocks: Sequence[BlockHash], state: State
    ) -> None:
        for line, log in self._settlement_logs():
            transfer = self._transfer(log.payment_number)
            if (
                line.header.hash in blocks
                and log.kind is SettlementKind.SETTLED
                and transfer is not None
                and transfer.state is state
            ):
                self.tables.transfers[transfer.id] = replace(
                    transfer, tx_hash=None, block_number=None
                )

    async def orphan_above(self, chain_id: int, number: int) -> Sequence[BlockHash]:
        orphaned = [
            block_hash
            for block_hash, line in self.tables.blocks.items()
            if line.status == "seen" and line.header.number > number
        ]
        for block_hash in orphaned:
            line = self.tables.blocks[block_hash]
            self.tables.blocks[block_hash] = replace(line, status="orphaned")
        for slot_id, slot in self.tables.slots.items():
            if (
                slot.state is SlotState.INCLUDED
                and slot.mined is not None
                and slot.mined.block_hash in orphaned
            ):
                self.tables.slots[slot_id] = replace(slot, state=SlotState.SUBMITTED, mined=None)
        return orphaned

    async def final_target(
        self, chain_id: int, above: int, number: int, logs_max: int
    ) -> BlockPoint | None:
        found = [
            line.header.point
            for line in self.tables.blocks.values()
            if line.status == "seen" and above < line.header.number <= number
        ]
        return max(found, key=lambda point: point.number, default=None)

    async def outcomes(self, chain_id: int, above: int, to: int) -> Sequence[OutcomeRow]:
        rows = []
        for line, log in self._settlement_logs():
            if line.status == "orphaned" or not above < line.header.number <= to:
                continue
            transfer = self._transfer(log.payment_number)
            attempt = self.tables.attempts.get(log.tx_hash)
            slot_id = attempt.slot_id if attempt else None
            rows.append(
                OutcomeRow(
                    block=line.header.point,
                    log_index=log.log_index,
                    tx_hash=log.tx_hash,
                    kind=log.kind,
                    payment_number=log.payment_number,
                    payout_log_index=log.payout.log_index if log.payout else None,
                    amount=log.payout.amount if log.payout else None,
                    transfer_id=transfer.id if transfer else None,
                    agrees=transfer is not None and self._agrees(log, transfer),
                    differs=transfer is not None
                    and log.payout is not None
                    and (log.payout.to_address, log.payout.amount)
                    != (transfer.beneficiary_address, transfer.amounts.buy),
                    slot_id=slot_id,
                    slot_is_its=any(
                        m.slot_id == slot_id and m.record.number == log.payment_number
                        for m in self.tables.members
                    ),
                    reason=log.reason,
                )
            )
        return rows

    async def token_logs(
        self, chain_id: int, asset: str, above: int, to: int
    ) -> Sequence[TokenLogRow]:
        return [
            TokenLogRow(line.header.point, log, None)
            for line in self._lines()
            for log in line.facts.token_logs
            if line.status != "orphaned" and above < line.header.number <= to
        ]

    async def watched(self, chain_id: int, above: int, to: int) -> WatchedRows:
        """The model's contracts emit nothing else."""
        return WatchedRows()

    async def slots(self, chain_id: int, above: int, to: int) -> Sequence[SlotRow]:
        rows = []
        for slot_id, line in self.tables.slots.items():
            mined = line.mined
            if line.state is not SlotState.INCLUDED or mined is None:
                continue
            if above < mined.block_number <= to:
                rows.append(
                    SlotRow(
                        slot_id=slot_id,
                        sender=self.tables.lanes[line.lane_id].address,
                        nonce=line.slot.nonce,
                        purpose=line.slot.purpose.value,
                        to_address=line.slot.to,
                        value_wei=line.slot.value_wei,
                        block=BlockPoint(mined.block_number, mined.block_hash),
                        tx_hash=mined.tx_hash,
                        succeeded=mined.succeeded,
                        gas_used=mined.gas_used,
                        effective_gas_price_wei=mined.effective_gas_price_wei,
                        movement_id=None,
                    )
                )
        return sorted(rows, key=lambda row: (row.block.number, row.sender, row.nonce))

    async def finish_slots(self, slot_ids: Sequence[UUID]) -> None:
        for slot_id in slot_ids:
            line = self.tables.slots[slot_id]
            self.tables.slots[slot_id] = replace(line, state=SlotState.FINAL)
        self.tables.members = [
            replace(m, is_live=False) if m.slot_id in slot_ids else m for m in self.tables.members
        ]

    async def unpaid_members(self, slot_ids: Sequence[UUID]) -> Sequence[UUID]:
        return [
            m.transfer_id
            for m in self.tables.members
            if m.slot_id in slot_ids and m.purpose is Purpose.SETTLE
        ]

    async def finish_movements(self, movements: Mapping[UUID, bool]) -> None:
        assert not movements

    async def finish_logs(
        self, chain_id: int, above: int, to: int, causes: Sequence[FinalCause]
    ) -> None:
        return

    async def holdings(
        self, chain_id: int, addresses: Collection[Address] | None = None
    ) -> Mapping[tuple[Address, str], int]:
        return self.tables.holdings

    async def tokens_at_head(
        self, chain_id: int, asset: str, addresses: Sequence[Address], head: BlockHash
    ) -> Mapping[Address, int] | None:
        cursor = self.tables.cursor
        assert cursor is not None
        if cursor.head.hash != head:
            return None
        found = {each: self.tables.holdings.get((each, asset), 0) for each in addresses}
        for line in self._lines():
            if line.status == "orphaned" or line.header.number <= cursor.final.number:
                continue
            for log in line.facts.token_logs:
                for address, amount in (
                    (log.to_address, log.amount),
                    (log.from_address, -log.amount),
                ):
                    if address in found:
                        found[address] += amount
        return found

    async def set_holdings(
        self, chain_id: int, number: int, holdings: Mapping[tuple[Address, str], int]
    ) -> None:
        self.tables.holdings = dict(holdings)

    # ---------------------------------------------------------------------------------- relations

    def _lines(self) -> list[BlockLine]:
        return sorted(self.tables.blocks.values(), key=lambda line: line.header.number)

    def _settlement_logs(self) -> Iterator[tuple[BlockLine, SettlementLog]]:
        for line in self._lines():
            for log in line.facts.settlement_logs:
                yield line, log

    def _transfer(self, number: int) -> Transfer | None:
        found = (t for t in self.tables.transfers.values() if t.payment_number == number)
        return next(found, None)

    def _agrees(self, log: SettlementLog, transfer: Transfer) -> bool:
        return (
            log.kind is SettlementKind.SETTLED
            and log.payout is not None
            and log.payout.to_address == transfer.beneficiary_address
            and log.payout.amount == transfer.amounts.buy
            and any(
                m.transfer_id == transfer.id and m.purpose is Purpose.SETTLE
                for m in self.tables.members
            )
        )
