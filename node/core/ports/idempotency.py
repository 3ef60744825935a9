"""Answers kept for repeated requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Claim:
    """What makes a request the same as an earlier one.

    Attributes:
        principal: `Principal.key`: it outlives a rotation of credentials.
        method: HTTP method.
        path: Path as requested.
        key: The `Idempotency-Key`, literally.
        request_hash: SHA-256 of the parsed body; another hash under the same key is a misuse.
    """

    principal: str
    method: str
    path: str
    key: str
    request_hash: bytes

    @property
    def scope(self) -> tuple[str, str, str, str]:
        """The claim without the body."""
        return (self.principal, self.method, self.path, self.key)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the edge sends back, exactly."""

    status: int
    body: bytes
    location: str | None = None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer with the hash of the request it answered."""

    request_hash: bytes
    answer: Answer


class IdempotencyRepository(Protocol):
    """Stored answers; written in the transaction whose effect they describe."""

    async def find(
        self, claims: Sequence[Claim]
    ) -> Mapping[tuple[str, str, str, str], StoredAnswer]:
        """The answers there are, by `Claim.scope`."""
        ...

    async def remember(self, answers: Sequence[tuple[Claim, Answer]]) -> None:
        """Keep the answers as long as the objects."""
        ...

    async def lock(self, claim: Claim, *, timeout_ms: int) -> bool:
        """Hold the claim until the end of the transaction; False when another holds it longer."""
        ...
