"""The node's clock moved forward, and the chain's along with it."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any, Final

from node.bootstrap.sandbox import move_clock
from node.config import load_settings
from node.devnet.errors import DevnetError
from node.devnet.sandbox.site import Site, Wish

_FORWARD_MAX: Final = timedelta(days=400)
_CHAIN_MAY_DIFFER_S: Final = 1


def move(site: Site, wish: Wish) -> dict[str, Any]:
    """Move every node of the devnet forward, then the chain, whose next blocks are as late.

    With no time to move, the chain follows the node again: after a restart of the devnet it has
    lost what it was ahead.
    """
    if not timedelta() <= wish.forward <= _FORWARD_MAX:
        raise DevnetError(f"the clock goes forward, at most {_FORWARD_MAX.days} days at once")
    ahead = timedelta()
    for node in site.described["nodes"]:
        settings = load_settings(
            state_dir=site.state.root,
            sandbox=True,  # the site was seen to be a devnet, which is nothing else
            chain_id=int(site.described["chain"]["chain_id"]),
            database_url=node["database_url"],
            database_owner_url=node["database_owner_url"],
        )
        ahead = asyncio.run(move_clock(settings, wish.forward))
    _follow(site, ahead)
    return {"ahead_s": ahead // timedelta(seconds=1)}


def _follow(site: Site, ahead: timedelta) -> None:
    wanted_s = int(time.time() + ahead.total_seconds())  # noqa: TID251 - the node's time, by design
    site.mine()
    block_s = int(site.newest_block()["timestamp"], 16)
    if wanted_s - block_s > _CHAIN_MAY_DIFFER_S:
        site.rpc("evm_increaseTime", wanted_s - block_s)
        site.mine()
