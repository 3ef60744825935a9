"""What the mirror keeps besides payouts: notices, strays, logs that cannot be read."""

from node.store.migration import run

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
-- The tag is the number of the block tagged `finalized`, where the chain has such a tag.
ALTER TABLE chain_cursor
    ADD COLUMN final_moved_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN tag_number bigint,                -- the highest it ever was
    ADD COLUMN tag_moved_at timestamptz;         -- when it last rose

-- Events of the token's issuer and of the settlement contract's administration.
CREATE TABLE notice (
    chain_id bigint NOT NULL,
    block_hash bytea NOT NULL,
    log_index integer NOT NULL,
    block_number bigint NOT NULL,
    tx_hash bytea NOT NULL,
    contract bytea NOT NULL,                     -- who emitted it
    kind text NOT NULL,
    subject bytea,                               -- whom it is about
    amount numeric(78, 0),
    detail jsonb NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'seen' CHECK (status IN ('seen', 'final', 'orphaned')),
    PRIMARY KEY (chain_id, block_hash, log_index)
) WITH (fillfactor = 70);
CREATE INDEX notice_by_block ON notice (chain_id, block_number);

-- Transfers of tokens that are not the node's, from or to an address of the node. Anybody can make
-- any number of them: they are recorded, and nothing is ever matched with one.
CREATE TABLE stray_log (
    chain_id bigint NOT NULL,
    block_hash bytea NOT NULL,
    log_index integer NOT NULL,
    block_number bigint NOT NULL,
    tx_hash bytea NOT NULL,
    token bytea NOT NULL,                        -- who emitted it
    from_address bytea NOT NULL,
    to_address bytea NOT NULL,
    amount numeric(78, 0) NOT NULL,              -- as the log says
    status text NOT NULL DEFAULT 'seen' CHECK (status IN ('seen', 'final', 'orphaned')),
    PRIMARY KEY (chain_id, block_hash, log_index)
) WITH (fillfactor = 70);
CREATE INDEX stray_log_by_block ON stray_log (chain_id, block_number);

-- Logs of watched contracts with a known first topic that nobody can read, as they came.
CREATE TABLE undecoded_log (
    chain_id bigint NOT NULL,
    block_hash bytea NOT NULL,
    log_index integer NOT NULL,
    block_number bigint NOT NULL,
    tx_hash bytea NOT NULL,
    contract bytea NOT NULL,
    topics bytea[] NOT NULL,
    data bytea NOT NULL,
    fault text NOT NULL,                         -- why, in words
    status text NOT NULL DEFAULT 'seen' CHECK (status IN ('seen', 'final', 'orphaned')),
    PRIMARY KEY (chain_id, block_hash, log_index)
) WITH (fillfactor = 70);
CREATE INDEX undecoded_log_by_block ON undecoded_log (chain_id, block_number);

ALTER TABLE pause DROP CONSTRAINT pause_reason_check;
ALTER TABLE pause ADD CONSTRAINT pause_reason_check CHECK (reason IN
    ('operator', 'orphan_outbound', 'foreign_nonce', 'deep_reorg', 'float', 'issuer'));
"""

PRIVILEGES = """
GRANT SELECT, INSERT ON notice, stray_log, undecoded_log TO corridor_node;
GRANT UPDATE (status) ON notice, stray_log, undecoded_log TO corridor_node;
"""


def upgrade() -> None:
    """Create them."""
    run(TABLES, PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
