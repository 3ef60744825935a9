"""quote, send and watch, over HTTP against a fake node."""

import json
import os
import pty
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from node.cli import sending
from node.cli.client import NodeClient
from node.cli.connection import Where
from node.cli.faults import Fault, Status
from tests.cli.conftest import Run
from tests.cli.fake_node import CUSTOMER, TOKEN, TRANSFER_ID, FakeNode, problem

SEND = ("send", "200.00", "EUR", "USDC", "--to", "0xabc", "--customer", CUSTOMER["id"])
ORDER = sending.Order(
    amount="200.00",
    sell="EUR",
    buy="USDC",
    arrives=False,
    customer_id=CUSTOMER["id"],
    address="0xabc",
    name=None,
    country=None,
    client_reference=None,
)
QUIETLY = sending.Manner(assume_yes=True, watch=False, as_json=True)


def send_impatiently(node: FakeNode, state_dir: Path) -> None:
    """`corridor send --yes --json` that asks twice at most and does not wait in between."""
    sending.run(
        Where(node.url, TOKEN, state_dir),
        ORDER,
        QUIETLY,
        client_of=partial(NodeClient, pauses_s=(0.0,)),
    )


def test_a_quote_shows_both_amounts_every_fee_the_rate_and_the_age_of_its_source(run: Run) -> None:
    outcome = run("quote", "200.00", "eur", "usdc")
    assert outcome.status == Status.DONE
    for text in ("200.00 EUR", "230.074048 USDC", "0.60 EUR", "0.02 EUR", "1.15394748", "1.15626"):
        assert text in outcome.out
    assert "0.20 % below" in outcome.out
    assert "1.02 EUR (0.51 %)" in outcome.out
    assert "2026-11-20 15:00 UTC" in outcome.out
    assert "for play" in outcome.out
    assert "corridor send 200.00 EUR USDC" in outcome.err


def test_a_printed_command_names_the_state_directory_unless_it_is_the_default(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"--state-dir {tmp_path}/state\n" in run("quote", "1", "EUR", "USDC").err
    monkeypatch.delenv("CORRIDOR_STATE_DIR")
    assert "--state-dir" not in run("quote", "1", "EUR", "USDC").err


def test_json_of_a_quote_is_the_nodes_answer_and_nothing_else(run: Run) -> None:
    outcome = run("quote", "200.00", "EUR", "USDC", "--json")
    assert json.loads(outcome.out)["buy"] == {"currency": "USDC", "amount": "230.074048"}
    assert outcome.err == ""


def test_a_send_follows_the_transfer_to_its_end(run: Run, node: FakeNode) -> None:
    outcome = run(*SEND, "--yes")
    assert outcome.status == Status.DONE
    for words in ("money reserved", "sent to the chain", "not final yet (block 12)", "booked"):
        assert words in outcome.out
    assert "Ada, DE" in outcome.out
    assert len(node.transfers) == 1


def test_a_send_with_json_follows_the_transfer_to_its_end_too(run: Run, node: FakeNode) -> None:
    outcome = run(*SEND, "--yes", "--json")
    first, *events, last = [json.loads(line) for line in outcome.out.splitlines()]
    assert outcome.status == Status.DONE
    assert first["transfer"]["id"] == last["id"] == TRANSFER_ID
    assert [each["sequence"] for each in events] == [1, 2, 3, 4]
    assert last["status"] == "completed"
    node.looks, node.steps = 0, ("funded", "failed")
    assert run(*SEND, "--yes", "--json").status == Status.NO


def test_a_send_with_json_that_is_not_watched_is_one_document(run: Run, node: FakeNode) -> None:
    outcome = run(*SEND, "--yes", "--json", "--no-watch")
    assert outcome.status == Status.DONE
    (line,) = outcome.out.splitlines()
    assert json.loads(line)["transfer"]["id"] == TRANSFER_ID


def test_without_a_terminal_and_without_yes_nothing_is_sent(run: Run, node: FakeNode) -> None:
    outcome = run(*SEND)
    assert outcome.status == Status.USAGE
    assert "--yes" in outcome.err
    assert node.transfers == {}


def test_a_lost_answer_is_asked_for_again_with_the_same_key(run: Run, node: FakeNode) -> None:
    node.answers_to_lose = 1
    outcome = run(*SEND, "--yes", "--no-watch")
    keys = [key for method, path, key in node.requests if path == "/v1/transfers"]
    assert outcome.status == Status.DONE
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert len(node.transfers) == 1


def test_a_send_that_got_no_answer_is_found_again_by_the_same_command(
    node: FakeNode, run: Run, tmp_path: Path
) -> None:
    node.answers_to_lose = 2
    with pytest.raises(Fault, match="may or may not") as unanswered:
        send_impatiently(node, tmp_path / "state")
    assert unanswered.value.status is Status.AWAY
    outcome = run(*SEND, "--yes", "--no-watch")
    assert "it cannot be sent twice" in outcome.err
    assert TRANSFER_ID in outcome.out
    assert len(node.transfers) == 1
    # Its answer is there now, so the same command once more is a second send.
    run(*SEND, "--yes", "--no-watch")
    assert len(node.transfers) == 2


def test_a_send_that_never_arrived_starts_afresh_once_the_node_says_so(
    node: FakeNode, run: Run, tmp_path: Path
) -> None:
    node.unreached = 2
    with pytest.raises(Fault, match="may or may not"):
        send_impatiently(node, tmp_path / "state")
    node.refusal = problem(409, "quote_expired", "the quote has expired")
    outcome = run(*SEND, "--yes", "--no-watch")
    assert "It was not sent" in outcome.err
    assert outcome.status == Status.REFUSED
    assert list((tmp_path / "state" / "sends").iterdir()) == []


def test_a_revoked_credential_does_not_pass_for_a_send_that_was_refused(
    node: FakeNode, run: Run, tmp_path: Path
) -> None:
    node.answers_to_lose = 2
    with pytest.raises(Fault, match="may or may not"):
        send_impatiently(node, tmp_path / "state")
    node.answers_to_lose = 0
    node.transfers.clear()
    node.refusal = problem(401, "credential_invalid", "the credential was revoked")
    outcome = run(*SEND, "--yes", "--no-watch")
    assert "It was not sent" not in outcome.err
    assert len(list((tmp_path / "state" / "sends").iterdir())) == 1


def test_records_of_unanswered_sends_are_readable_by_their_owner_only(
    node: FakeNode, tmp_path: Path
) -> None:
    node.unreached = 2
    with pytest.raises(Fault, match="may or may not"):
        send_impatiently(node, tmp_path / "state")
    (record,) = (tmp_path / "state" / "sends").iterdir()
    assert record.stat().st_mode & 0o777 == 0o600
    assert record.parent.stat().st_mode & 0o777 == 0o700


def test_a_refusal_is_a_sentence_with_what_it_promises(run: Run, node: FakeNode) -> None:
    node.refusal = problem(
        422,
        "insufficient_funds",
        "the customer has too little",
        available={"currency": "EUR", "amount": "12.00"},
    )
    outcome = run(*SEND, "--yes")
    assert outcome.status == Status.REFUSED
    assert "the customer has too little" in outcome.err
    assert "available 12.00 EUR" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_refusal_that_a_command_can_mend_names_the_command(run: Run, node: FakeNode) -> None:
    node.refusal = problem(409, "quote_expired", "the quote has expired")
    assert "Remedy: run the same command again" in run(*SEND, "--yes").err


def test_each_wrong_member_is_named_with_its_own_fault(run: Run, node: FakeNode) -> None:
    errors = [
        {"pointer": "/sell/amount", "code": "amount_invalid", "message": "too many digits"},
        {"pointer": "/buy/currency", "code": "currency_unknown", "message": "no such currency"},
    ]
    node.refusal = problem(422, "invalid_body", "2 members are wrong", errors=errors)
    outcome = run(*SEND, "--yes")
    assert "/sell/amount: too many digits" in outcome.err
    assert "/buy/currency: no such currency" in outcome.err


def test_with_json_a_refusal_is_a_document_with_the_problem(run: Run, node: FakeNode) -> None:
    node.refusal = problem(422, "insufficient_funds", "the customer has too little")
    outcome = run(*SEND, "--yes", "--json")
    assert outcome.status == Status.REFUSED
    assert json.loads(outcome.out)["error"]["problem"]["code"] == "insufficient_funds"
    assert outcome.err == ""


def test_watch_ends_with_status_1_when_the_money_went_back(run: Run, node: FakeNode) -> None:
    node.steps = ("funded", "failed")
    outcome = run("watch", TRANSFER_ID)
    assert outcome.status == Status.NO
    assert "the token refuses the address (beneficiary_refused)" in outcome.out


def test_watch_with_json_is_one_event_on_a_line_and_the_transfer_last(run: Run) -> None:
    outcome = run("watch", TRANSFER_ID, "--json")
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert outcome.status == Status.DONE
    assert [line["sequence"] for line in lines[:-1]] == [1, 2, 3, 4]
    assert lines[-1]["status"] == "completed"


def test_watch_that_gives_up_says_the_transfer_goes_on(run: Run, node: FakeNode) -> None:
    node.steps = ("funded",)
    outcome = run("watch", TRANSFER_ID, "--wait-s", "1")
    assert outcome.status == Status.AWAY
    assert "it goes on" in outcome.err


def test_an_unknown_transfer_is_refused_in_words(run: Run) -> None:
    outcome = run("watch", "tra_none")
    assert outcome.status == Status.REFUSED
    assert "there is no such object" in outcome.err


def test_in_a_terminal_ctrl_c_leaves_the_transfer_going_and_says_how_to_come_back(
    run: Run, node: FakeNode
) -> None:
    del run  # its environment is wanted, in a process of its own
    node.steps = ("funded", "submitted")
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "node", "watch", TRANSFER_ID],
        stdin=its_end,
        stdout=its_end,
        stderr=its_end,
    )
    os.close(its_end)
    shown = read_until(terminal, b"waiting for a block")
    assert b"money reserved" in shown
    process.send_signal(signal.SIGINT)
    shown = read_until(terminal, f"corridor watch {TRANSFER_ID}".encode())
    assert b"goes on without this command" in shown
    assert process.wait(timeout=60) == Status.INTERRUPTED
    os.close(terminal)


def read_until(terminal: int, text: bytes) -> bytes:
    """What the terminal shows, up to `text`; fails when it ends before."""
    shown = b""
    while text not in shown:
        shown += os.read(terminal, 4096)
    return shown
