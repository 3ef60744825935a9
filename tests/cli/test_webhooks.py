"""`corridor webhooks` and `corridor listen`: what is asked of the node, shown and forwarded."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from standardwebhooks.webhooks import Webhook

from node.api import examples
from node.api import webhook_examples as hooks
from node.cli.faults import Status
from tests.cli.conftest import Run
from tests.cli.fake_node import FakeNode, problem, serving
from tests.services.hooked import receiver

ENDPOINT = f"/v1/webhook-endpoints/{hooks.ENDPOINT_ID}"
DELIVERY = f"/v1/webhook-deliveries/{hooks.DELIVERY_ID}"


@dataclass
class HookedNode(FakeNode):
    """A node with one endpoint, one delivery and some events."""

    bodies: list[Any] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    next_cursor: str | None = None

    def answer(self, method: str, path: str, key: str | None, body: Any) -> Any:
        self.requests.append((method, path, key))
        if method == "POST":
            self.bodies.append(body)
        place = path.partition("?")[0]
        if place == "/v1/events":
            return 200, self._page(path)
        if place.endswith("/redeliver-since"):
            return 200, {"count": 3, "next_after": None if body["after"] > 8 else 9}
        if method == "POST" and "url" in (body or {}) and not body["url"].startswith("https://"):
            return 422, problem(422, "webhook_url_refused", "the URL must begin with https")
        failed = {**hooks.ATTEMPT, "status": None, "error": "no answer within 10 s"}
        log = [failed, hooks.ATTEMPT]
        return {
            ("GET", "/v1/webhook-endpoints"): (
                200,
                self._listed(
                    hooks.DISABLED,
                    {**hooks.ENDPOINT, "failing_since": hooks.DISABLED["disabled_at"]},
                ),
            ),
            ("POST", "/v1/webhook-endpoints"): (201, hooks.SHOWN),
            ("POST", f"{ENDPOINT}/rotate-secret"): (200, hooks.ROTATED),
            ("POST", f"{ENDPOINT}/test"): (201, hooks.TEST),
            ("POST", f"{ENDPOINT}/disable"): (200, hooks.DISABLED),
            ("POST", f"{ENDPOINT}/enable"): (200, {**hooks.ENDPOINT, "missed_after": 57}),
            ("GET", f"{ENDPOINT}/deliveries"): (200, self._listed(hooks.DELIVERY)),
            ("GET", DELIVERY): (200, {**hooks.PENDING, "log": log}),
            ("POST", f"{DELIVERY}/redeliver"): (200, hooks.PENDING),
        }[method, place]

    def _listed(self, *rows: Any) -> dict[str, Any]:
        return {"data": list(rows), "next_cursor": self.next_cursor}

    def _page(self, path: str) -> dict[str, Any]:
        asked = parse_qs(urlsplit(path).query)
        after, limit = int(asked["after"][0]), int(asked["limit"][0])
        data = [each for each in self.events if each["sequence"] > after][:limit]
        return {"data": data, "next_after": data[-1]["sequence"] if data else after}


def an_event(sequence: int, event_type: str = "transfer.funded") -> dict[str, object]:
    return {**examples.EVENT, "sequence": sequence, "type": event_type}


@pytest.fixture
def node() -> Iterator[HookedNode]:
    with serving(HookedNode()) as fake:
        assert isinstance(fake, HookedNode)
        yield fake


def test_a_new_endpoint_shows_its_secret_once(run: Run, node: HookedNode) -> None:
    outcome = run(
        "webhooks", "create", "https://example.com/hook", "--event", "transfer", "--event",
        "deposit.credited", "--partner", "par_1",
    )  # fmt: skip
    assert outcome.status == Status.DONE
    assert str(hooks.SHOWN["secret"]) in outcome.out
    assert str(hooks.SHOWN["public_key"]) in outcome.out
    assert node.bodies == [
        {
            "url": "https://example.com/hook",
            "events": ["transfer", "deposit.credited"],
            "partner_id": "par_1",
        }
    ]
    assert node.requests[-1][2] is not None
    shown = run("webhooks", "create", "https://example.com/hook", "--json")
    assert json.loads(shown.out) == hooks.SHOWN


def test_a_refused_url_is_told(run: Run) -> None:
    outcome = run("webhooks", "create", "http://example.com/hook")
    assert outcome.status == Status.REFUSED
    assert "webhook_url_refused" in outcome.err


def test_endpoints_are_listed_page_by_page(run: Run, node: HookedNode) -> None:
    node.next_cursor = "next"
    outcome = run("webhooks", "list", "--limit", "1")
    for told in (
        hooks.ENDPOINT_ID, "disabled (by its partner), 2026-11-22 16:00 UTC",
        "active, failing since 2026-11-22 16:00 UTC", "transfer",
    ):  # fmt: skip
        assert told in outcome.out
    assert "corridor webhooks list --cursor next" in outcome.err


def test_a_rotation_tells_until_when_the_old_secret_signs(run: Run, node: HookedNode) -> None:
    outcome = run("webhooks", "rotate", hooks.ENDPOINT_ID, "--keep", "3600")
    assert node.bodies == [{"keep_previous_s": 3600}]
    assert "signs as well until 2026-11-23 16:00 UTC" in outcome.out


@pytest.mark.parametrize(("action", "status"), [("disable", "disabled"), ("enable", "active")])
def test_an_endpoint_is_disabled_and_enabled(
    run: Run, node: HookedNode, action: str, status: str
) -> None:
    outcome = run("webhooks", action, hooks.ENDPOINT_ID)
    assert node.requests[-1][1] == f"{ENDPOINT}/{action}"
    assert outcome.out.strip() == f"{hooks.ENDPOINT_ID} is {status}."
    assert ("--since 57" in outcome.err) == (action == "enable")


def test_a_test_says_where_to_look(run: Run) -> None:
    outcome = run("webhooks", "test", hooks.ENDPOINT_ID)
    assert "webhook.test" in outcome.out
    assert f"corridor webhooks show {hooks.DELIVERY_ID}" in outcome.err


def test_deliveries_are_listed_and_one_is_shown_with_its_log(run: Run, node: HookedNode) -> None:
    outcome = run("webhooks", "deliveries", hooks.ENDPOINT_ID, "--status", "delivered")
    for told in (hooks.DELIVERY_ID, "57", "transfer.funded", "delivered", "204"):
        assert told in outcome.out
    assert "status=delivered" in node.requests[-1][1]
    shown = run("webhooks", "show", hooks.DELIVERY_ID)
    for told in ("no answer within 10 s", "204", "pending", "42"):
        assert told in shown.out


def test_one_delivery_or_all_since_an_event_are_sent_again(run: Run, node: HookedNode) -> None:
    assert run("webhooks", "redeliver", hooks.DELIVERY_ID).status == Status.DONE
    outcome = run("webhooks", "redeliver", hooks.ENDPOINT_ID, "--since", "5")
    assert outcome.out.strip() == "6 events are sent."
    assert node.bodies[1:] == [{"after": 5}, {"after": 9}]


def test_listening_prints_what_happens_from_now_on(run: Run, node: HookedNode) -> None:
    node.events = [an_event(each) for each in (3, 7, 21)]
    outcome = run("listen", "--for", "1")
    assert outcome.status == Status.DONE
    assert outcome.out == ""
    assert "listening after event 21" in outcome.err
    node.events = []
    assert "listening after event 0" in run("listen", "--for", "1").err


def test_listening_after_an_event_shows_the_events_asked_for(run: Run, node: HookedNode) -> None:
    node.events = [
        an_event(3),
        an_event(7, "transfer.settled"),
        an_event(8, "deposit.credited"),
        an_event(9, "transfer.settled"),
    ]
    told = run("listen", "--after", "3", "--event", "transfer.settled", "--for", "1").out
    assert [line.split()[1:3] for line in told.splitlines()] == [
        ["7", "transfer.settled"],
        ["9", "transfer.settled"],
    ]


def test_listening_forwards_webhooks_signed_with_the_secret_it_prints(
    run: Run, node: HookedNode
) -> None:
    node.events = [an_event(each) for each in (3, 7)]
    with receiver(lambda came: (500 if came.data["sequence"] == 7 else 204, {}, b"")) as here:
        outcome = run("listen", "--after", "0", "--forward-to", here.url, "--for", "1", "--json")
    first, *told = [json.loads(line) for line in outcome.out.splitlines()]
    assert [each["forwarded"]["status"] for each in told] == [204, 500]
    assert here.sequences == [3, 7]
    for came in here.received:
        checked = Webhook(first["secret"]).verify(came.body, came.headers)
        assert checked["data"] in node.events
    assert here.received[0].id != here.received[1].id


def test_a_receiver_that_is_away_is_told_and_listening_goes_on(run: Run, node: HookedNode) -> None:
    node.events = [an_event(each) for each in (3, 7)]
    with receiver() as here:
        gone = here.url
    outcome = run("listen", "--after", "0", "--forward-to", gone, "--for", "1")
    assert len(outcome.out.splitlines()) == 2
    assert "Connection refused" in outcome.out
    wrong = run("listen", "--forward-to", "127.0.0.1:9000")
    assert wrong.status == Status.USAGE
