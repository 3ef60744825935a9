"""Where the chain parts from the mirror's final blocks, and what stands on the part it left.

Reading alone. What is done about it is `node.services.mirror.reorgs`; who stands still is
`node.services.mirror.mirroring`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.errors import ChainUnavailable, DatabaseUnavailable
from node.core.mirror import BlockHeader, BlockPoint, Cursor, Watch
from node.core.ports import UnitOfWork
from node.core.ports.mirror import ChainReader
from node.core.reorg import linked, newest_common
from node.core.units import BlockHash

_HEADERS_PER_READ: Final = 64
_EVIDENCE_BLOCKS_MAX: Final = 4096
"""How far back the fork is looked for before anybody has asked for it."""

_EVIDENCE_MAX_S: Final = 60


async def find_fork(
    units: UnitOfWork,
    reader: ChainReader,
    chain_id: int,
    cursor: Cursor,
    top: BlockHash,
    *,
    lowest: int,
) -> BlockPoint | None:
    """The newest block that both have, by walking back from the final number; None: none.

    Args:
        units: The mirror's blocks.
        reader: Pinned to one provider by the caller.
        chain_id: Which chain.
        cursor: Where the mirror stands.
        top: The chain's block of the number that was final.
        lowest: The block down to which it is looked for.

    Raises:
        ChainUnavailable: The chain changed while it was read, or does not go up to `top`.
    """
    last = cursor.final.number
    while last >= lowest:
        first = max(lowest, last - _HEADERS_PER_READ + 1)
        headers = await reader.headers(first, last)
        _check_linked(headers, first, last, top)
        async with units() as unit:
            ours = await unit.reorgs.canonical(chain_id, first, last)
        common = newest_common(ours, headers)
        if common is not None or first == lowest:
            return common
        last, top = first, headers[0].hash  # read again: whose parent it tells of is compared there
    return None


def deep_reorg_break(watch: Watch, final: BlockPoint, theirs: BlockHash | None) -> NewBreak:
    """The break of a final block that was replaced; nothing is read, so that it can always be told.

    Args:
        watch: What is followed.
        final: The mirror's final block.
        theirs: What the chain has there; None: nothing that was seen.
    """
    told = "another block" if theirs is None else f"0x{theirs.hex()}"
    return break_of(
        BreakCode.DEEP_REORG,
        f"{watch.chain_id}:{final.hash.hex()}",
        expected=f"block {final.number} is 0x{final.hash.hex()}",
        actual=f"the chain has {told} there",
        evidence={"block_number": str(final.number), "block_hash": f"0x{final.hash.hex()}"},
    )


async def deep_reorg_evidence(
    units: UnitOfWork, reader: ChainReader, watch: Watch, cursor: Cursor
) -> dict[str, str]:
    """What each provider has instead of the final block, the fork, and what was done above it.

    As far as it can be read in a bounded time: whoever asks stands still already.
    """
    told: Mapping[str, BlockHash] = {}
    try:
        async with asyncio.timeout(_EVIDENCE_MAX_S):
            told = await reader.hashes_at(cursor.final.number)
            evidence = await _undone(units, reader, watch, cursor, told)
    except ChainUnavailable:
        evidence = {"fork": "not found: the chain could not be read"}
    except (DatabaseUnavailable, TimeoutError):
        evidence = {"fork": "not found: it took too long, or the database was away"}
    return evidence | {f"provider {name}": f"0x{each.hex()}" for name, each in sorted(told.items())}


async def _undone(
    units: UnitOfWork,
    reader: ChainReader,
    watch: Watch,
    cursor: Cursor,
    told: Mapping[str, BlockHash],
) -> dict[str, str]:
    """The fork, and how much of what is final is above it."""
    if len(set(told.values())) != 1:
        return {"fork": "not looked for: the providers differ"}
    chain_id, (top, *_) = watch.chain_id, told.values()
    lowest = max(cursor.start_number, cursor.final.number - _EVIDENCE_BLOCKS_MAX)
    with reader.pinned():
        fork = await find_fork(units, reader, chain_id, cursor, top, lowest=lowest)
    if fork is None:
        began = ", where the mirror began" if lowest == cursor.start_number else ""
        return {"fork": f"below block {lowest}{began}"}
    async with units() as unit:
        above = await unit.reorgs.blocks_above(chain_id, fork.number)
        hashes = [point.hash for point, is_final in above if is_final]
        payouts = await unit.reorgs.payouts(chain_id, hashes)
        slots = await unit.reorgs.slots(hashes)
        bookings = await unit.reorgs.bookings(hashes)
        holds = await unit.reorgs.holds([each.transfer_id for each in payouts])
    paid: dict[str, int] = defaultdict(int)
    for hold in holds.values():
        for entry in hold.entries:
            if entry.credit.startswith("in_flight/"):
                paid[entry.asset] += entry.amount
    return {
        "fork": f"{fork.number} 0x{fork.hash.hex()}",
        "blocks": str(len(hashes)),
        "transactions": str(len(slots)),
        "payments": str(len(payouts)),
        "ledger_transactions": str(len(bookings)),
        **{f"paid_minor {asset}": str(total) for asset, total in sorted(paid.items())},
    }


def _check_linked(headers: Sequence[BlockHeader], first: int, last: int, top: BlockHash) -> None:
    if len(headers) != last - first + 1 or not linked(headers, top):
        raise ChainUnavailable("the chain changed while it was read; ask again")
