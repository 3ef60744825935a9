"""`corridor listen`: events as they happen, printed, and forwarded as webhooks to a URL.

It asks `GET /v1/events` again and again, so it needs no way from the node to this machine. Not
here: what the node itself sends (`node.services.webhooks`).
"""

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn

import httpx
import typer
from rich.markup import escape

from node.cli.client import Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import clock_time, print_json, stderr, stdout
from node.cli.faults import Fault, Status
from node.core.webhooks import SECRET_BYTES, Message, headers_of, is_wanted, secret_text, sign

_POLL_S: Final = 0.5
_PAGE: Final = 200
_LIMIT_S: Final = 10.0
_FIRST_ERROR: Final = 400
_FURTHEST: Final = 2**62


@dataclass(frozen=True, slots=True)
class Wish:
    """What is listened to.

    Attributes:
        forward_to: URL; None: events are only printed.
        events: Objects or types; none: all.
        after: Sequence of an event; None: from now.
        for_s: Then end; None: never.
    """

    forward_to: str | None
    events: tuple[str, ...]
    after: int | None
    for_s: int | None


class Forwarder:
    """Sends events as webhooks, signed with a secret of its own."""

    def __init__(self, url: str, secret: bytes) -> None:
        self._url = url
        self._secret = secret
        self._http = httpx.Client(timeout=_LIMIT_S, trust_env=False)

    def forward(self, event: Json) -> tuple[int | None, str | None]:
        """Send once: the answer's status, or why there is none."""
        body = {"type": event["type"], "timestamp": event["occurred_at"], "data": event}
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        message = Message(f"listen_{event['sequence']}", int(time.time()), content)  # noqa: TID251
        headers = {
            "content-type": "application/json",
            **headers_of(message, [sign(self._secret, message)]),
        }
        try:
            return self._http.post(self._url, content=content, headers=headers).status_code, None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return None, str(error) or type(error).__name__

    def close(self) -> None:
        """Close what is open."""
        self._http.close()


def run(where: Where, wish: Wish, *, as_json: bool) -> NoReturn:
    """Print and forward until time is up or Ctrl-C.

    Raises:
        typer.Exit: 0 time is up, 130 Ctrl-C.
        Fault: The node declines, or was never reached.
    """
    if wish.forward_to is not None and not wish.forward_to.startswith(("http://", "https://")):
        raise Fault(
            f"{wish.forward_to} is no URL to forward to",
            remedy="write it such as http://127.0.0.1:9000/hook",
            status=Status.USAGE,
        )
    secret = secrets.token_bytes(SECRET_BYTES)
    forwarder = None if wish.forward_to is None else Forwarder(wish.forward_to, secret)
    with NodeClient(operator(where)) as client:
        after = newest(client) if wish.after is None else wish.after
        _greet(wish, secret, after, as_json=as_json)
        try:
            for event in _events(client, after, wish):
                _tell(event, forwarder, as_json=as_json)
        except KeyboardInterrupt:
            raise typer.Exit(Status.INTERRUPTED) from None
        finally:
            if forwarder is not None:
                forwarder.close()
    raise typer.Exit(Status.DONE)


def newest(client: NodeClient) -> int:
    """The sequence of the newest event, 0 if there is none: by halving, in some dozen questions."""
    if not _has_more(client, 0):
        return 0
    above = 1
    while above < _FURTHEST and _has_more(client, above):
        above *= 2
    known = above // 2  # there are more after this one
    while above - known > 1:
        middle = (above + known) // 2
        if _has_more(client, middle):
            known = middle
        else:
            above = middle
    return above


def _has_more(client: NodeClient, after: int) -> bool:
    return bool(client.get("/v1/events", after=after, limit=1)["data"])


def _events(client: NodeClient, after: int, wish: Wish) -> Iterator[Json]:
    """Events that are wanted, for as long as was asked; a node that is away is waited for."""
    give_up_at = None if wish.for_s is None else time.monotonic() + wish.for_s
    was_away = False
    while True:
        page: Json | None = None
        try:
            page = client.get("/v1/events", after=after, limit=_PAGE)
            was_away = False
        except Fault as fault:
            if fault.status is not Status.AWAY:
                raise
            if not was_away:
                stderr().print(escape(f"{fault}; trying again"), soft_wrap=True)
            was_away = True
        if page is not None:
            after = int(page["next_after"])
            yield from (each for each in page["data"] if is_wanted(wish.events, each["type"]))
        if give_up_at is not None and time.monotonic() >= give_up_at:
            return
        if page is None or len(page["data"]) < _PAGE:
            time.sleep(_POLL_S)


def _greet(wish: Wish, secret: bytes, after: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"after": after, "secret": secret_text(secret) if wish.forward_to else None})
        return
    console = stderr()
    if wish.forward_to is not None:
        console.print(f"forwarding to {escape(wish.forward_to)}", soft_wrap=True)
        console.print(f"signed with   {secret_text(secret)}", soft_wrap=True)
    console.print(f"listening after event {after}; Ctrl-C ends it")


def _tell(event: Json, forwarder: Forwarder | None, *, as_json: bool) -> None:
    status, error = (None, None) if forwarder is None else forwarder.forward(event)
    if as_json:
        told = None if forwarder is None else {"status": status, "error": error}
        print_json({"event": event, "forwarded": told})
        return
    parts = [clock_time(event["occurred_at"]), str(event["sequence"]), event["type"]]
    line = escape("  ".join([*parts, event["object_id"]]))
    if forwarder is not None:
        fine = status is not None and status < _FIRST_ERROR
        colour = "green" if fine else "bold red"
        line += f"  [{colour}]{escape(str(status or error))}[/]"
    stdout().print(line, soft_wrap=True)
