"""Reorgs past finality: who proposed and accepted them, and what was undone by them.

A final block is never undone but by an accepted row of `reorg`. Each ledger transaction, transfer
and slot that such a reorg takes back is noted here, once; triggers let nothing else back.
"""

from node.store.migration import run

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
-- How many reorgs past finality were accepted. Ledger keys made of chain facts carry it, so that
-- what was undone can be booked again.
ALTER TABLE chain_cursor ADD COLUMN epoch integer NOT NULL DEFAULT 0;

CREATE TABLE reorg (
    id uuid PRIMARY KEY,
    chain_id bigint NOT NULL,
    state text NOT NULL DEFAULT 'proposed' CHECK (state IN ('proposed', 'replaced', 'accepted')),
    final_number bigint NOT NULL,                -- the final block that the chain replaced
    final_hash bytea NOT NULL CHECK (length(final_hash) = 32),
    block_hash bytea NOT NULL CHECK (length(block_hash) = 32),  -- what the chain has there instead
    fork_number bigint NOT NULL,                 -- the newest block that both have
    fork_hash bytea NOT NULL CHECK (length(fork_hash) = 32),
    plan jsonb NOT NULL,                         -- what the proposer was shown
    reason text,
    proposed_by text NOT NULL,                   -- principal
    proposed_at timestamptz NOT NULL DEFAULT now(),
    accepted_by text,
    accepted_at timestamptz,
    epoch integer CHECK (epoch > 0),             -- that began when it was accepted
    CHECK (fork_number < final_number AND block_hash <> final_hash),
    CONSTRAINT two_persons CHECK (accepted_by <> proposed_by),
    CHECK (num_nonnulls(accepted_by, accepted_at, epoch)
        = CASE WHEN state = 'accepted' THEN 3 ELSE 0 END)
);
CREATE UNIQUE INDEX reorg_open ON reorg (chain_id) WHERE state = 'proposed';
CREATE UNIQUE INDEX reorg_by_epoch ON reorg (chain_id, epoch) WHERE epoch IS NOT NULL;
CREATE INDEX reorg_by_age ON reorg (proposed_at DESC, id DESC);
CREATE FUNCTION reorg_is_decided_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'proposed' THEN
        RAISE EXCEPTION 'a reorg is decided once' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER decided_once BEFORE UPDATE ON reorg
    FOR EACH ROW EXECUTE FUNCTION reorg_is_decided_once();

-- What came from a block is found by the block.
CREATE INDEX ledger_transaction_by_block ON ledger_transaction ((detail ->> 'block_hash'))
    WHERE detail ? 'block_hash';

-- Blocks that were final until then.
CREATE TABLE reorg_block (
    reorg_id uuid NOT NULL REFERENCES reorg,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    number bigint NOT NULL,
    PRIMARY KEY (reorg_id, hash)
);
CREATE INDEX reorg_block_by_hash ON reorg_block (hash);

-- Slots that were final until then, with what was known of them.
CREATE TABLE reorg_slot (
    reorg_id uuid NOT NULL REFERENCES reorg,
    slot_id uuid NOT NULL REFERENCES slot,
    block_hash bytea NOT NULL,
    tx_hash bytea NOT NULL,
    succeeded boolean NOT NULL,
    gas_used bigint NOT NULL,
    effective_gas_price_wei numeric(78, 0) NOT NULL,
    PRIMARY KEY (reorg_id, slot_id)
);

-- Ledger transactions that were reversed, each at most once.
CREATE TABLE reorg_booking (
    sequence bigint PRIMARY KEY REFERENCES ledger_transaction,
    reorg_id uuid NOT NULL REFERENCES reorg,
    reversal_sequence bigint NOT NULL UNIQUE REFERENCES ledger_transaction
);

-- Transfers that were settled until then: what was posted is reversed and held again.
CREATE TABLE reorg_transfer (
    reorg_id uuid NOT NULL REFERENCES reorg,
    transfer_id uuid NOT NULL REFERENCES transfer,
    old_pending bigint NOT NULL UNIQUE REFERENCES ledger_transaction,
    reversal_sequence bigint NOT NULL UNIQUE REFERENCES ledger_transaction,
    new_pending bigint NOT NULL UNIQUE REFERENCES ledger_transaction,
    PRIMARY KEY (reorg_id, transfer_id)
);
CREATE INDEX reorg_transfer_by_transfer ON reorg_transfer (transfer_id);

-- Deposits that were taken back after their owner had spent them: what is missing is a loss until
-- the same transaction is final again.
CREATE TABLE reorg_shortfall (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reorg_id uuid NOT NULL REFERENCES reorg,
    account text NOT NULL,                       -- customer/cus_.../USDC
    asset text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    sequence bigint NOT NULL REFERENCES ledger_transaction,  -- that was reversed, the deposit's
    tx_hash bytea NOT NULL,
    break_id uuid NOT NULL,
    recovered_sequence bigint REFERENCES ledger_transaction
);
CREATE INDEX reorg_shortfall_open ON reorg_shortfall (id) WHERE recovered_sequence IS NULL;
CREATE INDEX deposit_by_tx ON deposit (tx_hash);

CREATE FUNCTION row_follows_reorg() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM reorg r JOIN chain_cursor c
        ON c.chain_id = r.chain_id AND c.epoch = r.epoch WHERE r.id = NEW.reorg_id)
    THEN
        RAISE EXCEPTION 'nothing final is undone but by the reorg that is being accepted'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER follows_reorg BEFORE INSERT ON reorg_block
    FOR EACH ROW EXECUTE FUNCTION row_follows_reorg();
CREATE TRIGGER follows_reorg BEFORE INSERT ON reorg_slot
    FOR EACH ROW EXECUTE FUNCTION row_follows_reorg();
CREATE TRIGGER follows_reorg BEFORE INSERT ON reorg_booking
    FOR EACH ROW EXECUTE FUNCTION row_follows_reorg();
CREATE TRIGGER follows_reorg BEFORE INSERT ON reorg_transfer
    FOR EACH ROW EXECUTE FUNCTION row_follows_reorg();
CREATE TRIGGER follows_reorg BEFORE INSERT ON reorg_shortfall
    FOR EACH ROW EXECUTE FUNCTION row_follows_reorg();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reorg_block
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reorg_slot
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reorg_booking
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reorg_transfer
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The money of a transfer is that which was held for it, and what is settled stays so, unless a
-- reorg past finality has undone it: then the same integers are held again.
CREATE FUNCTION transfer_keeps_its_money() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'settled' OR NEW.state = 'settled' OR NOT EXISTS (
        SELECT FROM reorg_transfer WHERE transfer_id = OLD.id
            AND old_pending = OLD.pending_sequence AND new_pending = NEW.pending_sequence)
    THEN
        RAISE EXCEPTION 'what is settled stays settled, unless an accepted reorg undid it'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keeps_its_money BEFORE UPDATE ON transfer FOR EACH ROW
    WHEN (OLD.pending_sequence <> NEW.pending_sequence
        OR OLD.state = 'settled' AND NEW.state <> 'settled')
    EXECUTE FUNCTION transfer_keeps_its_money();

-- As before, with one way back: the slot was final in a block that the reorg of this epoch undid.
-- Once per statement: a slot has hundreds of members, and all of them are decided together.
CREATE OR REPLACE FUNCTION member_lives_until_decided() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed record;
BEGIN
    FOR changed IN
        SELECT DISTINCT slot_id, live FROM (
            SELECT slot_id, position, live FROM new_member
            EXCEPT SELECT slot_id, position, live FROM old_member
        ) AS each
    LOOP
        IF changed.live AND NOT EXISTS (
            SELECT FROM reorg_slot u JOIN reorg r ON r.id = u.reorg_id
            JOIN chain_cursor c ON c.chain_id = r.chain_id AND c.epoch = r.epoch
            JOIN slot s ON s.id = u.slot_id AND s.state = 'submitted'
            WHERE u.slot_id = changed.slot_id)
        THEN
            RAISE EXCEPTION 'a number that was given up by a slot comes back to it only by a reorg'
                USING ERRCODE = 'restrict_violation';
        END IF;
        IF NOT changed.live AND EXISTS (SELECT FROM slot WHERE id = changed.slot_id
            AND state NOT IN ('final', 'foreign') AND purpose <> 'noop')
        THEN
            RAISE EXCEPTION 'a number is free only when its slot is final, foreign or a no-op'
                USING ERRCODE = 'restrict_violation';
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
DROP TRIGGER lives_until_decided ON slot_member;
CREATE TRIGGER lives_until_decided AFTER UPDATE ON slot_member
    REFERENCING OLD TABLE AS old_member NEW TABLE AS new_member
    FOR EACH STATEMENT EXECUTE FUNCTION member_lives_until_decided();
"""

PRIVILEGES = """
GRANT SELECT ON reorg, reorg_block, reorg_slot, reorg_booking, reorg_transfer, reorg_shortfall
    TO corridor_node;
GRANT INSERT ON reorg, reorg_block, reorg_slot, reorg_booking, reorg_transfer, reorg_shortfall
    TO corridor_node;
GRANT UPDATE (state, accepted_by, accepted_at, epoch) ON reorg TO corridor_node;
GRANT UPDATE (recovered_sequence) ON reorg_shortfall TO corridor_node;
GRANT UPDATE (pending_sequence) ON transfer TO corridor_node;
"""


def upgrade() -> None:
    """Create them."""
    run(TABLES, PRIVILEGES)


def downgrade() -> None:
    """Refuse: what was recorded is not thrown away by a migration."""
    raise NotImplementedError("records are kept")
