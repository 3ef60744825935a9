"""Rows that become final stay where they are: no index of theirs tells of what changes then."""

from node.store.migration import run

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TABLES = """
-- PostgreSQL writes a changed row next to itself, without a word to any index, where no index tells
-- of what changed, not in its condition either, and the page has room (HOT).
DROP INDEX token_log_unexplained;
DROP INDEX token_log_by_number;
CREATE INDEX token_log_by_number ON token_log (chain_id, block_number);
ALTER TABLE token_log SET (fillfactor = 70);

-- one_live_slot says the same of members that live, and they all do when they are written.
ALTER TABLE slot_member DROP CONSTRAINT slot_member_slot_id_payment_number_key;
"""


def upgrade() -> None:
    """Change them."""
    run(TABLES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
