"""What operators may book by hand: kinds of ledger transactions, and the accounts each may move.

For events that no other part of the node sees (money paid in as capital, a partner's prefunding,
an exchange at a bank, a bank that takes money back). What the chain, a payout or a completed
transfer moves (`chain`, `in_flight`, `deferred`, `income`, `expense`) is booked by the node alone.
Corrections close a break: `node.core.reconcile`.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from node.core.errors import InvalidInput, RailUnknown
from node.core.ids import Prefix, decode_id
from node.core.ledger import Entry
from node.core.units import Address

CHARGEBACK_LOSS: Final = "chargeback"
"""Cause of the loss when a bank takes back what the customer no longer has."""

_ADDRESS: Final = re.compile(r"0x[0-9a-f]{40}")
_CAUSE: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_LENGTHS: Final = {
    "customer": 3, "partner": 3, "bank": 3, "loss": 3, "suspense": 3, "chain": 4, "expense": 4,
}  # others: word, asset  # fmt: skip


class BookingKind(StrEnum):
    """Why an operator books."""

    CAPITAL = "capital"  # the owner pays in or takes out
    PARTNER_FUNDING = "partner_funding"  # a partner pays its prefunded balance in, or takes it out
    CONVERSION = "conversion"  # the node exchanges currencies at its banks
    CHARGEBACK = "chargeback"  # a bank takes money back

    @property
    def is_decided(self) -> bool:
        """Whether the node decides it, and may be refused; a chargeback has happened already."""
        return self is not BookingKind.CHARGEBACK


_MOVES: Final[Mapping[BookingKind, frozenset[tuple[str, str]]]] = {
    BookingKind.CAPITAL: frozenset({("bank", "capital"), ("capital", "bank")}),
    BookingKind.PARTNER_FUNDING: frozenset({("bank", "partner"), ("partner", "bank")}),
    BookingKind.CONVERSION: frozenset({("bank", "fx_position"), ("fx_position", "bank")}),
    BookingKind.CHARGEBACK: frozenset(
        {("customer", "bank"), ("partner", "bank"), ("loss", "bank")}
    ),
}
"""Kind -> first words of the accounts that an entry may debit and credit."""


@dataclass(frozen=True, slots=True)
class Named:
    """Whom the accounts of entries belong to; they must exist."""

    customers: frozenset[UUID]
    partners: frozenset[UUID]


def check_booking(kind: BookingKind, entries: Sequence[Entry], *, rails: Collection[str]) -> Named:
    """Whether a booking of this kind may have these entries.

    Args:
        kind: Why it is booked.
        entries: What is booked.
        rails: The node's banks.

    Returns:
        The customers and partners it names.

    Raises:
        InvalidInput: An entry names an account that this kind may not move.
        RailUnknown: The node has no such bank.
        NotFound: A path has something in the place of an id that is none.
    """
    if not entries:
        raise _fault("/entries", "too_short", "a ledger transaction has at least one entry")
    for place, entry in enumerate(entries):
        _check_words(f"/entries/{place}", kind, entry)
    check_paths(entries)
    _check_rails(entries, rails)
    return named_in(entries)


def check_paths(entries: Sequence[Entry]) -> None:
    """Whether every path has the shape of its account, for the asset of its entry.

    Raises:
        InvalidInput: One has not.
    """
    for place, entry in enumerate(entries):
        for side, path in (("debit", entry.debit), ("credit", entry.credit)):
            _check_path(f"/entries/{place}/{side}", path, entry.asset)


def check_own(
    entries: Sequence[Entry], *, chain_id: int, own: Collection[str], rails: Collection[str]
) -> None:
    """Whether what entries name of the chain and the banks is the node's own.

    Money booked on an account of the chain that nothing follows would count as cover for ever.

    Args:
        entries: What is to be booked, in the form of the chart.
        chain_id: Of the node; suspense is kept by it.
        own: Paths of `chain` and `expense` accounts that the node has.
        rails: Its banks.

    Raises:
        InvalidInput: An account of another chain or address, or one that is not in lower case.
        RailUnknown: The node has no such bank.
    """
    for place, entry in enumerate(entries):
        for side, path in (("debit", entry.debit), ("credit", entry.credit)):
            word = path.partition("/")[0]
            is_own = path in own or word not in ("chain", "expense", "suspense")
            if not (is_own or path == f"suspense/{chain_id}/{entry.asset}"):
                raise _fault(
                    f"/entries/{place}/{side}",
                    "account_not_allowed",
                    f"{path} is no account of this node; write an address in lower case",
                )
    _check_rails(entries, rails)


def addresses_in(entries: Sequence[Entry]) -> frozenset[Address]:
    """Addresses that `chain` accounts name, in lower case; others are left out."""
    names = {
        path.split("/")[2]
        for entry in entries
        for path in (entry.debit, entry.credit)
        if path.startswith("chain/") and path.count("/") == _LENGTHS["chain"] - 1
    }
    return frozenset(Address(bytes.fromhex(each[2:])) for each in names if _ADDRESS.fullmatch(each))


def named_in(entries: Sequence[Entry]) -> Named:
    """The customers and partners whose accounts entries name.

    Raises:
        NotFound: A path has something in the place of an id that is none.
    """
    customers, partners = set(), set()
    for entry in entries:
        for path in (entry.debit, entry.credit):
            word, _, rest = path.partition("/")
            name = rest.partition("/")[0]
            if word == "customer":
                customers.add(decode_id(Prefix.CUSTOMER, name))
            elif word == "partner":
                partners.add(decode_id(Prefix.PARTNER, name))
    return Named(frozenset(customers), frozenset(partners))


def has_loss(entries: Sequence[Entry]) -> bool:
    """Whether something is written off."""
    return any(entry.debit.startswith("loss/") for entry in entries)


def _check_words(pointer: str, kind: BookingKind, entry: Entry) -> None:
    words = entry.debit.partition("/")[0], entry.credit.partition("/")[0]
    if words not in _MOVES[kind]:
        moves = (f"{debit} -> {credit}" for debit, credit in sorted(_MOVES[kind]))
        raise _fault(
            pointer,
            "account_not_allowed",
            f"a booking of kind {kind} does not move {entry.debit} -> {entry.credit};"
            f" it may move (debit -> credit) {', '.join(moves)}",
        )
    if words[0] == "loss" and entry.debit != f"loss/{CHARGEBACK_LOSS}/{entry.asset}":
        raise _fault(
            f"{pointer}/debit",
            "wrong_form",
            f"what a chargeback loses is loss/{CHARGEBACK_LOSS}/{entry.asset}",
        )


def _check_path(pointer: str, path: str, asset: str) -> None:
    word, *rest = path.split("/")
    if rest[-1:] != [asset] or len(rest) + 1 != _LENGTHS.get(word, 2):
        shape = f"{word}/.../{asset}" if word in _LENGTHS else f"{word}/{asset}"
        raise _fault(pointer, "wrong_form", f"{path} is no account for {asset}; write {shape}")
    if word == "loss" and not _CAUSE.fullmatch(rest[0]):
        raise _fault(
            pointer, "wrong_form", f"write the cause in lower case, such as loss/partner/{asset}"
        )


def _check_rails(entries: Sequence[Entry], rails: Collection[str]) -> None:
    for entry in entries:
        for path in (entry.debit, entry.credit):
            word, _, rest = path.partition("/")
            rail = rest.partition("/")[0]
            if word == "bank" and rail not in rails:
                raise RailUnknown(
                    f"the node has no bank {rail!r}; it has: {', '.join(sorted(rails)) or 'none'}"
                )


def _fault(pointer: str, code: str, message: str) -> InvalidInput:
    return InvalidInput(message, errors=[{"pointer": pointer, "code": code, "message": message}])
