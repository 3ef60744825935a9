"""Plays histories of the mirror to their ends and says what differs."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable

import asyncpg
from structlog.testing import capture_logs

from node.core.errors import NodeError
from tests.histories.arena import Arena
from tests.histories.comparison import Comparison
from tests.histories.history import History
from tests.histories.provider import Mood
from tests.rig import PostgresServer

ACTIONS = 22
SEEDS = 300
"""Seeds of every run of the tests; two files play half of them each, at the same time."""

_HISTORIES_PER_DATABASE = 50

KINDS = frozenset(
    {
        "deposit unknown",
        "deposit at large",
        "deposit by payout",
        "deposit in time",
        "deposit late",
        "deposit too late",
        "deposit short, completed",
        "deposit short, expired",
        "deposit late and short",
        "deposit over",
        "deposit duplicate",
        "deposit tolerated",
        "requests expired",
        "held before the opening",
        "many deposit addresses",
        "no bloom filters",
        "passes at once",
        "passes that overlap",
        "passes by range",
        "passes that waited",
        "reorgs",
        "returns",
        "full blocks",
        "event settled",
        "event failed",
        "event skipped",
        "event voided",
        "undecoded",
        "strays",
        "theft",
        "strangers: agreed",
        "strangers: other",
        "strangers: void",
        "finality: tag",
        "finality: tag first",
        "finality: tag first, without one",
        "to the end: lies about parents",
        "to the end: parted",
        "to the end: stalled",
        *(f"provider {each.value}" for each in Mood),
    }
)
"""What must have happened in each half of the seeds, or they do not test what they are for."""


async def play_all(
    postgres: PostgresServer, seeds: Iterable[int], actions: int = ACTIONS
) -> AsyncIterator[tuple[int, list[str], Counter[str]]]:
    """Seed, what differs, and what happened how often; one history after another."""
    arena: Arena | None = None
    try:
        for place, seed in enumerate(seeds):
            if place % _HISTORIES_PER_DATABASE == 0:
                if arena is not None:
                    await arena.close()
                arena = await Arena.open(postgres)
            assert arena is not None
            found, kinds = await play(arena, seed, actions)
            yield seed, found, kinds
    finally:
        if arena is not None:
            await arena.close()


async def assert_hold(postgres: PostgresServer, seeds: Iterable[int]) -> None:
    """Nothing differs in any of these histories, and they have everything that they test."""
    happened: Counter[str] = Counter()
    failed: list[str] = []
    with capture_logs():  # providers are unwell all the time
        async for seed, found, kinds in play_all(postgres, seeds):
            failed += [f"seed {seed}: {each}" for each in found]
            happened += kinds
    assert not failed, "\n".join(failed)
    missing = KINDS - happened.keys()
    assert not missing, f"none of these seeds has {sorted(missing)}"


async def play(arena: Arena, seed: int, actions: int = ACTIONS) -> tuple[list[str], Counter[str]]:
    """What mirror, books or reconciliation have otherwise than the canonical chain says.

    Returns:
        The differences, and what happened how often.
    """
    await arena.clean()
    history = await History.open(arena.database, seed)
    try:
        await history.play(actions)
        await history.drain()
        await history.reconciliation().run("history")
        found, kinds = await Comparison(history).run()
    except (AssertionError, NodeError, asyncpg.PostgresError) as error:
        return [f"{error!r}; {history.log[-12:]}"], history.kinds
    return list(found), history.kinds + kinds
