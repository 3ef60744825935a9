"""A bank for play: it pays nobody, and behaves like a bank that does.

It has books of its own, in a schema of the same PostgreSQL that the node's tables know nothing of:
what it was told survives whoever told it, and an order's id is paid once. The last four characters
of an account number force what happens; every other account is paid at the first look.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Final

import asyncpg

from node.core.payouts import Person
from node.core.ports.rails import RailAnswer, RailOrder, RailState, RailUnavailable

SANDBOX_BANK: Final = "sandbox_bank"

_ROLE: Final = "corridor_node"
_TIMEOUT_S: Final = 5
_LATE_LOOKS: Final = 3
_DOWN_TRIES: Final = 2
_RETURNED_LOOKS: Final = 2


class Magic(StrEnum):
    """Ends of account numbers that force an outcome."""

    UNKNOWN = "0001"  # refused when it is registered: there is no such account
    REFUSED = "0002"  # refused when it is ordered: the account is closed
    NAME_MISMATCH = "0003"  # refused when it is ordered: the account is another's
    LATE = "0004"  # confirmed at the third look
    LOST_ANSWER = "0005"  # the bank takes the order, and its answer is lost
    DOWN = "0006"  # the bank is away for the first two tries
    RETURNED = "0007"  # confirmed, and sent back afterwards


_REFUSALS: Final = {
    Magic.UNKNOWN: ("account_unknown", "the bank has no such account"),
    Magic.REFUSED: ("account_closed", "the account is closed"),
    Magic.NAME_MISMATCH: ("name_mismatch", "the account belongs to another name"),
}
_RETURNED: Final = ("returned", "the beneficiary's bank sent the money back")

_ORDER: Final = """
INSERT INTO sandbox_bank.payment_order
    (id, asset, amount, name, account, bank_code, reference, state, code, message)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING
"""
_TURN_AWAY: Final = """
INSERT INTO sandbox_bank.turned_away (id, times) VALUES ($1, 1)
ON CONFLICT (id) DO UPDATE SET times = turned_away.times + 1 RETURNING times
"""
_LOOK: Final = """
UPDATE sandbox_bank.payment_order SET asked = asked + 1,
    booked_at = coalesce(booked_at, CASE WHEN state = 'received' THEN now() END),
    state = CASE
        WHEN state = 'received' AND right(account, 4) = $2 AND asked + 1 < $3 THEN 'received'
        WHEN state = 'received' THEN 'confirmed'
        WHEN state = 'confirmed' AND right(account, 4) = $4 AND asked + 1 >= $5 THEN 'returned'
        ELSE state END
WHERE id = ANY($1::text[]) RETURNING id, state, code, message
"""


class SandboxBank:
    """See `node.core.ports.rails.PayoutRail`; a connection for each call."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url

    @property
    def name(self) -> str:
        """Of the rail."""
        return SANDBOX_BANK

    async def check(self, beneficiary: Person) -> tuple[str, str] | None:
        """Why this beneficiary would be refused, as far as is known."""
        return _REFUSALS[Magic.UNKNOWN] if _magic(beneficiary) is Magic.UNKNOWN else None

    async def order(self, order: RailOrder) -> None:
        """Take one order; the same id again changes nothing."""
        magic = _magic(order.beneficiary)
        account = order.beneficiary.account
        assert account is not None  # nothing else is registered
        code, message = _REFUSALS.get(magic, (None, None)) if magic else (None, None)
        async with self._books() as books:
            if magic is Magic.DOWN and await books.fetchval(_TURN_AWAY, order.id) <= _DOWN_TRIES:
                raise RailUnavailable("the sandbox's bank is away, as this account asks for")
            tag = await books.execute(
                _ORDER,
                order.id,
                order.amount.asset.code,
                order.amount.minor,
                order.beneficiary.name,
                account.number,
                account.bank_code,
                order.reference,
                "refused" if code else "received",
                code,
                message,
            )
        if magic is Magic.LOST_ANSWER and tag == "INSERT 0 1":
            raise RailUnavailable("the sandbox's bank has the order, and its answer is lost")

    async def states(self, order_ids: Sequence[str]) -> Mapping[str, RailAnswer]:
        """What became of orders; those that it does not have are left out."""
        async with self._books() as books:
            rows = await books.fetch(
                _LOOK,
                list(order_ids),
                Magic.LATE.value,
                _LATE_LOOKS,
                Magic.RETURNED.value,
                _RETURNED_LOOKS,
            )
        return {row["id"]: _answer(row) for row in rows}

    @asynccontextmanager
    async def _books(self) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
        try:
            connection = await asyncpg.connect(
                self._url,
                timeout=_TIMEOUT_S,
                command_timeout=_TIMEOUT_S,
                server_settings={"application_name": "corridor sandbox bank", "role": _ROLE},
            )
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise RailUnavailable("the sandbox's bank does not answer") from error
        try:
            yield connection
        except (OSError, TimeoutError, asyncpg.PostgresConnectionError) as error:
            raise RailUnavailable("the sandbox's bank does not answer") from error
        finally:
            await connection.close()


def _magic(beneficiary: Person) -> Magic | None:
    account = beneficiary.account
    if account is None:
        return None
    return next((each for each in Magic if account.number.endswith(each.value)), None)


def _answer(row: asyncpg.Record) -> RailAnswer:
    match row["state"]:
        case "confirmed":
            return RailAnswer(RailState.CONFIRMED)
        case "refused":
            return RailAnswer(RailState.REFUSED, row["code"], row["message"])
        case "returned":
            return RailAnswer(RailState.RETURNED, *_RETURNED)
        case _:
            return RailAnswer(RailState.PENDING)
