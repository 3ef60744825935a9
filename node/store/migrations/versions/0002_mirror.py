"""What the mirror keeps besides payouts: notices, strays, logs that cannot be read."""

from node.store.migration import run

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
"""

PRIVILEGES = """
"""


def upgrade() -> None:
    """Create them."""
    run(TABLES, PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
