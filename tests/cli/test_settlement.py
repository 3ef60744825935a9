"""`corridor settlement`: what is shown, what is asked of the node, and how it ends."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from node.api import adoption_examples, examples, settlement_examples, treasury_examples
from node.cli.faults import Status
from node.cli.settlement import ether
from tests.cli.conftest import Run
from tests.cli.fake_node import TRANSFER_ID, FakeNode, problem, serving

LOOK = settlement_examples.SETTLEMENT
LANE = settlement_examples.SPENT_LANE
BATCH = settlement_examples.BATCH
CALM = {**LOOK, "alerts": [], "transfers": [], "pauses": []}
_CREATED = {"POST /v1/settlement/movements", "POST /v1/settlement/rules"}
TREASURY = LOOK["addresses"][0]["address"]
CONTRACT = LOOK["contract"]["address"]


@dataclass
class SettlingNode(FakeNode):
    """A node whose answers about settlement a test sets."""

    look: Any = field(default_factory=lambda: CALM)
    rows: list[Any] = field(default_factory=lambda: [settlement_examples.BATCH_ROW])
    lanes: list[Any] = field(default_factory=lambda: [LANE])
    movements: list[Any] = field(default_factory=lambda: [treasury_examples.MOVEMENT])
    rules: list[Any] = field(default_factory=lambda: [treasury_examples.RULE])
    adoption: Any = field(default_factory=lambda: adoption_examples.ADOPTION)
    next_cursor: str | None = None
    refused: Any = None
    paths: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    def answer(self, method: str, path: str, key: str | None, body: Any) -> Any:
        self.paths.append(f"{method} {path}")
        self.bodies.append(body)
        self.keys.append(key)
        if method == "POST" and self.refused:
            return int(self.refused["status"]), self.refused
        told = self._told(body)
        asked = f"{method} {path.partition('?')[0]}"
        for known in sorted(told, key=len, reverse=True):
            if asked == known or (known.endswith("/") and asked.startswith(known)):
                return (201 if asked in _CREATED else 200), told[known]
        return super().answer(method, path, key, body)

    def _told(self, body: Any) -> dict[str, Any]:
        """Answers by method and path; of objects by the path they are under."""
        at = "/v1/settlement"
        return {
            f"GET {at}": self.look,
            f"GET {at}/lanes": {"data": self.lanes, "pauses": self.look["pauses"]},
            f"GET {at}/batches": {"data": self.rows, "next_cursor": self.next_cursor},
            f"GET {at}/batches/": BATCH,
            f"GET {at}/spending": settlement_examples.SPENDING,
            f"GET {at}/movements": {"data": self.movements, "next_cursor": self.next_cursor},
            f"GET {at}/movements/": (self.movements or [None])[0],
            f"GET {at}/rules": {"data": self.rules, "next_cursor": None},
            f"GET {at}/adoption": self.adoption,
            f"POST {at}/adoption": {**self.adoption, "written": True},
            f"POST {at}/pause": {"data": [{**examples.PAUSE, **(body or {})}]},
            f"POST {at}/resume": {"data": []},
            f"POST {at}/movements": treasury_examples.MOVEMENT,
            f"POST {at}/rules": treasury_examples.RULE,
            f"POST {at}/rules/": treasury_examples.RULE_ENDED,
            "POST /v1/transfers/": examples.CANCELED,
        }


@pytest.fixture
def node() -> Iterator[SettlingNode]:
    with serving(SettlingNode()) as fake:
        assert isinstance(fake, SettlingNode)
        yield fake


def test_a_node_that_works_says_that_nothing_needs_a_person(run: Run) -> None:
    outcome = run("settlement", "status")
    assert outcome.status == Status.DONE
    for told in ("Nothing needs a person.", "No transfer is under way.", CONTRACT, TREASURY,
                 "49999769.925952 USDC", "1000000.000000 USDC", "127.0.0.1:8545",
                 "Settlement is not paused."):  # fmt: skip
        assert told in outcome.out


def test_what_is_critical_comes_first_and_is_the_status(run: Run, node: SettlingNode) -> None:
    node.look = {**LOOK, "pauses": [examples.PAUSE]}
    outcome = run("settlement", "status")
    assert outcome.status == Status.NO
    assert outcome.out.startswith("critical token_paused")
    assert "do: nothing is lost" in outcome.out
    assert "690.222144 USDC" in outcome.out
    assert "corridor settlement resume --reason operator" in outcome.err
    node.look = {**LOOK, "alerts": [{**settlement_examples.ALERT, "severity": "warning"}]}
    assert run("settlement", "status").status == Status.DONE


def test_a_contract_never_seen_says_who_looks(run: Run, node: SettlingNode) -> None:
    blank = dict.fromkeys(LOOK["contract"]) | {"address": CONTRACT}
    node.look = {**CALM, "contract": blank}
    assert "a worker looks" in run("settlement", "status").out


def test_a_program_gets_the_documents_of_the_node(run: Run, node: SettlingNode) -> None:
    for command, document in (
        (("status",), CALM),
        (("lanes",), {"data": [LANE], "pauses": []}),
        (("batches",), {"data": node.rows, "next_cursor": None}),
        (("batch", examples.BATCH_ID), BATCH),
        (("spending",), settlement_examples.SPENDING),
        (("movements",), {"data": node.movements, "next_cursor": None}),
        (("movement", examples.MOVEMENT_ID), treasury_examples.MOVEMENT),
        (("rules", "list"), {"data": node.rules, "next_cursor": None}),
        (("resume",), {"data": []}),
        (("rules", "end", examples.RULE_ID), treasury_examples.RULE_ENDED),
        (("cancel", TRANSFER_ID), examples.CANCELED),
    ):
        outcome = run("settlement", *command, "--json")
        assert json.loads(outcome.out) == document, command
        assert outcome.status == Status.DONE


def test_a_lane_is_shown_with_what_holds_its_line_up(run: Run, node: SettlingNode) -> None:
    head = {**LANE["head_of_line"], "last_answer": "funds", "last_message": "too [poor]"}
    node.lanes = [{**LANE, "head_of_line": head, "balance_wei": "1"}]
    shown = run("settlement", "lanes").out
    for told in (LANE["address"], "settle", "0.000000000000000001, low", "worker-1", "2 final",
                 "nonce 2", "funds: too [poor]", examples.BATCH_ID):  # fmt: skip
        assert told in shown
    node.lanes = [{**LANE, "head_of_line": None, "lease_owner": None}]
    shown = run("settlement", "lanes").out
    assert "nothing waits for a block" in shown
    node.lanes = [{**LANE, "retired": True}]
    assert "active, retired" in run("settlement", "lanes").out
    assert "nobody" in shown


def test_lists_that_are_empty_say_so(run: Run, node: SettlingNode) -> None:
    node.rows, node.lanes, node.movements, node.rules = [], [], [], []
    assert "no lanes yet" in run("settlement", "lanes").out
    assert "no such batches" in run("settlement", "batches").out
    assert "no such movements" in run("settlement", "movements").out
    rules = run("settlement", "rules", "list")
    assert "There are no rules" in rules.out
    assert "corridor settlement rules add float" in rules.err


def test_batches_are_filtered_and_the_next_page_is_named(run: Run, node: SettlingNode) -> None:
    node.next_cursor = "abc"
    outcome = run("settlement", "batches", "--state", "included", "--limit", "1")
    assert node.paths[-1] == "GET /v1/settlement/batches?state=included&limit=1"
    assert "1/1" in outcome.out
    assert "0.000096000000672" in outcome.out
    assert "--cursor abc --state included --limit 1" in outcome.err
    assert f"corridor settlement batch {examples.BATCH_ID}" in outcome.err


def test_a_batch_is_shown_with_every_attempt_and_payment(run: Run) -> None:
    shown = run("settlement", "batch", examples.BATCH_ID).out
    for told in ("230.074048", "fee_history", "2001000000", "accepted", "settled", "12, not final",
                 "96000 of 410000", "each 96000 gas"):  # fmt: skip
        assert told in shown


def test_what_gas_cost_is_shown_by_purpose_and_in_all(run: Run, node: SettlingNode) -> None:
    outcome = run("settlement", "spending", "--from", "2026-11-01T00:00:00Z")
    assert node.paths[-1].endswith("/spending?from=2026-11-01T00%3A00%3A00Z")
    assert [line.split()[0] for line in outcome.out.splitlines()[2:]] == ["settle", "all"]
    assert "0.00105000000735" in outcome.out


def test_a_pause_is_asked_for_and_its_end_is_named(run: Run, node: SettlingNode) -> None:
    paused = run("settlement", "pause", "--hard", "--note", "a [look]")
    assert node.bodies[-1] == {"hard": True, "note": "a [look]"}
    assert "a [look]" in paused.out
    assert "corridor settlement resume --reason operator" in paused.err
    assert "not paused" in run("settlement", "resume", "--reason", "float").out
    assert node.bodies[-1] == {"reason": "float"}


@pytest.mark.parametrize("action", ["cancel", "void", "release"])
def test_a_transfer_is_moved_with_a_key_of_its_own(
    run: Run, node: SettlingNode, action: str
) -> None:
    assert run("settlement", action, TRANSFER_ID).status == Status.DONE
    assert node.paths[-1] == f"POST /v1/transfers/{TRANSFER_ID}/{action}"
    first = node.keys[-1]
    run("settlement", action, TRANSFER_ID)
    assert first is not None
    assert node.keys[-1] != first


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (
            ("top-up", "5.00"),
            {"kind": "float_top_up", "from": TREASURY, "to": CONTRACT, "currency": "USDC",
             "amount": "5.00"},
        ),
        (
            ("gas", "0.5", "--to", "0xab"),
            {"kind": "lane_gas", "from": TREASURY, "to": "0xab", "currency": "ETH",
             "amount": "0.5"},
        ),
        (
            ("sweep", "0.5", "--from", "0xab", "--currency", "eth"),
            {"kind": "sweep", "from": "0xab", "to": TREASURY, "currency": "ETH", "amount": "0.5"},
        ),
        (
            ("sweep", "5", "--from", "0xab"),
            {"kind": "sweep", "from": "0xab", "to": TREASURY, "currency": "USDC", "amount": "5"},
        ),
        (
            ("rescue", "7"),
            {"kind": "rescue", "from": CONTRACT, "to": TREASURY, "currency": "USDC",
             "amount": "7"},
        ),
    ],
)  # fmt: skip
def test_own_money_moves_between_the_addresses_that_the_command_means(
    run: Run, node: SettlingNode, arguments: tuple[str, ...], body: Any
) -> None:
    contract = {"address": CONTRACT, "role": "contract", "holdings": []}
    node.look = {**CALM, "addresses": [contract, *CALM["addresses"]]}
    outcome = run("settlement", *arguments, "--yes")
    assert outcome.status == Status.DONE
    assert node.bodies[-1] == body
    assert node.keys[-1] is not None
    assert "corridor settlement movement mov_" in outcome.err


def test_money_is_not_moved_unless_somebody_says_yes(run: Run, node: SettlingNode) -> None:
    contract = {"address": CONTRACT, "role": "contract", "holdings": []}
    node.look = {**CALM, "addresses": [contract, *CALM["addresses"]]}
    outcome = run("settlement", "top-up", "5.00")
    assert outcome.status == Status.USAGE
    assert "--yes" in outcome.err
    assert not any(each.startswith("POST") for each in node.paths)


def test_a_node_without_a_treasury_says_which_setting_is_missing(
    run: Run, node: SettlingNode
) -> None:
    node.look = {**CALM, "addresses": []}
    outcome = run("settlement", "top-up", "5.00", "--yes")
    assert outcome.status == Status.REFUSED
    assert "CORRIDOR_TREASURY_SIGNER" in outcome.err


def test_a_movement_says_what_it_waits_for_and_why_it_failed(run: Run, node: SettlingNode) -> None:
    failure = {"code": "too_large", "message": "more [than] there is"}
    node.movements = [{**treasury_examples.MOVEMENT, "waiting": "gas_low", "failure": failure}]
    shown = run("settlement", "movement", examples.MOVEMENT_ID).out
    assert "gas_low" in shown
    assert "too_large: more [than] there is" in shown
    assert "requested (too_large)" in run("settlement", "movements").out
    node.movements = [{**treasury_examples.MOVEMENT, "waiting": "gas_low"}]
    assert "requested (gas_low)" in run("settlement", "movements", "--state", "requested").out
    assert node.paths[-1].endswith("/movements?state=requested")


def test_a_rule_is_made_listed_and_ended(run: Run, node: SettlingNode) -> None:
    limits = ("--mark", "1", "--fill-to", "5", "--daily-limit", "20")
    assert run("settlement", "rules", "add", "gas", *limits, "--to", "0xab").status == Status.DONE
    assert node.bodies[-1] == {
        "kind": "lane_gas", "currency": "ETH", "mark": "1", "fill_to": "5", "daily_limit": "20",
        "to": "0xab",
    }  # fmt: skip
    run("settlement", "rules", "add", "float", *limits)
    assert (node.bodies[-1]["kind"], node.bodies[-1]["currency"]) == ("float_top_up", "USDC")
    assert examples.RULE_ID in run("settlement", "rules", "list").out
    assert "status=in_force" in node.paths[-1]
    run("settlement", "rules", "list", "--all")
    assert "status" not in node.paths[-1]
    assert "ended" in run("settlement", "rules", "end", examples.RULE_ID).out
    wrong = run("settlement", "rules", "add", "fun", *limits)
    assert (wrong.status, "float or gas" in wrong.err) == (Status.USAGE, True)


def test_what_is_to_be_adopted_is_shown_and_nothing_changes(run: Run, node: SettlingNode) -> None:
    outcome = run("settlement", "adopt")
    assert outcome.status == Status.NO
    assert {each.split()[0] for each in node.paths} == {"GET"}
    assert "new" in outcome.out
    assert "corridor settlement adopt --confirm" in outcome.err


def test_adoption_that_has_to_wait_says_for_what_and_does_not_offer_to_confirm(
    run: Run, node: SettlingNode
) -> None:
    node.adoption = {**adoption_examples.ADOPTION, "waits_for": ["nonce 7 is not final"]}
    outcome = run("settlement", "adopt")
    assert "waits: nonce 7 is not final" in outcome.out
    assert "--confirm" not in outcome.err


def test_adoption_is_confirmed_and_the_pause_stays(run: Run, node: SettlingNode) -> None:
    outcome = run("settlement", "adopt", "--confirm")
    assert outcome.status == Status.DONE
    assert node.bodies[-1] == {"confirm": True}
    assert "The pause stays" in outcome.out
    assert "corridor settlement resume --reason foreign_nonce" in outcome.err


def test_a_node_that_knows_everything_has_nothing_to_adopt(run: Run, node: SettlingNode) -> None:
    node.adoption = {**adoption_examples.ADOPTION, "needed": False, "written": False}
    outcome = run("settlement", "adopt")
    assert (outcome.status, "Nothing is to be adopted" in outcome.out) == (Status.DONE, True)


def test_a_refusal_is_told_in_the_nodes_words(run: Run, node: SettlingNode) -> None:
    node.look = {**CALM, "addresses": [{**CALM["addresses"][0], "address": CONTRACT,
                                        "role": "contract"}, *CALM["addresses"]]}  # fmt: skip
    node.refused = problem(409, "refused", "the contract is [not] paused")
    refused = run("settlement", "rescue", "5", "--yes")
    assert refused.status == Status.REFUSED
    assert "the contract is [not] paused" in refused.err


def test_no_figure_is_cut_however_narrow_the_terminal_is(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns in ("40", "80", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        shown = run("settlement", "batches").out
        for figure in ("230.074048", "96000", "0.000096000000672"):
            assert figure in shown.split(), columns


@pytest.mark.parametrize("columns", ["80", "100", "120", "200"])
def test_addresses_and_hashes_are_whole_words_that_can_be_copied(
    run: Run, node: SettlingNode, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    node.look = LOOK
    tx_hash = "0x" + "ab" * 32
    payments: Any = BATCH["payments"]
    for command, words in (
        (("status",), {CONTRACT, TREASURY, LANE["address"]}),
        (("adopt",), {LANE["address"], tx_hash}),
        (("batch", examples.BATCH_ID), {tx_hash, payments[0]["beneficiary"]}),
    ):
        shown = {word.rstrip(",:") for word in run("settlement", *command).out.split()}
        assert words <= shown, (command, columns)
        assert all(len(word) in (42, 66) for word in shown if word.startswith("0x")), command


@pytest.mark.parametrize("amount", ["1,000", "1e3", "5.", ".5", "five", "\u0665", "1" * 39])
def test_what_is_no_amount_is_told_before_anything_is_asked(
    run: Run, node: SettlingNode, amount: str
) -> None:
    usual = {"--mark": "1", "--fill-to": "5", "--daily-limit": "20"}
    rules = [[word for pair in (usual | {name: amount}).items() for word in pair] for name in usual]
    for command in (
        ["top-up", amount],
        ["gas", amount, "--to", "0xab"],
        ["sweep", amount, "--from", "0xab"],
        ["rescue", amount],
        *(["rules", "add", "float", *each] for each in rules),
    ):
        outcome = run("settlement", *command)
        assert (outcome.status, node.paths) == (Status.USAGE, []), command
        assert amount in outcome.err
    as_json = json.loads(run("settlement", "top-up", amount, "--yes", "--json").out)
    assert amount in as_json["error"]["message"]


@pytest.mark.parametrize(
    ("wei", "told"),
    [("0", "0"), ("1", "0.000000000000000001"), ("250000000000000000", "0.25"),
     (str(10**18), "1"), (str(12 * 10**18 + 5), "12.000000000000000005")],
)  # fmt: skip
def test_wei_are_told_exactly(wei: str, told: str) -> None:
    assert ether(wei) == told
