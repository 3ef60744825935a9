"""What `node.store.reorgs` asks PostgreSQL."""

from typing import Final

from node.core.deposits import REQUEST_MOVES, RequestStatus
from node.store.mirror_rows import EVENT_NUMBER
from node.store.states import from_states

PROPOSE: Final = """
INSERT INTO reorg (id, chain_id, final_number, final_hash, block_hash, fork_number, fork_hash, plan,
    reason, proposed_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $10)
"""
ACCEPT: Final = """
UPDATE reorg SET state = 'accepted', accepted_by = $2, accepted_at = now(), epoch = $3
WHERE id = $1 AND state = 'proposed'
"""
GO_BACK: Final = """
UPDATE chain_cursor SET epoch = epoch + 1, head_number = $2, head_hash = $3, final_number = $2,
    final_hash = $3, halted_reason = NULL, moved_at = now(), final_moved_at = now()
WHERE chain_id = $1 RETURNING epoch
"""
SLOTS: Final = """
SELECT id, lane_id, nonce, purpose, included_block_number, included_block_hash, included_tx_hash
FROM slot WHERE state = 'final' AND included_block_hash = ANY($1::bytea[])
    AND included_block_number = ANY(ARRAY(SELECT b.number FROM chain_cursor c
        JOIN block b ON b.chain_id = c.chain_id AND b.hash = ANY($1::bytea[])))
ORDER BY lane_id, nonce
"""
MEMBERS: Final = """
SELECT m.slot_id, m.transfer_id, m.purpose,
    (SELECT a.tx_hash FROM attempt a WHERE a.slot_id = m.slot_id
     ORDER BY a.sequence DESC LIMIT 1) AS attempt,
    EXISTS (SELECT FROM slot_member o WHERE o.contract = m.contract
        AND o.payment_number = m.payment_number AND o.purpose = m.purpose AND o.live) AS is_live
FROM slot_member m JOIN slot s ON s.id = m.slot_id
WHERE m.slot_id = ANY($1::uuid[])
ORDER BY s.created_at DESC, s.id DESC, m.position
"""
# Final, and the transaction that its transfer names: one number may have events in other blocks.
PAYOUTS: Final = f"""
SELECT t.id, l.tx_hash, l.block_number, l.block_hash, own.slot_id,
    (SELECT m.slot_id FROM slot_member m WHERE m.transfer_id = t.id AND m.purpose = 'settle'
     AND m.live LIMIT 1) AS live_slot_id,
    EXISTS (SELECT FROM event e WHERE e.object_id = t.id AND e.object_sequence = t.version - 1
        AND e.state = 'voiding') AS was_voiding
FROM settlement_log l JOIN transfer t ON t.chain_id = l.chain_id AND t.contract = l.contract
    AND t.payment_number = {EVENT_NUMBER} AND t.tx_hash = l.tx_hash
    AND t.block_number = l.block_number
LEFT JOIN LATERAL (SELECT a.slot_id FROM attempt a JOIN slot_member m ON m.slot_id = a.slot_id
    AND m.transfer_id = t.id AND m.purpose = 'settle' WHERE a.tx_hash = l.tx_hash) own ON true
WHERE l.chain_id = $1 AND l.block_hash = ANY($2::bytea[]) AND l.kind = 'settled'
    AND l.status = 'final'
    AND t.state IN ('settled', 'payout_pending', 'undeliverable', 'paid_out', 'refunded')
ORDER BY l.block_number, l.log_index
"""  # noqa: S608 - constants
GIVEN_BACK: Final = f"""
SELECT DISTINCT t.id, t.created_at FROM settlement_log l JOIN transfer t
    ON t.chain_id = l.chain_id AND t.contract = l.contract AND t.payment_number = {EVENT_NUMBER}
WHERE l.chain_id = $1 AND l.block_hash = ANY($2::bytea[]) AND l.kind IN ('settled', 'voided')
    AND l.status = 'final' AND t.state IN ('canceled', 'failed', 'expired') AND t.was_written
ORDER BY t.created_at, t.id
"""  # noqa: S608 - constants
BOOKED: Final = """
SELECT t.sequence, t.key, t.kind, t.transfer_id, t.detail, e.debits, e.credits, e.assets, e.amounts
FROM ledger_transaction t CROSS JOIN LATERAL (
    SELECT array_agg(d.path ORDER BY position) AS debits,
           array_agg(c.path ORDER BY position) AS credits,
           array_agg(entry.asset ORDER BY position) AS assets,
           array_agg(entry.amount ORDER BY position) AS amounts
    FROM entry JOIN account d ON d.id = entry.debit_account_id
    JOIN account c ON c.id = entry.credit_account_id
    WHERE entry.sequence = t.sequence) AS e
"""
BOOKINGS: Final = f"""
{BOOKED} WHERE NOT t.pending AND t.detail ? 'block_hash'
    AND t.detail ->> 'block_hash' = ANY($1::text[])
    AND NOT EXISTS (SELECT FROM reorg_booking b WHERE b.sequence = t.sequence)
ORDER BY t.sequence
"""
RELEASES: Final = f"""
WITH released AS (
    SELECT d.credited_sequence AS sequence, '0x' || encode(min(d.tx_hash), 'hex') AS tx_hash
    FROM deposit d WHERE d.credited_sequence IS NOT NULL AND d.chain_id = $1
        AND d.block_hash = ANY($2::bytea[]) AND d.status <> 'orphaned'
    GROUP BY 1
)
SELECT booked.*, released.tx_hash FROM released CROSS JOIN LATERAL (
    {BOOKED} WHERE t.sequence = released.sequence) AS booked
WHERE NOT EXISTS (SELECT FROM reorg_booking b WHERE b.sequence = booked.sequence)
ORDER BY booked.sequence
"""  # noqa: S608 - constants
RELEASED: Final = """
SELECT credited_sequence AS sequence, '0x' || encode(tx_hash, 'hex') AS tx_hash,
    sum(amount) AS units
FROM deposit WHERE credited_sequence = ANY($1::bigint[]) AND status IN ('credited', 'resolved')
GROUP BY 1, 2 ORDER BY 1, 2
"""
# What closed their breaks is undone, so the same difference is a break again.
HOLD_DEPOSITS: Final = """
WITH before AS (
    SELECT id, break_id FROM deposit
    WHERE credited_sequence = ANY($1::bigint[]) AND status IN ('credited', 'resolved') FOR UPDATE
), gone AS (
    UPDATE reconciliation_break SET gone_at = coalesce(gone_at, now())
    WHERE id IN (SELECT break_id FROM before) AND resolved_at IS NOT NULL
)
UPDATE deposit d SET status = 'held', credited_sequence = NULL, version = version + 1,
    break_id = NULL
FROM before WHERE d.id = before.id
RETURNING d.id, d.version, d.customer_id, d.partner_id, d.request_id, before.break_id
"""
NAME_BREAKS: Final = """
UPDATE deposit d SET break_id = b.id FROM unnest($1::uuid[], $2::text[]) AS new (i, f)
JOIN reconciliation_break b ON b.fingerprint = new.f AND b.resolved_at IS NULL WHERE d.id = new.i
"""
# Paid is a request by a deposit that its owner has and that did not come after it was paid.
REOPEN_REQUESTS: Final = f"""
UPDATE payment_request r SET status = 'awaiting', surplus = 0, version = version + 1,
    flags = CASE WHEN EXISTS (SELECT FROM deposit d WHERE d.request_id = r.id
        AND d.status = 'held' AND d.is_counted) THEN ARRAY['short'] ELSE '{{}}' END
WHERE r.id = ANY($1::uuid[]) AND r.status IN {from_states(REQUEST_MOVES, RequestStatus.AWAITING)}
    AND NOT EXISTS (SELECT FROM deposit d WHERE d.request_id = r.id AND d.status = 'credited'
        AND d.flags && ARRAY['duplicate'] IS NOT TRUE)
RETURNING r.id, r.version, r.customer_id, r.partner_id, r.id AS request_id
"""  # noqa: S608 - constants
HOLDS: Final = f"""
{BOOKED} JOIN transfer x ON x.pending_sequence = t.sequence WHERE x.id = ANY($1::uuid[])
"""
ABOUT: Final = """
EXISTS (SELECT FROM unnest($1::text[]) AS undone (hash)
    WHERE strpos(r.fingerprint, undone.hash) > 0
        OR r.code = 'B19' AND strpos(r.expected, undone.hash) > 0)
"""
# A break of a whole request names no block; the deposits that it is about do.
OF_DEPOSIT: Final = """
EXISTS (SELECT FROM deposit d WHERE d.break_id = r.id
    AND encode(d.block_hash, 'hex') = ANY($1::text[]))
"""
CORRECTIONS: Final = f"""
SELECT t.sequence, t.key, r.id, r.code
FROM reconciliation_break r JOIN ledger_transaction t
    ON t.sequence = (r.resolution ->> 'ledger_sequence')::bigint
WHERE r.resolved_at IS NOT NULL AND t.kind = 'correction' AND ({ABOUT} OR {OF_DEPOSIT})
    AND NOT EXISTS (SELECT FROM reorg_booking b WHERE b.sequence = t.sequence)
ORDER BY t.sequence
"""  # noqa: S608 - constants
FALLS: Final = """
SELECT address, sum(units)::bigint AS units FROM (
    SELECT DISTINCT ON (r.fingerprint) r.evidence ->> 'address' AS address,
        (r.evidence ->> 'minor')::bigint AS units
    FROM reconciliation_break r JOIN unnest($1::text[]) AS undone (hash)
        ON strpos(r.fingerprint, undone.hash) > 0
    WHERE r.code = 'B16' AND r.evidence ? 'address' AND r.evidence ? 'minor'
    ORDER BY r.fingerprint, r.first_seen_at DESC) fallen GROUP BY address
"""
NOTE_SLOTS: Final = """
INSERT INTO reorg_slot (reorg_id, slot_id, block_hash, tx_hash, succeeded, gas_used,
    effective_gas_price_wei)
SELECT $1, id, included_block_hash, included_tx_hash, succeeded, gas_used, effective_gas_price_wei
FROM slot WHERE state = 'final' AND included_block_hash = ANY($2::bytea[])
"""
UNDO_SLOTS: Final = """
WITH held AS (
    SELECT id FROM slot WHERE included_block_hash = ANY($1::bytea[])
        AND state IN ('included', 'final') ORDER BY lane_id, nonce FOR UPDATE
), moved AS (
    UPDATE movement SET state = 'submitted', failure = NULL
    WHERE slot_id IN (SELECT id FROM held) AND state IN ('included', 'settled', 'failed')
), due AS (
    UPDATE attempt SET last_sent_at = NULL WHERE slot_id IN (SELECT id FROM held)
)
UPDATE slot SET state = 'submitted', included_block_hash = NULL, included_block_number = NULL,
    included_tx_hash = NULL, succeeded = NULL, gas_used = NULL, effective_gas_price_wei = NULL,
    final_at = NULL
WHERE id IN (SELECT id FROM held)
"""
REVIVE: Final = """
UPDATE slot_member m SET live = true
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS back (slot_id, transfer_id, purpose)
WHERE m.slot_id = back.slot_id AND m.transfer_id = back.transfer_id AND m.purpose = back.purpose
"""
UNDO_HOLDINGS: Final = """
WITH moved AS (
    SELECT address, sum(units) AS units FROM (
        SELECT to_address AS address, amount AS units FROM token_log
        WHERE chain_id = $1 AND status = 'final' AND block_hash = ANY($2::bytea[])
        UNION ALL
        SELECT from_address, -amount FROM token_log
        WHERE chain_id = $1 AND status = 'final' AND block_hash = ANY($2::bytea[])) log
    GROUP BY address
)
UPDATE chain_holding h SET as_of_number = $3, amount = h.amount - CASE WHEN h.asset = $4
    THEN coalesce((SELECT units FROM moved WHERE moved.address = h.address), 0) ELSE 0 END
WHERE h.chain_id = $1
"""
BREAKS_ABOUT: Final = f"""
SELECT r.id FROM reconciliation_break r WHERE r.resolved_at IS NULL AND ({ABOUT} OR {OF_DEPOSIT}
    AND NOT EXISTS (SELECT FROM deposit o WHERE o.break_id = r.id AND o.status = 'held'
        AND encode(o.block_hash, 'hex') <> ALL($1::text[])))
ORDER BY r.first_seen_at, r.id
"""  # noqa: S608 - constants
# Due is what the same transaction has brought the same owner again, and not what it had before.
DUE_SHORTFALLS: Final = """
SELECT s.*, again.units FROM reorg_shortfall s CROSS JOIN LATERAL (
    SELECT sum(d.amount)::bigint AS units FROM deposit d
    WHERE d.chain_id = $1 AND d.tx_hash = s.tx_hash AND d.status = 'credited'
        AND coalesce(d.credited_sequence, d.ledger_sequence) > s.sequence AND EXISTS (
        SELECT FROM entry e JOIN account a ON a.id = e.credit_account_id
        WHERE e.sequence = coalesce(d.credited_sequence, d.ledger_sequence)
            AND a.path = s.account)) again
WHERE s.recovered_sequence IS NULL AND again.units > 0
ORDER BY s.id FOR UPDATE OF s
"""
RECOVERED: Final = """
WITH made_good AS (
    UPDATE reorg_shortfall s SET recovered_sequence = r.sequence
    FROM unnest($1::bigint[], $2::bigint[]) AS r (id, sequence) WHERE s.id = r.id
    RETURNING s.break_id
)
SELECT DISTINCT break_id FROM made_good WHERE NOT EXISTS (
    SELECT FROM reorg_shortfall o WHERE o.break_id = made_good.break_id
        AND o.recovered_sequence IS NULL AND o.id <> ALL($1::bigint[]))
ORDER BY break_id
"""
_TAKEN_BACK: Final = """
    CASE WHEN n.kind IN ('issuer_paused', 'issuer_unpaused') THEN 'pause'
         WHEN n.kind IN ('denied', 'undenied') THEN 'denial' ELSE n.kind END,
    n.contract, coalesce(n.subject, ''), coalesce(n.detail ->> 'owner', '')
"""
_CAN_BE_TAKEN_BACK: Final = (
    "n.kind IN ('issuer_paused', 'issuer_unpaused', 'denied', 'undenied', 'approved')"
)
LAST_NOTICES: Final = f"""
WITH undone AS (
    SELECT DISTINCT {_TAKEN_BACK} FROM notice n
    WHERE n.chain_id = $1 AND n.block_hash = ANY($2::bytea[]) AND {_CAN_BE_TAKEN_BACK}
), last AS (
    SELECT DISTINCT ON ({_TAKEN_BACK}) n.* FROM notice n
    WHERE n.chain_id = $1 AND {_CAN_BE_TAKEN_BACK} AND n.status = 'final'
        AND n.block_number <= $3 AND ({_TAKEN_BACK}) IN (SELECT * FROM undone)
    ORDER BY {_TAKEN_BACK}, n.block_number DESC, n.log_index DESC
)
SELECT * FROM last ORDER BY block_number, log_index
"""  # noqa: S608 - constants
UNDONE_NOTICES: Final = f"""
SELECT n.* FROM notice n
WHERE n.chain_id = $1 AND n.block_hash = ANY($2::bytea[]) AND {_CAN_BE_TAKEN_BACK}
ORDER BY n.block_number, n.log_index
"""  # noqa: S608 - constants
PAGE: Final = """
SELECT * FROM reorg WHERE ($1::text IS NULL OR state = $1)
    AND ($2::timestamptz IS NULL OR (proposed_at, id) < ($2, $3))
ORDER BY proposed_at DESC, id DESC LIMIT $4
"""
