"""`corridor payouts`: what is shown, what is asked of the node."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from node.api import payout_examples as examples
from node.cli.faults import Status
from tests.cli.conftest import Run
from tests.cli.fake_node import FakeNode, problem, serving


@dataclass
class PayingNode(FakeNode):
    """A node with one payout."""

    payouts: list[Any] = field(default_factory=lambda: [examples.PAID_OUT])
    next_cursor: str | None = None
    bodies: list[Any] = field(default_factory=list)

    def answer(self, method: str, path: str, key: str | None, body: Any) -> Any:
        self.requests.append((method, path, key))
        own = f"/v1/payouts/{examples.PAYOUT_ID}"
        where = path.partition("?")[0]
        if method == "POST" and body:
            self.bodies.append(body)
        answers: dict[tuple[str, str], Any] = {
            ("GET", "/v1/payouts"): (200, {"data": self.payouts, "next_cursor": self.next_cursor}),
            ("GET", own): (200, examples.REFUNDING),
            ("POST", f"{own}/correct"): (200, examples.CORRECTED),
            ("POST", f"{own}/refund"): (200, examples.REFUNDING),
            ("POST", "/v1/payouts/pay_other/refund"): (
                409,
                problem(409, "wrong_state", "the bank may have the order"),
            ),
            ("POST", "/v1/partners/par_1/contracts"): (201, examples.CONTRACT),
        }
        return answers.get((method, where)) or super().answer(method, path, key, body)


@pytest.fixture
def node() -> Iterator[PayingNode]:
    with serving(PayingNode()) as fake:
        assert isinstance(fake, PayingNode)
        yield fake


def test_payouts_are_listed_with_what_comes_in_and_goes_out(run: Run, node: PayingNode) -> None:
    node.next_cursor = "next"
    outcome = run("payouts", "list", "--status", "completed")
    assert outcome.status == Status.DONE
    for told in (examples.PAYOUT_ID, "230.074048 USDC", "13345.64 PHP", "completed (paid_out)"):
        assert told in outcome.out
    assert "corridor payouts list --cursor next --status completed" in outcome.err
    assert node.requests[-1][1] == "/v1/payouts?status=completed"
    node.payouts = []
    assert "no such payouts" in run("payouts", "list").out


def test_a_payout_is_shown_with_its_payment_failure_and_refund(run: Run) -> None:
    outcome = run("payouts", "show", examples.PAYOUT_ID)
    assert outcome.status == Status.DONE
    for told in ("payment 17 of", "account_closed", "pending (asked)", "M**** S*****"):
        assert told in outcome.out
    shown = run("payouts", "show", examples.PAYOUT_ID, "--json")
    assert json.loads(shown.out) == examples.REFUNDING


def test_a_correction_names_the_beneficiary_and_its_account(run: Run, node: PayingNode) -> None:
    outcome = run(
        "payouts", "correct", examples.PAYOUT_ID, "--name", "Amihan", "--country", "PH",
        "--account", "000123456789", "--bank", "BOPIPHMM",
    )  # fmt: skip
    assert outcome.status == Status.DONE
    account = {"number": "000123456789", "bank_code": "BOPIPHMM"}
    assert node.bodies == [{"beneficiary": {"name": "Amihan", "country": "PH", "account": account}}]


def test_a_refund_is_asked_for_once_and_a_refusal_is_told(run: Run, node: PayingNode) -> None:
    assert run("payouts", "refund", examples.PAYOUT_ID).status == Status.DONE
    assert node.requests[-1][2] is not None  # an Idempotency-Key
    refused = run("payouts", "refund", "pay_other")
    assert refused.status == Status.REFUSED
    assert "the bank may have the order" in refused.err


def test_a_contract_is_registered_for_a_partner(run: Run, node: PayingNode) -> None:
    address = str(examples.CONTRACT["address"])
    outcome = run("payouts", "contract", "par_1", address, "--chain", "31337")
    assert outcome.status == Status.DONE
    assert node.bodies == [{"chain_id": 31337, "address": address}]
    assert address in outcome.out
