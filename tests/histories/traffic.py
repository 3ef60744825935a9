"""What is sent in a history besides the lane's own transactions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random  # noqa: TID251 - a seeded history, no secret

from tests.histories.chain import Block, ModelChain, Record, Tx, in_nonce_order
from tests.histories.customers import Customers
from tests.histories.lane import Lane, record_of
from tests.histories.parties import CONTRACT, FLOAT, LANE, OWN, STRANGERS, TREASURY
from tests.histories.plan import Plan
from tests.histories.sayings import some_saying


@dataclass
class Traffic:
    """Makes transactions, and chooses what a block holds.

    Attributes:
        pool: Everything that was ever sent: it may be mined on any branch.
    """

    chance: Random
    chain: ModelChain
    plan: Plan
    customers: Customers
    lane: Lane
    pool: list[Tx]
    _sent: int = 0

    def name(self) -> bytes:
        """The hash of the next transaction."""
        self._sent += 1
        return self.chance.randbytes(24) + self._sent.to_bytes(8)

    def send_some(self) -> None:
        """New transactions of everybody but the lane."""
        for _ in range(self.chance.choice((0, 0, 1, 1, 2))):
            self.pool.append(self._one())

    def choose(self, on: Block) -> list[Tx]:
        """What a block on this one holds: some of what waits, in any order nonces allow."""
        waiting = self.chain.waiting(self.pool, on)
        taken = [each for each in waiting if self.chance.random() < 0.7]
        if self.chance.random() < 0.15:
            taken = []
        self.chance.shuffle(taken)
        taken.sort(key=lambda each: each.nonce or 0)  # stable; strangers stay mixed in
        if taken and self.chance.random() < 0.5:  # the same transactions, other log indexes
            taken.insert(0, Tx(self.name(), STRANGERS[0], noise=self.chance.randint(1, 3)))
        return in_nonce_order(taken, on.world.nonces)

    def many(self) -> Tx:
        """More transfers to the node in one transaction than a block is read by receipts for."""
        to = (*OWN, *self.customers.used[-3:])
        payer = self.chance.choice(STRANGERS)
        moves = [(payer, self.chance.choice(to), self.chance.randint(1, 9)) for _ in range(20)]
        return self._tx(payer, moves=moves)

    def _one(self) -> Tx:
        chance = self.chance
        if self.plan.strangers and self.lane.written and chance.random() < 0.15:
            return self._of_operator()
        if self.plan.has_theft and chance.random() < 0.06:
            stolen = chance.randint(1, 10_000)
            return self._tx(STRANGERS[1], moves=[(TREASURY, STRANGERS[1], stolen)])
        if chance.random() < 0.45 and (paid := self.customers.some_payment()) is not None:
            address, amounts = paid
            payer = chance.choice(STRANGERS)
            return self._tx(payer, moves=[(payer, address, each) for each in amounts])
        return self._of_anybody()

    def _of_anybody(self) -> Tx:
        chance, stranger = self.chance, self.chance.choice(STRANGERS)
        amount = chance.randint(1, 10_000_000)
        deposits = self.customers.used
        own = chance.choice((*OWN, *deposits[-3:]))
        kinds: list[Callable[[], Tx]] = [
            lambda: self._tx(stranger, moves=[(stranger, own, amount)]),
            lambda: self._tx(stranger, moves=[(stranger, own, amount)] * 2),
            lambda: self._tx(stranger, moves=[(own, stranger, 0)]),  # poison
            lambda: self._tx(stranger, moves=[(stranger, STRANGERS[0], amount)]),
            lambda: self._tx(stranger, moves=[(stranger, own, FLOAT * 10)]),  # reverts
            lambda: self._tx(stranger, strays=[(stranger, own, amount)]),
            lambda: self._tx(stranger, moves=[(TREASURY, TREASURY, amount)]),
            lambda: self._tx(stranger, noise=2, moves=[(stranger, own, 1)]),
            lambda: self._tx(stranger, says=[some_saying(chance), some_saying(chance)]),
            lambda: self._tx(stranger, gives=[(chance.choice((TREASURY, LANE)), amount * 10**4)]),
        ]
        if deposits:
            swept = chance.choice(deposits)
            part = chance.randint(1, 10_000)
            kinds += [lambda: self._tx(stranger, moves=[(swept, CONTRACT, part)])] * 2
        return chance.choice(kinds)()

    def _of_operator(self) -> Tx:
        """Somebody else who may settle and void uses a number of the node's."""
        known = [e for e in self.lane.transfers if e.payment_number in self.lane.written]
        record = record_of(self.chance.choice(known))
        if self.plan.strangers == "void":
            return self._tx(STRANGERS[1], voids=[record.number])
        if self.plan.strangers == "other":
            record = Record(record.number, STRANGERS[1], record.amount // 2)
        return self._tx(STRANGERS[1], pays=[record])

    def _tx(self, sender: bytes, **what: Sequence[object] | int) -> Tx:
        return Tx(self.name(), sender, **what)  # type: ignore[arg-type]
