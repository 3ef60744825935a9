"""Payouts that two operators concluded; refunds of a partner are named by their transaction too."""

from node.store.migration import run

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES = """
-- How two operators ended a payout that its partner did not end; NULL: they have not.
ALTER TABLE payout_order ADD COLUMN concluded text CHECK (concluded IN ('given_back', 'paid_out'));
DROP TRIGGER keeps_its_terms ON payout_order;
CREATE TRIGGER keeps_its_terms BEFORE UPDATE ON payout_order FOR EACH ROW
    WHEN (OLD.payout_id IS NOT NULL AND
        (NEW.payout_id, NEW.address, NEW.reference, NEW.pay_by, NEW.beneficiary_hash, NEW.purpose,
            NEW.refund_policy)
        IS DISTINCT FROM
        (OLD.payout_id, OLD.address, OLD.reference, OLD.pay_by, OLD.beneficiary_hash, OLD.purpose,
            OLD.refund_policy)
        OR OLD.concluded IS NOT NULL AND NEW.concluded IS DISTINCT FROM OLD.concluded)
    EXECUTE FUNCTION order_keeps_its_terms();

-- A payment of the partner gives one transfer's money back. Its number is of one contract, and a
-- partner may come to have another, which counts from one again.
DROP INDEX payout_order_refund;
CREATE UNIQUE INDEX payout_order_refund ON payout_order (partner_id, refund_tx, refund_number)
    WHERE refund_number IS NOT NULL;

-- What has not ended, by how long it is as it is.
CREATE INDEX payout_open ON payout (state, updated_at) WHERE state IN
    ('awaiting_payment', 'matched', 'ordered', 'refused', 'refunding', 'on_hold');
"""

PRIVILEGES = """
GRANT UPDATE (concluded) ON payout_order TO corridor_node;
"""


def upgrade() -> None:
    """Create them."""
    run(TABLES, PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
