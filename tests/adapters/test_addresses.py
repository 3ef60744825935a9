"""Addresses as text: EIP-55."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.evm.addresses import Eip55
from node.core.errors import AddressInvalid
from node.core.units import Address

CODEC = Eip55()

# The examples of EIP-55.
EXAMPLES = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_checksummed_text_reads_and_writes_back(text: str) -> None:
    assert CODEC.text(CODEC.parse(text)) == text


@given(st.binary(min_size=20, max_size=20).map(Address))
def test_one_case_needs_no_checksum(address: Address) -> None:
    assert CODEC.parse(CODEC.text(address)) == address
    assert CODEC.parse("0x" + address.hex()) == address
    assert CODEC.parse("0x" + address.hex().upper()) == address


@pytest.mark.parametrize("text", EXAMPLES[2:])
def test_a_letter_of_the_wrong_case_is_noticed(text: str) -> None:
    place = next(at for at in range(2, 42) if text[at].isalpha())
    with pytest.raises(AddressInvalid):
        CODEC.parse(text[:place] + text[place].swapcase() + text[place + 1 :])


NO_ADDRESSES = [
    "",
    "0x",
    "0x12",
    EXAMPLES[0][2:],
    "0X" + EXAMPLES[0][2:],
    EXAMPLES[0] + " ",
    EXAMPLES[0] + "0",
    EXAMPLES[0][:-1] + "g",
    "0x\uff15" + "0" * 39,  # a digit, but not of ASCII
]


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressInvalid):
        CODEC.parse(text)
