"""What each key has signed: a small file per key, on disk before any signature leaves.

It keeps two promises that no policy of one transaction can keep: two different transactions are
never signed for one nonce, and no key pays out more than its limit in a day.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Final

from node.core.errors import SignerUnavailable
from node.core.ports.chain import UnsignedTransaction
from node.core.units import Address

NONCES_KEPT: Final = 256
"""A lane has at most 16 nonces under way; what is older is mined, and never signed again."""

NOOP: Final = "noop"


class SigningRefused(Exception):
    """A rule forbids the signature; its words say which."""


@dataclass(frozen=True, slots=True)
class KeyState:
    """One key's past, as far as it matters.

    Attributes:
        day: The day (UTC) that `paid_units` is of; None: nothing was paid yet.
        paid_units: Token units in what was signed that day.
        signed: Nonce -> content digest of what was signed for it, or `NOOP`.
        nonce_min: Nonces below are forgotten, and never signed again.
    """

    day: date | None = None
    paid_units: int = 0
    signed: Mapping[int, str] = field(default_factory=dict)
    nonce_min: int = 0

    def after(
        self, nonce: int, content: str, units: int, *, units_per_day: int, today: date
    ) -> "KeyState":
        """The state once this is signed; the same state if it was signed before.

        A no-op may take the place of anything, because it moves nothing; nothing may take its.

        Args:
            nonce: Of the transaction.
            content: Its `content_digest`, or `NOOP`.
            units: Token units it pays out.
            units_per_day: The key's limit.
            today: UTC.

        Raises:
            SigningRefused: One of the two rules forbids it.
        """
        if nonce < self.nonce_min:
            raise SigningRefused(f"nonce {nonce} is long used: nothing more is signed for it")
        known = self.signed.get(nonce)
        if known == content:
            return self
        if known is not None and content != NOOP:
            raise SigningRefused(
                f"another transaction was signed for nonce {nonce}: only its fees may change"
            )
        day = today if self.day is None else max(self.day, today)
        paid_units = units + (self.paid_units if day == self.day else 0)
        if units and paid_units > units_per_day:
            raise SigningRefused(
                f"this key pays out at most {units_per_day} token units in a day:"
                f" {units_per_day - (paid_units - units)} are left until midnight UTC"
            )
        signed = {**self.signed, nonce: content}
        kept = sorted(signed)[-NONCES_KEPT:]
        nonce_min = kept[0] if len(signed) > NONCES_KEPT else self.nonce_min
        return KeyState(day, paid_units, {each: signed[each] for each in kept}, nonce_min)

    def forgetting(self, nonce: int) -> "KeyState":
        """The state without one nonce; what it paid stays counted."""
        return replace(
            self, signed={each: what for each, what in self.signed.items() if each != nonce}
        )


def content_digest(transaction: UnsignedTransaction) -> str:
    """SHA-256 of everything in it but the fees and the nonce."""
    facts = (
        transaction.chain_id,
        transaction.to.hex(),
        transaction.value_wei,
        transaction.gas_limit,
        transaction.data.hex(),
    )
    return hashlib.sha256(":".join(map(str, facts)).encode()).hexdigest()


class Journal:
    """One key's file. Nobody else may write it: see `only_process`."""

    def __init__(self, directory: Path, address: Address) -> None:
        """Reads what is there.

        Raises:
            SignerUnavailable: The file is there and cannot be read.
        """
        self._path = directory / f"0x{address.hex()}.json"
        self.state = self._read()

    def write(self, state: KeyState) -> None:
        """Keep a state: on disk when this returns, whole or not at all.

        Raises:
            OSError: It could not be written.
        """
        document = {
            "day": state.day.isoformat() if state.day else None,
            "paid_units": state.paid_units,
            "nonce_min": state.nonce_min,
            "signed": {str(nonce): content for nonce, content in state.signed.items()},
        }
        fresh = self._path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self.state = state

    def _read(self) -> KeyState:
        try:
            text = self._path.read_text("utf-8")
        except FileNotFoundError:
            return KeyState()
        except OSError as error:
            raise SignerUnavailable(f"{self._path} cannot be read: {error.strerror}") from None
        try:
            document = json.loads(text)
            day = document["day"]
            return KeyState(
                day=None if day is None else date.fromisoformat(day),
                paid_units=int(document["paid_units"]),
                signed={int(nonce): str(what) for nonce, what in document["signed"].items()},
                nonce_min=int(document["nonce_min"]),
            )
        except (ValueError, LookupError, TypeError, AttributeError):
            raise SignerUnavailable(
                f"{self._path} is damaged: without it a nonce could be signed twice. Find out what"
                " the key has signed, then move the file away"
            ) from None


@contextmanager
def only_process(directory: Path) -> Iterator[None]:
    """Keep every other signer process out of a state directory; makes the directory.

    Raises:
        SignerUnavailable: Another holds it, or it cannot be made.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (directory / "lock").open("w")
    except OSError as error:
        raise SignerUnavailable(f"{directory} cannot be written: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SignerUnavailable(
                f"another signer process works with {directory}: stop it first"
            ) from None
        yield
