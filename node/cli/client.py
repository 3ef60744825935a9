"""HTTP to a node: answers as JSON values, problems as faults, lost answers as what they are.

Not here: what is asked for, and how it is shown.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

import httpx

from node.cli.connection import Connection
from node.cli.faults import Fault, Status, refused

Json = Mapping[str, Any]

_TIMEOUT_S: Final = 15.0
"""The node itself waits up to 10 s for a first request of the same idempotency key."""

_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0)
"""Between the attempts of one safe POST: five attempts in all."""

_SERVER_FAULTS_FROM: Final = 500

_DECIDED_STATUSES: Final = frozenset({400, 404, 409, 422})
_DECIDED_CODES: Final = frozenset(
    {
        "exposure_limit_reached",
        "liquidity_unavailable",
        "quoting_halted",
        "rate_unavailable",
        "settlement_recovering",
    }
)
"""Refusals given before anything is written, though the status is 503."""


class AnswerLost(Exception):
    """A POST was sent and nobody can say what became of it."""


class NodeClient:
    """One node, one credential. To be used in a `with` block."""

    def __init__(self, connection: Connection, *, pauses_s: Sequence[float] = _PAUSES_S) -> None:
        self._url = connection.url
        self._pauses_s = pauses_s
        self._http = httpx.Client(
            base_url=connection.url,
            headers={"Authorization": f"Bearer {connection.token}"},
            timeout=_TIMEOUT_S,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, *, timeout_s: float = _TIMEOUT_S, **query: str | int) -> Json:
        """The object at `path`.

        Raises:
            Fault: The node declines, or does not answer.
        """
        with self._away_is_a_fault():
            return _read(self._http.get(path, params=query, timeout=timeout_s))

    def get_file(self, path: str, *, timeout_s: float = _TIMEOUT_S, **query: str | int) -> bytes:
        """The file at `path`, in whatever media type it comes.

        Raises:
            Fault: The node declines, or does not answer.
        """
        with self._away_is_a_fault():
            answer = self._http.get(path, params=query, timeout=timeout_s)
            if answer.is_error or "content-disposition" not in answer.headers:
                _read(answer)
            return answer.content

    def post(self, path: str, body: Json, *, timeout_s: float = _TIMEOUT_S) -> Json:
        """What the node made of `body`; for requests that do no harm when they run twice.

        Raises:
            Fault: The node declines, or does not answer.
        """
        with self._away_is_a_fault():
            return _read(self._http.post(path, json=body, timeout=timeout_s))

    def post_file(
        self, path: str, content: bytes, media_type: str, *, timeout_s: float, **query: str | int
    ) -> Json:
        """What the node made of a file; for requests that do no harm when they run twice.

        Raises:
            Fault: The node declines, or does not answer.
        """
        with self._away_is_a_fault():
            return _read(
                self._http.post(
                    path,
                    content=content,
                    headers={"Content-Type": media_type},
                    params=query,
                    timeout=timeout_s,
                )
            )

    def post_once(self, path: str, body: Json, *, key: str) -> Json:
        """What the node made of `body`, exactly once for the key however often it is sent.

        A lost answer, a fault of the server and a first request that is still running are asked
        again with the same key.

        Raises:
            Fault: The node declines.
            AnswerLost: Every attempt failed; the node may or may not have acted.
        """
        for pause_s in (*self._pauses_s, None):
            try:
                answer = self._http.post(path, json=body, headers={"Idempotency-Key": key})
                if not _may_change(answer):
                    return _read(answer)
            except httpx.TransportError:
                pass
            if pause_s is not None:
                time.sleep(pause_s)
        raise AnswerLost(self._url)

    @contextmanager
    def _away_is_a_fault(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise Fault(
                f"the node at {self._url} does not answer ({_reason(error)})",
                remedy="is it running? `corridor devnet up` starts what is not;"
                " `corridor doctor` looks closer",
                status=Status.AWAY,
            ) from None


def is_decided(problem: Json) -> bool:
    """Whether the node says for certain that the request did nothing.

    The key is looked up before anything else but the credential, so these would not be said had
    an earlier attempt worked. 401, 403 and 429 are said before the lookup; other faults of the
    server may follow a commit.
    """
    code = problem.get("code")
    if code == "idempotency_in_progress":
        return False
    return problem.get("status") in _DECIDED_STATUSES or code in _DECIDED_CODES


def _may_change(answer: httpx.Response) -> bool:
    """Whether the same request, sent again at once, can get another answer."""
    if answer.status_code < _SERVER_FAULTS_FROM:
        return "idempotency_in_progress" in answer.text and answer.is_error
    return not any(code in answer.text for code in _DECIDED_CODES)


def _read(answer: httpx.Response) -> Json:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Fault(
            f"{answer.url} answered {answer.status_code} with something that is not Corridor's",
            remedy="does CORRIDOR_URL name a Corridor node?",
        )
    if answer.is_error:
        raise refused(body)
    return body


def _reason(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "nothing came in time"
    return str(error) or type(error).__name__
