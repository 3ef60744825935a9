"""What `node.store.history` asks PostgreSQL. Every statement is bounded by sequences.

`OFFSET 0` keeps a look-up a look-up: without it a plan made for unknown parameters may read whole
tables to join a handful of rows.
"""

from typing import Final

_TRANSACTION = """
SELECT t.sequence, t.key, t.kind, t.pending, t.transfer_id, t.detail, t.created_at, r.outcome,
       e.debits, e.credits, e.assets, e.amounts
FROM ledger_transaction t
LEFT JOIN ledger_resolution r ON r.pending_sequence = t.sequence
CROSS JOIN LATERAL (
    SELECT array_agg(d.path ORDER BY position) AS debits,
           array_agg(c.path ORDER BY position) AS credits,
           array_agg(entry.asset ORDER BY position) AS assets,
           array_agg(entry.amount ORDER BY position) AS amounts
    FROM entry
    JOIN account d ON d.id = entry.debit_account_id
    JOIN account c ON c.id = entry.credit_account_id
    WHERE entry.sequence = t.sequence
) AS e
"""
OF_KEYS: Final = _TRANSACTION + "WHERE t.key = ANY($1::text[])"
OF_SEQUENCE: Final = _TRANSACTION + "WHERE t.sequence = $1"

HEAD: Final = """
SELECT l.sequence, b.created_at AS booked_at
FROM ledger l LEFT JOIN ledger_batch b ON b.number = l.batch
"""

AT_TIME: Final = """
SELECT last_sequence AS sequence, created_at AS booked_at FROM ledger_batch
WHERE created_at <= $1 ORDER BY created_at DESC LIMIT 1
"""

# Of the batch, which is that of each of its rows.
_BOOKED_AT = """coalesce(
    (SELECT created_at FROM ledger_transaction WHERE sequence = {0}),
    (SELECT created_at FROM ledger_resolution WHERE sequence = {0}))"""

AT_SEQUENCE: Final = f"SELECT {_BOOKED_AT.format('$1::bigint')}"

# An account is as old as the batch that opened it.
ACCOUNTS_AT: Final = f"""
SELECT * FROM account
WHERE starts_with(path, $1) AND created_at <= {_BOOKED_AT.format("$2::bigint")}
"""  # noqa: S608 - parts are constants

# $1 accounts, $2 at most so many entries between them
HAS_FEW: Final = """
SELECT sum(entries) <= $2 FROM unnest($1::bigint[]) AS asked (id), LATERAL (
    SELECT count(*) FROM (
        SELECT FROM entry WHERE debit_account_id = asked.id LIMIT $2 + 1) AS debits
    UNION ALL
    SELECT count(*) FROM (
        SELECT FROM entry WHERE credit_account_id = asked.id LIMIT $2 + 1) AS credits
) AS counted (entries)
"""

# Where counters as of $2 can be moved from: nothing, for accounts with at most $3 entries; the
# newest checkpoint before; what is there now. $1 accounts
BASES: Final = """
SELECT a.id, l.sequence AS head,
    a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted,
    l.sequence > $2 AND (
        SELECT count(*) FROM (
            (SELECT FROM entry WHERE debit_account_id = a.id LIMIT $3::bigint + 1)
            UNION ALL
            (SELECT FROM entry WHERE credit_account_id = a.id LIMIT $3::bigint + 1)
        ) AS entries
    ) <= $3::bigint AS has_few,
    coalesce(c.sequence, 0) AS checkpoint,
    coalesce(k.debits_pending, 0) AS checked_debits_pending,
    coalesce(k.debits_posted, 0) AS checked_debits_posted,
    coalesce(k.credits_pending, 0) AS checked_credits_pending,
    coalesce(k.credits_posted, 0) AS checked_credits_posted
FROM account a CROSS JOIN ledger l
LEFT JOIN LATERAL (
    SELECT sequence FROM ledger_checkpoint WHERE sequence <= $2 ORDER BY sequence DESC LIMIT 1
) AS c ON true
LEFT JOIN LATERAL (
    SELECT * FROM account_checkpoint WHERE account_id = a.id AND sequence <= c.sequence
    ORDER BY sequence DESC LIMIT 1
) AS k ON true
WHERE a.id = ANY($1::bigint[])
"""

# Entries seen from their accounts: $1 accounts, booked after $2 up to $4; and, where $2 is not the
# beginning of everything, those booked before whose resolution is after $3, up to $4.
_SIDES = """
WITH side AS (
    SELECT sequence, position, true AS is_debit, debit_account_id AS account_id,
        credit_account_id AS counter_id, asset, amount
    FROM entry WHERE debit_account_id = ANY($1::bigint[]) AND sequence > $2 AND sequence <= $4
    UNION ALL
    SELECT sequence, position, false, credit_account_id, debit_account_id, asset, amount
    FROM entry WHERE credit_account_id = ANY($1::bigint[]) AND sequence > $2 AND sequence <= $4
    UNION ALL
    SELECT e.sequence, e.position, seen.is_debit, seen.account_id, seen.counter_id, e.asset,
        e.amount
    FROM ledger_resolution r
    CROSS JOIN LATERAL (SELECT * FROM entry WHERE sequence = r.pending_sequence OFFSET 0) AS e
    CROSS JOIN LATERAL (VALUES
        (true, e.debit_account_id, e.credit_account_id),
        (false, e.credit_account_id, e.debit_account_id)
    ) AS seen (is_debit, account_id, counter_id)
    WHERE $2 > 0 AND r.sequence > $3 AND r.sequence <= $4 AND r.pending_sequence <= $2
      AND seen.account_id = ANY($1::bigint[])
)
"""

# How far the counters of $1 accounts moved after $2 = $3, up to $4. Whether a transaction is
# pending and how it ended is looked up once, not for every side of its entries.
MOVED: Final = f"""
{_SIDES}, told AS (
    SELECT s.sequence, t.pending, r.outcome
    FROM (SELECT DISTINCT sequence FROM side) AS s
    CROSS JOIN LATERAL (
        SELECT pending FROM ledger_transaction WHERE sequence = s.sequence OFFSET 0) AS t
    LEFT JOIN LATERAL (
        SELECT outcome FROM ledger_resolution
        WHERE t.pending AND pending_sequence = s.sequence AND sequence <= $4 OFFSET 0
    ) AS r ON true
), change AS (
    SELECT s.account_id, s.is_debit,
        s.amount * ((t.pending AND s.sequence > $3)::integer
            - (t.outcome IS NOT NULL)::integer) AS pending,
        s.amount * ((NOT t.pending AND s.sequence > $3)::integer
            + (t.outcome IS NOT DISTINCT FROM 'posted')::integer) AS posted
    FROM side s JOIN told t USING (sequence)
)
SELECT account_id,
    coalesce(sum(pending) FILTER (WHERE is_debit), 0) AS debits_pending,
    coalesce(sum(posted) FILTER (WHERE is_debit), 0) AS debits_posted,
    coalesce(sum(pending) FILTER (WHERE NOT is_debit), 0) AS credits_pending,
    coalesce(sum(posted) FILTER (WHERE NOT is_debit), 0) AS credits_posted
FROM change GROUP BY account_id
"""  # noqa: S608 - parts are constants

# Entries of $1 accounts that stand after $3, up to $4 and there below position $6, newest first,
# at most $8 (NULL: all); those that are not posted are left out if $7. Their status is as of $5.
LINES: Final = f"""
{_SIDES}, line AS (
    SELECT s.*, t.kind, t.transfer_id, t.detail,
        CASE WHEN t.pending THEN coalesce(r.outcome, 'pending') ELSE 'posted' END AS status,
        CASE WHEN r.outcome = 'posted' THEN r.sequence ELSE s.sequence END AS place,
        CASE WHEN r.outcome = 'posted' THEN r.created_at ELSE t.created_at END AS occurred_at
    FROM side s
    CROSS JOIN LATERAL (
        SELECT * FROM ledger_transaction WHERE sequence = s.sequence OFFSET 0) AS t
    LEFT JOIN LATERAL (
        SELECT * FROM ledger_resolution
        WHERE t.pending AND pending_sequence = s.sequence AND sequence <= $5 OFFSET 0
    ) AS r ON true
), chosen AS (
    SELECT * FROM line
    WHERE place > $3 AND (place < $4 OR place = $4 AND position < $6)
      AND (NOT $7 OR status = 'posted')
    ORDER BY place DESC, position DESC LIMIT $8
)
SELECT c.*, a.path AS counter_path, x.client_reference, x.beneficiary ->> 'name' AS beneficiary_name
FROM chosen c
CROSS JOIN LATERAL (SELECT path FROM account WHERE id = c.counter_id OFFSET 0) AS a
LEFT JOIN LATERAL (SELECT * FROM transfer WHERE id = c.transfer_id OFFSET 0) AS x ON true
ORDER BY place DESC, position DESC
"""  # noqa: S608 - parts are constants

# The spans between $2 and $3 in which one of $1 accounts may have moved: those that ended in a
# checkpoint of it, and what is after the newest.
TOUCHED: Final = """
SELECT before.sequence AS after, touched.sequence AS upto
FROM (
    SELECT DISTINCT sequence FROM account_checkpoint
    WHERE account_id = ANY($1::bigint[]) AND sequence > $2
) AS touched CROSS JOIN LATERAL (
    SELECT coalesce(max(sequence), 0) AS sequence FROM ledger_checkpoint
    WHERE sequence < touched.sequence
) AS before
WHERE before.sequence < $3
UNION ALL
SELECT coalesce(max(sequence), 0), NULL FROM ledger_checkpoint
ORDER BY after
"""

# Sums of what is there now, and whether an asset was there at $1.
TRIAL_LIVE: Final = f"""
SELECT asset, sum(debits_posted) AS debits, sum(credits_posted) AS credits,
    bool_or(created_at <= {_BOOKED_AT.format("$1::bigint")}) AS existed,
    (SELECT sequence FROM ledger) AS sequence
FROM account GROUP BY asset
"""  # noqa: S608 - parts are constants

# Sums as of the newest checkpoint up to $1.
TRIAL_BASES: Final = """
SELECT a.asset, sum(k.debits_posted) AS debits, sum(k.credits_posted) AS credits, c.sequence
FROM (
    SELECT sequence FROM ledger_checkpoint WHERE sequence <= $1 ORDER BY sequence DESC LIMIT 1
) AS c CROSS JOIN account a CROSS JOIN LATERAL (
    SELECT * FROM account_checkpoint WHERE account_id = a.id AND sequence <= c.sequence
    ORDER BY sequence DESC LIMIT 1
) AS k
GROUP BY a.asset, c.sequence
"""

# How far the sums moved after $1, up to $2. Each side by the asset of its own account.
TRIAL_MOVED: Final = """
WITH posted AS (
    SELECT e.* FROM ledger_transaction t JOIN entry e USING (sequence)
    WHERE NOT t.pending AND sequence > $1 AND sequence <= $2
    UNION ALL
    SELECT e.* FROM ledger_resolution r JOIN entry e ON e.sequence = r.pending_sequence
    WHERE r.outcome = 'posted' AND r.sequence > $1 AND r.sequence <= $2
), moved AS (
    SELECT debit_account_id AS account_id, sum(amount) AS debits, 0 AS credits
    FROM posted GROUP BY debit_account_id
    UNION ALL
    SELECT credit_account_id, 0, sum(amount) FROM posted GROUP BY credit_account_id
)
SELECT asset, sum(debits) AS debits, sum(credits) AS credits
FROM moved JOIN account ON account.id = account_id GROUP BY asset
"""

# Counters as they are, of what moved since the checkpoint before, once $1 sequences have passed.
# One statement sees one instant, and in any instant the counters are those of the newest sequence.
CHECKPOINT: Final = """
WITH head AS (
    SELECT l.sequence, c.sequence AS before
    FROM ledger l
    CROSS JOIN (SELECT coalesce(max(sequence), 0) AS sequence FROM ledger_checkpoint) AS c
    WHERE l.sequence >= c.sequence + $1
), made AS (
    INSERT INTO ledger_checkpoint (sequence) SELECT sequence FROM head RETURNING sequence
), moved AS (
    SELECT e.debit_account_id, e.credit_account_id
    FROM head JOIN entry e ON e.sequence > before AND e.sequence <= head.sequence
    UNION ALL
    SELECT e.debit_account_id, e.credit_account_id
    FROM head
    JOIN ledger_resolution r ON r.sequence > before AND r.sequence <= head.sequence
    JOIN entry e ON e.sequence = r.pending_sequence
), kept AS (
    INSERT INTO account_checkpoint (account_id, sequence, debits_pending, debits_posted,
        credits_pending, credits_posted)
    SELECT id, made.sequence, debits_pending, debits_posted, credits_pending, credits_posted
    FROM made CROSS JOIN account
    WHERE id IN (SELECT debit_account_id FROM moved UNION SELECT credit_account_id FROM moved)
)
SELECT sequence FROM made
"""
