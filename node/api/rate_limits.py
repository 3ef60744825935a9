"""How many requests a key, or an address, may send: counted per process in a moving window.

Each process counts by itself, for what is limited is the load of a process; how much may be asked
for as a whole is a matter of the partner's limits. Headers are those of
draft-ietf-httpapi-ratelimit-headers-11.
"""

import math
import time
from collections.abc import Mapping
from typing import Final

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from node.core.errors import RateLimited
from node.core.parties import Scope
from node.core.throttling import Allowance, RequestClass

_REFUSED: Final = "too many requests of the class {!r}: {} within {} s are allowed"


class RateLimiter:
    """Counts requests of callers.

    Args:
        allowances: By class; a class without one is not limited.
    """

    def __init__(self, allowances: Mapping[RequestClass, Allowance]) -> None:
        self._items = {
            each: RateLimitItemPerSecond(allowance.count, allowance.window_s)
            for each, allowance in allowances.items()
        }
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def take(self, request_class: RequestClass, caller: str) -> tuple[dict[str, str], bool]:
        """Count one request; headers of its answer, and whether it is one too many.

        Args:
            request_class: Of the request.
            caller: Who is counted: a key, or an address.
        """
        item = self._items.get(request_class)
        if item is None:
            return {}, False
        is_over = not self._limiter.hit(item, request_class.value, caller)
        window = self._limiter.get_window_stats(item, request_class.value, caller)
        resets_in_s = max(1, math.ceil(window.reset_time - time.time()))  # noqa: TID251 - the library's clock
        name = request_class.value
        headers = {
            "RateLimit-Policy": f'"{name}";q={item.amount};w={item.get_expiry()}',
            "RateLimit": f'"{name}";r={window.remaining};t={resets_in_s}',
        }
        return headers, is_over


def refusal(request_class: RequestClass, headers: Mapping[str, str]) -> RateLimited:
    """What a caller is told that sent too many."""
    quota, window = headers["RateLimit-Policy"].split(";")[1:]
    resets_in_s = int(headers["RateLimit"].rpartition("t=")[2])
    return RateLimited(
        _REFUSED.format(request_class.value, quota[2:], window[2:]), retry_after_s=resets_in_s
    )


def class_of(method: str, scope: Scope) -> RequestClass:
    """The class of a request, by its method and the scope it needs."""
    if method in ("GET", "HEAD"):
        return RequestClass.READ
    return RequestClass.QUOTE if scope is Scope.QUOTE else RequestClass.WRITE
