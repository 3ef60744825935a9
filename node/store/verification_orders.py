"""Checks of payouts by partners, the sending side: what was ordered, paid to them, and given back.

Queries of the form that `node.store.verification_checks` describes.
"""

from typing import Final

# Crockford's base 32 of 130 bits, as `node.core.ids` writes it: identifiers are in paths.
_WRITTEN: Final = """(SELECT string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz',
    substring(B'00' || ('x' || encode(uuid_send({0}), 'hex'))::bit(128)
        FROM 5 * n + 1 FOR 5)::integer + 1, 1), '' ORDER BY n) FROM generate_series(0, 25) AS n)"""

CLEARING: Final = f"""
    SELECT id, 'partner_clearing/par_' || {_WRITTEN.format("id")} AS path FROM partner
"""  # noqa: S608 - constants
"""Partner -> path of its clearing accounts, less the asset."""

WITH_PARTNER: Final = "('payout_pending', 'undeliverable', 'paid_out', 'refunded')"
"""States of what was paid to a partner; a reorg past finality leaves those that ended no block."""


def _hashed(text: str) -> str:
    return f"int4send(octet_length(convert_to({text}, 'UTF8'))) || convert_to({text}, 'UTF8')"


def _whom(row: str) -> str:
    """Hash of whom a row names for transfer `t`, as `core.payout_orders.beneficiary_hash` is."""
    return f"""sha256(uuid_send(t.quote_id)
    || {_hashed(f"{row}.beneficiary ->> 'name'")} || {_hashed(f"{row}.beneficiary ->> 'country'")}
    || {_hashed(f"{row}.beneficiary #>> '{{account,number}}'")}
    || {_hashed(f"{row}.beneficiary #>> '{{account,bank_code}}'")})"""


BENEFICIARY_HASH: Final = _whom("t")

TERMS: Final = f"""CASE WHEN t.partner_id IS NOT NULL THEN concat_ws(' ', 'payout', t.partner_id,
    o.payout_id, g.buy_amount, g.buy_asset, '0x' || encode({BENEFICIARY_HASH}, 'hex')) END"""
"""What a partner owes for transfer `t`, by its order `o` and the leg `g` of its quote."""

LEGS: Final = """
SELECT q.id AS subject, concat_ws(' ', q.buy_amount, q.buy_asset, 'sold on by', g.partner_id)
        AS expected,
    concat_ws(' ', g.sell_amount, g.sell_asset, 'sold on by', coalesce(o.partner_id, g.partner_id),
        CASE WHEN q.expires_at > g.expires_at THEN 'bound longer than the partner' END,
        CASE WHEN q.payout_method <> 'partner' THEN 'paid ' || q.payout_method END) AS actual,
    'leg ' || g.partner_quote_id AS evidence
FROM quote q JOIN partner_quote g ON g.quote_id = q.id
LEFT JOIN payout_order o ON o.quote_id = q.id
WHERE (q.buy_amount = g.sell_amount AND q.buy_asset = g.sell_asset AND q.payout_method = 'partner'
    AND q.expires_at <= g.expires_at AND g.partner_id = coalesce(o.partner_id, g.partner_id))
    IS NOT TRUE
UNION ALL
SELECT q.id, 'a leg of a partner', 'none', 'payout method partner' FROM quote q
WHERE q.payout_method = 'partner'
    AND NOT EXISTS (SELECT FROM partner_quote g WHERE g.quote_id = q.id)
"""

ORDERS: Final = """
SELECT t.id AS subject,
    concat_ws(' ', 'to', '0x' || encode(t.beneficiary_address, 'hex'), 'by partner', t.partner_id,
        CASE WHEN t.state IN ('paid_out', 'refunded') THEN 'closed' END) AS expected,
    concat_ws(' ', 'to', '0x' || encode(o.address, 'hex'), 'by partner', o.partner_id,
        CASE WHEN t.state IN ('paid_out', 'refunded') THEN o.state END,
        'concluded as ' || o.concluded,
        CASE WHEN t.state = 'settled' THEN 'settled without a payout' END) AS actual,
    'quote ' || t.quote_id AS evidence
FROM transfer t LEFT JOIN partner_quote g ON g.quote_id = t.quote_id
LEFT JOIN payout_order o ON o.quote_id = t.quote_id
WHERE (t.partner_id IS NOT NULL OR g.quote_id IS NOT NULL)
    AND (t.partner_id = g.partner_id AND t.partner_id = o.partner_id AND t.state <> 'settled'
        AND t.beneficiary_address = o.address
        AND (o.concluded IS NULL
            OR t.state = CASE o.concluded WHEN 'paid_out' THEN 'paid_out' ELSE 'refunded' END)
        AND (t.state NOT IN ('paid_out', 'refunded') OR o.state = 'closed'
            OR o.concluded IS NOT NULL AND o.state IN ('registered', 'disputed')
            OR t.state = 'refunded' AND o.state IN ('registered', 'disputed') AND EXISTS (
                SELECT FROM ledger_transaction l JOIN reorg_booking b ON b.sequence = l.sequence
                WHERE l.transfer_id = t.id AND l.kind = 'partner_refund'))) IS NOT TRUE
UNION ALL
SELECT t.id, 'a transfer that a partner pays out', t.state, NULL FROM transfer t
WHERE t.partner_id IS NULL AND t.state IN ('payout_pending', 'undeliverable', 'paid_out',
    'refunded')
"""

# What a partner's word, its money, or two operators booked: for each transfer that ended by it,
# once; and what came back after two operators had written it off.
ENDED: Final = f"""
WITH clearing AS MATERIALIZED ({CLEARING}), due AS (
    SELECT t.id, CASE t.state WHEN 'paid_out' THEN 'partner_payout' ELSE 'partner_refund' END
            AS kind,
        CASE t.state WHEN 'paid_out' THEN concat_ws(', ',
            concat_ws(' ', t.buy_amount, t.buy_asset,
                concat('in_flight/', t.chain_id, '/', t.buy_asset),
                concat(c.path, '/', t.buy_asset)),
            CASE WHEN service_fee + network_fee <> 0 THEN concat_ws(' ', service_fee + network_fee,
                sell_asset, 'deferred/fee/' || sell_asset, 'income/fee/' || sell_asset) END,
            CASE WHEN spread_amount <> 0 THEN concat_ws(' ', spread_amount, sell_asset,
                'deferred/spread/' || sell_asset, 'income/spread/' || sell_asset) END)
        ELSE concat_ws(', ',
            concat_ws(' ', o.refund_minor, t.buy_asset,
                concat('suspense/', t.chain_id, '/', t.buy_asset),
                concat(c.path, '/', t.buy_asset)),
            CASE WHEN t.buy_amount <> o.refund_minor THEN concat_ws(' ',
                t.buy_amount - o.refund_minor, t.buy_asset, 'loss/partner/' || t.buy_asset,
                concat(c.path, '/', t.buy_asset)) END)
        END AS stored
    FROM transfer t LEFT JOIN payout_order o ON o.quote_id = t.quote_id
    LEFT JOIN clearing c ON c.id = t.partner_id
    WHERE t.state = 'paid_out'
        OR t.state = 'refunded' AND o.state = 'closed' AND o.concluded IS NULL
    UNION ALL
    SELECT t.id, 'partner_loss', concat_ws(' ', t.buy_amount, t.buy_asset,
        'loss/partner/' || t.buy_asset, concat(c.path, '/', t.buy_asset))
    FROM transfer t JOIN payout_order o ON o.quote_id = t.quote_id
    LEFT JOIN clearing c ON c.id = t.partner_id
    WHERE t.state = 'refunded' AND o.concluded = 'given_back'
    UNION ALL
    SELECT t.id, 'partner_recovery', concat_ws(' ', o.refund_minor, t.buy_asset,
        concat('suspense/', t.chain_id, '/', t.buy_asset), 'loss/partner/' || t.buy_asset)
    FROM transfer t JOIN payout_order o ON o.quote_id = t.quote_id
    WHERE t.state = 'refunded' AND o.concluded = 'given_back' AND o.state = 'closed'
), booked AS (
    SELECT l.transfer_id AS id, l.kind, l.key, l.sequence, string_agg(
        concat_ws(' ', e.amount, e.asset, d.path, c.path), ', ' ORDER BY e.position) AS booked
    FROM ledger_transaction l JOIN entry e ON e.sequence = l.sequence
    LEFT JOIN account d ON d.id = e.debit_account_id
    LEFT JOIN account c ON c.id = e.credit_account_id
    WHERE l.kind IN ('partner_payout', 'partner_refund', 'partner_loss', 'partner_recovery')
        AND NOT EXISTS (SELECT FROM reorg_booking b WHERE b.sequence = l.sequence)
    GROUP BY l.sequence, l.transfer_id, l.kind, l.key
)
SELECT coalesce(d.id, b.id) AS subject, concat_ws(' ', b.kind, b.key, b.booked) AS expected,
    concat_ws(' ', d.kind, concat(d.kind, ':', d.id), d.stored) AS actual,
    'sequence ' || b.sequence AS evidence
FROM due d FULL JOIN booked b ON b.id = d.id AND b.kind = d.kind
WHERE (b.booked = d.stored AND regexp_replace(b.key, ':e[0-9]+$', '') = concat(d.kind, ':', d.id))
    IS NOT TRUE
"""  # noqa: S608 - constants

# Paid to a partner by a final block, and neither confirmed nor given back.
HELD: Final = f"""
WITH clearing AS MATERIALIZED ({CLEARING}), due AS (
    SELECT concat(c.path, '/', t.buy_asset) AS path,
        sum(CASE WHEN t.block_number IS NOT NULL THEN t.buy_amount ELSE 0 END
            - CASE WHEN t.state IN ('paid_out', 'refunded')
                    AND (o.state = 'closed' OR o.concluded IS NOT NULL)
                THEN t.buy_amount ELSE 0 END) AS total
    FROM transfer t LEFT JOIN clearing c ON c.id = t.partner_id
    LEFT JOIN payout_order o ON o.quote_id = t.quote_id
    WHERE t.state IN {WITH_PARTNER} GROUP BY 1
), held AS (
    SELECT path, debits_posted - credits_posted AS total,
        debits_pending + credits_pending AS pending
    FROM account WHERE split_part(path, '/', 1) = 'partner_clearing'
)
SELECT coalesce(d.path, h.path) AS subject, coalesce(d.total, 0) || '/0' AS expected,
    coalesce(h.total, 0) || '/' || coalesce(h.pending, 0) AS actual,
    'posted balance/pending' AS evidence
FROM due d FULL JOIN held h ON h.path = d.path
WHERE coalesce(d.total, 0) <> coalesce(h.total, 0) OR coalesce(h.pending, 0) <> 0
"""  # noqa: S608 - constants

# Whom a partner paid, where that is not whom the transfer names.
CORRECTED: Final = f"""
WITH newest AS (
    SELECT DISTINCT ON (quote_id) quote_id, beneficiary FROM payout_change
    WHERE kind = 'correct' AND state = 'done' ORDER BY quote_id, number DESC
), both_ways AS (
    SELECT t.id, l.sequence, l.detail ->> 'beneficiary' AS booked,
        '0x' || encode({_whom("n")}, 'hex') AS stored
    FROM transfer t LEFT JOIN newest n ON n.quote_id = t.quote_id
    LEFT JOIN ledger_transaction l ON l.key = 'partner_payout:' || t.id
    WHERE t.state = 'paid_out'
)
SELECT id AS subject, coalesce(booked, 'as it was ordered') AS expected,
    coalesce(stored, 'as it was ordered') AS actual, 'sequence ' || sequence AS evidence
FROM both_ways WHERE booked IS DISTINCT FROM stored
"""  # noqa: S608 - constants
