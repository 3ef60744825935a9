"""Doctor and status where something else answers at a node's address."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest

from node.devnet.doctor import _nodes
from node.devnet.errors import DevnetError
from node.devnet.programs import free_port
from node.devnet.status import Check, _node, readiness


class Answering(BaseHTTPRequestHandler):
    """Answers every GET with `body`."""

    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", free_port()), Answering) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def a_node(url: str) -> dict[str, Any]:
    return {"name": "berlin", "url": url, "keys": {"operator": "secret"}}


@pytest.mark.parametrize(
    "body", [b"<html>hello</html>", b"\xff", b"[]", b'{"status": "ready"}', b'{"checks": [7]}']
)
def test_what_answers_and_is_no_node_is_told_by_both(
    url: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answering, "body", body)
    (found,) = _nodes({"nodes": [a_node(url)]})
    assert (found.name, found.ok) == ("node berlin", False)
    assert found.detail == f"what answers at {url} is no node"
    assert "corridor devnet up" in found.remedy
    told = _node(a_node(url), None)
    assert (told.ready, told.why_not) == (False, [found.detail])


def test_where_nothing_answers_that_is_told_by_both() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    (found,) = _nodes({"nodes": [a_node(url)]})
    assert not found.ok
    assert found.detail.startswith(f"{url} does not answer: ")
    assert _node(a_node(url), None).why_not == [found.detail]


def test_the_checks_of_a_node_are_told_as_it_tells_them(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b'{"checks": [{"name": "mirror", "ok": false, "detail": "9 blocks behind"}]}'
    monkeypatch.setattr(Answering, "body", body)
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert readiness(client) == [Check("mirror", ok=False, detail="9 blocks behind")]
    with (
        httpx.Client(base_url="http://127.0.0.1:9", trust_env=False) as nobody,
        pytest.raises(DevnetError, match="does not answer"),
    ):
        readiness(nobody)
