"""Payouts that partners were asked to make, in PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from node.core.deposits import Owner
from node.core.payout_matching import PaymentLog
from node.core.payout_orders import (
    LATE_WORD_EVERY,
    ChangeKind,
    ChangeState,
    Conclusion,
    OrderState,
    PartnerPayout,
    PartnerState,
    Payee,
    PayoutOrder,
)
from node.core.payouts import BankAccount, RefundPolicy
from node.core.ports.deposits import Released
from node.core.ports.payout_orders import Asking, DueOrder, PayoutChange
from node.core.units import Address, TxHash
from node.store.database import Connection, Row
from node.store.payout_rows import payment_log_of

_BEGIN: Final = """
INSERT INTO payout_order (quote_id, partner_id, beneficiary_hash, purpose, refund_policy)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (quote_id) DO UPDATE SET
    state = CASE WHEN payout_order.state = 'refused' THEN 'registering' ELSE payout_order.state END,
    tries = payout_order.tries + CASE WHEN payout_order.state = 'refused' THEN 1 ELSE 0 END,
    beneficiary_hash = CASE WHEN payout_order.state = 'refused' THEN excluded.beneficiary_hash
        ELSE payout_order.beneficiary_hash END,
    purpose = CASE WHEN payout_order.state = 'refused' THEN excluded.purpose
        ELSE payout_order.purpose END,
    refund_policy = CASE WHEN payout_order.state = 'refused' THEN excluded.refund_policy
        ELSE payout_order.refund_policy END
RETURNING *
"""
_REGISTER: Final = """
UPDATE payout_order o SET state = 'registered', payout_id = $2, address = $3, reference = $4,
    pay_by = $5, told = $6
WHERE quote_id = $1 AND state = 'registering' AND NOT EXISTS (SELECT FROM payout_order other
    WHERE other.partner_id = o.partner_id AND other.payout_id = $2)
"""
# Only what is at the partner by final blocks is asked about, and nothing while nobody knows whom it
# is for.
_DUE: Final = """
WITH due AS (
    SELECT o.quote_id, t.id AS transfer_id
    FROM payout_order o JOIN transfer t ON t.quote_id = o.quote_id
    WHERE o.state = 'registered' AND o.ask_at <= now()
        AND (t.state IN ('payout_pending', 'undeliverable', 'refunded')
            OR o.concluded IS NOT NULL)
        AND NOT EXISTS (SELECT FROM payout_change c WHERE c.quote_id = o.quote_id
            AND c.state = 'asking' AND c.kind = 'correct')
    ORDER BY o.ask_at LIMIT $1 FOR UPDATE OF o SKIP LOCKED
)
UPDATE payout_order o SET ask_at = now() + $2::interval FROM due WHERE o.quote_id = due.quote_id
RETURNING o.*, due.transfer_id
"""
_WAKE: Final = """
UPDATE payout_order SET ask_at = now(), asks = 0
WHERE partner_id = $1 AND payout_id = $2 AND state = 'registered'
"""
_REOPEN: Final = """
UPDATE payout_order o SET state = 'registered', asks = 0, ask_at = now() FROM transfer t
WHERE t.quote_id = o.quote_id AND t.id = ANY($1::uuid[]) AND t.state = 'refunded'
    AND o.state = 'closed'
"""
_LAPSE: Final = """
WITH over AS (
    SELECT o.quote_id FROM payout_order o JOIN quote q ON q.id = o.quote_id
    WHERE o.state IN ('registering', 'registered')
        AND coalesce(o.pay_by, q.expires_at) < now() - interval '10 minutes'
        AND q.transfer_id IS NULL AND q.expires_at < now() - interval '10 minutes'
    ORDER BY o.ask_at LIMIT $1 FOR UPDATE OF o SKIP LOCKED
)
UPDATE payout_order o SET state = 'lapsed' FROM over WHERE o.quote_id = over.quote_id
"""
_REFUNDED: Final = """
UPDATE payout_order o SET refund_tx = $2, refund_number = $3, refund_minor = $4
WHERE quote_id = $1 AND NOT EXISTS (SELECT FROM payout_order other
    WHERE other.partner_id = o.partner_id AND other.refund_tx = $2 AND other.refund_number = $3
        AND other.quote_id <> o.quote_id)
"""
_REFUND_LOGS: Final = """
SELECT d.block_hash, d.log_index, d.tx_hash, d.from_address, d.to_address, d.amount FROM deposit d
WHERE d.chain_id = $1 AND d.tx_hash = $2 AND d.from_address = $3 AND d.amount = $4
    AND d.status = 'held' AND d.request_id IS NULL AND d.payout_id IS NULL
    AND num_nonnulls(d.customer_id, d.partner_id) = 0
ORDER BY d.log_index
"""
_REFUND: Final = """
SELECT d.* FROM deposit d WHERE d.chain_id = $1 AND d.block_hash = $2 AND d.log_index = $3
    AND d.status = 'held' AND d.request_id IS NULL AND d.payout_id IS NULL
    AND num_nonnulls(d.customer_id, d.partner_id) = 0
FOR UPDATE
"""
# A reorg past finality may take a refund back: the partner then has the token again, and the
# promise ended with that refund.
_AT_PARTNERS: Final = """
SELECT coalesce(sum(debits_posted - credits_posted), 0)::bigint - (
    SELECT coalesce(sum(t.buy_amount), 0)::bigint
    FROM payout_order o JOIN transfer t ON t.quote_id = o.quote_id
    WHERE o.refund_tx IS NOT NULL AND o.state <> 'closed' AND o.concluded IS NULL
        AND t.state = 'refunded' AND t.buy_asset = $1)
FROM account WHERE split_part(path, '/', 1) = 'partner_clearing' AND asset = $1
"""
_NEWEST_CHANGE: Final = """
SELECT * FROM payout_change WHERE quote_id = $1 ORDER BY number DESC LIMIT 1
"""
# Whoever stores it asks at once; the job only where that came to nothing.
_BEGIN_CHANGE: Final = """
INSERT INTO payout_change (quote_id, number, kind, beneficiary, asked_by, asked_key, ask_at)
VALUES ($1, $2, $3, $4::text::jsonb, $5, $6, now() + interval '10 seconds')
"""
_END_CHANGE: Final = """
UPDATE payout_change SET state = $3, reason = $4
WHERE quote_id = $1 AND number = $2 AND state = 'asking'
"""
_ASK_CHANGE_LATER: Final = """
UPDATE payout_change SET asks = $3, ask_at = now() + $4::interval
WHERE quote_id = $1 AND number = $2 AND state = 'asking'
"""
_DUE_CHANGES: Final = """
WITH due AS (
    SELECT quote_id, number FROM payout_change WHERE state = 'asking' AND ask_at <= now()
    ORDER BY ask_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE payout_change c SET ask_at = now() + $2::interval FROM due
WHERE c.quote_id = due.quote_id AND c.number = due.number
RETURNING c.*
"""
_CORRECTED: Final = """
SELECT beneficiary FROM payout_change WHERE quote_id = $1 AND kind = 'correct' AND state = 'done'
ORDER BY number DESC LIMIT 1
"""


class PayoutOrderStore:
    """See `node.core.ports.payout_orders.PayoutOrderRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._raw = connection.raw

    async def order(self, quote_id: UUID) -> PayoutOrder | None:
        """The payout of a quote, if one was asked for."""
        return (await self.orders([quote_id])).get(quote_id)

    async def orders(self, quote_ids: Sequence[UUID]) -> Mapping[UUID, PayoutOrder]:
        """By quote; those without one are left out."""
        rows = await self._raw.fetch(
            "SELECT * FROM payout_order WHERE quote_id = ANY($1::uuid[])", list(quote_ids)
        )
        return {row["quote_id"]: _order(row) for row in rows}

    async def lock(self, quote_id: UUID) -> PayoutOrder | None:
        """The payout of a quote, held until the end of the transaction."""
        row = await self._raw.fetchrow(
            "SELECT * FROM payout_order WHERE quote_id = $1 FOR UPDATE", quote_id
        )
        return _order(row) if row else None

    async def begin(self, quote_id: UUID, partner_id: UUID, asking: Asking) -> PayoutOrder:
        """The payout of a quote, held until the end of the transaction; a new one if none is."""
        row = await self._raw.fetchrow(
            _BEGIN,
            quote_id,
            partner_id,
            asking.beneficiary_hash,
            asking.purpose,
            asking.refund_policy.value,
        )
        assert row is not None
        return _order(row)

    async def register(self, quote_id: UUID, told: PartnerPayout) -> bool:
        """Keep what the partner answered to a registration; see the port."""
        status: str = await self._raw.execute(
            _REGISTER,
            quote_id,
            told.id,
            told.address,
            told.reference,
            told.pay_by,
            told.state.value,
        )
        return status != "UPDATE 0"

    async def end(self, quote_id: UUID, state: OrderState) -> None:
        """Refused, lapsed, disputed or closed."""
        await self._raw.execute(
            "UPDATE payout_order SET state = $2 WHERE quote_id = $1", quote_id, state.value
        )

    async def conclude(self, quote_id: UUID, conclusion: Conclusion) -> None:
        """Keep that two operators ended it, and how."""
        await self._raw.execute(
            "UPDATE payout_order SET concluded = $2, asks = 0, ask_at = now() + $3::interval"
            " WHERE quote_id = $1",
            quote_id,
            conclusion.value,
            LATE_WORD_EVERY,
        )

    async def due(self, limit: int, lease: timedelta) -> Sequence[DueOrder]:
        """Payouts to ask about now; nobody else gets them for as long as `lease`."""
        rows = await self._raw.fetch(_DUE, limit, lease)
        return [DueOrder(_order(row), row["transfer_id"], row["asks"]) for row in rows]

    async def told(
        self, quote_id: UUID, state: PartnerState, asks: int, again_after: timedelta
    ) -> None:
        """Keep what the partner told, and when it is asked again."""
        await self._raw.execute(
            "UPDATE payout_order SET told = $2, asks = $3, ask_at = now() + $4::interval"
            " WHERE quote_id = $1",
            quote_id,
            state.value,
            asks,
            again_after,
        )

    async def refunded(self, quote_id: UUID, tx_hash: TxHash, number: int, minor: int) -> bool:
        """Keep by which payment the partner says that it sent the money back; once for each."""
        status: str = await self._raw.execute(_REFUNDED, quote_id, tx_hash, number, minor)
        return status != "UPDATE 0"

    async def wake(self, partner_id: UUID, payout_id: str) -> bool:
        """Ask about a payout as soon as possible; False: there is no such payout to ask about."""
        status: str = await self._raw.execute(_WAKE, partner_id, payout_id)
        return status != "UPDATE 0"

    async def reopen(self, transfer_ids: Sequence[UUID]) -> None:
        """Ask again about refunded transfers whose refund a reorg past finality took back."""
        await self._raw.execute(_REOPEN, list(transfer_ids))

    async def lapse(self, limit: int) -> int:
        """End registrations whose time is over and whose quote no transfer consumed."""
        return int((await self._raw.execute(_LAPSE, limit)).split()[-1])

    async def refund_logs(
        self, chain_id: int, tx_hash: TxHash, from_address: Address, minor: int
    ) -> Sequence[PaymentLog]:
        """Final payments of so much by a contract, in a transaction, that nobody has yet."""
        rows = await self._raw.fetch(_REFUND_LOGS, chain_id, tx_hash, from_address, minor)
        return [payment_log_of(row) for row in rows]

    async def refund_deposit(self, chain_id: int, payment: PaymentLog) -> Released | None:
        """The held deposit of such a payment, locked; None: somebody has it meanwhile."""
        row = await self._raw.fetchrow(_REFUND, chain_id, *payment.name)
        if row is None:
            return None
        return Released(
            row["id"], Owner(), row["asset"], int(row["amount"]), row["break_id"], row["version"]
        )

    async def promised_at_partners(self, asset: str) -> int:
        """What partners have been paid whose promise is still open, minor units of the token."""
        return int(await self._raw.fetchval(_AT_PARTNERS, asset))

    # ------------------------------------------------------------------------------- changes

    async def newest_change(self, quote_id: UUID) -> PayoutChange | None:
        """What was asked last about a payout."""
        row = await self._raw.fetchrow(_NEWEST_CHANGE, quote_id)
        return _change(row) if row else None

    async def begin_change(self, change: PayoutChange) -> None:
        """Keep what is to be asked."""
        await self._raw.execute(
            _BEGIN_CHANGE,
            change.quote_id,
            change.number,
            change.kind.value,
            None if change.payee is None else _payee_json(change.payee),
            change.asked_by,
            change.asked_key,
        )

    async def end_change(
        self, change: PayoutChange, state: ChangeState, reason: str | None = None
    ) -> bool:
        """Keep the partner's answer; False, and nothing is kept: it was answered before."""
        status: str = await self._raw.execute(
            _END_CHANGE, change.quote_id, change.number, state.value, reason
        )
        return status != "UPDATE 0"

    async def ask_change_later(self, change: PayoutChange, again_after: timedelta) -> None:
        """Keep that no answer came."""
        await self._raw.execute(
            _ASK_CHANGE_LATER, change.quote_id, change.number, change.asks + 1, again_after
        )

    async def due_changes(self, limit: int, lease: timedelta) -> Sequence[PayoutChange]:
        """What is to be asked again now; nobody else gets it for as long as `lease`."""
        return [_change(row) for row in await self._raw.fetch(_DUE_CHANGES, limit, lease)]

    async def corrected(self, quote_id: UUID) -> Payee | None:
        """Who is paid by the newest correction that the partner has made; None: none was made."""
        found = await self._raw.fetchval(_CORRECTED, quote_id)
        return None if found is None else payee_of(found)


def _change(row: Row) -> PayoutChange:
    return PayoutChange(
        quote_id=row["quote_id"],
        number=row["number"],
        kind=ChangeKind(row["kind"]),
        payee=None if row["beneficiary"] is None else payee_of(row["beneficiary"]),
        asked_by=row["asked_by"],
        asked_key=row["asked_key"],
        state=ChangeState(row["state"]),
        reason=row["reason"],
        asks=row["asks"],
    )


def payee_of(stored: Mapping[str, Any]) -> Payee:
    """A corrected beneficiary, as it is stored."""
    account = BankAccount(stored["account"]["number"], stored["account"]["bank_code"])
    return Payee(stored["name"], stored["country"], account)


def _payee_json(payee: Payee) -> str:
    account = {"number": payee.account.number, "bank_code": payee.account.bank_code}
    return orjson.dumps({"name": payee.name, "country": payee.country, "account": account}).decode()


def _order(row: Row) -> PayoutOrder:
    return PayoutOrder(
        quote_id=row["quote_id"],
        partner_id=row["partner_id"],
        beneficiary_hash=row["beneficiary_hash"],
        state=OrderState(row["state"]),
        purpose=row["purpose"],
        refund_policy=RefundPolicy(row["refund_policy"]),
        tries=row["tries"],
        payout_id=row["payout_id"],
        address=None if row["address"] is None else Address(row["address"]),
        reference=row["reference"],
        pay_by=row["pay_by"],
        told=None if row["told"] is None else PartnerState(row["told"]),
        refund_tx=None if row["refund_tx"] is None else TxHash(row["refund_tx"]),
        refund_minor=row["refund_minor"],
        asks=row["asks"],
        concluded=None if row["concluded"] is None else Conclusion(row["concluded"]),
    )
