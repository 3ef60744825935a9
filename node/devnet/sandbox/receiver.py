"""Receivers of webhooks that are away, decline or send elsewhere: real ones, on this machine.

Each is an endpoint of the demo partner that gets one test message, answers it badly, and answers
the next attempt well; then the endpoint is disabled.
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from node.devnet.sandbox.site import Site, Wish

LOST: Final = 0
"""No answer: the connection ends once the message was read."""

_OK: Final = 204
_REFUSING: Final = 500
_REDIRECTING: Final = 302
_GONE: Final = 410
_ELSEWHERE: Final = "http://169.254.169.254/latest/meta-data/"  # a cloud's secrets, usually
_AGAIN_LIMIT_S: Final = 90.0
"""The second attempt comes after 5 seconds."""


def lose(site: Site, _: Wish) -> dict[str, Any]:
    """The receiver takes the message and its answer is lost; it comes again with the same id."""
    return _tried(site, [LOST, _OK])


def decline(site: Site, _: Wish) -> dict[str, Any]:
    """The receiver answers 500; the message comes again."""
    return _tried(site, [_REFUSING, _OK])


def redirect(site: Site, _: Wish) -> dict[str, Any]:
    """The receiver sends it elsewhere: that is not followed; the message comes again."""
    return _tried(site, [_REDIRECTING, _OK])


def be_gone(site: Site, _: Wish) -> dict[str, Any]:
    """The receiver answers 410: the endpoint is disabled, and nothing more is sent."""
    return _tried(site, [_GONE])


def _tried(site: Site, answers: Sequence[int]) -> dict[str, Any]:
    with _receiver(answers) as (url, seen):
        body = {"url": url, "partner_id": site.partner_id, "events": ["refund"]}
        endpoint = site.post("/v1/webhook-endpoints", body, who="operator")
        path = f"/v1/webhook-endpoints/{endpoint['id']}"
        made = site.post(f"{path}/test", {}, who="operator")

        def ended() -> dict[str, Any] | None:
            found = site.get(f"/v1/webhook-deliveries/{made['id']}", who="operator")
            return None if found["status"] == "pending" else found

        delivery: dict[str, Any] = site.until(
            ended, "the message was delivered or given up", limit_s=_AGAIN_LIMIT_S
        )
        shown = site.get(path, who="operator")
        site.post(f"{path}/disable", {}, who="operator")
    return {
        "delivery_id": made["id"],
        "status": delivery["status"],
        "attempts": [
            {"status": each["status"], "error": each["error"]} for each in delivery["log"]
        ],
        "webhook_ids": seen,
        "endpoint_id": endpoint["id"],
        "endpoint_status": shown["status"],
    }


@contextmanager
def _receiver(answers: Sequence[int]) -> Iterator[tuple[str, list[str]]]:
    """A server that answers so, one after the other: its URL, and the ids of what came."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Read the message; answer, or hang up."""
            self.rfile.read(int(self.headers.get("content-length", "0")))
            answer = answers[min(len(seen), len(answers) - 1)]
            seen.append(str(self.headers.get("webhook-id")))
            if answer == LOST:
                self.close_connection = True
                return
            self.send_response(answer)
            if answer == _REDIRECTING:
                self.send_header("location", _ELSEWHERE)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: the trigger tells what came."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
