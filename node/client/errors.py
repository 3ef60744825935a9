"""How asking a node fails. The problems themselves, one class per code, are in `problems.py`.

* ClientError
  x NodeAway        nothing came back, or nothing that can be trusted to be an answer
  x AnswerLost      the same of a request that moves something: it may or may not have been done
  x NotCorridor     what answers is no Corridor node
  x WaitedTooLong   what was waited for has not happened in time
  x WebhookUnverified    a message that came in is not one of the node
  x Problem         the node declines (RFC 9457), by `code`
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, cast

_DECIDED_STATUSES: Final = frozenset({400, 404, 409, 422})
DECIDED_CODES: Final = frozenset(
    {
        "exposure_limit_reached",
        "liquidity_unavailable",
        "quoting_halted",
        "rate_unavailable",
        "settlement_recovering",
    }
)
"""Refusals given before anything is written, though the status is 503."""

IN_PROGRESS: Final = "idempotency_in_progress"


class ClientError(Exception):
    """The client cannot give what was asked for."""


class NodeAway(ClientError):
    """The node does not answer; nothing was asked of it that could have changed anything."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"the node at {url} does not answer ({reason})")
        self.url = url
        self.reason = reason


class AnswerLost(ClientError):
    """A request was sent, and nobody can say what became of it.

    Send the same again with the same `key`: the node then does it, or tells what came of it.

    Attributes:
        key: The Idempotency-Key of every attempt.
        problem: What the node answered last, if it did.
    """

    def __init__(self, url: str, key: str | None, reason: str, problem: "Problem | None") -> None:
        super().__init__(
            f"the node at {url} did not answer, and may or may not have acted ({reason}); ask"
            f" again with the key {key}"
        )
        self.url = url
        self.key = key
        self.problem = problem


class NotCorridor(ClientError):
    """Something answers that is not a Corridor node, such as a proxy before it."""

    def __init__(self, url: str, status: int) -> None:
        super().__init__(f"{url} answered {status} with something that is not Corridor's")
        self.url = url
        self.status = status


class WaitedTooLong(ClientError):
    """It has not happened in time. Nothing was stopped by that."""


class WebhookUnverified(ClientError):
    """A message that came in is not signed by the node, or was signed at another time."""


class Problem(ClientError):
    """The node understood and declined: a problem document (RFC 9457).

    Attributes:
        code: What happened, for a program; stable. Each has a class in
            `node.client.problems`.
        members: The whole document, with what the code promises, such as `available`.
    """

    code: str = ""
    by_code: ClassVar[dict[str, type["Problem"]]] = {}

    def __init__(self, members: Mapping[str, Any]) -> None:
        super().__init__(members)
        self.members = members
        self.code = str(members.get("code", ""))

    def __init_subclass__(cls, **others: Any) -> None:
        super().__init_subclass__(**others)
        Problem.by_code[cls.code] = cls

    def __str__(self) -> str:
        """The fault and the remedy, for a person, with every place in the request."""
        text = self.detail
        for each in self.errors:
            text += f"\n{each.get('pointer') or each.get('parameter')}: {each.get('message')}"
        return f"{text} ({self.code})"

    @property
    def status(self) -> int:
        """Of the answer."""
        return int(self.members.get("status", 0))

    @property
    def detail(self) -> str:
        """One sentence or two for a person."""
        return str(self.members.get("detail") or self.members.get("title") or "")

    @property
    def retryable(self) -> bool:
        """Whether the same request can succeed later without a change."""
        return bool(self.members.get("retryable"))

    @property
    def request_id(self) -> str | None:
        """By which the operator of the node finds it in the logs."""
        return self.members.get("request_id")

    @property
    def errors(self) -> Sequence[Mapping[str, str]]:
        """Of an invalid body or query, each fault: `pointer` or `parameter`, `code`, `message`."""
        return cast("Sequence[Mapping[str, str]]", self.members.get("errors") or ())

    @property
    def is_decided(self) -> bool:
        """Whether it says for certain that the request did nothing."""
        return is_decided(self.members)


def is_decided(problem: Mapping[str, Any]) -> bool:
    """Whether the node says for certain that the request did nothing.

    The key is looked up before anything else but the credential, so these would not be said had
    an earlier attempt worked. 401, 403 and 429 are said before the lookup; other faults of the
    server may follow a commit.
    """
    code = problem.get("code")
    if code == IN_PROGRESS:
        return False
    return problem.get("status") in _DECIDED_STATUSES or code in DECIDED_CODES


def problem_of(members: Mapping[str, Any]) -> Problem:
    """The problem of a document, of the class of its code; a code that is new is a `Problem`."""
    return Problem.by_code.get(str(members.get("code", "")), Problem)(members)
