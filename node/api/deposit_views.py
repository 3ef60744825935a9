"""What answers about deposits and payment requests look like. See `views`."""

from typing_extensions import TypedDict

from node.api.views import hex_text, id_or_none, time_text
from node.core.catalog import Catalog
from node.core.deposits import Deposit, DepositAddress, Owner, PaymentRequest, StraySeen
from node.core.ids import Prefix, encode_id
from node.core.ports.chain import AddressCodec
from node.core.units import format_minor


class DepositAddressDocument(TypedDict):
    """Where tokens can be sent to: whatever arrives is its owner's once it is final.

    Only `token`, on the chain `chain_id`. One of `customer_id` and `partner_id` is null.
    """

    address: str
    chain_id: int
    currency: str
    token: str
    customer_id: str | None
    partner_id: str | None
    created_at: str


class OtherTokenDocument(TypedDict):
    """A Transfer of another token to the address. It pays nothing; `raw_amount` is its log's."""

    token: str
    raw_amount: str
    tx_hash: str
    block_number: int
    log_index: int


class PaymentRequestDocument(TypedDict):
    """What an owner asked to be paid. Its address is its reference on the chain.

    `status` is awaiting, paid, expired or accepted; an expired one becomes paid by a deposit within
    the grace. `flags`: short, tolerated, overpaid, paid_late, too_late, duplicate, too_large.
    `received` is what came; `held` is what of it waits for the rest, or for a person; `surplus` is
    what the deposit that paid it brought above `amount`. `other_tokens` is null in lists.
    """

    id: str
    status: str
    flags: list[str]
    customer_id: str | None
    partner_id: str | None
    reference: str
    currency: str
    amount: str
    received: str
    held: str
    surplus: str
    address: str
    chain_id: int
    token: str
    created_at: str
    expires_at: str
    other_tokens: list[OtherTokenDocument] | None


class DepositDocument(TypedDict):
    """A final transfer of the token to an address of the node.

    `status` is credited (its owner has it), held, unbooked (no entry can hold so much), resolved
    (operators gave it to no owner: it is the node's, or was sent back) or orphaned (its block was
    replaced). `from_address` means nothing: whose it is follows from `to_address`, which is null,
    as `payment_request_id` is, where an operator gave you what came to another's address.
    `ledger_sequence` brought it in, `credited_sequence` took it out of suspense.
    """

    id: str
    status: str
    flags: list[str]
    customer_id: str | None
    partner_id: str | None
    payment_request_id: str | None
    currency: str
    amount: str
    from_address: str
    to_address: str | None
    chain_id: int
    tx_hash: str
    log_index: int
    block_number: int
    block_hash: str
    mined_at: str
    ledger_sequence: int | None
    credited_sequence: int | None
    break_id: str | None
    created_at: str


def deposit_address_document(
    found: DepositAddress, catalog: Catalog, addresses: AddressCodec
) -> DepositAddressDocument:
    """A standing address."""
    customer_id, partner_id = _owner_ids(found.owner)
    return {
        "address": addresses.text(found.address),
        "chain_id": found.chain_id,
        "currency": catalog.token.asset.code,
        "token": addresses.text(catalog.token.address),
        "customer_id": customer_id,
        "partner_id": partner_id,
        "created_at": time_text(found.created_at),
    }


def payment_request_document(
    request: PaymentRequest, catalog: Catalog, addresses: AddressCodec, *, is_whole: bool
) -> PaymentRequestDocument:
    """A payment request; other tokens are looked up only where one is shown."""
    digits = catalog.asset(request.asset).digits
    customer_id, partner_id = _owner_ids(request.owner)
    return {
        "id": encode_id(Prefix.PAYMENT_REQUEST, request.id),
        "status": request.status.value,
        "flags": sorted(request.flags),
        "customer_id": customer_id,
        "partner_id": partner_id,
        "reference": request.reference,
        "currency": request.asset,
        "amount": format_minor(request.amount, digits),
        "received": format_minor(request.received, digits),
        "held": format_minor(request.held, digits),
        "surplus": format_minor(request.surplus, digits),
        "address": addresses.text(request.address),
        "chain_id": request.chain_id,
        "token": addresses.text(catalog.token.address),
        "created_at": time_text(request.created_at),
        "expires_at": time_text(request.expires_at),
        "other_tokens": [_other_token(each, addresses) for each in request.strays]
        if is_whole
        else None,
    }


def deposit_document(
    deposit: Deposit, catalog: Catalog, addresses: AddressCodec
) -> DepositDocument:
    """A deposit."""
    customer_id, partner_id = _owner_ids(deposit.owner or Owner())
    return {
        "id": encode_id(Prefix.DEPOSIT, deposit.id),
        "status": deposit.status.value,
        "flags": sorted(deposit.flags),
        "customer_id": customer_id,
        "partner_id": partner_id,
        "payment_request_id": id_or_none(Prefix.PAYMENT_REQUEST, deposit.request_id),
        "currency": deposit.asset,
        "amount": format_minor(deposit.amount, catalog.asset(deposit.asset).digits),
        "from_address": addresses.text(deposit.from_address),
        "to_address": None if deposit.to_address is None else addresses.text(deposit.to_address),
        "chain_id": deposit.chain_id,
        "tx_hash": hex_text(deposit.tx_hash),
        "log_index": deposit.log_index,
        "block_number": deposit.block_number,
        "block_hash": hex_text(deposit.block_hash),
        "mined_at": time_text(deposit.mined_at),
        "ledger_sequence": deposit.ledger_sequence,
        "credited_sequence": deposit.credited_sequence,
        "break_id": id_or_none(Prefix.BREAK, deposit.break_id),
        "created_at": time_text(deposit.created_at),
    }


def _other_token(stray: StraySeen, addresses: AddressCodec) -> OtherTokenDocument:
    return {
        "token": addresses.text(stray.token),
        "raw_amount": str(stray.amount),
        "tx_hash": hex_text(stray.tx_hash),
        "block_number": stray.block_number,
        "log_index": stray.log_index,
    }


def _owner_ids(owner: Owner) -> tuple[str | None, str | None]:
    return (
        id_or_none(Prefix.CUSTOMER, owner.customer_id),
        id_or_none(Prefix.PARTNER, owner.partner_id),
    )
