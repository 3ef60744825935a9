"""A reorg of depth 1 under an included payment: told, undone in the mirror, paid once."""

from typing import Any

import asyncpg

from tests.e2e.conftest import Network, fresh_address, until


def _timeline(network: Network, transfer: Any) -> list[str]:
    events = network.get(f"/v1/transfers/{transfer['id']}/events")["data"]
    return [event["type"].removeprefix("transfer.") for event in events]


def _included(network: Network, customer_id: str, number: int) -> tuple[Any, bool]:
    """A payment caught while its block is the newest; whether it was in time for a reorg."""
    transfer = network.send(customer_id, "10.00", fresh_address(number))
    until(lambda: "included" in _timeline(network, transfer), "included")
    block_number = network.get(f"/v1/transfers/{transfer['id']}")["settlement"]["block_number"]
    return transfer, int(network.rpc("eth_blockNumber"), 16) == block_number


async def test_a_reorg_is_told_orphans_the_mirror_and_pays_once(network: Network) -> None:
    customer_id = network.customer(eur="1000.00")
    for number in range(3001, 3031):  # a block a second: the head may move before the reorg
        transfer, in_time = _included(network, customer_id, number)
        if not in_time:
            continue
        network.rpc("anvil_reorg", 1, [])
        network.completed(transfer)
        if "reorged" in _timeline(network, transfer):
            break
    else:
        raise AssertionError("no reorg hit an included payment in 30 tries")
    story = _timeline(network, transfer)
    assert story == ["funded", "submitted", "included", "reorged", "included", "settled"]
    units = int(transfer["buy"]["amount"].replace(".", ""))
    assert network.usdc_of(fresh_address(number)) == units
    payment = transfer["settlement"]["payment_number"]
    connection = await asyncpg.connect(network.node["database_url"])
    logs = await connection.fetch(
        "SELECT status FROM settlement_log WHERE kind = 'settled' AND payment_number = $1"
        " ORDER BY block_number, status",
        payment,
    )
    bookings = await connection.fetchval(
        "SELECT count(*) FROM ledger_resolution r JOIN transfer t USING (pending_sequence)"
        " WHERE t.payment_number = $1",
        payment,
    )
    await connection.close()
    assert sorted(row["status"] for row in logs) == ["final", "orphaned"]
    assert bookings == 1
    network.prove()
