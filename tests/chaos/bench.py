"""What a campaign plays on: database, chain, fault proxies, real worker processes, and the edge.

The edge (accept, cancel, void, pause) is the program's own services in this process, with an
honest provider, as `corridor serve` would have them: it decides about money it gives back. The
workers ask three proxies, of which the last, `HONEST`, loses answers but tells no lies: a lie about
final facts from every provider at once cannot be told from the truth by anybody.
"""

import asyncio
import itertools
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from uuid import UUID

import asyncpg
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.crypto import keccak

from adapters.evm.artifacts import load, parse
from adapters.evm.signer import write_keystore
from node.bootstrap.wiring import Node, open_node
from node.config import Settings
from node.core.catalog import USDC
from node.core.errors import DatabaseUnavailable, NodeError
from node.core.ids import Prefix, decode_id, encode_id
from node.core.parties import Principal, Role
from node.core.ports.idempotency import Answer
from node.core.ports.transfers import Transfer
from node.core.units import Money
from node.devnet.errors import DevnetError
from node.services.settlement.treasury_operations import RuleRequest
from node.services.transfers.acceptance import Submission
from tests.builders import LedgerNode, a_quote, render_error
from tests.chaos.pool import Pool, Strictness
from tests.chaos.proxy import FaultProxy
from tests.chaos.workers import Nursery, Worker
from tests.onchain import ADMIN, CAP_UNITS, OnChain, address_of
from tests.rig import AnvilServer, PostgresServer, start_anvil
from tests.scratch import scratch_root

DEPTH_BLOCKS: Final = 8
LANES: Final = 2
HONEST: Final = 2
LIARS: Final = frozenset({0, 1})
FLOAT_UNITS: Final = 10**14
AMOUNT_UNITS: Final = 1_000_000
OPERATOR: Final = Principal(Role.OPERATOR, "chaos")
OWN_CONNECTION: Final = "chaos"
_PROVIDERS: Final = 3
_HASTE_S: Final = 1
_TRIES: Final = 50
_AGAIN_S: Final = 0.02
_Result = TypeVar("_Result")
_GAS_MONEY_WEI: Final = 100 * 10**18
_STATES_KEPT: Final = 20_000
_SELL_MINOR: Final = 100
_OTHERS: Final = ("treasury", "pauser", "rescuer")
_ARTIFACT: Final = Path(__file__).parents[1] / "chain" / "artifacts" / "BombUSD.json"


@dataclass(frozen=True, slots=True)
class Payment:
    """What somebody was promised: the campaign's own memory, which no backup takes back.

    Attributes:
        number: Payment number at acceptance.
        address: Of this payment alone.
        amount: Token units; every payment has its own.
    """

    transfer_id: UUID
    number: int
    address: str
    amount: int


@dataclass(frozen=True, slots=True)
class Key:
    """An account of the node."""

    address: str
    private_key: str


@dataclass
class Bench:
    """One node with its world. Everything has its own copy: campaigns can run side by side.

    Attributes:
        payments: Accepted, by transfer.
    """

    directory: Path
    postgres: PostgresServer
    onchain: OnChain
    proxy: FaultProxy
    nursery: Nursery
    keys: Mapping[str, Key]
    database_url: str
    stack: AsyncExitStack
    payments: dict[UUID, Payment] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    payer_minor: int = 10**11
    _own: "asyncpg.Connection[asyncpg.Record] | None" = None
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    @classmethod
    async def open(cls, postgres: PostgresServer, seed: int) -> Self:
        """Everything deployed and final; no worker yet."""
        async with AsyncExitStack() as stack:
            directory = Path(tempfile.mkdtemp(prefix="chaos-", dir=scratch_root()))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            anvil = start_anvil(automine=False, states_kept=_STATES_KEPT)
            stack.callback(anvil.stop)
            keys = _keys(directory, anvil)
            onchain = _deployed(anvil, keys)
            anvil.mine(2 * DEPTH_BLOCKS)
            strictness = list(Strictness)[seed % 2]
            proxy = stack.enter_context(
                FaultProxy(
                    anvil.rpc_url,
                    providers=_PROVIDERS,
                    seed=seed,
                    pool=lambda: Pool(strictness),
                )
            )
            nursery = await Nursery.open(directory / "workers.log")
            stack.push_async_callback(nursery.close)
            bench = cls(
                directory,
                postgres,
                onchain,
                proxy,
                nursery,
                keys,
                postgres.create_database(),
                stack.pop_all(),
            )
            await bench.open_edge()
            await bench.rule()
            return bench
        raise AssertionError

    async def close(self) -> None:
        """End everything."""
        for each in self.workers:
            await each.kill()
        await self.close_edge()
        await self.stack.aclose()
        self.postgres.drop_database(self.database_url)

    # ------------------------------------------------------------------------------- workers

    def settings(self, urls: Sequence[str], failpoint: str = "") -> dict[str, Any]:
        """Settings of a process of this node."""
        files = {name: f"keystore:{self.directory / name}.json" for name in _OTHERS}
        return {
            "database_url": self.database_url,
            "chain_rpc_urls": list(urls),
            "chain_finality": f"depth:{DEPTH_BLOCKS}",
            "chain_block_s": 0.05,
            "token_address": "0x" + self.onchain.token.hex(),
            "settlement_address": "0x" + self.onchain.contract.hex(),
            "signer": f"keystore:{self.directory / 'lanes'}",
            "treasury_signer": files["treasury"],
            "pauser_signer": files["pauser"],
            "rescuer_signer": files["rescuer"],
            "lane_lease_s": 1,
            "resend_after_s": 1,
            "bump_after_blocks": 1,
            "batch_payments_max": 8,
            "batch_wait_ms": 20,
            "fx_sources": "fixed:USD/USDC=1",
            "sandbox": True,
            "failpoint": failpoint,
            "log_level": "info",
        }

    async def start_worker(self, failpoint: str = "") -> Worker:
        """A worker process with every job."""
        worker = await self.nursery.start(self.settings(self.proxy.urls, failpoint))
        self.workers.append(worker)
        return worker

    def log_tail(self, lines: int = 60) -> str:
        """The newest lines of what the workers printed."""
        text = (self.directory / "workers.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    # ---------------------------------------------------------------------------------- edge

    async def rule(self) -> None:
        """The contract's float is topped up by a rule of the treasury, again and again."""
        await self.node.services.treasury.add_rule(
            RuleRequest(
                principal=OPERATOR,
                kind="float_top_up",
                to_address=None,
                mark=Money(FLOAT_UNITS - 5 * AMOUNT_UNITS, USDC),
                fill_to=Money(FLOAT_UNITS, USDC),
                daily_limit=Money(FLOAT_UNITS, USDC),
            ),
            None,
            lambda _: Answer(201, b"{}"),
            render_error,
        )

    async def open_edge(self) -> None:
        """The services of an HTTP process, and somebody with money."""
        self._edge = AsyncExitStack()
        settings = Settings(**self.settings([self.onchain.anvil.rpc_url]))
        self.node: Node = await self._edge.enter_async_context(open_node(settings))
        self.node.bound.set()
        target = self.node.keys.target(settings)
        self.ledger = LedgerNode(self.node.units, target)
        self.hasty = LedgerNode(self.node.units, replace(target, settle_within_s=_HASTE_S))

    async def close_edge(self) -> None:
        """Let go of every connection to the database."""
        if self._own is not None:
            await self._own.close()
            self._own = None
        await self._edge.aclose()

    def copy(self) -> str:
        """URL of a copy of the database; the edge must be closed, and the workers dead."""
        name = self.database_url.rpartition("/")[2]
        self.postgres.sql(
            "/postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + name + "'",
        )
        for _ in range(_TRIES):
            with suppress(DevnetError):  # a connection may be dying still
                return self.postgres.copy_database(self.database_url)
            time.sleep(_AGAIN_S)
        return self.postgres.copy_database(self.database_url)

    def replace_database(self, url: str) -> None:
        """Another database takes the place; the old one is gone."""
        self.postgres.drop_database(self.database_url)
        self.database_url = url

    async def accept(self, count: int, *, hasty: bool = False) -> list[Payment]:
        """So many transfers, each to an address and of an amount of its own; fewer when refused.

        One whose answer was lost counts when the database has it.

        Args:
            count: How many.
            hasty: Their time to be settled is over in a second.
        """
        edge = self.hasty if hasty else self.ledger
        if not hasattr(self, "payer"):
            self.payer = await self.ledger.remitter(eur_minor=self.payer_minor)  # no faults yet
        places = [next(self._numbers) for _ in range(count)]
        quotes = [
            a_quote(self.payer, sell_minor=_SELL_MINOR, buy_minor=AMOUNT_UNITS + place)
            for place in places
        ]
        await insist(lambda: self.ledger.add_quotes(*quotes))
        submissions = [
            edge.submission(self.payer, quote, address=beneficiary(place))
            for place, quote in zip(places, quotes, strict=True)
        ]
        answers = await asyncio.gather(*(_accepted(edge, each) for each in submissions))
        promised = {
            decode_id(Prefix.TRANSFER, _id_in(each.body))
            for each in answers
            if each is not None and each.status == 201
        }
        accepted = await self._accepted_at(places)
        assert promised <= {each.transfer_id for each in accepted}, "an answer was no promise"
        self.payments |= {each.transfer_id: each for each in accepted}
        return accepted

    async def _accepted_at(self, places: Sequence[int]) -> list[Payment]:
        rows = await self.rows(
            "SELECT id, payment_number, beneficiary_address FROM transfer"
            " WHERE beneficiary_address = ANY($1)",
            [address_of(beneficiary(each)) for each in places],
        )
        found = {"0x" + row["beneficiary_address"].hex(): row for row in rows}
        return [
            Payment(row["id"], row["payment_number"], beneficiary(place), AMOUNT_UNITS + place)
            for place in places
            if (row := found.get(beneficiary(place)))
        ]

    async def transfers(self) -> dict[UUID, Transfer]:
        """Every transfer the database knows, as it is now."""
        rows = await self.rows("SELECT id FROM transfer")
        async with self.node.units() as unit:
            found = await unit.transfers.lock_many([row["id"] for row in rows])
        return {each.id: each for each in found}

    async def rows(self, query: str, *arguments: object) -> list[Any]:
        """Rows of any query, by the owner of the tables; its connection is never cut."""
        if self._own is None or self._own.is_closed():
            named = {"application_name": OWN_CONNECTION}
            self._own = await asyncpg.connect(self.database_url, server_settings=named)
        return list(await self._own.fetch(query, *arguments))

    # --------------------------------------------------------------------------------- chain

    @property
    def anvil(self) -> AnvilServer:
        """The chain itself, without faults."""
        return self.onchain.anvil

    def height(self) -> int:
        """Number of the newest block."""
        return int(self.anvil.rpc("eth_blockNumber"), 16)


async def _accepted(edge: LedgerNode, submission: Submission) -> Answer | None:
    """The answer a client gets who sends the same request until there is one; None: refused."""
    try:
        return await insist(lambda: edge.acceptance.create(submission))
    except NodeError:
        return None


async def insist(ask: Callable[[], Awaitable[_Result]]) -> _Result:
    """What `ask` returns, once nothing is away any more."""
    for _ in range(_TRIES):
        try:
            return await ask()
        except DatabaseUnavailable:
            await asyncio.sleep(_AGAIN_S)
    return await ask()


def beneficiary(place: int) -> str:
    """The address of the payment of this place."""
    return "0x" + keccak(text=f"beneficiary {place}")[12:].hex()


def transfer_name(payment: Payment) -> str:
    """The public id of its transfer."""
    return encode_id(Prefix.TRANSFER, payment.transfer_id)


def _id_in(body: bytes) -> str:
    return body.partition(b'"id":"')[2].partition(b'"')[0].decode()


def _keys(directory: Path, anvil: AnvilServer) -> dict[str, Key]:
    """New keys, with coin for gas, in keystores that open at once."""
    keys: dict[str, Key] = {}
    (directory / "lanes").mkdir()
    for name in [*(f"lanes/{n}" for n in range(LANES)), *_OTHERS, "stranger"]:
        private_key = keccak(text=f"{name} of {directory.name}").hex()
        address = Account.from_key(private_key).address
        write_keystore(directory / f"{name}.json", private_key, "chaos", iterations=1)
        anvil.rpc("anvil_setBalance", address, hex(_GAS_MONEY_WEI))
        keys[name] = Key(address, private_key)
    return keys


def _deployed(anvil: AnvilServer, keys: Mapping[str, Key]) -> OnChain:
    """Test USD with bombs, and the settlement contract with the node's keys in their roles."""
    token = deploy_raw(anvil, parse(_ARTIFACT.read_text()).bytecode + encode(["address"], [ADMIN]))
    types = ["address", "address", "address", "address", "uint64", "(address,uint64)[]"]
    lanes = [(key.address, CAP_UNITS) for name, key in keys.items() if name.startswith("lanes/")]
    pauser, rescuer = keys["pauser"].address, keys["rescuer"].address
    arguments = encode(types, [token, ADMIN, pauser, rescuer, CAP_UNITS, lanes])
    contract = deploy_raw(anvil, load("TransferSettlement").bytecode + arguments)
    onchain = OnChain(anvil, address_of(token), address_of(contract))
    onchain.send(token, "configureMinter(address,uint256)", ADMIN, FLOAT_UNITS * 4)
    for holder in (contract, keys["treasury"].address):
        onchain.send(token, "mint(address,uint256)", holder, FLOAT_UNITS)
    return onchain


def deploy_raw(anvil: AnvilServer, code: bytes) -> str:
    """Address of a new contract."""
    transaction = {"from": ADMIN, "data": "0x" + code.hex(), "gas": hex(6_000_000)}
    tx_hash = anvil.rpc("eth_sendTransaction", transaction)
    anvil.mine()
    receipt = anvil.rpc("eth_getTransactionReceipt", tx_hash)
    assert receipt["status"] == "0x1", receipt
    return str(receipt["contractAddress"])
