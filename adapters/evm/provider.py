"""One provider of a chain as its chooser sees it: breaker, head, identity, doubts, quarantine.

Not here: who is asked (`adapters.evm.rpc`), how (`adapters.evm.json_rpc`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import structlog

from adapters.evm.breaker import Breaker, BreakerState, ClockS
from adapters.evm.errors import NoAnswer, RpcError, TooSlow, WrongChain
from adapters.evm.json_rpc import Call, JsonRpc
from adapters.evm.log_limits import is_too_long
from node.core.ports.chain import ProviderHealth

_log = structlog.get_logger()

_LIMITED: Final = frozenset({-32005, 429})
"""Codes of "too many requests": EIP-1474, and the HTTP status some providers repeat."""

_NUMBER_BITS: Final = 63  # what the store holds; no chain has so many blocks

DOUBT_S: Final = 600
"""How long one that contradicted itself is asked last."""

REFUSAL_S: Final = 15
"""How long one that could not answer what a pass needed is asked after the others."""

SLOW_S: Final = 60
"""How long one that let somebody wait for nothing is given only a probe's patience."""


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
        self._is_behind = False
        self._doubt: str | None = None
        self._doubted_until_s: float = 0.0  # tidy: T1 because seconds, not money
        self._refused_until_s: float = 0.0  # tidy: T1 because seconds, not money
        self._slow_until_s: float = 0.0  # tidy: T1 because seconds, not money

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
            if error.code in _LIMITED and not is_too_long(error.message):
                self.failed()
            else:
                self._succeeded()
            raise
        except NoAnswer as error:
            if isinstance(error, TooSlow):
                self._slow_until_s = self._now_s() + SLOW_S
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

    # ------------------------------------------------------------------------------- doubts

    def doubted(self, reason: str) -> None:
        """It contradicted itself."""
        if self.in_doubt is None:
            _log.error("provider contradicts itself", provider=self.rpc.name, reason=reason)
        self._doubt, self._doubted_until_s = reason, self._now_s() + DOUBT_S

    @property
    def is_well(self) -> bool:
        """Whether nothing speaks against reading from it now."""
        return self.in_doubt is None and self.breaker.may_ask and not self.refuses

    @property
    def in_doubt(self) -> str | None:
        """Why it is asked last at this moment; None: it is not."""
        return self._doubt if self._now_s() < self._doubted_until_s else None

    def refused(self) -> None:
        """It answered somebody who could ask nobody else with an error, or with nothing."""
        self._refused_until_s = self._now_s() + REFUSAL_S

    @property
    def refuses(self) -> bool:
        """Whether it did so a short while ago."""
        return self._now_s() < self._refused_until_s

    @property
    def is_slow(self) -> bool:
        """Whether it let somebody wait for nothing a short while ago."""
        return self._now_s() < self._slow_until_s

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
            number = int(quantity, 16) if isinstance(quantity, str) else -1
        except ValueError:
            number = -1
        if number < 0 or number.bit_length() > _NUMBER_BITS:
            raise NoAnswer(f"{self.rpc.name} gives no number where one belongs")
        return number

    def behind(self, reference: int | None) -> int:
        """Blocks that its last head is behind `reference`; 0 while one of them is unknown."""
        if reference is None or self.head is None:
            return 0
        return max(0, reference - self.head)

    def is_abreast(self, reference: int | None, behind_blocks_max: int) -> bool:
        """Whether it has a say in what all are asked; that it lost it, or has it again, is told."""
        behind_blocks = self.behind(reference)
        is_behind = behind_blocks > behind_blocks_max
        if is_behind != self._is_behind:
            self._is_behind = is_behind
            words = "provider is behind, and not heard" if is_behind else "provider caught up"
            _log.warning(words, provider=self.rpc.name, behind_blocks=behind_blocks)
        return not is_behind

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
            in_doubt=self.in_doubt,
        )


def _is_block(answer: object, tag: object) -> bool:
    return tag == "latest" and isinstance(answer, Mapping) and "number" in answer
