"""A reorg of depth 1 under an included payment: told, undone in the mirror, paid once."""

from typing import Any

import asyncpg

from tests.e2e.conftest import Network, fresh_address, until


def _timeline(network: Network, transfer: Any) -> list[str]:
    events = network.get(f"/v1/transfers/{transfer['id']}/events")["data"]
    return [event["type"].removeprefix("transfer.") for event in events]


async def test_a_reorg_is_told_orphans_the_mirror_and_pays_once(network: Network) -> None:
    customer_id = network.customer(eur="1000.00")
    order = network.order(network.quote("10.00"), customer_id, fresh_address(3001))
    with network.still():  # the payment's block stays the newest until it is replaced
        transfer = network.post("/v1/transfers", order)
        network.until_in_pool()
        network.rpc("evm_mine")
        until(lambda: "included" in _timeline(network, transfer), "included")
        network.rpc("anvil_reorg", 1, [])
    transfer = network.completed(transfer)
    story = _timeline(network, transfer)
    assert story == ["funded", "submitted", "included", "reorged", "included", "settled"]
    units = int(transfer["buy"]["amount"].replace(".", ""))
    assert network.usdc_of(fresh_address(3001)) == units
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
