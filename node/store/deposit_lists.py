"""Payment requests and deposits as they are shown: who may see them, and in which order.

Another's object does not exist: every statement asks whose a row is. What moves money is in
`deposits`.
"""

from typing import Any, Final
from uuid import UUID

from node.core.deposits import (
    Deposit,
    DepositStatus,
    Flag,
    Owner,
    PaymentRequest,
    RequestStatus,
    StraySeen,
)
from node.core.paging import ListQuery, Page, Position
from node.core.parties import Principal, Role
from node.core.units import Address, BlockHash, TxHash
from node.store.database import Connection, Row

# What an operator gave to somebody else came to an address that is not theirs.
DEPOSIT: Final = """
d.*, EXISTS (SELECT FROM deposit_address a WHERE a.id = d.address_id
    AND coalesce(a.customer_id, a.partner_id) IS DISTINCT FROM coalesce(d.customer_id, d.partner_id)
) AS is_anothers
FROM deposit d
"""
_REQUEST: Final = """
SELECT r.*, a.chain_id, a.address, sums.received, sums.held
FROM payment_request r JOIN deposit_address a ON a.id = r.address_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(d.amount) FILTER (WHERE d.status <> 'unbooked'), 0) AS received,
        coalesce(sum(d.amount) FILTER (WHERE d.status = 'held'), 0) AS held
    FROM deposit d WHERE d.request_id = r.id AND d.status <> 'orphaned'
      AND coalesce(d.customer_id, d.partner_id) = coalesce(r.customer_id, r.partner_id)
) sums
"""
_OF_PARTNER: Final = """
({0}.partner_id = $1 OR {0}.customer_id IN (SELECT id FROM customer WHERE partner_id = $1))
"""
_STRAYS: Final = """
SELECT s.token, s.tx_hash, s.block_number, s.log_index, s.amount FROM stray_log s
WHERE s.chain_id = $1 AND s.to_address = $2 AND s.status = 'final'
ORDER BY s.block_number, s.log_index LIMIT 20
"""


class DepositLists:
    """What `DepositStore` shows."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def request(self, principal: Principal, request_id: UUID) -> PaymentRequest | None:
        """One request, where it exists for this principal, with other tokens that came to it."""
        own, value = _own(principal, "r")
        row = await self._raw.fetchrow(f"{_REQUEST} WHERE {own} AND r.id = $2", value, request_id)
        if row is None:
            return None
        strays = await self._raw.fetch(_STRAYS, row["chain_id"], row["address"])
        return _request(row, tuple(_stray(each) for each in strays))

    async def requests(self, principal: Principal, query: ListQuery) -> Page[PaymentRequest]:
        """Requests that exist for this principal, newest first."""
        own, value = _own(principal, "r")
        filters = {"status": "r.status", "reference": "r.reference", "customer_id": "r.customer_id"}
        rows = await self._page(_REQUEST, own, value, "r", filters, query)
        return query.page(
            [_request(row) for row in rows], lambda row: Position(row.created_at, row.id.int)
        )

    async def deposit(self, principal: Principal, deposit_id: UUID) -> Deposit | None:
        """One deposit, where it exists for this principal."""
        own, value = _own(principal, "d")
        row = await self._raw.fetchrow(
            f"SELECT {DEPOSIT} WHERE {own} AND d.id = $2",
            value,
            deposit_id,
        )
        return deposit_of(row, principal.role) if row else None

    async def deposits(self, principal: Principal, query: ListQuery) -> Page[Deposit]:
        """Deposits that exist for this principal, newest first; unknown ones only for operators."""
        own, value = _own(principal, "d")
        filters = {
            "status": "d.status",
            "customer_id": "d.customer_id",
            "payment_request_id": "d.request_id",
        }
        rows = await self._page(f"SELECT {DEPOSIT}", own, value, "d", filters, query)
        return query.page(
            [deposit_of(row, principal.role) for row in rows],
            lambda row: Position(row.created_at, row.id.int),
        )

    async def _page(
        self,
        select: str,
        own: str,
        value: UUID | None,
        table: str,
        filters: dict[str, str],
        query: ListQuery,
    ) -> list[Row]:
        conditions, arguments = [own], [value]
        given: list[Any] = arguments  # texts and times besides
        for name, column in filters.items():
            if (wanted := query.filters.get(name)) is not None:
                given.append(UUID(wanted) if name.endswith("_id") else wanted)
                conditions.append(f"{column} = ${len(given)}")
        if position := query.position():
            given += [position.created_at, position.uuid]
            conditions.append(
                f"({table}.created_at, {table}.id) < (${len(given) - 1}, ${len(given)})"
            )
        given.append(query.limit + 1)
        return list(
            await self._raw.fetch(
                f"{select} WHERE {' AND '.join(conditions)}"
                f" ORDER BY {table}.created_at DESC, {table}.id DESC LIMIT ${len(given)}",
                *given,
            )
        )


def _own(principal: Principal, table: str) -> tuple[str, UUID | None]:
    """Condition on a row's owner, and its argument."""
    match principal.role:
        case Role.OPERATOR:
            return "$1::uuid IS NULL", None
        case Role.PARTNER:
            return _OF_PARTNER.format(table), principal.partner_id
        case Role.REMITTER:
            return f"{table}.customer_id = $1", principal.customer_id


def owner_of(row: Row) -> Owner:
    """Whose an address, a request or a deposit is."""
    return Owner(row["customer_id"], row["partner_id"])


def deposit_of(row: Row, role: Role = Role.OPERATOR) -> Deposit:
    """A deposit of a row with the columns of `DEPOSIT`.

    Who got what came to another's address is not told that address, nor its request.
    """
    owner = owner_of(row)
    is_hidden = row["is_anothers"] and role is not Role.OPERATOR
    return Deposit(
        id=row["id"],
        chain_id=row["chain_id"],
        block_hash=BlockHash(row["block_hash"]),
        log_index=row["log_index"],
        block_number=row["block_number"],
        mined_at=row["mined_at"],
        tx_hash=TxHash(row["tx_hash"]),
        asset=row["asset"],
        amount=int(row["amount"]),
        from_address=Address(row["from_address"]),
        to_address=None if is_hidden else Address(row["to_address"]),
        owner=None if owner == Owner() else owner,
        request_id=None if is_hidden else row["request_id"],
        status=DepositStatus(row["status"]),
        flags=frozenset(map(Flag, row["flags"])),
        ledger_sequence=row["ledger_sequence"],
        credited_sequence=row["credited_sequence"],
        break_id=row["break_id"],
        version=row["version"],
        created_at=row["created_at"],
    )


def _request(row: Row, strays: tuple[StraySeen, ...] = ()) -> PaymentRequest:
    return PaymentRequest(
        id=row["id"],
        owner=owner_of(row),
        chain_id=row["chain_id"],
        asset=row["asset"],
        amount=row["amount"],
        reference=row["reference"],
        address=Address(row["address"]),
        status=RequestStatus(row["status"]),
        flags=frozenset(map(Flag, row["flags"])),
        received=int(row["received"]),
        held=int(row["held"]),
        surplus=row["surplus"],
        version=row["version"],
        made_by=row["made_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        strays=strays,
    )


def _stray(row: Row) -> StraySeen:
    return StraySeen(
        Address(row["token"]),
        TxHash(row["tx_hash"]),
        row["block_number"],
        row["log_index"],
        int(row["amount"]),
    )
