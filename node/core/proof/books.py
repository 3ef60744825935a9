"""Accounts, holds and limits, derived again from the records of the ledger one after the other.

Not here: the chain the records stand in (`node.core.proof.chain`).
"""

from collections.abc import Iterable
from typing import Final

from node.core.errors import InvariantBroken
from node.core.ledger import account_rules
from node.core.proof.accounts import (
    Account,
    Leg,
    StoredAccount,
    account_text,
    counters_text,
)
from node.core.proof.findings import Findings
from node.core.proof.records import (
    ENTRY,
    INT4,
    NUMBERED_TEXT,
    RESOLUTION,
    RESOLUTION_BODY,
    TRANSACTION,
    TRANSACTION_END,
    UNREADABLE,
    describe,
    read_account,
    time_text,
)
from node.core.units import MINOR_LIMIT

_EMPTY: Final = (0, 0, 0, 0)


class DerivedBooks:
    """The books as the records read so far leave them.

    Attributes:
        accounts: By number.
        open: Sequence of each pending ledger transaction that is open, with its entries.
        transactions: How many were read; `resolutions` and `entries` as well.
    """

    def __init__(self, findings: Findings) -> None:
        self.accounts: dict[int, Account] = {}
        self.open: dict[int, list[Leg]] = {}
        self.transactions = self.resolutions = self.entries = 0
        self._found = findings
        self._below: dict[int, Account] = {}  # floors to look at when the batch ends

    def open_account(self, record: bytes, batch: int, created_at_us: int) -> None:
        """Read the record of an account that a batch opens."""
        try:
            new = read_account(record)
        except UNREADABLE:
            self._unreadable("accounts", f"an account of batch {batch}", record)
            return
        rules = _rules(new.path)
        if rules != new[3:6] or new.created_at_us != created_at_us:
            self._found.add(
                "accounts",
                new.path,
                f"{account_text(*rules) if rules else 'a path of the chart of accounts'},"
                f" opened {time_text(created_at_us)}",
                f"{account_text(*new[3:6])}, opened {time_text(new.created_at_us)}",
                f"account {new.number}, of batch {batch}",
            )
        if new.number in self.accounts:
            self._found.add(
                "accounts",
                new.path,
                f"account {new.number} opened once, and before it is used",
                f"opened by batch {batch} though it was there",
            )
        else:
            self.accounts[new.number] = Account.opened(new)

    def read(self, sequence: int, record: bytes, created_at_us: int) -> None:
        """Read the record of a ledger transaction or a resolution.

        Args:
            sequence: Its number.
            record: The record.
            created_at_us: When its batch was booked.
        """
        try:
            if record[0] == TRANSACTION:
                self._transaction(sequence, record, created_at_us)
            else:
                self._resolution(sequence, record, created_at_us)
        except UNREADABLE:
            self._unreadable("sequence", f"sequence {sequence}", record)

    def end_batch(self, number: int) -> None:
        """Look at the floors that hold after every batch."""
        for account in self._below.values():
            if account.available() < account.floor:
                self._below_floor(account, f"after batch {number}")
        self._below.clear()

    def compare(self, stored: Iterable[StoredAccount]) -> None:
        """Compare with the accounts as stored, by number."""
        seen = 0
        for each in stored:
            account = self.accounts.get(each.number)
            seen += account is not None
            expected = _EMPTY if account is None else account.counters
            if expected != each.counters:
                self._found.add(
                    "balances",
                    each.path,
                    counters_text(expected),
                    counters_text(each.counters),
                    f"account {each.number}, last moved by sequence"
                    f" {0 if account is None else account.moved}",
                )
        if seen != len(self.accounts):
            self._found.add("accounts", "accounts", f"{len(self.accounts)} rows", f"{seen} rows")

    def compare_open(self, stored: Iterable[int]) -> None:
        """Compare with the pending ledger transactions that are open by the tables."""
        left = set(self.open)
        for sequence in stored:
            if sequence in left:
                left.remove(sequence)
            else:
                self._found.add("pendings", f"sequence {sequence}", "ended", "open")
        for sequence in sorted(left):
            self._found.add("pendings", f"sequence {sequence}", "open", "not among the open ones")

    def text(self, record: bytes) -> str:
        """A record in one line, accounts by their paths."""
        return describe(record, {number: each.path for number, each in self.accounts.items()})

    def _transaction(self, sequence: int, record: bytes, created_at_us: int) -> None:
        recorded, key_length = NUMBERED_TEXT.unpack_from(record, 1)
        at = 1 + NUMBERED_TEXT.size + key_length
        at += INT4.size + INT4.unpack_from(record, at)[0]
        is_pending, _, moment_us, count = TRANSACTION_END.unpack_from(record, at)
        at += TRANSACTION_END.size
        accounts = self.accounts
        legs: list[Leg] = []
        lowered: list[Account] = []
        for place in range(count):
            position, debit, credit, amount, length = ENTRY.unpack_from(record, at)
            at += ENTRY.size + length
            asset = record[at - length : at]
            debited, credited = accounts.get(debit), accounts.get(credit)
            if (
                debited is None
                or credited is None
                or not debited.asset == credited.asset == asset
                or position != place
                or not 0 < amount < MINOR_LIMIT
                or debited is credited
            ):
                entry = (position, debit, credit, amount)
                debited, credited = self._odd_entry(sequence, place, entry, asset)
            if is_pending:
                debited.debits_pending += amount
                credited.credits_pending += amount
                legs.append((debited, credited, amount))
            else:
                debited.debits_posted += amount
                credited.credits_posted += amount
            debited.moved = credited.moved = sequence
            if debited.falls_by_debit:
                lowered.append(debited)
            if credited.falls_by_credit:
                lowered.append(credited)
        if at != len(record):
            raise ValueError("it does not end where it should")
        if recorded != sequence or moment_us != created_at_us or count < 1:
            self._odd_record(sequence, record, created_at_us, moment_us)
        self.transactions += 1
        self.entries += count
        if is_pending:
            self.open[sequence] = legs
        if lowered:
            self._compare_floors(lowered, sequence)

    def _resolution(self, sequence: int, record: bytes, created_at_us: int) -> None:
        """Nothing falls below a floor by it: what it posts was held, what it voids comes back."""
        recorded, pending_sequence, is_posted, moment_us = RESOLUTION_BODY.unpack(record)
        if record[0] != RESOLUTION or recorded != sequence or moment_us != created_at_us:
            self._odd_record(sequence, record, created_at_us, moment_us)
        self.resolutions += 1
        legs = self.open.pop(pending_sequence, None)
        if legs is None:
            self._found.add(
                "pendings",
                f"sequence {sequence}",
                f"a pending ledger transaction {pending_sequence} that is open",
                "it was not booked by then, not pending, or had ended before",
                describe(record, {}),
            )
            return
        for debited, credited, amount in legs:
            debited.debits_pending -= amount
            credited.credits_pending -= amount
            if is_posted:
                debited.debits_posted += amount
                credited.credits_posted += amount
            debited.moved = credited.moved = sequence

    def _compare_floors(self, accounts: Iterable[Account], sequence: int) -> None:
        """An account below its floor is wrong now, or is looked at when the batch ends."""
        for account in accounts:
            if account.available() >= account.floor:
                continue
            if account.is_held_by_record:
                self._below_floor(account, f"after sequence {sequence}")
            else:
                self._below[account.number] = account

    def _below_floor(self, account: Account, moment: str) -> None:
        self._found.add(
            "limits",
            f"{account.path} {moment}",
            f"at least {account.floor} available",
            account.available(),
            f"its counters then: {counters_text(account.counters)}",
        )

    def _odd_record(self, sequence: int, record: bytes, created_at_us: int, moment_us: int) -> None:
        check, expected, actual = "entries", "a ledger transaction with entries", "none"
        if moment_us != created_at_us:
            check = "sequence"
            expected = f"the time of its batch, {time_text(created_at_us)}"
            actual = time_text(moment_us)
        self._found.add(check, f"sequence {sequence}", expected, actual, self.text(record))

    def _odd_entry(
        self, sequence: int, place: int, entry: tuple[int, int, int, int], asset: bytes
    ) -> tuple[Account, Account]:
        """Name what is wrong with an entry; its accounts, made up where there are none."""
        position, debit, credit, amount = entry
        for number in (debit, credit):
            if number not in self.accounts:
                self.accounts[number] = Account(number, f"account {number}, not opened", asset)
        debited, credited = self.accounts[debit], self.accounts[credit]
        self._found.add(
            "entries",
            f"sequence {sequence}, entry {place}",
            f"position {place}, an amount of {asset.decode()} from 1 to {MINOR_LIMIT - 1} between"
            " two open accounts that hold it",
            f"position {position}, {amount} to {debited.path} in {debited.asset.decode()}"
            f" from {credited.path} in {credited.asset.decode()}",
        )
        return debited, credited

    def _unreadable(self, check: str, subject: str, record: bytes) -> None:
        self._found.add(check, subject, "a record of the ledger", describe(record, {}))


def _rules(path: str) -> tuple[str, str, int | None] | None:
    """Kind, asset and floor of an account of this path; None: the chart has no such account."""
    try:
        kind, floor = account_rules(path)
    except InvariantBroken:
        return None
    return kind.value, path.rpartition("/")[2], floor
