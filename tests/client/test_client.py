"""What the client sends again, with which key, and what it makes of answers; over no network."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.http.signatures import Ed25519Signatures
from node.client import (
    AnswerLost,
    AsyncClient,
    Client,
    NodeAway,
    NotCorridor,
    Problem,
    WaitedTooLong,
    WebhookUnverified,
)
from node.client.problems import Conflict, QuoteExpired, RateLimited
from node.client.signing import RequestSigning
from node.client.webhooks import verify
from node.core.errors import SignatureInvalid
from node.core.partners import SIGNATURE_TAG, SignedRequest, signature_fault
from node.core.webhooks import (
    Keys,
    Message,
    headers_of,
    public_text,
    secret_text,
    sign,
    sign_ed25519,
)

ROOT = Path(__file__).resolve().parents[2]
URL = "http://node"
QUOTE: Any = {"sell": {"currency": "EUR", "amount": "1.00"}, "buy": {"currency": "USDC"}}
Answer = httpx.Response | Exception


def problem(status: int, code: str, **more: Any) -> httpx.Response:
    members = {"status": status, "code": code, "detail": "no", "retryable": status == 503, **more}
    return httpx.Response(status, json=members)


class Script:
    """Answers in turn, the last one for ever; keeps what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def keys(self) -> list[str | None]:
        return [each.headers.get("idempotency-key") for each in self.asked]


def client_of(script: Callable[[httpx.Request], httpx.Response], **more: Any) -> Client:
    transport = httpx.MockTransport(script)
    return Client(URL, "key", transport=transport, pauses_s=(0, 0, 0), **more)


@pytest.mark.parametrize(
    "first",
    [
        httpx.ReadTimeout("late"),
        httpx.ConnectError("down"),
        problem(500, "internal"),
        problem(409, "idempotency_in_progress"),
        problem(429, "rate_limited"),
        httpx.Response(502, text="a proxy"),
    ],
)
def test_what_may_not_have_been_done_is_sent_again_with_the_same_key(first: Answer) -> None:
    script = Script(first, httpx.Response(201, json={"id": "quo_1"}))
    assert client_of(script).create_quote(QUOTE)["id"] == "quo_1"
    assert len(script.keys) == 2
    assert len(set(script.keys)) == 1
    assert script.keys[0]


def test_each_request_has_a_key_of_its_own_unless_it_is_given() -> None:
    script = Script(httpx.Response(201, json={}))
    client = client_of(script)
    client.create_quote(QUOTE)
    client.create_quote(QUOTE)
    client.create_quote(QUOTE, key="mine")
    assert len(set(script.keys)) == 3
    assert script.keys[2] == "mine"


def test_a_refusal_is_not_sent_again_and_has_the_class_of_its_code() -> None:
    script = Script(problem(409, "quote_expired", expires_at="then"))
    with pytest.raises(QuoteExpired) as refused:
        client_of(script).create_transfer({"quote_id": "q", "beneficiary": {}})  # type: ignore[typeddict-item]
    assert isinstance(refused.value, Conflict)
    assert refused.value.members["expires_at"] == "then"
    assert len(script.asked) == 1


def test_a_code_that_is_new_is_a_problem_all_the_same() -> None:
    with pytest.raises(Problem) as refused:
        client_of(Script(problem(422, "of_tomorrow"))).show_me()
    assert (type(refused.value), refused.value.code) == (Problem, "of_tomorrow")


@pytest.mark.parametrize("last", [httpx.ReadTimeout("late"), problem(500, "internal")])
def test_what_nobody_can_say_is_said_with_the_key_to_ask_again(last: Answer) -> None:
    with pytest.raises(AnswerLost) as lost:
        client_of(Script(last)).create_quote(QUOTE, key="mine")
    assert lost.value.key == "mine"


def test_a_lost_answer_stays_open_when_later_attempts_are_turned_away_unread() -> None:
    with pytest.raises(AnswerLost) as lost:
        client_of(
            Script(httpx.ReadTimeout("late"), problem(401, "credential_invalid"))
        ).create_quote(QUOTE)
    assert lost.value.problem is not None


def test_a_node_that_was_never_reached_has_done_nothing() -> None:
    script = Script(httpx.ConnectError("down"))
    with pytest.raises(NodeAway):
        client_of(script).create_quote(QUOTE)
    assert len(script.asked) == 4


def test_a_node_that_asks_for_a_long_rest_is_not_waited_for() -> None:
    busy = problem(429, "rate_limited")
    busy.headers["retry-after"] = "3600"
    script = Script(busy)
    with pytest.raises(RateLimited):
        client_of(script).show_me()
    assert len(script.asked) == 1


def test_what_is_no_node_is_told_from_a_refusal() -> None:
    for answer in (httpx.Response(200, text="<html>"), httpx.Response(404, text="nginx")):
        with pytest.raises(NotCorridor):
            client_of(Script(answer)).show_me()


def test_lists_follow_their_cursor_as_they_are_read() -> None:
    script = Script(
        httpx.Response(200, json={"data": [{"id": "1"}, {"id": "2"}], "next_cursor": "c"}),
        httpx.Response(200, json={"data": [{"id": "3"}], "next_cursor": None}),
    )
    found = client_of(script).list_transfers(status="completed", limit=2)
    assert len(script.asked) == 0
    assert [each["id"] for each in found] == ["1", "2", "3"]
    assert dict(script.asked[1].url.params) == {"status": "completed", "limit": "2", "cursor": "c"}


def test_ids_cannot_lead_to_another_path() -> None:
    script = Script(httpx.Response(200, json={}))
    client_of(script).show_transfer("../quotes/x?y")
    assert script.asked[0].url.raw_path == b"/v1/transfers/..%2Fquotes%2Fx%3Fy"


def feed(request: httpx.Request) -> httpx.Response:
    """Seven events, of which those of transfers are even."""
    after, limit = int(request.url.params["after"]), int(request.url.params.get("limit", 2))
    found = [each for each in range(1, 8) if each > after][:limit]
    data = [
        {"sequence": each, "type": "quote.made" if each % 2 else "transfer.settled"}
        for each in found
    ]
    return httpx.Response(200, json={"data": data, "next_after": found[-1] if found else after})


def test_events_come_in_order_and_only_those_that_are_wanted() -> None:
    found = client_of(feed).events(after=1, types=["transfer"], poll_s=0)
    assert [each["sequence"] for each in islice(found, 3)] == [2, 4, 6]
    assert client_of(feed).newest_event() == 7


def test_events_wait_out_a_node_that_is_away() -> None:
    down = [httpx.ConnectError("down")] * 6

    def answer(request: httpx.Request) -> httpx.Response:
        if down:
            raise down.pop()
        return feed(request)

    assert next(client_of(answer).events(after=0, poll_s=0))["sequence"] == 1


def test_a_transfer_is_waited_for_until_it_has_ended_and_each_event_is_told_once() -> None:
    state = iter(["processing", "processing", "completed"])
    events = [{"sequence": each} for each in (1, 2, 3)]
    looks = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal looks
        if request.url.path.endswith("/events"):
            return httpx.Response(200, json={"data": events[:looks]})
        looks += 1
        return httpx.Response(200, json={"status": next(state)})

    told: list[int] = []
    ended = client_of(answer).wait_for_transfer(
        "tra_1", poll_s=0, on_event=lambda each: told.append(each["sequence"])
    )
    assert (ended["status"], told) == ("completed", [1, 2, 3])


def test_waiting_ends_in_time() -> None:
    script = Script(httpx.Response(200, json={"status": "processing"}))
    with pytest.raises(WaitedTooLong):
        client_of(script).wait_for_transfer("tra_1", timeout_s=0, poll_s=0)


def test_the_same_file_taken_the_same_way_has_the_same_key(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("client_reference\n")
    script = Script(httpx.Response(202, json={}))
    client = client_of(script)
    client.send_bulk(file)
    client.send_bulk(file.read_bytes(), "text/csv")
    client.send_bulk(file, buy_currency="USDC")
    assert script.keys[0] == script.keys[1] != script.keys[2]
    assert script.asked[0].headers["content-type"] == "text/csv"
    with pytest.raises(ValueError, match="say what the file is"):
        client.send_bulk(b"")


async def test_to_be_awaited_it_does_the_same() -> None:
    script = Script(httpx.ReadTimeout("late"), httpx.Response(201, json={"id": "quo_1"}))
    transport = httpx.MockTransport(script)
    async with AsyncClient(URL, "key", transport=transport, pauses_s=(0,)) as client:
        assert (await client.create_quote(QUOTE))["id"] == "quo_1"
    assert len(set(script.keys)) == 1
    async with AsyncClient(URL, "key", transport=httpx.MockTransport(feed)) as client:
        found = [each["sequence"] async for each in client.list_events(after=4)]
        assert (found, await client.newest_event()) == ([5, 6, 7], 7)


# ----------------------------------------------------------------------------- signing, webhooks


def test_each_attempt_is_signed_anew_as_the_node_asks() -> None:
    key = Ed25519PrivateKey.generate()
    script = Script(httpx.ReadTimeout("late"), httpx.Response(201, json={}))
    client_of(script, signing=RequestSigning("sig_1", key)).create_quote(QUOTE)
    nonces = set()
    for asked in script.asked:
        headers = [(name.lower(), value) for name, value in asked.headers.items()]
        target = asked.url.raw_path.decode()
        request = SignedRequest(asked.method, "node", target, headers, asked.content)
        claim = Ed25519Signatures().claim(request, SIGNATURE_TAG)
        assert signature_fault(request, claim, datetime.now(UTC)) is None  # noqa: TID251
        Ed25519Signatures().check(request, claim, key.public_key().public_bytes_raw())
        nonces.add(claim.nonce)
        other = SignedRequest(asked.method, "node", target, headers, asked.content + b" ")
        with pytest.raises(SignatureInvalid):
            Ed25519Signatures().check(other, claim, key.public_key().public_bytes_raw())
    assert len(nonces) == 2


def test_webhooks_are_verified_by_secret_and_by_public_key() -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    keys = Keys(b"s" * 32, b"e" * 32)
    body = b'{"type":"transfer.settled","timestamp":"2026-11-23T00:00:00Z","data":{"a":1}}'
    message = Message("del_1", int(now.timestamp()), body)
    headers = headers_of(message, [sign(keys.secret, message), sign_ed25519(keys.seed, message)])
    headers = {name.title(): value for name, value in headers.items()}
    for key in (secret_text(keys.secret), public_text(keys.public_key)):
        webhook = verify(key, headers, body, now=now)
        assert (webhook.id, webhook.type, webhook.data) == ("del_1", "transfer.settled", {"a": 1})
        with pytest.raises(WebhookUnverified):
            verify(key, headers, body + b" ", now=now)
        with pytest.raises(WebhookUnverified, match="300 s"):
            verify(key, headers, body, now=datetime(2026, 11, 24, tzinfo=UTC))


# -------------------------------------------------------------------------------- how it is made


def test_the_client_is_imported_with_httpx_alone() -> None:
    program = (
        "import sys; before = set(sys.modules); import httpx; known = set(sys.modules);"
        " import node.client; print(*sorted(set(sys.modules) - known))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    own = {each for each in loaded if each.split(".")[0] not in sys.stdlib_module_names}
    assert "node.client.client" in own
    assert {each for each in own if each != "node" and not each.startswith("node.client")} == set()


def test_what_is_made_of_the_openapi_document_is_up_to_date() -> None:
    """`python -m scripts.client_types` writes it anew."""
    ended = subprocess.run(
        [sys.executable, "-m", "scripts.client_types", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout, ended.returncode) == ("", 0), ended.stderr
