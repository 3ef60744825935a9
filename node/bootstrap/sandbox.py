"""What only a sandbox can have done to it: its clock moved. Not here: who asks for it."""

from datetime import timedelta

from node.config import Settings, SettingsInvalid
from node.store import sandbox_clock


async def move_clock(settings: Settings, forward: timedelta) -> timedelta:
    """Move a sandbox's clock forward; how far ahead it is then.

    Args:
        settings: With `database_owner_url`.
        forward: Whole seconds.

    Raises:
        SettingsInvalid: The node is no sandbox.
        DatabaseUnavailable: The database is away.
    """
    if not settings.sandbox:
        raise SettingsInvalid("only a sandbox's clock can be moved: CORRIDOR_SANDBOX is not 1")
    settings.require("database_owner_url")
    return await sandbox_clock.move_clock(settings.database_owner_url, forward)
