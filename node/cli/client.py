"""A node as commands ask it: answers as JSON values, what goes wrong as faults.

HTTP, and what is sent again, is the client's (`node.client`). A command asks once and says at once
what is wrong; only what must be done exactly once is repeated. Not here: what is asked for, and how
it is shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

from node import client
from node.cli.connection import Connection
from node.cli.faults import Fault, Status, refused
from node.client import Call, Client
from node.client.asking import TIMEOUT_S
from node.client.calls import PAUSES_S

Json = Mapping[str, Any]

_ONCE: Final = ()
"""Pauses between attempts, of which there is one."""


class AnswerLost(Exception):
    """A POST was sent and nobody can say what became of it."""


class NodeClient:
    """One node, one credential. To be used in a `with` block."""

    def __init__(self, connection: Connection, *, pauses_s: Sequence[float] = PAUSES_S) -> None:
        self._client = Client(connection.url, connection.token)
        self._pauses_s = pauses_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, *, timeout_s: float = TIMEOUT_S, **query: str | int) -> Json:
        """The object at `path`.

        Raises:
            Fault: The node declines, or does not answer.
        """
        return self._ask(Call("GET", path, query=query), timeout_s)

    def get_file(self, path: str, *, timeout_s: float = TIMEOUT_S, **query: str | int) -> bytes:
        """The file at `path`, in whatever media type it comes.

        Raises:
            Fault: The node declines, or does not answer.
        """
        with self._faults():
            return self._client.file(path, query, timeout_s=timeout_s, pauses_s=_ONCE)

    def post(self, path: str, body: Json, *, timeout_s: float = TIMEOUT_S) -> Json:
        """What the node made of `body`; for requests that do no harm when they run twice.

        Raises:
            Fault: The node declines, or does not answer.
        """
        return self._ask(Call("POST", path, body=body, is_harmless=True), timeout_s)

    def post_file(
        self,
        path: str,
        content: bytes,
        media_type: str,
        *,
        timeout_s: float,
        key: str | None = None,
        **query: str | int,
    ) -> Json:
        """What the node made of a file; for requests that do no harm when they run twice.

        With a key they run once, however often the same is sent.

        Raises:
            Fault: The node declines, or does not answer.
        """
        call: Call[Json] = Call(
            "POST",
            path,
            query=query,
            key=key,
            content=content,
            media_type=media_type,
            is_harmless=True,
        )
        return self._ask(call, timeout_s)

    def post_once(self, path: str, body: Json, *, key: str) -> Json:
        """What the node made of `body`, exactly once for the key however often it is sent.

        A lost answer, a fault of the server and a first request that is still running are asked
        again with the same key.

        Raises:
            Fault: The node declines.
            AnswerLost: Every attempt failed; the node may or may not have acted.
        """
        call: Call[Json] = Call("POST", path, body=body, key=key)
        with self._faults():
            try:
                return self._client.ask(call, pauses_s=self._pauses_s)
            except (client.AnswerLost, client.NodeAway):
                # Away is no answer either: an earlier run may have sent it.
                raise AnswerLost(self._client.url) from None

    def _ask(self, call: Call[Json], timeout_s: float) -> Json:
        with self._faults():
            return self._client.ask(call, timeout_s=timeout_s, pauses_s=_ONCE)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except client.Problem as problem:
            raise refused(problem.members) from None
        except client.NotCorridor as error:
            raise Fault(str(error), remedy="does CORRIDOR_URL name a Corridor node?") from None
        except client.NodeAway as error:
            raise Fault(
                str(error),
                remedy="is it running? `corridor devnet up` starts what is not;"
                " `corridor doctor` looks closer",
                status=Status.AWAY,
            ) from None
