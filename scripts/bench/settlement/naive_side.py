"""The naive program's settlement alone: one web3.py transfer per payment, its receipt awaited.

It is the `Treasury` of the naive program of `end_to_end.py`, on the same chain as the node, driven
by so many clients in this process. It keeps nothing, and recovers from nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from node.devnet.anvil import DEV_ACCOUNTS
from node.devnet.rpc import call
from scripts.bench.measure import BenchFailed
from scripts.bench.naive.treasury import Treasury
from scripts.bench.proof import balances, check_paid

_FLOAT_UNITS = 10**13
_MINT = "0x40c10f19"  # mint(address,uint256)
_GAS = 200_000
_RECEIPT_LIMIT_S = 30.0
_POLL_S = 0.1


def fund(rpc_url: str, token: str) -> None:
    """Mint the naive program's float: the first account of a devnet may mint."""
    account = DEV_ACCOUNTS[0][0]
    data = _MINT + account[2:].lower().rjust(64, "0") + f"{_FLOAT_UNITS:064x}"
    transaction = {"from": account, "to": token, "data": data, "gas": hex(_GAS)}
    tx_hash = call(rpc_url, "eth_sendTransaction", transaction)
    give_up_at_s = time.monotonic() + _RECEIPT_LIMIT_S
    while (receipt := call(rpc_url, "eth_getTransactionReceipt", tx_hash)) is None:
        if time.monotonic() > give_up_at_s:
            raise BenchFailed("the naive program's float was not mined")
        time.sleep(_POLL_S)
    if receipt["status"] != "0x1":
        raise BenchFailed("the naive program's float could not be minted")


def measure(
    rpc_url: str, token: str, *, clients: int, seconds: float, units: int, addresses: Sequence[str]
) -> float:
    """Payments per second of so many clients, proved by `balanceOf`.

    Raises:
        BenchFailed: Somebody got more or less than was sent.
    """
    before = balances(rpc_url, token, addresses)
    per_s, paid = asyncio.run(
        _pay(rpc_url, token, clients=clients, seconds=seconds, units=units, addresses=addresses)
    )
    check_paid(before, balances(rpc_url, token, addresses), paid)
    return per_s


async def _pay(
    rpc_url: str, token: str, *, clients: int, seconds: float, units: int, addresses: Sequence[str]
) -> tuple[float, Counter[str]]:
    treasury = Treasury(rpc_url=rpc_url, token=token, private_key=DEV_ACCOUNTS[0][1])
    paid: Counter[str] = Counter()
    began_s = time.monotonic()

    async def client(mine: Iterator[str]) -> None:
        while time.monotonic() - began_s < seconds:
            address = next(mine)
            await treasury.pay(address, units)
            paid[address] += units

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(client(_in_turn(addresses, number, clients)))
    finally:
        await treasury.close()
    return paid.total() / units / (time.monotonic() - began_s), paid


def _in_turn(addresses: Sequence[str], first: int, step: int) -> Iterator[str]:
    place = first
    while True:
        yield addresses[place % len(addresses)]
        place += step
