"""The first schema: parties, ledger, quotes, transfers, settlement, mirror, reconciliation.

Plain SQL, because most of what protects money here (statement triggers over transition tables,
CHECKs that count holds, partial unique indexes) has no other spelling. Amounts of the ledger are
BIGINT minor units; raw chain amounts (uint256) are NUMERIC(78, 0). Addresses and hashes are BYTEA.

Lock order of every transaction: ledger head, lane, slot, transfer, event.
"""

import re

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PARTIES = """
CREATE TABLE partner (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE customer (
    id uuid PRIMARY KEY,
    partner_id uuid REFERENCES partner,          -- NULL: a customer of the node itself
    name text NOT NULL,
    country text NOT NULL,
    email text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX customer_by_age ON customer (created_at DESC, id DESC);
CREATE INDEX customer_by_partner ON customer (partner_id, created_at DESC, id DESC);
CREATE TABLE credential (
    id uuid PRIMARY KEY,
    secret_hash bytea NOT NULL UNIQUE,           -- SHA-256 of 256 random bits
    role text NOT NULL CHECK (role IN ('remitter', 'partner', 'operator')),
    partner_id uuid REFERENCES partner,
    customer_id uuid REFERENCES customer,
    name text NOT NULL,                          -- an operator's name is its identity
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    CHECK ((role = 'partner') = (partner_id IS NOT NULL)),
    CHECK ((role = 'remitter') = (customer_id IS NOT NULL))
);
CREATE TABLE idempotency (
    principal text NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,                 -- of the parsed body
    status smallint NOT NULL,
    body bytea NOT NULL,
    location text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, method, path, key)
);
"""

LEDGER = """
-- One row. Its lock is the lock of the ledger: it is held for one batch, through the commit, so
-- that batches and ledger transactions are numbered without gaps in commit order.
CREATE TABLE ledger (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    batch bigint NOT NULL DEFAULT 0,             -- number of the newest batch
    sequence bigint NOT NULL DEFAULT 0           -- of the newest ledger transaction or resolution
);
INSERT INTO ledger DEFAULT VALUES;

-- RFC 9562 version 7: 48 bits of Unix time in ms before random bits. (Native only from
-- PostgreSQL 18 on.)
CREATE FUNCTION uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_bit(set_bit(overlay(
        uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
        FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;

CREATE TABLE account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id uuid NOT NULL UNIQUE DEFAULT uuid_v7(),
    path text NOT NULL UNIQUE,                   -- customer/cus_.../EUR
    kind text NOT NULL CHECK (kind IN ('asset', 'liability', 'equity', 'income', 'expense')),
    asset text NOT NULL,
    floor bigint,                                -- least available balance; NULL: either sign
    debits_pending bigint NOT NULL DEFAULT 0 CHECK (debits_pending >= 0),
    debits_posted bigint NOT NULL DEFAULT 0 CHECK (debits_posted >= 0),
    credits_pending bigint NOT NULL DEFAULT 0 CHECK (credits_pending >= 0),
    credits_posted bigint NOT NULL DEFAULT 0 CHECK (credits_posted >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT available_not_below_floor CHECK (
        floor IS NULL
        OR floor <= CASE WHEN kind IN ('asset', 'expense')
            THEN debits_posted - credits_posted - credits_pending
            ELSE credits_posted - debits_posted - debits_pending END)
);

CREATE TABLE ledger_transaction (
    sequence bigint PRIMARY KEY,                 -- gap-free, in commit order
    batch bigint NOT NULL,
    key text NOT NULL UNIQUE,                    -- books at most once
    kind text NOT NULL,
    pending boolean NOT NULL,
    transfer_id uuid,
    detail jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()  -- under the lock: in order
);
CREATE INDEX ledger_transaction_by_transfer ON ledger_transaction (transfer_id)
    WHERE transfer_id IS NOT NULL;

CREATE TABLE entry (
    id bigint PRIMARY KEY,                       -- sequence * 1000 + position
    sequence bigint NOT NULL,                    -- held to ledger_transaction by moves_counters
    debit_account_id bigint NOT NULL,
    credit_account_id bigint NOT NULL,
    asset text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0 AND amount < 4611686018427387904),
    CHECK (debit_account_id <> credit_account_id)
);
CREATE INDEX entry_by_sequence ON entry (sequence);
CREATE INDEX entry_by_debit_account ON entry (debit_account_id, id);
CREATE INDEX entry_by_credit_account ON entry (credit_account_id, id);

-- A pending ledger transaction ends once, as a whole, by one row here.
CREATE TABLE ledger_resolution (
    pending_sequence bigint PRIMARY KEY REFERENCES ledger_transaction,
    sequence bigint NOT NULL UNIQUE,             -- from the same counter as ledger transactions
    batch bigint NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('posted', 'voided')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are never changed or deleted; book a correction instead', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transaction
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_resolution
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Counters move with entries and with nothing else.
CREATE FUNCTION refuse_direct_counters() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'balances are derived from entries; post entries instead'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER counters_follow_entries BEFORE UPDATE OR DELETE OR TRUNCATE ON account
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_direct_counters();
CREATE FUNCTION refuse_opening_counters() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an account opens empty' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER opens_empty BEFORE INSERT ON account FOR EACH ROW
    WHEN (NEW.debits_pending + NEW.debits_posted + NEW.credits_pending + NEW.credits_posted <> 0)
    EXECUTE FUNCTION refuse_opening_counters();

-- Its plans are kept; made on empty tables they would read whole indexes later. A batch is small.
CREATE FUNCTION entries_move_counters() RETURNS trigger LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    expected bigint;
    moved bigint;
BEGIN
    IF EXISTS (SELECT FROM new_entry e LEFT JOIN ledger_transaction t USING (sequence)
               WHERE t.sequence IS NULL)
    THEN
        RAISE EXCEPTION 'an entry belongs to a ledger transaction'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF EXISTS (SELECT FROM new_entry e JOIN ledger_resolution r ON r.pending_sequence = e.sequence)
    THEN
        RAISE EXCEPTION 'a resolved ledger transaction takes no more entries'
            USING ERRCODE = 'restrict_violation';
    END IF;
    WITH side AS (
        SELECT e.debit_account_id AS account_id, e.asset, t.pending, e.amount AS debit,
               0::bigint AS credit
        FROM new_entry e JOIN ledger_transaction t USING (sequence)
        UNION ALL
        SELECT e.credit_account_id, e.asset, t.pending, 0, e.amount
        FROM new_entry e JOIN ledger_transaction t USING (sequence)
    ), delta AS (
        SELECT account_id, asset,
               sum(CASE WHEN pending THEN debit ELSE 0 END)::bigint AS debits_pending,
               sum(CASE WHEN pending THEN 0 ELSE debit END)::bigint AS debits_posted,
               sum(CASE WHEN pending THEN credit ELSE 0 END)::bigint AS credits_pending,
               sum(CASE WHEN pending THEN 0 ELSE credit END)::bigint AS credits_posted
        FROM side GROUP BY account_id, asset
    ), update_account AS (
        UPDATE account a SET
            debits_pending = a.debits_pending + d.debits_pending,
            debits_posted = a.debits_posted + d.debits_posted,
            credits_pending = a.credits_pending + d.credits_pending,
            credits_posted = a.credits_posted + d.credits_posted
        FROM delta d WHERE a.id = d.account_id AND a.asset = d.asset
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM delta), (SELECT count(*) FROM update_account)
    INTO expected, moved;
    IF moved <> expected THEN
        RAISE EXCEPTION 'an entry names an account that does not exist or holds another asset'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER moves_counters AFTER INSERT ON entry REFERENCING NEW TABLE AS new_entry
    FOR EACH STATEMENT EXECUTE FUNCTION entries_move_counters();

-- Its plans are kept; made on empty tables they would read whole indexes later. A batch is small.
CREATE FUNCTION resolutions_move_counters() RETURNS trigger LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    IF EXISTS (SELECT FROM new_resolution r
               JOIN ledger_transaction t ON t.sequence = r.pending_sequence WHERE NOT t.pending)
    THEN
        RAISE EXCEPTION 'only a pending ledger transaction is posted or voided'
            USING ERRCODE = 'restrict_violation';
    END IF;
    WITH resolved AS (
        SELECT e.debit_account_id, e.credit_account_id, e.amount, r.outcome = 'posted' AS posted
        FROM new_resolution r JOIN entry e ON e.sequence = r.pending_sequence
    ), side AS (
        SELECT debit_account_id AS account_id, posted, amount AS debit, 0::bigint AS credit
        FROM resolved
        UNION ALL
        SELECT credit_account_id, posted, 0, amount FROM resolved
    ), delta AS (
        SELECT account_id, sum(debit)::bigint AS debits, sum(credit)::bigint AS credits,
               sum(CASE WHEN posted THEN debit ELSE 0 END)::bigint AS debits_posted,
               sum(CASE WHEN posted THEN credit ELSE 0 END)::bigint AS credits_posted
        FROM side GROUP BY account_id
    )
    UPDATE account a SET
        debits_pending = a.debits_pending - d.debits,
        credits_pending = a.credits_pending - d.credits,
        debits_posted = a.debits_posted + d.debits_posted,
        credits_posted = a.credits_posted + d.credits_posted
    FROM delta d WHERE a.id = d.account_id;
    RETURN NULL;
END $$;
CREATE TRIGGER moves_counters AFTER INSERT ON ledger_resolution
    REFERENCING NEW TABLE AS new_resolution
    FOR EACH STATEMENT EXECUTE FUNCTION resolutions_move_counters();
"""

TRANSFERS = """
CREATE TABLE top_up (
    id uuid PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES customer,
    asset text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    rail text NOT NULL,
    reference text NOT NULL,
    funded_by text NOT NULL CHECK (funded_by IN ('bank', 'partner')),
    made_by text NOT NULL,                       -- principal
    ledger_sequence bigint NOT NULL REFERENCES ledger_transaction,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (rail, reference)
);

CREATE TABLE quote (
    id uuid PRIMARY KEY,
    maker text NOT NULL,                         -- principal that asked
    customer_id uuid REFERENCES customer,        -- only this customer's transfer consumes it
    fixed_side text NOT NULL CHECK (fixed_side IN ('sell', 'buy')),
    sell_asset text NOT NULL,
    sell_digits smallint NOT NULL,               -- of the minor unit
    sell_amount bigint NOT NULL CHECK (sell_amount > 0),
    buy_asset text NOT NULL,
    buy_digits smallint NOT NULL,
    buy_amount bigint NOT NULL CHECK (buy_amount > 0),
    service_fee bigint NOT NULL CHECK (service_fee >= 0),
    network_fee bigint NOT NULL CHECK (network_fee >= 0),
    mid_rate numeric NOT NULL CHECK (mid_rate > 0),
    spread_bps smallint NOT NULL CHECK (spread_bps BETWEEN 0 AND 9999),
    rate_sources jsonb NOT NULL,
    payout_method text NOT NULL,
    estimated_delivery_s integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    transfer_id uuid UNIQUE                      -- set once, by the transfer that consumes it
);
CREATE INDEX quote_open_by_maker ON quote (maker, expires_at)
    WHERE transfer_id IS NULL AND revoked_at IS NULL;

CREATE TABLE settlement_contract (
    chain_id bigint NOT NULL,
    address bytea NOT NULL CHECK (length(address) = 20),
    next_number bigint NOT NULL DEFAULT 1,       -- one counter per contract
    PRIMARY KEY (chain_id, address)
);

CREATE TABLE transfer (
    id uuid PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,          -- equals the sequence of its newest event
    state text NOT NULL,
    customer_id uuid NOT NULL REFERENCES customer,
    owner text NOT NULL,                         -- principal; scope of client_reference
    quote_id uuid NOT NULL UNIQUE REFERENCES quote,   -- two transfers for one quote: impossible
    client_reference text,
    purpose text,
    beneficiary jsonb NOT NULL,                  -- name, country, address as given
    beneficiary_address bytea NOT NULL CHECK (length(beneficiary_address) = 20),
    sell_asset text NOT NULL,
    sell_amount bigint NOT NULL CHECK (sell_amount > 0),
    service_fee bigint NOT NULL CHECK (service_fee >= 0),
    network_fee bigint NOT NULL CHECK (network_fee >= 0),
    spread_amount bigint NOT NULL CHECK (spread_amount >= 0),
    buy_asset text NOT NULL,
    buy_amount bigint NOT NULL CHECK (buy_amount > 0),
    chain_id bigint NOT NULL,
    contract bytea NOT NULL,
    payment_number bigint NOT NULL,
    pending_sequence bigint NOT NULL UNIQUE REFERENCES ledger_transaction,
    slot_id uuid,                                -- the written batch it is in, if any is live
    was_written boolean NOT NULL DEFAULT false,  -- ever a member of a written batch
    batches_failed smallint NOT NULL DEFAULT 0,
    void_outcome text CHECK (void_outcome IN ('canceled', 'failed', 'expired')),
    waiting_code text,
    waiting_since timestamptz,
    tx_hash bytea,
    block_number bigint,
    failure jsonb,                               -- {code, message}
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    settle_by timestamptz NOT NULL,
    UNIQUE (chain_id, contract, payment_number)
);
CREATE UNIQUE INDEX transfer_reference ON transfer (owner, client_reference)
    WHERE client_reference IS NOT NULL;
CREATE INDEX transfer_by_age ON transfer (created_at DESC, id DESC);
CREATE INDEX transfer_by_customer ON transfer (customer_id, created_at DESC, id DESC);
CREATE INDEX transfer_to_batch ON transfer (chain_id, contract, created_at, id)
    WHERE state = 'funded' AND slot_id IS NULL;
CREATE INDEX transfer_open ON transfer (chain_id, state) WHERE state NOT IN
    ('settled', 'paid_out', 'canceled', 'failed', 'expired', 'refunded');
CREATE INDEX transfer_voiding ON transfer (chain_id, contract, created_at, id)
    WHERE state = 'voiding';

-- Sequences are taken under one advisory lock held to the commit: a lower one never appears late.
CREATE TABLE event (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    object text NOT NULL,                        -- transfer
    object_id uuid NOT NULL,
    object_sequence integer NOT NULL,            -- from 1 per object
    type text NOT NULL,                          -- transfer.submitted
    state text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    occurred_at timestamptz NOT NULL DEFAULT now(),
    customer_id uuid,
    UNIQUE (object_id, object_sequence)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

SETTLEMENT = """
CREATE TABLE lane (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain_id bigint NOT NULL,
    address bytea NOT NULL CHECK (length(address) = 20),
    next_nonce bigint NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'ahead', 'stopped')),
    status_reason text,
    epoch bigint NOT NULL DEFAULT 0,             -- every write of a holder names the epoch it took
    lease_owner text,
    lease_until timestamptz,
    UNIQUE (chain_id, address)
);

-- One nonce of one lane: a batch of payments, a batch of voids, a treasury movement or a filler.
CREATE TABLE slot (
    id uuid PRIMARY KEY,
    lane_id bigint NOT NULL REFERENCES lane,
    nonce bigint NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('settle', 'void', 'movement', 'noop')),
    state text NOT NULL DEFAULT 'written'
        CHECK (state IN ('written', 'submitted', 'unknown', 'included', 'final', 'foreign')),
    contract bytea,                              -- the settlement contract of settle and void
    to_address bytea NOT NULL,
    value_wei numeric(78, 0) NOT NULL DEFAULT 0,
    calldata bytea NOT NULL,
    gas_limit bigint NOT NULL,
    members integer NOT NULL DEFAULT 0,
    amount_total bigint NOT NULL DEFAULT 0,      -- token units that leave the float
    included_block_hash bytea,
    included_block_number bigint,
    included_tx_hash bytea,
    succeeded boolean,                           -- receipt status, once included
    gas_used bigint,
    effective_gas_price_wei numeric(78, 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    final_at timestamptz,
    UNIQUE (lane_id, nonce)
);
CREATE INDEX slot_open ON slot (lane_id, nonce) WHERE state NOT IN ('final', 'foreign');

CREATE TABLE slot_member (
    slot_id uuid NOT NULL REFERENCES slot,
    position smallint NOT NULL,
    transfer_id uuid NOT NULL REFERENCES transfer,
    payment_number bigint NOT NULL,
    contract bytea NOT NULL,
    beneficiary bytea NOT NULL,
    amount bigint NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('settle', 'void')),
    live boolean NOT NULL DEFAULT true,          -- false once the slot's nonce is finally consumed
    PRIMARY KEY (slot_id, position),
    UNIQUE (slot_id, payment_number)
);
-- F2: while a slot that carries a number could still be mined, the number gets no second slot.
CREATE UNIQUE INDEX one_live_slot ON slot_member (contract, payment_number, purpose) WHERE live;
CREATE INDEX slot_member_by_transfer ON slot_member (transfer_id);
CREATE INDEX slot_member_by_number ON slot_member (contract, payment_number);

CREATE TABLE attempt (
    tx_hash bytea PRIMARY KEY,
    slot_id uuid NOT NULL REFERENCES slot,
    sequence smallint NOT NULL,
    raw bytea NOT NULL,                          -- stored before it is sent, and sent again
    max_fee_per_gas_wei numeric(78, 0) NOT NULL,
    max_priority_fee_per_gas_wei numeric(78, 0) NOT NULL,
    fee_source text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_sent_at timestamptz,
    sends integer NOT NULL DEFAULT 0,
    last_answer text,                            -- class of the newest answer to a send
    UNIQUE (slot_id, sequence)
);

CREATE TABLE movement (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('float_top_up', 'lane_gas', 'sweep', 'rescue')),
    from_address bytea NOT NULL,
    to_address bytea NOT NULL,
    asset text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    state text NOT NULL DEFAULT 'requested'
        CHECK (state IN ('requested', 'submitted', 'included', 'settled', 'failed')),
    slot_id uuid REFERENCES slot,
    made_by text NOT NULL,
    failure jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE pause (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reason text NOT NULL CHECK (reason IN
        ('operator', 'orphan_outbound', 'foreign_nonce', 'deep_reorg', 'float')),
    hard boolean NOT NULL DEFAULT false,
    note text,
    paused_by text NOT NULL,
    paused_at timestamptz NOT NULL DEFAULT now(),
    resumed_by text,
    resumed_at timestamptz
);
CREATE UNIQUE INDEX pause_open ON pause (reason) WHERE resumed_at IS NULL;
"""

MIRROR = """
CREATE TABLE chain_cursor (
    chain_id bigint PRIMARY KEY,
    start_number bigint NOT NULL,                -- opening balances are those of this block
    head_number bigint NOT NULL,
    head_hash bytea NOT NULL,
    final_number bigint NOT NULL,
    final_hash bytea NOT NULL,
    halted_reason text,
    moved_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE block (
    chain_id bigint NOT NULL,
    hash bytea NOT NULL,
    number bigint NOT NULL,
    parent_hash bytea NOT NULL,
    mined_at timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'seen' CHECK (status IN ('seen', 'final', 'orphaned')),
    PRIMARY KEY (chain_id, hash)
);
CREATE UNIQUE INDEX block_canonical ON block (chain_id, number) WHERE status <> 'orphaned';

-- Transfer logs of the token from or to an address of the node.
CREATE TABLE token_log (
    chain_id bigint NOT NULL,
    block_hash bytea NOT NULL,
    log_index integer NOT NULL,
    block_number bigint NOT NULL,
    tx_hash bytea NOT NULL,
    token bytea NOT NULL,
    from_address bytea NOT NULL,
    to_address bytea NOT NULL,
    amount numeric(78, 0) NOT NULL,
    status text NOT NULL DEFAULT 'seen' CHECK (status IN ('seen', 'final', 'orphaned')),
    cause text,                                  -- why it happened, once final
    ledger_sequence bigint REFERENCES ledger_transaction,
    PRIMARY KEY (chain_id, block_hash, log_index)
);
CREATE INDEX token_log_by_number ON token_log (chain_id, block_number) WHERE status <> 'orphaned';
CREATE INDEX token_log_by_tx ON token_log (tx_hash);
CREATE INDEX token_log_unexplained ON token_log (chain_id, block_number)
    WHERE status = 'final' AND (cause IS NULL OR cause = 'orphan_outbound');

-- Events of the settlement contract. Beneficiary and amount of Settled are those of its payout.
CREATE TABLE settlement_log (
    chain_id bigint NOT NULL,
    block_hash bytea NOT NULL,
    log_index integer NOT NULL,
    block_number bigint NOT NULL,
    tx_hash bytea NOT NULL,
    contract bytea NOT NULL,
    kind text NOT NULL CHECK (kind IN ('settled', 'failed', 'skipped', 'voided')),
    payment_number numeric(20, 0) NOT NULL,
    payout_log_index integer,                    -- of Settled: the token_log that paid it
    beneficiary bytea,
    amount numeric(78, 0),
    reason bytea,                                -- of Failed
    status text NOT NULL DEFAULT 'seen' CHECK (status IN ('seen', 'final', 'orphaned')),
    PRIMARY KEY (chain_id, block_hash, log_index)
);
CREATE INDEX settlement_log_by_number ON settlement_log (contract, payment_number)
    WHERE status <> 'orphaned';
CREATE INDEX settlement_log_by_block ON settlement_log (chain_id, block_number)
    WHERE status <> 'orphaned';

-- What each address of the node holds at the final block, in the chain's own units.
CREATE TABLE chain_holding (
    chain_id bigint NOT NULL,
    address bytea NOT NULL,
    asset text NOT NULL,
    amount numeric(78, 0) NOT NULL,              -- token units, or wei
    as_of_number bigint NOT NULL,
    PRIMARY KEY (chain_id, address, asset)
);

CREATE TABLE reconciliation_run (
    id uuid PRIMARY KEY,
    status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'completed', 'failed')),
    block_number bigint,
    block_hash bytea,
    checks jsonb NOT NULL DEFAULT '[]',          -- [{name, ok, expected, actual}]
    breaks_open integer,
    made_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz
);
CREATE TABLE reconciliation_break (
    id uuid PRIMARY KEY,
    code text NOT NULL,                          -- B01 ...
    fingerprint text NOT NULL,                   -- the same difference is one break
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    summary text NOT NULL,
    expected text NOT NULL,
    actual text NOT NULL,
    evidence jsonb NOT NULL DEFAULT '{}',
    next_action text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    resolved_by text,
    resolution jsonb                             -- {kind, reason, ledger_sequence}
);
CREATE UNIQUE INDEX break_open ON reconciliation_break (fingerprint) WHERE resolved_at IS NULL;
CREATE INDEX break_by_age ON reconciliation_break (first_seen_at DESC, id DESC);
"""


# A statement ends at a semicolon outside $$...$$; comments are dropped first. The driver prepares
# what it runs, and a prepared statement is one statement.
_COMMENT = re.compile(r"--[^\n]*")
_STATEMENT = re.compile(r"(?:\$\$.*?\$\$|[^;$])+;", re.DOTALL)


def upgrade() -> None:
    """Create everything."""
    for part in (PARTIES, LEDGER, TRANSFERS, SETTLEMENT, MIRROR):
        for statement in _STATEMENT.findall(_COMMENT.sub("", part)):
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Refuse: a ledger is not taken down by a migration."""
    raise NotImplementedError("the first schema has nothing before it")
