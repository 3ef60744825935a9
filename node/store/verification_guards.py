"""What keeps the ledger's rows as they are, and what leads from them to the chain. One query each.

Not here: what must agree with the ledger itself (`verification_checks`).
"""

from typing import Final

# Triggers, the floor of accounts, and the privileges of the node's role, as the migration made
# them. The role writes nothing of the ledger by itself.
GUARDS: Final = """
WITH expected (relation, guard) AS (VALUES
    ('ledger_batch', 'append_only'), ('ledger_transaction', 'append_only'),
    ('entry', 'append_only'), ('ledger_resolution', 'append_only'),
    ('ledger_refusal', 'append_only'), ('event', 'append_only'),
    ('break_event', 'append_only'), ('bank_statement', 'append_only'),
    ('bank_line', 'append_only'), ('bank_match', 'append_only'),
    ('webhook_attempt', 'append_only'), ('webhook_attempt', 'goes_with_its_delivery'),
    ('webhook_delivery', 'kept_until_ended'),
    ('account', 'counters_follow_entries'), ('account', 'follows_chart'),
    ('entry', 'moves_counters'), ('ledger_resolution', 'moves_counters'),
    ('partner_quote', 'append_only'), ('payout_order', 'keeps_its_terms'),
    ('transfer', 'keeps_its_payout'), ('payout_change', 'decided_once'),
    ('account', 'takes_credit_line'), ('partner_limit', 'moves_account'),
    ('partner_change', 'append_only'), ('prefunding', 'append_only'),
    ('slot', 'keeps_its_call'), ('transfer', 'keeps_its_number'),
    ('payment_number_change', 'append_only'), ('slot_member', 'lives_until_decided'),
    ('partner_contract', 'append_only'), ('deposit_address', 'append_only'),
    ('transfer', 'keeps_its_money'), ('reorg', 'decided_once'),
    ('reorg_block', 'append_only'), ('reorg_slot', 'append_only'),
    ('reorg_booking', 'append_only'), ('reorg_transfer', 'append_only'),
    ('reorg_block', 'follows_reorg'), ('reorg_slot', 'follows_reorg'),
    ('reorg_booking', 'follows_reorg'), ('reorg_transfer', 'follows_reorg'),
    ('reorg_shortfall', 'follows_reorg'), ('bulk_row', 'decided_once')
)
SELECT relation AS subject, 'trigger ' || guard || ' enabled' AS expected,
    CASE WHEN t.tgname IS NULL THEN 'there is none' ELSE 'disabled' END AS actual,
    'ALTER TABLE ' || relation || ' ENABLE TRIGGER ' || guard AS evidence
FROM expected LEFT JOIN pg_trigger t
    ON t.tgrelid = relation::regclass AND t.tgname = guard AND NOT t.tgisinternal
WHERE t.tgname IS NULL OR t.tgenabled NOT IN ('O', 'A')
UNION ALL
SELECT 'account', 'constraint available_not_below_floor', 'there is none, or it is not valid', NULL
WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'account'::regclass
    AND conname = 'available_not_below_floor' AND convalidated)
UNION ALL
SELECT relation, 'corridor_node may not ' || privilege, 'it may',
    'REVOKE ' || privilege || ' ON ' || relation || ' FROM corridor_node'
FROM unnest(ARRAY['ledger', 'ledger_batch', 'account', 'ledger_transaction', 'entry',
        'ledger_resolution', 'ledger_refusal', 'transfer', 'event', 'quote', 'top_up']) AS relation
CROSS JOIN unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE', 'INSERT']) AS privilege
WHERE has_table_privilege('corridor_node', relation, privilege)
    AND NOT (privilege = 'INSERT' AND relation IN
        ('ledger_refusal', 'transfer', 'event', 'quote', 'top_up'))
"""

# A number is never given out twice.
NUMBERS: Final = """
SELECT '0x' || encode(t.contract, 'hex') AS subject,
    'the next number is above ' || max(t.payment_number) AS expected,
    coalesce(c.next_number::text, 'none') AS actual, 'chain ' || t.chain_id AS evidence
FROM transfer t LEFT JOIN settlement_contract c
    ON c.chain_id = t.chain_id AND c.address = t.contract
GROUP BY t.chain_id, t.contract, c.next_number
HAVING (max(t.payment_number) < c.next_number) IS NOT TRUE
"""

MEMBERS: Final = """
SELECT m.transfer_id AS subject,
    concat_ws(' ', t.payment_number, 'to', '0x' || encode(t.beneficiary_address, 'hex'),
        t.buy_amount, 'by', '0x' || encode(t.contract, 'hex')) AS expected,
    concat_ws(' ', m.payment_number, 'to', '0x' || encode(m.beneficiary, 'hex'), m.amount,
        'by', '0x' || encode(m.contract, 'hex')) AS actual,
    'place ' || m.position || ' of batch ' || m.slot_id AS evidence
FROM slot_member m LEFT JOIN transfer t ON t.id = m.transfer_id
WHERE m.purpose = 'settle' AND (t.payment_number, t.beneficiary_address, t.buy_amount, t.contract)
    IS DISTINCT FROM (m.payment_number, m.beneficiary, m.amount, m.contract)
"""
