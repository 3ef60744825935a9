"""A mirror that stands still, and the proposals about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

from adapters.machine import new_id
from node.api.mirror_examples import REORG
from node.core.consent import check_second
from node.core.errors import Conflict, NotFound, WrongState
from node.core.ids import Prefix, decode_id
from node.core.mirror import BlockPoint, Cursor
from node.core.paging import ListQuery, Page, Position
from node.core.parties import Principal
from node.core.ports.chain import ProviderHealth
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.reorgs import Reorg, ReorgState
from node.core.units import BlockHash
from node.services.idempotency import RenderError
from node.services.mirror.reorgs import MirrorLook
from tests.api.fake_world import NOW, Memory

FINAL = BlockPoint(40, BlockHash(b"\x0a" * 32))
FORK = BlockPoint(38, BlockHash(b"\x0c" * 32))
THEIRS = BlockHash(b"\x0b" * 32)
PLAN: dict[str, object] = {
    **cast("dict[str, object]", REORG["plan"]),
    "payments": [
        {**each, "minor": 230_074_048}
        for each in cast("dict[str, list[dict[str, object]]]", REORG["plan"])["payments"]
    ],
    "accounts": [{"account": "chain/1/0xaa/USDC", "currency": "USDC", "minor": -230_074_048}],
    "shortfalls": [{"account": "customer/cus_1/USDC", "currency": "USDC", "minor": 5}],
    "gas_minor": 96_000,
}


@dataclass
class FakeMirror:
    """Halted; one block is the chain's own."""

    memory: Memory
    kept: list[Reorg] = field(default_factory=list)

    async def look(self) -> MirrorLook:
        open_one = next((e for e in self.kept if e.state is ReorgState.PROPOSED), None)
        health = ProviderHealth("127.0.0.1:8545", "closed", 0, 0, 44, 0, None)
        cursor = Cursor(1, BlockPoint(42, FINAL.hash), FINAL, "deep_reorg", NOW, NOW)
        return MirrorLook(cursor, 0, open_one, [health])

    async def reorgs(self, query: ListQuery, /) -> Page[Reorg]:
        state = query.filters.get("state")
        rows = [each for each in reversed(self.kept) if state in (None, each.state)]
        return query.page(rows, lambda each: Position(each.proposed_at, each.id.int))

    async def reorg(self, reorg_id: str, /) -> Reorg:
        wanted = decode_id(Prefix.REORG, reorg_id)
        found = next((each for each in self.kept if each.id == wanted), None)
        if found is None:
            raise NotFound("there is no such reorg")
        return found

    async def propose(
        self,
        principal: Principal,
        block_hash: BlockHash,
        /,
        *,
        reason: str | None,
        claim: Claim | None,
        render: Callable[[Reorg], Answer],
        render_error: RenderError,
    ) -> Answer:
        async def work() -> Answer:
            if block_hash != THEIRS:
                raise Conflict("block 40 is another one", providers={"127.0.0.1:8545": "0x0b"})
            self.kept = [replace(each, state=ReorgState.REPLACED) for each in self.kept]
            self.kept.append(
                Reorg(
                    new_id(), 1, ReorgState.PROPOSED, FINAL, block_hash, FORK, PLAN, reason,
                    principal.key, NOW,
                )
            )  # fmt: skip
            return render(self.kept[-1])

        return await self.memory.once(claim, work, render_error)

    async def accept(
        self,
        principal: Principal,
        reorg_id: str,
        /,
        *,
        claim: Claim | None,
        render: Callable[[Reorg], Answer],
        render_error: RenderError,
    ) -> Answer:
        async def work() -> Answer:
            found = await self.reorg(reorg_id)
            if found.state is not ReorgState.PROPOSED:
                raise WrongState("the proposal was decided already")
            check_second(found.proposed_by, principal)
            accepted = replace(
                found,
                state=ReorgState.ACCEPTED,
                accepted_by=principal.key,
                accepted_at=NOW,
                epoch=1,
            )
            self.kept[self.kept.index(found)] = accepted
            return render(accepted)

        return await self.memory.once(claim, work, render_error)
