"""The catalogue: every fault that is not one of a provider, with how often it is chosen.

Each says `campaign.note(...)` when it happened, or `note_ordinary` where it is an operation of
every day, which is no fault; one that found nothing to act on did not happen.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.chaos import (
    chain_faults,
    database_faults,
    edge_faults,
    process_faults,
    stranger,
)

if TYPE_CHECKING:
    from tests.chaos.campaign import Campaign


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind.

    Attributes:
        weight: How often, beside the others.
        stalls: Whether the node needs a moment before it goes on; such do not come at once.
        recovers: Whether an operator has to adopt before anything is paid again. Only every
            other seed has such: the others see more of what happens while payments flow.
        noted_as: Names it is noted under, if not its own.
    """

    name: str
    weight: int
    act: "Callable[[Campaign], Awaitable[None]]"
    stalls: bool = False
    recovers: bool = False
    noted_as: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What it is noted as when it happens."""
        return self.noted_as or (self.name,)


FAULTS: Final = (
    Fault("backup taken", 3, database_faults.back_up, recovers=True),
    Fault("kill -9", 20, process_faults.kill, stalls=True),
    Fault("SIGSTOP beyond the lease", 12, process_faults.stop_beyond_lease, stalls=True),
    Fault("reorg", 30, chain_faults.reorg, stalls=True),
    Fault("reorg with a pause before the batch", 12, chain_faults.reorg_pause, stalls=True),
    Fault("reorg with a deny before the batch", 14, chain_faults.reorg_deny, stalls=True),
    Fault("dropped transaction", 50, chain_faults.drop),
    Fault("dropped pool", 12, chain_faults.drop_all, stalls=True),
    Fault("base fee jump", 8, chain_faults.base_fee),
    Fault("token paused", 10, chain_faults.pause_token, stalls=True),
    Fault("beneficiary denied", 18, chain_faults.deny),
    Fault("gas bomb", 8, chain_faults.bomb),
    Fault("lane out of gas", 5, chain_faults.empty_lane, stalls=True),
    Fault(
        "stranger with the key",
        4,
        stranger.act,
        stalls=True,
        recovers=True,
        noted_as=stranger.NAMES,
    ),
    Fault("cancel", 20, edge_faults.cancel),
    Fault("void", 25, edge_faults.void),
    Fault(
        "pause or resume",
        8,
        edge_faults.pause_or_resume,
        stalls=True,
        noted_as=("pause", "hard pause"),
    ),
    Fault("treasury movement", 12, edge_faults.movement),
    Fault("expiry", 12, database_faults.expire),
    Fault("connections cut", 12, database_faults.cut, stalls=True),
    Fault("backup restored", 2, database_faults.restore, stalls=True, recovers=True),
)
"""In an order in which each can be played once: a backup is taken first and restored last."""

PROVOKE: Final = {
    "after_void_write": Fault("void", 0, edge_faults.void),
    "after_movement_write": Fault("treasury movement", 0, edge_faults.movement),
    "after_admin_write": Fault("hard pause", 0, edge_faults.hard_pause),
    "after_bump_sign": Fault("base fee jump", 0, chain_faults.base_fee_beyond),
    "after_bump_store": Fault("base fee jump", 0, chain_faults.base_fee_beyond),
    "before_rewind_commit": Fault("reorg", 0, chain_faults.reorg),
    "after_rewind_commit": Fault("reorg", 0, chain_faults.reorg),
}
"""What leads a worker to a window that it does not pass every day."""
