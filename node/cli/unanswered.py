"""Sends whose answer is missing, kept on disk so that a second try uses the same key.

A record is written before the request leaves and removed when the node has answered for certain;
whatever stops the command in between, running it again asks with the same Idempotency-Key and the
same body, so the node acts once. Records hold personal data: the directory is readable by its
owner only. Not here: when a send is tried again (`sending.py`).
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Unanswered:
    """One send that may or may not have reached the node.

    Attributes:
        path: Its file.
        key: Idempotency-Key of every attempt.
        body: The request, unchanged between attempts.
    """

    path: Path
    key: str
    body: Mapping[str, Any]

    @classmethod
    def find(cls, directory: Path, *what: str) -> Self | None:
        """The record of an earlier run of the same command, if its answer is missing."""
        path = _path(directory, what)
        try:
            record = json.loads(path.read_bytes())
            return cls(path, record["key"], record["body"])
        except FileNotFoundError:
            return None

    @classmethod
    def write(cls, directory: Path, *what: str, body: Mapping[str, Any]) -> Self:
        """Store a record with a fresh key, on disk before this returns."""
        path = _path(directory, what)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        record = cls(path, f"send-{secrets.token_hex(16)}", body)
        partial = path.with_suffix(".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"key": record.key, "body": body}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        return record

    def forget(self) -> None:
        """The node has answered for certain."""
        self.path.unlink(missing_ok=True)


def _path(directory: Path, what: tuple[str, ...]) -> Path:
    name = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]
    return directory / "sends" / f"{name}.json"
