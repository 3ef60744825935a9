"""What the chain says was paid.

The benchmark believes `balanceOf`, not the programs that it measures.
"""

from __future__ import annotations

import hashlib
import http.client
from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import orjson

from scripts.bench.measure import BenchFailed

_BALANCE_OF = "0x70a08231"  # balanceOf(address), ERC-20
_CALLS_A_REQUEST = 250


def beneficiaries(count: int) -> list[str]:
    """So many addresses that nobody has the keys of, the same each time."""
    return [
        "0x" + hashlib.sha256(f"beneficiary {number}".encode()).hexdigest()[:40]
        for number in range(count)
    ]


def balances(rpc_url: str, token: str, addresses: Sequence[str]) -> Counter[str]:
    """Token units of each address in the latest block."""
    found: Counter[str] = Counter()
    for start in range(0, len(addresses), _CALLS_A_REQUEST):
        part = addresses[start : start + _CALLS_A_REQUEST]
        for address, result in zip(part, _call_all(rpc_url, token, part), strict=True):
            found[address] = int(result, 16)
    return found


def check_paid(
    before: Mapping[str, int], after: Mapping[str, int], units_by_address: Mapping[str, int]
) -> None:
    """Every beneficiary got exactly what the accepted payments promised.

    Raises:
        BenchFailed: Somebody got more or less.
    """
    wrong = [
        f"{address} got {after[address] - before[address]}, due {units_by_address.get(address, 0)}"
        for address in after
        if after[address] - before[address] != units_by_address.get(address, 0)
    ]
    if wrong:
        raise BenchFailed(f"{len(wrong)} beneficiaries were paid wrongly, such as {wrong[0]}")


def _call_all(rpc_url: str, token: str, addresses: Sequence[str]) -> list[str]:
    requests = [
        {
            "jsonrpc": "2.0",
            "id": number,
            "method": "eth_call",
            "params": [{"to": token, "data": _BALANCE_OF + address[2:].rjust(64, "0")}, "latest"],
        }
        for number, address in enumerate(addresses)
    ]
    parts = urlsplit(rpc_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/", orjson.dumps(requests), headers)
    answers = orjson.loads(connection.getresponse().read())
    connection.close()
    result_by_id = {answer["id"]: answer["result"] for answer in answers}
    return [result_by_id[number] for number in range(len(addresses))]
