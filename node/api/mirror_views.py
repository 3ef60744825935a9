"""What operators are told of the mirror: where it stands, and reorgs past finality."""

from typing import Any, cast

from typing_extensions import TypedDict

from node.api.operator_views import BlockDocument
from node.api.views import hex_text, time_text
from node.core.catalog import Catalog
from node.core.ids import Prefix, encode_id
from node.core.mirror import BlockPoint
from node.core.ports.chain import ProviderHealth
from node.core.ports.reorgs import Reorg
from node.core.units import format_minor
from node.services.mirror.reorgs import MirrorLook


class MirrorProviderDocument(TypedDict):
    """A provider of the chain as the answering process sees it.

    `in_doubt` says why it is asked last: it contradicted itself. `quarantined`: another chain.
    """

    name: str
    state: str
    head: int | None
    behind_blocks: int
    in_doubt: str | None
    quarantined: str | None


class UndonePaymentDocument(TypedDict):
    """A payment in a block that is undone, and what becomes of its transfer.

    `submitted`: the same signed bytes are sent again, with the same number. `funded`: the next
    batch pays it. `voiding`: a void was asked for, and is asked for again. `kept`: a partner paid
    it out or gave it back, and that stays; its payment comes again.
    """

    transfer_id: str
    customer_id: str
    payment_number: int
    currency: str
    amount: str
    becomes: str
    tx_hash: str
    block_number: int
    block_hash: str


class UndoneDepositDocument(TypedDict):
    """A deposit that was credited to its owner from a block that is undone."""

    ledger_sequence: int
    account: str
    currency: str
    amount: str
    tx_hash: str | None


class ShortfallDocument(TypedDict):
    """What an owner has spent of deposits that are taken back; a loss until they come again."""

    account: str
    currency: str
    amount: str


class UndoneBookingDocument(TypedDict):
    """A ledger transaction that is reversed."""

    sequence: int
    key: str
    kind: str


class KeptCorrectionDocument(TypedDict):
    """What an operator booked about a block that is undone: it stays, and is to be looked at."""

    sequence: int
    key: str
    break_id: str
    code: str


class AccountMoveDocument(TypedDict):
    """How an address's account in the ledger changes by it; negative: it falls."""

    account: str
    currency: str
    amount: str


class ReorgPlanDocument(TypedDict):
    """What accepting it undoes.

    `blocks` were final, `blocks_unfinal` are above them. `batches` are sent again as they were
    signed; `rejoining` transfers go back into one of them. `given_back` transfers had their money
    back by a void in these blocks, and stay ended: their void is sent again.
    """

    blocks: int
    blocks_unfinal: int
    batches: list[str]
    payments: list[UndonePaymentDocument]
    rejoining: list[str]
    given_back: list[str]
    movements: list[str]
    deposits: list[UndoneDepositDocument]
    gas: str
    gas_currency: str
    accounts: list[AccountMoveDocument]
    bookings: list[UndoneBookingDocument]
    shortfalls: list[ShortfallDocument]
    corrections: list[KeptCorrectionDocument]


class ReorgDocument(TypedDict):
    """A reorg past finality; `state` is proposed, replaced (by a newer proposal) or accepted.

    `final` is what was final and is replaced, `block_hash` the chain's own block of that number,
    `fork` the newest block of both. `epoch` counts the reorgs accepted, this one included.
    """

    id: str
    state: str
    final: BlockDocument
    block_hash: str
    fork: BlockDocument
    plan: ReorgPlanDocument
    reason: str | None
    proposed_by: str
    proposed_at: str
    accepted_by: str | None
    accepted_at: str | None
    epoch: int | None


class MirrorDocument(TypedDict):
    """Where the mirror stands. `halted` says why it stands still until an operator decides."""

    head: BlockDocument | None
    final: BlockDocument | None
    start_number: int | None
    moved_at: str | None
    halted: str | None
    epoch: int
    proposal: ReorgDocument | None
    providers: list[MirrorProviderDocument]


def mirror_document(look: MirrorLook, catalog: Catalog) -> MirrorDocument:
    """Where the mirror stands."""
    cursor = look.cursor
    return {
        "head": None if cursor is None else _block(cursor.head),
        "final": None if cursor is None else _block(cursor.final),
        "start_number": None if cursor is None else cursor.start_number,
        "moved_at": None if cursor is None else time_text(cursor.moved_at),
        "halted": None if cursor is None else cursor.halted_reason,
        "epoch": look.epoch,
        "proposal": None if look.proposal is None else reorg_document(look.proposal, catalog),
        "providers": [_provider(each) for each in look.providers],
    }


def reorg_document(reorg: Reorg, catalog: Catalog) -> ReorgDocument:
    """A reorg past finality, with what it undoes."""
    return {
        "id": encode_id(Prefix.REORG, reorg.id),
        "state": reorg.state.value,
        "final": _block(reorg.final),
        "block_hash": hex_text(reorg.block_hash),
        "fork": _block(reorg.fork),
        "plan": _plan(cast("dict[str, Any]", reorg.plan), catalog),
        "reason": reorg.reason,
        "proposed_by": reorg.proposed_by,
        "proposed_at": time_text(reorg.proposed_at),
        "accepted_by": reorg.accepted_by,
        "accepted_at": None if reorg.accepted_at is None else time_text(reorg.accepted_at),
        "epoch": reorg.epoch,
    }


def _plan(plan: dict[str, Any], catalog: Catalog) -> ReorgPlanDocument:
    """The stored plan with amounts as decimals."""

    def amount(minor: int, code: str) -> str:
        sign = "-" if minor < 0 else ""
        return sign + format_minor(abs(minor), catalog.ledger_asset(code).digits)

    def told(each: dict[str, Any]) -> dict[str, Any]:
        """A row with its amount."""
        row = {name: value for name, value in each.items() if name != "minor"}
        return {**row, "amount": amount(each["minor"], each["currency"])}

    return {
        "blocks": plan["blocks"],
        "blocks_unfinal": plan["blocks_unfinal"],
        "batches": plan["batches"],
        "payments": [cast("UndonePaymentDocument", told(each)) for each in plan["payments"]],
        "rejoining": plan["rejoining"],
        "given_back": plan["given_back"],
        "movements": plan["movements"],
        "deposits": [cast("UndoneDepositDocument", told(each)) for each in plan["deposits"]],
        "gas": amount(plan["gas_minor"], catalog.native.code),
        "gas_currency": catalog.native.code,
        "accounts": [cast("AccountMoveDocument", told(each)) for each in plan["accounts"]],
        "bookings": plan["bookings"],
        "shortfalls": [cast("ShortfallDocument", told(each)) for each in plan["shortfalls"]],
        "corrections": plan["corrections"],
    }


def _block(point: BlockPoint) -> BlockDocument:
    return {"block_number": point.number, "block_hash": hex_text(point.hash)}


def _provider(health: ProviderHealth) -> MirrorProviderDocument:
    return {
        "name": health.name,
        "state": health.state,
        "head": health.head,
        "behind_blocks": health.behind_blocks,
        "in_doubt": health.in_doubt,
        "quarantined": health.quarantined,
    }
