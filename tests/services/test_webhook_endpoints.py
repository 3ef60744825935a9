"""What owners do with webhook endpoints: secrets, limits, and what they have sent again."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from adapters.machine import new_id
from node.core.errors import (
    NotFound,
    WrongState,
)
from node.core.ids import Prefix, encode_id
from node.core.paging import ListQuery
from node.core.webhooks import (
    TooManyWebhookEndpoints,
    WebhooksNotOffered,
    public_text,
    verify,
)
from node.services.webhooks.endpoints import ACTIVE_MAX, Making, WebhookService
from tests.services.hooked import (
    OPERATOR,
    Hooked,
    Received,
    endpoint_id,
    receiver,
)

ROOT = Path(__file__).resolve().parents[2]
Reply = tuple[int, dict[str, str], bytes]


async def test_another_partners_endpoint_does_not_exist(hooked: Hooked) -> None:
    own, other = await hooked.partner("own"), await hooked.partner("other")
    made = await hooked.endpoint("http://127.0.0.1:9/", principal=own)
    told = await hooked.test(made)
    for ask in (
        hooked.service.get(other, endpoint_id(made)),
        hooked.service.disable(other, endpoint_id(made)),
        hooked.service.enable(other, endpoint_id(made)),
        hooked.service.deliveries(other, endpoint_id(made), ListQuery()),
        hooked.service.delivery(other, encode_id(Prefix.DELIVERY, told.id)),
    ):
        with pytest.raises(NotFound):
            await ask
    assert (await hooked.service.page(other, ListQuery())).items == ()
    assert [each.id for each in (await hooked.service.page(own, ListQuery())).items] == [
        made.endpoint.id
    ]
    assert len((await hooked.service.page(OPERATOR, ListQuery())).items) == 1


async def test_a_rotated_secret_and_the_one_before_sign_until_the_overlap_ends(
    hooked: Hooked,
) -> None:
    with receiver() as here:
        old = await hooked.endpoint(here.url)
        new = await hooked.rotate(old, 3600)
        await hooked.happen()
        await hooked.deliver()
        await hooked.sql("UPDATE webhook_endpoint SET previous_until = now()")
        await hooked.happen()
        await hooked.deliver()
    both, after = here.received
    for shown in (old, new):
        Webhook(shown.secret).verify(both.body, both.headers)
        key = public_text(shown.endpoint.public_key)
        verify([key], both.headers, both.body, datetime.fromtimestamp(both.at_s, UTC))
    Webhook(new.secret).verify(after.body, after.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old.secret).verify(after.body, after.headers)


async def test_no_secret_is_in_the_database(hooked: Hooked) -> None:
    made = await hooked.endpoint("http://127.0.0.1:9/")
    [row] = await hooked.sql("SELECT * FROM webhook_endpoint")
    assert made.secret.removeprefix("whsec_") not in repr(row)
    assert hooked.keeper.open(row["keys"], row["id"])[:32] not in bytes(row["keys"])
    with pytest.raises(WebhooksNotOffered):
        hooked.keeper.open(row["keys"], new_id())


async def test_what_was_missed_or_lost_is_sent_again_on_demand(hooked: Hooked) -> None:
    broken = True

    def answer(_: Received) -> Reply:
        return (500 if broken else 200), {}, b""

    with receiver(answer) as here:
        made = await hooked.endpoint(here.url)
        before = made.endpoint.after_sequence
        await hooked.happen(count=2)
        await hooked.deliver()
        await hooked.service.disable(OPERATOR, endpoint_id(made))
        await hooked.happen(count=3)  # never sent: it is disabled
        await hooked.deliver()
        broken = False
        assert [row["status"] for row in await hooked.deliveries()] == ["canceled"] * 2
        with pytest.raises(WrongState):
            await hooked.redeliver_since(made, before)
        await hooked.service.enable(OPERATOR, endpoint_id(made))
        here.received.clear()
        told = await hooked.redeliver_since(made, before)
        assert (told.count, told.next_after) == (5, None)
        await hooked.deliver()
        assert sorted(here.sequences) == [
            row["event_sequence"] for row in await hooked.deliveries()
        ]
        assert len(here.received) == 5
        again = here.received[0]
        row = (await hooked.deliveries())[0]
        await hooked.redeliver(row["id"])
        await hooked.deliver()
    assert here.received[-1].data["sequence"] == row["event_sequence"]
    assert again.headers["webhook-id"].startswith("del_")


async def test_what_happened_while_it_was_disabled_is_not_sent_by_itself(hooked: Hooked) -> None:
    with receiver() as here:
        made = await hooked.endpoint(here.url)
        await hooked.service.disable(OPERATOR, endpoint_id(made))
        await hooked.happen()
        await hooked.service.enable(OPERATOR, endpoint_id(made))
        await hooked.happen()
        await hooked.deliver()
    assert len(here.received) == 1


async def test_sending_again_goes_on_where_it_stopped(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver() as here:
        made = await hooked.endpoint(here.url)
        await hooked.happen(count=5)
        await hooked.deliver()
        monkeypatch.setattr("node.services.webhooks.endpoints.REDELIVERED_MAX", 2)
        after: int | None = made.endpoint.after_sequence
        counts = []
        while after is not None:
            told = await hooked.redeliver_since(made, after)
            counts.append(told.count)
            after = told.next_after
        await hooked.deliver()
    assert counts == [2, 2, 1]
    assert len(here.received) == 10


async def test_an_owner_has_a_limited_number_of_active_endpoints(hooked: Hooked) -> None:
    made = [await hooked.endpoint("http://127.0.0.1:9/") for _ in range(ACTIVE_MAX)]
    with pytest.raises(TooManyWebhookEndpoints):
        await hooked.endpoint("http://127.0.0.1:9/")
    await hooked.endpoint("http://127.0.0.1:9/", principal=await hooked.partner("other"))
    await hooked.service.disable(OPERATOR, endpoint_id(made[0]))
    last = await hooked.endpoint("http://127.0.0.1:9/")
    with pytest.raises(TooManyWebhookEndpoints):
        await hooked.service.enable(OPERATOR, endpoint_id(made[0]))
    await hooked.service.disable(OPERATOR, endpoint_id(last))
    await hooked.service.enable(OPERATOR, endpoint_id(made[0]))


async def test_without_a_key_for_secrets_no_endpoint_is_made(hooked: Hooked) -> None:
    hooked.service = WebhookService(
        hooked.units, hooked.sender, Making(None, new_id, lambda _: b"")
    )
    with pytest.raises(WebhooksNotOffered):
        await hooked.endpoint("http://127.0.0.1:9/")
