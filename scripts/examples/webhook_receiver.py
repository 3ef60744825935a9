"""Receive webhooks with the standard library's server, check each signature, act on each once.

    python -m scripts.examples.webhook_receiver --key whsec_... --port 9000

`corridor listen --forward-to http://127.0.0.1:9000` sends some, and prints their secret.
"""

import argparse
from http.server import BaseHTTPRequestHandler, HTTPServer

from node.client import WebhookUnverified
from node.client.webhooks import verify

BYTES_MAX = 1_048_576


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what is signed, 401 to what is not."""

    keys: tuple[str, ...] = ()
    seen: set[str] = set()  # noqa: RUF012 - a real receiver keeps these in its database

    def do_POST(self) -> None:
        """One message."""
        body = self.rfile.read(min(int(self.headers.get("content-length", "0")), BYTES_MAX))
        try:
            webhook = verify(self.keys, dict(self.headers), body)
        except WebhookUnverified as error:
            self.send_error(401, str(error))
            return
        if webhook.id not in self.seen:
            self.seen.add(webhook.id)
            print(webhook.id, webhook.type, webhook.data.get("object_id", ""), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing: what is received is printed."""


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--key", action="append", required=True, help="whsec_... or whpk_...")
    parser.add_argument("--port", type=int, default=9000, help="0: any free one")
    given = parser.parse_args()
    Receiver.keys = tuple(given.key)
    with HTTPServer(("127.0.0.1", given.port), Receiver) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
