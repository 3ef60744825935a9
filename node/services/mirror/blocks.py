"""One block as the mirror has it, for operators."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.core.errors import NotFound
from node.core.ports import UnitOfWork
from node.core.ports.mirror_views import BlockView, LogView

_DIGITS_MAX: Final = 18
_LOGS_SHOWN: Final = 500


@dataclass(frozen=True, slots=True)
class BlockLook:
    """Every block of one number, and what they said.

    Attributes:
        blocks: The canonical one first; others were orphaned by a reorg.
        logs: By block and place.
        is_cut: Whether there are more logs than these.
    """

    blocks: Sequence[BlockView]
    logs: Sequence[LogView]
    is_cut: bool


class BlockService:
    """Shows blocks."""

    def __init__(self, units: UnitOfWork, chain_id: int) -> None:
        self._units = units
        self._chain_id = chain_id

    async def look(self, number: str) -> BlockLook:
        """Blocks of this number, in decimal digits.

        Raises:
            NotFound: The mirror has none: it is too old, too new, or no number.
        """
        if not (number.isascii() and number.isdecimal() and len(number) <= _DIGITS_MAX):
            raise NotFound("no block has this number")
        async with self._units() as unit:
            blocks = await unit.mirror_views.blocks(self._chain_id, int(number))
            logs = await unit.mirror_views.logs(self._chain_id, int(number), _LOGS_SHOWN + 1)
        if not blocks:
            raise NotFound(f"the mirror has no block {number}")
        return BlockLook(blocks, logs[:_LOGS_SHOWN], len(logs) > _LOGS_SHOWN)
