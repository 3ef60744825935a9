"""Refunds that a reorg past finality took back are found by an index: acceptance asks for them."""

from node.store.migration import run

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

TABLES = """
-- Of these the partner has the token again; few, and most of them for a moment.
CREATE INDEX payout_order_refund_open ON payout_order (quote_id)
    WHERE refund_tx IS NOT NULL AND state <> 'closed' AND concluded IS NULL;
"""


def upgrade() -> None:
    """Create it."""
    run(TABLES)


def downgrade() -> None:
    """Drop it."""
    run("DROP INDEX payout_order_refund_open;")
