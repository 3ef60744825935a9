"""What operators ask of the treasury: movements between own addresses, and rules that make them.

Not here: writing and sending them (`node.services.settlement.movement_writing`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from node.core.errors import AddressInvalid, InvalidInput, NodeError, NotFound, Refused
from node.core.ids import Prefix, decode_id
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports import Unit, UnitOfWork
from node.core.ports.chain import AddressCodec, Chain
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.movements import Movement, TreasuryRule
from node.core.treasury import ASKED_KINDS, MovementKind, NodeAddresses
from node.core.units import Address, Money
from node.services.idempotency import RenderError, once
from node.services.settlement.treasury_reads import is_contract_paused

_RULE_KINDS = (MovementKind.FLOAT_TOP_UP, MovementKind.LANE_GAS)
_NAMES = {
    MovementKind.FLOAT_TOP_UP: "a top-up of the float",
    MovementKind.LANE_GAS: "coin for gas",
    MovementKind.SWEEP: "a sweep",
    MovementKind.RESCUE: "a rescue",
}
_NO_TREASURY = "the node has no treasury key (setting TREASURY_SIGNER)"
_NOT_PAUSED = (
    "the contract gives its float out only while it is paused: pause with `hard`, wait until the"
    " contract is paused, and ask again"
)


@dataclass(frozen=True, slots=True)
class MovementRequest:
    """What an operator asks to be moved; addresses as written."""

    principal: Principal
    kind: str
    from_address: str
    to_address: str
    amount: Money


@dataclass(frozen=True, slots=True)
class RuleRequest:
    """A rule as an operator wants it, all three amounts of one asset.

    Attributes:
        to_address: As written; None: the contract, or every settling lane.
        mark: Below it the rule acts.
        fill_to: Up to where.
        daily_limit: The most it moves within any `RULE_WINDOW_S`.
    """

    principal: Principal
    kind: str
    to_address: str | None
    mark: Money
    fill_to: Money
    daily_limit: Money


@dataclass(frozen=True, slots=True)
class RuleLimits:
    """A rule with what it may still move now."""

    rule: TreasuryRule
    limit_left: int


@dataclass(frozen=True, slots=True)
class TreasuryOperations:
    """For operators only; the edge has checked the role."""

    units: UnitOfWork
    addresses: NodeAddresses
    codec: AddressCodec
    new_id: Callable[[], UUID]
    chain: Chain

    # ------------------------------------------------------------------------------ movements

    async def request_movement(
        self,
        request: MovementRequest,
        claim: Claim | None,
        render: Callable[[Movement], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Ask for a treasury movement; it is sent by the key that kind and source call for.

        Raises:
            InvalidInput: The kind is unknown.
            AddressInvalid: An address is none; `errors` says which.
            Refused: The node does not move this from there to there (`errors` says what is wrong),
                or not now.
            ChainUnavailable: Whether the contract is paused cannot be read.
        """
        kind = _kind(request.kind, ASKED_KINDS)
        source = self._address(request.from_address, "/from")
        to = self._address(request.to_address, "/to")
        fault = await self._rescue_fault() if kind is MovementKind.RESCUE else None

        async def store(unit: Unit) -> Answer:
            sender = self._sender(kind, source, to, request.amount)
            if fault is not None:
                raise fault
            movement = Movement(
                id=self.new_id(),
                kind=kind.value,
                sender=sender,
                from_address=source,
                to_address=to,
                asset=request.amount.asset.code,
                amount=request.amount.minor,
                state="requested",
                slot_id=None,
                made_by=request.principal.key,
                failure=None,
                created_at=unit.now,
            )
            await unit.movements.add(movement)
            return render(movement)

        return await once(self.units, claim, store, render_error)

    async def movement(self, movement_id: str, /) -> Movement:
        """One movement.

        Raises:
            NotFound: There is none of this id.
        """
        async with self.units() as unit:
            found = await unit.movements.get(decode_id(Prefix.MOVEMENT, movement_id))
        if found is None:
            raise NotFound(f"there is no movement {movement_id}")
        return found

    async def movements(self, query: ListQuery) -> Page[Movement]:
        """Movements, newest first. Filters: `state`, `kind`."""
        async with self.units() as unit:
            return await unit.movements.page(query)

    async def _rescue_fault(self) -> NodeError | None:
        """Why a rescue is refused now; asked outside the transaction, told inside it."""
        try:
            is_paused = await is_contract_paused(self.chain, self.addresses.contract)
            return None if is_paused else Refused(_NOT_PAUSED)
        except NodeError as error:
            return error

    def _sender(self, kind: MovementKind, source: Address, to: Address, amount: Money) -> Address:
        """Whose key signs it.

        Raises:
            Refused: The node has no such key, or does not move this from there to there.
        """
        own = self.addresses
        if own.treasury is None:
            raise Refused(_NO_TREASURY)
        if kind in _RULE_KINDS and not own.treasury_signs:
            raise Refused(_NO_TREASURY)
        if kind is MovementKind.RESCUE and own.rescuer is None:
            raise Refused("the node has no rescuer key (setting RESCUER_SIGNER)")
        route = own.route(kind)
        way = f"{_NAMES[kind]} goes from {self._any_of(route.sources)}"
        way += f" to {self._any_of(route.targets)}"
        if source not in route.sources:
            raise _fault(Refused, "/from", "not_one_of", way)
        if to not in route.targets:
            raise _fault(Refused, "/to", "not_one_of", way)
        if amount.asset.code not in route.assets:
            told = f"{_NAMES[kind]} is an amount of {' or '.join(route.assets)}"
            raise _fault(Refused, "/currency", "not_one_of", told)
        if amount.minor <= 0:
            raise _fault(Refused, "/amount", "too_small", "write an amount above zero")
        if kind is MovementKind.RESCUE and own.rescuer is not None:
            return own.rescuer
        return source

    def _address(self, text: str, pointer: str) -> Address:
        try:
            return self.codec.parse(text)
        except AddressInvalid as error:
            raise _fault(AddressInvalid, pointer, error.code, error.detail) from None

    def _any_of(self, addresses: tuple[Address, ...]) -> str:
        return " or ".join(self.codec.text(each) for each in addresses)

    # ---------------------------------------------------------------------------------- rules

    async def add_rule(
        self,
        request: RuleRequest,
        claim: Claim | None,
        render: Callable[[RuleLimits], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Top up below a mark from now on.

        Raises:
            InvalidInput: The kind is unknown, or the three amounts do not fit together; `errors`
                says which.
            AddressInvalid: The address is none.
            Refused: The node has no treasury key, or does not move this to there.
        """
        kind = _kind(request.kind, _RULE_KINDS)
        _check_limits(request.mark, request.fill_to, request.daily_limit)
        to = None if request.to_address is None else self._address(request.to_address, "/to")
        if kind is MovementKind.FLOAT_TOP_UP and to is None:
            to = self.addresses.contract

        async def store(unit: Unit) -> Answer:
            if self.addresses.treasury is None:
                raise Refused(_NO_TREASURY)
            target = self.addresses.lanes[0] if to is None else to
            self._sender(kind, self.addresses.treasury, target, request.mark)
            rule = TreasuryRule(
                id=self.new_id(),
                kind=kind.value,
                to_address=to,
                asset=request.mark.asset.code,
                mark=request.mark.minor,
                fill_to=request.fill_to.minor,
                daily_limit=request.daily_limit.minor,
                made_by=request.principal.key,
                created_at=unit.now,
            )
            await unit.movements.add_rule(rule)
            return render(RuleLimits(rule, rule.daily_limit))

        return await once(self.units, claim, store, render_error)

    async def rule(self, rule_id: str, /) -> RuleLimits:
        """One rule, in force or ended.

        Raises:
            NotFound: There is none of this id.
        """
        async with self.units() as unit:
            return await _rule(unit, rule_id)

    async def rules(self, query: ListQuery) -> Page[RuleLimits]:
        """Rules, newest first. Filter: `status` (in_force, ended)."""
        async with self.units() as unit:
            page = await unit.movements.rules(query)
            moved = await unit.movements.moved_by_rules([each.id for each in page.items])
        return Page(
            tuple(RuleLimits(e, e.daily_limit - moved.get(e.id, 0)) for e in page.items),
            page.next_cursor,
        )

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
        """Make no movements by this rule any more; those it has asked for go on.

        Raises:
            NotFound: There is none of this id.
        """

        async def work(unit: Unit) -> Answer:
            found = await _rule(unit, rule_id)
            await unit.movements.end_rule(found.rule.id, principal.key)
            return render(await _rule(unit, rule_id))

        return await once(self.units, claim, work, render_error)


async def _rule(unit: Unit, rule_id: str) -> RuleLimits:
    found = await unit.movements.rule(decode_id(Prefix.RULE, rule_id))
    if found is None:
        raise NotFound(f"there is no rule {rule_id}")
    moved = await unit.movements.moved_by_rules([found.id])
    return RuleLimits(found, found.daily_limit - moved.get(found.id, 0))


def _check_limits(mark: Money, fill_to: Money, daily_limit: Money) -> None:
    if mark.minor <= 0:
        raise _fault(InvalidInput, "/mark", "too_small", "the mark is above zero")
    if fill_to.minor <= mark.minor:
        told = f"what is filled up to is above the mark, {mark} {mark.asset}"
        raise _fault(InvalidInput, "/fill_to", "too_small", told)
    step = fill_to - mark
    if daily_limit.minor < step.minor:
        told = f"the daily limit is at least what lies between mark and top, {step} {step.asset}"
        raise _fault(InvalidInput, "/daily_limit", "too_small", told)


def _fault(family: type[NodeError], pointer: str, code: str, message: str) -> NodeError:
    """What is wrong with one member of the body."""
    return family(message, errors=[{"pointer": pointer, "code": code, "message": message}])


def _kind(text: str, known: tuple[MovementKind, ...]) -> MovementKind:
    if text not in known:
        told = f"the kind is one of {', '.join(known)}"
        raise _fault(InvalidInput, "/kind", "not_one_of", told)
    return MovementKind(text)
