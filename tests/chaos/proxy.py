"""The fault proxy: several JSON-RPC providers in front of one chain, each as bad as a test wants.

A small ASGI program over uvicorn in a thread of its own, one port per provider. What it does to a
call is said by rules (`tests.chaos.rules`), which a test adds at any time; every fault that
happened is in `fired`, with a running number. Chances are drawn from the seed.
"""

import asyncio
import random  # noqa: TID251 - the seed is an argument
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import orjson
import uvicorn
from eth_utils.crypto import keccak

from tests.chaos.pool import Pool
from tests.chaos.rules import (
    Action,
    CapLogs,
    CapResults,
    Delay,
    Drop,
    Duplicate,
    Error,
    FinalizedBack,
    Fired,
    ForwardThenDrop,
    HideLog,
    Http,
    NonceAhead,
    Null,
    Partial,
    Rule,
    StaleHead,
    StaleNonce,
    SwallowOk,
    WrongChain,
)
from tests.chaos.upstream import Upstream

_SEND = "eth_sendRawTransaction"
_START_LIMIT_S = 10
_RECEIPTS = ("eth_getBlockReceipts", "eth_getTransactionReceipt")
_REQUEST_ACTIONS = (Drop, ForwardThenDrop, Delay, Duplicate, Http)

Call = Mapping[str, Any]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What happens to one request: at most one fault for it as a whole, and one for each call."""

    whole: Action | None
    single: Sequence[Action | None]


class FaultProxy:
    """So many providers of one chain."""

    def __init__(
        self,
        chain_url: str,
        *,
        providers: int = 1,
        seed: int = 0,
        pool: Callable[[], Pool | None] = lambda: None,
    ) -> None:
        self.fired: list[Fired] = []
        self._chance = random.Random(seed)
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._started = threading.Event()
        self._chain_url = chain_url
        self._upstream: Upstream | None = None
        self._pools = [pool() for _ in range(providers)]
        self._sockets = [_listening() for _ in range(providers)]
        self._provider_of = {each.getsockname()[1]: n for n, each in enumerate(self._sockets)}
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._answer,
                interface="asgi3",
                proxy_headers=False,
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level="critical",
                loop="none",
            )
        )
        self._thread = threading.Thread(target=self._run, name="fault proxy", daemon=True)

    @property
    def urls(self) -> list[str]:
        """Where each provider answers."""
        return [f"http://127.0.0.1:{port}" for port in self._provider_of]

    @property
    def counts(self) -> Counter[str]:
        """How often each fault happened."""
        return Counter(each.name for each in list(self.fired))

    def add(self, *rules: Rule) -> None:
        """Let these faults happen from now on."""
        with self._lock:
            self._rules = [*(each for each in self._rules if not each.is_spent), *rules]

    def clear(self) -> None:
        """No more faults, and no strict pools."""
        with self._lock:
            self._rules = []
            self._pools = [None] * len(self._pools)

    def waiting(self, methods: frozenset[str] | None = None) -> int:
        """Rules with a limit that may still fire; of these methods only."""
        with self._lock:
            return sum(
                1
                for each in self._rules
                if each.times and not each.is_spent and methods in (None, each.methods)
            )

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(_START_LIMIT_S):
            raise TimeoutError("the fault proxy does not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join()
        for each in self._sockets:
            each.close()

    # ------------------------------------------------------------------------------- serving

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._upstream = Upstream(self._chain_url)
        self._started.set()  # the sockets listen already: a request waits, it is not refused
        await self._server.serve(sockets=self._sockets)
        self._upstream.close()

    async def _answer(self, scope: Mapping[str, Any], receive: Any, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        asked = orjson.loads(body)
        calls: list[Call] = asked if isinstance(asked, list) else [asked]
        status, answers = await self._handle(self._provider_of[scope["server"][1]], calls)
        if status is None:
            await _break_off(send)
            return
        content = orjson.dumps(answers if isinstance(asked, list) else answers[0])
        await _respond(send, status, content)

    async def _handle(self, provider: int, calls: Sequence[Call]) -> tuple[int | None, list[Any]]:
        """HTTP status, None for a connection that ends, and the answer to each call."""
        assert self._upstream is not None
        head = int(await self._upstream.call("eth_blockNumber"), 16) if self._asks_head() else 0
        plan = self._plan(provider, calls, head)
        whole = plan.whole
        if isinstance(whole, Drop):
            return None, []
        if isinstance(whole, Http) and not whole.forwarded:
            return whole.status, _refusals(calls, whole)
        if isinstance(whole, Delay):
            await asyncio.sleep(whole.delay_ms / 1000)
        try:
            if isinstance(whole, Duplicate):
                await self._do(provider, calls, plan)
            answers = await self._do(provider, calls, plan)
        except OSError:
            return None, []
        if isinstance(whole, ForwardThenDrop):
            return None, []
        if isinstance(whole, Http):
            return whole.status, _refusals(calls, whole)
        return 200, answers

    def _asks_head(self) -> bool:
        with self._lock:
            return any(each.blocks is not None for each in self._rules)

    def _plan(self, provider: int, calls: Sequence[Call], head: int) -> _Plan:
        with self._lock:
            whole: Action | None = None
            single: list[Action | None] = []
            for call in calls:
                rule = self._first(provider, call, head, for_all=whole is None)
                action = None if rule is None else rule.action
                if rule is not None:
                    self._note(provider, call, rule.action.name)
                    if rule.times is not None:
                        rule.times -= 1
                if isinstance(action, _REQUEST_ACTIONS):
                    whole, action = action, None
                single.append(action)
            self._rules = [each for each in self._rules if not each.is_spent]
            return _Plan(whole, single)

    def _first(self, provider: int, call: Call, head: int, *, for_all: bool) -> Rule | None:
        """The first rule that fires for a call; with `for_all` also one for its whole request."""
        method, params = call["method"], call.get("params") or ()
        for rule in self._rules:
            if rule.is_spent or not rule.matches(provider, method, params):
                continue
            if not _fits(rule.action, method, params):
                continue
            if not for_all and isinstance(rule.action, _REQUEST_ACTIONS):
                continue
            if rule.blocks is not None and head not in rule.blocks:
                continue
            rule.seen += 1
            if rule.seen >= rule.nth and self._chance.randrange(1000) < rule.chance_permille:
                return rule
        return None

    def _note(self, provider: int, call: Call, name: str) -> None:
        self.fired.append(Fired(len(self.fired) + 1, provider, call["method"], name))

    # -------------------------------------------------------------------------------- doing

    async def _do(self, provider: int, calls: Sequence[Call], plan: _Plan) -> list[Any]:
        """Answers in order; what the chain is asked goes in one request."""
        assert self._upstream is not None
        given: dict[int, Any] = {}
        asked: list[tuple[int, Call]] = []
        for place, (call, action) in enumerate(zip(calls, plan.single, strict=True)):
            local = await self._local(provider, call, action)
            if local is not None:
                given[place] = local
            else:
                asked.append((place, await _rewritten(call, action, self._upstream)))
        if asked:
            bodies = [{**call, "id": place} for place, call in asked]
            got = await self._upstream.post(bodies if len(bodies) > 1 else bodies[0])
            for each in got if isinstance(got, list) else [got]:
                given[each["id"]] = _changed(each, plan.single[each["id"]])
        return [{**given[place], "id": call["id"]} for place, call in enumerate(calls)]

    async def _local(
        self, provider: int, call: Call, action: Action | None
    ) -> Mapping[str, Any] | None:
        """What is answered without the chain, or None."""
        assert self._upstream is not None
        made_up = _made_up(call, action)
        pool = self._pools[provider]
        if made_up is None and pool is not None and call["method"] == _SEND:
            refusal = await pool.refusal(bytes.fromhex(call["params"][0][2:]), self._upstream)
            if refusal is not None:
                name, code, text = refusal
                with self._lock:
                    self._note(provider, call, name)
                return _error(code, text)
        return made_up


def _made_up(call: Call, action: Action | None) -> Mapping[str, Any] | None:
    match action:
        case Error(forwarded=False):
            return _error(action.code, action.text)
        case CapLogs():
            return _error(action.code, action.words(int(call["params"][0]["fromBlock"], 16)))
        case WrongChain():
            return _result(hex(action.chain_id))
        case Null():
            return _result(None)
        case SwallowOk():
            return _result("0x" + keccak(hexstr=call["params"][0]).hex())
        case _:
            return None


def _fits(action: Action, method: str, params: Sequence[Any]) -> bool:
    """Whether the fault makes sense for the call; else it is as if the rule did not match."""
    tag = params[0] if params else None
    wanted: dict[type[Action], bool] = {
        SwallowOk: method == _SEND,
        StaleHead: method == "eth_blockNumber"
        or (method == "eth_getBlockByNumber" and tag == "latest"),
        FinalizedBack: method == "eth_getBlockByNumber" and tag == "finalized",
        WrongChain: method == "eth_chainId",
        Partial: method in ("eth_getLogs", "eth_getBlockReceipts"),
        CapResults: method == "eth_getLogs",
    }
    if isinstance(action, StaleNonce | NonceAhead):
        at = params[1] if len(params) > 1 else None
        is_counted = at in ("latest", "pending") if isinstance(at, str) else action.by_hash
        return method == "eth_getTransactionCount" and is_counted
    if isinstance(action, HideLog):
        return method == "eth_getLogs" or (action.in_receipts and method in _RECEIPTS)
    if isinstance(action, CapLogs):
        return method == "eth_getLogs" and _span(params[0]) > action.blocks
    return wanted.get(type(action), True)


def _span(asked: Mapping[str, Any]) -> int:
    if "blockHash" in asked:
        return 1
    return int(asked["toBlock"], 16) - int(asked["fromBlock"], 16) + 1


async def _rewritten(call: Call, action: Action | None, upstream: Upstream) -> Call:
    """The call as a provider that is behind would do it."""
    if not isinstance(action, StaleHead | FinalizedBack) or call["method"] == "eth_blockNumber":
        return call
    block = await upstream.call("eth_getBlockByNumber", call["params"][0], False)
    number = max(0, int(block["number"], 16) - action.blocks)
    return {**call, "params": [hex(number), *call["params"][1:]]}


def _changed(answer: Mapping[str, Any], action: Action | None) -> Mapping[str, Any]:
    """The chain's answer as the provider gives it."""
    result = answer.get("result")
    match action:
        case Error():
            return _error(action.code, action.text)
        case CapResults(text=text) if text and isinstance(result, list):
            return _error(action.code, text) if len(result) > action.count else answer
        case StaleNonce() | NonceAhead() | StaleHead() if isinstance(result, str):
            return _result(hex(max(0, int(result, 16) + _shift(action))))
        case Partial() | CapResults() | HideLog() if isinstance(result, list | dict):
            return _result(_without(action, result))
        case _:
            return answer


def _shift(action: StaleNonce | NonceAhead | StaleHead) -> int:
    """What is added to a number."""
    match action:
        case NonceAhead():
            return action.count
        case StaleNonce():
            return -action.count
        case StaleHead():
            return -action.blocks


def _without(action: Partial | CapResults | HideLog, told: Any) -> Any:
    """A list cut off; or logs, or receipts with their logs, without those that are hidden."""
    if isinstance(action, Partial):
        return told[: min(action.count, max(0, len(told) - 1))]
    if isinstance(action, CapResults):
        return told[: action.count]
    if isinstance(told, dict):
        return {**told, "logs": _without(action, told["logs"])}
    if told and "logs" in told[0]:
        return [_without(action, each) for each in told]
    return [each for each in told if not action.hides(each)]


def _result(result: Any) -> Mapping[str, Any]:
    return {"jsonrpc": "2.0", "result": result}


def _error(code: int, text: str) -> Mapping[str, Any]:
    return {"jsonrpc": "2.0", "error": {"code": code, "message": text}}


def _refusals(calls: Sequence[Call], action: Http) -> list[Any]:
    """The body that goes with a status: of a gateway, not of the chain."""
    return [f"HTTP {action.status}"] * len(calls)


def _listening() -> socket.socket:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    return listening


async def _respond(send: Send, status: int, content: bytes) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _break_off(send: Send) -> None:
    """End the connection in the middle of an answer: the server closes what is not complete."""
    headers = [(b"content-length", b"10")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
