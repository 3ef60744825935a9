"""What a database restored from an older copy has forgotten, asked of the chain.

A copy shows transfers as never written that were paid after it was made. Until the worker has
compared its lanes with the chain nobody else would notice, so whoever gives money back asks first,
outside any transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from node.core.errors import ChainUnavailable, SettlementRecovering
from node.core.ports import UnitOfWork
from node.core.ports.adoption import OwnLane
from node.core.ports.chain import Chain
from node.core.ports.mirror import ChainReader
from node.core.ports.settlement import SettlementContract
from node.core.ports.transfers import Transfer
from node.core.settlement import LaneStatus
from node.core.signing import KeyRole


@dataclass(frozen=True, slots=True)
class Recollection:
    """Compares what the database knows of its own accounts with the chain, now."""

    units: UnitOfWork
    chain_id: int
    chain: Chain
    reader: ChainReader
    contract: SettlementContract

    async def compare_lanes(self) -> Sequence[OwnLane]:
        """Lanes of which the chain has more than the database ever gave out are ahead from now on.

        Returns:
            Those that must be adopted.

        Raises:
            ChainUnavailable: The chain cannot be asked.
        """
        forgotten = await self._forgotten()
        if not forgotten:
            return ()
        async with self.units() as unit:
            for each in await unit.adoption.lock_lanes(self.chain_id):
                count = forgotten.get(each.id, 0)
                if each.status is LaneStatus.ACTIVE and count > each.next_nonce:
                    await unit.settlement.set_lane_status(
                        each.id, LaneStatus.AHEAD, ahead_reason(count, each.next_nonce)
                    )
            lanes = await unit.adoption.lanes(self.chain_id)
        return [each for each in lanes if each.status is LaneStatus.AHEAD]

    async def check_unpaid(self, transfer: Transfer) -> None:
        """That a transfer which was never written, as the database has it, is unpaid.

        It is if its number is unused, or finally used for something else, and no lane has sent
        anything the database does not know of.

        Raises:
            SettlementRecovering: It may be paid; an operator must adopt what the chain has, or
                the number gets another use explained.
            ChainUnavailable: The chain cannot be asked, or shows other code than the known one.
        """
        if await self.chain.chain_id() != self.chain_id:
            raise ChainUnavailable(f"the provider is not of chain {self.chain_id}")
        if await self._forgotten(only=KeyRole.SETTLE):
            raise SettlementRecovering(
                "the chain has transactions of the node that the database does not know: an"
                " operator must adopt them first, the transfer may be paid"
            )
        block = (await self.chain.head()).hash
        if fault := await self.contract.fault(block):
            raise ChainUnavailable(f"whether the transfer is paid cannot be asked: {fault}")
        facts = await self.contract.facts(block, [transfer.payment_number])
        if facts.used[0] and not await self._is_used_for_good(transfer):
            raise SettlementRecovering(
                "the settlement contract has used the transfer's payment number, and the node does"
                " not know yet for what; ask again"
            )

    async def _is_used_for_good(self, transfer: Transfer) -> bool:
        """Whether the mirror has a final event by which the number never pays the transfer."""
        async with self.units() as unit:
            used = (await unit.transfers.used_numbers([transfer.id])).get(transfer.id)
        return used is not None and used.is_final and not used.pays(transfer)

    async def _forgotten(self, *, only: KeyRole | None = None) -> dict[int, int]:
        """Lane -> transactions that the chain has, where these are more than it ever gave out.

        Of the lanes of one role, or of all.

        The chain is asked first: what is given out only grows, and is sent after it is stored.
        """
        async with self.units() as unit:
            addresses = [each.address for each in await unit.adoption.lanes(self.chain_id)]
        counts = dict(zip(addresses, await self.reader.nonces_now(addresses), strict=True))
        async with self.units() as unit:
            lanes = await unit.adoption.lanes(self.chain_id)
        return {
            each.id: counts[each.address]
            for each in lanes
            if only is None or each.role == only
            if counts.get(each.address, 0) > each.next_nonce
        }


def ahead_reason(count: int, next_nonce: int) -> str:
    """Why a lane stopped, for the operator."""
    return (
        f"the chain has seen {count} transactions of this account, the database knows {next_nonce}:"
        " the key is used elsewhere, or the database is an older copy"
    )
