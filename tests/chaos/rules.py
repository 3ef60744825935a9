"""What a fault proxy may do to a JSON-RPC call, and when: rules, actions, texts of real clients.

Not here: forwarding (`tests.chaos.proxy`), and which faults a campaign chooses (`faults`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Params = Sequence[Any]

# Answers of geth, reth, Nethermind, Besu, Erigon and anvil to eth_sendRawTransaction after which
# the bytes may well be in a pool: (code, text).
LOST_TEXTS: Final = (
    (-32000, "already known"),
    (-32010, "AlreadyKnown"),
    (-32000, "known transaction: 0xabc"),
    (-32003, "transaction already imported"),
    (-32000, "nonce too low"),
    (-32000, "nonce too low: next nonce 7, tx nonce 5"),
    (-32010, "OldNonce"),
    (-32000, "replacement transaction underpriced"),
    (-32010, "ReplacementNotAllowed"),
    (-32000, "transaction underpriced: tip needed 1, tip permitted 0"),
    (-32010, "FeeTooLow, EffectivePriorityFeePerGas too low"),
    (-32000, "max fee per gas less than block base fee"),
    (-32000, "nonce too high"),
    (-32000, "Transaction nonce is too distant from current sender nonce"),
    (-32000, "account limit exceeded"),
    (-32000, "insufficient funds for gas * price + value"),
    (-32000, "exceeds block gas limit"),
    (-32000, "tx fee (1.20 ether) exceeds the configured cap (1.00 ether)"),
    (-32603, "internal error"),
    (-32005, "request rate exceeded"),
    (-32000, "transaction indexing is in progress"),
    (-32000, "a text that no client has ever given"),
)


@dataclass(frozen=True, slots=True)
class Drop:
    """The request never arrives; the connection ends without an answer."""

    name: str = "drop"


@dataclass(frozen=True, slots=True)
class ForwardThenDrop:
    """The request arrives and is done; its answer does not come."""

    name: str = "forward_then_drop"


@dataclass(frozen=True, slots=True)
class Delay:
    """The request waits so long before it arrives."""

    delay_ms: int
    name: str = "delay"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The request arrives twice; the second answer is given."""

    name: str = "duplicate"


@dataclass(frozen=True, slots=True)
class Http:
    """An HTTP status instead of an answer, before or after the request was done."""

    status: int
    forwarded: bool

    @property
    def name(self) -> str:
        """Such as `http_503_after`."""
        return f"http_{self.status}_{'after' if self.forwarded else 'before'}"


@dataclass(frozen=True, slots=True)
class Error:
    """A JSON-RPC error instead of the answer, before or after the call was done."""

    code: int
    text: str
    forwarded: bool

    @property
    def name(self) -> str:
        """Whether the call was done."""
        return "forward_then_error" if self.forwarded else "error"


@dataclass(frozen=True, slots=True)
class SwallowOk:
    """`eth_sendRawTransaction` answers with the right hash and forwards nothing."""

    name: str = "swallow_ok"


@dataclass(frozen=True, slots=True)
class StaleHead:
    """The provider is so many blocks behind: newer ones do not exist for it."""

    blocks: int
    name: str = "stale_head"


@dataclass(frozen=True, slots=True)
class StaleNonce:
    """The account's count of transactions is so much too low.

    Attributes:
        by_hash: Whether also where it is asked for at a block's hash, as the mirror does.
    """

    count: int
    by_hash: bool = False
    name: str = "stale_nonce"


@dataclass(frozen=True, slots=True)
class NonceAhead:
    """The account's count of transactions is so much too high; `by_hash` as with `StaleNonce`."""

    count: int
    by_hash: bool = False
    name: str = "nonce_ahead"


@dataclass(frozen=True, slots=True)
class Null:
    """`null`: no such receipt, transaction or block."""

    name: str = "null"


@dataclass(frozen=True, slots=True)
class Partial:
    """Only so many of the members of a list; 0: an empty list."""

    count: int

    @property
    def name(self) -> str:
        """Empty and cut-off lists are counted apart."""
        return "partial_list" if self.count else "empty_list"


@dataclass(frozen=True, slots=True)
class FinalizedBack:
    """The block tagged `finalized` is so many blocks older than it was."""

    blocks: int
    name: str = "finalized_back"


@dataclass(frozen=True, slots=True)
class WrongChain:
    """`eth_chainId` of another chain."""

    chain_id: int
    name: str = "wrong_chain"


@dataclass(frozen=True, slots=True)
class CapLogs:
    """`eth_getLogs` over more blocks than this is refused, in a provider's words.

    Attributes:
        text: May name `blocks`, and `first` and `last` block of a range that would do.
    """

    blocks: int
    text: str = "query exceeds max block range"
    code: int = -32602
    name: str = "cap_logs"

    def words(self, first: int) -> str:
        """The refusal of a range that begins with this block."""
        return self.text.format(blocks=self.blocks, first=first, last=first + self.blocks - 1)


LOG_RANGE_TEXTS: Final = (
    (-32000, "exceed maximum block range: {blocks}"),
    (-32602, "query exceeds max block range {blocks}"),
    (
        -32600,
        (
            "You can make eth_getLogs requests with up to a {blocks} block range. Based on your"
            " parameters, this block range should work: [{first:#x}, {last:#x}]"
        ),
    ),
    (-32602, "query exceeds max results 20000, retry with the range {first}-{last}"),
    (
        -32005,
        (
            "query returned more than 10000 results. Try with this block range [{first:#x},"
            " {last:#x}]."
        ),
    ),
    (-32602, "range 1000000 exceeds limit of {blocks}"),
    (-32602, "eth_getLogs is limited to a {blocks:,} range"),
    (-32614, "eth_getLogs is limited to 0 - {blocks} blocks range"),
    (-32600, "block range is too wide"),
    (-32005, "query returned more than 10000 results"),
)
"""Of geth, reth, Alchemy, dRPC, Infura (two), QuickNode, 1RPC, Ankr, Infura: code and words."""


@dataclass(frozen=True, slots=True)
class CapResults:
    """`eth_getLogs` gives no more logs than this.

    Attributes:
        text: The words of the refusal of more; empty: the list is cut off without a word.
    """

    count: int
    text: str = ""
    code: int = -32005
    name: str = "cap_results"


@dataclass(frozen=True, slots=True)
class HideLog:
    """Logs that the provider leaves out of every list, and of receipts too if it is thorough.

    Attributes:
        log_index: Those at this place in their block; None: at any.
        topic: Those with this topic; None: with any.
        in_receipts: Whether receipts lack them, too.
    """

    log_index: int | None = None
    topic: str | None = None
    in_receipts: bool = False
    name: str = "hide_log"

    def hides(self, log: Mapping[str, Any]) -> bool:
        """Whether it is about this log."""
        is_there = self.log_index is None or int(log["logIndex"], 16) == self.log_index
        return is_there and (self.topic is None or self.topic in log["topics"])


Action = (
    Drop
    | ForwardThenDrop
    | Delay
    | Duplicate
    | Http
    | Error
    | SwallowOk
    | StaleHead
    | StaleNonce
    | Null
    | Partial
    | FinalizedBack
    | WrongChain
    | CapLogs
    | CapResults
    | HideLog
    | NonceAhead
)


@dataclass(slots=True)
class Rule:
    """When a fault happens.

    Attributes:
        action: What happens.
        methods: JSON-RPC methods; empty: all.
        providers: Indices of proxies; empty: all.
        chance_permille: How often of a thousand matching calls, drawn from the proxy's seed.
        nth: Not before the nth matching call.
        times: How often it may still fire; None: without limit.
        params: Says whether the parameters match.
        blocks: Only while the newest block's number is in this range; None: always.
        until: The rule ends when this is true.
    """

    action: Action
    methods: frozenset[str] = frozenset()
    providers: frozenset[int] = frozenset()
    chance_permille: int = 1000
    nth: int = 1
    times: int | None = 1
    params: Callable[[Params], bool] | None = None
    blocks: range | None = None
    until: Callable[[], bool] | None = None
    seen: int = 0

    def matches(self, provider: int, method: str, params: Params) -> bool:
        """Whether the call is one that the rule is about; says nothing about chance or number."""
        return (
            (not self.methods or method in self.methods)
            and (not self.providers or provider in self.providers)
            and (self.params is None or self.params(params))
        )

    @property
    def is_spent(self) -> bool:
        """Whether it will never fire again."""
        return self.times == 0 or (self.until is not None and self.until())


@dataclass(frozen=True, slots=True)
class Fired:
    """One fault that happened.

    Attributes:
        number: Running number over all proxies of a bench.
        detail: What was asked.
    """

    number: int
    provider: int
    method: str
    name: str
    detail: str = ""

    def __str__(self) -> str:
        """One line of the log."""
        return f"#{self.number} provider {self.provider}: {self.name} at {self.method}{self.detail}"
