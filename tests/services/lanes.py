"""Several lanes of one node over a real chain, worked in one process or as if in several."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from adapters.evm.signer import KeystoreSigner
from node.core.ports.settlement import Lane
from node.core.ports.transfers import Transfer
from node.core.settlement import BatchRules
from node.core.submission import FeeRules
from node.core.transfers import State
from node.services.settlement.settling import SettlementService
from node.store.lane_lock import AdvisoryLaneLock
from tests.builders import CHAIN_ID
from tests.mirrored import DEPTH_BLOCKS, MirroredNode
from tests.onchain import LANE, LANE_2, LANE_2_KEY, LANE_KEY, address_of
from tests.rig import AnvilServer

SLOTS_MAX = 16
PASSES_MAX = 120
KEYS = {LANE: LANE_KEY, LANE_2: LANE_2_KEY}


@dataclass
class Fleet:
    """A node with two lanes.

    Attributes:
        one_process: Whether lanes share what the lanes of a process share.
    """

    node: MirroredNode
    one_process: bool = True
    batches: BatchRules = field(default_factory=lambda: BatchRules(payments_max=2, wait_ms=0))
    fees: FeeRules = field(default_factory=FeeRules)

    @classmethod
    async def open(cls, database_url: str, anvil: AnvilServer, **deploy: Any) -> "Fleet":
        """A chain that mines only when told, with both lanes as operators."""
        return cls(await MirroredNode.open(database_url, anvil, lanes=(LANE, LANE_2), **deploy))

    def workers(self, **replaced: Mapping[str, Any]) -> list[SettlementService]:
        """A worker per lane, each with a lock of its own; those before are not touched.

        Args:
            replaced: Parts by `first` and `second` that differ.
        """
        writing = asyncio.Lock()
        found = []
        for place, key in zip(("first", "second"), KEYS.values(), strict=True):
            lock = AdvisoryLaneLock(self.node.database_url)
            self.node.locks.append(lock)
            parts = replace(self.node._parts(key, lock), batches=self.batches, fees=self.fees)
            if self.one_process:
                parts = replace(parts, writing=writing)
            found.append(SettlementService(replace(parts, **replaced.get(place, {}))))
        return found

    async def kill(self) -> None:
        """Every worker so far is gone, as with its process."""
        for each in self.node.locks:
            await each.release()
        self.node.locks.clear()

    async def lane(self, text: str) -> Lane:
        """A lane's row."""
        async with self.node.ledger.units() as unit:
            found = await unit.settlement.lane(CHAIN_ID, address_of(text))
        assert found is not None
        return found

    async def nonces(self) -> dict[str, list[int]]:
        """Nonces that were given out, per lane."""
        rows = await self.node.rows(
            "SELECT l.address, s.nonce FROM slot s JOIN lane l ON l.id = s.lane_id ORDER BY s.nonce"
        )
        return {
            text: [row["nonce"] for row in rows if row["address"] == address_of(text)]
            for text in KEYS
        }

    async def unmined(self) -> dict[str, int]:
        """How many transactions are under way, per lane, as the chain has it."""
        return {
            text: self._chain_nonce(text, "pending") - self._chain_nonce(text, "latest")
            for text in KEYS
        }

    def _chain_nonce(self, text: str, tag: str) -> int:
        return int(self.node.onchain.anvil.rpc("eth_getTransactionCount", text, tag), 16)

    async def settle(
        self, workers: Sequence[SettlementService], transfers: Sequence[Transfer]
    ) -> None:
        """Pass with all at once, mine and mirror until every transfer is settled."""
        for _ in range(PASSES_MAX):
            await asyncio.gather(*(each.run_once() for each in workers))
            assert max((await self.unmined()).values()) <= SLOTS_MAX
            self.node.mine(1)
            await self.node.follow()
            if await self.node.states(transfers) == {State.SETTLED}:
                return
        raise AssertionError(f"not settled: {await self.node.again(transfers)}")

    async def finality(self) -> None:
        """What is in the pool becomes final."""
        self.node.mine(1 + DEPTH_BLOCKS)
        await self.node.follow()

    async def assert_paid_once(self, transfers: Sequence[Transfer]) -> None:
        """Each beneficiary got its amount once; nonces of each lane are without gaps."""
        wanted = sorted(
            ("0x" + each.beneficiary_address.hex(), each.amounts.buy) for each in transfers
        )
        assert sorted(self.node.onchain.payouts()) == wanted
        for text, nonces in (await self.nonces()).items():
            assert nonces == list(range(len(nonces)))
            assert self._chain_nonce(text, "latest") == len(nonces)


def signer_of(text: str) -> KeystoreSigner:
    """The signer of a lane."""
    return KeystoreSigner.of_key(KEYS[text])
