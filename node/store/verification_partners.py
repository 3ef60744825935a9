"""What must hold of partners' money: credit lines, and what they paid in. One query each."""

from typing import Final

# A credit line may change, so the floor of a partner's account is not among what is hashed. Here it
# is derived what was available after each sequence, and compared with the highest line there was.
CREDIT_LINES: Final = """
WITH lent AS (
    SELECT a.id, a.path, a.credit_line, coalesce(l.credit_line, 0) AS agreed,
        coalesce((SELECT max((c.change -> 'limits' -> a.asset ->> 0)::bigint)
            FROM partner_change c WHERE c.partner_id = l.partner_id), 0) AS most
    FROM account a LEFT JOIN partner_limit l ON l.account = a.path
), entries AS (
    SELECT l.id, e.sequence, e.amount, true AS is_debit
    FROM lent l JOIN entry e ON e.debit_account_id = l.id WHERE l.path LIKE 'partner/%'
    UNION ALL
    SELECT l.id, e.sequence, e.amount, false
    FROM lent l JOIN entry e ON e.credit_account_id = l.id WHERE l.path LIKE 'partner/%'
), moved AS (
    SELECT e.id, e.sequence,
        CASE WHEN is_debit THEN -amount WHEN pending THEN 0 ELSE amount END AS amount
    FROM entries e JOIN ledger_transaction t ON t.sequence = e.sequence
    UNION ALL
    SELECT e.id, r.sequence,
        CASE WHEN is_debit = (outcome = 'voided') THEN amount ELSE 0 END
    FROM entries e JOIN ledger_resolution r ON r.pending_sequence = e.sequence
), running AS (
    SELECT id, sequence, sum(sum(amount)) OVER (PARTITION BY id ORDER BY sequence) AS available
    FROM moved GROUP BY id, sequence
)
SELECT path AS subject, 'a credit line of ' || agreed AS expected,
    'one of ' || coalesce(credit_line::text, 'NULL') AS actual, NULL AS evidence
FROM lent WHERE credit_line IS DISTINCT FROM agreed
UNION ALL
SELECT l.path, 'at least -' || l.most || ' available', min(r.available)::text,
    'first after sequence ' || min(r.sequence)
FROM running r JOIN lent l ON l.id = r.id WHERE r.available < -l.most GROUP BY l.path, l.most
"""

# The prefunding that a key names.
_KEY_ID: Final = """
    CASE WHEN key ~ '^prefunding:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
         THEN substr(key, 12)::uuid END
"""
PREFUNDINGS: Final = f"""
WITH both_ways AS (
    SELECT p.id, p.ledger_sequence,
        jsonb_build_array(t.kind, t.key, t.pending, t.detail ->> 'rail', t.detail ->> 'reference', (
            SELECT jsonb_agg(concat_ws(' ', e.amount, e.asset, d.path,
                CASE WHEN c.path LIKE 'partner/%/' || p.asset THEN 'partner' ELSE c.path END))
            FROM entry e JOIN account d ON d.id = e.debit_account_id
            JOIN account c ON c.id = e.credit_account_id WHERE e.sequence = t.sequence
        ))::text AS booked,
        jsonb_build_array('prefunding', 'prefunding:' || p.id, false, p.rail, p.reference,
            jsonb_build_array(concat_ws(' ', p.amount, p.asset,
                'bank/' || p.rail || '/' || p.asset, 'partner')))::text AS stored
    FROM prefunding p LEFT JOIN ledger_transaction t ON t.sequence = p.ledger_sequence
)
SELECT id AS subject, booked AS expected, stored AS actual,
    'sequence ' || ledger_sequence AS evidence
FROM both_ways WHERE booked IS DISTINCT FROM stored
UNION ALL
SELECT {_KEY_ID}, 'a prefunding of key ' || key, 'none', 'sequence ' || sequence
FROM ledger_transaction l WHERE starts_with(key, 'prefunding:')
    AND NOT EXISTS (SELECT FROM prefunding p WHERE p.ledger_sequence = l.sequence)
"""  # noqa: S608 - constants
