"""Settlement behind providers and signers that misbehave: nobody is paid twice, no nonce is lost.

What a provider or signer may say at all is in `tests/adapters`; here the whole job runs.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from adapters.evm.client import EvmChain
from adapters.evm.contract import EvmSettlementContract
from adapters.evm.remote_signer import RemoteSigner
from adapters.evm.rpc import ProviderRules, Providers
from adapters.evm.signer import KeystoreSigner
from node.core.errors import ChainUnavailable, SignerUnavailable
from node.core.settlement import BatchRules, LaneStatus
from node.core.signing import KeyRole, SigningFacts, SigningPolicy
from node.core.transfers import State
from node.services.settlement.settling import SettlementService
from tests.adapters.lying_rpc import LyingRpc, lying
from tests.builders import CHAIN_ID
from tests.onchain import LANE, LANE_KEY, address_of
from tests.rig import AnvilServer
from tests.services.settling import MakeRig, Rig

RULES = ProviderRules(heads_every_s=0)


class Bench:
    """A node that reaches its chain through two providers, either of which may lie."""

    def __init__(self, rig: Rig, first: LyingRpc, second: LyingRpc) -> None:
        self.rig, self.first, self.second = rig, first, second
        self.providers = self.through(first, second)

    @staticmethod
    def through(*servers: LyingRpc) -> Providers:
        urls = [each.url for each in servers]
        return Providers.at(urls, chain_id=CHAIN_ID, rules=RULES)

    def worker(self, providers: Providers | None = None, **parts: Any) -> SettlementService:
        chain = EvmChain(providers or self.providers)
        onchain = self.rig.onchain
        contract = EvmSettlementContract(chain, onchain.contract, onchain.token)
        made = replace(self.rig.parts(chain=chain), contract=contract, **parts)
        return SettlementService(made)


@pytest.fixture
async def bench(make_rig: MakeRig, anvil: AnvilServer) -> AsyncIterator[Bench]:
    rig = await make_rig(anvil)
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(lying(anvil.rpc_url)) for _ in range(2)]
        bench = Bench(rig, first, second)
        stack.push_async_callback(bench.providers.close)
        yield bench


async def test_a_provider_that_refuses_every_send_costs_neither_lane_nor_nonce(
    bench: Bench,
) -> None:
    bench.first.lie = lambda method, _: 403 if method == "eth_sendRawTransaction" else None
    bench.rig.rules = BatchRules(payments_max=2, wait_ms=0)
    transfers = await bench.rig.funded(6)
    await bench.rig.settle(bench.worker(), transfers)
    bench.rig.assert_each_paid_once(transfers)
    slots = await bench.rig.slots()
    assert [(each["nonce"], each["tries"]) for each in slots] == [(0, 1), (1, 1), (2, 1)]
    assert (await bench.rig.lane()).status is LaneStatus.ACTIVE
    refusing, taking = bench.providers.health()
    assert refusing.failures_total > 0
    assert (refusing.state, taking.failures_total) == ("closed", 0)
    assert await bench.rig.states(transfers) == {State.SUBMITTED}


async def test_nonces_and_heads_that_jump_back_make_no_second_slot_and_no_rollback(
    bench: Bench,
) -> None:
    """Servers of several ages behind one name: each answer is of another of them."""
    count = iter(range(10_000))

    def stale(method: str, params: Any) -> Any:
        late = next(count) % 4
        if method == "eth_getTransactionCount" and params[1] in ("latest", "pending"):
            seen = int(bench.rig.onchain.anvil.rpc(method, *params), 16)
            return {"result": hex(max(0, seen - late))}
        return None

    bench.first.lie = bench.second.lie = stale
    bench.rig.rules = BatchRules(payments_max=1, wait_ms=0)
    transfers = await bench.rig.funded(16)
    await bench.rig.settle(bench.worker(), transfers)
    bench.rig.assert_each_paid_once(transfers)
    slots = await bench.rig.slots()
    assert [each["nonce"] for each in slots] == list(range(16))
    assert (await bench.rig.lane()).status is LaneStatus.ACTIVE
    assert bench.rig.onchain.nonce() == 16


async def test_a_chain_that_becomes_another_has_nothing_written_nor_signed(bench: Bench) -> None:
    anvil = bench.rig.onchain.anvil
    worker = bench.worker()
    paid = await bench.rig.funded(1)
    await bench.rig.settle(worker, paid)
    anvil.rpc("anvil_setChainId", 1)
    waiting = await bench.rig.funded(3)
    for _ in range(3):
        with pytest.raises(ChainUnavailable):
            await worker.run_once()
    assert [each["nonce"] for each in await bench.rig.slots()] == [0]
    assert await bench.rig.states(waiting) == {State.FUNDED}
    assert [each.state for each in bench.providers.health()] == ["quarantined"] * 2
    anvil.rpc("anvil_setChainId", CHAIN_ID)
    with pytest.raises(ChainUnavailable):  # for good: an operator looks, and starts it again
        await worker.run_once()
    await bench.rig.kill()
    started_again = bench.through(bench.first, bench.second)
    await bench.rig.settle(bench.worker(started_again), [*paid, *waiting])
    bench.rig.assert_each_paid_once([*paid, *waiting])
    await started_again.close()


async def test_one_provider_of_another_chain_changes_nothing_for_the_rest(bench: Bench) -> None:
    bench.first.lie = lambda method, _: {"result": "0x1"} if method == "eth_chainId" else None
    transfers = await bench.rig.funded(3)
    await bench.rig.settle(bench.worker(), transfers)
    bench.rig.assert_each_paid_once(transfers)
    assert "eth_sendRawTransaction" not in bench.first.asked
    assert [each.state for each in bench.providers.health()] == ["quarantined", "closed"]


# ------------------------------------------------------------------------------------- signers


async def stopped_because(rig: Rig) -> str:
    ((status, reason),) = await rig.rows("SELECT status, status_reason FROM lane")
    assert status == LaneStatus.STOPPED.value
    return str(reason)


async def test_a_lane_whose_key_is_elsewhere_pays_like_any(bench: Bench) -> None:
    anvil = bench.rig.onchain.anvil
    (signer,) = RemoteSigner.at(anvil.rpc_url, [address_of(LANE)], None)
    transfers = await bench.rig.funded(5)
    await bench.rig.settle(bench.worker(signer=signer), transfers)
    bench.rig.assert_each_paid_once(transfers)
    await signer.close()


async def test_what_a_lying_signer_signs_is_neither_stored_nor_sent(bench: Bench) -> None:
    honest = KeystoreSigner.of_key(LANE_KEY)
    async with lying(bench.rig.onchain.anvil.rpc_url) as server:
        (signer,) = RemoteSigner.at(server.url, [address_of(LANE)], None)

        def elsewhere(method: str, params: Any) -> Any:
            if method != "eth_signTransaction":
                return None
            stolen = {**params[0], "nonce": hex(int(params[0]["nonce"], 16) + 1)}
            raw = bench.rig.onchain.anvil.rpc("eth_signTransaction", stolen)
            return {"result": raw}

        server.lie = elsewhere
        transfers = await bench.rig.funded(2)
        await bench.worker(signer=signer).run_once()
        assert "signed another nonce than it was asked" in await stopped_because(bench.rig)
        (slot,) = await bench.rig.slots()
        assert (slot["nonce"], slot["tries"]) == (0, 0)
        assert bench.rig.onchain.nonce() == 0
        await bench.rig.kill()
        async with bench.rig.node.units() as unit:
            await unit.settlement.restart_lanes(CHAIN_ID)
        await bench.rig.settle(bench.worker(signer=honest), transfers)
        bench.rig.assert_each_paid_once(transfers)
        await signer.close()


async def test_a_key_s_rule_is_asked_before_the_signer_is(bench: Bench) -> None:
    async with lying(bench.rig.onchain.anvil.rpc_url) as server:
        (signer,) = RemoteSigner.at(server.url, [address_of(LANE)], None)
        facts = SigningFacts(
            chain_id=CHAIN_ID,
            contract=bench.rig.onchain.token,  # not the contract that is paid through
            token=bench.rig.onchain.token,
            treasury=None,
            own=frozenset(),
            fee_max_wei=10**12,
        )
        policy = SigningPolicy(KeyRole.SETTLE, address_of(LANE), facts)
        await bench.rig.funded(1)
        await bench.worker(signer=signer, policy=policy).run_once()
        assert "does not sign this" in await stopped_because(bench.rig)
        assert "eth_signTransaction" not in server.asked
        await signer.close()


async def test_a_signer_that_is_away_leaves_the_nonce_for_when_it_is_back(bench: Bench) -> None:
    async with lying(bench.rig.onchain.anvil.rpc_url) as server:
        (signer,) = RemoteSigner.at(server.url, [address_of(LANE)], None)
        server.lie = lambda _method, _params: 503
        worker = bench.worker(signer=signer)
        transfers = await bench.rig.funded(2)
        for _ in range(3):
            with pytest.raises(SignerUnavailable):
                await worker.run_once()
        server.lie = lambda _method, _params: None
        await bench.rig.settle(worker, transfers)
        bench.rig.assert_each_paid_once(transfers)
        assert [each["nonce"] for each in await bench.rig.slots()] == [0]
        await signer.close()
