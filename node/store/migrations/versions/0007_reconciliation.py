"""How far reconciliation has come, and what it found on every account last."""

from node.store.migration import run

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = """
-- One row per chain, so that any worker goes on where another stopped. A turn is a slow walk over
-- everything old, some of it at each advance: it begins again when it has come to the end.
CREATE TABLE reconciliation_state (
    chain_id bigint PRIMARY KEY,
    number bigint NOT NULL,                      -- compared up to this final block
    hash bytea NOT NULL,
    compared_at timestamptz NOT NULL DEFAULT now(),
    duration_ms integer NOT NULL,                -- of the comparison that came to it
    proven_batch bigint NOT NULL,                -- the ledger's newest batches, proven up to here
    proven_hash bytea NOT NULL CHECK (length(proven_hash) = 32),
    turn_batch bigint NOT NULL,                  -- old batches: the turn goes on after this one
    turn_account bigint NOT NULL,                -- accounts that did not move
    turn_digest bigint NOT NULL,                 -- old blocks whose rows are compared again
    turn_read bigint NOT NULL                    -- old blocks that are read from the chain again
);

-- The rows of one final block when they agreed with the chain; a block without logs has none.
CREATE TABLE block_digest (
    chain_id bigint NOT NULL,
    hash bytea NOT NULL,
    number bigint NOT NULL,
    logs integer NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (chain_id, hash)
);
CREATE INDEX block_digest_by_number ON block_digest (chain_id, number);

-- What ledger, mirror and chain said of an account of the chain last, in the ledger's minor units.
CREATE TABLE account_comparison (
    id bigint GENERATED ALWAYS AS IDENTITY,      -- its place in the list: when it was first made
    chain_id bigint NOT NULL,
    address bytea NOT NULL CHECK (length(address) = 20),
    asset text NOT NULL,
    path text NOT NULL,
    role text NOT NULL,
    ledger numeric(78, 0) NOT NULL,
    mirror numeric(78, 0) NOT NULL,
    chain numeric(78, 0) NOT NULL,
    block_number bigint NOT NULL,
    block_hash bytea NOT NULL,
    compared_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chain_id, address, asset)
);
CREATE UNIQUE INDEX account_comparison_place ON account_comparison (chain_id, id);
CREATE INDEX account_comparison_off ON account_comparison (chain_id)
    WHERE ledger <> chain OR mirror <> chain;
-- The same over time, thinned: where something changed, and every hour.
CREATE TABLE account_comparison_point (
    chain_id bigint NOT NULL,
    address bytea NOT NULL,
    asset text NOT NULL,
    block_number bigint NOT NULL,
    ledger numeric(78, 0) NOT NULL,
    mirror numeric(78, 0) NOT NULL,
    chain numeric(78, 0) NOT NULL,
    compared_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chain_id, address, asset, block_number)
);

ALTER TABLE reconciliation_run ADD COLUMN alive_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE reconciliation_run ADD COLUMN failure text;
CREATE INDEX reconciliation_run_by_age ON reconciliation_run (created_at DESC, id DESC);
CREATE INDEX reconciliation_run_running ON reconciliation_run (created_at)
    WHERE status = 'running';
CREATE INDEX chain_holding_by_block ON chain_holding (chain_id, as_of_number);
-- What balances moved by without logs, and what is open, is asked for at every advance.
CREATE INDEX break_of_moved_balance ON reconciliation_break (code) WHERE code = 'B15';
"""

PRIVILEGES = """
GRANT SELECT ON reconciliation_state, block_digest, account_comparison, account_comparison_point
    TO corridor_node;
GRANT INSERT, UPDATE ON reconciliation_state, block_digest, account_comparison TO corridor_node;
GRANT INSERT ON account_comparison_point TO corridor_node;
"""


def upgrade() -> None:
    """Create them."""
    run(TABLES, PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
