"""A node over real HTTP with the behaviour the commands depend on.

One credential, quotes, transfers that are made once per Idempotency-Key, a timeline that moves on
with each look, and answers that get lost. Not here: rules of money.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "secret-of-the-test"
TRANSFER_ID = "tra_01jd0000000000000000000001"
CUSTOMER = {"id": "cus_01jd0000000000000000000001", "name": "Ada", "country": "DE"}
ASSETS = [
    {"code": "EUR", "digits": 2, "kind": "fiat"},
    {"code": "USDC", "digits": 6, "kind": "token"},
    {"code": "ETH", "digits": 9, "kind": "native"},
]
AS_OF = {"sequence": 12, "booked_at": "2026-11-22T10:00:00Z"}
STATEMENT: Mapping[str, Any] = {
    "customer_id": CUSTOMER["id"],
    "currency": "EUR",
    "from": "2026-11-01",
    "to": "2026-11-22",
    "is_complete": False,
    "as_of": AS_OF,
    "opening": "0.00",
    "lines": [
        {
            "kind": "top_up",
            "part": "deposit",
            "direction": "in",
            "amount": "1000.00",
            "balance": "1000.00",
            "client_reference": None,
            "beneficiary_name": None,
            "detail": {"reference": "wire [17]"},
            "occurred_at": "2026-11-22T09:00:00Z",
        },
        {
            "kind": "transfer",
            "part": "exchange",
            "direction": "out",
            "amount": "198.99",
            "balance": "801.01",
            "client_reference": "rent",
            "beneficiary_name": "Ben",
            "detail": {},
            "occurred_at": "2026-11-22T10:00:00Z",
        },
    ],
    "closing": "801.01",
    "totals": {"in": {"count": 1, "amount": "1000.00"}, "out": {"count": 1, "amount": "198.99"}},
    "created_at": "2026-11-22T11:00:00Z",
}
STEPS = ("funded", "submitted", "included", "settled")
STATUS_OF = {"settled": "completed", "failed": "failed", "on_hold": "action_required"}

FILE = b"row,id\r\nopening,\r\n"
QUOTE: Mapping[str, Any] = {
    "id": "quo_01jd0000000000000000000001",
    "status": "active",
    "firm": True,
    "fixed_side": "sell",
    "sell": {"currency": "EUR", "amount": "200.00"},
    "buy": {"currency": "USDC", "amount": "230.074048"},
    "rate": "1.15394748",
    "mid_rate": "1.15626",
    "spread_bps": 20,
    "fees": [
        {"type": "service", "currency": "EUR", "amount": "0.60"},
        {"type": "network", "currency": "EUR", "amount": "0.02"},
    ],
    "total_cost": {"currency": "EUR", "amount": "1.02", "percent": "0.51"},
    "rate_sources": [
        {
            "name": "ecb",
            "sell": "EUR",
            "buy": "USD",
            "rate": "1.15626",
            "observed_at": "2026-11-20T15:00:00Z",
            "stale": True,
        }
    ],
    "payout": {"method": "onchain", "estimated_delivery_s": 15},
    "created_at": "2026-11-22T10:00:00Z",
    "expires_at": "2026-11-22T10:01:00Z",
}


@dataclass
class FakeNode:
    """What the node knows and how it misbehaves.

    Attributes:
        steps: States the transfer goes through, one with each look at it.
        answers_to_lose: So many POSTs of transfers are carried out and not answered.
        unreached: So many POSTs of transfers are neither carried out nor answered.
        refusal: Problem that new transfers are declined with.
        run: The reconciliation run it makes.
        breaks: Its open breaks.
        transfers: Every transfer it made, by idempotency key.
        positions: Its positions, as JSON.
        bank: What it says of statements of the bank; and what was sent as one.
        documents: Answers by path, as JSON; as a file where another format is asked for.
        files: What was sent as a file to a path of `documents`, with its media type left out.
        requests: Method, path and Idempotency-Key of everything asked for.
    """

    url: str = ""
    steps: Sequence[str] = STEPS
    answers_to_lose: int = 0
    unreached: int = 0
    refusal: Mapping[str, Any] | None = None
    run: dict[str, Any] = field(default_factory=dict)
    breaks: list[dict[str, Any]] = field(default_factory=list)
    transfers: dict[str, dict[str, Any]] = field(default_factory=dict)
    positions: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    bank: dict[str, Any] = field(default_factory=dict)
    bank_files: list[bytes] = field(default_factory=list)
    documents: dict[str, Any] = field(default_factory=dict)
    files: list[bytes] = field(default_factory=list)
    looks: int = 0

    def answer(self, method: str, path: str, key: str | None, body: Any) -> tuple[int, Any] | None:
        """Status and body; None: the connection is closed without an answer."""
        self.requests.append((method, path, key))
        if (method, path) == ("POST", "/v1/transfers"):
            return self._create(str(key), body)
        if (method, path) == ("GET", f"/v1/transfers/{TRANSFER_ID}"):
            self.looks = min(self.looks + 1, len(self.steps))
        if path.startswith("/v1/reconciliation/bank-statements"):
            self.bank_files += [body] if method == "POST" else []
            return (201 if method == "POST" else 200), self.bank
        if (asked := path.partition("?")[0]) in self.documents:
            self.files += [body] if method == "POST" else []
            is_file = "format=csv" in path or "format=pain.002" in path or "camt" in path
            status = 202 if method == "POST" else 200
            return status, FILE if is_file else self.documents[asked]
        running = {**self.run, "status": "running", "checks": [], "breaks_open": None}
        answers: dict[tuple[str, str], tuple[int, Any]] = {
            ("GET", "/v1/assets"): (200, {"data": ASSETS}),
            ("POST", "/v1/quotes"): (201, dict(QUOTE)),
            ("GET", f"/v1/transfers/{TRANSFER_ID}"): (200, self._view()),
            ("GET", f"/v1/transfers/{TRANSFER_ID}/events"): (200, self._events()),
            ("GET", f"/v1/customers/{CUSTOMER['id']}"): (200, CUSTOMER),
            ("POST", "/v1/reconciliation/runs"): (202, running),
            ("GET", f"/v1/reconciliation/runs/{self.run.get('id')}"): (200, self.run),
            ("GET", "/v1/reconciliation/breaks"): (200, {"data": self.breaks}),
        }
        if path.startswith("/v1/positions"):
            return self._positions(path)
        if path.startswith(f"/v1/customers/{CUSTOMER['id']}/"):
            return _account(path.rpartition("/")[2])
        missing: tuple[int, Any] = 404, problem(404, "not_found", "there is no such object")
        found: tuple[int, Any] = answers.get((method, path.partition("?")[0]), missing)
        return found

    def _positions(self, path: str) -> tuple[int, Any]:
        if "from=2020" in path:
            message = "ask for at most 366 days at once, not 2153"
            error = {"parameter": "from", "code": "too_long", "message": message}
            return 422, problem(422, "period_invalid", message, errors=[error], days_max=366)
        return 200, b"day,currency\r\n" if "format=csv" in path else self.positions

    def _create(self, key: str, body: Any) -> tuple[int, Any] | None:
        if self.unreached:
            self.unreached -= 1
            return None
        if key not in self.transfers:
            if self.refusal:
                return int(self.refusal["status"]), self.refusal
            self.transfers[key] = body
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            return None
        return 201, self._view()

    def _view(self) -> dict[str, Any]:
        state = self.steps[max(self.looks - 1, 0)]
        return {
            "id": TRANSFER_ID,
            "status": STATUS_OF.get(state, "processing"),
            "state": state,
            "waiting": None,
            "sell": QUOTE["sell"],
            "buy": QUOTE["buy"],
            "beneficiary": {"name": "Ben", "country": "PH", "address": "0xabc"},
            "settlement": {
                "tx_hash": "0x" + "ab" * 32 if state in ("included", "settled") else None,
                "block_number": 12 if state in ("included", "settled") else None,
                "confirmations": 1,
                "final": state == "settled",
            },
            "failure": {"code": "beneficiary_refused", "message": "the token refuses the address"}
            if state == "failed"
            else None,
        }

    def _events(self) -> dict[str, Any]:
        return {"data": [self._event(number) for number in range(self.looks)]}

    def _event(self, number: int) -> dict[str, Any]:
        state = self.steps[number]
        return {
            "sequence": number + 1,
            "type": f"transfer.{state}",
            "state": state,
            "status": STATUS_OF.get(state, "processing"),
            "occurred_at": f"2026-11-22T10:00:0{number}Z",
            "detail": {"block_number": 12} if state == "included" else {},
        }


def _account(asked: str) -> tuple[int, Any]:
    """Balances and statements of the customer."""
    if asked.startswith("balances"):
        data = [{"currency": "EUR", "available": "600.00", "reserved": "201.01"}]
        return 200, {"data": [] if "sequence=0" in asked else data, "as_of": AS_OF}
    if "currency=USDC" in asked and "camt.053" in asked:
        return 422, problem(422, "format_unfit", "camt.053 cannot carry it; ask for format=csv")
    is_file = "format=csv" in asked or "format=camt.053" in asked
    return 200, b"row,id\r\nopening,\r\n" if is_file else STATEMENT


def problem(status: int, code: str, detail: str, **context: Any) -> dict[str, Any]:
    """A problem document as the node writes it."""
    return {
        "type": f"/docs/problems#{code}",
        "title": code,
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": status >= 500,
        "request_id": "req-1",
        **context,
    }


@contextmanager
def serving(node: FakeNode) -> Iterator[FakeNode]:
    """The fake on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def _serve(self, method: str) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(length)
            is_json = "json" in self.headers.get("Content-Type", "json")
            body = json.loads(sent or b"null") if is_json else sent
            answer: tuple[int, Any] | None
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                answer = 401, problem(401, "credential_invalid", "the credential is not known")
            else:
                answer = node.answer(method, self.path, self.headers.get("Idempotency-Key"), body)
            if answer is None:
                self.close_connection = True
                return
            told: Any = answer[1]
            is_file = isinstance(told, bytes)
            raw = told if is_file else json.dumps(told).encode()
            self.send_response(answer[0])
            if is_file:
                self.send_header("Content-Disposition", 'attachment; filename="file"')
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            """Requests are in `FakeNode.requests`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    node.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield node
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
