"""Deposit addresses, payment requests, deposits."""

from node.store.migration import run

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
-- Addresses that the forwarders contract deploys (CREATE2): the salt is all that is needed besides
-- the contract, and it is chance. Ids are given out under a lock, so they become visible in order.
CREATE TABLE deposit_address (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain_id bigint NOT NULL,
    address bytea NOT NULL CHECK (length(address) = 20),
    factory bytea NOT NULL CHECK (length(factory) = 20),
    salt bytea NOT NULL UNIQUE CHECK (length(salt) = 32),
    customer_id uuid REFERENCES customer,
    partner_id uuid REFERENCES partner,
    is_standing boolean NOT NULL,                -- the owner's own, not that of a request
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nonnulls(customer_id, partner_id) = 1),
    UNIQUE (chain_id, address)
);
CREATE UNIQUE INDEX deposit_address_standing
    ON deposit_address (chain_id, factory, coalesce(customer_id, partner_id)) WHERE is_standing;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON deposit_address
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE payment_request (
    id uuid PRIMARY KEY,
    address_id bigint NOT NULL UNIQUE REFERENCES deposit_address,
    customer_id uuid REFERENCES customer,
    partner_id uuid REFERENCES partner,
    reference text NOT NULL,                     -- the owner's
    asset text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    status text NOT NULL DEFAULT 'awaiting'
        CHECK (status IN ('awaiting', 'paid', 'expired', 'accepted')),
    flags text[] NOT NULL DEFAULT '{}',
    surplus bigint NOT NULL DEFAULT 0,
    version integer NOT NULL DEFAULT 1,          -- sequence of its newest event
    made_by text NOT NULL,                       -- principal
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    CHECK (num_nonnulls(customer_id, partner_id) = 1)
);
CREATE UNIQUE INDEX payment_request_reference
    ON payment_request (coalesce(customer_id, partner_id), reference);
CREATE INDEX payment_request_unpaid ON payment_request
    (coalesce(customer_id, partner_id), expires_at) WHERE status IN ('awaiting', 'expired');
CREATE INDEX payment_request_awaiting ON payment_request (expires_at) WHERE status = 'awaiting';
CREATE INDEX payment_request_by_age ON payment_request (created_at DESC, id DESC);
CREATE INDEX payment_request_by_customer
    ON payment_request (customer_id, created_at DESC, id DESC);

-- Every final token log that came in, to a deposit address or to another address of the node.
CREATE TABLE deposit (
    id uuid PRIMARY KEY,
    chain_id bigint NOT NULL,
    block_hash bytea NOT NULL,
    log_index integer NOT NULL,
    block_number bigint NOT NULL,
    mined_at timestamptz NOT NULL,               -- of the block: what a request is judged by
    tx_hash bytea NOT NULL,
    asset text NOT NULL,
    amount numeric(78, 0) NOT NULL CHECK (amount > 0),
    from_address bytea NOT NULL,                 -- means nothing
    to_address bytea NOT NULL,
    address_id bigint REFERENCES deposit_address, -- NULL: another address of the node
    request_id uuid REFERENCES payment_request,
    customer_id uuid REFERENCES customer,        -- who has it, or is to have it
    partner_id uuid REFERENCES partner,
    status text NOT NULL CHECK (status IN ('credited', 'held', 'resolved', 'unbooked', 'orphaned')),
    flags text[] NOT NULL DEFAULT '{}',
    is_counted boolean NOT NULL,                 -- towards its request, while it is held
    ledger_sequence bigint REFERENCES ledger_transaction,   -- brought it in
    credited_sequence bigint REFERENCES ledger_transaction, -- took it out of suspense
    break_id uuid REFERENCES reconciliation_break,
    version integer NOT NULL DEFAULT 1,          -- sequence of its newest event
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nonnulls(customer_id, partner_id) <= 1),
    CHECK (status IN ('unbooked', 'orphaned') OR ledger_sequence IS NOT NULL)
);
-- A block that was replaced and is final again brings its deposits again, as new rows.
CREATE UNIQUE INDEX deposit_log ON deposit (chain_id, block_hash, log_index)
    WHERE status <> 'orphaned';
CREATE INDEX deposit_by_age ON deposit (created_at DESC, id DESC);
CREATE INDEX deposit_by_customer ON deposit (customer_id, created_at DESC, id DESC);
CREATE INDEX deposit_by_request ON deposit (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX deposit_taken_out ON deposit (credited_sequence)
    WHERE credited_sequence IS NOT NULL;
CREATE INDEX deposit_held ON deposit (break_id) WHERE status = 'held';

-- Other tokens that came to an address are shown with its request.
CREATE INDEX stray_log_to ON stray_log (chain_id, to_address);

-- Events of what belongs to a partner itself; those of its customers name the customer.
ALTER TABLE event ADD COLUMN partner_id uuid;
"""

PRIVILEGES = """
GRANT SELECT, INSERT ON deposit_address, payment_request, deposit TO corridor_node;
GRANT UPDATE (status, flags, surplus, version) ON payment_request TO corridor_node;
GRANT UPDATE (customer_id, partner_id, status, credited_sequence, break_id, version) ON deposit
    TO corridor_node;
"""

SWEEP_TABLES = """
ALTER TABLE movement DROP CONSTRAINT movement_kind_check;
ALTER TABLE movement ADD CONSTRAINT movement_kind_check
    CHECK (kind IN ('float_top_up', 'lane_gas', 'sweep', 'rescue', 'deposit_sweep'));

-- Which deposit addresses a movement of the kind deposit_sweep empties, in the order of its call;
-- amount is what each held finally when it was asked for.
CREATE TABLE deposit_sweep (
    movement_id uuid NOT NULL REFERENCES movement,
    position smallint NOT NULL,
    salt bytea NOT NULL REFERENCES deposit_address (salt),
    amount bigint NOT NULL CHECK (amount > 0),
    PRIMARY KEY (movement_id, position),
    UNIQUE (movement_id, salt)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON deposit_sweep
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

SWEEP_PRIVILEGES = """
GRANT SELECT, INSERT ON deposit_sweep TO corridor_node;
"""


def upgrade() -> None:
    """Create them."""
    run(TABLES, PRIVILEGES, SWEEP_TABLES, SWEEP_PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
