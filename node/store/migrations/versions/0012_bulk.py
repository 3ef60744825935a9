"""Bulk transfers and their rows; finding payouts by when they became final."""

from node.store.migration import run

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE bulk_transfer (
    id uuid PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,          -- sequence of its newest event
    status text NOT NULL CHECK (status IN ('processing', 'completed', 'rejected')),
    mode text NOT NULL CHECK (mode IN ('best_effort', 'all_or_nothing')),
    form text NOT NULL CHECK (form IN ('jsonl', 'csv', 'pain.001')),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    message_id text,                             -- of pain.001
    message_name text,
    owner text NOT NULL,                         -- principal; scope of the rows' references
    role text NOT NULL,
    made_by text NOT NULL,                       -- name of the principal
    partner_id uuid REFERENCES partner,
    customer_id uuid REFERENCES customer,
    rows integer NOT NULL CHECK (rows > 0),
    accepted integer NOT NULL DEFAULT 0 CHECK (accepted >= 0),
    rejected integer NOT NULL DEFAULT 0 CHECK (rejected >= 0),
    passed_line integer NOT NULL DEFAULT 0,      -- tried last in this pass over what is pending
    next_at timestamptz NOT NULL DEFAULT now(),
    waiting_code text,
    waiting_since timestamptz,
    accept_by timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    CHECK (accepted + rejected <= rows),
    CHECK ((status = 'processing') = (completed_at IS NULL)),
    CHECK (status = 'processing' OR accepted + rejected = rows)
);
CREATE INDEX bulk_transfer_due ON bulk_transfer (next_at) WHERE status = 'processing';
CREATE INDEX bulk_transfer_open ON bulk_transfer (owner) WHERE status = 'processing';
CREATE INDEX bulk_transfer_by_age ON bulk_transfer (created_at DESC, id DESC);
CREATE INDEX bulk_transfer_by_owner ON bulk_transfer (owner, created_at DESC, id DESC);

CREATE TABLE bulk_row (
    bulk_id uuid NOT NULL REFERENCES bulk_transfer,
    line integer NOT NULL CHECK (line > 0),      -- of the file
    client_reference text,
    payment_group text,                          -- of pain.001, PmtInfId
    ordered jsonb,                               -- NULL: it could not be read
    status text NOT NULL CHECK (status IN ('pending', 'accepted', 'rejected')),
    transfer_id uuid REFERENCES transfer,
    is_repeated boolean NOT NULL DEFAULT false,  -- the transfer was there before
    faults jsonb,                                -- [[pointer, code, message], ...]
    PRIMARY KEY (bulk_id, line),
    CHECK ((status = 'accepted') = (transfer_id IS NOT NULL)),
    CHECK ((status = 'rejected') = (faults IS NOT NULL)),
    CHECK (status <> 'pending' OR ordered IS NOT NULL)
);
CREATE INDEX bulk_row_pending ON bulk_row (bulk_id, line) WHERE status = 'pending';

-- What was decided of a row stands.
CREATE FUNCTION bulk_row_is_decided_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> 'pending' THEN
        RAISE EXCEPTION 'row % of bulk transfer % is %', OLD.line, OLD.bulk_id, OLD.status
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER decided_once BEFORE UPDATE ON bulk_row
    FOR EACH ROW EXECUTE FUNCTION bulk_row_is_decided_once();

-- The settlement report: payouts by when they became final.
CREATE INDEX transfer_paid ON transfer (updated_at, id) WHERE state IN ('settled', 'paid_out');
"""

PRIVILEGES = """
GRANT SELECT, INSERT ON bulk_transfer, bulk_row TO corridor_node;
GRANT UPDATE (version, status, accepted, rejected, passed_line, next_at, waiting_code,
    waiting_since, completed_at) ON bulk_transfer TO corridor_node;
GRANT UPDATE (status, transfer_id, is_repeated, faults) ON bulk_row TO corridor_node;
"""


def upgrade() -> None:
    """Create them."""
    run(TABLES, PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
