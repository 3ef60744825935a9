"""A payment from one node to the other over HTTP, and the sums that prove it, for the demo.

Euros of a customer of the first node become pesos at a bank account that the second pays. It uses
what everybody has, as `remittance.py` does. Not here: how it is shown (`crossing_shown.py`).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from node.devnet.errors import DevnetError
from node.devnet.remittance import (
    Document,
    Node,
    balance_minor,
    follow,
    minor,
    reconcile,
)

SELL = {"currency": "EUR", "amount": "200.00"}
PAYEE = {
    "name": "Bea",
    "country": "PH",
    "account": {"type": "bank", "number": "000123456789", "bank_code": "BOPIPHMM"},
}

_LIMIT_S = 60.0
_POLL_S = 0.2
_TOKEN = "USDC"  # noqa: S105 - no password
_PARTS = {
    "asset": "held",
    "liability": "owed",
    "income": "earned",
    "expense": "spent",
    "equity": "owned",
}


@dataclass(frozen=True, slots=True)
class Sums:
    """What both ledgers say together, and the chain.

    Attributes:
        parts: By currency: `held` at banks and on chain, `owed` to others, `earned`, `spent`,
            `owned` (capital and positions). Native coins pay gas and are left out.
        held: The token that each node's ledger says it holds, by the node's name.
        on_chain: Token units that the chain says those same addresses hold.
    """

    parts: Mapping[str, Mapping[str, Decimal]]
    held: Mapping[str, Decimal]
    on_chain: Decimal

    def balance(self) -> bool:
        """Whether every currency's sums are equal, and the chain says what the ledgers say."""
        return self.on_chain == sum(self.held.values()) and all(
            each["held"] + each["spent"] == each["owed"] + each["earned"] + each["owned"]
            for each in self.parts.values()
        )

    def since(self, before: Sums) -> dict[str, dict[str, Decimal]]:
        """What has changed, by currency; currencies in which nothing has are left out."""
        changes = {
            code: {part: amount - before.parts[code][part] for part, amount in parts.items()}
            for code, parts in self.parts.items()
        }
        return {code: parts for code, parts in changes.items() if any(parts.values())}


class Crossing:
    """A customer of the first node pays a beneficiary of the second.

    Attributes:
        customer: Who pays, as `devnet.json` knows it.
        names: Of the two nodes.
    """

    def __init__(self, description: Document) -> None:
        first, second = description["nodes"]
        self.names = (str(first["name"]), str(second["name"]))
        self.customer: Document = first["customers"][1]
        self._rpc_url = str(description["chain"]["rpc_url"])
        self._token = str(description["contracts"][_TOKEN])
        self._remitter = Node(first["url"], self.customer["token"])
        self._operators = {
            str(each["name"]): Node(each["url"], each["keys"]["operator"])
            for each in (first, second)
        }

    def close(self) -> None:
        """Close the connections."""
        for each in (self._remitter, *self._operators.values()):
            each.close()

    def quote(self) -> Document:
        """One firm quote, of both nodes' prices."""
        body = {"sell": SELL, "buy": {"currency": "PHP"}, "payout": {"method": "partner"}}
        return self._remitter.post("/v1/quotes", body)

    def transfer(self, quote: Document) -> Document:
        """Order the transfer that consumes the quote."""
        body = {
            "quote_id": quote["id"],
            "customer_id": self.customer["id"],
            "beneficiary": PAYEE,
            "purpose": "family_support",
        }
        return self._remitter.post("/v1/transfers", body)

    def follow(self, transfer: Document) -> Iterator[Document]:
        """Each event of the transfer's timeline as it happens, until the transfer ends."""
        return follow(self._remitter, transfer)

    def find(self, transfer_id: str) -> Document:
        """The transfer as the first node has it now."""
        return self._remitter.get(f"/v1/transfers/{transfer_id}")

    def payout(self, transfer: Document) -> Document:
        """The same payment as the second node has it."""
        payout_id = transfer["payout"]["payout_id"]
        return self._operators[self.names[1]].get(f"/v1/payouts/{payout_id}")

    def reconcile(self) -> dict[str, Document]:
        """A reconciliation run of each node, completed."""
        return {name: reconcile(node) for name, node in self._operators.items()}

    def sums(self) -> Sums:
        """What both ledgers and the chain say, once nothing is under way.

        A transaction that the chain has is in the ledgers when it is final, some blocks later.

        Raises:
            DevnetError: They have not come to agree in 60 s.
        """
        give_up_at = time.monotonic() + _LIMIT_S
        while True:
            found = self._sums()
            if found.balance():
                return found
            if time.monotonic() > give_up_at:
                raise DevnetError(f"ledgers and chain do not come to agree: {found}")
            time.sleep(_POLL_S)

    def _sums(self) -> Sums:
        parts: dict[str, dict[str, Decimal]] = defaultdict(
            lambda: dict.fromkeys(_PARTS.values(), Decimal())
        )
        held: dict[str, Decimal] = {}
        on_chain_minor = 0
        for name, node in self._operators.items():
            held[name] = Decimal()
            for account in _accounts(node):
                code, amount = account["currency"], Decimal(account["posted"])
                kind, *_ = account["path"].split("/")
                parts[code][_PARTS[account["kind"]]] += amount
                if kind == "chain" and code == _TOKEN:
                    held[name] += amount
                    address = account["path"].split("/")[2]
                    on_chain_minor += balance_minor(self._rpc_url, self._token, address)
        del parts["ETH"]
        return Sums(dict(parts), held, Decimal(on_chain_minor).scaleb(-6))


def _accounts(operator: Node) -> Iterator[Document]:
    cursor: str | None = None
    while True:
        query = {"limit": "200"} | ({} if cursor is None else {"cursor": cursor})
        page = operator.get("/v1/ledger/accounts", **query)
        yield from page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def is_delivered(quote: Document, transfer: Document, payout: Document) -> bool:
    """Whether both nodes say that exactly the quoted amount was paid out, for one payment."""
    matched = payout["matched"] or {}
    return (
        transfer["status"] == payout["status"] == "completed"
        and quote["buy"] == transfer["buy"] == payout["buy"]
        and matched.get("tx_hash") == transfer["settlement"]["tx_hash"]
        and matched.get("settlement_number") == transfer["settlement"]["payment_number"]
        and minor(matched["amount"]) == minor(transfer["payout"]["paid"]["amount"])
    )


def is_conserved(quote: Document, changes: Mapping[str, Mapping[str, Decimal]]) -> bool:
    """Whether nothing came or went but what was delivered.

    What both nodes hold of the sold currency and the token is as before; of the bought currency it
    is less by what the beneficiary got.
    """
    sold, bought = quote["sell"]["currency"], quote["buy"]["currency"]
    held = {code: changes[code]["held"] for code in (sold, _TOKEN, bought)}
    return (
        held == {sold: 0, _TOKEN: 0, bought: -Decimal(quote["buy"]["amount"])}
        and changes[sold]["owed"] == -Decimal(quote["sell"]["amount"])
        and set(changes) == set(held)
    )
