"""Checks of timelines and payouts: what became of each transfer, told twice or more.

Queries of the form that `node.store.verification_checks` describes.
"""

from typing import Final

from node.core.transfers import MOVES as MACHINE
from node.core.transfers import State, move
from node.store.mirror_rows import EVENT_NUMBER
from node.store.verification_orders import CLEARING, WITH_PARTNER


def _allowed() -> str:
    """Every line a timeline may have: (state before, type, state after), as SQL values."""
    lines = {("", "transfer.funded", State.FUNDED.value)}
    for (before, happening), after in MACHINE.items():
        lines.add((before.value, move(before, happening, was_written=False).type, after.value))
    return ", ".join(f"('{before}', '{kind}', '{after}')" for before, kind, after in sorted(lines))


ORIGINAL_NUMBER: Final = """coalesce((SELECT min(c.old_number)
    FROM payment_number_change c WHERE c.transfer_id = t.id), t.payment_number)"""
"""The payment number that transfer `t` was accepted with."""

TIMELINES: Final = """
SELECT t.id AS subject, t.version || ' events, the last ' || coalesce(t.state, 'NULL') AS expected,
    count(e.*) || ' events, the last ' || coalesce((array_agg(e.state ORDER BY e.object_sequence
        DESC))[1], 'none') AS actual, NULL AS evidence
FROM transfer t LEFT JOIN event e ON e.object_id = t.id GROUP BY t.id, t.version, t.state
HAVING (count(e.*) = t.version AND max(e.object_sequence) = t.version
    AND (array_agg(e.state ORDER BY e.object_sequence DESC))[1] = t.state) IS NOT TRUE
"""

MOVES: Final = f"""
WITH allowed (before, type, after) AS (VALUES {_allowed()}),
lines AS (
    SELECT e.*, t.id AS transfer_id, t.customer_id AS owner, row_number() OVER timeline AS place,
        coalesce(lag(e.state) OVER timeline, '') AS before,
        coalesce(lag(e.sequence) OVER timeline, 0) AS sequence_before
    FROM event e LEFT JOIN transfer t ON t.id = e.object_id
    WINDOW timeline AS (PARTITION BY e.object_id ORDER BY e.object_sequence, e.sequence)
)
SELECT object_id AS subject,
    CASE WHEN transfer_id IS NULL THEN 'a transfer'
         ELSE concat('event ', place, ' of its transfer and customer, a move from ', before)
         END AS expected,
    concat('event ', object_sequence, ' of ', object, ' and customer ', customer_id, ', ', type,
        ' to ', state) AS actual,
    concat('event sequence ', sequence, ' after ', sequence_before) AS evidence
FROM lines l WHERE (object_sequence = place AND sequence > sequence_before AND CASE object
    WHEN 'transfer' THEN customer_id = owner AND EXISTS (SELECT FROM allowed a
        WHERE a.before = l.before AND a.type = l.type AND a.after = l.state)
    WHEN 'payment_request' THEN EXISTS (SELECT FROM payment_request r
        WHERE r.id = l.object_id AND l.place <= r.version)
    WHEN 'deposit' THEN EXISTS (SELECT FROM deposit d
        WHERE d.id = l.object_id AND l.place <= d.version)
    WHEN 'payout' THEN EXISTS (SELECT FROM payout p
        WHERE p.id = l.object_id AND p.partner_id = l.partner_id AND l.place <= p.version)
    WHEN 'refund' THEN EXISTS (SELECT FROM refund r
        WHERE r.id = l.object_id AND r.partner_id = l.partner_id AND l.place <= r.version)
    WHEN 'bulk_transfer' THEN EXISTS (SELECT FROM bulk_transfer b
        WHERE b.id = l.object_id AND l.place <= b.version)
    END) IS NOT TRUE
"""  # noqa: S608 - constants

# Booked once per batch of payments, so per transaction on the chain.
PAYOUTS: Final = f"""
WITH clearing AS MATERIALIZED ({CLEARING}), earned AS (
    SELECT min(t.id::text) AS subject, t.tx_hash, t.block_number, place, asset, debit, credit,
        sum(amount) AS total
    FROM transfer t LEFT JOIN clearing ON clearing.id = t.partner_id CROSS JOIN LATERAL (VALUES
        (CASE WHEN t.partner_id IS NULL THEN 0 ELSE 1 END, buy_asset, buy_amount,
            CASE WHEN t.partner_id IS NULL THEN concat('in_flight/', chain_id, '/', buy_asset)
                 ELSE concat(clearing.path, '/', buy_asset) END,
            concat('chain/', chain_id, '/0x', encode(contract, 'hex'), '/', buy_asset)),
        (2, sell_asset, service_fee + network_fee, 'deferred/fee/' || sell_asset,
            'income/fee/' || sell_asset),
        (3, sell_asset, spread_amount, 'deferred/spread/' || sell_asset,
            'income/spread/' || sell_asset)
    ) AS line (place, asset, amount, debit, credit)
    WHERE (state = 'settled' OR t.partner_id IS NOT NULL AND block_number IS NOT NULL
            AND state IN {WITH_PARTNER})
        AND (t.partner_id IS NULL OR place = 1)
    GROUP BY t.tx_hash, t.block_number, place, asset, debit, credit
), paid AS (
    SELECT min(subject)::uuid AS subject,
        concat('0x', encode(tx_hash, 'hex'), ' in block ', block_number) AS payout,
        string_agg(concat_ws(' ', total, asset, debit, credit), ', '
            ORDER BY place, debit COLLATE "C") FILTER (WHERE total <> 0) AS stored
    FROM earned GROUP BY tx_hash, block_number
), batch AS (
    SELECT concat(l.detail ->> 'tx_hash', ' in block ', l.detail ->> 'block_number') AS payout,
        'sequence ' || l.sequence || ', key ' || l.key AS evidence, string_agg(
            concat_ws(' ', e.amount, e.asset, d.path, c.path), ', ' ORDER BY e.position) AS booked
    FROM ledger_transaction l JOIN entry e ON e.sequence = l.sequence
    LEFT JOIN account d ON d.id = e.debit_account_id
    LEFT JOIN account c ON c.id = e.credit_account_id
    WHERE l.kind = 'batch'
        AND NOT EXISTS (SELECT FROM reorg_booking b WHERE b.sequence = l.sequence)
    GROUP BY l.sequence, l.key, l.detail
)
SELECT subject, concat_ws(': ', b.payout, coalesce(booked, 'nothing booked')) AS expected,
    concat_ws(': ', p.payout, coalesce(stored, 'nothing paid')) AS actual, evidence
FROM batch b FULL JOIN paid p ON p.payout = b.payout WHERE booked IS DISTINCT FROM stored
"""  # noqa: S608 - constants

# What an event says of a block is a log of the transfer's number in the mirror, of one kind for
# each type of event; and a transfer in a block names the transaction that its newest event names.
# Each part reads few of the lines: kept as a table of its own, all of them would go to disk.
TOLD: Final = f"""
WITH lines AS NOT MATERIALIZED (
    SELECT t.id, t.chain_id, t.contract, t.payment_number, t.version, t.state, t.tx_hash,
        t.block_number, e.object_sequence, e.type, e.detail,
        CASE WHEN e.type IN ('transfer.included', 'transfer.reorged', 'transfer.settled',
                 'transfer.payout_pending', 'transfer.reached_again')
             THEN 'settled'
             WHEN e.type = 'transfer.requeued' THEN 'failed'
             WHEN e.type IN ('transfer.canceled', 'transfer.failed', 'transfer.expired')
             THEN 'voided' END AS log_kind
    FROM event e JOIN transfer t ON t.id = e.object_id
), logs AS (
    SELECT chain_id, contract, {EVENT_NUMBER} AS number, kind, status, block_hash,
        jsonb_build_object('tx_hash', '0x' || encode(tx_hash, 'hex'), 'block_number', block_number,
        'block_hash', '0x' || encode(block_hash, 'hex')) || CASE WHEN kind = 'failed'
        THEN jsonb_build_object('reason', '0x' || encode(coalesce(reason, ''), 'hex'))
        ELSE '{{}}' END AS told
    FROM settlement_log l
)
SELECT id AS subject, 'payment number ' || {ORIGINAL_NUMBER} AS expected,
    concat('event 1 tells ', detail) AS actual, NULL AS evidence
FROM lines t WHERE object_sequence = 1
    AND detail IS DISTINCT FROM jsonb_build_object('payment_number', {ORIGINAL_NUMBER})
UNION ALL
SELECT id, concat('what the mirror has of payment number ', payment_number),
    concat('event ', object_sequence, ', ', type, ', tells ', detail), NULL
FROM lines l WHERE (detail ? 'block_hash' OR detail ? 'block_number' OR log_kind = 'settled')
    AND NOT EXISTS (SELECT FROM logs WHERE logs.chain_id = l.chain_id
        AND logs.contract = l.contract AND logs.number = l.payment_number
        AND logs.kind = l.log_kind AND logs.told IS NOT DISTINCT FROM l.detail
        AND (type IN ('transfer.included', 'transfer.reorged') OR logs.status = 'final'
            OR EXISTS (SELECT FROM reorg_block b WHERE b.hash = logs.block_hash)))
UNION ALL
SELECT id, 'a transaction that was signed',
    concat('event ', object_sequence, ' tells ', detail), NULL
FROM lines WHERE type = 'transfer.submitted' AND detail ? 'tx_hash' AND NOT EXISTS (
    SELECT FROM attempt a WHERE '0x' || encode(a.tx_hash, 'hex') = detail ->> 'tx_hash')
UNION ALL
SELECT id, concat_ws(' in block ', detail ->> 'tx_hash', detail ->> 'block_number'),
    concat('0x', encode(tx_hash, 'hex'), ' in block ', block_number), 'the newest event'
FROM lines WHERE object_sequence = version AND state IN ('included', 'settled')
    AND (concat('0x', encode(tx_hash, 'hex')) = detail ->> 'tx_hash'
        AND block_number::text = detail ->> 'block_number') IS NOT TRUE
UNION ALL
SELECT id, 'no block', concat('block ', block_number), concat('it is ', state)
FROM transfer WHERE block_number IS NOT NULL
    AND state NOT IN ('included', 'voiding', 'settled') AND state NOT IN {WITH_PARTNER}
UNION ALL
SELECT t.id, 'a payment to the partner that was told', concat('0x', encode(tx_hash, 'hex'),
    ' in block ', block_number), concat('it is ', state)
FROM transfer t WHERE state IN {WITH_PARTNER}
    AND (state IN ('payout_pending', 'undeliverable') OR num_nonnulls(tx_hash, block_number) > 0)
    AND NOT EXISTS (SELECT FROM event e WHERE e.object_id = t.id
        AND e.type IN ('transfer.payout_pending', 'transfer.reached_again')
        AND e.detail ->> 'tx_hash' = concat('0x', encode(t.tx_hash, 'hex'))
        AND e.detail ->> 'block_number' = t.block_number::text)
"""  # noqa: S608 - constants

# A transfer keeps its number, but for changes that are noted one after the other, each told by one
# event, of a number that the chain has used, before anything was written.
RENUMBERED: Final = """
WITH changes AS (
    SELECT c.*, t.id AS known, t.payment_number, lag(new_number) OVER chain AS before,
        lead(new_number) OVER chain AS after, jsonb_build_object('old_payment_number', old_number,
            'payment_number', new_number) AS told,
        EXISTS (SELECT FROM settlement_log l WHERE l.chain_id = t.chain_id
            AND l.contract = t.contract AND l.payment_number = c.old_number::numeric
            AND l.kind IN ('settled', 'voided')) AS is_used
    FROM payment_number_change c LEFT JOIN transfer t ON t.id = c.transfer_id
    WINDOW chain AS (PARTITION BY c.transfer_id ORDER BY new_number, old_number)
)
SELECT transfer_id AS subject, concat('a change from ', coalesce(before, old_number),
        CASE WHEN after IS NULL THEN concat(' to ', payment_number) END,
        ' upwards of a number that is used') AS expected,
    concat('from ', old_number, ' to ', new_number, CASE WHEN NOT is_used THEN ', unused' END)
        AS actual, NULL AS evidence
FROM changes WHERE (known IS NOT NULL AND old_number = coalesce(before, old_number)
    AND new_number > old_number AND (after IS NOT NULL OR new_number = payment_number)
    AND is_used) IS NOT TRUE
UNION ALL
SELECT transfer_id, concat('one event that tells ', told), n || ' events', NULL
FROM changes c CROSS JOIN LATERAL (SELECT count(*) AS n FROM event e
    WHERE e.object_id = c.transfer_id AND e.type = 'transfer.renumbered' AND e.detail = c.told) s
WHERE n <> 1
UNION ALL
SELECT e.object_id, 'a change that was noted, before anything was written',
    concat('event ', e.object_sequence, ' tells ', e.detail), NULL
FROM event e WHERE e.type = 'transfer.renumbered' AND (
    NOT EXISTS (SELECT FROM changes c WHERE c.transfer_id = e.object_id AND c.told = e.detail)
    OR EXISTS (SELECT FROM event s WHERE s.object_id = e.object_id
        AND s.object_sequence < e.object_sequence AND s.type = 'transfer.submitted'))
"""
