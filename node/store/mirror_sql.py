"""Statements of the mirror's tables. What they are for is in `node.store.mirror`."""

from typing import Final

from node.store.mirror_rows import EVENT_NUMBER, LOG_TABLES

# OFFSET 0 keeps both a look into an index for each of the few events. Without it the planner may
# begin with all transfers that wait: its statistics are older than the blocks that are asked for.
ITS_TRANSFER: Final = f"""LATERAL (
    SELECT * FROM transfer o WHERE o.chain_id = l.chain_id AND o.contract = l.contract
        AND o.payment_number = {EVENT_NUMBER} OFFSET 0) t"""  # noqa: S608 - constants
AGREES: Final = """
    t.beneficiary_address = l.beneficiary AND t.buy_amount = l.amount
    AND EXISTS (SELECT FROM slot_member m WHERE m.contract = t.contract
                AND m.payment_number = t.payment_number AND m.transfer_id = t.id
                AND m.purpose = 'settle' OFFSET 0)
"""

ONE_STORES_BLOCKS: Final = """
SELECT pg_advisory_xact_lock(hashtextextended('blocks/' || $1::bigint, 0))
"""
ADD_BLOCKS: Final = """
INSERT INTO block (chain_id, hash, number, parent_hash, mined_at)
SELECT $1, h, n, p, t
FROM unnest($2::bytea[], $3::bigint[], $4::bytea[], $5::timestamptz[]) AS new (h, n, p, t)
"""
REVIVE_BLOCKS: Final = """
UPDATE block SET status = 'seen' WHERE chain_id = $1 AND hash = ANY($2::bytea[]) RETURNING hash
"""
INCLUDE_SLOTS: Final = """
WITH mined AS (
    SELECT a.slot_id, r.* FROM unnest(
        $1::bytea[], $2::bytea[], $3::bigint[], $4::boolean[], $5::bigint[], $6::numeric[]
    ) AS r (tx_hash, block_hash, block_number, succeeded, gas_used, price)
    JOIN attempt a USING (tx_hash)
), held AS (
    SELECT s.id FROM slot s JOIN mined ON mined.slot_id = s.id
    WHERE s.state NOT IN ('final', 'foreign') ORDER BY s.lane_id, s.nonce FOR UPDATE OF s
)
UPDATE slot s SET state = 'included', included_block_hash = mined.block_hash,
    included_block_number = mined.block_number, included_tx_hash = mined.tx_hash,
    succeeded = mined.succeeded, gas_used = mined.gas_used,
    effective_gas_price_wei = mined.price
FROM mined JOIN held ON held.id = mined.slot_id WHERE s.id = mined.slot_id
"""
PAYOUTS_SEEN: Final = f"""
SELECT t.id, l.tx_hash, l.block_number, l.block_hash FROM settlement_log l, {ITS_TRANSFER}
WHERE l.chain_id = $1 AND l.block_hash = ANY($2::bytea[]) AND l.kind = 'settled'
  AND t.state = ANY($3::text[]) AND {AGREES}
ORDER BY t.created_at, t.id
"""  # noqa: S608 - constants
FORGET_PAYOUTS: Final = f"""
UPDATE transfer SET tx_hash = NULL, block_number = NULL WHERE state = $3 AND id IN (
    SELECT t.id FROM settlement_log l, {ITS_TRANSFER}
    WHERE l.chain_id = $1 AND l.block_hash = ANY($2::bytea[]) AND l.kind = 'settled')
"""  # noqa: S608 - constants
TAKE_SLOTS_BACK: Final = """
WITH held AS (
    SELECT id FROM slot WHERE included_block_hash = ANY($1::bytea[]) AND state = 'included'
    ORDER BY lane_id, nonce FOR UPDATE
)
UPDATE slot SET state = 'submitted', included_block_hash = NULL, included_block_number = NULL,
    included_tx_hash = NULL, succeeded = NULL, gas_used = NULL, effective_gas_price_wei = NULL
WHERE id IN (SELECT id FROM held)
"""
_LOGS_BY_BLOCK: Final = " UNION ALL ".join(
    f"""
    SELECT block_number, count(*) AS n FROM {table}
    WHERE chain_id = $1 AND block_number > $2 AND block_number <= $3 AND status <> 'orphaned'
    GROUP BY block_number
"""  # noqa: S608 - constants
    for table, _, _ in LOG_TABLES
)
FINAL_TARGET: Final = f"""
WITH logs AS ({_LOGS_BY_BLOCK}), per_block AS (
    SELECT block_number AS number, sum(n) AS n FROM logs GROUP BY block_number
), summed AS (
    SELECT b.number, b.hash, sum(coalesce(l.n, 0)) OVER (ORDER BY b.number) AS total,
           row_number() OVER (ORDER BY b.number) AS place
    FROM block b LEFT JOIN per_block l USING (number)
    WHERE b.chain_id = $1 AND b.status <> 'orphaned' AND b.number > $2 AND b.number <= $3
)
SELECT number, hash FROM summed WHERE total <= $4 OR place = 1 ORDER BY number DESC LIMIT 1
"""  # noqa: S608 - constants
OUTCOMES: Final = f"""
SELECT l.block_number, l.block_hash, l.log_index, l.tx_hash, l.kind, l.payment_number,
       l.payout_log_index, l.amount, l.reason, t.id AS transfer_id, a.slot_id,
       coalesce(l.kind = 'settled' AND {AGREES}, false) AS agrees,
       coalesce(l.kind = 'settled' AND (t.beneficiary_address <> l.beneficiary
                OR t.buy_amount <> l.amount), false) AS differs,
       l.kind IN ('failed', 'skipped') AND EXISTS (
           SELECT FROM slot_member m WHERE m.slot_id = a.slot_id
           AND m.payment_number = {EVENT_NUMBER} OFFSET 0) AS slot_is_its
FROM settlement_log l LEFT JOIN {ITS_TRANSFER} ON true
    LEFT JOIN attempt a ON a.tx_hash = l.tx_hash
WHERE l.chain_id = $1 AND l.block_number > $2 AND l.block_number <= $3 AND l.status <> 'orphaned'
ORDER BY l.block_number, l.log_index
"""  # noqa: S608 - constants
TRANSFER_LOGS: Final = """
SELECT l.block_hash, l.block_number, l.log_index, l.tx_hash, l.from_address, l.to_address,
    l.amount, m.id AS movement_id,
    s.factory AS from_factory,
    EXISTS (SELECT FROM settlement_contract c WHERE c.chain_id = l.chain_id
        AND c.address = l.to_address) AS to_contract,
    EXISTS (SELECT FROM deposit_address d WHERE d.chain_id = l.chain_id
        AND d.address = l.to_address) AS to_deposit
FROM token_log l LEFT JOIN attempt a ON a.tx_hash = l.tx_hash
LEFT JOIN movement m ON m.slot_id = a.slot_id AND m.from_address = l.from_address
    AND m.to_address = l.to_address AND m.amount = l.amount AND m.asset = $4
LEFT JOIN deposit_address s ON s.chain_id = l.chain_id AND s.address = l.from_address
WHERE l.chain_id = $1 AND l.block_number > $2 AND l.block_number <= $3 AND l.status <> 'orphaned'
ORDER BY l.block_number, l.log_index
"""
NOTICES: Final = """
SELECT * FROM notice WHERE chain_id = $1 AND block_number > $2 AND block_number <= $3
    AND status <> 'orphaned' ORDER BY block_number, log_index
"""
STRAYS: Final = """
SELECT DISTINCT ON (token) token, count(*) OVER (PARTITION BY token) AS logs,
    block_hash, block_number, log_index, tx_hash
FROM stray_log WHERE chain_id = $1 AND block_number > $2 AND block_number <= $3
    AND status <> 'orphaned' ORDER BY token, block_number, log_index
"""
FIRST_STRAYS: Final = f"""
SELECT * FROM ({STRAYS}) t ORDER BY logs DESC, block_number, log_index LIMIT $4
"""  # noqa: S608 - constants
UNDECODED: Final = """
SELECT * FROM undecoded_log WHERE chain_id = $1 AND block_number > $2 AND block_number <= $3
    AND status <> 'orphaned' ORDER BY block_number, log_index LIMIT $4
"""
SLOTS: Final = """
SELECT s.*, lane.address AS sender, m.id AS movement_id
FROM slot s JOIN lane ON lane.id = s.lane_id LEFT JOIN movement m ON m.slot_id = s.id
WHERE lane.chain_id = $1 AND s.state = 'included'
  AND s.included_block_number > $2 AND s.included_block_number <= $3
ORDER BY s.included_block_number, s.lane_id, s.nonce
"""
FINISH_SLOTS: Final = """
WITH held AS (
    SELECT id FROM slot WHERE id = ANY($1::uuid[]) ORDER BY lane_id, nonce FOR UPDATE
), closed AS (
    UPDATE slot_member SET live = false WHERE slot_id = ANY($1::uuid[]) AND live
)
UPDATE slot SET state = 'final', final_at = now() WHERE id IN (SELECT id FROM held)
"""
FINISH_TRANSFER_LOGS: Final = """
UPDATE token_log l SET status = 'final', cause = f.cause, ledger_sequence = f.sequence
FROM unnest($2::bytea[], $3::int[], $4::text[], $5::bigint[])
    AS f (block_hash, log_index, cause, sequence)
WHERE l.chain_id = $1 AND l.block_hash = f.block_hash AND l.log_index = f.log_index
"""
SET_HOLDINGS: Final = """
INSERT INTO chain_holding (chain_id, address, asset, amount, as_of_number)
SELECT $1, a, s, m, $2 FROM unnest($3::bytea[], $4::text[], $5::numeric[]) AS new (a, s, m)
ON CONFLICT (chain_id, address, asset)
DO UPDATE SET amount = excluded.amount, as_of_number = excluded.as_of_number
"""
TOKENS_AT_HEAD: Final = """
WITH moved AS (
    SELECT t.* FROM token_log t JOIN chain_cursor c USING (chain_id)
    WHERE t.chain_id = $1 AND t.block_number > c.final_number AND t.status <> 'orphaned'
), parts AS (
    SELECT address, amount FROM chain_holding
    WHERE chain_id = $1 AND asset = $2 AND address = ANY($3::bytea[])
    UNION ALL SELECT to_address, amount FROM moved WHERE to_address = ANY($3::bytea[])
    UNION ALL SELECT from_address, -amount FROM moved WHERE from_address = ANY($3::bytea[])
    UNION ALL SELECT NULL, 0 FROM chain_cursor WHERE chain_id = $1 AND head_hash = $4
)
SELECT address, sum(amount) AS amount FROM parts GROUP BY address
"""
WAITING_TRANSACTIONS: Final = """
SELECT a.tx_hash FROM slot s JOIN lane ON lane.id = s.lane_id JOIN attempt a ON a.slot_id = s.id
WHERE lane.chain_id = $1 AND s.state NOT IN ('final', 'foreign')
"""
