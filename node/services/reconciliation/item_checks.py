"""The second layer of reconciliation: every item has its counterpart, and exactly one.

Every Settled its transfer, every settled transfer its Settled, every batch an outcome for each of
its payments, every outflow a cause, every completed transfer what its quote promised.
"""

from collections.abc import Sequence

from node.core.breaks import BreakCode, break_of
from node.core.ports import UnitOfWork
from node.core.ports.reconciliation import Suspect
from node.core.reconcile import Check, none_of


async def item_checks(units: UnitOfWork, chain_id: int, above: int, *, full: bool) -> list[Check]:
    """The checks of this layer.

    Args:
        units: Opens transactions.
        chain_id: Which chain.
        above: Of what became final above this block...
        full: ...or of everything, where asking for everything costs more.
    """
    async with units() as unit:
        ask = unit.reconciliation
        checks = [
            _suspects(
                "items.settled_has_transfer",
                BreakCode.PAID_WRONG,
                await ask.settled_without_transfer(chain_id, above),
            ),
            _suspects(
                "items.delivered_as_quoted",
                BreakCode.NOT_AS_QUOTED,
                await ask.not_as_quoted(chain_id, above, full=full),
            ),
            _suspects(
                "items.outbound_has_cause",
                BreakCode.ORPHAN_OUTBOUND,
                await ask.outbound_without_cause(chain_id, above),
            ),
            _suspects(
                "items.no_transfer_left_behind",
                BreakCode.STUCK,
                await ask.left_behind(chain_id),
            ),
            _suspects(
                "items.batch_has_outcomes",
                BreakCode.MISSED_LOG,
                await ask.batches_without_outcomes(chain_id, above),
            ),
        ]
        if full:
            alone = await ask.transfers_without_settled(chain_id)
            name = "items.transfer_has_settled"
            checks.append(_suspects(name, BreakCode.PHANTOM_LOG, alone))
        return checks


def _suspects(name: str, code: BreakCode, suspects: Sequence[Suspect]) -> Check:
    return none_of(
        name,
        [
            break_of(
                code,
                each.subject,
                expected=each.expected,
                actual=each.actual,
                evidence=each.evidence,
            )
            for each in suspects
        ],
    )
