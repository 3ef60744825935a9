"""Starts the naive program on servers of its own, measures it, checks its books, stops it all.

PostgreSQL and anvil are the devnet's: the same binaries with the same settings (fsync on, a block
each second, the same gas limit) that Corridor is measured on, one side after the other.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import httpx
from web3 import HTTPProvider, Web3

from adapters.evm.artifacts import load
from node.devnet import programs
from node.devnet.anvil import DEV_ACCOUNTS, Anvil
from node.devnet.postgres import Postgres
from node.devnet.programs import Program
from scripts.bench.load import Order
from scripts.bench.measure import BenchFailed, Figures, figures, generate
from scripts.bench.proof import balances, check_paid

_BENCH = Path(__file__).parent
_DATABASE = "naive"
_OPENING_BALANCE = Decimal("100000000.00")
_FLOAT_UNITS = 10**15


@dataclass(frozen=True, slots=True)
class NaiveNode:
    """A running naive program.

    Attributes:
        url: Its HTTP address.
        rpc_url: Its chain.
        token: Address of the stablecoin there.
        postgres: Its database server.
    """

    url: str
    rpc_url: str
    token: str
    postgres: Postgres

    def sql(self, statement: str) -> str:
        """One statement on its database."""
        return self.postgres.sql(statement, database=_DATABASE)


@contextmanager
def running() -> Iterator[NaiveNode]:
    """Everything the naive program needs, for the time of a `with`."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="corridor-bench-")))
        lifeline = None if programs.parent_death_signal_exists() else programs.Lifeline()
        postgres = Postgres(directory / "pg", programs.free_port(), directory / "postgres.log")
        postgres.initialise()
        _start(stack, postgres.program(), postgres, lifeline)
        postgres.create_database(_DATABASE)
        chain = Anvil(
            directory / "anvil", programs.free_port(), directory / "anvil.log", block_time_s=1
        )
        _start(stack, chain.program(), chain, lifeline)
        token = deploy_token(chain.rpc_url)
        server = _Server(directory, programs.free_port(), postgres, chain.rpc_url, token)
        _start(stack, server.program(), server, lifeline)
        yield NaiveNode(server.url, chain.rpc_url, token, postgres)


def measure(
    node: NaiveNode,
    *,
    clients: int,
    seconds: float,
    payments: int | None,
    addresses: Sequence[str],
) -> Figures:
    """One run with so many clients, proved on the chain and in the books.

    Raises:
        BenchFailed: A request was refused or the money does not add up.
    """
    customer = httpx.get(f"{node.url}/customers/first", trust_env=False).json()
    before = balances(node.rpc_url, node.token, addresses)
    paid_before = _paid(node)
    tally = generate(
        Order(
            system="naive",
            url=node.url,
            bearer=None,
            customer_id=customer["id"],
            addresses=addresses,
            clients=clients,
            seconds=seconds,
            payments=payments,
            run=str(clients),
        )
    )
    check_paid(before, balances(node.rpc_url, node.token, addresses), tally.units_by_address)
    if _paid(node) - paid_before != len(tally.payment_ids):
        raise BenchFailed("the naive program answered payments that it does not hold as paid")
    _check_balance(node)
    return figures(tally, clients=clients, completed_at_s=tally.answered_at_s)


def deploy_token(rpc_url: str) -> str:
    """Deploy the devnet's stablecoin, give the first dev account plenty; the token's address."""
    artifact = load("TestUSD")
    web3 = Web3(HTTPProvider(rpc_url))
    owner = Web3.to_checksum_address(DEV_ACCOUNTS[0][0])
    web3.eth.default_account = owner  # anvil signs for its own accounts
    factory = web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
    deployed = factory.constructor(owner, owner, owner).transact()
    address = web3.eth.wait_for_transaction_receipt(deployed)["contractAddress"]
    if address is None:
        raise BenchFailed("the token was not deployed")
    token = web3.eth.contract(address=address, abi=artifact.abi)
    for call in (
        token.functions.configureMinter(owner, _FLOAT_UNITS),
        token.functions.mint(owner, _FLOAT_UNITS),
    ):
        if web3.eth.wait_for_transaction_receipt(call.transact())["status"] != 1:
            raise BenchFailed("the token could not be minted")
    return str(address)


@dataclass(frozen=True, slots=True)
class _Server:
    directory: Path
    port: int
    postgres: Postgres
    rpc_url: str
    token: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def program(self) -> Program:
        return Program(
            name="naive",
            command=[
                *(sys.executable, "-m", "uvicorn", "scripts.bench.naive.app:app"),
                *("--port", str(self.port), "--log-level", "warning", "--no-access-log"),
            ],
            log=self.directory / "naive.log",
            environment={
                "PATH": os.defpath,
                "HOME": str(self.directory),
                "NAIVE_DATABASE_URL": self.postgres.url(_DATABASE),
                "NAIVE_RPC_URL": self.rpc_url,
                "NAIVE_TOKEN": self.token,
                "NAIVE_PRIVATE_KEY": DEV_ACCOUNTS[0][1],
                "NAIVE_BALANCE": str(_OPENING_BALANCE),
            },
            cwd=self.directory,
        )

    def ready(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/customers/first", trust_env=False, timeout=2)
        except httpx.HTTPError:
            return False
        return answer.is_success


def _start(
    stack: ExitStack,
    program: Program,
    server: Postgres | Anvil | _Server,
    lifeline: programs.Lifeline | None,
) -> None:
    process = programs.spawn(program, lifeline=lifeline)
    stack.callback(programs.stop, process, program)
    programs.wait_ready(process, program, server.ready)


def _paid(node: NaiveNode) -> int:
    return int(node.sql("SELECT count(*) FROM payments WHERE status = 'paid'"))


def _check_balance(node: NaiveNode) -> None:
    """The customer has what the paid payments left: no update was lost."""
    balance = Decimal(node.sql("SELECT balance FROM customers"))
    spent = Decimal(
        node.sql(
            "SELECT coalesce(sum(q.sell_amount), 0) "
            "FROM payments p JOIN quotes q ON q.id = p.quote_id WHERE p.status = 'paid'"
        )
    )
    if difference := _OPENING_BALANCE - spent - balance:
        raise BenchFailed(f"the naive program's customer is off by {difference} EUR")
