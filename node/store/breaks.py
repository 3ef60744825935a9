"""Breaks in PostgreSQL, and their history."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import select, tuple_

from node.core.breaks import BreakCode, BreakStep, NewBreak, age_bucket, age_buckets, due_in
from node.core.consent import Proposal
from node.core.ledger import Entry
from node.core.paging import ListQuery, Page, Position
from node.core.ports.breaks import Break, BreakEvent, OpenBreaks
from node.store.database import Connection
from node.store.tables import reconciliation_break

_BY_THE_NODE: Final = "reconciliation"

# Whether the numbers changed is known inside the statement alone: `changed_at` tells it outside.
_OPEN: Final = f"""
WITH seen AS (
    INSERT INTO reconciliation_break AS old
        (id, code, fingerprint, severity, summary, expected, actual, evidence, next_action,
         cause, due_at, reopens)
    SELECT i, c, f, s, m, e, a, v::jsonb, n, k, now() + d, (
        SELECT r.id FROM reconciliation_break r
        WHERE r.fingerprint = new.f AND r.resolved_at IS NOT NULL
        ORDER BY r.resolved_at DESC, r.id DESC LIMIT 1)
    FROM unnest(
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::text[], $11::interval[]
    ) AS new (i, c, f, s, m, e, a, v, n, k, d)
    WHERE NOT EXISTS (
        SELECT FROM reconciliation_break r
        WHERE r.fingerprint = new.f AND r.expected = new.e AND r.actual = new.a
          AND r.resolution ->> 'kind' <> 'rederived' AND r.gone_at IS NULL
          AND NOT EXISTS (SELECT FROM reconciliation_break newer
              WHERE newer.fingerprint = r.fingerprint AND newer.first_seen_at > r.first_seen_at))
    ON CONFLICT (fingerprint) WHERE resolved_at IS NULL DO UPDATE
    SET last_seen_at = now(), expected = excluded.expected, actual = excluded.actual,
        cause = CASE WHEN excluded.cause = '' THEN old.cause ELSE excluded.cause END,
        changed_at = CASE WHEN (old.expected, old.actual) = (excluded.expected, excluded.actual)
            THEN old.changed_at ELSE statement_timestamp() END
    RETURNING id, fingerprint, expected, actual, reopens, old.xmax = 0 AS is_new,
        coalesce(changed_at = statement_timestamp(), false) AS has_changed
), told AS (
    INSERT INTO break_event (break_id, step, by, detail)
    SELECT id, CASE WHEN NOT is_new THEN 'changed' WHEN reopens IS NULL THEN 'opened'
               ELSE 'reopened' END, '{_BY_THE_NODE}',
        jsonb_build_object('expected', expected, 'actual', actual)
    FROM seen WHERE is_new OR has_changed
)
SELECT fingerprint FROM seen WHERE is_new
"""  # noqa: S608 - constants
_CLOSE_REDERIVED: Final = f"""
WITH closed AS (
    UPDATE reconciliation_break r SET resolved_at = now(), resolved_by = '{_BY_THE_NODE}',
        proposal = NULL,
        resolution = jsonb_build_object('kind', 'rederived', 'reason', $3::text)
    FROM unnest($1::uuid[], $2::timestamptz[]) AS seen (id, at)
    WHERE r.id = seen.id AND r.last_seen_at = seen.at AND r.resolved_at IS NULL
    RETURNING r.id
)
INSERT INTO break_event (break_id, step, by, detail)
SELECT id, 'rederived', '{_BY_THE_NODE}', jsonb_build_object('reason', $3::text) FROM closed
"""  # noqa: S608 - constants
_NOTE_GONE: Final = """
UPDATE reconciliation_break SET gone_at = now()
WHERE resolved_at IS NOT NULL AND gone_at IS NULL AND resolution ->> 'kind' <> 'rederived'
  AND code = ANY($1::text[]) AND fingerprint <> ALL($2::text[])
"""
_CLOSE_ALL: Final = f"""
WITH closed AS (
    UPDATE reconciliation_break SET resolved_at = now(), resolved_by = '{_BY_THE_NODE}',
        proposal = NULL,
        resolution = jsonb_build_object('kind', $2::text, 'reason', $3::text)
    WHERE resolved_at IS NULL AND fingerprint = ANY($1::text[])
    RETURNING id
)
INSERT INTO break_event (break_id, step, by, detail)
SELECT id, CASE $2::text WHEN 'rederived' THEN 'rederived' ELSE 'resolved' END,
    '{_BY_THE_NODE}', jsonb_build_object('reason', $3::text) FROM closed
"""  # noqa: S608 - constants
_HISTORY: Final = """
SELECT e.* FROM reconciliation_break b
JOIN reconciliation_break same ON same.fingerprint = b.fingerprint
    AND same.first_seen_at <= b.first_seen_at
JOIN break_event e ON e.break_id = same.id
WHERE b.id = $1 ORDER BY e.sequence
"""
_FORGET: Final = "UPDATE reconciliation_break SET proposal = NULL WHERE id = $1"
_SUMMARY: Final = """
SELECT code, severity, array_agg(first_seen_at ORDER BY first_seen_at) AS opened,
    count(*) FILTER (WHERE due_at < now()) AS overdue
FROM reconciliation_break WHERE resolved_at IS NULL
GROUP BY code, severity ORDER BY code, severity
"""


class BreakStore:
    """See `node.core.ports.breaks.BreakRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection.sql
        self._raw = connection.raw
        self._now = connection.now

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
                due_in(each.code, each.severity),
            )
            for break_id, each in unique.values()
        ]
        found = await self._raw.fetch(_OPEN, *(list(column) for column in zip(*rows, strict=True)))
        return frozenset(row["fingerprint"] for row in found)

    async def close_rederived(self, seen: Mapping[UUID, datetime], reason: str) -> None:
        """Close those of these breaks that are open and were not seen again since."""
        if seen:
            await self._raw.execute(_CLOSE_REDERIVED, list(seen), list(seen.values()), reason)

    async def note_gone(self, codes: Sequence[BreakCode], still_there: Sequence[str]) -> None:
        """Note on breaks that were closed by persons that their difference is gone."""
        await self._raw.execute(_NOTE_GONE, [code.value for code in codes], list(still_there))

    async def explain(self, causes: Mapping[UUID, str]) -> None:
        """Write the cause of breaks that are open and have none yet."""
        if causes:
            await self._raw.execute(
                "UPDATE reconciliation_break r SET cause = new.c"
                " FROM unnest($1::uuid[], $2::text[]) AS new (i, c)"
                " WHERE r.id = new.i AND r.resolved_at IS NULL AND r.cause = ''",
                list(causes),
                list(causes.values()),
            )

    async def add_evidence(self, fingerprint: str, evidence: Mapping[str, str]) -> None:
        """Add to what an open break names, what was found out since it was opened."""
        await self._raw.execute(
            "UPDATE reconciliation_break SET evidence = evidence || $2::jsonb"
            " WHERE fingerprint = $1 AND resolved_at IS NULL",
            fingerprint,
            orjson.dumps(dict(evidence)).decode(),
        )

    async def open_of(self, codes: Sequence[BreakCode]) -> Sequence[Break]:
        """Breaks of these codes that nobody has closed, oldest first."""
        rows = await self._raw.fetch(
            "SELECT * FROM reconciliation_break WHERE resolved_at IS NULL"
            " AND code = ANY($1::text[]) ORDER BY first_seen_at, id",
            [code.value for code in codes],
        )
        return [self._break(row) for row in rows]

    async def close_all(self, fingerprints: Sequence[str], kind: str, reason: str) -> None:
        """Close the open ones of these, by a job."""
        if fingerprints:
            await self._raw.execute(_CLOSE_ALL, list(fingerprints), kind, reason)

    async def page(self, query: ListQuery) -> Page[Break]:
        """Breaks, newest first. Filters: `status`, `code`, `severity`, `owner`."""
        table = reconciliation_break
        statement = select(table).order_by(table.c.first_seen_at.desc(), table.c.id.desc())
        is_open = table.c.resolved_at.is_(None)
        match query.filters.get("status"):
            case "open":
                statement = statement.where(is_open)
            case "proposed":
                statement = statement.where(is_open, table.c.proposal.is_not(None))
            case "resolved":
                statement = statement.where(~is_open)
            case _:
                pass
        for name in ("code", "severity", "owner"):
            if (value := query.filters.get(name)) is not None:
                statement = statement.where(table.c[name] == value)
        if position := query.position():
            statement = statement.where(
                tuple_(table.c.first_seen_at, table.c.id)
                < tuple_(position.created_at, position.uuid)
            )
        rows = (await self._sql.execute(statement.limit(query.limit + 1))).mappings()
        return query.page(
            [self._break(row) for row in rows], lambda row: Position(row.first_seen_at, row.id.int)
        )

    async def get(self, break_id: UUID) -> Break | None:
        """One break, not locked."""
        row = await self._raw.fetchrow("SELECT * FROM reconciliation_break WHERE id = $1", break_id)
        return self._break(row) if row else None

    async def lock(self, break_id: UUID) -> Break | None:
        """One break, locked until the end of the transaction."""
        row = await self._raw.fetchrow(
            "SELECT * FROM reconciliation_break WHERE id = $1 FOR UPDATE", break_id
        )
        return self._break(row) if row else None

    async def history(self, break_id: UUID) -> Sequence[BreakEvent]:
        """What happened to it, and to earlier breaks of the same difference, oldest first."""
        return [
            BreakEvent(
                row["sequence"],
                row["break_id"],
                BreakStep(row["step"]),
                row["by"],
                row["at"],
                row["detail"],
            )
            for row in await self._raw.fetch(_HISTORY, break_id)
        ]

    async def close(self, break_id: UUID, closed_by: str, resolution: Mapping[str, str]) -> None:
        """Close a break that is locked; what was proposed is proposed no more."""
        await self._raw.execute(
            "UPDATE reconciliation_break SET resolved_at = now(), resolved_by = $2,"
            " resolution = $3::jsonb, proposal = NULL WHERE id = $1",
            break_id,
            closed_by,
            orjson.dumps(dict(resolution)).decode(),
        )
        await self._tell(break_id, BreakStep.RESOLVED, closed_by, resolution)

    async def propose(self, break_id: UUID, proposal: Proposal) -> None:
        """Keep what is to close a break that is locked."""
        await self._raw.execute(
            "UPDATE reconciliation_break SET proposal = $2::jsonb WHERE id = $1",
            break_id,
            orjson.dumps(proposal).decode(),
        )
        entries = [
            f"{each.amount} units of {each.asset}: {each.debit} <- {each.credit}"
            for each in proposal.entries
        ]
        await self._tell(
            break_id,
            BreakStep.PROPOSED,
            proposal.made_by,
            {"reason": proposal.reason, "kind": proposal.kind if entries else "match"}
            | ({"reference": proposal.reference} if proposal.reference else {})
            | {f"entry_{n}": each for n, each in enumerate(entries, start=1)},
        )

    async def approve(self, break_id: UUID, by: str, ledger_sequence: int | None) -> None:
        """Note that a second operator agreed, and what was booked; nothing is proposed any more."""
        await self._raw.execute(_FORGET, break_id)
        booked = {} if ledger_sequence is None else {"ledger_sequence": str(ledger_sequence)}
        await self._tell(break_id, BreakStep.APPROVED, by, booked)

    async def withdraw(self, break_id: UUID, by: str, reason: str) -> None:
        """Forget what was proposed."""
        await self._raw.execute(_FORGET, break_id)
        await self._tell(break_id, BreakStep.WITHDRAWN, by, {"reason": reason})

    async def assign(self, break_id: UUID, owner: str | None, by: str) -> None:
        """Give a break to an operator, or to nobody."""
        await self._raw.execute(
            "UPDATE reconciliation_break SET owner = $2 WHERE id = $1", break_id, owner
        )
        await self._tell(break_id, BreakStep.ASSIGNED, by, {"owner": owner or ""})

    async def summary(self) -> Sequence[OpenBreaks]:
        """Open breaks by code, in order of the codes."""
        return [self._counted(row) for row in await self._raw.fetch(_SUMMARY)]

    def _counted(self, row: Any) -> OpenBreaks:
        opened: Sequence[datetime] = row["opened"]
        ages = Counter(age_bucket(self._now - each) for each in opened)
        return OpenBreaks(
            row["code"],
            row["severity"],
            len(opened),
            row["overdue"],
            opened[0],
            {name: ages[name] for name in age_buckets()},
        )

    def _break(self, row: Any) -> Break:
        return _break(row, self._now)

    async def _tell(
        self, break_id: UUID, step: BreakStep, by: str, detail: Mapping[str, str]
    ) -> None:
        await self._raw.execute(
            "INSERT INTO break_event (break_id, step, by, detail) VALUES ($1, $2, $3, $4::jsonb)",
            break_id,
            step.value,
            by,
            orjson.dumps(dict(detail)).decode(),
        )


def _break(row: Any, now: datetime) -> Break:
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
        due_at=row["due_at"],
        owner=row["owner"],
        proposal=_proposal(row["proposal"]),
        reopens=row["reopens"],
        age=(row["resolved_at"] or now) - row["first_seen_at"],
    )


def _proposal(kept: Mapping[str, Any] | None) -> Proposal | None:
    if kept is None:
        return None
    return Proposal(
        made_by=kept["made_by"],
        made_at=datetime.fromisoformat(kept["made_at"]),
        reason=kept["reason"],
        entries=tuple(Entry(**each) for each in kept["entries"]),
        kind=kept["kind"],
        about=(kept["about"][0], kept["about"][1]),
        key=kept["key"],
        reference=kept["reference"],
    )
