"""The guide says what the node does: drawings as the tables of moves, programs that work."""

import base64
import html
import re
import runpy
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import node.api.guide
from adapters.http.signatures import Ed25519Signatures
from node.api.guide import lifecycles
from node.api.guide.drawing import Arrow, Box
from node.api.problems import MEANING
from node.api.routes import OPERATIONS
from node.core.deposits import REQUEST_MOVES
from node.core.errors import SignatureInvalid
from node.core.parties import Role
from node.core.partners import SIGNATURE_TAG, SignedRequest, signature_fault
from node.core.payouts import PAYOUT_MOVES, REFUND_MOVES, PayoutState
from node.core.quotes import QUOTE_MOVES
from node.core.transfers import MOVES, State
from node.core.webhooks import (
    DELIVERY_MOVES,
    Keys,
    Message,
    headers_of,
    public_text,
    secret_text,
    sign,
    sign_ed25519,
)

SNIPPETS = Path(node.api.guide.__file__).parent / "snippets"
BODY = b'{"type":"transfer.settled","timestamp":"2026-11-23T00:00:00Z","data":{}}'


def program(name: str) -> Mapping[str, Any]:
    """What a program of the guide defines."""
    return runpy.run_path(str(SNIPPETS / f"{name}.txt"))


def moves_drawn(arrows: Sequence[Arrow], boxes: Sequence[Box]) -> set[tuple[str, str]]:
    """Pairs of states; an arrow to a box of several is one to its first or to others of it."""
    drawn = {(each.source, each.target) for each in arrows}
    return drawn | {(each.target, each.source) for each in arrows if each.both}


@pytest.mark.parametrize(
    ("boxes", "arrows", "moves", "states"),
    [
        (
            lifecycles.TRANSFER_BOXES,
            lifecycles.TRANSFER_ARROWS,
            {(before.value, after.value) for (before, _), after in MOVES.items()},
            State,
        ),
        (
            lifecycles.PAYOUT_BOXES,
            lifecycles.PAYOUT_ARROWS,
            {(a.value, b.value) for a, found in PAYOUT_MOVES.items() for b in found},
            PayoutState,
        ),
    ],
    ids=["transfer", "payout"],
)
def test_a_drawing_has_every_state_and_no_move_that_there_is_not(
    boxes: Sequence[Box],
    arrows: Sequence[Arrow],
    moves: set[tuple[str, str]],
    states: type[StrEnum],
) -> None:
    assert sorted(state for box in boxes for state in box.states) == sorted(states)
    assert moves_drawn(arrows, boxes) <= moves


@pytest.mark.parametrize(
    ("boxes", "moves"),
    [
        (lifecycles.QUOTE_BOXES, QUOTE_MOVES),
        (lifecycles.REQUEST_BOXES, REQUEST_MOVES),
        (lifecycles.REFUND_BOXES, REFUND_MOVES),
        (lifecycles.DELIVERY_BOXES, DELIVERY_MOVES),
    ],
    ids=["quote", "payment request", "refund", "delivery"],
)
def test_a_small_drawing_has_every_state_and_every_move(
    boxes: Sequence[Box], moves: Mapping[StrEnum, frozenset[StrEnum]]
) -> None:
    states = [state for box in boxes for state in box.states]
    assert sorted(states) == sorted(each.value for each in type(next(iter(moves))))
    expected = {(before.value, after.value) for before, all_ in moves.items() for after in all_}
    assert moves_drawn(lifecycles.arrows_of(moves), boxes) == expected


def test_the_tables_say_something_of_every_state() -> None:
    assert [each.state for each in lifecycles.transfer_rows()] == list(State)
    assert [each.state for each in lifecycles.payout_rows()] == list(PayoutState)
    for name, moves in (
        ("quote", QUOTE_MOVES),
        ("request", REQUEST_MOVES),
        ("refund", REFUND_MOVES),
        ("delivery", DELIVERY_MOVES),
    ):
        rows = lifecycles.small_lifecycles()[name].rows
        assert {each.state for each in rows} == {each.value for each in moves}
        assert all(each.meaning for each in rows)


async def test_the_guide_has_every_code_and_every_operation_of_partners_and_no_script(
    client: httpx.AsyncClient,
) -> None:
    page = (await client.get("/docs")).text
    for code in MEANING:
        assert f'<tr id="{code}">' in page
    for each in OPERATIONS:
        if each.who is None or Role.PARTNER in each.who:
            assert f"<code>{each.method} {each.path}</code>" in page
    assert "<script" not in page
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    for anchor in re.findall(r'href="#([^"]+)"', page):
        assert anchor in identifiers


async def test_every_program_and_every_answer_is_on_the_page(client: httpx.AsyncClient) -> None:
    page = html.unescape((await client.get("/docs")).text)
    for folder in (SNIPPETS, SNIPPETS.parent / "answers"):
        for each in sorted(folder.iterdir()):
            assert each.read_text().rstrip() in page, each.name


def test_the_program_that_signs_makes_signatures_that_the_node_accepts() -> None:
    key, now = Ed25519PrivateKey.generate(), datetime.now(UTC)  # noqa: TID251 - a signer's clock
    headers = program("sign_request")["signed"](
        key,
        "sig_1",
        "POST",
        "https://node.example/v1/quotes?a=1",
        {"Idempotency-Key": "k", "Content-Type": "application/json"},
        BODY,
        int(now.timestamp()),
    )
    lines = [(name.lower(), value) for name, value in headers.items()]
    request = SignedRequest("POST", "node.example", "/v1/quotes?a=1", lines, BODY)
    claim = Ed25519Signatures().claim(request, SIGNATURE_TAG)
    assert signature_fault(request, claim, now) is None
    Ed25519Signatures().check(request, claim, key.public_key().public_bytes_raw())
    other = SignedRequest("POST", "node.example", "/v1/quotes?a=2", lines, BODY)
    with pytest.raises(SignatureInvalid):
        Ed25519Signatures().check(other, claim, key.public_key().public_bytes_raw())


@pytest.mark.parametrize(
    ("name", "function"),
    [("verify_webhook", "is_genuine"), ("verify_webhook_ed25519", "is_genuine_by_key")],
)
def test_the_programs_that_verify_accept_the_nodes_webhooks_and_no_other(
    name: str, function: str
) -> None:
    keys, now_s = Keys(b"s" * 32, b"e" * 32), 1_795_363_200
    message = Message("del_1", now_s, BODY)
    headers = dict(
        headers_of(message, [sign(keys.secret, message), sign_ed25519(keys.seed, message)])
    )
    key = secret_text(keys.secret) if function == "is_genuine" else public_text(keys.public_key)
    is_genuine = program(name)[function]
    assert is_genuine(key, headers, BODY, now_s + 299)
    assert not is_genuine(key, headers, BODY + b" ", now_s)
    assert not is_genuine(key, headers, BODY, now_s + 301)
    forged = base64.b64encode(b"x" * 64).decode()
    assert not is_genuine(
        key, {**headers, "webhook-signature": f"v1,{forged} v1a,{forged}"}, BODY, now_s
    )
