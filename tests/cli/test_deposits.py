"""`corridor deposits`: what is shown, what is asked of the node."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from node.api import deposit_examples as examples
from node.cli.faults import Status
from tests.cli.conftest import Run
from tests.cli.fake_node import CUSTOMER, FakeNode, problem, serving

ADDRESS = examples.DEPOSIT_ADDRESS["address"]
CUSTOMER_OF_EXAMPLE = str(examples.DEPOSIT["customer_id"])


@dataclass
class PaidNode(FakeNode):
    """A node with one address and one deposit."""

    deposits: list[Any] = field(default_factory=lambda: [examples.DEPOSIT])
    next_cursor: str | None = None
    bodies: list[Any] = field(default_factory=list)

    def answer(self, method: str, path: str, key: str | None, body: Any) -> Any:
        own = f"/v1/customers/{CUSTOMER['id']}"
        self.requests.append((method, path, key))
        match method, path.partition("?")[0]:
            case "GET", found if found == f"{own}/deposit-address":
                return 200, examples.DEPOSIT_ADDRESS
            case "POST", found if found == f"{own}/payment-requests":
                self.bodies.append(body)
                if body["reference"] == "used":
                    return 409, problem(409, "request_reference_used", "the reference is used")
                return 201, examples.REQUEST
            case "POST", found if found.endswith("/attribute"):
                self.bodies.append(body)
                return 200, examples.DEPOSIT_ATTRIBUTED
            case "GET", "/v1/deposits":
                return 200, {"data": self.deposits, "next_cursor": self.next_cursor}
            case _:
                return super().answer(method, path, key, body)


@pytest.fixture
def node() -> Iterator[PaidNode]:
    with serving(PaidNode()) as fake:
        assert isinstance(fake, PaidNode)
        yield fake


def test_the_address_is_shown_with_the_only_token_it_takes(run: Run) -> None:
    outcome = run("deposits", "address", CUSTOMER["id"])
    assert outcome.status == Status.DONE
    for told in (ADDRESS, "USDC", str(examples.DEPOSIT_ADDRESS["token"]), "31337"):
        assert str(told) in outcome.out
    shown = run("deposits", "address", CUSTOMER["id"], "--json")
    assert json.loads(shown.out) == examples.DEPOSIT_ADDRESS


def test_a_request_is_made_once_and_tells_where_to_pay(run: Run, node: PaidNode) -> None:
    arguments = ("deposits", "request", CUSTOMER["id"], "100.00", "--reference", "INV-7")
    outcome = run(*arguments, "--expires-in", "600")
    assert outcome.status == Status.DONE
    assert node.bodies == [
        {"currency": "USDC", "amount": "100.00", "reference": "INV-7", "expires_in_s": 600}
    ]
    assert node.requests[-1][2] is not None
    for told in (ADDRESS, "INV-7", examples.REQUEST_ID):
        assert str(told) in outcome.out


def test_a_reference_that_is_used_is_refused_in_words(run: Run) -> None:
    outcome = run("deposits", "request", CUSTOMER["id"], "1", "--reference", "used")
    assert outcome.status != Status.DONE
    assert "the reference is used" in outcome.err


def test_deposits_are_listed_with_whose_they_are(run: Run, node: PaidNode) -> None:
    unknown = {**examples.DEPOSIT, "customer_id": None, "status": "held", "flags": ["too_late"]}
    node.deposits, node.next_cursor = [examples.DEPOSIT, unknown], "abc"
    outcome = run("deposits", "list", "--status", "held", "--limit", "2")
    for told in (examples.DEPOSIT_ID, CUSTOMER_OF_EXAMPLE, "nobody known", "held (too_late)"):
        assert told in outcome.out
    assert "status=held" in node.requests[-1][1]
    assert "--cursor abc --status held --limit 2" in outcome.err
    node.deposits, node.next_cursor = [], None
    assert "There are no such deposits." in run("deposits", "list").out


def test_an_operator_says_whose_a_held_deposit_is(run: Run, node: PaidNode) -> None:
    deposit = str(examples.DEPOSIT["id"])
    outcome = run("deposits", "attribute", deposit, "--to", "cus_x", "--reason", "they wrote")
    assert outcome.status == Status.DONE
    assert "Credited:" in outcome.out
    run("deposits", "attribute", deposit, "--to", "par_x", "--reason", "theirs")
    assert node.bodies == [
        {"customer_id": "cus_x", "reason": "they wrote"},
        {"partner_id": "par_x", "reason": "theirs"},
    ]
    assert node.requests[-1][2] is not None
