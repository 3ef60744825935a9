"""Rate sources that contradict each other or are gone, and quoting that an operator halted.

A node reads its sources once a minute; the clock moves so far, so that it reads them at once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from node.devnet.sandbox import clock
from node.devnet.sandbox.site import Site, Wish

_PAIR: Final = "EUR/USD"
_CURRENCY: Final = "EUR"
_READ_EVERY: Final = timedelta(seconds=61)
_ANSWER: Final = "price feed's answer"
_CODE: Final = "price feed's code"


def contradict(site: Site, _: Wish) -> dict[str, Any]:
    """The price feed on the chain says a fifth more than the other source."""
    feed = _feed(site)
    usual = int(site.notes.get(_ANSWER) or _answer(site, feed))
    site.note(_ANSWER, usual)
    said = usual + usual // 5
    site.send(feed, "setAnswer(int256,uint256)", said, _now_s(site))
    _read_again(site)
    return {"feed": feed, "pair": _PAIR, "answer": said, "usual": usual}


def agree(site: Site, _: Wish) -> None:
    """It says what it said before."""
    usual = site.notes.get(_ANSWER)
    if usual is not None:
        site.send(_feed(site), "setAnswer(int256,uint256)", int(usual), _now_s(site))
        site.note(_ANSWER, None)
        _read_again(site)


def remove_source(site: Site, _: Wish) -> dict[str, Any]:
    """The price feed on the chain is gone: it answers nothing."""
    feed = _feed(site)
    if _CODE not in site.notes:
        site.note(_CODE, site.rpc("eth_getCode", feed, "latest"))
    site.rpc("anvil_setCode", feed, "0x")
    _read_again(site)
    return {"feed": feed, "pair": _PAIR}


def restore_source(site: Site, _: Wish) -> None:
    """It is there again."""
    code = site.notes.get(_CODE)
    if code is not None:
        site.rpc("anvil_setCode", _feed(site), code)
        site.note(_CODE, None)
        _read_again(site)


def halt(site: Site, _: Wish) -> dict[str, Any]:
    """An operator halts quoting of EUR; open quotes are revoked."""
    return site.post("/v1/fx/halt", {"currency": _CURRENCY, "note": "sandbox"}, who="operator")


def resume(site: Site, _: Wish) -> None:
    """Quoting goes on."""
    site.post("/v1/fx/resume", {"currency": _CURRENCY}, who="operator")


def _read_again(site: Site) -> None:
    clock.move(site, Wish(forward=_READ_EVERY))


def _feed(site: Site) -> str:
    return str(site.described["contracts"][_PAIR])


def _answer(site: Site, feed: str) -> int:
    words = str(site.rpc("eth_call", {"to": feed, "data": "0xfeaf968c"}, "latest"))[2:]
    return int(words[64:128], 16)  # the second word of latestRoundData()


def _now_s(site: Site) -> int:
    return int(site.newest_block()["timestamp"], 16)
