"""What the mirror is measured beside: the same logs read raw, by hand, and with web3.py alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Final

import asyncpg
import httpx
import orjson
import uvloop
from web3 import HTTPProvider, Web3

from adapters.evm.artifacts import load
from adapters.evm.decode import TRANSFER_TOPIC, token_log

_TABLE: Final = """
CREATE TABLE plain_event (
    block_hash bytea, log_index integer, block_number bigint, tx_hash bytea, from_address bytea,
    to_address bytea, amount numeric(78, 0), PRIMARY KEY (block_hash, log_index))
"""
_ROW: Final = "INSERT INTO plain_event VALUES ($1, $2, $3, $4, $5, $6, $7)"


def spans(first: int, last: int, blocks: int) -> Sequence[tuple[int, int]]:
    """The numbers from `first` to `last`, so many at a time."""
    return [(start, min(start + blocks - 1, last)) for start in range(first, last + 1, blocks)]


def raw(url: str, token: str, ranges: Sequence[tuple[int, int]]) -> tuple[int, float]:
    """Bytes of the answers, and events per second when nobody looks into them."""
    bodies, seconds = _fetch(url, token, ranges)
    events = sum(body.count(b'"logIndex"') for body in bodies)
    return events, events / seconds


def by_hand(url: str, token: str, ranges: Sequence[tuple[int, int]]) -> float:
    """Events per second with orjson and the node's own decoding; nothing is kept."""
    began_s = time.perf_counter()
    bodies, _ = _fetch(url, token, ranges)
    events = [token_log(log) for body in bodies for log in orjson.loads(body)["result"]]
    return len(events) / (time.perf_counter() - began_s)


def loop(
    url: str,
    database_url: str,
    token: str,
    ranges: Sequence[tuple[int, int]],
    *,
    grouped: bool = False,
) -> float:
    """Events per second of the program one writes first: `process_log`, and a row per event.

    Each row is committed as it is written, as a plain `execute` does; `grouped`: all rows of a
    range in one transaction, which is kinder to it.
    """
    return uvloop.run(_loop(url, database_url, token, ranges, grouped=grouped))


async def _loop(
    url: str,
    database_url: str,
    token: str,
    ranges: Sequence[tuple[int, int]],
    *,
    grouped: bool,
) -> float:
    web3 = Web3(HTTPProvider(url, request_kwargs={"proxies": {"http": "", "https": ""}}))
    address = Web3.to_checksum_address(token)
    event = web3.eth.contract(address=address, abi=load("TestUSD").abi).events.Transfer()
    connection = await asyncpg.connect(database_url)
    events = 0
    try:
        await connection.execute(_TABLE)
        began_s = time.perf_counter()
        for first, last in ranges:
            logs = web3.eth.get_logs(
                {
                    "fromBlock": first,
                    "toBlock": last,
                    "address": address,
                    "topics": [TRANSFER_TOPIC],
                }
            )
            async with connection.transaction() if grouped else nullcontext():
                for log in logs:
                    await connection.execute(_ROW, *_row(event.process_log(log)))
                    events += 1
        return events / (time.perf_counter() - began_s)
    finally:
        await connection.close()


def _row(found: Any) -> tuple[Any, ...]:
    return (
        bytes(found["blockHash"]),
        found["logIndex"],
        found["blockNumber"],
        bytes(found["transactionHash"]),
        bytes.fromhex(found["args"]["from"][2:]),
        bytes.fromhex(found["args"]["to"][2:]),
        found["args"]["value"] if "value" in found["args"] else found["args"]["amount"],
    )


def _fetch(url: str, token: str, ranges: Sequence[tuple[int, int]]) -> tuple[list[bytes], float]:
    bodies = []
    with httpx.Client(trust_env=False, timeout=60) as client:
        began_s = time.perf_counter()
        for first, last in ranges:
            asked = {
                "fromBlock": hex(first),
                "toBlock": hex(last),
                "address": token,
                "topics": [TRANSFER_TOPIC],
            }
            body = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [asked]}
            bodies.append(client.post(url, json=body).content)
        return bodies, time.perf_counter() - began_s
