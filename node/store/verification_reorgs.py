"""Checks of reorgs past finality: what two operators accepted is undone, and nothing else is.

Queries of the form that `node.store.verification_checks` describes.
"""

from typing import Final

HELD_KEY: Final = """concat('transfer:', t.id, (SELECT ':e' || r.epoch
    FROM reorg_transfer x JOIN reorg r ON r.id = x.reorg_id
    WHERE x.transfer_id = t.id AND x.new_pending = t.pending_sequence))"""
"""The ledger key of the money that is held for transfer `t` now."""

# Amounts by accounts; what an owner no longer had was a loss.
_LEGS: Final = """
    SELECT e.sequence, e.asset, sum(e.amount) AS total, {debit} AS debit, {credit} AS credit
    FROM entry e LEFT JOIN account d ON d.id = e.debit_account_id
    LEFT JOIN account c ON c.id = e.credit_account_id
    WHERE e.sequence IN (SELECT {of} FROM undone) GROUP BY 1, 2, 4, 5
"""
_OWNER: Final = (
    "CASE WHEN {0}.path ~ '^(customer|partner)/' OR starts_with({0}.path, 'loss/reorg/')"
    " THEN 'an owner' ELSE {0}.path END"
)

REORGS: Final = f"""
WITH undone AS (
    SELECT reorg_id, sequence AS of, reversal_sequence AS by FROM reorg_booking
    UNION ALL SELECT reorg_id, old_pending, reversal_sequence FROM reorg_transfer
), swapped AS (
    SELECT sequence, string_agg(concat_ws(' ', total, asset, debit, credit), ', '
        ORDER BY debit, credit, asset) AS legs
    FROM ({_LEGS.format(debit=_OWNER.format("c"), credit="d.path", of="of")}) leg
    GROUP BY sequence
), booked AS (
    SELECT sequence, string_agg(concat_ws(' ', total, asset, debit, credit), ', '
        ORDER BY debit, credit, asset) AS legs
    FROM ({_LEGS.format(debit=_OWNER.format("d"), credit="c.path", of="by")}) leg
    GROUP BY sequence
), both_ways AS (
    SELECT u.of, u.by,
        concat_ws(' ', 'reorg', false, concat('reorg:', u.reorg_id, ':', t.key), s.legs)
            AS expected,
        concat_ws(' ', r.kind, r.pending, r.key, b.legs) AS actual
    FROM undone u LEFT JOIN ledger_transaction t ON t.sequence = u.of
    LEFT JOIN ledger_transaction r ON r.sequence = u.by
    LEFT JOIN swapped s ON s.sequence = u.of LEFT JOIN booked b ON b.sequence = u.by
)
SELECT 'sequence ' || of AS subject, expected, actual, 'reversed by sequence ' || by AS evidence
FROM both_ways WHERE expected IS DISTINCT FROM actual
UNION ALL
SELECT 'sequence ' || sequence, 'what it reverses', 'nothing', 'key ' || key
FROM ledger_transaction l WHERE (kind = 'reorg' OR starts_with(key, 'reorg:'))
    AND NOT EXISTS (SELECT FROM undone u WHERE u.by = l.sequence)
UNION ALL
SELECT 'sequence ' || l.sequence, 'a reversal: its block was replaced', 'none', 'key ' || l.key
FROM reorg_block b JOIN ledger_transaction l
    ON l.detail ->> 'block_hash' = '0x' || encode(b.hash, 'hex')
WHERE l.sequence < (SELECT min(u.by) FROM undone u WHERE u.reorg_id = b.reorg_id)
    AND NOT EXISTS (SELECT FROM reorg_booking k WHERE k.sequence = l.sequence)
UNION ALL
SELECT 'sequence ' || coalesce(s.sequence, l.sequence),
    concat('a loss of ', s.amount, ' ', s.asset, ' for ', s.account),
    concat_ws(' ', 'a loss of', l.total), 'what an owner had spent of it'
FROM (SELECT sequence, account, asset, sum(amount) AS amount FROM reorg_shortfall
    GROUP BY 1, 2, 3) s
FULL JOIN (SELECT u.of AS sequence, sum(e.amount) AS total FROM undone u
    JOIN entry e ON e.sequence = u.by JOIN account d ON d.id = e.debit_account_id
    WHERE starts_with(d.path, 'loss/reorg/') GROUP BY 1) l ON l.sequence = s.sequence
WHERE s.amount IS DISTINCT FROM l.total
UNION ALL
SELECT 'sequence ' || coalesce(s.recovered_sequence, l.sequence),
    concat_ws(' ', 'reorg_recovered', s.amount, s.asset, s.account, 'loss/reorg/' || s.asset),
    concat_ws(' ', l.kind, l.booked), 'what an owner paid back'
FROM (SELECT * FROM reorg_shortfall WHERE recovered_sequence IS NOT NULL) s
FULL JOIN (SELECT t.sequence, t.kind, string_agg(concat_ws(' ', e.amount, e.asset, d.path, c.path),
        ', ' ORDER BY e.position) AS booked
    FROM ledger_transaction t JOIN entry e ON e.sequence = t.sequence
    LEFT JOIN account d ON d.id = e.debit_account_id
    LEFT JOIN account c ON c.id = e.credit_account_id
    WHERE t.kind = 'reorg_recovered' GROUP BY t.sequence, t.kind) l
    ON l.sequence = s.recovered_sequence
WHERE concat_ws(' ', 'reorg_recovered', s.amount, s.asset, s.account, 'loss/reorg/' || s.asset)
    IS DISTINCT FROM concat_ws(' ', l.kind, l.booked)
UNION ALL
SELECT 'reorg ' || r.id, 'accepted by another operator than it was proposed by',
    concat_ws(' ', r.state, 'proposed by', r.proposed_by, 'accepted by', r.accepted_by), NULL
FROM reorg r WHERE (r.id IN (SELECT reorg_id FROM undone UNION SELECT reorg_id FROM reorg_slot
        UNION SELECT reorg_id FROM reorg_block) OR r.state = 'accepted')
    AND (r.state = 'accepted' AND r.accepted_by <> r.proposed_by) IS NOT TRUE
UNION ALL
SELECT 'chain ' || c.chain_id, 'epoch ' || count(r.*), 'epoch ' || c.epoch, 'accepted reorgs'
FROM chain_cursor c LEFT JOIN reorg r ON r.chain_id = c.chain_id AND r.state = 'accepted'
GROUP BY c.chain_id, c.epoch
HAVING (count(r.*) = c.epoch AND coalesce(max(r.epoch), 0) = c.epoch) IS NOT TRUE
"""  # noqa: S608 - constants

_ENTRIES: Final = """(SELECT string_agg(concat_ws(' ', e.amount, e.asset, e.debit_account_id,
    e.credit_account_id), ', ' ORDER BY e.position) FROM entry e WHERE e.sequence = {0})"""

# What was settled and is not any more was posted, is reversed, and is held again, in a row.
REORGED: Final = f"""
SELECT x.transfer_id AS subject, concat_ws(' ', 'posted, then held again as', r.epoch, 'by',
        x.transfer_id, {_ENTRIES.format("x.old_pending")}) AS expected,
    concat_ws(' ', coalesce(p.outcome, 'pending'), n.kind, n.pending, n.key, 'by', n.transfer_id,
        {_ENTRIES.format("x.new_pending")}) AS actual,
    concat('sequences ', x.old_pending, ', ', x.new_pending) AS evidence
FROM reorg_transfer x LEFT JOIN reorg r ON r.id = x.reorg_id
LEFT JOIN ledger_resolution p ON p.pending_sequence = x.old_pending
LEFT JOIN ledger_transaction o ON o.sequence = x.old_pending
LEFT JOIN ledger_transaction n ON n.sequence = x.new_pending
WHERE (p.outcome = 'posted' AND n.kind = 'transfer' AND n.pending AND o.transfer_id = x.transfer_id
    AND n.transfer_id = x.transfer_id AND n.detail = o.detail
    AND n.key = concat('transfer:', x.transfer_id, ':e', r.epoch)
    AND {_ENTRIES.format("x.old_pending")} = {_ENTRIES.format("x.new_pending")}
    AND (EXISTS (SELECT FROM transfer t
            WHERE t.id = x.transfer_id AND t.pending_sequence = x.new_pending)
        OR EXISTS (SELECT FROM reorg_transfer y
            WHERE y.transfer_id = x.transfer_id AND y.old_pending = x.new_pending))) IS NOT TRUE
UNION ALL
SELECT coalesce(told.object_id, noted.transfer_id), coalesce(noted.n, 0) || ' accepted reorgs',
    coalesce(told.n, 0) || ' events that it is settled no more', NULL
FROM (
    SELECT object_id, count(*) AS n FROM (
        SELECT object_id, type, lag(state) OVER (PARTITION BY object_id ORDER BY object_sequence)
            AS before FROM event WHERE object = 'transfer') line
    WHERE type = 'transfer.reorged' AND before = 'settled' GROUP BY object_id) told
FULL JOIN (
    SELECT transfer_id, count(*) AS n FROM reorg_transfer GROUP BY transfer_id) noted
    ON noted.transfer_id = told.object_id
WHERE told.n IS DISTINCT FROM noted.n
"""  # noqa: S608 - constants
