"""What a key may sign: each role its own few calls, byte for byte; everything else is refused."""

from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from adapters.evm.artifacts import load
from node.core.errors import InvariantBroken
from node.core.ports.chain import UnsignedTransaction
from node.core.settlement import (
    PaymentRecord,
    settle_calldata,
    token_transfer_calldata,
    void_calldata,
)
from node.core.signing import (
    PAUSE_CALLDATA,
    RESCUE_SELECTOR,
    UNPAUSE_CALLDATA,
    KeyRole,
    SigningFacts,
    SigningPolicy,
    paid_units,
    rescue_calldata,
)
from node.core.sweeping import sweep_calldata
from node.core.units import Address


def an_address(number: int) -> Address:
    return Address(bytes([number]) * 20)


CONTRACT, TOKEN, TREASURY = an_address(0xC0), an_address(0x70), an_address(0x77)
DEPOSITS = an_address(0xDE)
LANE, OTHER_LANE, PAUSER, RESCUER = (an_address(number) for number in (1, 2, 3, 4))
STRANGER = an_address(0xEE)
FEE_MAX_WEI = 500 * 10**9
FACTS = SigningFacts(
    chain_id=31337,
    contract=CONTRACT,
    token=TOKEN,
    treasury=TREASURY,
    own=frozenset({LANE, OTHER_LANE, TREASURY, PAUSER, RESCUER}),
    fee_max_wei=FEE_MAX_WEI,
    deposits=DEPOSITS,
)
SENDERS = {
    KeyRole.SETTLE: LANE,
    KeyRole.TREASURY: TREASURY,
    KeyRole.PAUSER: PAUSER,
    KeyRole.RESCUER: RESCUER,
}
POLICIES = {role: SigningPolicy(role, sender, FACTS) for role, sender in SENDERS.items()}
NOOP = UnsignedTransaction(31337, 7, LANE, 0, b"", 21_000, 100, 10)
SALTS = [bytes([number]) * 32 for number in (1, 0, 255)]
RECORDS = [PaymentRecord(8, STRANGER, 1_000), PaymentRecord(3, LANE, 24)]


def a_call(to: Address, data: bytes, value_wei: int = 0) -> UnsignedTransaction:
    return replace(NOOP, to=to, data=data, value_wei=value_wei, gas_limit=400_000)


ALLOWED: dict[str, tuple[UnsignedTransaction, set[KeyRole]]] = {
    "settle": (a_call(CONTRACT, settle_calldata(RECORDS)), {KeyRole.SETTLE}),
    "void": (a_call(CONTRACT, void_calldata([3, 9, 2**64 - 1])), {KeyRole.SETTLE}),
    "native sweep": (
        a_call(TREASURY, b"", 5),
        {KeyRole.SETTLE, KeyRole.PAUSER, KeyRole.RESCUER},
    ),
    "token sweep": (
        a_call(TOKEN, token_transfer_calldata(TREASURY, 5)),
        {KeyRole.SETTLE, KeyRole.PAUSER, KeyRole.RESCUER},
    ),
    "float top-up": (a_call(TOKEN, token_transfer_calldata(CONTRACT, 5)), {KeyRole.TREASURY}),
    "lane gas": (a_call(OTHER_LANE, b"", 5), {KeyRole.TREASURY}),
    "pause": (a_call(CONTRACT, PAUSE_CALLDATA), {KeyRole.PAUSER}),
    "unpause": (a_call(CONTRACT, UNPAUSE_CALLDATA), {KeyRole.PAUSER}),
    "rescue": (a_call(CONTRACT, rescue_calldata(TOKEN, TREASURY, 5)), {KeyRole.RESCUER}),
    "deposit sweep": (
        a_call(DEPOSITS, sweep_calldata(TOKEN, SALTS)),
        {KeyRole.SETTLE, KeyRole.TREASURY},
    ),
}

SETTLE = settle_calldata(RECORDS)
SWEEP = sweep_calldata(TOKEN, SALTS)
FORBIDDEN: dict[str, UnsignedTransaction] = {
    "settle with value": a_call(CONTRACT, SETTLE, 1),
    "settle of another contract": a_call(STRANGER, SETTLE),
    "settle with bytes behind": a_call(CONTRACT, SETTLE + b"\0" * 32),
    "settle cut off": a_call(CONTRACT, SETTLE[:-32]),
    "settle with dirt in the padding": a_call(CONTRACT, SETTLE[:-1] + b"\1"),
    "settle of a record and a half": a_call(
        CONTRACT, SETTLE[:36] + (54).to_bytes(32) + SETTLE[68:132]
    ),
    "settle of one number twice": a_call(
        CONTRACT,
        SETTLE[:68] + SETTLE[68:104] * 2 + SETTLE[140:],
    ),
    "settle of nothing": a_call(CONTRACT, SETTLE[:36] + bytes(32)),
    "settle of an amount of nothing": a_call(CONTRACT, SETTLE[:96] + bytes(8) + SETTLE[104:]),
    "deposit sweep with value": a_call(DEPOSITS, SWEEP, 1),
    "deposit sweep at another contract": a_call(CONTRACT, SWEEP),
    "deposit sweep of another token": a_call(DEPOSITS, sweep_calldata(STRANGER, SALTS)),
    "deposit sweep with bytes behind": a_call(DEPOSITS, SWEEP + b"\0"),
    "deposit sweep with a word behind": a_call(DEPOSITS, SWEEP + bytes(32)),
    "deposit sweep cut off": a_call(DEPOSITS, SWEEP[:-32]),
    "deposit sweep with dirt before the token": a_call(DEPOSITS, SWEEP[:4] + b"\1" + SWEEP[5:]),
    "deposit sweep of nothing": a_call(DEPOSITS, SWEEP[:68] + bytes(32)),
    "deposit sweep of one salt twice": a_call(
        DEPOSITS, SWEEP[:68] + (2).to_bytes(32) + SALTS[0] * 2
    ),
    "deposit sweep of too many": a_call(
        DEPOSITS,
        SWEEP[:68] + (101).to_bytes(32) + b"".join(n.to_bytes(32) for n in range(101)),
    ),
    "another call of the deposits contract": a_call(DEPOSITS, b"\0" * 4 + SWEEP[4:]),
    "void with value": a_call(CONTRACT, void_calldata([3]), 1),
    "void with bytes behind": a_call(CONTRACT, void_calldata([3]) + b"\0"),
    "void of a number above 64 bits": a_call(
        CONTRACT, void_calldata([3])[:-32] + (2**64).to_bytes(32)
    ),
    "void of too many": a_call(
        CONTRACT,
        void_calldata([3])[:36] + (257).to_bytes(32) + b"".join(n.to_bytes(32) for n in range(257)),
    ),
    "coin to a stranger": a_call(STRANGER, b"", 1),
    "coin with data": a_call(TREASURY, b"\0", 1),
    "tokens to a stranger": a_call(TOKEN, token_transfer_calldata(STRANGER, 5)),
    "tokens, of nothing": a_call(TOKEN, token_transfer_calldata(TREASURY, 0)),
    "tokens with bytes behind": a_call(TOKEN, token_transfer_calldata(TREASURY, 5) + b"\0"),
    "another token": a_call(STRANGER, token_transfer_calldata(TREASURY, 5)),
    "approve": a_call(TOKEN, keccak(text="approve(address,uint256)")[:4] + bytes(64)),
    "pause and more": a_call(CONTRACT, PAUSE_CALLDATA + b"\0"),
    "pause of another contract": a_call(STRANGER, PAUSE_CALLDATA),
    "rescue to a stranger": a_call(CONTRACT, rescue_calldata(TOKEN, STRANGER, 5)),
    "rescue of another token": a_call(CONTRACT, rescue_calldata(STRANGER, TREASURY, 5)),
    "change of admin": a_call(
        CONTRACT, keccak(text="proposeAdmin(address)")[:4] + bytes(12) + STRANGER
    ),
    "nothing to somebody else": a_call(STRANGER, b""),
}


@pytest.mark.parametrize("role", KeyRole)
@pytest.mark.parametrize("name", ALLOWED)
def test_a_key_signs_the_calls_of_its_role_and_no_other_role_s(name: str, role: KeyRole) -> None:
    transaction, roles = ALLOWED[name]
    assert (POLICIES[role].refusal(transaction) is None) == (role in roles)


@pytest.mark.parametrize("role", KeyRole)
@pytest.mark.parametrize("name", FORBIDDEN)
def test_no_key_signs_what_is_nearly_one_of_them(name: str, role: KeyRole) -> None:
    refusal = POLICIES[role].refusal(FORBIDDEN[name])
    assert refusal is not None
    assert role.value in refusal


@pytest.mark.parametrize("role", KeyRole)
def test_every_key_signs_a_no_op_to_itself_and_to_nobody_else(role: KeyRole) -> None:
    policy, own = POLICIES[role], replace(NOOP, to=SENDERS[role])
    assert policy.refusal(own) is None
    others = [each for each in SENDERS.values() if each != SENDERS[role]]
    assert all(policy.refusal(replace(own, to=each)) is not None for each in others)
    assert policy.refusal(replace(own, data=b"\0")) is not None


FRAMES: dict[str, dict[str, Any]] = {
    "another chain": {"chain_id": 1},
    "a nonce that no account has": {"nonce": 2**64 - 1},
    "a negative nonce": {"nonce": -1},
    "more gas than a transaction may have": {"gas_limit": 2**24 + 1},
    "no gas": {"gas_limit": 0},
    "a fee above the cap": {"max_fee_per_gas_wei": FEE_MAX_WEI + 1},
    "a tip above the fee": {"max_priority_fee_per_gas_wei": 101},
    "a value that is none": {"value_wei": -1},
}


@pytest.mark.parametrize("name", FRAMES)
def test_the_frame_is_the_same_for_every_key_also_of_a_no_op(name: str) -> None:
    for role, policy in POLICIES.items():
        wrong = replace(NOOP, to=SENDERS[role], **FRAMES[name])
        with pytest.raises(InvariantBroken, match="does not sign this"):
            policy.check(wrong)


def test_the_highest_fee_and_gas_are_still_signed() -> None:
    POLICIES[KeyRole.SETTLE].check(
        replace(
            NOOP,
            gas_limit=2**24,
            max_fee_per_gas_wei=FEE_MAX_WEI,
            max_priority_fee_per_gas_wei=FEE_MAX_WEI,
        )
    )


def test_without_a_treasury_nothing_is_swept_nor_rescued() -> None:
    facts = replace(FACTS, treasury=None)
    for name in ("native sweep", "token sweep", "rescue"):
        for role, sender in SENDERS.items():
            assert SigningPolicy(role, sender, facts).refusal(ALLOWED[name][0]) is not None


records = st.lists(
    st.builds(
        PaymentRecord,
        number=st.integers(0, 2**64 - 1),
        beneficiary=st.binary(min_size=20, max_size=20).map(Address),
        amount=st.integers(1, 2**64 - 1),
    ),
    min_size=1,
    max_size=256,
    unique_by=lambda each: each.number,
)


@given(records)
def test_every_batch_the_node_can_write_is_signed_and_its_sum_is_known(
    batch: list[PaymentRecord],
) -> None:
    transaction = a_call(CONTRACT, settle_calldata(batch))
    assert POLICIES[KeyRole.SETTLE].refusal(transaction) is None
    assert paid_units(transaction, FACTS) == sum(each.amount for each in batch)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=256))
def test_every_void_the_node_can_write_is_signed_and_pays_nothing(numbers: list[int]) -> None:
    transaction = a_call(CONTRACT, void_calldata(numbers))
    assert POLICIES[KeyRole.SETTLE].refusal(transaction) is None
    assert paid_units(transaction, FACTS) == 0


anything = st.builds(
    UnsignedTransaction,
    chain_id=st.sampled_from([1, 31337]),
    nonce=st.integers(0, 2**64),
    to=st.sampled_from([CONTRACT, TOKEN, STRANGER, *SENDERS.values()]),
    value_wei=st.integers(0, 2),
    data=st.one_of(
        st.binary(max_size=200),
        st.sampled_from([each.data for each, _ in ALLOWED.values()]),
        st.sampled_from([each.data for each in FORBIDDEN.values()]),
    ),
    gas_limit=st.integers(0, 2**25),
    max_fee_per_gas_wei=st.integers(0, 2 * FEE_MAX_WEI),
    max_priority_fee_per_gas_wei=st.integers(0, 2 * FEE_MAX_WEI),
)


@given(anything, st.sampled_from(KeyRole))
def test_whatever_is_signed_moves_value_only_to_payees_contract_treasury_or_own_keys(
    transaction: UnsignedTransaction, role: KeyRole
) -> None:
    if POLICIES[role].refusal(transaction) is not None:
        return
    assert transaction.chain_id == FACTS.chain_id
    assert transaction.gas_limit <= 2**24
    assert transaction.max_priority_fee_per_gas_wei <= transaction.max_fee_per_gas_wei
    assert transaction.max_fee_per_gas_wei <= FEE_MAX_WEI
    if transaction.value_wei:
        assert transaction.data == b""
        assert transaction.to in (FACTS.own if role is KeyRole.TREASURY else {TREASURY})
    elif transaction.data:
        allowed = [each for each, roles in ALLOWED.values() if role in roles]
        assert (transaction.to, transaction.data) in [(each.to, each.data) for each in allowed]
    else:
        assert transaction.to == SENDERS[role]


@given(st.data())
def test_a_batch_with_one_byte_changed_is_another_batch_or_is_refused(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(SETTLE) - 1))
    flip = data.draw(st.integers(1, 255))
    spoiled = SETTLE[:at] + bytes([SETTLE[at] ^ flip]) + SETTLE[at + 1 :]
    transaction = a_call(CONTRACT, spoiled)
    is_in_records = 68 <= at < 68 + 72
    if POLICIES[KeyRole.SETTLE].refusal(transaction) is None:
        assert is_in_records


def test_selectors_are_those_of_the_compiled_contract() -> None:
    names = {
        keccak(text=f"{each['name']}({','.join(argument['type'] for argument in each['inputs'])})")[
            :4
        ]: each["name"]
        for each in load("TransferSettlement").abi
        if each["type"] == "function"
    }
    assert names[PAUSE_CALLDATA] == "pause"
    assert names[UNPAUSE_CALLDATA] == "unpause"
    assert names[RESCUE_SELECTOR] == "rescue"
    rescue = ["0x" + TOKEN.hex(), "0x" + TREASURY.hex(), 5]
    wanted = RESCUE_SELECTOR + encode(["address", "address", "uint256"], rescue)
    assert rescue_calldata(TOKEN, TREASURY, 5) == wanted
