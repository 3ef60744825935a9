"""Providers of one chain of which some lie, lag or refuse, each in a way of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from adapters.evm.errors import RpcError
from adapters.evm.json_rpc import Call, JsonRpc
from adapters.evm.rpc import ProviderRules, Providers
from tests.mirrored import MirroredNode

Lie = Callable[[Call, Any], Any]
"""A call and its true answer -> what is answered; an `RpcError` is answered as an error."""


class LyingRpc(JsonRpc):
    """A provider whose answers a test may change; counts the calls of each method."""

    def __init__(self, url: str, name: str, lie: Lie | None = None) -> None:
        super().__init__(url)
        self.name = name
        self.lie = lie
        self.asked: list[Call] = []

    async def call(
        self, method: str, params: Sequence[Any] = (), *, timeout_s: float | None = None
    ) -> Any:
        answer = await super().call(method, params, timeout_s=timeout_s)
        told = self._told((method, params), answer)
        if isinstance(told, RpcError):
            raise told
        return told

    async def batch(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> list[Any]:
        answers = await super().batch(calls, timeout_s=timeout_s)
        return [self._told(each, answer) for each, answer in zip(calls, answers, strict=True)]

    def _told(self, call: Call, answer: Any) -> Any:
        self.asked.append(call)
        return answer if self.lie is None else self.lie(call, answer)

    def asked_of(self, method: str) -> list[Sequence[Any]]:
        """Parameters of every call of a method."""
        return [params for name, params in self.asked if name == method]


@dataclass
class Liars:
    """Makes nodes that read from such providers, and closes what they opened."""

    opened: list[LyingRpc] = field(default_factory=list)

    def __call__(
        self, node: MirroredNode, **lies: Lie | None
    ) -> tuple[MirroredNode, list[LyingRpc]]:
        """The same node, which reads from these providers, the preferred first."""
        url = node.onchain.anvil.rpc_url
        each = [LyingRpc(url, name, lie) for name, lie in lies.items()]
        self.opened += each
        return replace(node, providers=Providers(each, rules=ProviderRules(heads_every_s=0))), each

    async def close(self) -> None:
        for each in self.opened:
            await each.close()


def without_logs(address: bytes, *, ranges: bool = True, hashes: bool = True) -> Lie:
    """Leaves the newest log of a contract out of lists."""

    def lie(call: Call, answer: Any) -> Any:
        method, params = call
        if method != "eth_getLogs" or isinstance(answer, RpcError):
            return answer
        if not (ranges if "fromBlock" in params[0] else hashes):
            return answer
        own = [each for each in answer if each["address"] == "0x" + address.hex()]
        return [each for each in answer if each not in own[-1:]]

    return lie


def without_receipts_logs(address: bytes) -> Lie:
    """Leaves the logs of a contract out of lists and out of receipts; blocks stay as they are."""

    def cut(receipt: Mapping[str, Any]) -> Mapping[str, Any]:
        logs = [each for each in receipt["logs"] if each["address"] != "0x" + address.hex()]
        return {**receipt, "logs": logs}

    def lie(call: Call, answer: Any) -> Any:
        if isinstance(answer, RpcError):
            return answer
        match call[0]:
            case "eth_getLogs":
                return [each for each in answer if each["address"] != "0x" + address.hex()]
            case "eth_getBlockReceipts":
                return [cut(each) for each in answer]
            case "eth_getTransactionReceipt":
                return cut(answer)
            case _:
                return answer

    return lie


def frozen(node: MirroredNode, first: int) -> Lie:
    """Goes on to show the blocks from `first` on as they are now, and none that are newer."""
    rpc = node.onchain.anvil.rpc
    last = int(rpc("eth_blockNumber"), 16)
    blocks = {n: rpc("eth_getBlockByNumber", hex(n), False) for n in range(first, last + 1)}

    def lie(call: Call, answer: Any) -> Any:
        method, params = call
        if method == "eth_blockNumber":
            return hex(last)
        if method != "eth_getBlockByNumber":
            return answer
        if params[0] == "latest":
            return blocks[last]
        return blocks.get(int(params[0], 16), answer if int(params[0], 16) < first else None)

    return lie
