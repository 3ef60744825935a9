"""What JSON-RPC calls raise inside this package.

What an answer to a send means is in `node.core.settlement`.
"""

from typing import Final

_REVERTED: Final = 3  # of geth, followed by anvil, reth, Nethermind


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
        )


class NoAnswer(Exception):
    """No JSON-RPC answer came: connection, time-out, HTTP status or unreadable body.

    What was asked may nevertheless have been done.
    """
