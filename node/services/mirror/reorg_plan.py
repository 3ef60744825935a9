"""What undoing finality down to a fork comes to: gathered, decided, and told as a plan.

Reading alone; the same reads are made when it is proposed, when it is compared again, and when it
is carried out (`node.services.mirror.reorg_undoing`). The rules of booking are `node.core.reorg`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from node.core.ids import Prefix, encode_id
from node.core.ledger import gas_account
from node.core.mirror import BlockPoint, Watch
from node.core.ports import Unit
from node.core.ports.reorgs import Correction, UndoneMember, UndonePayout, UndoneSlot
from node.core.ports.transfers import Transfer
from node.core.reorg import Becomes, Booked, Shortfall, moved, owners_of, undo
from node.core.settlement import Purpose
from node.core.transfers import TERMINAL, State
from node.core.units import Address, BlockHash, TxHash


@dataclass(frozen=True, slots=True)
class ChainState:
    """What the chain says.

    Attributes:
        final: What is final for the node, and on the chain no more.
        fork: The newest block that both have.
        natives: Wei of every address of the node at the fork.
    """

    final: BlockPoint
    fork: BlockPoint
    natives: Mapping[Address, int]


@dataclass(frozen=True, slots=True)
class Return:
    """Where a transfer goes back to."""

    becomes: Becomes
    slot_id: UUID | None


@dataclass(frozen=True, slots=True)
class Undone:
    """Everything that final blocks above the fork did."""

    blocks: Sequence[BlockPoint]
    above: Sequence[BlockHash]
    slots: Sequence[UndoneSlot]
    payouts: Sequence[UndonePayout]
    given_back: Sequence[UUID]
    movements: Sequence[tuple[UUID, str]]
    bookings: Sequence[Booked]
    holds: Mapping[UUID, Booked]
    corrections: Sequence[Correction]
    available: Mapping[str, int]
    transfers: Mapping[UUID, Transfer]
    returns: Mapping[UUID, Return]
    rejoining: Mapping[UUID, UndoneMember]
    revived: Sequence[tuple[UUID, UUID, Purpose]]

    @property
    def hashes(self) -> list[BlockHash]:
        """Of the blocks that were final."""
        return [each.hash for each in self.blocks]


async def gather(unit: Unit, watch: Watch, chain: ChainState) -> Undone:
    """Read everything that final blocks above the fork did; transfers concerned are locked."""
    reorgs, chain_id = unit.reorgs, watch.chain_id
    above = await reorgs.blocks_above(chain_id, chain.fork.number)
    blocks = [point for point, is_final in above if is_final]
    hashes = [each.hash for each in blocks]
    slots = await reorgs.slots(hashes)
    members = await reorgs.members([each.id for each in slots])
    payouts = await reorgs.payouts(chain_id, hashes)
    ids = {each.transfer_id for each in payouts} | {each.transfer_id for each in members}
    transfers = {each.id: each for each in await unit.transfers.lock_many(sorted(ids))}
    returns, rejoining, revived = _decide(payouts, members, transfers)
    booked = [*await reorgs.releases(chain_id, hashes), *await reorgs.bookings(hashes)]
    undone = {each.sequence: each for each in booked}  # of one in both, with its own transaction
    released = await reorgs.released(list(undone))
    bookings = [replace(each, released=released.get(at, ())) for at, each in sorted(undone.items())]
    balances = await unit.ledger.balances(owners_of(bookings))
    holds = await reorgs.holds([each.transfer_id for each in payouts])
    return Undone(
        blocks=blocks,
        above=[point.hash for point, is_final in above if not is_final],
        slots=slots,
        payouts=payouts,
        given_back=await reorgs.given_back(chain_id, hashes),
        movements=await reorgs.movements([each.id for each in slots]),
        bookings=bookings,
        holds={
            each.transfer_id: holds[each.transfer_id]
            for each in payouts
            if transfers[each.transfer_id].state is State.SETTLED
        },
        corrections=[
            each for each in await reorgs.corrections(hashes) if each.sequence not in undone
        ],
        available={path: each.available for path, each in balances.items()},
        transfers=transfers,
        returns=returns,
        rejoining=rejoining,
        revived=revived,
    )


def plan_of(undone: Undone, watch: Watch) -> dict[str, object]:
    """What undoing comes to, as JSON; equal where nothing has changed. Amounts are minor units."""
    nobody = UUID(int=0)
    undoing = undo(nobody, 1, list(undone.holds.values()), undone.bookings, undone.available)
    gas = gas_account(watch.chain_id, watch.native_asset)
    return {
        "blocks": len(undone.blocks),
        "blocks_unfinal": len(undone.above),
        "batches": [encode_id(Prefix.BATCH, each.id) for each in undone.slots],
        "payments": [_told(each, undone) for each in undone.payouts],
        "rejoining": [encode_id(Prefix.TRANSFER, each) for each in undone.rejoining],
        "given_back": [encode_id(Prefix.TRANSFER, each) for each in undone.given_back],
        "movements": [encode_id(Prefix.MOVEMENT, each) for each, _ in undone.movements],
        "deposits": [_told_deposit(each) for each in undone.bookings if owners_of([each])],
        "gas_minor": moved(undone.bookings, "expense").get(gas, 0),
        "accounts": _told_accounts(undone),
        "bookings": [
            {"sequence": each.sequence, "key": each.key, "kind": each.kind}
            for each in undone.bookings
        ],
        "shortfalls": [
            {"account": account, "currency": each.asset, "minor": minor}
            for account, (each, minor) in by_account(undoing.shortfalls).items()
        ],
        "corrections": [
            {
                "sequence": each.sequence,
                "key": each.key,
                "break_id": encode_id(Prefix.BREAK, each.break_id),
                "code": each.code,
            }
            for each in undone.corrections
        ],
    }


def by_account(shortfalls: Sequence[Shortfall]) -> dict[str, tuple[Shortfall, int]]:
    """Account -> its first shortfall, and the sum of all; by account."""
    sums: dict[str, tuple[Shortfall, int]] = {}
    for each in sorted(shortfalls, key=lambda one: (one.account, one.sequence)):
        first, minor = sums.get(each.account, (each, 0))
        sums[each.account] = first, minor + each.amount
    return sums


def payout_detail(payout: UndonePayout) -> dict[str, object]:
    """What the timeline says of a payout: what it said when that was settled."""
    return {
        "tx_hash": hex_of(payout.tx_hash),
        "block_number": payout.block.number,
        "block_hash": hex_of(payout.block.hash),
    }


def hex_of(value: TxHash | BlockHash) -> str:
    """A hash as others see it."""
    return f"0x{value.hex()}"


def _decide(
    payouts: Sequence[UndonePayout],
    members: Sequence[UndoneMember],
    transfers: Mapping[UUID, Transfer],
) -> tuple[dict[UUID, Return], dict[UUID, UndoneMember], list[tuple[UUID, UUID, Purpose]]]:
    """Where each transfer goes back to, and which slots may pay or void it again.

    Of several slots that carried a number the newest has it again; the others are sent again too,
    and what one of them pays counts, as what a stranger pays does: the contract pays once.
    """
    settling: dict[UUID, UndoneMember] = {}
    voiding: dict[UUID, UndoneMember] = {}
    for each in members:
        found = settling if each.purpose is Purpose.SETTLE else voiding
        found.setdefault(each.transfer_id, each)
    paid_in = {(each.slot_id, each.transfer_id): each for each in members}

    returns: dict[UUID, Return] = {}
    revived: list[tuple[UUID, UUID, Purpose]] = []
    for payout in payouts:
        transfer_id, slot_id = payout.transfer_id, payout.live_slot_id
        own = None if payout.slot_id is None else paid_in.get((payout.slot_id, transfer_id))
        own = own or settling.get(transfer_id)
        if slot_id is None and own is not None:
            slot_id = own.slot_id
            revived.append((slot_id, transfer_id, Purpose.SETTLE))
        becomes = _becomes(payout, slot_id, transfers[transfer_id].state)
        returns[transfer_id] = Return(becomes, slot_id)

    rejoining: dict[UUID, UndoneMember] = {}
    for transfer_id, member in settling.items():
        state = transfers[transfer_id].state
        if transfer_id in returns or member.is_live_elsewhere or state in TERMINAL:
            continue
        if state in (State.FUNDED, State.ON_HOLD):
            rejoining[transfer_id] = member
        revived.append((member.slot_id, transfer_id, Purpose.SETTLE))
    for transfer_id, member in voiding.items():
        is_wanted = transfers[transfer_id].state is State.VOIDING or (
            transfer_id in returns and returns[transfer_id].becomes is Becomes.VOIDING
        )
        if is_wanted and not member.is_live_elsewhere:
            revived.append((member.slot_id, transfer_id, Purpose.VOID))
    return returns, rejoining, revived


def _becomes(payout: UndonePayout, slot_id: UUID | None, state: State) -> Becomes:
    """Where a transfer goes back to whose payment is undone; what a partner ended stays ended."""
    if state in TERMINAL - {State.SETTLED}:
        return Becomes.KEPT
    if payout.was_voiding:
        return Becomes.VOIDING
    return Becomes.FUNDED if slot_id is None else Becomes.SUBMITTED


def _told(payout: UndonePayout, undone: Undone) -> dict[str, object]:
    transfer = undone.transfers[payout.transfer_id]
    return {
        "transfer_id": encode_id(Prefix.TRANSFER, transfer.id),
        "customer_id": encode_id(Prefix.CUSTOMER, transfer.customer_id),
        "payment_number": transfer.payment_number,
        "currency": transfer.amounts.buy_asset,
        "minor": transfer.amounts.buy,
        "becomes": undone.returns[transfer.id].becomes.value,
        **payout_detail(payout),
    }


def _told_deposit(booked: Booked) -> dict[str, object]:
    credits_ = [each for each in booked.entries if each.credit in owners_of([booked])]
    return {
        "ledger_sequence": booked.sequence,
        "account": credits_[0].credit,
        "currency": credits_[0].asset,
        "minor": sum(each.amount for each in credits_),
        "tx_hash": booked.tx_hash,
    }


def _told_accounts(undone: Undone) -> list[dict[str, object]]:
    """How undoing moves what the ledger says of each address; by account, minor units."""
    sums = moved(undone.bookings, "chain")
    return [
        {"account": path, "currency": path.rpartition("/")[2], "minor": -sums[path]}
        for path in sorted(sums)
        if sums[path]
    ]
