"""Local money that a rail can still pay: what its bank has, less what is due or promised."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from node.core.ledger import bank_account
from node.core.payouts import due_account
from node.core.ports import Unit


@dataclass(frozen=True, slots=True)
class LocalMoney:
    """The rail that pays out what is quoted now.

    Attributes:
        rail: Bank of the node.
        grace: How long after its time a payout may still be paid.
    """

    rail: str
    grace: timedelta

    async def headrooms(self, unit: Unit, assets: Collection[str]) -> Mapping[str, int]:
        """Minor units of each that the rail can still promise."""
        return {
            asset: await payout_headroom(unit, self.rail, asset, self.grace) for asset in assets
        }


async def payout_headroom(unit: Unit, rail: str, asset: str, grace: timedelta) -> int:
    """Minor units that another payout may promise; exact under the ledger's lock.

    Args:
        unit: The transaction.
        rail: Bank of the node.
        asset: What it pays.
        grace: How long after its time a payout may still be paid.
    """
    bank, due = bank_account(rail, asset), due_account(rail, asset)
    balances = await unit.ledger.balances([bank, due])
    promised = await unit.payouts.promised(rail, asset, grace)
    return balances[bank].available - balances[due].posted - promised
