"""One request, when it is sent again, and what its answer means. No I/O is here.

Sent again is only what does no harm when it runs twice: reading, and what has an Idempotency-Key,
always with the same key and the same body. Not here: who sends (`asking.py`).
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx

from node.client.errors import (
    DECIDED_CODES,
    IN_PROGRESS,
    AnswerLost,
    NodeAway,
    NotCorridor,
    Problem,
    problem_of,
)
from node.client.problems import RateLimited

T = TypeVar("T")

PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0)
"""Between the attempts of one request: five attempts in all."""

RETRY_AFTER_MAX_S: Final = 30
"""A node that asks to be left alone for longer is not waited for."""

_SERVER_FAULTS_FROM: Final = 500


@dataclass(frozen=True)  # with slots, 3.11 cannot make a `Call[T](...)`
class Call(Generic[T]):
    """A request whose answer is a `T`.

    Attributes:
        path: With the ids in place (`in_path`).
        query: None leaves a parameter out.
        body: Sent as JSON.
        key: Idempotency-Key of every attempt; `new_key()` makes one.
        content: Sent instead of a body, as `media_type`.
        is_harmless: A POST that may run twice though it has no key.
    """

    method: str
    path: str
    query: Mapping[str, str | int | None] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    key: str | None = None
    content: bytes | None = None
    media_type: str | None = None
    is_harmless: bool = False

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be sent again without harm."""
        return self.method == "GET" or self.key is not None or self.is_harmless

    @property
    def moves(self) -> bool:
        """Whether it is to be done once, so that it matters whether it was."""
        return self.method != "GET" and not self.is_harmless

    def after(self, page: Mapping[str, Any]) -> "Call[T] | None":
        """The call for the page of a list that follows this one; None: there is none."""
        if page.get("next_cursor") is not None:
            return replace(self, query={**self.query, "cursor": page["next_cursor"]})
        if "next_after" in page and page["data"]:
            return replace(self, query={**self.query, "after": page["next_after"]})
        return None

    def request_of(self, http: httpx.Client | httpx.AsyncClient, timeout_s: float) -> httpx.Request:
        """As a request of this client."""
        headers = {}
        if self.key is not None:
            headers["Idempotency-Key"] = self.key
        if self.media_type is not None:
            headers["Content-Type"] = self.media_type
        return http.build_request(
            self.method,
            self.path,
            params={name: value for name, value in self.query.items() if value is not None},
            json=self.body,
            content=self.content,
            headers=headers,
            timeout=timeout_s,
        )


def in_path(part: str) -> str:
    """An id as a part of a path."""
    return quote(part, safe="")


def new_key() -> str:
    """An Idempotency-Key that nobody has used."""
    return str(uuid4())


class Attempts:
    """The attempts of one call."""

    def __init__(self, call: Call[Any], url: str, pauses_s: Sequence[float]) -> None:
        self._call = call
        self._url = url
        self._pauses_s = list(pauses_s) if call.is_repeatable else []
        self._is_open = False  # an attempt may have been carried out

    def wait_s(self, outcome: httpx.Response | httpx.TransportError) -> float | None:
        """How long to wait before the next attempt; None: the outcome stands."""
        self._is_open = self._is_open or (self._call.moves and _leaves_open(outcome))
        if not self._pauses_s or not _may_change(outcome):
            return None
        asked_s = 0 if isinstance(outcome, httpx.TransportError) else _retry_after_s(outcome)
        if asked_s > RETRY_AFTER_MAX_S:
            return None
        # Up to a quarter less by chance: what failed together does not come again together.
        pause_s = self._pauses_s.pop(0) * (1 - secrets.randbelow(250) / 1000)
        return max(pause_s, float(asked_s))

    def answer(self, outcome: httpx.Response | httpx.TransportError) -> httpx.Response:
        """The answer that stands, if it is a success.

        Raises:
            Problem: The node declines.
            AnswerLost: It moves something, and nobody can say whether it was done.
            NodeAway: There was no answer.
            NotCorridor: The answer is none of a node.
        """
        problem = None
        if isinstance(outcome, httpx.Response):
            if outcome.is_success:
                return outcome
            problem = _problem(outcome)
        if self._is_open and not (problem is not None and problem.is_decided):
            raise AnswerLost(self._url, self._call.key, _reason(outcome), problem)
        if problem is not None:
            raise problem
        if isinstance(outcome, httpx.TransportError):
            raise NodeAway(self._url, _reason(outcome))
        raise NotCorridor(str(outcome.url), outcome.status_code)


def read(answer: httpx.Response) -> Any:
    """The JSON object of a success.

    Raises:
        NotCorridor: It is none.
    """
    members = _object(answer)
    if members is None:
        raise NotCorridor(str(answer.url), answer.status_code)
    return members


def read_file(answer: httpx.Response) -> bytes:
    """The file of a success, in whatever media type it comes; JSON as it was sent.

    Raises:
        NotCorridor: It is neither.
    """
    if "content-disposition" not in answer.headers:
        read(answer)
    return answer.content


def _object(answer: httpx.Response) -> Mapping[str, Any] | None:
    try:
        members = answer.json()
    except ValueError:
        return None
    return members if isinstance(members, dict) else None


def _problem(answer: httpx.Response) -> Problem | None:
    members = _object(answer) if answer.is_error else None
    return None if members is None or "code" not in members else problem_of(members)


def _may_change(outcome: httpx.Response | httpx.TransportError) -> bool:
    """Whether the same request, sent again soon, can get another answer."""
    if isinstance(outcome, httpx.TransportError):
        return True
    problem = _problem(outcome)
    code = "" if problem is None else problem.code
    if outcome.status_code < _SERVER_FAULTS_FROM:
        return code in (IN_PROGRESS, RateLimited.code)
    return code not in DECIDED_CODES


def _leaves_open(outcome: httpx.Response | httpx.TransportError) -> bool:
    """Whether the attempt may have been carried out."""
    if isinstance(outcome, httpx.TransportError):
        return not isinstance(outcome, (httpx.ConnectError, httpx.ConnectTimeout))
    problem = _problem(outcome)
    if problem is not None:
        is_fault = problem.status >= _SERVER_FAULTS_FROM or problem.code == IN_PROGRESS
        return is_fault and not problem.is_decided
    return outcome.status_code >= _SERVER_FAULTS_FROM


def _retry_after_s(answer: httpx.Response) -> int:
    text = answer.headers.get("retry-after", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0  # noqa: PLR2004


def _reason(outcome: httpx.Response | httpx.TransportError) -> str:
    if isinstance(outcome, httpx.Response):
        problem = _problem(outcome)
        return f"it answered {outcome.status_code} {problem.code if problem else ''}".strip()
    if isinstance(outcome, httpx.TimeoutException):
        return "nothing came in time"
    return str(outcome) or type(outcome).__name__
