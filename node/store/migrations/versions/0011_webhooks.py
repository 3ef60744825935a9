"""Webhooks: where events are sent to, what was sent, and what came of it."""

from node.store.migration import run

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE webhook_endpoint (
    id uuid PRIMARY KEY,
    partner_id uuid REFERENCES partner,          -- NULL: an operator's, of every event
    url text NOT NULL,
    events text[] NOT NULL DEFAULT '{}',         -- types or their beginnings; empty: all
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    disabled_reason text,
    keys bytea NOT NULL,                         -- secret and Ed25519 seed, encrypted
    public_key bytea NOT NULL CHECK (length(public_key) = 32),
    previous_keys bytea,                         -- sign as well until previous_until
    previous_until timestamptz,
    after_sequence bigint NOT NULL,              -- events up to it are not sent by themselves
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((previous_keys IS NULL) = (previous_until IS NULL)),
    CHECK ((status = 'active') = (disabled_reason IS NULL))
);
CREATE INDEX webhook_endpoint_by_age ON webhook_endpoint (created_at DESC, id DESC);
CREATE INDEX webhook_endpoint_active ON webhook_endpoint (partner_id) WHERE status = 'active';

-- Up to which event deliveries were made; events become visible in the order of their sequence.
CREATE TABLE webhook_cursor (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    sequence bigint NOT NULL
);
INSERT INTO webhook_cursor (sequence) VALUES (0);

CREATE TABLE webhook_delivery (
    id uuid PRIMARY KEY,                         -- webhook-id, the same in every attempt
    endpoint_id uuid NOT NULL REFERENCES webhook_endpoint,
    event_sequence bigint REFERENCES event,      -- NULL: a test
    object_id uuid,                              -- of the event; orders those of an object
    type text NOT NULL,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'delivered', 'dead', 'canceled')),
    attempts integer NOT NULL DEFAULT 0,         -- ever made
    failures integer NOT NULL DEFAULT 0,         -- since it was last begun
    next_at timestamptz NOT NULL DEFAULT now(),  -- while it is pending
    leased_until timestamptz,                    -- a worker is sending it
    last_status integer,
    last_error text,
    delivered_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (endpoint_id, event_sequence)
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (endpoint_id, next_at, event_sequence)
    WHERE status = 'pending';
CREATE INDEX webhook_delivery_of_object ON webhook_delivery
    (endpoint_id, object_id, event_sequence) WHERE status = 'pending';
CREATE INDEX webhook_delivery_leased ON webhook_delivery (leased_until)
    WHERE leased_until IS NOT NULL;
CREATE INDEX webhook_delivery_by_age ON webhook_delivery
    (endpoint_id, created_at DESC, id DESC);
CREATE INDEX webhook_delivery_pending ON webhook_delivery (created_at) WHERE status = 'pending';
CREATE INDEX webhook_delivery_dead ON webhook_delivery (created_at) WHERE status = 'dead';

CREATE TABLE webhook_attempt (
    delivery_id uuid NOT NULL REFERENCES webhook_delivery,
    attempt integer NOT NULL CHECK (attempt > 0),
    at timestamptz NOT NULL,
    status integer,                              -- of the answer; NULL: there was none
    error text,                                  -- why there was none
    duration_ms integer NOT NULL,
    answer text NOT NULL,                        -- its beginning
    PRIMARY KEY (delivery_id, attempt),
    CHECK (num_nonnulls(status, error) = 1)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON webhook_attempt
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

PRIVILEGES = """
GRANT SELECT, INSERT ON webhook_endpoint, webhook_delivery, webhook_attempt TO corridor_node;
GRANT UPDATE (status, disabled_reason, keys, public_key, previous_keys, previous_until,
    after_sequence) ON webhook_endpoint TO corridor_node;
GRANT SELECT ON webhook_cursor TO corridor_node;
GRANT UPDATE (sequence) ON webhook_cursor TO corridor_node;
GRANT UPDATE (status, attempts, failures, next_at, leased_until, last_status, last_error,
    delivered_at) ON webhook_delivery TO corridor_node;
"""


def upgrade() -> None:
    """Create them."""
    run(TABLES, PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
