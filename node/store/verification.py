"""Checks that derive the books again from their entries, one statement each.

A check answers the rows where what is stored differs from what follows from the entries:
(subject, expected, actual) as text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from node.core.ports.verification import Difference
from node.store.database import Connection


@dataclass(frozen=True, slots=True)
class _Check:
    meaning: str
    sql: str


_COUNTERS: Final = """
WITH side AS (
    SELECT debit_account_id AS account_id, sequence, amount AS debit, 0::bigint AS credit
    FROM entry
    UNION ALL SELECT credit_account_id, sequence, 0, amount FROM entry
), derived AS (
    SELECT s.account_id,
        coalesce(sum(debit) FILTER (WHERE t.pending AND r.outcome IS NULL), 0) AS debits_pending,
        coalesce(sum(debit) FILTER (WHERE NOT t.pending OR r.outcome = 'posted'), 0)
            AS debits_posted,
        coalesce(sum(credit) FILTER (WHERE t.pending AND r.outcome IS NULL), 0) AS credits_pending,
        coalesce(sum(credit) FILTER (WHERE NOT t.pending OR r.outcome = 'posted'), 0)
            AS credits_posted
    FROM side s JOIN ledger_transaction t USING (sequence)
    LEFT JOIN ledger_resolution r ON r.pending_sequence = s.sequence
    GROUP BY s.account_id
), both_ways AS (
    SELECT a.path,
        concat_ws('/', coalesce(d.debits_pending, 0), coalesce(d.debits_posted, 0),
            coalesce(d.credits_pending, 0), coalesce(d.credits_posted, 0)) AS expected,
        concat_ws('/', a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted)
            AS actual
    FROM account a LEFT JOIN derived d ON d.account_id = a.id
)
SELECT path, expected, actual FROM both_ways WHERE expected <> actual ORDER BY path
"""

_ASSETS: Final = """
SELECT 'entry ' || e.id, e.asset, concat_ws('/', d.asset, c.asset) FROM entry e
LEFT JOIN account d ON d.id = e.debit_account_id LEFT JOIN account c ON c.id = e.credit_account_id
WHERE d.asset IS DISTINCT FROM e.asset OR c.asset IS DISTINCT FROM e.asset ORDER BY e.id
"""

_EMPTY: Final = """
SELECT 'ledger transaction ' || sequence, 'at least one entry', 'none' FROM ledger_transaction t
WHERE NOT EXISTS (SELECT FROM entry e WHERE e.sequence = t.sequence) ORDER BY sequence
"""

_FLOORS: Final = """
SELECT path, 'at least ' || floor, available::text FROM (
    SELECT path, floor, CASE WHEN kind IN ('asset', 'expense')
        THEN debits_posted - credits_posted - credits_pending
        ELSE credits_posted - debits_posted - debits_pending END AS available FROM account
) a WHERE available < floor ORDER BY path
"""

_GAPS: Final = """
WITH numbered AS (
    SELECT sequence, batch FROM ledger_transaction
    UNION ALL SELECT sequence, batch FROM ledger_resolution
), ordered AS (
    SELECT sequence, batch, row_number() OVER (ORDER BY sequence) AS place,
        lag(batch, 1, 0::bigint) OVER (ORDER BY sequence) AS batch_before FROM numbered
)
SELECT 'sequence ' || sequence, place::text, sequence::text FROM ordered WHERE sequence <> place
UNION ALL
SELECT 'batch of sequence ' || sequence, batch_before || ' or one more', batch::text FROM ordered
WHERE batch NOT IN (batch_before, batch_before + 1)
UNION ALL
SELECT 'newest sequence', coalesce(max(n.sequence), 0)::text, l.sequence::text
FROM ledger l LEFT JOIN numbered n ON true GROUP BY l.sequence
HAVING coalesce(max(n.sequence), 0) <> l.sequence
"""

_TRANSFER_MONEY: Final = """
WITH booked AS (
    SELECT t.id, t.sell_asset, t.sell_amount, t.service_fee + t.network_fee AS fee_amount,
        t.spread_amount, t.buy_amount,
        coalesce(sum(e.amount) FILTER (WHERE d.path LIKE 'customer/%'), 0) AS sold,
        coalesce(sum(e.amount) FILTER (WHERE c.path LIKE 'deferred/fee/%'), 0) AS fees,
        coalesce(sum(e.amount) FILTER (WHERE c.path LIKE 'deferred/spread/%'), 0) AS spread,
        coalesce(sum(e.amount) FILTER (WHERE c.path LIKE 'in_flight/%'), 0) AS bought
    FROM transfer t LEFT JOIN entry e ON e.sequence = t.pending_sequence
    LEFT JOIN account d ON d.id = e.debit_account_id
    LEFT JOIN account c ON c.id = e.credit_account_id
    GROUP BY t.id
)
SELECT 'transfer ' || id, concat_ws('/', sell_amount, fee_amount, spread_amount, buy_amount),
    concat_ws('/', sold, fees, spread, bought) FROM booked
WHERE (sell_amount, fee_amount, spread_amount, buy_amount) <> (sold, fees, spread, bought)
"""

_TRANSFER_ENDS: Final = """
SELECT 'transfer ' || t.id || ' (' || t.state || ')',
    CASE WHEN t.state IN ('settled', 'paid_out') THEN 'posted'
         WHEN t.state IN ('canceled', 'failed', 'expired', 'refunded') THEN 'voided'
         ELSE 'pending' END AS expected,
    coalesce(r.outcome, 'pending') AS actual
FROM transfer t LEFT JOIN ledger_resolution r ON r.pending_sequence = t.pending_sequence
WHERE coalesce(r.outcome, 'pending') <>
    CASE WHEN t.state IN ('settled', 'paid_out') THEN 'posted'
         WHEN t.state IN ('canceled', 'failed', 'expired', 'refunded') THEN 'voided'
         ELSE 'pending' END
"""

_QUOTED: Final = """
SELECT 'transfer ' || t.id, concat_ws('/', q.sell_amount, q.buy_amount, q.transfer_id),
    concat_ws('/', t.sell_amount, t.buy_amount, t.id)
FROM transfer t JOIN quote q ON q.id = t.quote_id
WHERE (q.sell_amount, q.buy_amount) <> (t.sell_amount, t.buy_amount)
    OR q.transfer_id IS DISTINCT FROM t.id
"""

_IN_FLIGHT: Final = """
WITH open AS (
    SELECT 'in_flight/' || chain_id || '/' || buy_asset AS path, sum(buy_amount) AS total
    FROM transfer WHERE state NOT IN
        ('settled', 'paid_out', 'canceled', 'failed', 'expired', 'refunded')
    GROUP BY chain_id, buy_asset
), held AS (
    SELECT path, credits_pending AS total, credits_posted - debits_posted AS posted
    FROM account WHERE path LIKE 'in_flight/%'
)
SELECT coalesce(o.path, h.path), coalesce(o.total, 0) || '/0',
    coalesce(h.total, 0) || '/' || coalesce(h.posted, 0)
FROM open o FULL JOIN held h ON h.path = o.path
WHERE coalesce(o.total, 0) <> coalesce(h.total, 0) OR coalesce(h.posted, 0) <> 0
"""

_TIMELINES: Final = """
SELECT 'transfer ' || t.id, t.version || ' events, the last ' || t.state,
    count(e.*) || ' events, the last ' || coalesce((array_agg(e.state ORDER BY e.object_sequence
        DESC))[1], 'none')
FROM transfer t LEFT JOIN event e ON e.object_id = t.id GROUP BY t.id
HAVING count(e.*) <> t.version OR max(e.object_sequence) <> t.version
    OR (array_agg(e.state ORDER BY e.object_sequence DESC))[1] <> t.state
"""

_CHECKS: Final[Mapping[str, _Check]] = {
    "balances": _Check(
        "the four counters of every account follow from its entries"
        " (debits pending/posted, credits pending/posted)",
        _COUNTERS,
    ),
    "assets": _Check("every entry is in the asset of both its accounts", _ASSETS),
    "entries": _Check("every ledger transaction has entries", _EMPTY),
    "limits": _Check("no account is below its floor, holds counted", _FLOORS),
    "sequence": _Check("ledger transactions and batches are numbered without gaps", _GAPS),
    "transfer_money": _Check(
        "every transfer holds its integers (sell/fees/spread/buy)", _TRANSFER_MONEY
    ),
    "transfer_ends": _Check(
        "money is posted exactly for paid transfers and given back for the others that ended",
        _TRANSFER_ENDS,
    ),
    "quoted": _Check("what was quoted is what is delivered", _QUOTED),
    "in_flight": _Check(
        "open payouts are the pending credits of in_flight, which holds nothing posted", _IN_FLIGHT
    ),
    "timelines": _Check("every transfer's timeline is complete and ends in its state", _TIMELINES),
}


class VerificationStore:
    """See `node.core.ports.verification.VerificationRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    @property
    def checks(self) -> Sequence[tuple[str, str]]:
        """Name of each check and what it holds, in words."""
        return [(name, check.meaning) for name, check in _CHECKS.items()]

    async def differences(self, check: str, limit: int) -> Sequence[Difference]:
        """The first differences a check finds; none when it holds."""
        statement = f"SELECT * FROM ({_CHECKS[check].sql}) AS found LIMIT $1"  # noqa: S608
        await self._raw.execute("SET LOCAL enable_seqscan = on")  # it does read everything
        rows = await self._raw.fetch(statement, limit)
        return [Difference(check, *(str(value) for value in row)) for row in rows]

    async def counts(self) -> tuple[int, int, int]:
        """Accounts, entries and transfers there are."""
        row = await self._raw.fetchrow(
            "SELECT (SELECT count(*) FROM account), (SELECT count(*) FROM entry),"
            " (SELECT count(*) FROM transfer)"
        )
        assert row is not None
        return row[0], row[1], row[2]
