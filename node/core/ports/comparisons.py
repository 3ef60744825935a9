"""What reconciliation remembers between its runs, and what it asks the store to find a cause.

Runs and the questions of each run: `reconciliation.py` beside this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from node.core.differences import Unbooked
from node.core.mirror import BlockPoint, TokenLog
from node.core.paging import ListQuery, Page
from node.core.proof.accounts import StoredAccount
from node.core.proof.chain import Numbered
from node.core.proof.records import BatchRow, HeadRow
from node.core.units import Address, BlockHash, TxHash

Holder = tuple[Address, str]
"""An address and the code of an asset it holds."""


@dataclass(frozen=True, slots=True)
class AccountComparison:
    """One account of the chain as ledger, mirror and chain had it at one final block.

    Attributes:
        path: Of the ledger's account, `chain/1/0x.../USDC`.
        role: contract, deposit, a lane's role, or own.
        ledger: Minor units of the ledger; so are `mirror` and `chain`: of the native coin 10^9 wei,
            rounded down.
    """

    path: str
    address: Address
    role: str
    asset: str
    ledger: int
    mirror: int
    chain: int
    block: BlockPoint
    compared_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ComparisonSummary:
    """All accounts of the chain as they were compared last.

    Attributes:
        differing: How many of which ledger, mirror and chain do not say the same.
        holding: How many that are equal and hold anything.
        newest_block: The newest final block one was compared at; None: none was compared.
    """

    count: int
    differing: int
    holding: int
    newest_block: int | None
    compared_at: datetime | None


@dataclass(frozen=True, slots=True)
class ComparisonPoint:
    """One account of the chain at an earlier time."""

    address: Address
    asset: str
    block_number: int
    compared_at: datetime
    ledger: int
    mirror: int
    chain: int


@dataclass(frozen=True, slots=True)
class BlockDigest:
    """What is remembered of the logs of a block: how many are compared, and their SHA-256."""

    block: BlockPoint
    logs: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Turns:
    """Where the slow walks over everything old are; each goes on after this place.

    Attributes:
        batch: Of the ledger.
        account: Number of an account of the ledger.
        digest: Block whose rows were compared with their digest.
        read: Block that was read from the chain again.
    """

    batch: int = 0
    account: int = 0
    digest: int = 0
    read: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """How far reconciliation has come.

    Attributes:
        block: Compared up to this final block.
        compared_at: When that was.
        duration_ms: How long that comparison took.
        proven: The newest ledger batch of those that are proven, with its hash.
        is_canonical: Whether the mirror still has that block as final.
    """

    block: BlockPoint
    compared_at: datetime
    duration_ms: int
    proven: HeadRow
    turns: Turns
    is_canonical: bool


@dataclass(frozen=True, slots=True)
class Unequal:
    """A final block whose rows are not those that agreed with the chain once."""

    block: BlockPoint


@dataclass(frozen=True, slots=True)
class PaymentFacts:
    """What a settlement event did, and what the transfer with its number asks for.

    Attributes:
        beneficiary: Who was paid; None: nobody.
        amount: Token units paid.
        transfer_id: None: no transfer has the number.
    """

    kind: str
    number: int
    beneficiary: Address | None
    amount: int | None
    transfer_id: UUID | None
    due_to: Address | None
    due_amount: int | None
    state: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """What the database knows of a transaction.

    Attributes:
        slot_id: The slot it is an attempt of, as text; None: none of the node's.
        lane: The lane of that slot.
        rescued: Log indexes of the settlement contract's Rescued events in it.
    """

    slot_id: str | None
    lane: Address | None
    rescued: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far mirror and reconciliation are: one look for readiness and metrics.

    Attributes:
        moved_at: When the mirror's head last moved.
        reconciled: The block reconciliation has come to; None: it has not begun, or not yet on
            the chain that operators accepted.
        last_run_ms: How long the last comparison took.
        tag_number: The highest block that was ever tagged `finalized`; None: none was.
        has_lost_its_tag: See `node.core.mirror.Cursor`.
    """

    at: datetime
    head_number: int
    final_number: int
    moved_at: datetime
    halted_reason: str | None
    reconciled: int | None
    reconciled_at: datetime | None
    last_run_ms: int | None
    tag_number: int | None
    has_lost_its_tag: bool


class ComparisonRepository(Protocol):
    """The memory of reconciliation."""

    async def progress(self, chain_id: int) -> Progress | None:
        """How far everything is; None: the mirror has not begun."""
        ...

    async def state(self, chain_id: int) -> State | None:
        """How far reconciliation has come; None: it has not begun."""
        ...

    async def store_state(
        self, chain_id: int, block: BlockPoint, duration_ms: int, proven: HeadRow, turns: Turns
    ) -> None:
        """Reconciliation has come so far. Never moves back while the block stays final."""
        ...

    async def last_of(
        self, chain_id: int, holders: Sequence[Holder]
    ) -> Mapping[Holder, AccountComparison]:
        """The last comparison of these, of each that was compared before."""
        ...

    async def comparisons(self, chain_id: int) -> Sequence[AccountComparison]:
        """The last comparison of every account of the chain, in the order they were first made."""
        ...

    async def comparison_page(self, chain_id: int, query: ListQuery) -> Page[AccountComparison]:
        """The same in pages; no filters."""
        ...

    async def comparisons_by_verdict(
        self, chain_id: int, query: ListQuery, *, with_empty: bool
    ) -> Page[AccountComparison]:
        """The same, those that differ first; an account that changes sides meanwhile may be missed.

        Args:
            chain_id: EIP-155 number.
            query: No filters.
            with_empty: Also those that are equal and hold nothing.
        """
        ...

    async def comparison_summary(self, chain_id: int) -> ComparisonSummary:
        """How many there are, and how many differ."""
        ...

    async def store_comparisons(
        self, chain_id: int, found: Sequence[AccountComparison], *, keep: bool
    ) -> None:
        """Store these as the last ones. `keep`: they are a point of the course over time, too."""
        ...

    async def course(
        self, chain_id: int, holder: Holder, points_max: int
    ) -> Sequence[ComparisonPoint]:
        """Earlier comparisons of one account, oldest first, the newest `points_max` of them."""
        ...

    # ------------------------------------------------------------------------------ the mirror

    async def keep_digests(self, chain_id: int, above: int, to: int) -> None:
        """The rows of these final blocks agree with the chain now: remember them."""
        ...

    async def store_digests(self, chain_id: int, agreed: Sequence[BlockDigest]) -> None:
        """Remember these of final blocks, whose rows agree with the chain."""
        ...

    async def digests(self, chain_id: int, first: int, last: int) -> Mapping[BlockHash, bytes]:
        """Block -> digest of its final rows as they are now, of blocks that have any."""
        ...

    async def unequal(self, chain_id: int, above: int, to: int) -> Sequence[Unequal]:
        """Final blocks in (above, to] whose rows are not those remembered."""
        ...

    async def digests_back(self, chain_id: int, to: int, logs_max: int) -> int:
        """The block above which the remembered blocks up to `to` have at most so many logs."""
        ...

    async def digests_on(self, chain_id: int, above: int, logs_max: int) -> int | None:
        """The block up to which remembered blocks above `above` have that many; None: no more."""
        ...

    async def net_by_block(
        self, chain_id: int, address: Address, above: int, to: int
    ) -> Sequence[tuple[int, int]]:
        """(block, what the token logs of an address moved in it), ascending, blocks with logs."""
        ...

    async def nets(
        self, chain_id: int, addresses: Sequence[Address], above: int, to: int
    ) -> Mapping[Address, int]:
        """What the token logs of (above, to] moved, of each address that has any."""
        ...

    async def opening(self, path: str, chain_id: int, address: Address, asset: str) -> int:
        """What an address held when the mirror began, as it was booked, minor units."""
        ...

    async def payment(self, chain_id: int, block: BlockHash, log_index: int) -> PaymentFacts | None:
        """A Settled or Voided, beside the transfer with its number; None: no such event."""
        ...

    async def token_log(self, chain_id: int, block: BlockHash, log_index: int) -> TokenLog | None:
        """One token log."""
        ...

    async def native_by_block(
        self, chain_id: int, address: Address, above: int, to: int
    ) -> Sequence[tuple[int, int]]:
        """(block, wei that the node's own final transactions moved), ascending."""
        ...

    async def block(self, chain_id: int, number: int) -> BlockPoint | None:
        """The mirror's canonical block of that number."""
        ...

    async def unbooked(
        self, chain_id: int, address: Address, path: str, limit: int
    ) -> Sequence[Unbooked]:
        """Where the token logs of an address and the entries of its account differ."""
        ...

    async def entries_sum(self, path: str) -> int:
        """What the posted entries of an account come to, debits less credits."""
        ...

    async def explained_moves(self, chain_id: int) -> Mapping[Address, tuple[int, int]]:
        """Address -> what breaks B15 say its balance moved by without logs: (in all, resolved)."""
        ...

    async def known_transaction(self, chain_id: int, tx_hash: TxHash, block_number: int) -> Known:
        """What the database knows of a transaction of that block."""
        ...

    # ------------------------------------------------------------------------------ the ledger

    async def head(self) -> HeadRow:
        """Where the ledger stands."""
        ...

    async def batch(self, number: int) -> BatchRow | None:
        """One batch."""
        ...

    async def batches(self, above: int, sequences_max: int) -> Sequence[BatchRow]:
        """Batches after `above` with at most so many sequences in all; at least one if any is."""
        ...

    async def openings(self, first: int, last: int) -> Sequence[Numbered]:
        """Batch and record of the accounts that these batches opened."""
        ...

    async def records(self, first: int, last: int) -> Sequence[Numbered]:
        """Sequence and record of every ledger transaction and resolution of these sequences."""
        ...

    async def moved_accounts(self, first: int, last: int) -> Sequence[int]:
        """Accounts that entries or resolutions of these sequences name."""
        ...

    async def accounts_after(self, account: int, limit: int) -> Sequence[int]:
        """The next accounts by number."""
        ...

    async def counters(self, accounts: Sequence[int]) -> tuple[int, Sequence[StoredAccount]]:
        """The newest sequence and the counters of these accounts, at one instant."""
        ...

    async def bases(
        self, accounts: Sequence[int]
    ) -> tuple[int, Mapping[int, tuple[int, int, int, int]]]:
        """Sequence of the newest checkpoint (0: none), and these accounts' counters in it."""
        ...

    async def moved(
        self, accounts: Sequence[int], after: int, upto: int
    ) -> Mapping[int, tuple[int, int, int, int]]:
        """How far the entries of (after, upto] moved the four counters of these accounts."""
        ...
