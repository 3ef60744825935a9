"""The main job over HTTP alone: EUR become USDC at an address, and the books agree."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.conftest import Network, corridor, fresh_address, until, until_well


def test_what_was_quoted_is_what_arrives_and_what_is_paid(network: Network) -> None:
    customer_id = network.customer(eur="1000.00")
    beneficiary = fresh_address(1)
    quote = network.quote("200.00")
    transfer = network.post("/v1/transfers", network.order(quote, customer_id, beneficiary))
    assert (transfer["status"], transfer["state"]) == ("processing", "funded")
    assert network.balances(customer_id)["EUR"]["available"] == "800.00"
    done = network.completed(transfer)
    assert done["status"] == "completed"
    assert done["settlement"]["final"] is True
    assert done["settlement"]["tx_hash"] is not None
    assert network.usdc_of(beneficiary) == int(quote["buy"]["amount"].replace(".", ""))
    assert network.balances(customer_id)["EUR"] == {
        "currency": "EUR",
        "available": "800.00",
        "reserved": "0.00",
    }
    timeline = network.get(f"/v1/transfers/{transfer['id']}/events")["data"]
    assert [event["sequence"] for event in timeline] == list(range(1, len(timeline) + 1))
    assert [event["state"] for event in timeline] == ["funded", "submitted", "included", "settled"]
    batch = network.get(f"/v1/settlement/batches/{timeline[1]['detail']['batch_id']}")
    assert timeline[1]["detail"]["tx_hash"] in {each["tx_hash"] for each in batch["attempts"]}
    network.prove()


def test_the_statement_shows_every_movement_with_its_running_balance(network: Network) -> None:
    customer_id = network.customer(eur="500.00")
    network.completed(network.send(customer_id, "120.00", fresh_address(2)))
    lines = network.get(f"/v1/customers/{customer_id}/entries")["data"]
    assert (lines[0]["currency"], lines[0]["balance"]) == ("EUR", "380.00")
    assert (lines[-1]["currency"], lines[-1]["balance"]) == ("EUR", "500.00")


def test_200_concurrent_identical_posts_make_one_transfer_and_200_equal_answers(
    network: Network,
) -> None:
    customer_id = network.customer(eur="1000.00")
    order = network.order(network.quote("100.00"), customer_id, fresh_address(3))
    key = "the-same-key-for-all"
    with ThreadPoolExecutor(32) as pool:
        answers = list(
            pool.map(
                lambda _: network.request("POST", "/v1/transfers", json=order, key=key), range(200)
            )
        )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["Location"] for answer in answers}) == 1
    replayed = [answer.headers.get("Idempotent-Replayed") for answer in answers]
    assert replayed.count("true") == 199
    assert network.balances(customer_id)["EUR"]["available"] == "900.00"


def test_of_100_parallel_transfers_with_money_for_10_exactly_10_succeed(network: Network) -> None:
    customer_id = network.customer(eur="100.00")
    with ThreadPoolExecutor(16) as pool:
        quotes = list(pool.map(lambda _: network.quote("10.00"), range(100)))
        answers = list(
            pool.map(
                lambda quote: network.request(
                    "POST",
                    "/v1/transfers",
                    json=network.order(quote, customer_id, fresh_address(4)),
                ),
                quotes,
            )
        )
    assert sum(answer.status_code == 201 for answer in answers) == 10
    refused = [answer.json() for answer in answers if answer.status_code != 201]
    assert {problem["code"] for problem in refused} == {"insufficient_funds"}
    for answer in answers:
        if answer.status_code == 201:
            network.completed(answer.json())
    assert network.balances(customer_id)["EUR"] == {
        "currency": "EUR",
        "available": "0.00",
        "reserved": "0.00",
    }
    network.prove()


def test_a_canceled_transfer_gives_everything_back_or_it_was_too_late(network: Network) -> None:
    network.post("/v1/settlement/pause", {"note": "so that nothing is written"}, status=200)
    customer_id = network.customer(eur="100.00")
    transfer = network.send(customer_id, "50.00", fresh_address(5))
    until(
        lambda: (
            (network.get(f"/v1/transfers/{transfer['id']}")["waiting"] or {}).get("code")
            == "paused"
        ),
        "the transfer says why it waits",
    )
    canceled = network.post(f"/v1/transfers/{transfer['id']}/cancel", status=200)
    assert canceled["state"] == "canceled"
    again = network.post(f"/v1/transfers/{transfer['id']}/cancel", status=200)
    assert again["state"] == "canceled"
    assert network.balances(customer_id)["EUR"]["available"] == "100.00"
    network.post("/v1/settlement/resume", status=200)
    done = network.completed(network.send(customer_id, "50.00", fresh_address(5)))
    late = network.request("POST", f"/v1/transfers/{done['id']}/cancel", json={})
    assert (late.status_code, late.json()["code"]) == (409, "cancel_too_late")
    network.prove()


def test_a_remitter_sees_and_sends_only_its_own(network: Network) -> None:
    ada, bruno, _ = network.node["customers"]
    quote = network.quote("10.00", token=ada["token"])
    order = network.order(quote, ada["id"], fresh_address(6))
    foreign = network.request("POST", "/v1/transfers", json=order, token=bruno["token"])
    assert foreign.status_code == 404
    own = network.post("/v1/transfers", order, token=ada["token"])
    path = f"/v1/transfers/{own['id']}"
    assert network.request("GET", path, token=bruno["token"]).status_code == 404
    assert network.request("GET", path, token="nonsense").status_code == 401
    operators = network.request("GET", "/v1/ledger/trial-balance", token=ada["token"])
    assert operators.status_code == 403
    partner = network.node["keys"]["partner"]
    assert network.get(path, token=partner)["id"] == own["id"]


@pytest.mark.parametrize("command", ["doctor", "keys list"])
def test_the_command_line_finds_the_network_and_all_well(network: Network, command: str) -> None:
    until_well(lambda: corridor(*command.split(), state_dir=network.state_dir), command)
