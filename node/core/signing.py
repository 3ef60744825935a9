"""What is signed, and what a key of the node may sign, as a pure rule of its role.

The services ask before the signer is asked, and the remote signer process asks again on its own
side, so that neither a bug here nor a stolen node machine gets anything else signed. What was
signed is compared byte by byte elsewhere (`node.core.ports.chain.TransactionReader`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from node.core.errors import InvariantBroken
from node.core.settlement import (
    SETTLE_SELECTOR,
    TRANSACTION_GAS_MAX,
    TRANSFER_SELECTOR,
    VOID_SELECTOR,
    settle_calldata,
    settle_records,
    token_transfer_calldata,
    void_calldata,
)
from node.core.sweeping import is_sweep
from node.core.units import Address

# Of the keccak-256 of each signature; a test compares them with the compiled contract.
PAUSE_CALLDATA: Final = bytes.fromhex("8456cb59")
UNPAUSE_CALLDATA: Final = bytes.fromhex("3f4ba83a")
RESCUE_SELECTOR: Final = bytes.fromhex("20ff430b")

_NONCE_LIMIT: Final = 2**64 - 1
"""EIP-2681: no account sends a transaction of this nonce."""

_WEI_LIMIT: Final = 2**256
_WORD: Final = 32


@dataclass(frozen=True, slots=True)
class UnsignedTransaction:
    """An EIP-1559 transaction of type 2, complete but for its signature; no access list."""

    chain_id: int
    nonce: int
    to: Address
    value_wei: int
    data: bytes
    gas_limit: int
    max_fee_per_gas_wei: int
    max_priority_fee_per_gas_wei: int


class KeyRole(StrEnum):
    """What a key of the node is for; also `lane.role`."""

    SETTLE = "settle"
    TREASURY = "treasury"
    PAUSER = "pauser"
    RESCUER = "rescuer"


@dataclass(frozen=True, slots=True)
class SigningFacts:
    """What the rules of all keys of one node refer to.

    Attributes:
        chain_id: EIP-155 number of the one chain.
        contract: The settlement contract.
        token: The token it pays.
        treasury: Where sweeps and rescues go; None: nowhere, they are refused.
        own: Every key's address of the node: what the treasury may send native coin to.
        fee_max_wei: Most `maxFeePerGas`, wei per gas.
        deposits: The contract that makes and sweeps deposit addresses; None: there is none, and
            no sweep of them is signed.
    """

    chain_id: int
    contract: Address
    token: Address
    treasury: Address | None
    own: frozenset[Address]
    fee_max_wei: int
    deposits: Address | None = None


def rescue_calldata(token: Address, to: Address, amount: int) -> bytes:
    """Calldata of `rescue(address,address,uint256)`; `amount` in the token's units."""
    return RESCUE_SELECTOR + bytes(12) + token + bytes(12) + to + amount.to_bytes(_WORD)


@dataclass(frozen=True, slots=True)
class SigningPolicy:
    """The rule of one key.

    Attributes:
        role: What the key is for.
        sender: Its address.
        facts: Of the node.
    """

    role: KeyRole
    sender: Address
    facts: SigningFacts

    def check(self, transaction: UnsignedTransaction) -> None:
        """Check that the key may sign this.

        Raises:
            InvariantBroken: It may not; says which rule.
        """
        refusal = self.refusal(transaction)
        if refusal is not None:
            raise InvariantBroken(f"0x{self.sender.hex()} does not sign this: {refusal}")

    def refusal(self, transaction: UnsignedTransaction) -> str | None:
        """The rule that forbids the key to sign this; None: it may."""
        return self._fault_of_frame(transaction) or self._fault_of_content(transaction)

    def _fault_of_frame(self, transaction: UnsignedTransaction) -> str | None:
        """What is the same for every key: chain, nonce, gas, fees."""
        facts = self.facts
        fee_wei = transaction.max_fee_per_gas_wei
        rules = (
            (transaction.chain_id == facts.chain_id, f"the chain is {facts.chain_id}"),
            (0 <= transaction.nonce < _NONCE_LIMIT, "the nonce is below 2^64 - 1"),
            (
                0 < transaction.gas_limit <= TRANSACTION_GAS_MAX,
                f"the gas limit is at most {TRANSACTION_GAS_MAX}",
            ),
            (
                0 <= fee_wei <= facts.fee_max_wei,
                f"the fee per gas is at most {facts.fee_max_wei} wei",
            ),
            (
                0 <= transaction.max_priority_fee_per_gas_wei <= fee_wei,
                "the tip is at most the fee",
            ),
            (0 <= transaction.value_wei < _WEI_LIMIT, "the value is an amount of wei"),
        )
        return next((rule for holds, rule in rules if not holds), None)

    def _fault_of_content(self, transaction: UnsignedTransaction) -> str | None:
        if is_noop(transaction, self.sender):
            return None
        if any(may(self, transaction) for may in _MAY[self.role]):
            return None
        return f"a key of the role {self.role.value} signs only {_WORDS[self.role]}"


def is_noop(transaction: UnsignedTransaction, sender: Address) -> bool:
    """Whether it moves nothing: to the sender itself, without value and data."""
    return (transaction.to, transaction.value_wei, transaction.data) == (sender, 0, b"")


def paid_units(transaction: UnsignedTransaction, facts: SigningFacts) -> int:
    """Token units that leave the node's own addresses: the sum of a batch; else 0.

    Raises:
        InvariantBroken: A call of settle without whole records.
    """
    if transaction.to != facts.contract or transaction.data[:4] != SETTLE_SELECTOR:
        return 0
    return sum(each.amount for each in settle_records(transaction.data))


# ---------------------------------------------------------------------------------- the kinds


def _is_payment(policy: SigningPolicy, transaction: UnsignedTransaction) -> bool:
    """`settle` with whole, valid, distinct records, encoded as this node encodes them."""
    data = transaction.data
    if not _is_call(transaction, policy.facts.contract) or data[:4] != SETTLE_SELECTOR:
        return False
    try:
        return settle_calldata(settle_records(data)) == data
    except InvariantBroken:
        return False


def _is_void(policy: SigningPolicy, transaction: UnsignedTransaction) -> bool:
    """`void` of 1 to 256 numbers, encoded as this node encodes them."""
    data = transaction.data
    if not _is_call(transaction, policy.facts.contract) or data[:4] != VOID_SELECTOR:
        return False
    words = data[4 + 2 * _WORD :]
    numbers = [int.from_bytes(words[at : at + _WORD]) for at in range(0, len(words), _WORD)]
    try:
        return all(each < 2**64 for each in numbers) and void_calldata(numbers) == data
    except InvariantBroken:
        return False


def _is_sweep(policy: SigningPolicy, transaction: UnsignedTransaction) -> bool:
    """Native coin or token units of the key's own to the treasury."""
    treasury = policy.facts.treasury
    if treasury is None:
        return False
    is_native = transaction.to == treasury and not transaction.data and transaction.value_wei > 0
    return is_native or _token_receiver(policy, transaction) == treasury


def _is_float_top_up(policy: SigningPolicy, transaction: UnsignedTransaction) -> bool:
    return _token_receiver(policy, transaction) == policy.facts.contract


def _is_lane_gas(policy: SigningPolicy, transaction: UnsignedTransaction) -> bool:
    is_own = transaction.to in policy.facts.own and transaction.to != policy.sender
    return is_own and not transaction.data and transaction.value_wei > 0


def _is_deposit_sweep(policy: SigningPolicy, transaction: UnsignedTransaction) -> bool:
    """`sweep` of the node's token with 1 to 100 salts, encoded as this node encodes them.

    Which salts is of no matter: whatever they hold can go to the contract's destination only.
    """
    facts = policy.facts
    if facts.deposits is None or not _is_call(transaction, facts.deposits):
        return False
    return is_sweep(transaction.data, facts.token)


def _is_pause(policy: SigningPolicy, transaction: UnsignedTransaction) -> bool:
    return _is_call(transaction, policy.facts.contract) and transaction.data in (
        PAUSE_CALLDATA,
        UNPAUSE_CALLDATA,
    )


def _is_rescue(policy: SigningPolicy, transaction: UnsignedTransaction) -> bool:
    """The node's token, out of the contract, to the treasury."""
    facts, data = policy.facts, transaction.data
    if not _is_call(transaction, facts.contract) or facts.treasury is None:
        return False
    amount = int.from_bytes(data[-_WORD:])
    return amount > 0 and data == rescue_calldata(facts.token, facts.treasury, amount)


def _is_call(transaction: UnsignedTransaction, contract: Address) -> bool:
    return transaction.to == contract and transaction.value_wei == 0


def _token_receiver(policy: SigningPolicy, transaction: UnsignedTransaction) -> Address | None:
    """Who receives in an exact call of the token's `transfer` of more than nothing."""
    data = transaction.data
    if not _is_call(transaction, policy.facts.token) or data[:4] != TRANSFER_SELECTOR:
        return None
    receiver, amount = Address(data[16:36]), int.from_bytes(data[36:])
    is_exact = len(data) == 4 + 2 * _WORD and data == token_transfer_calldata(receiver, amount)
    return receiver if is_exact and amount > 0 else None


_Kind = Callable[[SigningPolicy, UnsignedTransaction], bool]

_MAY: Final[Mapping[KeyRole, tuple[_Kind, ...]]] = {
    KeyRole.SETTLE: (_is_payment, _is_void, _is_sweep, _is_deposit_sweep),
    KeyRole.TREASURY: (_is_float_top_up, _is_lane_gas, _is_deposit_sweep),
    KeyRole.PAUSER: (_is_pause, _is_sweep),
    KeyRole.RESCUER: (_is_rescue, _is_sweep),
}
"""Besides the no-op, which every key may sign: it fills a nonce and moves nothing."""

_WORDS: Final[Mapping[KeyRole, str]] = {
    KeyRole.SETTLE: (
        "settle and void of the settlement contract with whole records, no-ops to itself, and"
        " sweeps to the treasury and of deposit addresses"
    ),
    KeyRole.TREASURY: (
        "token transfers to the settlement contract, native coin to the node's own keys, sweeps of"
        " deposit addresses, and no-ops to itself"
    ),
    KeyRole.PAUSER: (
        "pause and unpause of the settlement contract, no-ops to itself, and sweeps to the treasury"
    ),
    KeyRole.RESCUER: (
        "rescue of the node's token to the treasury, no-ops to itself, and sweeps to the treasury"
    ),
}
