"""Operators' sessions in a browser."""

from node.store.migration import run

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = """
-- A browser that was given an operator's key once. The token itself is stored nowhere.
CREATE TABLE operator_session (
    hash bytea PRIMARY KEY CHECK (length(hash) = 32), -- SHA-256 of 256 random bits
    credential_id uuid NOT NULL REFERENCES credential,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    CHECK (expires_at > created_at)
);
"""

PRIVILEGES = """
GRANT SELECT, INSERT ON operator_session TO corridor_node;
GRANT UPDATE (revoked_at) ON operator_session TO corridor_node;
"""


def upgrade() -> None:
    """Create them."""
    run(TABLES, PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
