"""A fake of rates and halts: one source, halts in a list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from node.core.parties import Principal
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.quotes import Exposure, Halt
from node.core.quotes import HaltReason
from node.core.rates import DEFAULT_POLICY, Reading
from node.services.idempotency import RenderError
from node.services.pricing.fx import FxState, Halted, OpenAmount, PairRate, Resumed
from tests.api.fake_world import CATALOG, MID, NOW, Memory


@dataclass
class FakeFx:
    """Halts what it is told to."""

    memory: Memory
    in_force: list[Halt] = field(default_factory=list)

    async def state(self) -> FxState:
        reading = Reading(MID.sources, 345_600, None, "ecb", "no answer in 5 s")
        pairs = [
            PairRate("EUR", "USDC", MID, MID.rate, None),
            PairRate("GBP", "USDC", None, None, "no source states a rate for GBP/USDC"),
        ]
        exposure = [
            OpenAmount(CATALOG.asset("EUR"), Exposure(20_000, 1, NOW), 10_000_000),
            OpenAmount(CATALOG.asset("USDC"), Exposure(230_074_048, 1, NOW), None),
        ]
        return FxState(NOW, DEFAULT_POLICY, [reading], pairs, self.in_force, exposure)

    async def halt(
        self,
        principal: Principal,
        currency: str | None,
        /,
        *,
        note: str | None,
        claim: Claim | None,
        render: Callable[[Halted], Answer],
        render_error: RenderError,
    ) -> Answer:
        async def work() -> Answer:
            self.in_force.append(Halt(currency, HaltReason.OPERATOR, note, principal.key, NOW))
            return render(Halted(self.in_force, 3))

        return await self.memory.once(claim, work, render_error)

    async def resume(
        self,
        principal: Principal,
        currency: str | None,
        /,
        *,
        mid: Decimal | None,
        claim: Claim | None,
        render: Callable[[Resumed], Answer],
        render_error: RenderError,
    ) -> Answer:
        async def work() -> Answer:
            self.in_force = [each for each in self.in_force if each.currency != currency]
            return render(Resumed(self.in_force, {("EUR", "USDC"): mid or MID.rate}))

        return await self.memory.once(claim, work, render_error)
