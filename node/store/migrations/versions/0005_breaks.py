"""Who looks after a break, and what is proposed to close it."""

from node.store.migration import run

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE reconciliation_break ADD COLUMN cause text NOT NULL DEFAULT '';
"""

PRIVILEGES = """
"""


def upgrade() -> None:
    """Create them."""
    run(TABLES, PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
