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
        tip_max_wei: Most tip of an attempt, but of a replacement that a dearer market or a pool
            asks for: there the tip rises with the fee.
        bump_after_blocks: Blocks without inclusion before a bump.
        resend_after_s: Seconds before the same bytes are sent again.
    """

    max_fee_per_gas_wei: int = 500 * 10**9
    tip_min_wei: int = 10**6
    tip_max_wei: int = 50 * 10**9
    bump_after_blocks: int = 3
    resend_after_s: int = 12


BUMP_STEPS_PERMILLE: Final = (1125, 1250, 1500, 2000)
"""A replacement offers at least 112.5 % of the attempt before: clients ask for 110 %, some with
the floor and some with the ceiling. Each refusal as too low a replacement doubles the step, up to
twice the fees."""


def first_fees(next_base_fee_wei: int, tips_wei: Sequence[int], rules: FeeRules) -> Fees:
    """Fees of a first attempt: twice the next base fee and the median tip.

    Twice the base fee survives five full blocks: each raises it by at most an eighth (EIP-1559),
    and 1.125^5 = 1.80.
    """
    median = sorted(tips_wei)[len(tips_wei) // 2] if tips_wei else 0
    tip = min(max(median, rules.tip_min_wei), rules.tip_max_wei, rules.max_fee_per_gas_wei)
    return Fees(min(2 * next_base_fee_wei + tip, rules.max_fee_per_gas_wei), tip)


def bumped_fees(highest: Fees, market: Fees, rules: FeeRules, refusals: int = 0) -> Fees | None:
    """Fees that replace an attempt at every client: both rise by 12.5 % or more, rounded up.

    Args:
        highest: Componentwise maxima over all attempts of the slot.
        market: What a first attempt would offer now.
        rules: The caps.
        refusals: How many of the newest attempts were refused as too low a replacement.

    Returns:
        None: the cap does not allow it; the old bytes go on being sent.
    """
    permille = BUMP_STEPS_PERMILLE[min(refusals, len(BUMP_STEPS_PERMILLE) - 1)]
    tip = max(
        market.max_priority_fee_per_gas_wei,
        _bumped(highest.max_priority_fee_per_gas_wei, permille),
    )
    fee = max(market.max_fee_per_gas_wei, _bumped(highest.max_fee_per_gas_wei, permille), tip)
    return Fees(fee, tip) if fee <= rules.max_fee_per_gas_wei else None


_PATIENCE_FACTOR: Final = 2


def patient_fees(highest: Fees, market: Fees, rules: FeeRules) -> Fees | None:
    """Fees of a replacement that nobody asks for: the market's do not suffice, as it seems.

    Returns:
        None: it would offer more than twice what the market does, or too high a tip. Whatever
        keeps the transaction out, it is not its fees.
    """
    fees = bumped_fees(highest, market, rules)
    tip_max_wei = min(rules.tip_max_wei, _PATIENCE_FACTOR * market.max_priority_fee_per_gas_wei)
    if (
        fees is None
        or fees.max_fee_per_gas_wei > _PATIENCE_FACTOR * market.max_fee_per_gas_wei
        or fees.max_priority_fee_per_gas_wei > tip_max_wei
    ):
        return None
    return fees


def highest_fees(attempts: Iterable[Fees]) -> Fees:
    """Componentwise maxima over the attempts of a slot."""
    every = list(attempts)
    return Fees(
        max(each.max_fee_per_gas_wei for each in every),
        max(each.max_priority_fee_per_gas_wei for each in every),
    )


def _bumped(wei: int, permille: int) -> int:
    return max(-(-wei * permille // 1000), wei + 1)


_PROVIDER_CAP: Final = re.compile(
    r"exceeds the configured cap \((\d{1,9})(?:\.(\d{1,18}))? ether\)"  # geth: RPCTxFeeCap
    r"|exceeds the configured cap \((\d{1,27}) wei\)"  # reth
)
_WEI_DIGITS: Final = 18


def is_cap_refusal(message: str) -> bool:
    """Whether a provider refused because gas limit x fee is above a cap of its own."""
    return _PROVIDER_CAP.search(message) is not None


def fees_within_cap(message: str, gas_limit: int, refused: Fees) -> Fees | None:
    """Fees under the cap a provider named when it refused the whole fee of a transaction.

    Args:
        message: Its words; they tell the cap in ether or in wei.
        gas_limit: Of the slot; it never changes.
        refused: The fees it refused; what comes back is always lower.

    Returns:
        None: the words name no cap, or none below what was refused.
    """
    found = _PROVIDER_CAP.search(message)
    if found is None:
        return None
    whole, part, wei = found.groups()
    cap_wei = int(wei) if wei else int(whole + (part or "").ljust(_WEI_DIGITS, "0"))
    fee = cap_wei // gas_limit
    if not 0 < fee < refused.max_fee_per_gas_wei:
        return None
    return Fees(fee, min(fee, refused.max_priority_fee_per_gas_wei))


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
    # Order matters: "gapped nonce tx from delegated accounts" is no gap of ours; "replacement
    # transaction underpriced" contains "transaction underpriced"; "unknown transaction" contains
    # "known transaction"; "intrinsic gas too low" is no fee.
    (
        AnswerClass.RESERVED,
        (
            r"already reserved|in ?flight transaction limit|gapped nonce tx from delegated"
            r"|delegation nonce gap|delegation authority has pending|delegatorhaspendingtx"
            r"|notcurrentnoncefordelegation|pending transaction type conflict"
            r"|pendingtxsofconflictingtype|sender (?:is )?not an eoa|senderiscontract"
        ),
    ),
    (
        AnswerClass.UNDERPRICED_REPLACEMENT,
        (
            r"replacement (?:transaction|fee|tx).{0,20}(?:underpriced|too low)"
            r"|replacement ?not ?allowed|too low to replace|could not replace existing"
            r"|insufficient gas price to replace"
        ),
    ),
    (
        AnswerClass.KNOWN,
        (
            r"already ?known|(?<!un)known transaction|already imported|already exists"
            r"|existing txn? with same hash|already in (?:the )?mempool"
        ),
    ),
    (
        AnswerClass.NONCE_LOW,
        r"nonce ?(?:is ?)?too ?low|old ?nonce|nonce.{0,80}already (?:been )?used",
    ),
    (
        AnswerClass.NONCE_HIGH,
        (
            r"nonce ?(?:is ?)?too ?high|too far in (?:the )?future|noncetoofarinfuture"
            r"|exceeds next nonce|nonce out of range|nonce ?gap|gapped|account limit exceeded"
            r"|nonce (?:is )?too distant|future transaction tries to replace pending"
            r"|transaction with a lower nonce exists|queued sub ?pool is full"
        ),
    ),
    (
        AnswerClass.FUNDS,
        r"insufficient ?(?:funds|balance)|cost exceeds account balance",
    ),
    (
        AnswerClass.REJECTED,
        (
            r"intrinsic ?gas|exceeds block gas limit|gas limit reached|gas ?limit ?exceeded"
            r"|exceeds max transaction gas limit|gas limit (?:is )?(?:too high|greater than)"
            r"|exceeds the configured cap|fee cap exceeded|invalid sender|recover sender"
            r"|(?:invalid|wrong) chain ?id|chain ?id not supported|signed for another chain"
            r"|oversized data|transaction too large|rlp ?too ?long|negative value"
            r"|tip above fee cap|priority fee per gas (?:higher|exceeds|above)"
            r"|invalid signature|transaction type|fee cap higher than 2\^256"
        ),
    ),
    (
        AnswerClass.UNDERPRICED,
        (
            r"underpriced|less than block base ?fee|below (?:the )?(?:current )?base ?fee"
            r"|fee ?too ?low|below (?:the )?(?:configured )?minimum|gas tip cap.{0,40}below"
            r"|txpool is full|(?:pending|base ?fee) sub ?pool is full"
        ),
    ),
)
"""Words of geth, reth, Nethermind, Besu, Erigon and anvil -> class; the first that matches.

They are compared in small letters, with one space for any run of spaces, hyphens and underscores.
"""

_ANSWERS: Final = tuple((each, re.compile(words)) for each, words in ANSWERS)
_BETWEEN_WORDS: Final = re.compile(r"[\s_-]+")


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
    text = _BETWEEN_WORDS.sub(" ", message.lower())
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


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one send came to, all providers taken together.

    Attributes:
        message: The words of the provider that decided it, fit to be shown; empty: accepted.
    """

    answer: AnswerClass
    message: str = ""


def verdict(answers: Iterable[tuple[AnswerClass, str]]) -> Verdict:
    """The strongest class with the words of the first provider that gave it."""
    every = list(answers)
    together = strongest(each for each, _ in every)
    words = next((message for each, message in every if each is together), "")
    return Verdict(together, plain_words(words))


MESSAGE_MAX: Final = 200
_URL: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_LONG_TOKEN: Final = re.compile(r"(?<![0-9A-Za-z])(?!0x)[0-9A-Za-z_-]{28,}")
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]+")


def plain_words(message: str) -> str:
    """The words of a provider as they may be stored: 200 characters, no addresses nor keys.

    Providers put the caller's key into addresses and sometimes into words. Hashes and accounts,
    which begin with 0x, stay.
    """
    text = _LONG_TOKEN.sub("(key)", _URL.sub("(address)", message))
    return " ".join(_UNPRINTABLE.sub(" ", text).split())[:MESSAGE_MAX]
