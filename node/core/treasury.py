"""Treasury movements, as pure rules: whose money goes where, what is called, what a rule tops up.

Not here: nonces, signing and sending, which are those of payments (`node.core.submission`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from node.core.ledger import WEI_PER_UNIT
from node.core.settlement import NATIVE_TRANSFER_GAS, TOKEN_TRANSFER_GAS, token_transfer_calldata
from node.core.signing import rescue_calldata
from node.core.sweeping import sweep_calldata, sweep_gas
from node.core.units import Address, Asset, Money

SLOTS_OF_GAS_KEPT: Final = 16
"""For how many transactions a sweep leaves gas: as many as an account may have under way."""

RULE_WINDOW_S: Final = 86_400
"""A rule moves at most its daily limit within any so many seconds."""

# Selectors are the first four bytes of the keccak-256 of the signature; a test compares them with
# the compiled contract. Those of calls that are signed are in `node.core.signing`.
PAUSED_CALL: Final = bytes.fromhex("5c975abb")
PAUSED_TOPIC: Final = bytes.fromhex(
    "62e78cea01bee320cd4e420270b5ea74000d11b0c9f74754ebdbfc544b05a258"
)
UNPAUSED_TOPIC: Final = bytes.fromhex(
    "5db9ee0a495bf2e6ff9c91a7834c1ba4fdd244a5e8aa4e537bd38aeae4b073aa"
)
BALANCE_OF_SELECTOR: Final = bytes.fromhex("70a08231")

PAUSE_GAS: Final = 100_000
"""Above `pause` and `unpause`: base cost, two reads, one changed word, an event: about 50,000."""

RESCUE_GAS: Final = 200_000
"""Above `rescue`: a token transfer, reads of role and pause, and an event."""


class MovementKind(StrEnum):
    """What a treasury movement is for."""

    FLOAT_TOP_UP = "float_top_up"  # treasury to contract, token
    LANE_GAS = "lane_gas"  # treasury to another own key, native coin
    SWEEP = "sweep"  # an own key to the treasury, either
    RESCUE = "rescue"  # contract to treasury, token, while the contract is paused
    DEPOSIT_SWEEP = "deposit_sweep"  # deposit addresses to contract, token; the node's own rule


ASKED_KINDS: Final = tuple(each for each in MovementKind if each != MovementKind.DEPOSIT_SWEEP)
"""What people may ask for: deposits are swept by the node itself, or by anybody on chain."""


class Hold(StrEnum):
    """Why a requested movement is not sent yet."""

    PAUSED = "paused"
    GAS_LOW = "gas_low"  # the sender cannot pay for the gas
    EARLIER_FIRST = "earlier_first"  # what is under way or was asked for before takes the money
    SLOTS_FULL = "slots_full"  # the sender has as many unmined transactions as it may
    NO_KEY = "no_key"  # no key of the sender is set


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a movement ends without being sent."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Route:
    """From where to where a kind of movement goes, and what it moves (asset codes)."""

    sources: tuple[Address, ...]
    targets: tuple[Address, ...]
    assets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeAddresses:
    """Between which addresses the node moves its own money.

    Attributes:
        token, native: Asset codes.
        lanes: Accounts that settle.
        treasury: None: there is none, and nothing is moved.
        pauser, rescuer: Accounts with that role in the contract; None: no key of it is here.
        treasury_signs: Whether the treasury's key is here; if not, it only receives.
        deposits: The contract that sweeps deposit addresses; None: there is none.
    """

    contract: Address
    token: str
    native: str
    lanes: Sequence[Address]
    treasury: Address | None = None
    pauser: Address | None = None
    rescuer: Address | None = None
    treasury_signs: bool = True
    deposits: Address | None = None

    @property
    def sweeper(self) -> Address | None:
        """Whose key sweeps deposit addresses: the treasury's, or else the first that settles."""
        if self.deposits is None:
            return None
        if self.treasury is not None and self.treasury_signs:
            return self.treasury
        return next(iter(self.lanes), None)

    @property
    def others(self) -> tuple[Address, ...]:
        """Every own key but the treasury's, each once."""
        extra = (each for each in (self.pauser, self.rescuer) if each is not None)
        return tuple(each for each in dict.fromkeys((*self.lanes, *extra)) if each != self.treasury)

    @property
    def senders(self) -> tuple[Address, ...]:
        """Every own key."""
        if self.treasury is None or not self.treasury_signs:
            return self.others
        return (*self.others, self.treasury)

    def route(self, kind: MovementKind) -> Route:
        """What the node moves; without a treasury nothing but deposits."""
        treasury = () if self.treasury is None else (self.treasury,)
        contract, token = (self.contract,), (self.token,)
        match kind:
            case MovementKind.FLOAT_TOP_UP:
                return Route(treasury, contract, token)
            case MovementKind.LANE_GAS:
                return Route(treasury, self.others, (self.native,))
            case MovementKind.SWEEP:
                return Route(self.others, treasury, (self.native, self.token))
            case MovementKind.RESCUE:
                return Route(contract, treasury, token)
            case MovementKind.DEPOSIT_SWEEP:
                return Route(() if self.deposits is None else (self.deposits,), contract, token)


@dataclass(frozen=True, slots=True)
class MovementCall:
    """The transaction of a movement, but for nonce and fees."""

    to: Address
    value_wei: int
    calldata: bytes
    gas_limit: int


def native_call(to: Address, amount: int) -> MovementCall:
    """Native coin to an address; `amount` in the ledger's minor units."""
    return MovementCall(to, amount * WEI_PER_UNIT, b"", NATIVE_TRANSFER_GAS)


def token_call(token: Address, to: Address, amount: int) -> MovementCall:
    """Tokens of the sender to an address."""
    return MovementCall(token, 0, token_transfer_calldata(to, amount), TOKEN_TRANSFER_GAS)


def rescue_call(contract: Address, token: Address, to: Address, amount: int) -> MovementCall:
    """Tokens of the settlement contract to an address: `rescue(address,address,uint256)`."""
    return MovementCall(contract, 0, rescue_calldata(token, to, amount), RESCUE_GAS)


def deposit_sweep_call(deposits: Address, token: Address, salts: Sequence[bytes]) -> MovementCall:
    """All tokens of these deposit addresses to the settlement contract."""
    return MovementCall(deposits, 0, sweep_calldata(token, salts), sweep_gas(len(salts)))


def balance_of_call(holder: Address) -> bytes:
    """Calldata of ERC-20 `balanceOf(address)`."""
    return BALANCE_OF_SELECTOR + bytes(12) + holder


@dataclass(slots=True)
class Purse:
    """What one key can still spend; taken from in the order in which movements were asked for.

    Attributes:
        coin, token: What is counted, for people: coin in units of 10^-9 as in the ledger.
        balance_wei: What the account holds.
        left_wei: Of that, what its unmined transactions cannot take.
        kept_wei: What a sweep of coin must leave.
        tokens, tokens_left: The same of token units, by the address that they leave.
    """

    coin: Asset
    token: Asset
    balance_wei: int
    left_wei: int
    kept_wei: int
    tokens: dict[Address, int]
    tokens_left: dict[Address, int]

    def take(
        self, kind: MovementKind, source: Address, units: int, value_wei: int, gas_wei: int
    ) -> Hold | Failure | None:
        """Take a movement's money, or say why not.

        What the whole balance does not hold can never be sent: written, it would hold up every
        nonce after it. What only waits for gas or for others keeps its place: nothing that was
        asked for later takes the money it waits for.

        Args:
            kind: Of the movement.
            source: Whose tokens it moves.
            units: Tokens it moves; 0 for coin.
            value_wei: Coin it moves; 0 for tokens.
            gas_wei: Most that its gas costs.

        Returns:
            None: it may be written, and its money is taken.
        """
        kept_wei = self.kept_wei if kind is MovementKind.SWEEP and value_wei else 0
        needed_wei = value_wei + gas_wei + kept_wei
        if value_wei and needed_wei > self.balance_wei:
            return self._coin_short(max(0, self.balance_wei - gas_wei - kept_wei), kept_wei)
        if units > self.tokens.get(source, 0):
            held = Money(self.tokens.get(source, 0), self.token)
            return Failure("insufficient_funds", f"`from` holds {held} {held.asset}")
        if needed_wei > self.left_wei:
            self.left_wei = 0
            return Hold.GAS_LOW if gas_wei > self.balance_wei else Hold.EARLIER_FIRST
        if units > self.tokens_left.get(source, 0):
            self.tokens_left[source] = 0
            return Hold.EARLIER_FIRST
        self.left_wei -= value_wei + gas_wei
        if units:
            self.tokens_left[source] -= units
        return None

    def _coin_short(self, most_wei: int, kept_wei: int) -> Failure:
        """Says what can go, rounded down, and what stays for gas, rounded up."""
        most = Money(most_wei // WEI_PER_UNIT, self.coin)
        told = f"`from` does not hold this and its gas; at most {most} {most.asset} can go"
        if kept_wei:
            kept = Money(-(-kept_wei // WEI_PER_UNIT), self.coin)
            told += f" ({kept} {kept.asset} stay, the gas of {SLOTS_OF_GAS_KEPT} transactions)"
        return Failure("insufficient_funds", told)


def top_up_amount(
    *, mark: int, fill_to: int, holds: int, coming: int, limit_left: int, available: int
) -> int:
    """What a rule moves now; 0: nothing. All in the asset's minor units.

    Below the mark it fills up to `fill_to`, as far as the daily limit and the treasury allow, but
    in no step smaller than `fill_to - mark`: dribs would cost more gas than they help.

    Args:
        mark: Below it the rule acts.
        fill_to: Up to where.
        holds: What the target has.
        coming: What other movements bring to it already.
        limit_left: What the rule may still move.
        available: What the treasury can give.
    """
    expected = holds + coming
    if expected >= mark:
        return 0
    amount = min(fill_to - expected, limit_left, available)
    return amount if amount >= fill_to - mark else 0
