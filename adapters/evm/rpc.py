"""All providers of one chain: reads from the first that is well, broadcasts to all.

A provider that fails has its breaker opened and is read again only when nobody else is left, or
after a probe. One whose head is behind its peers' is passed over, one that contradicted itself is
asked last. One of another chain is quarantined for good. Nothing is asked twice of the same
provider: whoever asks decides.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeVar

from adapters.evm.breaker import BreakerState, ClockS
from adapters.evm.errors import NoAnswer, ProvidersRefuse, RpcError, WrongChain
from adapters.evm.json_rpc import ANSWER_TIMEOUT_S, Call, JsonRpc
from adapters.evm.provider import Link
from node.core.errors import ChainUnavailable
from node.core.ports.chain import ProviderHealth

__all__ = ["ANSWER_TIMEOUT_S", "Call", "JsonRpc", "ProviderRules", "Providers"]

_PROBE_TIMEOUT_S: Final = 2.0
_ENOUGH_TO_OUTVOTE: Final = 3
_HEAD: Final = ("eth_blockNumber", ())
_EXECUTING: Final = frozenset({"eth_call", "eth_estimateGas"})
"""Methods whose errors may be the contract's, of which every provider would say the same."""

_Result = TypeVar("_Result")
_Tell = Callable[
    [JsonRpc, float],  # tidy: T1 because seconds, not money
    Coroutine[Any, Any, _Result],
]
_Ask = Callable[[JsonRpc], Coroutine[Any, Any, list[Any]]]
"""A question; its answers, in the order of its calls."""


@dataclass(frozen=True, slots=True)
class ProviderRules:
    """When a provider is looked at, and when it is passed over.

    Attributes:
        behind_blocks_max: Blocks its head may be behind its peers'.
        heads_every_s: How old the heads may be that providers are compared by.
        identity_every_s: How often chain id and genesis block are asked again.
        send_timeout_s: Patience with a broadcast; the bytes are stored and are sent again.
        send_open_timeout_s: The same where the last broadcasts failed.
    """

    behind_blocks_max: int = 3
    heads_every_s: float = 4.0
    identity_every_s: float = 180.0
    send_timeout_s: float = 5.0
    send_open_timeout_s: float = 2.0


@dataclass(slots=True)
class _Pin:
    """The provider of one pass, once a read has chosen it."""

    link: Link | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    is_other: bool = False  # not the one that a pass would choose, if another is well


class Providers:
    """All providers of one chain, the preferred first."""

    def __init__(
        self,
        providers: Sequence[JsonRpc],
        *,
        chain_id: int | None = None,
        now_s: ClockS = time.monotonic,
        rules: ProviderRules | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            providers: In the order of preference.
            chain_id: The chain they must be of; None: that is not checked.
            now_s: Seconds of a clock that never goes back.
            rules: Limits and times.
        """
        self.all: Sequence[JsonRpc] = tuple(providers)
        self._links = [Link(each, chain_id, now_s) for each in self.all]
        self._chain_id = chain_id
        self._now_s = now_s
        self._rules = rules or ProviderRules()
        self._genesis: str | None = None
        self._compared_at_s: float | None = None  # tidy: T1 because seconds, not money
        self._pin: ContextVar[_Pin | None] = ContextVar("pin", default=None)

    @classmethod
    def at(
        cls,
        urls: Sequence[str],
        *,
        chain_id: int | None = None,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        rules: ProviderRules | None = None,
    ) -> Self:
        """Providers at these addresses. Nothing is opened yet."""
        each = [JsonRpc(url, answer_timeout_s=answer_timeout_s) for url in urls]
        return cls(each, chain_id=chain_id, rules=rules)

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Result from the first provider that has one.

        Raises:
            RpcError: A contract reverted; every provider would say so.
            ChainUnavailable: No provider gave a result.
        """

        async def ask(provider: JsonRpc) -> list[Any]:
            return [await provider.call(method, params)]

        return (await self._read(ask, [(method, params)]))[0]

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Results of many calls, all from one provider; an `RpcError` stands for its own call.

        One that answers some calls with errors is believed only if no other answers them all.

        Raises:
            ChainUnavailable: No provider answers all of them.
        """
        return await self._read(lambda provider: provider.batch(calls), calls)

    async def batch_of_each(self, calls: Sequence[Call]) -> Mapping[str, list[Any]]:
        """Name -> what it answers, of every provider that answers all of these calls.

        One whose breaker is open, or that let somebody wait for nothing in the last minute, is
        waited for no longer than for a probe: one that hangs must not hold up every step. All are
        asked for their heads besides, at the same moment; see `abreast`.
        """

        async def ask(link: Link) -> list[Any]:
            is_well = link.breaker.may_ask and not link.is_slow
            patience_s = None if is_well else _PROBE_TIMEOUT_S
            try:
                with link.asking():
                    if link.wants_identity(self._rules.identity_every_s):
                        await self._identify(link, _PROBE_TIMEOUT_S)
                    *found, head = await link.rpc.batch([*calls, _HEAD], timeout_s=patience_s)
                    link.learn([_HEAD], [head])
                    return found
            except (NoAnswer, RpcError, WrongChain):
                return []

        await self._compare_heads()  # the preferred one says which chain is meant
        links = [each for each in self._links if each.quarantined is None]
        answers = await asyncio.gather(*map(ask, links))
        return {
            link.rpc.name: found
            for link, found in zip(links, answers, strict=True)
            if found and not any(isinstance(each, RpcError) for each in found)
        }

    def abreast(self, told: Mapping[str, list[Any]]) -> Mapping[str, list[Any]]:
        """Of what `batch_of_each` found, the part of those that are not behind their peers.

        All of it where only such are left.
        """
        reference, behind_max = self._reference_head(), self._rules.behind_blocks_max
        behind = {
            each.rpc.name for each in self._links if not each.is_abreast(reference, behind_max)
        }
        return {name: each for name, each in told.items() if name not in behind} or told

    async def chain_id(self) -> int:
        """EIP-155 number, asked now. When every provider is of another chain: that chain's.

        Raises:
            ChainUnavailable: No provider gave a result.
        """
        try:
            return int(await self.call("eth_chainId"), 16)
        except ChainUnavailable:
            stated = {each.stated_chain_id for each in self._links}
            if len(stated) == 1 and (other := stated.pop()) not in (None, self._chain_id):
                return int(other or 0)
            raise
        except (TypeError, ValueError) as error:
            raise ChainUnavailable("the provider has no chain id") from error

    @contextmanager
    def pinned(self, *, is_other: bool = False) -> Iterator[None]:
        """See `node.core.ports.chain.Chain.pinned`. Inside another pin, that one goes on.

        Args:
            is_other: Choose another provider than passes begin with, if there is one that is well.
        """
        if self._pin.get() is not None:
            yield
            return
        token = self._pin.set(_Pin(is_other=is_other))
        try:
            yield
        finally:
            self._pin.reset(token)

    def doubt(self, reason: str) -> str:
        """The provider of this pass contradicted itself: from now on it is asked last.

        Returns:
            Its name.
        """
        pin = self._pin.get()
        if pin is None or pin.link is None:
            return "a provider"
        pin.link.doubted(reason)
        return pin.link.rpc.name

    def lacks(self) -> None:
        """The provider of this pass has not what it must have: the next one begins with another."""
        pin = self._pin.get()
        if pin is not None and pin.link is not None:
            pin.link.refused()

    @property
    def head(self) -> int | None:
        """The newest block that the provider of this pass told of."""
        pin = self._pin.get()
        return None if pin is None or pin.link is None else pin.link.head

    async def each(self, ask: _Tell[_Result]) -> list[_Result]:
        """What `ask` makes of every provider that is not quarantined, also of failing ones.

        Args:
            ask: Given a provider and the seconds to wait for one answer; raises nothing.
        """
        links = [each for each in self._links if each.quarantined is None]
        return await asyncio.gather(*(ask(each.rpc, self._patience_s(each)) for each in links))

    def sent(self, provider: JsonRpc, *, taken: bool) -> None:
        """Whether a broadcast to it was answered as it should be."""
        for link in self._links:
            if link.rpc is provider:
                link.sent(taken=taken)

    def health(self) -> Sequence[ProviderHealth]:
        """See `node.core.ports.chain.ProviderHealthSource`."""
        reference = self._reference_head()
        return [each.health(reference) for each in self._links]

    async def close(self) -> None:
        """Close every connection."""
        for provider in self.all:
            await provider.close()

    # ---------------------------------------------------------------------------------- reads

    async def _read(self, ask: _Ask, calls: Sequence[Call]) -> list[Any]:
        pin = self._pin.get()
        if pin is None:
            return (await self._first(ask, calls))[1]
        async with pin.lock:
            if pin.link is None:
                pin.link, result = await self._first(ask, calls)
                return result
        return await self._of_pinned(pin.link, ask, calls)

    async def _of_pinned(self, link: Link, ask: _Ask, calls: Sequence[Call]) -> list[Any]:
        try:
            result = await self._asked(link, ask, calls, is_last=True)
        except RpcError as error:
            if _is_of_contract(calls, error):
                raise
            link.refused()
            raise ProvidersRefuse(f"{link.rpc.name} says {error}") from error
        except (NoAnswer, WrongChain) as error:
            raise ChainUnavailable(f"this pass reads from one provider only: {error}") from error
        if _has_errors(calls, result):
            link.refused()  # so that the next pass begins with another
        return result

    async def _first(self, ask: _Ask, calls: Sequence[Call]) -> tuple[Link, list[Any]]:
        """The first answer without a fault of the provider; else the best there is."""
        await self._compare_heads()
        faults: list[str] = []
        refused: RpcError | None = None
        partial: tuple[Link, list[Any]] | None = None
        candidates = self._candidates()
        pin = self._pin.get()
        if pin is not None and pin.is_other and len(candidates) > 1 and candidates[1].is_well:
            candidates = [*candidates[1:], candidates[0]]
        for number, link in enumerate(candidates, 1):
            try:
                result = await self._asked(link, ask, calls, is_last=number == len(candidates))
            except RpcError as error:
                if _is_of_contract(calls, error):
                    raise
                refused = error
                faults.append(f"{link.rpc.name} says {error}")
            except (NoAnswer, WrongChain) as error:
                faults.append(str(error))
            else:
                if not _has_errors(calls, result):
                    return link, result
                partial = partial or (link, result)
        if partial is not None:
            return partial
        faults += [
            f"{each.rpc.name}: {each.quarantined}" for each in self._links if each.quarantined
        ]
        kind = ChainUnavailable if refused is None else ProvidersRefuse
        raise kind("no provider of the chain gives an answer: " + "; ".join(faults)) from refused

    async def _asked(
        self, link: Link, ask: _Ask, calls: Sequence[Call], *, is_last: bool
    ) -> list[Any]:
        """One provider's answer, once it has shown that it is of this chain."""
        with link.asking():
            if link.wants_identity(self._rules.identity_every_s):
                await self._identify(link, None if is_last else _PROBE_TIMEOUT_S)
            result = await ask(link.rpc)
            link.learn(calls, result)
            return result

    def _candidates(self) -> list[Link]:
        """Who is asked, in this order: those that are well, behind, refuse, fail, are in doubt."""
        usable = [each for each in self._links if each.quarantined is None]
        reference = self._reference_head()
        behind_max = self._rules.behind_blocks_max

        def rank(link: Link) -> tuple[bool, bool, bool, int]:
            behind_blocks = link.behind(reference)
            return (
                link.in_doubt is not None,
                not link.breaker.may_ask,
                link.refuses,
                behind_blocks if behind_blocks > behind_max else 0,
            )

        return sorted(usable, key=rank)

    # ---------------------------------------------------------------------------- comparisons

    def _reference_head(self) -> int | None:
        """The head that providers are measured by: the highest that is told.

        Of three and more the second highest: one that boasts outvotes nobody.
        """
        heads = sorted(
            (each.head for each in self._links if each.head is not None and not each.quarantined),
            reverse=True,
        )
        if not heads:
            return None
        return heads[1] if len(heads) >= _ENOUGH_TO_OUTVOTE else heads[0]

    async def _compare_heads(self) -> None:
        """Ask all that are well for their heads, if there are several and it is time to.

        The one read that finds it is time waits for it, at most two seconds.
        """
        usable = [each for each in self._links if each.quarantined is None]
        now_s, last_s = self._now_s(), self._compared_at_s
        is_due = last_s is None or now_s - last_s >= self._rules.heads_every_s
        if len(usable) > 1 and is_due:
            self._compared_at_s = now_s
            well = [each for each in usable if each.breaker.may_ask]
            while self._chain_id is not None and self._genesis is None and well:
                await self._look(well.pop(0))  # the preferred one says which chain is meant
            await asyncio.gather(*(self._look(each) for each in well))

    async def _look(self, link: Link) -> None:
        try:
            with link.asking():
                if link.wants_identity(self._rules.identity_every_s):
                    await self._identify(link, _PROBE_TIMEOUT_S)
                head = await link.rpc.call("eth_blockNumber", timeout_s=_PROBE_TIMEOUT_S)
                link.learn([("eth_blockNumber", ())], [head])
        except (NoAnswer, RpcError, WrongChain):
            return  # the link has noted it

    async def _identify(self, link: Link, timeout_s: float | None) -> None:
        """Ask for chain id and genesis block, and compare.

        Raises:
            WrongChain: It is of another chain, and quarantined from now on.
            NoAnswer, RpcError: It does not say.
        """
        stated = await link.rpc.call("eth_chainId", timeout_s=timeout_s)
        link.learn([("eth_chainId", ())], [stated])
        try:
            block = await link.rpc.call("eth_getBlockByNumber", ["0x0", False], timeout_s=timeout_s)
        except RpcError:
            block = None  # one that keeps no old blocks
        genesis = block.get("hash") if isinstance(block, Mapping) else None
        if isinstance(genesis, str):
            self._genesis = self._genesis or genesis
            link.compare_genesis(genesis, self._genesis)
        link.identified()

    def _patience_s(self, link: Link) -> float:
        is_open = link.sends.state is BreakerState.OPEN
        return self._rules.send_open_timeout_s if is_open else self._rules.send_timeout_s


def _has_errors(calls: Sequence[Call], answers: Sequence[object]) -> bool:
    """Whether one of them is an error that another provider may not have."""
    return any(
        isinstance(answer, RpcError) and not _is_of_contract([call], answer)
        for call, answer in zip(calls, answers, strict=True)
    )


def _is_of_contract(calls: Sequence[Call], error: RpcError) -> bool:
    """Whether it is a contract that refuses, not the provider."""
    return error.is_revert and any(method in _EXECUTING for method, _ in calls)
