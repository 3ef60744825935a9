"""The operations of a node, one method each, to be awaited.

Made by `scripts/client_types.py`; not to be edited.
"""

from collections.abc import AsyncIterator
from typing import Literal

from node.client.answers import (
    AliveView,
    AsOfListView,
    AssetView,
    BalanceView,
    BulkProgressView,
    BulkReportView,
    BulkRowView,
    BulkView,
    CorridorView,
    CostReportView,
    CustomerView,
    DeliveryDocument,
    DeliveryWithLogDocument,
    DepositAddressDocument,
    DepositDocument,
    EventView,
    MeDocument,
    MovementLineView,
    NewPartnerKeyDocument,
    PartnerBalanceDocument,
    PartnerContractDocument,
    PartnerDocument,
    PartnerKeyDocument,
    PartnerStatementView,
    PaymentRequestDocument,
    PayoutDocument,
    PrefundingDocument,
    PriceView,
    QuoteView,
    ReadyView,
    RedeliveredDocument,
    RefundDocument,
    SettlementReportView,
    ShownEndpointDocument,
    SigningKeyDocument,
    StatementView,
    TimelineView,
    TokenView,
    TopUpView,
    TransferView,
    WebhookEndpointDocument,
)
from node.client.asking import AsyncAsking
from node.client.bodies import (
    CustomerBody,
    KeyBody,
    PaymentRequestBody,
    PayoutBody,
    PayoutCorrectionBody,
    PayoutRefundBody,
    QuoteBody,
    RedeliverBody,
    RotationBody,
    SigningKeyBody,
    TopUpBody,
    TransferBody,
    TransferCorrectionBody,
    WebhookEndpointBody,
)
from node.client.calls import Call, in_path, new_key


class AsyncOperations(AsyncAsking):
    """See the OpenAPI document of the node."""

    async def create_quote(self, body: QuoteBody, *, key: str | None = None) -> QuoteView:
        """Make a firm quote."""
        return await self.ask(
            Call[QuoteView]("POST", "/v1/quotes", body=body, key=key or new_key())
        )

    async def show_quote(self, quote_id: str) -> QuoteView:
        """Show a quote."""
        return await self.ask(Call[QuoteView]("GET", f"/v1/quotes/{in_path(quote_id)}"))

    async def create_transfer(self, body: TransferBody, *, key: str | None = None) -> TransferView:
        """Send money on a firm quote."""
        return await self.ask(
            Call[TransferView]("POST", "/v1/transfers", body=body, key=key or new_key())
        )

    def list_transfers(
        self,
        *,
        limit: int | None = None,
        status: Literal[
            "processing",
            "action_required",
            "completed",
            "canceled",
            "failed",
            "expired",
            "refunded",
        ]
        | None = None,
        state: Literal[
            "funded",
            "submitted",
            "unknown",
            "included",
            "voiding",
            "payout_pending",
            "on_hold",
            "undeliverable",
            "settled",
            "paid_out",
            "canceled",
            "failed",
            "expired",
            "refunded",
        ]
        | None = None,
        customer_id: str | None = None,
        client_reference: str | None = None,
    ) -> AsyncIterator[TransferView]:
        """List transfers, newest first."""
        return self.pages(
            Call[TransferView](
                "GET",
                "/v1/transfers",
                query={
                    "limit": limit,
                    "status": status,
                    "state": state,
                    "customer_id": customer_id,
                    "client_reference": client_reference,
                },
            )
        )

    async def show_transfer(self, transfer_id: str) -> TransferView:
        """Show a transfer."""
        return await self.ask(Call[TransferView]("GET", f"/v1/transfers/{in_path(transfer_id)}"))

    async def cancel_transfer(self, transfer_id: str, *, key: str | None = None) -> TransferView:
        """Cancel a transfer."""
        return await self.ask(
            Call[TransferView](
                "POST",
                f"/v1/transfers/{in_path(transfer_id)}/cancel",
                body={},
                key=key or new_key(),
            )
        )

    def show_timeline(self, transfer_id: str) -> AsyncIterator[TimelineView]:
        """Show a transfer's timeline, oldest first."""
        return self.pages(Call[TimelineView]("GET", f"/v1/transfers/{in_path(transfer_id)}/events"))

    def list_events(
        self, *, after: int | None = None, limit: int | None = None
    ) -> AsyncIterator[EventView]:
        """List events of all own objects, ascending."""
        return self.pages(
            Call[EventView]("GET", "/v1/events", query={"after": after, "limit": limit})
        )

    async def correct_transfer(
        self, transfer_id: str, body: TransferCorrectionBody, *, key: str | None = None
    ) -> TransferView:
        """Give the beneficiary as it should have been, after the partner could not pay it."""
        return await self.ask(
            Call[TransferView](
                "POST",
                f"/v1/transfers/{in_path(transfer_id)}/correct",
                body=body,
                key=key or new_key(),
            )
        )

    async def refund_transfer(self, transfer_id: str, *, key: str | None = None) -> TransferView:
        """Ask the partner for the money back instead of the payout."""
        return await self.ask(
            Call[TransferView](
                "POST",
                f"/v1/transfers/{in_path(transfer_id)}/refund",
                body={},
                key=key or new_key(),
            )
        )

    def list_bulk_transfers(
        self,
        *,
        limit: int | None = None,
        status: Literal["processing", "completed", "rejected"] | None = None,
    ) -> AsyncIterator[BulkView]:
        """List bulk transfers, newest first: one's own, and all to operators."""
        return self.pages(
            Call[BulkView]("GET", "/v1/bulk-transfers", query={"limit": limit, "status": status})
        )

    async def show_bulk_transfer(self, bulk_id: str) -> BulkProgressView:
        """Show a bulk transfer: how far it is, and where its transfers are."""
        return await self.ask(
            Call[BulkProgressView]("GET", f"/v1/bulk-transfers/{in_path(bulk_id)}")
        )

    def list_bulk_rows(
        self,
        bulk_id: str,
        *,
        status: Literal["pending", "accepted", "rejected"] | None = None,
        after: int | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[BulkRowView]:
        """List rows in the order of the file."""
        return self.pages(
            Call[BulkRowView](
                "GET",
                f"/v1/bulk-transfers/{in_path(bulk_id)}/rows",
                query={"status": status, "after": after, "limit": limit},
            )
        )

    async def show_bulk_report(self, bulk_id: str) -> BulkReportView:
        """Show all of a bulk transfer: every row with what came of it."""
        return await self.ask(
            Call[BulkReportView]("GET", f"/v1/bulk-transfers/{in_path(bulk_id)}/report")
        )

    async def create_customer(self, body: CustomerBody, *, key: str | None = None) -> CustomerView:
        """Create a customer."""
        return await self.ask(
            Call[CustomerView]("POST", "/v1/customers", body=body, key=key or new_key())
        )

    def list_customers(self, *, limit: int | None = None) -> AsyncIterator[CustomerView]:
        """List customers, newest first."""
        return self.pages(Call[CustomerView]("GET", "/v1/customers", query={"limit": limit}))

    async def show_customer(self, customer_id: str) -> CustomerView:
        """Show a customer."""
        return await self.ask(Call[CustomerView]("GET", f"/v1/customers/{in_path(customer_id)}"))

    async def create_token(self, customer_id: str, *, key: str | None = None) -> TokenView:
        """Create a remitter's credential for a customer."""
        return await self.ask(
            Call[TokenView](
                "POST",
                f"/v1/customers/{in_path(customer_id)}/tokens",
                body={},
                key=key or new_key(),
            )
        )

    async def show_balances(
        self, customer_id: str, *, at: str | None = None, sequence: int | None = None
    ) -> AsOfListView[BalanceView]:
        """Show a customer's balances."""
        return await self.ask(
            Call[AsOfListView[BalanceView]](
                "GET",
                f"/v1/customers/{in_path(customer_id)}/balances",
                query={"at": at, "sequence": sequence},
            )
        )

    def list_movements(
        self, customer_id: str, *, limit: int | None = None, currency: str | None = None
    ) -> AsyncIterator[MovementLineView]:
        """List what moved a customer's balances, newest first."""
        return self.pages(
            Call[MovementLineView](
                "GET",
                f"/v1/customers/{in_path(customer_id)}/entries",
                query={"limit": limit, "currency": currency},
            )
        )

    async def create_top_up(
        self, customer_id: str, body: TopUpBody, *, key: str | None = None
    ) -> TopUpView:
        """Book money that arrived for a customer."""
        return await self.ask(
            Call[TopUpView](
                "POST",
                f"/v1/customers/{in_path(customer_id)}/top-ups",
                body=body,
                key=key or new_key(),
            )
        )

    def list_top_ups(
        self, customer_id: str, *, limit: int | None = None
    ) -> AsyncIterator[TopUpView]:
        """List a customer's top-ups, newest first."""
        return self.pages(
            Call[TopUpView](
                "GET", f"/v1/customers/{in_path(customer_id)}/top-ups", query={"limit": limit}
            )
        )

    async def show_top_up(self, customer_id: str, top_up_id: str) -> TopUpView:
        """Show a top-up."""
        return await self.ask(
            Call[TopUpView](
                "GET", f"/v1/customers/{in_path(customer_id)}/top-ups/{in_path(top_up_id)}"
            )
        )

    async def show_me(self) -> MeDocument:
        """Show whom the key stands for, and what it may do."""
        return await self.ask(Call[MeDocument]("GET", "/v1/me"))

    async def show_partner(self, partner_id: str) -> PartnerDocument:
        """Show a partner, and what is agreed with it."""
        return await self.ask(Call[PartnerDocument]("GET", f"/v1/partners/{in_path(partner_id)}"))

    def show_partner_balances(self, partner_id: str) -> AsyncIterator[PartnerBalanceDocument]:
        """Show a partner's own balances: what it paid in, what it uses of its credit line."""
        return self.pages(
            Call[PartnerBalanceDocument]("GET", f"/v1/partners/{in_path(partner_id)}/balances")
        )

    def list_prefundings(
        self, partner_id: str, *, limit: int | None = None
    ) -> AsyncIterator[PrefundingDocument]:
        """List what a partner paid in, newest first."""
        return self.pages(
            Call[PrefundingDocument](
                "GET", f"/v1/partners/{in_path(partner_id)}/prefundings", query={"limit": limit}
            )
        )

    async def create_key(
        self, partner_id: str, body: KeyBody, *, key: str | None = None
    ) -> NewPartnerKeyDocument:
        """Create a key of a partner."""
        return await self.ask(
            Call[NewPartnerKeyDocument](
                "POST", f"/v1/partners/{in_path(partner_id)}/keys", body=body, key=key or new_key()
            )
        )

    def list_keys(
        self, partner_id: str, *, limit: int | None = None
    ) -> AsyncIterator[PartnerKeyDocument]:
        """List the keys of a partner, newest first; never a secret."""
        return self.pages(
            Call[PartnerKeyDocument](
                "GET", f"/v1/partners/{in_path(partner_id)}/keys", query={"limit": limit}
            )
        )

    async def revoke_key(self, key_id: str, *, key: str | None = None) -> PartnerKeyDocument:
        """End a key of a partner for good; within a second no process accepts it."""
        return await self.ask(
            Call[PartnerKeyDocument](
                "POST", f"/v1/keys/{in_path(key_id)}/revoke", body={}, key=key or new_key()
            )
        )

    async def create_signing_key(
        self, partner_id: str, body: SigningKeyBody, *, key: str | None = None
    ) -> SigningKeyDocument:
        """Register a public key by which a partner signs its requests (RFC 9421)."""
        return await self.ask(
            Call[SigningKeyDocument](
                "POST",
                f"/v1/partners/{in_path(partner_id)}/signing-keys",
                body=body,
                key=key or new_key(),
            )
        )

    def list_signing_keys(
        self, partner_id: str, *, limit: int | None = None
    ) -> AsyncIterator[SigningKeyDocument]:
        """List the public keys of a partner, newest first."""
        return self.pages(
            Call[SigningKeyDocument](
                "GET", f"/v1/partners/{in_path(partner_id)}/signing-keys", query={"limit": limit}
            )
        )

    async def revoke_signing_key(
        self, signing_key_id: str, *, key: str | None = None
    ) -> SigningKeyDocument:
        """End a public key for good, at once."""
        return await self.ask(
            Call[SigningKeyDocument](
                "POST",
                f"/v1/signing-keys/{in_path(signing_key_id)}/revoke",
                body={},
                key=key or new_key(),
            )
        )

    async def show_customer_deposit_address(self, customer_id: str) -> DepositAddressDocument:
        """Show a customer's deposit address."""
        return await self.ask(
            Call[DepositAddressDocument](
                "GET", f"/v1/customers/{in_path(customer_id)}/deposit-address"
            )
        )

    async def show_own_deposit_address(self) -> DepositAddressDocument:
        """Show the deposit address of the partner that asks."""
        return await self.ask(Call[DepositAddressDocument]("GET", "/v1/deposit-address"))

    async def create_customer_payment_request(
        self, customer_id: str, body: PaymentRequestBody, *, key: str | None = None
    ) -> PaymentRequestDocument:
        """Ask for a payment to a customer."""
        return await self.ask(
            Call[PaymentRequestDocument](
                "POST",
                f"/v1/customers/{in_path(customer_id)}/payment-requests",
                body=body,
                key=key or new_key(),
            )
        )

    async def create_payment_request(
        self, body: PaymentRequestBody, *, key: str | None = None
    ) -> PaymentRequestDocument:
        """Ask for a payment to the partner or remitter that asks."""
        return await self.ask(
            Call[PaymentRequestDocument](
                "POST", "/v1/payment-requests", body=body, key=key or new_key()
            )
        )

    def list_payment_requests(
        self,
        *,
        limit: int | None = None,
        status: Literal["awaiting", "paid", "expired", "accepted"] | None = None,
        reference: str | None = None,
        customer_id: str | None = None,
    ) -> AsyncIterator[PaymentRequestDocument]:
        """List payment requests, newest first."""
        return self.pages(
            Call[PaymentRequestDocument](
                "GET",
                "/v1/payment-requests",
                query={
                    "limit": limit,
                    "status": status,
                    "reference": reference,
                    "customer_id": customer_id,
                },
            )
        )

    async def show_payment_request(self, request_id: str) -> PaymentRequestDocument:
        """Show a payment request, with other tokens that were sent to its address by mistake."""
        return await self.ask(
            Call[PaymentRequestDocument]("GET", f"/v1/payment-requests/{in_path(request_id)}")
        )

    async def accept_payment_request(
        self, request_id: str, *, key: str | None = None
    ) -> PaymentRequestDocument:
        """Accept what came of a payment request that expired."""
        return await self.ask(
            Call[PaymentRequestDocument](
                "POST",
                f"/v1/payment-requests/{in_path(request_id)}/accept",
                body={},
                key=key or new_key(),
            )
        )

    def list_customer_deposits(
        self,
        customer_id: str,
        *,
        limit: int | None = None,
        status: Literal["credited", "held", "unbooked", "resolved", "orphaned"] | None = None,
        payment_request_id: str | None = None,
    ) -> AsyncIterator[DepositDocument]:
        """List a customer's deposits, newest first."""
        return self.pages(
            Call[DepositDocument](
                "GET",
                f"/v1/customers/{in_path(customer_id)}/deposits",
                query={"limit": limit, "status": status, "payment_request_id": payment_request_id},
            )
        )

    def list_deposits(
        self,
        *,
        limit: int | None = None,
        status: Literal["credited", "held", "unbooked", "resolved", "orphaned"] | None = None,
        customer_id: str | None = None,
        payment_request_id: str | None = None,
    ) -> AsyncIterator[DepositDocument]:
        """List deposits, newest first."""
        return self.pages(
            Call[DepositDocument](
                "GET",
                "/v1/deposits",
                query={
                    "limit": limit,
                    "status": status,
                    "customer_id": customer_id,
                    "payment_request_id": payment_request_id,
                },
            )
        )

    async def show_deposit(self, deposit_id: str) -> DepositDocument:
        """Show a deposit."""
        return await self.ask(Call[DepositDocument]("GET", f"/v1/deposits/{in_path(deposit_id)}"))

    def list_partner_contracts(self, partner_id: str) -> AsyncIterator[PartnerContractDocument]:
        """List the settlement contracts that a partner pays out of, the oldest first."""
        return self.pages(
            Call[PartnerContractDocument]("GET", f"/v1/partners/{in_path(partner_id)}/contracts")
        )

    async def create_payout(self, body: PayoutBody, *, key: str | None = None) -> PayoutDocument:
        """Register a payout on a firm quote with payout method `bank`."""
        return await self.ask(
            Call[PayoutDocument]("POST", "/v1/payouts", body=body, key=key or new_key())
        )

    def list_payouts(
        self,
        *,
        limit: int | None = None,
        status: Literal[
            "pending_sender",
            "pending_receiver",
            "pending_external",
            "pending_customer_info_update",
            "completed",
            "refunded",
            "expired",
            "error",
        ]
        | None = None,
        client_reference: str | None = None,
        partner_id: str | None = None,
    ) -> AsyncIterator[PayoutDocument]:
        """List payouts, newest first: a partner its own, an operator all."""
        return self.pages(
            Call[PayoutDocument](
                "GET",
                "/v1/payouts",
                query={
                    "limit": limit,
                    "status": status,
                    "client_reference": client_reference,
                    "partner_id": partner_id,
                },
            )
        )

    async def show_payout(self, payout_id: str) -> PayoutDocument:
        """Show a payout, with the payment that matched it and its newest refund."""
        return await self.ask(Call[PayoutDocument]("GET", f"/v1/payouts/{in_path(payout_id)}"))

    async def refund_payout(
        self, payout_id: str, body: PayoutRefundBody | None = None, *, key: str | None = None
    ) -> PayoutDocument:
        """Send a payout's money back instead of paying it out."""
        return await self.ask(
            Call[PayoutDocument](
                "POST",
                f"/v1/payouts/{in_path(payout_id)}/refund",
                body=body or {},
                key=key or new_key(),
            )
        )

    async def correct_payout(
        self, payout_id: str, body: PayoutCorrectionBody, *, key: str | None = None
    ) -> PayoutDocument:
        """Give the beneficiary as it should have been, after the bank has refused it."""
        return await self.ask(
            Call[PayoutDocument](
                "POST", f"/v1/payouts/{in_path(payout_id)}/correct", body=body, key=key or new_key()
            )
        )

    async def show_refund(self, refund_id: str) -> RefundDocument:
        """Show a refund: money of a payout on its way back on the chain."""
        return await self.ask(Call[RefundDocument]("GET", f"/v1/refunds/{in_path(refund_id)}"))

    async def create_webhook_endpoint(
        self, body: WebhookEndpointBody, *, key: str | None = None
    ) -> ShownEndpointDocument:
        """Have events sent to a URL."""
        return await self.ask(
            Call[ShownEndpointDocument](
                "POST", "/v1/webhook-endpoints", body=body, key=key or new_key()
            )
        )

    def list_webhook_endpoints(
        self, *, limit: int | None = None, status: Literal["active", "disabled"] | None = None
    ) -> AsyncIterator[WebhookEndpointDocument]:
        """List webhook endpoints, newest first."""
        return self.pages(
            Call[WebhookEndpointDocument](
                "GET", "/v1/webhook-endpoints", query={"limit": limit, "status": status}
            )
        )

    async def show_webhook_endpoint(self, endpoint_id: str) -> WebhookEndpointDocument:
        """Show a webhook endpoint; never its secret."""
        return await self.ask(
            Call[WebhookEndpointDocument]("GET", f"/v1/webhook-endpoints/{in_path(endpoint_id)}")
        )

    async def rotate_webhook_secret(
        self, endpoint_id: str, body: RotationBody | None = None, *, key: str | None = None
    ) -> ShownEndpointDocument:
        """Make a new secret and a new Ed25519 key."""
        return await self.ask(
            Call[ShownEndpointDocument](
                "POST",
                f"/v1/webhook-endpoints/{in_path(endpoint_id)}/rotate-secret",
                body=body or {},
                key=key or new_key(),
            )
        )

    async def disable_webhook_endpoint(self, endpoint_id: str) -> WebhookEndpointDocument:
        """Send nothing more to it."""
        return await self.ask(
            Call[WebhookEndpointDocument](
                "POST",
                f"/v1/webhook-endpoints/{in_path(endpoint_id)}/disable",
                body={},
                is_harmless=True,
            )
        )

    async def enable_webhook_endpoint(self, endpoint_id: str) -> WebhookEndpointDocument:
        """Send the events from now on to it."""
        return await self.ask(
            Call[WebhookEndpointDocument](
                "POST",
                f"/v1/webhook-endpoints/{in_path(endpoint_id)}/enable",
                body={},
                is_harmless=True,
            )
        )

    async def test_webhook_endpoint(
        self, endpoint_id: str, *, key: str | None = None
    ) -> DeliveryDocument:
        """Send a `webhook.test`."""
        return await self.ask(
            Call[DeliveryDocument](
                "POST",
                f"/v1/webhook-endpoints/{in_path(endpoint_id)}/test",
                body={},
                key=key or new_key(),
            )
        )

    def list_webhook_deliveries(
        self,
        endpoint_id: str,
        *,
        limit: int | None = None,
        status: Literal["pending", "delivered", "dead", "canceled"] | None = None,
    ) -> AsyncIterator[DeliveryDocument]:
        """List what was and is to be sent to an endpoint, newest first."""
        return self.pages(
            Call[DeliveryDocument](
                "GET",
                f"/v1/webhook-endpoints/{in_path(endpoint_id)}/deliveries",
                query={"limit": limit, "status": status},
            )
        )

    async def show_webhook_delivery(self, delivery_id: str) -> DeliveryWithLogDocument:
        """Show a delivery with the log of its attempts."""
        return await self.ask(
            Call[DeliveryWithLogDocument]("GET", f"/v1/webhook-deliveries/{in_path(delivery_id)}")
        )

    async def redeliver_webhook(
        self, delivery_id: str, *, key: str | None = None
    ) -> DeliveryDocument:
        """Send a delivery again, with the same `webhook-id`, whatever came of it before."""
        return await self.ask(
            Call[DeliveryDocument](
                "POST",
                f"/v1/webhook-deliveries/{in_path(delivery_id)}/redeliver",
                body={},
                key=key or new_key(),
            )
        )

    async def redeliver_webhooks_since(
        self, endpoint_id: str, body: RedeliverBody, *, key: str | None = None
    ) -> RedeliveredDocument:
        """Send the events after a sequence, those that were sent and those that were missed."""
        return await self.ask(
            Call[RedeliveredDocument](
                "POST",
                f"/v1/webhook-endpoints/{in_path(endpoint_id)}/redeliver-since",
                body=body,
                key=key or new_key(),
            )
        )

    async def show_statement(
        self,
        customer_id: str,
        *,
        at: str | None = None,
        sequence: int | None = None,
        currency: str | None = None,
        from_: str | None = None,
        to: str | None = None,
    ) -> StatementView:
        """Show a customer's statement of some days."""
        return await self.ask(
            Call[StatementView](
                "GET",
                f"/v1/customers/{in_path(customer_id)}/statement",
                query={
                    "at": at,
                    "sequence": sequence,
                    "currency": currency,
                    "from": from_,
                    "to": to,
                },
            )
        )

    async def show_partner_statement(
        self,
        partner_id: str,
        *,
        at: str | None = None,
        sequence: int | None = None,
        currency: str | None = None,
        from_: str | None = None,
        to: str | None = None,
    ) -> PartnerStatementView:
        """Show the statement of a partner's own balance."""
        return await self.ask(
            Call[PartnerStatementView](
                "GET",
                f"/v1/partners/{in_path(partner_id)}/statement",
                query={
                    "at": at,
                    "sequence": sequence,
                    "currency": currency,
                    "from": from_,
                    "to": to,
                },
            )
        )

    async def show_transfer_report(
        self, *, from_: str | None = None, to: str | None = None
    ) -> CostReportView:
        """Show fees and exchange of each transfer accepted on some days."""
        return await self.ask(
            Call[CostReportView]("GET", "/v1/reports/transfers", query={"from": from_, "to": to})
        )

    async def show_settlement_report(
        self, *, from_: str | None = None, to: str | None = None
    ) -> SettlementReportView:
        """Show the payouts of some days, each with transaction hash, block and payment number."""
        return await self.ask(
            Call[SettlementReportView](
                "GET", "/v1/reports/settlement", query={"from": from_, "to": to}
            )
        )

    def list_assets(self) -> AsyncIterator[AssetView]:
        """List the assets."""
        return self.pages(Call[AssetView]("GET", "/v1/assets"))

    def list_corridors(self) -> AsyncIterator[CorridorView]:
        """List the corridors."""
        return self.pages(Call[CorridorView]("GET", "/v1/corridors"))

    async def show_price(
        self,
        *,
        sell: str | None = None,
        buy: str | None = None,
        sell_amount: str | None = None,
        buy_amount: str | None = None,
    ) -> PriceView:
        """Show a price."""
        return await self.ask(
            Call[PriceView](
                "GET",
                "/v1/prices",
                query={
                    "sell": sell,
                    "buy": buy,
                    "sell_amount": sell_amount,
                    "buy_amount": buy_amount,
                },
            )
        )

    async def show_alive(self) -> AliveView:
        """Say that the process answers."""
        return await self.ask(Call[AliveView]("GET", "/healthz"))

    async def show_ready(self) -> ReadyView:
        """Say whether the node can do its work."""
        return await self.ask(Call[ReadyView]("GET", "/readyz"))
