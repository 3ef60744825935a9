"""Every outcome of the sandbox's table happens, on a real node, as the table says."""

import asyncio
import http.server
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from standardwebhooks import Webhook

from node.devnet.sandbox import OUTCOMES, Outcome
from node.store.database import Database
from tests.e2e.conftest import corridor, until
from tests.sandbox.playing import Play
from tests.sandbox.scenarios import SCENARIOS


def test_every_outcome_has_a_scenario_and_every_scenario_an_outcome() -> None:
    names = [each.name for each in OUTCOMES]
    assert len(names) == len(set(names))
    assert set(names) == set(SCENARIOS)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=[each.name for each in OUTCOMES])
def test_a_partner_sees_what_the_table_says(play: Play, outcome: Outcome) -> None:
    seen = SCENARIOS[outcome.name](play, outcome.field)
    assert seen.status == outcome.status
    assert outcome.code in seen.told.split()


def test_a_session_that_is_no_sandboxs_keeps_the_time_though_the_clock_was_moved(
    play: Play,
) -> None:
    play.forward("3h")
    told = asyncio.run(_hours_between(play.network.node["database_url"]))
    assert told >= timedelta(hours=3)


async def _hours_between(url: str) -> timedelta:
    """How far a sandbox's session is ahead of another, which agrees with what it is told."""
    told: list[timedelta] = []
    production, sandbox = Database.at(url), Database.at(url, ahead=told.append)
    async with production.transaction() as kept, sandbox.transaction() as moved:
        between = moved.now - kept.now
    await production.close()
    await sandbox.close()
    assert abs(told[-1] - between) < timedelta(minutes=1)
    return told[-1]


def test_listen_forwards_what_happens_signed_to_a_receiver(play: Play) -> None:
    with receiver() as (url, messages):
        address = ("--state-dir", str(play.network.state_dir), "--json")
        aside = ("--forward-to", url, "--event", "transfer", "--for", "6")
        with ThreadPoolExecutor(1) as pool:
            listening = pool.submit(
                corridor, "listen", *aside, *address, state_dir=play.network.state_dir
            )
            until(lambda: something_came(play, messages), "something came", limit_s=60)
            done = listening.result(60)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    hook = Webhook(json.loads(first)["secret"])
    told = [hook.verify(body, headers) for headers, body in messages]
    printed = [json.loads(line)["event"] for line in lines]
    assert [each["data"] for each in told] == printed
    assert told
    assert all(each["type"].startswith("transfer.") for each in printed)
    assert {json.loads(line)["forwarded"]["status"] for line in lines} == {204}


def something_came(play: Play, messages: "list[Message]") -> bool:
    """Whether the receiver has a message, now that one more payment was made."""
    play.settled(play.send())
    return bool(messages)


Message = tuple[dict[str, str], bytes]


@contextmanager
def receiver() -> Iterator[tuple[str, list[Message]]]:
    """A server that takes everything: its URL, and headers and bodies of what came."""
    messages: list[Message] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Keep it."""
            body = self.rfile.read(int(self.headers["content-length"]))
            messages.append((dict(self.headers.items()), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", messages
    finally:
        server.shutdown()
        server.server_close()


def test_after_all_of_them_the_books_verify(play: Play) -> None:
    verified = corridor("verify", state_dir=play.network.state_dir)
    assert verified.returncode == 0, verified.stdout + verified.stderr
