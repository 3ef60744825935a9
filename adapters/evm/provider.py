"""One provider of a chain as its peers' chooser sees it: breaker, head, identity, quarantine.

Not here: who is asked (`adapters.evm.rpc`), how (`adapters.evm.json_rpc`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import structlog

from adapters.evm.breaker import Breaker, BreakerState, ClockS
from adapters.evm.errors import NoAnswer, RpcError, WrongChain
from adapters.evm.json_rpc import Call, JsonRpc
from node.core.ports.chain import ProviderHealth

_log = structlog.get_logger()

_LIMITED: Final = frozenset({-32005, 429})
"""Codes of "too many requests": EIP-1474, and the HTTP status some providers repeat."""


class Link:
    """What is known of one provider.

    Attributes:
        rpc: The way to it.
        breaker: Whether it is read from.
        sends: How it does with broadcasts: a provider may take none and read well.
        head: The newest block it last told of; None: it was not asked.
        quarantined: Why it is never asked again; None: it may be.
        stated_chain_id: What it said last; None: it was not asked.
    """

    def __init__(self, rpc: JsonRpc, chain_id: int | None, now_s: ClockS) -> None:
        self.rpc = rpc
        self.breaker = Breaker(now_s)
        self.sends = Breaker(now_s)
        self.head: int | None = None
        self.quarantined: str | None = None
        self.stated_chain_id: int | None = None
        self._head_max: int | None = None
        self._chain_id = chain_id
        self._now_s = now_s
        self._identified_at_s: float | None = None  # tidy: T1 because seconds, not money
        self._failures_total = 0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around a question, so that the breaker learns how it ended."""
        if self.quarantined is not None:
            raise WrongChain(f"{self.rpc.name}: {self.quarantined}")
        self.breaker.asking()
        try:
            yield
        except WrongChain:
            raise
        except RpcError as error:
            if error.code in _LIMITED:
                self.failed()
            else:
                self._succeeded()
            raise
        except NoAnswer:
            self.failed()
            raise
        except BaseException:
            self.breaker.given_up()
            raise
        self._succeeded()

    def failed(self) -> None:
        """It did not answer. Who it is, is asked again before it is read again."""
        was = self.breaker.state
        self._failures_total += 1
        self._identified_at_s = None
        self.breaker.failed()
        if was is BreakerState.CLOSED and self.breaker.state is BreakerState.OPEN:
            _log.warning("provider fails", provider=self.rpc.name, failures=self.breaker.failures)

    def sent(self, *, taken: bool) -> None:
        """A broadcast to it was answered, or was not."""
        if taken:
            self.sends.succeeded()
            return
        was = self.sends.state
        self._failures_total += 1
        self.sends.failed()
        if was is BreakerState.CLOSED and self.sends.state is BreakerState.OPEN:
            _log.warning("provider takes no transactions", provider=self.rpc.name)

    def _succeeded(self) -> None:
        if self.breaker.state is not BreakerState.CLOSED:
            _log.info("provider answers again", provider=self.rpc.name)
        self.breaker.succeeded()

    # ------------------------------------------------------------------------------- identity

    def wants_identity(self, every_s: float) -> bool:
        """Whether it has to show, before it is read, of which chain it is."""
        if self._chain_id is None:
            return False
        at_s = self._identified_at_s
        return at_s is None or self._now_s() - at_s >= every_s

    def identified(self) -> None:
        """It has shown it."""
        self._identified_at_s = self._now_s()

    def compare_genesis(self, genesis: str, expected: str) -> None:
        """Quarantine it if the chain began elsewhere.

        Raises:
            WrongChain: It did.
        """
        if genesis != expected:
            self._quarantine(f"its chain begins with block {genesis}, not {expected}")

    def _quarantine(self, reason: str) -> None:
        self.quarantined = reason
        _log.error("provider quarantined for good", provider=self.rpc.name, reason=reason)
        raise WrongChain(f"{self.rpc.name}: {reason}")

    # ------------------------------------------------------------------------------- learning

    def learn(self, calls: Sequence[Call], answers: Sequence[Any]) -> None:
        """What answers tell of the provider itself: its chain, and its head.

        Raises:
            NoAnswer: What it says is no number.
            WrongChain: It is of another chain.
        """
        for (method, params), answer in zip(calls, answers, strict=True):
            if isinstance(answer, RpcError):
                continue
            if method == "eth_chainId" and self._chain_id is not None:
                self._compare_chain(self._number(answer))
            elif method == "eth_blockNumber":
                self._saw(self._number(answer))
            elif method == "eth_getBlockByNumber" and _is_block(answer, params[0]):
                self._saw(self._number(answer["number"]))

    def _compare_chain(self, stated: int) -> None:
        self.stated_chain_id = stated
        if stated != self._chain_id:
            self._quarantine(f"it is of chain {stated}, not {self._chain_id}")

    def _saw(self, head: int) -> None:
        self.head = head
        self._head_max = max(head, self._head_max or 0)

    def _number(self, quantity: object) -> int:
        try:
            return int(quantity, 16) if isinstance(quantity, str) else int("")
        except ValueError as error:
            raise NoAnswer(f"{self.rpc.name} gives no number where one belongs") from error

    def behind(self, reference: int | None) -> int:
        """Blocks that its last head is behind `reference`, or behind what it told itself once."""
        if reference is None or self.head is None:
            return 0
        return max(0, reference - self.head)

    def health(self, reference: int | None) -> ProviderHealth:
        """As of now."""
        return ProviderHealth(
            name=self.rpc.name,
            state="quarantined" if self.quarantined else self.breaker.state.value,
            failures=self.breaker.failures,
            failures_total=self._failures_total,
            head=self._head_max,
            behind_blocks=self.behind(reference),
            quarantined=self.quarantined,
            sends=self.sends.state.value,
        )


def _is_block(answer: object, tag: object) -> bool:
    return tag == "latest" and isinstance(answer, Mapping) and "number" in answer
