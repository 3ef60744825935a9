"""The other half of the seeds of `test_histories.py`: files are played at the same time."""

from tests.histories.playing import SEEDS, assert_hold
from tests.rig import PostgresServer


async def test_mirror_and_books_are_what_the_canonical_chain_says_in_more_histories(
    postgres_server: PostgresServer,
) -> None:
    await assert_hold(postgres_server, range(SEEDS // 2, SEEDS))
