"""What contracts say besides payments and transfers, and what the mirror must make of it.

The table is written by hand from the events' declarations, not with the code under test.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random  # noqa: TID251 - a seeded history, no secret

from tests.histories.chain import SETTLED, TRANSFER, Log, topic_of
from tests.histories.parties import CONTRACT, OWN, STRANGERS, TOKEN, TREASURY


@dataclass(frozen=True, slots=True)
class Saying:
    """One log that moves nothing.

    Attributes:
        kind: Of the notice; `undecoded`: nobody can read it; empty: it is nobody's business.
        code: Of the break that it opens or closes; empty: none.
        about: What that break is about; empty: the log itself.
        is_end: Whether it closes the break.
    """

    log: Log
    kind: str
    subject: bytes | None = None
    amount: int | None = None
    code: str = ""
    about: str = ""
    is_end: bool = False


def _word(value: bytes | int) -> bytes:
    return value.to_bytes(32) if isinstance(value, int) else value.rjust(32, b"\0")


def _log(address: bytes, signature: str, *indexed: bytes | int, data: bytes | int = b"") -> Log:
    topics = (topic_of(signature), *map(_word, indexed))
    return Log(address, topics, _word(data) if data != b"" else b"")


def _pause(word: str) -> Saying:
    kind = "issuer_paused" if word == "Pause" else "issuer_unpaused"
    log = _log(TOKEN, f"{word}()")
    return Saying(log, kind, None, None, "B13", f"0x{TOKEN.hex()}", word == "Unpause")


def _denial(word: str, whom: bytes) -> Saying:
    log = _log(TOKEN, f"{word}(address)", whom)
    if whom not in OWN:
        return Saying(log, "")
    kind = "denied" if word == "Blacklisted" else "undenied"
    return Saying(log, kind, whom, None, "B14", f"0x{whom.hex()}", word != "Blacklisted")


def _approval(owner: bytes, spender: bytes, amount: int) -> Saying:
    log = _log(TOKEN, "Approval(address,address,uint256)", owner, spender, data=amount)
    if owner not in OWN:
        return Saying(log, "")
    about = f"0x{owner.hex()}:0x{spender.hex()}"
    return Saying(log, "approved", spender, amount, "B18", about, amount == 0)


def _all() -> list[Saying]:
    someone, other = STRANGERS
    moved = Log(TOKEN, (TRANSFER, _word(someone), _word(CONTRACT)), bytes(31))
    paid = Log(CONTRACT, (SETTLED, _word(5), _word(6)))
    owned = _log(TOKEN, "OwnershipTransferred(address,address)", someone, other)
    minter = _log(TOKEN, "MinterConfigured(address,uint256)", someone, data=9)
    cap = _log(CONTRACT, "OperatorCapChanged(address,uint64)", someone, data=10**9)
    return [
        _pause("Pause"),
        _pause("Unpause"),
        *(_denial(word, each) for word in ("Blacklisted", "UnBlacklisted") for each in OWN),
        _denial("Blacklisted", someone),
        *(_approval(TREASURY, someone, amount) for amount in (0, 77)),
        _approval(someone, TREASURY, 5),
        Saying(_log(TOKEN, "Upgraded(address)", other), "issuer_upgraded", other, None, "B25"),
        Saying(owned, "issuer_changed", other, None, "B25"),
        Saying(minter, "issuer_changed", someone, 9),
        Saying(cap, "contract_changed", someone, 10**9, "B26"),
        Saying(_log(CONTRACT, "Paused(address)", other), "contract_paused", other),
        Saying(moved, "undecoded", code="B24"),
        Saying(paid, "undecoded", code="B24"),
    ]


SAYINGS: Mapping[Log, Saying] = {each.log: each for each in _all()}
"""Log -> what it says."""


def some_saying(chance: Random) -> Log:
    """One of them."""
    return chance.choice(list(SAYINGS))
