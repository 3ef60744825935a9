"""A batch as a lane leaves it in the database before it sends: for tests in which no lane runs."""

from collections.abc import Sequence
from typing import Final

from adapters.machine import new_id
from node.core.ports import UnitOfWork
from node.core.ports.transfers import Transfer
from node.core.transfers import Happening
from node.core.units import Address
from node.services.transfers import transfer_moves
from node.store.database import Database

_MEMBER_COLUMNS: Final = (
    "slot_id",
    "position",
    "transfer_id",
    "payment_number",
    "contract",
    "beneficiary",
    "amount",
    "purpose",
)
_ADD_LANE: Final = """
INSERT INTO lane (chain_id, address, next_nonce) VALUES ($1, $2, $3)
ON CONFLICT (chain_id, address) DO UPDATE SET next_nonce = excluded.next_nonce
"""
_ADD_SLOT: Final = """
INSERT INTO slot (id, lane_id, nonce, purpose, state, contract, to_address, calldata, gas_limit,
                  members, amount_total)
SELECT $1, id, $2, 'settle', 'submitted', $3, $3, ''::bytea, 1, $4, $5
FROM lane WHERE chain_id = $6 AND address = $7
"""
_ADD_ATTEMPT: Final = """
INSERT INTO attempt (tx_hash, slot_id, sequence, raw, max_fee_per_gas_wei,
                     max_priority_fee_per_gas_wei, fee_source)
VALUES ($1, $2, 1, ''::bytea, 1, 1, 'default')
"""


async def write_batch(
    database: Database,
    units: UnitOfWork,
    lane: Address,
    nonce: int,
    tx_hash: bytes,
    members: Sequence[Transfer],
) -> None:
    """Store a lane's transaction that pays these transfers, and move them to submitted.

    The lane's next nonce is the one after it.
    """
    slot_id, contract, chain_id = new_id(), members[0].contract, members[0].chain_id
    async with database.transaction() as connection:
        raw = connection.raw
        await raw.execute(_ADD_LANE, chain_id, lane, nonce + 1)
        total = sum(each.amounts.buy for each in members)
        await raw.execute(_ADD_SLOT, slot_id, nonce, contract, len(members), total, chain_id, lane)
        await raw.copy_records_to_table(
            "slot_member",
            records=[
                (
                    slot_id,
                    place,
                    each.id,
                    each.payment_number,
                    contract,
                    each.beneficiary_address,
                    each.amounts.buy,
                    "settle",
                )
                for place, each in enumerate(members)
            ],
            columns=_MEMBER_COLUMNS,
        )
        await raw.execute(_ADD_ATTEMPT, tx_hash, slot_id)
    async with units() as unit:
        locked = await unit.transfers.lock_many([each.id for each in members])
        changes = {"slot_id": slot_id, "was_written": True}
        events = await transfer_moves.apply(
            unit, locked, Happening.SIGNED, changes=lambda _: changes
        )
        await unit.events.append(events)
