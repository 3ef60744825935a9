"""Submission of one nonce, as pure rules: its fees, and what the answers to a send mean.

What is sent is in `node.core.settlement`. A receipt, an error text or a silence never decides
here whether somebody was paid.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from node.core.errors import InvariantBroken


@dataclass(frozen=True, slots=True)
class Fees:
    """EIP-1559 fees of one attempt, wei per gas; the tip is at most the fee."""

    max_fee_per_gas_wei: int
    max_priority_fee_per_gas_wei: int

    def __post_init__(self) -> None:
        if not 0 <= self.max_priority_fee_per_gas_wei <= self.max_fee_per_gas_wei:
            raise InvariantBroken("the tip cannot be above the fee")


@dataclass(frozen=True, slots=True)
class FeeRules:
    """What may be paid for gas, wei per gas.

    Attributes:
        max_fee_per_gas_wei: Never more, whatever the market; bumps stop there.
        tip_min_wei: Least tip; the market's median counts above it.
        tip_max_wei: Most tip of a first attempt.
        bump_after_blocks: Blocks without inclusion before a bump.
        resend_after_s: Seconds before the same bytes are sent again.
    """

    max_fee_per_gas_wei: int = 500 * 10**9
    tip_min_wei: int = 10**6
    tip_max_wei: int = 50 * 10**9
    bump_after_blocks: int = 3
    resend_after_s: int = 12


BUMP_PERMILLE: Final = 1125
"""A replacement offers at least 112.5 % of the attempt before: clients ask for 110 %, some with
the floor and some with the ceiling."""


def first_fees(next_base_fee_wei: int, tips_wei: Sequence[int], rules: FeeRules) -> Fees:
    """Fees of a first attempt: twice the next base fee and the median tip.

    Twice the base fee survives five full blocks: each raises it by at most an eighth (EIP-1559),
    and 1.125^5 = 1.80.
    """
    median = sorted(tips_wei)[len(tips_wei) // 2] if tips_wei else 0
    tip = min(max(median, rules.tip_min_wei), rules.tip_max_wei, rules.max_fee_per_gas_wei)
    return Fees(min(2 * next_base_fee_wei + tip, rules.max_fee_per_gas_wei), tip)


def bumped_fees(highest: Fees, market: Fees, rules: FeeRules) -> Fees | None:
    """Fees that replace an attempt at every client: both rise by 12.5 %, rounded up.

    Args:
        highest: Componentwise maxima over all attempts of the slot.
        market: What a first attempt would offer now.
        rules: The caps.

    Returns:
        None: the cap does not allow it; the old bytes go on being sent.
    """
    tip = max(market.max_priority_fee_per_gas_wei, _bumped(highest.max_priority_fee_per_gas_wei))
    fee = max(market.max_fee_per_gas_wei, _bumped(highest.max_fee_per_gas_wei), tip)
    return Fees(fee, tip) if fee <= rules.max_fee_per_gas_wei else None


def highest_fees(attempts: Iterable[Fees]) -> Fees:
    """Componentwise maxima over the attempts of a slot."""
    every = list(attempts)
    return Fees(
        max(each.max_fee_per_gas_wei for each in every),
        max(each.max_priority_fee_per_gas_wei for each in every),
    )


def _bumped(wei: int) -> int:
    return max(-(-wei * BUMP_PERMILLE // 1000), wei + 1)


class AnswerClass(StrEnum):
    """What one provider's answer to `eth_sendRawTransaction` allows to conclude."""

    ACCEPTED = "accepted"  # it has the bytes
    KNOWN = "known"  # it had them already
    NONCE_LOW = "nonce_low"  # the nonce is used, perhaps by us: the mirror finds out
    UNDERPRICED_REPLACEMENT = "underpriced_replacement"  # it has another attempt of this slot
    UNDERPRICED = "underpriced"  # not in its pool; a bump may help
    NONCE_HIGH = "nonce_high"  # it misses a lower nonce: send from the lowest again
    FUNDS = "funds"  # the lane has too little native coin
    RESERVED = "reserved"  # the account is used in a way that excludes this one: stop the lane
    REJECTED = "rejected"  # these bytes cannot enter there
    AMBIGUOUS = "ambiguous"  # perhaps sent


ANSWERS: Final[Sequence[tuple[AnswerClass, str]]] = (
    # Order matters: "gapped-nonce tx from delegated accounts" is no gap of ours; "replacement
    # transaction underpriced" contains "transaction underpriced"; "unknown transaction" contains
    # "known transaction".
    (
        AnswerClass.RESERVED,
        r"address already reserved|in-?flight transaction limit|gapped-nonce tx from delegated",
    ),
    (
        AnswerClass.UNDERPRICED_REPLACEMENT,
        (
            r"replacement transaction underpriced|replacementnotallowed|too low to replace"
            r"|could not replace existing|replacement fee too low"
        ),
    ),
    (
        AnswerClass.KNOWN,
        (
            r"already known|alreadyknown|(?<!un)known transaction|already imported|already exists"
            r"|already in (?:the )?mempool"
        ),
    ),
    (
        AnswerClass.NONCE_LOW,
        r"nonce(?: is)? too low|oldnonce|nonce.*already (?:been )?used|nonce_too_low",
    ),
    (
        AnswerClass.UNDERPRICED,
        (
            r"transaction underpriced|less than block base fee|below (?:current )?base ?fee"
            r"|feetoolow|gas price below (?:configured )?minimum|gas tip cap.*below|underpriced"
        ),
    ),
    (
        AnswerClass.NONCE_HIGH,
        (
            r"nonce(?: is)? too high|too far in the future|exceeds next nonce|nonce out of range"
            r"|tx-nonce-too-high|noncegap|gapped|account limit exceeded|nonce too distant"
        ),
    ),
    (AnswerClass.FUNDS, r"insufficient (?:funds|balance)|insufficientfunds"),
    (
        AnswerClass.REJECTED,
        (
            r"intrinsic gas too low|exceeds block gas limit|exceeds the configured cap"
            r"|invalid sender|invalid chain ?id|oversized data|gas limit too high"
            r"|tip above fee cap|priority fee per gas higher than max fee|invalid signature"
        ),
    ),
)
"""Words of geth, reth, Nethermind, Besu, Erigon and anvil -> class; the first that matches."""

_ANSWERS: Final = tuple((each, re.compile(words)) for each, words in ANSWERS)


def answer_class(
    *, sent_hash: bytes, tx_hash: bytes | None, answered: bool, message: str
) -> AnswerClass:
    """The class of one answer. What is not known counts as perhaps sent.

    Args:
        sent_hash: Hash of the bytes that were sent.
        tx_hash: The hash the provider returned, if it did.
        answered: Whether it answered at all.
        message: Its words.
    """
    if tx_hash is not None:
        return AnswerClass.ACCEPTED if tx_hash == sent_hash else AnswerClass.AMBIGUOUS
    if not answered:
        return AnswerClass.AMBIGUOUS
    text = message.lower()
    return next((each for each, words in _ANSWERS if words.search(text)), AnswerClass.AMBIGUOUS)


_STRONGEST: Final = (
    AnswerClass.ACCEPTED,
    AnswerClass.KNOWN,
    AnswerClass.NONCE_LOW,
    AnswerClass.UNDERPRICED_REPLACEMENT,
    AnswerClass.AMBIGUOUS,
    AnswerClass.RESERVED,
    AnswerClass.FUNDS,
    AnswerClass.NONCE_HIGH,
    AnswerClass.UNDERPRICED,
    AnswerClass.REJECTED,
)

SEEN: Final = frozenset(
    {
        AnswerClass.ACCEPTED,
        AnswerClass.KNOWN,
        AnswerClass.NONCE_LOW,
        AnswerClass.UNDERPRICED_REPLACEMENT,
    }
)
"""Some node has, or has mined, an attempt of the slot."""


def strongest(classes: Iterable[AnswerClass]) -> AnswerClass:
    """What all providers together say: one that has the bytes outweighs all that refuse them."""
    return min(classes, key=_STRONGEST.index, default=AnswerClass.AMBIGUOUS)
