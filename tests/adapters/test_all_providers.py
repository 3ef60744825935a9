"""What is asked of all providers at once: who has a say, and how long each is waited for."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from adapters.evm.provider import SLOW_S
from adapters.evm.rpc import Call, JsonRpc, Providers
from node.core.errors import ChainUnavailable
from tests.adapters.lying_rpc import CLOSE, HANG, Lie, LimitedRpc, honest, lying
from tests.adapters.reading import Site
from tests.adapters.test_breaker import HandClock
from tests.onchain import ADMIN, LANE, address_of
from tests.rig import AnvilServer

CHAIN_ID = 31337


class Timed(LimitedRpc):
    """Notes how long each batch would be waited for; None: as long as any answer."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.patience_s: list[float | None] = []

    async def batch(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> list[Any]:
        self.patience_s.append(timeout_s)
        return await super().batch(calls, timeout_s=timeout_s)


async def test_one_that_hangs_is_waited_for_once_and_then_no_longer_than_for_a_probe(
    anvil: AnvilServer,
) -> None:
    """A finality step asks everybody; one that hangs must not hold up each of them."""
    clock = HandClock()
    async with lying(anvil.rpc_url) as hanging:
        timed = Timed(hanging.url)
        providers = Providers([timed, JsonRpc(anvil.rpc_url)], chain_id=CHAIN_ID, now_s=clock)
        question = [("eth_getBlockByNumber", ["latest", False])]
        assert len(await providers.batch_of_each(question)) == 2
        hanging.lie = lambda method, _: HANG if method == "eth_getBlockByNumber" else None
        timed.hangs = lambda method: method == "eth_getBlockByNumber"
        for _ in range(3):
            assert list(await providers.batch_of_each(question)) == [JsonRpc(anvil.rpc_url).name]
        hanging.lie, timed.hangs = honest, lambda _: False
        assert len(await providers.batch_of_each(question)) == 2
        clock.seconds += SLOW_S
        assert len(await providers.batch_of_each(question)) == 2
        first, hung, *probes, last = timed.patience_s
        assert (first, hung, last) == (None, None, None)
        assert probes
        assert all(each is not None and each <= 2 for each in probes)
        await providers.close()


async def test_one_of_another_chain_has_no_say_where_all_are_asked(
    anvil: AnvilServer, start_anvil: Callable[..., AnvilServer]
) -> None:
    stranger = start_anvil()
    stranger.rpc("anvil_setChainId", 5)
    providers = Providers.at([anvil.rpc_url, stranger.rpc_url], chain_id=CHAIN_ID)
    told = await providers.batch_of_each([("eth_blockNumber", [])])
    assert list(told) == [providers.all[0].name]
    await providers.close()


# ------------------------------------------------------------------------------------- behind


def standing_still(site: Site) -> None:
    """The second provider stays where it is; the chain goes on by more than is forgiven."""
    rpc, head = site.anvil.rpc, int(site.anvil.rpc("eth_blockNumber"), 16)
    old = {tag: rpc("eth_getBlockByNumber", tag, False) for tag in ("latest", "finalized")}
    nonce = rpc("eth_getTransactionCount", ADMIN, "latest")

    def told(method: str, params: Any) -> Any:
        if method == "eth_blockNumber":
            return {"result": hex(head)}
        if method == "eth_getBlockByNumber" and params[0] in old:
            return {"result": old[params[0]]}
        if method == "eth_getBlockByNumber" and int(params[0], 16) > head:
            return {"result": None}
        if method == "eth_getBlockByHash":
            block = rpc(method, *params)
            return {"result": block if int(block["number"], 16) <= head else None}
        if method in ("eth_getTransactionCount", "eth_getBalance"):
            return {"result": nonce}  # of its newest block, whatever block it was asked about
        return None

    site.second.lie = told
    rpc("anvil_mine", hex(100))
    site.clock.seconds += 5


async def test_one_that_stands_still_holds_up_neither_finality_nor_what_is_agreed_on(
    site: Site,
) -> None:
    before = await site.reader.finalized_number()
    site.onchain.send(site.onchain.token, "mint(address,uint256)", ADMIN, 1)
    standing_still(site)
    site.onchain.send(site.onchain.token, "mint(address,uint256)", ADMIN, 1)
    site.anvil.rpc("anvil_mine", hex(100))
    head = await site.reader.head()
    tagged = site.anvil.rpc("eth_getBlockByNumber", "finalized", False)["number"]
    assert await site.reader.finalized_number() == int(tagged, 16)
    assert int(tagged, 16) > (before or 0)
    account = [address_of(ADMIN)]
    honest = await site.reader.nonces(account, head.hash)
    assert await site.reader.agreed_nonces(account, head.hash) == honest
    held = await site.reader.native_balances(account, head.hash)
    assert await site.reader.agreed_native_balances(account, head.hash) == held
    assert [each.behind_blocks > 3 for each in site.providers.health()] == [False, True]


async def test_one_that_stands_still_is_told_of_once_and_heard_again_when_it_caught_up(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    standing_still(site)
    still = asked_alone(site.second.lie)
    for _ in range(3):
        assert await site.reader.finalized_number() != still
    assert capsys.readouterr().out.count("provider is behind") == 1
    site.second.lie = honest
    site.lie("eth_getBlockByNumber", lambda _: None)
    tagged = site.anvil.rpc("eth_getBlockByNumber", "finalized", False)["number"]
    assert await site.reader.finalized_number() == int(tagged, 16)
    assert capsys.readouterr().out.count("provider caught up") == 1


def asked_alone(lie: Lie) -> int:
    return int(lie("eth_getBlockByNumber", ["finalized", False])["result"]["number"], 16)


async def test_one_that_stands_still_is_heard_where_nobody_else_is_left(site: Site) -> None:
    standing_still(site)
    still = asked_alone(site.second.lie)
    await site.reader.head()
    site.first.lie = lambda _method, _params: CLOSE
    assert await site.reader.finalized_number() == still


async def test_one_that_is_behind_still_bears_witness_to_the_blocks_it_has(site: Site) -> None:
    """Else one of two could overrule the other by telling of a head far above it."""
    own = (await site.header()).hash
    standing_still(site)
    site.lie("eth_getBlockByNumber", lambda block: {**block, "hash": "0x" + "13" * 32})
    told = await site.reader.hashes_at(site.number)
    assert sorted(told.values()) == sorted([own, b"\x13" * 32])


async def test_one_that_is_behind_is_heard_about_the_state_of_blocks_it_has(site: Site) -> None:
    """A far head that one of two boasts of must not make it the only one that is heard."""
    block, account = (await site.header()).hash, [address_of(ADMIN)]
    standing_still(site)
    stands = asked_nonce(site.second.lie)
    site.lie("eth_getTransactionCount", lambda _: hex(stands + 1))
    with pytest.raises(ChainUnavailable, match="differ about the nonces"):
        await site.reader.agreed_nonces(account, block)
    site.lie("eth_getTransactionCount", lambda _: hex(stands))
    assert await site.reader.agreed_nonces(account, block) == [stands]


def asked_nonce(lie: Lie) -> int:
    return int(lie("eth_getTransactionCount", [ADMIN, "latest"])["result"], 16)


async def test_what_providers_say_of_a_number_says_also_how_far_they_are(site: Site) -> None:
    own = await site.header()
    names = [each.name for each in site.providers.all]
    stood = int(site.anvil.rpc("eth_blockNumber"), 16)
    standing_still(site)
    told = await site.reader.witnesses(stood + 5)
    first, second = (told[name] for name in names)
    assert (first.hash is not None, first.newest) == (True, stood + 100)
    assert (second.hash, second.newest) == (None, stood)
    site.lie("eth_getBlockByNumber", lambda _: None)
    told = await site.reader.witnesses(own.number)  # boasts, and has not even this one
    assert (told[names[0]].hash, told[names[0]].newest) == (None, own.number - 1)
    assert told[names[1]].hash == own.hash
    site.first.lie = lambda _method, _params: CLOSE
    assert list(await site.reader.witnesses(own.number)) == [names[1]]


async def test_balances_are_agreed_on_or_nobody_is_believed(site: Site) -> None:
    head, account = await site.reader.head(), [address_of(ADMIN), address_of(LANE)]
    held = await site.reader.native_balances(account, head.hash)
    assert await site.reader.agreed_native_balances(account, head.hash) == held
    site.lie("eth_getBalance", lambda told: hex(int(told, 16) + 1))
    with pytest.raises(ChainUnavailable, match="differ about the balances"):
        await site.reader.agreed_native_balances(account, head.hash)
    site.lie("eth_getBalance", lambda _: None)
    assert await site.reader.agreed_native_balances(account, head.hash) == held
    site.second.lie = site.first.lie
    with pytest.raises(ChainUnavailable, match="no provider"):
        await site.reader.agreed_native_balances(account, head.hash)
