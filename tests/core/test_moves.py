"""Tables of moves, read backwards; and a quote's status, which no table's row is written for."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.machine import new_id
from node.core.deposits import REQUEST_MOVES
from node.core.moves import before
from node.core.payouts import REFUND_MOVES
from node.core.quotes import QUOTE_MOVES, HaltReason, Quote, QuoteStatus
from node.core.webhooks import DELIVERY_MOVES
from tests.core.test_quotes import a_quote

TABLES: list[Mapping[Any, frozenset[Any]]] = [
    QUOTE_MOVES,
    REQUEST_MOVES,
    REFUND_MOVES,
    DELIVERY_MOVES,
]


@pytest.mark.parametrize("moves", TABLES, ids=["quote", "request", "refund", "delivery"])
def test_what_may_be_before_is_the_table_read_backwards(
    moves: Mapping[StrEnum, frozenset[StrEnum]],
) -> None:
    reached = {after for found in moves.values() for after in found}
    pairs = {(source, after) for after in reached for source in before(moves, after)}
    assert pairs == {(source, after) for source, found in moves.items() for after in found}
    for each in set(moves) - reached:
        with pytest.raises(ValueError, match="nothing becomes"):
            before(moves, each)


def test_what_begins_and_is_never_returned_to_is_not_written_over_anything() -> None:
    [begins] = {*REFUND_MOVES} - {after for found in REFUND_MOVES.values() for after in found}
    with pytest.raises(ValueError, match="nothing becomes pending"):
        before(REFUND_MOVES, begins)


@given(
    st.lists(st.sampled_from(["time", "consumed", "revoked"]), max_size=6),
    st.lists(st.integers(min_value=0, max_value=90), min_size=6, max_size=6),
)
def test_whatever_happens_to_a_quote_its_status_moves_as_the_table_says(
    happens: list[str], waits_s: list[int]
) -> None:
    """What is consumed is active then, what is revoked was not consumed: the database's rules."""
    quote = a_quote()  # for a minute
    now = quote.created_at
    seen = [quote.status(now)]
    for what, wait_s in zip(happens, waits_s, strict=False):
        now += timedelta(seconds=wait_s)
        seen.append(quote.status(now))
        quote = _after(quote, what, now)
        seen.append(quote.status(now))
    assert all(b == a or b in QUOTE_MOVES[a] for a, b in pairwise(seen))


def _after(quote: Quote, what: str, now: datetime) -> Quote:
    if what == "consumed" and quote.status(now) in before(QUOTE_MOVES, QuoteStatus.CONSUMED):
        return replace(quote, transfer_id=new_id())
    if what == "revoked" and quote.transfer_id is None and quote.revoked_at is None:
        return replace(quote, revoked_at=now, revoked_reason=HaltReason.OPERATOR)
    return quote
