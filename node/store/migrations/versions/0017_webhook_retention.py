"""Webhooks that ended are kept for a time; endpoints: since when they fail, what they missed."""

from node.store.migration import run

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE webhook_endpoint
    ADD COLUMN failing_since timestamptz,        -- every attempt since then has failed
    ADD COLUMN disabled_at timestamptz,
    ADD COLUMN missed_after bigint;              -- at the newest disabling: what came after it was
                                                 -- not all delivered
UPDATE webhook_endpoint SET disabled_at = now() WHERE status = 'disabled';
ALTER TABLE webhook_endpoint ADD CHECK ((status = 'active') = (disabled_at IS NULL));

ALTER TABLE webhook_delivery ADD COLUMN ended_at timestamptz;
UPDATE webhook_delivery SET ended_at = coalesce(delivered_at, now()) WHERE status <> 'pending';
ALTER TABLE webhook_delivery ADD CHECK ((status = 'pending') = (ended_at IS NULL));
CREATE INDEX webhook_delivery_delivered ON webhook_delivery (ended_at) WHERE status = 'delivered';
CREATE INDEX webhook_delivery_undelivered ON webhook_delivery (ended_at)
    WHERE status IN ('dead', 'canceled');

-- A delivery goes when it has ended, and its log with it; nothing of the log goes by itself.
CREATE FUNCTION delivery_has_not_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a webhook that is to be delivered is not deleted'
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER kept_until_ended BEFORE DELETE ON webhook_delivery FOR EACH ROW
    WHEN (OLD.ended_at IS NULL) EXECUTE FUNCTION delivery_has_not_ended();

ALTER TABLE webhook_attempt
    DROP CONSTRAINT webhook_attempt_delivery_id_fkey,
    ADD CONSTRAINT webhook_attempt_delivery_id_fkey
        FOREIGN KEY (delivery_id) REFERENCES webhook_delivery ON DELETE CASCADE;
DROP TRIGGER append_only ON webhook_attempt;
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON webhook_attempt
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE FUNCTION log_goes_with_its_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM webhook_delivery WHERE id = OLD.delivery_id) THEN
        RAISE EXCEPTION 'the log of a webhook is deleted with the whole delivery only'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER goes_with_its_delivery BEFORE DELETE ON webhook_attempt
    FOR EACH ROW EXECUTE FUNCTION log_goes_with_its_delivery();
"""

PRIVILEGES = """
GRANT UPDATE (failing_since, disabled_at, missed_after) ON webhook_endpoint TO corridor_node;
GRANT UPDATE (ended_at), DELETE ON webhook_delivery TO corridor_node;
"""


def upgrade() -> None:
    """Change them."""
    run(TABLES, PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
