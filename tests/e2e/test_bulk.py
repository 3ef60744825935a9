"""A file of transfers from HTTP to the chain: cut off in the middle, sent again, paid once."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from node.client import Client
from node.core.ids import Prefix, decode_id
from node.core.settlement import RECORDS_MAX
from node.core.units import format_minor
from scripts.bench.bulking import RowsFile, came_of, rows_file
from scripts.bench.proof import balances, beneficiaries
from tests.e2e.conftest import Network, until

ROWS = 1_000
FAULTY = 50
CODES = {
    "amount_invalid",
    "amount_out_of_range",
    "currency_unknown",
    "pair_not_offered",
    "one_amount",
    "country_unknown",
    "address_invalid",
    "client_reference_used",
    "not_found",
    "insufficient_funds",
}
OPENING_MINOR = 2_000_000
LINE = 600  # of the third batch of rows that the worker accepts
LIMIT_S = 180
LOOKS_MAX = 5_000
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"  # ERC-20's event
IS_BLOCKING = (
    "SELECT EXISTS (SELECT FROM pg_stat_activity"
    " WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
)


@asynccontextmanager
async def worker_stuck_at(
    network: Network, line: int, send: Callable[[], str]
) -> AsyncIterator[str]:
    """The worker waits for a row that is held: it has transfers of the batch, not committed.

    It stands still until the row is held, or it might have done all of them by then.
    """
    worker = network.node["pids"]["work"][0]
    connection = await asyncpg.connect(network.node["database_url"])
    os.kill(worker, signal.SIGSTOP)
    try:
        bulk_id = send()
        async with connection.transaction():
            await connection.execute(
                "SELECT FROM bulk_row WHERE bulk_id = $1 AND line = $2 AND status = 'pending'"
                " FOR UPDATE",
                decode_id(Prefix.BULK, bulk_id),
                line,
            )
            os.kill(worker, signal.SIGCONT)
            for _ in range(LOOKS_MAX):
                if await connection.fetchval(IS_BLOCKING):
                    break
                await asyncio.sleep(0.02)
            else:
                raise AssertionError("the worker does not come to the row")
            yield bulk_id
    finally:
        await connection.close()
        with suppress(ProcessLookupError):  # it was killed meanwhile
            os.kill(worker, signal.SIGCONT)


def payer(network: Network, partner: str) -> str:
    """A customer of the partner with money."""
    body = {"name": "Ana", "country": "DE"}
    customer_id: str = network.post("/v1/customers", body, token=partner)["id"]
    top_up = {
        "currency": "EUR",
        "amount": format_minor(OPENING_MINOR, 2),
        "rail": "sandbox_bank",
        "reference": "of the payer of a file",
    }
    network.post(f"/v1/customers/{customer_id}/top-ups", top_up)
    return customer_id


def payouts(network: Network, addresses: list[str]) -> list[Any]:
    """Transfers of the token out of the settlement contract to these, as the chain logged them."""
    sender = "0x" + network.node["settlement"][2:].lower().rjust(64, "0")
    asked = {
        "fromBlock": "0x0",
        "toBlock": "latest",
        "address": network.described["contracts"]["USDC"],
        "topics": [TRANSFER, sender],
    }
    known = set(addresses)
    logs = network.rpc("eth_getLogs", asked)
    return [each for each in logs if "0x" + each["topics"][2][-40:] in known]


def ended(client: Client, bulk_id: str) -> bool:
    """Whether each row is decided and each transfer settled."""
    shown = client.show_bulk_transfer(bulk_id)
    return shown["status"] == "completed" and shown["transfers"]["processing"] == 0


async def test_a_file_that_was_cut_off_and_sent_again_pays_each_good_row_once(
    network: Network,
) -> None:
    partner = network.node["keys"]["partner"]
    customer_id = payer(network, partner)
    addresses = beneficiaries(ROWS)
    file = rows_file(ROWS, customer_id=customer_id, addresses=addresses, run="wages")
    assert Counter(file.codes.values()) == dict.fromkeys(CODES, FAULTY // len(CODES))
    with Client(network.node["url"], partner) as client:

        def send(key: str) -> str:
            return str(client.send_bulk(file.content, media_type="text/csv", key=key)["id"])

        async with worker_stuck_at(network, LINE, lambda: send("once")) as first:
            seen = client.show_bulk_transfer(first)["rows"]
            pid = network.kill("work")
        assert 0 < seen["accepted"] < ROWS - FAULTY
        again = send("again")
        assert again != first
        network.restarted("work", pid)
        both = (first, again)
        until(lambda: all(ended(client, each) for each in both), "rows are paid", limit_s=LIMIT_S)
    prove_rows(network, file, first, again)
    prove_money(network, file, customer_id, addresses, first)


def prove_rows(network: Network, file: RowsFile, *bulk_ids: str) -> None:
    """Both files are answered alike: 50 rows with line and code, 950 with the same transfers."""
    came = []
    for bulk_id in bulk_ids:
        report = network.get(f"/v1/bulk-transfers/{bulk_id}/report")
        shown = report["bulk_transfer"]
        assert (shown["rows"]["accepted"], shown["rows"]["rejected"]) == (ROWS - FAULTY, FAULTY)
        assert shown["transfers"] == {"processing": 0, "completed": ROWS - FAULTY, "failed": 0}
        named = {
            row["line"]: [each["code"] for each in row["errors"]]
            for row in report["rows"]
            if row["status"] == "rejected"
        }
        assert named == {line: [code] for line, code in file.codes.items()}
        came.append(came_of(file, report))
    first, again = came
    assert first.transfers == again.transfers
    assert first.repeated + again.repeated == ROWS - FAULTY


def prove_money(
    network: Network, file: RowsFile, customer_id: str, addresses: list[str], bulk_id: str
) -> None:
    """The chain paid each row once, in few transactions; the payer paid for each; books agree."""
    report = network.get(f"/v1/bulk-transfers/{bulk_id}/report")
    due = came_of(file, report).units_by_address
    held = balances(network.described["chain"]["rpc_url"], token_of(network), addresses)
    assert {each: units for each, units in held.items() if units} == due
    logs = payouts(network, addresses)
    assert len(logs) == ROWS - FAULTY
    transactions = {each["transactionHash"] for each in logs}
    accepted_together = -(-ROWS // RECORDS_MAX)
    assert len(transactions) <= 3 * accepted_together, "a full batch and a rest of each, and spare"
    assert network.balances(customer_id)["EUR"] == {
        "currency": "EUR",
        "available": format_minor(OPENING_MINOR - file.sell_minor, 2),
        "reserved": "0.00",
    }
    network.prove()


def token_of(network: Network) -> str:
    """Address of the stablecoin."""
    address: str = network.described["contracts"]["USDC"]
    return address
