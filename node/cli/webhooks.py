"""`corridor webhooks ...`: endpoints and deliveries."""

import secrets
from collections.abc import Sequence
from typing import Final

from rich.markup import escape

from node.cli.client import AnswerLost, Json, NodeClient
from node.cli.connection import Where, operator
from node.cli.console import columns, day_time, next_steps, pairs, print_json, print_table, stdout
from node.cli.faults import Fault, Status

_PATH: Final = "/v1/webhook-endpoints"
_TIMEOUT_S: Final = 15.0


def endpoints(where: Where, query: dict[str, str], *, as_json: bool) -> None:
    """Show a page of endpoints."""
    with NodeClient(operator(where)) as client:
        page = client.get(_PATH, timeout_s=_TIMEOUT_S, **query)
    if as_json:
        print_json(page)
        return
    if not page["data"]:
        stdout().print("There are no webhook endpoints.")
        return
    table = columns("endpoint", "status", "url", "events", "whose", words=("endpoint", "whose"))
    for each in page["data"]:
        table.add_row(
            each["id"], escape(_status(each)),
            escape(each["url"]), ", ".join(each["events"]) or "all",
            each["partner_id"] or "operators",
        )  # fmt: skip
    print_table(table)
    _older(where, "corridor webhooks list", page)


def create(
    where: Where, url: str, events: Sequence[str], partner_id: str | None, *, as_json: bool
) -> None:
    """Make an endpoint and show its secret, once."""
    body: dict[str, object] = {"url": url, "events": list(events)}
    if partner_id is not None:
        body["partner_id"] = partner_id
    with NodeClient(operator(where)) as client:
        made = _post(client, _PATH, body)
    _show_secret(where, made, as_json=as_json)


def rotate(where: Where, endpoint_id: str, keep_s: int | None, *, as_json: bool) -> None:
    """Make a new secret and show it, once."""
    body: dict[str, object] = {} if keep_s is None else {"keep_previous_s": keep_s}
    with NodeClient(operator(where)) as client:
        made = _post(client, f"{_PATH}/{endpoint_id}/rotate-secret", body)
    _show_secret(where, made, as_json=as_json)


def test(where: Where, endpoint_id: str, *, as_json: bool) -> None:
    """Send a test."""
    with NodeClient(operator(where)) as client:
        made = _post(client, f"{_PATH}/{endpoint_id}/test", {})
    if as_json:
        print_json(made)
        return
    _print_delivery(made)
    next_steps((where.command(f"corridor webhooks show {made['id']}"), "see what came of it"))


def change(where: Where, endpoint_id: str, action: str, *, as_json: bool) -> None:
    """Disable or enable an endpoint."""
    with NodeClient(operator(where)) as client:
        found = client.post(f"{_PATH}/{endpoint_id}/{action}", {})
    if as_json:
        print_json(found)
        return
    stdout().print(f"{found['id']} is {found['status']}.")
    if action == "enable":
        after = "SEQUENCE" if found["missed_after"] is None else found["missed_after"]
        command = f"corridor webhooks redeliver {found['id']} --since {after}"
        next_steps((where.command(command), "send what it missed"))


def deliveries(where: Where, endpoint_id: str, query: dict[str, str], *, as_json: bool) -> None:
    """Show a page of deliveries."""
    with NodeClient(operator(where)) as client:
        page = client.get(f"{_PATH}/{endpoint_id}/deliveries", timeout_s=_TIMEOUT_S, **query)
    if as_json:
        print_json(page)
        return
    if not page["data"]:
        stdout().print("There are no such deliveries.")
        return
    figures = ("event", "attempts")
    table = columns(
        "delivery", "event", "type", "status", "attempts", "last", "next",
        figures=figures, words=("delivery",),
    )  # fmt: skip
    for each in page["data"]:
        following = each["next_attempt_at"]
        table.add_row(
            each["id"], str(each["event_sequence"] or ""), each["type"], each["status"],
            str(each["attempts"]), _last(each), "" if following is None else day_time(following),
        )  # fmt: skip
    print_table(table)
    options = f" --status {query['status']}" if "status" in query else ""
    _older(where, f"corridor webhooks deliveries {endpoint_id}{options}", page)


def show(where: Where, delivery_id: str, *, as_json: bool) -> None:
    """Show a delivery with its log."""
    with NodeClient(operator(where)) as client:
        found = client.get(f"/v1/webhook-deliveries/{delivery_id}")
    if as_json:
        print_json(found)
        return
    _print_delivery(found)
    if not found["log"]:
        return
    stdout().print()
    figures = ("attempt", "ms")
    table = columns("attempt", "at", "answer", "ms", "what it said", figures=figures)
    for each in found["log"]:
        table.add_row(
            str(each["attempt"]), day_time(each["at"]),
            str(each["status"] or "") or escape(each["error"]),
            str(each["duration_ms"]), escape(each["answer"][:200]),
        )  # fmt: skip
    print_table(table)


def redeliver(where: Where, delivery_id: str, *, as_json: bool) -> None:
    """Send a delivery again."""
    with NodeClient(operator(where)) as client:
        found = _post(client, f"/v1/webhook-deliveries/{delivery_id}/redeliver", {})
    if as_json:
        print_json(found)
    else:
        _print_delivery(found)


def redeliver_since(where: Where, endpoint_id: str, since: int, *, as_json: bool) -> None:
    """Send every event after one, in as many steps as it takes."""
    count, after = 0, since
    with NodeClient(operator(where)) as client:
        while True:
            told = _post(client, f"{_PATH}/{endpoint_id}/redeliver-since", {"after": after})
            count += int(told["count"])
            if told["next_after"] is None:
                break
            after = int(told["next_after"])
    if as_json:
        print_json({"count": count})
    else:
        stdout().print(f"{count} events are sent.")


def _post(client: NodeClient, path: str, body: Json) -> Json:
    try:
        return client.post_once(path, body, key=f"cli-{secrets.token_hex(16)}")
    except AnswerLost as lost:
        raise Fault(
            f"the node at {lost} did not answer, and may or may not have done it",
            remedy="look before you ask again: `corridor webhooks list`",
            status=Status.AWAY,
        ) from None


def _show_secret(where: Where, made: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    rows = [
        ("endpoint", made["id"]),
        ("url", escape(made["url"])),
        ("events", ", ".join(made["events"]) or "all"),
        ("secret", f"[bold]{made['secret']}[/]  shown this once"),
        ("public key", made["public_key"]),
    ]
    if made["previous_until"] is not None:
        rows.append(("secret before", f"signs as well until {day_time(made['previous_until'])}"))
    stdout().print(pairs(rows))
    next_steps((where.command(f"corridor webhooks test {made['id']}"), "send a test"))


def _print_delivery(found: Json) -> None:
    rows = [
        ("delivery", found["id"]),
        ("type", found["type"]),
        ("status", found["status"]),
        ("attempts", str(found["attempts"])),
        ("last answer", _last(found)),
    ]
    if found["object_id"] is not None:
        rows.insert(2, (found["object"], found["object_id"]))
    if found["next_attempt_at"] is not None:
        rows.append(("next attempt", day_time(found["next_attempt_at"])))
    stdout().print(pairs([row for row in rows if row[1]]))


def _status(endpoint: Json) -> str:
    """With since when it fails, or why it is disabled and since when."""
    status: str = endpoint["status"]
    if endpoint["disabled_at"] is not None:
        return f"{status} ({endpoint['disabled_reason']}), {day_time(endpoint['disabled_at'])}"
    if endpoint["failing_since"] is not None:
        return f"{status}, failing since {day_time(endpoint['failing_since'])}"
    return status


def _last(delivery: Json) -> str:
    if delivery["last_status"] is not None:
        return str(delivery["last_status"])
    return escape(delivery["last_error"] or "")


def _older(where: Where, command: str, page: Json) -> None:
    if page["next_cursor"] is not None:
        next_steps((where.command(f"{command} --cursor {page['next_cursor']}"), "older ones"))
