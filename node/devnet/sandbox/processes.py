"""Processes of the devnet that die, and settlement that an operator pauses."""

from __future__ import annotations

import signal
from typing import Any

from node.devnet.errors import DevnetError
from node.devnet.sandbox.site import Site, Wish


def kill_worker(site: Site, _: Wish) -> dict[str, Any]:
    """The process that pays and mirrors dies (kill -9); another takes over."""
    return {"killed_pid": _kill(site, site.node["pids"]["work"])}


def kill_database(site: Site, _: Wish) -> dict[str, Any]:
    """PostgreSQL dies (kill -9) and comes back with all that was committed."""
    file = site.state.postgres / "data" / "postmaster.pid"
    try:
        pid = int(file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        raise DevnetError("the devnet's PostgreSQL is not running") from None
    return {"killed_pid": _kill(site, [pid])}


def pause_settlement(site: Site, _: Wish) -> dict[str, Any]:
    """An operator pauses settlement."""
    return site.post("/v1/settlement/pause", {"note": "sandbox"}, who="operator")


def resume_settlement(site: Site, _: Wish) -> None:
    """And resumes it."""
    site.post("/v1/settlement/resume", {"reason": "operator"}, who="operator")


def stop_partner(site: Site, _: Wish) -> dict[str, Any]:
    """The devnet's other node, which pays out for this one, does not answer."""
    pids = _others(site)
    for pid in pids:
        site.signal(pid, signal.SIGSTOP)
    return {"frozen_pids": pids}


def continue_partner(site: Site, _: Wish) -> None:
    """It answers again."""
    for pid in _others(site):
        site.signal(pid, signal.SIGCONT)


def _others(site: Site) -> list[int]:
    own = site.node["name"]
    others = [each for each in site.described["nodes"] if each["name"] != own]
    if not others:
        raise DevnetError(
            "the devnet has one node, and so no partner's node",
            remedy="make one with `corridor devnet up --nodes 2`",
        )
    return [pid for each in others for role in ("serve", "work") for pid in each["pids"][role]]


def _kill(site: Site, pids: list[int]) -> int:
    if not pids:
        raise DevnetError("that process is being started again just now", remedy="try again")
    site.signal(pids[0], signal.SIGKILL)
    return pids[0]
