"""Statements of the bank."""

from node.store.migration import run

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE bank_statement (
    id uuid PRIMARY KEY,
    rail text NOT NULL,
    asset text NOT NULL,
    place bigint NOT NULL CHECK (place > 0),     -- order of the account's statements, no gaps
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    part integer NOT NULL CHECK (part >= 0),     -- place within the file
    name text NOT NULL,                          -- the bank's
    account text NOT NULL,                       -- IBAN or another number; empty: not told
    number bigint,                               -- the bank's electronic sequence number
    first_day date NOT NULL,
    last_day date NOT NULL CHECK (last_day >= first_day),
    opening bigint NOT NULL,
    closing bigint NOT NULL,
    known integer NOT NULL CHECK (known >= 0),   -- lines that an earlier statement had
    pending integer NOT NULL CHECK (pending >= 0),
    made_by text NOT NULL,
    imported_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (rail, asset, place),
    UNIQUE (rail, sha256, part)
);
CREATE INDEX bank_statement_by_age ON bank_statement (imported_at DESC, id DESC);

CREATE TABLE bank_line (
    id uuid PRIMARY KEY,
    statement_id uuid NOT NULL REFERENCES bank_statement,
    rail text NOT NULL,
    asset text NOT NULL,
    position integer NOT NULL CHECK (position > 0),
    amount bigint NOT NULL CHECK (amount <> 0),  -- above 0: money came in
    booked_on date NOT NULL,
    value_on date,
    refs text[] NOT NULL,                        -- what may be the payment's reference
    identity text,                               -- the bank's own name of the line
    counterparty text NOT NULL,
    description text NOT NULL,
    is_reversal boolean NOT NULL,
    UNIQUE (statement_id, position),
    UNIQUE (rail, asset, identity)
);
CREATE INDEX bank_line_of_account ON bank_line (rail, asset, booked_on, id);

-- A line and the ledger transaction that it is; each at most once.
CREATE TABLE bank_match (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line_id uuid NOT NULL UNIQUE REFERENCES bank_line,
    rail text NOT NULL,
    asset text NOT NULL,
    ledger_sequence bigint NOT NULL REFERENCES ledger_transaction,
    by text NOT NULL CHECK (by IN ('break', 'reference', 'confirmed')),
    made_by text NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (rail, asset, ledger_sequence)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bank_statement
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bank_line
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bank_match
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

PRIVILEGES = """
GRANT SELECT, INSERT ON bank_statement, bank_line, bank_match TO corridor_node;
"""


def upgrade() -> None:
    """Create them."""
    run(TABLES, PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
