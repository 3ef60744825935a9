"""The page of reconciliation: health, accounts, a chart, open breaks, runs; and the long lists."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response

from node.api import bodies
from node.api.bodies import PageQuery
from node.api.operator.chart import chart_of
from node.api.operator.views import PageCall
from node.api.schemas import BreakQuery, RunQuery
from node.core.breaks import age_buckets
from node.core.errors import Unavailable
from node.core.ids import Prefix, encode_id
from node.core.paging import ListQuery
from node.core.ports.breaks import OpenBreaks
from node.core.ports.comparisons import AccountComparison
from node.core.ports.settlement import Pause

_ACCOUNTS_SHOWN: Final = 40
_BREAKS_SHOWN: Final = 10
_RUNS_SHOWN: Final = 5
_POINTS: Final = 240


async def overview(call: PageCall) -> Response:
    """Everything at a glance."""
    services = call.services
    readiness = await services.health.ready()
    accounts = await services.comparisons.summary()
    shown = await services.comparisons.by_verdict(ListQuery(_ACCOUNTS_SHOWN), with_empty=False)
    charted = await services.comparisons.page(ListQuery(_ACCOUNTS_SHOWN))
    runs = await services.reconciliation.runs(ListQuery(limit=_RUNS_SHOWN))
    newest = await services.breaks.page(ListQuery(_BREAKS_SHOWN, filters={"status": "open"}))
    summary = await services.breaks.summary()
    pauses: Sequence[Pause] = ()
    with suppress(Unavailable):
        pauses = await services.settlement.pauses()
    return call.page(
        "overview.html",
        readiness=readiness,
        reconciled=accounts.newest_block,
        compared_at=accounts.compared_at,
        providers=services.meter.providers(),
        pauses=pauses,
        accounts=[call.figures.account(each) for each in shown.items],
        accounts_count=accounts.count,
        is_cut=accounts.differing + accounts.holding > _ACCOUNTS_SHOWN,
        differing_count=accounts.differing,
        buckets=_buckets(summary),
        codes=summary,
        open_count=sum(each.count for each in summary),
        overdue_count=sum(each.overdue for each in summary),
        breaks=[call.figures.break_row(each) for each in newest.items],
        more_breaks=newest.next_cursor is not None,
        runs=[(encode_id(Prefix.RUN, each.id), each) for each in runs.items],
        **await _chart(call, charted.items),
    )


async def accounts(call: PageCall) -> Response:
    """Every account in pages, those that differ first."""
    query = bodies.parse_query(call.query_string, PageQuery)
    summary = await call.services.comparisons.summary()
    page = await call.services.comparisons.by_verdict(
        ListQuery(query.limit, query.cursor, scope=call.path)
    )
    return call.page(
        "accounts.html",
        accounts=[call.figures.account(each) for each in page.items],
        count=summary.count,
        differing_count=summary.differing,
        next_url=_next(call.path, {}, page.next_cursor),
        is_first=query.cursor is None,
    )


async def account(call: PageCall) -> Response:
    """One account of the chain: its figures, its course, its ledger entries."""
    asset = call.parameters["asset"]
    wanted = call.services.addresses.parse(call.parameters["address"])
    known = await call.services.comparisons.account((wanted, asset))
    row = call.figures.account(known)
    query = bodies.parse_query(call.query_string, PageQuery)
    ledger = await call.services.accounts.accounts(ListQuery(filters={"path": row.path}))
    entries, following = [], None
    for each in ledger.items:
        if each.balance.path == row.path:
            page = await call.services.accounts.account_entries(
                encode_id(Prefix.ACCOUNT, each.id),
                ListQuery(query.limit, query.cursor, scope=call.path),
            )
            entries, following = list(page.items), page.next_cursor
    return call.page(
        "account.html",
        row=row,
        entries=entries,
        next_url=_next(call.path, {}, following),
        **await _chart(call, [known]),
    )


async def breaks(call: PageCall) -> Response:
    """Breaks, newest first, in pages."""
    query = bodies.parse_query(call.query_string, BreakQuery)
    filters = query.model_dump(mode="json", exclude={"limit", "cursor"}, exclude_none=True)
    page = await call.services.breaks.page(
        ListQuery(query.limit, query.cursor, filters, scope=call.path)
    )
    return call.page(
        "breaks.html",
        breaks=[call.figures.break_row(each) for each in page.items],
        filters=filters,
        next_url=_next(call.path, filters, page.next_cursor),
        is_first=query.cursor is None,
    )


async def runs(call: PageCall) -> Response:
    """Runs, newest first, in pages."""
    query = bodies.parse_query(call.query_string, RunQuery)
    filters = query.model_dump(mode="json", exclude={"limit", "cursor"}, exclude_none=True)
    page = await call.services.reconciliation.runs(
        ListQuery(query.limit, query.cursor, filters, scope=call.path)
    )
    return call.page(
        "runs.html",
        runs=[(encode_id(Prefix.RUN, each.id), each) for each in page.items],
        next_url=_next(call.path, filters, page.next_cursor),
        is_first=query.cursor is None,
    )


async def run(call: PageCall) -> Response:
    """One run: each of its checks."""
    found = await call.services.reconciliation.get(call.parameters["run_id"])
    failing = sum(not each.ok for each in found.checks)
    return call.page("run.html", id=call.parameters["run_id"], run=found, failing=failing)


def _buckets(summary: Sequence[OpenBreaks]) -> Sequence[tuple[str, int]]:
    return [(name, sum(each.ages.get(name, 0) for each in summary)) for name in age_buckets()]


async def _chart(call: PageCall, compared: Sequence[AccountComparison]) -> Mapping[str, object]:
    """The chart of the first account of the token, which is the contract's; else of the first."""
    shown = next((each for each in compared if each.asset == call.figures.token), None)
    shown = shown or next(iter(compared), None)
    if shown is None:
        return {"chart": None}
    points = await call.services.comparisons.course((shown.address, shown.asset), _POINTS)
    chart = chart_of(points, shown)
    words = call.figures.chart(chart) if chart is not None else {}
    return {"chart": chart, "chart_row": call.figures.account(shown), "chart_words": words}


def _next(path: str, filters: Mapping[str, str], cursor: str | None) -> str | None:
    """The address of the next page of a list."""
    return None if cursor is None else f"{path}?{urlencode({**filters, 'cursor': cursor})}"
