"""How far reconciliation has come."""

from node.store.migration import run

revision = "0007"
down_revision = "0006"
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
