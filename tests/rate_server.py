"""A rate service on this machine that answers as it is told: truly, or with one of many lies.

A server of its own thread, so that tests with and without an event loop can use it, and bytes
written by hand, because no HTTP library would send most of these.
"""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from adapters.machine import SystemClock

Answer = Callable[["Exchange"], None]


@dataclass
class RateServer:
    """A running server.

    Attributes:
        answer: What it does with each request; may be changed at any time.
        requests: Every head it was sent.
    """

    port: int
    answer: Answer
    stopped: threading.Event
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}/v1/latest"


@dataclass
class Exchange:
    """One request that waits for its answer."""

    write: Callable[[bytes], Any]
    stopped: threading.Event

    def json(self, body: str | bytes, *, more: str = "") -> None:
        """Answer 200 with this as JSON."""
        self.http(body, content_type="application/json", more=more)

    def http(
        self,
        body: str | bytes,
        *,
        status: int = 200,
        content_type: str = "text/html",
        more: str = "",
    ) -> None:
        """Answer; `more` are more lines of the head, each ending in CR LF."""
        content = body.encode() if isinstance(body, str) else body
        self.write(
            f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\n{more}"
            f"content-length: {len(content)}\r\nconnection: close\r\n\r\n".encode()
        )
        self.write(content)

    def forever(self, piece: bytes, *, every_s: float = 0) -> None:
        """Write a piece again and again until nobody listens."""
        while not self.stopped.wait(every_s):
            self.write(piece)

    def hold(self) -> None:
        """Write nothing more, and do not hang up either."""
        self.stopped.wait()


@contextmanager
def serving(answer: Answer) -> Iterator[RateServer]:
    """A server on a free port of this machine, for as long as the block lasts."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            with suppress(OSError):  # whoever asked has hung up
                while line := self.rfile.readline(65_536):
                    head += line
                    if line == b"\r\n":
                        running.requests.append(head)
                        running.answer(Exchange(self.wfile.write, running.stopped))
                        return

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    running = RateServer(server.server_address[1], answer, threading.Event())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield running
    finally:
        running.stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()


def truth(
    usd: str = "1.15626", *, base: str = "EUR", at: datetime | None = None, more: str = ""
) -> str:
    """A sane answer of now: `{"base", "timestamp", "rates"}`."""
    moment = at or SystemClock().now()
    rates = f'"USD": {usd}, "GBP": 0.8631{more}'
    return f'{{"base": "{base}", "timestamp": {int(moment.timestamp())}, "rates": {{{rates}}}}}'


def tell(text: str) -> Answer:
    """Answers 200 with this JSON."""
    return lambda exchange: exchange.json(text)


def tell_truth(exchange: Exchange) -> None:
    """Answers as a good service does."""
    exchange.json(truth())


def _trickle(exchange: Exchange) -> None:
    exchange.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
    exchange.forever(b" ", every_s=0.05)


def _trickled_head(exchange: Exchange) -> None:
    exchange.write(b"HTTP/1.1 200 OK\r\nx: ")
    exchange.forever(b"y", every_s=0.05)


def _half(exchange: Exchange) -> None:
    exchange.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{")
    exchange.hold()


def _endless(exchange: Exchange) -> None:
    exchange.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    exchange.forever(b"1000\r\n" + b" " * 4096 + b"\r\n")


def _cut_off(exchange: Exchange) -> None:
    exchange.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{"
    )


def _long_ago(exchange: Exchange) -> None:
    exchange.json(truth(at=SystemClock().now() - timedelta(days=1)))


def _ahead(exchange: Exchange) -> None:
    exchange.json(truth(at=SystemClock().now() + timedelta(hours=2)))


_PAGE = "<html><body>Sign in to go on. key=hunter2secret</body></html>"

LIES: dict[str, tuple[Answer, str]] = {
    "zero": (tell(truth("0")), "EUR/USD is '0'"),
    "zero with digits": (tell(truth("0.000")), "EUR/USD is '0.000'"),
    "negative": (tell(truth("-1.15626")), "EUR/USD is '-1.15626'"),
    "NaN": (tell(truth("NaN")), "it holds NaN"),
    "NaN as text": (tell(truth('"NaN"')), "EUR/USD is 'NaN'"),
    "Infinity": (tell(truth("Infinity")), "it holds Infinity"),
    "minus Infinity": (tell(truth("-Infinity")), "it holds -Infinity"),
    "an exponent": (tell(truth("1.15626e0")), "EUR/USD is '1.15626e0'"),
    "too many digits": (tell(truth("1." + "1" * 21)), "EUR/USD is '1.1"),
    "null": (tell(truth("null")), "EUR/USD is no number"),
    "true": (tell(truth("true")), "EUR/USD is no number"),
    "a list for a number": (tell(truth("[1.15626]")), "EUR/USD is no number"),
    "tomorrow": (_ahead, "in the future"),
    "no time": (tell('{"base": "EUR", "rates": {"USD": 1.1}}'), "nothing at 'timestamp'"),
    "a time that is none": (
        tell('{"base": "EUR", "timestamp": "soon", "rates": {"USD": 1.1}}'),
        "'soon' is no time",
    ),
    "HTML": (lambda exchange: exchange.http(_PAGE), "it is text/html, not JSON"),
    "HTML called JSON": (tell(_PAGE), "it is not JSON"),
    "no type": (lambda exchange: exchange.http(truth(), content_type=""), "of no known type"),
    "nothing": (tell(""), "it is not JSON"),
    "half a document": (tell(truth()[:-1]), "it is not JSON"),
    "not UTF-8": (lambda exchange: exchange.json(b'{"base": "\xff"}'), "it is not JSON"),
    "compressed": (
        lambda exchange: exchange.json(truth(), more="content-encoding: gzip\r\n"),
        "it is compressed",
    ),
    "a megabyte": (tell(" " * 1_000_000 + truth()), "it is longer than 262144 bytes"),
    "an endless body": (_endless, "it is longer than 262144 bytes"),
    "silence": (Exchange.hold, "has not answered within"),
    "silence after the head": (_half, "has not answered within"),
    "a trickle": (_trickle, "has not answered within"),
    "a trickle of a head": (_trickled_head, "has not answered within"),
    "hanging up": (lambda exchange: None, "does not answer: RemoteProtocolError"),
    "a body cut off": (_cut_off, "does not answer: RemoteProtocolError"),
    "no HTTP": (
        lambda exchange: exchange.write(b"220 mail.example ESMTP\r\n"),
        "does not answer: RemoteProtocolError",
    ),
    "a redirect": (
        lambda exchange: exchange.http("", status=302, more="location: /v1/latest\r\n"),
        "HTTP 302; redirects are not followed",
    ),
    "an error": (lambda exchange: exchange.http(_PAGE, status=500), "HTTP 500"),
    "an error with rates": (
        lambda exchange: exchange.http(truth(), status=503, content_type="application/json"),
        "HTTP 503",
    ),
    "an error called a success": (
        tell('{"success": false, "error": {"info": "key hunter2secret is not valid"}}'),
        "nothing at 'rates'",
    ),
    "another base": (tell(truth(base="USD")), "its base is USD, not EUR"),
    "no base": (tell('{"timestamp": 1, "rates": {"USD": 1.1}}'), "nothing at 'base'"),
    "a base that is not 1": (tell(truth(more=', "EUR": 1.01')), "EUR/EUR is not 1"),
    "a rate twice": (tell(truth(more=', "USD": 9.9')), "a member of its JSON is there twice"),
    "rates twice": (
        tell(truth()[:-1] + ', "rates": {"USD": 9.9}}'),
        "a member of its JSON is there twice",
    ),
    "deep JSON": (tell("[" * 100_000 + "]" * 100_000), "nested too deeply"),
    "a list": (tell("[]"), "nothing at 'rates'"),
    "no rates": (tell('{"base": "EUR", "timestamp": 1, "rates": {}}'), "it has no rates"),
    "a list of rates": (tell('{"base": "EUR", "timestamp": 1, "rates": []}'), "no object at"),
    "what is no currency": (tell(truth(more=', "usd": 1.1')), "'usd' is no asset code"),
    "one wrong rate among good ones": (tell(truth(more=', "JPY": "n/a"')), "EUR/JPY is "),
}
"""What it does, and the words that name the fault; none of them is a rate from first to last."""

YESTERDAY: Answer = _long_ago
"""Rates of the day before, said to be so: a fault for whoever bounds their age, not in itself."""
