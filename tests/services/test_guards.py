"""What holds the ledger and leads to the chain: verification sees when it is taken away."""

import pytest

from tests.services.tampering import Tamperer


@pytest.mark.parametrize(
    ("statement", "subject", "actual"),
    [
        ("ALTER TABLE entry DISABLE TRIGGER append_only", "entry", "disabled"),
        ("ALTER TABLE entry DISABLE TRIGGER USER", "entry", "disabled"),
        ("DROP TRIGGER counters_follow_entries ON account", "account", "there is none"),
        (
            "ALTER TABLE account DROP CONSTRAINT available_not_below_floor",
            "account",
            "there is none, or it is not valid",
        ),
        ("GRANT UPDATE ON entry TO corridor_node", "entry", "it may"),
        ("GRANT INSERT ON ledger_transaction TO corridor_node", "ledger_transaction", "it may"),
        ("GRANT DELETE ON quote TO corridor_node", "quote", "it may"),
    ],
)
def test_a_guard_that_was_taken_away_is_named(
    tamperer: Tamperer, statement: str, subject: str, actual: str
) -> None:
    found = [each for each in tamperer.found(statement) if each.check == "guards"]
    assert (subject, actual) in {(each.subject, each.actual) for each in found}


def test_a_number_that_would_be_given_out_again_is_named(tamperer: Tamperer) -> None:
    (found,) = [
        each
        for each in tamperer.found("UPDATE settlement_contract SET next_number = 1")
        if each.check == "numbers"
    ]
    assert found.actual == "1"
    assert tamperer.found("DELETE FROM settlement_contract")


@pytest.mark.parametrize(
    "change",
    [
        "amount = amount + 1",
        "beneficiary = decode(repeat('ee', 20), 'hex')",
        "payment_number = payment_number + 1000",
        "contract = decode(repeat('ee', 20), 'hex')",
    ],
)
def test_a_payment_of_a_batch_that_is_not_its_transfers_is_named(
    tamperer: Tamperer, change: str
) -> None:
    with tamperer.undone():
        tamperer.run(
            "INSERT INTO lane (chain_id, address, next_nonce)"
            " VALUES (1, decode(repeat('aa', 20), 'hex'), 100)"
        )
        tamperer.run(
            "INSERT INTO slot (id, lane_id, nonce, purpose, to_address, calldata, gas_limit)"
            " SELECT gen_random_uuid(), id, 99, 'settle', address, '', 1 FROM lane"
            " ORDER BY id DESC LIMIT 1"
        )
        tamperer.run(
            "INSERT INTO slot_member SELECT s.id, row_number() OVER (), t.id, t.payment_number,"
            " t.contract, t.beneficiary_address, t.buy_amount, 'settle', false"
            " FROM transfer t, slot s WHERE s.nonce = 99"
        )
        assert [each for each in tamperer.verify().differences if each.check == "members"] == []
        tamperer.run(
            f"UPDATE slot_member SET {change} WHERE slot_id IN"
            " (SELECT id FROM slot WHERE nonce = 99)"
        )
        found = [each for each in tamperer.verify().differences if each.check == "members"]
    assert len(found) == len(tamperer.rows("SELECT FROM transfer"))
