"""What mirror and books must say of a history, derived from the canonical branch alone."""

from collections import defaultdict
from dataclasses import dataclass, field
from uuid import UUID

from node.core.ids import Prefix, encode_id
from node.core.ledger import WEI_PER_UNIT, chain_account, suspense_account
from node.core.units import Address
from tests.builders import CHAIN_ID
from tests.histories.chain import (
    FAILED,
    SETTLED,
    SKIPPED,
    VOIDED,
    Block,
    Log,
    Mined,
)
from tests.histories.deposit_truth import DepositTruth, Leg, LogName, named
from tests.histories.history import History
from tests.histories.lane import record_of
from tests.histories.parties import CONTRACT, EARLY, LANE, OTHER_TOKEN, OWN, TOKEN
from tests.histories.sayings import SAYINGS

_KINDS = {SETTLED: "settled", FAILED: "failed", SKIPPED: "skipped", VOIDED: "voided"}


@dataclass
class Derived:
    """The truth about one history.

    Attributes:
        blocks: Number -> (hash, status).
        token_logs: Log -> (from, to, amount, status) of all that the mirror must have.
        events: Log -> (kind, number, beneficiary, amount, payout's log index, status).
        notices: Log -> (contract, kind, subject, amount, status).
        strays: Log -> (token, from, to, amount, status).
        undecoded: Log -> (contract, topics, data, status).
        slots: Transaction of the lane -> (state, block, whether it succeeded) of its slot.
        deposits: What became of each.
        paid: Transaction -> token units that its final payouts of the node's transfers came to.
        swept: Log -> entries of sweeps and of what a stolen key moved inside the node.
        opening: Ledger key -> entries of what a deposit address held before the opening.
        settled: Numbers of transfers that are settled.
        voided: Numbers of transfers that are canceled.
        others: Numbers that somebody settled on other terms.
        orphaned: Own address -> units that left without a cause, and are not booked.
        held: Address -> token units at the final block, by the chain.
        native: Own address -> gwei, rounded down.
        must: Fingerprints of breaks that are open.
        may: Of such as may be open as well.
    """

    final: Block
    deposits: DepositTruth
    blocks: dict[int, tuple[bytes, str]] = field(default_factory=dict)
    token_logs: dict[LogName, tuple[object, ...]] = field(default_factory=dict)
    events: dict[LogName, tuple[object, ...]] = field(default_factory=dict)
    notices: dict[LogName, tuple[object, ...]] = field(default_factory=dict)
    strays: dict[LogName, tuple[object, ...]] = field(default_factory=dict)
    undecoded: dict[LogName, tuple[object, ...]] = field(default_factory=dict)
    slots: dict[bytes, tuple[str, bytes | None, bool | None]] = field(default_factory=dict)
    paid: dict[bytes, int] = field(default_factory=lambda: defaultdict(int))
    swept: dict[LogName, list[Leg]] = field(default_factory=dict)
    opening: dict[str, list[Leg]] = field(default_factory=dict)
    settled: set[int] = field(default_factory=set)
    voided: set[int] = field(default_factory=set)
    others: set[int] = field(default_factory=set)
    orphaned: dict[bytes, int] = field(default_factory=lambda: defaultdict(int))
    held: dict[bytes, int] = field(default_factory=dict)
    native: dict[bytes, int] = field(default_factory=dict)
    must: set[str] = field(default_factory=set)
    may: set[str] = field(default_factory=set)


class _Accounts(dict[bytes, str]):
    """Address -> its account."""

    def __missing__(self, address: bytes) -> str:
        return chain_account(CHAIN_ID, Address(address), "USDC")


class Derivation:
    """Reads the canonical branch above the block that the mirror opened with."""

    def __init__(self, history: History, start: int) -> None:
        self._history = history
        self._start = start
        self._own = frozenset((*OWN, *history.customers.addresses))
        self._strays_of = frozenset(OWN) if history.plan.is_crowded else self._own
        self._agreed = {each.payment_number: record_of(each) for each in history.transfers}
        self._accounts = _Accounts()
        final = history.chain.at(history.final_number())
        assert final is not None
        suspense = suspense_account(CHAIN_ID, "USDC")
        self.found = Derived(final, DepositTruth(history.customers, suspense, self._accounts))

    def derive(self) -> Derived:
        """Everything."""
        found = self.found
        self._open()
        sent = [each for each in self._history.traffic.pool if each.nonce is not None]
        found.slots = {each.hash: ("submitted", None, None) for each in sent}
        canonical = self._history.chain.canonical()
        for block in canonical[self._start :]:
            status = "final" if block.number <= found.final.number else "seen"
            found.blocks[block.number] = (block.hash, status)
            if block.number > self._start:
                self._read(block, status)
                self._include(block, "final" if status == "final" else "included")
        world = found.final.world
        held = {each: world.tokens.get(each, 0) for each in self._own}
        found.held = {each: units for each, units in held.items() if units or each in OWN}
        found.native = {each: world.wei.get(each, 0) // WEI_PER_UNIT for each in OWN}
        names = {
            each.id: encode_id(Prefix.PAYMENT_REQUEST, UUID(each.id))
            for each in self._history.customers.asked.values()
        }
        found.deposits.finish(found.final.time_s, names)
        found.must |= found.deposits.must
        return found

    def _include(self, block: Block, state: str) -> None:
        for each in block.mined:
            if each.tx.nonce is not None:
                self.found.slots[each.tx.hash] = (state, block.hash, each.succeeded)

    def _open(self) -> None:
        """What was there before anybody could know whose it is."""
        for address in self._history.customers.early:
            key = f"opening:{CHAIN_ID}/0x{address.hex()}/USDC"
            legs = [(self._accounts[address], self.found.deposits.suspense, EARLY)]
            self.found.opening[key] = legs
            self.found.must.add(f"B04:opening:0x{address.hex()}")

    def _read(self, block: Block, status: str) -> None:
        paying: tuple[int, Log] | None = None
        for index, _, mined, log in block.logs():
            name = (block.hash, index)
            saying = SAYINGS.get(log)
            if saying is not None:
                self._hear(name, log, status)
            elif log.address == TOKEN:
                if _word(log, 1) == CONTRACT and _next_is_settled(block, index):
                    paying = (index, log)
                else:
                    self._move(name, mined, log, block, status)
            elif log.address == OTHER_TOKEN:
                self._stray(name, log, status)
            elif log.address == CONTRACT:
                self._event(name, mined, log, paying, block, status)
                paying = None

    def _hear(self, name: LogName, log: Log, status: str) -> None:
        saying, found = SAYINGS[log], self.found
        if saying.kind == "undecoded":
            found.undecoded[name] = (log.address, log.topics, log.data, status)
        elif saying.kind:
            said = (log.address, saying.kind, saying.subject, saying.amount, status)
            found.notices[name] = said
        if status != "final" or not saying.code:
            return
        about = f"{CHAIN_ID}:{saying.about}" if saying.about else named(name)
        if saying.is_end:
            found.must.discard(f"{saying.code}:{about}")
        else:
            found.must.add(f"{saying.code}:{about}")

    def _stray(self, name: LogName, log: Log, status: str) -> None:
        sender, receiver = _word(log, 1), _word(log, 2)
        if sender in self._strays_of or receiver in self._strays_of:
            amount = int.from_bytes(log.data)
            self.found.strays[name] = (log.address, sender, receiver, amount, status)

    def _move(self, name: LogName, mined: Mined, log: Log, block: Block, status: str) -> None:
        """A transfer of the token that is no payout."""
        sender, receiver, amount = _word(log, 1), _word(log, 2), int.from_bytes(log.data)
        if sender not in self._own and receiver not in self._own:
            return
        self.found.token_logs[name] = (sender, receiver, amount, status)
        if status != "final" or amount == 0 or sender == receiver:
            return
        deposits = self._history.customers.addresses
        if sender in self._own:
            self._leave(name, sender, receiver, amount)
        elif receiver in deposits:
            self.found.deposits.take(name, receiver, amount, block.time_s)
        else:
            self.found.deposits.take_unknown(name, receiver, amount)

    def _leave(self, name: LogName, sender: bytes, receiver: bytes, amount: int) -> None:
        """What left an address of the node without a payment."""
        is_sweep = sender in self._history.customers.addresses and receiver == CONTRACT
        if not is_sweep:
            self.found.must.add(f"B06:{named(name)}")
        if receiver in self._own:
            legs = [(self._accounts[receiver], self._accounts[sender], amount)]
            self.found.swept[name] = legs
        else:
            self.found.orphaned[sender] += amount

    def _event(
        self,
        name: LogName,
        mined: Mined,
        log: Log,
        paying: tuple[int, Log] | None,
        block: Block,
        status: str,
    ) -> None:
        kind, number = _KINDS[log.topics[0]], int.from_bytes(log.topics[1])
        beneficiary = amount = at = None
        if kind == "settled":
            assert paying is not None
            at, moved = paying
            beneficiary, amount = _word(moved, 2), int.from_bytes(moved.data)
            self._settled(paying, name, mined, number, block, status)
        elif kind == "voided" and status == "final" and number in self._agreed:
            self.found.voided.add(number)
            if mined.tx.sender != LANE:  # unless the lane asked for it, too, it is told
                self.found.may.add(f"B10:{named(name)}")
        self.found.events[name] = (kind, number, beneficiary, amount, at, status)

    def _settled(
        self,
        paying: tuple[int, Log],
        name: LogName,
        mined: Mined,
        number: int,
        block: Block,
        status: str,
    ) -> None:
        index, moved = paying
        payout = (block.hash, index)
        receiver, amount = _word(moved, 2), int.from_bytes(moved.data)
        record = self._agreed.get(number)
        assert record is not None
        self.found.token_logs[payout] = (CONTRACT, receiver, amount, status)
        if status != "final":
            return
        if (record.beneficiary, record.amount) != (receiver, amount):
            self.found.others.add(number)
            self.found.must |= {f"B10:{named(name)}", f"B06:{named(payout)}"}
            self.found.orphaned[CONTRACT] += amount
            return
        assert number not in self.found.settled, "the model paid a number twice"
        self.found.settled.add(number)
        self.found.paid[mined.tx.hash] += amount
        if receiver in self._history.customers.addresses:
            self.found.deposits.take(payout, receiver, amount, block.time_s)
            self.found.deposits.kinds["deposit by payout"] += 1


def _next_is_settled(block: Block, index: int) -> bool:
    """Whether the log after this one is the Settled that it paid."""
    logs = [log for _, _, _, log in block.logs()]
    following = logs[index + 1] if index + 1 < len(logs) else None
    return (
        following is not None
        and following.address == CONTRACT
        and following.topics[0] == SETTLED
        and following not in SAYINGS
    )


def _word(log: Log, place: int) -> bytes:
    return log.topics[place][-20:]


def booked(found: Derived) -> dict[bytes, int]:
    """Address -> what its account in the ledger holds: the chain, and what is not booked."""
    held = {each: units + found.orphaned.get(each, 0) for each, units in found.held.items()}
    return {each: units for each, units in held.items() if units or each in OWN}
