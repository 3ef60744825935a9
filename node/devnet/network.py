"""What a devnet consists of, in the order in which it starts.

PostgreSQL, anvil, contracts and money; then of each node the schema, customers and keys, `serve`,
`work`. A chain lives in anvil's memory; an orderly end writes it down and the next start goes on
with it. When anvil was killed the chain is lost and the database is ahead of it for good: that is
said, not mended. Not here: keeping the programs running (`supervisor.py`), one node (`nodes.py`),
how two nodes come to know each other (`introducing.py`).
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from urllib.parse import urlsplit

from node.devnet.anvil import CHAIN_ID, Anvil
from node.devnet.errors import DevnetError
from node.devnet.introducing import introduce, is_introduced, seeding
from node.devnet.nodes import BLOCK_S, FINALITY_DEPTH_BLOCKS, Node
from node.devnet.postgres import Postgres
from node.devnet.programs import free_port
from node.devnet.rpc import call
from node.devnet.state import StateDirectory, read_json, write_json
from node.devnet.supervisor import Say, Supervisor

_HTTP_PORT = 8000
_CHAIN_PORT = 8545
_DATABASE_PORT = 15432  # below those that the system gives to connections that go out
# Recent blocks that can be asked for state: ten minutes, in which people can look at a reorg past
# finality and accept it. (A geth full node keeps 128.) Each costs up to half a megabyte of memory.
_STATES_KEPT = 600
# A resumed chain can be asked for the state of new blocks only: make the final one new.
_BLOCKS_ON_RESUME = FINALITY_DEPTH_BLOCKS + 1
_ANSWER_LIMIT_S = 5.0
_PORT_MAX = 65_535

_CHAIN_LOST = (
    "the chain is lost: it lived in anvil's memory, and anvil did not end in good order. "
    "The database knows payments that no chain knows any more"
)
_START_ANEW = "run `corridor devnet down --wipe`, then start anew"


class ChainLost(DevnetError):
    """Chain and database of a state directory can never agree again."""

    def __init__(self) -> None:
        super().__init__(_CHAIN_LOST, remedy=_START_ANEW)


class Ticker(threading.Thread):
    """Mines a block each second.

    anvil's own `--block-time 1` keeps the whole state of the last 1,500 blocks in memory whatever
    it is told, which with many token holders is gigabytes; blocks that are asked for obey
    `--prune-history`.
    """

    def __init__(self, rpc_url: str) -> None:
        super().__init__(name="ticker", daemon=True)
        self._rpc_url = rpc_url
        self._ended = threading.Event()

    def run(self) -> None:
        """Mine until told to end; a chain that is gone is the supervisor's business."""
        due = time.monotonic() + BLOCK_S
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            try:
                call(self._rpc_url, "evm_mine")
            except DevnetError:
                continue
            finally:
                due = max(due + BLOCK_S, time.monotonic())

    def end(self) -> None:
        """No further block."""
        self._ended.set()


@dataclass(slots=True)
class Network:
    """One devnet in one state directory.

    Attributes:
        state: Its directory, prepared and locked.
        port: HTTP port that is asked for; None: that of the last time, 8000 at first, or a free
            one.
        say: Tells a person what happens.
    """

    state: StateDirectory
    port: int | None
    say: Say
    _ticker: Ticker | None = None

    def start(self, supervisor: Supervisor) -> None:
        """Start everything and write `devnet.json`.

        Raises:
            ChainLost: The directory's chain is gone.
            DevnetError: Something cannot be had or does not come up; says the remedy.
        """
        nodes = self._nodes()
        server = self._start_database(supervisor, nodes)
        chain = self._start_chain(supervisor, nodes)
        self._start_nodes(supervisor, nodes, server, chain.rpc_url)
        self._describe(supervisor, nodes, server, chain)
        supervisor.on_change = lambda: self._describe(supervisor, nodes, server, chain)

    def end(self) -> None:
        """No further block; the programs are the supervisor's to stop."""
        if self._ticker is not None:
            self._ticker.end()

    def _nodes(self) -> list[Node]:
        """The nodes, each further one at the next port if that is free."""
        first, *further = self.state.node_names
        nodes = [Node(first, self.state, self._choose_http_port())]
        for number, name in enumerate(further, start=1):
            port = self._free_port(nodes[0].http_port + number)
            nodes.append(Node(name, self.state.node(name), port))
        return nodes

    def _choose_http_port(self) -> int:
        """The port that is asked for; else the one that was asked for last, if it is free."""
        before = read_json(self.state.asked).get("http_port", _HTTP_PORT)
        wanted = before if self.port is None else self.port
        if self.port is None:
            return self._free_port(wanted)
        chosen = free_port(wanted)
        if chosen != self.port:
            raise DevnetError(
                f"port {self.port} is taken", remedy="give another with --port, or leave it out"
            )
        write_json(self.state.asked, {"http_port": self.port})
        return chosen

    def _free_port(self, wanted: int) -> int:
        chosen = free_port(wanted if wanted <= _PORT_MAX else None)
        if chosen != wanted:
            self.say(f"port {wanted} is taken; taking {chosen}")
        return chosen

    def _start_database(self, supervisor: Supervisor, nodes: Sequence[Node]) -> Postgres:
        server = Postgres(
            self.state.postgres, free_port(_DATABASE_PORT), self.state.log("postgres")
        )
        if server.initialise():
            self.say("made a PostgreSQL data directory")
        self.say(f"starting PostgreSQL on port {server.port}")
        supervisor.start(server.program(), before_start=server.remove_stale_lock)
        supervisor.wait_for("postgres", server.ready)
        for node in nodes:
            if not node.is_seeded:  # an interrupted first start: no node has run on it yet
                server.drop_database(node.database)
            server.create_database(node.database)
        server.create_node_login()
        return server

    def _start_chain(self, supervisor: Supervisor, nodes: Sequence[Node]) -> Anvil:
        chain = Anvil(
            self.state.anvil,
            free_port(_CHAIN_PORT),
            self.state.log("anvil"),
            automine=False,
            states_kept=_STATES_KEPT,
            keep_state=True,
        )
        resumed = self.state.chain.exists()
        if resumed and not chain.state_file.exists():
            raise ChainLost
        if not resumed:  # an interrupted first start: nothing depends on that chain yet
            chain.state_file.unlink(missing_ok=True)
        chain.remove_caches()
        self.say(f"starting anvil on port {chain.port}")
        supervisor.start(chain.program(), lost=ChainLost())
        supervisor.wait_for("anvil", chain.ready)
        # From here on only an orderly end writes it again; an old one must not be taken for new.
        chain.state_file.unlink(missing_ok=True)
        if resumed:
            self._check_contracts(chain)
            call(chain.rpc_url, "anvil_mine", hex(_BLOCKS_ON_RESUME))
        else:
            self.say("deploying the contracts and minting test money")
            module = ("node.devnet.chain", str(self.state.root), chain.rpc_url)
            supervisor.run(nodes[0].program("chain", *module, environment={}))
        self._ticker = Ticker(chain.rpc_url)
        self._ticker.start()
        return chain

    def _check_contracts(self, chain: Anvil) -> None:
        addresses = read_json(self.state.chain)
        for name in ("token", "settlement"):
            if call(chain.rpc_url, "eth_getCode", addresses[name], "latest") == "0x":
                raise ChainLost

    def _start_nodes(
        self, supervisor: Supervisor, nodes: Sequence[Node], server: Postgres, rpc_url: str
    ) -> None:
        unmet = [node for node in nodes if not is_introduced(node, nodes)]
        for node in unmet:
            self._migrate(supervisor, node, server, rpc_url)
            what = "a new webhook endpoint" if node.is_seeded else "keys and customers"
            self.say(f"making {what}" + f" of {node.name}" * (len(nodes) > 1))
            supervisor.run(seeding(node, nodes, node.environment(server, rpc_url)))
        introduce(nodes)
        for node in nodes:
            self.say(f"starting corridor serve and work on {node.url}")
            for program in node.programs(node.environment(server, rpc_url)):
                supervisor.start(program)
        for node in nodes:  # meanwhile all are loading; they wait for the schema
            if node not in unmet:
                self._migrate(supervisor, node, server, rpc_url)
        for node in nodes:
            for name, path in (("serve", "healthz"), ("work", "readyz")):
                supervisor.wait_for(node.program_name(name), partial(answers, f"{node.url}/{path}"))

    def _migrate(self, supervisor: Supervisor, node: Node, server: Postgres, rpc_url: str) -> None:
        owner = {"CORRIDOR_DATABASE_OWNER_URL": server.url(node.database)}
        environment = {**node.environment(server, rpc_url), **owner}
        supervisor.run(node.program("migrate", "node", "migrate", environment=environment))

    def _describe(
        self, supervisor: Supervisor, nodes: Sequence[Node], server: Postgres, chain: Anvil
    ) -> None:
        """Write `devnet.json`; in the directory of each further node one with that node first."""
        first = read_json(self.state.chain)
        about_chain = {
            "chain_id": CHAIN_ID,
            "rpc_url": chain.rpc_url,
            "pid": supervisor.pid("anvil"),
        }
        contracts = {
            "USDC": first["token"],
            "settlement": first["settlement"],
            "deposits": first["deposits"],
            **first["price_feeds"],
        }
        told = [node.describe(server, supervisor.pid) for node in nodes]
        for node, own in zip(nodes, told, strict=True):
            others = [each for each in told if each is not own]
            write_json(
                node.place.description,
                {"chain": about_chain, "contracts": contracts, "nodes": [own, *others]},
            )


def answers(url: str) -> bool:
    """Whether a GET of this `http://` URL is answered with 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=_ANSWER_LIMIT_S
    )
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
