"""Webhooks that ended go after a time, endpoints that are dead are disabled; nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from eth_account import Account

from adapters.machine import new_id
from node.bootstrap.wiring import open_node
from node.bootstrap.working import _deliver_jobs, _Worker
from node.core.errors import WrongState
from node.core.ports.webhooks import Kept
from node.core.webhooks import GIVEN_UP_AFTER_S, WAITS_S
from node.services.webhooks import forgetting
from node.services.webhooks.forgetting import ForgettingService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from node.workers.loop import run_all
from tests.api.conftest import settings_in
from tests.services.hooked import OPERATOR, Hooked, Received, endpoint_id, receiver, until

Reply = tuple[int, dict[str, str], bytes]
DAY_S = 86_400
KEPT = Kept(30 * DAY_S, 90 * DAY_S)


@pytest.fixture
async def as_node(hooked: Hooked) -> AsyncIterator[Hooked]:
    """The same, by a login that may what `corridor_node` may, and no more."""
    name = hooked.database_url.rpartition("/")[2]
    await hooked.sql(f'ALTER DATABASE "{name}" SET role = corridor_node')
    database = Database.at(hooked.database_url)
    made = Hooked(StoreUnits(database), hooked.database_url)
    yield made
    await made.close()
    await database.close()
    await owner(made, f'ALTER DATABASE "{name}" RESET role')


async def owner(hooked: Hooked, statement: str, *values: object) -> None:
    """As whoever owns the tables."""
    connection = await asyncpg.connect(hooked.database_url)
    try:
        await connection.execute("SET ROLE NONE")
        await connection.execute(statement, *values)
    finally:
        await connection.close()


async def aged(hooked: Hooked, days: int) -> None:
    """Let everything have ended so many days ago."""
    await owner(
        hooked,
        "UPDATE webhook_delivery SET ended_at = now() - make_interval(days => $1)"
        " WHERE ended_at IS NOT NULL",
        days,
    )


async def left(hooked: Hooked) -> dict[str, int]:
    """How many deliveries there are, by status, and lines of their logs."""
    rows = await hooked.sql("SELECT status, count(*) FROM webhook_delivery GROUP BY status")
    log = await hooked.sql("SELECT count(*) FROM webhook_attempt")
    return {**{row["status"]: row["count"] for row in rows}, "log": log[0]["count"]}


async def forgotten(hooked: Hooked, kept: Kept = KEPT) -> int:
    """Let the job go on until there is nothing to do."""
    service, done = ForgettingService(hooked.units, kept), 0
    while count := await service.run_once():
        done += count
    return done


async def failing_since(hooked: Hooked, ago_s: int) -> None:
    await owner(
        hooked,
        "UPDATE webhook_endpoint SET failing_since = now() - make_interval(secs => $1)",
        ago_s,
    )


async def test_what_arrived_goes_after_its_time_and_what_was_given_up_after_a_longer_one(
    as_node: Hooked,
) -> None:
    with receiver() as here:
        await as_node.endpoint(here.url)
        await as_node.happen(count=5)
        await as_node.deliver()
    await owner(as_node, "UPDATE webhook_delivery SET status = 'dead' WHERE event_sequence % 5 = 0")
    await owner(
        as_node, "UPDATE webhook_delivery SET status = 'canceled' WHERE event_sequence % 5 = 1"
    )
    before = await left(as_node)
    assert (before["delivered"], before["dead"], before["canceled"]) == (3, 1, 1)
    for days, gone in ((29, 0), (31, 3), (89, 0), (91, 2)):
        await aged(as_node, days)
        assert await forgotten(as_node) == gone, days
    assert await left(as_node) == {"log": 0}
    events = await as_node.sql("SELECT count(*) FROM event")
    assert events[0]["count"] == 5


async def test_what_is_to_be_sent_or_was_begun_again_stays(as_node: Hooked) -> None:
    with receiver() as here:
        await as_node.endpoint(here.url)
        await as_node.happen(count=2)
        await as_node.deliver()
        await aged(as_node, 365)
        first, _ = await as_node.deliveries()
        await as_node.redeliver(first["id"])
        assert await forgotten(as_node) == 1
        [row] = await as_node.deliveries()
        assert (row["id"], row["status"], row["ended_at"]) == (first["id"], "pending", None)
        await as_node.deliver()
    assert await left(as_node) == {"delivered": 1, "log": 2}
    assert await forgotten(as_node) == 0


async def test_batches_are_bounded_and_leave_out_what_another_process_holds(
    as_node: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "BATCH_MAX", 4)
    with receiver() as here:
        await as_node.endpoint(here.url)
        await as_node.happen(count=10)
        await as_node.deliver()
        await aged(as_node, 31)
        service = ForgettingService(as_node.units, KEPT)
        async with as_node.units() as unit:
            held = await unit.webhook_queue.forget(KEPT, 3)  # and not committed yet
            async with asyncio.timeout(60):
                counts = [await service.run_once() for _ in range(3)]
                await as_node.happen()
                await as_node.deliver()  # nothing waits for it
    assert (held, counts) == (3, [4, 3, 0])
    assert len(here.received) == 11
    assert await left(as_node) == {"delivered": 1, "log": 1}


async def test_the_log_goes_with_its_delivery_alone_and_that_only_when_it_has_ended(
    hooked: Hooked,
) -> None:
    with receiver(lambda _: (500, {}, b"")) as here:
        await hooked.endpoint(here.url)
        await hooked.happen()
        await hooked.deliver()
    for statement in ("webhook_attempt", "webhook_delivery"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await hooked.sql(f"DELETE FROM {statement}")
    assert await left(hooked) == {"pending": 1, "log": 1}


async def test_an_event_whose_delivery_was_deleted_is_sent_again_from_the_events(
    as_node: Hooked,
) -> None:
    with receiver() as here:
        made = await as_node.endpoint(here.url)
        await as_node.happen(count=2)
        await as_node.deliver()
        await aged(as_node, 31)
        assert await forgotten(as_node) == 2
        await as_node.deliver()
        assert len(here.received) == 2  # what is gone is not made anew by itself
        told = await as_node.redeliver_since(made, made.endpoint.after_sequence)
        await as_node.deliver()
    assert told.count == 2
    assert here.sequences == here.sequences[:2] * 2
    assert len({each.id for each in here.received}) == 4


async def test_an_endpoint_whose_every_attempt_fails_longer_than_the_schedule_is_disabled(
    as_node: Hooked,
) -> None:
    works = False

    def answer(_: Received) -> Reply:
        return (204 if works else 500), {}, b""

    with receiver(answer) as here:
        made = await as_node.endpoint(here.url)
        shown = endpoint_id(made)
        await as_node.happen(count=2)
        await as_node.deliver()
        began = (await as_node.service.get(OPERATOR, shown)).failing_since
        assert began is not None
        await failing_since(as_node, GIVEN_UP_AFTER_S - 60)
        await as_node.due_now()
        await as_node.deliver()
        assert (await as_node.service.get(OPERATOR, shown)).disabled_at is None
        assert (await as_node.service.figures()).endpoints_failing == 1
        await failing_since(as_node, GIVEN_UP_AFTER_S + 60)
        await as_node.due_now()
        await as_node.deliver()
        found = await as_node.service.get(OPERATOR, shown)
        assert (found.status, found.failing_since is not None) == ("disabled", True)
        assert found.disabled_reason is not None
        assert found.disabled_reason.startswith("every attempt has failed since 20")
        assert found.disabled_at is not None
        figures = await as_node.service.figures()
        assert (figures.endpoints_failing, figures.endpoints_disabled) == (0, 1)
        assert (await left(as_node))["canceled"] == 2
        await as_node.happen(count=3)
        works = True
        here.received.clear()
        with pytest.raises(WrongState):
            await as_node.redeliver_since(made, 0)
        enabled = await as_node.service.enable(OPERATOR, shown)
        assert (enabled.disabled_at, enabled.failing_since) == (None, None)
        assert enabled.missed_after is not None
        told = await as_node.redeliver_since(made, enabled.missed_after)
        await as_node.deliver()
    assert told.count == 5
    wanted = await as_node.sql("SELECT sequence FROM event ORDER BY sequence")
    assert sorted(here.sequences) == [row["sequence"] for row in wanted]


async def test_one_attempt_that_arrives_and_an_endpoint_fails_no_more(as_node: Hooked) -> None:
    fails = iter([False, True, True])
    with receiver(lambda _: (500 if next(fails) else 204, {}, b"")) as here:
        made = await as_node.endpoint(here.url)
        await as_node.happen()
        await as_node.deliver()
        await as_node.happen()
        await as_node.deliver()
        await failing_since(as_node, GIVEN_UP_AFTER_S * 2)
        async with as_node.units() as unit:  # a delivery of another worker arrives
            await unit.webhook_queue.add_test(new_id(), made.endpoint.id, "webhook.test")
        fails = iter([False, True])
        await as_node.deliver()
        found = await as_node.service.get(OPERATOR, endpoint_id(made))
        assert (found.status, found.failing_since) == ("active", None)
        await as_node.due_now()
        await as_node.deliver()
    found = await as_node.service.get(OPERATOR, endpoint_id(made))
    assert (found.status, found.failing_since is None) == ("active", False)


async def test_what_was_missed_begins_where_an_endpoint_first_failed_and_not_before(
    as_node: Hooked,
) -> None:
    """410 for the second event; what had arrived is not among what it missed."""
    answers = iter([204, 410])
    with receiver(lambda _: (next(answers), {}, b"")) as here:
        made = await as_node.endpoint(here.url)
        await as_node.happen()
        await as_node.deliver()
        await as_node.happen(count=3)
        await as_node.deliver()
        found = await as_node.service.get(OPERATOR, endpoint_id(made))
        assert (found.status, found.missed_after) == ("disabled", here.sequences[0])
        await as_node.service.enable(OPERATOR, endpoint_id(made))
        await as_node.service.disable(OPERATOR, endpoint_id(made))
    newest = await as_node.sql("SELECT max(sequence) AS newest FROM event")
    found = await as_node.service.get(OPERATOR, endpoint_id(made))
    assert (found.disabled_reason, found.missed_after) == ("by an operator", newest[0]["newest"])


async def test_what_came_into_the_queue_while_its_endpoint_was_disabled_is_canceled(
    as_node: Hooked,
) -> None:
    with receiver() as here:
        made = await as_node.endpoint(here.url)
        await as_node.happen(count=2)
        async with as_node.units() as unit:
            await unit.webhook_queue.fan_out(new_id, 10)
            await as_node.service.disable(OPERATOR, endpoint_id(made))
        assert await left(as_node) == {"pending": 2, "log": 0}
        assert await forgotten(as_node) == 2
        assert await left(as_node) == {"canceled": 2, "log": 0}
        enabled = await as_node.service.enable(OPERATOR, endpoint_id(made))
        assert enabled.missed_after is not None
        assert (await as_node.redeliver_since(made, enabled.missed_after)).count == 2
        await as_node.deliver()
    assert len(here.received) == 2


async def test_what_is_canceled_while_it_is_sent_and_arrives_is_delivered(
    as_node: Hooked,
) -> None:
    with receiver(hangs=True) as here:
        made = await as_node.endpoint(here.url)
        await as_node.happen(count=2)
        await as_node.delivering.run_once()
        await until(lambda: here.under_way == 1)
        await as_node.service.disable(OPERATOR, endpoint_id(made))
        canceled = await left(as_node)
        here.hold.set()
        await as_node.deliver()
    assert canceled == {"canceled": 2, "log": 0}
    assert await left(as_node) == {"canceled": 1, "delivered": 1, "log": 1}


async def test_the_worker_deletes_what_its_settings_do_not_keep(
    hooked: Hooked, database_url: str, tmp_path: Path
) -> None:
    """The jobs of `corridor work --only deliver`, as they are wired."""
    with receiver() as here:
        await hooked.endpoint(here.url)
        await hooked.happen()
        await hooked.deliver()
        await aged(hooked, 2)
        settings = settings_in(
            tmp_path,
            database_url,
            bytes(Account.create().key),
            token_address="0x" + "70" * 20,
            webhooks_kept_s=DAY_S,
        )
        async with open_node(settings) as node, AsyncExitStack() as stack:
            stop = asyncio.Event()
            jobs = list(_deliver_jobs(_Worker(node, stack)))
            task = asyncio.create_task(run_all(jobs, stop))
            async with asyncio.timeout(60):
                while await hooked.deliveries():  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.05)
            stop.set()
            await task


def test_an_endpoint_is_given_up_after_the_schedule_of_the_standard() -> None:
    assert sum(WAITS_S) == GIVEN_UP_AFTER_S == 75 * 3600 + 35 * 60 + 5
