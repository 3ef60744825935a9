"""What the operator's answers look like: lanes, batches, movements, runs, breaks. See `views`."""

from typing_extensions import TypedDict

from node.api.views import FailureView, failure_view, hex_text, time_text
from node.core.catalog import Catalog
from node.core.ids import Prefix, encode_id
from node.core.ports.chain import AddressCodec
from node.core.ports.reconciliation import Break, Run
from node.core.ports.settlement import Attempt, BatchView, LaneView, Movement, Pause
from node.core.units import format_minor


class LaneDocument(TypedDict):
    """A sending account: `next_nonce` is the first that is not taken."""

    chain_id: int
    address: str
    status: str
    status_reason: str | None
    next_nonce: int
    final_nonces: int
    unmined: int
    oldest_unmined_nonce: int | None
    lease_owner: str | None
    lease_until: str | None


class PauseDocument(TypedDict):
    """Why nothing new is signed."""

    reason: str
    hard: bool
    note: str | None
    paused_by: str
    paused_at: str


class LanesDocument(TypedDict):
    """Lanes, and the pauses in force."""

    data: list[LaneDocument]
    pauses: list[PauseDocument]


class PausesDocument(TypedDict):
    """The pauses in force."""

    data: list[PauseDocument]


class AttemptDocument(TypedDict):
    """One signed transaction for a batch's nonce; fees in wei per gas."""

    sequence: int
    tx_hash: str
    max_fee_per_gas_wei: str
    max_priority_fee_per_gas_wei: str
    fee_source: str
    sends: int
    last_answer: str | None
    created_at: str
    last_sent_at: str | None


class PaymentDocument(TypedDict):
    """One payment of a batch."""

    transfer_id: str
    payment_number: int
    beneficiary: str
    amount: str


class BatchDocument(TypedDict):
    """A nonce and all it carries."""

    id: str
    chain_id: int
    lane: str
    nonce: int
    purpose: str
    state: str
    contract: str | None
    gas_limit: int
    amount_total: str
    tx_hash: str | None
    block_number: int | None
    succeeded: bool | None
    gas_used: int | None
    effective_gas_price_wei: str | None
    created_at: str
    final_at: str | None
    attempts: list[AttemptDocument]
    payments: list[PaymentDocument]


# `from` is a word of Python, so this one is written as a call.
MovementDocument = TypedDict(
    "MovementDocument",
    {
        "id": str,
        "kind": str,
        "from": str,
        "to": str,
        "currency": str,
        "amount": str,
        "state": str,
        "batch_id": str | None,
        "failure": FailureView | None,
        "created_at": str,
    },
)


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


def lane_document(view: LaneView, addresses: AddressCodec) -> LaneDocument:
    """A lane."""
    lane = view.lane
    return {
        "chain_id": lane.chain_id,
        "address": addresses.text(lane.address),
        "status": lane.status.value,
        "status_reason": lane.status_reason,
        "next_nonce": lane.next_nonce,
        "final_nonces": view.final,
        "unmined": view.unmined,
        "oldest_unmined_nonce": view.oldest_unmined_nonce,
        "lease_owner": lane.lease_owner,
        "lease_until": None if lane.lease_until is None else time_text(lane.lease_until),
    }


def pause_document(pause: Pause) -> PauseDocument:
    """A pause."""
    return {
        "reason": pause.reason.value,
        "hard": pause.hard,
        "note": pause.note,
        "paused_by": pause.paused_by,
        "paused_at": time_text(pause.paused_at),
    }


def batch_document(view: BatchView, catalog: Catalog, addresses: AddressCodec) -> BatchDocument:
    """A batch with its attempts and payments; amounts are of the token."""
    digits = catalog.token.asset.digits
    price_wei = view.effective_gas_price_wei
    return {
        "id": encode_id(Prefix.BATCH, view.id),
        "chain_id": view.chain_id,
        "lane": addresses.text(view.lane_address),
        "nonce": view.nonce,
        "purpose": view.purpose.value,
        "state": view.state.value,
        "contract": None if view.contract is None else addresses.text(view.contract),
        "gas_limit": view.gas_limit,
        "amount_total": format_minor(view.amount_total, digits),
        "tx_hash": None if view.tx_hash is None else hex_text(view.tx_hash),
        "block_number": view.block_number,
        "succeeded": view.succeeded,
        "gas_used": view.gas_used,
        "effective_gas_price_wei": None if price_wei is None else str(price_wei),
        "created_at": time_text(view.created_at),
        "final_at": None if view.final_at is None else time_text(view.final_at),
        "attempts": [_attempt(each) for each in view.attempts],
        "payments": [
            {
                "transfer_id": encode_id(Prefix.TRANSFER, each.transfer_id),
                "payment_number": each.record.number,
                "beneficiary": addresses.text(each.record.beneficiary),
                "amount": format_minor(each.record.amount, digits),
            }
            for each in view.members
        ],
    }


def movement_document(
    movement: Movement, catalog: Catalog, addresses: AddressCodec
) -> MovementDocument:
    """A treasury movement."""
    return {
        "id": encode_id(Prefix.MOVEMENT, movement.id),
        "kind": movement.kind,
        "from": addresses.text(movement.from_address),
        "to": addresses.text(movement.to_address),
        "currency": movement.asset,
        "amount": format_minor(movement.amount, catalog.ledger_asset(movement.asset).digits),
        "state": movement.state,
        "batch_id": None if movement.slot_id is None else encode_id(Prefix.BATCH, movement.slot_id),
        "failure": failure_view(movement.failure),
        "created_at": time_text(movement.created_at),
    }


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


def _attempt(attempt: Attempt) -> AttemptDocument:
    return {
        "sequence": attempt.sequence,
        "tx_hash": hex_text(attempt.tx_hash),
        "max_fee_per_gas_wei": str(attempt.fees.max_fee_per_gas_wei),
        "max_priority_fee_per_gas_wei": str(attempt.fees.max_priority_fee_per_gas_wei),
        "fee_source": attempt.fee_source,
        "sends": attempt.sends,
        "last_answer": None if attempt.last_answer is None else attempt.last_answer.value,
        "created_at": time_text(attempt.created_at),
        "last_sent_at": None if attempt.last_sent_at is None else time_text(attempt.last_sent_at),
    }
