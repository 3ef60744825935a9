"""Treasury movements, rules and the hard pause through HTTP, by the real programs."""

from typing import Any

from tests.e2e.conftest import Network, fresh_address, until

_MOVEMENTS = "/v1/settlement/movements"
_PAUSED = "0x5c975abb"  # paused()


def settled(network: Network, movement: Any) -> Any:
    """The movement once it is final."""
    path = f"{_MOVEMENTS}/{movement['id']}"
    until(lambda: network.get(path)["state"] in ("settled", "failed"), f"{movement} ended")
    found = network.get(path)
    assert found["state"] == "settled", found
    return found


def is_paused(network: Network) -> bool:
    """Whether the contract is, at the newest block."""
    call = {"to": network.node["settlement"], "data": _PAUSED}
    return int(network.rpc("eth_call", call, "latest"), 16) == 1


def usdc(units: int) -> str:
    return f"{units // 10**6}.{units % 10**6:06d}"


def test_a_rule_fills_the_float_once_though_the_worker_is_killed(network: Network) -> None:
    contract, treasury = network.node["settlement"], network.node["treasury"]
    before, held = network.usdc_of(contract), network.usdc_of(treasury)
    step = 5_000_000
    rule = network.post(
        "/v1/settlement/rules",
        {
            "kind": "float_top_up",
            "currency": "USDC",
            "mark": usdc(before + 1),
            "fill_to": usdc(before + step),
            "daily_limit": usdc(step),
        },
    )
    pid = network.kill("work")
    network.restarted("work", pid)
    until(lambda: network.usdc_of(contract) == before + step, "the float is filled up")
    made = network.get(_MOVEMENTS, params={"kind": "float_top_up"})["data"]
    (movement,) = [each for each in made if each["rule_id"] == rule["id"]]
    assert settled(network, movement)["amount"] == usdc(step)
    shown = network.get(f"/v1/settlement/rules/{rule['id']}")
    assert (shown["limit_left"], shown["status"]) == ("0.000000", "in_force")
    ended = network.post(f"/v1/settlement/rules/{rule['id']}/end", status=200)
    assert ended["status"] == "ended"
    assert network.usdc_of(treasury) == held - step
    network.prove()


def test_a_hard_pause_a_rescue_a_sweep_and_a_resume_leave_clean_books(network: Network) -> None:
    contract, treasury = network.node["settlement"], network.node["treasury"]
    rescue = {
        "kind": "rescue", "from": contract, "to": treasury, "currency": "USDC", "amount": "7.5",
    }  # fmt: skip
    refused = network.request("POST", _MOVEMENTS, json=rescue)
    assert refused.status_code == 422
    assert "pause with `hard`" in refused.json()["detail"]

    network.post("/v1/settlement/pause", {"hard": True, "note": "a rehearsal"}, status=200)
    until(lambda: is_paused(network), "the contract is paused")
    before = network.usdc_of(treasury)
    settled(network, network.post(_MOVEMENTS, rescue))
    assert network.usdc_of(treasury) == before + 7_500_000

    lane = network.node["lanes"][0]
    sweep = {"kind": "sweep", "from": lane, "to": treasury, "currency": "ETH", "amount": "0.25"}
    asked = network.post(_MOVEMENTS, sweep)
    until(
        lambda: network.get(f"{_MOVEMENTS}/{asked['id']}")["waiting"] == "paused", "the sweep waits"
    )
    network.post("/v1/settlement/resume", {"reason": "operator"}, status=200)
    until(lambda: not is_paused(network), "the contract goes on")
    settled(network, asked)

    customer_id = network.customer(eur="50.00")
    network.completed(network.send(customer_id, "20.00", fresh_address(1)))
    network.prove()
