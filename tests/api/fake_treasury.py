"""A fake treasury: one movement, one rule, and whatever is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from adapters.evm.addresses import Eip55
from adapters.machine import new_id
from node.core.ids import Prefix, decode_id
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.movements import Movement, TreasuryRule
from node.services.idempotency import RenderError
from node.services.settlement.treasury_operations import MovementRequest, RuleLimits, RuleRequest
from tests.api.fake_world import CONTRACT, LANE, NOW, Memory

A_MOVEMENT = Movement(
    new_id(), "lane_gas", LANE, LANE, CONTRACT, "ETH", 5, "requested", None, "operator:ops", None,
    NOW, new_id(), "paused",
)  # fmt: skip
A_RULE = TreasuryRule(
    new_id(), "lane_gas", None, "ETH", 5 * 10**8, 2 * 10**9, 10**10, "operator:ops", NOW
)


@dataclass
class FakeTreasury:
    """Answers with what it was asked, or with its one movement and rule."""

    memory: Memory

    async def request_movement(
        self,
        request: MovementRequest,
        claim: Claim | None,
        render: Callable[[Movement], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            codec, amount = Eip55(), request.amount
            source, to = codec.parse(request.from_address), codec.parse(request.to_address)
            return render(
                Movement(
                    new_id(), request.kind, source, source, to, amount.asset.code, amount.minor,
                    "requested", None, request.principal.key, None, NOW,
                )
            )  # fmt: skip

        return await self.memory.once(claim, work, render_error)

    async def movement(self, movement_id: str, /) -> Movement:
        return replace(A_MOVEMENT, id=decode_id(Prefix.MOVEMENT, movement_id))

    async def movements(self, query: ListQuery, /) -> Page[Movement]:
        query.position()
        return Page([A_MOVEMENT], None)

    async def add_rule(
        self,
        request: RuleRequest,
        claim: Claim | None,
        render: Callable[[RuleLimits], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            to = None if request.to_address is None else Eip55().parse(request.to_address)
            rule = TreasuryRule(
                new_id(), request.kind, to, request.mark.asset.code, request.mark.minor,
                request.fill_to.minor, request.daily_limit.minor, request.principal.key, NOW,
            )  # fmt: skip
            return render(RuleLimits(rule, rule.daily_limit))

        return await self.memory.once(claim, work, render_error)

    async def rule(self, rule_id: str, /) -> RuleLimits:
        return RuleLimits(replace(A_RULE, id=decode_id(Prefix.RULE, rule_id)), 10**9)

    async def rules(self, query: ListQuery, /) -> Page[RuleLimits]:
        query.position()
        return Page([RuleLimits(A_RULE, 10**9)], None)

    async def end_rule(
        self,
        principal: Principal,
        rule_id: str,
        /,
        *,
        claim: Claim | None,
        render: Callable[[RuleLimits], Answer],
        render_error: RenderError,
    ) -> Answer:
        async def work() -> Answer:
            limits = await self.rule(rule_id)
            ended = replace(limits.rule, ended_by=principal.key, ended_at=NOW)
            return render(replace(limits, rule=ended))

        return await self.memory.once(claim, work, render_error)
