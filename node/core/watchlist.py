"""What else a chain says that touches the books: notices, strays, and what cannot be read. Pure.

Payments and the node's own token are `node.core.mirror`. A *notice* is an event of the token's
issuer or of the settlement contract's administration; a *stray* is a Transfer of some other token
that names an address of the node; what a watched contract emitted and nobody can read is kept as it
came. All of them are stored with their block and mean something only once it is final.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from node.core.units import Address, TxHash


class NoticeKind(StrEnum):
    """What happened to the token or to the settlement contract, besides payments."""

    ISSUER_PAUSED = "issuer_paused"
    ISSUER_UNPAUSED = "issuer_unpaused"
    DENIED = "denied"  # of an address of the node; others' are not stored
    UNDENIED = "undenied"
    APPROVED = "approved"  # an address of the node lets somebody take its tokens
    ISSUER_UPGRADED = "issuer_upgraded"  # a proxy has other code (EIP-1967)
    ISSUER_CHANGED = "issuer_changed"  # its admin, owner, pauser, minters changed
    CONTRACT_PAUSED = "contract_paused"
    CONTRACT_UNPAUSED = "contract_unpaused"
    CONTRACT_CHANGED = "contract_changed"  # a cap, a role, a proposal
    RESCUED = "rescued"  # tokens left the settlement contract by its rescuer


@dataclass(frozen=True, slots=True)
class Notice:
    """One event of a watched contract that is no payment.

    Attributes:
        contract: Who emitted it: the token, or the settlement contract.
        subject: Whom it is about (who was denied, who may take, who rescued to); None: nobody.
        amount: Token units it names (an allowance, a cap, a rescue); None: none.
        detail: The event's name and what else it says, as text.
    """

    log_index: int
    tx_hash: TxHash
    contract: Address
    kind: NoticeKind
    subject: Address | None = None
    amount: int | None = None
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StrayLog:
    """A Transfer of a token that is not the node's, from or to an address of the node.

    Attributes:
        token: The contract that emitted it; its name and symbol may be those of any token.
        amount: As the log says, which proves nothing; of ERC-721 the number of the item.
    """

    log_index: int
    tx_hash: TxHash
    token: Address
    from_address: Address
    to_address: Address
    amount: int


@dataclass(frozen=True, slots=True)
class UndecodedLog:
    """A log of a watched contract that has a known first topic and cannot be read.

    Attributes:
        fault: Why, in words.
    """

    log_index: int
    tx_hash: TxHash
    contract: Address
    topics: Sequence[bytes]
    data: bytes
    fault: str
