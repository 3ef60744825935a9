"""What must become of each deposit, by the table of deposits alone, from the chain's final blocks.

Written against the rules (ADR 0022), not with the code under test.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from node.core.ledger import customer_account
from tests.histories.customers import POLICY, TOLERANCE, Asked, Customers

LogName = tuple[bytes, int]
"""Block hash and log index."""

Leg = tuple[str, str, int]
"""Debit account, credit account, minor units."""

GRACE_S = int(POLICY.late_grace.total_seconds())


def named(name: LogName) -> str:
    """A log as breaks and ledger keys name it."""
    return f"0x{name[0].hex()}:{name[1]}"


@dataclass
class _Request:
    """A request while deposits come in.

    Attributes:
        held: Minor units in suspense that count.
        waiting: Deposits that are these.
        surplus: What came above the amount.
        has_short_in_time: Whether a part came before the end.
    """

    asked: Asked
    held: int = 0
    waiting: list[LogName] = field(default_factory=list)
    surplus: int = 0
    is_paid: bool = False
    has_short_in_time: bool = False


@dataclass
class DepositTruth:
    """What became of deposits.

    Attributes:
        rows: Log -> (status, flags, owner, amount).
        legs: Log -> entries of its ledger transaction.
        requests: Request -> (status, surplus).
        must: Fingerprints of breaks that are open.
    """

    customers: Customers
    suspense: str
    chain_account: Mapping[bytes, str]
    rows: dict[LogName, tuple[str, tuple[str, ...], str | None, int]] = field(default_factory=dict)
    legs: dict[LogName, list[Leg]] = field(default_factory=dict)
    requests: dict[str, tuple[str, int]] = field(default_factory=dict)
    must: set[str] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)
    _open: dict[bytes, _Request] = field(default_factory=dict)

    def take_unknown(self, name: LogName, to: bytes, amount: int) -> None:
        """Money of nobody known, to an address of the node that is no deposit address."""
        self.rows[name] = ("held", (), None, amount)
        self.legs[name] = [(self.chain_account[to], self.suspense, amount)]
        self.must.add(f"B04:{named(name)}")
        self.kinds["deposit unknown"] += 1

    def take(self, name: LogName, to: bytes, amount: int, mined_s: int) -> None:
        """Money that came to a deposit address in a final block."""
        owner = self.customers.addresses[to]
        asked = self.customers.asked.get(to)
        if asked is None:
            self._credit(name, to, amount, ())
            self.kinds["deposit at large"] += 1
            return
        request = self._open.setdefault(to, _Request(asked))
        if request.is_paid:
            self._credit(name, to, amount, ("duplicate",))
            self.kinds["deposit duplicate"] += 1
        elif mined_s > asked.expires_s + GRACE_S:
            self.rows[name] = ("held", ("too_late",), str(owner.customer_id), amount)
            self.legs[name] = [(self.chain_account[to], self.suspense, amount)]
            self.must.add(f"B05:{named(name)}")
            self.kinds["deposit too late"] += 1
        else:
            self._take_in_time(request, name, to, amount, is_late=mined_s > asked.expires_s)

    def _take_in_time(
        self, request: _Request, name: LogName, to: bytes, amount: int, *, is_late: bool
    ) -> None:
        short = request.asked.amount - request.held - amount
        if short > TOLERANCE:
            self._hold(request, name, to, amount, is_late=is_late)
            return
        flags = {"paid_late"} if is_late else set()
        self.kinds["deposit late" if is_late else "deposit in time"] += 1
        if short > 0:
            flags.add("tolerated")
            self.kinds["deposit tolerated"] += 1
        if short < 0:
            flags.add("overpaid")
            self.kinds["deposit over"] += 1
        if request.held:
            self.kinds["deposit short, completed"] += 1
        self._credit(name, to, amount, tuple(sorted(flags)))
        theirs = self._account(to)
        if request.held:
            self.legs[name].append((self.suspense, theirs, request.held))
        if short > 0:
            self.legs[name].append(("loss/deposit_tolerance/USDC", theirs, short))
        for each in request.waiting:
            _, flags_before, owner, units = self.rows[each]
            self.rows[each] = ("credited", flags_before, owner, units)
            self.must.discard(f"B05:{named(each)}")
        request.held, request.waiting, request.is_paid = 0, [], True
        request.surplus = max(0, -short)

    def _hold(
        self, request: _Request, name: LogName, to: bytes, amount: int, *, is_late: bool
    ) -> None:
        owner = self.customers.addresses[to]
        self.rows[name] = ("held", ("short",), str(owner.customer_id), amount)
        self.legs[name] = [(self.chain_account[to], self.suspense, amount)]
        request.held += amount
        request.waiting.append(name)
        if is_late:
            self.must.add(f"B05:{named(name)}")
            self.kinds["deposit late and short"] += 1
        else:
            request.has_short_in_time = True

    def finish(self, final_s: int, names: Mapping[str, str]) -> None:
        """What requests are once the newest final block is of that time.

        Args:
            final_s: Of the newest final block.
            names: Request -> its name in breaks.
        """
        for address, asked in self.customers.asked.items():
            request = self._open.get(address, _Request(asked))
            if request.is_paid:
                self.requests[asked.id] = ("paid", request.surplus)
                continue
            is_over = final_s > asked.expires_s
            self.requests[asked.id] = ("expired" if is_over else "awaiting", 0)
            if is_over:
                self.kinds["request expired"] += 1
            if is_over and request.held:
                self.kinds["deposit short, expired"] += 1
                if request.has_short_in_time:  # what came late has told of itself
                    self.must.add(f"B05:{names[asked.id]}")

    def _credit(self, name: LogName, to: bytes, amount: int, flags: tuple[str, ...]) -> None:
        owner = self.customers.addresses[to]
        self.rows[name] = ("credited", flags, str(owner.customer_id), amount)
        self.legs[name] = [(self.chain_account[to], self._account(to), amount)]

    def _account(self, to: bytes) -> str:
        customer_id = self.customers.addresses[to].customer_id
        assert customer_id is not None
        return customer_account(customer_id, "USDC")
