"""Readiness of real processes: a frozen worker and a frozen chain are told within two block times.

The network mines a block each second. What is allowed beyond two seconds is the time of the test's
own looks on a busy machine.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.conftest import Network, until

_BLOCKS_S = 2.0
_LOOKS_S = 1.5


def _checks(network: Network) -> dict[str, bool]:
    body: dict[str, Any] = httpx.get(network.node["url"] + "/readyz", timeout=10).json()
    return {each["name"]: each["ok"] for each in body["checks"]}


def _series(network: Network) -> dict[str, float]:
    text = httpx.get(network.node["url"] + "/metrics", timeout=10).text
    lines = [line for line in text.splitlines() if line.startswith("corridor_")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def _until_failing(network: Network, check: str) -> float:
    """Seconds until the check fails."""
    began_s = time.monotonic()
    until(lambda: not _checks(network)[check], f"{check} fails", limit_s=30)
    return time.monotonic() - began_s


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


def _parent_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("PPid:")[2].split()[0])


def test_a_chain_that_has_no_more_blocks_is_told_though_every_provider_answers(
    network: Network,
) -> None:
    until(network.is_ready, "ready")
    ticker = _parent_of(network.node["pids"]["serve"][0])  # mines a block each second
    os.kill(ticker, signal.SIGSTOP)
    try:
        took_s = _until_failing(network, "chain")
        series = _series(network)
        first, second = (network.rpc("eth_blockNumber") for _ in range(2))
    finally:
        os.kill(ticker, signal.SIGCONT)
    assert first == second
    assert took_s <= _BLOCKS_S + _LOOKS_S
    assert series['corridor_ready_check{check="chain"}'] == 0
    assert series["corridor_chain_head_age_seconds"] > _BLOCKS_S
    until(network.is_ready, "ready again")
