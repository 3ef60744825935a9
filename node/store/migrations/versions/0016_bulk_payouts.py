"""Rows of bulk transfers that partners pay out; what is registered with a partner in a day."""

from node.store.migration import run

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLES = """
-- The newest quote that a partner was asked for, and registers the payout of the row on. Kept
-- before it is registered: a row is asked for again on the quote that it has.
ALTER TABLE bulk_row ADD COLUMN quote_id uuid REFERENCES quote;

-- What partners have had registered since midnight.
CREATE INDEX payout_of_day ON payout (partner_id, sell_asset, created_at);
"""

PRIVILEGES = """
GRANT UPDATE (quote_id) ON bulk_row TO corridor_node;
"""


def upgrade() -> None:
    """Add them."""
    run(TABLES, PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
