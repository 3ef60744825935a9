"""What final chain facts book, as values: ledger transactions, holdings, causes, breaks.

Pure: given the facts of the blocks that become final together, `FinalBookings` gathers everything
the one database transaction writes. The ledger then equals the chain to the unit, and for native
coins it equals floor(wei / 10^9). Posting the transfers' own pending transactions is
`node.services.mirror.finalizing`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.deposits import DepositBooking
from node.core.ids import Prefix, encode_id
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
from node.core.ports.transfers import BareTransfer
from node.core.units import MINOR_LIMIT, Address, BlockHash, TxHash

_FOUND_BY: Final = "finality"
"""In evidence: a comparison that finds nothing to blame any more does not close such a break."""


@dataclass(slots=True)
class FinalBookings:
    """Gathers what one finality step writes.

    Attributes:
        holdings: (address, asset) -> what it holds, chain's own units; moved along.
        fallen: Address -> units of native coin that the ledger has and `holdings` have not, as open
            breaks say: what comes back is theirs, and is not booked again.
        transactions: To be booked, each under a key of its own.
        breaks: To be opened.
        movements: Treasury movement -> whether it moved.
        unknown: Token logs that came in and belong to nobody known.
    """

    watch: Watch
    holdings: dict[tuple[Address, str], int]
    fallen: dict[Address, int] = field(default_factory=dict)
    transactions: list[LedgerTransaction] = field(default_factory=list)
    breaks: list[NewBreak] = field(default_factory=list)
    movements: dict[UUID, bool] = field(default_factory=dict)
    unknown: list[TokenLogRow] = field(default_factory=list)
    _risen: set[Address] = field(default_factory=set)
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

    def book_batches(self, settled: Sequence[tuple[OutcomeRow, BareTransfer]]) -> None:
        """Per transaction: the float paid, fees and spreads are earned.

        What reached a partner is not paid out yet: nothing of it is earned, and the partner owes.
        """
        groups: dict[TxHash, list[tuple[OutcomeRow, BareTransfer]]] = defaultdict(list)
        for outcome, transfer in settled:
            groups[outcome.tx_hash].append((outcome, transfer))
        for members in groups.values():
            fees: dict[str, int] = defaultdict(int)
            spreads: dict[str, int] = defaultdict(int)
            reached: dict[UUID, int] = defaultdict(int)
            for _, transfer in members:
                if transfer.partner_id is not None:
                    reached[transfer.partner_id] += transfer.amounts.buy
                    continue
                fees[transfer.amounts.sell_asset] += transfer.amounts.fees
                spreads[transfer.amounts.sell_asset] += transfer.amounts.spread
            total = sum(each.amounts.buy for _, each in members if each.partner_id is None)
            entries = batch_final_entries(
                self.watch.chain_id,
                self.watch.contract,
                self.watch.token_asset,
                total,
                fees,
                spreads,
                reached,
            )
            first = members[0][0]
            key = batch_key(first)
            self._book(key, "batch", entries, first.block, tx_hash=f"0x{first.tx_hash.hex()}")

    def explain_token_logs(
        self,
        rows: Sequence[TokenLogRow],
        settled: Iterable[OutcomeRow],
        deposits: Mapping[tuple[BlockHash, int], DepositBooking],
    ) -> None:
        """Give every token log its cause, book what moved, and move the holdings along.

        A payout to a deposit address settles a transfer and is a deposit at once: its batch books
        what left the contract, the deposit what its owner has. Its cause is that of the payout.

        Args:
            rows: In chain order.
            settled: Payouts of the node's transfers.
            deposits: (block, log index) -> what that log books as a deposit.
        """
        keys: dict[TxHash, str] = {}
        payouts: dict[tuple[BlockHash, int | None], str] = {}
        for outcome in settled:
            key_of_batch = keys.get(outcome.tx_hash)
            if key_of_batch is None:
                key_of_batch = keys[outcome.tx_hash] = batch_key(outcome)
            payouts[outcome.block.hash, outcome.payout_log_index] = key_of_batch
        for row in rows:
            payout_key = payouts.get((row.block.hash, row.log.log_index))
            deposit = deposits.get((row.block.hash, row.log.log_index))
            deposit_booked = None if deposit is None else self._book_deposit(row, deposit)
            cause = self._cause(row, deposit, is_payout=payout_key is not None)
            self._book_unseen(row)
            if cause is Cause.SETTLED:
                key = payout_key
            elif cause is Cause.DEPOSIT:
                key = deposit_booked
            else:
                key = self._book_token_log(row, cause)
            self._causes.append((row, cause, key))
            self._move_holdings(row, cause)
            if cause in (Cause.MOVEMENT, Cause.SWEPT) and row.movement_id is not None:
                self.movements[row.movement_id] = True

    def book_slots(self, slots: Sequence[SlotRow]) -> None:
        """Gas, and native coin that moved, of every final transaction of the node's keys."""
        for slot in slots:
            self._book_gas(slot)
            if slot.value_wei:
                self._book_native_movement(slot)
            if slot.movement_id is not None:
                is_sweep = slot.to_address == self.watch.deposits  # each log tells what it moved
                moved = slot.succeeded and (slot.value_wei > 0 or is_sweep)
                self.movements[slot.movement_id] = moved or self.movements.get(
                    slot.movement_id, False
                )

    def compare_natives(self, natives: Mapping[Address, int], block: BlockPoint) -> None:
        """What the chain says at `block`: a rise is a deposit, a fall is a break.

        The ledger keeps what fell until an operator books it, and the break says how much that is:
        should the chain have it again, it is in the ledger already (`fallen`).
        """
        for address, actual_wei in sorted(natives.items()):
            expected_wei = self.holdings.get((address, self.watch.native_asset), 0)
            if actual_wei > expected_wei:
                self._book_unasked(
                    address, actual_wei - expected_wei, block, f"0x{block.hash.hex()}"
                )
            elif actual_wei < expected_wei:
                self.holdings[address, self.watch.native_asset] = actual_wei
                self.breaks.append(
                    _fall_break(
                        address,
                        block,
                        gas_units(expected_wei, actual_wei),
                        expected=f"{expected_wei} wei",
                        actual=f"{actual_wei} wei",
                    )
                )

    def end_falls(self, block: BlockPoint) -> Collection[Address]:
        """Addresses whose breaks about a fall are over: coin came back; a new one has the rest."""
        for address in sorted(self._risen):
            if (units := self.fallen[address]) > 0:
                self.breaks.append(
                    _fall_break(
                        address,
                        block,
                        units,
                        expected=f"{units} units of {self.watch.native_asset} more",
                        actual="the rest of what was missing before",
                        name="rest",
                    )
                )
        return self._risen

    def report_payout(self, outcome: OutcomeRow, transfer: BareTransfer | None) -> None:
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

    def _cause(self, row: TokenLogRow, deposit: DepositBooking | None, *, is_payout: bool) -> Cause:
        own = self.watch.addresses
        if row.from_deposit:
            own |= {row.log.from_address}
        cause = cause_of(
            row.log,
            addresses=own,
            is_payout=is_payout,
            is_movement=row.movement_id is not None and not row.from_deposit,
        )
        if cause is Cause.ORPHAN_OUTBOUND and self._is_sweep(row):
            return Cause.SWEPT
        return Cause.DEPOSIT if deposit is not None and cause is Cause.SUSPENSE else cause

    def _is_sweep(self, row: TokenLogRow) -> bool:
        """Whether tokens left a deposit address for the one place where its factory sends them.

        That is the settlement contract; for addresses of an earlier factory an earlier contract.
        """
        if not row.from_deposit:
            return False
        is_earlier = row.to_contract and row.from_factory != self.watch.deposits
        return is_earlier or row.log.to_address == self.watch.contract

    def _book_unseen(self, row: TokenLogRow) -> None:
        """Tokens that leave were there: what the mirror has not seen come is suspense, and told.

        Anybody may sweep a deposit address, so a unit too many must not end finality.
        """
        log, asset, chain_id = row.log, self.watch.token_asset, self.watch.chain_id
        is_own = row.from_deposit or log.from_address in self.watch.addresses
        held = self.holdings.get((log.from_address, asset), 0)
        missing = log.amount - held
        if not is_own or missing <= 0:
            return
        self.holdings[log.from_address, asset] = log.amount
        name = log_name(row.block, log.log_index)
        if missing < MINOR_LIMIT:
            source = chain_account(chain_id, log.from_address, asset)
            entry = Entry(source, suspense_account(chain_id, asset), asset, missing)
            tx_hash = f"0x{log.tx_hash.hex()}"
            self._book(f"unseen:{chain_id}:{name}", "suspense", [entry], row.block, tx_hash=tx_hash)
        self.breaks.append(
            break_of(
                BreakCode.MISSED_LOG,
                f"unseen:{name}",
                expected=f"logs of {missing} more units of {asset} to"
                f" 0x{log.from_address.hex()}, which has paid them on",
                actual=f"{held} units",
                evidence={
                    "found_by": _FOUND_BY,
                    "tx_hash": f"0x{log.tx_hash.hex()}",
                    "block_number": str(row.block.number),
                    "log_index": str(log.log_index),
                    "address": f"0x{log.from_address.hex()}",
                    "minor": str(missing),
                },
                cause=f"0x{log.from_address.hex()} paid {log.amount} units and held {held} of them"
                f" as far as the mirror knows: {missing} came by a log that it has not; they are in"
                " suspense until an operator says whose they are",
            )
        )

    def _book_deposit(self, row: TokenLogRow, deposit: DepositBooking) -> str | None:
        """Book what a deposit brought; None where no entry can hold it."""
        if deposit.new_break is not None:
            self.breaks.append(deposit.new_break)
        if not deposit.entries:
            return None
        name = f"0x{row.log.tx_hash.hex()}"
        self._book(deposit.key, deposit.kind, deposit.entries, row.block, tx_hash=name)
        return deposit.key

    def _book_token_log(self, row: TokenLogRow, cause: Cause) -> str | None:
        log, asset, chain_id = row.log, self.watch.token_asset, self.watch.chain_id
        name = log_name(row.block, log.log_index)
        if cause is Cause.NOTHING:
            return None
        if cause is Cause.MOVEMENT:
            key, kind = f"movement:{row.movement_id}", "movement"
        elif cause is Cause.SWEPT:
            key, kind = f"sweep:{chain_id}:{name}", "movement"
        elif cause is Cause.SUSPENSE:
            key, kind = deposit_key(chain_id, row), "suspense"
            self.unknown.append(row)
            self._report_log(BreakCode.UNKNOWN_DEPOSIT, row, "an expected deposit")
        else:
            key, kind = f"orphan:{chain_id}:{name}", "movement"
            self._report_log(BreakCode.ORPHAN_OUTBOUND, row, "a payment or a movement of the node")
            if log.to_address not in self.watch.addresses and not row.to_deposit:
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
        """Native coin that came without a cause of the node, less what the ledger has kept."""
        asset, chain_id = self.watch.native_asset, self.watch.chain_id
        units = -self._spend((address, asset), -wei)
        back = min(units, self.fallen.get(address, 0))
        if back > 0:
            self.fallen[address] -= back
            self._risen.add(address)
            units -= back
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

    def _move_holdings(self, row: TokenLogRow, cause: Cause) -> None:
        """Move the tokens of both ends along, those that are the node's."""
        log, asset = row.log, self.watch.token_asset
        for address, is_booked, amount in (
            (log.from_address, row.from_deposit, -log.amount),
            (log.to_address, row.to_deposit or cause is Cause.SWEPT, log.amount),
        ):
            if is_booked or address in self.watch.addresses:
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


def _fall_break(
    address: Address, block: BlockPoint, units: int, *, expected: str, actual: str, name: str = ""
) -> NewBreak:
    subject = f"0x{address.hex()}:0x{block.hash.hex()}"
    return break_of(
        BreakCode.NATIVE_UNEXPLAINED,
        f"{subject}:{name}" if name else subject,
        expected=expected,
        actual=actual,
        evidence={
            "address": f"0x{address.hex()}",
            "block_number": str(block.number),
            "minor": str(units),
        },
    )


def unpaid_break(transfer: BareTransfer) -> NewBreak:
    """A partner paid a transfer out, and a reorg past finality took its payment back."""
    name = encode_id(Prefix.TRANSFER, transfer.id)
    return break_of(
        BreakCode.PARTNER_UNPAID,
        name,
        expected=f"the partner has {transfer.amounts.buy} units of {transfer.amounts.buy_asset}",
        actual="the chain has not paid it",
        evidence={"transfer": name, "minor": str(transfer.amounts.buy)},
    )


def batch_key(outcome: OutcomeRow) -> str:
    """The ledger key of the batch that paid: of the slot, or of a stranger's transaction."""
    if outcome.slot_id is None:
        return f"batch:0x{outcome.tx_hash.hex()}"
    return f"batch:{outcome.slot_id}"


def deposit_key(chain_id: int, row: TokenLogRow) -> str:
    """The ledger key of what one log brought in, whoever it belongs to."""
    return f"deposit:{chain_id}:{log_name(row.block, row.log.log_index)}"


def log_name(block: BlockPoint, log_index: int) -> str:
    """One log, named for ever."""
    return f"0x{block.hash.hex()}:{log_index}"
