"""Rows of payouts, refunds and contracts as values, and the columns that makes them of."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import orjson

from node.core.mirror import TokenLog
from node.core.payout_matching import PaymentLog
from node.core.payouts import (
    BankAccount,
    Matched,
    PartnerContract,
    Payout,
    PayoutState,
    Person,
    Refund,
    RefundPolicy,
    RefundReason,
    RefundState,
)
from node.core.units import Address, BlockHash, TxHash
from node.store.amount_rows import amounts_of
from node.store.database import Row

REFUND: Final = """
r.id AS r_id, r.payout_id AS r_payout_id, r.partner_id AS r_partner_id, r.state AS r_state,
r.reason AS r_reason, r.asset AS r_asset, r.amount AS r_amount, r.address AS r_address,
r.transfer_id AS r_transfer_id, r.failure AS r_failure, r.version AS r_version,
r.created_at AS r_created_at, t.contract AS t_contract, t.payment_number AS t_payment_number,
t.tx_hash AS t_tx_hash, t.block_number AS t_block_number
"""
"""Of a refund `r` and the transfer `t` that pays it, if there is one."""

PAYOUT: Final = f"""
SELECT p.*, a.chain_id, a.address, came.units AS received, m.tx_hash AS m_tx_hash,
    m.block_number AS m_block_number, m.log_index AS m_log_index, m.settlement_contract,
    m.settlement_number, m.amount AS m_amount, back.*
FROM payout p JOIN deposit_address a ON a.id = p.address_id
LEFT JOIN deposit m ON m.id = p.matched_deposit_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(d.amount), 0) AS units FROM deposit d
    WHERE d.payout_id = p.id AND d.status NOT IN ('orphaned', 'unbooked')
) came
LEFT JOIN LATERAL (
    SELECT {REFUND} FROM refund r LEFT JOIN transfer t ON t.id = r.transfer_id
    WHERE r.payout_id = p.id ORDER BY r.created_at DESC, r.id DESC LIMIT 1
) back ON true
"""  # noqa: S608 - constants


def person_json(person: Person) -> str:
    """A person as it is kept."""
    return orjson.dumps(asdict(person)).decode()


def person_of(stored: Mapping[str, Any]) -> Person:
    """A person as it was kept."""
    account = stored["account"]
    return Person(**{**stored, "account": BankAccount(**account) if account else None})


def contract_of(row: Row) -> PartnerContract:
    """A registered contract."""
    back = row["refund_address"]
    return PartnerContract(
        partner_id=row["partner_id"],
        chain_id=row["chain_id"],
        address=Address(row["address"]),
        refund_address=None if back is None else Address(back),
        account_id=row["account_id"],
        registered_by=row["registered_by"],
        created_at=row["created_at"],
    )


def payout_of(row: Row) -> Payout:
    """The payout in a row of `PAYOUT`."""
    return Payout(
        id=row["id"],
        partner_id=row["partner_id"],
        quote_id=row["quote_id"],
        client_reference=row["client_reference"],
        reference=row["reference"],
        state=PayoutState(row["state"]),
        flags=frozenset(row["flags"]),
        amounts=amounts_of(row),
        rail=row["rail"],
        chain_id=row["chain_id"],
        address=Address(row["address"]),
        beneficiary=person_of(row["beneficiary"]),
        originator=None if row["originator"] is None else person_of(row["originator"]),
        purpose=row["purpose"],
        refund_policy=RefundPolicy(row["refund_policy"]),
        refund_address=Address(row["refund_address"]),
        attempt=row["attempt"],
        received=int(row["received"]),
        failure=row["failure"],
        made_by=row["made_by"],
        created_at=row["created_at"],
        pay_by=row["pay_by"],
        updated_at=row["updated_at"],
        version=row["version"],
        looks=row["looks"],
        matched_sequence=row["matched_sequence"],
        confirmed_sequence=row["confirmed_sequence"],
        unmatched_sequence=row["unmatched_sequence"],
        matched=_matched_of(row),
        refund=None if row["r_id"] is None else refund_of(row),
    )


def _matched_of(row: Row) -> Matched | None:
    if row["matched_deposit_id"] is None:
        return None
    return Matched(
        deposit_id=row["matched_deposit_id"],
        tx_hash=TxHash(row["m_tx_hash"]),
        block_number=row["m_block_number"],
        log_index=row["m_log_index"],
        contract=Address(row["settlement_contract"]),
        settlement_number=int(row["settlement_number"]),
        amount=int(row["m_amount"]),
    )


def refund_of(row: Row) -> Refund:
    """The refund in a row with the columns of `REFUND`."""
    contract, tx_hash = row["t_contract"], row["t_tx_hash"]
    return Refund(
        id=row["r_id"],
        payout_id=row["r_payout_id"],
        partner_id=row["r_partner_id"],
        state=RefundState(row["r_state"]),
        reason=RefundReason(row["r_reason"]),
        asset=row["r_asset"],
        amount=row["r_amount"],
        address=Address(row["r_address"]),
        transfer_id=row["r_transfer_id"],
        failure=row["r_failure"],
        version=row["r_version"],
        created_at=row["r_created_at"],
        contract=None if contract is None else Address(contract),
        payment_number=row["t_payment_number"],
        tx_hash=None if tx_hash is None else TxHash(tx_hash),
        block_number=row["t_block_number"],
    )


def payment_log_of(row: Row) -> PaymentLog:
    """The Transfer in a row of `token_log`, by itself."""
    return PaymentLog(
        BlockHash(row["block_hash"]),
        TokenLog(
            row["log_index"],
            TxHash(row["tx_hash"]),
            Address(row["from_address"]),
            Address(row["to_address"]),
            int(row["amount"]),
        ),
    )
