"""What operators see of settlement and may do: lanes, batches, pause, resume, movements."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from node.core.errors import InvalidInput, NotFound, Refused
from node.core.ids import Prefix, decode_id
from node.core.parties import Principal
from node.core.ports import Unit, UnitOfWork
from node.core.ports.chain import AddressCodec
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.settlement import BatchView, LaneView, Movement, Pause
from node.core.settlement import PauseReason
from node.core.units import Address, Money
from node.services.idempotency import RenderError, once

FLOAT_TOP_UP = "float_top_up"
LANE_GAS = "lane_gas"
_KINDS = (FLOAT_TOP_UP, LANE_GAS, "sweep", "rescue")


@dataclass(frozen=True, slots=True)
class NodeAddresses:
    """Between which addresses the node moves its own money.

    Attributes:
        token, native: Asset codes.
        treasury: None: the node has no key of a treasury, and moves nothing.
    """

    contract: Address
    token: str
    native: str
    lanes: Sequence[Address]
    treasury: Address | None = None


@dataclass(frozen=True, slots=True)
class SettlementOperations:
    """For operators only; the edge has checked the role."""

    units: UnitOfWork
    chain_id: int
    addresses: NodeAddresses
    codec: AddressCodec
    new_id: Callable[[], UUID]

    async def lanes(self) -> Sequence[LaneView]:
        """Every lane."""
        async with self.units() as unit:
            return await unit.settlement.lanes(self.chain_id)

    async def pauses(self) -> Sequence[Pause]:
        """Pauses in force."""
        async with self.units() as unit:
            return await unit.settlement.pauses()

    async def batch(self, batch_id: str, /) -> BatchView:
        """One batch, of payments or of voids, or what else a nonce was used for.

        Raises:
            NotFound: There is none of this id.
        """
        async with self.units() as unit:
            found = await unit.settlement.batch(decode_id(Prefix.BATCH, batch_id))
        if found is None:
            raise NotFound(f"there is no batch {batch_id}")
        return found

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

        The answer is rendered from the pauses in force.
        """

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
        """

        async def work(unit: Unit) -> Answer:
            await unit.settlement.resume(reason, principal.key)
            await unit.settlement.restart_lanes(self.chain_id)
            return render(await unit.settlement.pauses())

        return await once(self.units, claim, work, render_error)

    async def request_movement(  # noqa: PLR0913 - all by name
        self,
        principal: Principal,
        /,
        *,
        kind: str,
        from_address: str,
        to_address: str,
        amount: Money,
        claim: Claim | None,
        render: Callable[[Movement], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Ask for a treasury movement; it is sent by the treasury's own lane.

        Raises:
            InvalidInput: The kind is unknown.
            AddressInvalid: An address is none.
            Refused: The node does not move this from there to there.
        """
        if kind not in _KINDS:
            raise InvalidInput(f"the kind is one of {', '.join(_KINDS)}")
        source, to = self.codec.parse(from_address), self.codec.parse(to_address)

        async def store(unit: Unit) -> Answer:
            movement = Movement(
                id=self.new_id(),
                kind=kind,
                from_address=source,
                to_address=to,
                asset=amount.asset.code,
                amount=amount.minor,
                state="requested",
                slot_id=None,
                made_by=principal.key,
                failure=None,
                created_at=unit.now,
            )
            self._check(movement)
            await unit.settlement.add_movement(movement)
            return render(movement)

        return await once(self.units, claim, store, render_error)

    async def movement(self, movement_id: str, /) -> Movement:
        """One movement.

        Raises:
            NotFound: There is none of this id.
        """
        async with self.units() as unit:
            found = await unit.settlement.movement(decode_id(Prefix.MOVEMENT, movement_id))
        if found is None:
            raise NotFound(f"there is no movement {movement_id}")
        return found

    def _check(self, movement: Movement) -> None:
        own = self.addresses
        if movement.kind not in (FLOAT_TOP_UP, LANE_GAS):
            raise Refused(f"the node has no key that could make a {movement.kind}")
        if own.treasury is None:
            raise Refused("the node has no treasury key (setting TREASURY_SIGNER)")
        targets, asset = (
            ((own.contract,), own.token)
            if movement.kind == FLOAT_TOP_UP
            else (tuple(own.lanes), own.native)
        )
        if movement.from_address != own.treasury or movement.to_address not in targets:
            raise Refused(
                f"a {movement.kind} goes from the treasury to"
                f" {' or '.join(self.codec.text(each) for each in targets)}"
            )
        if movement.asset != asset or movement.amount <= 0:
            raise Refused(f"a {movement.kind} is an amount of {asset} above zero")
