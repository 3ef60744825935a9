"""Reads of the settlement contract and its token, on a real chain: what the gate relies on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from eth_abi.abi import encode

from adapters.evm.artifacts import parse
from adapters.evm.client import EvmChain
from adapters.evm.contract import IMPLEMENTATION_SLOTS, EvmSettlementContract
from adapters.evm.rpc import Providers
from node.core.settlement import PaymentRecord, encode_records, settle_calldata, settle_gas
from node.core.units import Address, BlockHash
from tests.onchain import ADMIN, LANE, OnChain, address_of
from tests.rig import AnvilServer

BOMB_USD = parse((Path(__file__).parents[1] / "chain/artifacts/BombUSD.json").read_text())
BEN = Address(b"\xbe" * 20)
CAP_UNITS = 1_000_000


class Site:
    """A contract with small caps, whose token has bombs, and its adapter."""

    def __init__(self, anvil: AnvilServer) -> None:
        code = BOMB_USD.bytecode + encode(["address"], [ADMIN])
        self.onchain = OnChain.deploy(anvil, cap_units=CAP_UNITS, token_code=code)
        self.providers = Providers.at([anvil.rpc_url])
        self.chain = EvmChain(self.providers)
        self.contract = EvmSettlementContract(self.chain, self.onchain.contract, self.onchain.token)

    async def head(self) -> BlockHash:
        return (await self.chain.head()).hash


@pytest.fixture
async def site(anvil: AnvilServer) -> AsyncIterator[Site]:
    site = Site(anvil)
    yield site
    await site.providers.close()


async def test_the_caps_of_an_operator_and_of_the_contract_fall_with_what_is_paid(
    site: Site,
) -> None:
    lane = address_of(LANE)
    before = await site.head()
    record = encode_records([PaymentRecord(7, BEN, 400_000)])
    site.onchain.send(site.onchain.contract, "settle(bytes)", record)  # by the admin
    facts = await site.contract.facts(before, [7], lane)
    assert (facts.operator_left, facts.contract_left) == (CAP_UNITS, CAP_UNITS)
    assert list(facts.used) == [False]
    facts = await site.contract.facts(await site.head(), [7, 8], lane)
    assert facts.operator_left == CAP_UNITS
    assert facts.contract_left is not None
    assert 600_000 <= facts.contract_left < 600_100  # a little was refilled by the second
    assert list(facts.used) == [True, False]


async def test_who_is_no_operator_has_nothing_left(site: Site) -> None:
    facts = await site.contract.facts(await site.head(), [], BEN)
    assert facts.operator_left == 0


async def test_pauses_of_contract_and_token_are_told_apart(site: Site) -> None:
    facts = await site.contract.facts(await site.head(), [])
    assert (facts.paused, facts.token_paused) == (False, False)
    site.onchain.send(site.onchain.token, "pause()")
    facts = await site.contract.facts(await site.head(), [])
    assert (facts.paused, facts.token_paused) == (False, True)
    site.onchain.send(site.onchain.contract, "pause()")
    facts = await site.contract.facts(await site.head(), [])
    assert (facts.paused, facts.token_paused) == (True, True)


async def test_a_payment_that_the_token_refuses_has_its_reason(site: Site) -> None:
    assert await site.contract.refusal(await site.head(), BEN, 5) is None
    site.onchain.send(site.onchain.token, "deny(address)", BEN)
    refusal = await site.contract.refusal(await site.head(), BEN, 5)
    assert refusal is not None
    assert not refusal.burnt_gas
    assert refusal.reason[16:36] == BEN


async def test_a_payment_that_burns_all_its_gas_is_told_from_a_refused_one(site: Site) -> None:
    site.onchain.send(site.onchain.token, "setBomb(address,bool)", BEN, True)
    head = await site.head()
    refusal = await site.contract.refusal(head, BEN, 5)
    assert refusal is not None
    assert refusal.burnt_gas
    assert await site.contract.refusal(head, Address(b"\xaa" * 20), 5) is None
    calldata = settle_calldata([PaymentRecord(1, BEN, 5), PaymentRecord(2, address_of(LANE), 5)])
    outcomes = await site.contract.simulate(head, address_of(LANE), calldata, settle_gas(2))
    assert outcomes == b"\x01\x00"


@pytest.mark.parametrize("slot", IMPLEMENTATION_SLOTS)
async def test_the_tokens_code_is_that_of_what_a_proxy_runs(site: Site, slot: int) -> None:
    token, anvil = f"0x{site.onchain.token.hex()}", site.onchain.anvil
    first = await site.contract.token_code(await site.head())
    assert await site.contract.token_code(await site.head()) == first
    implementation = "0x" + "77" * 20
    anvil.rpc("anvil_setStorageAt", token, hex(slot), f"0x{'00' * 12}{'77' * 20}")
    anvil.mine()
    second = await site.contract.token_code(await site.head())
    anvil.rpc("anvil_setCode", implementation, "0x6001")
    anvil.mine()
    third = await site.contract.token_code(await site.head())
    assert len({first, second, third}) == 3


def test_the_slots_of_proxies_are_those_of_the_standards() -> None:
    known = {
        0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC,
        0xA3F0AD74E5423AEBFD80D3EF4346578335A9A72AEAEE59FF6CB3582B35133D50,
        0x7050C9E0F4CA769C69BD3A8EF740BC37934F8E2C036E5A723FD8EE048ED3F8C3,
    }
    assert set(IMPLEMENTATION_SLOTS) == known
