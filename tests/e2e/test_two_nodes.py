"""Two nodes pay each other: euros at one become exactly the quoted pesos at the other."""

import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random  # noqa: TID251 - the seed is an argument

import pytest
from rich.console import Console

from adapters.rails.sandbox_bank import Magic
from node.client import Client
from node.devnet.crossing_shown import show_crossing
from tests.e2e.conftest import corridor, fresh_address, until, until_well
from tests.e2e.two_nodes import PAID, Payment, TwoNodes, agrees
from tests.scratch import scratch_root

_ROOT = Path(__file__).resolve().parents[2]
_KILLS = 8
_SEED = 6


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    """Two nodes of their own for the module."""
    with (
        tempfile.TemporaryDirectory(prefix="e2e-", dir=scratch_root()) as root,
        TwoNodes.running(Path(root) / "state") as running,
    ):
        yield running


def test_what_was_quoted_in_euros_arrives_in_pesos_and_both_nodes_agree(nodes: TwoNodes) -> None:
    customer_id = nodes.berlin.customer(eur="1000.00")
    before = nodes.sums()
    assert before.outside == 0
    payment = nodes.pay(customer_id, "200.00")
    done = nodes.ended(payment)
    assert (done["status"], done["state"]) == ("completed", "paid_out")
    assert done["buy"] == payment.quote["buy"]
    assert done["buy"]["currency"] == "PHP"
    timeline = nodes.berlin.get(f"/v1/transfers/{done['id']}/events")["data"]
    assert [each["state"] for each in timeline] == [
        *("funded", "submitted", "included", "payout_pending", "paid_out"),
    ]
    payout = nodes.manila.get(f"/v1/payouts/{done['payout']['payout_id']}")
    assert (payout["status"], payout["buy"]) == ("completed", payment.quote["buy"])
    assert payout["matched"]["tx_hash"] == done["settlement"]["tx_hash"]
    assert payout["matched"]["settlement_number"] == done["settlement"]["payment_number"]
    assert payout["matched"]["contract"] == nodes.berlin.node["settlement"]
    assert nodes.berlin.balances(customer_id)["EUR"]["available"] == "800.00"
    assert nodes.check(before, [payment]) == {"paid_out": 1}
    [endpoint] = nodes.manila.get("/v1/webhook-endpoints")["data"]
    path = f"/v1/webhook-endpoints/{endpoint['id']}/deliveries"
    until(
        lambda: [each["status"] for each in nodes.manila.get(path)["data"]] == ["delivered"] * 4,
        "berlin was told of all four states of the payout",
    )


def test_the_beneficiary_is_nowhere_on_chain_and_masked_in_answers(nodes: TwoNodes) -> None:
    payment = nodes.pay(nodes.berlin.customer(eur="100.00"), "50.00")
    done = nodes.ended(payment)
    assert PAID not in str(done)
    sent = nodes.berlin.rpc("eth_getTransactionByHash", done["settlement"]["tx_hash"])
    assert PAID.encode().hex() not in sent["input"]
    assert b"Bea".hex() not in sent["input"]


def test_a_refused_beneficiary_gives_the_customer_everything_back(nodes: TwoNodes) -> None:
    customer_id = nodes.berlin.customer(eur="300.00")
    before = nodes.sums()
    payment = nodes.pay(customer_id, "300.00", f"00012345{Magic.REFUSED}")
    done = nodes.ended(payment)
    assert (done["status"], done["failure"]["code"]) == ("refunded", "refunded")
    assert nodes.berlin.balances(customer_id)["EUR"] == {
        "currency": "EUR",
        "available": "300.00",
        "reserved": "0.00",
    }
    path = f"/v1/payouts/{done['payout']['payout_id']}"
    until(  # berlin may see the block of the refund before manila sees its own
        lambda: nodes.manila.get(path)["status"] == "refunded", "manila's refund is final"
    )
    payout = nodes.manila.get(path)
    assert payout["failure"]["code"] == "account_closed"
    assert payout["refund"]["amount"] == done["payout"]["paid"]["amount"]
    assert payout["refund"]["address"] == nodes.berlin.node["settlement"]
    assert payout["refund"]["contract"] == nodes.manila.node["settlement"]
    assert nodes.check(before, [payment]) == {"refunded": 1}


def test_a_partner_that_is_away_costs_time_and_nothing_else(nodes: TwoNodes) -> None:
    customer_id = nodes.berlin.customer(eur="300.00")
    before = nodes.sums()
    waiting = nodes.quote("100.00")
    sent = nodes.pay(customer_id, "200.00")
    with nodes.away(nodes.manila):
        order = nodes.order(waiting, customer_id)
        refused = nodes.berlin.request("POST", "/v1/transfers", json=order, key="while-away")
        assert (refused.status_code, refused.json()["code"]) == (503, "partner_unavailable")
        assert refused.json()["retryable"] is True
        assert nodes.berlin.get(f"/v1/quotes/{waiting['id']}")["status"] == "active"
        assert nodes.berlin.balances(customer_id)["EUR"]["available"] == "100.00"
        nodes.reached(sent, "state", frozenset({"payout_pending"}))
        assert nodes.now(sent)["status"] == "processing"
    accepted = nodes.answered("/v1/transfers", order, "while-away")
    payments = [sent, Payment(waiting, accepted, PAID)]
    assert nodes.check(before, payments) == {"paid_out": 2}


def test_a_file_pays_to_accounts_and_addresses_whoever_is_killed_or_away(nodes: TwoNodes) -> None:
    customer_id = nodes.berlin.customer(eur="5000.00")
    before = nodes.sums()
    numbers = [PAID] * 5 + [f"00012345{Magic.REFUSED}"]
    rows = [wage(customer_id, f"wage-{each}", account) for each, account in enumerate(numbers)]
    rows += [wage(customer_id, f"to-{each}", address=fresh_address(each)) for each in range(3)]
    rows.append(wage(customer_id, "too-much", PAID, eur="5000.00"))
    with nodes.away(nodes.manila):
        bulk_id = send_file(nodes, rows, "once")
        until(lambda: nodes.rows(bulk_id)["accepted"] == 3, "rows to addresses do not wait")
        shown = nodes.berlin.get(f"/v1/bulk-transfers/{bulk_id}")
        assert (shown["status"], shown["rows"]["pending"]) == ("processing", 7)
        pid = nodes.berlin.kill("work")
    nodes.berlin.restarted("work", pid)
    until(lambda: nodes.rows(bulk_id)["accepted"] > 3, "the partner is asked again", limit_s=120)
    nodes.kill(nodes.berlin, "work")
    nodes.kill(nodes.manila, "serve")
    again = send_file(nodes, rows, "again")
    for each in (bulk_id, again):
        until(partial(nodes.is_decided, each), "rows are decided", limit_s=240)
    report, repeated = (
        nodes.berlin.get(f"/v1/bulk-transfers/{each}/report")["rows"] for each in (bulk_id, again)
    )
    assert [each["transfer"] and each["transfer"]["id"] for each in report] == [
        each["transfer"] and each["transfer"]["id"] for each in repeated
    ]
    assert report[-1]["errors"][0]["code"] == "insufficient_funds"
    transfers = [nodes.berlin.get(f"/v1/transfers/{row['transfer']['id']}") for row in report[:-1]]
    payments = [
        Payment(nodes.berlin.get(f"/v1/quotes/{each['quote_id']}"), each, account)
        for each, account in zip(transfers, numbers, strict=False)
    ]
    sent = [nodes.berlin.completed(each) for each in transfers[len(numbers) :]]
    ends = nodes.check(before, payments, sent)
    assert ends == {"paid_out": 5, "refunded": 1}
    assert [row["transfer"]["buy"] for row in report[:6]] == [p.quote["buy"] for p in payments]
    for node in nodes.both:
        node.prove()


def wage(
    customer_id: str,
    reference: str,
    account: str | None = None,
    *,
    address: str | None = None,
    eur: str = "100.00",
) -> dict[str, object]:
    """A row: to an account in pesos, or to an address."""
    to = {"type": "bank", "number": account, "bank_code": "BOPIPHMM"}
    place: dict[str, object] = {"account": to} if account else {"address": address}
    return {
        "client_reference": reference,
        "customer_id": customer_id,
        "sell": {"currency": "EUR", "amount": eur},
        "buy": {"currency": "PHP" if account else "USDC"},
        "beneficiary": {"name": "Bea", "country": "PH", **place},
    }


def send_file(nodes: TwoNodes, rows: list[dict[str, object]], key: str) -> str:
    """Berlin takes a file in; its id."""
    content = "\n".join(map(json.dumps, rows)).encode()
    with Client(nodes.berlin.node["url"], nodes.berlin.node["keys"]["operator"]) as client:
        taken = client.send_bulk(content, media_type="application/x-ndjson", key=key)
    return str(taken["id"])


def test_kill_minus_9_of_each_process_at_any_moment_comes_to_the_same_end(
    nodes: TwoNodes,
) -> None:
    random = Random(_SEED)
    customer_id = nodes.berlin.customer(eur="5000.00")
    before = nodes.sums()
    accounts = [PAID, f"00012345{Magic.LATE}", f"00012345{Magic.LOST_ANSWER}"]
    accounts.append(f"00012345{Magic.REFUSED}")
    kills = [(node, each) for node in nodes.both for each in ("serve", "work")] * (_KILLS // 4)
    random.shuffle(kills)
    with ThreadPoolExecutor(_KILLS) as pool:
        pending = []
        for number, (node, program) in enumerate(kills):
            account = accounts[number % len(accounts)]
            pending.append(pool.submit(nodes.pay, customer_id, "100.00", account))
            time.sleep(random.uniform(0, 4))  # the drawn moment of the kill
            nodes.kill(node, program)
        payments = [each.result() for each in pending]
    assert len({each.transfer["id"] for each in payments}) == _KILLS
    ends = nodes.check(before, payments)
    assert ends == {"paid_out": _KILLS - _KILLS // 4, "refunded": _KILLS // 4}
    for node in nodes.both:
        node.prove()


def test_the_demo_tells_the_same_and_shows_the_sums(nodes: TwoNodes) -> None:
    console = Console(file=io.StringIO(), width=120, record=True)
    result = show_crossing(nodes.berlin.described, console)
    assert result["completed"] is True
    assert set(result["reconciliations"]) == {"berlin", "manila"}
    if result["breaks_open"]:  # one that the next run closes by itself
        for node in nodes.both:
            until(partial(agrees, node), "the node reconciles without a break")
    assert result["changes"]["USDC"]["held"] == "0.000000"
    assert result["changes"]["PHP"]["held"] == f"-{result['quote']['buy']['amount']}"
    shown = console.export_text()
    for what in ("Delivered by manila's bank: as quoted", "chain, after less before: agree"):
        assert what in shown


def test_the_commands_of_the_readme_work_as_they_are_printed(
    nodes: TwoNodes, tmp_path: Path
) -> None:
    section = (_ROOT / "README.md").read_text().partition("## Two nodes")[2]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    first, *lines, last = block[1].strip().splitlines()
    assert first.startswith("corridor devnet up --nodes 2 --detach")
    assert last == "corridor devnet down"
    (tmp_path / ".corridor").symlink_to(nodes.berlin.state_dir)
    customer_id = nodes.berlin.node["customers"][0]["id"]  # as `devnet up` prints it
    shown = [_run_as_printed(each, customer_id, tmp_path) for each in lines]
    assert "paid_out" in shown[1]
    assert "completed" in shown[2]
    assert all("breaks open: 0" in each for each in (shown[3], shown[5]))
    assert all("follows from the entries" in each for each in (shown[4], shown[6]))


def _run_as_printed(line: str, customer_id: str, folder: Path) -> str:
    """What a command of the README prints; nobody is there to be asked."""
    command = line.partition("#")[0].replace("cus_...", customer_id).split()
    yes = ["--yes"] if command[1] == "send" else []

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).with_name(command[0]), *command[1:], *yes],
            cwd=folder,
            env={**os.environ, "NO_COLOR": "1"},  # noqa: TID251
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=240,
        )

    ended = until_well(run, line) if command[1] == "reconcile" else run()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_a_second_up_goes_on_and_the_doctor_knows_both_nodes(nodes: TwoNodes) -> None:
    state_dir = nodes.berlin.state_dir
    place = ("--state-dir", str(state_dir))
    before = nodes.berlin.described
    assert corridor("devnet", "up", "--detach", *place, state_dir=state_dir).returncode == 0
    assert nodes.berlin.described == before
    other = corridor("devnet", "up", "--detach", "--nodes", "1", *place, state_dir=state_dir)
    assert other.returncode == 1
    assert "made with --nodes 2" in " ".join((other.stdout + other.stderr).split())
    examined = until_well(lambda: corridor("doctor", *place, state_dir=state_dir), "all is well")
    for what in ("database of berlin", "database of manila", "node manila: mirror"):
        assert what in examined.stdout, examined.stdout
