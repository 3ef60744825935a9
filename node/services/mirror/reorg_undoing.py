"""Undoing finality in one transaction: what it comes to, and carrying it out.

Everything that final blocks above the fork did is taken back the way it was done: ledger
transactions by reversals, transfers by the machine, slots and logs by their states. Nothing is
done again here: the mirror follows the new chain from the fork on, as ever. Who may ask for it, and
reading the chain, is `node.services.mirror.reorgs`; the rules are `node.core.reorg`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.deposits import DepositStatus, Owner, RequestStatus
from node.core.errors import WrongState
from node.core.ids import Prefix, encode_id
from node.core.ledger import PARTNER_RECOVERY, PARTNER_REFUND, WEI_PER_UNIT, chain_account
from node.core.mirror import Watch
from node.core.ports import Unit
from node.core.ports.breaks import same_again
from node.core.ports.reorgs import ReopenedRow, Reorg
from node.core.ports.transfers import NewEvent, Transfer
from node.core.reorg import (
    Becomes,
    Shortfall,
    held_again_key,
    moved,
    native_units_before,
    reversal_key,
    undo,
)
from node.core.signing import KeyRole
from node.core.transfers import Happening, State
from node.core.units import Address
from node.services.ledger.final_bookings import FinalBookings, unpaid_break
from node.services.mirror.epochs import post_facts
from node.services.mirror.noticing import Noticed, write
from node.services.mirror.reorg_plan import ChainState, Undone, by_account, hex_of, payout_detail
from node.services.transfers import transfer_moves

_REASON: Final = {"reason": "reorg"}
_VOID_AGAIN: Final = {
    "code": "canceled",
    "message": "a void was asked for before the payment that a reorg took back",
}


@dataclass(slots=True)
class _Moves:
    """Transfers as they are after what has happened so far, and their timelines."""

    unit: Unit
    transfers: dict[UUID, Transfer]
    events: list[NewEvent] = field(default_factory=list)

    async def let(
        self,
        happening: Happening,
        ids: Sequence[UUID],
        *,
        changes: Callable[[Transfer], Mapping[str, Any]] = lambda _: {},
        detail: Callable[[Transfer], Mapping[str, object]] = lambda _: _REASON,
    ) -> None:
        """Let the same thing happen to these."""
        wanted = set(ids)
        group = [each for each in self.transfers.values() if each.id in wanted]
        self.events += await transfer_moves.apply(
            self.unit, group, happening, changes=changes, detail=detail
        )
        for each in group:
            after = transfer_moves.after(each, happening)
            self.transfers[each.id] = replace(after, **changes(each))


@dataclass(frozen=True, slots=True)
class ReorgUndoing:
    """Undoes what was final above a fork."""

    watch: Watch
    lanes: Mapping[Address, KeyRole]
    new_id: Callable[[], UUID]

    async def carry_out(self, unit: Unit, reorg: Reorg, chain: ChainState, undone: Undone) -> None:
        """Undo everything; cursor, ledger and lanes are locked, and the plan was compared.

        Args:
            unit: The one transaction.
            reorg: Accepted by now, with the epoch that begins.
            chain: As it was read.
            undone: What there is to undo.

        Raises:
            WrongState: An operator's correction would leave an address with less than nothing.
        """
        assert reorg.accepted_by is not None
        assert reorg.epoch is not None
        await unit.settlement.lock_slots([each.id for each in undone.slots])
        moves = _Moves(unit, dict(undone.transfers))
        await unit.reorgs.accept(reorg, reorg.accepted_by)

        falls = await unit.reorgs.native_falls(undone.hashes)
        natives = await self._natives_before(unit, undone, falls)
        undoing = undo(
            reorg.id, reorg.epoch, list(undone.holds.values()), undone.bookings, undone.available
        )
        await self._check_floors(unit, undone)
        sequences = await unit.ledger.post(undoing.transactions)
        await self._note(unit, reorg, undone, sequences)
        await unit.reorgs.undo_slots(reorg, [*undone.hashes, *undone.above])
        await unit.reorgs.revive(undone.revived)
        await self._return(moves, undone, sequences, reorg.epoch)
        await unit.payout_orders.reopen(
            [
                each.transfer_id
                for each in undone.bookings
                if each.kind in (PARTNER_REFUND, PARTNER_RECOVERY) and each.transfer_id is not None
            ]
        )
        await self._leave_blocks(moves, undone)
        await unit.reorgs.undo_blocks(reorg, self.watch.token_asset, undone.blocks, undone.above)
        breaks = await self._shortfalls(unit, reorg, undoing.shortfalls)
        breaks += await self._natives_at_fork(unit, natives, chain)
        breaks += [(self.new_id(), unpaid_break(each)) for each in _kept(undone)]
        await self._close_breaks(unit, reorg, undone)
        await unit.breaks.open(breaks)
        await self._notice_again(unit, undone, chain)
        moves.events += await self._orphan_deposits(unit, undone)
        await unit.events.append(moves.events)

    # -------------------------------------------------------------------------------- what there is

    async def _natives_before(
        self, unit: Unit, undone: Undone, falls: Mapping[Address, int]
    ) -> dict[Address, int]:
        """Units of coin that the mirror knew each address to have at the fork."""
        watch = self.watch
        holdings = {
            address: wei
            for (address, asset), wei in (await unit.mirror.holdings(watch.chain_id)).items()
            if asset == watch.native_asset
        }
        paths = {each: chain_account(watch.chain_id, each, watch.native_asset) for each in holdings}
        return native_units_before(holdings, paths, undone.bookings, falls)

    async def _check_floors(self, unit: Unit, undone: Undone) -> None:
        """No address is left with less than nothing: only corrections by hand can lead there."""
        sums = {path: total for path, total in moved(undone.bookings, "chain").items() if total > 0}
        balances = await unit.ledger.balances(sorted(sums))
        for path, each in balances.items():
            if each.available < sums[path]:
                raise WrongState(
                    f"{path} has {each.available} minor units and {sums[path]} would be taken"
                    " back: an operator's correction took them; book its reversal first"
                )

    # -------------------------------------------------------------------------------------- undoing

    async def _note(
        self, unit: Unit, reorg: Reorg, undone: Undone, sequences: Mapping[str, int]
    ) -> None:
        await unit.reorgs.note_bookings(
            reorg,
            {
                each.sequence: sequences[reversal_key(reorg.id, each.key)]
                for each in undone.bookings
            },
        )
        assert reorg.epoch is not None
        await unit.reorgs.note_transfers(
            reorg,
            {
                transfer_id: (
                    each.sequence,
                    sequences[reversal_key(reorg.id, each.key)],
                    sequences[held_again_key(each, reorg.epoch)],
                )
                for transfer_id, each in undone.holds.items()
            },
        )

    async def _return(
        self, moves: _Moves, undone: Undone, sequences: Mapping[str, int], epoch: int
    ) -> None:
        """What was paid waits for its payment again, with the same number."""
        paid = {each.transfer_id: each for each in undone.payouts}
        returns = undone.returns

        def unsettled(transfer: Transfer) -> Mapping[str, Any]:
            hold = undone.holds.get(transfer.id)
            is_kept = returns[transfer.id].becomes is Becomes.KEPT
            return {
                "slot_id": None if is_kept else returns[transfer.id].slot_id,
                "tx_hash": None,
                "block_number": None,
                "pending_sequence": transfer.pending_sequence
                if hold is None
                else sequences[held_again_key(hold, epoch)],
            }

        await moves.let(
            Happening.UNSETTLED,
            list(paid),
            changes=unsettled,
            detail=lambda t: payout_detail(paid[t.id]),
        )
        becoming = {
            each: [key for key, value in returns.items() if value.becomes is each]
            for each in Becomes
        }
        await moves.let(Happening.REQUEUED, becoming[Becomes.FUNDED])
        await moves.let(
            Happening.VOID_ASKED,
            becoming[Becomes.VOIDING],
            changes=lambda _: {"void_outcome": "canceled", "failure": _VOID_AGAIN},
        )
        rejoining = undone.rejoining
        await moves.let(
            Happening.RELEASED,
            [each for each in rejoining if moves.transfers[each].state is State.ON_HOLD],
            changes=lambda _: {"failure": None},
        )
        await moves.let(
            Happening.SIGNED,
            list(rejoining),
            changes=lambda each: {
                "slot_id": rejoining[each.id].slot_id,
                "tx_hash": rejoining[each.id].attempt,
            },
            detail=lambda each: {"tx_hash": hex_of(rejoining[each.id].attempt), **_REASON},
        )

    async def _leave_blocks(self, moves: _Moves, undone: Undone) -> None:
        """What was included in blocks above is not: as with any reorg before finality."""
        unit, chain_id = moves.unit, self.watch.chain_id
        hashes = [*undone.hashes, *undone.above]
        await unit.mirror.forget_payouts(chain_id, hashes, State.VOIDING)
        payouts = await unit.mirror.payouts_seen(chain_id, undone.above, [State.INCLUDED])
        seen = {each.transfer_id: each for each in payouts}
        locked = await unit.transfers.lock_many(list(seen))
        moves.events += await transfer_moves.apply(
            unit,
            locked,
            Happening.REORGED,
            changes=lambda _: {"tx_hash": None, "block_number": None},
            detail=lambda each: transfer_moves.payout_detail(seen[each.id]),
        )

    async def _natives_at_fork(
        self, unit: Unit, units: Mapping[Address, int], chain: ChainState
    ) -> list[tuple[UUID, NewBreak]]:
        """Coin is what the chain says at the fork; what the mirror did not know of is booked.

        The mirror compares coin at the last block of a step, which may be above the fork.
        """
        watch, native = self.watch, self.watch.native_asset
        known = {(address, native): each * WEI_PER_UNIT for address, each in units.items()}
        bookings = FinalBookings(watch, known)
        natives = {address: chain.natives[address] for address in sorted(chain.natives)}
        bookings.compare_natives(natives, chain.fork)
        await post_facts(unit, watch.chain_id, bookings.transactions)
        await unit.mirror.set_holdings(
            watch.chain_id,
            chain.fork.number,
            {(address, native): wei for address, wei in natives.items()},
        )
        return [(self.new_id(), each) for each in bookings.breaks]

    async def _shortfalls(
        self, unit: Unit, reorg: Reorg, shortfalls: Sequence[Shortfall]
    ) -> list[tuple[UUID, NewBreak]]:
        """A break for each owner that has spent what is taken back."""
        breaks = {
            account: (self.new_id(), _shortfall_break(reorg, each, minor))
            for account, (each, minor) in by_account(shortfalls).items()
        }
        if shortfalls:
            await unit.reorgs.note_shortfalls(
                reorg, [(each, breaks[each.account][0]) for each in shortfalls]
            )
        return list(breaks.values())

    async def _close_breaks(self, unit: Unit, reorg: Reorg, undone: Undone) -> None:
        """What was found about these blocks is found again, or not, on the chain there is now."""
        resolution = {
            "kind": "rederived",
            "reason": "the chain replaced the block it is about; two operators accepted that",
            "reorg": encode_id(Prefix.REORG, reorg.id),
        }
        for break_id in await unit.reorgs.breaks_about(undone.hashes):
            await unit.breaks.lock(break_id)
            await unit.breaks.close(break_id, reorg.accepted_by or "", resolution)

    async def _notice_again(self, unit: Unit, undone: Undone, chain: ChainState) -> None:
        """Pauses, denials and approvals are what the chain says of them at the fork."""
        chain_id, noticed = self.watch.chain_id, Noticed(self.watch, self.lanes)
        noticed.read_undone(
            await unit.reorgs.undone_notices(chain_id, undone.hashes),
            await unit.reorgs.last_notices(chain_id, undone.hashes, chain.fork.number),
        )
        await write(unit, noticed, self.new_id)

    async def _reopen_breaks(self, unit: Unit, held: Sequence[ReopenedRow]) -> None:
        """What told of deposits before their owners had them tells of them again."""
        told = {each.break_id for each in held if each.break_id is not None}
        again: dict[UUID, NewBreak] = {}
        for break_id in sorted(told):
            found = await unit.breaks.get(break_id)
            if found is not None:
                again[break_id] = same_again(found)
        await unit.breaks.open([(self.new_id(), each) for each in again.values()])
        await unit.reorgs.name_breaks(
            {
                each.id: again[each.break_id].fingerprint
                for each in held
                if each.break_id is not None and each.break_id in again
            }
        )

    async def _orphan_deposits(self, unit: Unit, undone: Undone) -> list[NewEvent]:
        """Deposits of these blocks are none any more; what they had paid waits again."""
        orphaned = await unit.deposits.orphan(self.watch.chain_id, undone.hashes)
        held = await unit.reorgs.hold_deposits([each.sequence for each in undone.bookings])
        await self._reopen_breaks(unit, held)
        requests = {each.request_id for each in orphaned} | {each.request_id for each in held}
        reopened = await unit.reorgs.reopen_requests(sorted(each for each in requests if each))
        events = [
            _line(
                ReopenedRow(each.id, each.version + 1, each.owner or Owner(), each.request_id),
                "deposit",
                "orphaned",
                DepositStatus.ORPHANED,
            )
            for each in orphaned
        ]
        events += [_line(each, "deposit", "held", DepositStatus.HELD) for each in held]
        return events + [
            _line(each, "payment_request", "reopened", RequestStatus.AWAITING) for each in reopened
        ]


def _kept(undone: Undone) -> list[Transfer]:
    """Transfers that a partner ended, and whose payment to it is undone."""
    return [
        undone.transfers[key]
        for key, each in undone.returns.items()
        if each.becomes is Becomes.KEPT
    ]


def _line(row: ReopenedRow, kind: str, word: str, state: StrEnum) -> NewEvent:
    """A line of the timeline of a deposit, or of a payment request."""
    prefix = "request" if kind == "payment_request" else kind
    return NewEvent(
        row.id,
        row.version,
        f"{prefix}.{word}",
        state,
        row.owner.customer_id,
        _REASON,
        object_type=kind,
        partner_id=row.owner.partner_id,
    )


def _shortfall_break(reorg: Reorg, shortfall: Shortfall, minor: int) -> NewBreak:
    owner = shortfall.account.split("/")[1]
    return break_of(
        BreakCode.REORG_NEGATIVE,
        f"{reorg.id}:{shortfall.account}",
        expected=f"{shortfall.account} has what a reorg takes back",
        actual=f"{owner} has spent {minor} units of {shortfall.asset} of it",
        evidence={
            "account": shortfall.account,
            "owner": owner,
            "currency": shortfall.asset,
            "minor": str(minor),
            "tx_hash": shortfall.tx_hash,
            "ledger_sequence": str(shortfall.sequence),
            "reorg": encode_id(Prefix.REORG, reorg.id),
        },
    )
