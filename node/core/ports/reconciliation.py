"""Runs of reconciliation, and the questions it asks of the store. Breaks: `breaks.py` beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from node.core.ledger import Balance
from node.core.mirror import BlockPoint, Facts
from node.core.paging import ListQuery, Page
from node.core.reconcile import Check
from node.core.units import Address


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One comparison as stored."""

    name: str
    ok: bool
    expected: str
    actual: str


@dataclass(frozen=True, slots=True)
class Run:
    """One reconciliation.

    Attributes:
        status: `running`, `completed` or `failed`.
        block: The final block it is about.
        breaks_open: Open breaks when it ended, of this run and of earlier ones.
        made_by: Who asked for it.
        failure: Why it could not be finished; None: it was, or goes on.
    """

    id: UUID
    status: str
    block: BlockPoint | None
    checks: Sequence[CheckResult]
    breaks_open: int | None
    made_by: str
    created_at: datetime
    completed_at: datetime | None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Books:
    """Ledger, mirror and settlement at one instant: one statement, one snapshot.

    Attributes:
        start_number: Where the mirror began.
        final: The mirror's final block at that instant.
        holdings: (address, asset) -> what the mirror says it holds, the chain's own units: of the
            watched addresses, of those that moved, of those that were off; of all in a full run.
        ledger: The same -> the posted balance of its account, minor units.
        balances: Accounts summed by the first word of their path.
        nonces: Lane -> the nonce after its last final one.
        roles: Lane -> what it is for.
        open_buys: Asset -> sum of the buy amounts of open transfers.
        at_partners: Asset -> what partners were paid for transfers that they have not ended.
        unheld: Paths of accounts of the chain that have a balance, and the mirror has no holding;
            of a full run only.
    """

    start_number: int
    final: BlockPoint
    holdings: Mapping[tuple[Address, str], int]
    ledger: Mapping[tuple[Address, str], int]
    balances: Sequence[Balance]
    nonces: Mapping[Address, int]
    roles: Mapping[Address, str]
    open_buys: Mapping[str, int]
    at_partners: Mapping[str, int]
    unheld: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Suspect:
    """Something in the mirror or among the transfers that has no counterpart.

    Attributes:
        subject: What it is, unique for ever.
        evidence: Names a person can look up.
    """

    subject: str
    expected: str
    actual: str
    evidence: Mapping[str, str]


class ReconciliationRepository(Protocol):
    """Runs, and questions over the store that need no chain."""

    async def begin(self, run_id: UUID, made_by: str, *, join: bool) -> UUID:
        """Store a new run; one whose process has died is kept as failed from now on.

        Args:
            run_id: Of the new run.
            made_by: Who asked.
            join: Where somebody's run goes on, that is the run.

        Returns:
            The run to wait for: the new one, or the one that goes on.
        """
        ...

    async def alive(self, run_id: UUID) -> None:
        """The run goes on."""
        ...

    async def complete(self, run_id: UUID, block: BlockPoint, checks: Sequence[Check]) -> None:
        """Store what a run found; counts the breaks that are open now."""
        ...

    async def fail(self, run_id: UUID, reason: str) -> None:
        """The run could not be finished."""
        ...

    async def run(self, run_id: UUID) -> Run | None:
        """One run."""
        ...

    async def runs(self, query: ListQuery) -> Page[Run]:
        """Runs, newest first. Filters: `status` (running, completed, failed)."""
        ...

    async def last_completed(self) -> Run | None:
        """The newest run that was finished."""
        ...

    async def books(
        self, chain_id: int, addresses: Sequence[Address], above: int, *, full: bool
    ) -> Books | None:
        """Everything that is compared with the chain, at one instant; None: no mirror yet.

        Args:
            chain_id: Which chain.
            addresses: Always compared.
            above: Others that moved above this block are compared as well...
            full: ...or all there are.
        """
        ...

    async def mirrored(self, chain_id: int, first: int, last: int) -> Sequence[Facts]:
        """Final facts of these blocks as the mirror has them, blocks without logs included."""
        ...

    async def broken_links(self, chain_id: int, above: int) -> int:
        """How many final blocks above this one are missing or have another parent than ours."""
        ...

    async def settled_without_transfer(self, chain_id: int, above: int) -> Sequence[Suspect]:
        """Final Settled events above this block without exactly one equal, ended transfer."""
        ...

    async def batches_without_outcomes(self, chain_id: int, above: int) -> Sequence[Suspect]:
        """Final batches above this block that do not have one outcome for each of their members."""
        ...

    async def transfers_without_settled(self, chain_id: int) -> Sequence[Suspect]:
        """Transfers that ended as settled without exactly one equal, final Settled."""
        ...

    async def not_as_quoted(self, chain_id: int, above: int, *, full: bool) -> Sequence[Suspect]:
        """Completed transfers that did not deliver exactly what they and their quotes promise.

        Delivered is the sum of the final Settled events of a transfer's number.

        Args:
            chain_id: Whose transfers.
            above: Only those with a final Settled above this block...
            full: ...or every completed transfer there is.
        """
        ...

    async def outbound_without_cause(self, chain_id: int, above: int) -> Sequence[Suspect]:
        """Token logs out of the node's addresses, final above this block, that nobody explained."""
        ...

    async def left_behind(self, chain_id: int) -> Sequence[Suspect]:
        """Transfers in the air whose slot is final or foreign, and that no other slot carries."""
        ...
