"""The ledger as the services use it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from node.core.ledger import Balance, LedgerTransaction, Resolution
from node.core.paging import ListQuery, Page


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account with its counters.

    Attributes:
        id: As others see it.
        number: As entries name it.
    """

    id: UUID
    number: int
    balance: Balance
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TrialRow:
    """Posted debits and credits of one asset; always equal."""

    asset: str
    debits: int
    credits: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a key was refused for the state of the books.

    Attributes:
        code: Of the error.
        detail: Its sentence and extra members.
    """

    key: str
    code: str
    detail: Mapping[str, object]


class LedgerRepository(Protocol):
    """Accounts, entries, balances."""

    async def lock(self) -> None:
        """Take the ledger's lock until the end of the transaction. Must come before `post`."""
        ...

    async def post(
        self,
        transactions: Sequence[LedgerTransaction] = (),
        resolutions: Sequence[Resolution] = (),
    ) -> Mapping[str, int]:
        """Book one batch: resolutions first, then ledger transactions, in the order given.

        Returns:
            Key -> sequence of each ledger transaction; for a key booked earlier, the sequence it
            has since then (nothing is booked again).

        Raises:
            InvariantBroken: A limit would be broken, a pending one resolved twice, or `lock` was
                not taken. Limits are decided before: the database's refusal means a bug.
        """
        ...

    async def refusals(self, keys: Sequence[str]) -> Mapping[str, Refusal]:
        """What keys were refused for; those that never were are left out."""
        ...

    async def remember_refusals(self, refusals: Sequence[Refusal]) -> None:
        """Keep refusals, so that their keys are refused again."""
        ...

    async def balances(self, paths: Sequence[str]) -> Mapping[str, Balance]:
        """Counters by path; an account that does not exist yet has zeros."""
        ...

    async def totals(self, assets: Collection[str]) -> Sequence[Balance]:
        """Counters of all accounts of these assets, summed by first word of the path and asset.

        The path of each is `word/asset`. Reads every account: for decisions that are rare.
        """
        ...

    async def trial_balance(self) -> Sequence[TrialRow]:
        """Posted debits and credits per asset, by asset."""
        ...

    async def accounts(self, query: ListQuery) -> Page[AccountRow]:
        """The chart, newest first. Filters: `path` (prefix), `currency`."""
        ...

    async def account(self, account_id: UUID) -> AccountRow | None:
        """One account."""
        ...

    async def accounts_below(self, prefix: str) -> Sequence[AccountRow]:
        """Every account whose path starts with `prefix`, by path."""
        ...
