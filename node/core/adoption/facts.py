"""What adoption starts from: mined transactions of own accounts, and what the database knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from node.core.mirror import BlockPoint, SettlementKind
from node.core.settlement import Purpose, SlotState
from node.core.submission import Fees
from node.core.transfers import State
from node.core.units import Address, TxHash


@dataclass(frozen=True, slots=True)
class MinedTransaction:
    """A transaction of one of the node's accounts, in a block of the mirror.

    Attributes:
        to: None: it created a contract.
        fees: Of a transaction with one gas price, that price for both.
        raw: Signed bytes; their keccak-256 is the hash.
        mined_at: The block's time.
        index: Place in the block.
        succeeded: Receipt status.
        gas_used, gas_price_wei: What it cost.
    """

    tx_hash: TxHash
    sender: Address
    nonce: int
    to: Address | None
    value_wei: int
    data: bytes
    gas_limit: int
    fees: Fees
    raw: bytes
    block: BlockPoint
    mined_at: datetime
    index: int
    succeeded: bool
    gas_used: int
    gas_price_wei: int


@dataclass(frozen=True, slots=True)
class KnownSlot:
    """The slot that the database has at a nonce; `hashes` of its attempts."""

    id: UUID
    sender: Address
    nonce: int
    purpose: Purpose
    state: SlotState
    to: Address
    value_wei: int
    calldata: bytes
    tx_hash: TxHash | None
    hashes: frozenset[TxHash]


@dataclass(frozen=True, slots=True)
class KnownTransfer:
    """What decides whether a payment on chain is a transfer's own."""

    id: UUID
    number: int
    beneficiary: Address
    amount: int
    created_at: datetime
    state: State
    was_written: bool
    slot_id: UUID | None


@dataclass(frozen=True, slots=True)
class NumberUse:
    """An event by which the contract told what it did with a number.

    Attributes:
        beneficiary, amount: Of Settled, as the token told.
        has_transfer: Whether a transfer of the database has this number, and for Settled the same
            beneficiary and amount too.
    """

    number: int
    kind: SettlementKind
    tx_hash: TxHash
    mined_at: datetime
    beneficiary: Address | None = None
    amount: int | None = None
    has_transfer: bool = True

    @property
    def is_used(self) -> bool:
        """Whether the number can never be paid any more."""
        return self.kind in (SettlementKind.SETTLED, SettlementKind.VOIDED)


@dataclass(frozen=True, slots=True)
class RequestedMovement:
    """A movement of the database that nobody has written yet. `amount` in minor units."""

    id: UUID
    kind: str
    sender: Address
    source: Address
    to: Address
    asset: str
    amount: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OwnAccounts:
    """Whose money is the node's, and the names of its assets.

    Attributes:
        addresses: Every address of the node.
        treasury: None: there is none.
        deposits: The contract that sweeps deposit addresses; None: there is none.
    """

    contract: Address
    token: Address
    token_asset: str
    native_asset: str
    addresses: frozenset[Address]
    treasury: Address | None
    deposits: Address | None = None


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the database knows of what was found.

    Attributes:
        slots: At the nonces of the transactions found.
        transfers: With the numbers of those transactions, in their slots, and every other that
            was never written and whose number is used.
        uses: Events of the transactions found, of the numbers of `transfers`, and payments on
            equal terms that no transfer has.
        movements: Requested, by age.
        received: Token units that the contract received, by transaction.
    """

    slots: Sequence[KnownSlot] = ()
    transfers: Sequence[KnownTransfer] = ()
    uses: Sequence[NumberUse] = ()
    movements: Sequence[RequestedMovement] = ()
    received: Mapping[TxHash, int] = field(default_factory=dict)
