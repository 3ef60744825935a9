"""What the node needs of an EVM chain: reads, sends, signatures, addresses. Nothing retries here.

Amounts are wei or token units as the chain has them. What the answers mean for a slot is in
`node.core.settlement`; logs and the mirror's reads are in `node.core.ports.mirror`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from node.core.signing import UnsignedTransaction
from node.core.units import Address, BlockHash, TxHash

__all__ = [
    "AddressCodec",
    "At",
    "BlockRef",
    "CallReverted",
    "Chain",
    "FeeHistory",
    "FeeSource",
    "ProviderHealth",
    "ProviderHealthSource",
    "Receipt",
    "SendAnswer",
    "SignedTransaction",
    "Signer",
    "TransactionReader",
    "UnsignedTransaction",
]

At = BlockHash | Literal["latest", "pending", "finalized"]
"""The state a read is of: a block by hash (EIP-1898), or one of the chain's tags."""


class CallReverted(Exception):
    """An `eth_call` reverted: an answer of the contract, not a fault of the provider.

    Attributes:
        data: What the contract returned: a custom error's selector and arguments, or nothing.
        burnt_gas: Whether it used up all the gas it was given.
    """

    def __init__(self, data: bytes, message: str = "", *, burnt_gas: bool = False) -> None:
        super().__init__(message or f"reverted: 0x{data.hex()}")
        self.data = data
        self.burnt_gas = burnt_gas


@dataclass(frozen=True, slots=True)
class BlockRef:
    """One block. `timestamp_s` is Unix time; `gas_limit` bounds every transaction in it."""

    number: int
    hash: BlockHash
    parent_hash: BlockHash
    timestamp_s: int
    base_fee_wei: int
    gas_limit: int


FeeSource = Literal["fee_history", "max_priority_fee", "default"]


@dataclass(frozen=True, slots=True)
class FeeHistory:
    """The market: base fee of the next block, and the asked percentile of tips per past block.

    Attributes:
        source: Where the tips are from: `fee_history` (eth_feeHistory); `max_priority_fee`
            (eth_maxPriorityFeePerGas, one number); `default` (1 gwei: no provider knows better).
    """

    next_base_fee_wei: int
    tips_wei: Sequence[int]
    source: FeeSource = "fee_history"


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """Bytes that can be sent, and their keccak-256, by which the chain knows them."""

    raw: bytes
    hash: TxHash


@dataclass(frozen=True, slots=True)
class SendAnswer:
    """What one provider said to `eth_sendRawTransaction`.

    Attributes:
        provider: Its name (host and port, never a path: keys hide there).
        tx_hash: The hash it returned; None: it did not accept.
        code: JSON-RPC error code, if it answered with an error.
        message: Its words, or those of the failed connection; empty when accepted.
        answered: False: no JSON-RPC answer came at all; the bytes may have arrived.
    """

    provider: str
    tx_hash: TxHash | None
    code: int | None = None
    message: str = ""
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Receipt:
    """That a transaction is in a block; not that the block is canonical for ever."""

    tx_hash: TxHash
    block_hash: BlockHash
    block_number: int
    succeeded: bool
    gas_used: int
    effective_gas_price_wei: int


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """How one provider does, for metrics and people.

    Attributes:
        name: Host and port.
        state: `closed` is asked; `open` fails and is left alone for a while; `half_open` may be
            asked again; `quarantined` is of another chain, and never asked again.
        sends: The same for broadcasts, which go to all that are not quarantined all the same.
        failures: Of reads, in a row, up to now.
        failures_total: Of reads and broadcasts, since this process started.
        head: The highest block it told of; None: none yet.
        behind_blocks: How far its newest answer was behind what its peers tell.
        quarantined: Why, if it is.
        in_doubt: Why it is asked last for some time, if it is: it contradicted itself.
    """

    name: str
    state: Literal["closed", "open", "half_open", "quarantined"]
    failures: int
    failures_total: int
    head: int | None
    behind_blocks: int
    quarantined: str | None
    sends: Literal["closed", "open", "half_open"] = "closed"
    in_doubt: str | None = None


class ProviderHealthSource(Protocol):
    """Knows the providers of one chain."""

    def health(self) -> Sequence[ProviderHealth]:
        """Every provider's, the preferred first, as of now; asks nobody."""
        ...


class Chain(Protocol):
    """One chain through all its providers. Each method raises `ChainUnavailable`."""

    def pinned(self) -> AbstractContextManager[None]:
        """While it lasts, every read of this task and its children goes to one provider.

        The first read chooses it. When it fails, reads raise instead of failing over: what was
        read of one state is not mixed with another provider's. Sends still go to all.
        """
        ...

    async def chain_id(self) -> int:
        """EIP-155 number, asked now."""
        ...

    async def head(self) -> BlockRef:
        """The newest block."""
        ...

    async def block_by_number(self, number: int) -> BlockRef | None:
        """The canonical block of that number; None: not there yet."""
        ...

    async def nonce(self, address: Address, at: At) -> int:
        """How many transactions the account has sent at that state."""
        ...

    async def native_balance(self, address: Address, at: At) -> int:
        """Wei the account holds at that state."""
        ...

    async def code_hash(self, address: Address, at: At) -> bytes:
        """Keccak-256 of the account's code (of nothing where there is none)."""
        ...

    async def call(
        self,
        to: Address,
        data: bytes,
        at: At,
        *,
        sender: Address | None = None,
        gas_limit: int | None = None,
    ) -> bytes:
        """What the contract returns, changing nothing.

        Raises:
            CallReverted: The contract refused.
        """
        ...

    async def event_topics(
        self, contract: Address, kinds: Sequence[bytes], first: int, last: int
    ) -> Sequence[Sequence[bytes]]:
        """Events of a contract in the canonical blocks of these numbers, in the chain's order.

        Args:
            contract: Whose events.
            kinds: Their first topics; others are left out.
            first: Number of the oldest block.
            last: Number of the newest; providers refuse long ranges.

        Returns:
            Per event its topics, the kind first.
        """
        ...

    async def fee_history(self, blocks: int, percentile: int) -> FeeHistory:
        """Base fee of the next block and tips of the newest `blocks` blocks."""
        ...

    async def send_raw(self, raw: Sequence[bytes]) -> Sequence[Sequence[SendAnswer]]:
        """Send each to every provider, in order, once. Never raises: an absent answer is one.

        Returns:
            Per transaction the answers of all providers.
        """
        ...

    async def receipts(self, tx_hashes: Sequence[TxHash]) -> Sequence[Receipt | None]:
        """Per hash its receipt; None proves nothing."""
        ...


class Signer(Protocol):
    """Holds one lane's key."""

    @property
    def address(self) -> Address:
        """The account that signs."""
        ...

    async def sign(self, transaction: UnsignedTransaction) -> SignedTransaction:
        """Sign it; may take long with a remote key.

        Raises:
            SignerUnavailable: The key cannot be used now.
            InvariantBroken: Something else was signed than was asked for; it is not given out.
        """
        ...


class TransactionReader(Protocol):
    """Reads back what was signed, so that nothing else is stored or sent."""

    def decode(self, raw: bytes) -> tuple[Address, TxHash, UnsignedTransaction]:
        """Sender, hash and content of signed bytes, all derived from the bytes.

        Raises:
            ValueError: Not a signed transaction of type 2 with an empty access list.
        """
        ...


class AddressCodec(Protocol):
    """The text form of addresses, EIP-55."""

    def parse(self, text: str) -> Address:
        """The address written as `text`.

        Raises:
            AddressInvalid: Not 0x and 40 hex digits, or of mixed case with a wrong checksum.
        """
        ...

    def text(self, address: Address) -> str:
        """The checksummed text."""
        ...
