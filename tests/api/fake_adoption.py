"""A fake of adoption: one lane that is ahead by one batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from adapters.machine import new_id
from node.core.adoption.facts import MinedTransaction
from node.core.adoption.found import (
    AdoptionPlan,
    Finding,
    FoundMovement,
    FoundRecord,
    FoundTransaction,
    Link,
    SkippedNonces,
)
from node.core.errors import SettlementRecovering
from node.core.mirror import BlockPoint, SettlementKind
from node.core.parties import Principal
from node.core.ports.adoption import Adoption, LaneFound, OwnLane
from node.core.ports.idempotency import Answer, Claim
from node.core.settlement import LaneStatus, Purpose
from node.core.submission import Fees
from node.core.treasury import MovementKind
from node.core.units import BlockHash, TxHash
from node.services.idempotency import RenderError
from tests.api.fake_world import CONTRACT, LANE, NOW, Memory

A_TRANSFER = new_id()
MINED = MinedTransaction(
    TxHash(b"\xab" * 32), LANE, 7, CONTRACT, 0, b"", 410_000, Fees(2, 1), b"",
    BlockPoint(40, BlockHash(bytes(32))), NOW, 0, True, 96_000, 1,
)  # fmt: skip
PAID = FoundTransaction(
    MINED,
    Finding.NEW,
    Purpose.SETTLE,
    None,
    (
        FoundRecord(0, 42, LANE, 5_000_000, Link.LINKED, A_TRANSFER, SettlementKind.SETTLED),
        FoundRecord(1, 43, LANE, 7_000_000, Link.NO_TRANSFER, None, SettlementKind.SETTLED),
    ),
)
MOVED = FoundTransaction(
    replace(MINED, nonce=8, to=None),
    Finding.OVERTAKES,
    Purpose.MOVEMENT,
    new_id(),
    movement=FoundMovement(MovementKind.SWEEP, LANE, CONTRACT, "ETH", 5, None),
)
A_LANE_AHEAD = LaneFound(OwnLane(1, LANE, "settle", 7, LaneStatus.AHEAD, "used elsewhere"), 9, 9, 2)


@dataclass
class FakeAdoption:
    """Shows one plan; writes it once asked."""

    memory: Memory
    waits_for: tuple[str, ...] = ()

    async def look(self) -> Adoption:
        renumbered = new_id()
        plan = AdoptionPlan(
            [PAID, MOVED], [new_id()], {}, [renumbered], 44, [SkippedNonces(LANE, 5, 6)]
        )
        return Adoption([A_LANE_AHEAD], plan, self.waits_for, {}, {}, {})

    async def adopt(
        self,
        principal: Principal,
        /,
        *,
        claim: Claim | None,
        render: Callable[[Adoption], Answer],
        render_error: RenderError,
    ) -> Answer:
        async def work() -> Answer:
            if self.waits_for:
                raise SettlementRecovering("; ".join(self.waits_for))
            found = await self.look()
            numbers = dict.fromkeys(found.plan.renumbered, 44)
            return render(replace(found, written={1: new_id()}, renumbered=numbers))

        return await self.memory.once(claim, work, render_error)
