"""Treasury movements and the rules that make them, in PostgreSQL.

Not here: how the mirror ends movements (`node.store.mirror`).
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from node.core.paging import ListQuery, Page, Position
from node.core.ports.movements import AdminCall, Movement, TreasuryRule
from node.core.settlement import UNMINED
from node.core.treasury import RULE_WINDOW_S, Hold
from node.core.units import Address
from node.store.database import Connection

_UNDER_WAY: Final = "state IN ('requested', 'submitted', 'included')"
_PAGE: Final = """
SELECT * FROM movement WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR kind = $2)
  AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
ORDER BY created_at DESC, id DESC LIMIT $5
"""
_RULES: Final = """
SELECT * FROM treasury_rule WHERE ($1::text IS NULL OR (ended_at IS NULL) = ($1 = 'in_force'))
  AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
ORDER BY created_at DESC, id DESC LIMIT $4
"""
_MARK_WAITING: Final = """
UPDATE movement m SET waiting = f.code FROM unnest($1::uuid[], $2::text[]) AS f (id, code)
WHERE m.id = f.id AND m.state = 'requested' AND m.waiting IS DISTINCT FROM f.code
"""
_WITHDRAW: Final = """
UPDATE movement SET state = 'requested', slot_id = NULL
WHERE slot_id = ANY($1::uuid[]) AND state = 'submitted'
"""
_UNMINED: Final = """
SELECT m.* FROM movement m JOIN slot s ON s.id = m.slot_id
WHERE m.sender = $1 AND m.state = 'submitted' AND s.state = ANY($2::text[])
ORDER BY m.created_at, m.id
"""
# An adopted movement may have been the rule's, in a database that was lost: it counts as well.
_MOVED_BY_RULES: Final = f"""
WITH counted AS (
    SELECT m.rule_id, m.amount, m.state, m.slot_id
    FROM movement m WHERE m.rule_id = ANY($1::uuid[])
    UNION ALL
    SELECT r.id, m.amount, m.state, m.slot_id
    FROM slot s JOIN movement m ON m.slot_id = s.id JOIN treasury_rule r ON r.id = ANY($1::uuid[])
    WHERE s.adopted AND m.rule_id IS NULL AND m.kind = r.kind AND m.asset = r.asset
      AND (r.to_address IS NULL OR r.to_address = m.to_address)
)
SELECT c.rule_id, sum(c.amount)::bigint AS amount
FROM counted c LEFT JOIN slot s ON s.id = c.slot_id
WHERE c.{_UNDER_WAY} OR (c.state = 'settled' AND s.final_at > now() - $2::interval)
GROUP BY c.rule_id
"""  # noqa: S608 - constants
_SWEEPING: Final = f"""
SELECT d.salt FROM movement m JOIN deposit_sweep d ON d.movement_id = m.id WHERE m.{_UNDER_WAY}
"""  # noqa: S608 - constants
_END_SWEEPS: Final = """
UPDATE movement SET state = 'failed', waiting = NULL, failure = jsonb_build_object(
    'code', 'no_key', 'message', 'another key of the node sweeps deposits now')
WHERE kind = 'deposit_sweep' AND state = 'requested' AND sender <> $1
"""
_LAST_ADMIN_CALL: Final = """
SELECT calldata, included_block_number, succeeded FROM slot
WHERE lane_id = $1 AND purpose = 'admin' AND calldata = ANY($2::bytea[]) AND state <> 'foreign'
  AND (NOT $3 OR succeeded) ORDER BY nonce DESC LIMIT 1
"""


class MovementStore:
    """See `node.core.ports.movements.MovementRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def add(self, movement: Movement) -> None:
        """Store a request."""
        await self._raw.execute(
            "INSERT INTO movement (id, kind, sender, from_address, to_address, asset, amount,"
            " made_by, rule_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            movement.id,
            movement.kind,
            movement.sender,
            movement.from_address,
            movement.to_address,
            movement.asset,
            movement.amount,
            movement.made_by,
            movement.rule_id,
        )

    async def get(self, movement_id: UUID) -> Movement | None:
        """One movement."""
        row = await self._raw.fetchrow("SELECT * FROM movement WHERE id = $1", movement_id)
        return _movement_of(row) if row else None

    async def page(self, query: ListQuery) -> Page[Movement]:
        """Movements, newest first. Filters: `state`, `kind`."""
        position = query.position()
        rows = await self._raw.fetch(
            _PAGE,
            query.filters.get("state"),
            query.filters.get("kind"),
            position.created_at if position else None,
            position.uuid if position else None,
            query.limit + 1,
        )
        return query.page(
            [_movement_of(row) for row in rows],
            lambda each: Position(each.created_at, each.id.int),
        )

    async def requested(self, sender: Address, limit: int) -> Sequence[Movement]:
        """Requests for a key that have no slot yet, oldest first, locked."""
        rows = await self._raw.fetch(
            "SELECT * FROM movement WHERE sender = $1 AND state = 'requested'"
            " ORDER BY created_at, id LIMIT $2 FOR UPDATE",
            sender,
            limit,
        )
        return [_movement_of(row) for row in rows]

    async def assign(self, movement_id: UUID, slot_id: UUID) -> None:
        """The movement is written into a slot."""
        await self._raw.execute(
            "UPDATE movement SET slot_id = $2, state = 'submitted', waiting = NULL WHERE id = $1",
            movement_id,
            slot_id,
        )

    async def fail(self, movement_id: UUID, code: str, message: str) -> None:
        """The movement ends without a slot."""
        await self._raw.execute(
            "UPDATE movement SET state = 'failed', waiting = NULL,"
            " failure = jsonb_build_object('code', $2::text, 'message', $3::text) WHERE id = $1",
            movement_id,
            code,
            message,
        )

    async def mark_waiting(self, waiting: Mapping[UUID, str]) -> None:
        """Note why requested movements are not sent yet, where it is something new."""
        if waiting:
            await self._raw.execute(_MARK_WAITING, list(waiting), list(waiting.values()))

    async def mark_keyless(self, senders: Sequence[Address]) -> None:
        """Note of requested movements of other senders than these that no key is there."""
        await self._raw.execute(
            "UPDATE movement SET waiting = $2 WHERE state = 'requested'"
            " AND NOT sender = ANY($1::bytea[]) AND waiting IS DISTINCT FROM $2",
            list(senders),
            Hold.NO_KEY.value,
        )

    async def withdraw(self, slot_ids: Sequence[UUID]) -> None:
        """These slots became no-ops before they were signed: their movements wait again."""
        await self._raw.execute(_WITHDRAW, list(slot_ids))

    async def unmined(self, sender: Address) -> Sequence[Movement]:
        """Movements of a key whose slots are not mined, as far as the mirror has told."""
        return [_movement_of(row) for row in await self._raw.fetch(_UNMINED, sender, UNMINED)]

    async def under_way(self) -> Sequence[Movement]:
        """Every movement that has not ended, oldest first."""
        rows = await self._raw.fetch(
            f"SELECT * FROM movement WHERE {_UNDER_WAY} ORDER BY created_at, id"  # noqa: S608
        )
        return [_movement_of(row) for row in rows]

    # --------------------------------------------------------------------------------- deposits

    async def add_swept(self, movement_id: UUID, swept: Sequence[tuple[bytes, int]]) -> None:
        """The deposit addresses (salt, holding) of a sweep, in the order of its call."""
        await self._raw.copy_records_to_table(
            "deposit_sweep",
            records=[
                (movement_id, position, salt, amount)
                for position, (salt, amount) in enumerate(swept)
            ],
            columns=("movement_id", "position", "salt", "amount"),
        )

    async def salts(self, movement_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[bytes]]:
        """Per sweep of deposit addresses their salts, in the order of its call."""
        if not movement_ids:
            return {}
        rows = await self._raw.fetch(
            "SELECT movement_id, array_agg(salt ORDER BY position) AS salts FROM deposit_sweep"
            " WHERE movement_id = ANY($1::uuid[]) GROUP BY movement_id",
            list(movement_ids),
        )
        return {row["movement_id"]: row["salts"] for row in rows}

    async def sweeping(self) -> frozenset[bytes]:
        """Salts of the deposit addresses of all sweeps that have not ended."""
        return frozenset(row["salt"] for row in await self._raw.fetch(_SWEEPING))

    async def end_sweeps_of_others(self, sender: Address) -> None:
        """Sweeps of deposit addresses that another key was to send, and that have no slot, fail."""
        await self._raw.execute(_END_SWEEPS, sender)

    # ---------------------------------------------------------------------------------- rules

    async def add_rule(self, rule: TreasuryRule) -> None:
        """Store a rule."""
        await self._raw.execute(
            "INSERT INTO treasury_rule (id, kind, to_address, asset, mark, fill_to, daily_limit,"
            " made_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            rule.id,
            rule.kind,
            rule.to_address,
            rule.asset,
            rule.mark,
            rule.fill_to,
            rule.daily_limit,
            rule.made_by,
        )

    async def rule(self, rule_id: UUID) -> TreasuryRule | None:
        """One rule, in force or ended."""
        row = await self._raw.fetchrow("SELECT * FROM treasury_rule WHERE id = $1", rule_id)
        return _rule_of(row) if row else None

    async def rules(self, query: ListQuery) -> Page[TreasuryRule]:
        """Rules, newest first. Filter: `status` (in_force, ended)."""
        position = query.position()
        rows = await self._raw.fetch(
            _RULES,
            query.filters.get("status"),
            position.created_at if position else None,
            position.uuid if position else None,
            query.limit + 1,
        )
        return query.page(
            [_rule_of(row) for row in rows], lambda each: Position(each.created_at, each.id.int)
        )

    async def rules_in_force(self, *, locked: bool) -> Sequence[TreasuryRule]:
        """Rules in force, oldest first; `locked` to the end of the transaction."""
        lock = "FOR UPDATE" if locked else ""
        rows = await self._raw.fetch(
            "SELECT * FROM treasury_rule WHERE ended_at IS NULL"  # noqa: S608 - constants
            f" ORDER BY created_at, id {lock}"
        )
        return [_rule_of(row) for row in rows]

    async def end_rule(self, rule_id: UUID, by: str) -> None:
        """The rule makes no movements any more; one that has ended stays as it was."""
        await self._raw.execute(
            "UPDATE treasury_rule SET ended_by = $2, ended_at = now()"
            " WHERE id = $1 AND ended_at IS NULL",
            rule_id,
            by,
        )

    async def moved_by_rules(self, rule_ids: Sequence[UUID]) -> Mapping[UUID, int]:
        """Per rule what counts against its daily limit now."""
        rows = await self._raw.fetch(
            _MOVED_BY_RULES, list(rule_ids), timedelta(seconds=RULE_WINDOW_S)
        )
        return {row["rule_id"]: row["amount"] for row in rows}

    # --------------------------------------------------------------------------------- contract

    async def last_admin_call(
        self, lane_id: int, calls: Sequence[bytes], *, is_done: bool
    ) -> AdminCall | None:
        """The newest slot of a lane with one of these calldata; `is_done`: that succeeded."""
        row = await self._raw.fetchrow(_LAST_ADMIN_CALL, lane_id, list(calls), is_done)
        if row is None:
            return None
        return AdminCall(row["calldata"], row["included_block_number"], row["succeeded"])


def _movement_of(row: "asyncpg.Record") -> Movement:
    return Movement(
        id=row["id"],
        kind=row["kind"],
        sender=Address(row["sender"]),
        from_address=Address(row["from_address"]),
        to_address=Address(row["to_address"]),
        asset=row["asset"],
        amount=row["amount"],
        state=row["state"],
        slot_id=row["slot_id"],
        made_by=row["made_by"],
        failure=row["failure"],
        created_at=row["created_at"],
        rule_id=row["rule_id"],
        waiting=row["waiting"],
    )


def _rule_of(row: "asyncpg.Record") -> TreasuryRule:
    to_address = row["to_address"]
    return TreasuryRule(
        id=row["id"],
        kind=row["kind"],
        to_address=None if to_address is None else Address(to_address),
        asset=row["asset"],
        mark=row["mark"],
        fill_to=row["fill_to"],
        daily_limit=row["daily_limit"],
        made_by=row["made_by"],
        created_at=row["created_at"],
        ended_by=row["ended_by"],
        ended_at=row["ended_at"],
    )
