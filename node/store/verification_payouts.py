"""Checks of payouts for partners, the receiving side: what each booked, and what goes back.

Queries of the form that `node.store.verification_checks` describes.
"""

from typing import Final

# The entries of a ledger transaction in one line, and the partner's account that they name.
_LEGS: Final = """
    SELECT e.sequence, min(d.path) FILTER (WHERE starts_with(d.path, 'partner/')) AS payer,
        min(c.path) FILTER (WHERE starts_with(c.path, 'partner/')) AS payee,
        string_agg(concat_ws(' ', e.amount, e.asset, d.path, c.path), ', ' ORDER BY e.position)
            AS booked
    FROM entry e JOIN account d ON d.id = e.debit_account_id
    JOIN account c ON c.id = e.credit_account_id
"""


def _lines(*legs: tuple[str, str, str, str], is_reversed: bool = False) -> str:
    """What entries of these amounts, assets, debit and credit paths look like; of 0 there is none.

    SQL expressions all.
    """
    parts = []
    for amount, asset, debit, credit in legs:
        sides = (credit, debit) if is_reversed else (debit, credit)
        parts.append(
            f"CASE WHEN {amount} <> 0 THEN concat_ws(' ', {amount}, {asset}, {', '.join(sides)})"
            " END"
        )
    return f"concat_ws(', ', {', '.join(parts)})"


_FEES: Final = "(p.service_fee + p.network_fee)"
_DUE: Final = "'payout_due/' || p.rail || '/' || p.buy_asset"
_MATCHED_LEGS: Final = (
    (
        f"(p.sell_amount - {_FEES} - p.spread_amount)",
        "p.sell_asset",
        "l.partner",
        "'fx_position/' || p.sell_asset",
    ),
    ("p.spread_amount", "p.sell_asset", "l.partner", "'deferred/spread/' || p.sell_asset"),
    (_FEES, "p.sell_asset", "l.partner", "'deferred/fee/' || p.sell_asset"),
    ("p.buy_amount", "p.buy_asset", "'fx_position/' || p.buy_asset", _DUE),
)
_CONFIRMED_LEGS: Final = (
    ("p.buy_amount", "p.buy_asset", _DUE, "'bank/' || p.rail || '/' || p.buy_asset"),
    (_FEES, "p.sell_asset", "'deferred/fee/' || p.sell_asset", "'income/fee/' || p.sell_asset"),
    (
        "p.spread_amount",
        "p.sell_asset",
        "'deferred/spread/' || p.sell_asset",
        "'income/spread/' || p.sell_asset",
    ),
)


def _booked(column: str, key: str, stored: str) -> str:
    """Payouts whose ledger transaction of this column is not what their integers say."""
    return f"""
SELECT p.id AS subject, coalesce(l.booked, 'no entries') AS expected, {stored} AS actual,
    'sequence ' || p.{column} AS evidence
FROM payout p JOIN ledger_transaction t ON t.sequence = p.{column}
LEFT JOIN (
    SELECT g.*, coalesce(payer, payee) AS partner FROM ({_LEGS} GROUP BY e.sequence) g
) l ON l.sequence = p.{column}
WHERE (l.booked = {stored} AND t.kind = 'payout' AND NOT t.pending
    AND starts_with(t.key, {key}) AND t.detail ->> 'payout' = p.id::text) IS NOT TRUE
"""  # noqa: S608 - constants


# The partner that pays is the one that its deposit was credited to.
MONEY: Final = f"""
{_booked("matched_sequence", "'payout:' || p.id", _lines(*_MATCHED_LEGS))}
UNION ALL
{_booked("confirmed_sequence", "'payout_paid:'", _lines(*_CONFIRMED_LEGS))}
UNION ALL
{
    _booked(
        "unmatched_sequence",
        "'payout_unmatched:' || p.id",
        _lines(*_MATCHED_LEGS, is_reversed=True),
    )
}
UNION ALL
SELECT p.id, 'paid by ' || coalesce(l.payer, 'nobody'),
    'credited to ' || coalesce(k.payee, 'nobody'), 'deposit ' || p.matched_deposit_id
FROM payout p LEFT JOIN deposit d ON d.id = p.matched_deposit_id
LEFT JOIN ({_LEGS} GROUP BY e.sequence) l ON l.sequence = p.matched_sequence
LEFT JOIN ({_LEGS} GROUP BY e.sequence) k ON k.sequence = d.ledger_sequence
WHERE p.matched_sequence IS NOT NULL
    AND (l.payer = k.payee AND d.payout_id = p.id AND d.settlement_number IS NOT NULL) IS NOT TRUE
"""  # noqa: S608 - constants

# A payment that came back is undone, so there is a return for every confirmation but the newest.
ENDS: Final = """
WITH named AS (
    SELECT p.id, p.state, p.matched_sequence IS NOT NULL AS is_matched,
        p.confirmed_sequence IS NOT NULL AS is_confirmed,
        p.unmatched_sequence IS NOT NULL AS is_unmatched,
        (SELECT count(*) FROM ledger_transaction t WHERE t.kind = 'payout'
            AND starts_with(t.key, 'payout_paid:') AND t.detail ->> 'payout' = p.id::text) AS paid,
        (SELECT count(*) FROM ledger_transaction t WHERE t.kind = 'payout'
            AND starts_with(t.key, 'payout_returned:') AND t.detail ->> 'payout' = p.id::text)
            AS returned
    FROM payout p
)
SELECT id AS subject, 'what a payout books that is ' || state AS expected,
    concat_ws(', ', CASE WHEN is_matched THEN 'exchanged' END,
        CASE WHEN is_confirmed THEN 'confirmed' END, CASE WHEN is_unmatched THEN 'undone' END,
        paid || ' confirmations', returned || ' returns') AS actual, NULL AS evidence
FROM named WHERE (paid = returned + is_confirmed::integer AND CASE
    WHEN state IN ('awaiting_payment', 'expired') THEN NOT is_matched
    WHEN state IN ('matched', 'ordered', 'refused')
        THEN is_matched AND NOT is_confirmed AND NOT is_unmatched
    WHEN state = 'paid_out' THEN is_matched AND is_confirmed AND NOT is_unmatched
    WHEN state IN ('refunding', 'refunded') THEN NOT is_confirmed AND is_matched = is_unmatched
    WHEN state = 'on_hold' THEN NOT is_confirmed
    END) IS NOT TRUE
UNION ALL
SELECT NULL, 'a payout of key ' || t.key, 'none', 'sequence ' || t.sequence
FROM ledger_transaction t WHERE t.kind = 'payout'
    AND NOT EXISTS (SELECT FROM payout p WHERE p.id::text = t.detail ->> 'payout')
"""

QUOTED: Final = """
WITH both_ways AS (
    SELECT p.id, p.quote_id,
        concat_ws(' ', q.sell_amount, q.sell_asset, 'fees', q.service_fee, q.network_fee, 'spread',
            div((q.sell_amount - q.service_fee - q.network_fee)::numeric * q.spread_bps, 10000),
            'for', q.buy_amount, q.buy_asset, q.payout_method, 'by', q.transfer_id, 'of', q.maker,
            CASE WHEN q.revoked_at IS NOT NULL THEN 'revoked'
                 WHEN (p.created_at < q.expires_at) IS NOT TRUE THEN 'expired' END) AS quoted,
        concat_ws(' ', p.sell_amount, p.sell_asset, 'fees', p.service_fee, p.network_fee, 'spread',
            p.spread_amount, 'for', p.buy_amount, p.buy_asset, 'bank by', p.id,
            'of', 'partner:' || p.partner_id) AS stored
    FROM payout p LEFT JOIN quote q ON q.id = p.quote_id
)
SELECT id AS subject, quoted AS expected, stored AS actual, 'quote ' || quote_id AS evidence
FROM both_ways WHERE quoted IS DISTINCT FROM stored
"""

# Set aside once, put back exactly where it failed, and paid by a transfer of just that much to just
# that address, out of the partner's own account.
REFUNDS: Final = f"""
WITH legs AS ({_LEGS} GROUP BY e.sequence), both_ways AS (
    SELECT r.id, r.set_aside_sequence, r.put_back_sequence, a.booked AS taken, b.booked AS given,
        regexp_replace(a.booked, '^(\\d+ \\S+) (\\S+) (\\S+)$', '\\1 \\3 \\2') AS reversed,
        concat_ws(' ', r.amount, r.asset, a.payer) AS stored,
        concat_ws(' ', r.state, t.state, t.buy_amount, t.buy_asset, t.sell_amount, t.customer_id,
            encode(t.beneficiary_address, 'hex')) AS told,
        CASE r.state WHEN 'pending' THEN t.id IS NULL AND b.booked IS NULL
            WHEN 'completed' THEN t.state IN ('settled', 'paid_out') AND b.booked IS NULL
            WHEN 'sent' THEN t.id IS NOT NULL AND b.booked IS NULL
            WHEN 'failed' THEN b.booked IS NOT NULL
                AND coalesce(t.state, 'none') NOT IN ('settled', 'paid_out')
            END AS is_ended,
        t.id IS NULL OR (t.buy_amount = r.amount AND t.sell_amount = r.amount
            AND t.buy_asset = r.asset AND t.sell_asset = r.asset AND t.customer_id = r.account_id
            AND t.beneficiary_address = r.address) AS is_paid
    FROM refund r LEFT JOIN legs a ON a.sequence = r.set_aside_sequence
    LEFT JOIN legs b ON b.sequence = r.put_back_sequence
    LEFT JOIN transfer t ON t.id = r.transfer_id
)
SELECT id AS subject, coalesce(stored, 'nothing') AS expected,
    concat_ws('; put back ', coalesce(taken, 'nothing set aside'), given) AS actual,
    concat_ws('; ', 'sequence ' || set_aside_sequence, told) AS evidence
FROM both_ways WHERE (starts_with(taken, stored || ' customer/') AND is_ended AND is_paid
    AND (given IS NULL OR given = reversed)) IS NOT TRUE
UNION ALL
SELECT NULL, 'a refund of key ' || t.key, 'none', 'sequence ' || t.sequence
FROM ledger_transaction t WHERE t.kind = 'refund' AND NOT EXISTS (
    SELECT FROM refund r WHERE t.sequence IN (r.set_aside_sequence, r.put_back_sequence))
"""  # noqa: S608 - constants

TIMELINES: Final = """
WITH objects AS (
    SELECT id, version, state FROM payout UNION ALL SELECT id, version, state FROM refund
)
SELECT o.id AS subject, o.version || ' events, the last ' || o.state AS expected,
    count(e.*) || ' events, the last ' || coalesce((array_agg(e.state ORDER BY e.object_sequence
        DESC))[1], 'none') AS actual, NULL AS evidence
FROM objects o LEFT JOIN event e ON e.object_id = o.id GROUP BY o.id, o.version, o.state
HAVING (count(e.*) = o.version AND max(e.object_sequence) = o.version
    AND (array_agg(e.state ORDER BY e.object_sequence DESC))[1] = o.state) IS NOT TRUE
"""

DUE: Final = """
WITH due AS (
    SELECT 'payout_due/' || rail || '/' || buy_asset AS path, sum(buy_amount) AS units FROM payout
    WHERE matched_sequence IS NOT NULL AND confirmed_sequence IS NULL
        AND unmatched_sequence IS NULL
    GROUP BY rail, buy_asset
), booked AS (
    SELECT path, credits_posted - debits_posted AS units, debits_pending + credits_pending AS held
    FROM account WHERE split_part(path, '/', 1) = 'payout_due'
)
SELECT path AS subject, coalesce(d.units, 0)::text AS expected,
    coalesce(b.units, 0)::text AS actual, 'posted balance' AS evidence
FROM due d FULL JOIN booked b USING (path)
WHERE coalesce(d.units, 0) <> coalesce(b.units, 0) OR coalesce(b.held, 0) <> 0
"""
