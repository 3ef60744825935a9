"""Firm quotes."""

from typing import Final

from node.api import examples
from node.api.money import check_body
from node.api.operations import Call, Example, Operations
from node.api.price_views import (
    QuoteView,
    quote_view,
)
from node.api.schemas import QuoteBody
from node.core.errors import (
    AmountOutOfRange,
    ExposureLimitReached,
    LimitExceeded,
    LiquidityUnavailable,
    NotFound,
    Overloaded,
    PairNotOffered,
    QuotingHalted,
    RateUnavailable,
    TooManyQuotes,
)
from node.core.ids import Prefix, encode_id
from node.core.parties import Scope
from node.core.payout_orders import PartnerRefused, PartnerUnavailable
from node.core.ports.idempotency import Answer
from node.core.quotes import Quote, QuoteStatus
from node.core.units import parse_minor
from node.services.pricing.quoting import QuoteRequest

operations: Final = Operations("Quotes")


@operations.post(
    "/v1/quotes",
    scope=Scope.QUOTE,
    body=QuoteBody,
    answer=QuoteView,
    example=Example(examples.QUOTE, body=examples.QUOTE_BODY),
    refusals=(
        NotFound,
        PairNotOffered,
        AmountOutOfRange,
        TooManyQuotes,
        RateUnavailable,
        QuotingHalted,
        LimitExceeded,
        LiquidityUnavailable,
        ExposureLimitReached,
        PartnerRefused,
        PartnerUnavailable,
        Overloaded,
    ),
)
async def create_quote(call: Call[QuoteBody, None]) -> Answer:
    """Make a firm quote.

    Give the amount on exactly one side. What is quoted is what arrives, if a transfer consumes the
    quote before `expires_at`. Fees and spread are listed; `mid_rate` is the product of
    `rate_sources`.
    """
    body, catalog = call.body, call.services.catalog
    check_body(
        catalog.asset, body.sell.currency, body.sell.amount, pointer="/sell", read=parse_minor
    )
    check_body(catalog.asset, body.buy.currency, body.buy.amount, pointer="/buy", read=parse_minor)

    def render(quote: Quote) -> Answer:
        location = f"/v1/quotes/{encode_id(Prefix.QUOTE, quote.id)}"
        return call.answer(quote_view(quote, QuoteStatus.ACTIVE), location)

    return await call.services.quoting.create(
        call.principal,
        QuoteRequest(
            sell=body.sell.currency,
            buy=body.buy.currency,
            sell_amount=body.sell.amount,
            buy_amount=body.buy.amount,
            payout_method=body.payout.method,
            ttl_s=body.ttl_s,
            customer_id=body.customer_id,
            partner=body.payout.partner,
        ),
        call.claim,
        render,
    )


@operations.get(
    "/v1/quotes/{quote_id}",
    answer=QuoteView,
    example=Example(examples.QUOTE, path={"quote_id": examples.QUOTE_ID}),
    refusals=(NotFound,),
)
async def show_quote(call: Call[None, None]) -> Answer:
    """Show a quote.

    For ever, also when it has expired or was consumed.
    """
    quoting = call.services.quoting
    quote = await quoting.get(call.principal, call.parameters["quote_id"])
    return call.answer(quote_view(quote, quoting.status(quote)))
