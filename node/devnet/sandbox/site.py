"""The devnet that triggers act on: its node over HTTP, its chain over JSON-RPC, its processes.

It is refused unless the devnet's own description is there and its chain is anvil with a chain id
that is nobody's: a node of anybody else can be reached with none of this.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self

import httpx
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from node.config import TEST_CHAINS
from node.devnet.anvil import CHAIN_ID, DEV_ACCOUNTS
from node.devnet.errors import DevnetError
from node.devnet.rpc import call
from node.devnet.running import describe
from node.devnet.state import StateDirectory, read_json, write_json

ISSUER: Final = DEV_ACCOUNTS[0][0]
"""Who deployed the token and the price feeds; the chain signs for it."""

_HTTP_LIMIT_S: Final = 30.0
_WAIT_S: Final = 30.0
_LOOK_S: Final = 0.1
_GAS: Final = 6_000_000
_DEAR_WEI: Final = 10**11


@dataclass(frozen=True, slots=True)
class Wish:
    """What a trigger was asked for besides its name; each takes what it knows.

    Attributes:
        request_id: Of a payment request to pay; None: one is made.
        payout_id: Of a payout to pay.
        address: Of a beneficiary.
        forward: By how much the clock is moved.
        depth_blocks: How many blocks a reorg replaces.
    """

    request_id: str | None = None
    payout_id: str | None = None
    address: str | None = None
    forward: timedelta = timedelta()
    depth_blocks: int = 1


@dataclass(frozen=True)
class Site:
    """One node of a running devnet."""

    state: StateDirectory
    node_name: str | None = None

    @classmethod
    def open(cls, state_dir: Path, node_name: str | None = None, *, ask_chain: bool = True) -> Self:
        """The devnet of a state directory.

        Args:
            state_dir: Of the devnet.
            node_name: Which node; None: the first.
            ask_chain: False where the chain is known to stand still, to let it go on.

        Raises:
            DevnetError: None runs there, it has no such node, or what runs is no sandbox.
        """
        site = cls(StateDirectory(state_dir.absolute()), node_name)
        if not site.described:
            raise DevnetError(
                f"no devnet runs in {site.state.root}: only a devnet's outcomes can be forced",
                remedy="start one with `corridor devnet up`, or name it with --state-dir",
            )
        if ask_chain:
            site.check_chain()
        site.node  # noqa: B018 - says now if there is no such node
        return site

    def check_chain(self) -> None:
        """See that the chain is anvil, with a chain id that is nobody's.

        Raises:
            DevnetError: It is another, or does not answer.
        """
        chain_id = int(self.rpc("eth_chainId"), 16)
        is_anvil = str(self.rpc("web3_clientVersion")).startswith("anvil/")
        if chain_id != CHAIN_ID or chain_id not in TEST_CHAINS or not is_anvil:
            raise DevnetError(
                f"the chain at {self.rpc_url} is not a devnet's (chain id {chain_id}):"
                " nothing was done",
                remedy="outcomes are forced in a devnet only: `corridor devnet up`",
            )

    # ------------------------------------------------------------------------------ what there is

    @property
    def described(self) -> Mapping[str, Any]:
        """Content of `devnet.json` now: process ids change with restarts."""
        return describe(self.state.root)

    @property
    def node(self) -> Mapping[str, Any]:
        """The node: the one that is named, or the first."""
        nodes = self.described["nodes"]
        for each in nodes:
            if self.node_name in (None, each["name"]):
                return dict(each)
        names = ", ".join(each["name"] for each in nodes)
        raise DevnetError(f"the devnet has no node {self.node_name!r}; there is {names}")

    @property
    def rpc_url(self) -> str:
        """Of the chain."""
        return str(self.described["chain"]["rpc_url"])

    @property
    def token(self) -> str:
        """Address of the devnet's USDC."""
        return str(self.described["contracts"]["USDC"])

    @property
    def notes(self) -> dict[str, Any]:
        """What a trigger must remember to undo what it did."""
        return read_json(self._notes)

    def note(self, name: str, value: Any) -> None:
        """Remember a value; None forgets it."""
        kept = self.notes | {name: value}
        write_json(self._notes, {key: each for key, each in kept.items() if each is not None})

    @property
    def _notes(self) -> Path:
        return self.state.root / "sandbox.json"

    # ---------------------------------------------------------------------------------- the node

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, who: str = "partner"
    ) -> httpx.Response:
        """One answer of the node to its demo partner, or with `who` to its operator."""
        headers = {"Authorization": f"Bearer {self.node['keys'][who]}"}
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid.uuid4())
        url = str(self.node["url"]) + path
        try:
            return httpx.request(
                method,
                url,
                json=body,
                headers=headers,
                timeout=_HTTP_LIMIT_S,
                trust_env=False,  # a proxy cannot reach this machine's own ports
            )
        except httpx.HTTPError as error:
            raise DevnetError(f"{method} {path} was not answered: {error}") from error

    def get(self, path: str, *, who: str = "partner") -> dict[str, Any]:
        """The object at a path."""
        return _good(self.ask("GET", path, who=who))

    def post(self, path: str, body: Mapping[str, Any], *, who: str = "partner") -> dict[str, Any]:
        """What a POST makes."""
        return _good(self.ask("POST", path, body, who=who))

    @property
    def partner_id(self) -> str:
        """The demo partner's."""
        return str(self.get("/v1/me")["partner"]["id"])

    # --------------------------------------------------------------------------------- the chain

    def rpc(self, method: str, *params: Any) -> Any:
        """Result of one JSON-RPC call."""
        return call(self.rpc_url, method, *params)

    def mine(self, blocks: int = 1) -> None:
        """So many blocks now, besides those that come by themselves."""
        for _ in range(blocks):
            self.rpc("evm_mine")

    def newest_block(self) -> dict[str, Any]:
        """The chain's head, without its transactions."""
        with_transactions = False
        return dict(self.rpc("eth_getBlockByNumber", "latest", with_transactions))

    def send(self, to: str, signature: str, *arguments: object) -> dict[str, Any]:
        """A call of a contract by the issuer, mined; its receipt.

        Raises:
            DevnetError: The contract declines.
        """
        return self.transact({"to": to, "data": "0x" + calldata(signature, *arguments).hex()})

    def deploy(self, code: bytes) -> str:
        """Address of a new contract."""
        return str(self.transact({"data": "0x" + code.hex()})["contractAddress"])

    def transact(self, fields: Mapping[str, str]) -> dict[str, Any]:
        """A transaction of the issuer, mined; its receipt."""
        price_wei = 2 * int(self.newest_block()["baseFeePerGas"], 16) + _DEAR_WEI
        whole = {"from": ISSUER, "gas": hex(_GAS), "gasPrice": hex(price_wei), **fields}
        tx_hash = self.rpc("eth_sendTransaction", whole)
        self.mine()
        receipt = self.until(lambda: self.rpc("eth_getTransactionReceipt", tx_hash), "it is mined")
        if int(receipt["status"], 16) != 1:
            raise DevnetError(f"the chain declined transaction {tx_hash}")
        return dict(receipt)

    def read(self, to: str, signature: str, *arguments: object) -> int:
        """First word of what a contract answers now, as a number."""
        data = "0x" + calldata(signature, *arguments).hex()
        answer = str(self.rpc("eth_call", {"to": to, "data": data}, "latest"))
        return int(answer[:66], 16)

    # --------------------------------------------------------------------------------- processes

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a process of the devnet."""
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            raise DevnetError(f"process {pid} of the devnet is gone") from None

    def until(self, look: Callable[[], Any], what: str, *, limit_s: float = _WAIT_S) -> Any:
        """The first true value of `look`."""
        give_up_at = time.monotonic() + limit_s
        while time.monotonic() < give_up_at:
            if found := look():
                return found
            time.sleep(_LOOK_S)
        raise DevnetError(f"it did not happen within {limit_s:.0f} s that {what}")


def calldata(signature: str, *arguments: object) -> bytes:
    """A call of a function whose arguments are plain words or bytes."""
    types = [each for each in signature.partition("(")[2].rstrip(")").split(",") if each]
    return bytes(keccak(text=signature)[:4] + encode(types, arguments))


def _good(response: httpx.Response) -> dict[str, Any]:
    if not response.is_success:
        request = response.request
        raise DevnetError(
            f"{request.method} {request.url.path} was answered with {response.status_code}:"
            f" {response.text}"
        )
    return dict(response.json())
