"""Reading everything that is stored, to derive the books again and compare."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from node.core.proof.accounts import CheckpointRow, StoredAccount
from node.core.proof.chain import Numbered
from node.core.proof.findings import Difference
from node.core.proof.records import BatchRow, HeadRow


class VerificationRepository(Protocol):
    """What is stored, in pages and in order; and the checks that need other tables.

    Pages may be asked for one after the other or several at once; they come one after the other.
    """

    async def heads(self) -> Sequence[HeadRow]:
        """Every row that says where the ledger stands; there should be one."""
        ...

    def batches(self) -> AsyncIterator[Sequence[BatchRow]]:
        """The chain, by number."""
        ...

    def openings(self) -> AsyncIterator[Sequence[Numbered]]:
        """Batch and record of every account, by batch and account."""
        ...

    def records(self) -> AsyncIterator[Sequence[Numbered]]:
        """Sequence and record of every ledger transaction and resolution, by sequence."""
        ...

    def checkpoints(self) -> AsyncIterator[Sequence[CheckpointRow]]:
        """Every stored checkpoint of an account, by sequence."""
        ...

    def accounts(self) -> AsyncIterator[Sequence[StoredAccount]]:
        """Every account with its counters as stored, by number."""
        ...

    def open_pendings(self) -> AsyncIterator[Sequence[int]]:
        """Sequences of the pending ledger transactions that are open by the tables."""
        ...

    @property
    def checks(self) -> Sequence[tuple[str, str]]:
        """Name of each check on other tables and what it holds, in words."""
        ...

    async def differences(self, check: str, limit: int) -> Sequence[Difference]:
        """The first differences such a check finds; none when it holds."""
        ...

    async def count_transfers(self) -> int:
        """How many transfers there are."""
        ...
