"""Booking chain facts: under keys of the epoch, so that what a reorg undid is booked again.

A ledger key books once for ever. Keys of chain facts therefore carry how many reorgs past finality
were accepted before; within one epoch nothing can be booked twice. What is booked is
`node.services.ledger.final_bookings`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from node.core.ledger import Entry, LedgerTransaction
from node.core.ports import Unit
from node.core.reorg import LOSS, keyed

_RECOVERED = {
    "kind": "rederived",
    "reason": "the deposit is final again, and its owner has paid back what was missing",
}


async def post_facts(
    unit: Unit, chain_id: int, transactions: Sequence[LedgerTransaction]
) -> Mapping[str, int]:
    """Book what final facts book, in the epoch that the locked cursor has.

    Args:
        unit: Has moved the cursor, and holds the ledger's lock.
        chain_id: The chain.
        transactions: Under the keys they have in the first epoch.

    Returns:
        Those keys -> sequence.
    """
    epoch = await unit.reorgs.epoch(chain_id)
    sequences = await unit.ledger.post(
        [replace(each, key=keyed(each.key, epoch)) for each in transactions]
    )
    return {each.key: sequences[keyed(each.key, epoch)] for each in transactions}


async def recover(unit: Unit, chain_id: int) -> None:
    """Let owners pay back what they had spent of deposits that a reorg took and that are back.

    Taken is what the same transaction has brought the same owner again, and no more: once the
    owner has it, and while it is there.

    Args:
        unit: Has booked what became final.
        chain_id: The chain.
    """
    owed = await unit.reorgs.due_shortfalls(chain_id)
    if not owed:
        return
    balances = await unit.ledger.balances([each.account for each in owed])
    left = {path: each.available for path, each in balances.items()}
    brought = {(each.account, each.tx_hash): each.credited for each in owed}
    paid = []
    for each in owed:
        source = each.account, each.tx_hash
        if min(left[each.account], brought[source]) >= each.amount:
            left[each.account] -= each.amount
            brought[source] -= each.amount
            paid.append(each)
    keys = {each.id: f"reorg_recovered:{each.id}" for each in paid}
    sequences = await unit.ledger.post(
        [
            LedgerTransaction(
                keys[each.id],
                "reorg_recovered",
                [Entry(each.account, f"{LOSS}/{each.asset}", each.asset, each.amount)],
                detail={"shortfall": str(each.id)},
            )
            for each in paid
        ]
    )
    whole = await unit.reorgs.recovered({each.id: sequences[keys[each.id]] for each in paid})
    for break_id in whole:
        found = await unit.breaks.lock(break_id)
        if found is not None and found.resolved_at is None:
            await unit.breaks.close(break_id, "mirror", _RECOVERED)
