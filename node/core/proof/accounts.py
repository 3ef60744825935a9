"""Accounts while the ledger is proven, and the checkpoints they are compared with on the way."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from node.core.ledger import AccountKind
from node.core.proof.findings import Findings
from node.core.proof.records import AccountOpening

Counters = tuple[int, int, int, int]
"""Debits pending, debits posted, credits pending, credits posted; minor units."""

_BY_RECORD: Final = frozenset({"customer"})
"""Whose floor holds after every record (the fourth law of the ledger).

Other floors hold after every batch: what the blocks that became final together did on chain is
booked together, and not in the order of the chain.
"""

_ON_CREDIT: Final = frozenset({"partner"})
"""Who may be below its floor by a credit line, which is no part of the records: not looked at here.

`corridor verify` compares them with the lines that the database has.
"""

_GROWS_BY_DEBIT: Final = frozenset({AccountKind.ASSET, AccountKind.EXPENSE})
_NEVER: Final = 2**64  # no sequence is as high


class StoredAccount(NamedTuple):
    """Counters of an account as stored."""

    number: int
    path: str
    counters: Counters


class CheckpointRow(NamedTuple):
    """Counters of an account as of a sequence, as stored.

    Attributes:
        number: Of the account; None: a checkpoint without rows.
        is_listed: Whether the checkpoint itself is stored.
    """

    sequence: int
    number: int | None
    counters: Counters
    is_listed: bool


@dataclass(slots=True, eq=False)
class Account:
    """One account while the records are read, minor units.

    Attributes:
        asset: As in the records of its entries, UTF-8.
        falls_by_debit: It has a floor, and a debit lowers what is available.
        falls_by_credit: The same with a credit.
        is_held_by_record: Its floor holds after every record, not only after every batch.
        moved: The sequence that moved it last.
        checkpoint: Its counters in the newest checkpoint that has them.
    """

    number: int
    path: str
    asset: bytes
    floor: int = 0
    falls_by_debit: bool = False
    falls_by_credit: bool = False
    is_held_by_record: bool = False
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0
    moved: int = 0
    checkpoint: Counters = (0, 0, 0, 0)

    @classmethod
    def opened(cls, opening: AccountOpening) -> Self:
        """The account as it opens: empty."""
        word = opening.path.partition("/")[0]
        has_floor = opening.floor is not None and word not in _ON_CREDIT
        by_debit = opening.kind in _GROWS_BY_DEBIT
        return cls(
            opening.number,
            opening.path,
            opening.asset.encode(),
            opening.floor or 0,
            falls_by_debit=has_floor and not by_debit,
            falls_by_credit=has_floor and by_debit,
            is_held_by_record=word in _BY_RECORD,
        )

    @property
    def counters(self) -> Counters:
        """All four."""
        return (
            self.debits_pending,
            self.debits_posted,
            self.credits_pending,
            self.credits_posted,
        )

    def available(self) -> int:
        """Posted less what is held; of an account with a floor."""
        if self.falls_by_debit:
            return self.credits_posted - self.debits_posted - self.debits_pending
        return self.debits_posted - self.credits_posted - self.credits_pending


Leg = tuple[Account, Account, int]
"""One entry: debited, credited, amount."""


class Checkpoints:
    """Compares stored checkpoints with the accounts, when their sequence has been read.

    Args:
        rows: By sequence.
        findings: Takes what differs.

    Attributes:
        next_sequence: When there is something to compare.
    """

    def __init__(self, rows: Iterable[CheckpointRow], findings: Findings) -> None:
        self._rows = iter(rows)
        self._found = findings
        self._row: CheckpointRow | None = None
        self._before = 0
        self._advance()

    def compare(self, sequence: int, accounts: Mapping[int, Account]) -> None:
        """Compare every checkpoint up to `sequence`, which has just been read."""
        while self.next_sequence <= sequence:
            at, written = self.next_sequence, set()
            for row in self._rows_of(at):
                if row.number in written:
                    self._found.add(
                        "checkpoints", f"checkpoint {at}", "once", f"account {row.number} twice"
                    )
                written.add(row.number)
                self._compare_row(row, accounts.get(row.number or 0))
            self._compare_unwritten(at, written, accounts)
            self._before = at

    def end(self, sequence: int) -> None:
        """Name the checkpoints of sequences that there are not."""
        while self._row is not None:
            self._found.add(
                "checkpoints",
                f"checkpoint {self._row.sequence}",
                f"none after {sequence}, where the ledger ends",
                f"one of account {self._row.number}",
            )
            self._advance()

    def _rows_of(self, sequence: int) -> Iterator[CheckpointRow]:
        while self._row is not None and self._row.sequence == sequence:
            yield self._row
            self._advance()

    def _advance(self) -> None:
        self._row = next(self._rows, None)
        self.next_sequence = _NEVER if self._row is None else self._row.sequence

    def _compare_row(self, row: CheckpointRow, account: Account | None) -> None:
        subject = f"checkpoint {row.sequence}"
        if not row.is_listed:
            self._found.add("checkpoints", subject, "in the list of checkpoints", "not in it")
        if row.number is None:
            return
        if account is None:
            self._found.add("checkpoints", subject, f"no account {row.number} by then", "a row")
        elif account.counters != row.counters:
            self._found.add(
                "checkpoints",
                f"{subject} of {account.path}",
                counters_text(account.counters),
                counters_text(row.counters),
            )
        if account is not None:
            account.checkpoint = row.counters

    def _compare_unwritten(
        self, sequence: int, written: set[int | None], accounts: Mapping[int, Account]
    ) -> None:
        """An account without a row must be as its newest row says."""
        for account in accounts.values():
            if (
                account.moved > self._before
                and account.counters != account.checkpoint
                and account.number not in written
            ):
                self._found.add(
                    "checkpoints",
                    f"checkpoint {sequence} of {account.path}",
                    counters_text(account.counters),
                    f"no row; the newest says {counters_text(account.checkpoint)}",
                )


def counters_text(counters: Counters) -> str:
    """`debits pending/debits posted/credits pending/credits posted`."""
    return "/".join(map(str, counters))


def account_text(kind: str, asset: str, floor: int | None) -> str:
    """What the chart says of an account, in words."""
    return f"{kind} in {asset}, {'no floor' if floor is None else f'floor {floor}'}"
