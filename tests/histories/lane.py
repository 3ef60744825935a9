"""The lane of a history: what it writes into the database before anybody can see it.

The lane that would send is the history itself; payments and voids are written by the real store.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random  # noqa: TID251 - a seeded history, no secret

from adapters.machine import new_id
from node.core.ports import UnitOfWork
from node.core.ports.transfers import Transfer
from node.core.transfers import Happening, State
from node.services.transfers import transfer_moves
from node.store.database import Database
from tests.builders import CHAIN_ID
from tests.histories.chain import Record, Tx
from tests.histories.parties import CONTRACT, LANE
from tests.histories.signing import signed_of
from tests.written import write_batch

_VOIDABLE = (State.SUBMITTED, State.UNKNOWN, State.INCLUDED)
_ADD_VOIDS = """
WITH lane AS (
    INSERT INTO lane (chain_id, address, next_nonce) VALUES ($1, $2, $3 + 1)
    ON CONFLICT (chain_id, address) DO UPDATE SET next_nonce = excluded.next_nonce RETURNING id
), slot AS (
    INSERT INTO slot (id, lane_id, nonce, purpose, state, contract, to_address, calldata,
                      gas_limit, members, amount_total)
    SELECT $4, id, $3, 'void', 'submitted', $5, $5, ''::bytea, 1, 1, 0 FROM lane RETURNING id
), member AS (
    INSERT INTO slot_member (slot_id, position, transfer_id, payment_number, contract,
                             beneficiary, amount, purpose)
    SELECT id, 0, $6, $7, $5, $8, $9, 'void' FROM slot
)
INSERT INTO attempt (tx_hash, slot_id, sequence, raw, max_fee_per_gas_wei,
                     max_priority_fee_per_gas_wei, fee_source)
SELECT $10, id, 1, ''::bytea, 1, 1, 'default' FROM slot
"""


@dataclass
class Lane:
    """Writes batches and voids."""

    chance: Random
    units: UnitOfWork
    database: Database
    transfers: Sequence[Transfer]
    reverting: bool
    nonce: int = 0
    written: set[int] = field(default_factory=set)

    async def write(self) -> Tx | None:
        """A batch of some that wait, or a void of one that was written; None: there is none."""
        if self.written and self.chance.random() < 0.15:
            return await self._void()
        async with self.database.transaction() as connection:
            rows = await connection.raw.fetch("SELECT id FROM transfer WHERE state = 'funded'")
        funded = {row["id"] for row in rows}
        waiting = [each for each in self.transfers if each.id in funded]
        if not waiting:
            return None
        self.chance.shuffle(waiting)
        members = waiting[: self.chance.randint(1, 3)]
        self.written |= {each.payment_number for each in members}
        tx = Tx(
            signed_of(self.nonce).hash,
            LANE,
            nonce=self.nonce,
            pays=[record_of(each) for each in members],
            reverts=self.reverting and self.chance.random() < 0.3,
        )
        await write_batch(self.database, self.units, LANE, self.nonce, tx.hash, members)
        self.nonce += 1
        return tx

    async def _void(self) -> Tx | None:
        """Ask for a void of a payment, wherever it is, and write it."""
        candidates = [each for each in self.transfers if each.payment_number in self.written]
        chosen = self.chance.choice(candidates)
        async with self.units() as unit:
            [found] = await unit.transfers.lock_many([chosen.id])
            if found.state not in _VOIDABLE:
                return None
            events = await transfer_moves.apply(
                unit,
                [found],
                Happening.VOID_ASKED,
                changes=lambda _: {"void_outcome": "canceled"},
            )
            await unit.events.append(events)
        tx = Tx(signed_of(self.nonce).hash, LANE, nonce=self.nonce, voids=[chosen.payment_number])
        async with self.database.transaction() as connection:
            await connection.raw.execute(
                _ADD_VOIDS,
                CHAIN_ID,
                LANE,
                self.nonce,
                new_id(),
                CONTRACT,
                chosen.id,
                chosen.payment_number,
                chosen.beneficiary_address,
                chosen.amounts.buy,
                tx.hash,
            )
        self.nonce += 1
        return tx


def record_of(transfer: Transfer) -> Record:
    """What the contract is given of a payment."""
    return Record(transfer.payment_number, transfer.beneficiary_address, transfer.amounts.buy)
