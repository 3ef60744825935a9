"""The first schema: parties, ledger, quotes, transfers, settlement, mirror, reconciliation.

Plain SQL, because most of what protects money here (statement triggers over transition tables,
CHECKs that count holds, partial unique indexes) has no other spelling. Amounts of the ledger are
BIGINT minor units; raw chain amounts (uint256) are NUMERIC(78, 0). Addresses and hashes are BYTEA.

Lock order of every transaction: ledger head, lane, slot, transfer, event.
"""

from node.store.migration import run

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
    sequence bigint NOT NULL DEFAULT 0,          -- of the newest ledger transaction or resolution
    hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (length(hash) = 32),
    moved_at timestamptz NOT NULL DEFAULT 'epoch'
);
INSERT INTO ledger DEFAULT VALUES;

-- What was booked together. The hash covers every row of the batch and the batch before it.
CREATE TABLE ledger_batch (
    number bigint PRIMARY KEY,
    first_sequence bigint NOT NULL,
    last_sequence bigint NOT NULL CHECK (last_sequence >= first_sequence),
    created_at timestamptz NOT NULL,             -- later than the batch before
    hash bytea NOT NULL CHECK (length(hash) = 32)
);
CREATE INDEX ledger_batch_by_time ON ledger_batch (created_at);

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
    kind text NOT NULL,                          -- kind, asset and floor follow from the path
    asset text NOT NULL,
    floor bigint,                                -- least available balance; NULL: either sign
    batch bigint NOT NULL,                       -- that opened it
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
) WITH (fillfactor = 70);                        -- room to move counters within the page
CREATE INDEX account_by_batch ON account (batch);

-- The chart of accounts: the first word of a path says the kind, the last one the asset.
CREATE FUNCTION account_follows_chart() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.kind := CASE split_part(NEW.path, '/', 1)
        WHEN 'customer' THEN 'liability'
        WHEN 'partner' THEN 'liability'
        WHEN 'bank' THEN 'asset'
        WHEN 'chain' THEN 'asset'
        WHEN 'in_flight' THEN 'liability'
        WHEN 'partner_clearing' THEN 'asset'
        WHEN 'payout_due' THEN 'liability'
        WHEN 'fx_position' THEN 'equity'
        WHEN 'deferred' THEN 'liability'
        WHEN 'income' THEN 'income'
        WHEN 'expense' THEN 'expense'
        WHEN 'suspense' THEN 'liability'
        WHEN 'capital' THEN 'equity'
        WHEN 'loss' THEN 'expense'
        WHEN 'rounding' THEN 'equity' END;
    IF NEW.kind IS NULL THEN
        RAISE EXCEPTION 'the chart of accounts has no %', NEW.path
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    NEW.asset := substring(NEW.path FROM '[^/]+$');
    NEW.floor := CASE WHEN split_part(NEW.path, '/', 1)
        IN ('customer', 'partner', 'chain', 'in_flight') THEN 0 END;
    IF NEW.debits_pending + NEW.debits_posted + NEW.credits_pending + NEW.credits_posted <> 0 THEN
        RAISE EXCEPTION 'an account opens empty' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER follows_chart BEFORE INSERT ON account
    FOR EACH ROW EXECUTE FUNCTION account_follows_chart();

CREATE TABLE ledger_transaction (
    sequence bigint PRIMARY KEY,                 -- gap-free, in commit order
    key text NOT NULL UNIQUE,                    -- books at most once
    kind text NOT NULL,
    pending boolean NOT NULL,
    transfer_id uuid,
    detail jsonb NOT NULL DEFAULT '{}',
    salt bytea,                                  -- of the hash of detail, so that it tells nothing
    created_at timestamptz NOT NULL              -- of the batch; so with resolutions
);
CREATE INDEX ledger_transaction_by_transfer ON ledger_transaction (transfer_id)
    WHERE transfer_id IS NOT NULL;

CREATE TABLE entry (
    sequence bigint NOT NULL,                    -- held to ledger_transaction by moves_counters
    position smallint NOT NULL CHECK (position BETWEEN 0 AND 998),
    debit_account_id bigint NOT NULL,
    credit_account_id bigint NOT NULL,
    asset text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0 AND amount < 4611686018427387904),
    PRIMARY KEY (sequence, position),
    CHECK (debit_account_id <> credit_account_id)
);
CREATE INDEX entry_by_debit_account ON entry (debit_account_id, sequence);
CREATE INDEX entry_by_credit_account ON entry (credit_account_id, sequence);

-- A pending ledger transaction ends once, as a whole, by one row here.
CREATE TABLE ledger_resolution (
    pending_sequence bigint PRIMARY KEY REFERENCES ledger_transaction,
    sequence bigint NOT NULL UNIQUE,             -- from the same counter as ledger transactions
    outcome text NOT NULL CHECK (outcome IN ('posted', 'voided')),
    created_at timestamptz NOT NULL
);

-- A key that was refused for the state of the books is refused again.
CREATE TABLE ledger_refusal (
    key text PRIMARY KEY,
    code text NOT NULL,
    detail jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Counters as of a sequence, of the accounts that moved since the checkpoint before. Derived.
CREATE TABLE ledger_checkpoint (
    sequence bigint PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE account_checkpoint (
    account_id bigint NOT NULL REFERENCES account,
    sequence bigint NOT NULL REFERENCES ledger_checkpoint,
    debits_pending bigint NOT NULL,
    debits_posted bigint NOT NULL,
    credits_pending bigint NOT NULL,
    credits_posted bigint NOT NULL,
    PRIMARY KEY (account_id, sequence)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are never changed or deleted; book a correction instead', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_batch
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transaction
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_resolution
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_refusal
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

-- What is hashed, in the format of node/docs/ledger_export.md: big-endian numbers, texts with
-- their length before them, times in microseconds since 1970. Never JSON.
CREATE FUNCTION hashed_text(value text) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT int4send(octet_length(convert_to(value, 'UTF8'))) || convert_to(value, 'UTF8')
$$;
CREATE FUNCTION hashed_flag(value boolean) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN value THEN '\\x01'::bytea ELSE '\\x00'::bytea END
$$;
CREATE FUNCTION hashed_time(value timestamptz) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT int8send((extract(epoch FROM value) * 1000000)::bigint)
$$;
CREATE VIEW account_record AS
SELECT batch, id, 'A'::bytea || int8send(id) || uuid_send(public_id) || hashed_text(path)
    || hashed_text(kind) || hashed_text(asset) || hashed_flag(floor IS NOT NULL)
    || int8send(coalesce(floor, 0)) || hashed_time(created_at) AS record
FROM account;
CREATE VIEW sequence_record AS
SELECT sequence, 'T'::bytea || int8send(sequence) || hashed_text(key) || hashed_text(kind)
    || hashed_flag(pending) || hashed_flag(transfer_id IS NOT NULL)
    || coalesce(uuid_send(transfer_id), decode(repeat('00', 16), 'hex'))
    || sha256(coalesce(salt, ''::bytea) || convert_to(detail::text, 'UTF8'))
    || hashed_time(created_at) || (
        SELECT int4send(count(*)::integer) || coalesce(string_agg(
            int2send(position) || int8send(debit_account_id) || int8send(credit_account_id)
            || int8send(amount) || hashed_text(asset), ''::bytea ORDER BY position), ''::bytea)
        FROM entry e WHERE e.sequence = t.sequence
    ) AS record
FROM ledger_transaction t
UNION ALL
SELECT sequence, 'R'::bytea || int8send(sequence) || int8send(pending_sequence)
    || hashed_flag(outcome = 'posted') || hashed_time(created_at)
FROM ledger_resolution;
CREATE FUNCTION ledger_hash(
    before bytea, number bigint, first_sequence bigint, last_sequence bigint, created timestamptz
) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256('corridor ledger 1'::bytea || before || int8send(number)
        || int8send(first_sequence) || int8send(last_sequence) || hashed_time(created)
        || int4send(count(*)::integer)
        || string_agg(int4send(length(record)) || record, ''::bytea ORDER BY part, place))
    FROM (
        SELECT 0 AS part, id AS place, record FROM account_record WHERE batch = number
        UNION ALL
        SELECT 1, sequence, record FROM sequence_record
        WHERE sequence BETWEEN first_sequence AND last_sequence
    ) AS hashed
$$;

-- The only way the node writes the ledger: one batch, numbered, booked and hashed under the lock.
-- Keys that are booked already keep their sequence and book nothing. Its plans are kept; made on
-- empty tables they would read whole indexes later. A batch is small.
CREATE FUNCTION ledger_post(
    keys text[], kinds text[], pendings boolean[], transfer_ids uuid[], details text[],
    paths text[],                                -- accounts that entries name by place, from 1
    owners integer[],                            -- place of the ledger transaction, from 1
    positions smallint[], debits integer[], credits integer[], assets text[], amounts bigint[],
    resolved bigint[], outcomes text[],
    OUT sequences bigint[]                       -- of the keys, in their order
) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    head ledger%ROWTYPE;
    now_at timestamptz;
    resolutions integer := cardinality(resolved);
    fresh integer;
    last bigint;
    ids bigint[];
    newest_hash bytea;
BEGIN
    SELECT * INTO STRICT head FROM ledger FOR UPDATE;
    SELECT coalesce(array_agg(coalesce(known, head.sequence + resolutions + place_among)
            ORDER BY place), '{}'), count(*) FILTER (WHERE known IS NULL)
    INTO sequences, fresh
    FROM (
        SELECT asked.place, t.sequence AS known,
            row_number() OVER (PARTITION BY t.sequence IS NULL ORDER BY asked.place) AS place_among
        FROM unnest(keys) WITH ORDINALITY AS asked (key, place)
        LEFT JOIN ledger_transaction t ON t.key = asked.key
    ) AS numbered;
    IF fresh + resolutions = 0 THEN
        RETURN;
    END IF;
    IF fresh <> (SELECT count(DISTINCT owner) FROM unnest(owners) AS e (owner)
                 WHERE sequences[owner] > head.sequence)
    THEN
        RAISE EXCEPTION 'a ledger transaction has entries' USING ERRCODE = 'restrict_violation';
    END IF;
    head.batch := head.batch + 1;
    last := head.sequence + resolutions + fresh;
    now_at := greatest(clock_timestamp(), head.moved_at + interval '1 microsecond');

    INSERT INTO account (path, batch, created_at)
    SELECT path, head.batch, now_at FROM unnest(paths) WITH ORDINALITY AS named (path, place)
    WHERE NOT EXISTS (SELECT FROM account a WHERE a.path = named.path) ORDER BY path;
    SELECT array_agg(a.id ORDER BY named.place) INTO ids
    FROM unnest(paths) WITH ORDINALITY AS named (path, place)
    LEFT JOIN account a ON a.path = named.path;

    INSERT INTO ledger_resolution (pending_sequence, sequence, outcome, created_at)
    SELECT pending_sequence, head.sequence + place, outcome, now_at
    FROM unnest(resolved, outcomes) WITH ORDINALITY AS new (pending_sequence, outcome, place);

    INSERT INTO ledger_transaction
        (sequence, key, kind, pending, transfer_id, detail, salt, created_at)
    SELECT sequences[place], key, kind, pending, transfer_id, detail::jsonb,
        CASE WHEN detail <> '{}' THEN uuid_send(gen_random_uuid()) END, now_at
    FROM unnest(keys, kinds, pendings, transfer_ids, details)
        WITH ORDINALITY AS new (key, kind, pending, transfer_id, detail, place)
    WHERE sequences[place] > head.sequence;

    INSERT INTO entry (sequence, position, debit_account_id, credit_account_id, asset, amount)
    SELECT sequences[owner], position, ids[debit], ids[credit], asset, amount
    FROM unnest(owners, positions, debits, credits, assets, amounts)
        AS new (owner, position, debit, credit, asset, amount)
    WHERE sequences[owner] > head.sequence;

    newest_hash := ledger_hash(head.hash, head.batch, head.sequence + 1, last, now_at);
    INSERT INTO ledger_batch (number, first_sequence, last_sequence, created_at, hash)
    VALUES (head.batch, head.sequence + 1, last, now_at, newest_hash);
    UPDATE ledger SET batch = head.batch, sequence = last, hash = newest_hash, moved_at = now_at;
END $$;
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
    revoked_reason text,
    transfer_id uuid UNIQUE,                     -- set once, by the transfer that consumes it
    CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL)),
    CHECK (revoked_at IS NULL OR transfer_id IS NULL)
);
CREATE INDEX quote_open ON quote (expires_at)
    INCLUDE (maker, sell_asset, sell_amount, buy_asset, buy_amount)
    WHERE transfer_id IS NULL AND revoked_at IS NULL;
-- One number for each who held the lock of making quotes: who has the next one after its own knows
-- that nobody was there in between, and what it counted then still bounds what is open.
CREATE SEQUENCE quote_turn;

-- While one is open, no quote that names the currency is made.
CREATE TABLE quoting_halt (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    currency text,                               -- NULL: every one
    reason text NOT NULL CHECK (reason IN ('operator', 'jump')),
    note text,
    halted_by text NOT NULL,
    halted_at timestamptz NOT NULL DEFAULT now(),
    resumed_by text,
    resumed_at timestamptz,
    accepted jsonb                               -- after a jump: {"EUR/USDC": "1.31"}, mid rates
);
CREATE UNIQUE INDEX quoting_halt_open ON quoting_halt (coalesce(currency, ''), reason)
    WHERE resumed_at IS NULL;

-- What the next mid rate of a pair is compared with, by every process, also after a restart.
CREATE TABLE trusted_mid (
    sell text NOT NULL,
    buy text NOT NULL,
    mid numeric NOT NULL CHECK (mid > 0),        -- the last one that was trusted
    since timestamptz NOT NULL,                  -- when the level began; small moves begin no other
    accepted numeric CHECK (accepted > 0),       -- what an operator accepted then; NULL: believed
    trusted_at timestamptz NOT NULL,
    PRIMARY KEY (sell, buy)
);

CREATE TABLE settlement_contract (
    chain_id bigint NOT NULL,
    address bytea NOT NULL CHECK (length(address) = 20),
    next_number bigint NOT NULL DEFAULT 1,       -- one counter per contract
    token_code bytea,                            -- fingerprint of the code the token ran last
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
    role text NOT NULL DEFAULT 'settle'
        CHECK (role IN ('settle', 'treasury', 'pauser', 'rescuer')),
    balance_wei numeric(78, 0),                  -- as last seen, for operators
    cap_left numeric(20, 0),                     -- token units; NULL: never seen, or no cap
    seen_at timestamptz,
    UNIQUE (chain_id, address)
);

-- The settlement contract and its token as last seen at a block, for operators and their alerts.
CREATE TABLE contract_state (
    chain_id bigint NOT NULL,
    address bytea NOT NULL CHECK (length(address) = 20),
    block_number bigint NOT NULL,
    float_units numeric(78, 0) NOT NULL,
    cap_left numeric(20, 0),
    paused boolean NOT NULL,
    token_paused boolean NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chain_id, address)
);

-- One nonce of one lane: a batch of payments, a batch of voids, a treasury movement, a call of the
-- contract's administration, or a filler.
CREATE TABLE slot (
    id uuid PRIMARY KEY,
    lane_id bigint NOT NULL REFERENCES lane,
    nonce bigint NOT NULL,
    purpose text NOT NULL
        CHECK (purpose IN ('settle', 'void', 'movement', 'admin', 'noop', 'unknown')),
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
    adopted boolean NOT NULL DEFAULT false,      -- found on the chain, not written before it
    created_at timestamptz NOT NULL DEFAULT now(),
    final_at timestamptz
);
-- A slot that a stranger overtook shares its nonce with what adoption found there.
CREATE UNIQUE INDEX one_slot_per_nonce ON slot (lane_id, nonce) WHERE state <> 'foreign';
CREATE INDEX slot_open ON slot (lane_id, nonce) WHERE state NOT IN ('final', 'foreign');
CREATE INDEX slot_adopted ON slot (id) WHERE adopted;
CREATE INDEX slot_by_age ON slot (created_at DESC, id DESC);
CREATE INDEX slot_by_finality ON slot (final_at) WHERE state = 'final';
CREATE INDEX slot_by_final_block ON slot (included_block_number) WHERE state = 'final';

-- What is signed is what was written: a slot's call never changes, but for one that was never
-- signed, which may become a filler of its nonce.
CREATE FUNCTION slot_keeps_its_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.purpose <> 'noop' OR NEW.contract IS NOT NULL OR NEW.value_wei <> 0
        OR NEW.calldata <> ''::bytea OR NEW.members <> 0 OR NEW.amount_total <> 0
        OR NEW.to_address IS DISTINCT FROM (SELECT address FROM lane WHERE id = NEW.lane_id)
        OR EXISTS (SELECT FROM attempt WHERE slot_id = NEW.id)
    THEN
        RAISE EXCEPTION 'the call of a written slot never changes'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keeps_its_call BEFORE UPDATE ON slot FOR EACH ROW
    WHEN ((OLD.id, OLD.lane_id, OLD.nonce, OLD.purpose, OLD.contract, OLD.to_address,
           OLD.value_wei, OLD.calldata, OLD.gas_limit, OLD.members, OLD.amount_total)
        IS DISTINCT FROM
          (NEW.id, NEW.lane_id, NEW.nonce, NEW.purpose, NEW.contract, NEW.to_address,
           NEW.value_wei, NEW.calldata, NEW.gas_limit, NEW.members, NEW.amount_total))
    EXECUTE FUNCTION slot_keeps_its_call();

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
-- A number is free again only when its slot cannot pay it any more, and then for ever.
CREATE FUNCTION member_lives_until_decided() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.live OR EXISTS (SELECT FROM slot WHERE id = NEW.slot_id
        AND state NOT IN ('final', 'foreign') AND purpose <> 'noop')
    THEN
        RAISE EXCEPTION 'a number is free only when its slot is final, foreign or a no-op'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER lives_until_decided AFTER UPDATE ON slot_member FOR EACH ROW
    WHEN (OLD.live <> NEW.live) EXECUTE FUNCTION member_lives_until_decided();
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
    last_message text,                           -- words of the provider, where it refused
    UNIQUE (slot_id, sequence)
);

-- Tops up below a mark. No lane named: every lane that settles.
CREATE TABLE treasury_rule (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('float_top_up', 'lane_gas')),
    to_address bytea CHECK (length(to_address) = 20),
    asset text NOT NULL,
    mark bigint NOT NULL CHECK (mark > 0),       -- below it the rule acts
    fill_to bigint NOT NULL CHECK (fill_to > mark),
    daily_limit bigint NOT NULL CHECK (daily_limit > 0),  -- over any 86,400 s
    made_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_by text,
    ended_at timestamptz
);

CREATE TABLE movement (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('float_top_up', 'lane_gas', 'sweep', 'rescue')),
    sender bytea NOT NULL CHECK (length(sender) = 20),  -- whose key signs
    from_address bytea NOT NULL,
    to_address bytea NOT NULL,
    asset text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    state text NOT NULL DEFAULT 'requested'
        CHECK (state IN ('requested', 'submitted', 'included', 'settled', 'failed')),
    slot_id uuid REFERENCES slot,
    rule_id uuid REFERENCES treasury_rule,
    made_by text NOT NULL,
    waiting text,                                -- why a requested one is not sent yet
    failure jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX movement_requested ON movement (sender, created_at, id) WHERE state = 'requested';
CREATE INDEX movement_by_rule ON movement (rule_id, created_at) WHERE rule_id IS NOT NULL;
CREATE INDEX movement_under_way ON movement (created_at, id)
    WHERE state IN ('requested', 'submitted', 'included');
CREATE INDEX movement_by_age ON movement (created_at DESC, id DESC);
CREATE INDEX movement_by_slot ON movement (slot_id) WHERE slot_id IS NOT NULL;
CREATE INDEX treasury_rule_by_age ON treasury_rule (created_at DESC, id DESC);

-- What was found on the chain that the database did not know, and what an operator made of it.
CREATE TABLE adoption (
    id uuid PRIMARY KEY,
    lane_id bigint NOT NULL REFERENCES lane,
    first_nonce bigint NOT NULL,
    next_nonce bigint NOT NULL,                  -- the lane's, from then on
    detail jsonb NOT NULL,
    made_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- A transfer that was never written gets another number when the chain has used its own.
CREATE TABLE payment_number_change (
    transfer_id uuid NOT NULL REFERENCES transfer,
    old_number bigint NOT NULL,
    new_number bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (transfer_id, old_number)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payment_number_change
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE FUNCTION transfer_keeps_its_number() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.was_written OR OLD.state NOT IN ('funded', 'on_hold') OR NOT EXISTS (
        SELECT FROM payment_number_change WHERE transfer_id = OLD.id
            AND old_number = OLD.payment_number AND new_number = NEW.payment_number)
    THEN
        RAISE EXCEPTION 'the number of a transfer never changes without a trace, nor once written'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keeps_its_number BEFORE UPDATE ON transfer FOR EACH ROW
    WHEN (OLD.payment_number <> NEW.payment_number) EXECUTE FUNCTION transfer_keeps_its_number();

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
) WITH (fillfactor = 70);
-- No index tells of `status`, and pages keep room: a row that becomes final stays where it is.
CREATE INDEX settlement_log_by_number ON settlement_log (contract, payment_number);
CREATE INDEX settlement_log_by_block ON settlement_log (chain_id, block_number);

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


PRIVILEGES = """
-- The node's sessions act as this role, whatever login they came in with: it reads everything,
-- adds rows, changes only what is meant to change, deletes nothing, and writes the ledger through
-- ledger_post alone.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'corridor_node') THEN
        CREATE ROLE corridor_node NOLOGIN;
    END IF;
    IF NOT pg_has_role(current_user, 'corridor_node', 'MEMBER') THEN
        EXECUTE 'GRANT corridor_node TO ' || quote_ident(current_user);
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role corridor_node cannot be had; let an administrator run:'
            ' CREATE ROLE corridor_node NOLOGIN; GRANT corridor_node TO %', current_user
            USING ERRCODE = 'insufficient_privilege';
END $$;
-- Who may create functions could shadow those that ledger_post calls (the default up to
-- PostgreSQL 14 lets everybody).
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
DO $$
BEGIN
    IF has_schema_privilege('corridor_node', 'public', 'CREATE') THEN
        RAISE EXCEPTION 'the role corridor_node may create in schema public; let its owner run:'
            ' REVOKE CREATE ON SCHEMA public FROM PUBLIC, corridor_node'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END $$;
GRANT USAGE ON SCHEMA public TO corridor_node;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO corridor_node;
GRANT INSERT ON partner, customer, credential, idempotency, ledger_refusal, ledger_checkpoint,
    account_checkpoint, top_up, quote, quoting_halt, trusted_mid, settlement_contract, transfer,
    event, lane, slot, slot_member, attempt, movement, treasury_rule, contract_state, adoption,
    payment_number_change, pause, chain_cursor, block, token_log, settlement_log, chain_holding,
    reconciliation_run, reconciliation_break TO corridor_node;
-- FOR UPDATE needs a column that may be changed; this one can only stay true.
GRANT UPDATE (is_only) ON ledger TO corridor_node;
REVOKE EXECUTE ON FUNCTION ledger_post FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_post TO corridor_node;
GRANT UPDATE (revoked_at) ON credential TO corridor_node;
GRANT UPDATE (transfer_id, revoked_at, revoked_reason) ON quote TO corridor_node;
GRANT UPDATE (resumed_by, resumed_at, accepted) ON quoting_halt TO corridor_node;
GRANT UPDATE (mid, since, accepted, trusted_at) ON trusted_mid TO corridor_node;
GRANT USAGE ON SEQUENCE quote_turn TO corridor_node;
GRANT UPDATE (next_number, token_code) ON settlement_contract TO corridor_node;
GRANT UPDATE (version, state, slot_id, was_written, batches_failed, void_outcome, waiting_code,
    waiting_since, tx_hash, block_number, failure, updated_at, payment_number) ON transfer
    TO corridor_node;
GRANT UPDATE (next_nonce, status, status_reason, epoch, lease_owner, lease_until, balance_wei,
    cap_left, seen_at) ON lane TO corridor_node;
GRANT UPDATE (block_number, float_units, cap_left, paused, token_paused, seen_at)
    ON contract_state TO corridor_node;
GRANT UPDATE (ended_by, ended_at) ON treasury_rule TO corridor_node;
GRANT UPDATE (purpose, state, contract, to_address, value_wei, calldata, gas_limit, members,
    amount_total, included_block_hash, included_block_number, included_tx_hash, succeeded,
    gas_used, effective_gas_price_wei, final_at) ON slot TO corridor_node;
GRANT UPDATE (live) ON slot_member TO corridor_node;
GRANT UPDATE (last_sent_at, sends, last_answer, last_message) ON attempt TO corridor_node;
GRANT UPDATE (state, slot_id, waiting, failure) ON movement TO corridor_node;
GRANT UPDATE (hard, note, resumed_by, resumed_at) ON pause TO corridor_node;
GRANT UPDATE ON chain_cursor, chain_holding, reconciliation_run, reconciliation_break
    TO corridor_node;
GRANT UPDATE (status) ON block, settlement_log TO corridor_node;
GRANT UPDATE (status, cause, ledger_sequence) ON token_log TO corridor_node;
"""


def upgrade() -> None:
    """Create everything."""
    run(PARTIES, LEDGER, TRANSFERS, SETTLEMENT, MIRROR, PRIVILEGES)


def downgrade() -> None:
    """Refuse: a ledger is not taken down by a migration."""
    raise NotImplementedError("the first schema has nothing before it")
