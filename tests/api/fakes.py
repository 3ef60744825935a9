"""Services that behave, without a database: what the HTTP edge needs to be tested on its own.

They keep idempotency, ownership and the few states that answers depend on. Rules of money are
tested where they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from adapters.evm.addresses import Eip55
from adapters.machine import new_id
from node.api.services import Services
from node.core.errors import (
    CancelTooLate,
    NodeError,
    NotFound,
    QuoteExpired,
    QuoteUsed,
    ReferenceUsed,
    Unauthenticated,
)
from node.core.ids import Prefix, decode_id, encode_id
from node.core.paging import ListQuery, Page, Position
from node.core.parties import Caller, Credential, Customer, Principal, Role
from node.core.partner_legs import PartnerCorridor
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import EventRow, TopUp, Transfer
from node.core.quotes import (
    Price,
    Quote,
    QuoteStatus,
    price_fixed_buy,
    price_fixed_sell,
)
from node.core.transfers import State
from node.core.units import parse_minor
from node.services.idempotency import RenderError
from node.services.ledger.top_ups import TopUpRequest
from node.services.mirror.health import Check, Readiness
from node.services.parties import NewSecret, TokenAlreadyCreated
from node.services.pricing.quoting import QuoteRequest
from node.services.transfers.acceptance import Submission
from node.services.transfers.paid_by_partners import check_account, check_policy
from tests.api.fake_adoption import FakeAdoption
from tests.api.fake_bank import FakeBank
from tests.api.fake_bookings import FakeBookings
from tests.api.fake_breaks import FakeBreaks
from tests.api.fake_bulk import FakeBulk
from tests.api.fake_deposits import FakeDeposits
from tests.api.fake_fx import FakeFx
from tests.api.fake_mirror import FakeMirror
from tests.api.fake_operations import (
    FakeAccounts,
    FakeReconciliation,
    FakeSettlement,
    FakeStatements,
)
from tests.api.fake_operator import FakeBlocks, FakeComparisons, FakeSessions
from tests.api.fake_overview import FakeMeter, FakeOverview
from tests.api.fake_partners import (
    FakePartnerKeys,
    FakePartners,
    FakePrefundings,
    FakeSignatureDesk,
    known_caller,
)
from tests.api.fake_payouts import FakePayoutDesk, FakePayouts
from tests.api.fake_peers import FakePayoutChanges, FakePeers
from tests.api.fake_positions import FakePositions
from tests.api.fake_reports import FakeReports
from tests.api.fake_treasury import FakeTreasury
from tests.api.fake_webhooks import FakeWebhooks
from tests.api.fake_world import ANA, CATALOG, CONTRACT, MID, NOW, Memory


@dataclass
class FakeParties:
    """Four known credentials; customers in a list."""

    memory: Memory
    customers_made: list[Customer] = field(default_factory=lambda: [ANA])
    tokens_made: list[Credential] = field(default_factory=list)
    fails_with: Exception | None = None

    async def caller(self, secret: str, /) -> Caller:
        if self.fails_with is not None:
            raise self.fails_with
        if (caller := known_caller(secret)) is None:
            raise Unauthenticated("the credential is not known")
        return caller

    async def create_customer(
        self,
        principal: Principal,
        /,
        *,
        name: str,
        country: str,
        email: str | None,
        claim: Claim | None,
        render: Callable[[Customer], Answer],
        render_error: RenderError,
    ) -> Answer:
        async def work() -> Answer:
            await asyncio.sleep(0)
            made = Customer(new_id(), principal.partner_id, name, country, email, NOW)
            self.customers_made.append(made)
            return render(made)

        return await self.memory.once(claim, work, render_error)

    async def customer(self, principal: Principal, customer_id: str, /) -> Customer:
        wanted = decode_id(Prefix.CUSTOMER, customer_id)
        for each in self.customers_made:
            if each.id == wanted and each.is_visible_to(principal):
                return each
        raise NotFound("there is no such customer")

    async def customers(self, principal: Principal, query: ListQuery, /) -> Page[Customer]:
        position = query.position()
        rows = sorted(
            (each for each in self.customers_made if each.is_visible_to(principal)),
            key=lambda each: (each.created_at, each.id.int),
            reverse=True,
        )
        if position is not None:
            before = (position.created_at, position.id)
            rows = [each for each in rows if (each.created_at, each.id.int) < before]
        return query.page(rows, lambda each: Position(each.created_at, each.id.int))

    async def create_token_once(
        self,
        principal: Principal,
        customer_id: str,
        /,
        *,
        claim: Claim | None,
        render: Callable[[NewSecret], Answer],
        render_error: RenderError,
    ) -> Answer:
        shown: list[Answer] = []

        async def work() -> Answer:
            customer = await self.customer(principal, customer_id)
            owner = Principal(Role.REMITTER, customer.name, customer_id=customer.id)
            made = Credential(new_id(), owner, NOW, None, None)
            self.tokens_made.append(made)
            shown.append(render(NewSecret(made, "shown-once")))
            key_id = encode_id(Prefix.KEY, made.id)
            return render_error(TokenAlreadyCreated("made before", key_id=key_id))

        kept = await self.memory.once(claim, work, render_error)
        return shown[0] if shown else kept


@dataclass
class FakeQuoting:
    """Prices at one rate; quotes by id."""

    memory: Memory
    quotes: dict[UUID, Quote] = field(default_factory=dict)
    fails_with: NodeError | None = None
    by_partners: list[PartnerCorridor] = field(default_factory=list)

    async def corridors(self) -> list[PartnerCorridor]:
        return self.by_partners

    async def price(
        self, *, sell: str, buy: str, sell_amount: str | None, buy_amount: str | None
    ) -> Price:
        return self._price(sell, buy, sell_amount, buy_amount)

    async def create(
        self,
        principal: Principal,
        request: QuoteRequest,
        claim: Claim | None,
        render: Callable[[Quote], Answer],
        /,
    ) -> Answer:
        async def work() -> Answer:
            if self.fails_with is not None:
                raise self.fails_with
            price = self._price(request.sell, request.buy, request.sell_amount, request.buy_amount)
            expires_at = NOW + timedelta(seconds=request.ttl_s or 60)
            quote = Quote(new_id(), principal.key, None, price, NOW, expires_at)
            self.quotes[quote.id] = quote
            return render(quote)

        return await self.memory.once(claim, work, unexpected)

    async def get(self, principal: Principal, quote_id: str, /) -> Quote:
        quote = self.quotes.get(decode_id(Prefix.QUOTE, quote_id))
        if quote is None or not quote.is_visible_to(principal):
            raise NotFound("there is no such quote")
        return quote

    def status(self, quote: Quote, /) -> QuoteStatus:
        return quote.status(NOW)

    def _price(self, sell: str, buy: str, sell_amount: str | None, buy_amount: str | None) -> Price:
        corridor = CATALOG.corridor(sell, buy)
        if sell_amount is not None:
            return price_fixed_sell(corridor, MID, parse_minor(sell_amount, corridor.sell))
        assert buy_amount is not None
        return price_fixed_buy(corridor, MID, parse_minor(buy_amount, corridor.buy))


@dataclass
class FakeTopUps:
    """Each reference once."""

    memory: Memory
    references: dict[tuple[str, str], UUID] = field(default_factory=dict)
    booked: dict[UUID, TopUp] = field(default_factory=dict)

    async def create(
        self,
        request: TopUpRequest,
        claim: Claim,
        render: Callable[[TopUp], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            place = (request.rail, request.reference)
            if used := self.references.get(place):
                raise ReferenceUsed("booked", top_up_id=encode_id(Prefix.TOP_UP, used))
            identity = self.references[place] = new_id()
            minor = parse_minor(request.amount, CATALOG.fiat(request.currency))
            customer_id = decode_id(Prefix.CUSTOMER, request.customer_id)
            made_by = request.principal.key
            booked = self.booked[identity] = TopUp(
                identity, customer_id, request.currency, minor, request.rail,
                request.reference, "bank", made_by, 1, NOW,
            )  # fmt: skip
            return render(booked)

        return await self.memory.once(claim, work, render_error)


@dataclass
class FakeTransfers:
    """Transfers that consume quotes and can be canceled while they are funded."""

    memory: Memory
    quoting: FakeQuoting
    transfers: dict[UUID, Transfer] = field(default_factory=dict)
    fails_with: NodeError | None = None
    refuses: NodeError | None = None

    async def create(self, submission: Submission, /) -> Answer:
        async def work() -> Answer:
            await asyncio.sleep(0)
            if self.fails_with is not None:
                raise self.fails_with
            return submission.render(self._accept(submission))

        return await self.memory.once(submission.claim, work, submission.render_error)

    def _accept(self, submission: Submission) -> Transfer:
        request = submission.request
        quote = self.quoting.quotes.get(request.quote_id)
        if quote is None or request.customer_id != ANA.id:
            raise NotFound("there is no such quote")
        if quote.transfer_id is not None:
            used = encode_id(Prefix.TRANSFER, quote.transfer_id)
            raise QuoteUsed("the quote is used", transfer_id=used)
        if quote.status(NOW) is not QuoteStatus.ACTIVE:
            raise QuoteExpired("the quote has expired")
        check_account(request.beneficiary, quote)
        check_policy(request.refund_policy, quote)
        address = Eip55().parse(request.beneficiary.address)
        transfer = Transfer(
            id=new_id(),
            version=1,
            state=State.FUNDED,
            customer_id=request.customer_id,
            owner=request.principal.key,
            quote_id=quote.id,
            client_reference=request.client_reference,
            purpose=request.purpose,
            beneficiary=request.beneficiary,
            beneficiary_address=address,
            amounts=quote.amounts,
            chain_id=31337,
            contract=CONTRACT,
            payment_number=len(self.transfers) + 1,
            pending_sequence=1,
            slot_id=None,
            was_written=False,
            batches_failed=0,
            void_outcome=None,
            waiting_code=None,
            waiting_since=None,
            tx_hash=None,
            block_number=None,
            failure=None,
            created_at=NOW,
            settle_by=NOW + timedelta(days=1),
            partner_id=None,
        )
        self.quoting.quotes[quote.id] = replace(quote, transfer_id=transfer.id)
        self.transfers[transfer.id] = transfer
        return transfer

    async def get(self, principal: Principal, transfer_id: str, /) -> Transfer:
        found = self.transfers.get(decode_id(Prefix.TRANSFER, transfer_id))
        if found is None or not ANA.is_visible_to(principal):
            raise NotFound("there is no such transfer")
        return found

    async def list(self, principal: Principal, query: ListQuery, /) -> Page[Transfer]:
        query.position()
        own = [each for each in self.transfers.values() if ANA.is_visible_to(principal)]
        return query.page(own, lambda each: Position(each.created_at, each.id.int))

    async def timeline(self, principal: Principal, transfer_id: str, /) -> Sequence[EventRow]:
        transfer = await self.get(principal, transfer_id)
        return [an_event(transfer.id)]

    async def events(self, principal: Principal, after: int, limit: int, /) -> Sequence[EventRow]:
        return [an_event(each) for each in self.transfers][: limit if after < 7 else 0]

    async def cancel(
        self,
        principal: Principal,
        transfer_id: str,
        claim: Claim,
        render: Callable[[Transfer], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            transfer = await self.get(principal, transfer_id)
            if transfer.state is State.CANCELED:
                return render(transfer)
            if transfer.state is not State.FUNDED:
                raise CancelTooLate("the transfer is being paid")
            failure = {"code": "canceled", "message": "canceled before it was sent"}
            canceled = replace(transfer, state=State.CANCELED, failure=failure)
            self.transfers[transfer.id] = canceled
            return render(canceled)

        return await self.memory.once(claim, work, render_error)

    async def void(
        self,
        principal: Principal,
        transfer_id: str,
        claim: Claim,
        render: Callable[[Transfer], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            if self.refuses is not None:
                raise self.refuses
            transfer = await self.get(principal, transfer_id)
            return render(replace(transfer, state=State.VOIDING))

        return await self.memory.once(claim, work, render_error)

    async def release(
        self,
        principal: Principal,
        transfer_id: str,
        claim: Claim,
        render: Callable[[Transfer], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            if self.refuses is not None:
                raise self.refuses
            return render(await self.get(principal, transfer_id))

        return await self.memory.once(claim, work, render_error)


@dataclass
class FakeHealth:
    """Says what it is told to."""

    ok: bool = True

    async def ready(self) -> Readiness:
        detail = "answers" if self.ok else "no provider answers"
        return Readiness([Check("chain", ok=self.ok, detail=detail)], 14, 13, 11)

    async def mirror_head(self) -> int | None:
        return 13


@dataclass
class FakeNode:
    """All of them, and the record the application gets."""

    def __post_init__(self) -> None:
        self.memory = Memory()
        self.parties = FakeParties(self.memory)
        self.partners = FakePartners(self.memory)
        self.partner_keys = FakePartnerKeys(self.memory)
        self.quoting = FakeQuoting(self.memory)
        self.top_ups = FakeTopUps(self.memory)
        self.transfers = FakeTransfers(self.memory, self.quoting)
        self.statements = FakeStatements()
        self.positions = FakePositions()
        self.bookings = FakeBookings(self.memory)
        self.settlement = FakeSettlement(self.memory)
        self.overview = FakeOverview(self.settlement)
        self.adoption = FakeAdoption(self.memory)
        self.mirror = FakeMirror(self.memory)
        self.reconciliation = FakeReconciliation(self.memory)
        self.breaks = FakeBreaks(self.memory)
        self.bank = FakeBank(self.memory)
        self.comparisons = FakeComparisons()
        self.blocks = FakeBlocks()
        self.sessions = FakeSessions()
        self.deposits = FakeDeposits(self.memory)
        self.payouts = FakePayouts(self.memory)
        self.payout_desk = FakePayoutDesk(self.memory)
        self.bulk = FakeBulk(self.memory)
        self.webhooks = FakeWebhooks(self.memory)
        self.peers = FakePeers(self.memory, lambda: self.transfers.transfers)
        self.payout_changes = FakePayoutChanges(self.memory, lambda: self.transfers.transfers)
        self.health = FakeHealth()

    @property
    def services(self) -> Services:
        """What `create_app` takes."""
        return Services(
            catalog=CATALOG,
            parties=self.parties,
            partners=self.partners,
            partner_keys=self.partner_keys,
            prefundings=FakePrefundings(self.memory),
            signed_requests=FakeSignatureDesk(),
            quoting=self.quoting,
            top_ups=self.top_ups,
            transfers=self.transfers,
            accounts=FakeAccounts(self.top_ups.booked),
            statements=self.statements,
            positions=self.positions,
            bookings=self.bookings,
            settlement=self.settlement,
            overview=self.overview,
            meter=FakeMeter(self.overview),
            adoption=self.adoption,
            mirror=self.mirror,
            treasury=FakeTreasury(self.memory),
            reconciliation=self.reconciliation,
            breaks=self.breaks,
            bank=self.bank,
            deposits=self.deposits,
            payouts=self.payouts,
            payout_desk=self.payout_desk,
            bulk=self.bulk,
            reports=FakeReports(),
            webhooks=self.webhooks,
            comparisons=self.comparisons,
            blocks=self.blocks,
            sessions=self.sessions,
            health=self.health,
            fx=FakeFx(self.memory),
            peers=self.peers,
            payout_changes=self.payout_changes,
            addresses=Eip55(),
        )


def an_event(transfer_id: UUID) -> EventRow:
    """The first line of a transfer's timeline."""
    return EventRow(
        7, "transfer", transfer_id, 1, "transfer.funded", State.FUNDED, {"payment_number": 1}, NOW
    )


def unexpected(error: NodeError) -> Answer:
    """Quotes have no refusal that is remembered."""
    raise error
