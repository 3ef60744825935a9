"""Public identifiers: a prefix and a UUIDv7 in 26 characters of Crockford base32.

The text form is that of the TypeID specification 0.3 (lower case, most significant first, the
first character at most 7). Making a UUID needs a clock and chance, so it is not here.
"""

from enum import StrEnum
from uuid import UUID

from node.core.errors import NotFound

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUE = {character: value for value, character in enumerate(_ALPHABET)}
_LENGTH = 26


class Prefix(StrEnum):
    """What an identifier names."""

    CUSTOMER = "cus"
    PARTNER = "par"
    QUOTE = "quo"
    TRANSFER = "tra"
    TOP_UP = "top"
    BATCH = "bat"
    MOVEMENT = "mov"
    RUN = "run"
    BREAK = "brk"
    ACCOUNT = "acc"
    EVENT = "evt"
    KEY = "key"


def encode_id(prefix: Prefix, value: UUID) -> str:
    """`cus_01j…`: the identifier as others see it."""
    number = value.int
    return f"{prefix}_" + "".join(
        _ALPHABET[(number >> shift) & 31] for shift in range(5 * (_LENGTH - 1), -1, -5)
    )


def decode_id(prefix: Prefix, text: str) -> UUID:
    """The UUID named by `text`.

    Raises:
        NotFound: `text` is not an identifier of this kind, so nothing can bear it.
    """
    head, _, body = text.partition("_")
    if head != prefix or len(body) != _LENGTH or body[0] > "7":
        raise NotFound(f"no object is named {text[:64]!r}; ids start with '{prefix}_'")
    number = 0
    for character in body:
        value = _VALUE.get(character)
        if value is None:
            raise NotFound(f"no object is named {text[:64]!r}")
        number = number << 5 | value
    return UUID(int=number)
