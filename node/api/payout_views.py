"""What answers about payouts for partners and their refunds look like. See `views`."""

from collections.abc import Mapping

from typing_extensions import TypedDict

from node.api.views import (
    FailureView,
    FeeView,
    MoneyView,
    fee_views,
    hex_text,
    id_or_none,
    money_view,
    time_text,
)
from node.core.catalog import Catalog
from node.core.ids import Prefix, encode_id
from node.core.payouts import (
    PAYOUT_STATUS,
    BankAccount,
    Matched,
    PartnerContract,
    Payout,
    Person,
    Refund,
    masked,
    masked_name,
    order_id,
)
from node.core.ports.chain import AddressCodec
from node.core.units import Asset, Money


class PartnerContractDocument(TypedDict):
    """A settlement contract that a partner pays out of.

    Money of payouts goes back to `address` or to `refund_address`, and nowhere else.
    """

    partner_id: str
    chain_id: int
    address: str
    refund_address: str | None
    registered_by: str
    created_at: str


class PayoutDepositDocument(TypedDict):
    """Where and how much the partner pays on chain, in one Transfer or several.

    `amount` of `currency`, the token `token`, in blocks mined until `pay_by`.
    """

    chain_id: int
    token: str
    address: str
    currency: str
    amount: str
    pay_by: str


class PayoutAccountDocument(TypedDict):
    """An account at a bank; only the end of `number` is shown."""

    type: str
    number: str
    bank_code: str


class PayoutPersonDocument(TypedDict):
    """Who is paid. Names and account numbers are masked in every answer."""

    type: str
    name: str
    country: str
    account: PayoutAccountDocument | None


class MatchedDocument(TypedDict):
    """The deposit that paid, with the payment number of the `Settled` right after it."""

    deposit_id: str
    tx_hash: str
    block_number: int
    log_index: int
    contract: str
    settlement_number: int
    amount: str


class PayoutRailDocument(TypedDict):
    """The bank that pays, and which order this is, from 1; a correction makes the next."""

    name: str
    order_id: str
    attempt: int


class RefundDocument(TypedDict):
    """Money of a payout on its way back on chain.

    `status` is pending (set aside), sent (a transfer pays it), completed (final) or failed (the
    partner's balance has it). `reason` is short, late, refused or asked. `contract` and
    `payment_number` are of the `Settled` that pays it, `tx_hash` and `block_number` where it is.
    """

    id: str
    payout_id: str
    partner_id: str
    status: str
    reason: str
    currency: str
    amount: str
    address: str
    transfer_id: str | None
    contract: str | None
    payment_number: int | None
    tx_hash: str | None
    block_number: int | None
    failure: FailureView | None
    created_at: str


class PayoutDocument(TypedDict):
    """A payout for a partner: `status` is the stable word (SEP-31), `state` the precise one.

    pending_sender: awaiting_payment. pending_receiver: matched, or refunding. pending_external:
    ordered. pending_customer_info_update: refused. completed: paid_out. refunded, expired: as
    they say. error: on_hold. `flags`: paid_late, overpaid, short, too_late, returned.
    `received` is what came in final blocks.
    """

    id: str
    status: str
    state: str
    flags: list[str]
    partner_id: str
    quote_id: str
    client_reference: str
    reference: str
    sell: MoneyView
    buy: MoneyView
    fees: list[FeeView]
    deposit: PayoutDepositDocument
    received: str
    beneficiary: PayoutPersonDocument
    purpose: str | None
    refund_policy: str
    refund_address: str
    matched: MatchedDocument | None
    rail: PayoutRailDocument
    refund: RefundDocument | None
    failure: FailureView | None
    created_at: str
    updated_at: str


def partner_contract_document(
    contract: PartnerContract, addresses: AddressCodec
) -> PartnerContractDocument:
    """A registered contract."""
    refund_address = contract.refund_address
    return {
        "partner_id": encode_id(Prefix.PARTNER, contract.partner_id),
        "chain_id": contract.chain_id,
        "address": addresses.text(contract.address),
        "refund_address": None if refund_address is None else addresses.text(refund_address),
        "registered_by": contract.registered_by,
        "created_at": time_text(contract.created_at),
    }


def payout_document(payout: Payout, catalog: Catalog, addresses: AddressCodec) -> PayoutDocument:
    """A payout."""
    amounts = payout.amounts
    token, buy_asset = catalog.asset(amounts.sell_asset), catalog.asset(amounts.buy_asset)
    service, network = (
        Money(minor, token) for minor in (amounts.service_fee_minor, amounts.network_fee_minor)
    )
    return {
        "id": encode_id(Prefix.PAYOUT, payout.id),
        "status": PAYOUT_STATUS[payout.state].value,
        "state": payout.state.value,
        "flags": sorted(payout.flags),
        "partner_id": encode_id(Prefix.PARTNER, payout.partner_id),
        "quote_id": encode_id(Prefix.QUOTE, payout.quote_id),
        "client_reference": payout.client_reference,
        "reference": payout.reference,
        "sell": money_view(Money(amounts.sell, token)),
        "buy": money_view(Money(amounts.buy, buy_asset)),
        "fees": fee_views(service, network),
        "deposit": {
            "chain_id": payout.chain_id,
            "token": addresses.text(catalog.token.address),
            "address": addresses.text(payout.address),
            "currency": token.code,
            "amount": str(Money(amounts.sell, token)),
            "pay_by": time_text(payout.pay_by),
        },
        "received": str(Money(payout.received, token)),
        "beneficiary": _person(payout.beneficiary),
        "purpose": payout.purpose,
        "refund_policy": payout.refund_policy.value,
        "refund_address": addresses.text(payout.refund_address),
        "matched": None if payout.matched is None else _matched(payout.matched, token, addresses),
        "rail": {
            "name": payout.rail,
            "order_id": order_id(payout),
            "attempt": payout.attempt,
        },
        "refund": None
        if payout.refund is None
        else refund_document(payout.refund, catalog, addresses),
        "failure": None if payout.failure is None else _failure(payout.failure),
        "created_at": time_text(payout.created_at),
        "updated_at": time_text(payout.updated_at),
    }


def refund_document(refund: Refund, catalog: Catalog, addresses: AddressCodec) -> RefundDocument:
    """A refund."""
    contract = refund.contract
    return {
        "id": encode_id(Prefix.REFUND, refund.id),
        "payout_id": encode_id(Prefix.PAYOUT, refund.payout_id),
        "partner_id": encode_id(Prefix.PARTNER, refund.partner_id),
        "status": refund.state.value,
        "reason": refund.reason.value,
        "currency": refund.asset,
        "amount": str(Money(refund.amount, catalog.asset(refund.asset))),
        "address": addresses.text(refund.address),
        "transfer_id": id_or_none(Prefix.TRANSFER, refund.transfer_id),
        "contract": None if contract is None else addresses.text(contract),
        "payment_number": refund.payment_number,
        "tx_hash": None if refund.tx_hash is None else hex_text(refund.tx_hash),
        "block_number": refund.block_number,
        "failure": None if refund.failure is None else _failure(refund.failure),
        "created_at": time_text(refund.created_at),
    }


def _matched(matched: Matched, token: Asset, addresses: AddressCodec) -> MatchedDocument:
    return {
        "deposit_id": encode_id(Prefix.DEPOSIT, matched.deposit_id),
        "tx_hash": hex_text(matched.tx_hash),
        "block_number": matched.block_number,
        "log_index": matched.log_index,
        "contract": addresses.text(matched.contract),
        "settlement_number": matched.settlement_number,
        "amount": str(Money(matched.amount, token)),
    }


def _person(person: Person) -> PayoutPersonDocument:
    return {
        "type": person.type,
        "name": masked_name(person.name),
        "country": person.country,
        "account": None if person.account is None else _account(person.account),
    }


def _account(account: BankAccount) -> PayoutAccountDocument:
    return {
        "type": "bank",
        "number": masked(account.number),
        "bank_code": account.bank_code,
    }


def _failure(failure: Mapping[str, str]) -> FailureView:
    return {"code": failure["code"], "message": failure["message"]}
