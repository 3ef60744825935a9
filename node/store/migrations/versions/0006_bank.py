"""Statements of the bank."""

from node.store.migration import run

revision = "0006"
down_revision = "0005"
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
