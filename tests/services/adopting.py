"""What tests of adoption do: copy a database, settle, act as a stranger, adopt."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from node.core.parties import Principal, Role
from node.core.ports.adoption import Adoption
from node.core.ports.idempotency import Answer
from node.core.ports.transfers import Transfer
from node.core.transfers import State
from node.services.settlement.adoption import AdoptionService
from node.services.settlement.settling import SettlementService
from tests.builders import render_error
from tests.mirrored import BUY, DEPTH_BLOCKS, MirroredNode
from tests.onchain import LANE
from tests.rig import PostgresServer
from tests.services.settling import Killed, killer

OLGA = Principal(Role.OPERATOR, "olga")
FEE_ABOVE_ALL = {"maxFeePerGas": hex(10**12), "maxPriorityFeePerGas": hex(10**11)}


class Copy:
    """A backup of a node's database."""

    def __init__(self, node: MirroredNode, server: PostgresServer) -> None:
        self._node = node
        self._server = server
        self._url = ""
        self._restored: MirroredNode | None = None

    async def make(self) -> MirroredNode:
        """Copy the database now; the node goes on over the original, by the value returned."""
        await self._node.close()
        self._url = self._server.copy_database(self._node.database_url)
        again = await self._node.at(self._node.database_url)
        # The fixture closes what it opened; both are the same object to it.
        self._node.__dict__.update(again.__dict__)
        return self._node

    async def restored(self) -> MirroredNode:
        """The node over the copy; whoever worked on the original is gone."""
        for lock in self._node.locks:
            await lock.release()
        self._restored = await self._node.at(self._url)
        return self._restored

    async def close(self) -> None:
        """Let go of the copy."""
        if self._restored is not None:
            await self._restored.close()


async def paid(node: MirroredNode, count: int, *, buy: int = BUY) -> Sequence[Transfer]:
    """So many new transfers, settled and final."""
    transfers = await node.ledger.funded(node.payer, count, sell_minor=100, buy_minor=buy)
    await settle(node, transfers)
    return transfers


async def settle(node: MirroredNode, transfers: Sequence[Transfer]) -> None:
    """Work, mine and follow until these are settled."""
    for _ in range(12):
        worker = await node.settlement()
        for _ in range(3):
            await worker.run_once()
        node.mine(1 + DEPTH_BLOCKS)
        await node.follow()
        if await node.states(transfers) == {State.SETTLED}:
            return
    raise AssertionError(f"not settled: {await node.again(transfers)}")


def by_a_stranger(node: MirroredNode, to: bytes | str, **transaction: str) -> None:
    """A transaction of the lane that the node did not write, dearer than all of the node's.

    It takes the lane's lowest nonce that is not mined, whatever waits there.
    """
    target = to if isinstance(to, str) else "0x" + to.hex()
    usual = {"from": LANE, "gas": hex(900_000), "nonce": hex(node.onchain.nonce())}
    node.onchain.anvil.rpc(
        "eth_sendTransaction", {**usual, **FEE_ABOVE_ALL, "to": target, **transaction}
    )


async def final(node: MirroredNode) -> None:
    """What waits is mined, final, and followed as far as the mirror goes."""
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()


async def written_unsigned(node: MirroredNode, count: int) -> Sequence[Transfer]:
    """So many transfers in a batch whose worker died before it signed."""
    transfers = await node.funded(count)
    worker = await node.settlement()
    parts = replace(worker._parts, failpoint=killer("after_write"))
    with pytest.raises(Killed):
        await SettlementService(parts).run_once()
    return transfers


async def slots_of(node: MirroredNode) -> list[tuple[object, ...]]:
    """Nonce, purpose, state and whether adopted, by age."""
    rows = await node.rows(
        "SELECT nonce, purpose, state, adopted FROM slot ORDER BY nonce, created_at"
    )
    return [tuple(row) for row in rows]


async def lane_of(node: MirroredNode) -> dict[str, object]:
    (row,) = await node.rows("SELECT * FROM lane WHERE role = 'settle'")
    return dict(row)


async def adopt(service: AdoptionService) -> Adoption:
    """Confirm, and what was written."""
    written: list[Adoption] = []

    def render(adoption: Adoption) -> Answer:
        written.append(adoption)
        return Answer(200, b"{}")

    await service.adopt(OLGA, claim=None, render=render, render_error=render_error)
    return written[-1]


async def resume(node: MirroredNode) -> None:
    async with node.ledger.units() as unit:
        await unit.settlement.resume(None, OLGA.key)


def addressees(transfers: Sequence[Transfer]) -> list[tuple[str, int]]:
    return sorted(("0x" + each.beneficiary_address.hex(), each.amounts.buy) for each in transfers)
