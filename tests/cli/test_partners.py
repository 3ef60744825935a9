"""`corridor partner` and `corridor keys`: what is shown, what is asked of the node."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from node.api import partner_examples as examples
from node.cli.credentials import seconds
from node.cli.faults import Fault, Status
from node.core.parties import Scope
from tests.cli.conftest import Run
from tests.cli.fake_node import FakeNode, problem, serving

PATH = f"/v1/partners/{examples.PARTNER_ID}"
NAME = str(examples.PARTNER["name"])
ANSWERS = {
    ("GET", "/v1/partners"): (200, {"data": [examples.PARTNER], "next_cursor": None}),
    ("GET", PATH): (200, examples.PARTNER),
    ("GET", f"{PATH}/balances"): (200, {"data": [examples.BALANCE]}),
    ("GET", f"{PATH}/keys"): (200, {"data": [examples.KEY], "next_cursor": None}),
    ("GET", f"{PATH}/signing-keys"): (200, {"data": [examples.SIGNING_KEY], "next_cursor": None}),
    ("POST", "/v1/partners"): (201, examples.PARTNER),
    ("POST", f"{PATH}/prefundings"): (201, examples.PREFUNDING),
}


@dataclass
class PartneredNode(FakeNode):
    """A node with one partner."""

    bodies: list[Any] = field(default_factory=list)

    def answer(self, method: str, path: str, key: str | None, body: Any) -> Any:
        self.requests.append((method, path, key))
        if method == "POST":
            self.bodies.append(body)
        plain = path.partition("?")[0]
        if method == "POST" and plain == f"{PATH}/prefundings" and body["reference"] == "used":
            return 409, problem(409, "reference_used", "booked before")
        if method == "POST" and plain == f"{PATH}/terms":
            return 200, {**examples.PARTNER, "status": body.get("status", "active")}
        return ANSWERS.get((method, plain)) or super().answer(method, path, key, body)


@pytest.fixture
def node() -> Iterator[PartneredNode]:
    with serving(PartneredNode()) as fake:
        assert isinstance(fake, PartneredNode)
        yield fake


def test_who_makes_a_partner_is_told_what_each_scope_is_for_and_which_sets_up_webhooks(
    run: Run,
) -> None:
    outcome = run("partner", "create", NAME, "--country", "PH")
    assert outcome.status == Status.DONE, outcome.err
    for scope in Scope:
        assert f"\n{scope.value} " in outcome.out
    assert "its webhooks" in outcome.out
    assert f"corridor keys create partner {NAME} --scopes read,quote,pay" in outcome.err
    assert f"corridor keys create partner {NAME} --name setup --scopes read,admin" in outcome.err


def test_a_partner_is_made_on_the_terms_that_are_named(run: Run, node: PartneredNode) -> None:
    outcome = run(
        "partner", "create", "exchange", "--country", "ph", "--currency", "eur",
        "--credit-line", "50", "--sell-max", "none", "--spread-bps", "15", "--signed",
    )  # fmt: skip
    assert outcome.status == Status.DONE, outcome.err
    assert node.bodies == [
        {
            "name": "exchange",
            "country": "PH",
            "requires_signature": True,
            "spread_bps": 15,
            "limits": [{"currency": "EUR", "credit_line": "50", "sell_max": None}],
        }
    ]
    assert "corridor keys create partner exchange" in outcome.out + outcome.err


@pytest.mark.parametrize("partner", [NAME, examples.PARTNER_ID])
def test_a_partner_is_shown_with_its_money_and_its_keys(run: Run, partner: str) -> None:
    outcome = run("partner", "show", partner)
    assert outcome.status == Status.DONE, outcome.err
    for told in (NAME, "15 bps", "5800.00", examples.KEY_ID, "read,quote,pay", "signatures"):
        assert told in outcome.out
    shown = json.loads(run("partner", "show", partner, "--json").out)
    assert (shown["balances"], shown["keys"]) == ([examples.BALANCE], [examples.KEY])


def test_a_changed_limit_leaves_the_others_of_its_currency(run: Run, node: PartneredNode) -> None:
    outcome = run("partner", "terms", NAME, "--currency", "EUR", "--sell-max", "7")
    assert outcome.status == Status.DONE, outcome.err
    assert node.bodies == [{"limits": [{**examples.LIMIT, "sell_max": "7"}]}]
    run("partner", "terms", NAME, "--spread-bps", "corridor", "--unsigned")
    assert node.bodies[1:] == [{"requires_signature": False, "spread_bps": "corridor"}]


def test_terms_that_say_nothing_or_name_no_currency_are_not_sent(
    run: Run, node: PartneredNode
) -> None:
    assert run("partner", "terms", NAME).status == Status.USAGE
    assert run("partner", "terms", NAME, "--credit-line", "5").status == Status.USAGE
    assert node.bodies == []


def test_a_partner_is_suspended_and_resumed(run: Run, node: PartneredNode) -> None:
    assert "suspended" in run("partner", "suspend", NAME).out
    assert "active" in run("partner", "resume", NAME).out
    assert node.bodies == [{"status": "suspended"}, {"status": "active"}]


def test_a_prefunding_is_booked_and_a_used_reference_is_refused(run: Run) -> None:
    arrived = ("partner", "prefund", NAME, "20000.00", "EUR", "--rail", "sandbox_bank")
    assert "20000.00 EUR" in run(*arrived, "--reference", "wire-71").out
    refused = run(*arrived, "--reference", "used")
    assert refused.status == Status.REFUSED
    assert "booked before" in refused.err


def test_a_name_that_no_partner_has_is_refused(run: Run) -> None:
    outcome = run("partner", "show", "nobody")
    assert outcome.status == Status.REFUSED
    assert "nobody" in outcome.err


@pytest.mark.parametrize(
    ("text", "expected"), [(None, None), ("90d", 7_776_000), ("12h", 43_200), ("5s", 5)]
)
def test_a_time_is_written_with_its_unit(text: str | None, expected: int | None) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "90", "0d", "1.5h", "-1d", "1w"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(Fault):
        seconds(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("operator", "olga", "--scopes", "read"),
        ("operator", "olga", "--name", "backend"),
        ("remitter", "cus_x", "--expires", "1d"),
        ("partner", "shop", "--scopes", "everything"),
        ("nobody", "x"),
    ],
)
def test_keys_that_cannot_be_are_refused_before_the_database_is_asked(
    run: Run, arguments: tuple[str, ...]
) -> None:
    assert run("keys", "create", *arguments).status == Status.USAGE
