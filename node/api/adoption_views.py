"""What operators are told of adoption: what the chain has and the database does not know."""

from collections.abc import Sequence

from typing_extensions import TypedDict

from node.api.views import hex_text, id_or_none
from node.core.adoption.found import FoundMovement, FoundRecord, FoundTransaction
from node.core.catalog import Catalog
from node.core.ids import Prefix, encode_id
from node.core.ports.adoption import Adoption, LaneFound
from node.core.ports.chain import AddressCodec
from node.core.units import format_minor


class LaneFoundDocument(TypedDict):
    """A key beside the chain.

    `next_nonce` is the first the database has not given out, `next_nonce_then` that after adoption;
    `unexplained` transactions are not the database's.
    """

    address: str
    role: str
    status: str
    status_reason: str | None
    next_nonce: int
    next_nonce_then: int
    chain_nonce: int
    unexplained: int
    affected: bool


class FoundPaymentDocument(TypedDict):
    """One payment, or one voided number, in a transaction.

    `link` says whether it is the transfer's own: linked, or no_transfer, differs (another
    beneficiary or amount), too_young (created after the block), ended (money given back).
    """

    payment_number: int
    beneficiary: str | None
    amount: str | None
    link: str
    transfer_id: str | None
    outcome: str | None


# `from` is a word of Python, so this one is written as a call. Money between own addresses.
FoundMovementDocument = TypedDict(
    "FoundMovementDocument",
    {
        "kind": str,
        "from": str,
        "to": str,
        "currency": str,
        "amount": str,
        "movement_id": str | None,
    },
)


class FoundTransactionDocument(TypedDict):
    """A transaction of a key that the database cannot explain.

    `finding` is known (an attempt whose block it did not have), lost_attempt (other bytes for its
    own batch), overtakes (another call on a nonce it used) or new.
    """

    tx_hash: str
    lane: str
    nonce: int
    block_number: int
    succeeded: bool
    finding: str
    purpose: str
    to: str | None
    value_wei: str
    gas_used: int
    batch_id: str | None
    payments: list[FoundPaymentDocument]
    movement: FoundMovementDocument | None


class RenumberedDocument(TypedDict):
    """A transfer never written whose number the chain has used; `new_number` once adopted."""

    transfer_id: str
    new_number: int | None


class SkippedNoncesDocument(TypedDict):
    """Nonces used up, `first` to `last`, by nothing that is a transaction of the key."""

    lane: str
    first: int
    last: int


class AdoptionDocument(TypedDict):
    """What would be adopted, or was: `written`.

    `waits_for` says why it cannot be written yet. `orphans` are payments that left and that no
    transfer explains; `overtaken` batches can never be mined, and their transfers are funded
    again. `skipped` nonces are left behind.
    """

    needed: bool
    written: bool
    waits_for: list[str]
    lanes: list[LaneFoundDocument]
    transactions: list[FoundTransactionDocument]
    orphans: int
    overtaken: list[str]
    renumbered: list[RenumberedDocument]
    numbers_below: int
    skipped: list[SkippedNoncesDocument]


def adoption_document(
    adoption: Adoption, catalog: Catalog, addresses: AddressCodec
) -> AdoptionDocument:
    """What was found."""
    plan = adoption.plan
    return {
        "needed": adoption.is_needed,
        "written": bool(adoption.written),
        "waits_for": list(adoption.waits_for),
        "lanes": [_lane(each, addresses) for each in adoption.lanes],
        "transactions": _transactions(plan.transactions, catalog, addresses),
        "orphans": len(plan.orphans),
        "overtaken": [encode_id(Prefix.BATCH, each) for each in plan.overtaken],
        "renumbered": [
            {
                "transfer_id": encode_id(Prefix.TRANSFER, each),
                "new_number": adoption.renumbered.get(each),
            }
            for each in plan.renumbered
        ],
        "numbers_below": plan.numbers_to,
        "skipped": [
            {"lane": addresses.text(each.sender), "first": each.first, "last": each.last}
            for each in plan.skipped
        ],
    }


def _lane(found: LaneFound, addresses: AddressCodec) -> LaneFoundDocument:
    lane = found.lane
    return {
        "address": addresses.text(lane.address),
        "role": str(lane.role),
        "status": lane.status.value,
        "status_reason": lane.status_reason,
        "next_nonce": lane.next_nonce,
        "next_nonce_then": found.next_nonce,
        "chain_nonce": found.chain_nonce,
        "unexplained": found.unexplained,
        "affected": found.is_affected,
    }


def _transactions(
    found: Sequence[FoundTransaction], catalog: Catalog, addresses: AddressCodec
) -> list[FoundTransactionDocument]:
    return [_transaction(each, catalog, addresses) for each in found]


def _transaction(
    found: FoundTransaction, catalog: Catalog, addresses: AddressCodec
) -> FoundTransactionDocument:
    mined, movement = found.transaction, found.movement
    return {
        "tx_hash": hex_text(mined.tx_hash),
        "lane": addresses.text(mined.sender),
        "nonce": mined.nonce,
        "block_number": mined.block.number,
        "succeeded": mined.succeeded,
        "finding": found.finding.value,
        "purpose": found.purpose.value,
        "to": None if mined.to is None else addresses.text(mined.to),
        "value_wei": str(mined.value_wei),
        "gas_used": mined.gas_used,
        "batch_id": id_or_none(Prefix.BATCH, found.slot_id),
        "payments": [_payment(each, catalog, addresses) for each in found.records],
        "movement": None if movement is None else _movement(movement, catalog, addresses),
    }


def _payment(
    record: FoundRecord, catalog: Catalog, addresses: AddressCodec
) -> FoundPaymentDocument:
    digits = catalog.token.asset.digits
    return {
        "payment_number": record.number,
        "beneficiary": None if record.beneficiary is None else addresses.text(record.beneficiary),
        "amount": None if record.amount is None else format_minor(record.amount, digits),
        "link": record.link.value,
        "transfer_id": id_or_none(Prefix.TRANSFER, record.transfer_id),
        "outcome": None if record.outcome is None else record.outcome.value,
    }


def _movement(
    found: FoundMovement, catalog: Catalog, addresses: AddressCodec
) -> FoundMovementDocument:
    return {
        "kind": str(found.kind),
        "from": addresses.text(found.source),
        "to": addresses.text(found.to),
        "currency": found.asset,
        "amount": format_minor(found.amount, catalog.ledger_asset(found.asset).digits),
        "movement_id": id_or_none(Prefix.MOVEMENT, found.movement_id),
    }
