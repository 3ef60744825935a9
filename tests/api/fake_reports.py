"""A fake of reports about transfers: one line in each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from adapters.machine import new_id
from node.core.ledger import TransferAmounts
from node.core.parties import Principal
from node.core.ports.reports import CostLine, PayoutLine
from node.core.statements import Period
from node.core.transfers import State
from node.core.units import Address, TxHash
from node.services.transfers.reports import Report
from tests.api.fake_world import ANA, CONTRACT, NOW

AMOUNTS = TransferAmounts("EUR", 20_000, 60, 2, 39, "USDC", 230_074_048)
A_COST = CostLine(new_id(), ANA.id, "=rent", State.SETTLED, AMOUNTS, Decimal("1.15626"), 20, NOW)
A_PAYOUT = PayoutLine(
    A_COST.transfer_id, ANA.id, "=rent", State.SETTLED, NOW, 31337, CONTRACT, 42,
    TxHash(bytes(32)), 12, new_id(), Address(b"\xbe" * 20), "USDC", 230_074_048,
)  # fmt: skip


@dataclass
class FakeReports:
    """The same lines for any day."""

    async def costs(
        self, principal: Principal, first: date | None, last: date | None, /
    ) -> Report[CostLine]:
        return Report(Period.of(first, last, NOW.date()), [A_COST], NOW)

    async def payouts(
        self, principal: Principal, first: date | None, last: date | None, /
    ) -> Report[PayoutLine]:
        return Report(Period.of(first, last, NOW.date()), [A_PAYOUT], NOW)
