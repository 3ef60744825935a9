"""Public identifiers: a prefix and a UUIDv7 in 26 characters of Crockford base32.

The text form is that of the TypeID specification 0.3 (lower case, most significant first, the
first character at most 7). Making a UUID needs a clock and chance, so it is not here.
"""

import re
from enum import StrEnum
from uuid import UUID

from node.core.errors import NotFound

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26
# Two characters at a time, and Python's own base 32, because every answer holds several ids.
_PAIRS = [one + two for one in _ALPHABET for two in _ALPHABET]
_SHIFTS = range(10 * (_LENGTH // 2 - 1), -1, -10)
_TO_BASE_32 = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_IS_BODY = re.compile(f"[0-7][{_ALPHABET}]{{{_LENGTH - 1}}}").fullmatch


class Prefix(StrEnum):
    """What an identifier names."""

    CUSTOMER = "cus"
    PARTNER = "par"
    QUOTE = "quo"
    TRANSFER = "tra"
    TOP_UP = "top"
    BATCH = "bat"
    MOVEMENT = "mov"
    RULE = "rul"
    RUN = "run"
    BREAK = "brk"
    ACCOUNT = "acc"
    EVENT = "evt"
    KEY = "key"
    SIGNING_KEY = "sig"
    PREFUNDING = "pre"
    DEPOSIT = "dep"
    PAYMENT_REQUEST = "req"
    BANK_STATEMENT = "sta"
    BANK_LINE = "lin"
    REORG = "reo"
    BULK = "bul"
    PAYOUT = "pay"
    REFUND = "ref"
    WEBHOOK_ENDPOINT = "whe"
    DELIVERY = "del"


def encode_id(prefix: Prefix, value: UUID) -> str:
    """`cus_01j…`: the identifier as others see it."""
    number = value.int
    return f"{prefix}_" + "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def decode_id(prefix: Prefix, text: str) -> UUID:
    """The UUID named by `text`.

    Raises:
        NotFound: `text` is not an identifier of this kind, so nothing can bear it.
    """
    head, _, body = text.partition("_")
    if head != prefix or not _IS_BODY(body):
        raise NotFound(f"no object is named {text[:64]!r}; ids start with '{prefix}_'")
    return UUID(int=int(body.translate(_TO_BASE_32), 32))
