"""Faults of chain and token: reorgs, pauses, fees, coin, a provider that does not answer."""

from __future__ import annotations

import signal
from typing import Any, Final

from node.devnet.errors import DevnetError
from node.devnet.sandbox.site import Site, Wish

_GWEI: Final = 10**9
_SPIKE_WEI: Final = 50_000 * _GWEI  # a hundred times what the node pays at most
_USUAL_WEI: Final = _GWEI
_LANES: Final = "coin of the lanes"
_ORPHAN: Final = "orphan_outbound"
_BLOCKS_TO_FINAL: Final = 3
_DEPTH_MAX: Final = 16


def reorg(site: Site, wish: Wish) -> dict[str, Any]:
    """Replace the newest blocks by empty ones; what was in them is paid again."""
    if not 1 <= wish.depth_blocks <= _DEPTH_MAX:
        raise DevnetError(f"a reorg replaces 1 to {_DEPTH_MAX} blocks")
    site.rpc("anvil_reorg", wish.depth_blocks, [])
    return {"blocks_replaced": wish.depth_blocks, "head": int(site.rpc("eth_blockNumber"), 16)}


def drop_transactions(site: Site, _: Wish) -> dict[str, Any]:
    """Empty the chain's pool, as a provider does that forgets what it was sent."""
    pool = site.rpc("txpool_status")
    site.rpc("anvil_dropAllTransactions")
    return {"dropped": int(pool["pending"], 16) + int(pool["queued"], 16)}


def deny_address(site: Site, wish: Wish) -> dict[str, Any]:
    """The issuer denies an address."""
    if wish.address is None:
        raise DevnetError("name whom the issuer is to deny", remedy="add --address 0x...")
    site.send(site.token, "deny(address)", wish.address)
    return {"denied": wish.address}


def undeny_address(site: Site, wish: Wish) -> None:
    """The issuer takes it back."""
    if wish.address is not None:
        site.send(site.token, "undeny(address)", wish.address)


def pause_token(site: Site, _: Wish) -> dict[str, Any]:
    """The issuer pauses the token: nobody can pay anybody."""
    if not site.read(site.token, "paused()"):
        site.send(site.token, "pause()")
    return {"token": site.token, "paused": True}


def unpause_token(site: Site, _: Wish) -> None:
    """It goes on."""
    if site.read(site.token, "paused()"):
        site.send(site.token, "unpause()")


def empty_lanes(site: Site, _: Wish) -> dict[str, Any]:
    """No key of the node that pays has coin for gas, and nobody knows where it went."""
    lanes = site.node["lanes"]
    if _LANES not in site.notes:
        site.note(_LANES, {each: site.rpc("eth_getBalance", each, "latest") for each in lanes})
    for each in lanes:
        site.rpc("anvil_setBalance", each, "0x1")
    return {"lanes": lanes, "balance_wei": 1}


def fill_lanes(site: Site, _: Wish) -> None:
    """They have again what they had; an operator ends the pause that the loss has led to."""
    lost = site.notes.get(_LANES)
    if lost is None:
        return
    site.mine(_BLOCKS_TO_FINAL)
    site.until(lambda: _ORPHAN in _pauses(site), "the node pauses, for coin has left it")
    for address, balance_wei in lost.items():
        site.rpc("anvil_setBalance", address, balance_wei)
    site.note(_LANES, None)
    site.post("/v1/settlement/resume", {"reason": _ORPHAN, "note": "sandbox"}, who="operator")


def _pauses(site: Site) -> list[str]:
    pauses = site.get("/v1/settlement", who="operator")["pauses"]
    return [str(each["reason"]) for each in pauses]


def spike_gas(site: Site, _: Wish) -> dict[str, Any]:
    """The next block is dearer than the node pays; those after it for some dozen blocks."""
    site.rpc("anvil_setNextBlockBaseFeePerGas", hex(_SPIKE_WEI))
    site.mine()
    return {"base_fee_wei": _SPIKE_WEI}


def calm_gas(site: Site, _: Wish) -> None:
    """Blocks are cheap again."""
    site.rpc("anvil_setNextBlockBaseFeePerGas", hex(_USUAL_WEI))
    site.mine()


def freeze_chain(site: Site, _: Wish) -> dict[str, Any]:
    """The only provider of the chain does not answer."""
    pid = int(site.described["chain"]["pid"])
    site.signal(pid, signal.SIGSTOP)
    return {"frozen_pid": pid}


def thaw_chain(site: Site, _: Wish) -> None:
    """It answers again."""
    site.signal(int(site.described["chain"]["pid"]), signal.SIGCONT)
