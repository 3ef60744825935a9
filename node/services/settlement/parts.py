"""What the parts of the settlement job share: its ports and its rules."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from node.core.ports import UnitOfWork
from node.core.ports.chain import Chain, FeeSource, Signer, TransactionReader
from node.core.ports.settlement import LaneLock, SettlementContract
from node.core.settlement import BatchRules
from node.core.signing import KeyRole, SigningPolicy
from node.core.submission import FeeRules, Fees, first_fees

LEASE_S = 30
_FEE_BLOCKS = 10
_FEE_PERCENTILE = 50
NODE = "node:settle"
"""Who pauses when it is not a person."""


@dataclass(frozen=True, slots=True)
class SettlementParts:
    """One lane's ports and rules.

    Attributes:
        lock: Of this lane alone.
        chain_id: The chain the node is set to; a provider of another is not used.
        owner: Name of this process in the lane's lease, for people.
        failpoint: Called with the name of each window at which a crash must be harmless.
        block_s: Seconds between blocks, for the patience of bumps.
        lease_s: How long a holder that says nothing keeps its lane.
        role: What the lane's key is for.
        policy: What the key may sign, checked before the signer is asked; None: anything that
            was written (for tests of other things).
        writing: One for all lanes of a process: from the choice of candidates until they are
            written, so that no two of them examine the same transfers.
    """

    units: UnitOfWork
    chain: Chain
    contract: SettlementContract
    signer: Signer
    reader: TransactionReader
    lock: LaneLock
    new_id: Callable[[], UUID]
    failpoint: Callable[[str], None]
    chain_id: int
    owner: str
    block_s: int = 12
    batches: BatchRules = field(default_factory=BatchRules)
    fees: FeeRules = field(default_factory=FeeRules)
    lease_s: int = LEASE_S
    role: KeyRole = KeyRole.SETTLE
    policy: SigningPolicy | None = None
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def market_fees(self) -> Fees:
        """What a transaction signed now offers. Raises `ChainUnavailable`."""
        fees, _ = await self.market()
        return fees

    async def market(self) -> tuple[Fees, FeeSource]:
        """What a transaction signed now offers, and where that is from.

        Raises:
            ChainUnavailable: No provider answers.
        """
        history = await self.chain.fee_history(_FEE_BLOCKS, _FEE_PERCENTILE)
        fees = first_fees(history.next_base_fee_wei, history.tips_wei, self.fees)
        return fees, history.source
