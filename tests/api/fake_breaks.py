"""A fake of what operators do about breaks: one open break, that two persons may close."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from adapters.machine import new_id
from node.core.breaks import BreakStep
from node.core.consent import Proposal, check_second
from node.core.errors import WrongState
from node.core.ids import Prefix, decode_id
from node.core.ledger import Entry
from node.core.paging import ListQuery, Page
from node.core.payout_orders import Conclusion
from node.core.ports.breaks import Break, BreakEvent, OpenBreaks
from node.core.ports.idempotency import Answer
from node.services.reconciliation.breaks import BreakRequest
from tests.api.fake_world import NOW, Memory

A_BREAK = Break(
    new_id(), "B04", "f", "warning", "money came in", "0", "5", {"tx_hash": "0x00"}, "look", "",
    NOW, NOW, None, None, None, NOW,
)  # fmt: skip


@dataclass
class FakeBreaks:
    """Any id is one break; with the reason `much` a second person must agree."""

    memory: Memory
    proposal: Proposal | None = None

    async def page(self, query: ListQuery, /) -> Page[Break]:
        query.position()
        return Page([A_BREAK], None)

    async def get(self, break_id: str, /) -> Break:
        return replace(A_BREAK, id=decode_id(Prefix.BREAK, break_id), proposal=self.proposal)

    async def history(self, break_id: str, /) -> Sequence[BreakEvent]:
        found = await self.get(break_id)
        return [BreakEvent(1, found.id, BreakStep.OPENED, "reconciliation", NOW, {})]

    async def summary(self) -> Sequence[OpenBreaks]:
        ages = {"0-1d": 1, "1-3d": 0, "3-7d": 0, "7-30d": 0, ">30d": 0}
        return [OpenBreaks(A_BREAK.code, A_BREAK.severity, 1, 0, NOW, ages)]

    async def assign(self, request: BreakRequest, owner: str | None, /) -> Answer:
        return await self._once(request, lambda found: replace(found, owner=owner))

    async def resolve(
        self, request: BreakRequest, reason: str, entries: Sequence[Entry], /
    ) -> Answer:
        def work(found: Break) -> Break:
            if reason == "closed":
                raise WrongState("the break is closed already")
            if reason == "much":
                self.proposal = Proposal(request.principal.key, NOW, reason, tuple(entries))
                return replace(found, proposal=self.proposal)
            kind = "ledger_transaction" if entries else "match"
            return _closed(found, request, {"kind": kind, "reason": reason})

        return await self._once(request, work)

    async def conclude(
        self, request: BreakRequest, reason: str, conclusion: Conclusion, evidence: str, /
    ) -> Answer:
        def work(found: Break) -> Break:
            entry = Entry("loss/partner/USDC", "partner_clearing/x/USDC", "USDC", 5)
            self.proposal = Proposal(
                request.principal.key, NOW, reason, (entry,), conclusion.value, reference=evidence
            )
            return replace(found, proposal=self.proposal)

        return await self._once(request, work)

    async def approve(self, request: BreakRequest, /) -> Answer:
        def work(found: Break) -> Break:
            if self.proposal is None:
                raise WrongState("nothing is proposed for this break")
            check_second(self.proposal.made_by, request.principal)
            return _closed(found, request, {"kind": "match", "reason": self.proposal.reason})

        return await self._once(request, work)

    async def withdraw(self, request: BreakRequest, reason: str, /) -> Answer:
        def work(found: Break) -> Break:
            if self.proposal is None:
                raise WrongState("nothing is proposed for this break")
            self.proposal = None
            return replace(found, proposal=None)

        return await self._once(request, work)

    async def _once(self, request: BreakRequest, change: Callable[[Break], Break]) -> Answer:
        async def work() -> Answer:
            return request.render(change(await self.get(request.break_id)))

        return await self.memory.once(request.claim, work, request.render_error)


def _closed(found: Break, request: BreakRequest, resolution: dict[str, str]) -> Break:
    by = request.principal.key
    return replace(found, proposal=None, resolved_at=NOW, resolved_by=by, resolution=resolution)
