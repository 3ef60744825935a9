"""Payouts that have not ended, and for how long they are as they are; see `node.store.payouts`."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from node.core.payouts import ENDED, PayoutState
from node.core.ports.payouts import StandingPayout

_OPEN_STATES: Final = [each for each in PayoutState if each not in ENDED]
_OPEN: Final = f"({', '.join(repr(each.value) for each in _OPEN_STATES)})"
"""Those of the index `payout_open`."""

_STANDING: Final = f"""
SELECT p.id, p.partner_id, p.state, p.updated_at, p.rail, p.reference
FROM unnest($1::text[], $2::interval[]) AS w (state, within)
JOIN payout p ON p.state = w.state AND p.updated_at < now() - w.within
WHERE p.state IN {_OPEN} AND ($4::uuid[] IS NULL OR p.id = ANY($4))
ORDER BY p.updated_at, p.id LIMIT $3
"""  # noqa: S608 - constants
_OPEN_COUNTS: Final = f"""
SELECT state, count(*) AS payouts FROM payout WHERE state IN {_OPEN} GROUP BY state
"""  # noqa: S608 - constants


async def standing(
    raw: Any, within: Mapping[PayoutState, timedelta], limit: int, ids: Sequence[UUID] | None
) -> Sequence[StandingPayout]:
    """Payouts that are longer in these states than so, the oldest first; of these ids, if given."""
    rows = await raw.fetch(
        _STANDING,
        [each.value for each in within],
        list(within.values()),
        limit,
        None if ids is None else list(ids),
    )
    return [
        StandingPayout(
            row["id"],
            row["partner_id"],
            PayoutState(row["state"]),
            row["updated_at"],
            row["rail"],
            row["reference"],
        )
        for row in rows
    ]


async def open_counts(raw: Any) -> Mapping[PayoutState, int]:
    """How many payouts are in each state that does not end one; 0 where none is."""
    found = {row["state"]: int(row["payouts"]) for row in await raw.fetch(_OPEN_COUNTS)}
    return {each: found.get(each.value, 0) for each in _OPEN_STATES}
