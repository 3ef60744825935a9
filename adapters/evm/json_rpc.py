"""JSON-RPC 2.0 over HTTP to one server. Several providers of a chain are in `adapters.evm.rpc`.

No retries: whoever asks decides. Quantities and names of methods are the callers' matter.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import orjson

from adapters.evm.errors import Limited, NoAnswer, RpcError, TooSlow

CONNECT_TIMEOUT_S: Final = 2.0
ANSWER_TIMEOUT_S: Final = 10.0
_CONNECTIONS_MAX: Final = 16
_WORDS_MAX: Final = 500  # of a server's error: they go into logs
_INTERNAL_ERROR: Final = -32603  # JSON-RPC 2.0
_LIMITED: Final = frozenset({401, 402, 403, 429})  # HTTP: not you, not now
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

Call = tuple[str, Sequence[Any]]
"""Method and parameters."""


class JsonRpc:
    """One server.

    Attributes:
        name: Host and port; never path or user, where providers hide keys.
    """

    def __init__(
        self,
        url: str,
        *,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        bearer: str | None = None,
        connects: int = 1,
    ) -> None:
        """Nothing is opened yet.

        Args:
            url: http or https.
            answer_timeout_s: How long an answer may take.
            bearer: Credential that goes with every request; never shown.
            connects: How often a connection is tried; what was sent is never sent again.
        """
        parts = urlsplit(url)
        self.name = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        self._url = url
        self._timeout = httpx.Timeout(answer_timeout_s, connect=CONNECT_TIMEOUT_S)
        limits = httpx.Limits(max_connections=_CONNECTIONS_MAX)
        headers = {"content-type": "application/json"}
        if bearer is not None:
            headers["authorization"] = f"Bearer {bearer}"
        self._http = httpx.AsyncClient(
            headers=headers,
            limits=limits,
            # A transport of its own knows no proxy of the environment, and tries again only to
            # connect; a proxy cannot reach this machine's chain either.
            transport=(
                httpx.AsyncHTTPTransport(limits=limits, retries=connects - 1)
                if connects > 1
                else None
            ),
            trust_env=parts.hostname not in LOOPBACK,
            verify=parts.scheme == "https",  # certificates take a while to load; http needs none
        )

    async def call(
        self, method: str, params: Sequence[Any] = (), *, timeout_s: float | None = None
    ) -> Any:
        """Result of one call.

        Args:
            method: JSON-RPC method.
            params: Its parameters.
            timeout_s: Patience with this call; None: as with any.

        Raises:
            RpcError: The provider answered with an error.
            NoAnswer: It did not answer.
        """
        answer = await self._post(
            {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}, timeout_s
        )
        return _result(answer)

    async def batch(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> list[Any]:
        """Results of many calls in one request, in order; an `RpcError` stands for its own call.

        Args:
            calls: Methods and parameters.
            timeout_s: Patience with them all; None: as with any.

        Raises:
            NoAnswer: The provider did not answer, or not every call.
        """
        if not calls:
            return []
        answers = await self._post(
            [
                {"jsonrpc": "2.0", "id": index, "method": method, "params": list(params)}
                for index, (method, params) in enumerate(calls)
            ],
            timeout_s,
        )
        if not isinstance(answers, list):
            _result(answers)  # one error for the whole batch
            raise NoAnswer(f"{self.name} does not answer batches")
        found: dict[int, Any] = {}
        for answer in answers:
            try:
                found[answer["id"]] = _result(answer)
            except RpcError as error:
                found[answer["id"]] = error
            except (KeyError, TypeError) as error:
                raise NoAnswer(f"{self.name} answers something else than JSON-RPC") from error
        if found.keys() != set(range(len(calls))):
            raise NoAnswer(f"{self.name} does not answer each of {len(calls)} calls of a batch")
        return [found[index] for index in range(len(calls))]

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _post(self, body: object, timeout_s: float | None = None) -> Any:
        timeout = self._timeout
        if timeout_s is not None:
            timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))
        try:
            answer = await self._http.post(self._url, content=orjson.dumps(body), timeout=timeout)
        except httpx.ReadTimeout as error:
            raise TooSlow(f"{self.name}: {type(error).__name__}") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise NoAnswer(f"{self.name}: {type(error).__name__}: {error}") from error
        if answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            raise TooSlow(f"{self.name}: HTTP {answer.status_code}")
        no_answer = Limited if answer.status_code in _LIMITED else NoAnswer
        try:
            parsed = orjson.loads(answer.content)
        except orjson.JSONDecodeError as error:
            raise no_answer(f"{self.name}: HTTP {answer.status_code}, not JSON") from error
        # Some providers give a JSON-RPC error with an HTTP status of 400; that is an answer.
        if answer.status_code >= httpx.codes.BAD_REQUEST and not _is_error(parsed):
            raise no_answer(f"{self.name}: HTTP {answer.status_code}")
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise NoAnswer(f"{self.name}: HTTP {answer.status_code}: {parsed}"[:_WORDS_MAX])
        return parsed


def _is_error(parsed: object) -> bool:
    return isinstance(parsed, Mapping) and isinstance(parsed.get("error"), Mapping)


def _result(answer: Any) -> Any:
    if not isinstance(answer, Mapping):
        raise NoAnswer("the answer is not JSON-RPC")
    error = answer.get("error")
    if error is not None:
        fault = error if isinstance(error, Mapping) else {"message": error}
        code = fault.get("code")
        raise RpcError(
            code if isinstance(code, int) else _INTERNAL_ERROR,
            str(fault.get("message", ""))[:_WORDS_MAX],
            _data(fault.get("data")),
        )
    if "result" not in answer:
        raise NoAnswer("the answer has neither result nor error")
    return answer["result"]


def _data(data: object) -> bytes:
    """Revert data: a hex string, or inside an object (some providers wrap it)."""
    if isinstance(data, Mapping):
        data = data.get("data")
    if not isinstance(data, str) or not data.startswith("0x"):
        return b""
    try:
        return bytes.fromhex(data[2:])
    except ValueError:
        return b""
