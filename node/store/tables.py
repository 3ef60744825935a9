"""Tables as SQLAlchemy Core sees them: the columns that ordinary statements name.

The schema itself, with its constraints and triggers, is `migrations/`; a test holds the two
together. Set-based statements on hot paths are written as SQL beside their callers.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata: Final = MetaData()
_time = DateTime(timezone=True)

partner = Table(
    "partner",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", _time),
    Column("status", Text, nullable=False),
    Column("country", Text),
    Column("requires_signature", Boolean, nullable=False),
    Column("spread_bps", SmallInteger),
    Column("version", Integer, nullable=False),
)

customer = Table(
    "customer",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("partner_id", Uuid),
    Column("name", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("email", Text),
    Column("created_at", _time),
)

credential = Table(
    "credential",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("role", Text, nullable=False),
    Column("partner_id", Uuid),
    Column("customer_id", Uuid),
    Column("name", Text, nullable=False),
    Column("created_at", _time),
    Column("expires_at", _time),
    Column("revoked_at", _time),
    Column("scopes", ARRAY(Text)),
    Column("networks", ARRAY(Text), nullable=False),
    Column("last_used_at", _time),
)

signing_key = Table(
    "signing_key",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("partner_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("created_at", _time),
    Column("expires_at", _time),
    Column("revoked_at", _time),
)

prefunding = Table(
    "prefunding",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("partner_id", Uuid, nullable=False),
    Column("asset", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("rail", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("ledger_sequence", BigInteger, nullable=False),
    Column("created_at", _time),
)

account = Table(
    "account",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("public_id", Uuid, nullable=False),
    Column("path", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("floor", BigInteger),
    Column("credit_line", BigInteger, nullable=False),
    Column("debits_pending", BigInteger),
    Column("debits_posted", BigInteger),
    Column("credits_pending", BigInteger),
    Column("credits_posted", BigInteger),
    Column("created_at", _time),
)

top_up = Table(
    "top_up",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("asset", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("rail", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("funded_by", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("ledger_sequence", BigInteger, nullable=False),
    Column("created_at", _time),
)

transfer = Table(
    "transfer",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("owner", Text, nullable=False),
    Column("quote_id", Uuid, nullable=False),
    Column("client_reference", Text),
    Column("purpose", Text),
    Column("beneficiary", JSONB, nullable=False),
    Column("beneficiary_address", LargeBinary, nullable=False),
    Column("sell_asset", Text, nullable=False),
    Column("sell_amount", BigInteger, nullable=False),
    Column("service_fee", BigInteger, nullable=False),
    Column("network_fee", BigInteger, nullable=False),
    Column("spread_amount", BigInteger, nullable=False),
    Column("buy_asset", Text, nullable=False),
    Column("buy_amount", BigInteger, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("contract", LargeBinary, nullable=False),
    Column("payment_number", BigInteger, nullable=False),
    Column("pending_sequence", BigInteger, nullable=False),
    Column("slot_id", Uuid),
    Column("was_written", Boolean, nullable=False),
    Column("batches_failed", SmallInteger, nullable=False),
    Column("void_outcome", Text),
    Column("waiting_code", Text),
    Column("waiting_since", _time),
    Column("tx_hash", LargeBinary),
    Column("block_number", BigInteger),
    Column("failure", JSONB),
    Column("created_at", _time, nullable=False),
    Column("updated_at", _time, nullable=False),
    Column("settle_by", _time, nullable=False),
    Column("partner_id", Uuid),
)

event = Table(
    "event",
    metadata,
    Column("sequence", BigInteger, primary_key=True),
    Column("object", Text, nullable=False),
    Column("object_id", Uuid, nullable=False),
    Column("object_sequence", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("detail", JSONB, nullable=False),
    Column("occurred_at", _time, nullable=False),
    Column("customer_id", Uuid),
)

chain_cursor = Table(
    "chain_cursor",
    metadata,
    Column("chain_id", BigInteger, primary_key=True),
    Column("start_number", BigInteger, nullable=False),
    Column("head_number", BigInteger, nullable=False),
    Column("head_hash", LargeBinary, nullable=False),
    Column("final_number", BigInteger, nullable=False),
    Column("final_hash", LargeBinary, nullable=False),
    Column("halted_reason", Text),
    Column("moved_at", _time, nullable=False),
)

chain_holding = Table(
    "chain_holding",
    metadata,
    Column("chain_id", BigInteger, primary_key=True),
    Column("address", LargeBinary, primary_key=True),
    Column("asset", Text, primary_key=True),
    Column("amount", Numeric(78, 0), nullable=False),
    Column("as_of_number", BigInteger, nullable=False),
)

reconciliation_break = Table(
    "reconciliation_break",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("code", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("expected", Text, nullable=False),
    Column("actual", Text, nullable=False),
    Column("evidence", JSONB, nullable=False),
    Column("next_action", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("first_seen_at", _time, nullable=False),
    Column("last_seen_at", _time, nullable=False),
    Column("resolved_at", _time),
    Column("resolved_by", Text),
    Column("resolution", JSONB),
    Column("due_at", _time),
    Column("owner", Text),
    Column("proposal", JSONB),
    Column("reopens", Uuid),
)
