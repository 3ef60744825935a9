"""Seeded histories of a chain that reorganises itself, read through providers that lag and lie.

What is under test is real: providers' chooser, reader, mirror, finality, deposits, ledger and
reconciliation over PostgreSQL. The chain is a model (`chain.py`), so that what the books must say
follows from its canonical branch alone (`derivation.py`). Transfers are accepted and written by the
real store; the lane that would send them is the history itself. No reorg reaches below what is
final.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random  # noqa: TID251 - a seeded history, no secret
from typing import Self

from adapters.evm.reader import EvmReader
from adapters.evm.rpc import ProviderRules, Providers
from adapters.machine import new_id
from node.core.errors import ChainUnavailable
from node.core.mirror import Cursor, Watch
from node.core.ports.transfers import Transfer
from node.core.signing import KeyRole
from node.core.units import Address
from node.services.deposits.request_expiry import RequestExpiry
from node.services.mirror.final_agreement import WITNESSES_MIN
from node.services.mirror.mirroring import MirrorService
from node.services.reconciliation.reconciling import ReconciliationService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import CHAIN_ID, LedgerNode, target
from tests.histories.chain import Block, ModelChain, Tx, World
from tests.histories.customers import POLICY, Customers
from tests.histories.lane import Lane
from tests.histories.parties import (
    BUY,
    CONTRACT,
    DEPTH_BLOCKS,
    EARLY,
    FACTORY,
    FLOAT,
    LANE,
    OWN,
    STRANGERS,
    TOKEN,
    TRANSFERS,
    TREASURY,
)
from tests.histories.plan import Plan
from tests.histories.provider import GATE, Gate, ModelRpc, Mood
from tests.histories.traffic import Traffic

_WEI = 10**18
_PASSES_MAX = 60
_PATIENCE = 12
"""Passes after which it is plain that the mirror waits."""

_IN_DOUBT_S = 10_000
_INCLUDED_IN_NOTHING = """
SELECT EXISTS (SELECT FROM slot s JOIN block b ON b.hash = s.included_block_hash
    WHERE s.state = 'included' AND b.status = 'orphaned')
"""
WATCH = Watch(CHAIN_ID, CONTRACT, TOKEN, "USDC", "ETH", frozenset(OWN), FACTORY)


@dataclass
class History:
    """One history.

    Attributes:
        branches: Heads that were given up.
        kinds: What happened, and how often.
        halted: Whether the mirror ever stood still before a reorg past finality.
    """

    seed: int
    chance: Random
    plan: Plan
    chain: ModelChain
    rpcs: list[ModelRpc]
    database: Database
    node: LedgerNode
    customers: Customers
    kinds: Counter[str]
    transfers: list[Transfer] = field(default_factory=list)
    branches: list[Block] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    final_seen: dict[int, bytes] = field(default_factory=dict)
    halted: bool = False
    now_s: int = 0
    _moves_in: int = 0
    _newest: int = 0
    _mirrors: list[MirrorService] = field(default_factory=list)
    _readers: list[EvmReader] = field(default_factory=list)
    _traffic: Traffic | None = None

    @classmethod
    async def open(cls, database: Database, seed: int) -> Self:
        """A node that has begun to mirror a chain of a few blocks, with some transfers accepted."""
        chance = Random(seed)
        plan = Plan.of(chance)
        world = World(
            tokens={CONTRACT: FLOAT, TREASURY: FLOAT // 7, **dict.fromkeys(STRANGERS, FLOAT)},
            wei={CONTRACT: 0, TREASURY: _WEI, LANE: _WEI + chance.randrange(10**9)},
        )
        node = LedgerNode(StoreUnits(database), target(contract=CONTRACT, holders=OWN))
        payer = await node.remitter(eur_minor=100_000_000)
        customers = Customers(chance, node.units, database, [payer, await node.remitter()])
        if plan.is_crowded:
            await customers.add_crowd(payer)
        if plan.has_early:
            early = Address(b"\xde" + chance.randbytes(19))
            await customers.add_standing(payer, early)
            world.tokens[early] = EARLY
            customers.early.append(early)
        chain = ModelChain(world, has_bloom=plan.has_bloom)
        for _ in range(DEPTH_BLOCKS + 1):
            chain.extend(())
        rpcs = [ModelRpc(f"p{n}", chain, chance, CHAIN_ID) for n in range(plan.providers)]
        kinds = Counter(plan.kinds())
        history = cls(seed, chance, plan, chain, rpcs, database, node, customers, kinds)
        await history._begin()
        return history

    async def _begin(self) -> None:
        self._newest = self.chain.head.number
        self._tag(near=True)
        self.restart()
        assert await self._mirrors[0].run_once() == 1
        [payer, other] = self.customers.owners
        self.transfers += await self.node.funded(payer, TRANSFERS, sell_minor=100, buy_minor=BUY)
        if self.plan.pays_inside:
            await self.customers.add_standing(other, self.transfers[0].beneficiary_address)
        if self.plan.denied:  # its batch pays the others, and this one waits
            denied = self.chance.choice(self.transfers).beneficiary_address
            self.chain.head.world.denied = frozenset({denied})
        lane = Lane(
            self.chance, self.node.units, self.database, self.transfers, self.plan.reverting
        )
        self._traffic = Traffic(self.chance, self.chain, self.plan, self.customers, lane, [])
        for rpc in self.rpcs:
            rpc.asked = self._asked

    # ---------------------------------------------------------------------------- the program

    @property
    def traffic(self) -> Traffic:
        """What is sent."""
        assert self._traffic is not None
        return self._traffic

    def restart(self) -> None:
        """New processes: nothing is remembered but the database."""
        self._mirrors, self._readers = [], []
        for _ in range(self.plan.mirrors):
            providers = Providers(
                self.rpcs,
                chain_id=CHAIN_ID,
                now_s=lambda: self.now_s,
                rules=ProviderRules(heads_every_s=1),
            )
            reader = EvmReader(providers, WATCH)
            self._readers.append(reader)
            self._mirrors.append(
                MirrorService(
                    units=self.node.units,
                    reader=reader,
                    watch=WATCH,
                    lanes={LANE: KeyRole.SETTLE},
                    finality=self.plan.finality,
                    new_id=new_id,
                    deposit_policy=POLICY,
                )
            )

    def reconciliation(self) -> ReconciliationService:
        """Reconciliation of the process that runs now."""
        return ReconciliationService(
            units=self.node.units, reader=self._readers[0], watch=WATCH, new_id=new_id
        )

    async def cursor(self) -> Cursor:
        """How far the mirror has come."""
        found = await self._mirrors[0].cursor()
        assert found is not None
        return found

    async def follow(self, *, at_rest: bool = True) -> int:
        """One pass of each process, or of one, or of all at once, or each inside the other.

        Args:
            at_rest: The chain does not move meanwhile.
        """
        self.now_s += 1
        way = self.chance.choice(("one", "at once", "overlapping", "overlapping"))
        if len(self._mirrors) == 1 or way == "one":
            moved = await self._pass(self.chance.choice(self._mirrors))
        elif way == "at once":
            self.kinds["passes at once"] += 1
            moved = sum(await asyncio.gather(*map(self._pass, self._mirrors)))
        else:
            self.kinds["passes that overlap"] += 1
            moved = await self._overlap(self._rests if at_rest else self._moves_perhaps)
        cursor = await self.cursor()
        # One that is alone and sits on a branch that was given up cannot be told from the chain.
        self.halted |= cursor.halted_reason is not None
        assert not self.halted or len(self.rpcs) == 1, "a reorg above finality halted the mirror"
        newest = max(self.final_seen, default=cursor.final.number)
        assert cursor.final.number >= newest, "the final block moved back"
        known = self.final_seen.setdefault(cursor.final.number, cursor.final.hash)
        assert known == cursor.final.hash, "a final block was replaced"
        async with self.database.transaction() as connection:
            is_lost = await connection.raw.fetchval(_INCLUDED_IN_NOTHING)
        assert not is_lost, "a slot is included in a block that was given up"
        return moved

    async def _overlap(self, then: Callable[[], None]) -> int:
        """Each process is held up in its pass, at any request; they go on in any order."""
        passes: list[tuple[Gate, asyncio.Task[int]]] = []
        for mirror in self.chance.sample(self._mirrors, len(self._mirrors)):
            gate = Gate(self.chance.randint(1, 12))
            passes.append((gate, asyncio.create_task(self._held_up(mirror, gate))))
            await gate.reached.wait()
            then()
        self.chance.shuffle(passes)
        moved = 0
        try:
            for gate, task in passes:
                gate.let_go()
                moved += await task
                then()
        finally:
            for gate, _ in passes:
                gate.let_go()
            await asyncio.wait([task for _, task in passes])
        return moved

    async def _held_up(self, mirror: MirrorService, gate: Gate) -> int:
        GATE.set(gate)
        try:
            return await self._pass(mirror)
        finally:
            gate.reached.set()

    def _rests(self) -> None:
        """Nothing happens."""

    def _moves_perhaps(self) -> None:
        if self.chance.random() < 0.6:
            self.chance.choice((self._mine, self._mine, self._reorganise, self._return))()

    async def _pass(self, mirror: MirrorService) -> int:
        """A provider that is away or contradicts itself moves nothing."""
        ranges = sum(each.ranges for each in self.rpcs)
        try:
            return await mirror.run_once()
        except ChainUnavailable as error:
            self.log.append(f"pass: {error}")
            self.kinds["passes that waited"] += 1
            return 0
        finally:
            self.kinds["passes by range"] += sum(each.ranges for each in self.rpcs) > ranges

    async def expire(self) -> None:
        """The job that expires payment requests."""
        service = RequestExpiry(self.node.units, CHAIN_ID, new_id)
        self.kinds["requests expired"] += await service.run_once()

    # --------------------------------------------------------------------------- the history

    async def play(self, actions: int) -> None:
        """So many actions, with passes of the mirror in between."""
        deeds: Sequence[tuple[int, Callable[[], None]]] = (
            (8, self._mine),
            (3, self._reorganise),
            (1, self._return),
            (3, self._change_moods),
            (1, self._reorganise_in_the_middle),
            (1, self.restart),
            (1, self._mine_many),
        )
        weights = [weight for weight, _ in deeds]
        for _ in range(actions):
            [(_, deed)] = self.chance.choices(deeds, weights)
            if deed == self._mine_many or self.chance.random() < 0.35:
                self._pool(await self.traffic.lane.write())
            if self.chance.random() < 0.2:
                await self.customers.ask(self.chain.head.time_s)
            self.log.append(deed.__name__)
            self.kinds[deed.__name__.strip("_").replace("_", " ")] += 1
            deed()
            if self.chance.random() < 0.1:
                await self.expire()
            for _ in range(self.chance.choice((0, 0, 1, 1, 1))):
                await self.follow(at_rest=False)

    def _pool(self, tx: Tx | None) -> None:
        if tx is not None:
            self.traffic.pool.append(tx)
            self.kinds["voids" if tx.voids else "batches"] += 1

    async def drain(self) -> None:
        """The chain goes on and the mirror comes to rest, whatever one of its providers does.

        Where two of them have other chains for good, nothing becomes final above the fork, and a
        break says so; once they agree it is over. Where one of two stands still, nothing becomes
        final above its head.
        """
        liar = self._set_lasting()
        fork = self.chain.head.number
        self._moves_in = 0
        for _ in range(DEPTH_BLOCKS + 3):
            self._mine()
        self._tag(near=True)
        self.now_s += _IN_DOUBT_S  # no provider is in doubt any more
        if liar is not None and liar.mood is Mood.PARTED:
            await self._wait_for_them_to_agree(fork)
        elif liar is not None and liar.is_elsewhere and len(self.rpcs) <= WITNESSES_MIN:
            await self._wait_for_the_other(liar.head.number)
        else:
            await self._rest()
        if liar is not None:  # what it kept from being told is told with the next final block
            self._set_honest()
            for _ in range(DEPTH_BLOCKS):
                self._mine()
            self._tag(near=True)
            self.now_s += _IN_DOUBT_S
            await self._rest()
        while await RequestExpiry(self.node.units, CHAIN_ID, new_id).run_once():
            pass

    async def _rest(self) -> None:
        """Until the mirror is at the head; where a provider lags, or its tag, that much behind."""
        slow = (Mood.LAGS, Mood.TAG_BACK)
        lag = max((each.lag for each in self.rpcs if each.mood in slow), default=0)
        head, final = self.chain.head, self.final_number()
        cursor = await self.cursor()
        for _ in range(_PASSES_MAX):
            await self.follow()
            cursor = await self.cursor()
            at = self.chain.at(cursor.head.number)
            if (
                at is not None
                and at.hash == cursor.head.hash
                and at.number >= head.number - lag
                and cursor.final.number >= final - lag
            ):
                return
        moods = ", ".join(f"{each.name} {each.mood.value}" for each in self.rpcs)
        where = f"{cursor.final.number} of {final}, {cursor.head.number} of {head.number}"
        raise AssertionError(f"the mirror never comes to rest ({moods}): {where}; {self.log[-6:]}")

    async def _wait_for_them_to_agree(self, fork: int) -> None:
        for _ in range(_PATIENCE):
            await self.follow()
            cursor = await self.cursor()
            assert cursor.final.number <= fork, "a block became final that providers differ about"
        async with self.database.transaction() as connection:
            found = await connection.raw.fetchval(
                "SELECT count(*) FROM reconciliation_break"
                " WHERE resolved_at IS NULL AND fingerprint = $1",
                f"B19:{CHAIN_ID}:providers",
            )
        assert found == 1, "providers differ for good, and nobody is told"

    async def _wait_for_the_other(self, head: int) -> None:
        """Nothing becomes final above the head of one that stands still."""
        highest = max(head, (await self.cursor()).final.number)
        for _ in range(_PATIENCE):
            await self.follow()
            cursor = await self.cursor()
            assert cursor.final.number <= highest, "one of two alone made a block final"

    def _set_honest(self) -> None:
        for rpc in self.rpcs:
            rpc.mood = Mood.HONEST

    def _set_lasting(self) -> ModelRpc | None:
        """How they are to the end; the one that is not honest."""
        self._set_honest()
        if self.plan.lasting is Mood.HONEST:
            return None
        return self._set_mood(self.chance.choice(self.rpcs), self.plan.lasting)

    def _set_mood(self, rpc: ModelRpc, mood: Mood) -> ModelRpc:
        rpc.mood, rpc.lag = mood, self.chance.randint(1, 6)
        rpc.view = self.chain.head
        if mood is Mood.ELSEWHERE:
            rpc.view = self.chance.choice(self.branches) if self.branches else None
        self.log.append(f"{rpc.name} {mood.value}")
        return rpc

    def _mine(self) -> None:
        """A block on the head, with some new transactions and some of those that wait."""
        self.traffic.send_some()
        self.chain.extend(self.traffic.choose(self.chain.head))
        self._grown()

    def _mine_many(self) -> None:
        """A stretch that the mirror can only catch up with in bulk, perhaps with a full block."""
        if self.chance.random() < 0.6:
            self._set_honest()
            self._set_mood(self.chance.choice(self.rpcs), Mood.HIDES)
        blocks = self.chance.randint(80, 140)
        # None, the first (with what waited for it, perhaps of the lane), or a later one
        full = self.chance.choice((0, 1, 1, self.chance.randrange(2, blocks - 20)))
        for place in range(blocks):
            if full and place == full:
                self.traffic.pool.append(self.traffic.many())
                self.kinds["full blocks"] += 1
            if place % 10 == 9 or place == full:
                self._mine()
            else:
                self.chain.extend(())
        self._grown()

    def _reorganise(self) -> None:
        """Another branch from above the final block; it may be as short as one block more."""
        deepest = min(DEPTH_BLOCKS, self.chain.head.number - self._floor())
        if deepest < 1:
            return
        depth = self.chance.randint(1, deepest)
        old = self.chain.head
        self.branches.append(old)
        fork = self.chain.at(old.number - depth)
        assert fork is not None
        block = fork
        for _ in range(depth + self.chance.choice((0, 1, 1, 2))):
            self.traffic.send_some()
            block = self.chain.mine(self.traffic.choose(block), on=block)
        self.chain.head = block
        self.kinds["reorgs"] += 1
        self.log.append(f"reorg of {depth} at {old.number} to {block.number}")
        self._grown()

    def _return(self) -> None:
        """A branch that was given up is the canonical one again, perhaps with some more blocks."""
        floor = self._floor()
        shared = self.chain.at(floor)
        usable = [each for each in self.branches if self.chain.at(floor, each) is shared]
        if not usable:
            return
        old, block = self.chain.head, self.chance.choice(usable)
        self.branches.append(old)
        for _ in range(self.chance.choice((0, 0, 1, 2))):
            block = self.chain.mine(self.traffic.choose(block), on=block)
        self.chain.head = block
        self.kinds["returns"] += 1
        self.log.append(f"return from {old.number} to {block.number}")
        self._grown()

    def _grown(self) -> None:
        """The chain has another head: a provider that has parted goes its own way."""
        self._newest = max(self._newest, self.chain.head.number)
        for rpc in self.rpcs:
            if rpc.mood is Mood.PARTED and rpc.view is not None:
                while rpc.view.number < self.chain.head.number:
                    rpc.view = self.chain.mine((), on=rpc.view)
        if self.chance.random() < 0.5:
            self._tag()

    def _tag(self, *, near: bool = False) -> None:
        """The chain tags a block as final: near the head or well below it; never a lower one."""
        if self.plan.has_tag:
            behind = self.chance.choice((1, 2, DEPTH_BLOCKS, 3 * DEPTH_BLOCKS))
            behind = 1 if near else behind
            number = max(0, self.chain.head.number - behind)
            self.chain.tagged = max(self.chain.tagged or 0, number)

    def _reorganise_in_the_middle(self) -> None:
        """The chain changes while the mirror reads: after so many requests."""
        self._moves_in = self.chance.randint(1, 6)

    def _asked(self) -> None:
        if self._moves_in:
            self._moves_in -= 1
            if not self._moves_in:
                self.chance.choice((self._reorganise, self._mine))()

    def final_number(self) -> int:
        """The newest block that is final when everything is at rest."""
        tagged = self.chain.tagged
        return self.chain.head.number - DEPTH_BLOCKS if tagged is None else tagged

    def _floor(self) -> int:
        """The newest block that anybody may have made final."""
        by_depth = 0 if self.plan.finality_name == "tag" else self._newest - DEPTH_BLOCKS
        return max(by_depth, self.chain.tagged or 0)

    def _change_moods(self) -> None:
        """One provider at a time lies or lags; with several, all others are honest."""
        self._set_honest()
        mood = self.chance.choice(self.plan.moods)
        self._set_mood(self.chance.choice(self.rpcs), mood)
        self.kinds[f"provider {mood.value}"] += 1
