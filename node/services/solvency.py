"""Checks of a reconciliation run that compare the ledger with itself: law 1, law 8, open payouts.

Not here: what needs the chain or the mirror (`reconciling.py`); the laws (`node.core.reconcile`).
"""

from node.core.ledger import Balance
from node.core.mirror import Watch
from node.core.ports.reconciliation import Books
from node.core.reconcile import BreakCode, Check, same, sides, solvency


def solvency_checks(watch: Watch, books: Books) -> list[Check]:
    """Law 1, law 8, and that open payouts are the pending credits of in_flight."""
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
    in_flight = next(
        (
            each
            for each in books.balances
            if each.path == "in_flight" and each.asset == watch.token_asset
        ),
        None,
    )
    checks.append(_in_flight_check(watch, books, in_flight))
    return checks


def _in_flight_check(watch: Watch, books: Books, in_flight: Balance | None) -> Check:
    promised = books.open_buys.get(watch.token_asset, 0)
    pending, posted = (in_flight.credits_pending, in_flight.posted) if in_flight else (0, 0)
    return same(
        f"in_flight:{watch.token_asset}",
        BreakCode.LEDGER_LAW,
        expected=f"{promised} promised, 0 posted",
        actual=f"{pending} promised, {posted} posted",
    )
