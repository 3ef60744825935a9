"""JSON-RPC 2.0 over HTTP: one provider, and several of one chain with fail-over for reads.

No retries: whoever asks decides. Quantities and names of methods are the callers' matter.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import orjson

from adapters.evm.errors import NoAnswer, RpcError
from node.core.errors import ChainUnavailable

CONNECT_TIMEOUT_S: Final = 2.0
ANSWER_TIMEOUT_S: Final = 10.0
_CONNECTIONS_MAX: Final = 16
_LOCAL: Final = frozenset({"127.0.0.1", "localhost", "::1"})

Call = tuple[str, Sequence[Any]]
"""Method and parameters."""

_Result = TypeVar("_Result")


class JsonRpc:
    """One provider.

    Attributes:
        name: Host and port; never path or user, where providers hide keys.
    """

    def __init__(self, url: str, *, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        parts = urlsplit(url)
        self.name = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        self._url = url
        self._http = httpx.AsyncClient(
            headers={"content-type": "application/json"},
            timeout=httpx.Timeout(answer_timeout_s, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=_CONNECTIONS_MAX),
            trust_env=parts.hostname not in _LOCAL,  # a proxy cannot reach this machine's chain
        )

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Result of one call.

        Raises:
            RpcError: The provider answered with an error.
            NoAnswer: It did not answer.
        """
        answer = await self._post(
            {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        )
        return _result(answer)

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Results of many calls in one request, in order; an `RpcError` stands for its own call.

        Raises:
            NoAnswer: The provider did not answer, or not every call.
        """
        if not calls:
            return []
        answers = await self._post(
            [
                {"jsonrpc": "2.0", "id": index, "method": method, "params": list(params)}
                for index, (method, params) in enumerate(calls)
            ]
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
        if len(found) != len(calls):
            raise NoAnswer(f"{self.name} answers {len(found)} of {len(calls)} calls of a batch")
        return [found[index] for index in range(len(calls))]

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _post(self, body: object) -> Any:
        try:
            answer = await self._http.post(self._url, content=orjson.dumps(body))
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise NoAnswer(f"{self.name}: {type(error).__name__}: {error}") from error
        try:
            parsed = orjson.loads(answer.content)
        except orjson.JSONDecodeError as error:
            raise NoAnswer(f"{self.name}: HTTP {answer.status_code}, not JSON") from error
        # Some providers give a JSON-RPC error with an HTTP status of 400; that is an answer.
        if answer.status_code >= httpx.codes.BAD_REQUEST and not _is_error(parsed):
            raise NoAnswer(f"{self.name}: HTTP {answer.status_code}")
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise NoAnswer(f"{self.name}: HTTP {answer.status_code}: {parsed}")
        return parsed


class Providers:
    """All providers of one chain, the preferred first."""

    def __init__(self, providers: Sequence[JsonRpc]) -> None:
        self.all: Sequence[JsonRpc] = tuple(providers)

    @classmethod
    def at(cls, urls: Sequence[str], *, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> Self:
        """Providers at these addresses. Nothing is opened yet."""
        return cls([JsonRpc(url, answer_timeout_s=answer_timeout_s) for url in urls])

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Result from the first provider that has one.

        Raises:
            RpcError: A contract reverted; every provider would say so.
            ChainUnavailable: No provider gave a result.
        """
        return await self._first(lambda provider: provider.call(method, params))

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Results of many calls, all from one provider; an `RpcError` stands for its own call.

        Raises:
            ChainUnavailable: No provider answers all of them.
        """
        return await self._first(lambda provider: provider.batch(calls))

    async def close(self) -> None:
        """Close every connection."""
        for provider in self.all:
            await provider.close()

    async def _first(self, ask: Callable[[JsonRpc], Coroutine[Any, Any, _Result]]) -> _Result:
        faults: list[str] = []
        for provider in self.all:
            try:
                return await ask(provider)
            except RpcError as error:
                if error.is_revert:
                    raise
                faults.append(f"{provider.name} says {error}")
            except NoAnswer as error:
                faults.append(str(error))
        raise ChainUnavailable("no provider of the chain gives an answer: " + "; ".join(faults))


def _is_error(parsed: object) -> bool:
    return isinstance(parsed, Mapping) and isinstance(parsed.get("error"), Mapping)


def _result(answer: Any) -> Any:
    if not isinstance(answer, Mapping):
        raise NoAnswer("the answer is not JSON-RPC")
    error = answer.get("error")
    if error is not None:
        fault = error if isinstance(error, Mapping) else {"message": str(error)}
        raise RpcError(
            int(fault.get("code", -32603)), str(fault.get("message", "")), _data(fault.get("data"))
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
