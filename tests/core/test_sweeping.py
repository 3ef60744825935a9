"""The call that sweeps deposit addresses: read back as it was written, and nothing else is one."""

import pytest
from eth_abi.abi import encode
from eth_utils.abi import function_signature_to_4byte_selector
from hypothesis import given
from hypothesis import strategies as st

from adapters.evm.artifacts import load
from node.core.errors import InvariantBroken
from node.core.settlement import TRANSACTION_GAS_MAX
from node.core.sweeping import (
    SALTS_MAX,
    SWEEP_SELECTOR,
    SweepOutcome,
    is_sweep,
    sweep_calldata,
    sweep_gas,
    sweep_outcomes,
    swept_salts,
)
from node.core.units import Address

TOKEN, OTHER = Address(b"\x07" * 20), Address(b"\x08" * 20)
salts = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=SALTS_MAX, unique=True)


def test_the_selector_is_that_of_the_contract() -> None:
    signature = "sweep(address,bytes32[])"
    assert function_signature_to_4byte_selector(signature) == SWEEP_SELECTOR
    assert SWEEP_SELECTOR in load("DepositForwarders").bytecode


@given(salts)
def test_the_call_is_encoded_as_the_abi_says_and_read_back(asked: list[bytes]) -> None:
    calldata = sweep_calldata(TOKEN, asked)
    assert calldata[4:] == encode(["address", "bytes32[]"], ["0x" + TOKEN.hex(), asked])
    assert swept_salts(calldata, TOKEN) == asked
    assert is_sweep(calldata, TOKEN)
    assert not is_sweep(calldata, OTHER)


@given(salts, st.data())
def test_no_other_bytes_are_such_a_call(asked: list[bytes], data: st.DataObject) -> None:
    calldata = bytearray(sweep_calldata(TOKEN, asked[:3]))
    place = data.draw(st.integers(0, 99))  # before the salts: any of them may be another
    calldata[place] ^= data.draw(st.integers(1, 255))
    assert not is_sweep(bytes(calldata), TOKEN)
    assert not is_sweep(bytes(sweep_calldata(TOKEN, asked)[:-1]), TOKEN)


@pytest.mark.parametrize(
    "asked",
    [[], [bytes(32)] * 2, [bytes(31)], [n.to_bytes(32) for n in range(SALTS_MAX + 1)]],
    ids=["none", "one twice", "too short", "too many"],
)
def test_what_no_sweep_can_be_is_not_encoded(asked: list[bytes]) -> None:
    with pytest.raises(InvariantBroken):
        sweep_calldata(TOKEN, asked)


def test_the_answer_has_one_outcome_for_each_salt() -> None:
    answer = encode(["bytes"], [b"\x00\x01\x02"])
    swept, failed, empty = SweepOutcome.SWEPT, SweepOutcome.FAILED, SweepOutcome.EMPTY
    assert sweep_outcomes(answer, 3) == [swept, failed, empty]
    for wrong, count in ((answer, 2), (answer, 4), (b"", 1), (encode(["bytes"], [b"\x03"]), 1)):
        with pytest.raises(InvariantBroken):
            sweep_outcomes(wrong, count)


def test_the_largest_sweep_is_no_larger_than_a_transaction_may_be() -> None:
    assert sweep_gas(SALTS_MAX) <= TRANSACTION_GAS_MAX
