"""The commands of the guide as the served page prints them, run by a new partner's shell.

Everything comes from `/docs`: the boxes are run in the order of the page, in one shell, against a
devnet of two nodes, and each framed answer is compared with what the node said to that box.
"""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from node.devnet.programs import free_port
from tests.e2e.conftest import Network, corridor
from tests.e2e.two_nodes import TwoNodes
from tests.scratch import scratch_root

LIMIT_S: Final = 180
_MARK: Final = "=== "
_RUN: Final = "run-"
"""Begins the id of each box that is for the shell; that of its answer ends in..."""
_ANSWER: Final = "-answer"


class Boxes(HTMLParser):
    """Text of each `pre` that has an id, in the order of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._open: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "pre" and (name := dict(attrs).get("id")):
            self._open = name
            self.found[name] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.found[self._open] += data


@dataclass(frozen=True)
class Session:
    """What was printed on the page, and in the shell.

    Attributes:
        boxes: By id.
        said: By id of the box, to which it is the output.
    """

    boxes: Mapping[str, str]
    said: Mapping[str, str]


def shell(program: str, directory: Path, **variables: str) -> str:
    """All that bash prints; a failed command is shown and ends nothing, as at a prompt."""
    ended = subprocess.run(
        ["bash", "-u"],
        input=program,
        cwd=directory,
        env={**os.environ, **variables},  # noqa: TID251
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def new_partner(network: Network) -> str:
    """A partner of the operator's making; its key."""
    made = corridor("keys", "create", "partner", "guided", "--json", state_dir=network.state_dir)
    assert made.returncode == 0, made.stdout + made.stderr
    token: str = json.loads(made.stdout)["token"]
    return token


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    """Two nodes, so that there is somebody who pays out pesos."""
    with (
        tempfile.TemporaryDirectory(prefix="e2e-", dir=scratch_root()) as root,
        TwoNodes.running(Path(root) / "state") as running,
    ):
        yield running


@pytest.fixture(scope="module")
def boxes(nodes: TwoNodes) -> Mapping[str, str]:
    """Of the page that the node serves."""
    return Boxes(
        httpx.get(nodes.berlin.node["url"] + "/docs", timeout=30).raise_for_status().text
    ).found


@pytest.fixture(scope="module")
def session(nodes: TwoNodes, boxes: Mapping[str, str]) -> Session:
    """Every box in the order of the page, with the partner's values where it says to write them."""
    commands = {
        name.removeprefix(_RUN): text
        for name, text in boxes.items()
        if name.startswith(_RUN) and not name.endswith(_ANSWER)
    }
    lines = "".join(f"printf '\\n{_MARK}%s\\n' {name}\n{text}\n" for name, text in commands.items())
    for printed, own in (
        ("http://127.0.0.1:8000", nodes.berlin.node["url"]),
        ("the-key-that-the-operator-gave-you", new_partner(nodes.berlin)),
        ("9000", str(free_port())),
    ):
        assert printed in lines
        lines = lines.replace(printed, own)
    with tempfile.TemporaryDirectory(prefix="guide-", dir=scratch_root()) as directory:
        _, *parts = shell(lines, Path(directory)).split(f"\n{_MARK}")
    said = {name: text for name, _, text in (part.partition("\n") for part in parts)}
    assert list(said) == list(commands)
    return Session(boxes, said)


def documents(text: str) -> Iterator[Any]:
    """JSON objects of an output, one after the other, and its other lines that are not empty."""
    rest = text.lstrip()
    while rest:
        if rest.startswith("{"):
            document, end = json.JSONDecoder().raw_decode(rest)
            yield document
        else:
            end = (rest + "\n").index("\n")
            yield rest[:end]
        rest = rest[end:].lstrip()


def shown(text: str) -> list[Any]:
    """What an answer of the page says; a member or an element `…` says that more were there."""
    inside = re.sub(r"([\w\"\]}])\s*…\s*(?=})", r'\1, "…": null', text)
    inside = re.sub(r"([\w\"\]}])\s*…\s*(?=\])", r'\1, "…"', inside)
    return list(documents(inside))


def compare(printed: Any, real: Any, place: str) -> None:
    """The same members of the same types, where the page does not say that it left some out."""
    if isinstance(printed, dict) and isinstance(real, dict):
        members = printed.keys() - {"…"}
        assert members <= real.keys(), f"{place}: the node has no {members - real.keys()}"
        assert "…" in printed or members == real.keys(), f"{place}: there is more"
        for name in members:
            compare(printed[name], real[name], f"{place}.{name}")
    elif isinstance(printed, list) and isinstance(real, list):
        whole = [each for each in printed if each != "…"]
        assert len(whole) == len(real) if whole == printed else len(whole) <= len(real), place
        for n, (one, other) in enumerate(zip(whole, real, strict=False)):
            compare(one, other, f"{place}[{n}]")
    else:
        assert type(printed) is type(real), f"{place}: {printed!r}, and the node says {real!r}"


def test_a_new_partner_comes_from_its_key_to_a_completed_transfer_by_the_page_alone(
    session: Session,
) -> None:
    me, *_ = documents(session.said["first-2-shell"])
    assert (me["name"], me["role"]) == ("guided", "partner")
    transfer, timeline = documents(session.said["first-6-follow"])
    assert (transfer["status"], transfer["settlement"]["final"]) == ("completed", True)
    types = [each["type"] for each in timeline["data"]]
    assert (types[0], types[-1]) == ("transfer.funded", "transfer.settled")


def test_pesos_arrive_by_the_page_alone(session: Session) -> None:
    _, transfer = documents(session.said["payout-2-send"])
    assert (transfer["state"], transfer["buy"]["currency"]) == ("paid_out", "PHP")


def test_the_printed_receiver_takes_the_nodes_webhook_for_genuine(session: Session) -> None:
    *_, last = session.said["webhook-3-test"].split("\ngenuine ")
    assert json.loads(last.partition("\n")[0])["type"] == "webhook.test"


def test_a_bulk_transfer_by_the_page_rejects_the_row_that_is_wrong_on_purpose(
    session: Session,
) -> None:
    rows = session.said["bulk"].partition("\nline,")[2].strip().splitlines()[1:]
    assert [row.split(",")[2] for row in rows] == ["accepted", "rejected"]


def test_every_answer_on_the_page_is_what_the_node_says(session: Session) -> None:
    answers = [name for name in session.boxes if name.endswith(_ANSWER)]
    assert {"run-first-4-quote-answer", "run-reports-answer"} <= set(answers)
    for name in answers:
        said = session.said[name.removeprefix(_RUN).removesuffix(_ANSWER)]
        printed, real = shown(session.boxes[name]), list(documents(said))
        objects = [[each for each in found if isinstance(each, dict)] for found in (printed, real)]
        assert len(objects[0]) == len(objects[1]), f"{name}: {said}"
        for one, other in zip(*objects, strict=True):
            compare(one, other, name)
        for line in printed:
            if isinstance(line, str) and line.startswith(("line,", "transfer_id,")):
                assert line in real, f"{name}: other columns"


def test_on_a_network_of_ones_own_its_file_says_address_and_key(
    nodes: TwoNodes, boxes: Mapping[str, str], tmp_path: Path
) -> None:
    told = shell(
        boxes["first-1-devnet"] + '\necho "$URL $KEY"\n', tmp_path,
        CORRIDOR_STATE_DIR=str(nodes.berlin.state_dir),
    )  # fmt: skip
    node = nodes.berlin.node
    assert told.split() == [node["url"], node["keys"]["partner"]]
