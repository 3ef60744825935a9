"""A chain with one block worth reading, and two providers that may lie about it."""

from collections.abc import Callable, Sequence
from typing import Any

from adapters.evm.reader import EvmReader
from adapters.evm.rpc import Providers
from node.core.mirror import BlockHeader, Facts, Watch
from tests.adapters.lying_rpc import LimitedRpc, LyingRpc
from tests.adapters.test_breaker import HandClock
from tests.onchain import ADMIN, LANE, OnChain, address_of
from tests.rig import AnvilServer

CHAIN_ID = 31337


class Site:
    """A block with a transfer in and one of a stranger, and two providers that may lie."""

    def __init__(self, anvil: AnvilServer, first: LyingRpc, second: LyingRpc) -> None:
        self.anvil, self.first, self.second = anvil, first, second
        self.clock = HandClock()
        self.onchain = OnChain.deploy(anvil)
        self.onchain.send(self.onchain.token, "mint(address,uint256)", ADMIN, 500)
        anvil.rpc("evm_setAutomine", False)
        for to, amount in ((LANE, 1), (LANE, 2), ("0x" + "99" * 20, 3)):
            sent = {"from": ADMIN, "to": "0x" + self.onchain.token.hex(), "gas": hex(200_000)}
            call = f"0xa9059cbb{to[2:].lower():0>64}{amount:064x}"  # transfer(address,uint256)
            anvil.rpc("eth_sendTransaction", {**sent, "data": call})
        anvil.mine()
        anvil.mine()
        self.number = int(anvil.rpc("eth_blockNumber"), 16) - 1
        self.clients = [LimitedRpc(each.url) for each in (first, second)]
        self.providers = Providers(self.clients, chain_id=CHAIN_ID, now_s=self.clock)
        addresses = frozenset({self.onchain.contract, address_of(LANE)})
        self.watch = Watch(
            CHAIN_ID, self.onchain.contract, self.onchain.token, "USDC", "ETH", addresses
        )
        self.reader = EvmReader(self.providers, self.watch)

    @property
    def doubts(self) -> list[str | None]:
        return [each.in_doubt for each in self.providers.health()]

    async def header(self) -> BlockHeader:
        (header,) = await self.reader.headers(self.number, self.number)
        return header

    async def by_hash(self) -> Sequence[Facts]:
        return await self.reader.facts([await self.header()])

    async def by_receipts(self) -> Sequence[Facts]:
        return await self.reader.facts_by_receipts([await self.header()])

    async def by_range(self) -> Sequence[Facts]:
        return await self.reader.facts_by_range(self.number - 1, self.number)

    def lie(self, method: str, change: Callable[[Any], Any]) -> None:
        """The first provider changes what it answers to this method."""
        rpc = self.anvil.rpc

        def told(asked: str, params: Any) -> Any:
            return {"result": change(rpc(asked, *params))} if asked == method else None

        self.first.lie = told


def each_log(**changed: Any) -> Callable[[Any], Any]:
    """Changes every log of a list."""
    return lambda logs: [{**log, **changed} for log in logs]
