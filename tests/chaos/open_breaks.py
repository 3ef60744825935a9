"""Which open breaks the faults of a campaign explain, one by one and to the unit.

A restored backup explains one orphan outflow and one wrong payment for each payout that it forgot,
a stranger those of its own transactions, and both explain that the ledger shows just so much more
than the chain. A lane whose coin was taken away lacks what its breaks say. Nothing else is excused.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from node.core.breaks import BreakCode
from node.core.reconcile import native_units
from tests.chaos.bench import Bench

_TOKEN: Final = "balance.token:"
_NATIVE: Final = "balance.native:"
_BY_BREAKS: Final = frozenset({"items.settled_has_transfer", "items.outbound_has_cause"})


@dataclass(frozen=True)
class Causes:
    """What happened that may leave breaks behind.

    Attributes:
        restored: Whether an older copy of the database took its place.
        strange: Hashes of what a stranger sent with a key of the node.
        emptied: Addresses whose coin was taken away, in small letters.
    """

    restored: bool = False
    strange: frozenset[str] = frozenset()
    emptied: frozenset[str] = frozenset()


class Payout(Protocol):
    """A payment of the contract."""

    @property
    def amount(self) -> int:
        """Token units."""

    @property
    def tx_hash(self) -> str:
        """Of the transaction."""

    @property
    def places(self) -> frozenset[int]:
        """Indices of its logs."""


@dataclass
class Unbooked:
    """What left the contract without a transfer that the database knows.

    Attributes:
        amount: Token units in all.
        places: Transaction and index of each log of it.
        numbers: Payment numbers of all that was forgotten, paid or not, and of those of which only
            the chain knows that they are void.
    """

    amount: int = 0
    places: set[tuple[str, int]] = field(default_factory=set)
    numbers: set[int] = field(default_factory=set)

    def add(self, payouts: Iterable[Payout]) -> None:
        """These too."""
        for each in payouts:
            self.amount += each.amount
            self.places |= {(each.tx_hash, place) for place in each.places}


async def compare(
    bench: Bench, causes: Causes, unbooked: Unbooked
) -> tuple[Counter[str], list[str]]:
    """Open breaks by code, and what is there that nothing explains, after a full run."""
    run = await bench.node.reconciling.run("operator:chaos")
    rows = await bench.rows(
        "SELECT code, fingerprint, summary, expected, actual, evidence"
        " FROM reconciliation_break WHERE resolved_at IS NULL ORDER BY first_seen_at, id"
    )
    explaining = Explaining(causes, unbooked, lambda tx_hash: _coin_of(bench, tx_hash))
    others = [each for each in rows if each["code"] != BreakCode.LEDGER_OFF_CHAIN]
    differences = [
        f"break {each['fingerprint']} is open: {each['summary']}; expected {each['expected']},"
        f" is {each['actual']}; {each['evidence']}"
        for each in others
        if not explaining.has_cause(each["code"], json.loads(each["evidence"]))
    ]
    short = {_TOKEN + f"0x{bench.onchain.contract.hex()}": unbooked.amount}
    short |= {_NATIVE + address: units for address, units in explaining.units.items()}
    compared = [
        (each["fingerprint"].partition(":")[2], each["expected"], each["actual"], False)
        for each in rows
        if each["code"] == BreakCode.LEDGER_OFF_CHAIN
    ]
    compared += [(each.name, each.expected, each.actual, each.ok) for each in run.checks]
    for name, expected, actual, is_ok in compared:
        lacks = short.get(name, 0)
        is_right = int(expected) - int(actual) == lacks if lacks else is_ok or name in _BY_BREAKS
        if not is_right:
            differences.append(
                f"{name}: expected {expected}, is {actual}; the faults explain {lacks}"
            )
    return Counter(each["code"] for each in rows), differences


@dataclass
class Explaining:
    """Which breaks have a cause; each log explains one, and so does each forgotten void.

    Attributes:
        coin_of: Sender and coin, in the ledger's units, of a transaction that the chain has.
        units: Coin that left each address without being booked, by the breaks so far.
    """

    causes: Causes
    unbooked: Unbooked
    coin_of: Callable[[str], tuple[str, int] | None]
    units: Counter[str] = field(default_factory=Counter)
    _excused: set[tuple[str, int]] = field(default_factory=set)

    def has_cause(self, code: str, evidence: Mapping[str, str]) -> bool:
        """Whether a fault left this break behind."""
        tx_hash, index = evidence.get("tx_hash", ""), int(evidence.get("log_index", "-1"))
        number = int(evidence.get("payment_number", "-1"))
        match code:
            case BreakCode.NATIVE_UNEXPLAINED:
                self.units[evidence["address"]] += int(evidence["minor"])
                return evidence["address"] in self.causes.emptied
            case BreakCode.ORPHAN_OUTBOUND if index < 0:
                return self._was_taken(tx_hash)
            case BreakCode.ORPHAN_OUTBOUND | BreakCode.PAID_WRONG:
                if (tx_hash, index) in self.unbooked.places:
                    return self._is_first(tx_hash, index)
                is_forgotten = code == BreakCode.PAID_WRONG and number in self.unbooked.numbers
                return is_forgotten and self.causes.restored and self._is_first("void", number)
            case _:
                return False

    def _was_taken(self, tx_hash: str) -> bool:
        """Count the coin of a stranger's transaction."""
        coin = self.coin_of(tx_hash) if tx_hash in self.causes.strange else None
        if coin is None:
            return False
        self.units[coin[0]] += coin[1]
        return self._is_first(tx_hash, -1)

    def _is_first(self, name: str, index: int) -> bool:
        is_first = (name, index) not in self._excused
        self._excused.add((name, index))
        return is_first


def _coin_of(bench: Bench, tx_hash: str) -> tuple[str, int] | None:
    sent: Any = bench.anvil.rpc("eth_getTransactionByHash", tx_hash)
    if sent is None or sent["blockHash"] is None or int(sent["value"], 16) == 0:
        return None
    return str(sent["from"]).lower(), native_units(int(sent["value"], 16))
