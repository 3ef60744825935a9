"""Events reach endpoints that are real servers: once each or more, in order, whatever happens."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from node.core.errors import (
    WrongState,
)
from node.core.webhooks import (
    public_text,
    verify,
)
from node.services.webhooks.delivering import (
    AT_ONCE_MAX,
    PER_ENDPOINT_MAX,
    PER_OWNER_MAX,
)
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.services.hooked import (
    OPERATOR,
    Hooked,
    Received,
    endpoint_id,
    receiver,
    until,
)

ROOT = Path(__file__).resolve().parents[2]
Reply = tuple[int, dict[str, str], bytes]


async def test_an_event_arrives_signed_as_the_standard_says(hooked: Hooked) -> None:
    with receiver() as here:
        made = await hooked.endpoint(here.url)
        about = await hooked.happen()
        await hooked.deliver()
    [came] = here.received
    checked = Webhook(made.secret).verify(came.body, came.headers)
    assert checked["type"] == "transfer.funded"
    assert checked["data"]["object_sequence"] == 1
    assert checked["data"]["detail"] == {"n": 1}
    now = datetime.fromtimestamp(came.at_s, UTC)
    for key in (made.secret, public_text(made.endpoint.public_key)):
        assert verify([key], came.headers, came.body, now) == came.id
    [row] = await hooked.deliveries()
    assert (row["status"], row["attempts"], row["last_status"]) == ("delivered", 1, 204)
    assert row["object_id"] == about


async def test_a_test_is_sent_and_signed_as_well(hooked: Hooked) -> None:
    with receiver() as here:
        made = await hooked.endpoint(here.url)
        told = await hooked.test(made)
        await hooked.deliver()
    assert told.type == "webhook.test"
    checked = Webhook(made.secret).verify(here.received[0].body, here.received[0].headers)
    assert (checked["type"], checked["data"]) == ("webhook.test", {})


async def test_an_endpoint_gets_what_happens_after_it_was_made_and_what_it_asked_for(
    hooked: Hooked,
) -> None:
    with receiver() as all_of_it, receiver() as deposits:
        await hooked.happen()
        await hooked.endpoint(all_of_it.url)
        await hooked.endpoint(deposits.url, events=("deposit", "transfer.fund"))
        about = await hooked.happen()
        await hooked.deliver()
    assert len(all_of_it.received) == 1
    assert str(about)
    assert deposits.received == []


async def test_a_partner_gets_its_own_and_its_customers_events_and_no_other(
    hooked: Hooked,
) -> None:
    own, other = await hooked.partner("own"), await hooked.partner("other")
    with receiver() as here, receiver() as everybody:
        await hooked.endpoint(here.url, principal=own)
        await hooked.endpoint(everybody.url)
        wanted = {
            await hooked.happen(partner_id=own.partner_id),
            await hooked.happen(customer_id=await hooked.customer(own.partner_id)),
        }
        await hooked.happen(partner_id=other.partner_id)
        await hooked.happen(customer_id=await hooked.customer(other.partner_id))
        await hooked.happen(customer_id=await hooked.customer())
        await hooked.happen()
        await hooked.deliver()
    assert len(here.received) == 2
    assert len(everybody.received) == 6
    rows = await hooked.sql(
        "SELECT object_id FROM webhook_delivery d JOIN webhook_endpoint e ON e.id = d.endpoint_id"
        " WHERE e.partner_id IS NOT NULL"
    )
    assert {row["object_id"] for row in rows} == wanted


async def test_what_failed_is_sent_again_under_the_same_id_until_it_works(hooked: Hooked) -> None:
    replies = iter([500, 302, 404, 200])

    def answer(_: Received) -> Reply:
        return next(replies), {"location": "http://169.254.169.254/"}, b"what went wrong"

    with receiver(answer) as here:
        made = await hooked.endpoint(here.url)
        await hooked.happen()
        await hooked.deliver()
        assert len(here.received) == 1  # the next attempt is not due
        for _ in range(3):
            await hooked.due_now()
            await hooked.deliver()
    assert len({each.id for each in here.received}) == 1
    assert [each.path for each in here.received] == ["/hook"] * 4
    for each in here.received:
        Webhook(made.secret).verify(each.body, each.headers)
    [row] = await hooked.deliveries()
    assert (row["status"], row["attempts"], row["failures"]) == ("delivered", 4, 3)
    _, log = await hooked.service.delivery(OPERATOR, here.received[0].id)
    assert [(each.attempt, each.status) for each in log] == [(1, 500), (2, 302), (3, 404), (4, 200)]
    assert log[0].answer == "what went wrong"


async def test_each_attempt_has_its_own_time_and_signature(hooked: Hooked) -> None:
    """An endpoint that was away for a day gets a message it still accepts."""
    with receiver(lambda _: (500, {}, b"")) as here:
        made = await hooked.endpoint(here.url)
        await hooked.happen()
        await hooked.deliver()
        first = here.received[0]
        await until(lambda: datetime.now(UTC).timestamp() > int(first.at_s) + 1)  # noqa: TID251
        await hooked.due_now()
        await hooked.deliver()
    second = here.received[1]
    assert first.id == second.id
    assert first.headers["webhook-timestamp"] < second.headers["webhook-timestamp"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    mixed = {**second.headers, "webhook-timestamp": first.headers["webhook-timestamp"]}
    with pytest.raises(WebhookVerificationError):
        Webhook(made.secret).verify(second.body, mixed)


async def test_ten_attempts_are_made_on_schedule_and_then_it_is_dead(hooked: Hooked) -> None:
    waits_s = []
    with receiver(lambda _: (500, {}, b"")) as here:
        await hooked.endpoint(here.url)
        await hooked.happen()
        for _ in range(12):
            await hooked.deliver()
            [row] = await hooked.sql(
                "SELECT status, extract(epoch FROM next_at - now()) AS s FROM webhook_delivery"
            )
            waits_s.append(float(row["s"]))
            await hooked.due_now()
    assert len(here.received) == 10
    planned_s = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    for wait_s, plan_s in zip(waits_s, planned_s, strict=False):
        assert plan_s * 0.9 - 5 <= wait_s <= plan_s * 1.1
    [row] = await hooked.deliveries()
    assert (row["status"], row["attempts"]) == ("dead", 10)
    figures = await hooked.service.figures()
    assert (figures.pending, figures.dead, figures.oldest_age_s) == (0, 1, 0)


async def test_a_busy_receiver_is_left_alone_as_long_as_it_asks(hooked: Hooked) -> None:
    with receiver(lambda _: (503, {"retry-after": "3600"}, b"")) as here:
        await hooked.endpoint(here.url)
        await hooked.happen()
        await hooked.deliver()
    [row] = await hooked.sql(
        "SELECT extract(epoch FROM next_at - now()) AS s FROM webhook_delivery"
    )
    assert 3590 <= row["s"] <= 3600


async def test_410_disables_the_endpoint_and_nothing_more_is_sent(hooked: Hooked) -> None:
    with receiver(lambda _: (410, {}, b"")) as here:
        made = await hooked.endpoint(here.url)
        about = await hooked.happen(count=3)
        await hooked.deliver()
        await hooked.happen(object_id=about, first=4)
        await hooked.deliver()
    assert len(here.received) == 1
    found = await hooked.service.get(OPERATOR, endpoint_id(made))
    assert found.status == "disabled"
    assert found.disabled_reason == "the receiver answered 410 Gone"
    states = [row["status"] for row in await hooked.deliveries()]
    assert states == ["dead", "canceled", "canceled"]
    with pytest.raises(WrongState):
        await hooked.test(made)


async def test_events_of_one_object_arrive_in_order(hooked: Hooked) -> None:
    with receiver() as here:
        await hooked.endpoint(here.url)
        abouts = [await hooked.happen(count=6) for _ in range(8)]
        await hooked.deliver()
    assert len(here.received) == 48
    for about in {each.data["object_id"] for each in here.received}:
        numbers = [
            each.data["object_sequence"]
            for each in here.received
            if each.data["object_id"] == about
        ]
        assert numbers == [1, 2, 3, 4, 5, 6]
    assert len(abouts) == 8


async def test_a_later_event_waits_for_an_earlier_one_until_that_has_failed_three_times(
    hooked: Hooked,
) -> None:
    def answer(came: Received) -> Reply:
        return (500 if came.data["object_sequence"] == 1 else 200), {}, b""

    with receiver(answer) as here:
        await hooked.endpoint(here.url)
        await hooked.happen(count=2)
        for _ in range(2):
            await hooked.deliver()
            await hooked.due_now()
        assert [each.data["object_sequence"] for each in here.received] == [1, 1]
        await hooked.deliver()
    assert [each.data["object_sequence"] for each in here.received] == [1, 1, 1, 2]
    states = [row["status"] for row in await hooked.deliveries()]
    assert states == ["pending", "delivered"]


async def test_an_endpoint_that_hangs_keeps_no_other_waiting(hooked: Hooked) -> None:
    with receiver(hangs=True) as slow, receiver() as quick:
        await hooked.endpoint(slow.url)
        await hooked.endpoint(quick.url)
        for _ in range(30):
            await hooked.happen()

        async def work() -> None:
            while True:
                await hooked.delivering.run_once()

        working = asyncio.create_task(work())
        await until(lambda: len(quick.received) == 30)
        assert slow.under_way_max <= PER_ENDPOINT_MAX
        assert quick.under_way_max <= PER_ENDPOINT_MAX
        slow.hold.set()
        await until(lambda: len(slow.received) == 30)
        working.cancel()
    assert PER_ENDPOINT_MAX * 2 < AT_ONCE_MAX


async def test_an_owner_whose_endpoints_all_hang_keeps_no_other_waiting(hooked: Hooked) -> None:
    evil = await hooked.partner("evil")
    with receiver(hangs=True) as slow, receiver() as quick:
        for _ in range(9):  # each may have 4 under way, and a worker 32
            await hooked.endpoint(slow.url, principal=evil)
        await hooked.endpoint(quick.url)
        for _ in range(8):
            await hooked.happen(partner_id=evil.partner_id)

        async def work() -> None:
            while True:
                await hooked.delivering.run_once()

        working = asyncio.create_task(work())
        await until(lambda: len(quick.received) == 8)
        assert slow.under_way_max <= PER_OWNER_MAX
        slow.hold.set()
        await until(lambda: len(slow.received) == 72)
        working.cancel()


async def test_a_receiver_that_never_answers_costs_an_attempt_and_the_worker_goes_on(
    database_url: str,
) -> None:
    database = Database.at(database_url)
    hasty = Hooked(StoreUnits(database), database_url, limit_s=0.3)
    with receiver(hangs=True) as here:
        await hasty.endpoint(here.url)
        await hasty.happen()
        await hasty.deliver()
        [row] = await hasty.deliveries()
        assert (row["status"], row["failures"]) == ("pending", 1)
        assert row["last_error"] == "no answer within 0.3 s"
    await hasty.close()
    await database.close()


async def test_a_worker_that_dies_before_it_notes_what_it_sent_sends_it_again_with_the_same_id(
    hooked: Hooked,
) -> None:
    with receiver() as here:
        made = await hooked.endpoint(here.url)
        await hooked.happen()
        await killed_at(hooked.database_url, "after_webhook_send")
        assert len(here.received) == 1
        [row] = await hooked.deliveries()
        assert (row["status"], row["attempts"]) == ("pending", 0)
        await hooked.deliver()
        assert len(here.received) == 1  # its lease has not ended: it could still be alive
        await hooked.sql("UPDATE webhook_delivery SET leased_until = now() - interval '1 second'")
        await hooked.deliver()
    assert len(here.received) == 2
    assert here.received[0].id == here.received[1].id
    for each in here.received:
        Webhook(made.secret).verify(each.body, each.headers)
    [row] = await hooked.deliveries()
    assert (row["status"], row["attempts"]) == ("delivered", 1)


async def killed_at(database_url: str, window: str) -> None:
    """A worker process that ends at a window as kill -9 would end it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.services.webhook_process", database_url, window, cwd=ROOT
    )
    async with asyncio.timeout(60):
        assert await process.wait() == 137


async def test_two_workers_send_each_message_once(hooked: Hooked) -> None:
    other = hooked.another()
    with receiver() as here:
        for _ in range(3):
            await hooked.endpoint(here.url)
        for _ in range(20):
            await hooked.happen()
        for _ in range(60):
            await asyncio.gather(hooked.delivering.run_once(), other.run_once())
        await hooked.deliver()
        await other.close()
    assert len(here.received) == 60
    assert len({each.id for each in here.received}) == 60


async def test_pending_deliveries_and_the_age_of_the_oldest_are_told(hooked: Hooked) -> None:
    with receiver(lambda _: (500, {}, b"")) as here:
        await hooked.endpoint(here.url)
        await hooked.happen(count=4)
        await hooked.deliver()
    await hooked.sql("UPDATE webhook_delivery SET created_at = now() - interval '61 s'")
    figures = await hooked.service.figures()
    assert (figures.pending, figures.dead) == (4, 0)
    assert 61 <= figures.oldest_age_s < 120


async def test_nobody_can_change_the_log(hooked: Hooked) -> None:
    with receiver() as here:
        await hooked.endpoint(here.url)
        await hooked.happen()
        await hooked.deliver()
    for statement in ("UPDATE webhook_attempt SET answer = ''", "DELETE FROM webhook_attempt"):
        with pytest.raises(asyncpg.PostgresError):
            await hooked.sql(statement)
