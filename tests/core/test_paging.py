"""Cursors: what comes back is what was given, and nothing else is taken for one."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.errors import CursorInvalid
from node.core.paging import ROW_ID_MAX, ListQuery, Position

TIMES = st.integers(-(10**15), 10**16).map(
    lambda time_us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
)
POSITIONS = st.builds(Position, TIMES, st.integers(0, 2**128 - 1))
FILTERS = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)
HERE = Position(datetime(2026, 11, 22, tzinfo=UTC), 7)


@given(POSITIONS, FILTERS, st.text(max_size=20))
def test_a_cursor_leads_back_to_its_position(
    position: Position, filters: dict[str, str], scope: str
) -> None:
    cursor = ListQuery(filters=filters, scope=scope).cursor_at(position)
    assert ListQuery(cursor=cursor, filters=filters, scope=scope).position() == position


@given(POSITIONS, FILTERS, FILTERS)
def test_a_cursor_serves_only_the_filters_it_was_made_with(
    position: Position, filters: dict[str, str], others: dict[str, str]
) -> None:
    cursor = ListQuery(filters=filters).cursor_at(position)
    query = ListQuery(cursor=cursor, filters=others)
    if filters == others:
        assert query.position() == position
    else:
        with pytest.raises(CursorInvalid):
            query.position()


def test_a_cursor_serves_only_its_own_list() -> None:
    cursor = ListQuery(scope="/v1/transfers").cursor_at(HERE)
    with pytest.raises(CursorInvalid):
        ListQuery(cursor=cursor, scope="/v1/customers").position()


@given(st.text(max_size=60))
def test_any_other_text_is_refused_as_a_cursor(text: str) -> None:
    with pytest.raises(CursorInvalid):
        ListQuery(cursor=text, filters={"status": "completed"}).position()


def test_a_forged_time_or_id_beyond_what_a_list_holds_is_refused() -> None:
    far = ListQuery().cursor_at(Position(HERE.created_at, 2**63))
    assert ListQuery(cursor=far).position() is not None
    with pytest.raises(CursorInvalid):
        ListQuery(cursor=far).position(ROW_ID_MAX)


@given(st.integers(0, 30), st.integers(1, 7))
def test_pages_show_every_row_once_in_order(count: int, limit: int) -> None:
    rows = [Position(HERE.created_at + timedelta(seconds=n), n) for n in range(count)][::-1]
    seen: list[Position] = []
    cursor = None
    for _ in range(count + 1):
        query = ListQuery(limit, cursor)
        after = query.position()
        left = [each for each in rows if after is None or each.id < after.id]
        page = query.page(left[: limit + 1], lambda row: row)
        assert len(page.items) <= limit
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == rows
