"""How a devnet is told to be: while it runs, while a part of it stands still, and afterwards."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from node.devnet import Background, down
from node.devnet.errors import DevnetError
from node.devnet.programs import CHECKOUT, ProcessId, inherited_environment, wait_until
from node.devnet.state import StateDirectory, write_json
from node.devnet.status import DevnetState, DevnetStatus, status

T = TypeVar("T")


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state directory of a devnet of two nodes that runs."""
    root = tmp_path_factory.mktemp("devnet") / "state"
    started = Background.start(root, say=print, tied=True, nodes=2)
    yield root
    started.stop()
    down(root, say=print, wipe=True)


def corridor(state_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node", "devnet", *arguments, "--state-dir", str(state_dir)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**inherited_environment(), "NO_COLOR": "1", "COLUMNS": "200"},
        cwd=CHECKOUT,
        check=False,
    )


def until(look: Callable[[], T], holds: Callable[[T], bool]) -> T:
    """What is seen once it holds: on a busy machine a node is not ready for a moment at times."""
    seen: list[T] = []

    def again() -> bool:
        seen.append(look())
        return holds(seen[-1])

    assert wait_until(again, limit_s=60), seen[-1]
    return seen[-1]


def the_work_of(found: DevnetStatus, node: str) -> int:
    [pid] = [each.pid for each in found.programs if each.node == node and "work" in each.name]
    assert pid is not None
    return pid


def test_when_it_began_is_told_of_a_process_that_lives() -> None:
    began_s = time.time()  # noqa: TID251 - the machine's clock is what is compared with
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        since = ProcessId.of(process.pid).since
        assert since is not None
        assert abs((since - datetime.fromtimestamp(began_s, UTC)).total_seconds()) < 5
    finally:
        process.kill()
        process.wait()
    assert ProcessId.of(process.pid).since is None
    assert ProcessId(1, "Mon Nov 23 14:03:22 2026").since is not None  # as ps(1) tells it
    assert ProcessId(1, "some day").since is None


def test_every_program_and_every_node_is_told_of(devnet: Path) -> None:
    found = until(lambda: status(devnet), lambda seen: seen.is_well)
    assert found.state is DevnetState.RUNNING
    assert {(each.name, each.node) for each in found.programs} == {
        ("postgres", None), ("anvil", None), ("serve", "berlin"), ("work", "berlin"),
        ("manila-serve", "manila"), ("manila-work", "manila"),
    }  # fmt: skip
    assert all(each.pid and each.since for each in found.programs)
    described = json.loads((devnet / "devnet.json").read_text())
    assert [(each.name, each.url) for each in found.nodes] == [
        (each["name"], each["url"]) for each in described["nodes"]
    ]
    assert found.chain is not None
    assert found.chain.head is not None
    for each in found.nodes:
        assert each.head is not None
        assert each.final is not None
        assert each.lag_blocks is not None
        assert each.final < each.head
        assert each.lag_blocks == max(0, found.chain.head - each.head)


def test_a_worker_that_stands_still_is_a_node_that_is_not_ready_and_why(devnet: Path) -> None:
    def stands_still(seen: DevnetStatus) -> bool:
        berlin, manila = seen.nodes
        why = any(reason.startswith("mirror: ") for reason in manila.why_not)
        the_chain_goes_on = (manila.lag_blocks or 0) > 3
        return berlin.ready and not manila.ready and why and the_chain_goes_on

    worker = the_work_of(until(lambda: status(devnet), lambda seen: seen.is_well), "manila")
    os.kill(worker, signal.SIGSTOP)
    try:
        found = until(lambda: status(devnet), stands_still)
        shown = until(
            lambda: corridor(devnet, "status"),
            lambda seen: "manila is not ready: mirror: " in seen.stdout,
        )
    finally:
        os.kill(worker, signal.SIGCONT)
    assert not found.is_well
    assert shown.returncode == 1
    assert "corridor doctor" in shown.stderr


def test_the_command_tells_the_same_to_people_and_to_programs(devnet: Path) -> None:
    shown = until(lambda: corridor(devnet, "status"), lambda seen: seen.returncode == 0)
    assert shown.stderr.count("corridor devnet logs --follow") == 1
    for told in ("is running (pid ", "manila-work", "anvil", "http://127.0.0.1:", "behind"):
        assert told in shown.stdout
    printed = until(lambda: corridor(devnet, "status", "--json"), lambda seen: seen.returncode == 0)
    document: dict[str, Any] = json.loads(printed.stdout)
    assert (document["ok"], document["state"]) == (True, "running")
    assert [each["name"] for each in document["nodes"]] == ["berlin", "manila"]
    secrets = json.loads((devnet / "devnet.json").read_text())["nodes"][0]["keys"].values()
    assert all(each not in printed.stdout + shown.stdout for each in secrets)


def test_logs_are_shown_of_one_node_or_of_both(devnet: Path) -> None:
    both = corridor(devnet, "logs", "serve", "--lines", "1")
    assert both.returncode == 0
    assert {line.partition(" | ")[0] for line in both.stdout.splitlines()} == {
        "berlin serve", "manila serve",
    }  # fmt: skip
    told = corridor(devnet, "logs", "postgres", "--lines", "2", "--json")
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert [(each["node"], each["program"]) for each in lines] == [(None, "postgres")] * 2
    refused = corridor(devnet, "logs", "sevre")
    assert (refused.returncode, "there is no log of 'sevre'" in refused.stderr) == (2, True)
    assert "serve" in refused.stderr


def test_a_log_is_followed_until_somebody_has_enough(devnet: Path) -> None:
    command = ["-m", "node", "devnet", "logs", "work", "--node", "manila", "--follow"]
    process = subprocess.Popen(
        [sys.executable, *command, "--lines", "0", "--state-dir", str(devnet)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=CHECKOUT,
    )
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    log = StateDirectory(devnet).node("manila").log("work")
    seen = b""

    def is_followed() -> bool:
        nonlocal seen
        with log.open("a") as file:  # as the program itself; perhaps before it is followed
            file.write("said while it is followed\n")
        assert process.stdout is not None
        seen += process.stdout.read() or b""
        return b"said while it is followed\n" in seen

    try:
        assert wait_until(is_followed, limit_s=60)
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_where_nothing_runs_that_is_said_with_what_to_do(tmp_path: Path) -> None:
    assert status(tmp_path).state is DevnetState.STOPPED
    shown = corridor(tmp_path, "status")
    assert shown.returncode == 1
    assert f"no devnet is running in {tmp_path}" in shown.stderr
    assert f"corridor devnet up --detach --state-dir {tmp_path}" in shown.stderr
    told = corridor(tmp_path, "status", "--json")
    document = json.loads(told.stdout)
    assert (told.returncode, document["ok"], document["state"]) == (1, False, "stopped")
    assert (document["programs"], document["nodes"], document["chain"]) == ([], [], None)
    without = corridor(tmp_path, "logs")
    assert (without.returncode, "corridor devnet up" in without.stderr) == (1, True)


def test_programs_without_a_supervisor_are_told_with_how_to_end_them(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.prepare(made_by="devnet")
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    left = ProcessId.of(process.pid)
    noted = {"pid": left.pid, "started": left.started, "signal": int(signal.SIGTERM)}
    gone = {**noted, "pid": 2**22 + 1}
    try:
        write_json(
            state.processes,
            {"ready": True, "supervisor": gone, "programs": {"anvil": noted, "work": gone}},
        )
        found = status(state.root)
        shown = corridor(state.root, "status")
    finally:
        process.kill()
        process.wait()
    assert found.state is DevnetState.LEFT
    assert [(each.name, each.pid) for each in found.programs] == [
        ("anvil", process.pid), ("work", None),
    ]  # fmt: skip
    assert shown.returncode == 1
    assert "corridor devnet down" in shown.stderr
    state.processes.write_text("{")
    with pytest.raises(DevnetError, match="damaged"):
        status(state.root)
