"""One remittance over HTTP, and the proof of it from the chain, for the demo.

It uses what everybody has: the public HTTP interface, a customer's credential, the chain's
JSON-RPC. Nothing of the node is imported. Not here: how it is shown (`demo.py`).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import httpx
from eth_utils.crypto import keccak

from node.devnet.anvil import DEV_ACCOUNTS
from node.devnet.errors import DevnetError
from node.devnet.rpc import call

Document = dict[str, Any]

SELL = {"currency": "EUR", "amount": "200.00"}
BENEFICIARY = {"name": "Bea", "country": "PH", "address": DEV_ACCOUNTS[2][0]}

_ENDED = frozenset({"completed", "canceled", "failed", "expired", "refunded"})
_LIMIT_S = 90.0
_POLL_S = 0.2
_HTTP_LIMIT_S = 30.0
_TRANSFER_TOPIC = "0x" + keccak(b"Transfer(address,address,uint256)").hex()
_SETTLED_TOPIC = "0x" + keccak(b"Settled(uint64)").hex()
_BALANCE_OF = "0x" + keccak(b"balanceOf(address)")[:4].hex()
_MINT = "0x" + keccak(b"mint(address,uint256)")[:4].hex()
_DEPOSIT_MINOR = 25 * 10**6


class Node:
    """A node's HTTP interface, spoken to with one credential."""

    def __init__(self, url: str, credential: str) -> None:
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {credential}"},
            timeout=_HTTP_LIMIT_S,
            trust_env=False,  # a proxy cannot reach this machine's own ports
        )

    def get(self, path: str, **query: str) -> Document:
        """The object at a path."""
        return self._ask("GET", path, params=query)

    def post(self, path: str, body: Mapping[str, Any]) -> Document:
        """The object that a POST makes; a new idempotency key each time."""
        key = {"Idempotency-Key": str(uuid.uuid4())}
        return self._ask("POST", path, json=body, headers=key)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, method: str, path: str, **options: Any) -> Document:
        try:
            response = self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise DevnetError(f"{method} {path} was not answered: {error}") from error
        if not response.is_success:
            raise DevnetError(
                f"{method} {path} was answered with {response.status_code}: {response.text}"
            )
        return dict(response.json())


class Remittance:
    """The main job: a remitter's EUR become USDC at a beneficiary's address.

    Attributes:
        customer: The remitter, as `devnet.json` knows it.
    """

    def __init__(self, description: Document) -> None:
        node = description["nodes"][0]
        self._rpc_url = str(description["chain"]["rpc_url"])
        self._token = str(description["contracts"]["USDC"])
        self.customer: Document = node["customers"][0]
        self._remitter = Node(node["url"], self.customer["token"])
        self._partner = Node(node["url"], node["keys"]["partner"])
        self._operator = Node(node["url"], node["keys"]["operator"])

    def close(self) -> None:
        """Close the connections."""
        for each in (self._remitter, self._partner, self._operator):
            each.close()

    def top_up(self) -> Document:
        """The remitter's money arrives at the play bank."""
        body = {**SELL, "rail": "sandbox_bank", "reference": f"demo-{uuid.uuid4()}"}
        return self._partner.post(f"/v1/customers/{self.customer['id']}/top-ups", body)

    def quote(self) -> Document:
        """A firm quote for selling the amount."""
        body = {"sell": SELL, "buy": {"currency": "USDC"}, "payout": {"method": "onchain"}}
        return self._remitter.post("/v1/quotes", body)

    def transfer(self, quote: Document) -> Document:
        """Order the transfer that consumes the quote."""
        body = {
            "quote_id": quote["id"],
            "customer_id": self.customer["id"],
            "beneficiary": BENEFICIARY,
            "purpose": "family_support",
        }
        return self._remitter.post("/v1/transfers", body)

    def follow(self, transfer: Document) -> Iterator[Document]:
        """Each event of the transfer's timeline as it happens, until the transfer ends."""
        return follow(self._remitter, transfer)

    def find(self, transfer_id: str) -> Document:
        """The transfer as it is now."""
        return self._remitter.get(f"/v1/transfers/{transfer_id}")

    def beneficiary_balance_minor(self) -> int:
        """What the token contract says the beneficiary has."""
        return self._balance_minor(BENEFICIARY["address"])

    def deposit(self) -> Document:
        """Somebody pays the customer on chain: credited when it is final, then swept.

        Returns:
            The deposit, once its address is empty again.

        Raises:
            DevnetError: Either has not happened in 90 s.
        """
        path = f"/v1/customers/{self.customer['id']}"
        address = self._remitter.get(f"{path}/deposit-address")["address"]
        amount = f"{_DEPOSIT_MINOR:064x}"
        sent = {
            "from": DEV_ACCOUNTS[0][0],  # the issuer of the play token
            "to": self._token,
            "data": _MINT + address[2:].lower().rjust(64, "0") + amount,
        }
        tx_hash = call(self._rpc_url, "eth_sendTransaction", sent)
        give_up_at = time.monotonic() + _LIMIT_S
        while True:
            page = self._remitter.get(f"{path}/deposits")["data"]
            mine = [each for each in page if each["tx_hash"] == tx_hash]
            if mine and mine[0]["status"] == "credited" and self._balance_minor(address) == 0:
                return dict(mine[0])
            if time.monotonic() > give_up_at:
                told = "not credited" if not mine else f"{mine[0]['status']}, and not swept"
                raise DevnetError(f"the deposit {tx_hash} is {told} after {_LIMIT_S:.0f} s")
            time.sleep(_POLL_S)

    def _balance_minor(self, address: str) -> int:
        return balance_minor(self._rpc_url, self._token, address)

    def proof(self, transfer: Document) -> Document:
        """What the chain itself says of the payout, read from anvil and not from the node.

        The payout of a `Settled` event is the token's last `Transfer` before it.
        """
        settlement = transfer["settlement"]
        receipt = call(self._rpc_url, "eth_getTransactionReceipt", settlement["tx_hash"])
        number = int(settlement["payment_number"])
        settled, moved = None, None
        for log in receipt["logs"]:
            if log["topics"][0] == _TRANSFER_TOPIC and _same(log["address"], self._token):
                moved = log
            if log["topics"][0] == _SETTLED_TOPIC and int(log["topics"][1], 16) == number:
                settled = log
                break
        matches = (
            settled is not None
            and moved is not None
            and _same(settled["address"], settlement["contract"])
            and _same(_address(moved["topics"][1]), settlement["contract"])
            and _same(_address(moved["topics"][2]), BENEFICIARY["address"])
            and int(moved["data"], 16) == minor(transfer["buy"]["amount"])
        )
        return {
            "tx_hash": settlement["tx_hash"],
            "block_number": int(receipt["blockNumber"], 16),
            "block_hash": receipt["blockHash"],
            "settled_log": settled,
            "transfer_log": moved,
            "matches": matches,
        }

    def statement(self, transfer: Document) -> list[Document]:
        """The customer's own view: every movement of this transfer."""
        page = self._remitter.get(f"/v1/customers/{self.customer['id']}/entries")
        return [each for each in page["data"] if each["transfer_id"] == transfer["id"]]

    def ledger_entries(self, transfer: Document) -> list[Document]:
        """The ledger's view: every entry of this transfer with its two accounts, oldest first."""
        found: dict[tuple[int, str, str], Document] = {}
        for account in self._operator.get("/v1/ledger/accounts", limit="200")["data"]:
            path = f"/v1/ledger/accounts/{account['id']}/entries"
            for entry in self._operator.get(path)["data"]:
                if entry["transfer_id"] != transfer["id"]:
                    continue
                sides = (account["path"], entry["counter_account"])
                debit, credit = sides if entry["side"] == "debit" else sides[::-1]
                kept = ("sequence", "type", "status", "currency", "amount", "occurred_at")
                found[entry["sequence"], debit, credit] = {
                    **{name: entry[name] for name in kept},
                    "debit": debit,
                    "credit": credit,
                }
        return [found[key] for key in sorted(found)]

    def reconcile(self) -> Document:
        """A reconciliation run, completed."""
        return reconcile(self._operator)


def follow(remitter: Node, transfer: Document) -> Iterator[Document]:
    """Each event of a transfer's timeline as it happens, until the transfer ends.

    Raises:
        DevnetError: It has not ended in 90 s.
    """
    path = f"/v1/transfers/{transfer['id']}"
    give_up_at = time.monotonic() + _LIMIT_S
    shown = 0
    while True:
        # Asked in this order, the events are never behind the status.
        status = remitter.get(path)["status"]
        events = remitter.get(f"{path}/events")["data"]
        yield from events[shown:]
        shown = len(events)
        if status in _ENDED:
            return
        if time.monotonic() > give_up_at:
            raise DevnetError(f"the transfer has not ended in {_LIMIT_S:.0f} s: {status}")
        time.sleep(_POLL_S)


def reconcile(operator: Node) -> Document:
    """A reconciliation run of a node, completed.

    Raises:
        DevnetError: It has not ended in 90 s.
    """
    run = operator.post("/v1/reconciliation/runs", {})
    give_up_at = time.monotonic() + _LIMIT_S
    while run["status"] == "running":
        if time.monotonic() > give_up_at:
            raise DevnetError(f"reconciliation has not ended in {_LIMIT_S:.0f} s")
        time.sleep(_POLL_S)
        run = operator.get(f"/v1/reconciliation/runs/{run['id']}")
    return run


def balance_minor(rpc_url: str, token: str, address: str) -> int:
    """What the token contract says an address has now."""
    data = _BALANCE_OF + address[2:].lower().rjust(64, "0")
    return int(call(rpc_url, "eth_call", {"to": token, "data": data}, "latest"), 16)


def minor(amount: str) -> int:
    """Token units of a decimal amount of USDC (6 digits), exactly."""
    return int(Decimal(amount).scaleb(6).to_integral_exact())


def _address(topic: str) -> str:
    return "0x" + topic[-40:]


def _same(first: str, second: str) -> bool:
    return first.lower() == second.lower()
