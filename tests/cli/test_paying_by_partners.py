"""quote, send and payouts, of what a partner pays out, over HTTP against a fake node."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from node.api import peer_examples as examples
from node.cli.faults import Status
from tests.cli.conftest import Run
from tests.cli.fake_node import CUSTOMER, QUOTE, TRANSFER_ID, FakeNode, problem, serving

PHP = {"currency": "PHP", "amount": "13157.39"}
LEGS = [
    {"partner": None, "sell": QUOTE["sell"], "buy": QUOTE["buy"], "fees": QUOTE["fees"]},
    {
        "partner": "manila",
        "sell": QUOTE["buy"],
        "buy": PHP,
        "fees": [{"type": "network", "currency": "USDC", "amount": "0.100000"}],
    },
]
TO = ("--account", "001234567890", "--bank", "BOPIPHMM", "--name", "Maria", "--country", "PH")
SEND = ("send", "200.00", "EUR", "PHP", "--customer", CUSTOMER["id"], "--yes", "--no-watch")


@dataclass
class PartneredNode(FakeNode):
    """A node whose quotes a partner pays out; `bodies` are those of POSTs, by path."""

    bodies: dict[str, Any] = field(default_factory=dict)

    def answer(self, method: str, path: str, key: str | None, body: Any) -> tuple[int, Any] | None:
        if method == "POST":
            self.bodies[path] = body
        own = f"/v1/transfers/{TRANSFER_ID}"
        answers: dict[str, tuple[int, Any]] = {
            "/v1/quotes": (201, {**QUOTE, "buy": PHP, "legs": LEGS}),
            "/v1/transfers": (201, examples.AT_PARTNER),
            f"{own}/correct": (200, examples.AT_PARTNER),
            f"{own}/refund": (200, examples.SENT_BACK),
            "/v1/transfers/tra_other/refund": (409, problem(409, "wrong_state", "it is settled")),
        }
        if method == "POST" and path in answers:
            self.requests.append((method, path, key))
            return answers[path]
        return super().answer(method, path, key, body)


@pytest.fixture
def node() -> Iterator[PartneredNode]:
    with serving(PartneredNode()) as fake:
        assert isinstance(fake, PartneredNode)
        yield fake


def test_a_quote_that_a_partner_pays_out_shows_both_legs_and_the_fees_of_both(
    run: Run, node: PartneredNode
) -> None:
    outcome = run("quote", "200.00", "EUR", "PHP", "--payout", "partner", "--partner", "manila")
    assert outcome.status == Status.DONE
    assert node.bodies["/v1/quotes"]["payout"] == {"method": "partner", "partner": "manila"}
    for told in ("13157.39 PHP", "0.60 EUR", "manila", "230.074048 USDC", "0.100000 USDC"):
        assert told in outcome.out
    assert "--account NUMBER --bank CODE" in outcome.err
    assert "--partner manila" in outcome.err


def test_a_partner_is_named_for_what_a_partner_pays_only(run: Run, node: PartneredNode) -> None:
    assert run("quote", "1", "EUR", "USDC", "--partner", "manila").status == Status.USAGE
    assert node.requests == []


def test_a_send_to_an_account_is_quoted_and_sent_as_a_partners_payout(
    run: Run, node: PartneredNode
) -> None:
    outcome = run(*SEND, *TO, "--if-refused", "correct")
    assert outcome.status == Status.DONE, outcome.err
    assert node.bodies["/v1/quotes"]["payout"] == {"method": "partner"}
    sent = node.bodies["/v1/transfers"]
    assert sent["beneficiary"] == {
        "name": "Maria",
        "country": "PH",
        "account": {"number": "001234567890", "bank_code": "BOPIPHMM"},
    }
    assert sent["refund_policy"] == "correct"
    assert "001234567890 at BOPIPHMM" in outcome.out
    assert "manila, pay_" in outcome.out


@pytest.mark.parametrize(
    "where",
    [
        (),
        ("--to", "0xabc", *TO),
        ("--account", "1"),
        ("--to", "0xabc", "--partner", "manila"),
        ("--to", "0xabc", "--if-refused", "correct"),
    ],
)
def test_a_send_says_once_where_the_money_goes(
    run: Run, node: PartneredNode, where: tuple[str, ...]
) -> None:
    assert run(*SEND, *where).status == Status.USAGE
    assert node.requests == []


def test_a_transfer_at_a_partner_is_corrected_and_asked_back(run: Run, node: PartneredNode) -> None:
    own = f"/v1/transfers/{TRANSFER_ID}"
    assert run("payouts", "correct", TRANSFER_ID, *TO).status == Status.DONE
    assert node.bodies[f"{own}/correct"]["beneficiary"]["account"]["bank_code"] == "BOPIPHMM"
    outcome = run("payouts", "refund", TRANSFER_ID)
    assert outcome.status == Status.DONE
    assert node.bodies[f"{own}/refund"] == {}
    for told in ("undeliverable", "sent_back", "manila"):
        assert told in outcome.out
    assert run("payouts", "refund", "tra_other").status == Status.REFUSED
