"""One seeded history of faults over one bench, its drain, and its outcome.

The seed decides what is drawn: which faults are tried, in which order. Worker processes and the
chain run by their own clocks, and what a fault finds decides what is drawn next: a replay has the
same seed, not the same plan to the letter. The laws hold for every interleaving.
"""

import asyncio
import random  # noqa: TID251 - the seed is an argument
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from node.core.errors import Unavailable
from node.core.settlement import LaneStatus
from node.core.transfers import TERMINAL, State
from node.devnet.errors import DevnetError
from tests.chaos import chain_faults, operator
from tests.chaos.bench import DEPTH_BLOCKS, Bench, insist
from tests.chaos.faults import FAULTS, PROVOKE, Fault
from tests.chaos.laws import Verdict, judge
from tests.chaos.open_breaks import Causes
from tests.chaos.rule_faults import SEND, rule_of, send_rule_of
from tests.chaos.windows import PASSINGS_MAX, WindowChooser
from tests.chaos.workers import AT_FAILPOINT, KILLED, Worker, windows

WORKERS: Final = 2
_ARMED_MAX: Final = 12
_SENDS_ARMED_MAX: Final = 4
_CALM_S_MAX: Final = 2
_CALM_BLOCKS: Final = 6
_LOOK_EVERY_S: Final = 0.25
_TELL_EVERY_S: Final = 10
_BLOCKS: Final = (0, 0, 0, 1, 1, 2)
_STEP_S: Final = 0.02
_CHOSEN_PERMILLE: Final = 120
_READS_PERMILLE: Final = 150
_CHOICES_MAX: Final = 3
_AHEAD: Final = 12
_LIFE_S_MAX: Final = 5
_DEATHS_APART_BLOCKS: Final = 6
_ACCEPT_EVERY_S: Final = 0.5
_OCCASION_S: Final = 240
_ACCEPTED_AT_ONCE: Final = 6
_STALLED_S: Final = 120
_BEHIND_BLOCKS_MAX: Final = 16
_DRAIN_LIMIT_S: Final = 300
_NEWEST: Final = 40


class CampaignFailed(AssertionError):
    """A law does not hold, or something that must end does not; says what and how to replay."""


@dataclass
class Campaign:
    """One history.

    Attributes:
        seed: Decides everything that is chosen.
        faults: How many must happen before the drain.
        payments: How many are accepted meanwhile.
        complete: Before the drain, play each kind of `FAULTS` that has not happened once.
        heard: Is given a line about every ten seconds.
        done: Faults that are not of a provider.
        ordinary: What operators and customers do every day, at the worst moment. Not faults.
        strange: Hashes of transactions that somebody else sent with a key of a lane.
        emptied: Addresses whose coin was taken away.
        held: Transfers that no release helps: the chain has used their number.
    """

    bench: Bench
    seed: int
    faults: int
    payments: int
    complete: bool = False
    heard: Callable[[str], None] = lambda _: None
    done: Counter[str] = field(default_factory=Counter)
    ordinary: Counter[str] = field(default_factory=Counter)
    strange: set[str] = field(default_factory=set)
    emptied: set[str] = field(default_factory=set)
    held: set[UUID] = field(default_factory=set)
    backup: str | None = None
    adoptions: int = 0
    story: deque[str] = field(default_factory=lambda: deque(maxlen=_NEWEST))

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self._windows = WindowChooser(windows(), self.chance)
        self._born_at: dict[int, float] = {}
        self._began = time.monotonic()
        self._tell_at = self._began + _TELL_EVERY_S
        self._later: list[tuple[float, Callable[[], Awaitable[None]]]] = []
        self._left: dict[str, float] = {}
        self._look_at = 0.0
        self._calm_until = 0.0
        self._final_now = self._final_then = self._final_at_death = 0
        self.behind_blocks = 0
        self.open: dict[str, object] = {}
        self.drain_s = 0.0
        self.settled_before = 0

    @property
    def happened(self) -> int:
        """Faults so far, of every kind."""
        return self.done.total() + len(self.bench.proxy.fired)

    @property
    def counts(self) -> Counter[str]:
        """How often each fault happened."""
        return self.done + self.bench.proxy.counts

    async def run(self) -> Verdict:
        """Play, drain, judge.

        Raises:
            CampaignFailed: Something does not hold.
        """
        await self._tend()
        since, seen = time.monotonic(), 0
        while self.happened < self.faults or len(self.bench.payments) < self.payments:
            await self._step()
            if self.happened + len(self.bench.payments) > seen:
                since, seen = time.monotonic(), self.happened + len(self.bench.payments)
            elif time.monotonic() - since > _STALLED_S:
                self.open = await self.open_ends()
                raise self.failed("no fault happens any more")
        if self.complete:
            await self._play_missing()
        began = time.monotonic()
        self.settled_before = await self._settled()
        await self._drain()
        self.drain_s = time.monotonic() - began
        causes = Causes(
            restored=self.done["backup restored"] > 0,
            strange=frozenset(self.strange),
            emptied=frozenset(self.emptied),
        )
        verdict = await judge(self.bench, causes)
        if verdict.differences:
            raise self.failed("\n".join(verdict.differences))
        return verdict

    @asynccontextmanager
    async def everybody_down(self) -> AsyncIterator[None]:
        """No process of the node is connected to the database."""
        for each in self.bench.workers:
            await each.kill()
        await self.bench.close_edge()
        try:
            yield
        finally:
            await self.bench.open_edge()

    def note(self, name: str, detail: str = "") -> None:
        """A fault happened."""
        self.done[name] += 1
        self.tell(f"{name} {detail}")

    def note_ordinary(self, name: str, detail: str = "") -> None:
        """Something happened that is no fault."""
        self.ordinary[name] += 1
        self.tell(f"{name} {detail}")

    def tell(self, line: str) -> None:
        """One line of the story."""
        if not self.story or self.story[-1] != line:
            self.story.append(line)

    def later(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        """Let something happen after a while, or at the drain."""
        self._later.append((time.monotonic() + seconds, act))

    def leave(self, name: str, seconds: float) -> None:
        """Something stays as bad as it is for a while, though somebody could mend it."""
        self._left[name] = time.monotonic() + seconds

    def is_left(self, name: str) -> bool:
        """Whether it is too early to mend it."""
        return time.monotonic() < self._left.get(name, 0)

    def leave_nothing(self) -> None:
        """Everything is to be mended now."""
        self._left.clear()

    def failed(self, what: str) -> CampaignFailed:
        """What to raise: with the newest faults, the workers' words, and the line to replay."""
        fired = [str(each) for each in self.bench.proxy.fired[-_NEWEST:]]
        return CampaignFailed(
            "\n".join(
                [
                    what,
                    f"--- open: {self.open}",
                    "--- newest faults of the proxies",
                    *fired,
                    "--- newest other faults",
                    *self.story,
                    "--- workers",
                    self.bench.log_tail(),
                    f"--- replay: {self.line}",
                ]
            )
        )

    @property
    def line(self) -> str:
        """The command that plays the same seed again."""
        return (
            f"python scripts/chaos.py --seed {self.seed} --faults {self.faults}"
            f" --payments {self.payments}"
        )

    # ---------------------------------------------------------------------------------- steps

    async def _step(self) -> None:
        await self._turn()
        if self.happened < self.faults:
            self._arm()
            await self._choose()
        blocks = self.chance.choice(_BLOCKS)
        if blocks and self.behind_blocks < _BEHIND_BLOCKS_MAX:
            self.bench.anvil.mine(blocks)
        await asyncio.sleep(_STEP_S)

    async def _turn(self) -> None:
        await self._act_later()
        await self._tend()
        await self._accept()
        await self._look()

    async def _look(self) -> None:
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK_EVERY_S
        await insist(lambda: operator.look_in_passing(self))
        with suppress(DevnetError):  # the next look does it again
            await chain_faults.keep(self)
        self.behind_blocks = await self._behind()
        await self._report("playing")

    async def _report(self, phase: str) -> None:
        """A line about every ten seconds."""
        now = time.monotonic()
        if now < self._tell_at:
            return
        self._tell_at = now + _TELL_EVERY_S
        self.heard(
            f"  seed {self.seed}, {now - self._began:.0f} s, {phase}: {self.happened} faults,"
            f" {len(self.bench.payments)} payments, {await self._settled()} settled"
        )

    async def _play_missing(self) -> None:
        """Each kind that chance has left out happens once; the adoptions are the drain's.

        However slow workers are, there is an occasion: payments go on, and nobody else mines, so a
        fault is tried while what was sent waits for its block, and while that is the newest.
        """
        for fault in FAULTS:
            end, accept_at = time.monotonic() + _OCCASION_S, 0.0
            while not self._has_happened(fault):
                if time.monotonic() > end:
                    self.open = await self.open_ends()
                    raise self.failed(f"{fault.name}: there was no occasion for it")
                if time.monotonic() > accept_at:
                    await self.bench.accept(1)
                    accept_at = time.monotonic() + _ACCEPT_EVERY_S
                await self._turn()
                await self._attempt(fault)
                if self.behind_blocks < _BEHIND_BLOCKS_MAX and not self._has_happened(fault):
                    self.bench.anvil.mine()
                    await self._attempt(fault)
                await asyncio.sleep(_STEP_S)

    def _has_happened(self, fault: Fault) -> bool:
        return any(self.done[name] or self.ordinary[name] for name in fault.names)

    async def _attempt(self, fault: Fault) -> None:
        try:
            await fault.act(self)
        except (DevnetError, Unavailable) as error:  # mined meanwhile; or cut off itself
            self.tell(f"{fault.name} did not happen: {error}")

    def _arm(self) -> None:
        """Give the proxies more to do, for sends and for everything else."""
        proxy = self.bench.proxy
        of_sends = proxy.waiting(SEND)
        if of_sends < _SENDS_ARMED_MAX:
            proxy.add(send_rule_of(self.chance))
        has_room = proxy.waiting() - of_sends < _ARMED_MAX
        if has_room and self.chance.randrange(1000) < _READS_PERMILLE:
            proxy.add(rule_of(self.chance))

    async def _choose(self) -> None:
        """Now and then a fault that is not one of a provider; another, if it finds no occasion."""
        if self.chance.randrange(1000) >= _CHOSEN_PERMILLE:
            return
        before = self.done.total() + self.ordinary.total()
        for _ in range(_CHOICES_MAX):
            fault = self._chosen()
            if fault is not None:
                await self._attempt(fault)
            if self.done.total() + self.ordinary.total() > before:
                return

    def _chosen(self) -> Fault | None:
        """None: the node needs a moment before it is held up again."""
        faults = [each for each in FAULTS if self.seed % 2 == 0 or not each.recovers]
        (fault,) = self.chance.choices(faults, [each.weight for each in faults])
        if fault.stalls:
            if time.monotonic() < self._calm_until and self._moved() < _CALM_BLOCKS:
                return None
            self._calm_until = time.monotonic() + _CALM_S_MAX
            self._final_then = self._final_now
        return fault

    def _moved(self) -> int:
        """Blocks that became final since the node was last held up; an older copy starts anew."""
        self._final_then = min(self._final_then, self._final_now)
        return self._final_now - self._final_then

    async def _accept(self) -> None:
        missing = self.payments - len(self.bench.payments)
        expected = self.payments * self.happened // max(1, self.faults)
        if missing > 0 and len(self.bench.payments) <= expected + _AHEAD:
            await self.bench.accept(min(missing, self.chance.randint(1, _ACCEPTED_AT_ONCE)))

    async def _tend(self) -> None:
        """Bury workers that ended, and start others."""
        for each in list(self.bench.workers):
            if each.is_alive:
                await self._give_up(each)
                continue
            self.bench.workers.remove(each)
            self._final_at_death = self._final_now
            window = each.failpoint.partition(":")[0]
            if each.status == AT_FAILPOINT and window:
                self.note(f"kill at {window}")
                self._windows.died(window)
            elif each.status != KILLED:
                raise self.failed(f"a worker ended by itself, status {each.status}")
            elif window:
                self._windows.missed(window)
        while sum(1 for each in self.bench.workers if not each.is_stopped) < WORKERS:
            await self._born()

    async def _give_up(self, worker: Worker) -> None:
        """It did not come to its window: another one gets another."""
        old = time.monotonic() > self._born_at[worker.pid] + _LIFE_S_MAX
        if old and self._is_calm() and not worker.is_stopped and self.happened < self.faults:
            await worker.kill()
            self.note("kill -9")

    def _is_calm(self) -> bool:
        """Whether the node came further since a worker ended; on a busy machine starts are slow."""
        self._final_at_death = min(self._final_at_death, self._final_now)
        return self._final_now - self._final_at_death >= _DEATHS_APART_BLOCKS

    async def _born(self) -> None:
        """A worker that dies at a window; every window has its turn, and what leads there."""
        if self.happened >= self.faults:
            worker = await self.bench.start_worker()
            self._born_at[worker.pid] = time.monotonic()
            return
        window = self._windows.next()
        passing = self.chance.randint(1, PASSINGS_MAX.get(window, 1))
        worker = await self.bench.start_worker(f"{window}:{passing}")
        self._born_at[worker.pid] = time.monotonic()
        provoke = PROVOKE.get(window)
        if provoke is not None:
            await self._attempt(provoke)

    async def _act_later(self, *, everything: bool = False) -> None:
        now = time.monotonic()
        due = [each for each in self._later if everything or each[0] <= now]
        self._later = [each for each in self._later if each not in due]
        for _, act in due:
            try:
                await insist(act)
            except DevnetError as error:  # the drain does it again
                self.tell(f"put off: {error}")

    # ---------------------------------------------------------------------------------- drain

    async def _drain(self) -> None:
        """No more faults: operators mend what they can, and everything comes to its end."""
        bench = self.bench
        bench.proxy.clear()
        await self._act_later(everything=True)
        for each in bench.workers:
            await each.kill()
        bench.workers.clear()
        await chain_faults.mend(self)
        workers = [await bench.start_worker() for _ in range(WORKERS)]
        end, over_at = time.monotonic() + _DRAIN_LIMIT_S, None
        while time.monotonic() < end:
            if await self._behind() < _BEHIND_BLOCKS_MAX:
                bench.anvil.mine()
            await asyncio.sleep(0.03)
            self._still_alive(workers)
            await insist(lambda: operator.look(self))
            await self._report("draining")
            if not await self._is_over():
                over_at = None
                continue
            over_at = over_at or bench.height()
            if self._final_now >= over_at:  # nothing is on the way that would undo it
                return
        self.open = await self.open_ends()
        raise self.failed("not everything ended")

    def _still_alive(self, workers: list[Worker]) -> None:
        for each in workers:
            if not each.is_alive:
                raise self.failed(f"a worker ended by itself, status {each.status}")

    async def _behind(self) -> int:
        """How far the mirror is behind the chain, which does not run away from it.

        Finality waits for an adoption, and that for blocks: the chain goes on then.
        """
        rows = await self.bench.rows(
            "SELECT head_number, final_number,"
            " EXISTS (SELECT FROM lane WHERE status = $1) AS waits FROM chain_cursor",
            str(LaneStatus.AHEAD),
        )
        if not rows:
            return 0
        head, self._final_now = int(rows[0]["head_number"]), int(rows[0]["final_number"])
        booked = head if rows[0]["waits"] else min(head, self._final_now + DEPTH_BLOCKS)
        return self.bench.height() - booked

    async def _settled(self) -> int:
        rows = await self.bench.rows("SELECT count(*) FROM transfer WHERE state = 'settled'")
        return int(rows[0][0])

    async def _is_over(self) -> bool:
        rows = await self.bench.rows(
            "SELECT count(*) FILTER (WHERE state <> ALL($1)"
            " AND NOT (state = $3 AND id = ANY($4))) AS open,"
            " (SELECT count(*) FROM slot WHERE state NOT IN ('final', 'foreign')) AS slots,"
            " (SELECT count(*) FROM lane WHERE status <> $2) AS lanes,"
            " (SELECT count(*) FROM movement WHERE state NOT IN ('settled', 'failed')) AS moves,"
            " (SELECT count(*) FROM pause WHERE resumed_at IS NULL) AS pauses FROM transfer",
            [str(each) for each in TERMINAL],
            str(LaneStatus.ACTIVE),
            str(State.ON_HOLD),
            list(self.held if self.done["backup restored"] else ()),
        )
        return not any(rows[0].values())

    async def open_ends(self) -> dict[str, object]:
        """Transfers, slots and lanes that have not come to their end."""
        rows = await self.bench.rows(
            "SELECT 'transfer ' || state || ' ' || coalesce(waiting_code, '') AS what,"
            " count(*) AS n FROM transfer WHERE state <> ALL($1) GROUP BY 1"
            " UNION ALL SELECT 'slot ' || purpose || ' ' || state, count(*) FROM slot"
            " WHERE state NOT IN ('final', 'foreign') GROUP BY 1"
            " UNION ALL SELECT 'movement ' || kind || ' ' || state || ' ' || coalesce(waiting, ''),"
            " count(*) FROM movement WHERE state NOT IN ('settled', 'failed') GROUP BY 1"
            " UNION ALL SELECT 'lane ' || role || ' ' || status || ' ' ||"
            " coalesce(status_reason, ''), count(*) FROM lane WHERE status <> 'active' GROUP BY 1"
            " UNION ALL SELECT 'pause ' || reason || ' ' || coalesce(note, ''), count(*) FROM pause"
            " WHERE resumed_at IS NULL GROUP BY 1",
            [str(each) for each in TERMINAL],
        )
        lanes = await self.bench.rows(
            "SELECT role, next_nonce, status, epoch, lease_owner, lease_until - now() AS left,"
            " (SELECT count(*) FROM slot WHERE lane_id = lane.id AND state NOT IN"
            " ('final', 'foreign')) AS open FROM lane"
        )
        return (
            {row["what"]: row["n"] for row in rows}
            | {"lanes": [tuple(r) for r in lanes]}
            | await self._open_transfers()
        )

    async def _open_transfers(self) -> dict[str, object]:
        """Number of each transfer that has not ended -> the slots it was in, and its events."""
        rows = await self.bench.rows(
            "SELECT 'number ' || payment_number || ' ' || t.state AS what, t.slot_id,"
            " ARRAY(SELECT concat_ws(' ', s.id, m.purpose, s.state, 'nonce', s.nonce, 'live',"
            " m.live, 'adopted', s.adopted, 'succeeded', s.succeeded, 'block',"
            " s.included_block_number, 'final at', s.final_at)"
            " FROM slot_member m JOIN slot s ON s.id = m.slot_id"
            " WHERE m.transfer_id = t.id ORDER BY s.created_at) AS slots,"
            " ARRAY(SELECT concat_ws(' ', l.kind, l.status, 'block', l.block_number)"
            " FROM settlement_log l WHERE l.payment_number = t.payment_number) AS events,"
            " (SELECT array_agg(concat_ws(' ', e.type, e.detail) ORDER BY e.object_sequence)"
            " FROM event e WHERE e.object_id = t.id) AS story"
            " FROM transfer t WHERE t.state <> ALL($1) ORDER BY payment_number LIMIT 5",
            [str(each) for each in TERMINAL],
        )
        return {row["what"]: dict(row) for row in rows}


__all__ = ["Campaign", "CampaignFailed", "State"]
