"""`corridor mirror`: where it stands, and two operators before a reorg past finality."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from node.api.mirror_examples import ACCEPTED, MIRROR, REORG, REORG_ID
from node.cli.faults import Status
from tests.cli.conftest import Run
from tests.cli.fake_node import FakeNode, problem, serving

BLOCK = REORG["block_hash"]
_PLAN = {
    **REORG["plan"],
    "shortfalls": [{"account": "customer/cus_1/USDC", "currency": "USDC", "amount": "5.000000"}],
    "corrections": [{"sequence": 9, "key": "break:1", "break_id": "brk_1", "code": "B04"}],
    "given_back": ["tra_1"],
    "movements": ["mov_1"],
}


@dataclass
class HaltedNode(FakeNode):
    """A node whose mirror stands still."""

    mirror: Any = field(default_factory=lambda: {**MIRROR, "proposal": None})
    refused: Any = None
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def answer(self, method: str, path: str, key: str | None, body: Any) -> Any:
        self.asked.append((f"{method} {path}", body))
        if method == "POST" and self.refused:
            return int(self.refused["status"]), self.refused
        at = path.partition("?")[0]
        told = {
            "GET /v1/mirror": (200, self.mirror),
            "GET /v1/mirror/reorgs": (200, {"data": [ACCEPTED], "next_cursor": "more"}),
            "POST /v1/mirror/reorgs": (201, {**REORG, "plan": _PLAN}),
            f"POST /v1/mirror/reorgs/{REORG_ID}/accept": (200, ACCEPTED),
        }
        return told.get(f"{method} {at}") or super().answer(method, path, key, body)


@pytest.fixture
def node() -> Iterator[HaltedNode]:
    with serving(HaltedNode()) as fake:
        assert isinstance(fake, HaltedNode)
        yield fake


def test_a_halted_mirror_says_so_and_what_to_do(node: HaltedNode, run: Run) -> None:
    shown = run("mirror", "status", "--url", node.url)
    assert shown.status == Status.NO
    assert "deep_reorg" in shown.out
    for told in ("final", "40", "0x0a0a", "42", "0x0e0e"):
        assert told in shown.out
    assert "corridor mirror accept-reorg --block" in shown.err
    node.mirror = {**MIRROR, "proposal": None}
    node.breaks = [
        {"story": ["The chain replaced what was final."], "evidence": {"provider a": "0x0c"}}
    ]
    alone = run("mirror", "status", "--url", node.url)
    assert "The chain replaced what was final.\nprovider a has 0x0c" in alone.out
    assert "corridor mirror accept-reorg --block 0x0c --reason" in alone.err
    node.breaks[0]["evidence"]["provider b"] = "0x0d"
    assert "--block 0x..." in run("mirror", "status", "--url", node.url).err
    node.mirror = {**MIRROR, "proposal": None, "halted": None}
    calm = run("mirror", "status", "--url", node.url)
    assert (calm.status, "deep_reorg" in calm.out) == (Status.DONE, False)
    node.mirror = {**node.mirror, "head": None}
    assert "has not begun" in run("mirror", "status", "--url", node.url).out
    told = json.loads(run("mirror", "status", "--url", node.url, "--json").out)
    assert told == node.mirror


def test_the_first_operator_proposes_and_is_shown_what_is_undone(
    node: HaltedNode, run: Run
) -> None:
    shown = run(
        "mirror", "accept-reorg", "--block", BLOCK.upper().replace("0X", "0x"),
        "--reason", "all agree", "--url", node.url,
    )  # fmt: skip
    assert shown.status == Status.DONE
    body = {"block_hash": BLOCK, "reason": "all agree"}
    assert node.asked[-1] == ("POST /v1/mirror/reorgs", body)
    for words in (
        "230.074048",
        "submitted",
        "Proposed",
        "5.000000 USDC",
        "brk_1",
        "mov_1",
        "0.000096000 ETH",
    ):
        assert words in shown.out
    assert f"corridor mirror accept-reorg --block {BLOCK}" in shown.err


def test_the_second_operator_accepts_what_waits_and_says_yes(node: HaltedNode, run: Run) -> None:
    node.mirror = MIRROR
    asked = ("mirror", "accept-reorg", "--block", BLOCK, "--url", node.url)
    unasked = run(*asked)
    assert (unasked.status, "--yes" in unasked.err) == (Status.USAGE, True)
    assert all(path.startswith("GET") for path, _ in node.asked)
    done = run(*asked, "--yes")
    assert done.status == Status.DONE
    assert node.asked[-1][0] == f"POST /v1/mirror/reorgs/{REORG_ID}/accept"
    assert "corridor settlement resume --reason deep_reorg" in done.err
    assert json.loads(run(*asked, "--yes", "--json").out) == ACCEPTED


def test_the_same_operator_is_told_that_another_is_needed(node: HaltedNode, run: Run) -> None:
    node.mirror = MIRROR
    node.refused = problem(
        409, "second_person_needed", "you proposed this yourself", made_by="olga"
    )
    refused = run("mirror", "accept-reorg", "--block", BLOCK, "--yes", "--url", node.url)
    assert refused.status == Status.REFUSED
    assert "another operator approves it, with a key of their own" in refused.err


def test_another_block_or_again_is_a_new_proposal(node: HaltedNode, run: Run) -> None:
    node.mirror = MIRROR
    for more in (("--block", "0x" + "01" * 32), ("--block", BLOCK, "--again")):
        assert run("mirror", "accept-reorg", *more, "--url", node.url).status == Status.DONE
        assert node.asked[-1][0] == "POST /v1/mirror/reorgs"


def test_reorgs_are_listed(node: HaltedNode, run: Run) -> None:
    shown = run("mirror", "reorgs", "--state", "accepted", "--url", node.url)
    assert "GET /v1/mirror/reorgs?state=accepted" in [path for path, _ in node.asked]
    assert REORG_ID in shown.out
    assert "operator:otto" in shown.out
    assert "--cursor more" in shown.err
