"""Checks of a run that compare the ledger with itself: laws 1 and 8, open payouts, suspense.

Not here: what needs the chain or the mirror (`reconciling.py`); the laws (`node.core.reconcile`).
"""

from node.core.breaks import BreakCode
from node.core.ledger import Balance, suspense_account
from node.core.mirror import Watch
from node.core.ports import UnitOfWork
from node.core.ports.reconciliation import Books
from node.core.reconcile import Check, same, sides, solvency


def solvency_checks(watch: Watch, books: Books) -> list[Check]:
    """Laws 1 and 8; open payouts are the pending credits of in_flight; partners hold their own.

    Theirs is what they were paid for transfers that they have not ended.
    """
    checks: list[Check] = []
    for asset, (debits, credits_) in sorted(sides(books.balances).items()):
        checks.append(
            same(
                f"ledger.trial_balance:{asset}",
                BreakCode.LEDGER_LAW,
                expected=debits,
                actual=credits_,
            )
        )
        owed, covered = solvency(asset, books.balances)
        checks.append(
            same(
                f"solvency:{asset}",
                BreakCode.LEDGER_LAW,
                expected="covered",
                actual="covered" if owed <= covered else f"owed {owed}, covered {covered}",
            )
        )
    in_flight = {each.asset: each for each in books.balances if each.path == "in_flight"}
    for asset in sorted({watch.token_asset, *books.open_buys, *in_flight}):
        promised = books.open_buys.get(asset, 0)
        checks.append(_in_flight_check(asset, promised, in_flight.get(asset)))
    clearing = {each.asset: each.posted for each in books.balances if _is_clearing(each)}
    checks += [
        same(
            f"partner_clearing:{asset}",
            BreakCode.LEDGER_LAW,
            expected=books.at_partners.get(asset, 0),
            actual=clearing.get(asset, 0),
        )
        for asset in sorted({*books.at_partners, *clearing})
    ]
    return checks


async def suspense_check(units: UnitOfWork, watch: Watch) -> Check:
    """Suspense of the token is what deposits hold there, and what corrections put besides."""
    path = suspense_account(watch.chain_id, watch.token_asset)
    async with units() as unit:
        posted, explained = await unit.deposits.suspense(watch.chain_id, path)
    return same(f"suspense:{path}", BreakCode.LEDGER_LAW, expected=explained, actual=posted)


async def payout_due_checks(units: UnitOfWork) -> list[Check]:
    """Local money that is due at each rail is that of the payouts it is due for."""
    async with units() as unit:
        totals = await unit.payouts.due()
    return [
        same(each.path, BreakCode.LEDGER_LAW, expected=each.due, actual=each.posted)
        for each in totals
    ]


def _is_clearing(balance: Balance) -> bool:
    return balance.path == "partner_clearing"


def _in_flight_check(asset: str, promised: int, in_flight: Balance | None) -> Check:
    pending, posted = (in_flight.credits_pending, in_flight.posted) if in_flight else (0, 0)
    return same(
        f"in_flight:{asset}",
        BreakCode.LEDGER_LAW,
        expected=f"{promised} promised, 0 posted",
        actual=f"{pending} promised, {posted} posted",
    )
