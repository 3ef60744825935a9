"""What operators see of settlement: in one look, lane by lane, batch by batch, and what it cost.

Only reads. What they may do is in `node.services.settlement.operations`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from node.core.errors import NotFound, PeriodInvalid
from node.core.ids import Prefix, decode_id
from node.core.paging import ListQuery, Page
from node.core.ports import Unit, UnitOfWork
from node.core.ports.settlement import Pause
from node.core.ports.settlement_views import (
    BatchRow,
    BatchView,
    ContractView,
    Holding,
    LaneSpending,
    LaneView,
    OpenRow,
    Spending,
)
from node.core.treasury import NodeAddresses
from node.core.units import Address
from node.services.settlement.alerts import SETTLE, Alert, AlertRules, Facts, alerts

_DAYS_MAX: Final = 366
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Watched:
    """What is looked at: one chain, and the node's addresses on it."""

    chain_id: int
    addresses: NodeAddresses

    @property
    def contract(self) -> Address:
        """The settlement contract."""
        return self.addresses.contract

    @property
    def roles(self) -> Sequence[tuple[Address, str]]:
        """What each address is for, the contract first; one may be for more than one thing."""
        own = self.addresses
        others = ((own.treasury, "treasury"), (own.pauser, "pauser"), (own.rescuer, "rescuer"))
        return [
            (own.contract, "contract"),
            *((each, SETTLE) for each in own.lanes),
            *((each, role) for each, role in others if each is not None),
        ]

    def has(self, view: LaneView) -> bool:
        """Whether the lane's key is one of the settings; if not, it is retired."""
        return any(each == view.lane.address for each, _ in self.roles)


@dataclass(frozen=True, slots=True)
class SettlementLook:
    """All of settlement at one moment of the database.

    Attributes:
        contract: The contract as last seen; None: never.
        committed_units: Token units in written batches that are not in the block of `contract`.
        holdings: What the node's addresses have at the mirror's final block.
        gas_price_wei: As charged for the newest final transaction; None: there is none.
        final_number: The mirror's final block; None: it has not begun.
        gas_wei_min: Least coin of each lane that is no alert, by its id; None: unknown.
    """

    at: datetime
    watched: Watched
    pauses: Sequence[Pause]
    lanes: Sequence[LaneView]
    contract: ContractView | None
    committed_units: int
    open_transfers: Sequence[OpenRow]
    holdings: Sequence[Holding]
    gas_price_wei: int | None
    final_number: int | None
    gas_wei_min: dict[int, int | None]
    alerts: Sequence[Alert]


@dataclass(frozen=True, slots=True)
class Period:
    """A time of spending, the end left out, and what was spent in it, by purpose."""

    since: datetime
    before: datetime
    spending: Sequence[Spending]


class SettlementOverview:
    """For operators only; the edge has checked the role."""

    def __init__(self, units: UnitOfWork, watched: Watched, rules: AlertRules) -> None:
        self._units = units
        self._watched = watched
        self._rules = rules

    async def look(self) -> SettlementLook:
        """Everything in one look.

        Raises:
            DatabaseUnavailable: The database is away.
        """
        async with self._units() as unit:
            return await look_at(unit, self._watched, self._rules)

    async def lanes(self) -> tuple[SettlementLook, Sequence[LaneSpending]]:
        """Every lane, with what each has spent since its beginning."""
        async with self._units() as unit:
            look = await look_at(unit, self._watched, self._rules)
            return look, await unit.settlement_views.spending_by_lane(self._watched.chain_id)

    async def batches(self, query: ListQuery, /) -> Page[BatchRow]:
        """Batches, and whatever else nonces were used for, newest first.

        Raises:
            CursorInvalid: The cursor is not of this list.
        """
        async with self._units() as unit:
            return await unit.settlement_views.batches(self._watched.chain_id, query)

    async def batch(self, batch_id: str, /) -> BatchView:
        """One batch, of payments or of voids, or what else a nonce was used for.

        Raises:
            NotFound: There is none of this id.
        """
        async with self._units() as unit:
            found = await unit.settlement_views.batch(decode_id(Prefix.BATCH, batch_id))
        if found is None:
            raise NotFound(f"there is no batch {batch_id}")
        return found

    async def spending(self, since: datetime | None, before: datetime | None, /) -> Period:
        """What the transactions that became final in a period came to.

        Args:
            since: Its beginning; None: a day before its end.
            before: Its end, which is not in it; None: now.

        Raises:
            PeriodInvalid: It is no period, or too long a one.
        """
        async with self._units() as unit:
            before = before or unit.now
            since = since or before - _DAY
            if not timedelta() < before - since <= _DAYS_MAX * _DAY:
                message = f"write a time before `to`, at most {_DAYS_MAX} days before it"
                raise PeriodInvalid(
                    f"`from` is wrong: {message}",
                    errors=[{"parameter": "from", "code": "period_invalid", "message": message}],
                    days_max=_DAYS_MAX,
                )
            found = await unit.settlement_views.spending(self._watched.chain_id, since, before)
        return Period(since, before, found)


async def look_at(unit: Unit, watched: Watched, rules: AlertRules) -> SettlementLook:
    """Everything in one look, in a transaction of the caller's."""
    views = unit.settlement_views
    chain_id = watched.chain_id
    pauses = await unit.settlement.pauses()
    lanes = await views.lanes(chain_id, watched.addresses.native)
    contract = await views.contract(chain_id, watched.contract)
    committed = 0
    if contract is not None:
        committed = await unit.settlement.committed_units(
            chain_id, watched.contract, contract.block_number
        )
    open_transfers = await views.open_transfers(chain_id, watched.contract)
    gas_price_wei = await views.gas_price_wei(chain_id)
    final = await unit.settlement.final_block(chain_id)
    facts = Facts(
        at=unit.now,
        address=watched.contract,
        roles=watched.roles,
        pauses=pauses,
        lanes=lanes,
        contract=contract,
        committed_units=committed,
        open_transfers=open_transfers,
        gas_price_wei=gas_price_wei,
        rules=rules,
    )
    return SettlementLook(
        at=unit.now,
        watched=watched,
        pauses=pauses,
        lanes=lanes,
        contract=contract,
        committed_units=committed,
        open_transfers=open_transfers,
        holdings=await views.holdings(chain_id),
        gas_price_wei=gas_price_wei,
        final_number=final[0] if final else None,
        gas_wei_min={each.lane.id: rules.gas_wei_min(each.role, gas_price_wei) for each in lanes},
        alerts=alerts(facts),
    )
