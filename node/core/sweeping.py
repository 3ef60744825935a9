"""Sweeping deposit addresses, as pure rules: the call, its answer, its gas, and when it is due.

Where addresses come from is `adapters.evm.deposits`; what a deposit means is `node.core.deposits`;
doing it is `node.services.settlement.sweeping`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from node.core.errors import InvariantBroken
from node.core.units import Address

SALT_BYTES: Final = 32

SALTS_MAX: Final = 100
"""Most addresses of one sweep: its gas limit stays well below 2^24 (EIP-7825)."""

SWEEP_SELECTOR: Final = bytes.fromhex("faa89528")
"""First four bytes of the keccak-256 of `sweep(address,bytes32[])`; a test compares them with the
compiled contract."""

_GAS_FIXED: Final = 750_000
"""Base cost, the 371,000 gas the contract wants left before its last address, and one address whose
token burns what it is given: such a one does not revert the others."""

_GAS_PER_ADDRESS: Final = 90_000
"""Above a first sweep, which deploys a forwarder (`contracts/gas_deposits.md`: about 60,000 before
refunds), with a proxied token on top."""

_WORD: Final = 32


class SweepOutcome(IntEnum):
    """What the contract answers for each address."""

    SWEPT = 0
    FAILED = 1  # the token refuses: the address still holds what it held
    EMPTY = 2


@dataclass(frozen=True, slots=True)
class SweepRules:
    """When an address is swept.

    Attributes:
        above_minor: From this holding on, minor units of the token. Less is not worth its gas.
    """

    above_minor: int = 1_000_000


def sweep_calldata(token: Address, salts: Sequence[bytes]) -> bytes:
    """Calldata of `sweep(address,bytes32[])`.

    Raises:
        InvariantBroken: No salt, more than 100, one of them twice or not of 32 bytes.
    """
    is_distinct = len(set(salts)) == len(salts)
    if not 0 < len(salts) <= SALTS_MAX or not is_distinct:
        raise InvariantBroken(f"a sweep cannot have these {len(salts)} salts")
    if any(len(each) != SALT_BYTES for each in salts):
        raise InvariantBroken(f"a salt has {SALT_BYTES} bytes")
    head = bytes(12) + token + (2 * _WORD).to_bytes(_WORD) + len(salts).to_bytes(_WORD)
    return SWEEP_SELECTOR + head + b"".join(salts)


def swept_salts(calldata: bytes, token: Address) -> list[bytes]:
    """The salts in calldata of a sweep of this token.

    Raises:
        InvariantBroken: It is not such calldata, to the byte.
    """
    words = calldata[4 + 3 * _WORD :]
    salts = [words[at : at + _WORD] for at in range(0, len(words), _WORD)]
    if sweep_calldata(token, salts) != calldata:
        raise InvariantBroken("this is not a call of sweep")
    return salts


def is_sweep(calldata: bytes, token: Address) -> bool:
    """Whether it calls for a sweep of this token, encoded as this node encodes it."""
    try:
        return len(swept_salts(calldata, token)) > 0
    except InvariantBroken:
        return False


def sweep_outcomes(answer: bytes, count: int) -> list[SweepOutcome]:
    """What a call of `sweep` of so many salts returned.

    Raises:
        InvariantBroken: It is not such an answer.
    """
    length = int.from_bytes(answer[_WORD : 2 * _WORD])
    told = answer[2 * _WORD : 2 * _WORD + length]
    if length != count or len(told) != count or any(each > max(SweepOutcome) for each in told):
        raise InvariantBroken(f"this is no answer to a sweep of {count}")
    return [SweepOutcome(each) for each in told]


def sweep_gas(count: int) -> int:
    """Gas limit of a sweep. What is not used costs nothing; too little reverts the whole."""
    return _GAS_FIXED + _GAS_PER_ADDRESS * count
