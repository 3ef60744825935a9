"""What answers about runs look like. See `views`.

Breaks are in `node.api.break_views`, lanes and batches in `node.api.settlement_views`.
"""

from typing_extensions import TypedDict

from node.api.views import hex_text, time_text
from node.core.ids import Prefix, encode_id
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
    """One reconciliation; `status` is running, completed or failed.

    `failure` says why it failed.
    """

    id: str
    status: str
    as_of: BlockDocument | None
    checks: list[CheckDocument]
    breaks_open: int | None
    failure: str | None
    created_at: str
    completed_at: str | None


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
        "failure": run.failure,
        "created_at": time_text(run.created_at),
        "completed_at": None if run.completed_at is None else time_text(run.completed_at),
    }
