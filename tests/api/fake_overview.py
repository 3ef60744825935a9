"""A fake of settlement as operators see it: one lane that works, one batch in a block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from adapters.machine import new_id
from node.core.errors import NodeError
from node.core.ids import Prefix, decode_id
from node.core.paging import ListQuery, Page
from node.core.ports.chain import ProviderHealth
from node.core.ports.settlement import Lane, Member
from node.core.ports.settlement_views import (
    AttemptView,
    BatchRow,
    BatchView,
    ContractView,
    HeadOfLine,
    Holding,
    LaneSpending,
    LaneView,
    MemberView,
    OpenRow,
    Spending,
)
from node.core.settlement import LaneStatus, PaymentRecord, Purpose, SlotState
from node.core.submission import AnswerClass, Fees
from node.core.treasury import NodeAddresses
from node.core.units import Address, BlockHash, TxHash
from node.services.settlement.alerts import AlertRules, Facts, alerts
from node.services.settlement.figures import SettlementFigures
from node.services.settlement.overview import Period, SettlementLook, Watched
from tests.api.fake_operations import FakeSettlement
from tests.api.fake_world import CONTRACT, LANE, NOW

GWEI = 10**9
TREASURY = Address(b"\x7e" * 20)
HEAD = HeadOfLine(
    new_id(), 2, Purpose.SETTLE, SlotState.SUBMITTED, NOW, 1, Fees(2 * GWEI, GWEI), 1, NOW,
    AnswerClass.ACCEPTED, None,
)  # fmt: skip
A_LANE = LaneView(
    Lane(
        1, 31337, LANE, 3, LaneStatus.ACTIVE, None, 1, "worker-1", NOW + timedelta(seconds=30)
    ),
    "settle", 10**18, 40_000_000, NOW, 1, HEAD,
)  # fmt: skip
A_CONTRACT = ContractView(12, 50_000_000, None, paused=False, token_paused=False, seen_at=NOW)
A_ROW = BatchRow(
    new_id(), LANE, 31337, 2, Purpose.SETTLE, SlotState.INCLUDED, 3, 15_000_000, 2,
    TxHash(b"\xab" * 32), 12, BlockHash(b"\xbb" * 32), True, 100_000, GWEI, 2, False, NOW, None,
)  # fmt: skip
WATCHED = Watched(31337, NodeAddresses(CONTRACT, "USDC", "ETH", (LANE,), TREASURY))
SPENT = Spending(Purpose.SETTLE, 2, 0, 100, 3, 1_050_000, 1_050_000 * GWEI)


@dataclass
class FakeOverview:
    """What operators see; a test changes the facts."""

    settlement: FakeSettlement
    lanes_seen: Sequence[LaneView] = (A_LANE,)
    contract: ContractView | None = A_CONTRACT
    open_transfers: Sequence[OpenRow] = ()
    spent: Sequence[Spending] = (SPENT,)
    rows: list[BatchRow] = field(default_factory=lambda: [A_ROW])
    refuses: NodeError | None = None
    looked: int = 0

    async def look(self) -> SettlementLook:
        if self.refuses:
            raise self.refuses
        self.looked += 1
        rules = AlertRules()
        facts = Facts(
            NOW, CONTRACT, WATCHED.roles, self.settlement.paused, self.lanes_seen, self.contract,
            5_000_000, self.open_transfers, GWEI, rules,
        )  # fmt: skip
        return SettlementLook(
            NOW, WATCHED, facts.pauses, facts.lanes, facts.contract,
            facts.committed_units, facts.open_transfers,
            [Holding(LANE, "ETH", 10**18, 10), Holding(CONTRACT, "USDC", 50_000_000, 10)],
            GWEI, 10, {each.lane.id: rules.gas_wei_min(each.role, GWEI) for each in facts.lanes},
            alerts(facts),
        )  # fmt: skip

    async def lanes(self) -> tuple[SettlementLook, Sequence[LaneSpending]]:
        return await self.look(), [LaneSpending(1, 2, 192_000, 192_000 * GWEI)]

    async def batches(self, query: ListQuery, /) -> Page[BatchRow]:
        query.position()
        wanted = query.filters
        return Page(
            [
                each
                for each in self.rows
                if wanted.get("state", each.state.value) == each.state.value
                and wanted.get("purpose", each.purpose.value) == each.purpose.value
                and wanted.get("lane", f"0x{each.lane.hex()}").lower() == f"0x{each.lane.hex()}"
            ],
            None,
        )

    async def batch(self, batch_id: str, /) -> BatchView:
        row = replace(A_ROW, id=decode_id(Prefix.BATCH, batch_id))
        attempt = AttemptView(
            TxHash(b"\xab" * 32), 1, Fees(2 * GWEI, GWEI), "fee_history", NOW, NOW, 1,
            AnswerClass.ACCEPTED, None,
        )  # fmt: skip
        second = replace(attempt, sequence=2, fees=Fees(3 * GWEI, 2 * GWEI))
        members = [
            MemberView(Member(new_id(), PaymentRecord(n, LANE, 5_000_000)), outcome)
            for n, outcome in enumerate(("settled", "settled", "failed"), 1)
        ]
        return BatchView(row, CONTRACT, CONTRACT, 0, 410_000, [attempt, second], members)

    async def spending(self, since: datetime | None, before: datetime | None, /) -> Period:
        return Period(since or NOW - timedelta(days=1), before or NOW, self.spent)


@dataclass
class FakeMeter:
    """Figures of the fake overview."""

    overview: FakeOverview

    async def figures(self) -> SettlementFigures:
        totals = {each.purpose: each for each in self.overview.spent}
        return SettlementFigures(await self.overview.look(), totals, self.providers())

    def providers(self) -> Sequence[ProviderHealth]:
        return [ProviderHealth("rpc.example:443", "closed", 0, 3, 13, 0, None)]
