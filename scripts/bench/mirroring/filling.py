"""A chain full of transfers, and a node that has accepted and written those that are its own.

Blocks are filled with batches of 256 payouts: of the node's own settlement contract, and of a
stranger's in the same token, one after the other in the same blocks. The node's transfers are
accepted by its own acceptance; their batches are stored as a lane would have stored them, and sent
by an account that anvil holds the key of, so that nothing but the mirror is measured afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from adapters.evm.artifacts import load
from node.core.ports.transfers import Transfer
from node.core.units import Address
from scripts.bench.measure import BenchFailed
from tests.builders import a_quote
from tests.mirrored import BUY, MirroredNode
from tests.onchain import ADMIN, FLOAT_UNITS, LANE, address_of, call, settlement_arguments
from tests.rig import AnvilServer
from tests.written import write_batch

PER_BATCH: Final = 256
_AT_ONCE: Final = 1_024
_BATCH_GAS: Final = 16_000_000
_GAS_PRICE_WEI: Final = 200 * 10**9  # full blocks raise the base fee by an eighth each
_CREATED: Final = 201


async def fill(node: MirroredNode, *, events: int, own: int) -> int:
    """Mine so many Transfer events, the node's own among them; how many blocks they fill.

    Raises:
        BenchFailed: A transfer was refused, or a batch did not pay.
    """
    anvil = node.onchain.anvil
    strangers = _strangers_contract(node)
    transfers = await _accept(node, own)
    mine = [transfers[start : start + PER_BATCH] for start in range(0, own, PER_BATCH)]
    others = -(-(events - own) // PER_BATCH)
    first = int(anvil.rpc("eth_blockNumber"), 16)
    sent: list[str] = []
    number = 0
    for place in range(others + len(mine)):
        # An own batch after every so many of the stranger's.
        turn = place * len(mine) // (others + len(mine))
        if turn < (place + 1) * len(mine) // (others + len(mine)):
            sent.append(await _send_own(node, turn, mine[turn]))
        else:
            count = min(PER_BATCH, events - own - number)
            sent.append(_settle(anvil, ADMIN, strangers, _records(number, count)))
            number += count
    while int(anvil.rpc("txpool_status")["pending"], 16):
        anvil.mine()
    for each in sent:
        receipt = anvil.rpc("eth_getTransactionReceipt", each)
        if receipt is None or receipt["status"] != "0x1":
            raise BenchFailed(f"a batch was not mined or reverted: {receipt}")
    blocks = int(anvil.rpc("eth_blockNumber"), 16) - first
    anvil.mine(2)  # what was sent is final
    return blocks


def _strangers_contract(node: MirroredNode) -> Address:
    """Another settlement contract of the same token, with a float of its own."""
    anvil, token = node.onchain.anvil, node.onchain.token
    code = load("TransferSettlement").bytecode
    arguments = settlement_arguments(f"0x{token.hex()}", operators=(ADMIN,))
    contract = anvil.mined(
        anvil.rpc(
            "eth_sendTransaction",
            {"from": ADMIN, "data": f"0x{(code + arguments).hex()}", "gas": hex(_BATCH_GAS)},
        )
    )["contractAddress"]
    mint = call("mint(address,uint256)", contract, FLOAT_UNITS)
    anvil.mined(
        anvil.rpc("eth_sendTransaction", {"from": ADMIN, "to": f"0x{token.hex()}", "data": mint})
    )
    return address_of(contract)


def _records(first: int, count: int) -> bytes:
    """Payments of numbers nobody knows, to a thousand addresses in turn."""
    return b"".join(
        number.to_bytes(8) + (0xACC0_0000 + number % 1000).to_bytes(20) + (1 + number).to_bytes(8)
        for number in range(first, first + count)
    )


def _settle(anvil: AnvilServer, sender: str, contract: Address, records: bytes) -> str:
    sent: str = anvil.rpc(
        "eth_sendTransaction",
        {
            "from": sender,
            "to": f"0x{contract.hex()}",
            "data": call("settle(bytes)", records),
            "gas": hex(_BATCH_GAS),
            "gasPrice": hex(_GAS_PRICE_WEI),
        },
    )
    return sent


async def _accept(node: MirroredNode, count: int) -> Sequence[Transfer]:
    """So many accepted transfers, many at once."""
    ledger, payer = node.ledger, node.payer
    for start in range(0, count, _AT_ONCE):
        places = range(start, min(start + _AT_ONCE, count))
        quotes = [a_quote(payer, sell_minor=100, buy_minor=BUY) for _ in places]
        await ledger.add_quotes(*quotes)
        answers = await asyncio.gather(
            *(
                ledger.acceptance.create(
                    ledger.submission(payer, quote, address=f"0x{0xBE0000 + place % 1000:040x}")
                )
                for place, quote in zip(places, quotes, strict=True)
            )
        )
        if refused := [each.body for each in answers if each.status != _CREATED]:
            raise BenchFailed(f"a transfer was refused: {refused[0].decode()}")
    rows = await node.rows("SELECT id FROM transfer ORDER BY payment_number")
    async with ledger.units() as unit:
        found = await unit.transfers.lock_many([row["id"] for row in rows])
    return sorted(found, key=lambda each: each.payment_number)


async def _send_own(node: MirroredNode, nonce: int, members: Sequence[Transfer]) -> str:
    records = b"".join(
        each.payment_number.to_bytes(8) + each.beneficiary_address + each.amounts.buy.to_bytes(8)
        for each in members
    )
    sent = _settle(node.onchain.anvil, LANE, node.onchain.contract, records)
    tx_hash = bytes.fromhex(sent[2:])
    lane, units = address_of(LANE), node.ledger.units
    await write_batch(node.database, units, lane, nonce, tx_hash, members)
    return sent
