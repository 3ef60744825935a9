"""What a row of a bulk transfer asks for: the quote and the transfer that a single order would."""

from uuid import UUID

from node.core.bulk import Order
from node.core.catalog import ONCHAIN
from node.core.ids import Prefix, encode_id
from node.core.parties import Principal
from node.core.partner_legs import PARTNER
from node.core.ports.transfers import Beneficiary
from node.services.pricing.quoting import QuoteRequest
from node.services.transfers.acceptance import TransferRequest


def quote_request(order: Order, ttl_s: int | None = None) -> QuoteRequest:
    """The quote that a row asks for."""
    return QuoteRequest(
        order.sell,
        order.buy,
        sell_amount=order.sell_amount,
        buy_amount=order.buy_amount,
        payout_method=PARTNER if order.is_paid_out else ONCHAIN,
        ttl_s=ttl_s,
        customer_id=encode_id(Prefix.CUSTOMER, order.customer_id),
    )


def transfer_request(principal: Principal, order: Order, quote_id: UUID) -> TransferRequest:
    """The transfer that a row asks for, on a quote that was made for it."""
    return TransferRequest(
        principal=principal,
        quote_id=quote_id,
        customer_id=order.customer_id,
        beneficiary=beneficiary_of(order),
        client_reference=order.client_reference,
        purpose=order.purpose,
        refund_policy=order.refund_policy,
    )


def beneficiary_of(order: Order) -> Beneficiary:
    """Whom a row pays."""
    return Beneficiary(order.name, order.country, order.address, order.account)
