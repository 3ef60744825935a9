"""The installation's own settings, for commands that do not go through HTTP.

Not here: reading the environment (`node.config`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # a command loads the node only when it runs
    from node.bootstrap.books import Books
    from node.config import Settings

Result = TypeVar("Result")


def settings_of(state_dir: Path) -> "Settings":
    """Settings of the environment, with the database of the devnet where none is named.

    Raises:
        SettingsInvalid: Something is wrong; says what, and how to mend it.
    """
    from node.config import load_settings

    return load_settings(state_dir=state_dir)


def with_books(state_dir: Path, work: Callable[["Books"], Awaitable[Result]]) -> Result:
    """What `work` makes of the services that need the database only.

    Raises:
        NodeError: The database is away, or `work` is refused.
    """
    from node.bootstrap.books import open_books

    settings = settings_of(state_dir)

    async def run() -> Result:
        async with open_books(settings) as books:
            return await work(books)

    return asyncio.run(run())
