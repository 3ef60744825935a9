"""Payouts for partners: contracts, payouts, refunds; the books of the sandbox's bank."""

from node.store.migration import run

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = """
-- Settlement contracts that partners pay out of; a Transfer out of another is an unknown deposit.
CREATE TABLE partner_contract (
    chain_id bigint NOT NULL,
    address bytea NOT NULL CHECK (length(address) = 20),
    partner_id uuid NOT NULL REFERENCES partner,
    refund_address bytea CHECK (length(refund_address) = 20),
    account_id uuid NOT NULL REFERENCES customer, -- the partner's own: refunds are paid out of it
    registered_by text NOT NULL,                 -- principal
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chain_id, address)
);
CREATE INDEX partner_contract_by_partner ON partner_contract (partner_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON partner_contract
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- quote.transfer_id names the payout where the quote is of payout method bank.
CREATE TABLE payout (
    id uuid PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,          -- sequence of its newest event
    state text NOT NULL,
    flags text[] NOT NULL DEFAULT '{}',
    partner_id uuid NOT NULL REFERENCES partner,
    quote_id uuid NOT NULL UNIQUE REFERENCES quote,
    address_id bigint NOT NULL UNIQUE REFERENCES deposit_address,
    client_reference text NOT NULL,              -- the partner's
    reference text NOT NULL UNIQUE,              -- the node's
    sell_asset text NOT NULL,
    sell_amount bigint NOT NULL CHECK (sell_amount > 0),
    service_fee bigint NOT NULL CHECK (service_fee >= 0),
    network_fee bigint NOT NULL CHECK (network_fee >= 0),
    spread_amount bigint NOT NULL CHECK (spread_amount >= 0),
    buy_asset text NOT NULL,
    buy_amount bigint NOT NULL CHECK (buy_amount > 0),
    rail text NOT NULL,
    beneficiary jsonb NOT NULL,                  -- the newest, where it was corrected
    originator jsonb,
    purpose text,
    refund_policy text NOT NULL CHECK (refund_policy IN ('refund', 'correct')),
    refund_address bytea NOT NULL CHECK (length(refund_address) = 20),
    attempt smallint NOT NULL DEFAULT 1,         -- which order at the rail
    failure jsonb,                               -- {code, message}
    matched_deposit_id uuid REFERENCES deposit,
    -- Local money is due while the first of these is there and neither of the others.
    matched_sequence bigint REFERENCES ledger_transaction,   -- exchanged the tokens
    confirmed_sequence bigint REFERENCES ledger_transaction, -- the rail paid
    unmatched_sequence bigint REFERENCES ledger_transaction, -- gave the partner its tokens back
    next_look_at timestamptz,                    -- when the rail is asked
    looks integer NOT NULL DEFAULT 0,            -- how often it was, for this order
    made_by text NOT NULL,                       -- principal
    created_at timestamptz NOT NULL DEFAULT now(),
    pay_by timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (partner_id, client_reference),
    CHECK (state IN ('awaiting_payment', 'matched', 'ordered', 'refused', 'refunding', 'on_hold',
        'paid_out', 'refunded', 'expired')),
    CHECK ((matched_sequence IS NULL) = (matched_deposit_id IS NULL)),
    CHECK (matched_sequence IS NOT NULL OR num_nonnulls(confirmed_sequence, unmatched_sequence) = 0)
);
CREATE INDEX payout_by_age ON payout (created_at DESC, id DESC);
CREATE INDEX payout_by_partner ON payout (partner_id, created_at DESC, id DESC);
CREATE INDEX payout_awaiting ON payout (pay_by) WHERE state IN ('awaiting_payment', 'expired');
CREATE INDEX payout_working ON payout (next_look_at) WHERE state IN ('matched', 'ordered');

CREATE TABLE refund (
    id uuid PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,          -- sequence of its newest event
    payout_id uuid NOT NULL REFERENCES payout,
    partner_id uuid NOT NULL REFERENCES partner,
    account_id uuid NOT NULL REFERENCES customer,
    state text NOT NULL CHECK (state IN ('pending', 'sent', 'completed', 'failed')),
    reason text NOT NULL CHECK (reason IN ('short', 'late', 'refused', 'asked')),
    asset text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    address bytea NOT NULL CHECK (length(address) = 20),
    set_aside_sequence bigint NOT NULL UNIQUE REFERENCES ledger_transaction,
    put_back_sequence bigint UNIQUE REFERENCES ledger_transaction,
    transfer_id uuid UNIQUE REFERENCES transfer,
    failure jsonb,                               -- {code, message}
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((state IN ('sent', 'completed')) <= (transfer_id IS NOT NULL)),
    CHECK ((state = 'failed') = (put_back_sequence IS NOT NULL))
);
-- Money goes back once, whatever is asked how often.
CREATE UNIQUE INDEX refund_of_payout ON refund (payout_id) WHERE state <> 'failed';
CREATE INDEX refund_open ON refund (created_at) WHERE state IN ('pending', 'sent');

ALTER TABLE deposit
    ADD COLUMN payout_id uuid REFERENCES payout,
    ADD COLUMN settlement_contract bytea,        -- who paid, and the number of the Settled
    ADD COLUMN settlement_number numeric(20, 0); -- that directly follows the Transfer
CREATE INDEX deposit_by_payout ON deposit (payout_id) WHERE payout_id IS NOT NULL;
"""

PRIVILEGES = """
GRANT SELECT, INSERT ON partner_contract, payout, refund TO corridor_node;
GRANT UPDATE (version, state, flags, beneficiary, attempt, failure, matched_deposit_id,
    matched_sequence, confirmed_sequence, unmatched_sequence, next_look_at, looks,
    updated_at) ON payout TO corridor_node;
GRANT UPDATE (version, state, put_back_sequence, transfer_id, failure) ON refund TO corridor_node;
"""

SANDBOX_BANK = """
-- A bank for play, with books of its own: what it was told, and what it did. The node's ledger
-- never reads it but through the port of a rail.
CREATE SCHEMA sandbox_bank;
CREATE TABLE sandbox_bank.payment_order (
    id text PRIMARY KEY,                         -- the node's: the same one is done once
    asset text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    name text NOT NULL,
    account text NOT NULL,
    bank_code text NOT NULL,
    reference text NOT NULL,
    state text NOT NULL CHECK (state IN ('received', 'confirmed', 'refused', 'returned')),
    code text,
    message text,
    asked integer NOT NULL DEFAULT 0,            -- how often its state was asked for
    created_at timestamptz NOT NULL DEFAULT now(),
    booked_at timestamptz
);
-- Orders that it did not take, so that it can be down for a number of tries.
CREATE TABLE sandbox_bank.turned_away (
    id text PRIMARY KEY,
    times integer NOT NULL
);
GRANT USAGE ON SCHEMA sandbox_bank TO corridor_node;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA sandbox_bank TO corridor_node;
"""


def upgrade() -> None:
    """Create them."""
    run(TABLES, PRIVILEGES, SANDBOX_BANK)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
