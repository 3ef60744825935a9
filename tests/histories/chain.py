"""A chain as a model: a tree of blocks with transactions, logs, balances and blooms.

It knows two contracts as far as a mirror can see them: a token, and the settlement contract that
pays numbers from its own balance. Every block keeps the state after it, so any branch may become
the canonical one. Not here: what providers tell of it (`provider.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256

from eth_utils.crypto import keccak

from tests.histories.parties import CONTRACT, NOISE, OTHER_TOKEN, TOKEN

GAS_USED = 50_000
GAS_PRICE_WEI = 3 * 10**9 + 7
_GENESIS_S = 1_700_000_000
_BRANCHES_KEPT = 16


def topic_of(signature: str) -> bytes:
    """The first topic of an event."""
    return bytes(keccak(text=signature))


TRANSFER = topic_of("Transfer(address,address,uint256)")
SETTLED = topic_of("Settled(uint64)")
FAILED = topic_of("Failed(uint64,bytes)")
SKIPPED = topic_of("Skipped(uint64)")
VOIDED = topic_of("Voided(uint64)")
_NOISE = topic_of("Noise()")


@dataclass(frozen=True, slots=True)
class Log:
    """One log, without its place."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Record:
    """One payment of a batch."""

    number: int
    beneficiary: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class Tx:
    """One transaction: who sends it, and what it does where it is mined.

    Attributes:
        nonce: Of a lane; None: of a stranger whose nonces nobody counts.
        moves: Token transfers (from, to, amount); those that the balance does not allow revert.
        pays: Records the settlement contract is given.
        voids: Numbers the settlement contract voids.
        noise: So many logs that concern nobody, before all others.
        strays: Transfers that another token claims.
        says: Logs of watched contracts that move nothing.
        gives: Native coin that comes with it (to, wei), from nobody the model counts.
        reverts: It uses its gas and does nothing.
    """

    hash: bytes
    sender: bytes
    nonce: int | None = None
    moves: Sequence[tuple[bytes, bytes, int]] = ()
    pays: Sequence[Record] = ()
    voids: Sequence[int] = ()
    noise: int = 0
    strays: Sequence[tuple[bytes, bytes, int]] = ()
    says: Sequence[Log] = ()
    gives: Sequence[tuple[bytes, int]] = ()
    reverts: bool = False


@dataclass(slots=True)
class World:
    """The state after a block."""

    tokens: dict[bytes, int] = field(default_factory=dict)
    wei: dict[bytes, int] = field(default_factory=dict)
    nonces: dict[bytes, int] = field(default_factory=dict)
    used: frozenset[int] = frozenset()
    denied: frozenset[bytes] = frozenset()

    def copy(self) -> "World":
        """Another one that says the same."""
        return World(dict(self.tokens), dict(self.wei), dict(self.nonces), self.used, self.denied)


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction in a block, and what it did there."""

    tx: Tx
    succeeded: bool
    logs: Sequence[Log]


@dataclass(frozen=True, slots=True)
class Block:
    """One block of the tree.

    Attributes:
        sent: Hashes of all transactions up to it.
    """

    number: int
    hash: bytes
    parent: "Block | None"
    mined: Sequence[Mined]
    world: World
    bloom: int
    sent: frozenset[bytes] = frozenset()

    @property
    def time_s(self) -> int:
        """When it was mined: a block each second."""
        return _GENESIS_S + self.number

    def logs(self) -> Iterator[tuple[int, int, Mined, Log]]:
        """Log index, place of the transaction, the transaction, the log."""
        index = 0
        for place, mined in enumerate(self.mined):
            for log in mined.logs:
                yield index, place, mined, log
                index += 1


class ModelChain:
    """The tree, and which block is its canonical head.

    Attributes:
        tagged: Number of the block tagged `finalized`; None: this chain has no such tag.
        has_bloom: Whether headers have bloom filters; some chains give zeros.
    """

    def __init__(self, world: World, *, has_bloom: bool = True) -> None:
        self.head = Block(0, sha256(b"genesis").digest(), None, (), world, 0)
        self.by_hash: dict[bytes, Block] = {self.head.hash: self.head}
        self.tagged: int | None = None
        self.has_bloom = has_bloom
        self._made = 0
        self._branches: dict[bytes, list[Block]] = {}

    def mine(self, txs: Sequence[Tx], *, on: Block | None = None) -> Block:
        """A new block on `on` (the head, unless said otherwise); it does not become the head."""
        parent = on or self.head
        self._made += 1
        world, sent = parent.world, parent.sent
        if txs:
            world, sent = world.copy(), sent | {each.hash for each in txs}
        mined = [_execute(world, each) for each in txs]
        content = b"".join(each.hash for each in txs)
        name = sha256(parent.hash + self._made.to_bytes(8) + content).digest()
        logs = [log for each in mined for log in each.logs] if self.has_bloom else []
        block = Block(parent.number + 1, name, parent, mined, world, bloom_of(logs), sent)
        self.by_hash[name] = block
        return block

    def extend(self, txs: Sequence[Tx]) -> Block:
        """A new block that becomes the head."""
        self.head = self.mine(txs)
        return self.head

    def canonical(self, head: Block | None = None) -> list[Block]:
        """From genesis to the head, in order."""
        top = head or self.head
        known = self._branches.get(top.hash)
        if known is not None:
            return known
        above: list[Block] = []
        block: Block | None = top
        while block is not None and block.hash not in self._branches:
            above.append(block)
            block = block.parent
        found = [*(self._branches[block.hash] if block is not None else ()), *reversed(above)]
        if len(self._branches) >= _BRANCHES_KEPT:
            self._branches.pop(next(iter(self._branches)))
        self._branches[top.hash] = found
        return found

    def at(self, number: int, head: Block | None = None) -> Block | None:
        """The block of that number on the branch of `head`."""
        branch = self.canonical(head)
        return branch[number] if 0 <= number < len(branch) else None

    def waiting(self, pool: Sequence[Tx], on: Block) -> list[Tx]:
        """Those of the pool that are not mined up to `on`."""
        return [each for each in pool if each.hash not in on.sent]


def in_nonce_order(txs: Sequence[Tx], nonces: Mapping[bytes, int]) -> list[Tx]:
    """Those of these that a block may hold in this order: of a lane, the next nonces only."""
    following = dict(nonces)
    taken = []
    for each in txs:
        if each.nonce is None:
            taken.append(each)
        elif each.nonce == following.get(each.sender, 0):
            following[each.sender] = each.nonce + 1
            taken.append(each)
    return taken


def bloom_of(logs: Sequence[Log]) -> int:
    """The filter of these logs."""
    bloom = 0
    for log in logs:
        for item in (log.address, *log.topics):
            bloom |= _bits(item)
    return bloom


def _execute(world: World, tx: Tx) -> Mined:
    if tx.nonce is not None:
        world.nonces[tx.sender] = tx.nonce + 1
        world.wei[tx.sender] = world.wei.get(tx.sender, 0) - GAS_USED * GAS_PRICE_WEI
    if tx.reverts:
        return Mined(tx, succeeded=False, logs=())
    logs = [Log(NOISE, (_NOISE,)) for _ in range(tx.noise)]
    before = dict(world.tokens)
    for sender, receiver, amount in tx.moves:
        if not _move(world, sender, receiver, amount):
            world.tokens = before
            return Mined(tx, succeeded=False, logs=())
        logs.append(_transfer(TOKEN, sender, receiver, amount))
    for record in tx.pays:
        logs += _pay(world, record)
    for number in tx.voids:
        if number in world.used:
            logs.append(_event(SKIPPED, number))
        else:
            world.used |= {number}
            logs.append(_event(VOIDED, number))
    logs += [_transfer(OTHER_TOKEN, *each) for each in tx.strays]
    logs += tx.says
    for receiver, wei in tx.gives:
        world.wei[receiver] = world.wei.get(receiver, 0) + wei
    return Mined(tx, succeeded=True, logs=tuple(logs))


def _pay(world: World, record: Record) -> list[Log]:
    if record.number in world.used:
        return [_event(SKIPPED, record.number)]
    denied = record.beneficiary in world.denied
    if denied or not _move(world, CONTRACT, record.beneficiary, record.amount):
        reason = b"\x08\xc3\x79\xa0"
        data = b"".join(each.to_bytes(32) for each in (32, len(reason))) + reason.ljust(32, b"\0")
        return [Log(CONTRACT, (FAILED, record.number.to_bytes(32)), data)]
    world.used |= {record.number}
    paid = _transfer(TOKEN, CONTRACT, record.beneficiary, record.amount)
    return [paid, _event(SETTLED, record.number)]


def _move(world: World, sender: bytes, receiver: bytes, amount: int) -> bool:
    if world.tokens.get(sender, 0) < amount:
        return False
    world.tokens[sender] = world.tokens.get(sender, 0) - amount
    world.tokens[receiver] = world.tokens.get(receiver, 0) + amount
    return True


def _transfer(token: bytes, sender: bytes, receiver: bytes, amount: int) -> Log:
    topics = (TRANSFER, sender.rjust(32, b"\0"), receiver.rjust(32, b"\0"))
    return Log(token, topics, amount.to_bytes(32))


def _event(topic: bytes, number: int) -> Log:
    return Log(CONTRACT, (topic, number.to_bytes(32)))


@lru_cache(maxsize=100_000)
def _bits(item: bytes) -> int:
    """The three bits of one item in a logs bloom (yellow paper, 4.3.1)."""
    digest = keccak(item)
    bits = 0
    for start in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[start : start + 2]) % 2048)
    return bits
