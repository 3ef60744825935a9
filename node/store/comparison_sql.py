"""What `node.store.comparisons` asks PostgreSQL."""

from typing import Final

from node.store.mirror_rows import EVENT_NUMBER

# What was compared with a chain that was replaced since does not count.
PROGRESS: Final = """
SELECT now() AS at, c.head_number, c.final_number, c.moved_at, c.halted_reason,
    c.tag_number, c.tag_moved_at, s.number, s.compared_at, s.duration_ms
FROM chain_cursor c LEFT JOIN reconciliation_state s ON s.chain_id = c.chain_id AND EXISTS (
    SELECT FROM block b WHERE b.chain_id = s.chain_id AND b.hash = s.hash AND b.status = 'final')
WHERE c.chain_id = $1
"""
STATE: Final = """
SELECT s.*, EXISTS (SELECT FROM block b WHERE b.chain_id = s.chain_id AND b.hash = s.hash
    AND b.status = 'final') AS is_canonical
FROM reconciliation_state s WHERE chain_id = $1
"""
# Of two workers the one that came further is right, whoever is later; after a deep reorg any is.
STORE_STATE: Final = """
INSERT INTO reconciliation_state AS old (chain_id, number, hash, duration_ms, proven_batch,
    proven_hash, turn_batch, turn_account, turn_digest, turn_read)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (chain_id) DO UPDATE SET number = excluded.number, hash = excluded.hash,
    compared_at = now(), duration_ms = excluded.duration_ms,
    proven_batch = excluded.proven_batch, proven_hash = excluded.proven_hash,
    turn_batch = excluded.turn_batch, turn_account = excluded.turn_account,
    turn_digest = excluded.turn_digest, turn_read = excluded.turn_read
WHERE excluded.number >= old.number OR NOT EXISTS (SELECT FROM block b
    WHERE b.chain_id = old.chain_id AND b.hash = old.hash AND b.status = 'final')
"""
STORE_COMPARISONS: Final = """
INSERT INTO account_comparison (chain_id, address, asset, path, role, ledger, mirror, chain,
    block_number, block_hash)
SELECT $1, a, s, p, r, l, m, c, n, h FROM unnest($2::bytea[], $3::text[], $4::text[], $5::text[],
    $6::numeric[], $7::numeric[], $8::numeric[], $9::bigint[], $10::bytea[])
    WITH ORDINALITY AS new (a, s, p, r, l, m, c, n, h, place)
ORDER BY place
ON CONFLICT (chain_id, address, asset) DO UPDATE SET path = excluded.path, role = excluded.role,
    ledger = excluded.ledger, mirror = excluded.mirror, chain = excluded.chain,
    block_number = excluded.block_number, block_hash = excluded.block_hash, compared_at = now()
"""
LAST_OF: Final = """
SELECT c.* FROM unnest($2::bytea[], $3::text[]) AS holder (address, asset)
JOIN account_comparison c USING (address, asset) WHERE c.chain_id = $1
"""
COMPARISON_PAGE: Final = """
SELECT * FROM account_comparison WHERE chain_id = $1 AND id > $2 ORDER BY id LIMIT $3
"""
_EQUAL: Final = "(ledger = mirror AND mirror = chain)"
COMPARISONS_BY_VERDICT: Final = f"""
SELECT *, {_EQUAL} AS is_equal FROM account_comparison
WHERE chain_id = $1 AND ({_EQUAL}, id) > ($2, $3) AND ($4 OR ledger <> 0 OR NOT {_EQUAL})
ORDER BY is_equal, id LIMIT $5
"""  # noqa: S608 - a constant
COMPARISON_SUMMARY: Final = f"""
SELECT count(*) AS count, count(*) FILTER (WHERE NOT {_EQUAL}) AS differing,
    count(*) FILTER (WHERE {_EQUAL} AND ledger <> 0) AS holding,
    max(block_number) AS newest_block, max(compared_at) AS compared_at
FROM account_comparison WHERE chain_id = $1
"""  # noqa: S608 - a constant
KEEP_POINTS: Final = """
INSERT INTO account_comparison_point (chain_id, address, asset, block_number, ledger, mirror, chain)
SELECT chain_id, address, asset, block_number, ledger, mirror, chain FROM account_comparison c
WHERE chain_id = $1 AND NOT EXISTS (
    SELECT FROM (
        SELECT * FROM account_comparison_point p
        WHERE (p.chain_id, p.address, p.asset) = (c.chain_id, c.address, c.asset)
        ORDER BY block_number DESC LIMIT 1) AS last
    WHERE (last.ledger, last.mirror, last.chain) = (c.ledger, c.mirror, c.chain)
      AND last.compared_at > c.compared_at - interval '1 hour')
ON CONFLICT DO NOTHING
"""
COURSE: Final = """
SELECT address, asset, block_number, compared_at, ledger, mirror, chain FROM (
    SELECT * FROM account_comparison_point
    WHERE chain_id = $1 AND address = $2 AND asset = $3
    ORDER BY block_number DESC LIMIT $4) AS newest
ORDER BY block_number
"""
# What a row says of the chain, as bytes: two rows that say different things never look alike.
# `node.core.differences.digest_of` forms the same of what a provider says.


def _bytes_of(column: str) -> str:
    return f"int4send(coalesce(length({column}), 0)) || coalesce({column}, '\\x')"


def _text_of(column: str) -> str:
    text = f"convert_to(coalesce({column}::text, ''), 'UTF8')"
    return f"int4send(length({text})) || {text}"


_TOKEN_ROW: Final = " || ".join(
    (
        "int4send(log_index) || tx_hash",
        *map(_bytes_of, ("token", "from_address", "to_address")),
        _text_of("amount"),
    )
)
_EVENT_ROW: Final = " || ".join(
    (
        "int4send(log_index) || tx_hash",
        _bytes_of("contract"),
        _text_of("kind"),
        _text_of("payment_number"),
        "int4send(coalesce(payout_log_index, -1))",
        _bytes_of("beneficiary"),
        _text_of("amount"),
        _bytes_of("reason"),
    )
)
_ROWS_OF_BLOCKS: Final = f"""
    SELECT hash, number, count(*)::integer AS logs,
        sha256(string_agg(row, ''::bytea ORDER BY log_index, is_event)) AS digest
    FROM (
        SELECT block_hash AS hash, block_number AS number, log_index, false AS is_event,
            {_TOKEN_ROW} AS row
        FROM token_log WHERE chain_id = $1 AND block_number > $2 AND block_number <= $3
            AND status <> 'orphaned' AND status = 'final'
        UNION ALL
        SELECT block_hash, block_number, log_index, true, {_EVENT_ROW}
        FROM settlement_log WHERE chain_id = $1 AND block_number > $2 AND block_number <= $3
            AND status = 'final'
    ) AS rows GROUP BY hash, number
"""  # noqa: S608 - constants
KEEP_DIGESTS: Final = f"""
INSERT INTO block_digest AS old (chain_id, hash, number, logs, digest)
SELECT $1, hash, number, logs, digest FROM ({_ROWS_OF_BLOCKS}) AS found
ON CONFLICT (chain_id, hash) DO UPDATE SET logs = excluded.logs, digest = excluded.digest
WHERE old.digest <> excluded.digest
"""  # noqa: S608 - constants
STORE_DIGESTS: Final = """
INSERT INTO block_digest AS old (chain_id, hash, number, logs, digest)
SELECT $1, h, n, l, d FROM unnest($2::bytea[], $3::bigint[], $4::int[], $5::bytea[])
    AS new (h, n, l, d)
ON CONFLICT (chain_id, hash) DO UPDATE SET logs = excluded.logs, digest = excluded.digest
WHERE old.digest <> excluded.digest
"""
UNEQUAL: Final = f"""
WITH found AS ({_ROWS_OF_BLOCKS}), kept AS (
    SELECT d.hash, d.number, d.digest FROM block_digest d
    WHERE d.chain_id = $1 AND d.number > $2 AND d.number <= $3 AND EXISTS (
        SELECT FROM block b WHERE b.chain_id = d.chain_id AND b.hash = d.hash
        AND b.status = 'final' OFFSET 0)
)
SELECT hash, coalesce(found.number, kept.number) AS number
FROM found FULL JOIN kept USING (hash) WHERE found.digest IS DISTINCT FROM kept.digest
ORDER BY 2 DESC LIMIT 100
"""  # noqa: S608 - constants
_BLOCKS_COUNTED: Final = 20_000
DIGESTS_BACK: Final = f"""
WITH newest AS (
    SELECT number, logs FROM block_digest WHERE chain_id = $1 AND number <= $2
    ORDER BY number DESC LIMIT {_BLOCKS_COUNTED}
), summed AS (
    SELECT number, logs, sum(logs) OVER (ORDER BY number DESC) AS total FROM newest
), first AS (SELECT min(number) AS number FROM summed WHERE total - logs < $3)
SELECT CASE WHEN EXISTS (SELECT FROM block_digest d
    WHERE d.chain_id = $1 AND d.number < first.number) THEN first.number - 1 ELSE 0 END
FROM first
"""  # noqa: S608 - constants
DIGESTS_ON: Final = f"""
WITH next AS (
    SELECT number, logs FROM block_digest WHERE chain_id = $1 AND number > $2
    ORDER BY number LIMIT {_BLOCKS_COUNTED}
), summed AS (SELECT number, logs, sum(logs) OVER (ORDER BY number) AS total FROM next)
SELECT max(number) FROM summed WHERE total - logs < $3
"""  # noqa: S608 - constants
_MOVED: Final = """
    CASE WHEN to_address = $2 THEN amount ELSE 0 END
    - CASE WHEN from_address = $2 THEN amount ELSE 0 END
"""
_OF_ADDRESS: Final = """
    chain_id = $1 AND status <> 'orphaned' AND status = 'final'
    AND (from_address = $2 OR to_address = $2)
"""
NET_BY_BLOCK: Final = f"""
SELECT block_number AS number, sum({_MOVED}) AS moved FROM token_log
WHERE {_OF_ADDRESS} AND block_number > $3 AND block_number <= $4
GROUP BY 1 ORDER BY 1
"""  # noqa: S608 - constants
NETS: Final = """
SELECT address, sum(moved) AS moved FROM token_log l CROSS JOIN LATERAL (VALUES
    (l.to_address, l.amount), (l.from_address, -l.amount)) AS side (address, moved)
WHERE l.chain_id = $1 AND l.status <> 'orphaned' AND l.status = 'final'
  AND l.block_number > $3 AND l.block_number <= $4 AND address = ANY($2::bytea[])
GROUP BY address
"""
NATIVE_BY_BLOCK: Final = """
SELECT number, sum(moved) AS moved FROM (
    SELECT s.included_block_number AS number, - s.gas_used * s.effective_gas_price_wei
        - CASE WHEN s.succeeded THEN s.value_wei ELSE 0 END AS moved
    FROM slot s JOIN lane ON lane.id = s.lane_id
    WHERE lane.chain_id = $1 AND lane.address = $2 AND s.state = 'final'
      AND s.included_block_number > $3 AND s.included_block_number <= $4
    UNION ALL
    SELECT s.included_block_number, s.value_wei FROM slot s JOIN lane ON lane.id = s.lane_id
    WHERE lane.chain_id = $1 AND s.to_address = $2 AND s.succeeded AND s.value_wei > 0
      AND s.state = 'final' AND s.included_block_number > $3 AND s.included_block_number <= $4
) AS moves GROUP BY 1 ORDER BY 1
"""
# What somebody wrote by hand, and what stands for the time before the mirror, has no log.
UNBOOKED: Final = f"""
WITH logs AS (
    SELECT ledger_sequence AS sequence, sum({_MOVED}) AS moved, min(block_number) AS number,
        (array_agg('0x' || encode(block_hash, 'hex') || ':' || log_index
            ORDER BY block_number, log_index))[1] AS log
    FROM token_log WHERE {_OF_ADDRESS}
    GROUP BY ledger_sequence, CASE WHEN ledger_sequence IS NULL THEN (block_number, log_index) END
), own AS (SELECT id FROM account WHERE path = $3), booked AS (
    SELECT sequence, sum(amount) AS moved FROM (
        SELECT sequence, amount FROM entry JOIN own ON debit_account_id = own.id
        UNION ALL
        SELECT sequence, -amount FROM entry JOIN own ON credit_account_id = own.id
    ) AS sides GROUP BY sequence
)
SELECT sequence, t.key, coalesce(logs.moved, 0) AS logs, coalesce(booked.moved, 0) AS booked,
    logs.number, logs.log
FROM logs FULL JOIN booked USING (sequence) LEFT JOIN ledger_transaction t USING (sequence)
WHERE coalesce(logs.moved, 0) <> coalesce(booked.moved, 0)
  AND NOT (logs.moved IS NULL AND t.kind IN ('opening', 'correction'))
ORDER BY sequence DESC NULLS FIRST, logs.number DESC LIMIT $4
"""  # noqa: S608 - constants
ENTRIES_SUM: Final = """
SELECT coalesce(sum(moved), 0) FROM (
    SELECT e.sequence, e.amount AS moved FROM entry e JOIN account a ON a.id = e.debit_account_id
    WHERE a.path = $1
    UNION ALL
    SELECT e.sequence, -e.amount FROM entry e JOIN account a ON a.id = e.credit_account_id
    WHERE a.path = $1
) AS sides JOIN ledger_transaction t USING (sequence)
WHERE NOT t.pending OR EXISTS (SELECT FROM ledger_resolution r
    WHERE r.pending_sequence = t.sequence AND r.outcome = 'posted' OFFSET 0)
"""
EXPLAINED_MOVES: Final = """
SELECT evidence ->> 'address' AS address, sum((evidence ->> 'moved')::numeric) AS moved,
    coalesce(sum((evidence ->> 'moved')::numeric) FILTER (WHERE resolved_at IS NOT NULL), 0)
        AS resolved
FROM reconciliation_break WHERE code = 'B15' AND evidence ? 'moved' GROUP BY 1
"""
OPENING: Final = """
SELECT coalesce(sum(e.amount), 0) FROM ledger_transaction t JOIN entry e USING (sequence)
JOIN account a ON a.id = e.debit_account_id WHERE t.key = $1 AND a.path = $2
"""
PAYMENT: Final = f"""
SELECT l.kind, l.payment_number, l.beneficiary, l.amount, t.id, t.beneficiary_address,
    t.buy_amount, t.state
FROM settlement_log l LEFT JOIN transfer t ON t.chain_id = l.chain_id AND t.contract = l.contract
    AND t.payment_number = {EVENT_NUMBER}
WHERE l.chain_id = $1 AND l.block_hash = $2 AND l.log_index = $3
"""  # noqa: S608 - constants
KNOWN: Final = """
SELECT a.slot_id, l.address FROM attempt a JOIN slot s ON s.id = a.slot_id
JOIN lane l ON l.id = s.lane_id WHERE a.tx_hash = $1
"""
RESCUED: Final = """
SELECT log_index FROM notice WHERE chain_id = $1 AND tx_hash = $2 AND kind = 'rescued'
    AND status <> 'orphaned' AND block_number = $3 ORDER BY log_index
"""
DIGESTS: Final = f"SELECT hash, digest FROM ({_ROWS_OF_BLOCKS}) AS found"  # noqa: S608
