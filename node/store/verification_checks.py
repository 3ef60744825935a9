"""What else must agree with the ledger: transfers, quotes, top-ups, refusals. One query each.

A query answers the rows that differ: `subject` (an id of the check's kind, or text; NULL: the
evidence names it), `expected` (what the ledger or the other table says), `actual` (what the row
says) and `evidence`, where more is to be told. Reading the ledger itself is in
`node.store.verification`; guards, numbers and timelines are in the two modules beside. What no
check covers is listed in `node/docs/ledger_export.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from node.core.ids import Prefix
from node.store import verification_orders as orders
from node.store import verification_payouts as payouts
from node.store.verification_guards import GUARDS, MEMBERS, NUMBERS
from node.store.verification_partners import CREDIT_LINES, PREFUNDINGS
from node.store.verification_reorgs import HELD_KEY, REORGED, REORGS
from node.store.verification_timelines import (
    MOVES,
    ORIGINAL_NUMBER,
    PAYOUTS,
    RENUMBERED,
    TIMELINES,
    TOLD,
)


@dataclass(frozen=True, slots=True)
class Check:
    """One query.

    Attributes:
        meaning: What holds, in words.
        prefix: What a subject that is a UUID names.
    """

    meaning: str
    sql: str
    prefix: Prefix = Prefix.TRANSFER


OWNERS: Final = "owners"
"""Answers every pair there is: identifiers are written in base 32 outside the database."""

_KEYS: Final = """
SELECT 'key ' || coalesce(key, 'NULL') AS subject, 'booked once' AS expected,
    count(*) || ' times' AS actual,
    'sequences ' || string_agg(sequence::text, ', ' ORDER BY sequence) AS evidence
FROM ledger_transaction GROUP BY key HAVING count(*) > 1
"""

_ORPHANS: Final = """
SELECT concat('sequence ', sequence, ', entry ', position) AS subject,
    'a ledger transaction' AS expected, 'none' AS actual, concat_ws(' ', amount, asset) AS evidence
FROM entry e WHERE NOT EXISTS (SELECT FROM ledger_transaction t WHERE t.sequence = e.sequence)
"""

# The node refuses a key for these two reasons, in this form, and books it never after.
_REFUSALS: Final = """
SELECT 'key ' || r.key AS subject, 'booked or refused, not both' AS expected,
    'refused, and sequence ' || t.sequence AS actual, concat_ws(' ', r.code, r.detail) AS evidence
FROM ledger_refusal r JOIN ledger_transaction t ON t.key = r.key
UNION ALL
SELECT 'key ' || coalesce(key, 'NULL'), 'refused once', count(*) || ' times', NULL
FROM ledger_refusal GROUP BY key HAVING count(*) > 1 OR key IS NULL OR key = ''
UNION ALL
SELECT 'key ' || coalesce(key, 'NULL'), 'a refusal: digest of its content, a sentence, amounts',
    concat_ws(' ', coalesce(code, 'no code'), detail), NULL
FROM ledger_refusal WHERE (
    detail - '{content,sentence,context}'::text[] = '{}'
    AND detail ->> 'content' ~ '^[0-9a-f]{64}$'
    AND jsonb_typeof(detail -> 'sentence') = 'string'
    AND CASE code
        WHEN 'insufficient_funds' THEN (detail -> 'context') - 'available' = '{}'
            AND detail #>> '{context,available,amount}' ~ '^-?[0-9]+([.][0-9]+)?$'
        WHEN 'amount_out_of_range' THEN (detail -> 'context') - '{min,max}'::text[] = '{}'
            AND detail #>> '{context,min,amount}' ~ '^[0-9]+([.][0-9]+)?$'
            AND detail #>> '{context,max,amount}' ~ '^-?[0-9]+([.][0-9]+)?$'
        END
) IS NOT TRUE
"""

# The entries of a ledger transaction in one line: amount, debit and credit path of each.
_LEGS: Final = """
    SELECT e.sequence, min(d.path) FILTER (WHERE starts_with(d.path, 'customer/')) AS payer,
        min(d.path) AS first_debit, min(c.path) AS first_credit,
        string_agg(concat_ws(' ', e.amount, e.asset, d.path, c.path), ', ' ORDER BY e.position)
            AS booked
    FROM entry e LEFT JOIN account d ON d.id = e.debit_account_id
    LEFT JOIN account c ON c.id = e.credit_account_id
"""

_TRANSFER_MONEY: Final = f"""
WITH legs AS (
    {_LEGS} WHERE e.sequence IN (SELECT pending_sequence FROM transfer) GROUP BY e.sequence
), both_ways AS (
    SELECT t.id, t.pending_sequence, l.booked, concat_ws(', ',
        concat_ws(' ', sell_amount - service_fee - network_fee - spread_amount, sell_asset,
            l.payer, 'fx_position/' || sell_asset),
        CASE WHEN spread_amount <> 0 THEN concat_ws(' ', spread_amount, sell_asset, l.payer,
            'deferred/spread/' || sell_asset) END,
        CASE WHEN service_fee + network_fee <> 0 THEN concat_ws(' ', service_fee + network_fee,
            sell_asset, l.payer, 'deferred/fee/' || sell_asset) END,
        concat_ws(' ', buy_amount, buy_asset, 'fx_position/' || buy_asset,
            'in_flight/' || chain_id || '/' || buy_asset)) AS stored
    FROM transfer t LEFT JOIN legs l ON l.sequence = t.pending_sequence
)
SELECT id AS subject, coalesce(booked, 'no entries') AS expected, stored AS actual,
    'sequence ' || pending_sequence AS evidence
FROM both_ways WHERE booked IS DISTINCT FROM stored
"""  # noqa: S608 - constants

_TRANSFER_TERMS: Final = f"""
WITH both_ways AS (
    SELECT t.id, t.pending_sequence,
        concat_ws(' ', l.kind, l.key, l.transfer_id, l.pending, 'to', l.detail ->> 'beneficiary',
            'by', l.detail ->> 'contract', 'on', l.detail ->> 'chain_id',
            'as', l.detail ->> 'payment_number', 'at quote', l.detail ->> 'quote',
            l.detail ->> 'mid_rate', l.detail ->> 'spread_bps', 'until',
            l.detail ->> 'quote_expires_at', 'payout ' || (l.detail ->> 'payout')) AS booked,
        concat_ws(' ', 'transfer', {HELD_KEY}, t.id, true,
            'to', '0x' || encode(t.beneficiary_address, 'hex'),
            'by', '0x' || encode(t.contract, 'hex'), 'on', t.chain_id,
            'as', {ORIGINAL_NUMBER}, 'at quote', q.id, trim_scale(q.mid_rate), q.spread_bps,
            'until',
            to_char(q.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
            {orders.TERMS}) AS stored,
        lower(t.beneficiary ->> 'address') AS given,
        '0x' || encode(t.beneficiary_address, 'hex') AS paid
    FROM transfer t LEFT JOIN ledger_transaction l ON l.sequence = t.pending_sequence
    LEFT JOIN quote q ON q.id = t.quote_id
    LEFT JOIN payout_order o ON o.quote_id = t.quote_id
    LEFT JOIN partner_quote g ON g.quote_id = t.quote_id
)
SELECT id AS subject, booked AS expected, stored AS actual,
    'sequence ' || pending_sequence AS evidence
FROM both_ways WHERE booked IS DISTINCT FROM stored
UNION ALL
SELECT id, 'to ' || paid, 'to ' || coalesce(given, 'nobody'), 'the address as it was given'
FROM both_ways WHERE given IS DISTINCT FROM paid
UNION ALL
SELECT l.transfer_id, 'a transfer', 'none', 'sequence ' || l.sequence || ', key ' || l.key
FROM ledger_transaction l WHERE starts_with(l.key, 'transfer:')
    AND NOT EXISTS (SELECT FROM transfer t WHERE t.pending_sequence = l.sequence)
    AND NOT EXISTS (SELECT FROM reorg_transfer x
        WHERE x.old_pending = l.sequence AND x.transfer_id = l.transfer_id)
"""  # noqa: S608 - constants

_TRANSFER_ENDS: Final = """
WITH both_ways AS (
    SELECT t.id, t.state, t.pending_sequence, coalesce(r.outcome, 'pending') AS booked,
        CASE WHEN t.state IN ('settled', 'paid_out') THEN 'posted'
             WHEN t.state IN ('canceled', 'failed', 'expired', 'refunded') THEN 'voided'
             ELSE 'pending' END AS stored
    FROM transfer t LEFT JOIN ledger_resolution r ON r.pending_sequence = t.pending_sequence
)
SELECT id AS subject, booked AS expected, stored AS actual,
    'sequence ' || pending_sequence || ', the transfer is ' || coalesce(state, 'NULL') AS evidence
FROM both_ways WHERE booked <> stored OR state IS NULL
"""

_QUOTED: Final = """
WITH both_ways AS (
    SELECT t.id, t.quote_id,
        concat_ws(' ', q.sell_amount, q.sell_asset, 'fees', q.service_fee, q.network_fee, 'spread',
            div((q.sell_amount - q.service_fee - q.network_fee)::numeric * q.spread_bps, 10000),
            'for', q.buy_amount, q.buy_asset, 'by', q.transfer_id, 'of', q.maker, 'for customer',
            coalesce(q.customer_id, t.customer_id),
            CASE WHEN q.revoked_at IS NOT NULL OR q.revoked_reason IS NOT NULL THEN 'revoked'
                 WHEN (t.created_at < q.expires_at) IS NOT TRUE THEN 'expired' END) AS quoted,
        concat_ws(' ', t.sell_amount, t.sell_asset, 'fees', t.service_fee, t.network_fee, 'spread',
            t.spread_amount, 'for', t.buy_amount, t.buy_asset, 'by', t.id, 'of', t.owner,
            'for customer', t.customer_id) AS stored
    FROM transfer t LEFT JOIN quote q ON q.id = t.quote_id
)
SELECT id AS subject, quoted AS expected, stored AS actual, 'quote ' || quote_id AS evidence
FROM both_ways WHERE quoted IS DISTINCT FROM stored
UNION ALL
SELECT q.transfer_id, 'a transfer or payout at quote ' || q.id, 'none', NULL
FROM quote q WHERE q.transfer_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM transfer t WHERE t.id = q.transfer_id AND t.quote_id = q.id)
    AND NOT EXISTS (SELECT FROM payout p WHERE p.id = q.transfer_id AND p.quote_id = q.id)
UNION ALL
SELECT transfer_id, 'one quote', count(*) || ' rows', NULL
FROM quote WHERE transfer_id IS NOT NULL GROUP BY transfer_id HAVING count(*) > 1
"""

# Exact: both sides of floor(principal x rate) = buy are multiplied out. Of a fixed buy the sell
# amount is the least that buys it, unless the corridor's minimum buys just that.
_PRICES: Final = """
WITH priced AS (
    SELECT *, sell_amount - service_fee - network_fee AS principal,
        mid_rate * (10000 - spread_bps) * ('1e' || buy_digits)::numeric AS numerator,
        10000 * ('1e' || sell_digits)::numeric AS denominator
    FROM quote
), bought AS (
    SELECT *, div(principal * numerator, denominator) AS buys,
        div((principal - 1) * numerator, denominator) AS less_buys FROM priced
)
SELECT id AS subject, principal || ' at ' || trim_scale(mid_rate) || ' less ' || spread_bps
        || ' bps buys ' || buys AS expected,
    buy_amount || ' (fixed: ' || fixed_side || ')' AS actual, NULL AS evidence
FROM bought WHERE (buys = buy_amount
    OR fixed_side = 'buy' AND buys > buy_amount AND less_buys < buy_amount) IS NOT TRUE
"""

# The top-up that a key names.
_KEY_ID: Final = """
    CASE WHEN key ~ '^top_up:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
         THEN substr(key, 8)::uuid END
"""
_TOP_UPS: Final = f"""
WITH legs AS (
    {_LEGS} WHERE e.sequence IN (SELECT ledger_sequence FROM top_up) GROUP BY e.sequence
), both_ways AS (
    SELECT t.id, t.ledger_sequence, l.key,
        jsonb_build_array(l.kind, l.key, l.pending, l.detail ->> 'rail',
            l.detail ->> 'reference', g.booked)::text AS booked,
        jsonb_build_array('top_up', 'top_up:' || t.id, false, t.rail, t.reference,
            concat_ws(' ', t.amount, t.asset,
                CASE WHEN t.funded_by = 'bank' THEN 'bank/' || t.rail || '/' || t.asset
                     WHEN t.funded_by = 'partner' AND g.first_debit LIKE 'partner/%/' || t.asset
                     THEN g.first_debit ELSE t.funded_by || '/.../' || t.asset END,
                CASE WHEN g.first_credit LIKE 'customer/%/' || t.asset THEN g.first_credit
                     ELSE 'customer/.../' || t.asset END))::text AS stored
    FROM top_up t LEFT JOIN ledger_transaction l ON l.sequence = t.ledger_sequence
    LEFT JOIN legs g ON g.sequence = t.ledger_sequence
)
SELECT coalesce(id, {_KEY_ID}) AS subject, booked AS expected, stored AS actual,
    'sequence ' || ledger_sequence AS evidence
FROM both_ways WHERE booked IS DISTINCT FROM stored
UNION ALL
SELECT {_KEY_ID}, 'a top-up of key ' || key, 'none', 'sequence ' || sequence
FROM ledger_transaction l WHERE starts_with(key, 'top_up:')
    AND NOT EXISTS (SELECT FROM top_up t WHERE t.ledger_sequence = l.sequence)
UNION ALL
SELECT min(id::text)::uuid, 'one top-up', count(*) || ' rows', 'sequence ' || ledger_sequence
FROM top_up GROUP BY ledger_sequence HAVING count(*) > 1
"""  # noqa: S608 - constants

# A transfer's first entry and a top-up's only one name the customer's account.
_OWNERS: Final = """
SELECT kind, min(subject) AS subject, customer_id, path AS actual, asset,
    'one of ' || count(*) AS evidence
FROM (
    SELECT 'transfer' AS kind, t.id::text AS subject, t.customer_id, d.path, t.sell_asset AS asset
    FROM transfer t JOIN entry e ON e.sequence = t.pending_sequence AND e.position = 0
    LEFT JOIN account d ON d.id = e.debit_account_id
    UNION ALL
    SELECT 'top_up', t.id::text, t.customer_id, c.path, t.asset
    FROM top_up t JOIN entry e ON e.sequence = t.ledger_sequence AND e.position = 0
    LEFT JOIN account c ON c.id = e.credit_account_id
) named GROUP BY kind, customer_id, path, asset
"""

_IN_FLIGHT: Final = """
WITH open AS (
    SELECT 'in_flight/' || chain_id || '/' || buy_asset AS path, sum(buy_amount) AS total
    FROM transfer WHERE state NOT IN
        ('settled', 'paid_out', 'canceled', 'failed', 'expired', 'refunded')
    GROUP BY chain_id, buy_asset
), held AS (
    SELECT path, credits_pending AS total, credits_posted - debits_posted AS posted
    FROM account WHERE path LIKE 'in_flight/%'
)
SELECT coalesce(o.path, h.path) AS subject, coalesce(o.total, 0) || '/0' AS expected,
    coalesce(h.total, 0) || '/' || coalesce(h.posted, 0) AS actual,
    'pending credits/posted balance' AS evidence
FROM open o FULL JOIN held h ON h.path = o.path
WHERE coalesce(o.total, 0) <> coalesce(h.total, 0) OR coalesce(h.posted, 0) <> 0
"""

CHECKS: Final[Mapping[str, Check]] = {
    "guards": Check(
        "the triggers and the limit that hold the ledger are on, and the node's role may write its"
        " tables by no other way",
        GUARDS,
    ),
    "keys": Check("every key is booked once", _KEYS),
    "orphans": Check("every entry belongs to a ledger transaction", _ORPHANS),
    "refusals": Check("no key is both refused and booked, and refusals have their form", _REFUSALS),
    "transfer_money": Check(
        "the entries of every transfer are its integers (sell, fees, spread, buy)", _TRANSFER_MONEY
    ),
    "transfer_terms": Check(
        "the ledger names beneficiary, contract, payment number and quote of every transfer, and"
        " there is a transfer for every promise",
        _TRANSFER_TERMS,
    ),
    "transfer_ends": Check(
        "money is posted exactly for paid transfers and given back for the others that ended",
        _TRANSFER_ENDS,
    ),
    "quoted": Check(
        "what was quoted is what is delivered, fee by fee, and to whoever it was quoted", _QUOTED
    ),
    "prices": Check("the amounts of every quote follow from its mid rate", _PRICES, Prefix.QUOTE),
    "top_ups": Check(
        "every top-up is its ledger transaction, and the other way round", _TOP_UPS, Prefix.TOP_UP
    ),
    "credit_lines": Check(
        "every account has the credit line of its partner, and was never further below its floor"
        " than the highest there was",
        CREDIT_LINES,
    ),
    "prefundings": Check(
        "every prefunding is its ledger transaction, and the other way round",
        PREFUNDINGS,
        Prefix.PREFUNDING,
    ),
    OWNERS: Check("transfers and top-ups move the money of their own customer", _OWNERS),
    "in_flight": Check(
        "open payouts are the pending credits of in_flight, which holds nothing posted", _IN_FLIGHT
    ),
    "payouts": Check(
        "what the ledger booked of every paid batch is the sum of the transfers paid by it", PAYOUTS
    ),
    "partner_legs": Check(
        "what a quote buys is what its partner sells on, for as long as the partner is bound",
        orders.LEGS,
        Prefix.QUOTE,
    ),
    "payout_orders": Check(
        "what partners pay out was registered with them, and is paid where they said", orders.ORDERS
    ),
    "payout_corrections": Check(
        "whom partners paid other than as it was ordered is whom they were told", orders.CORRECTED
    ),
    "partner_payouts": Check(
        "what partners confirmed or gave back is booked for each of their transfers, once",
        orders.ENDED,
    ),
    "partner_clearing": Check(
        "partners hold the transfers that they were paid and have not ended", orders.HELD
    ),
    "numbers": Check("the next payment number of a contract is a new one", NUMBERS),
    "members": Check("what a batch on chain pays is what its transfers say", MEMBERS),
    "timelines": Check("every transfer's timeline is complete and ends in its state", TIMELINES),
    "moves": Check("every line of a timeline is a move that transfers have", MOVES),
    "renumbered": Check(
        "a payment number changed only where the chain had used it, step by step, as it was told",
        RENUMBERED,
    ),
    "reorgs": Check(
        "a final block is undone by two operators, and all that was booked from it is reversed",
        REORGS,
    ),
    "reorged": Check(
        "what is settled no more was posted, is reversed and held again by an accepted reorg",
        REORGED,
    ),
    "payout_money": Check(
        "what every payout for a partner books are its integers, out of what its deposit brought",
        payouts.MONEY,
        Prefix.PAYOUT,
    ),
    "payout_ends": Check(
        "local money is due exactly while it is neither confirmed nor given up",
        payouts.ENDS,
        Prefix.PAYOUT,
    ),
    "payout_quoted": Check(
        "payouts deliver what was quoted to their partner", payouts.QUOTED, Prefix.PAYOUT
    ),
    "payout_due": Check("what is due at rails is that of open payouts", payouts.DUE),
    "payout_timelines": Check(
        "timelines of payouts and refunds are complete and end in their states",
        payouts.TIMELINES,
        Prefix.PAYOUT,
    ),
    "refunds": Check(
        "every refund is set aside once, and paid back by a transfer of just as much, or put back",
        payouts.REFUNDS,
        Prefix.REFUND,
    ),
    "told": Check("timelines tell the payment number, and of the chain what the mirror has", TOLD),
}
"""By name, in the order they are made."""
