"""The mirror as operators see it: one block, and everything it said about the node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from node.core.units import BlockHash, TxHash


@dataclass(frozen=True, slots=True)
class BlockView:
    """A block that the mirror has, or had.

    Attributes:
        status: `seen`, `final` or `orphaned`.
    """

    number: int
    hash: BlockHash
    parent_hash: BlockHash
    mined_at: datetime
    status: str


@dataclass(frozen=True, slots=True)
class LogView:
    """A log of a block, of whatever table.

    Attributes:
        what: `transfer` (of the token), `settled`, `failed`, `skipped`, `voided`, a kind of notice,
            `stray`, or `undecoded`.
        minor: What it moved or names, the token's own units; None: nothing.
        cause: Of a final token transfer: why it happened.
        facts: What else it says, by name.
    """

    block_hash: BlockHash
    log_index: int
    tx_hash: TxHash
    what: str
    minor: int | None
    cause: str | None
    ledger_sequence: int | None
    facts: Mapping[str, str]


class MirrorViews(Protocol):
    """Reads for people; nothing here decides anything."""

    async def blocks(self, chain_id: int, number: int) -> Sequence[BlockView]:
        """Every block of this number the mirror has, the canonical one first."""
        ...

    async def logs(self, chain_id: int, number: int, limit: int) -> Sequence[LogView]:
        """Logs of these blocks, by block and place, at most `limit`."""
        ...
