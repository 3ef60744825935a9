"""Structured logs on standard error; secrets are never in them.

Values under names that hold secrets are replaced, so a careless caller leaks nothing.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

_SECRET_NAMES: Final = frozenset(
    {"authorization", "password", "secret", "token", "key", "raw", "private_key", "database_url"}
)


def _redact(
    _logger: Any,
    _method: str,
    event: MutableMapping[str, Any],
) -> MutableMapping[str, Any]:
    for name in _SECRET_NAMES & event.keys():
        event[name] = "[redacted]"
    return event


def configure(*, level: str, form: str) -> None:
    """Set up logging for this process.

    Args:
        level: debug, info, warning or error.
        form: `json` for machines, `console` for people.
    """
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The default shows the variables of every frame, and with them keys and passwords.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer]
        if form == "json"
        else [*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s"
    )
    for noisy in ("httpx", "httpcore", "asyncio", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
