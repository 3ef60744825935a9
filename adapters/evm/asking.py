"""Asks the provider of a pass, and believes nothing that cannot be right.

There are three ways for an answer to be of no use, and each changes who is asked next: what cannot
be read or contradicts itself puts the provider in doubt; what it must have and has not, or refuses,
makes the next pass begin with another; silence is its breaker's matter. What is asked is in
`adapters.evm.reader` and `adapters.evm.accounts`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, TypeVar

from adapters.evm.client import UNREADABLE
from adapters.evm.errors import Implausible, Lacking, NoAnswer, RpcError
from adapters.evm.rpc import Call, Providers
from node.core.errors import ChainUnavailable
from node.core.mirror import BlockPoint
from node.core.ports.mirror import Contradiction

_Value = TypeVar("_Value")

CALLS_PER_BATCH: Final = 100
"""Most calls of one request: providers have limits of their own, and this is below them."""


class Asking:
    """Questions to the providers of one chain."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers

    def pinned(self) -> AbstractContextManager[None]:
        """While it lasts, every read of this task goes to one provider."""
        return self._providers.pinned()

    def other_provider(self) -> AbstractContextManager[None]:
        """While it lasts, reads of this task go to another provider than passes usually read."""
        return self._providers.pinned(is_other=True)

    async def _ask(self, calls: Sequence[Call]) -> list[Any]:
        """Results of all calls; an error of one is an error of all."""
        results: list[Any] = []
        with self.pinned():
            for start in range(0, len(calls), CALLS_PER_BATCH):
                try:
                    part = await self._providers.batch(calls[start : start + CALLS_PER_BATCH])
                except RpcError as error:  # of a whole batch
                    raise self._refused(error) from error
                for answer in part:
                    if isinstance(answer, RpcError):
                        raise self._refused(answer) from answer
                results += part
        return results

    def _refused(self, error: RpcError) -> ChainUnavailable:
        return self._lacking(f"the chain answers a read with {error}")

    def _lacking(self, detail: str) -> ChainUnavailable:
        """The provider of this pass has not what it must have: the next pass asks another."""
        self._providers.lacks()
        return ChainUnavailable(detail)

    def _parsed(self, parse: Callable[[Any], _Value], answer: Any) -> _Value:
        with self._believing():
            return parse(answer)

    @contextmanager
    def _believing(self, block: BlockPoint | None = None) -> Iterator[None]:
        """Around reading an answer: one that cannot be is a contradiction."""
        try:
            yield
        except Lacking as error:
            raise self._lacking(str(error)) from error
        except Implausible as error:
            raise self._contradiction(str(error), error.block, error.log_index) from error
        except (NoAnswer, *UNREADABLE) as error:
            what = "an answer" if block is None else f"of block {block.number} an answer"
            raise self._contradiction(
                f"the provider gives {what} that cannot be read: {error!r}"[:_DETAIL_MAX], block
            ) from error

    def _contradiction(
        self, detail: str, block: BlockPoint | None = None, log_index: int | None = None
    ) -> Contradiction:
        name = self._providers.doubt(detail)
        return Contradiction(f"{name}: {detail}", provider=name, block=block, log_index=log_index)


_DETAIL_MAX: Final = 500  # it quotes what came, and goes into logs and breaks
