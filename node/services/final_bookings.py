"""What final chain facts book, as values: ledger transactions, holdings, causes, breaks.

Pure: given the facts of the blocks that become final together, `FinalBookings` gathers everything
the one database transaction writes. The ledger then equals the chain to the unit, and for native
coins it equals floor(wei / 10^9). Posting the transfers' own pending transactions is
`node.services.finalizing`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.ledger import (
    Entry,
    LedgerTransaction,
    batch_final_entries,
    chain_account,
    gas_account,
    gas_units,
    suspense_account,
)
from node.core.mirror import BlockPoint, Cause, Watch, cause_of
from node.core.ports.mirror import FinalCause, OutcomeRow, SlotRow, TokenLogRow
from node.core.ports.transfers import Transfer
from node.core.units import MINOR_LIMIT, Address


@dataclass(slots=True)
class FinalBookings:
    """Gathers what one finality step writes.

    Attributes:
        holdings: (address, asset) -> what it holds, chain's own units; moved along.
        transactions: To be booked, each under a key of its own.
        breaks: To be opened.
        movements: Treasury movement -> whether it moved.
    """

    watch: Watch
    holdings: dict[tuple[Address, str], int]
    transactions: list[LedgerTransaction] = field(default_factory=list)
    breaks: list[NewBreak] = field(default_factory=list)
    movements: dict[UUID, bool] = field(default_factory=dict)
    _causes: list[tuple[TokenLogRow, Cause, str | None]] = field(default_factory=list)

    @property
    def stops_settlement(self) -> bool:
        """Whether something left the node's addresses that no rule of the node explains."""
        return any(
            each.code
            in (BreakCode.ORPHAN_OUTBOUND, BreakCode.PAID_WRONG, BreakCode.NATIVE_UNEXPLAINED)
            for each in self.breaks
        )

    def causes(self, sequences: Mapping[str, int]) -> list[FinalCause]:
        """Cause of every token log. `sequences`: ledger key -> sequence, once booked."""
        return [
            FinalCause(
                row.block.hash,
                row.log.log_index,
                cause,
                None if key is None else sequences.get(key),
            )
            for row, cause, key in self._causes
        ]

    def book_batches(self, settled: Sequence[tuple[OutcomeRow, Transfer]]) -> None:
        """Per transaction: the float paid, fees and spreads are earned."""
        groups: dict[str, list[tuple[OutcomeRow, Transfer]]] = defaultdict(list)
        for outcome, transfer in settled:
            groups[batch_key(outcome)].append((outcome, transfer))
        for key, members in groups.items():
            fees: dict[str, int] = defaultdict(int)
            spreads: dict[str, int] = defaultdict(int)
            for _, transfer in members:
                fees[transfer.amounts.sell_asset] += transfer.amounts.fees
                spreads[transfer.amounts.sell_asset] += transfer.amounts.spread
            total = sum(transfer.amounts.buy for _, transfer in members)
            entries = batch_final_entries(
                self.watch.chain_id,
                self.watch.contract,
                self.watch.token_asset,
                total,
                fees,
                spreads,
            )
            first = members[0][0]
            self._book(key, "batch", entries, first.block, tx_hash=f"0x{first.tx_hash.hex()}")

    def explain_token_logs(
        self, rows: Sequence[TokenLogRow], settled: Iterable[OutcomeRow]
    ) -> None:
        """Give every token log its cause, book what moved, and move the holdings along."""
        payouts = {
            (outcome.block.hash, outcome.payout_log_index): batch_key(outcome)
            for outcome in settled
        }
        for row in rows:
            payout_key = payouts.get((row.block.hash, row.log.log_index))
            cause = cause_of(
                row.log,
                addresses=self.watch.addresses,
                is_payout=payout_key is not None,
                is_movement=row.movement_id is not None,
            )
            key = payout_key if cause is Cause.SETTLED else self._book_token_log(row, cause)
            self._causes.append((row, cause, key))
            self._move_holding(row.log.from_address, self.watch.token_asset, -row.log.amount)
            self._move_holding(row.log.to_address, self.watch.token_asset, row.log.amount)
            if cause is Cause.MOVEMENT and row.movement_id is not None:
                self.movements[row.movement_id] = True

    def book_slots(self, slots: Sequence[SlotRow]) -> None:
        """Gas, and native coin that moved, of every final transaction of the node's keys."""
        for slot in slots:
            self._book_gas(slot)
            if slot.value_wei:
                self._book_native_movement(slot)
            if slot.movement_id is not None:
                moved = slot.succeeded and slot.value_wei > 0
                self.movements[slot.movement_id] = moved or self.movements.get(
                    slot.movement_id, False
                )

    def compare_natives(self, natives: Mapping[Address, int], block: BlockPoint) -> None:
        """What the chain says at `block`: a rise is a deposit, a fall is a break."""
        for address, actual_wei in sorted(natives.items()):
            expected_wei = self.holdings.get((address, self.watch.native_asset), 0)
            if actual_wei > expected_wei:
                self._book_unasked(
                    address, actual_wei - expected_wei, block, f"0x{block.hash.hex()}"
                )
            elif actual_wei < expected_wei:
                self.holdings[address, self.watch.native_asset] = actual_wei
                self.breaks.append(
                    break_of(
                        BreakCode.NATIVE_UNEXPLAINED,
                        f"0x{address.hex()}:0x{block.hash.hex()}",
                        expected=f"{expected_wei} wei",
                        actual=f"{actual_wei} wei",
                        evidence={
                            "address": f"0x{address.hex()}",
                            "block_number": str(block.number),
                            "minor": str(gas_units(expected_wei, actual_wei)),
                        },
                    )
                )

    def report_payout(self, outcome: OutcomeRow, transfer: Transfer | None) -> None:
        """A final Settled or Voided that no transfer agrees with."""
        state = "there is no such transfer" if transfer is None else f"it is {transfer.state}"
        self.breaks.append(
            break_of(
                BreakCode.PAID_WRONG,
                log_name(outcome.block, outcome.log_index),
                expected="a transfer of the node with this number, beneficiary and amount",
                actual=f"payment number {outcome.payment_number} is {outcome.kind}; {state}",
                evidence={
                    "tx_hash": f"0x{outcome.tx_hash.hex()}",
                    "block_number": str(outcome.block.number),
                    "log_index": str(outcome.log_index),
                    "payment_number": str(outcome.payment_number),
                },
            )
        )

    def _book_token_log(self, row: TokenLogRow, cause: Cause) -> str | None:
        log, asset, chain_id = row.log, self.watch.token_asset, self.watch.chain_id
        name = log_name(row.block, log.log_index)
        if cause is Cause.NOTHING:
            return None
        if cause is Cause.MOVEMENT:
            key, kind = f"movement:{row.movement_id}", "movement"
        elif cause is Cause.SUSPENSE:
            key, kind = f"deposit:{chain_id}:{name}", "suspense"
            self._report_log(BreakCode.UNKNOWN_DEPOSIT, row, "an expected deposit")
        else:
            key, kind = f"orphan:{chain_id}:{name}", "movement"
            self._report_log(BreakCode.ORPHAN_OUTBOUND, row, "a payment or a movement of the node")
            if log.to_address not in self.watch.addresses:
                return None  # an operator books the loss; until then the ledger shows more
        if log.amount >= MINOR_LIMIT:
            return None  # no entry can hold it; the balance check shows the difference
        credit = (
            suspense_account(chain_id, asset)
            if cause is Cause.SUSPENSE
            else chain_account(chain_id, log.from_address, asset)
        )
        debit = chain_account(chain_id, log.to_address, asset)
        entry = Entry(debit, credit, asset, log.amount)
        self._book(key, kind, [entry], row.block, tx_hash=f"0x{log.tx_hash.hex()}")
        return key

    def _report_log(self, code: BreakCode, row: TokenLogRow, expected: str) -> None:
        log = row.log
        self.breaks.append(
            break_of(
                code,
                log_name(row.block, log.log_index),
                expected=expected,
                actual=f"{log.amount} units of {self.watch.token_asset}"
                f" from 0x{log.from_address.hex()} to 0x{log.to_address.hex()}",
                evidence={
                    "tx_hash": f"0x{log.tx_hash.hex()}",
                    "block_number": str(row.block.number),
                    "log_index": str(log.log_index),
                    "minor": str(log.amount),
                },
            )
        )

    def _book_gas(self, slot: SlotRow) -> None:
        asset, key = self.watch.native_asset, (slot.sender, self.watch.native_asset)
        cost_wei = slot.gas_used * slot.effective_gas_price_wei
        needed_wei = cost_wei + slot.value_wei
        short_wei = needed_wei - self.holdings.get(key, 0)
        if short_wei > 0:  # it was paid, so it was there: it came in unseen
            self._book_unasked(slot.sender, short_wei, slot.block, f"0x{slot.tx_hash.hex()}")
        units = self._spend(key, cost_wei)
        if units:
            entry = Entry(
                gas_account(self.watch.chain_id, asset),
                chain_account(self.watch.chain_id, slot.sender, asset),
                asset,
                units,
            )
            name = f"0x{slot.tx_hash.hex()}"
            self._book(
                f"gas:{self.watch.chain_id}:{name}", "gas", [entry], slot.block, tx_hash=name
            )

    def _book_native_movement(self, slot: SlotRow) -> None:
        """The two floors may differ by one unit: that tick is the position of `rounding`."""
        asset, chain_id = self.watch.native_asset, self.watch.chain_id
        out = self._spend((slot.sender, asset), slot.value_wei)
        if slot.to_address not in self.watch.addresses:
            self.breaks.append(
                break_of(
                    BreakCode.ORPHAN_OUTBOUND,
                    f"0x{slot.tx_hash.hex()}",
                    expected="a movement between addresses of the node",
                    actual=f"{slot.value_wei} wei to 0x{slot.to_address.hex()}",
                    evidence={"tx_hash": f"0x{slot.tx_hash.hex()}", "minor": str(out)},
                )
            )
            return
        into = -self._spend((slot.to_address, asset), -slot.value_wei)
        sender = chain_account(chain_id, slot.sender, asset)
        receiver = chain_account(chain_id, slot.to_address, asset)
        legs = (
            (receiver, sender, min(out, into)),
            (f"rounding/{asset}", sender, out - into),
            (receiver, f"rounding/{asset}", into - out),
        )
        entries = [
            Entry(debit, credit, asset, units)
            for debit, credit, units in legs
            if units > 0 and debit != credit
        ]
        if entries:
            name = f"0x{slot.tx_hash.hex()}"
            key = f"movement:{slot.movement_id or name}"
            self._book(key, "movement", entries, slot.block, tx_hash=name)

    def _book_unasked(self, address: Address, wei: int, block: BlockPoint, cause: str) -> None:
        """Native coin that came without a cause of the node."""
        asset, chain_id = self.watch.native_asset, self.watch.chain_id
        units = -self._spend((address, asset), -wei)
        if 0 < units < MINOR_LIMIT:
            entry = Entry(
                chain_account(chain_id, address, asset),
                suspense_account(chain_id, asset),
                asset,
                units,
            )
            key = f"native:{chain_id}/0x{address.hex()}:{cause}"
            self._book(key, "suspense", [entry], block)

    def _spend(self, holding: tuple[Address, str], wei: int) -> int:
        """Lower a native holding; ledger units that leave: the difference of the two floors."""
        before_wei = self.holdings.get(holding, 0)
        self.holdings[holding] = before_wei - wei
        return gas_units(before_wei, before_wei - wei)

    def _move_holding(self, address: Address, asset: str, amount: int) -> None:
        if address in self.watch.addresses:
            self.holdings[address, asset] = self.holdings.get((address, asset), 0) + amount

    def _book(
        self,
        key: str,
        kind: str,
        entries: Sequence[Entry],
        block: BlockPoint,
        *,
        tx_hash: str | None = None,
    ) -> None:
        detail = {"block_number": str(block.number), "block_hash": f"0x{block.hash.hex()}"}
        if tx_hash is not None:
            detail["tx_hash"] = tx_hash
        self.transactions.append(LedgerTransaction(key, kind, entries, detail=detail))


def batch_key(outcome: OutcomeRow) -> str:
    """The ledger key of the batch that paid: of the slot, or of a stranger's transaction."""
    if outcome.slot_id is None:
        return f"batch:0x{outcome.tx_hash.hex()}"
    return f"batch:{outcome.slot_id}"


def log_name(block: BlockPoint, log_index: int) -> str:
    """One log, named for ever."""
    return f"0x{block.hash.hex()}:{log_index}"
