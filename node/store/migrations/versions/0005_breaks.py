"""Who looks after a break, and what is proposed to close it."""

from node.store.migration import run

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE reconciliation_break
    ADD COLUMN cause text NOT NULL DEFAULT '',
    ADD COLUMN due_at timestamptz,               -- when it should be closed; NULL: it may stay
    ADD COLUMN changed_at timestamptz,           -- when expected or actual were last other ones
    ADD COLUMN owner text,                       -- the operator who took it
    ADD COLUMN proposal jsonb,                   -- {made_by, made_at, reason, entries, kind, about}
    ADD COLUMN gone_at timestamptz,              -- closed by an operator, and later not found again
    ADD COLUMN reopens uuid REFERENCES reconciliation_break,
    ADD CONSTRAINT proposed_while_open CHECK (proposal IS NULL OR resolved_at IS NULL);
CREATE INDEX break_by_fingerprint ON reconciliation_break (fingerprint, resolved_at DESC);
UPDATE reconciliation_break SET due_at = first_seen_at + CASE severity
    WHEN 'critical' THEN interval '15 minutes' ELSE interval '1 day' END
WHERE severity <> 'info';

-- What happened to each break, in order.
CREATE TABLE break_event (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    break_id uuid NOT NULL REFERENCES reconciliation_break,
    step text NOT NULL CHECK (step IN ('opened', 'changed', 'assigned', 'proposed', 'approved',
        'withdrawn', 'resolved', 'rederived', 'reopened')),
    by text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX break_event_of ON break_event (break_id, sequence);
INSERT INTO break_event (break_id, step, by, at)
SELECT id, 'opened', 'reconciliation', first_seen_at FROM reconciliation_break
ORDER BY first_seen_at, id;
INSERT INTO break_event (break_id, step, by, at, detail)
SELECT id, CASE resolution ->> 'kind' WHEN 'rederived' THEN 'rederived' ELSE 'resolved' END,
    resolved_by, resolved_at, resolution
FROM reconciliation_break WHERE resolved_at IS NOT NULL ORDER BY resolved_at, id;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON break_event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

PRIVILEGES = """
GRANT SELECT, INSERT ON break_event TO corridor_node;
"""


def upgrade() -> None:
    """Create them."""
    run(TABLES, PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
