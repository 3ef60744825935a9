"""A whole devnet: up, down, up again, and what happens when parts of it are killed."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from node.devnet import Background, DevnetError, describe, down, up
from node.devnet.doctor import Finding, examine
from node.devnet.errors import Outdated
from node.devnet.network import ChainLost, Network, answers
from node.devnet.programs import CHECKOUT, ProcessId, free_port, wait_until
from node.devnet.rpc import call
from node.devnet.state import StateDirectory, write_json
from node.devnet.supervisor import is_ready, leftovers, supervisor_of


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One state directory for all tests here, one after the other; each starts what it needs."""
    root = tmp_path_factory.mktemp("devnet") / "state"
    yield root
    if StateDirectory(root).exists():
        down(root, say=print, wipe=True)
    assert not root.exists()


@pytest.fixture
def devnet(state_dir: Path) -> Iterator[Background]:
    started = Background.start(state_dir, say=print, tied=True)
    yield started
    started.stop()


def all_of(state_dir: Path) -> dict[str, ProcessId]:
    state = StateDirectory(state_dir)
    supervisor = supervisor_of(state)
    assert supervisor is not None
    return {"supervisor": supervisor, **leftovers(state)}


def faults(state_dir: Path) -> list[Finding]:
    return [each for each in examine(state_dir) if not each.ok]


def test_it_describes_itself_as_promised_and_keeps_that_private(
    devnet: Background, state_dir: Path
) -> None:
    described = devnet.description
    node = described["nodes"][0]
    assert set(described) == {"chain", "contracts", "nodes"}
    assert set(described["chain"]) == {"chain_id", "rpc_url", "pid"}
    assert set(described["contracts"]) == {
        *("USDC", "settlement", "deposits", "EUR/USD", "USDC/USD"),
    }
    assert set(node) == {
        *("name", "url", "database_url", "settlement", "treasury", "lanes", "pids", "keys"),
        *("customers", "database_owner_url"),
    }
    assert set(node["keys"]) == {"operator", "partner"}
    assert all(set(each) == {"id", "name", "country", "token"} for each in node["customers"])
    assert stat.S_IMODE((state_dir / "devnet.json").stat().st_mode) == 0o600
    assert wait_until(lambda: faults(state_dir) == [], limit_s=60)


def test_doctor_tells_of_a_halt_and_how_to_end_it(devnet: Background, state_dir: Path) -> None:
    def told() -> list[tuple[str, str]]:
        return [(each.name, each.detail) for each in faults(state_dir)]

    (node,) = devnet.description["nodes"]
    with httpx.Client(
        base_url=node["url"],
        headers={"Authorization": f"Bearer {node['keys']['operator']}"},
        trust_env=False,
        timeout=30,
    ) as client:
        assert client.post("/v1/fx/halt", json={"currency": "EUR"}).is_success
        halted = (f"node {node['name']}: quoting", "halted: EUR (operator)")
        assert wait_until(lambda: told() == [halted], limit_s=60)
        (remedy,) = [each.remedy for each in faults(state_dir) if each.name == halted[0]]
        assert client.post("/v1/fx/resume", json={"currency": "EUR"}).is_success
    assert "corridor fx resume" in remedy
    assert wait_until(lambda: told() == [], limit_s=60)


def test_killed_processes_come_back_under_new_pids_and_up_leaves_the_rest(
    devnet: Background, state_dir: Path
) -> None:
    before = all_of(state_dir)
    for name in ("serve", "work", "postgres"):
        os.kill(before[name].pid, signal.SIGKILL)
    node = devnet.description["nodes"][0]
    assert wait_until(
        lambda: (
            answers(f"{node['url']}/readyz")
            and not {each.pid for each in before.values()}
            & {*(pid for pids in devnet.description["nodes"][0]["pids"].values() for pid in pids)}
        ),
        limit_s=180,
    )
    up(state_dir, say=print, on_ready=lambda found: None)  # returns: it is running
    after = all_of(state_dir)
    assert {name for name in before if before[name] == after[name]} == {"supervisor", "anvil"}
    assert describe(state_dir)["nodes"][0]["url"] == node["url"]


def test_down_and_up_go_on_with_the_same_chain_keys_and_port(state_dir: Path) -> None:
    port = free_port()
    first = Background.start(state_dir, say=print, tied=True, port=port)
    known = first.description
    block = call(known["chain"]["rpc_url"], "eth_getBlockByNumber", "latest", False)
    processes = all_of(state_dir)
    down(state_dir, say=print)
    assert [name for name, each in processes.items() if each.alive()] == []
    first.stop()
    assert not (state_dir / "devnet.json").exists()
    second = Background.start(state_dir, say=print, tied=True)
    again = second.description
    rpc_url = again["chain"]["rpc_url"]
    assert call(rpc_url, "eth_getBlockByHash", block["hash"], False) == block
    assert again["contracts"] == known["contracts"]
    assert again["nodes"][0]["keys"] == known["nodes"][0]["keys"]
    assert again["nodes"][0]["url"] == known["nodes"][0]["url"] == f"http://127.0.0.1:{port}"
    second.stop()


def test_a_port_that_was_asked_for_and_is_taken_now_is_told_and_not_forgotten(
    tmp_path: Path,
) -> None:
    state = StateDirectory(tmp_path / "state")
    state.prepare(made_by="devnet")
    said: list[str] = []
    with socket.socket() as other:
        taken = free_port()
        other.bind(("127.0.0.1", taken))
        other.listen()
        with pytest.raises(DevnetError, match="is taken"):
            Network(state, taken, said.append)._choose_http_port()
        assert not state.asked.exists()
        write_json(state.asked, {"http_port": taken})
        assert Network(state, None, said.append)._choose_http_port() != taken
    assert [each for each in said if f"port {taken} is taken" in each]
    assert Network(state, None, said.append)._choose_http_port() == taken


def test_kill_minus_9_of_the_supervisor_leaves_nothing_running_and_loses_nothing(
    state_dir: Path,
) -> None:
    devnet = Background.start(state_dir, say=print, tied=True)
    contracts = devnet.description["contracts"]
    processes = all_of(state_dir)
    os.kill(processes["supervisor"].pid, signal.SIGKILL)
    assert wait_until(lambda: not any(each.alive() for each in processes.values()), limit_s=120)
    devnet.stop()
    again = Background.start(state_dir, say=print, tied=True)
    assert again.description["contracts"] == contracts
    again.stop()


def test_the_end_of_the_one_who_started_it_is_its_end(state_dir: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from node.devnet import Background;"
        "Background.start(Path(sys.argv[1]), say=print, tied=True); print('up', flush=True);"
        "time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(state_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        try:
            assert starter.stdout is not None
            assert "up\n" in starter.stdout
            processes = all_of(state_dir)
        finally:
            starter.kill()
    assert wait_until(lambda: not any(each.alive() for each in processes.values()), limit_s=120)


def test_a_home_that_cannot_be_used_is_not_used(tmp_path: Path) -> None:
    home, temporary, root = tmp_path / "home", tmp_path / "tmp", tmp_path / "state"
    home.mkdir()
    temporary.mkdir()
    command = [sys.executable, "-m", "node.devnet", str(root)]
    environment = {"HOME": str(home), "PATH": os.defpath, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, env=environment, cwd=CHECKOUT) as supervisor:
        try:
            settled = lambda: is_ready(StateDirectory(root)) or supervisor.poll() is not None  # noqa: E731
            assert wait_until(settled, limit_s=240)
            assert describe(root)
            supervisor.send_signal(signal.SIGINT)
            assert supervisor.wait(120) == 0
        finally:
            supervisor.kill()
    assert list(home.iterdir()) == []
    assert list(temporary.iterdir()) == []
    down(root, say=print, wipe=True)


@pytest.mark.parametrize("nodes", [0, 3])
def test_a_devnet_has_one_node_or_two(tmp_path: Path, nodes: int) -> None:
    with pytest.raises(DevnetError, match="one node or two"):
        up(tmp_path / "state", say=print, on_ready=lambda found: None, nodes=nodes)
    assert not (tmp_path / "state").exists()


def test_a_port_that_is_asked_for_and_taken_is_named(
    devnet: Background, state_dir: Path, tmp_path: Path
) -> None:
    taken = int(devnet.description["nodes"][0]["url"].rpartition(":")[2])
    said: list[str] = []
    with pytest.raises(DevnetError):
        Background.start(tmp_path / "other", say=said.append, port=taken, tied=True)
    assert any(f"port {taken} is taken" in line for line in said)
    assert any("Remedy" in line for line in said)


def _up(root: Path) -> None:
    up(root, say=print, on_ready=lambda found: None)


def test_a_directory_of_an_earlier_version_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    root = tmp_path / "state"
    StateDirectory(root).prepare(made_by="devnet")
    (marker,) = (each for each in root.iterdir() if "layout" in each.read_text())
    marker.write_text(json.dumps({"layout": 1, "made_by": "devnet"}))
    for start in (lambda: Background.start(root, say=print, tied=True), lambda: _up(root)):
        with pytest.raises(Outdated, match="--wipe"):
            start()
        assert leftovers(StateDirectory(root)) == {}
    down(root, say=print, wipe=True)


def test_a_killed_anvil_is_a_lost_chain_and_that_is_said_not_mended(state_dir: Path) -> None:
    devnet = Background.start(state_dir, say=print, tied=True)
    processes = all_of(state_dir)
    os.kill(processes["anvil"].pid, signal.SIGKILL)
    assert wait_until(lambda: not any(each.alive() for each in processes.values()), limit_s=120)
    devnet.stop()
    with pytest.raises(ChainLost, match="--wipe"):
        Background.start(state_dir, say=print, tied=True)
    down(state_dir, say=print, wipe=True)
    assert not state_dir.exists()
