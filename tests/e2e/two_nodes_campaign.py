"""A seeded campaign against two nodes: processes are killed or stand still while payments flow.

What is drawn comes from the seed; what it meets does not, since processes run by their own clocks.
Run by `scripts/chaos.py nodes`; the short one of the suite is in `test_two_nodes.py`.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random  # noqa: TID251 - the seed is an argument
from typing import Final

from adapters.rails.sandbox_bank import Magic
from tests.e2e.conftest import Network, until
from tests.e2e.two_nodes import PAID, Payment, TwoNodes

_AT_ONCE: Final = 16
_PAID_SHARE: Final = 0.6
_FORCED: Final = (
    *(Magic.LATE, Magic.LOST_ANSWER, Magic.DOWN),
    *(Magic.REFUSED, Magic.NAME_MISMATCH),
)
_AWAY_S: Final = (1.0, 25.0)
_PAUSE_S: Final = 4.0
_TOLD_EVERY: Final = 10


@dataclass
class Campaign:
    """One seed.

    Attributes:
        faults: How many.
        payments: How many, spread over the faults.
        heard: Told how far it is.
        counts: How often each fault happened.
    """

    nodes: TwoNodes
    seed: int
    faults: int
    payments: int
    heard: Callable[[str], None]
    counts: Counter[str] = field(default_factory=Counter)

    def run(self) -> Counter[str]:
        """All faults, then every law; how many payments ended in which way."""
        random = Random(self.seed)
        customer_id = self.nodes.berlin.customer(eur="1000000.00")
        before = self.nodes.sums()
        plan = list(self._plan(random))
        pending: list[Future[Payment]] = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for number, (name, fault) in enumerate(plan, start=1):
                wanted = self.payments * number // len(plan) - len(pending)
                for _ in range(wanted):
                    eur = f"{random.randint(500, 50_000) / 100:.2f}"
                    pending.append(pool.submit(self.nodes.pay, customer_id, eur, _account(random)))
                time.sleep(random.uniform(0, _PAUSE_S))  # the drawn moment of the fault
                fault()
                self.counts[name] += 1
                if number % _TOLD_EVERY == 0:
                    done = sum(each.done() for each in pending)
                    self.heard(f"{number} of {len(plan)} faults, {done} payments accepted")
            payments = [each.result() for each in pending]
        return self.nodes.check(before, payments)

    def _plan(self, random: Random) -> Iterator[tuple[str, Callable[[], None]]]:
        for _ in range(self.faults):
            node = random.choice(self.nodes.both)
            name = node.node["name"]
            drawn = random.random()
            if drawn < 0.75:
                program = random.choice(("serve", "work"))
                yield f"kill -9 of {name}'s {program}", self._kill(node, program)
            elif drawn < 0.95:
                yield f"{name} stands still", self._away(node, random.uniform(*_AWAY_S))
            else:
                yield "kill -9 of PostgreSQL", self._kill_database

    def _kill(self, node: Network, program: str) -> Callable[[], None]:
        return lambda: self.nodes.kill(node, program)

    def _away(self, node: Network, for_s: float) -> Callable[[], None]:
        def away() -> None:
            with self.nodes.away(node):
                time.sleep(for_s)

        return away

    def _kill_database(self) -> None:
        file = self.nodes.berlin.state_dir / "postgres" / "data" / "postmaster.pid"

        def pid() -> int | None:
            lines = file.read_text().splitlines() if file.exists() else []
            return int(lines[0]) if lines and lines[-1].strip() == "ready" else None

        before: int = until(pid, "PostgreSQL runs")
        os.kill(before, signal.SIGKILL)
        until(lambda: pid() not in (None, before), "PostgreSQL is started again")


def _account(random: Random) -> str:
    """Mostly one that is paid; else one whose bank is late, away, loses its answer, or refuses."""
    return PAID if random.random() < _PAID_SHARE else f"00012345{random.choice(_FORCED)}"
