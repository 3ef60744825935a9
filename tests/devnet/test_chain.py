"""What a fresh local chain holds before a node first looks at it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.evm.client import EvmChain
from adapters.evm.deposits import factory_code_hash
from adapters.evm.rpc import Providers
from adapters.fx import EcbRates, build_sources
from adapters.machine import SystemClock
from node.core.units import Address
from node.devnet.chain import set_up
from node.devnet.state import StateDirectory
from tests.rig import AnvilServer


@dataclass(frozen=True)
class Made:
    """A chain and the addresses on it."""

    rpc_url: str
    addresses: dict[str, Any]


@pytest.fixture
def made(start_anvil: Callable[..., AnvilServer], tmp_path: Path) -> Made:
    anvil = start_anvil(automine=False)
    state = StateDirectory(tmp_path / "state")
    state.prepare(made_by="devnet")
    [addresses] = set_up([state], anvil.rpc_url)
    return Made(anvil.rpc_url, addresses)


async def test_its_deposit_addresses_send_to_its_settlement_contract(made: Made) -> None:
    providers = Providers.at([made.rpc_url])
    chain = EvmChain(providers)
    deposits, settlement = (
        Address(bytes.fromhex(made.addresses[name][2:])) for name in ("deposits", "settlement")
    )
    assert await chain.code_hash(deposits, "latest") == factory_code_hash(settlement)
    await providers.close()


async def test_its_price_feeds_say_what_the_ecb_says_and_that_a_coin_is_worth_a_dollar(
    made: Made,
) -> None:
    feeds = made.addresses["price_feeds"].items()
    providers = Providers.at([made.rpc_url])
    [source] = build_sources(
        "chainlink:max_age_s=0" + "".join(f";{pair}={address}" for pair, address in feeds),
        sandbox=True,
        clock=SystemClock(),
        chain=EvmChain(providers),
    )
    euro, coin = await source.rates()
    await providers.close()
    [ecb] = [rate for rate in await EcbRates().rates() if rate.buy == "USD"]
    assert (euro.sell, euro.buy, euro.observed_at) == ("EUR", "USD", ecb.observed_at)
    assert euro.numerator * ecb.denominator == ecb.numerator * euro.denominator
    assert (coin.sell, coin.buy, coin.text) == ("USDC", "USD", "1.00000000")
