"""Transfers and top-ups in PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from functools import cache
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, select, tuple_

from node.core.errors import Conflict
from node.core.mirror import SettlementKind
from node.core.paging import ListQuery, Page, Position
from node.core.parties import Principal, Role
from node.core.payouts import BankAccount, RefundPolicy
from node.core.ports.transfers import (
    BareTransfer,
    Beneficiary,
    PartnerPayoutRow,
    TopUp,
    Transfer,
    TransferMove,
    UsedNumber,
)
from node.core.transfers import STATUS, TERMINAL, State
from node.core.units import Address, Asset, Money, TxHash
from node.store.amount_rows import amounts_of
from node.store.database import Connection, Row
from node.store.payout_orders import payee_of
from node.store.tables import customer, top_up, transfer

_ALLOT: Final = """
INSERT INTO settlement_contract (chain_id, address, next_number) VALUES ($1, $2, 1 + $3)
ON CONFLICT (chain_id, address) DO UPDATE
SET next_number = settlement_contract.next_number + $3 RETURNING next_number
"""
_INSERT: Final = """
INSERT INTO transfer (
    id, version, state, customer_id, owner, quote_id, client_reference, purpose, beneficiary,
    beneficiary_address, sell_asset, sell_amount, service_fee, network_fee, spread_amount,
    buy_asset, buy_amount, chain_id, contract, payment_number, pending_sequence, created_at,
    updated_at, settle_by, partner_id)
SELECT i, v, s, c, o, q, r, p, b::jsonb, a, sa, sm, sf, nf, pm, ba, bm, ch, co, n, ps, t, t, sb, pa
FROM unnest(
    $1::uuid[], $2::int[], $3::text[], $4::uuid[], $5::text[], $6::uuid[], $7::text[], $8::text[],
    $9::text[], $10::bytea[], $11::text[], $12::bigint[], $13::bigint[], $14::bigint[],
    $15::bigint[], $16::text[], $17::bigint[], $18::bigint[], $19::bytea[], $20::bigint[],
    $21::bigint[], $22::timestamptz[], $23::timestamptz[], $24::uuid[]
) AS new (i, v, s, c, o, q, r, p, b, a, sa, sm, sf, nf, pm, ba, bm, ch, co, n, ps, t, sb, pa)
"""
_CHANGEABLE: Final = {
    "slot_id": "uuid",
    "was_written": "boolean",
    "batches_failed": "smallint",
    "void_outcome": "text",
    "tx_hash": "bytea",
    "block_number": "bigint",
    "failure": "jsonb",
    "payment_number": "bigint",
    "pending_sequence": "bigint",
}
"""Columns a move may change besides state and version, with their types."""

_STATES: Final[Mapping[str, State]] = {each.value: each for each in State}
_LOCK_BARE: Final = """
SELECT id, version, state, customer_id, beneficiary_address, sell_asset, sell_amount, service_fee,
    network_fee, spread_amount, buy_asset, buy_amount, pending_sequence, slot_id, was_written,
    batches_failed, void_outcome, tx_hash, partner_id
FROM transfer WHERE id = ANY($1::uuid[]) ORDER BY created_at, id FOR UPDATE
"""
_PAYOUTS: Final = """
SELECT o.quote_id, p.name, l.buy_asset, l.buy_digits, l.buy_amount, o.payout_id, o.reference,
    o.told, o.pay_by, o.refund_policy, (SELECT c.beneficiary FROM payout_change c
        WHERE c.quote_id = o.quote_id AND c.kind = 'correct' AND c.state = 'done'
        ORDER BY c.number DESC LIMIT 1) AS corrected
FROM payout_order o JOIN partner_quote l ON l.quote_id = o.quote_id
JOIN partner p ON p.id = o.partner_id WHERE o.quote_id = ANY($1::uuid[])
"""
_USED_ON_CHAIN: Final = """
SELECT t.id FROM transfer t WHERE t.id = ANY($1::uuid[]) AND EXISTS (
    SELECT FROM settlement_log l WHERE l.chain_id = t.chain_id AND l.contract = t.contract
    AND l.payment_number = t.payment_number::numeric AND l.kind IN ('settled', 'voided')
    AND l.status <> 'orphaned')
"""
_USED_NUMBERS: Final = """
SELECT t.id, l.kind, l.tx_hash, l.block_number, l.beneficiary, l.amount, l.status
FROM transfer t JOIN settlement_log l ON l.chain_id = t.chain_id AND l.contract = t.contract
    AND l.payment_number = t.payment_number::numeric
WHERE t.id = ANY($1::uuid[]) AND l.kind IN ('settled', 'voided') AND l.status <> 'orphaned'
"""
_ADD_TOP_UPS: Final = """
INSERT INTO top_up (id, customer_id, asset, amount, rail, reference, funded_by, made_by,
                    ledger_sequence, created_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[],
                     $7::text[], $8::text[], $9::bigint[], $10::timestamptz[])
"""
_MARK_WAITING: Final = """
UPDATE transfer SET waiting_code = $2, waiting_since = CASE WHEN $2 IS NOT NULL THEN now() END
WHERE id = ANY($1::uuid[]) AND waiting_code IS DISTINCT FROM $2
"""


class TransferStore:
    """See `node.core.ports.transfers.TransferRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection.sql
        self._raw = connection.raw

    async def allot_numbers(self, chain_id: int, contract: Address, count: int) -> int:
        """Take `count` payment numbers in a row; the first is returned."""
        following: int = await self._raw.fetchval(_ALLOT, chain_id, contract, count)
        return following - count

    async def insert_many(self, transfers: Sequence[Transfer]) -> None:
        """Store new transfers."""
        if transfers:
            rows = [_row(each) for each in transfers]
            columns = [list(column) for column in zip(*rows, strict=True)]
            await self._raw.execute(_INSERT, *columns)

    async def references(self, pairs: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], UUID]:
        """(owner, client reference) -> transfer, for those that are taken."""
        if not pairs:
            return {}
        rows = await self._raw.fetch(
            "SELECT owner, client_reference, id FROM transfer JOIN unnest($1::text[], $2::text[])"
            " AS wanted (owner, client_reference) USING (owner, client_reference)",
            [owner for owner, _ in pairs],
            [reference for _, reference in pairs],
        )
        return {(row["owner"], row["client_reference"]): row["id"] for row in rows}

    async def lock_many(self, ids: Sequence[UUID]) -> Sequence[Transfer]:
        """Transfers by id, locked in the common order until the end of the transaction."""
        rows = await self._raw.fetch(
            "SELECT * FROM transfer WHERE id = ANY($1::uuid[]) ORDER BY created_at, id FOR UPDATE",
            list(ids),
        )
        return [transfer_of(row) for row in rows]

    async def lock_bare(self, ids: Sequence[UUID]) -> Sequence[BareTransfer]:
        """The same without what only callers look at."""
        return [_bare_transfer(row) for row in await self._raw.fetch(_LOCK_BARE, list(ids))]

    async def get(self, transfer_id: UUID) -> Transfer | None:
        """One transfer."""
        row = await self._raw.fetchrow("SELECT * FROM transfer WHERE id = $1", transfer_id)
        return (await self.with_payouts([transfer_of(row)]))[0] if row else None

    async def list(self, principal: Principal, query: ListQuery) -> Page[Transfer]:
        """Transfers that exist for this principal, newest first."""
        statement = (
            select(transfer)
            .where(*_visible_to(principal), *_filtered(query))
            .order_by(transfer.c.created_at.desc(), transfer.c.id.desc())
        )
        if position := query.position():
            statement = statement.where(
                tuple_(transfer.c.created_at, transfer.c.id)
                < tuple_(position.created_at, position.uuid)
            )
        rows = (await self._sql.execute(statement.limit(query.limit + 1))).mappings()
        found = await self.with_payouts([transfer_of(row) for row in rows])
        return query.page(found, lambda row: Position(row.created_at, row.id.int))

    async def with_payouts(self, transfers: Sequence[Transfer]) -> Sequence[Transfer]:
        """See the port."""
        asked = [each.quote_id for each in transfers if each.partner_id is not None]
        if not asked:
            return transfers
        rows = {row["quote_id"]: row for row in await self._raw.fetch(_PAYOUTS, asked)}
        return [
            replace(each, payout=_payout(rows[each.quote_id])) if each.quote_id in rows else each
            for each in transfers
        ]

    async def apply_moves(self, moves: Sequence[TransferMove]) -> None:
        """Store next versions, all or none."""
        groups: dict[tuple[State, int, tuple[str, ...]], list[TransferMove]] = {}
        for each in moves:
            key = each.state, each.steps, tuple(sorted(each.changes))
            groups.setdefault(key, []).append(each)
        for (state, steps, names), group in groups.items():
            tag = await self._raw.execute(
                _apply_statement(names),
                [each.transfer_id for each in group],
                [each.version for each in group],
                state.value,
                steps,
                *(_column(name, [each.changes[name] for each in group]) for name in names),
            )
            if tag != f"UPDATE {len(group)}":
                raise Conflict("a transfer changed meanwhile; look at it again")

    async def mark_waiting(self, ids: Sequence[UUID], code: str | None) -> None:
        """Say why funded transfers cannot be batched now; the time of a code it has stays."""
        await self._raw.execute(_MARK_WAITING, list(ids), code)

    async def used_on_chain(self, ids: Sequence[UUID]) -> frozenset[UUID]:
        """Those whose number a block of the mirror has settled or voided, final or not."""
        rows = await self._raw.fetch(_USED_ON_CHAIN, list(ids))
        return frozenset(row["id"] for row in rows)

    async def used_numbers(self, ids: Sequence[UUID]) -> Mapping[UUID, UsedNumber]:
        """Of those that `used_on_chain` tells of, what used their numbers."""
        return {
            row["id"]: UsedNumber(
                SettlementKind(row["kind"]),
                TxHash(row["tx_hash"]),
                row["block_number"],
                None if row["beneficiary"] is None else Address(row["beneficiary"]),
                None if row["amount"] is None else int(row["amount"]),
                is_final=row["status"] == "final",
            )
            for row in await self._raw.fetch(_USED_NUMBERS, list(ids))
        }

    async def open_elsewhere(self, chain_id: int, contract: Address) -> int:
        """How many transfers that have not ended belong to another settlement contract."""
        count: int = await self._raw.fetchval(
            "SELECT count(*) FROM transfer WHERE state <> ALL($1::text[])"
            " AND (chain_id, contract) <> ($2, $3)",
            [state.value for state in TERMINAL],
            chain_id,
            contract,
        )
        return count

    async def add_top_ups(self, top_ups: Sequence[TopUp]) -> None:
        """Store new top-ups."""
        if top_ups:
            rows = [astuple(each) for each in top_ups]
            await self._raw.execute(
                _ADD_TOP_UPS, *(list(column) for column in zip(*rows, strict=True))
            )

    async def top_ups_at(
        self, references: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], UUID]:
        """(rail, reference) -> the top-up that used it; those that are free are left out."""
        rows = await self._raw.fetch(
            "SELECT rail, reference, id FROM top_up JOIN unnest($1::text[], $2::text[])"
            " AS wanted (rail, reference) USING (rail, reference)",
            [rail for rail, _ in references],
            [reference for _, reference in references],
        )
        return {(row["rail"], row["reference"]): row["id"] for row in rows}

    async def top_up(self, top_up_id: UUID) -> TopUp | None:
        """One top-up."""
        row = await self._raw.fetchrow("SELECT * FROM top_up WHERE id = $1", top_up_id)
        return TopUp(**dict(row)) if row else None

    async def top_ups(self, customer_id: UUID, query: ListQuery) -> Page[TopUp]:
        """A customer's top-ups, newest first."""
        statement = (
            select(top_up)
            .where(top_up.c.customer_id == customer_id)
            .order_by(top_up.c.created_at.desc(), top_up.c.id.desc())
        )
        if position := query.position():
            statement = statement.where(
                tuple_(top_up.c.created_at, top_up.c.id)
                < tuple_(position.created_at, position.uuid)
            )
        rows = (await self._sql.execute(statement.limit(query.limit + 1))).mappings()
        return query.page(
            [TopUp(**dict(row)) for row in rows], lambda row: Position(row.created_at, row.id.int)
        )


def _visible_to(principal: Principal) -> tuple[ColumnElement[bool], ...]:
    match principal.role:
        case Role.OPERATOR:
            return ()
        case Role.PARTNER:
            own = select(customer.c.id).where(customer.c.partner_id == principal.partner_id)
            return (transfer.c.customer_id.in_(own),)
        case Role.REMITTER:
            return (transfer.c.customer_id == principal.customer_id,)


def _filtered(query: ListQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    for name, value in query.filters.items():
        match name:
            case "status":
                states = [state for state in State if STATUS[state] == value]
                conditions.append(transfer.c.state.in_(states))
            case "customer_id":
                conditions.append(transfer.c.customer_id == UUID(value))
            case _:
                conditions.append(transfer.c[name] == value)
    return conditions


@cache
def _apply_statement(names: tuple[str, ...]) -> str:
    """One statement for all moves to one state that change the same columns."""
    places = [f"${place}::text[]" if name == "failure" else f"${place}::{_CHANGEABLE[name]}[]"
              for place, name in enumerate(names, start=5)]  # fmt: skip
    sets = [f"{name} = m.{name}::{_CHANGEABLE[name]}" for name in names]
    return f"""
    UPDATE transfer t SET {", ".join(["version = t.version + $4::int", "state = $3::text", *sets])},
        waiting_code = NULL, waiting_since = NULL, updated_at = now()
    FROM unnest({", ".join(["$1::uuid[]", "$2::int[]", *places])})
        AS m ({", ".join(["id", "version", *names])})
    WHERE t.id = m.id AND t.version = m.version
    """  # noqa: S608 - names are those of _CHANGEABLE


def _column(name: str, values: Sequence[object]) -> Sequence[object]:
    """JSON travels as text."""
    if name != "failure":
        return values
    return [None if each is None else orjson.dumps(each).decode() for each in values]


def _payout(row: Row) -> PartnerPayoutRow:
    delivered = Money(row["buy_amount"], Asset(row["buy_asset"], row["buy_digits"]))
    corrected = row["corrected"]
    return PartnerPayoutRow(
        row["name"],
        delivered,
        row["payout_id"],
        row["reference"],
        row["told"],
        row["pay_by"],
        RefundPolicy(row["refund_policy"]),
        None if corrected is None else payee_of(corrected),
    )


def _beneficiary_of(stored: Mapping[str, Any]) -> Beneficiary:
    account = stored.get("account")
    return Beneficiary(
        stored["name"],
        stored["country"],
        stored["address"],
        None if account is None else BankAccount(account["number"], account["bank_code"]),
    )


def _beneficiary_json(beneficiary: Beneficiary) -> str:
    fields: dict[str, object] = {
        "name": beneficiary.name,
        "country": beneficiary.country,
        "address": beneficiary.address,
    }
    if beneficiary.account is not None:
        fields["account"] = {
            "number": beneficiary.account.number,
            "bank_code": beneficiary.account.bank_code,
        }
    return orjson.dumps(fields).decode()


def _row(each: Transfer) -> tuple[Any, ...]:
    return (
        each.id,
        each.version,
        each.state.value,
        each.customer_id,
        each.owner,
        each.quote_id,
        each.client_reference,
        each.purpose,
        _beneficiary_json(each.beneficiary),
        each.beneficiary_address,
        each.amounts.sell_asset,
        each.amounts.sell,
        each.amounts.service_fee_minor,
        each.amounts.network_fee_minor,
        each.amounts.spread,
        each.amounts.buy_asset,
        each.amounts.buy,
        each.chain_id,
        each.contract,
        each.payment_number,
        each.pending_sequence,
        each.created_at,
        each.settle_by,
        each.partner_id,
    )


def _bare_transfer(row: Row) -> BareTransfer:
    return BareTransfer(
        id=row["id"],
        version=row["version"],
        state=_STATES[row["state"]],
        customer_id=row["customer_id"],
        beneficiary_address=row["beneficiary_address"],
        amounts=amounts_of(row),
        pending_sequence=row["pending_sequence"],
        slot_id=row["slot_id"],
        was_written=row["was_written"],
        batches_failed=row["batches_failed"],
        void_outcome=row["void_outcome"],
        tx_hash=row["tx_hash"],
        partner_id=row["partner_id"],
    )


def transfer_of(row: Row) -> Transfer:
    """The transfer in a row of table `transfer`."""
    return Transfer(
        id=row["id"],
        version=row["version"],
        state=State(row["state"]),
        customer_id=row["customer_id"],
        owner=row["owner"],
        quote_id=row["quote_id"],
        client_reference=row["client_reference"],
        purpose=row["purpose"],
        beneficiary=_beneficiary_of(row["beneficiary"]),
        beneficiary_address=Address(row["beneficiary_address"]),
        amounts=amounts_of(row),
        chain_id=row["chain_id"],
        contract=Address(row["contract"]),
        payment_number=row["payment_number"],
        pending_sequence=row["pending_sequence"],
        slot_id=row["slot_id"],
        was_written=row["was_written"],
        batches_failed=row["batches_failed"],
        void_outcome=row["void_outcome"],
        waiting_code=row["waiting_code"],
        waiting_since=row["waiting_since"],
        tx_hash=TxHash(row["tx_hash"]) if row["tx_hash"] else None,
        block_number=row["block_number"],
        failure=row["failure"],
        created_at=row["created_at"],
        settle_by=row["settle_by"],
        partner_id=row["partner_id"],
    )
