"""Nothing but a devnet can be triggered, and the page tells what the table says."""

import http.server
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from node.bootstrap.sandbox import move_clock
from node.config import SettingsInvalid, load_settings
from node.devnet.sandbox import OUTCOMES, TRIGGERS
from node.devnet.sandbox.page import page
from tests.sandbox.playing import corridor

ROOT = Path(__file__).resolve().parents[2]
ASKING = {"eth_chainId", "web3_clientVersion"}


class Mainnet(http.server.BaseHTTPRequestHandler):
    """A provider of Ethereum, or of a chain that only has the devnet's id."""

    asked: list[str]
    answers: dict[str, str]

    def do_POST(self) -> None:
        """Answer one JSON-RPC call, and remember it."""
        call = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append(call["method"])
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": self.answers[call["method"]]})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(
    params=[
        {"eth_chainId": "0x1", "web3_clientVersion": "Geth/v1.16.0"},
        {"eth_chainId": "0x7a69", "web3_clientVersion": "Geth/v1.16.0"},
        {"eth_chainId": "0x1", "web3_clientVersion": "anvil/v1.7.1"},
    ],
    ids=["mainnet", "the devnet's id", "a fork of mainnet"],
)
def provider(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[str]]]:
    """URL of a chain that is no devnet's, and what it was asked."""
    asked: list[str] = []
    handler = type("Handler", (Mainnet,), {"asked": asked, "answers": request.param})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", TRIGGERS)
def test_without_a_devnet_no_trigger_does_anything(name: str, tmp_path: Path) -> None:
    status, _, err = corridor("trigger", name, "--state-dir", str(tmp_path))
    assert status == 1
    assert "no devnet runs" in err
    assert "corridor devnet up" in err


def test_a_chain_that_is_not_a_devnets_is_asked_who_it_is_and_nothing_else(
    provider: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, asked = provider
    described = {"chain": {"rpc_url": url, "pid": 1, "chain_id": 1}, "nodes": [{"name": "berlin"}]}
    (tmp_path / "devnet.json").write_text(json.dumps(described))
    status, _, err = corridor("trigger", "reorg", "--state-dir", str(tmp_path))
    assert status == 1
    assert "is not a devnet's" in " ".join(err.split())
    assert set(asked) <= ASKING


def test_an_unknown_name_and_a_magic_value_say_what_to_do_instead() -> None:
    status, _, err = corridor("trigger", "earthquake")
    assert status == 2
    assert "corridor trigger --list" in err
    status, _, err = corridor("trigger", "bank_late")
    assert status == 2
    assert "0004" in err


def test_the_list_names_every_outcome_and_every_trigger() -> None:
    status, out, _ = corridor("trigger", "--list")
    assert status == 0
    listed = {line.split()[0] for line in out.splitlines() if line.strip()}
    assert listed >= {each.name for each in OUTCOMES} | set(TRIGGERS)
    status, out, _ = corridor("trigger", "--list", "--json")
    assert [each["name"] for each in json.loads(out)["outcomes"]] == [o.name for o in OUTCOMES]


def test_the_page_is_made_of_the_table() -> None:
    assert (ROOT / "node" / "docs" / "sandbox.md").read_text() == page()


@pytest.mark.parametrize("chain_id", [1, 10, 137, 8453, 42161])
def test_a_sandbox_is_refused_on_a_chain_with_real_money(chain_id: int) -> None:
    with pytest.raises(SettingsInvalid, match="not a test chain"):
        load_settings(sandbox=True, chain_id=chain_id)
    assert load_settings(sandbox=True, chain_id=31337).sandbox


async def test_the_clock_of_a_node_that_is_no_sandbox_cannot_be_moved() -> None:
    settings = load_settings(sandbox=False, database_owner_url="postgresql://nobody@127.0.0.1:1/x")
    with pytest.raises(SettingsInvalid, match="only a sandbox's clock"):
        await move_clock(settings, timedelta(hours=1))
