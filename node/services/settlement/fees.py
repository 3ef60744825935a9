"""What the next attempt of a slot offers, by its attempts, their answers and the market.

No I/O here: who asks, signs and sends is `node.services.settlement.sending`; the arithmetic of fees
is in `node.core.submission`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from node.core.ports.settlement import Attempt, OpenSlot
from node.core.submission import (
    AnswerClass,
    FeeRules,
    Fees,
    bumped_fees,
    fees_within_cap,
    highest_fees,
    is_cap_refusal,
    patient_fees,
)

_SENDS_WITHOUT_EFFECT = 3


@dataclass(frozen=True, slots=True)
class Market:
    """What a replacement is measured against.

    Attributes:
        mined_until: Time of the newest block: while there are none, a higher fee buys nothing.
    """

    fees: Fees
    source: str
    base_fee_wei: int
    mined_until: datetime


def next_fees(
    slot: OpenSlot, market: Market, rules: FeeRules, block_s: int, *, is_head: bool
) -> tuple[Fees, str] | None:
    """Fees of the next attempt and their source; None: the ones there are go on.

    A market that has left the newest attempt behind, and a pool that wants more for a
    replacement, get what they ask for. Else only the head of line is raised, to twice the
    market at most: the others wait for it and not for fees, and where the market stands still
    something else keeps it out.

    Args:
        slot: With at least one attempt.
        market: As it is now.
        rules: The caps, and the patience in blocks.
        block_s: Seconds between blocks.
        is_head: Whether every lower nonce of the lane is mined.
    """
    newest = slot.attempts[-1]
    if newest.last_answer is AnswerClass.FUNDS:
        return None  # a higher fee would need even more
    if newest.last_answer is AnswerClass.REJECTED:
        return _corrected(slot, market)
    is_behind = market.fees.max_fee_per_gas_wei > newest.fees.max_fee_per_gas_wei
    is_asked = is_behind or newest.last_answer is AnswerClass.UNDERPRICED_REPLACEMENT
    is_underpriced = newest.last_answer is AnswerClass.UNDERPRICED
    is_urgent = is_underpriced and (is_behind or not _was_underpriced_before(slot))
    is_useless = newest.sends >= _SENDS_WITHOUT_EFFECT or is_underpriced
    patience = timedelta(seconds=rules.bump_after_blocks * block_s)
    waited = market.mined_until - newest.created_at.replace(microsecond=0)
    if not is_urgent and (waited < patience or not (is_asked or (is_head and is_useless))):
        return None
    highest = highest_fees(each.fees for each in slot.attempts)
    if is_asked:
        fees = bumped_fees(highest, market.fees, rules, _refusals(slot))
    else:
        fees = patient_fees(highest, market.fees, rules)
    return None if fees is None else (fees, f"bump:{market.source}")


def is_refused(slot: OpenSlot) -> bool:
    """Whether waiting is of no use: the newest attempt is in no pool, for its fees."""
    newest = slot.attempts[-1]
    if newest.last_answer is AnswerClass.REJECTED:
        return best(slot) is newest and is_cap_refusal(newest.last_message or "")
    return newest.last_answer is AnswerClass.UNDERPRICED


def best(slot: OpenSlot) -> Attempt:
    """What is sent: the newest attempt that not every provider rejects, or else the newest."""
    taken = [each for each in slot.attempts if each.last_answer is not AnswerClass.REJECTED]
    return (taken or slot.attempts)[-1]


def _was_underpriced_before(slot: OpenSlot) -> bool:
    """Whether a bump did not help: fees must not run away from the market in a full pool."""
    return any(each.last_answer is AnswerClass.UNDERPRICED for each in slot.attempts[:-1])


def _refusals(slot: OpenSlot) -> int:
    """How many of the newest attempts were refused as too low a replacement."""
    count = 0
    for each in reversed(slot.attempts):
        if each.last_answer is not AnswerClass.UNDERPRICED_REPLACEMENT:
            break
        count += 1
    return count


def _corrected(slot: OpenSlot, market: Market) -> tuple[Fees, str] | None:
    """Fees under a cap that a provider named, where no attempt is under it yet."""
    newest = slot.attempts[-1]
    fees = fees_within_cap(newest.last_message or "", slot.gas_limit, newest.fees)
    if fees is None or best(slot) is not newest:
        return None
    if fees.max_fee_per_gas_wei < market.base_fee_wei:
        return None  # it could not be mined now; when the base fee has fallen, it can
    return fees, "provider_cap"
