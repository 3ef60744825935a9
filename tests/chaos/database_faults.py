"""Faults of the database: connections that end, a clock that runs out, an older copy restored."""

from typing import TYPE_CHECKING

from node.core.settlement import PauseReason
from tests.chaos import operator
from tests.chaos.bench import OWN_CONNECTION

if TYPE_CHECKING:
    from tests.chaos.campaign import Campaign


async def cut(campaign: "Campaign") -> None:
    """Some of the workers' connections end, in the middle of whatever they do."""
    cut_some = campaign.chance.random() < 0.7
    rows = await campaign.bench.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name <> $1"
        " AND (NOT $2 OR hashint4(pid + $3) % 2 = 0)",
        OWN_CONNECTION,
        cut_some,
        campaign.chance.randrange(1000),
    )
    if rows:
        campaign.note("connections cut", str(len(rows)))


async def expire(campaign: "Campaign") -> None:
    """A payment has no more than a second."""
    if await campaign.bench.accept(1, hasty=True):
        campaign.note_ordinary("expiry")


async def back_up(campaign: "Campaign") -> None:
    """A copy of the database is put aside; this by itself harms nobody and is no fault."""
    if campaign.backup is not None or not campaign.bench.payments:
        return
    async with campaign.everybody_down():
        campaign.backup = campaign.bench.copy()
    campaign.note_ordinary("backup taken", f"after {len(campaign.bench.payments)} payments")


async def restore(campaign: "Campaign") -> None:
    """The copy takes the place of the database, which forgets what was accepted and sent since.

    A pause that it was made in is ended after a while: who paused has resumed long since.
    """
    if campaign.backup is None:
        return
    async with campaign.everybody_down():
        campaign.bench.replace_database(campaign.backup)
        campaign.backup = None
    campaign.note("backup restored")

    async def resume() -> None:
        await operator.resume(campaign, [PauseReason.OPERATOR])

    campaign.later(campaign.chance.uniform(0.2, 1.5), resume)
