"""Faults of providers: which rules a campaign gives to its proxies, and how often.

Providers that lie are the first two, which are asked first; the third loses what it is asked and
what it answers, and tells the truth when it does answer (`tests.chaos.bench.HONEST`).
"""

import random  # noqa: TID251 - a generator that is an argument
from collections.abc import Callable
from typing import Final

from tests.chaos.bench import LIARS
from tests.chaos.rules import (
    LOST_TEXTS,
    Action,
    CapLogs,
    Delay,
    Drop,
    Duplicate,
    Error,
    FinalizedBack,
    ForwardThenDrop,
    Http,
    Null,
    Partial,
    Rule,
    StaleHead,
    StaleNonce,
    SwallowOk,
    WrongChain,
)

Chance = random.Random

SEND: Final = frozenset({"eth_sendRawTransaction"})
_LOGS: Final = frozenset({"eth_getLogs", "eth_getBlockReceipts"})
_NULLABLE: Final = frozenset({"eth_getTransactionReceipt", "eth_getBlockByNumber"})
_STATUSES: Final = (403, 429, 500, 502, 503, 504)
_PASSED_OVER_MAX: Final = 4
_CAP_TEXTS: Final = (
    "query exceeds max block range 1",
    "block range too large; this block range should work: [0x1, 0x1]",
    "Log response size exceeded",
)


def _of_liars(action: Action, methods: frozenset[str] = frozenset()) -> Rule:
    return Rule(action, methods, providers=LIARS)


def _error(chance: Chance) -> Action:
    code, text = chance.choice(LOST_TEXTS)
    return Error(code, text, forwarded=chance.random() < 0.7)


def _status(chance: Chance) -> Action:
    return Http(chance.choice(_STATUSES), forwarded=chance.random() < 0.5)


def _delay(chance: Chance) -> Action:
    return Delay(chance.randint(5, 80))


_OF_SENDS: Final[tuple[tuple[int, Callable[[Chance], Action]], ...]] = (
    (3, lambda _: Drop()),
    (5, lambda _: ForwardThenDrop()),
    (4, _status),
    (6, _error),
    (2, _delay),
    (2, lambda _: Duplicate()),
    (2, lambda _: SwallowOk()),
)
_OF_READS: Final[tuple[tuple[int, Callable[[Chance], Rule]], ...]] = (
    (4, lambda _: Rule(Drop())),
    (4, lambda _: Rule(ForwardThenDrop())),
    (5, lambda chance: Rule(_status(chance))),
    (3, lambda chance: Rule(_delay(chance))),
    (4, lambda chance: _of_liars(StaleHead(chance.randint(1, 6)))),
    (3, lambda chance: _of_liars(StaleNonce(chance.randint(1, 3)))),
    (4, lambda _: _of_liars(Null(), _NULLABLE)),
    (4, lambda chance: _of_liars(Partial(chance.randint(0, 2)), _LOGS)),
    (1, lambda _: _of_liars(FinalizedBack(2))),
    (1, lambda _: _of_liars(WrongChain(1))),
    (1, lambda chance: _of_liars(CapLogs(1, chance.choice(_CAP_TEXTS)))),
)


def rule_of(chance: Chance) -> Rule:
    """The next fault of a read; it happens once, at one of the next calls that it fits."""
    ((_, make),) = chance.choices(_OF_READS, [weight for weight, _ in _OF_READS])
    rule = make(chance)
    rule.nth = chance.randint(1, _PASSED_OVER_MAX)
    return rule


def send_rule_of(chance: Chance) -> Rule:
    """The next fault of a send."""
    ((_, make),) = chance.choices(_OF_SENDS, [weight for weight, _ in _OF_SENDS])
    return Rule(make(chance), SEND, nth=chance.randint(1, _PASSED_OVER_MAX))
