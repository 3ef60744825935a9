"""What operators may do about settlement as a whole: pause and resume it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.core.errors import SettlementRecovering
from node.core.parties import Principal
from node.core.ports import Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.settlement import Pause
from node.core.settlement import LaneStatus, PauseReason
from node.services.idempotency import RenderError, once

_CONTRACT_GOES_ON = (
    "the contract itself is not paused: the node has no pauser key (setting PAUSER_SIGNER)"
)


@dataclass(frozen=True, slots=True)
class SettlementOperations:
    """For operators only; the edge has checked the role.

    Attributes:
        has_pauser: Whether a hard pause reaches the contract.
    """

    units: UnitOfWork
    chain_id: int
    has_pauser: bool

    async def pauses(self) -> Sequence[Pause]:
        """Pauses in force."""
        async with self.units() as unit:
            return await unit.settlement.pauses()

    async def pause(
        self,
        principal: Principal,
        /,
        *,
        hard: bool,
        note: str | None,
        claim: Claim | None,
        render: Callable[[Sequence[Pause]], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Stop new work: nothing new is signed but voids and bumps; with `hard` no bumps either.

        A hard one also pauses the contract, by the pauser's job; without such a key the node
        stops all the same, and the note says that the contract goes on. The answer is rendered
        from the pauses in force.
        """
        if hard and not self.has_pauser:
            note = _CONTRACT_GOES_ON if note is None else f"{note}; {_CONTRACT_GOES_ON}"

        async def work(unit: Unit) -> Answer:
            await unit.settlement.pause(PauseReason.OPERATOR, principal.key, hard=hard, note=note)
            return render(await unit.settlement.pauses())

        return await once(self.units, claim, work, render_error)

    async def resume(
        self,
        principal: Principal,
        reason: PauseReason,
        /,
        *,
        claim: Claim | None,
        render: Callable[[Sequence[Pause]], Answer],
        render_error: RenderError,
    ) -> Answer:
        """End the pause of a reason, if there is one, and let stopped lanes work again.

        A lane stops itself when working on is of no use, whatever pauses there are; an operator
        who resumes has looked at it. Where the cause goes on, it stops again. The answer is
        rendered from the pauses that are left.

        Raises:
            SettlementRecovering: The pause is for a key that was used elsewhere, and a lane has
                transactions still that the database does not know.
        """

        async def work(unit: Unit) -> Answer:
            if reason is PauseReason.FOREIGN_NONCE:
                await self._check_adopted(unit)
            await unit.settlement.resume(reason, principal.key)
            await unit.settlement.restart_lanes(self.chain_id)
            return render(await unit.settlement.pauses())

        return await once(self.units, claim, work, render_error)

    async def _check_adopted(self, unit: Unit) -> None:
        lanes = await unit.adoption.lanes(self.chain_id)
        if ahead := [each for each in lanes if each.status is LaneStatus.AHEAD]:
            count = "a lane has" if len(ahead) == 1 else f"{len(ahead)} lanes have"
            raise SettlementRecovering(
                f"{count} transactions on the chain that the database does not know: adopt them"
                " first, with `corridor settlement adopt`"
            )
