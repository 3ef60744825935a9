"""A holder that stood still beyond its lease: real processes, one stopped and let go on again."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.mirrored import MirroredNode
from tests.onchain import LANE, address_of

_ROOT = Path(__file__).parents[2]
_LIMIT_S = 120
"""A holder that is stopped in a transaction keeps its rows until the database ends its session."""


class Worker:
    """A worker process and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, node: MirroredNode, owner: str) -> "Worker":
        """A process of its own over the node's lane."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.services.lane_process",
            node.database_url,
            node.onchain.anvil.rpc_url,
            f"0x{node.onchain.contract.hex()}",
            f"0x{node.onchain.token.hex()}",
            owner,
            cwd=_ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        return cls(process)

    def send(self, number: signal.Signals) -> None:
        """Stop it, or let it go on."""
        os.kill(self.process.pid, number)

    async def passes_awake(self, count: int) -> None:
        """Wait for so many passes after it was let go on; those before are not counted."""
        async with asyncio.timeout(_LIMIT_S):
            while await self._line() != b"awake\n":
                pass
            for _ in range(count):
                await self._line()

    async def _line(self) -> bytes:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, "the worker has ended"
        return line

    async def end(self) -> None:
        """Kill it."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition, but not for ever."""
    async with asyncio.timeout(_LIMIT_S):
        while not await holds():  # noqa: ASYNC110 - the database tells of nothing
            await asyncio.sleep(0.05)


async def test_a_holder_that_slept_beyond_its_lease_does_nothing_when_it_wakes(
    node: MirroredNode,
) -> None:
    async def holder() -> str | None:
        rows = await node.rows("SELECT lease_owner FROM lane")
        return str(rows[0]["lease_owner"]) if rows else None

    async def written() -> int:
        return int((await node.rows("SELECT count(*) FROM slot"))[0]["count"])

    sleeper = await Worker.start(node, "sleeper")
    successor = None
    try:
        await until(lambda: _is(holder, "sleeper"))
        first = await node.funded(3)
        await until(lambda: _is(written, 3))
        sleeper.send(signal.SIGSTOP)
        successor = await Worker.start(node, "successor")
        await until(lambda: _is(holder, "successor"))  # its lease ended; its lock has not
        second = await node.funded(3)
        await until(lambda: _is(written, 6))
        epochs = await node.rows("SELECT epoch FROM lane")
        sleeper.send(signal.SIGCONT)
        await sleeper.passes_awake(5)
        assert await holder() == "successor"
        assert await node.rows("SELECT epoch FROM lane") == epochs
        node.mine(1)
        nonces = [each["nonce"] for each in await node.rows("SELECT nonce FROM slot ORDER BY 1")]
        assert nonces == list(range(6))
        assert node.onchain.nonce() == 6
        wanted = sorted(
            ("0x" + each.beneficiary_address.hex(), each.amounts.buy) for each in [*first, *second]
        )
        assert sorted(node.onchain.payouts()) == wanted
        (lane,) = await node.rows("SELECT address FROM lane")
        assert lane["address"] == address_of(LANE)
    finally:
        await sleeper.end()
        if successor is not None:
            await successor.end()


async def _is(find: Callable[[], Awaitable[object]], wanted: object) -> bool:
    return await find() == wanted
