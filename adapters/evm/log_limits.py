"""How providers refuse a range that is too long for `eth_getLogs`, and how many blocks they allow.

Every provider has limits of its own, of blocks or of logs, and words of its own; no code is
reserved for it, and some say "internal error". So any refusal may be of the length, but those that
are known to be of something else. What is read out of the words is only ever a smaller next try, so
a number that means something else costs a question and nothing more. The words that were seen are
in the tests.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

LOGS_CAPS: Final = frozenset({10_000, 20_000})
"""Most logs that providers give at once. A list of just this length may have been cut off."""

LOGS_MAX: Final = 50_000
"""Most logs, of strangers too, that are wanted of several blocks at once: some 40 MB of answer."""

_TOO_MANY_REQUESTS: Final = 429  # the HTTP status, which some providers repeat as a code

_BEYOND: Final = re.compile(r"beyond|invalid block range", re.IGNORECASE)
"""The range ends above the provider's newest block: it lags, and a shorter one is no help."""

_TOO_LONG: Final = re.compile(
    r"block[ _]?range|blocks range|range (?:is )?too|range \d+ (?:exceeds|is bigger)"
    r"|max(?:imum)? range|limited to (?:a |0 ?- ?)?[\d,]+|at most [\d,]+ blocks"
    r"|too many (?:blocks|results|logs)|max(?:imum)? results|more than [\d,]+ (?:results|logs)"
    r"|logs matched by query|response (?:size|is too big|too large|exceed)"
    r"|result(?: set)? too large|read limit exceeded|too much data|query (?:timeout|timed out)",
    re.IGNORECASE,
)
"""The question is too large: of blocks, of logs, of bytes, or of time."""

_RATE: Final = re.compile(
    r"rate[ -]?limit|too many requests|requests? (?:per|count|limit)|request rate"
    r"|per (?:second|minute|day)|compute units|throughput|quota|credits",
    re.IGNORECASE,
)
"""The asker is refused, not the question. "Limit exceeded" alone may be either."""

_NUMBER: Final = r"(\d[\d,]*)(k?)\b"


def _difference(base: int) -> Callable[[re.Match[str]], int]:
    return lambda found: int(found[2], base) - int(found[1], base) + 1


def _number(found: re.Match[str]) -> int:
    return int(found[1].replace(",", "")) * (1000 if found[2] else 1)


_ALLOWED: Final[Sequence[tuple[re.Pattern[str], Callable[[re.Match[str]], int]]]] = tuple(
    (re.compile(words, re.IGNORECASE), read)
    for words, read in (
        (r"\[ ?0x([0-9a-f]+), ?0x([0-9a-f]+) ?\]", _difference(16)),
        (r"range (\d+) ?- ?(\d+)", _difference(10)),
        (rf"(?:limited to|up to|at most)(?: an?)?(?: 0 ?-)? ?{_NUMBER}", _number),
        (rf"max(?:imum)?(?: allowed)?(?: block)? ?range(?: is| of|:| =)* ?{_NUMBER}", _number),
        (rf"max(?:imum)? is(?: set to)? {_NUMBER}", _number),
        (rf"limit(?: is| of|:)? {_NUMBER}", _number),
    )
)
"""Words, and how they say how many blocks would do. The first that says so counts."""


def is_too_long(message: str) -> bool:
    """Whether a provider's words say that it was asked for too much at once."""
    return bool(_TOO_LONG.search(message)) and not _BEYOND.search(message)


def may_be_too_long(code: int, message: str) -> bool:
    """Whether a shorter range may have an answer where this one is refused.

    Args:
        code: Of the refusal.
        message: Its words, which may say nothing.
    """
    if is_too_long(message):
        return True
    is_rate = code == _TOO_MANY_REQUESTS or bool(_RATE.search(message))
    return not is_rate and not _BEYOND.search(message)


def blocks_allowed(message: str, asked: int) -> int | None:
    """How many blocks a provider's words allow; None: they do not say, or nothing useful.

    Args:
        message: Its words.
        asked: How many it was asked for; what is not less helps nobody, and some suggest that.
    """
    for words, read in _ALLOWED:
        found = words.search(message)
        if found is not None and 0 < (blocks := read(found)) < asked:
            return blocks
    return None
