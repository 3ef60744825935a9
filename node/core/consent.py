"""Consent: how an operator may close a break, and what a second one must agree to. Pure.

The rule of two persons ("maker and checker", the four-eyes principle): one proposes, another
approves, and nothing is booked before. Two operators are two `Principal.key`s. Who keeps proposals
and books them is `node.services.reconciliation.breaks`, and for reorgs past finality
`node.services.mirror.reorgs`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from node.core.bookings import check_paths
from node.core.breaks import BreakCode
from node.core.errors import InvalidInput, SecondPersonNeeded
from node.core.ledger import Entry
from node.core.parties import Principal

CORRECTION: Final = "correction"
"""Kind of the ledger transaction that closes a break."""

_RESOLVABLE: Final = ("suspense", "chain", "capital", "loss", "rounding", "bank", "expense")

NEVER_MATCHED_ALONE: Final = frozenset(
    {
        BreakCode.LEDGER_OFF_CHAIN,
        BreakCode.MISSED_LOG,
        BreakCode.PHANTOM_LOG,
        BreakCode.ORPHAN_OUTBOUND,
        BreakCode.REORG_NEGATIVE,
        BreakCode.PAID_WRONG,
        BreakCode.FOREIGN_NONCE,
        BreakCode.BALANCE_MOVED,
        BreakCode.NATIVE_UNEXPLAINED,
        BreakCode.DEEP_REORG,
        BreakCode.LEDGER_LAW,
        BreakCode.NOT_AS_QUOTED,
        BreakCode.BANK_BALANCE,
    }
)
"""Breaks that no one person calls a match: money is missing until shown otherwise."""

OF_DEPOSITS: Final = frozenset({BreakCode.UNKNOWN_DEPOSIT, BreakCode.DEPOSIT_DIFFERS})
"""Breaks that tell of deposits that are held in suspense."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one operator proposes and another must approve.

    Attributes:
        made_by: `Principal.key` of the maker.
        entries: What is booked when it is approved; none: a match.
        kind: Kind of the ledger transaction: a correction closes the break; a chargeback's loss
            leaves it open, for what may be recovered.
        key: Of the ledger transaction; empty: the break's own.
        reference: The bank's, kept with the ledger transaction; empty: it has none.
        about: What the maker saw (expected, actual): another truth needs another proposal.
    """

    made_by: str
    made_at: datetime
    reason: str
    entries: Sequence[Entry] = ()
    kind: str = CORRECTION
    about: tuple[str, str] = ("", "")
    key: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class TwoPersons:
    """When a second operator must agree.

    Attributes:
        above: Whole units of any asset that one operator may move alone; 0: none, and nothing is
            closed by one person.
        digits: Minor digits of an asset of the ledger.
    """

    above: int
    digits: Callable[[str], int]

    def needed_for(self, entries: Sequence[Entry], *, are_held: bool = False) -> bool:
        """Whether these entries need two persons.

        They do when they move more than the threshold in any asset (all entries added up, so
        that splitting one does not help), when they take capital, or when they give something to
        a customer or partner.

        Args:
            entries: What is to be booked.
            are_held: They give exactly what deposits hold in suspense: whose it is, one may say.
        """
        if takes_capital(entries) or (not are_held and any(map(_gives, entries))):
            return True
        return self._exceeds(_moved(entries))

    def needed_to_close(
        self,
        code: str,
        entries: Sequence[Entry],
        at_stake: Mapping[str, int],
        *,
        are_held: bool = False,
    ) -> bool:
        """Whether closing a break with these entries needs two persons.

        Args:
            code: Of the break.
            entries: What is to be booked; none: a match, which moves what is at stake.
            at_stake: Asset -> minor units that the break is about, where it says so.
            are_held: As in `needed_for`.
        """
        if entries:
            return self.needed_for(entries, are_held=are_held)
        return code in NEVER_MATCHED_ALONE or self._exceeds(at_stake)

    def _exceeds(self, moved: Mapping[str, int]) -> bool:
        if self.above == 0:
            return True
        return any(units > self.above * 10 ** self.digits(asset) for asset, units in moved.items())


def at_stake(evidence: Mapping[str, str], token_asset: str) -> Mapping[str, int]:
    """What a break is about, by its evidence: `minor` units of `asset`, else of the token."""
    minor = evidence.get("minor", "")
    return {evidence.get("asset", token_asset): int(minor)} if minor.isdecimal() else {}


def check_resolution(entries: Sequence[Entry]) -> None:
    """Whether an operator may close a break with these entries.

    Customers and partners may only be given what is in suspense: a customer's balance never falls
    by a correction. How much of suspense may be given is `check_release` and `taken_out`.

    Raises:
        InvalidInput: One of the entries names another account, or one in the wrong form.
    """
    if not entries:
        raise InvalidInput("a ledger transaction has at least one entry")
    for entry in entries:
        debit, credit = entry.debit.partition("/")[0], entry.credit.partition("/")[0]
        gives = credit in ("customer", "partner") and debit == "suspense"
        if not gives and (debit not in _RESOLVABLE or credit not in _RESOLVABLE):
            raise InvalidInput(
                f"a break is not closed by an entry from {entry.credit} to {entry.debit};"
                f" accounts of {', '.join(_RESOLVABLE)} may be named, and customers or partners"
                " may be given what is in suspense"
            )
    check_paths(entries)


def check_release(entries: Sequence[Entry], suspense: str, held: int) -> str | None:
    """Whether entries close a break of deposits that hold something: all of it, and no more.

    Args:
        entries: What is to be booked; none: a match.
        suspense: The account that holds deposits.
        held: What the break's deposits hold there, minor units.

    Returns:
        The account of the customer or partner that gets it; None: nobody does.

    Raises:
        InvalidInput: They move something else, or another amount, or give it to more than one.
    """
    moved = sum(each.amount for each in entries if each.debit == suspense)
    if moved != held or any(each.debit != suspense for each in entries):
        raise InvalidInput(
            f"a deposit that is held is closed by entries that debit {suspense} with all of it,"
            f" {held} minor units, and debit nothing else; these debit it with {moved}"
        )
    owners = [each.credit for each in entries if _gives(each)]
    if owners and {each.credit for each in entries} != {owners[0]}:
        raise InvalidInput(
            "one customer or partner gets all of it; attribute the deposits one by one otherwise"
        )
    return owners[0] if owners else None


def taken_out(entries: Sequence[Entry], word: str) -> Mapping[tuple[str, str], int]:
    """(path, asset) -> by how much entries lower the accounts of liability of this first word."""
    moved: dict[tuple[str, str], int] = {}
    for each in entries:
        for path, units in ((each.debit, each.amount), (each.credit, -each.amount)):
            if path.partition("/")[0] == word:
                moved[path, each.asset] = moved.get((path, each.asset), 0) + units
    return {key: units for key, units in moved.items() if units > 0}


def check_second(made_by: str, principal: Principal) -> None:
    """Check that who approves is not who proposed.

    Args:
        made_by: `Principal.key` of the maker.
        principal: Who approves.

    Raises:
        SecondPersonNeeded: It is the same; with `made_by`.
    """
    if principal.key == made_by:
        raise SecondPersonNeeded(
            "you proposed this yourself; another operator must approve it", made_by=made_by
        )


def takes_capital(entries: Sequence[Entry]) -> bool:
    """Whether entries take out what is the owner's: a decision, where others state what happened.

    They must leave what the node owes covered (law 8); a loss, or gas that was spent, is a fact.
    """
    return any(entry.debit.partition("/")[0] in ("capital", "rounding") for entry in entries)


def _gives(entry: Entry) -> bool:
    """Whether a customer or partner gets something."""
    return entry.credit.partition("/")[0] in ("customer", "partner")


def _moved(entries: Sequence[Entry]) -> Mapping[str, int]:
    moved: dict[str, int] = {}
    for each in entries:
        moved[each.asset] = moved.get(each.asset, 0) + each.amount
    return moved
