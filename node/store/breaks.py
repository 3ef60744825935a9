"""Breaks in PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import select, tuple_

from node.core.breaks import BreakCode, NewBreak
from node.core.paging import ListQuery, Page, Position
from node.core.ports.breaks import Break
from node.store.database import Connection
from node.store.tables import reconciliation_break

_OPEN: Final = """
INSERT INTO reconciliation_break AS old
    (id, code, fingerprint, severity, summary, expected, actual, evidence, next_action,
     cause)
SELECT i, c, f, s, m, e, a, v::jsonb, n, k FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::text[], $9::text[], $10::text[]
) AS new (i, c, f, s, m, e, a, v, n, k)
WHERE NOT EXISTS (
    SELECT FROM reconciliation_break r
    WHERE r.fingerprint = new.f AND r.expected = new.e AND r.actual = new.a
      AND r.resolution ->> 'kind' <> 'rederived')
ON CONFLICT (fingerprint) WHERE resolved_at IS NULL DO UPDATE
SET last_seen_at = now(), expected = excluded.expected, actual = excluded.actual,
    cause = CASE WHEN excluded.cause = '' THEN old.cause ELSE excluded.cause END
RETURNING fingerprint, old.xmax = 0 AS is_new
"""
_CLOSE_REDERIVED: Final = """
UPDATE reconciliation_break SET resolved_at = now(), resolved_by = 'reconciliation',
    resolution = jsonb_build_object('kind', 'rederived', 'reason', $3::text)
WHERE resolved_at IS NULL AND code = ANY($1::text[]) AND fingerprint <> ALL($2::text[])
"""


class BreakStore:
    """See `node.core.ports.breaks.BreakRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection.sql
        self._raw = connection.raw

    async def open(self, breaks: Sequence[tuple[UUID, NewBreak]]) -> frozenset[str]:
        """Open these, each with the id given; one that is open already is seen again."""
        unique = {each.fingerprint: (break_id, each) for break_id, each in breaks}
        if not unique:
            return frozenset()
        rows = [
            (
                break_id,
                each.code.value,
                each.fingerprint,
                each.severity.value,
                each.summary,
                each.expected,
                each.actual,
                orjson.dumps(dict(each.evidence)).decode(),
                each.next_action,
                each.cause,
            )
            for break_id, each in unique.values()
        ]
        found = await self._raw.fetch(_OPEN, *(list(column) for column in zip(*rows, strict=True)))
        return frozenset(row["fingerprint"] for row in found if row["is_new"])

    async def close_rederived(
        self, codes: Sequence[BreakCode], still_there: Sequence[str], reason: str
    ) -> None:
        """Close open breaks of these codes whose fingerprint is not still there."""
        await self._raw.execute(
            _CLOSE_REDERIVED, [code.value for code in codes], list(still_there), reason
        )

    async def page(self, query: ListQuery) -> Page[Break]:
        """Breaks, newest first. Filters: `status` (open, resolved), `code`."""
        table = reconciliation_break
        statement = select(table).order_by(table.c.first_seen_at.desc(), table.c.id.desc())
        status = query.filters.get("status")
        if status is not None:
            is_open = table.c.resolved_at.is_(None)
            statement = statement.where(is_open if status == "open" else ~is_open)
        if code := query.filters.get("code"):
            statement = statement.where(table.c.code == code)
        if position := query.position():
            statement = statement.where(
                tuple_(table.c.first_seen_at, table.c.id)
                < tuple_(position.created_at, position.uuid)
            )
        rows = (await self._sql.execute(statement.limit(query.limit + 1))).mappings()
        return query.page(
            [_break(row) for row in rows], lambda row: Position(row.first_seen_at, row.id.int)
        )

    async def lock(self, break_id: UUID) -> Break | None:
        """One break, locked until the end of the transaction."""
        row = await self._raw.fetchrow(
            "SELECT * FROM reconciliation_break WHERE id = $1 FOR UPDATE", break_id
        )
        return _break(row) if row else None

    async def close(self, break_id: UUID, closed_by: str, resolution: Mapping[str, str]) -> None:
        """Close a break."""
        await self._raw.execute(
            "UPDATE reconciliation_break SET resolved_at = now(), resolved_by = $2,"
            " resolution = $3::jsonb WHERE id = $1",
            break_id,
            closed_by,
            orjson.dumps(dict(resolution)).decode(),
        )


def _break(row: Any) -> Break:
    return Break(
        id=row["id"],
        code=row["code"],
        fingerprint=row["fingerprint"],
        severity=row["severity"],
        summary=row["summary"],
        expected=row["expected"],
        actual=row["actual"],
        evidence=row["evidence"],
        next_action=row["next_action"],
        cause=row["cause"],
        first_seen_at=row["first_seen_at"],
        last_seen_at=row["last_seen_at"],
        resolved_at=row["resolved_at"],
        resolved_by=row["resolved_by"],
        resolution=row["resolution"],
    )
