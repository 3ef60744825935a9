"""A fake of bulk transfers: one that is done, and the last file that came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from adapters.machine import new_id
from node.api.bulk_examples import BULK_ID
from node.core.bulk import (
    Bulk,
    BulkRow,
    BulkStatus,
    Fault,
    Form,
    Mode,
    Progress,
    RowStatus,
    RowTransfer,
    Sum,
)
from node.core.errors import NotFound
from node.core.ids import Prefix, decode_id
from node.core.paging import ListQuery, Page
from node.core.parties import Principal, Role
from node.core.ports.idempotency import Answer, Claim
from node.core.transfers import State
from node.services.bulk.bulk_transfers import BulkOrder
from node.services.idempotency import RenderError
from tests.api.fake_world import NOW, PARTNER, Memory

A_BULK = Bulk(
    decode_id(Prefix.BULK, BULK_ID), PARTNER, 2, BulkStatus.COMPLETED, Mode.BEST_EFFORT,
    Form.PAIN_001, "MSG-1", "pain.001.001.09", 4, 3, 1, 0, None, None, NOW + timedelta(hours=1),
    NOW, NOW,
)  # fmt: skip
A_TRANSFER = RowTransfer(new_id(), State.SETTLED, "EUR", 20_000, "USDC", 230_074_048, None)
FAILED = replace(
    A_TRANSFER, state=State.EXPIRED, failure={"code": "expired", "message": "it took too long"}
)
THE_ROWS = (
    BulkRow(1, "pay-1", "PMT-1", None, RowStatus.ACCEPTED, (), False, A_TRANSFER),
    BulkRow(
        2, "=pay-2", "PMT-1", None, RowStatus.REJECTED,
        (Fault("/sell", "insufficient_funds", "there is too little"),), False, None,
    ),
    BulkRow(3, "pay-3", "PMT-2", None, RowStatus.ACCEPTED, (), True, FAILED),
    BulkRow(
        4, None, None, None, RowStatus.REJECTED,
        (Fault("", "some_code_that_is_ours", "it cannot be read"),), False, None,
    ),
)  # fmt: skip
THE_SUMS = (
    Sum("EUR", "USDC", State.SETTLED, 1, 20_000, 230_074_048),
    Sum("EUR", "USDC", State.EXPIRED, 1, 20_000, 230_074_048),
)


@dataclass
class FakeBulk:
    """Keeps the last order that came; shows one that is done to its owner."""

    memory: Memory
    bulk: Bulk = field(default_factory=lambda: A_BULK)
    order: BulkOrder | None = None

    async def create(
        self,
        order: BulkOrder,
        claim: Claim,
        render: Callable[[Progress], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            self.order = order
            taken = replace(self.bulk, rows=len(order.file.rows), accepted=0, rejected=0)
            return render(Progress(taken, (), NOW))

        return await self.memory.once(claim, work, render_error)

    async def get(self, principal: Principal, bulk_id: str, /) -> Progress:
        decode_id(Prefix.BULK, bulk_id)
        if principal.role is not Role.OPERATOR and principal.key != self.bulk.principal.key:
            raise NotFound("there is no such bulk transfer")
        return Progress(self.bulk, THE_SUMS, NOW)

    async def list(self, principal: Principal, query: ListQuery, /) -> Page[Bulk]:
        query.position()
        return Page([self.bulk], None)

    async def rows(
        self,
        principal: Principal,
        bulk_id: str,
        /,
        *,
        status: RowStatus | None,
        after_line: int,
        limit: int,
    ) -> Sequence[BulkRow]:
        await self.get(principal, bulk_id)
        return [
            each for each in THE_ROWS if each.line > after_line and status in (None, each.status)
        ][:limit]

    async def report(
        self, principal: Principal, bulk_id: str, /
    ) -> tuple[Progress, Sequence[BulkRow]]:
        return await self.get(principal, bulk_id), THE_ROWS
