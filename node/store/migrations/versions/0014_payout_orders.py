"""Payouts by partners, the sending side: their legs in quotes, what was registered, transfers."""

from node.store.migration import run

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = """
-- The second leg of a quote: what a partner pays out for the token that the quote buys. Fees are in
-- the token, as sell is.
CREATE TABLE partner_quote (
    quote_id uuid PRIMARY KEY REFERENCES quote,
    partner_id uuid NOT NULL REFERENCES partner,
    partner_quote_id text NOT NULL,              -- as the partner names it
    sell_asset text NOT NULL,
    sell_digits smallint NOT NULL,
    sell_amount bigint NOT NULL CHECK (sell_amount > 0),
    buy_asset text NOT NULL,
    buy_digits smallint NOT NULL,
    buy_amount bigint NOT NULL CHECK (buy_amount > 0),
    service_fee bigint NOT NULL CHECK (service_fee >= 0),
    network_fee bigint NOT NULL CHECK (network_fee >= 0),
    mid_rate numeric NOT NULL CHECK (mid_rate > 0),
    spread_bps smallint NOT NULL CHECK (spread_bps BETWEEN 0 AND 9999),
    rate_sources jsonb NOT NULL,
    payout_method text NOT NULL,
    estimated_delivery_s integer NOT NULL,
    expires_at timestamptz NOT NULL,             -- by the partner's word
    UNIQUE (partner_id, partner_quote_id)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON partner_quote
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Stored before the partner is asked: what it did is found out by asking again under the same key.
CREATE TABLE payout_order (
    quote_id uuid PRIMARY KEY REFERENCES partner_quote,
    partner_id uuid NOT NULL REFERENCES partner,
    beneficiary_hash bytea NOT NULL CHECK (length(beneficiary_hash) = 32),
    state text NOT NULL DEFAULT 'registering' CHECK
        (state IN ('registering', 'registered', 'refused', 'lapsed', 'disputed', 'closed')),
    tries smallint NOT NULL DEFAULT 0,           -- registrations that the partner refused
    payout_id text,                              -- as the partner names it
    address bytea CHECK (length(address) = 20),
    reference text,
    pay_by timestamptz,
    told text,                                   -- what the partner told last
    asks integer NOT NULL DEFAULT 0,             -- answers in a row that changed nothing
    ask_at timestamptz NOT NULL DEFAULT now(),
    refund_tx bytea CHECK (length(refund_tx) = 32),
    refund_number numeric(20, 0),                -- payment number in the partner's contract
    refund_minor bigint CHECK (refund_minor > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (partner_id, payout_id),
    CHECK (num_nonnulls(payout_id, address, reference, pay_by) IN (0, 4)),
    CHECK (state NOT IN ('registered', 'closed') OR payout_id IS NOT NULL),
    CHECK (num_nonnulls(refund_tx, refund_number, refund_minor) IN (0, 3))
);
CREATE INDEX payout_order_due ON payout_order (ask_at) WHERE state = 'registered';
-- A payment of the partner gives one transfer's money back.
CREATE UNIQUE INDEX payout_order_refund ON payout_order (partner_id, refund_number)
    WHERE refund_number IS NOT NULL;

-- Whom it is for, and where the money goes, stays as it was registered.
CREATE FUNCTION order_keeps_its_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a registered payout keeps its beneficiary, its address and its time'
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER keeps_its_terms BEFORE UPDATE ON payout_order FOR EACH ROW
    WHEN (OLD.payout_id IS NOT NULL AND
        (NEW.payout_id, NEW.address, NEW.reference, NEW.pay_by, NEW.beneficiary_hash)
        IS DISTINCT FROM
        (OLD.payout_id, OLD.address, OLD.reference, OLD.pay_by, OLD.beneficiary_hash))
    EXECUTE FUNCTION order_keeps_its_terms();

-- The partner that pays out; NULL: the beneficiary has the token itself.
ALTER TABLE transfer ADD COLUMN partner_id uuid REFERENCES partner;
CREATE INDEX transfer_by_payout_partner ON transfer (partner_id) WHERE partner_id IS NOT NULL;

-- What a partner has paid out, or sent back, stays so, whatever becomes of a block.
CREATE FUNCTION transfer_keeps_its_payout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what a partner paid out or sent back stays so'
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER keeps_its_payout BEFORE UPDATE ON transfer FOR EACH ROW
    WHEN (OLD.state IN ('paid_out', 'refunded') AND NEW.state <> OLD.state)
    EXECUTE FUNCTION transfer_keeps_its_payout();

-- Acceptance asks what is at partners.
CREATE INDEX account_of_partners ON account (asset)
    WHERE split_part(path, '/', 1) = 'partner_clearing';
"""

PRIVILEGES = """
GRANT SELECT, INSERT ON partner_quote, payout_order TO corridor_node;
GRANT UPDATE (beneficiary_hash, state, tries, payout_id, address, reference, pay_by, told, asks,
    ask_at, refund_tx, refund_number, refund_minor) ON payout_order TO corridor_node;
"""


def upgrade() -> None:
    """Create them."""
    run(TABLES, PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
