"""Faults planted in a running node: each is found at the next advance, with its code and its cause.

Real chain, real database, and the job as it runs in a worker: never a full run.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest

from adapters.evm.artifacts import parse
from adapters.evm.rpc import Call, Providers
from node.core.errors import ChainUnavailable
from node.core.ids import Prefix, encode_id
from node.core.ledger import chain_account, customer_account
from node.core.ports.breaks import Break
from node.core.ports.transfers import Transfer
from node.core.stories import story
from node.core.transfers import State
from node.services.reconciliation.reconciling import ReconciliationService
from scripts.compile_contracts import ROOT
from tests.adapters.lying_rpc import lying
from tests.builders import CHAIN_ID
from tests.mirrored import (
    BUY,
    DEPTH_BLOCKS,
    RESCUER,
    RESCUER_TEXT,
    TREASURY,
    Lying,
    MirroredNode,
)
from tests.onchain import ADMIN, LANE
from tests.rig import DEV_ACCOUNTS, AnvilServer

STRANGER = "0x" + "57" * 20
DISABLED = "ALTER TABLE {0} DISABLE TRIGGER USER; {1}; ALTER TABLE {0} ENABLE TRIGGER USER"


async def paid(node: MirroredNode, count: int = 2) -> list[Transfer]:
    """Transfers that were paid and booked."""
    transfers = await node.sent(count)
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    return await node.again(transfers)


async def compared(node: MirroredNode) -> ReconciliationService:
    """The job, which has seen that all is well up to now."""
    job = node.reconciliation()
    await job.run_once()
    assert await node.open_breaks() == []
    return job


async def found(node: MirroredNode, job: ReconciliationService) -> dict[str, Break]:
    """What one finality advance finds: open breaks by code."""
    node.mine()
    await node.follow()
    assert await job.run_once() == 1
    breaks = await node.open_breaks()
    for each in breaks:
        told = story(each)
        assert all(sentence and "{" not in sentence for sentence in told), told
    return {each.code: each for each in breaks}


async def is_paused(node: MirroredNode, reason: str) -> bool:
    async with node.ledger.units() as unit:
        return reason in {each.reason for each in await unit.settlement.pauses()}


# -------------------------------------------------------------------------------- the ledger


async def test_an_entry_whose_amount_a_superuser_altered_is_named_with_what_it_was(
    node: MirroredNode,
) -> None:
    await paid(node)
    job = await compared(node)
    (row,) = await node.rows(
        "SELECT e.sequence, e.position, e.amount, b.number FROM entry e JOIN ledger_batch b"
        " ON e.sequence BETWEEN b.first_sequence AND b.last_sequence"
        " WHERE e.asset = 'USDC' ORDER BY e.sequence DESC LIMIT 1"
    )
    await node.execute(
        DISABLED.format(
            "entry",
            f"UPDATE entry SET amount = amount + 7 WHERE sequence = {row['sequence']}"
            f" AND position = {row['position']}",
        )
    )
    law = (await found(node, job))["B21"]
    assert law.fingerprint == f"B21:chain:batch {row['number']}"
    assert law.evidence["sequence"] == str(row["sequence"])
    assert f"entry {row['position']} of ledger transaction {row['sequence']}" in law.cause
    assert f"says {row['amount'] + 7}" in law.cause
    assert f"it was {row['amount']} when it was booked" in law.cause


async def test_an_entry_that_a_superuser_gave_to_another_account_is_named(
    node: MirroredNode,
) -> None:
    await paid(node)
    thief = await node.ledger.remitter(eur_minor=1)
    assert thief.customer_id is not None
    assert node.payer.customer_id is not None
    job = await compared(node)
    own, stolen = (
        customer_account(each, "EUR") for each in (thief.customer_id, node.payer.customer_id)
    )
    await node.execute(
        DISABLED.format(
            "entry",
            f"UPDATE entry SET credit_account_id = (SELECT id FROM account WHERE path = '{own}')"
            f" WHERE credit_account_id = (SELECT id FROM account WHERE path = '{stolen}')",
        )
    )
    law = (await found(node, job))["B21"]
    assert own in law.cause
    assert stolen in law.cause


async def test_counters_that_were_moved_from_one_customer_to_another_are_found(
    node: MirroredNode,
) -> None:
    thief = await node.ledger.remitter(eur_minor=1)
    assert thief.customer_id is not None
    assert node.payer.customer_id is not None
    await compared(node)
    own, stolen = (
        customer_account(each, "EUR") for each in (thief.customer_id, node.payer.customer_id)
    )
    await node.execute(
        DISABLED.format(
            "account",
            "UPDATE account SET credits_posted = credits_posted +"
            f" CASE path WHEN '{own}' THEN 5 ELSE -5 END WHERE path IN ('{own}', '{stolen}')",
        )
    )
    node.mine()
    await node.follow()
    await node.reconciliation().run_once()  # another worker, which has seen nothing of before
    laws = [each for each in await node.open_breaks() if each.code == "B21"]
    assert {each.evidence["account"] for each in laws} == {own, stolen}
    assert all("past the node" in each.cause for each in laws)


async def test_a_balance_that_was_changed_in_the_ledger_alone_says_counters_and_entries(
    node: MirroredNode,
) -> None:
    await paid(node)
    job = await compared(node)
    path = chain_account(CHAIN_ID, node.onchain.contract, "USDC")
    await node.execute(
        DISABLED.format(
            "account",
            f"UPDATE account SET debits_posted = debits_posted + 3 WHERE path = '{path}'",
        )
    )
    off = (await found(node, job))["B01"]
    assert off.evidence["account"] == path
    assert "its entries come to" in off.cause
    assert await is_paused(node, "float")


async def test_laws_that_do_not_hold_because_of_what_was_altered_name_the_break_of_that(
    node: MirroredNode,
) -> None:
    await paid(node)
    job = await compared(node)
    path = chain_account(CHAIN_ID, node.onchain.contract, "USDC")
    await node.execute(
        DISABLED.format(
            "account",
            f"UPDATE account SET debits_posted = debits_posted + 3 WHERE path = '{path}'",
        )
    )
    await found(node, job)
    laws = {each.fingerprint: each for each in await node.open_breaks() if each.code == "B21"}
    root = laws.pop(f"B21:balances:{path}")
    sums = laws["B21:ledger.trial_balance:USDC"]
    name = encode_id(Prefix.BREAK, root.id)
    assert sums.cause == f"It follows from what break {name} is about: {root.cause}"
    assert all(each.cause == sums.cause for each in laws.values())

    await node.reconcile()  # a full run finds more laws that do not hold
    await job.run_once()
    node.mine()
    await node.follow()
    await job.run_once()
    laws = {each.fingerprint: each for each in await node.open_breaks() if each.code == "B21"}
    assert [name for name, each in laws.items() if not each.cause] == []


async def test_batches_that_were_written_anew_are_not_what_was_proven(node: MirroredNode) -> None:
    job = await compared(node)
    await node.execute(
        DISABLED.format("ledger_batch", "UPDATE ledger_batch SET hash = sha256(hash)")
    )
    assert "B21" in await found(node, job)


# -------------------------------------------------------------------------------- the mirror


@pytest.mark.parametrize("table", ["token_log", "settlement_log"])
async def test_a_log_that_was_removed_from_the_mirror_is_found_and_named(
    node: MirroredNode, table: str
) -> None:
    await paid(node)
    job = await compared(node)
    (row,) = await node.rows(f"SELECT * FROM {table} ORDER BY block_number, log_index LIMIT 1")
    await node.execute(f"DELETE FROM {table} WHERE log_index = $1", row["log_index"])
    missed = (await found(node, job))["B02"]
    assert missed.fingerprint == f"B02:0x{row['block_hash'].hex()}:{row['log_index']}"
    assert missed.evidence["tx_hash"] == f"0x{row['tx_hash'].hex()}"
    assert "changed in the database" in missed.cause


async def test_a_log_that_was_added_to_the_mirror_is_found(node: MirroredNode) -> None:
    await paid(node)
    job = await compared(node)
    await node.execute(
        "INSERT INTO token_log SELECT chain_id, block_hash, 77, block_number, tx_hash, token,"
        " from_address, to_address, 0, status, 'nothing', NULL FROM token_log"
        " ORDER BY block_number LIMIT 1"
    )
    phantom = (await found(node, job))["B03"]
    assert phantom.evidence["log_index"] == "77"
    assert "changed in the database" in phantom.cause


async def test_a_log_that_was_removed_before_it_was_ever_compared_is_found(
    node: MirroredNode,
) -> None:
    job = await compared(node)
    await paid(node)
    await node.execute("DELETE FROM token_log WHERE ledger_sequence IS NOT NULL")
    breaks = await found(node, job)
    assert "Transfer of" in breaks["B02"].expected


async def test_a_figure_of_the_mirror_that_was_changed_is_told_from_a_wrong_balance(
    node: MirroredNode,
) -> None:
    await paid(node)
    job = await compared(node)
    await node.execute("UPDATE chain_holding SET amount = amount + 1 WHERE asset = 'USDC'")
    off = (await found(node, job))["B01"]
    assert off.fingerprint.startswith("B01:balance.delta:")
    assert "the figure was changed in the database" in off.cause


# ---------------------------------------------------------------------------------- the chain


async def test_a_transfer_out_of_the_contract_by_a_stolen_key_names_the_rescue(
    database_url: str, start_anvil: Callable[..., AnvilServer]
) -> None:
    node = await MirroredNode.open(database_url, start_anvil(automine=False), rescuer=RESCUER_TEXT)
    token = node.onchain.token
    node.onchain.send(token, "mint(address,uint256)", ADMIN, 1)
    node.onchain.send(token, "transfer(address,uint256)", "0x" + node.onchain.contract.hex(), 0)
    node.mine(DEPTH_BLOCKS - 1)
    job = await compared(node)
    node.onchain.send(node.onchain.contract, "pause()")
    node.onchain.send(
        node.onchain.contract,
        "rescue(address,address,uint256)",
        "0x" + node.onchain.token.hex(),
        STRANGER,
        BUY,
        sender=RESCUER_TEXT,
    )
    node.mine(DEPTH_BLOCKS - 1)
    breaks = await found(node, job)
    assert {"B01", "B06"} <= breaks.keys()
    assert "rescue" in breaks["B06"].cause
    assert breaks["B06"].evidence["tx_hash"] in " ".join(story(breaks["B06"]))
    held = chain_account(CHAIN_ID, node.onchain.contract, "USDC")
    (off,) = [each for each in await node.open_breaks() if each.evidence.get("account") == held]
    (told,) = re.findall(r"Log of block ([0-9]+) .* has no ledger entry", off.cause)
    assert told == breaks["B06"].evidence["block_number"]
    assert await is_paused(node, "orphan_outbound")
    assert RESCUER in node.watch.addresses
    await node.close()


async def test_a_deposit_that_nobody_expects_says_who_sent_it(node: MirroredNode) -> None:
    job = await compared(node)
    token = node.onchain.token
    node.onchain.send(token, "mint(address,uint256)", ADMIN, 5_000)
    node.onchain.send(token, "transfer(address,uint256)", "0x" + TREASURY.hex(), 5_000)
    node.mine(DEPTH_BLOCKS - 1)
    breaks = await found(node, job)
    assert set(breaks) == {"B04"}
    assert f"{ADMIN.lower()} sent 5000 units" in breaks["B04"].cause
    assert "suspense" in " ".join(story(breaks["B04"]))
    assert await node.booked(TREASURY) == 5_000


def record(number: int, beneficiary: bytes, amount: int) -> bytes:
    return number.to_bytes(8) + beneficiary + amount.to_bytes(8)


async def settled_by(node: MirroredNode, transfer: Transfer, amount: int, sender: str) -> None:
    """The contract pays a transfer's number, in a transaction of an operator's key."""
    node.onchain.send(
        node.onchain.contract,
        "settle(bytes)",
        record(transfer.payment_number, transfer.beneficiary_address, amount),
        sender=sender,
    )
    node.mine(DEPTH_BLOCKS - 1)


async def test_one_unit_too_much_in_a_batch_says_by_how_much_and_whose_key_it_was(
    node: MirroredNode,
) -> None:
    job = await compared(node)
    (transfer,) = await node.funded(1)
    await settled_by(node, transfer, BUY + 1, ADMIN)
    breaks = await found(node, job)
    wrong = breaks["B10"]
    assert "1 units too much" in wrong.cause
    assert encode_id(Prefix.TRANSFER, transfer.id) in wrong.cause
    assert "none of the node's" in wrong.cause
    assert "B06" in breaks
    assert await is_paused(node, "orphan_outbound")
    assert await node.states([transfer]) == {State.FUNDED}


async def test_a_stranger_that_pays_the_gas_of_a_payment_is_told_and_the_payment_counts(
    node: MirroredNode,
) -> None:
    job = await compared(node)
    transfers = await node.sent(1)
    node.onchain.anvil.rpc("anvil_dropAllTransactions")
    await settled_by(node, transfers[0], BUY, ADMIN)
    assert await found(node, job) == {}  # it is recorded, and needs nobody
    (told,) = await node.rows("SELECT * FROM reconciliation_break WHERE code = 'B09'")
    assert told["severity"] == "info"
    assert told["cause"]
    assert told["evidence"]["payment_number"] == str(transfers[0].payment_number)
    assert await node.states(transfers) == {State.SETTLED}


async def test_a_stranger_that_spends_a_lanes_gas_is_named_with_its_transaction(
    node: MirroredNode,
) -> None:
    await paid(node)
    job = await compared(node)
    tx_hash = node.onchain.anvil.rpc(
        "eth_sendTransaction", {"from": LANE, "to": STRANGER, "value": hex(10**15)}
    )
    node.mine(1 + DEPTH_BLOCKS)
    await node.follow()
    node.mine()
    await node.follow()
    await job.run_once()
    (stranger,) = [each for each in await node.open_breaks() if each.code == "B12"]
    assert tx_hash in stranger.cause
    assert await is_paused(node, "foreign_nonce")


async def test_coin_that_left_the_treasury_is_named_with_its_transaction(
    node: MirroredNode,
) -> None:
    await paid(node)
    job = await compared(node)
    node.mine(4)
    tx_hash = node.onchain.anvil.rpc(
        "eth_sendTransaction",
        {"from": DEV_ACCOUNTS[2][0], "to": STRANGER, "value": hex(10**15)},
    )
    node.mine(4 + DEPTH_BLOCKS)
    fall = (await found(node, job))["B16"]
    assert tx_hash in fall.cause
    assert f"{10**15} wei to {STRANGER}" in fall.cause


async def test_a_token_that_takes_a_fee_is_told_with_block_log_and_amount(
    database_url: str, start_anvil: Callable[..., AnvilServer]
) -> None:
    path = ROOT / "tests" / "chain" / "artifacts" / "QuietFeeToken.json"
    code = parse(path.read_text("utf-8")).bytecode
    node = await MirroredNode.open(
        database_url, start_anvil(automine=False), token_code=code, float_units=0
    )
    job = await compared(node)
    node.onchain.send(
        node.onchain.token, "mint(address,uint256)", "0x" + node.onchain.contract.hex(), 1_000_000
    )
    mined = int(node.onchain.anvil.rpc("eth_blockNumber"), 16)
    node.mine()
    await node.follow()  # the live way: in bulk a provider is doubted before such a token is
    node.mine(DEPTH_BLOCKS)
    breaks = await found(node, job)
    moved = breaks["B15"]
    assert moved.evidence["block_number"] == str(mined)
    assert moved.evidence["moved"] == "-10000"
    assert "moved by 990000 units, and its Transfer logs say 1000000" in moved.cause
    assert breaks["B01"].cause == moved.cause
    await node.close()


# ------------------------------------------------------------------------------- the provider


def hiding(*, receipts: bool) -> Callable[[Call, Any], Any]:
    """Leaves one payout out of lists of logs, and out of receipts if told to."""

    def lie(asked: Call, answer: Any) -> Any:
        if asked[0] == "eth_getLogs" and isinstance(answer, list):
            return answer[1:]
        if receipts and asked[0] in ("eth_getBlockReceipts", "eth_getTransactionReceipt"):
            for each in answer if isinstance(answer, list) else [answer]:
                if each:
                    each["logs"] = each["logs"][1:]
        return answer

    return lie


@pytest.mark.parametrize("receipts", [False, True])
async def test_one_provider_that_hides_a_log_stops_the_mirror_until_it_tells_the_truth(
    node: MirroredNode, receipts: bool
) -> None:
    await node.follow()
    job = await compared(node)
    honest, stood = node.providers, (await node.cursor()).head.number
    transfers = await node.sent(2)
    node.providers = Lying(honest, hiding(receipts=receipts))
    node.mine(1 + DEPTH_BLOCKS)
    with pytest.raises(ChainUnavailable):
        await node.follow()
    assert (await node.cursor()).head.number == stood
    assert await node.states(transfers) == {State.SUBMITTED}
    (hidden,) = [each for each in await node.open_breaks() if each.code == "B02"]
    assert hidden.evidence["provider"]
    node.providers = honest
    await node.follow()
    assert await node.states(transfers) == {State.SETTLED}
    assert {"B02"} >= (await found(node, job)).keys()
    run = await node.reconcile()
    assert run.breaks_open == 0


@pytest.mark.parametrize("receipts", [False, True])
async def test_of_two_providers_the_one_that_hides_nothing_is_used(
    node: MirroredNode, receipts: bool
) -> None:
    chain = node.onchain.anvil.rpc_url
    async with lying(chain) as liar:
        real = node.providers

        def lie(method: str, params: Any) -> Any:
            if method != "eth_getLogs" and not (receipts and method == "eth_getBlockReceipts"):
                return None
            answer = node.onchain.anvil.rpc(method, *params)
            return {"result": hiding(receipts=receipts)((method, params), answer)}

        job = await compared(node)
        node.providers = Providers.at([liar.url, chain])
        transfers = await node.sent(2)
        liar.lie = lie
        node.mine(1 + DEPTH_BLOCKS)
        for _ in range(5):
            try:
                await node.follow()
            except ChainUnavailable:
                continue
        assert await node.states(transfers) == {State.SETTLED}
        await node.providers.close()
        node.providers = real
        assert {"B02"} >= (await found(node, job)).keys()
