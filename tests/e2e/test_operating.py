"""An operator's day on the command line, with the real programs: look, move money, pause, go on."""

import json
from typing import Any

from tests.e2e.conftest import Network, corridor, fresh_address, until


def settlement(network: Network, *arguments: str, status: int = 0) -> Any:
    """`corridor settlement ... --json`."""
    ended = corridor("settlement", *arguments, "--json", state_dir=network.state_dir)
    assert ended.returncode == status, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


def codes(network: Network) -> set[str]:
    """Alerts now."""
    return {each["code"] for each in network.get("/v1/settlement")["alerts"]}


def figure(network: Network, series: str) -> float:
    """One sample of /metrics."""
    page = network.request("GET", "/metrics").text
    (line,) = [each for each in page.splitlines() if each.startswith(f"{series} ")]
    return float(line.rpartition(" ")[2])


def test_a_paid_transfer_is_found_in_its_batch_with_its_cost(network: Network) -> None:
    figure(network, "corridor_settlement_payments_total")  # totals begin with the first scrape
    customer_id = network.customer(eur="1000.00")
    transfer = network.completed(network.send(customer_id, "20.00", fresh_address(71)))
    rows = settlement(network, "batches", "--purpose", "settle", "--state", "final")["data"]
    batches = [settlement(network, "batch", each["id"]) for each in rows]
    (batch,) = [
        each
        for each in batches
        if transfer["id"] in {one["transfer_id"] for one in each["payments"]}
    ]
    assert batch["tx_hash"] == transfer["settlement"]["tx_hash"]
    assert {each["outcome"] for each in batch["payments"]} == {"settled"}
    assert int(batch["fee_wei"]) == batch["gas_used"] * int(batch["effective_gas_price_wei"])
    spent = settlement(network, "spending")["total"]
    assert spent["payments"] >= 1
    assert spent["gas_used"] >= batch["gas_used"]
    until(
        lambda: figure(network, "corridor_settlement_payments_total") >= 1, "the payment is counted"
    )


def test_every_lane_is_up_and_nothing_needs_a_person(network: Network) -> None:
    until(lambda: not codes(network), "no alert")
    look = settlement(network, "status")
    lanes = {each["address"] for each in look["lanes"] if each["role"] == "settle"}
    assert lanes == set(network.node["lanes"])
    for lane in lanes:
        series = f'corridor_settlement_lane_up{{lane="{lane}",role="settle"}}'
        assert figure(network, series) == 1
    assert look["contract"]["balance"] is not None
    assert settlement(network, "adopt")["needed"] is False


def test_money_moves_to_the_float_and_the_books_agree(network: Network) -> None:
    made = settlement(network, "top-up", "12.50", "--yes")
    until(
        lambda: settlement(network, "movement", made["id"])["state"] == "settled", "it is settled"
    )
    batch = settlement(network, "batch", settlement(network, "movement", made["id"])["batch_id"])
    assert (batch["purpose"], batch["payments"]) == ("movement", [])
    network.prove()


def test_a_hard_pause_reaches_the_contract_and_a_payment_waits_until_it_ends(
    network: Network,
) -> None:
    settlement(network, "pause", "--hard", "--note", "a look")
    until(lambda: {"paused", "contract_paused"} <= codes(network), "both are paused")
    assert settlement(network, "status", status=1)["contract"]["paused"] is True
    customer_id = network.customer(eur="100.00")
    transfer = network.send(customer_id, "20.00", fresh_address(72))
    waiting = 'corridor_settlement_transfers{state="funded",waiting="paused"}'
    until(lambda: figure(network, waiting) == 1, "it waits for the pause")
    assert settlement(network, "resume")["data"] == []
    assert network.completed(transfer)["status"] == "completed"
    until(lambda: not codes(network), "no alert")


def test_a_waiting_transfer_is_cancelled_by_an_operator(network: Network) -> None:
    settlement(network, "pause")
    customer_id = network.customer(eur="100.00")
    transfer = network.send(customer_id, "20.00", fresh_address(73))
    cancelled = settlement(network, "cancel", transfer["id"])
    assert cancelled["status"] == "canceled"
    assert network.balances(customer_id)["EUR"]["available"] == "100.00"
    settlement(network, "resume")
