"""Bulk transfers over a real database: each row at most once, whatever comes in between."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.core.bulk import (
    ROWS_MAX,
    BulkFileInvalid,
    BulkStatus,
    Mode,
    RowStatus,
    TooManyBulkTransfers,
)
from node.core.errors import NotFound
from node.core.ids import Prefix, decode_id
from node.core.ledger import Entry, customer_account
from node.core.paging import ListQuery
from node.core.parties import Principal, Role
from node.core.ports.idempotency import Claim
from node.services.bulk.bulk_transfers import BulkOrder, BulkService
from node.services.ledger.verifying import VerifyService
from tests.services.bulking import Bulking, a_faulty_row, a_file, a_row, id_of, refused, rendered

_ROOT = Path(__file__).parents[2]
_LIMIT_S = 60


@pytest.fixture
async def bulking(database_url: str) -> AsyncIterator[Bulking]:
    made = await Bulking.at(database_url)
    yield made
    await made.close()


async def balance(bulking: Bulking) -> int:
    path = customer_account(bulking.payer_id, "EUR")
    async with bulking.process.units() as unit:
        return (await unit.ledger.balances([path]))[path].available


async def assert_sound(bulking: Bulking) -> None:
    """The books verify, and no quote of the bulk is left open."""
    assert (await VerifyService(bulking.process.units).verify()).differences == []
    assert (await bulking.node.active())[0] == 0


async def test_rows_are_priced_and_accepted_and_the_payer_pays_for_each(bulking: Bulking) -> None:
    bulk_id = await bulking.take_in([bulking.row(1, "10.00"), bulking.row(2, "20.00")])
    assert (await bulking.shown(bulk_id)).bulk.status is BulkStatus.PROCESSING
    assert await bulking.work() == 2
    shown = await bulking.shown(bulk_id)
    assert (shown.bulk.status, shown.bulk.accepted, shown.bulk.rejected) == ("completed", 2, 0)
    [total] = shown.sums
    assert (total.sell_asset, total.sell, total.count) == ("EUR", 3000, 2)
    assert await balance(bulking) == 10**9 - 3000
    await assert_sound(bulking)


async def test_a_fixed_buy_delivers_exactly_what_was_asked_for(bulking: Bulking) -> None:
    row = bulking.row(1, sell_amount=None, buy_amount="5.000000")
    bulk_id = await bulking.take_in([row])
    await bulking.work()
    [found] = await bulking.rows(bulk_id)
    assert found.transfer is not None
    assert found.transfer.buy == 5_000_000


async def test_each_faulty_row_is_named_with_its_reason_and_the_others_are_paid(
    bulking: Bulking,
) -> None:
    poor = await Bulking.poor(bulking, 200_000)
    rows = [
        poor.row(1),
        a_faulty_row(2),
        poor.row(3, address="0x" + "00" * 20),
        poor.row(4, sell="GBP", buy="EUR"),
        poor.row(5, "0.01"),
        poor.row(6, "99999.00"),
        poor.row(7, client_reference="row-1"),
        poor.row(8, customer_id=id_of("bul_" + "0" * 26)),
        poor.row(9),
    ]
    bulk_id = await poor.take_in(rows)
    await poor.work()
    assert await poor.codes(bulk_id) == {
        2: "amount_invalid",
        3: "address_invalid",
        4: "pair_not_offered",
        5: "amount_out_of_range",
        6: "insufficient_funds",
        7: "client_reference_used",
        8: "not_found",
    }
    pointers = {
        each.line: each.faults[0].pointer for each in await poor.rows(bulk_id, RowStatus.REJECTED)
    }
    assert pointers[3] == "/beneficiary/address"
    assert pointers[5] == "/sell/amount"
    assert pointers[8] == "/customer_id"
    accepted = await poor.rows(bulk_id, RowStatus.ACCEPTED)
    assert [each.line for each in accepted] == [1, 9]
    assert (await poor.shown(bulk_id)).bulk.status is BulkStatus.COMPLETED
    await assert_sound(poor)


async def test_a_file_that_comes_again_pays_nobody_twice(bulking: Bulking) -> None:
    rows = [bulking.row(line) for line in range(1, 6)]
    first = await bulking.take_in(rows)
    await bulking.work()
    second = await bulking.take_in(rows)
    await bulking.work()
    assert await bulking.transfers() == 5
    again = await bulking.rows(second)
    assert all(each.is_repeated for each in again)
    paid = [each.transfer.id for each in await bulking.rows(first) if each.transfer]
    assert [each.transfer.id for each in again if each.transfer] == paid
    assert await balance(bulking) == 10**9 - 500
    await assert_sound(bulking)


async def test_rows_that_are_transfers_already_take_no_liquidity_of_others(
    bulking: Bulking,
) -> None:
    await bulking.take_in([bulking.row(1, "200.00")])
    await bulking.work()
    rich = await bulking.node.ledger.remitter(eur_minor=10**7)
    bought = 230_074_048  # by each row; what is left is for one more
    await bulking.node.ledger.funded(rich, 1, sell_minor=10**6, buy_minor=10**14 - 2 * bought)
    again = await bulking.take_in([bulking.row(1, "200.00"), bulking.row(2, "200.00")])
    await bulking.work()
    done = (await bulking.shown(again)).bulk
    assert (done.status, done.accepted) == (BulkStatus.COMPLETED, 2)


async def test_a_reference_that_comes_again_with_other_words_is_refused(bulking: Bulking) -> None:
    await bulking.take_in([bulking.row(1), bulking.row(2)])
    await bulking.work()
    changed = await bulking.take_in(
        [bulking.row(1, "2.00"), bulking.row(2, name="Cleo"), bulking.row(3)]
    )
    await bulking.work()
    assert await bulking.codes(changed) == {
        1: "client_reference_used",
        2: "client_reference_used",
    }
    assert await bulking.transfers() == 3


async def test_the_same_request_again_is_one_bulk_transfer(bulking: Bulking) -> None:
    rows = [bulking.row(1)]
    first = await bulking.upload(rows, key="one")
    again = await bulking.upload(rows, key="one")
    assert again.replayed
    assert again.body == first.body
    page = await bulking.service.list(bulking.payer, ListQuery())
    assert len(page.items) == 1


async def test_all_or_nothing_accepts_all(bulking: Bulking) -> None:
    rows = [bulking.row(line) for line in range(1, 301)]
    bulk_id = await bulking.take_in(rows, mode=Mode.ALL_OR_NOTHING)
    assert await bulking.worker.run_once() == 300
    shown = await bulking.shown(bulk_id)
    assert (shown.bulk.status, shown.bulk.accepted) == (BulkStatus.COMPLETED, 300)
    await assert_sound(bulking)


async def test_all_or_nothing_is_nothing_where_a_row_cannot_be_read(bulking: Bulking) -> None:
    bulk_id = await bulking.take_in([bulking.row(1), a_faulty_row(2)], mode=Mode.ALL_OR_NOTHING)
    assert (await bulking.shown(bulk_id)).bulk.status is BulkStatus.REJECTED
    assert await bulking.work() == 0
    assert await bulking.codes(bulk_id) == {1: "bulk_rejected", 2: "amount_invalid"}


async def test_all_or_nothing_is_nothing_where_the_last_row_has_no_money(bulking: Bulking) -> None:
    poor = await Bulking.poor(bulking, 1_000)
    rows = [poor.row(line, "4.00") for line in range(1, 4)]
    bulk_id = await poor.take_in(rows, mode=Mode.ALL_OR_NOTHING)
    await poor.work()
    assert (await poor.shown(bulk_id)).bulk.status is BulkStatus.REJECTED
    assert await poor.codes(bulk_id) == {
        1: "bulk_rejected",
        2: "bulk_rejected",
        3: "insufficient_funds",
    }
    assert await poor.transfers() == 0
    assert await balance(poor) == 1_000
    await assert_sound(poor)


@pytest.mark.parametrize("mode", list(Mode))
async def test_rows_wait_while_there_is_no_rate_and_go_on_when_there_is(
    bulking: Bulking, mode: Mode
) -> None:
    bulk_id = await bulking.take_in([bulking.row(1), bulking.row(2)], mode=mode)
    await bulking.process.halt("EUR")
    await bulking.work()
    waiting = (await bulking.shown(bulk_id)).bulk
    assert (waiting.status, waiting.pending) == (BulkStatus.PROCESSING, 2)
    assert waiting.waiting_code == "quoting_halted"
    await bulking.process.resume("EUR")
    assert await bulking.work() == 0  # it rests
    await bulking.wake()
    await bulking.work()
    done = (await bulking.shown(bulk_id)).bulk
    assert (done.status, done.accepted, done.waiting_code) == (BulkStatus.COMPLETED, 2, None)


@pytest.mark.parametrize("mode", list(Mode))
async def test_rows_that_waited_too_long_are_rejected(bulking: Bulking, mode: Mode) -> None:
    bulk_id = await bulking.take_in([bulking.row(1)], mode=mode, accept_within_s=1)
    await bulking.process.halt("EUR")
    await bulking.work()
    await bulking.node.execute("UPDATE bulk_transfer SET accept_by = now(), next_at = now()")
    await bulking.work()
    assert await bulking.codes(bulk_id) == {1: "quoting_halted"}
    ended = (await bulking.shown(bulk_id)).bulk.status
    assert ended is (BulkStatus.REJECTED if mode is Mode.ALL_OR_NOTHING else BulkStatus.COMPLETED)


async def test_rows_of_a_suspended_partner_wait_and_go_on_when_it_is_resumed(
    bulking: Bulking,
) -> None:
    partner = await bulking.node.partner()
    customer_id = decode_id(Prefix.CUSTOMER, await bulking.node.customer_of(partner))
    account = customer_account(customer_id, "EUR")
    await bulking.node.ledger.post(Entry("bank/sandbox_bank/EUR", account, "EUR", 1_000))
    orderer = Bulking(bulking.node, bulking.process, partner)
    bulk_id = await orderer.take_in([a_row(customer_id, 1)])
    await bulking.node.execute("UPDATE partner SET status = 'suspended'")
    assert await orderer.work() == 0
    assert (await orderer.shown(bulk_id)).bulk.waiting_code == "partner_suspended"
    assert await orderer.transfers() == 0
    await bulking.node.execute("UPDATE partner SET status = 'active'")
    await orderer.wake()
    assert await orderer.work() == 1
    late = await orderer.take_in([a_row(customer_id, 2)])
    await bulking.node.execute("UPDATE partner SET status = 'suspended'")
    await bulking.node.execute(
        "UPDATE bulk_transfer SET accept_by = now() WHERE status = 'processing'"
    )
    await orderer.work()
    assert await orderer.codes(late) == {2: "partner_suspended"}


async def test_big_ones_take_turns(bulking: Bulking) -> None:
    big = await bulking.take_in([bulking.row(line) for line in range(1, 601)])
    small = await bulking.take_in([bulking.row(1, client_reference="small")])
    worker = bulking.worker
    assert [await worker.run_once() for _ in range(2)] == [256, 1]
    assert (await bulking.shown(small)).bulk.status is BulkStatus.COMPLETED
    assert (await bulking.shown(big)).bulk.pending == 344


async def test_two_workers_share_the_work_and_accept_each_row_once(bulking: Bulking) -> None:
    ids = [
        await bulking.take_in(
            [bulking.row(line, client_reference=f"{name}-{line}") for line in range(1, 301)]
        )
        for name in ("a", "b")
    ]

    async def work() -> None:
        worker = bulking.worker
        for _ in range(8):
            await worker.run_once()

    await asyncio.gather(work(), work())
    assert await bulking.transfers() == 600
    for each in ids:
        assert (await bulking.shown(each)).bulk.status is BulkStatus.COMPLETED
    await assert_sound(bulking)


async def test_its_timeline_is_told_once_and_ends(bulking: Bulking) -> None:
    bulk_id = await bulking.take_in([bulking.row(1)])
    await bulking.work()
    async with bulking.process.units() as unit:
        events = await unit.events.of_object(id_of(bulk_id))
    assert [each.type for each in events] == [
        "bulk_transfer.processing",
        "bulk_transfer.completed",
    ]
    assert events[-1].detail == {"rows": 1, "accepted": 1, "rejected": 0}


async def test_anothers_bulk_transfer_does_not_exist(bulking: Bulking) -> None:
    bulk_id = await bulking.take_in([bulking.row(1)])
    stranger = await bulking.node.partner()
    service = BulkService(bulking.process.units, lambda: id_of(bulk_id))
    with pytest.raises(NotFound):
        await service.get(stranger, bulk_id)
    with pytest.raises(NotFound):
        await service.rows(stranger, bulk_id, status=None, after_line=0, limit=1)
    assert (await service.list(stranger, ListQuery())).items == ()
    operator = Principal(Role.OPERATOR, "ops")
    assert (await service.get(operator, bulk_id)).bulk.rows == 1


async def test_there_is_a_most_of_rows_and_of_bulk_transfers_under_way(bulking: Bulking) -> None:
    with pytest.raises(BulkFileInvalid):
        await bulking.upload([])
    with pytest.raises(BulkFileInvalid):
        await bulking.upload([a_faulty_row(line) for line in range(1, ROWS_MAX + 2)])
    await bulking.take_in([bulking.row(1)])
    full = BulkService(bulking.process.units, lambda: bulking.payer_id, open_max=1)
    order = BulkOrder(bulking.payer, a_file([bulking.row(2)]))
    claim = Claim(bulking.payer.key, "POST", "/v1/bulk-transfers", "other", bytes(32))
    with pytest.raises(TooManyBulkTransfers):
        await full.create(order, claim, rendered, refused)


async def test_ten_thousand_rows_with_500_faulty_ones_pay_9500(
    bulking: Bulking,
) -> None:
    rows = [
        a_faulty_row(line) if line % 20 == 0 else bulking.row(line) for line in range(1, 10_001)
    ]
    bulk_id = await bulking.take_in(rows)
    await bulking.work()
    shown = await bulking.shown(bulk_id)
    assert (shown.bulk.accepted, shown.bulk.rejected) == (9_500, 500)
    faulty = await bulking.codes(bulk_id)
    assert faulty == dict.fromkeys(range(20, 10_001, 20), "amount_invalid")
    assert await balance(bulking) == 10**9 - 950_000
    await assert_sound(bulking)


async def test_ten_thousand_rows_are_all_or_nothing_in_one_transaction(
    bulking: Bulking,
) -> None:
    rows = [bulking.row(line) for line in range(1, 10_001)]
    await bulking.take_in(rows, mode=Mode.ALL_OR_NOTHING)
    assert await bulking.worker.run_once() == 10_000
    assert await bulking.transfers() == 10_000
    await assert_sound(bulking)


async def test_a_worker_that_is_killed_in_the_middle_leaves_each_row_done_once_or_to_do(
    bulking: Bulking, database_url: str
) -> None:
    rows = [bulking.row(line) for line in range(1, 1_501)]
    bulk_id = await bulking.take_in(rows)
    for passes in (1, 2):
        await killed_after(bulking, database_url, passes)
        done = (await bulking.shown(bulk_id)).bulk
        assert done.status is BulkStatus.PROCESSING
        assert await bulking.transfers() == done.accepted > 0
    again = await bulking.take_in(rows)  # as a caller does who heard nothing
    await bulking.work()
    assert await bulking.transfers() == 1_500
    for each in (bulk_id, again):
        assert (await bulking.shown(each)).bulk.accepted == 1_500
    assert await balance(bulking) == 10**9 - 150_000
    await assert_sound(bulking)


async def killed_after(bulking: Bulking, database_url: str, passes: int) -> None:
    """A worker process that is killed by kill -9 while it does the pass after so many.

    It is asked for no pass beyond that one: however late the kill comes, rows are left. Returns
    when the database has ended what the worker had begun, one way or the other.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.services.bulk_process",
        database_url,
        cwd=_ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n" * (passes + 1))
    async with asyncio.timeout(_LIMIT_S):
        for _ in range(passes):
            assert (await process.stdout.readline()).startswith(b"pass")
    process.send_signal(signal.SIGKILL)
    await process.wait()
    process.stdin.close()
    under_way = (
        "SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND state <> 'idle' AND pid <> pg_backend_pid()"
    )
    async with asyncio.timeout(_LIMIT_S):
        while await bulking.node.fetch(under_way):  # noqa: ASYNC110 - rows of the server
            await asyncio.sleep(0.02)
