"""What the operator's answers look like: runs, breaks. See `views`.

Lanes and batches are in `node.api.settlement_views`.
"""

from typing_extensions import TypedDict

from node.api.views import hex_text, time_text
from node.core.ids import Prefix, encode_id
from node.core.ports.breaks import Break
from node.core.ports.reconciliation import Run


class BlockDocument(TypedDict):
    """A block by number and hash."""

    block_number: int
    block_hash: str


class CheckDocument(TypedDict):
    """One comparison."""

    name: str
    ok: bool
    expected: str
    actual: str


class RunDocument(TypedDict):
    """One reconciliation; `status` is running, completed or failed."""

    id: str
    status: str
    as_of: BlockDocument | None
    checks: list[CheckDocument]
    breaks_open: int | None
    created_at: str
    completed_at: str | None


class BreakDocument(TypedDict):
    """Something that does not agree, why, since when, and what to do."""

    id: str
    code: str
    severity: str
    status: str
    summary: str
    expected: str
    actual: str
    evidence: dict[str, str]
    next_action: str
    first_seen_at: str
    last_seen_at: str
    resolved_at: str | None
    resolved_by: str | None
    resolution: dict[str, str] | None


def run_document(run: Run) -> RunDocument:
    """A reconciliation."""
    block = run.block
    return {
        "id": encode_id(Prefix.RUN, run.id),
        "status": run.status,
        "as_of": None
        if block is None
        else {"block_number": block.number, "block_hash": hex_text(block.hash)},
        "checks": [
            {"name": each.name, "ok": each.ok, "expected": each.expected, "actual": each.actual}
            for each in run.checks
        ],
        "breaks_open": run.breaks_open,
        "created_at": time_text(run.created_at),
        "completed_at": None if run.completed_at is None else time_text(run.completed_at),
    }


def break_document(found: Break) -> BreakDocument:
    """A break."""
    return {
        "id": encode_id(Prefix.BREAK, found.id),
        "code": found.code,
        "severity": found.severity,
        "status": "open" if found.resolved_at is None else "resolved",
        "summary": found.summary,
        "expected": found.expected,
        "actual": found.actual,
        "evidence": dict(found.evidence),
        "next_action": found.next_action,
        "first_seen_at": time_text(found.first_seen_at),
        "last_seen_at": time_text(found.last_seen_at),
        "resolved_at": None if found.resolved_at is None else time_text(found.resolved_at),
        "resolved_by": found.resolved_by,
        "resolution": None if found.resolution is None else dict(found.resolution),
    }
