"""What lanes and contract are seen to hold, noted now and then for operators and their alerts.

Nothing is decided by it: the gate reads the chain itself.
"""

from datetime import datetime, timedelta

from node.core.errors import ChainUnavailable
from node.core.ports.settlement import Lane
from node.core.signing import KeyRole
from node.services.settlement.parts import SettlementParts

_PERIOD = timedelta(seconds=5)


class Observer:
    """Looks at one lane, and where it settles at the contract too, at most once in 5 s."""

    def __init__(self, parts: SettlementParts) -> None:
        self._parts = parts
        self._due: datetime | None = None

    async def observe(self, lane: Lane, now: datetime) -> None:
        """Note what there is to see; where the chain cannot be asked, what was noted gets old.

        Args:
            lane: The lane of the parts' key.
            now: By the database's clock.
        """
        if self._due is not None and now < self._due:
            return
        self._due = now + _PERIOD
        try:
            await self._look(lane)
        except ChainUnavailable:
            return

    async def _look(self, lane: Lane) -> None:
        parts = self._parts
        with parts.chain.pinned():
            head = await parts.chain.head()
            balance_wei = await parts.chain.native_balance(lane.address, head.hash)
            if parts.role is not KeyRole.SETTLE:
                async with parts.units() as unit:
                    await unit.settlement.saw_lane(lane.id, balance_wei, None)
                return
            facts = await parts.contract.facts(head.hash, (), lane.address)
        async with parts.units() as unit:
            await unit.settlement.saw_lane(lane.id, balance_wei, facts.operator_left)
            await unit.settlement.saw_contract(
                parts.chain_id, parts.contract.address, head.number, facts
            )
