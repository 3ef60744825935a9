"""A node that pays out for a partner, over a real chain, real books and the sandbox's bank."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Self
from uuid import UUID

import orjson

from adapters.evm.addresses import Eip55
from adapters.evm.artifacts import load
from adapters.evm.deposits import ForwarderAddresses
from adapters.evm.proofs import SettledNextTo
from adapters.evm.reader import EvmReader
from adapters.machine import SystemClock, new_id, new_salt
from adapters.rails import SandboxBank
from node.core.consent import TwoPersons
from node.core.deposits import Deposit
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, partner_account
from node.core.mirror import Finality
from node.core.paging import ListQuery
from node.core.parties import Partner, Principal, Role
from node.core.payouts import BankAccount, Payout, PayoutState, Person, RefundPolicy
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.rails import PayoutRail
from node.core.quotes import FixedSide, Price, Quote
from node.core.settlement import PaymentRecord, encode_records
from node.core.units import Address, Money
from node.services.deposits.attributing import Attributing, Attribution
from node.services.deposits.payment_requests import Forwarders
from node.services.ledger.verifying import VerifyService
from node.services.mirror.mirroring import MirrorService
from node.services.payouts.delivering import PayoutDelivery
from node.services.payouts.refunding import PayoutExpiry, PayoutSteering, RefundPaying
from node.services.payouts.registering import (
    ContractAsk,
    PayoutAsk,
    PayoutRules,
    PayoutService,
)
from tests.builders import CATALOG, CHAIN_ID
from tests.mirrored import DEPTH_BLOCKS, MirroredNode, failing
from tests.onchain import ADMIN, address_of, settlement_arguments
from tests.services.paying import FACTORY, OPERATOR, refused

USDC, PHP = CATALOG.asset("USDC"), CATALOG.asset("PHP")
SELL, FEE = 230_074_048, 460_149
MID_RATE, SPREAD_BPS = Decimal("58.297"), 30
PRINCIPAL = SELL - FEE
SPREAD = PRINCIPAL * SPREAD_BPS // 10_000
BUY = PRINCIPAL * 58_297 * (10_000 - SPREAD_BPS) // 10**11
"""PHP for the principal, at the mid rate less the spread, rounded down to a centavo."""
GRACE = timedelta(days=1)
DAY_S = 86_400
RAIL = "sandbox_bank"
BANK_PHP = 10**9
MARIA = Person("natural", "Amihan", "PH", account=BankAccount("000123456789", "BOPIPHMM"))


@dataclass
class Receiver:
    """A node with a partner that pays out of a settlement contract of its own."""

    node: MirroredNode
    database_url: str
    partner: Principal
    contract: Address
    numbers: int = 0
    rail: PayoutRail | None = None
    at: Callable[[str], None] = field(default=lambda _: None)

    @classmethod
    async def open(cls, node: MirroredNode, database_url: str) -> Self:
        """A partner with a registered contract that has tokens; local money at the bank."""
        partner_id = new_id()
        async with node.ledger.units() as unit:
            await unit.parties.add_partner(Partner(partner_id, "berlin", unit.now, country="DE"))
        await node.ledger.post(
            Entry(f"bank/{RAIL}/PHP", "capital/PHP", "PHP", BANK_PHP),
        )
        contract = deploy_contract(node)
        partner = Principal(Role.PARTNER, "berlin", partner_id=partner_id)
        made = cls(node, database_url, partner, contract)
        await made.register(contract)
        return made

    # ------------------------------------------------------------------------------ services

    @property
    def rails(self) -> dict[str, PayoutRail]:
        """Banks, by name."""
        return {RAIL: self.rail or SandboxBank(self.database_url)}

    @property
    def service(self) -> PayoutService:
        """As a new process has it."""
        codec = ForwarderAddresses(FACTORY, self.node.watch.contract)
        return PayoutService(
            units=self.node.ledger.units,
            catalog=CATALOG,
            forwarders=Forwarders(FACTORY, codec, new_salt),
            rules=PayoutRules(self.node.ledger.target, self.rails, GRACE),
            addresses=Eip55(),
            new_id=new_id,
        )

    @property
    def steering(self) -> PayoutSteering:
        """Refunds and corrections."""
        return PayoutSteering(self.node.ledger.units, CATALOG, new_id)

    @property
    def delivery(self) -> PayoutDelivery:
        """The job that tells the rail."""
        return PayoutDelivery(self.node.ledger.units, CATALOG, self.rails, new_id, self.at)

    @property
    def refunds(self) -> RefundPaying:
        """The job that sends money back."""
        ledger = self.node.ledger
        return RefundPaying(ledger.units, CATALOG, ledger.acceptance, Eip55(), new_id, self.at)

    def mirror(self) -> MirrorService:
        """A mirror that looks for payments of partners."""
        node = self.node
        return MirrorService(
            units=node.ledger.units,
            reader=EvmReader(node.providers, node.watch),
            watch=node.watch,
            lanes=node.lanes,
            finality=Finality(DEPTH_BLOCKS),
            new_id=new_id,
            failpoint=self.at,
            proofs=SettledNextTo(node.providers, node.watch.token),
        )

    # ------------------------------------------------------------------------------- acting

    async def register(self, contract: Address, refund_address: Address | None = None) -> None:
        """An operator registers a contract of the partner."""
        assert self.partner.partner_id is not None
        ask = ContractAsk(
            OPERATOR,
            encode_id(Prefix.PARTNER, self.partner.partner_id),
            CHAIN_ID,
            "0x" + contract.hex(),
            None if refund_address is None else "0x" + refund_address.hex(),
        )
        await self.service.register_contract(ask, None, lambda _: Answer(201, b"{}"), refused)

    async def quoted(self, *, lives_s: int = 600) -> Quote:
        """A quote of the partner, stored as if it had asked for it."""
        now = SystemClock().now()
        price = Price(
            fixed_side=FixedSide.SELL,
            sell=Money(SELL, USDC),
            buy=Money(BUY, PHP),
            service_fee=Money(FEE, USDC),
            network_fee=Money(0, USDC),
            mid_rate=MID_RATE,
            spread_bps=SPREAD_BPS,
            sources=(),
            payout_method="bank",
            estimated_delivery_s=60,
        )
        ends = now + timedelta(seconds=lives_s)
        quote = Quote(new_id(), self.partner.key, None, price, now, ends)
        await self.node.ledger.add_quotes(quote)
        return quote

    def ask(self, quote: Quote, **changes: object) -> PayoutAsk:
        """What the partner asks for."""
        usual: dict[str, object] = {
            "principal": self.partner,
            "quote_id": encode_id(Prefix.QUOTE, quote.id),
            "client_reference": str(quote.id),
            "beneficiary": MARIA,
            "originator": Person("natural", "Ada", "DE"),
            "refund_policy": RefundPolicy.REFUND,
            "refund_address": "0x" + self.contract.hex(),
        }
        return PayoutAsk(**{**usual, **changes})  # type: ignore[arg-type]

    async def payout(self, **changes: object) -> Payout:
        """A registered payout."""
        made: list[Payout] = []

        def render(payout: Payout) -> Answer:
            made.append(payout)
            return Answer(201, orjson.dumps({"id": encode_id(Prefix.PAYOUT, payout.id)}))

        quote = await self.quoted()
        await self.service.create(self.ask(quote, **changes), self.claim(), render, refused)
        return made[0]

    def pay(self, payout: Payout, minor: int = SELL, contract: Address | None = None) -> int:
        """The partner's contract settles a payment to the payout's address; its number."""
        self.numbers += 1
        record = PaymentRecord(self.numbers, payout.address, minor)
        self.node.onchain.send(contract or self.contract, "settle(bytes)", encode_records([record]))
        return self.numbers

    def pass_time(self, seconds: int) -> None:
        """A block that is so much later."""
        self.node.onchain.anvil.rpc("evm_increaseTime", seconds)
        self.node.mine()

    async def final(self) -> None:
        """All that is mined becomes final and is booked; then what is over expires."""
        self.node.mine(DEPTH_BLOCKS)
        for _ in range(50):
            if await self.mirror().run_once() == 0:
                break
        await PayoutExpiry(self.node.ledger.units, CHAIN_ID, new_id).run_once()

    async def deliver(self, passes: int = 1) -> None:
        """So many looks at the rail, each when it is due."""
        for _ in range(passes):
            await self.node.execute(
                "UPDATE payout SET next_look_at = now() WHERE next_look_at IS NOT NULL"
            )
            await self.delivery.run_once()

    async def refunded(self) -> None:
        """Money on its way back is accepted, settled, final and told."""
        await self.refunds.run_once()
        worker = await self.node.settlement()
        for _ in range(20):
            await worker.run_once()
            if self.node.pool():
                break
        self.node.mine()
        await self.final()
        await self.refunds.run_once()

    async def refund(self, payout: Payout, principal: Principal | None = None) -> Answer:
        """The partner asks for its money."""
        return await self.steering.refund(
            principal or self.partner,
            encode_id(Prefix.PAYOUT, payout.id),
            self.claim(),
            lambda _: Answer(200, b"{}"),
            refused,
        )

    async def correct(self, payout: Payout, beneficiary: Person) -> Answer:
        """The partner gives another beneficiary."""
        return await self.steering.correct(
            self.partner,
            encode_id(Prefix.PAYOUT, payout.id),
            beneficiary,
            self.claim(),
            lambda _: Answer(200, b"{}"),
            refused,
        )

    async def attribute(self, deposit: Deposit) -> Answer:
        """An operator says that a deposit is the partner's."""
        assert self.partner.partner_id is not None
        two_persons = TwoPersons(1000, lambda code: CATALOG.ledger_asset(code).digits)
        given = Attribution(
            OPERATOR,
            encode_id(Prefix.DEPOSIT, deposit.id),
            None,
            encode_id(Prefix.PARTNER, self.partner.partner_id),
            "its payer wrote to us",
        )
        return await Attributing(self.node.ledger.units, CHAIN_ID, two_persons, new_id).attribute(
            given, self.claim(), lambda _: Answer(200, b"{}"), refused
        )

    def claim(self) -> Claim:
        """A new request."""
        return Claim(self.partner.key, "POST", "/v1/payouts", str(new_id()), bytes(32))

    # ------------------------------------------------------------------------------- looking

    async def again(self, payout: Payout) -> Payout:
        """The payout as it is now."""
        return await self.service.get(self.partner, encode_id(Prefix.PAYOUT, payout.id))

    async def state(self, payout: Payout) -> PayoutState:
        """Where it is."""
        return (await self.again(payout)).state

    async def posted(self, path: str) -> int:
        """What an account has."""
        return (await self.node.balance(path)).posted

    async def has(self) -> int:
        """What the partner has, token units."""
        assert self.partner.partner_id is not None
        return await self.posted(partner_account(self.partner.partner_id, "USDC"))

    async def codes(self) -> list[str]:
        """Codes of the open breaks."""
        return sorted(each.code for each in await self.node.open_breaks())

    async def orders(self) -> list[tuple[str, str, int]]:
        """What the bank has in its own books: id, state, amount."""
        rows = await self.node.rows(
            "SELECT id, state, amount FROM sandbox_bank.payment_order ORDER BY created_at, id"
        )
        return [(row["id"], row["state"], row["amount"]) for row in rows]

    async def timeline(self, object_id: UUID) -> list[str]:
        """Event types, in order."""
        return await self.node.timeline(object_id)

    async def deposits(self) -> list[Deposit]:
        """All, oldest first."""
        async with self.node.ledger.units() as unit:
            page = await unit.deposits.deposits(OPERATOR, ListQuery(scope="deposits"))
        return sorted(page.items, key=lambda each: (each.block_number, each.log_index))

    async def found_after(self, statement: str) -> set[str]:
        """Checks that verification fails at once somebody ran this; then it is undone."""
        copies = ("payout", "refund", "quote", "deposit")
        keep = "".join(f"CREATE TABLE kept_{each} AS TABLE {each}; " for each in copies)
        back = "".join(
            f"DELETE FROM {each}; INSERT INTO {each} SELECT * FROM kept_{each};"
            f" DROP TABLE kept_{each}; "
            for each in copies
        )
        replica = "SET session_replication_role = replica; "
        await self.node.execute(f"{replica}{keep}{statement}")
        verified = await VerifyService(self.node.ledger.units).verify()
        await self.node.execute(f"{replica}{back}")
        return {each.check for each in verified.differences}

    async def assert_sound(self) -> None:
        """The books agree with the chain and with themselves, and the timelines with both."""
        assert failing(await self.node.reconcile()) == []
        verified = await VerifyService(self.node.ledger.units).verify()
        assert verified.differences == []
        rows = await self.node.rows(
            "SELECT o.id, o.version FROM (SELECT id, version FROM payout UNION ALL"
            " SELECT id, version FROM refund UNION ALL SELECT id, version FROM deposit) o"
            " LEFT JOIN event e ON e.object_id = o.id"
            " GROUP BY o.id, o.version HAVING count(e.*) <> o.version"
        )
        assert rows == []


def deploy_contract(node: MirroredNode) -> Address:
    """Another node's settlement contract, with tokens."""
    onchain = node.onchain
    token = "0x" + onchain.token.hex()
    code = load("TransferSettlement").bytecode + settlement_arguments(token, operators=(ADMIN,))
    answer = onchain.anvil.mined(
        onchain.anvil.rpc(
            "eth_sendTransaction", {"gas": hex(6_000_000), "from": ADMIN, "data": "0x" + code.hex()}
        )
    )
    contract = address_of(str(answer["contractAddress"]))
    onchain.send(onchain.token, "mint(address,uint256)", "0x" + contract.hex(), 10**12)
    return contract
