"""The way out of a reorg past finality: one operator proposes, another accepts.

The mirror stands still since the chain replaced a final block (break B19). A proposal names the
chain's own block of that number; the node asks every provider, finds the newest block that both
chains have, and shows what undoing everything above it comes to. When a second operator accepts,
the chain is read again, the plan is made again, and only if both are as they were is it carried
out (`node.services.mirror.reorg_undoing`). ADR 0021.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from node.core.consent import check_second
from node.core.errors import ChainUnavailable, Conflict, NotFound, WrongState
from node.core.ids import Prefix, decode_id
from node.core.mirror import BlockPoint, Cursor, Watch
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports import Unit, UnitOfWork
from node.core.ports.chain import ProviderHealth
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.mirror import ChainReader
from node.core.ports.reorgs import Reorg, ReorgState
from node.core.signing import KeyRole
from node.core.units import Address, BlockHash
from node.services.idempotency import RenderError, once, replay
from node.services.mirror.forking import find_fork
from node.services.mirror.reorg_plan import ChainState, gather, plan_of
from node.services.mirror.reorg_undoing import ReorgUndoing


@dataclass(frozen=True, slots=True)
class MirrorLook:
    """How the mirror stands.

    Attributes:
        cursor: None: it has not begun.
        epoch: How many reorgs past finality were accepted.
        proposal: What waits for a second operator.
        providers: As this process sees them.
    """

    cursor: Cursor | None
    epoch: int
    proposal: Reorg | None
    providers: Sequence[ProviderHealth]


class ReorgService:
    """For operators only; the edge has checked the role."""

    def __init__(  # noqa: PLR0913 - keyword-only parts
        self,
        *,
        units: UnitOfWork,
        reader: ChainReader,
        watch: Watch,
        lanes: Mapping[Address, KeyRole],
        providers: Callable[[], Sequence[ProviderHealth]],
        new_id: Callable[[], UUID],
        failpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._units = units
        self._reader = reader
        self._watch = watch
        self._providers = providers
        self._new_id = new_id
        self._failpoint = failpoint
        self._undoing = ReorgUndoing(watch, lanes, new_id)

    async def look(self) -> MirrorLook:
        """How the mirror stands, and what waits for a decision."""
        chain_id = self._watch.chain_id
        async with self._units() as unit:
            cursor = await unit.mirror.cursor(chain_id)
            epoch = await unit.reorgs.epoch(chain_id)
            newest = await unit.reorgs.page(ListQuery(limit=1, filters={"state": "proposed"}))
        proposal = newest.items[0] if newest.items else None
        return MirrorLook(cursor, epoch, proposal, self._providers())

    async def reorgs(self, query: ListQuery) -> Page[Reorg]:
        """Reorgs that were proposed, newest first. Filter: `state`."""
        async with self._units() as unit:
            return await unit.reorgs.page(query)

    async def reorg(self, reorg_id: str) -> Reorg:
        """One of them. Raises NotFound."""
        async with self._units() as unit:
            found = await unit.reorgs.get(decode_id(Prefix.REORG, reorg_id))
        if found is None:
            raise NotFound("there is no such reorg")
        return found

    async def propose(
        self,
        principal: Principal,
        block_hash: BlockHash,
        *,
        reason: str | None,
        claim: Claim | None,
        render: Callable[[Reorg], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Show what accepting the chain with this block comes to; nothing is undone.

        Args:
            principal: The first operator.
            block_hash: The chain's block of the number that was final last.
            reason: For others.
            claim: Of the request.
            render: The answer.
            render_error: A refusal as an answer.

        Raises:
            WrongState: The mirror is not halted, or the chain has nothing in common with it.
            Conflict: A provider has another block there, or the mirror's own one.
            ChainUnavailable: No provider answers, or none has the state of the fork.
        """
        if earlier := await self._earlier(claim):
            return earlier
        chain = await self._read_chain(block_hash)

        async def work(unit: Unit) -> Answer:
            await self._hold(unit, chain.final)
            plan = plan_of(await gather(unit, self._watch, chain), self._watch)
            reorg = Reorg(
                id=self._new_id(),
                chain_id=self._watch.chain_id,
                state=ReorgState.PROPOSED,
                final=chain.final,
                block_hash=block_hash,
                fork=chain.fork,
                plan=plan,
                reason=reason,
                proposed_by=principal.key,
                proposed_at=unit.now,
            )
            await unit.reorgs.propose(reorg)
            return render(reorg)

        return await once(self._units, claim, work, render_error)

    async def accept(
        self,
        principal: Principal,
        reorg_id: str,
        *,
        claim: Claim | None,
        render: Callable[[Reorg], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Undo finality down to the fork, as it was proposed; the mirror then goes on.

        Args:
            principal: The second operator.
            reorg_id: The proposal.
            claim: Of the request.
            render: The answer.
            render_error: A refusal as an answer.

        Raises:
            NotFound: There is no such proposal.
            SecondPersonNeeded: The first operator asks.
            WrongState: It was accepted or replaced by a newer one, or the mirror goes on already.
            Conflict: Chain or books are not as they were: it must be proposed again.
            ChainUnavailable: As for `propose`.
        """
        if earlier := await self._earlier(claim):
            return earlier
        identity = decode_id(Prefix.REORG, reorg_id)
        proposal = await self._open_proposal(principal, identity)
        chain = await self._read_chain(proposal.block_hash)
        self._failpoint("after_reorg_read")

        async def work(unit: Unit) -> Answer:
            await self._hold(unit, proposal.final)
            found = await unit.reorgs.get(identity)
            if found is None or found.state is not ReorgState.PROPOSED:
                raise WrongState("the proposal was accepted or replaced meanwhile")
            if (chain.final, chain.fork) != (proposal.final, proposal.fork):
                raise _changed("the chain parts from the node's at another block")
            await unit.ledger.lock()
            await unit.adoption.lock_lanes(self._watch.chain_id)
            undone = await gather(unit, self._watch, chain)
            if plan_of(undone, self._watch) != proposal.plan:
                raise _changed("what would be undone")
            accepted = replace(
                found,
                state=ReorgState.ACCEPTED,
                accepted_by=principal.key,
                accepted_at=unit.now,
                epoch=await unit.reorgs.epoch(self._watch.chain_id) + 1,
            )
            await self._undoing.carry_out(unit, accepted, chain, undone)
            self._failpoint("before_reorg_commit")
            return render(accepted)

        answer = await once(self._units, claim, work, render_error)
        self._failpoint("after_reorg_commit")
        return answer

    async def _earlier(self, claim: Claim | None) -> Answer | None:
        if claim is None:
            return None
        async with self._units() as unit:
            return replay(claim, await unit.idempotency.find([claim]))

    async def _open_proposal(self, principal: Principal, reorg_id: UUID) -> Reorg:
        async with self._units() as unit:
            proposal = await unit.reorgs.get(reorg_id)
        if proposal is None:
            raise NotFound("there is no such reorg")
        if proposal.state is not ReorgState.PROPOSED:
            raise WrongState(f"the proposal was {proposal.state} already")
        check_second(proposal.proposed_by, principal)
        return proposal

    async def _hold(self, unit: Unit, final: BlockPoint) -> None:
        """The fence: the cursor is locked, halted, and where the chain was compared with it."""
        cursor = await unit.adoption.lock_cursor(self._watch.chain_id)
        if cursor is None or cursor.halted_reason is None:
            raise _not_halted()
        if cursor.final != final:
            raise _changed("the final block")

    # ---------------------------------------------------------------------------- reading the chain

    async def _read_chain(self, block_hash: BlockHash) -> ChainState:
        """What every provider has at the final number, and where it parts from the mirror."""
        chain_id = self._watch.chain_id
        async with self._units() as unit:
            cursor = await unit.mirror.cursor(chain_id)
            if cursor is None or cursor.halted_reason is None:
                raise _not_halted()
        if block_hash == cursor.final.hash:
            raise Conflict(
                "this is the node's own final block; the mirror goes on by itself once the"
                " providers show it again"
            )
        await self._check_agreed(BlockPoint(cursor.final.number, block_hash))
        fork = await self._fork(cursor, block_hash)
        await self._check_agreed(fork)
        return ChainState(cursor.final, fork, await self._natives(fork))

    async def _check_agreed(self, block: BlockPoint) -> None:
        """All providers that answer have this block at its number."""
        told = await self._reader.hashes_at(block.number)
        if not told:
            raise ChainUnavailable(f"no provider shows a block of number {block.number}")
        if set(told.values()) != {block.hash}:
            raise Conflict(
                f"block {block.number} is not 0x{block.hash.hex()} for every provider: "
                + ", ".join(f"{name} has 0x{each.hex()}" for name, each in sorted(told.items())),
                providers={name: f"0x{each.hex()}" for name, each in sorted(told.items())},
            )

    async def _fork(self, cursor: Cursor, block_hash: BlockHash) -> BlockPoint:
        """The newest block that both have."""
        chain_id, start = self._watch.chain_id, cursor.start_number
        with self._reader.pinned():
            fork = await find_fork(
                self._units, self._reader, chain_id, cursor, block_hash, lowest=start
            )
        if fork is None:
            raise WrongState(
                f"the chain has nothing in common with the node's down to block"
                f" {cursor.start_number}, where its mirror began: a reorg cannot be undone further"
            )
        return fork

    async def _natives(self, fork: BlockPoint) -> dict[Address, int]:
        """Wei of every address at the fork."""
        addresses = sorted(self._watch.addresses)
        try:
            wei = await self._reader.native_balances(addresses, fork.hash)
        except ChainUnavailable as error:
            raise ChainUnavailable(
                f"no provider has the state of block {fork.number}, 0x{fork.hash.hex()}, from"
                " which the coin of the node's addresses is read; name a provider that keeps it"
                " (an archive node) in CORRIDOR_CHAIN_RPC_URLS"
            ) from error
        return dict(zip(addresses, wei, strict=True))


def _not_halted() -> WrongState:
    return WrongState("the mirror is not halted: there is no reorg to decide about")


def _changed(what: str) -> Conflict:
    return Conflict(f"{what} changed since the reorg was proposed; look, and propose it again")
