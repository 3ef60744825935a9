"""What answers about breaks look like. See `views`; runs are in `node.api.operator_views`."""

from typing_extensions import TypedDict

from node.api.views import time_text
from node.core.breaks import age_bucket
from node.core.catalog import Catalog
from node.core.consent import Proposal
from node.core.ids import Prefix, encode_id
from node.core.ports.breaks import Break, BreakEvent
from node.core.stories import in_whole_units, story
from node.core.units import format_minor


class ProposedEntryDocument(TypedDict):
    """An entry that is booked when it is approved."""

    debit: str
    credit: str
    currency: str
    amount: str


class ProposalDocument(TypedDict):
    """What one operator proposes and another must approve; without entries a match.

    `kind` is correction, chargeback for a loss at a bank, or how a partner's payout is to end
    (given_back, paid_out); `reference` what a bank, or other evidence, is named by, else empty.
    """

    made_by: str
    made_at: str
    reason: str
    kind: str
    reference: str
    entries: list[ProposedEntryDocument]


class BreakDocument(TypedDict):
    """Something that does not agree, why, since when, and what to do.

    `status` is open or resolved; `state` is open, proposed (a second operator must approve) or
    resolved. `age_s` and `age` (0-1d, 1-3d, 3-7d, 7-30d, >30d) end with its resolution. `cause` is
    empty where it is not known. `story` tells all of it in a few sentences.
    """

    id: str
    code: str
    severity: str
    status: str
    state: str
    summary: str
    expected: str
    actual: str
    evidence: dict[str, str]
    cause: str
    story: list[str]
    next_action: str
    owner: str | None
    first_seen_at: str
    last_seen_at: str
    due_at: str | None
    age_s: int
    age: str
    proposal: ProposalDocument | None
    reopens: str | None
    resolved_at: str | None
    resolved_by: str | None
    resolution: dict[str, str] | None


class BreakEventDocument(TypedDict):
    """One line of a break's history.

    `break_id` is an earlier break where the difference was closed and came back. `step` is opened,
    changed, assigned, proposed, approved, withdrawn, resolved, rederived or reopened.
    """

    sequence: int
    break_id: str
    step: str
    by: str
    at: str
    detail: dict[str, str]


class BreakHistoryDocument(TypedDict):
    """What happened to a break, oldest first."""

    data: list[BreakEventDocument]


def break_document(found: Break, catalog: Catalog) -> BreakDocument:
    """A break."""
    return {
        "id": encode_id(Prefix.BREAK, found.id),
        "code": found.code,
        "severity": found.severity,
        "status": "open" if found.resolved_at is None else "resolved",
        "state": found.state,
        "summary": found.summary,
        "expected": found.expected,
        "actual": found.actual,
        "evidence": dict(found.evidence),
        "cause": found.cause,
        "story": [in_whole_units(each, catalog) for each in story(found)],
        "next_action": found.next_action,
        "owner": found.owner,
        "first_seen_at": time_text(found.first_seen_at),
        "last_seen_at": time_text(found.last_seen_at),
        "due_at": None if found.due_at is None else time_text(found.due_at),
        "age_s": int(found.age.total_seconds()),
        "age": age_bucket(found.age),
        "proposal": None if found.proposal is None else _proposal(found.proposal, catalog),
        "reopens": None if found.reopens is None else encode_id(Prefix.BREAK, found.reopens),
        "resolved_at": None if found.resolved_at is None else time_text(found.resolved_at),
        "resolved_by": found.resolved_by,
        "resolution": None if found.resolution is None else dict(found.resolution),
    }


def break_event_document(row: BreakEvent) -> BreakEventDocument:
    """One line of a break's history."""
    return {
        "sequence": row.sequence,
        "break_id": encode_id(Prefix.BREAK, row.break_id),
        "step": row.step.value,
        "by": row.by,
        "at": time_text(row.at),
        "detail": dict(row.detail),
    }


def _proposal(proposal: Proposal, catalog: Catalog) -> ProposalDocument:
    return {
        "made_by": proposal.made_by,
        "made_at": time_text(proposal.made_at),
        "reason": proposal.reason,
        "kind": proposal.kind if proposal.entries else "match",
        "reference": proposal.reference,
        "entries": [
            {
                "debit": each.debit,
                "credit": each.credit,
                "currency": each.asset,
                "amount": format_minor(each.amount, catalog.ledger_asset(each.asset).digits),
            }
            for each in proposal.entries
        ],
    }
