"""Reports about transfers, and a partner's statement, over a real database."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from adapters.machine import new_id
from node.core.errors import NotFound, PeriodInvalid, StatementTooLarge
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, partner_account
from node.core.parties import Partner, Principal, Role
from node.core.ports.transfers import Transfer, TransferMove
from node.core.transfers import State
from node.core.units import TxHash
from node.services.ledger.statements import StatementService
from node.services.transfers.reports import ReportService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.builders import LedgerNode

pytestmark = pytest.mark.usefixtures("one_day")

OPERATOR = Principal(Role.OPERATOR, "ops")
TX = TxHash(b"\x5e" * 32)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[LedgerNode]:
    database = Database.at(database_url)
    node = LedgerNode(StoreUnits(database))
    await node.fund_contract()
    yield node
    await database.close()


async def settled(ledger: LedgerNode, transfer: Transfer) -> None:
    """As the mirror leaves a transfer whose payout is final."""
    changes: dict[str, object] = {"tx_hash": TX, "block_number": 12}
    async with ledger.units() as unit:
        move = TransferMove(transfer.id, transfer.version, State.SETTLED, changes)
        await unit.transfers.apply_moves([move])


async def test_costs_are_those_of_the_quote_and_the_acceptance(ledger: LedgerNode) -> None:
    payer = await ledger.remitter(eur_minor=10**6)
    [first, second] = await ledger.funded(payer, 2)
    await settled(ledger, first)
    report = await ReportService(ledger.units).costs(payer, None, None)
    assert [each.transfer_id for each in report.lines] == [first.id, second.id]
    line = report.lines[0]
    assert (line.state, line.amounts) == (State.SETTLED, first.amounts)
    assert (format(line.mid_rate, "f"), line.spread_bps) == ("1.15626", 20)
    assert not report.is_complete


async def test_payouts_have_their_place_on_the_chain_and_unpaid_ones_are_left_out(
    ledger: LedgerNode,
) -> None:
    payer = await ledger.remitter(eur_minor=10**6)
    [first, _] = await ledger.funded(payer, 2)
    await settled(ledger, first)
    report = await ReportService(ledger.units).payouts(payer, None, None)
    [line] = report.lines
    assert (line.tx_hash, line.block_number) == (TX, 12)
    assert (line.contract, line.payment_number) == (first.contract, first.payment_number)
    assert (line.beneficiary, line.amount) == (first.beneficiary_address, first.amounts.buy)


async def test_a_report_has_the_days_asked_for_and_no_others(ledger: LedgerNode) -> None:
    payer = await ledger.remitter(eur_minor=10**6)
    [transfer] = await ledger.funded(payer, 1)
    await settled(ledger, transfer)
    service = ReportService(ledger.units)
    today = transfer.created_at.date()
    before = today - timedelta(days=1)
    assert len((await service.costs(payer, today, today)).lines) == 1
    assert len((await service.payouts(payer, today, today)).lines) == 1
    costs = await service.costs(payer, before, before)
    payouts = await service.payouts(payer, before, before)
    assert (costs.lines, payouts.lines) == ([], [])
    assert costs.is_complete
    assert payouts.is_complete
    with pytest.raises(PeriodInvalid):
        await service.costs(payer, None, today + timedelta(days=2))


async def test_a_report_is_of_ones_own_transfers(ledger: LedgerNode) -> None:
    payer = await ledger.remitter(eur_minor=10**6)
    other = await ledger.remitter(eur_minor=10**6)
    [transfer] = await ledger.funded(payer, 1)
    await settled(ledger, transfer)
    service = ReportService(ledger.units)
    partner = await a_partner(ledger)
    for stranger in (other, partner):
        assert (await service.costs(stranger, None, None)).lines == []
        assert (await service.payouts(stranger, None, None)).lines == []
    assert len((await service.payouts(OPERATOR, None, None)).lines) == 1


async def test_a_report_has_a_most_of_lines(ledger: LedgerNode) -> None:
    payer = await ledger.remitter(eur_minor=10**6)
    await ledger.funded(payer, 2)
    with pytest.raises(StatementTooLarge):
        await ReportService(ledger.units, lines_max=1).costs(payer, None, None)


async def test_a_partners_statement_opens_where_the_day_before_closed(ledger: LedgerNode) -> None:
    partner = await a_partner(ledger)
    assert partner.partner_id is not None
    account = partner_account(partner.partner_id, "EUR")
    payer = await ledger.remitter()
    await ledger.post(Entry("bank/sandbox_bank/EUR", account, "EUR", 5_000))
    await ledger.post(
        Entry(account, f"customer/{encode_id(Prefix.CUSTOMER, customer_of(payer))}/EUR", "EUR", 700)
    )
    service = StatementService(ledger.units)
    partner_id = encode_id(Prefix.PARTNER, partner.partner_id)
    statement = await service.partner_statement(partner, partner_id, "EUR")
    assert (statement.owner, statement.owner_name) == (partner_id, partner.name)
    assert [each.amount for each in statement.lines] == [5_000, 700]
    assert (statement.opening, statement.closing) == (0, 4_300)
    as_operator = await service.partner_statement(OPERATOR, partner_id, "EUR")
    assert as_operator.lines == statement.lines
    today = statement.period.last
    before = today - timedelta(days=1)
    earlier = await service.partner_statement(partner, partner_id, "EUR", first=before, last=before)
    of_day = await service.partner_statement(partner, partner_id, "EUR", first=today, last=today)
    assert (earlier.closing, earlier.is_complete) == (of_day.opening, True)


async def test_another_partners_statement_does_not_exist(ledger: LedgerNode) -> None:
    partner, stranger = await a_partner(ledger), await a_partner(ledger)
    assert partner.partner_id is not None
    partner_id = encode_id(Prefix.PARTNER, partner.partner_id)
    service = StatementService(ledger.units)
    for reader in (stranger, await ledger.remitter()):
        with pytest.raises(NotFound):
            await service.partner_statement(reader, partner_id, "EUR")
    with pytest.raises(NotFound):
        await service.partner_statement(OPERATOR, "par_" + "0" * 26, "EUR")


async def a_partner(ledger: LedgerNode) -> Principal:
    """A partner that has just been made."""
    async with ledger.units() as unit:
        identity = new_id()
        partner = Partner(identity, f"partner {identity}", unit.now)
        await unit.parties.add_partner(partner)
    return Principal(Role.PARTNER, partner.name, partner_id=partner.id)


def customer_of(payer: Principal) -> UUID:
    assert payer.customer_id is not None
    return payer.customer_id
