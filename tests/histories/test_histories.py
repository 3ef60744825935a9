"""Mirror and books are what the canonical chain says, whatever chain and providers do.

The other half of the seeds is in `test_more_histories.py`: files are played at the same time. A
longer run: `python scripts/chaos.py mirror --seeds 5000`.
"""

from tests.histories.playing import SEEDS, assert_hold
from tests.rig import PostgresServer


async def test_mirror_and_books_are_what_the_canonical_chain_says(
    postgres_server: PostgresServer,
) -> None:
    await assert_hold(postgres_server, range(SEEDS // 2))
