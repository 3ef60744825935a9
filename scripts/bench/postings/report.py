"""The table at the end: medians of all cases, then the ratios that the design is held to.

Markdown, so that it can be kept. Not here: measuring (`window.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from scripts.bench.postings.cases import ACCOUNTS, BULK, NAIVE, POST, Case, Figures, Kind
from scripts.bench.postings.node_side import Verified

_MOST: Kind = POST[-1]


def table(sizes: Sequence[tuple[int, Figures]]) -> Iterator[str]:
    """Lines of the table.

    A ratio is taken in each round, of windows that were measured one soon after the other; shown
    are the median of the rounds, the lowest and the highest.

    Args:
        sizes: Entries in the books and what was measured with so many; the fewest first.
    """
    fewest = sizes[0][1]
    columns = [(figures, accounts) for _, figures in sizes for accounts in ACCOUNTS]
    names = (f"{entries:,} entries, {accounts}" for entries, _ in sizes for accounts in ACCOUNTS)
    yield _row("postings/s", names)
    yield _row("---", ("---:" for _ in columns))
    for kind in (*POST, BULK, *NAIVE):
        medians = (median(_rates(figures, kind, accounts)) for figures, accounts in columns)
        yield _row(_name(kind), (f"{per_s:,.0f}" for per_s in medians))
    above = (
        _ratio(_rates(figures, _MOST, accounts), _best_naive(figures, accounts))
        for figures, accounts in columns
    )
    yield _row(f"{_name(_MOST)} / best naive (goal: 25)", above)
    for kind in (_MOST, BULK):
        balance = (
            _ratio(_rates(figures, kind, "hot"), _rates(figures, kind, "uniform"))
            if accounts == "hot"
            else ""
            for figures, accounts in columns
        )
        yield _row(f"{_name(kind)}: hot / uniform (goal: 0.80)", balance)
        growth = (
            _ratio(_rates(figures, kind, accounts), _rates(fewest, kind, accounts))
            if figures is not fewest
            else ""
            for figures, accounts in columns
        )
        yield _row(f"{_name(kind)}: beside {sizes[0][0]:,} entries (goal: 0.80)", growth)


def verified_line(verified: Verified) -> str:
    """What verifying took."""
    before_mb, most_mb = verified.resident_mb
    memory = "" if most_mb is None else f", this process {before_mb} MB before, {most_mb} MB most"
    return (
        f"verify: nothing found in {verified.entries:,} entries, {verified.seconds:.1f} s,"
        f" {verified.entries / verified.seconds:,.0f} entries/s{memory}"
    )


def _rates(figures: Figures, kind: Kind, accounts: str) -> list[float]:
    """Postings per second in each round."""
    return [window.per_s for window in figures[Case(*kind, accounts)].windows]


def _best_naive(figures: Figures, accounts: str) -> list[float]:
    """In each round, of any number of callers."""
    rounds = zip(*(_rates(figures, kind, accounts) for kind in NAIVE), strict=True)
    return [max(rates) for rates in rounds]


def _ratio(of: Sequence[float], to: Sequence[float]) -> str:
    ratios = sorted(each / other for each, other in zip(of, to, strict=True))
    return f"{median(ratios):.2f} [{ratios[0]:.2f} - {ratios[-1]:.2f}]"


def _name(kind: Kind) -> str:
    side, callers = kind
    return side if kind == BULK else f"{side}, callers {callers}"


def _row(first: str, cells: Iterable[str]) -> str:
    return f"| {first} | {' | '.join(cells)} |"
