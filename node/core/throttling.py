"""How many requests a caller may send: classes of requests, and how their allowances are written.

Counting is the edge's (`node.api.rate_limits`): per process, for it guards the process.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_WINDOWS_S: Final = {"second": 1, "minute": 60, "hour": 3600}
_ALLOWANCE: Final = re.compile(r"(read|quote|write)=([1-9][0-9]{0,8})/(second|minute|hour)")

UNLIMITED: Final = "off"


class RequestClass(StrEnum):
    """What requests of a class share is one allowance."""

    READ = "read"
    QUOTE = "quote"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Allowance:
    """`count` requests within any `window_s` seconds."""

    count: int
    window_s: int


def read_allowances(text: str) -> Mapping[RequestClass, Allowance]:
    """Allowances of `read=6000/minute,quote=3000/minute`; what is not named has none; `off`: none.

    Raises:
        ValueError: The text is not written so; says how.
    """
    if text == UNLIMITED:
        return {}
    found: dict[RequestClass, Allowance] = {}
    for part in text.split(","):
        match = _ALLOWANCE.fullmatch(part.strip())
        if match is None or RequestClass(match[1]) in found:
            raise ValueError(
                "must be `off`, or classes once each, such as"
                " read=6000/minute,quote=3000/minute,write=3000/minute"
            )
        found[RequestClass(match[1])] = Allowance(int(match[2]), _WINDOWS_S[match[3]])
    return found
