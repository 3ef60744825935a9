"""Deposit addresses are calculated as the contract calculates them and as the chain has them."""

from collections.abc import Iterator

import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from adapters.evm.artifacts import load
from adapters.evm.deposits import ForwarderAddresses, factory_code_hash
from node.core.errors import InvariantBroken
from node.core.units import Address
from tests.onchain import ADMIN, OnChain, address_of, call
from tests.rig import AnvilServer, start_anvil

SALTS = [bytes(32), b"\xff" * 32, *(keccak(bytes([number])) for number in range(6))]


@pytest.fixture(scope="module")
def onchain() -> Iterator[OnChain]:
    anvil = start_anvil()
    yield OnChain.deploy(anvil)
    anvil.stop()


@pytest.fixture(scope="module")
def factory(onchain: OnChain) -> Address:
    return deployed(onchain.anvil, onchain.contract)


def deployed(anvil: AnvilServer, destination: Address) -> Address:
    arguments = encode(["address"], ["0x" + destination.hex()])
    code = load("DepositForwarders").bytecode + arguments
    sent = anvil.rpc("eth_sendTransaction", {"from": ADMIN, "data": "0x" + code.hex()})
    return address_of(anvil.mined(sent)["contractAddress"])


def test_the_contract_calculates_the_same_addresses(onchain: OnChain, factory: Address) -> None:
    addresses = ForwarderAddresses(factory, onchain.contract)
    for salt in SALTS:
        asked = {"to": "0x" + factory.hex(), "data": call("addressOf(bytes32)", salt)}
        answer = onchain.anvil.rpc("eth_call", asked, "latest")
        (told,) = decode(["address"], bytes.fromhex(answer[2:]))
        assert addresses.address_of(salt) == address_of(told)
    assert len({addresses.address_of(salt) for salt in SALTS}) == len(SALTS)


def test_a_sweep_deploys_the_forwarder_at_that_address(onchain: OnChain, factory: Address) -> None:
    deposit = ForwarderAddresses(factory, onchain.contract).address_of(SALTS[0])
    onchain.send(onchain.token, "mint(address,uint256)", "0x" + deposit.hex(), 5)
    before = onchain.balance(onchain.contract)
    onchain.send(factory, "sweep(address,bytes32[])", "0x" + onchain.token.hex(), [SALTS[0]])
    assert onchain.balance(deposit) == 0
    assert onchain.balance(onchain.contract) == before + 5
    code = bytes.fromhex(onchain.anvil.rpc("eth_getCode", "0x" + deposit.hex(), "latest")[2:])
    assert (len(code), code[14:34]) == (66, onchain.contract)


def test_addresses_are_others_with_another_destination(factory: Address, onchain: OnChain) -> None:
    ours = ForwarderAddresses(factory, onchain.contract)
    others = ForwarderAddresses(factory, onchain.token)
    assert ours.address_of(SALTS[0]) != others.address_of(SALTS[0])


def test_the_code_of_a_factory_tells_its_destination(onchain: OnChain, factory: Address) -> None:
    code = onchain.anvil.rpc("eth_getCode", "0x" + factory.hex(), "latest")
    code_hash = keccak(bytes.fromhex(code[2:]))
    assert code_hash == factory_code_hash(onchain.contract)
    assert code_hash != factory_code_hash(onchain.token)


@pytest.mark.parametrize("salt", [b"", bytes(31), bytes(33)])
def test_a_salt_of_another_length_has_no_address(salt: bytes) -> None:
    with pytest.raises(InvariantBroken):
        ForwarderAddresses(Address(bytes(20)), Address(bytes(20))).address_of(salt)
