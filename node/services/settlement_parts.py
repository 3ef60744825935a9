"""What the parts of the settlement job share: its ports and its rules."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from node.core.ports import UnitOfWork
from node.core.ports.chain import Chain, Signer, TransactionReader
from node.core.ports.settlement import LaneLock, SettlementContract
from node.core.settlement import BatchRules
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
        chain_id: The chain the node is set to; a provider of another is not used.
        owner: Name of this process in the lane's lease, for people.
        failpoint: Called with the name of each window at which a crash must be harmless.
        block_s: Seconds between blocks, for the patience of bumps.
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

    async def market_fees(self) -> Fees:
        """What a transaction signed now offers. Raises `ChainUnavailable`."""
        history = await self.chain.fee_history(_FEE_BLOCKS, _FEE_PERCENTILE)
        return first_fees(history.next_base_fee_wei, history.tips_wei, self.fees)
