"""What JSON-RPC calls raise inside this package.

What an answer to a send means is in `node.core.settlement`.
"""

import re
from typing import Final

from node.core.errors import ChainUnavailable
from node.core.mirror import BlockPoint

_REVERTED: Final = 3  # of geth, followed by anvil, reth, Nethermind

_HALTED: Final = re.compile(
    r"out ?of ?gas|invalid (?:opcode|jump)|stack (?:under|over)flow|badinstruction"
    r"|^evm error|gas uint64 overflow|processing could not be completed due to an exception",
    re.IGNORECASE,
)
"""How `eth_call` tells that a call used up its gas: geth, Erigon, anvil, reth, Nethermind, Besu."""


class RpcError(Exception):
    """The provider answered, with an error.

    Attributes:
        code: JSON-RPC code.
        message: The provider's words.
        data: Error data as hex bytes where the provider gave some (reverts), else empty.
    """

    def __init__(self, code: int, message: str, data: bytes = b"") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.data = data

    @property
    def is_revert(self) -> bool:
        """Whether the contract, not the provider, refused as `eth_call` has it."""
        return (
            self.code == _REVERTED
            or bool(self.data)
            or "execution reverted" in self.message.lower()
            or self.is_halt
        )

    @property
    def is_halt(self) -> bool:
        """Whether the call used up all its gas, by running on or by an invalid instruction."""
        return _HALTED.search(self.message) is not None


class NoAnswer(Exception):
    """No JSON-RPC answer came: connection, time-out, HTTP status or unreadable body.

    What was asked may nevertheless have been done.
    """


class TooSlow(NoAnswer):
    """No answer came in time, or none of that length was given: a smaller question may have one."""


class Limited(NoAnswer):
    """The provider refuses whoever asks it now (HTTP 401, 402, 403, 429), whatever is asked."""


class Lacking(Exception):
    """An answer says that its provider has not what it must have; another may have it."""


class Implausible(Exception):
    """An answer contradicts itself, or another answer of the same provider.

    Attributes:
        block: The block it is about; None: of no one block.
        log_index: The log that is wrong or left out, where it is one.
    """

    def __init__(
        self, detail: str, block: BlockPoint | None = None, log_index: int | None = None
    ) -> None:
        super().__init__(detail if block is None else f"block {block.number}: {detail}")
        self.block = block
        self.log_index = log_index


class WrongChain(Exception):
    """The provider is of another chain than the node's. It is quarantined."""


class ProvidersRefuse(ChainUnavailable):
    """No provider gives a result, and at least one answered, with an error.

    What was asked may be something that none of them offers.
    """
