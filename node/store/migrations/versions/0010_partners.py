"""Partners as parties: terms, credit lines, scoped keys, signing keys, prefundings."""

from node.store.migration import run

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE partner
    ADD COLUMN status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    ADD COLUMN country text,                     -- ISO 3166-1 alpha-2
    ADD COLUMN requires_signature boolean NOT NULL DEFAULT false,
    ADD COLUMN spread_bps smallint CHECK (spread_bps BETWEEN 0 AND 9999),  -- NULL: the corridor's
    ADD COLUMN version integer NOT NULL DEFAULT 1;  -- sequence of its newest change
CREATE INDEX partner_by_age ON partner (created_at DESC, id DESC);

-- How far a partner's balance may be below 0, and how much it may sell.
CREATE TABLE partner_limit (
    partner_id uuid NOT NULL REFERENCES partner,
    asset text NOT NULL,
    account text NOT NULL UNIQUE,                -- path of its account
    credit_line bigint NOT NULL DEFAULT 0
        CHECK (credit_line >= 0 AND credit_line < 4611686018427387904),
    sell_max bigint CHECK (sell_max > 0),        -- of one quote
    daily_sell_max bigint CHECK (daily_sell_max > 0),  -- of a day, UTC
    PRIMARY KEY (partner_id, asset),
    CHECK (account LIKE 'partner/%/' || asset)
);

-- What was changed of a partner, when, by whom: terms, limits, status.
CREATE TABLE partner_change (
    partner_id uuid NOT NULL REFERENCES partner,
    version integer NOT NULL,
    change jsonb NOT NULL,
    made_by text NOT NULL,                       -- principal
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partner_id, version)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON partner_change
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The floor of an account is a term of the chart and hashed when the account opens. A credit line
-- is a term of its partner and may change: it is kept beside the floor, and not hashed.
ALTER TABLE account ADD COLUMN credit_line bigint NOT NULL DEFAULT 0 CHECK (credit_line >= 0);
ALTER TABLE account DROP CONSTRAINT available_not_below_floor;
ALTER TABLE account ADD CONSTRAINT available_not_below_floor CHECK (
    floor IS NULL
    OR floor - credit_line <= CASE WHEN kind IN ('asset', 'expense')
        THEN debits_posted - credits_posted - credits_pending
        ELSE credits_posted - debits_posted - debits_pending END);

-- The line of an account is that of its partner: when the account opens, and when the line moves.
-- Under the ledger's lock, so that no account opens in between.
CREATE FUNCTION account_takes_credit_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.credit_line := coalesce(
        (SELECT credit_line FROM partner_limit WHERE account = NEW.path), 0);
    RETURN NEW;
END $$;
CREATE TRIGGER takes_credit_line BEFORE INSERT ON account
    FOR EACH ROW EXECUTE FUNCTION account_takes_credit_line();
CREATE FUNCTION credit_line_moves_account() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM ledger FOR UPDATE;
    UPDATE account SET credit_line = NEW.credit_line WHERE path = NEW.account;
    RETURN NULL;
END $$;
CREATE TRIGGER moves_account AFTER INSERT OR UPDATE ON partner_limit
    FOR EACH ROW EXECUTE FUNCTION credit_line_moves_account();

ALTER TABLE credential
    ADD COLUMN scopes text[] CHECK (scopes <@ '{read,quote,pay,refund,admin}'::text[]),
    ADD COLUMN networks text[] NOT NULL DEFAULT '{}',  -- CIDR; none: from anywhere
    ADD COLUMN last_used_at timestamptz;
CREATE INDEX credential_by_partner ON credential (partner_id, created_at DESC, id DESC)
    WHERE partner_id IS NOT NULL;

CREATE TABLE signing_key (
    id uuid PRIMARY KEY,
    partner_id uuid NOT NULL REFERENCES partner,
    name text NOT NULL,
    public_key bytea NOT NULL CHECK (length(public_key) = 32),  -- ed25519
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX signing_key_by_partner ON signing_key (partner_id, created_at DESC, id DESC);

-- Nonces of signed requests that could still be sent again.
CREATE TABLE request_nonce (
    partner_id uuid NOT NULL REFERENCES partner,
    nonce text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (partner_id, nonce)
);
CREATE INDEX request_nonce_by_end ON request_nonce (expires_at);
-- The node deletes nothing by itself; nonces of requests that have expired are of no more use.
CREATE FUNCTION forget_request_nonces() RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
    DELETE FROM request_nonce WHERE (partner_id, nonce) IN (
        SELECT partner_id, nonce FROM request_nonce WHERE expires_at < now()
        ORDER BY expires_at LIMIT 100 FOR UPDATE SKIP LOCKED)
$$;

-- Money that arrived at a bank of the node for a partner's own balance.
CREATE TABLE prefunding (
    id uuid PRIMARY KEY,
    partner_id uuid NOT NULL REFERENCES partner,
    asset text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    rail text NOT NULL,
    reference text NOT NULL,
    made_by text NOT NULL,                       -- principal
    ledger_sequence bigint NOT NULL UNIQUE REFERENCES ledger_transaction,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (rail, reference)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON prefunding
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE INDEX prefunding_by_partner ON prefunding (partner_id, created_at DESC, id DESC);
"""

PRIVILEGES = """
GRANT SELECT, INSERT ON partner_limit, partner_change, signing_key, request_nonce, prefunding
    TO corridor_node;
GRANT UPDATE (status, requires_signature, spread_bps, version) ON partner TO corridor_node;
GRANT UPDATE (credit_line, sell_max, daily_sell_max) ON partner_limit TO corridor_node;
GRANT UPDATE (last_used_at) ON credential TO corridor_node;
GRANT UPDATE (revoked_at) ON signing_key TO corridor_node;
REVOKE EXECUTE ON FUNCTION forget_request_nonces FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_request_nonces TO corridor_node;
REVOKE EXECUTE ON FUNCTION credit_line_moves_account FROM PUBLIC;
"""


def upgrade() -> None:
    """Create them."""
    run(TABLES, PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
