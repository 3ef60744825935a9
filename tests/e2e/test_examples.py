"""The examples of scripts/examples do what they say, against a running network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from node.client import Client
from node.devnet.programs import free_port
from tests.e2e.conftest import Network, fresh_address, until

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("quote_and_send", "bulk", "webhook_receiver")
LIMIT_S = 120


def environment(network: Network | None) -> dict[str, str]:
    """That of this process, with the network's partner."""
    inherited = {**os.environ, "PYTHONPATH": str(ROOT)}  # noqa: TID251
    if network is None:
        return inherited
    node = network.node
    return {
        **inherited,
        "CORRIDOR_URL": node["url"],
        "CORRIDOR_TOKEN": node["keys"]["partner"],
    }


def example(
    name: str, *arguments: str, network: Network | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one to its end."""
    return subprocess.run(
        [sys.executable, "-m", f"scripts.examples.{name}", *arguments],
        cwd=ROOT,
        env=environment(network),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_example_says_what_it_does_and_is_short(name: str) -> None:
    told = example(name, "--help")
    assert told.returncode == 0, told.stderr
    assert f"scripts.examples.{name}" in told.stdout
    assert len((ROOT / "scripts" / "examples" / f"{name}.py").read_text().splitlines()) <= 60


def partners_customer(network: Network) -> str:
    """One that the devnet made for its partner, with money."""
    customer_id: str = network.node["customers"][0]["id"]
    return customer_id


def test_a_transfer_is_sent_and_followed_to_its_end(network: Network) -> None:
    to = fresh_address(71)
    ended = example(
        "quote_and_send",
        "--customer", partners_customer(network),
        "--to", to,
        "--wait", "90",
        "20.00",
        network=network,
    )  # fmt: skip
    assert ended.returncode == 0, (ended.stdout, ended.stderr)
    assert ended.stdout.splitlines()[-2:] == ["transfer.settled", "completed"]


def test_a_file_is_sent_once_and_its_faulty_row_is_named(network: Network, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    to = fresh_address(72)
    rows = [f"wage-{n},1{n}.00,Ben,PH,{to}" for n in range(3)] + [f"wage-x,1.00,Ben,XX,{to}"]
    file.write_text("\n".join(["client_reference,sell_amount,name,country,address", *rows]) + "\n")
    told = [
        example(
            "bulk",
            str(file),
            "--customer", partners_customer(network),
            "--sell", "EUR",
            "--buy", "USDC",
            network=network,
        )
        for _ in range(2)
    ]  # fmt: skip
    for each in told:
        assert each.returncode == 1, (each.stdout, each.stderr)
        assert "3 of 4 accepted" in each.stdout
        assert "line 5: " in each.stdout
    assert len({re.findall(r"bul_\w+", each.stdout)[0] for each in told}) == 1


def test_what_the_node_sends_is_received_verified_and_told_once(network: Network) -> None:
    node = network.node
    with Client(node["url"], node["keys"]["partner"]) as client:
        port = free_port()
        endpoint = client.create_webhook_endpoint(
            {"url": f"http://127.0.0.1:{port}/", "events": ["payout"]}  # of which there is none
        )
        command = ["-m", "scripts.examples.webhook_receiver", "--port", str(port)]
        keys = ["--key", endpoint["secret"], "--key", endpoint["public_key"]]
        receiver = subprocess.Popen(
            [sys.executable, *command, *keys],
            cwd=ROOT,
            env=environment(None),
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert receiver.stdout is not None
            assert receiver.stdout.readline() == f"http://127.0.0.1:{port}\n"
            sent = client.test_webhook_endpoint(endpoint["id"])
            until(
                lambda: client.show_webhook_delivery(sent["id"])["status"] == "delivered",
                "the test is delivered",
            )
            assert receiver.stdout.readline().split() == [sent["id"], "webhook.test"]
        finally:
            receiver.terminate()
            receiver.communicate()
            client.disable_webhook_endpoint(endpoint["id"])
