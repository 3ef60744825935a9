"""Deposits in PostgreSQL: addresses, payment requests, what came.

What finality does is a fixed number of set-based statements, whatever the number of deposits. Who
may see what is in `deposit_lists`. Requests and deposits change under the ledger's lock alone, so
rows need none of their own.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from node.core.deposits import (
    REQUEST_MOVES,
    Deposit,
    DepositAddress,
    DepositRow,
    NewAddress,
    NewRequest,
    Owner,
    PaymentRequest,
    RequestStatus,
    Target,
    Terms,
)
from node.core.errors import InvariantBroken
from node.core.moves import before
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.payouts import PayoutState, PayoutTerms
from node.core.ports.deposits import DepositHolding, Expired, Released, RequestChange
from node.core.units import Address, BlockHash
from node.store.database import Connection, Row
from node.store.deposit_lists import DEPOSIT, DepositLists, deposit_of, owner_of
from node.store.states import from_states

_ADDRESS_LOCK: Final = 7_265_003  # any constant that no other lock has

_ADD_ADDRESS: Final = """
INSERT INTO deposit_address
    (chain_id, address, factory, salt, customer_id, partner_id, is_standing)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *
"""
_STANDING: Final = """
SELECT * FROM deposit_address WHERE chain_id = $1 AND factory = $2
  AND coalesce(customer_id, partner_id) = coalesce($3::uuid, $4::uuid) AND is_standing
"""
_HOLDINGS: Final = """
SELECT a.address, a.factory, a.salt, h.amount FROM chain_holding h
JOIN deposit_address a ON a.chain_id = h.chain_id AND a.address = h.address
WHERE h.chain_id = $1 AND h.asset = $2 AND h.amount >= greatest($3::numeric, 1) AND a.factory = $4
ORDER BY h.amount DESC, a.id LIMIT $5
"""
_TARGETS: Final = """
SELECT a.id, a.address, a.customer_id, a.partner_id, r.id AS request_id, r.amount, r.expires_at,
    r.status, r.version, held.units, p.id AS payout_id, p.sell_amount, p.pay_by,
    p.state AS payout_state, p.version AS payout_version, p.contracts
FROM deposit_address a LEFT JOIN payment_request r ON r.address_id = a.id
LEFT JOIN LATERAL (
    SELECT p.*, ARRAY(SELECT c.address FROM partner_contract c
        WHERE c.partner_id = p.partner_id AND c.chain_id = a.chain_id) AS contracts
    FROM payout p WHERE p.address_id = a.id
) p ON true
CROSS JOIN LATERAL (
    SELECT coalesce(sum(d.amount), 0) AS units FROM deposit d
    WHERE (d.request_id = r.id OR d.payout_id = p.id) AND d.is_counted AND d.status = 'held'
) held
WHERE a.chain_id = $1 AND a.address = ANY($2::bytea[])
"""
_ADD_DEPOSITS: Final = """
INSERT INTO deposit (id, chain_id, block_hash, log_index, block_number, mined_at, tx_hash, asset,
    amount, from_address, to_address, address_id, request_id, customer_id, partner_id, status,
    flags, is_counted, ledger_sequence, payout_id, settlement_contract, settlement_number,
    break_id)
SELECT i, $1, bh, li, bn, ma, th, a, m, fa, ta, ai, ri, ci, pi, st,
    string_to_array(fl, ','), ic, ls, po, CASE WHEN sn IS NOT NULL THEN fa END, sn, (
        SELECT b.id FROM reconciliation_break b WHERE b.fingerprint = new.bf
        ORDER BY b.resolved_at DESC NULLS FIRST LIMIT 1)
FROM unnest($2::uuid[], $3::bytea[], $4::int[], $5::bigint[], $6::timestamptz[], $7::bytea[],
    $8::text[], $9::numeric[], $10::bytea[], $11::bytea[], $12::bigint[], $13::uuid[],
    $14::uuid[], $15::uuid[], $16::text[], $17::text[], $18::boolean[], $19::bigint[],
    $20::text[], $21::uuid[], $22::numeric[]
) AS new (i, bh, li, bn, ma, th, a, m, fa, ta, ai, ri, ci, pi, st, fl, ic, ls, bf, po, sn)
"""
# One that is given again, or paid more, keeps its status.
_CHANGE_REQUESTS: Final = """
UPDATE payment_request r SET status = s, version = v, surplus = r.surplus + p,
    flags = ARRAY(SELECT DISTINCT f FROM unnest(r.flags || string_to_array(fl, ',')) AS f
                  WHERE f <> 'short' OR s <> 'paid' ORDER BY f)
FROM unnest($1::uuid[], $2::text[], $3::int[], $4::bigint[], $5::text[], $6::text[])
    AS new (i, s, v, p, fl, b)
WHERE r.id = new.i AND (r.status = s OR r.status = ANY(string_to_array(b, ',')))
"""
_RELEASE: Final = """
UPDATE deposit d SET status = 'credited', credited_sequence = new.s, version = version + 1
FROM unnest($1::uuid[], $2::bigint[]) AS new (i, s)
WHERE d.request_id = new.i AND d.is_counted AND d.status = 'held'
RETURNING d.*
"""
_CREDIT: Final = """
UPDATE deposit SET status = 'credited', credited_sequence = $2, customer_id = $3,
    partner_id = $4, version = version + 1
WHERE id = ANY($1::uuid[]) AND status = 'held'
"""
_RESOLVE: Final = """
UPDATE deposit SET status = 'resolved', credited_sequence = $2, version = version + 1
WHERE id = ANY($1::uuid[]) AND status = 'held'
"""
_HELD_TOTAL: Final = """
SELECT coalesce(sum(amount), 0) FROM deposit WHERE chain_id = $1 AND status = 'held'
"""
# One statement, one snapshot. What a break that tells of no deposit moved belongs to nobody, and so
# does what was there before the mirror began, or left without having been seen to come.
_SUSPENSE: Final = """
WITH corrections AS (
    SELECT DISTINCT (b.resolution ->> 'ledger_sequence')::bigint AS sequence
    FROM reconciliation_break b WHERE b.resolution ->> 'kind' = 'ledger_transaction'
    UNION SELECT t.sequence FROM ledger_transaction t
    WHERE t.key LIKE 'unseen:%' OR t.key LIKE 'opening:%'
)
SELECT coalesce((SELECT credits_posted - debits_posted FROM account WHERE path = $2), 0) AS posted,
    (SELECT coalesce(sum(amount), 0) FROM deposit WHERE chain_id = $1 AND status = 'held')
    + (SELECT coalesce(sum(CASE WHEN c.path = $2 THEN e.amount ELSE -e.amount END), 0)
       FROM corrections JOIN entry e USING (sequence)
       JOIN account d ON d.id = e.debit_account_id JOIN account c ON c.id = e.credit_account_id
       WHERE $2 IN (d.path, c.path)
         AND NOT EXISTS (SELECT FROM deposit x WHERE x.credited_sequence = sequence)
         AND NOT EXISTS (SELECT FROM reorg_booking r WHERE r.sequence = corrections.sequence)
    ) AS explained
"""
_UNPAID: Final = """
SELECT count(*) FROM payment_request
WHERE coalesce(customer_id, partner_id) = coalesce($1::uuid, $2::uuid)
  AND status IN ('awaiting', 'expired') AND expires_at > $3
"""
# The time of the newest final block: nothing that is yet to become final was mined before it.
_FINAL_TIME: Final = """
SELECT b.mined_at FROM chain_cursor c
JOIN block b ON b.chain_id = c.chain_id AND b.hash = c.final_hash WHERE c.chain_id = $1
"""
_EXPIRES_FROM: Final = from_states(REQUEST_MOVES, RequestStatus.EXPIRED)
_IS_ANY_DUE: Final = f"""
SELECT EXISTS (SELECT FROM payment_request
    WHERE status IN {_EXPIRES_FROM} AND expires_at < ({_FINAL_TIME}))
"""  # noqa: S608 - constants
_EXPIRE: Final = f"""
WITH due AS (
    SELECT r.id FROM payment_request r JOIN deposit_address a ON a.id = r.address_id
    WHERE r.status IN {_EXPIRES_FROM} AND a.chain_id = $1 AND r.expires_at < ({_FINAL_TIME})
    ORDER BY r.expires_at, r.id LIMIT $2
)
UPDATE payment_request r SET status = 'expired', version = r.version + 1,
    flags = ARRAY(SELECT DISTINCT f FROM unnest(
        r.flags || CASE WHEN held.units > 0 THEN ARRAY['short'] ELSE '{{}}'::text[] END) AS f
        ORDER BY f)
FROM due CROSS JOIN LATERAL (
    SELECT coalesce(sum(d.amount), 0) AS units,
        coalesce(bool_and(d.break_id IS NOT NULL), true) AS is_told
    FROM deposit d
    WHERE d.request_id = due.id AND d.is_counted AND d.status = 'held'
) held
WHERE r.id = due.id
RETURNING r.*, held.units, held.is_told
"""  # noqa: S608 - constants
_NAME_BREAKS: Final = """
UPDATE deposit d SET break_id = b.id
FROM unnest($1::uuid[], $2::text[]) AS new (i, f)
JOIN reconciliation_break b ON b.fingerprint = new.f AND b.resolved_at IS NULL
WHERE d.request_id = new.i AND d.status = 'held' AND d.is_counted AND d.break_id IS NULL
"""
_ORPHAN: Final = f"""
WITH before AS (
    SELECT {DEPOSIT} WHERE d.chain_id = $1 AND d.block_hash = ANY($2::bytea[])
      AND d.status <> 'orphaned'
), marked AS (
    UPDATE deposit SET status = 'orphaned', version = deposit.version + 1
    FROM before WHERE deposit.id = before.id
)
SELECT * FROM before ORDER BY block_number, log_index
"""  # noqa: S608 - constants


class DepositStore:
    """See `node.core.ports.deposits.DepositRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw
        self._lists = DepositLists(connection)

    async def addresses_since(self, after_id: int) -> Sequence[tuple[int, Address]]:
        """Deposit addresses with a greater id, ascending; ids become visible in their order."""
        rows = await self._raw.fetch(
            "SELECT id, address FROM deposit_address WHERE id > $1 ORDER BY id", after_id
        )
        return [(row["id"], Address(row["address"])) for row in rows]

    async def holdings(
        self, chain_id: int, asset: str, factory: Address, least: int, limit: int
    ) -> Sequence[DepositHolding]:
        """Addresses of `factory` that hold at least `least` finally, the greatest amount first."""
        rows = await self._raw.fetch(_HOLDINGS, chain_id, asset, least, factory, limit)
        return [
            DepositHolding(
                Address(row["address"]), Address(row["factory"]), row["salt"], int(row["amount"])
            )
            for row in rows
        ]

    async def add_address(self, new: NewAddress) -> DepositAddress:
        """Store an address; of one owner's two standing ones the first stays, and is returned.

        The lock is held to the commit: whoever follows the ids never meets a lower one later.
        """
        await self._raw.execute("SELECT pg_advisory_xact_lock($1)", _ADDRESS_LOCK)
        if new.is_standing and (
            earlier := await self.standing(new.chain_id, new.factory, new.owner)
        ):
            return earlier
        row = await self._raw.fetchrow(
            _ADD_ADDRESS,
            new.chain_id,
            new.address,
            new.factory,
            new.salt,
            new.owner.customer_id,
            new.owner.partner_id,
            new.is_standing,
        )
        assert row is not None
        return _address(row)

    async def standing(
        self, chain_id: int, factory: Address, owner: Owner
    ) -> DepositAddress | None:
        """The owner's standing address."""
        row = await self._raw.fetchrow(
            _STANDING, chain_id, factory, owner.customer_id, owner.partner_id
        )
        return _address(row) if row else None

    async def add_request(self, address: DepositAddress, new: NewRequest) -> bool:
        """Store a request at an address of its own; False: its owner has used the reference."""
        tag = await self._raw.execute(
            "INSERT INTO payment_request (id, address_id, customer_id, partner_id, reference,"
            " asset, amount, made_by, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
            " ON CONFLICT (coalesce(customer_id, partner_id), reference) DO NOTHING",
            new.id,
            address.id,
            address.owner.customer_id,
            address.owner.partner_id,
            new.reference,
            new.asset,
            new.amount,
            new.made_by,
            new.expires_at,
        )
        return bool(tag == "INSERT 0 1")

    async def request_with(self, owner: Owner, reference: str) -> UUID | None:
        """The owner's request with this reference."""
        found: UUID | None = await self._raw.fetchval(
            "SELECT id FROM payment_request WHERE coalesce(customer_id, partner_id)"
            " = coalesce($1::uuid, $2::uuid) AND reference = $3",
            owner.customer_id,
            owner.partner_id,
            reference,
        )
        return found

    async def request(self, principal: Principal, request_id: UUID) -> PaymentRequest | None:
        """One request, where it exists for this principal, with other tokens that came to it."""
        return await self._lists.request(principal, request_id)

    async def requests(self, principal: Principal, query: ListQuery) -> Page[PaymentRequest]:
        """Requests that exist for this principal, newest first."""
        return await self._lists.requests(principal, query)

    async def deposit(self, principal: Principal, deposit_id: UUID) -> Deposit | None:
        """One deposit, where it exists for this principal."""
        return await self._lists.deposit(principal, deposit_id)

    async def deposits(self, principal: Principal, query: ListQuery) -> Page[Deposit]:
        """Deposits that exist for this principal, newest first; unknown ones only for operators."""
        return await self._lists.deposits(principal, query)

    async def targets(
        self, chain_id: int, addresses: Collection[Address]
    ) -> Mapping[Address, Target]:
        """Where deposits to these addresses come to; addresses that are none are left out."""
        rows = await self._raw.fetch(_TARGETS, chain_id, list(addresses))
        return {Address(row["address"]): _target(row) for row in rows}

    async def block_times(
        self, chain_id: int, blocks: Collection[BlockHash]
    ) -> Mapping[BlockHash, datetime]:
        """When blocks of the mirror were mined."""
        rows = await self._raw.fetch(
            "SELECT hash, mined_at FROM block WHERE chain_id = $1 AND hash = ANY($2::bytea[])",
            chain_id,
            list(blocks),
        )
        return {BlockHash(row["hash"]): row["mined_at"] for row in rows}

    async def add_deposits(self, chain_id: int, rows: Sequence[DepositRow]) -> None:
        """Store final deposits, with the ids of their breaks, which are open by now."""
        if not rows:
            return
        columns = zip(*(_columns(row) for row in rows), strict=True)
        await self._raw.execute(_ADD_DEPOSITS, chain_id, *(list(each) for each in columns))

    async def change_requests(self, changes: Sequence[RequestChange]) -> Sequence[Released]:
        """Store what became of requests; the deposits that were held and are credited now."""
        if not changes:
            return []
        tag = await self._raw.execute(
            _CHANGE_REQUESTS,
            [each.request_id for each in changes],
            [each.status.value for each in changes],
            [each.version for each in changes],
            [each.surplus for each in changes],
            [_joined(each.flags) for each in changes],
            [",".join(before(REQUEST_MOVES, each.status)) for each in changes],
        )
        if tag != f"UPDATE {len(changes)}":
            raise InvariantBroken("a payment request would make a move that there is not")
        giving = [each for each in changes if each.released_sequence is not None]
        rows = await self._raw.fetch(
            _RELEASE,
            [each.request_id for each in giving],
            [each.released_sequence for each in giving],
        )
        return [_released(row) for row in rows]

    async def held_by(self, break_id: UUID) -> Sequence[Released]:
        """Deposits in suspense that a break tells of."""
        rows = await self._raw.fetch(
            "SELECT d.* FROM deposit d WHERE d.break_id = $1 AND d.status = 'held'"
            " ORDER BY d.block_number, d.log_index",
            break_id,
        )
        return [_released(row) for row in rows]

    async def held_total(self, chain_id: int) -> int:
        """What all deposits hold in suspense, minor units of the token."""
        return int(await self._raw.fetchval(_HELD_TOTAL, chain_id))

    async def suspense(self, chain_id: int, path: str) -> tuple[int, int]:
        """What the account has, and what held deposits and corrections make of it; minor units."""
        row = await self._raw.fetchrow(_SUSPENSE, chain_id, path)
        assert row is not None
        return int(row["posted"]), int(row["explained"])

    async def tell(self, deposit_id: UUID, break_id: UUID) -> None:
        """Another break tells of a deposit: the earlier one was closed."""
        await self._raw.execute(
            "UPDATE deposit SET break_id = $2 WHERE id = $1", deposit_id, break_id
        )

    async def unpaid_since(self, owner: Owner, since: datetime) -> int:
        """How many of an owner's requests nobody has paid that end after `since`."""
        return int(await self._raw.fetchval(_UNPAID, owner.customer_id, owner.partner_id, since))

    async def held(self, request_id: UUID) -> Sequence[Released]:
        """Deposits of a request that are in suspense, too late ones included."""
        rows = await self._raw.fetch(
            "SELECT d.* FROM deposit d WHERE d.request_id = $1 AND d.status = 'held'"
            " ORDER BY d.block_number, d.log_index",
            request_id,
        )
        return [_released(row) for row in rows]

    async def credit(self, deposit_ids: Sequence[UUID], owner: Owner, ledger_sequence: int) -> None:
        """Held deposits are their owner's now."""
        await self._raw.execute(
            _CREDIT, list(deposit_ids), ledger_sequence, owner.customer_id, owner.partner_id
        )

    async def resolve(self, deposit_ids: Sequence[UUID], ledger_sequence: int) -> None:
        """Held deposits are nobody's: a ledger transaction gave them to no owner."""
        await self._raw.execute(_RESOLVE, list(deposit_ids), ledger_sequence)

    async def is_any_due(self, chain_id: int) -> bool:
        """Whether a final block is later than the end of an open request."""
        return bool(await self._raw.fetchval(_IS_ANY_DUE, chain_id))

    async def expire(self, chain_id: int, limit: int) -> Sequence[Expired]:
        """Requests whose time is over for good: a later block is final. They are expired now."""
        return [
            Expired(
                row["id"],
                owner_of(row),
                row["reference"],
                row["asset"],
                row["amount"],
                int(row["units"]),
                row["is_told"],
                row["version"],
            )
            for row in await self._raw.fetch(_EXPIRE, chain_id, limit)
        ]

    async def name_breaks(self, fingerprints: Mapping[UUID, str]) -> None:
        """Request -> fingerprint of the break that tells a person what is held for it."""
        await self._raw.execute(_NAME_BREAKS, list(fingerprints), list(fingerprints.values()))

    async def orphan(self, chain_id: int, blocks: Collection[BlockHash]) -> Sequence[Deposit]:
        """Deposits of blocks that were final and are replaced: marked, and as they were before."""
        return [deposit_of(row) for row in await self._raw.fetch(_ORPHAN, chain_id, list(blocks))]


def _columns(row: DepositRow) -> tuple[object, ...]:
    return (
        row.id,
        row.block_hash,
        row.log_index,
        row.block_number,
        row.mined_at,
        row.tx_hash,
        row.asset,
        row.amount,
        row.from_address,
        row.to_address,
        row.address_id,
        row.request_id,
        row.owner.customer_id if row.owner else None,
        row.owner.partner_id if row.owner else None,
        row.status.value,
        _joined(row.flags),
        row.is_counted,
        row.ledger_sequence,
        row.break_fingerprint,
        row.payout_id,
        row.settlement_number,
    )


def _joined(flags: Collection[str]) -> str:
    """Flags as the statements split them; an array of arrays would need rows of one length."""
    return ",".join(sorted(flags))


def _address(row: Row) -> DepositAddress:
    return DepositAddress(
        row["id"],
        row["chain_id"],
        Address(row["address"]),
        Address(row["factory"]),
        row["salt"],
        owner_of(row),
        row["is_standing"],
        row["created_at"],
    )


def _target(row: Row) -> Target:
    terms = None
    if row["request_id"] is not None:
        terms = Terms(
            row["request_id"],
            row["amount"],
            row["expires_at"],
            RequestStatus(row["status"]),
            int(row["units"]),
        )
    return Target(row["id"], owner_of(row), terms, row["version"] or 0, _payout_terms(row))


def _payout_terms(row: Row) -> PayoutTerms | None:
    if row["payout_id"] is None:
        return None
    return PayoutTerms(
        payout_id=row["payout_id"],
        partner_id=row["partner_id"],
        amount=row["sell_amount"],
        pay_by=row["pay_by"],
        state=PayoutState(row["payout_state"]),
        held=int(row["units"]),
        version=row["payout_version"],
        contracts=frozenset(map(Address, row["contracts"])),
    )


def _released(row: Row) -> Released:
    return Released(
        row["id"],
        owner_of(row),
        row["asset"],
        int(row["amount"]),
        row["break_id"],
        row["version"],
    )
