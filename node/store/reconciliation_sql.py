"""What `node.store.reconciliation` asks PostgreSQL."""

from typing import Final

from node.store.mirror_sql import ITS_TRANSFER

BOOKS: Final = """
WITH key AS (
    SELECT address, asset FROM chain_holding WHERE chain_id = $1 AND address = ANY($2::bytea[])
    UNION
    SELECT address, asset FROM chain_holding WHERE chain_id = $1 AND as_of_number > $3
    UNION
    SELECT address, asset FROM account_comparison
    WHERE chain_id = $1 AND (ledger <> chain OR mirror <> chain)
    UNION
    SELECT address, asset FROM chain_holding WHERE $4 AND chain_id = $1 AND amount <> 0
)
SELECT 'final' AS what, encode(final_hash, 'hex') AS name, '' AS asset, final_number::numeric AS a,
       start_number::numeric AS b, 0::numeric AS c, 0::numeric AS d
FROM chain_cursor WHERE chain_id = $1
UNION ALL
SELECT 'holding', encode(key.address, 'hex'), key.asset, coalesce(h.amount, 0),
       coalesce(a.debits_posted - a.credits_posted, 0), 0, 0
FROM key
LEFT JOIN LATERAL (SELECT * FROM chain_holding h WHERE h.chain_id = $1
    AND h.address = key.address AND h.asset = key.asset OFFSET 0) AS h ON true
LEFT JOIN LATERAL (SELECT * FROM account WHERE path = 'chain/' || $1::bigint || '/0x'
    || encode(key.address, 'hex') || '/' || key.asset OFFSET 0) AS a ON true
UNION ALL
SELECT 'account', split_part(path, '/', 1), asset,
       sum(debits_pending), sum(debits_posted), sum(credits_pending), sum(credits_posted)
FROM account GROUP BY 2, 3
UNION ALL
SELECT 'unheld', path, asset, debits_posted - credits_posted, 0, 0, 0 FROM account
WHERE $4 AND path LIKE 'chain/' || $1::bigint || '/%' AND debits_posted <> credits_posted
  AND NOT EXISTS (SELECT FROM chain_holding h WHERE h.chain_id = $1 AND h.asset = account.asset
    AND h.address = decode(substr(split_part(path, '/', 3), 3), 'hex') OFFSET 0)
UNION ALL
SELECT 'nonce', encode(lane.address, 'hex'), lane.role, coalesce(
    (SELECT min(s.nonce) FROM slot s
     WHERE s.lane_id = lane.id AND s.state NOT IN ('final', 'foreign')), lane.next_nonce), 0, 0, 0
FROM lane WHERE lane.chain_id = $1
UNION ALL
SELECT 'open', '', buy_asset, sum(buy_amount), 0, 0, 0
FROM transfer WHERE chain_id = $1 AND state NOT IN
    ('settled', 'paid_out', 'canceled', 'failed', 'expired', 'refunded')
GROUP BY buy_asset
UNION ALL
SELECT 'cleared', '', t.buy_asset, sum(
    CASE WHEN t.block_number IS NOT NULL THEN t.buy_amount ELSE 0 END
    - CASE WHEN t.state IN ('paid_out', 'refunded')
            AND (o.state = 'closed' OR o.concluded IS NOT NULL)
        THEN t.buy_amount ELSE 0 END), 0, 0, 0
FROM transfer t LEFT JOIN payout_order o ON o.quote_id = t.quote_id
WHERE t.chain_id = $1 AND t.partner_id IS NOT NULL AND (t.block_number IS NULL
    OR t.state NOT IN ('paid_out', 'refunded') OR o.state <> 'closed')
    AND t.state IN ('payout_pending', 'undeliverable', 'paid_out', 'refunded')
GROUP BY t.buy_asset
"""
BROKEN_LINKS: Final = """
WITH linked AS (
    SELECT number, parent_hash, lag(number) OVER ahead AS number_before,
           lag(hash) OVER ahead AS hash_before
    FROM block WHERE chain_id = $1 AND status = 'final' AND number >= $2
    WINDOW ahead AS (ORDER BY number)
)
SELECT count(*) FILTER (WHERE number_before IS NOT NULL
        AND (number_before <> number - 1 OR hash_before <> parent_hash))
    + abs((SELECT final_number FROM chain_cursor WHERE chain_id = $1) - coalesce(max(number), 0))
FROM linked
"""
SETTLED_ABOVE_IN: Final = """
    l.chain_id = $1 AND l.block_number > $2 AND l.status = 'final' AND l.kind = 'settled'
"""
SETTLED_ALONE: Final = f"""
SELECT l.block_hash, l.block_number, l.log_index, l.tx_hash, l.payment_number, t.id, t.state
FROM settlement_log l LEFT JOIN {ITS_TRANSFER} ON true
WHERE {SETTLED_ABOVE_IN}
  AND NOT coalesce(t.state IN ('settled', 'payout_pending', 'undeliverable', 'paid_out', 'refunded')
                   AND t.beneficiary_address = l.beneficiary AND t.buy_amount = l.amount, false)
ORDER BY l.block_number, l.log_index
"""  # noqa: S608 - constants
WITHOUT_OUTCOMES: Final = """
SELECT s.id, s.purpose, s.members, s.included_block_number AS block_number,
    s.included_tx_hash AS tx_hash, found.n
FROM slot s JOIN lane ON lane.id = s.lane_id CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM settlement_log l
    WHERE l.chain_id = $1 AND l.block_hash = s.included_block_hash
      AND l.tx_hash = s.included_tx_hash AND l.status = 'final' OFFSET 0) AS found
WHERE lane.chain_id = $1 AND s.state = 'final' AND s.succeeded AND s.purpose = 'settle'
  AND NOT s.adopted
  AND s.included_block_number > $2 AND found.n <> s.members
ORDER BY s.included_block_number
"""
TRANSFERS_ALONE: Final = """
SELECT t.id, t.payment_number, t.block_number, found.n
FROM transfer t CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM settlement_log l
    WHERE l.contract = t.contract AND l.payment_number = t.payment_number::numeric
      AND l.chain_id = t.chain_id AND l.status = 'final' AND l.kind = 'settled'
      AND l.beneficiary = t.beneficiary_address AND l.amount = t.buy_amount
) found
WHERE t.chain_id = $1 AND found.n <> 1 AND (t.state IN ('settled', 'payout_pending',
    'undeliverable') OR t.state IN ('paid_out', 'refunded') AND t.block_number IS NOT NULL)
ORDER BY t.created_at, t.id
"""
NOT_AS_QUOTED: Final = """
SELECT t.id, t.payment_number, t.block_number, t.buy_asset, t.buy_amount AS ordered,
       q.buy_asset AS quoted_asset, q.buy_amount AS quoted, found.delivered
FROM {completed} t JOIN quote q ON q.id = t.quote_id CROSS JOIN LATERAL (
    SELECT coalesce(sum(l.amount), 0) AS delivered FROM settlement_log l
    WHERE l.contract = t.contract AND l.payment_number = t.payment_number::numeric
      AND l.chain_id = t.chain_id AND l.status = 'final' AND l.kind = 'settled'
) found
WHERE t.chain_id = $1 AND (t.state IN ('settled', 'payout_pending', 'undeliverable')
    OR t.state IN ('paid_out', 'refunded') AND t.block_number IS NOT NULL)
  AND NOT (found.delivered = t.buy_amount AND q.buy_amount = t.buy_amount
           AND q.buy_asset = t.buy_asset AND q.transfer_id = t.id)
ORDER BY t.created_at, t.id
"""
SETTLED_ABOVE: Final = f"""(
    SELECT DISTINCT ON (t.id) t.* FROM settlement_log l CROSS JOIN {ITS_TRANSFER}
    WHERE {SETTLED_ABOVE_IN})
"""  # noqa: S608 - constants
UNEXPLAINED: Final = """
SELECT l.block_hash, l.block_number, l.log_index, l.tx_hash, l.amount
FROM token_log l
WHERE l.chain_id = $1 AND l.block_number > $2 AND l.status = 'final'
  AND (l.cause IS NULL OR l.cause = 'orphan_outbound')
  AND NOT EXISTS (
    SELECT FROM reconciliation_break r WHERE r.resolved_at IS NOT NULL
    AND r.fingerprint = 'B06:0x' || encode(l.block_hash, 'hex') || ':' || l.log_index)
ORDER BY l.block_number, l.log_index
"""
LEFT_BEHIND: Final = """
SELECT t.id, t.state, t.payment_number, s.nonce FROM transfer t JOIN slot s ON s.id = t.slot_id
WHERE t.chain_id = $1 AND t.state IN ('funded', 'submitted', 'unknown', 'included')
  AND s.state IN ('final', 'foreign')
  AND NOT EXISTS (
    SELECT FROM slot_member m JOIN slot o ON o.id = m.slot_id
    WHERE m.transfer_id = t.id AND m.live AND o.state NOT IN ('final', 'foreign'))
ORDER BY t.created_at, t.id
"""

# A run says every few seconds that it goes on; one that has not for so long has died.
_IS_DEAD: Final = "status = 'running' AND alive_at < now() - interval '20 seconds'"
_DIED: Final = "its process ended before it was done"
RUNS: Final = f"""
SELECT id, CASE WHEN {_IS_DEAD} THEN 'failed' ELSE status END AS status, block_number, block_hash,
    checks, breaks_open, made_by, created_at, completed_at,
    CASE WHEN {_IS_DEAD} THEN '{_DIED}' ELSE failure END AS failure
FROM reconciliation_run
"""  # noqa: S608 - constants
BURY_RUNS: Final = f"""
UPDATE reconciliation_run SET status = 'failed', completed_at = now(), failure = '{_DIED}'
WHERE {_IS_DEAD}
"""  # noqa: S608 - constants
GOES_ON: Final = """
SELECT id FROM reconciliation_run WHERE status = 'running' ORDER BY created_at DESC LIMIT 1
"""
