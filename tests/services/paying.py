"""A node that is paid on chain, over a real chain and books: what tests of deposits share."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from adapters.evm.deposits import ForwarderAddresses
from adapters.evm.reader import EvmReader
from adapters.machine import new_id, new_salt
from node.core.consent import TwoPersons
from node.core.deposits import Deposit, DepositPolicy, PaymentRequest
from node.core.errors import NodeError
from node.core.ids import Prefix, decode_id, encode_id
from node.core.ledger import customer_account
from node.core.mirror import Finality
from node.core.paging import ListQuery
from node.core.parties import Principal, Role
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import Transfer
from node.core.units import Address
from node.services.deposits.attributing import Attribution
from node.services.deposits.payment_requests import (
    Forwarders,
    PaymentRequestAsk,
    PaymentRequestService,
)
from node.services.deposits.request_expiry import RequestExpiry
from node.services.idempotency import RenderError
from node.services.ledger.verifying import VerifyService
from node.services.mirror.mirroring import MirrorService
from tests.builders import CATALOG, CHAIN_ID, a_quote
from tests.mirrored import BUY, DEPTH_BLOCKS, MirroredNode, failing
from tests.onchain import OnChain

OPERATOR = Principal(Role.OPERATOR, "ops")
FACTORY = Address(b"\xfa" * 20)
SUSPENSE = f"suspense/{CHAIN_ID}/USDC"
ASKED = 100_000_000
HOUR_S = 3600


@dataclass
class Paid:
    """A node that is paid on chain; time on the chain passes when a test says so.

    Attributes:
        now_s: Unix time of the newest block.
    """

    node: MirroredNode
    policy: DepositPolicy = field(default_factory=DepositPolicy)
    unpaid_max: int = 100

    @property
    def service(self) -> PaymentRequestService:
        """As a new process has it."""
        codec = ForwarderAddresses(FACTORY, self.node.watch.contract)
        return PaymentRequestService(
            self.node.ledger.units,
            CATALOG,
            Forwarders(FACTORY, codec, new_salt),
            TwoPersons(1000, lambda code: CATALOG.ledger_asset(code).digits),
            new_id,
            policy=self.policy,
            unpaid_max=self.unpaid_max,
        )

    @property
    def chain(self) -> OnChain:
        """The chain."""
        return self.node.onchain

    async def asked(
        self, owner: Principal | None = None, *, reference: str = "INV-7", minor: int = ASKED
    ) -> PaymentRequest:
        """A request of the payer, for an hour."""
        made: list[PaymentRequest] = []

        def render(request: PaymentRequest) -> Answer:
            made.append(request)
            return Answer(201, b"{}")

        amount = f"{minor // 10**6}.{minor % 10**6:06}"
        ask = PaymentRequestAsk(owner or self.node.payer, None, "USDC", amount, reference, HOUR_S)
        await self.service.create(ask, None, render, refused)
        return made[0]

    def send(self, to: Address, minor: int) -> None:
        """A stranger pays so much to an address, in a block of its own."""
        self.chain.send(self.chain.token, "mint(address,uint256)", "0x" + to.hex(), minor)

    def pass_time(self, seconds: int) -> None:
        """A block that is so much later."""
        self.chain.anvil.rpc("evm_increaseTime", seconds)
        self.node.mine()

    async def final(self) -> None:
        """All that is mined becomes final and is booked; then what is over expires."""
        self.node.mine(DEPTH_BLOCKS)
        for _ in range(50):
            if await self.mirror().run_once() == 0:
                break
        await self.expiry().run_once()

    def mirror(self) -> MirrorService:
        """A mirror of a new process, with the policy."""
        node = self.node
        return MirrorService(
            units=node.ledger.units,
            reader=EvmReader(node.providers, node.watch),
            watch=node.watch,
            lanes=node.lanes,
            finality=Finality(DEPTH_BLOCKS),
            new_id=new_id,
            deposit_policy=self.policy,
        )

    def expiry(self) -> RequestExpiry:
        """The job."""
        return RequestExpiry(self.node.ledger.units, CHAIN_ID, new_id)

    async def again(self, request: PaymentRequest) -> PaymentRequest:
        """The request as it is now."""
        return await self.service.get(OPERATOR, encode_id(Prefix.PAYMENT_REQUEST, request.id))

    async def deposits(self, principal: Principal = OPERATOR) -> list[Deposit]:
        """Deposits, oldest first."""
        page = await self.service.deposits(principal, ListQuery(scope="deposits"))
        return sorted(page.items, key=lambda each: (each.block_number, each.log_index))

    async def has(self, owner: Principal | None = None) -> int:
        """What a customer has, units of the token."""
        customer_id = (owner or self.node.payer).customer_id
        assert customer_id is not None
        return (await self.node.balance(customer_account(customer_id, "USDC"))).posted

    async def suspense(self) -> int:
        """What is held."""
        return (await self.node.balance(SUSPENSE)).posted

    async def codes(self) -> list[str]:
        """Codes of the open breaks."""
        return sorted(each.code for each in await self.node.open_breaks())

    async def accept(self, request: PaymentRequest) -> Answer:
        """The owner takes what came."""
        return await self.service.accept(
            self.node.payer,
            encode_id(Prefix.PAYMENT_REQUEST, request.id),
            a_claim(),
            lambda accepted: Answer(200, orjson.dumps({"status": accepted.status})),
            refused,
        )

    async def attribute(
        self, deposit: Deposit, to: Principal, render_error: RenderError | None = None
    ) -> Answer:
        """An operator says whose it is; refusals are raised unless somebody renders them."""
        assert to.customer_id is not None
        return await self.service.attribute(
            Attribution(
                OPERATOR,
                encode_id(Prefix.DEPOSIT, deposit.id),
                encode_id(Prefix.CUSTOMER, to.customer_id),
                None,
                "its payer wrote to us",
            ),
            a_claim(),
            lambda attributed: Answer(200, orjson.dumps({"status": attributed.status})),
            render_error or refused,
        )

    async def assert_sound(self) -> None:
        """The books agree with the chain and with themselves, and the timelines with both."""
        assert failing(await self.node.reconcile()) == []
        verified = await VerifyService(self.node.ledger.units).verify()
        assert verified.differences == []
        rows = await self.node.rows(
            "SELECT d.id FROM deposit d LEFT JOIN event e ON e.object_id = d.id"
            " GROUP BY d.id, d.version HAVING count(e.*) <> d.version UNION ALL"
            " SELECT r.id FROM payment_request r LEFT JOIN event e ON e.object_id = r.id"
            " GROUP BY r.id, r.version HAVING count(e.*) <> r.version"
        )
        assert rows == []


def a_claim() -> Claim:
    """A new request each time."""
    return Claim("test", "POST", "/v1/deposits", str(new_id()), bytes(32))


def refused(error: NodeError) -> Answer:
    """Refusals are raised where a test looks at them."""
    raise error


async def paid_out(paid: Paid, to: Address, count: int = 1) -> Sequence[Transfer]:
    """Transfers of the payer to a deposit address, accepted, sent as one batch and final."""
    node = paid.node
    quotes = [a_quote(node.payer, sell_minor=100, buy_minor=BUY) for _ in range(count)]
    await node.ledger.add_quotes(*quotes)
    ids = []
    for quote in quotes:
        submission = node.ledger.submission(node.payer, quote, address="0x" + to.hex())
        answer = await node.ledger.acceptance.create(submission)
        assert answer.status == 201, answer
        ids.append(decode_id(Prefix.TRANSFER, orjson.loads(answer.body)["id"]))
    worker = await node.settlement()
    for _ in range(20):
        await worker.run_once()
        if node.pool():
            break
    node.mine()
    await paid.final()
    async with node.ledger.units() as unit:
        return await unit.transfers.lock_many(ids)


def leave(paid: Paid, source: Address, to: Address, minor: int) -> None:
    """Tokens leave an address that nobody has a key of."""
    sender = "0x" + source.hex()
    paid.chain.anvil.rpc("anvil_impersonateAccount", sender)
    paid.chain.anvil.rpc("anvil_setBalance", sender, hex(10**18))
    paid.chain.send(
        paid.chain.token, "transfer(address,uint256)", "0x" + to.hex(), minor, sender=sender
    )
