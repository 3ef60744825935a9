"""Rows of bulk transfers that a partner pays out: asked outside, accepted with all others, once."""

import asyncio
from dataclasses import dataclass

import pytest

from node.core.bulk import BulkStatus, Mode, PayoutsNotTogether, RowStatus
from node.core.payout_orders import OrderState, PartnerBusy, PartnerPayout
from node.core.payouts import BankAccount, RefundPolicy
from node.core.ports.payout_partners import Registration
from node.core.transfers import State
from node.services.bulk.asking import ASKED_MAX
from tests.fake_partner import ACCOUNT, AWAY, FakePartner
from tests.mirrored import MirroredNode
from tests.services.partnering import Partnered
from tests.services.paying_rows import PayingRows

_AT_ONCE = 8


@pytest.fixture
async def files(node: MirroredNode) -> PayingRows:
    return await PayingRows.over(await Partnered.over(node))


def replaced(files: PayingRows, kind: type[FakePartner]) -> FakePartner:
    """Another partner in the place of the first."""
    partner = kind(files.sender.partner.chain_id, files.sender.partner.token)
    files.sender.partner = partner
    return partner


async def test_one_file_pays_to_accounts_and_to_addresses(files: PayingRows) -> None:
    told = {"name": "Bea", "purpose": "SALA", "refund_policy": RefundPolicy.CORRECT}
    rows = [files.paid_out(1), files.to_address(2), files.paid_out(3, **told)]
    bulk_id = await files.take_in(*rows)
    assert await files.work() == 3
    shown = await files.shown(bulk_id)
    assert (shown.bulk.status, shown.bulk.accepted) == (BulkStatus.COMPLETED, 3)
    assert {(each.buy_asset, each.count, each.sell) for each in shown.sums} == {
        ("PHP", 2, 40_000),
        ("USDC", 1, 20_000),
    }
    first, second, third = await files.rows(bulk_id)
    assert first.transfer is not None
    assert (first.transfer.buy_asset, first.transfer.buy) == ("PHP", 1_315_739)
    assert second.transfer is not None
    assert (second.transfer.buy_asset, second.transfer.buy) == ("USDC", 230_074_048)
    assert third.transfer is not None
    transfer = await files.sender.again(third.transfer.id)
    registered, _ = files.sender.partner.by_key[f"{transfer.quote_id}-0"]
    assert (registered.name, registered.account, registered.purpose) == ("Bea", ACCOUNT, "SALA")
    assert registered.refund_policy is RefundPolicy.CORRECT
    assert transfer.payout is not None
    assert transfer.payout.refund_policy is RefundPolicy.CORRECT
    assert len(files.sender.partner.payouts) == 2
    await files.sender.assert_sound()


async def test_a_row_that_is_accepted_is_paid_out_as_every_transfer_is(files: PayingRows) -> None:
    bulk_id = await files.take_in(files.paid_out(1))
    await files.work()
    [row] = await files.rows(bulk_id)
    assert row.transfer is not None
    accepted = await files.sender.again(row.transfer.id)
    paid = await files.sender.paid_out(await files.sender.at_partner(accepted))
    assert paid.state is State.PAID_OUT
    [row] = await files.rows(bulk_id)
    assert row.transfer is not None
    assert row.transfer.state is State.PAID_OUT
    await files.sender.assert_sound()


async def test_while_the_partner_is_away_its_rows_wait_and_the_others_do_not(
    files: PayingRows,
) -> None:
    bulk_id = await files.take_in(
        *(files.paid_out(line, "1.00") for line in range(1, ASKED_MAX + 9)),
        files.to_address(100),
        files.to_address(101),
    )
    files.sender.partner.away = AWAY
    await files.work()
    waiting = (await files.shown(bulk_id)).bulk
    assert (waiting.status, waiting.accepted, waiting.rejected) == (BulkStatus.PROCESSING, 2, 0)
    assert waiting.waiting_code == "partner_unavailable"
    assert files.sender.partner.asked <= _AT_ONCE  # nobody waits for each of the rows
    accepted = await files.rows(bulk_id, RowStatus.ACCEPTED)
    assert [each.line for each in accepted] == [100, 101]
    files.sender.partner.away = None
    await files.work()
    done = (await files.shown(bulk_id)).bulk
    assert (done.status, done.accepted) == (BulkStatus.COMPLETED, ASKED_MAX + 10)
    assert done.waiting_code is None


async def test_rows_of_a_partner_that_is_away_too_long_are_rejected(files: PayingRows) -> None:
    bulk_id = await files.take_in(files.paid_out(1))
    files.sender.partner.away = AWAY
    await files.work()
    await files.sender.node.execute("UPDATE bulk_transfer SET accept_by = now()")
    await files.work()
    assert await files.codes(bulk_id) == {1: ("", "partner_unavailable")}
    assert (await files.shown(bulk_id)).bulk.status is BulkStatus.COMPLETED


async def test_what_a_partner_cannot_do_for_one_row_it_does_for_the_others(
    files: PayingRows,
) -> None:
    class Busy(FakePartner):
        async def register(self, registration: Registration) -> PartnerPayout:
            if registration.name == "Big":
                raise PartnerBusy("no liquidity")
            return await super().register(registration)

    replaced(files, Busy)
    rows = [files.paid_out(line, "1.00", name="Big") for line in range(1, 11)]
    bulk_id = await files.take_in(*rows, *(files.paid_out(line, "1.00") for line in range(11, 41)))
    await files.work()
    assert (await files.shown(bulk_id)).bulk.accepted == 30


async def test_a_refused_beneficiary_rejects_its_row_alone(files: PayingRows) -> None:
    files.sender.partner.refused = frozenset({"Nemo"})
    bulk_id = await files.take_in(files.paid_out(1, name="Nemo"), files.paid_out(2))
    await files.work()
    assert await files.codes(bulk_id) == {1: ("/beneficiary", "beneficiary_refused")}
    assert (await files.shown(bulk_id)).bulk.accepted == 1
    await files.sender.assert_sound()


async def test_a_currency_that_nobody_pays_out_rejects_its_row(files: PayingRows) -> None:
    bulk_id = await files.take_in(files.paid_out(1, buy="USDC"), files.paid_out(2))
    await files.work()
    assert await files.codes(bulk_id) == {1: ("/buy/currency", "pair_not_offered")}


async def test_a_partner_that_registers_something_else_rejects_the_row_with_a_break(
    files: PayingRows,
) -> None:
    files.sender.partner.registers = {"chain_id": 1}
    bulk_id = await files.take_in(files.paid_out(1))
    await files.work()
    assert await files.codes(bulk_id) == {1: ("", "partner_refused")}
    assert [each.code for each in await files.sender.node.open_breaks()] == ["B30"]
    assert await files.transfers() == 0


async def test_rows_that_the_payer_cannot_pay_are_not_registered(node: MirroredNode) -> None:
    files = await PayingRows.over(await Partnered.over(node), eur_minor=50_000)
    rows = [files.paid_out(line) for line in range(1, 6)]
    bulk_id = await files.take_in(*rows, files.paid_out(6, "99.00"))
    await files.work()
    refused = ("/sell", "insufficient_funds")
    assert await files.codes(bulk_id) == dict.fromkeys((3, 4, 5), refused)
    assert len(files.sender.partner.payouts) == await files.transfers() == 3
    await files.sender.assert_sound()


async def test_a_file_that_comes_again_asks_the_partner_for_nothing(files: PayingRows) -> None:
    rows = [
        files.paid_out(1),
        files.paid_out(2, sell_amount=None, buy_amount="5000.00"),
        files.to_address(3),
        files.paid_out(4),
    ]
    await files.take_in(*rows)
    await files.work()
    asked = files.sender.partner.asked
    again = await files.take_in(*rows)
    await files.work()
    assert all(each.is_repeated for each in await files.rows(again))
    changed = await files.take_in(
        files.paid_out(1, account=BankAccount("000000000001", "BOPIPHMM")),
        files.paid_out(2, sell_amount=None, buy_amount="5001.00"),
        files.paid_out(3),
        files.paid_out(4, refund_policy=RefundPolicy.CORRECT),
    )
    await files.work()
    used = ("/client_reference", "client_reference_used")
    assert await files.codes(changed) == dict.fromkeys((1, 2, 3, 4), used)
    assert (files.sender.partner.asked, await files.transfers()) == (asked, 4)


async def test_all_or_nothing_is_refused_with_the_remedy_and_nothing_is_stored(
    files: PayingRows,
) -> None:
    rows = [files.to_address(1), files.paid_out(2)]
    with pytest.raises(PayoutsNotTogether, match="mode=best_effort") as refused:
        await files.take_in(*rows, mode=Mode.ALL_OR_NOTHING)
    assert refused.value.context == {"line": 2}
    assert await files.sender.node.rows("SELECT FROM bulk_transfer") == []
    await files.take_in(rows[0], mode=Mode.ALL_OR_NOTHING)


@pytest.mark.parametrize(
    ("window", "registered"),
    [
        ("after_bulk_row_bound", 0),
        ("after_payout_begun", 0),
        ("after_payout_told", 1),
        ("after_payout_registered", 1),
    ],
)
async def test_a_worker_killed_while_it_asks_registers_the_row_once(
    files: PayingRows, window: str, registered: int
) -> None:
    bulk_id = await files.take_in(files.paid_out(1))
    await files.sender.dies_at(window, files.work)
    assert (len(files.sender.partner.payouts), await files.transfers()) == (registered, 0)
    assert await (await files.worker()).run_once() == 0  # the lease of the one that died
    await files.work()
    assert (await files.shown(bulk_id)).bulk.accepted == 1
    assert len(files.sender.partner.payouts) == await files.transfers() == 1
    assert len(files.sender.partner.quotes) == 1
    await files.sender.assert_sound()


async def test_an_answer_that_got_lost_registers_no_row_twice(files: PayingRows) -> None:
    def lose(window: str) -> None:
        files.sender.partner.loses = int(window == "after_payout_begun")

    bulk_id = await files.take_in(files.paid_out(1))
    files.sender.at = lose
    await files.work()
    assert (await files.shown(bulk_id)).bulk.waiting_code == "partner_unavailable"
    assert len(files.sender.partner.payouts) == 1
    files.sender.at = lambda _: None
    await files.work()
    assert (await files.shown(bulk_id)).bulk.accepted == 1
    assert len(files.sender.partner.payouts) == 1


async def test_a_price_that_is_over_before_the_row_is_accepted_is_asked_for_anew(
    files: PayingRows,
) -> None:
    bulk_id = await files.take_in(files.paid_out(1))
    await files.sender.dies_at("after_payout_registered", files.work)
    await files.sender.node.execute("UPDATE quote SET expires_at = now()")
    await files.work()
    assert (await files.shown(bulk_id)).bulk.accepted == 1
    assert await files.transfers() == 1
    states = await files.sender.node.rows("SELECT state FROM payout_order ORDER BY created_at")
    assert [row["state"] for row in states] == [OrderState.REGISTERED] * 2  # the first will lapse
    await files.sender.assert_sound()


async def test_no_transaction_is_open_while_the_partner_is_asked(files: PayingRows) -> None:
    seen: list[int] = []

    class Looking(FakePartner):
        async def look(self) -> None:
            rows = await files.sender.node.rows(
                "SELECT count(*) AS open FROM pg_stat_activity WHERE datname = current_database()"
                " AND state LIKE 'idle in transaction%'"
            )
            seen.append(int(rows[0]["open"]))

        async def register(self, registration: Registration) -> PartnerPayout:
            await self.look()
            return await super().register(registration)

    replaced(files, Looking)
    await files.take_in(files.paid_out(1), files.to_address(2))
    await files.work()
    assert seen == [0]


async def test_few_are_asked_for_at_once_and_a_batch_is_bounded(files: PayingRows) -> None:
    @dataclass
    class Counting(FakePartner):
        under_way: int = 0
        most: int = 0

        async def register(self, registration: Registration) -> PartnerPayout:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await asyncio.sleep(0)
            try:
                return await super().register(registration)
            finally:
                self.under_way -= 1

    partner = replaced(files, Counting)
    assert isinstance(partner, Counting)
    await files.take_in(*(files.paid_out(line, "1.00") for line in range(1, 71)))
    worker = await files.worker()
    assert [await worker.run_once() for _ in range(3)] == [ASKED_MAX, ASKED_MAX, 6]
    assert 1 < partner.most <= _AT_ONCE


async def test_two_workers_register_each_row_once(files: PayingRows) -> None:
    ids = [
        await files.take_in(
            *(
                files.paid_out(line, "1.00", client_reference=f"{name}-{line}")
                for line in range(1, 21)
            )
        )
        for name in ("a", "b")
    ]

    async def work() -> None:
        worker = await files.worker()
        for _ in range(6):
            await worker.run_once()

    await asyncio.gather(work(), work())
    for each in ids:
        assert (await files.shown(each)).bulk.status is BulkStatus.COMPLETED
    assert len(files.sender.partner.payouts) == await files.transfers() == 40
