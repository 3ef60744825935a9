"""Settlement, as pure rules: what is in a batch, when it goes, and why a payout fails.

Fees and the answers to a send are in `node.core.submission`; doing it is
`node.services.settlement.settling`; concluding that somebody was paid is the mirror's alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from node.core.errors import InvariantBroken
from node.core.units import Address

RECORD_BYTES: Final = 36
"""Number (8), beneficiary (20), amount (8), big endian: the contract's `RECORD_BYTES`."""

RECORDS_MAX: Final = 256
"""Most records of one `settle` and numbers of one `void`: the contract's `RECORDS_MAX`."""

UINT64_LIMIT: Final = 2**64

TRANSACTION_GAS_MAX: Final = 2**24
"""Most gas of one transaction (EIP-7825)."""

_GAS_FIXED: Final = 600_000
"""Base cost, checks, the 243,175 gas the contract wants left before its last payment, and one
payment that burns the 200,000 it is given: a beneficiary that turns into a gas bomb between gate
and block does not revert the batch."""

_GAS_PER_PAYMENT: Final = 60_000
"""Above a first payment to a holder through a proxied token (about 45,000) with its record."""

_GAS_PER_VOID: Final = 30_000
"""Above one new bitmap word (22,100) with its event and calldata."""

NO_CODE_HASH: Final = bytes.fromhex(
    "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
)
"""Keccak-256 of nothing: the code hash of an account without code (EIP-1052)."""

NATIVE_TRANSFER_GAS: Final = 21_000
TOKEN_TRANSFER_GAS: Final = 150_000


class Purpose(StrEnum):
    """What a nonce is used for."""

    SETTLE = "settle"
    VOID = "void"
    MOVEMENT = "movement"
    ADMIN = "admin"  # a call of the contract by one of its roles: pause, unpause, rescue
    NOOP = "noop"
    UNKNOWN = "unknown"  # of an adopted one: a call that the node never makes


class SlotState(StrEnum):
    """How far a nonce has come. From `included` on, only the mirror moves it."""

    WRITTEN = "written"  # composition fixed, perhaps not signed yet
    SUBMITTED = "submitted"  # signed and stored; may have been sent
    UNKNOWN = "unknown"  # no provider has said that it has the bytes
    INCLUDED = "included"
    FINAL = "final"
    FOREIGN = "foreign"  # the nonce was finally used by a transaction that is not ours


UNMINED: Final = (SlotState.WRITTEN, SlotState.SUBMITTED, SlotState.UNKNOWN)


class LaneStatus(StrEnum):
    """Whether a lane takes new work."""

    ACTIVE = "active"
    AHEAD = "ahead"  # the chain has seen more of its nonces than the database: adoption first
    STOPPED = "stopped"


class PauseReason(StrEnum):
    """Why nothing new is signed."""

    OPERATOR = "operator"
    ORPHAN_OUTBOUND = "orphan_outbound"
    FOREIGN_NONCE = "foreign_nonce"
    DEEP_REORG = "deep_reorg"
    FLOAT = "float"
    ISSUER = "issuer"  # it changed the token's code, or denied an address that pays


class Waiting(StrEnum):
    """Why a funded transfer cannot be batched now."""

    PAUSED = "paused"
    FLOAT_SHORT = "float_short"
    GAS_LOW = "gas_low"
    TOKEN_PAUSED = "token_paused"  # noqa: S105 - a code, not a secret
    CAP_REACHED = "cap_reached"


@dataclass(frozen=True, slots=True)
class PaymentRecord:
    """One payment of a batch; `amount` in token units, which are the ledger's minor units."""

    number: int
    beneficiary: Address
    amount: int

    def __post_init__(self) -> None:
        if (
            not 0 <= self.number < UINT64_LIMIT
            or not 0 < self.amount < UINT64_LIMIT
            or len(self.beneficiary) != 20  # noqa: PLR2004 - an address
        ):
            raise InvariantBroken(f"no record can hold payment number {self.number}")


def encode_records(records: Sequence[PaymentRecord]) -> bytes:
    """The argument of `settle`: 36 bytes per record.

    Raises:
        InvariantBroken: None, more than 256, or one number twice.
    """
    if not 0 < len(records) <= RECORDS_MAX or len({each.number for each in records}) != len(
        records
    ):
        raise InvariantBroken(f"a batch cannot have these {len(records)} records")
    return b"".join(
        each.number.to_bytes(8) + each.beneficiary + each.amount.to_bytes(8) for each in records
    )


def decode_records(encoded: bytes) -> list[PaymentRecord]:
    """The records `encode_records` wrote.

    Raises:
        InvariantBroken: Not whole records.
    """
    if not encoded or len(encoded) % RECORD_BYTES:
        raise InvariantBroken(f"{len(encoded)} bytes are not whole records")
    return [
        PaymentRecord(
            int.from_bytes(encoded[at : at + 8]),
            Address(encoded[at + 8 : at + 28]),
            int.from_bytes(encoded[at + 28 : at + 36]),
        )
        for at in range(0, len(encoded), RECORD_BYTES)
    ]


# ABI encoding (Solidity ABI specification). Selectors are the first four bytes of the keccak-256
# of the signature; a test compares them with the compiled contract.
SETTLE_SELECTOR: Final = bytes.fromhex("d0322fbf")
VOID_SELECTOR: Final = bytes.fromhex("c7d53806")
TRANSFER_SELECTOR: Final = bytes.fromhex("a9059cbb")


def settle_calldata(records: Sequence[PaymentRecord]) -> bytes:
    """Calldata of `settle(bytes)`. The composition decides every byte."""
    encoded = encode_records(records)
    padding = bytes(-len(encoded) % 32)
    return SETTLE_SELECTOR + _word(32) + _word(len(encoded)) + encoded + padding


def settle_records(calldata: bytes) -> list[PaymentRecord]:
    """The records in calldata of `settle(bytes)`.

    Raises:
        InvariantBroken: It is not such calldata.
    """
    length = int.from_bytes(calldata[36:68])
    encoded = calldata[68 : 68 + length]
    if calldata[:4] != SETTLE_SELECTOR or int.from_bytes(calldata[4:36]) != 32:  # noqa: PLR2004
        raise InvariantBroken("this is not a call of settle")
    if len(encoded) != length:
        raise InvariantBroken("the call of settle is cut off")
    return decode_records(encoded)


def void_numbers(calldata: bytes) -> list[int]:
    """The numbers in calldata of `void(uint64[])`.

    Raises:
        InvariantBroken: It is not such calldata, to the byte.
    """
    words = calldata[68:]
    numbers = [int.from_bytes(words[at : at + 32]) for at in range(0, len(words), 32)]
    if any(each >= UINT64_LIMIT for each in numbers) or void_calldata(numbers) != calldata:
        raise InvariantBroken("this is not a call of void")
    return numbers


def void_calldata(numbers: Sequence[int]) -> bytes:
    """Calldata of `void(uint64[])`."""
    if not 0 < len(numbers) <= RECORDS_MAX:
        raise InvariantBroken(f"{len(numbers)} numbers cannot be voided at once")
    return VOID_SELECTOR + numbers_argument(numbers)


def numbers_argument(numbers: Sequence[int]) -> bytes:
    """The ABI encoding of one `uint64[]` argument."""
    return _word(32) + _word(len(numbers)) + b"".join(_word(number) for number in numbers)


def token_transfer_calldata(to: Address, amount: int) -> bytes:
    """Calldata of ERC-20 `transfer(address,uint256)`."""
    return TRANSFER_SELECTOR + bytes(12) + to + _word(amount)


def _word(number: int) -> bytes:
    return number.to_bytes(32)


def settle_gas(payments: int) -> int:
    """Gas limit of a batch. What is not used costs nothing; too little reverts the whole."""
    return _GAS_FIXED + _GAS_PER_PAYMENT * payments


def void_gas(numbers: int) -> int:
    """Gas limit of a batch of voids."""
    return _GAS_FIXED + _GAS_PER_VOID * numbers


def payments_within(gas_max: int) -> int:
    """Most payments of one batch under a gas budget, such as the gas limit of a block.

    No transaction has more than 2^24 gas (EIP-7825), whatever the budget. 0: not one fits.
    """
    return max(
        0, min(RECORDS_MAX, (min(gas_max, TRANSACTION_GAS_MAX) - _GAS_FIXED) // _GAS_PER_PAYMENT)
    )


# ---------------------------------------------------------------------------------------- batches


@dataclass(frozen=True, slots=True)
class BatchRules:
    """When and how large.

    Attributes:
        payments_max: Most payments of one batch.
        wait_ms: How long the oldest waits for company, while an earlier batch is under way.
        slots_unmined_max: Most nonces of a lane that are not mined; geth keeps 16 executable
            transactions of an account without regard to the pool's size (`AccountSlots`).
    """

    payments_max: int = RECORDS_MAX
    wait_ms: int = 200
    slots_unmined_max: int = 16


def batch_sizes(
    waiting: int, oldest_age_ms: int, slots_free: int, rules: BatchRules, *, is_idle: bool
) -> list[int]:
    """How many payments each batch of this pass takes, oldest first.

    Full ones go at once. The rest goes at once when the lane is idle, and gathers company while
    something is under way, until its oldest has waited long enough: a lone payment does not wait,
    and a busy lane pays the fixed cost of a batch seldom.
    """
    size = rules.payments_max
    full = min(waiting // size, max(0, slots_free))
    sizes = [size] * full
    rest = waiting - full * size
    may_go = (is_idle and full == 0) or oldest_age_ms >= rules.wait_ms
    if 0 < rest < size and full < slots_free and may_go:
        sizes.append(rest)
    return sizes


def within_float(amounts: Sequence[int], float_units: int) -> int:
    """How many of the amounts, from the first, the float pays. Order is never changed."""
    count = 0
    for amount in amounts:
        float_units -= amount
        if float_units < 0:
            break
        count += 1
    return count


# ------------------------------------------------------------------------ failures on chain


class Cause(StrEnum):
    """Why a payout failed, or a whole batch reverted."""

    PAUSED = "paused"  # the settlement contract
    TOKEN_PAUSED = "token_paused"  # noqa: S105 - a code, not a secret
    FLOAT_SHORT = "float_short"
    CAP_REACHED = "cap_reached"
    OUT_OF_GAS = "out_of_gas"
    BENEFICIARY_REFUSED = "beneficiary_refused"
    GAS_BURNT = "gas_burnt"  # paying this beneficiary takes more gas than a payment is given
    LANE_REFUSED = "lane_refused"  # the account is no operator (any more)
    NODE_DENIED = "node_denied"  # contract or lane: nothing can be paid until people act
    CONTRACT_CHANGED = "contract_changed"  # unknown code, or a token that takes a fee
    UNKNOWN = "unknown"


class Remedy(StrEnum):
    """What follows."""

    WAIT = "wait"  # back to funded with the same number until the cause ends
    VOID = "void"  # for good: money back once the void is final
    PAUSE = "pause"  # settlement stops, an operator acts
    STOP = "stop"  # this lane stops, the others go on
    RETRY = "retry"  # three batches, then on_hold


BATCHES_FAILED_MAX: Final = 3

_REMEDIES: Final[Mapping[Cause, Remedy]] = {
    Cause.PAUSED: Remedy.WAIT,
    Cause.TOKEN_PAUSED: Remedy.WAIT,
    Cause.FLOAT_SHORT: Remedy.WAIT,
    Cause.CAP_REACHED: Remedy.WAIT,
    Cause.OUT_OF_GAS: Remedy.WAIT,
    Cause.BENEFICIARY_REFUSED: Remedy.VOID,
    Cause.GAS_BURNT: Remedy.VOID,
    Cause.LANE_REFUSED: Remedy.STOP,
    Cause.NODE_DENIED: Remedy.PAUSE,
    Cause.CONTRACT_CHANGED: Remedy.PAUSE,
    Cause.UNKNOWN: Remedy.RETRY,
}

WAITING_OF: Final[Mapping[Cause, Waiting]] = {
    Cause.PAUSED: Waiting.PAUSED,
    Cause.TOKEN_PAUSED: Waiting.TOKEN_PAUSED,
    Cause.FLOAT_SHORT: Waiting.FLOAT_SHORT,
    Cause.CAP_REACHED: Waiting.CAP_REACHED,
}


def remedy_of(cause: Cause) -> Remedy:
    """What follows a cause."""
    return _REMEDIES[cause]


_SELECTORS: Final[Mapping[bytes, Cause]] = {
    bytes.fromhex(selector): cause
    for selector, cause in (
        ("1309a563", Cause.PAUSED),  # TransferSettlement.IsPaused()
        ("b01e6460", Cause.FLOAT_SHORT),  # FloatShort(uint256,uint256)
        ("f480e285", Cause.CAP_REACHED),  # CapExceeded(uint256,uint256)
        ("28727a24", Cause.OUT_OF_GAS),  # GasShort(uint256,uint256)
        ("67fd13a6", Cause.CONTRACT_CHANGED),  # TokenTakesFee(uint256,uint256)
        ("76c6c93a", Cause.LANE_REFUSED),  # NotOperator(address)
        ("5d4660da", Cause.BENEFICIARY_REFUSED),  # Unpayable(uint64,address,uint64)
        ("e7792495", Cause.TOKEN_PAUSED),  # TestUSD.TokenPaused()
        ("d93c0665", Cause.TOKEN_PAUSED),  # OpenZeppelin Pausable.EnforcedPause()
        ("ec442f05", Cause.BENEFICIARY_REFUSED),  # ERC-6093
        ("e450d38c", Cause.FLOAT_SHORT),  # ERC-6093
    )
}
_ACCOUNT_DENIED: Final = bytes.fromhex("60919795")  # TestUSD.AccountDenied(address)
_ERROR_STRING: Final = bytes.fromhex("08c379a0")  # Solidity's Error(string)

PAYMENT_CALL_GAS: Final = 200_000
"""Gas the contract gives the token for one payment: its `TOKEN_CALL_GAS`."""

_TEXT_SEEN: Final = 32
"""Characters of an `Error(string)` that fit into the 100 bytes the contract tells of."""

_TEXTS: Final[Mapping[str, Cause]] = {
    words[:_TEXT_SEEN].lower(): cause
    for words, cause in (
        ("Pausable: paused", Cause.TOKEN_PAUSED),  # Circle FiatToken
        ("Blacklistable: account is blacklisted", Cause.BENEFICIARY_REFUSED),  # Circle FiatToken
        ("ERC20: transfer amount exceeds balance", Cause.FLOAT_SHORT),  # OpenZeppelin 3 and 4
        ("ERC20: transfer to the zero address", Cause.BENEFICIARY_REFUSED),  # OpenZeppelin 3 and 4
    )
}


def cause_of(reason: bytes, beneficiary: Address | None = None) -> Cause:
    """The cause in what a token or the contract answered.

    Args:
        reason: `Failed.reason` (its first 100 bytes), or the data of a reverted call.
        beneficiary: Of the record, so that a denied account can be told from the node's own.
            A text that names no account counts as the beneficiary's: whoever relies on it shows
            first that the same sender can pay somebody else.
    """
    if reason[:4] == _ACCOUNT_DENIED and len(reason) >= 36:  # noqa: PLR2004 - selector and word
        return Cause.BENEFICIARY_REFUSED if reason[16:36] == beneficiary else Cause.NODE_DENIED
    if reason[:4] == _ERROR_STRING:
        text = reason[68 : 68 + _TEXT_SEEN].rstrip(b"\0").decode("utf-8", "replace")
        return _TEXTS.get(text.lower(), Cause.UNKNOWN)
    return _SELECTORS.get(reason[:4], Cause.UNKNOWN)
