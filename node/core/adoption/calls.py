"""What a transaction asks for, from its call alone."""

from typing import Final

from node.core.adoption.facts import MinedTransaction, OwnAccounts
from node.core.adoption.found import FoundMovement
from node.core.errors import InvariantBroken
from node.core.ledger import WEI_PER_UNIT
from node.core.settlement import (
    TRANSFER_SELECTOR,
    PaymentRecord,
    Purpose,
    settle_records,
    void_numbers,
)
from node.core.sweeping import is_sweep
from node.core.units import MINOR_LIMIT, Address

RESCUE_SELECTOR: Final = bytes.fromhex("20ff430b")
"""Of `rescue(address,address,uint256)`; a test compares it with the compiled contract."""

_WORD: Final = 32


def purpose_of(own: OwnAccounts, transaction: MinedTransaction) -> Purpose:
    """What a transaction of an own account asks for, from its call alone."""
    to, data, value_wei = transaction.to, transaction.data, transaction.value_wei
    if to == transaction.sender and not data:
        return Purpose.NOOP
    if movement_in(own, transaction) is not None or is_deposit_sweep(own, transaction):
        return Purpose.MOVEMENT
    if to != own.contract or value_wei:
        return Purpose.UNKNOWN
    if payments_in(data):
        return Purpose.SETTLE
    return Purpose.VOID if voids_in(data) else Purpose.ADMIN


def movement_in(own: OwnAccounts, found: MinedTransaction) -> FoundMovement | None:
    """The treasury movement that a call is, if it is one; no request is looked for."""
    units = found.value_wei // WEI_PER_UNIT
    if found.to in own.addresses and found.value_wei and not found.data:
        is_whole = found.value_wei % WEI_PER_UNIT == 0
        return _movement(own, found.sender, found.to, own.native_asset, units) if is_whole else None
    if found.value_wei:
        return None
    words = _words(found.data, TRANSFER_SELECTOR, 2)
    if found.to == own.token and words:
        return _movement(own, found.sender, _address(words[0]), own.token_asset, _int(words[1]))
    words = _words(found.data, RESCUE_SELECTOR, 3)
    if found.to == own.contract and words and _address(words[0]) == own.token:
        return _movement(own, own.contract, _address(words[1]), own.token_asset, _int(words[2]))
    return None


def is_deposit_sweep(own: OwnAccounts, found: MinedTransaction) -> bool:
    """Whether it calls for the tokens of deposit addresses, as this node calls for them."""
    if own.deposits is None or found.to != own.deposits or found.value_wei:
        return False
    return is_sweep(found.data, own.token)


def deposit_sweep_in(
    own: OwnAccounts, found: MinedTransaction, received: int
) -> FoundMovement | None:
    """The sweep that a call was, by what the contract received; None: it moved nothing.

    The call names no amount, and what it moves is booked by the token's own events. A request of
    the node for the same addresses stays one: written again, it would find nothing to sweep.
    """
    if own.deposits is None or not is_deposit_sweep(own, found) or not 0 < received < MINOR_LIMIT:
        return None
    return FoundMovement(
        "deposit_sweep", own.deposits, own.contract, own.token_asset, received, None
    )


def _movement(
    own: OwnAccounts, source: Address, to: Address, asset: str, amount: int
) -> FoundMovement | None:
    if to not in own.addresses or source == to or not 0 < amount < MINOR_LIMIT:
        return None
    is_token = asset == own.token_asset
    if source == own.contract and to == own.treasury:
        kind = "rescue"
    elif to == own.treasury:
        kind = "sweep"
    elif source == own.treasury and is_token and to == own.contract:
        kind = "float_top_up"
    elif source == own.treasury and not is_token and to != own.contract:
        kind = "lane_gas"
    else:
        return None
    return FoundMovement(kind, source, to, asset, amount, None)


def payments_in(data: bytes) -> list[PaymentRecord]:
    """Records of a call of `settle`; none: it is another call."""
    try:
        return settle_records(data)
    except InvariantBroken:
        return []


def voids_in(data: bytes) -> list[int]:
    """Numbers of a call of `void`; none: it is another call."""
    try:
        return void_numbers(data)
    except InvariantBroken:
        return []


def _words(data: bytes, selector: bytes, count: int) -> list[bytes]:
    """The argument words of a call of exactly this form; none: it is another."""
    if data[:4] != selector or len(data) != 4 + count * _WORD:
        return []
    return [data[at : at + _WORD] for at in range(4, len(data), _WORD)]


def _address(word: bytes) -> Address:
    return Address(word[-20:])


def _int(word: bytes) -> int:
    return int.from_bytes(word)
