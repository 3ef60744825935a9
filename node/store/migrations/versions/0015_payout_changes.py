"""What is asked of partners that were paid for a payout: other data, or the money back."""

from node.store.migration import run

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TABLES = """
-- A registration is made again with what it was first made with.
ALTER TABLE payout_order
    ADD COLUMN purpose text,
    ADD COLUMN refund_policy text NOT NULL DEFAULT 'refund'
        CHECK (refund_policy IN ('refund', 'correct'));
DROP TRIGGER keeps_its_terms ON payout_order;
CREATE TRIGGER keeps_its_terms BEFORE UPDATE ON payout_order FOR EACH ROW
    WHEN (OLD.payout_id IS NOT NULL AND
        (NEW.payout_id, NEW.address, NEW.reference, NEW.pay_by, NEW.beneficiary_hash, NEW.purpose,
            NEW.refund_policy)
        IS DISTINCT FROM
        (OLD.payout_id, OLD.address, OLD.reference, OLD.pay_by, OLD.beneficiary_hash, OLD.purpose,
            OLD.refund_policy))
    EXECUTE FUNCTION order_keeps_its_terms();
CREATE INDEX payout_order_open ON payout_order (ask_at)
    WHERE state IN ('registering', 'registered');


-- Stored before the partner is asked, and asked for under one key until it has answered.
CREATE TABLE payout_change (
    quote_id uuid NOT NULL REFERENCES payout_order,
    number smallint NOT NULL CHECK (number > 0),
    kind text NOT NULL CHECK (kind IN ('correct', 'refund')),
    beneficiary jsonb,                           -- as it should have been: name, country, account
    asked_by text NOT NULL,                      -- principal
    asked_key text NOT NULL,                     -- the Idempotency-Key of whoever asked
    state text NOT NULL DEFAULT 'asking' CHECK (state IN ('asking', 'done', 'refused')),
    reason text,                                 -- the partner's code, where it refused
    asks integer NOT NULL DEFAULT 0,             -- without an answer
    ask_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (quote_id, number),
    CHECK ((kind = 'correct') = (beneficiary IS NOT NULL)),
    CHECK ((state = 'refused') = (reason IS NOT NULL))
);
-- One at a time.
CREATE UNIQUE INDEX payout_change_asking ON payout_change (quote_id) WHERE state = 'asking';
CREATE INDEX payout_change_due ON payout_change (ask_at) WHERE state = 'asking';

CREATE FUNCTION change_is_decided_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was asked of a partner stays as it was asked and answered'
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER decided_once BEFORE UPDATE ON payout_change FOR EACH ROW
    WHEN (OLD.state <> 'asking' OR (NEW.quote_id, NEW.number, NEW.kind, NEW.beneficiary)
        IS DISTINCT FROM (OLD.quote_id, OLD.number, OLD.kind, OLD.beneficiary))
    EXECUTE FUNCTION change_is_decided_once();
"""

PRIVILEGES = """
GRANT UPDATE (purpose, refund_policy) ON payout_order TO corridor_node;
GRANT SELECT, INSERT ON payout_change TO corridor_node;
GRANT UPDATE (state, reason, asks, ask_at) ON payout_change TO corridor_node;
"""


def upgrade() -> None:
    """Create them."""
    run(TABLES, PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
