"""Readiness of real processes: what stands still or is left out is told within two block times.

The network mines a block each second. What is allowed beyond two seconds is for a busy machine:
the node's own look at the chain, and where a worker has to find something, its way there.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from node.devnet.network import Ticker
from tests.chaos.proxy import FaultProxy
from tests.chaos.rules import HideLog, Rule
from tests.e2e.conftest import Network, until
from tests.onchain import ADMIN, call

_BLOCKS_S = 2.0
_LOOKS_S = 1.5
_WORKER_S = 8.0


def _checks(network: Network) -> dict[str, bool]:
    body: dict[str, Any] = httpx.get(network.node["url"] + "/readyz", timeout=30).json()
    return {each["name"]: each["ok"] for each in body["checks"]}


def _series(network: Network) -> dict[str, float]:
    text = httpx.get(network.node["url"] + "/metrics", timeout=30).text
    lines = [line for line in text.splitlines() if line.startswith("corridor_")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def _until_failing(network: Network, check: str) -> float:
    """Seconds until the last look began in which the check was still good; it fails by now."""
    began_s = good_s = time.monotonic()

    def fails() -> bool:
        nonlocal good_s
        look_s = time.monotonic()
        is_good = _checks(network)[check]
        good_s = look_s if is_good else good_s
        return not is_good

    until(fails, f"{check} fails")
    return good_s - began_s


def test_a_frozen_worker_is_told_by_readiness_and_metrics_within_two_block_times(
    network: Network,
) -> None:
    until(network.is_ready, "ready")
    worker = network.node["pids"]["work"][0]
    os.kill(worker, signal.SIGSTOP)
    try:
        took_s = _until_failing(network, "mirror")
        series = _series(network)
    finally:
        os.kill(worker, signal.SIGCONT)
    assert took_s <= _BLOCKS_S + _LOOKS_S
    assert series["corridor_ready"] == 0
    assert series['corridor_ready_check{check="mirror"}'] == 0
    behind = series["corridor_chain_head_block"] - series["corridor_mirror_block"]
    assert behind > 1 or series["corridor_mirror_age_seconds"] > _BLOCKS_S
    until(network.is_ready, "ready again")


def test_a_chain_that_has_no_more_blocks_is_told_though_every_provider_answers(
    network: Network,
) -> None:
    until(network.is_ready, "ready")
    with network.still():
        took_s = _until_failing(network, "chain")
        series = _series(network)
        first, second = (network.rpc("eth_blockNumber") for _ in range(2))
    assert first == second
    assert took_s <= _BLOCKS_S + _LOOKS_S
    assert series['corridor_ready_check{check="chain"}'] == 0
    assert series["corridor_chain_head_age_seconds"] > _BLOCKS_S
    until(network.is_ready, "ready again")


# ------------------------------------------------------------------------------ a log is left out


@dataclass
class Behind:
    """A network whose one worker reads the chain through a proxy, and whose blocks a test makes."""

    network: Network
    proxy: FaultProxy
    ticker: Ticker | None = field(default=None)

    def tick(self) -> None:
        """A block each second from now on."""
        self.ticker = Ticker(self.network.described["chain"]["rpc_url"])
        self.ticker.start()

    def stand_still(self) -> None:
        """No block but those that are asked for."""
        assert self.ticker is not None
        self.ticker.end()
        self.ticker.join()

    def received(self, *units: int) -> list[dict[str, Any]]:
        """The treasury is given these amounts by a stranger in one block; the logs, in order."""
        treasury, token = self.network.node["treasury"], self.network.described["contracts"]["USDC"]
        self.stand_still()
        for each in units:
            data = call("mint(address,uint256)", treasury, each)
            self.network.rpc("eth_sendTransaction", {"from": ADMIN, "to": token, "data": data})
        self.network.rpc("evm_mine")
        newest = self.network.rpc("eth_getBlockByNumber", "latest", False)
        logs = self.network.rpc("eth_getLogs", {"blockHash": newest["hash"], "address": token})
        of_treasury = "0x" + treasury[2:].lower().rjust(64, "0")
        found = [each for each in logs if each["topics"][0] == _TRANSFER]
        assert [each["topics"][2] for each in found] == [of_treasury] * len(units)
        self.tick()
        return found


_LOGS_OF_A_MINT = 2


def _last_index(mints: int) -> int:
    """Place of the last log of so many mints in their block."""
    return mints * _LOGS_OF_A_MINT - 1


_TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


@contextmanager
def _behind_a_proxy(network: Network) -> Iterator[Behind]:
    """The network's own worker is gone, and who would start it again and makes blocks is frozen."""
    pids = network.node["pids"]
    environment = Path(f"/proc/{pids['work'][0]}/environ").read_text()
    settings = dict(line.split("=", 1) for line in environment.split("\0") if line)
    with network.still():
        network.kill("work")
        with FaultProxy(network.described["chain"]["rpc_url"]) as proxy:
            settings["CORRIDOR_CHAIN_RPC_URLS"] = ",".join(proxy.urls)
            worker = subprocess.Popen([sys.executable, "-m", "node", "work"], env=settings)
            behind = Behind(network, proxy)
            behind.tick()
            head = int(network.rpc("eth_blockNumber"), 16)
            try:
                until(
                    lambda: _series(network)["corridor_mirror_block"] > head and network.is_ready(),
                    "ready with the worker behind the proxy",
                )
                yield behind
                assert worker.poll() is None
            finally:
                behind.stand_still()
                worker.kill()
                worker.wait()


def _open_breaks(network: Network) -> dict[str, float]:
    """Open breaks by code, by the metrics."""
    name = "corridor_breaks_open{"
    return {
        each.partition('code="')[2].partition('"')[0]: count
        for each, count in _series(network).items()
        if each.startswith(name) and count
    }


def _more(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    """Breaks that were opened in between, by code."""
    more = {code: count - before.get(code, 0) for code, count in now.items()}
    return {code: count for code, count in more.items() if count}


def test_a_log_that_a_provider_drops_from_its_lists_is_told_within_two_block_times(
    network: Network,
) -> None:
    until(network.is_ready, "ready")
    before = _open_breaks(network)
    with _behind_a_proxy(network) as behind:
        behind.proxy.add(Rule(HideLog(topic=_TRANSFER), times=None))
        (log,) = behind.received(1_234_567)
        took_s = _until_failing(network, "completeness")
        assert took_s <= _BLOCKS_S + _WORKER_S
        assert behind.proxy.counts["hide_log"]
        until(lambda: _more(before, _open_breaks(network)) == {"B02": 1}, "told as a break")
        series = _series(network)
        assert series["corridor_ready"] == 0
        assert series['corridor_ready_check{check="completeness"}'] == 0
        assert series["corridor_mirror_block"] < int(log["blockNumber"], 16)  # not believed
        behind.proxy.clear()
        until(network.is_ready, "ready again")
        until(lambda: "B02" not in _open_breaks(network), "closed by itself")
        until(lambda: "B04" in _open_breaks(network), "nobody expected what came")
    until(network.is_ready, "ready with the worker of its own")


def test_a_log_that_a_lone_provider_drops_from_lists_and_receipts_is_told_once_its_block_is_final(
    network: Network,
) -> None:
    """Nothing in the block says that there was another; the balances at the final block do."""
    until(network.is_ready, "ready")
    before = _open_breaks(network)
    with _behind_a_proxy(network) as behind:
        behind.proxy.add(Rule(HideLog(log_index=_last_index(2), in_receipts=True), times=None))
        _, dropped = behind.received(1_000, 7_654_321)
        block = int(dropped["blockNumber"], 16)
        assert int(dropped["logIndex"], 16) == _last_index(2)
        until(lambda: _series(network)["corridor_mirror_final_block"] >= block, "final")
        took_s = _until_failing(network, "completeness")
        series = _series(network)
        assert took_s <= _BLOCKS_S + _WORKER_S
        assert series["corridor_ready"] == 0
        assert series["corridor_mirror_block"] > block  # believed: the mirror went on
        told = {"B01": 1, "B04": 1, "B15": 1}  # B04: the log that was not dropped: unexpected
        until(lambda: _more(before, _open_breaks(network)) == told, "told in breaks")
        story = network.get("/v1/reconciliation/breaks?status=open")["data"]
        (moved,) = [each for each in story if each["code"] == "B15"]
        assert moved["evidence"]["block_number"] == str(block)
        assert f"moved by {1_000 + 7_654_321} units" in moved["actual"]
