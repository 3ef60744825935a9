"""A node whose transfers a partner pays out, over a real chain and books; the partner is a fake."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self
from uuid import UUID

import orjson
import pytest

from adapters.evm.addresses import Eip55
from adapters.evm.proofs import SettledNextTo
from adapters.machine import SystemClock, new_id
from node.core.catalog import Catalog, TokenInfo
from node.core.ids import Prefix, decode_id, encode_id
from node.core.ledger import customer_account, partner_clearing_account
from node.core.parties import Partner
from node.core.partner_legs import PARTNER
from node.core.payout_orders import ChangeKind, Payee
from node.core.payouts import BankAccount
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import Beneficiary, Transfer
from node.core.quotes import Quote, QuoteStatus
from node.core.settlement import PaymentRecord, encode_records
from node.core.transfers import State
from node.core.units import TxHash
from node.core.webhooks import Message, secret_text, sign
from node.services.ledger.verifying import VerifyService
from node.services.payouts.changing import ChangeAsk, PayoutChanging
from node.services.payouts.following import PayoutFollowing
from node.services.payouts.ordering import PayoutOrdering, PayoutOrderTerms
from node.services.payouts.partner_quotes import PartnerQuotes
from node.services.pricing.quoting import QuoteLimits, QuoteRequest, QuoteService
from node.services.pricing.rates import Rates
from node.services.transfers.acceptance import (
    Acceptance,
    SettlementTarget,
    Submission,
    TransferRequest,
)
from node.services.transfers.transfers import TransferService
from tests.builders import CHAIN_ID, render, render_error
from tests.fake_partner import ACCOUNT, CONTRACT, FakePartner
from tests.mirrored import DEPTH_BLOCKS, MirroredNode, failing
from tests.quoting import PublishedRates, a_catalog
from tests.services.receiving import deploy_contract
from tests.services.settling import Killed

LIMITS = QuoteLimits(ttl_s=60, active_max=50)
EUR_200 = QuoteRequest("EUR", "PHP", sell_amount="200.00", payout_method=PARTNER)
PHP_5000 = QuoteRequest("EUR", "PHP", buy_amount="5000.00", payout_method=PARTNER)


def quote_answer(quote: Quote) -> Answer:
    return Answer(201, orjson.dumps({"id": encode_id(Prefix.QUOTE, quote.id)}))


@dataclass
class Partnered:
    """The sending node.

    Attributes:
        source: The node's own rates.
        at: Called at every window.
    """

    node: MirroredNode
    partner: FakePartner
    partner_id: UUID
    source: PublishedRates = field(default_factory=PublishedRates)
    at: Callable[[str], None] = lambda _: None

    @classmethod
    async def over(cls, node: MirroredNode) -> Self:
        """The node knows the partner, and has read its rates."""
        known = Partner(new_id(), "manila", SystemClock().now())
        async with node.ledger.units() as unit:
            await unit.parties.add_partner(known)
        return cls(node, FakePartner(CHAIN_ID, node.watch.token), known.id)

    @property
    def terms(self) -> PayoutOrderTerms:
        return PayoutOrderTerms(CHAIN_ID, self.node.watch.token, self.node.watch.contract)

    @property
    def catalog(self) -> Catalog:
        """What the node offers."""
        offer = a_catalog(None)
        return replace(offer, token=TokenInfo(offer.token.asset, CHAIN_ID, self.node.watch.token))

    async def one_leg(self) -> QuoteService:
        """Quotes of one leg as a new process has them."""
        units, catalog = self.node.ledger.units, self.catalog
        rates = Rates([self.source], catalog.pricing)
        async with units() as unit:
            now = unit.now
        await rates.refresh(now)
        return QuoteService(
            units=units,
            catalog=catalog,
            rates=rates,
            target=self.target,
            limits=LIMITS,
            clock=SystemClock(),
            new_id=new_id,
        )

    async def quoting(self, service: QuoteService | None = None) -> PartnerQuotes:
        """Quotes as a new process has them."""
        service, units = service or await self.one_leg(), self.node.ledger.units
        return PartnerQuotes(units, service, self.catalog, [self.partner], LIMITS.ttl_s)

    @property
    def target(self) -> SettlementTarget:
        return replace(self.node.ledger.target, pays_by_partners=True)

    @property
    def acceptance(self) -> Acceptance:
        """What accepts transfers, as a new process has it."""
        return Acceptance(self.node.ledger.units, self.target, Eip55(), new_id)

    @property
    def ordering(self) -> PayoutOrdering:
        """What registers payouts, as a new process has it."""
        units = self.node.ledger.units
        return PayoutOrdering(units, [self.partner], self.terms, new_id, self.at)

    @property
    def transfers(self) -> TransferService:
        """Transfers as a new process has them."""
        ledger = self.node.ledger
        prepare = self.ordering.prepare
        return TransferService(ledger.units, self.acceptance, ledger.check_unpaid, prepare)

    @property
    def following(self) -> PayoutFollowing:
        """The job as a new process has it."""
        units = self.node.ledger.units
        proofs = SettledNextTo(self.node.providers, self.node.watch.token)
        peers, clock = [self.partner], SystemClock()
        return PayoutFollowing(units, peers, self.terms, new_id, proofs, clock, self.at)

    @property
    def changing(self) -> PayoutChanging:
        """What senders ask of the partner, as a new process has it."""
        return PayoutChanging(self.node.ledger.units, [self.partner], self.following, self.at)

    async def quote(self, request: QuoteRequest = EUR_200, key: str | None = None) -> Quote:
        """A firm quote, as it is stored."""
        payer = self.node.payer
        claim = None if key is None else Claim(payer.key, "POST", "/v1/quotes", key, b"q" * 32)
        quoting = await self.quoting()
        answer = await quoting.create(payer, request, claim, quote_answer)
        return await quoting.get(payer, orjson.loads(answer.body)["id"])

    async def status(self, quote: Quote) -> QuoteStatus:
        """Where it stands now."""
        async with self.node.ledger.units() as unit:
            found = await unit.quotes.get(quote.id)
            assert found is not None
            return found.status(unit.now)

    def submission(
        self,
        quote: Quote,
        *,
        key: str | None = None,
        name: str = "Jose",
        account: BankAccount | None = ACCOUNT,
        **more: Any,
    ) -> Submission:
        """A request to send at a quote."""
        payer = self.node.payer
        assert payer.customer_id is not None
        claim = Claim(payer.key, "POST", "/v1/transfers", key or str(new_id()), b"t" * 32)
        request = TransferRequest(
            payer, quote.id, payer.customer_id, Beneficiary(name, "PH", "", account), **more
        )
        return Submission(request, claim, render, render_error)

    async def accepted(self, quote: Quote | None = None, **changes: Any) -> Transfer:
        """An accepted transfer."""
        quote = quote or await self.quote()
        answer = await self.transfers.create(self.submission(quote, **changes))
        assert answer.status == 201, answer
        return await self.again(decode_id(Prefix.TRANSFER, orjson.loads(answer.body)["id"]))

    async def again(self, transfer_id: UUID) -> Transfer:
        """The transfer as it is now."""
        async with self.node.ledger.units() as unit:
            found = await unit.transfers.get(transfer_id)
        assert found is not None
        return found

    async def sent(self, transfer: Transfer) -> Transfer:
        """Sign it and hand it to the chain; it waits for a block."""
        worker, found = await self.node.settlement(), transfer
        for _ in range(20):
            await worker.run_once()
            found = await self.again(transfer.id)
            if found.state is State.SUBMITTED and self.node.pool():
                return found
        raise AssertionError(f"not sent: {found}")

    async def at_partner(self, transfer: Transfer | None = None) -> Transfer:
        """A transfer whose payment to the partner is final."""
        transfer = transfer or await self.accepted()
        await self.sent(transfer)
        self.node.mine(1 + DEPTH_BLOCKS)
        await self.node.follow()
        return await self.again(transfer.id)

    def payout_id(self, transfer: Transfer) -> str:
        """As the partner names it."""
        assert transfer.payout is not None
        return transfer.payout.payout_id

    async def paid_out(self, transfer: Transfer) -> Transfer:
        """The partner pays it out, and the node learns of it."""
        assert transfer.tx_hash is not None
        self.partner.has_paid(self.payout_id(transfer), transfer.tx_hash, transfer.payment_number)
        await self.ask()
        return await self.again(transfer.id)

    def sends_back(self, *records: tuple[int, int]) -> TxHash:
        """The partner's contract pays the node's; mined, and not final yet.

        Args:
            records: Payment number and amount of each payment, all in one transaction.
        """
        onchain = self.node.onchain
        if self.partner.contract == CONTRACT:
            self.partner.contract = deploy_contract(self.node)
        to = onchain.contract
        paid = encode_records([PaymentRecord(number, to, amount) for number, amount in records])
        onchain.send(self.partner.contract, "settle(bytes)", paid)
        return self.newest_hash()

    def newest_hash(self) -> TxHash:
        """Of the first transaction of the newest block."""
        block = self.node.onchain.anvil.rpc("eth_getBlockByNumber", "latest", False)
        return TxHash(bytes.fromhex(block["transactions"][0][2:]))

    async def asks_for(
        self, transfer: Transfer, kind: ChangeKind, payee: Payee | None = None, key: str = "k"
    ) -> Answer:
        """The sender asks the partner to change the payout of a transfer."""
        payer, path = self.node.payer, f"/v1/transfers/x/{kind}"
        claim = Claim(payer.key, "POST", path, key, repr(payee).encode().ljust(32)[:32])
        ask = ChangeAsk(payer, encode_id(Prefix.TRANSFER, transfer.id), kind, payee)
        return await self.changing.ask(ask, claim, render, render_error)

    async def asks_due(self) -> int:
        """One pass of the job that asks again, whatever time it is."""
        await self.node.execute("UPDATE payout_change SET ask_at = now() WHERE state = 'asking'")
        return await self.changing.run_once()

    async def dies_at(self, window: str, doing: Callable[[], Awaitable[object]]) -> None:
        """Do something, and be killed at a window."""

        def die(name: str) -> None:
            if name == window:
                raise Killed(name)

        self.at = die
        with pytest.raises(Killed):
            await doing()
        self.at = lambda _: None

    async def ask_again(self, transfer: Transfer) -> None:
        """An operator has the partner asked."""
        await self.following.ask_again(
            encode_id(Prefix.TRANSFER, transfer.id), None, render, render_error
        )

    async def hears(self, transfer: Transfer) -> None:
        """A webhook of the partner comes about a transfer's payout."""
        secret = b"\x5e" * 32
        self.partner.keys = (secret_text(secret),)
        event = {"object": "payout", "object_id": self.payout_id(transfer)}
        body = orjson.dumps({"type": "payout.paid_out", "data": event})
        message = Message("del_1", int(SystemClock().now().timestamp()), body)
        headers = {
            "webhook-id": message.id,
            "webhook-timestamp": str(message.timestamp_s),
            "webhook-signature": sign(secret, message),
        }
        await self.following.hear("manila", headers, body)

    async def ask(self) -> int:
        """One pass of the job, whatever time it is."""
        await self.node.execute("UPDATE payout_order SET ask_at = now()")
        return await self.following.run_once()

    async def clearing(self) -> int:
        """What the partner holds, by the ledger."""
        path = partner_clearing_account(self.partner_id, "USDC")
        return (await self.node.balance(path)).posted

    async def customer(self) -> tuple[int, int]:
        """Posted and available balance of the payer."""
        assert self.node.payer.customer_id is not None
        path = customer_account(self.node.payer.customer_id, "EUR")
        found = await self.node.balance(path)
        return found.posted, found.available

    async def assert_sound(self) -> None:
        """A full reconciliation and the proof of the books find nothing."""
        run = await self.node.reconcile()
        told = await self.node.open_breaks()
        assert failing(run) == [], [(each.code, each.expected, each.actual) for each in told]
        assert (run.status, run.breaks_open) == ("completed", 0)
        verified = await VerifyService(self.node.ledger.units).verify()
        assert verified.differences == []
