"""One seeded history of faults over one bench, its drain, and its outcome.

The seed decides which faults come in which order and what they are aimed at. Worker processes and
the chain run by their own clocks, so what a fault meets differs from run to run: a seed that failed
replays the same plan, not the same microseconds. The laws hold for every interleaving.
"""

import asyncio
import random  # noqa: TID251 - the seed is an argument
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from node.core.errors import Unavailable
from node.core.settlement import LaneStatus
from node.core.transfers import TERMINAL, State
from node.devnet.errors import DevnetError
from tests.chaos import chain_faults, operator
from tests.chaos.bench import Bench, insist
from tests.chaos.faults import FAULTS, PROVOKE, Fault
from tests.chaos.laws import Verdict, explained, judge
from tests.chaos.rule_faults import SEND, rule_of, send_rule_of
from tests.chaos.workers import AT_FAILPOINT, KILLED, Worker, windows

WORKERS: Final = 2
_ARMED_MAX: Final = 10
_SENDS_ARMED_MAX: Final = 8
_CALM_S_MAX: Final = 6
_CALM_BLOCKS: Final = 6
_LOOK_EVERY_S: Final = 0.5
_BLOCKS: Final = (0, 0, 1, 1, 2, 3)
_STEP_S: Final = 0.03
_ACCEPTED_AT_ONCE: Final = 6
_STALLED_S: Final = 120
_BEHIND_BLOCKS_MAX: Final = 48
_DRAIN_LIMIT_S: Final = 180
_PASSINGS_MAX: Final = 3
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
    """

    bench: Bench
    seed: int
    faults: int
    payments: int
    done: Counter[str] = field(default_factory=Counter)
    backup: str | None = None
    adoptions: int = 0
    story: deque[str] = field(default_factory=lambda: deque(maxlen=_NEWEST))

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self._windows = deque(windows())
        self.chance.shuffle(self._windows)
        self._later: list[tuple[float, Callable[[], Awaitable[None]]]] = []
        self._look_at = 0.0
        self._calm_until = 0.0
        self._final_now = self._final_then = 0
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
        began = time.monotonic()
        self.settled_before = await self._settled()
        await self._drain()
        self.drain_s = time.monotonic() - began
        verdict = await judge(self.bench, explained(self.done))
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

    def tell(self, line: str) -> None:
        """One line of the story."""
        if not self.story or self.story[-1] != line:
            self.story.append(line)

    def later(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        """Let something happen after a while, or at the drain."""
        self._later.append((time.monotonic() + seconds, act))

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
        """The command that plays the same plan again."""
        return (
            f"python scripts/chaos.py --seed {self.seed} --faults {self.faults}"
            f" --payments {self.payments}"
        )

    # ---------------------------------------------------------------------------------- steps

    async def _step(self) -> None:
        await self._act_later()
        await self._tend()
        await self._accept()
        if time.monotonic() > self._look_at:
            self._look_at = time.monotonic() + _LOOK_EVERY_S
            await insist(lambda: operator.look_in_passing(self))
            self.behind_blocks = await self._behind()
        self._arm()
        fault = self._chosen()
        if fault is not None:
            await self._attempt(fault)
        blocks = self.chance.choice(_BLOCKS)
        if blocks and self.behind_blocks < _BEHIND_BLOCKS_MAX:
            self.bench.anvil.mine(blocks)
        await asyncio.sleep(_STEP_S)

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
        if proxy.waiting() - of_sends < _ARMED_MAX and self.chance.random() < 0.7:
            proxy.add(rule_of(self.chance))

    def _chosen(self) -> Fault | None:
        """The next fault that is not one of a provider; often none."""
        if self.chance.random() > 0.3 or self.happened >= self.faults:
            return None
        weights = [each.weight for each in FAULTS]
        (fault,) = self.chance.choices(FAULTS, weights)
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
        if missing > 0 and len(self.bench.payments) <= expected:
            await self.bench.accept(min(missing, self.chance.randint(1, _ACCEPTED_AT_ONCE)))

    async def _tend(self) -> None:
        """Bury workers that ended, and start others."""
        for each in list(self.bench.workers):
            if each.is_alive:
                continue
            self.bench.workers.remove(each)
            if each.status == AT_FAILPOINT and each.failpoint:
                self.note(f"kill at {each.failpoint.partition(':')[0]}")
            elif each.status != KILLED:
                raise self.failed(f"a worker ended by itself, status {each.status}")
        while sum(1 for each in self.bench.workers if not each.is_stopped) < WORKERS:
            await self._born()

    async def _born(self) -> None:
        """A worker that dies at a window; every window has its turn, and what leads there."""
        self._windows.rotate(-1)
        window = self._windows[0]
        passing = self.chance.randint(1, _PASSINGS_MAX) if self.chance.random() < 0.3 else 1
        await self.bench.start_worker(f"{window}:{passing}")
        provoke = PROVOKE.get(window)
        if provoke is not None and self.happened < self.faults:
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
        end = time.monotonic() + _DRAIN_LIMIT_S
        while time.monotonic() < end:
            bench.anvil.mine()
            await asyncio.sleep(0.03)
            self._still_alive(workers)
            await operator.look(self)
            if await self._is_over():
                return
        self.open = await self.open_ends()
        raise self.failed("not everything ended")

    def _still_alive(self, workers: list[Worker]) -> None:
        for each in workers:
            if not each.is_alive:
                raise self.failed(f"a worker ended by itself, status {each.status}")

    async def _behind(self) -> int:
        """How far the mirror is behind the chain, which does not run away from it."""
        rows = await self.bench.rows("SELECT head_number, final_number FROM chain_cursor")
        if not rows:
            return 0
        self._final_now = int(rows[0]["final_number"])
        return self.bench.height() - int(rows[0]["head_number"])

    async def _settled(self) -> int:
        rows = await self.bench.rows("SELECT count(*) FROM transfer WHERE state = 'settled'")
        return int(rows[0][0])

    async def _is_over(self) -> bool:
        rows = await self.bench.rows(
            "SELECT count(*) FILTER (WHERE state <> ALL($1)) AS open,"
            " (SELECT count(*) FROM slot WHERE state NOT IN ('final', 'foreign')) AS slots,"
            " (SELECT count(*) FROM lane WHERE status <> $2) AS lanes,"
            " (SELECT count(*) FROM movement WHERE state NOT IN ('settled', 'failed')) AS moves,"
            " (SELECT count(*) FROM pause WHERE resumed_at IS NULL) AS pauses FROM transfer",
            [str(each) for each in TERMINAL],
            str(LaneStatus.ACTIVE),
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
        return {row["what"]: row["n"] for row in rows} | {"lanes": [tuple(r) for r in lanes]}


__all__ = ["Campaign", "CampaignFailed", "State"]
