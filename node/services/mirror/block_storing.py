"""Stores blocks that were read, and what follows from them at once; both ways of reading use it.

One transaction behind the cursor's fence: blocks, their logs, the node's own transactions that
were mined in them, transfers that are included now. The many rows come before the fence, so that
another span can become final meanwhile; what it refuses is rolled back. Nothing is booked: that is
`node.services.mirror.finalizing`.
"""

from collections.abc import Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.mirror import BlockHeader, BlockPoint, Facts, Watch
from node.core.ports import Unit, UnitOfWork
from node.core.ports.chain import Receipt
from node.core.ports.mirror import ChainReader, Contradiction
from node.core.ports.transfers import NewEvent
from node.core.transfers import Happening, State
from node.core.units import Address, BlockHash, TxHash
from node.services.transfers import transfer_moves

_FOUND_BY: Final = "mirror"


@dataclass(slots=True)
class WatchedDeposits:
    """Deposit addresses that exist, kept from pass to pass: there may be many, and none goes away.

    An address is told to anybody only after its row is committed, so a block that was mined before
    a refresh holds no deposit to an address that the refresh has not seen.
    """

    units: UnitOfWork
    addresses: frozenset[Address] = frozenset()
    _newest_id: int = 0

    async def refresh(self) -> Collection[Address]:
        """All of them as of now. To be called once the newest block to be read is known."""
        async with self.units() as unit:
            rows = await unit.deposits.addresses_since(self._newest_id)
        if rows:
            self.addresses |= {address for _, address in rows}
            self._newest_id = rows[-1][0]
        return self.addresses


class _Overtaken(Exception):
    """Another worker was quicker: what this one has written is rolled back."""


@dataclass(frozen=True, slots=True)
class BlockStoring:
    """Stores what was read."""

    units: UnitOfWork
    watch: Watch
    failpoint: Callable[[str], None] = lambda _: None

    async def store(
        self,
        held: BlockPoint,
        headers: Sequence[BlockHeader],
        facts: Sequence[Facts],
        receipts: Sequence[Receipt],
        *,
        are_final: bool = False,
    ) -> int:
        """Put these blocks on top of the head `held`.

        Args:
            held: The head that they were read for.
            headers: In order; at least one.
            facts: Of all of them that have logs; those of others may be left out.
            receipts: Of the node's own transactions in them.
            are_final: They are as old as what becomes final: their payouts are left to finality,
                which includes and settles a transfer at once. Until it has, they are rewound like
                any other block if the chain turns out to have others.

        Returns:
            How many blocks were stored; 0: another worker was quicker.
        """
        chain_id, to = self.watch.chain_id, headers[-1].point
        self.failpoint("after_block_read")
        try:
            async with self.units() as unit:
                if not await unit.mirror.begin_blocks(chain_id, held=held.hash):
                    return 0
                await unit.mirror.add_blocks(self.watch, headers, facts)
                if not await unit.mirror.move_head(chain_id, held=held.hash, to=to):
                    raise _Overtaken  # noqa: TRY301 - what was written is rolled back
                await unit.mirror.include_slots(receipts)
                events = [] if are_final else await self._include(unit, facts)
                await _close_read(unit, to.number)
                await unit.events.append(events)
                self.failpoint("before_block_commit")
        except _Overtaken:
            return 0
        self.failpoint("after_block_commit")
        return len(headers)

    async def _include(self, unit: Unit, facts: Sequence[Facts]) -> list[NewEvent]:
        payouts = await unit.mirror.payouts_seen(
            self.watch.chain_id,
            [each.block.hash for each in facts if each.settlement_logs],
            [State.SUBMITTED, State.UNKNOWN],
        )
        seen = {each.transfer_id: each for each in payouts}
        return await transfer_moves.apply(
            unit,
            await unit.transfers.lock_bare(list(seen)),
            Happening.INCLUDED,
            changes=lambda transfer: {
                "tx_hash": seen[transfer.id].tx_hash,
                "block_number": seen[transfer.id].block_number,
            },
            detail=lambda transfer: transfer_moves.payout_detail(seen[transfer.id]),
        )


async def check_lists(
    reader: ChainReader,
    headers: Sequence[BlockHeader],
    unlisted: AbstractSet[TxHash],
    located: dict[TxHash, BlockHash],
) -> None:
    """Nothing, if no block has one of the node's transactions that its list of them lacks.

    A block without logs of the node's is compared with nothing else, and finality would find a
    nonce there that nobody can explain.

    Args:
        reader: Pinned to one provider.
        headers: Blocks that were read from it.
        unlisted: Transactions of the node that wait for a block and are in none of these lists.
        located: Blocks of transactions as this provider has told before, which are not asked for
            again; what it tells now is added.

    Raises:
        Contradiction: The provider says of one of them that it is in one of these blocks.
    """
    located |= await reader.blocks_of(sorted(unlisted - located.keys()))
    points = {each.hash: each.point for each in headers}
    for tx_hash in unlisted & located.keys():
        if located[tx_hash] in points:
            raise reader.doubt(
                "a block's list lacks a transaction that is said to be in it",
                block=points[located[tx_hash]],
            )


def unread_break(error: Contradiction, next_number: int) -> NewBreak:
    """The break of a block that could not be read, because a provider contradicted itself.

    Args:
        error: What it said.
        next_number: The block that the mirror needs next, where the answer was about no one block.
    """
    about, number = f"block {next_number}", next_number
    evidence = {"found_by": _FOUND_BY, "provider": error.provider}
    subject = f"read:{error.provider}"
    if error.block is not None:
        number = error.block.number
        about = f"block {number}"
        evidence["block_hash"] = f"0x{error.block.hash.hex()}"
        subject = f"read:0x{error.block.hash.hex()}:{error.provider}"
    evidence["block_number"] = str(number)
    if error.log_index is not None:
        about += f", log {error.log_index}"
        evidence["log_index"] = str(error.log_index)
    return break_of(
        BreakCode.MISSED_LOG,
        subject,
        expected="the same blocks and logs, however a provider is asked for them",
        actual=error.detail,
        evidence=evidence,
        cause=f"{error.provider} contradicts itself, or everybody else, about {about}; it is asked"
        " last for some time, and the mirror reads the block from another provider, or waits",
    )


async def _close_read(unit: Unit, number: int) -> None:
    """Close the breaks of blocks that could not be read and are stored, or replaced, by now."""
    fingerprints = [
        each.fingerprint
        for each in await unit.breaks.open_of([BreakCode.MISSED_LOG])
        if each.evidence.get("found_by") == _FOUND_BY
        and int(each.evidence["block_number"]) <= number
    ]
    await unit.breaks.close_all(
        fingerprints,
        "rederived",
        "the block is stored since: read again, or, where balances are not those of the logs"
        " whoever is asked, as everybody tells it; reconciliation goes on comparing those",
    )
