"""What operators are told of batches and of what gas cost. See `node.api.settlement_views`."""

from collections.abc import Sequence
from datetime import datetime

from typing_extensions import TypedDict

from node.api.views import hex_text, time_text
from node.core.catalog import Catalog
from node.core.ids import Prefix, encode_id
from node.core.ports.chain import AddressCodec
from node.core.ports.settlement_views import (
    AttemptView,
    BatchRow,
    BatchView,
    MemberView,
    Spending,
)
from node.core.units import format_minor
from node.services.settlement.overview import Period


class AttemptDocument(TypedDict):
    """One signed transaction for a batch's nonce; fees in wei per gas."""

    sequence: int
    tx_hash: str
    max_fee_per_gas_wei: str
    max_priority_fee_per_gas_wei: str
    fee_source: str
    sends: int
    last_answer: str | None
    last_message: str | None
    created_at: str
    last_sent_at: str | None


class PaymentDocument(TypedDict):
    """One payment of a batch; `outcome` is settled, failed, skipped or voided once it is mined."""

    transfer_id: str
    payment_number: int
    beneficiary: str
    amount: str
    outcome: str | None


class BatchRowDocument(TypedDict):
    """A nonce and what became of it; per payment rounded up."""

    id: str
    chain_id: int
    lane: str
    nonce: int
    purpose: str
    state: str
    adopted: bool
    payment_count: int
    payments_settled: int
    amount_total: str
    attempt_count: int
    tx_hash: str | None
    block_number: int | None
    succeeded: bool | None
    gas_used: int | None
    effective_gas_price_wei: str | None
    fee_wei: str | None
    gas_per_payment: int | None
    fee_wei_per_payment: str | None
    created_at: str
    final_at: str | None


class BatchDocument(BatchRowDocument):
    """A nonce and all it carries."""

    contract: str | None
    to: str
    value_wei: str
    gas_limit: int
    attempts: list[AttemptDocument]
    payments: list[PaymentDocument]


class SpentDocument(TypedDict):
    """What final transactions came to; `replaced` attempts beyond the first of each nonce."""

    transactions: int
    reverted: int
    attempts: int
    replaced: int
    payments: int
    gas_used: int
    fees_wei: str
    gas_per_payment: int | None
    fee_wei_per_payment: str | None


class PurposeDocument(SpentDocument):
    """What those of one purpose came to."""

    purpose: str


# `from` is a word of Python, so this one is written as a call.
SpendingDocument = TypedDict(
    "SpendingDocument",
    {"from": str, "to": str, "total": SpentDocument, "purposes": list[PurposeDocument]},
)


def batch_row_document(
    row: BatchRow, catalog: Catalog, addresses: AddressCodec
) -> BatchRowDocument:
    """A batch in a list; amounts are of the token."""
    return {
        "id": encode_id(Prefix.BATCH, row.id),
        "chain_id": row.chain_id,
        "lane": addresses.text(row.lane),
        "nonce": row.nonce,
        "purpose": row.purpose.value,
        "state": row.state.value,
        "adopted": row.adopted,
        "payment_count": row.members,
        "payments_settled": row.settled,
        "amount_total": format_minor(row.amount_total, catalog.token.asset.digits),
        "attempt_count": row.attempts,
        "tx_hash": None if row.tx_hash is None else hex_text(row.tx_hash),
        "block_number": row.block_number,
        "succeeded": row.succeeded,
        "gas_used": row.gas_used,
        "effective_gas_price_wei": text_or_none(row.gas_price_wei),
        "fee_wei": text_or_none(row.fee_wei),
        "gas_per_payment": _per(row.gas_used, row.settled),
        "fee_wei_per_payment": text_or_none(_per(row.fee_wei, row.settled)),
        "created_at": time_text(row.created_at),
        "final_at": time_or_none(row.final_at),
    }


def batch_document(view: BatchView, catalog: Catalog, addresses: AddressCodec) -> BatchDocument:
    """A batch with its attempts and payments; amounts are of the token."""
    digits = catalog.token.asset.digits
    return {
        **batch_row_document(view.row, catalog, addresses),
        "contract": None if view.contract is None else addresses.text(view.contract),
        "to": addresses.text(view.to),
        "value_wei": str(view.value_wei),
        "gas_limit": view.gas_limit,
        "attempts": [_attempt(each) for each in view.attempts],
        "payments": [_payment(each, digits, addresses) for each in view.members],
    }


def spending_document(period: Period) -> SpendingDocument:
    """What a period cost, in all and by purpose."""
    return {
        "from": time_text(period.since),
        "to": time_text(period.before),
        "total": _spent(period.spending),
        "purposes": [{"purpose": each.purpose.value, **_spent([each])} for each in period.spending],
    }


def _attempt(attempt: AttemptView) -> AttemptDocument:
    return {
        "sequence": attempt.sequence,
        "tx_hash": hex_text(attempt.tx_hash),
        "max_fee_per_gas_wei": str(attempt.fees.max_fee_per_gas_wei),
        "max_priority_fee_per_gas_wei": str(attempt.fees.max_priority_fee_per_gas_wei),
        "fee_source": attempt.fee_source,
        "sends": attempt.sends,
        "last_answer": None if attempt.last_answer is None else attempt.last_answer.value,
        "last_message": attempt.last_message,
        "created_at": time_text(attempt.created_at),
        "last_sent_at": time_or_none(attempt.last_sent_at),
    }


def _payment(view: MemberView, digits: int, addresses: AddressCodec) -> PaymentDocument:
    record = view.member.record
    return {
        "transfer_id": encode_id(Prefix.TRANSFER, view.member.transfer_id),
        "payment_number": record.number,
        "beneficiary": addresses.text(record.beneficiary),
        "amount": format_minor(record.amount, digits),
        "outcome": view.outcome,
    }


def _spent(rows: Sequence[Spending]) -> SpentDocument:
    transactions = sum(each.transactions for each in rows)
    attempts = sum(each.attempts for each in rows)
    payments = sum(each.payments for each in rows)
    gas_used = sum(each.gas_used for each in rows)
    fees_wei = sum(each.fees_wei for each in rows)
    return {
        "transactions": transactions,
        "reverted": sum(each.reverted for each in rows),
        "attempts": attempts,
        "replaced": max(0, attempts - transactions),
        "payments": payments,
        "gas_used": gas_used,
        "fees_wei": str(fees_wei),
        "gas_per_payment": _per(gas_used, payments),
        "fee_wei_per_payment": text_or_none(_per(fees_wei, payments)),
    }


def _per(total: int | None, count: int) -> int | None:
    """A share, rounded up; None: of nothing, or among nobody."""
    return None if total is None or count == 0 else -(-total // count)


def text_or_none(number: int | None) -> str | None:
    """A number that passes 2^53, such as wei."""
    return None if number is None else str(number)


def time_or_none(moment: datetime | None) -> str | None:
    """A time that may not have come."""
    return None if moment is None else time_text(moment)
