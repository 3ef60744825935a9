"""Payouts for partners in PostgreSQL: contracts, payouts, refunds.

What moves money is written under the ledger's lock; what a worker takes to tell the rail is leased
by `next_look_at`, so that of several workers each asks about others. How rows become values is in
`payout_rows`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from node.core.errors import Conflict, InvariantBroken
from node.core.moves import before
from node.core.paging import ListQuery, Page, Position
from node.core.parties import Principal, Role
from node.core.payout_matching import PaymentLog
from node.core.payouts import (
    PAYABLE,
    PAYOUT_STATUS,
    REFUND_MOVES,
    PartnerContract,
    Payout,
    PayoutState,
    Person,
    Refund,
    RefundState,
)
from node.core.ports.deposits import Released
from node.core.ports.payouts import (
    DueTotal,
    NewPayout,
    NewRefund,
    OpenRefund,
    PayoutMove,
    StandingPayout,
)
from node.core.transfers import State
from node.store.database import Connection
from node.store.deposit_lists import owner_of
from node.store.payout_rows import (
    PAYOUT,
    REFUND,
    contract_of,
    payment_log_of,
    payout_of,
    person_json,
    refund_of,
)
from node.store.payout_standing import open_counts, standing

_CHANGEABLE: Final = {
    "failure": "jsonb",
    "beneficiary": "jsonb",
    "attempt": "smallint",
    "next_look_at": "timestamptz",
    "looks": "integer",
    "matched_deposit_id": "uuid",
    "matched_sequence": "bigint",
    "confirmed_sequence": "bigint",
    "unmatched_sequence": "bigint",
    "flags": "text[]",
}
"""Columns a move may change besides state and version, with their types."""

_ADD: Final = """
INSERT INTO payout (id, state, partner_id, quote_id, address_id, client_reference, reference,
    sell_asset, sell_amount, service_fee, network_fee, spread_amount, buy_asset, buy_amount, rail,
    beneficiary, originator, purpose, refund_policy, refund_address, made_by, created_at, pay_by,
    updated_at)
VALUES ($1, 'awaiting_payment', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::jsonb,
    $16::jsonb, $17, $18, $19, $20, $21, $22, $21)
ON CONFLICT (partner_id, client_reference) DO NOTHING
"""
_PROMISED: Final = """
SELECT coalesce(sum(buy_amount), 0) FROM payout
WHERE rail = $1 AND buy_asset = $2 AND state IN ('awaiting_payment', 'expired')
  AND (state = 'awaiting_payment' OR pay_by > now() - $3::interval)
"""
# Nothing is asked of a node that has no such partner: the table of contracts is empty then.
_PAYMENT_LOGS: Final = """
SELECT l.block_hash, l.log_index, l.tx_hash, l.from_address, l.to_address, l.amount
FROM partner_contract c
JOIN token_log l ON l.chain_id = c.chain_id AND l.from_address = c.address
JOIN deposit_address a ON a.chain_id = l.chain_id AND a.address = l.to_address
JOIN payout p ON p.address_id = a.id AND p.partner_id = c.partner_id
WHERE c.chain_id = $1 AND l.block_number > $2 AND l.block_number <= $3 AND l.status <> 'orphaned'
ORDER BY l.block_number, l.log_index
"""
_RELEASE: Final = """
UPDATE deposit d SET status = 'credited', credited_sequence = new.s, version = version + 1
FROM unnest($1::uuid[], $2::bigint[]) AS new (i, s)
WHERE d.payout_id = new.i AND d.is_counted AND d.status = 'held'
RETURNING d.*
"""
_OVERDUE: Final = """
SELECT p.id FROM payout p JOIN deposit_address a ON a.id = p.address_id
JOIN chain_cursor c ON c.chain_id = a.chain_id
JOIN block b ON b.chain_id = c.chain_id AND b.hash = c.final_hash
WHERE a.chain_id = $1 AND p.state = 'awaiting_payment' AND p.pay_by < b.mined_at
ORDER BY p.pay_by, p.id LIMIT $2
"""
_CLAIM: Final = """
UPDATE payout SET next_look_at = now() + $2::interval WHERE id IN (
    SELECT id FROM payout WHERE state IN ('matched', 'ordered')
      AND next_look_at <= now()
    ORDER BY next_look_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING id
"""
_ENDED: Final = "('settled', 'paid_out', 'canceled', 'failed', 'expired', 'refunded')"
_HAS_OPEN_REFUNDS: Final = f"""
SELECT EXISTS (SELECT FROM refund r LEFT JOIN transfer t ON t.id = r.transfer_id
    WHERE r.state = 'pending' OR r.state = 'sent' AND t.state IN {_ENDED})
"""  # noqa: S608 - constants
# Every partner has its turn: what waits for one of them keeps nobody else waiting. What a reorg
# took away after it was set aside is not sent.
_OPEN_REFUNDS: Final = f"""
WITH waiting AS (
    SELECT id, row_number() OVER (PARTITION BY partner_id ORDER BY created_at, id) AS turn
    FROM refund w WHERE state = 'pending' AND amount <= (
        SELECT coalesce(sum(d.amount), 0) FROM deposit d
        WHERE d.payout_id = w.payout_id AND d.status NOT IN ('orphaned', 'unbooked'))
)
SELECT {REFUND}, r.account_id, q.name AS partner_name, k.country, t.state AS transfer_state,
    t.failure AS transfer_failure
FROM refund r LEFT JOIN transfer t ON t.id = r.transfer_id
LEFT JOIN waiting w ON w.id = r.id
JOIN partner q ON q.id = r.partner_id JOIN customer k ON k.id = r.account_id
WHERE w.id IS NOT NULL OR r.state = 'sent' AND t.state IN {_ENDED}
ORDER BY w.turn NULLS FIRST, r.created_at, r.id LIMIT $1 FOR UPDATE OF r SKIP LOCKED
"""  # noqa: S608 - constants
_DUE: Final = """
WITH due AS (
    SELECT 'payout_due/' || rail || '/' || buy_asset AS path, sum(buy_amount) AS units FROM payout
    WHERE matched_sequence IS NOT NULL AND confirmed_sequence IS NULL
      AND unmatched_sequence IS NULL
    GROUP BY rail, buy_asset
), booked AS (
    SELECT path, credits_posted - debits_posted AS units FROM account
    WHERE split_part(path, '/', 1) = 'payout_due'
)
SELECT path, coalesce(d.units, 0) AS due, coalesce(b.units, 0) AS posted
FROM due d FULL JOIN booked b USING (path) ORDER BY path
"""


class PayoutStore:
    """See `node.core.ports.payouts.PayoutRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    # ------------------------------------------------------------------------------ contracts

    async def add_contract(self, contract: PartnerContract) -> bool:
        """Store a registered contract; False: one of this chain and address is registered."""
        tag = await self._raw.execute(
            "INSERT INTO partner_contract (chain_id, address, partner_id, refund_address,"
            " account_id, registered_by, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)"
            " ON CONFLICT DO NOTHING",
            contract.chain_id,
            contract.address,
            contract.partner_id,
            contract.refund_address,
            contract.account_id,
            contract.registered_by,
            contract.created_at,
        )
        return bool(tag == "INSERT 0 1")

    async def contracts(self, partner_id: UUID) -> Sequence[PartnerContract]:
        """What a partner pays out of, the oldest first."""
        rows = await self._raw.fetch(
            "SELECT * FROM partner_contract WHERE partner_id = $1 ORDER BY created_at, address",
            partner_id,
        )
        return [contract_of(row) for row in rows]

    async def own_account(self, partner_id: UUID) -> UUID | None:
        """The partner's own account among its customers, once it has a contract."""
        found: UUID | None = await self._raw.fetchval(
            "SELECT account_id FROM partner_contract WHERE partner_id = $1 LIMIT 1", partner_id
        )
        return found

    # -------------------------------------------------------------------------------- payouts

    async def add(self, new: NewPayout) -> bool:
        """Store a payout; False: its partner has used the reference."""
        amounts = new.amounts
        tag = await self._raw.execute(
            _ADD,
            new.id,
            new.partner_id,
            new.quote_id,
            new.address_id,
            new.client_reference,
            new.reference,
            amounts.sell_asset,
            amounts.sell,
            amounts.service_fee_minor,
            amounts.network_fee_minor,
            amounts.spread,
            amounts.buy_asset,
            amounts.buy,
            new.rail,
            person_json(new.beneficiary),
            None if new.originator is None else person_json(new.originator),
            new.purpose,
            new.refund_policy.value,
            new.refund_address,
            new.made_by,
            new.created_at,
            new.pay_by,
        )
        return bool(tag == "INSERT 0 1")

    async def with_reference(self, partner_id: UUID, client_reference: str) -> UUID | None:
        """The partner's payout with this reference."""
        found: UUID | None = await self._raw.fetchval(
            "SELECT id FROM payout WHERE partner_id = $1 AND client_reference = $2",
            partner_id,
            client_reference,
        )
        return found

    async def get(self, principal: Principal, payout_id: UUID) -> Payout | None:
        """One payout, where it exists for this principal."""
        own, value = _own(principal, "p")
        row = await self._raw.fetchrow(f"{PAYOUT} WHERE {own} AND p.id = $2", value, payout_id)
        return payout_of(row) if row else None

    async def page(self, principal: Principal, query: ListQuery) -> Page[Payout]:
        """Payouts that exist for this principal, newest first."""
        own, value = _own(principal, "p")
        conditions, given = [own], list[Any]([value])
        for name, wanted in query.filters.items():
            match name:
                case "status":
                    given.append([s.value for s in PayoutState if PAYOUT_STATUS[s] == wanted])
                    conditions.append(f"p.state = ANY(${len(given)}::text[])")
                case "partner_id":
                    given.append(UUID(wanted))
                    conditions.append(f"p.partner_id = ${len(given)}")
                case _:
                    given.append(wanted)
                    conditions.append(f"p.client_reference = ${len(given)}")
        if position := query.position():
            given += [position.created_at, position.uuid]
            conditions.append(f"(p.created_at, p.id) < (${len(given) - 1}, ${len(given)})")
        given.append(query.limit + 1)
        rows = await self._raw.fetch(
            f"{PAYOUT} WHERE {' AND '.join(conditions)}"
            f" ORDER BY p.created_at DESC, p.id DESC LIMIT ${len(given)}",
            *given,
        )
        return query.page(
            [payout_of(row) for row in rows], lambda each: Position(each.created_at, each.id.int)
        )

    async def lock(self, ids: Sequence[UUID]) -> Sequence[Payout]:
        """Payouts by id, locked in the order of ids."""
        if not ids:
            return []
        await self._raw.execute(
            "SELECT FROM payout WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE", list(ids)
        )
        rows = await self._raw.fetch(
            f"{PAYOUT} WHERE p.id = ANY($1::uuid[]) ORDER BY p.id", list(ids)
        )
        return [payout_of(row) for row in rows]

    async def promised(self, rail: str, asset: str, grace: timedelta) -> int:
        """What unpaid payouts may still make due at a rail, minor units."""
        return int(await self._raw.fetchval(_PROMISED, rail, asset, grace))

    async def payment_logs(self, chain_id: int, above: int, to: int) -> Sequence[PaymentLog]:
        """Transfers out of registered contracts to their partner's payouts, in these blocks."""
        return [
            payment_log_of(row) for row in await self._raw.fetch(_PAYMENT_LOGS, chain_id, above, to)
        ]

    async def move(self, moves: Sequence[PayoutMove]) -> None:
        """Store next versions, all or none."""
        groups: dict[tuple[PayoutState, tuple[str, ...]], list[PayoutMove]] = defaultdict(list)
        for each in moves:
            groups[each.state, tuple(sorted(each.changes))].append(each)
        for (state, names), group in groups.items():
            rows = [
                {"id": each.payout_id, "version": each.version}
                | {name: _plain(each.changes[name]) for name in names}
                for each in group
            ]
            tag = await self._raw.execute(
                _move_statement(names), state.value, orjson.dumps(rows, default=str).decode()
            )
            if tag != f"UPDATE {len(group)}":
                raise Conflict("a payout changed meanwhile; look at it again")

    async def release(self, sequences: Mapping[UUID, int]) -> Sequence[Released]:
        """Payout -> sequence that took what was held for it out of suspense; those deposits."""
        rows = await self._raw.fetch(_RELEASE, list(sequences), list(sequences.values()))
        return [
            Released(
                row["id"],
                owner_of(row),
                row["asset"],
                int(row["amount"]),
                row["break_id"],
                row["version"],
            )
            for row in rows
        ]

    async def is_any_overdue(self, chain_id: int) -> bool:
        """Whether `unpaid_after_their_time` would find one."""
        return bool(await self._raw.fetch(_OVERDUE, chain_id, 1))

    async def unpaid_after_their_time(self, chain_id: int, limit: int) -> Sequence[Payout]:
        """Payouts that wait though a final block is later than `pay_by`, locked; oldest first."""
        rows = await self._raw.fetch(_OVERDUE, chain_id, limit)
        locked = await self.lock([row["id"] for row in rows])
        return [each for each in locked if each.state is PayoutState.AWAITING_PAYMENT]

    async def held(self, payout_id: UUID) -> int:
        """What is in suspense for a payout and counts, minor units."""
        return int(
            await self._raw.fetchval(
                "SELECT coalesce(sum(amount), 0) FROM deposit"
                " WHERE payout_id = $1 AND is_counted AND status = 'held'",
                payout_id,
            )
        )

    async def counts(self, deposit_id: UUID) -> bool:
        """Whether a payout that may still be paid counts this held deposit."""
        return bool(
            await self._raw.fetchval(
                "SELECT EXISTS (SELECT FROM deposit d JOIN payout p ON p.id = d.payout_id"
                " WHERE d.id = $1 AND d.is_counted AND d.status = 'held' AND p.state = ANY($2))",
                deposit_id,
                sorted(PAYABLE),
            )
        )

    async def standing(
        self,
        within: Mapping[PayoutState, timedelta],
        limit: int,
        ids: Sequence[UUID] | None = None,
    ) -> Sequence[StandingPayout]:
        """Payouts longer in these states than so, the oldest first; of these ids, if given."""
        return await standing(self._raw, within, limit, ids)

    async def open_counts(self) -> Mapping[PayoutState, int]:
        """How many payouts are in each state that does not end one; 0 where none is."""
        return await open_counts(self._raw)

    async def claim(self, limit: int, lease: timedelta) -> Sequence[Payout]:
        """Payouts that the rail is to be told of or asked about now; nobody else's for a while."""
        rows = await self._raw.fetch(_CLAIM, limit, lease)
        return await self.lock([row["id"] for row in rows])

    async def paid_since(self, since: datetime, limit: int) -> Sequence[Payout]:
        """Payouts that the rail confirmed since then, those looked at longest ago first."""
        rows = await self._raw.fetch(
            f"{PAYOUT} WHERE p.state = 'paid_out' AND p.updated_at > $1 AND p.next_look_at <= now()"
            " ORDER BY p.next_look_at LIMIT $2",
            since,
            limit,
        )
        return [payout_of(row) for row in rows]

    async def look_again(self, ids: Sequence[UUID], at: datetime) -> None:
        """When the rail is asked about these next; nothing else changes."""
        await self._raw.execute(
            "UPDATE payout SET next_look_at = $2, looks = looks + 1 WHERE id = ANY($1::uuid[])",
            list(ids),
            at,
        )

    # -------------------------------------------------------------------------------- refunds

    async def refund(self, principal: Principal, refund_id: UUID) -> Refund | None:
        """One refund, where it exists for this principal."""
        own, value = _own(principal, "r")
        row = await self._raw.fetchrow(
            f"SELECT {REFUND} FROM refund r LEFT JOIN transfer t ON t.id = r.transfer_id"  # noqa: S608 - constants
            f" WHERE {own} AND r.id = $2",
            value,
            refund_id,
        )
        return refund_of(row) if row else None

    async def add_refund(self, new: NewRefund) -> None:
        """Store a refund."""
        refund = new.refund
        await self._raw.execute(
            "INSERT INTO refund (id, payout_id, partner_id, account_id, state, reason, asset,"
            " amount, address, set_aside_sequence, created_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            refund.id,
            refund.payout_id,
            refund.partner_id,
            new.account_id,
            refund.state.value,
            refund.reason.value,
            refund.asset,
            refund.amount,
            refund.address,
            new.set_aside_sequence,
            refund.created_at,
        )

    async def has_open_refunds(self) -> bool:
        """Whether a refund waits for a transfer, or one whose transfer has ended is open."""
        return bool(await self._raw.fetchval(_HAS_OPEN_REFUNDS))

    async def open_refunds(self, limit: int) -> Sequence[OpenRefund]:
        """Refunds that wait for a transfer, and those whose transfer has ended; see the port."""
        return [
            OpenRefund(
                refund_of(row),
                row["account_id"],
                row["partner_name"],
                row["country"],
                None if row["transfer_state"] is None else State(row["transfer_state"]),
                row["transfer_failure"],
            )
            for row in await self._raw.fetch(_OPEN_REFUNDS, limit)
        ]

    async def move_refund(
        self,
        refund: Refund,
        state: RefundState,
        *,
        transfer_id: UUID | None = None,
        put_back_sequence: int | None = None,
        failure: Mapping[str, str] | None = None,
    ) -> None:
        """The next version of a refund that is locked."""
        tag = await self._raw.execute(
            "UPDATE refund SET version = version + 1, state = $2,"
            " transfer_id = coalesce($3, transfer_id), put_back_sequence = $4,"
            " failure = $5::jsonb WHERE id = $1 AND state = ANY($6)",
            refund.id,
            state.value,
            transfer_id,
            put_back_sequence,
            None if failure is None else orjson.dumps(dict(failure)).decode(),
            before(REFUND_MOVES, state),
        )
        if tag != "UPDATE 1":
            raise InvariantBroken(f"a refund that is {refund.state} cannot become {state}")

    async def due(self) -> Sequence[DueTotal]:
        """What is due, by the payouts and by the ledger, for each rail and currency."""
        return [
            DueTotal(row["path"], int(row["due"]), int(row["posted"]))
            for row in await self._raw.fetch(_DUE)
        ]


def _own(principal: Principal, table: str) -> tuple[str, UUID | None]:
    """Condition on whose a row is, and its argument; a remitter has none."""
    match principal.role:
        case Role.OPERATOR:
            return "$1::uuid IS NULL", None
        case Role.PARTNER:
            return f"{table}.partner_id = $1", principal.partner_id
        case Role.REMITTER:
            return "$1::uuid IS NOT NULL AND false", principal.customer_id


def _plain(value: object) -> object:
    """A person as its JSON; what else there is JSON has words for."""
    return orjson.Fragment(person_json(value)) if isinstance(value, Person) else value


def _move_statement(names: Sequence[str]) -> str:
    """Moves many payouts to one state, each with values of its own for these columns."""
    sets = "".join(f", {name} = f.{name}" for name in names)
    columns = "".join(f", {name} {_CHANGEABLE[name]}" for name in names)
    return (
        "UPDATE payout p SET version = p.version + 1, updated_at = now(), state = $1"  # noqa: S608 - names are those of _CHANGEABLE
        f"{sets} FROM jsonb_to_recordset($2::jsonb) AS f (id uuid, version integer{columns})"
        " WHERE p.id = f.id AND p.version = f.version"
    )
