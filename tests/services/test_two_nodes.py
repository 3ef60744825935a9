"""Two nodes on one chain: euros at one, pesos at the other, over the real interface of the second.

The first node is driven by hand (`Partnered`); the second is wired as `corridor serve` and `work`
wire it, and asked through its ASGI application.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
import pytest
from eth_account import Account

from adapters.machine import new_id
from adapters.partners import CorridorNode, Peer
from node.api.app import create_app
from node.bootstrap.wiring import Node, open_node
from node.config import Settings
from node.core.catalog import USDC, assets_with
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry
from node.core.parties import Principal, Role
from node.core.payout_orders import ChangeKind, Payee
from node.core.payouts import BankAccount, RefundPolicy
from node.core.ports.transfers import Transfer
from node.core.transfers import State
from node.services.ledger.verifying import VerifyService
from node.services.mirror.mirroring import MirrorService
from tests.builders import CHAIN_ID, LedgerNode
from tests.fake_partner import ACCOUNT
from tests.mirrored import DEPTH_BLOCKS, MirroredNode, failing
from tests.rig import PostgresServer
from tests.services.partnering import PHP_5000, Partnered
from tests.services.receiving import deploy_contract

PHP_AT_BANK = 10**9
REFUSED = BankAccount("000000000002", "BOPIPHMM")


@dataclass
class Manila:
    """The node that pays out.

    Attributes:
        berlin: Id of the partner that the first node is to it.
    """

    node: Node
    client: httpx.AsyncClient
    berlin: str
    key: str

    async def follow(self) -> None:
        """Its mirror catches up, then its bank is told until nothing is left to do."""
        node = self.node
        for _ in range(50):
            mirror = MirrorService(
                units=node.units,
                reader=node.reader,
                watch=node.watch,
                lanes=node.keys.signers,
                finality=node.settings.finality,
                new_id=new_id,
                proofs=node.payouts.proofs,
            )
            if await mirror.run_once() == 0:
                break
        for _ in range(4):
            await node.payouts.delivery.run_once()

    async def posted(self, path: str) -> int:
        async with self.node.units() as unit:
            return (await unit.ledger.balances([path]))[path].posted

    async def assert_sound(self) -> None:
        """Its books are proven and agree with the chain."""
        run = await self.node.reconciling.run("operator:test")
        assert failing(run) == []
        assert run.breaks_open == 0
        assert (await VerifyService(self.node.units).verify()).differences == []


@pytest.fixture
async def manila(
    node: MirroredNode, postgres_server: PostgresServer, tmp_path: Path
) -> AsyncIterator[Manila]:
    """On the first node's chain, with a contract of its own and pesos at its bank."""
    key = tmp_path / "lane.json"
    key.write_text(json.dumps(Account.encrypt(bytes(Account.create().key), "play", iterations=2)))
    tmp_path.joinpath("lane.json.password").write_text("play")
    contract = deploy_contract(node)
    node.mine(DEPTH_BLOCKS)
    await node.follow()
    settings = Settings(
        database_url=postgres_server.create_database(),
        state_dir=tmp_path,
        signer=f"keystore:{key}",
        chain_id=CHAIN_ID,
        chain_rpc_urls=(node.onchain.anvil.rpc_url,),
        chain_finality=f"depth:{DEPTH_BLOCKS}",
        chain_block_s=1,
        token_address=f"0x{node.onchain.token.hex()}",
        settlement_address=f"0x{contract.hex()}",
        deposits_address="0x" + "fa" * 20,
        fx_sources="ecb:max_age_s=0,fixed:USD/USDC=1",
        sandbox=True,
    )
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(open_node(settings))
        await opened.rates.refresh()
        opened.bound.set()
        app = create_app(opened.services, sandbox=True)
        transport = httpx.ASGITransport(app=app)
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://manila")
        )
        operator = (await opened.parties.create_key(Principal(Role.OPERATOR, "ops"))).secret
        berlin = await opened.parties.create_partner("berlin")
        principal = Principal(Role.PARTNER, "berlin", partner_id=berlin.id)
        secret = (await opened.parties.create_key(principal)).secret
        bank = Entry("bank/sandbox_bank/PHP", "capital/PHP", "PHP", PHP_AT_BANK)
        await LedgerNode(opened.units).post(bank)
        made = Manila(opened, client, encode_id(Prefix.PARTNER, berlin.id), secret)
        await made.follow()
        registered = await client.post(
            f"/v1/partners/{made.berlin}/contracts",
            headers={"Authorization": f"Bearer {operator}", "Idempotency-Key": "c"},
            json={"chain_id": CHAIN_ID, "address": f"0x{node.onchain.contract.hex()}"},
        )
        assert registered.status_code == 201, registered.text
        yield made


@pytest.fixture
async def berlin(node: MirroredNode, manila: Manila, tmp_path: Path) -> Partnered:
    """The first node, whose partner is the second."""
    sender = await Partnered.over(node)
    key = tmp_path / "manila.key"
    key.write_text(manila.key)
    contract = manila.node.watch.contract
    one = frozenset({"PHP"})
    peer = Peer("manila", "http://manila", key, None, frozenset({"PH"}), one, contract)
    transport = httpx.ASGITransport(app=manila.client._transport.app)  # type: ignore[attr-defined]
    sender.partner = CorridorNode(peer, assets_with(USDC), transport)  # type: ignore[assignment]
    return sender


async def test_euros_at_one_node_become_exactly_the_quoted_pesos_at_the_other(
    berlin: Partnered, manila: Manila
) -> None:
    quote = await berlin.quote(PHP_5000)
    transfer = await berlin.accepted(quote)
    await berlin.at_partner(transfer)
    assert (await berlin.again(transfer.id)).state is State.PAYOUT_PENDING
    assert await berlin.clearing() == transfer.amounts.buy
    await berlin.assert_sound()

    await manila.follow()
    await manila.assert_sound()
    assert await manila.posted("bank/sandbox_bank/PHP") == PHP_AT_BANK - 500_000
    await berlin.ask()
    done = await berlin.again(transfer.id)
    assert done.state is State.PAID_OUT
    assert await berlin.clearing() == 0
    await berlin.assert_sound()
    held = await manila.posted(f"chain/{CHAIN_ID}/0x{transfer.beneficiary_address.hex()}/USDC")
    assert held == transfer.amounts.buy


async def test_what_the_bank_refuses_is_undeliverable_and_keeps_the_customers_money_reserved(
    berlin: Partnered, manila: Manila
) -> None:
    before = await berlin.customer()
    transfer = await berlin.at_partner(await berlin.accepted(account=REFUSED))
    await manila.follow()
    await berlin.ask()
    found = await berlin.again(transfer.id)
    assert found.state is State.UNDELIVERABLE
    assert (await berlin.customer())[1] == before[1] - 20_000
    assert await manila.posted("bank/sandbox_bank/PHP") == PHP_AT_BANK
    await berlin.assert_sound()


async def refused_at_manila(berlin: Partnered, manila: Manila) -> Transfer:
    """A transfer that the bank refused, and may be corrected."""
    transfer = await berlin.accepted(account=REFUSED, refund_policy=RefundPolicy.CORRECT)
    await berlin.at_partner(transfer)
    await manila.follow()
    await berlin.ask()
    found = await berlin.again(transfer.id)
    assert found.state is State.UNDELIVERABLE
    return found


async def test_a_corrected_beneficiary_is_paid_by_the_other_nodes_bank(
    berlin: Partnered, manila: Manila
) -> None:
    transfer = await refused_at_manila(berlin, manila)
    payee = Payee("Jose", "PH", ACCOUNT)
    await berlin.asks_for(transfer, ChangeKind.CORRECT, payee)
    assert (await berlin.again(transfer.id)).state is State.PAYOUT_PENDING
    await manila.follow()
    await berlin.ask()
    done = await berlin.again(transfer.id)
    assert (done.state, await berlin.clearing()) == (State.PAID_OUT, 0)
    assert done.payout is not None
    paid = PHP_AT_BANK - await manila.posted("bank/sandbox_bank/PHP")
    assert paid == done.payout.delivered.minor
    await berlin.assert_sound()
    await manila.assert_sound()


async def test_money_that_the_sender_asks_back_leaves_the_other_nodes_balance_of_it(
    berlin: Partnered, manila: Manila
) -> None:
    transfer = await refused_at_manila(berlin, manila)
    await berlin.asks_for(transfer, ChangeKind.REFUND)
    assert (await berlin.again(transfer.id)).state is State.UNDELIVERABLE
    headers = {"Authorization": f"Bearer {manila.key}"}
    told = await manila.client.get(f"/v1/payouts/{berlin.payout_id(transfer)}", headers=headers)
    assert (told.json()["state"], told.json()["refund"]["reason"]) == ("refunding", "asked")
    await berlin.ask()
    again = await berlin.asks_for(transfer, ChangeKind.REFUND, key="again")
    assert orjson.loads(again.body)["code"] == "partner_refused"  # it is on its way
    assert await berlin.clearing() == transfer.amounts.buy
    await berlin.assert_sound()
