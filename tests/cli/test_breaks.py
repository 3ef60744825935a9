"""`corridor breaks`: what is shown, what is asked of the node, and who must agree."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from node.api import break_examples, examples
from node.cli.faults import Status
from tests.cli.conftest import Run
from tests.cli.fake_node import FakeNode, problem, serving

BREAK: dict[str, Any] = dict(examples.BREAK)
PATH = f"/v1/reconciliation/breaks/{BREAK['id']}"
PROPOSED: dict[str, Any] = {
    **BREAK,
    "state": "proposed",
    "proposal": {
        "made_by": "operator:first",
        "made_at": "2026-11-22T10:00:00Z",
        "reason": "theirs",
        "kind": "correction",
        "reference": "",
        "entries": [
            {"debit": "suspense/31337/USDC", "credit": "customer/cus_x/USDC", "currency": "USDC",
             "amount": "5.000000"}
        ],
    },
}  # fmt: skip


@dataclass
class BrokenNode(FakeNode):
    """A node with one break; the first operator proposes, and may not approve."""

    found: dict[str, Any] = field(default_factory=lambda: dict(BREAK))
    proposed: dict[str, Any] = field(default_factory=lambda: dict(PROPOSED))
    is_first: bool = True
    bodies: list[Any] = field(default_factory=list)

    def answer(self, method: str, path: str, key: str | None, body: Any) -> Any:
        self.requests.append((method, path, key))
        if method == "POST":
            self.bodies.append(body)
        answers: dict[tuple[str, str], tuple[int, Any]] = {
            ("GET", "/v1/reconciliation/breaks"): (
                200, {"data": [self.found], "next_cursor": None}
            ),
            ("GET", PATH): (200, self.found),
            ("GET", f"{PATH}/history"): (200, break_examples.HISTORY),
            ("POST", f"{PATH}/assign"): (200, {**self.found, **(body or {})}),
            ("POST", f"{PATH}/resolve"): (200, self.proposed),
            ("POST", f"{PATH}/withdraw"): (200, self.found),
            ("POST", f"{PATH}/approve"): (
                (409, problem(409, "second_person_needed", "you proposed this yourself"))
                if self.is_first
                else (200, break_examples.APPROVED)
            ),
        }  # fmt: skip
        return answers[method, path.partition("?")[0]]


@pytest.fixture
def node() -> Iterator[BrokenNode]:
    with serving(BrokenNode()) as fake:
        assert isinstance(fake, BrokenNode)
        yield fake


def test_breaks_are_listed_with_the_id_that_other_commands_take(run: Run, node: BrokenNode) -> None:
    outcome = run("breaks", "list", "--code", "B04")
    assert outcome.status == Status.DONE
    assert BREAK["id"] in outcome.out
    assert "status=open" in node.requests[-1][1]
    assert "code=B04" in node.requests[-1][1]
    assert f"corridor breaks show {BREAK['id']}" in outcome.err


def test_a_break_is_shown_with_its_story_and_history(run: Run) -> None:
    outcome = run("breaks", "show", BREAK["id"])
    assert outcome.status == Status.DONE
    for told in (*BREAK["story"], *BREAK["evidence"].values(), "opened by"):
        assert told in outcome.out
    shown = json.loads(run("breaks", "show", BREAK["id"], "--json").out)
    assert shown == {**BREAK, "history": break_examples.HISTORY["data"]}


def test_a_break_is_given_to_somebody_and_back(run: Run, node: BrokenNode) -> None:
    assert "looked after by night" in run("breaks", "assign", BREAK["id"], "--owner", "night").out
    assert "looked after by nobody" in run("breaks", "assign", BREAK["id"]).out
    assert node.bodies == [{"owner": "night"}, {"owner": None}]


def test_what_two_must_agree_on_is_shown_and_the_second_is_told_how(
    run: Run, node: BrokenNode
) -> None:
    entry = "suspense/31337/USDC customer/cus_x/USDC 5.00 USDC"
    outcome = run("breaks", "resolve", BREAK["id"], "--reason", "theirs", "--entry", entry)
    assert outcome.status == Status.DONE
    assert node.bodies[-1] == {
        "reason": "theirs",
        "entries": [
            {"debit": "suspense/31337/USDC", "credit": "customer/cus_x/USDC", "amount": "5.00",
             "currency": "USDC"}
        ],
    }  # fmt: skip
    assert node.requests[-1][2] is not None
    assert "nothing is booked yet" in outcome.out
    assert "corridor breaks approve" in outcome.err


def test_a_payout_is_concluded_with_its_evidence_by_two(run: Run, node: BrokenNode) -> None:
    node.found = {**BREAK, "code": "B32"}
    shown = run("breaks", "show", BREAK["id"])
    assert f"corridor breaks conclude {BREAK['id']} given_back" in shown.err
    node.proposed = {
        **PROPOSED,
        "proposal": {**PROPOSED["proposal"], "kind": "given_back", "reference": "letter 7"},
    }
    outcome = run(
        "breaks", "conclude", BREAK["id"], "given_back", "--reason", "bankrupt",
        "--evidence", "letter 7",
    )  # fmt: skip
    assert outcome.status == Status.DONE
    conclusion = {"outcome": "given_back", "evidence": "letter 7"}
    assert node.bodies[-1] == {"reason": "bankrupt", "conclusion": conclusion}
    assert node.requests[-1][1] == f"{PATH}/resolve"
    assert "the customer has its money again" in outcome.out
    assert "evidence: letter 7" in outcome.out
    assert "corridor breaks approve" in outcome.err


def test_the_second_person_closes_it_and_the_first_is_told_who_may(
    run: Run, node: BrokenNode
) -> None:
    refused = run("breaks", "approve", BREAK["id"])
    assert refused.status == Status.REFUSED
    assert "corridor keys create operator" in refused.err
    node.is_first = False
    closed = run("breaks", "approve", BREAK["id"])
    assert closed.status == Status.DONE
    assert "Closed." in closed.out


def test_a_withdrawn_proposal_leaves_the_break_open(run: Run) -> None:
    outcome = run("breaks", "withdraw", BREAK["id"], "--reason", "another one's")
    assert outcome.status == Status.DONE
    assert "nothing is proposed" in outcome.out


def test_an_entry_that_is_not_four_words_is_never_sent(run: Run, node: BrokenNode) -> None:
    outcome = run("breaks", "resolve", BREAK["id"], "--reason", "x", "--entry", "a b 5.00")
    assert outcome.status == Status.USAGE
    assert "four words" in outcome.err
    assert node.bodies == []
