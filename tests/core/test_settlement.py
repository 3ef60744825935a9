"""Settlement rules: bytes of a batch, when it goes, what a failure leads to."""

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from adapters.evm.artifacts import load
from node.core.errors import InvariantBroken
from node.core.settlement import (
    NO_CODE_HASH,
    RECORDS_MAX,
    SETTLE_SELECTOR,
    TRANSACTION_GAS_MAX,
    UINT64_LIMIT,
    VOID_SELECTOR,
    BatchRules,
    Cause,
    PaymentRecord,
    Remedy,
    batch_sizes,
    cause_of,
    encode_records,
    payments_within,
    remedy_of,
    settle_calldata,
    settle_gas,
    settle_records,
    token_transfer_calldata,
    void_calldata,
    void_gas,
    void_numbers,
    within_float,
)
from node.core.units import Address

addresses = st.binary(min_size=20, max_size=20).map(Address)
records = st.builds(
    PaymentRecord,
    st.integers(0, UINT64_LIMIT - 1),
    addresses,
    st.integers(1, UINT64_LIMIT - 1),
)
batches = st.lists(records, min_size=1, max_size=RECORDS_MAX, unique_by=lambda each: each.number)
BEN = Address(b"\xbe" * 20)


@given(batches)
def test_calldata_of_settle_holds_exactly_the_records(batch: list[PaymentRecord]) -> None:
    assert settle_records(settle_calldata(batch)) == batch


@given(batches)
def test_calldata_of_settle_is_what_an_abi_encoder_writes(batch: list[PaymentRecord]) -> None:
    assert settle_calldata(batch) == SETTLE_SELECTOR + encode(["bytes"], [encode_records(batch)])


@given(st.lists(st.integers(0, UINT64_LIMIT - 1), min_size=1, max_size=RECORDS_MAX))
def test_calldata_of_void_is_what_an_abi_encoder_writes(numbers: list[int]) -> None:
    assert void_calldata(numbers) == VOID_SELECTOR + encode(["uint64[]"], [numbers])


@given(st.lists(st.integers(0, UINT64_LIMIT - 1), min_size=1, max_size=RECORDS_MAX))
def test_calldata_of_void_holds_exactly_the_numbers(numbers: list[int]) -> None:
    assert void_numbers(void_calldata(numbers)) == numbers


@given(st.binary(max_size=200), st.lists(st.integers(0, UINT64_LIMIT - 1), min_size=1, max_size=3))
def test_bytes_that_are_no_call_of_void_to_the_byte_are_refused(
    tail: bytes, numbers: list[int]
) -> None:
    call = void_calldata(numbers)
    for data in (tail, call + tail, call[:-1], call[:-32], b"\x00" + call[1:]):
        if data == call:
            continue
        try:
            found = void_numbers(data)
        except InvariantBroken:
            continue
        assert void_calldata(found) == data


def test_calldata_of_a_token_transfer_is_what_an_abi_encoder_writes() -> None:
    wanted = keccak(text="transfer(address,uint256)")[:4] + encode(["address", "uint256"], [BEN, 7])
    assert token_transfer_calldata(BEN, 7) == wanted


def test_an_account_without_code_has_the_hash_of_nothing() -> None:
    assert keccak(b"") == NO_CODE_HASH


def test_selectors_and_errors_are_those_of_the_compiled_contracts() -> None:
    signatures = {
        f"{each['name']}({','.join(part['type'] for part in each['inputs'])})"
        for contract in ("TransferSettlement", "TestUSD")
        for each in load(contract).abi
        if each["type"] in ("function", "error")
    }
    selectors = {keccak(text=each)[:4]: each for each in signatures}
    assert selectors[SETTLE_SELECTOR] == "settle(bytes)"
    assert selectors[VOID_SELECTOR] == "void(uint64[])"
    causes = {
        "IsPaused()": Cause.PAUSED,
        "FloatShort(uint256,uint256)": Cause.FLOAT_SHORT,
        "GasShort(uint256,uint256)": Cause.OUT_OF_GAS,
        "TokenTakesFee(uint256,uint256)": Cause.CONTRACT_CHANGED,
        "NotOperator(address)": Cause.LANE_REFUSED,
        "Unpayable(uint64,address,uint64)": Cause.BENEFICIARY_REFUSED,
        "TokenPaused()": Cause.TOKEN_PAUSED,
    }
    assert causes.keys() <= signatures
    assert {each: cause_of(keccak(text=each)[:4]) for each in causes} == causes


@pytest.mark.parametrize("numbers", [[], [1, 1], list(range(RECORDS_MAX + 1))])
def test_no_batch_is_empty_too_long_or_pays_a_number_twice(numbers: list[int]) -> None:
    with pytest.raises(InvariantBroken):
        settle_calldata([PaymentRecord(each, BEN, 1) for each in numbers])


@pytest.mark.parametrize(("number", "amount"), [(-1, 1), (UINT64_LIMIT, 1), (1, 0), (1, 2**64)])
def test_no_record_holds_what_64_bits_do_not(number: int, amount: int) -> None:
    with pytest.raises(InvariantBroken):
        PaymentRecord(number, BEN, amount)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_call_of_settle_are_refused_or_read_back_equal(data: bytes) -> None:
    try:
        found = settle_records(data)
    except InvariantBroken:
        return
    assert data.startswith(settle_calldata(found)[: 68 + 36 * len(found)])


@given(
    st.integers(0, 10_000),
    st.integers(0, 1000),
    st.integers(-1, 20),
    st.integers(1, 256),
    st.booleans(),
)
def test_batches_take_the_oldest_and_nobody_twice(
    waiting: int, age_ms: int, free: int, size: int, is_idle: bool
) -> None:
    sizes = batch_sizes(waiting, age_ms, free, BatchRules(size, 200), is_idle=is_idle)
    assert all(0 < each <= size for each in sizes)
    assert sum(sizes) <= waiting
    assert len(sizes) <= max(0, free)
    if waiting and age_ms >= 200 and free > 0:
        assert sum(sizes) == min(waiting, free * size)


def test_a_part_of_a_batch_waits_for_company_only_so_long() -> None:
    rules = BatchRules(10, 200)
    assert batch_sizes(3, 199, 5, rules, is_idle=False) == []
    assert batch_sizes(3, 200, 5, rules, is_idle=False) == [3]
    assert batch_sizes(13, 0, 5, rules, is_idle=False) == [10]


def test_a_lone_payment_does_not_wait_on_an_idle_lane() -> None:
    assert batch_sizes(1, 0, 5, BatchRules(10, 200), is_idle=True) == [1]


@given(st.lists(st.integers(1, 100)), st.integers(0, 1000))
def test_what_the_float_pays_is_the_longest_beginning(amounts: list[int], float_units: int) -> None:
    count = within_float(amounts, float_units)
    assert sum(amounts[:count]) <= float_units
    assert count == len(amounts) or sum(amounts[: count + 1]) > float_units


def test_the_largest_batch_fits_into_one_transaction() -> None:
    assert settle_gas(RECORDS_MAX) <= TRANSACTION_GAS_MAX
    assert void_gas(RECORDS_MAX) <= TRANSACTION_GAS_MAX
    assert payments_within(TRANSACTION_GAS_MAX) == RECORDS_MAX
    assert payments_within(1_200_000) == 10
    assert payments_within(0) == 0


def denied(account: bytes) -> bytes:
    return keccak(text="AccountDenied(address)")[:4] + bytes(12) + account


def text(words: str) -> bytes:
    return (keccak(text="Error(string)")[:4] + encode(["string"], [words]))[:100]


@pytest.mark.parametrize(
    ("reason", "cause", "remedy"),
    [
        (denied(BEN), Cause.BENEFICIARY_REFUSED, Remedy.VOID),
        (denied(b"\x01" * 20), Cause.NODE_DENIED, Remedy.PAUSE),
        (text("Pausable: paused"), Cause.TOKEN_PAUSED, Remedy.WAIT),
        (text("Blacklistable: account is blacklisted"), Cause.BENEFICIARY_REFUSED, Remedy.VOID),
        (text("ERC20: transfer amount exceeds balance"), Cause.FLOAT_SHORT, Remedy.WAIT),
        (text("something new"), Cause.UNKNOWN, Remedy.RETRY),
        (b"", Cause.UNKNOWN, Remedy.RETRY),
        (b"\x00" * 32, Cause.UNKNOWN, Remedy.RETRY),  # a token that returned false
        (denied(BEN)[:20], Cause.UNKNOWN, Remedy.RETRY),
    ],
)
def test_each_reason_of_a_failure_has_its_remedy(
    reason: bytes, cause: Cause, remedy: Remedy
) -> None:
    assert cause_of(reason, BEN) is cause
    assert remedy_of(cause) is remedy


@given(st.binary(max_size=100))
def test_no_answer_of_a_token_is_without_a_remedy(reason: bytes) -> None:
    assert remedy_of(cause_of(reason, BEN)) in Remedy
