"""Rails that pay beneficiaries in local money: a bank, or whatever pays in its place.

What a rail says is believed about its own orders only; what is booked then is
`node.services.payouts.delivering`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from node.core.payouts import Person
from node.core.units import Money


class RailUnavailable(Exception):
    """The rail does not answer; whether it has the order is not known. No caller is told."""


@dataclass(frozen=True, slots=True)
class RailOrder:
    """One payment that a rail is to make.

    Attributes:
        id: The node's: the same id is paid at most once, however often it is ordered.
        amount: What arrives, in full.
        reference: What the beneficiary reads.
    """

    id: str
    amount: Money
    beneficiary: Person
    reference: str


class RailState(StrEnum):
    """What a rail says of an order."""

    PENDING = "pending"
    CONFIRMED = "confirmed"  # the beneficiary's bank has it
    REFUSED = "refused"  # for good; nothing was paid
    RETURNED = "returned"  # it was confirmed, and came back


@dataclass(frozen=True, slots=True)
class RailAnswer:
    """What became of one order.

    Attributes:
        code: Why, of one that was refused or returned; stable, such as `name_mismatch`.
        message: The same for a person.
    """

    state: RailState
    code: str = ""
    message: str = ""


class PayoutRail(Protocol):
    """One bank of the node."""

    @property
    def name(self) -> str:
        """Of the rail; part of the paths of its accounts."""
        ...

    async def check(self, beneficiary: Person) -> tuple[str, str] | None:
        """Why this beneficiary would be refused, as far as is known: code and sentence.

        Raises:
            RailUnavailable: It does not answer.
        """
        ...

    async def order(self, order: RailOrder) -> None:
        """Have one payment made; the same id again changes nothing.

        Raises:
            RailUnavailable: Whether it has the order is not known.
        """
        ...

    async def states(self, order_ids: Sequence[str]) -> Mapping[str, RailAnswer]:
        """What became of orders; those that the rail does not have are left out.

        Raises:
            RailUnavailable: It does not answer.
        """
        ...
