"""Assets, exact amounts, addresses and hashes. Rates are in `node.core.quotes`.

Amounts are counts of minor units (int) with their asset. On the wire they are decimal strings.
Nothing here rounds: an amount with more digits than its asset is refused.
"""

import re
from dataclasses import dataclass, field
from typing import Final, NewType, Self

from node.core.errors import AmountInvalid, InvariantBroken

Address = NewType("Address", bytes)
"""20 bytes of an EVM account. Text form (EIP-55) only at the edges."""

BlockHash = NewType("BlockHash", bytes)
TxHash = NewType("TxHash", bytes)
Bps = NewType("Bps", int)
"""Parts per 10,000."""

MINOR_LIMIT: Final = 2**62
"""Amounts of the ledger are below this, so that sums of two fit a BIGINT."""

_AMOUNT_DIGITS_MAX: Final = 38
_AMOUNT = re.compile(r"[0-9]+(?:\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Asset:
    """What is counted.

    Attributes:
        code: ISO 4217 code, or the token's code such as `USDC`.
        digits: Decimal digits of the minor unit; EUR 2, JPY 0, USDC 6. Native coins are booked
            with 9, in units of 10^-9 (see `node.core.ledger`).
        name: For people.
    """

    code: str
    digits: int
    name: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.code


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount of one asset.

    Attributes:
        minor: Count of minor units (EUR cents, USDC millionths).
        asset: What is counted. Two assets never mix.
    """

    minor: int
    asset: Asset

    def __add__(self, other: Self) -> Self:
        return type(self)(self.minor + self._same(other), self.asset)

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.minor - self._same(other), self.asset)

    def __lt__(self, other: Self) -> bool:
        return self.minor < self._same(other)

    def _same(self, other: Self) -> int:
        if other.asset != self.asset:
            raise InvariantBroken(f"{self.asset} and {other.asset} do not mix")
        return other.minor

    def __str__(self) -> str:
        return format_minor(self.minor, self.asset.digits)

    @property
    def stated(self) -> dict[str, str]:
        """As errors state it: currency, and the amount as a decimal string."""
        return {"currency": self.asset.code, "amount": str(self)}


def format_minor(minor: int, digits: int) -> str:
    """The decimal string with exactly `digits` decimals; a minus sign where negative."""
    sign, text = ("-", str(-minor)) if minor < 0 else ("", str(minor))
    if digits == 0:
        return sign + text
    text = text.rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}"


def parse_amount(text: str, asset: Asset) -> Money:
    """The amount written as a decimal string, exactly.

    At most 38 digits, at most the asset's decimals; no sign, exponent, space or separator.

    Raises:
        AmountInvalid: The string breaks one of these, or the amount is 2^62 minor units or more.
    """
    minor = parse_minor(text, asset)
    if minor >= MINOR_LIMIT:
        raise AmountInvalid("the amount is larger than the ledger can hold")
    return Money(minor, asset)


def parse_minor(text: str, asset: Asset) -> int:
    """Minor units of an amount as `parse_amount` reads it, however large: for who has limits.

    Raises:
        AmountInvalid: The string is not an amount of this asset.
    """
    if not _AMOUNT.fullmatch(text):
        raise AmountInvalid(
            "write the amount as a plain decimal string such as '200.00': digits with at most one"
            " point, no sign, exponent, space or thousands separator"
        )
    whole, _, fraction = text.partition(".")
    if len(whole) + len(fraction) > _AMOUNT_DIGITS_MAX:
        raise AmountInvalid(f"the amount has more than {_AMOUNT_DIGITS_MAX} digits")
    if len(fraction) > asset.digits:
        raise AmountInvalid(
            f"{asset.code} has {asset.digits} decimal digits; the amount has {len(fraction)}"
        )
    return int(whole + fraction.ljust(asset.digits, "0"))
