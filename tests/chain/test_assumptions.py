"""What anvil and web3.py do that the node or its tests rely on; a test here fails when it changes.

Each is a fact about another program, not a rule of ours: where one fails after an upgrade, look
for what relied on it (the name of the test says), then state the new fact here.
"""

from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account
from eth_typing import HexStr
from web3 import HTTPProvider, Web3
from web3._utils.batching import RPC_METHODS_UNSUPPORTED_DURING_BATCH
from web3.exceptions import TransactionNotFound
from web3.providers.rpc.utils import REQUEST_RETRY_ALLOWLIST

from node.devnet.errors import DevnetError
from tests.rig import DEV_ACCOUNTS, AnvilServer

GWEI = 10**9
ALICE, ALICE_KEY = DEV_ACCOUNTS[1]
BOB = DEV_ACCOUNTS[2][0]
CHAIN_ID = 31337
_LOOKS_MAX = 1000


@pytest.fixture
def quiet(start_anvil: Callable[..., AnvilServer]) -> AnvilServer:
    """A chain that mines only when told."""
    return start_anvil(automine=False)


def signed(nonce: int, *, fee_gwei: int = 10, tip_gwei: int = 1, value: int = 1) -> str:
    """A signed transfer from Alice to Bob."""
    transaction = {
        "type": 2,
        "chainId": CHAIN_ID,
        "nonce": nonce,
        "to": BOB,
        "value": value,
        "gas": 21_000,
        "maxFeePerGas": fee_gwei * GWEI,
        "maxPriorityFeePerGas": tip_gwei * GWEI,
    }
    return str(Account.sign_transaction(transaction, ALICE_KEY).raw_transaction.to_0x_hex())


def send(anvil: AnvilServer, raw: str) -> str:
    return str(anvil.rpc("eth_sendRawTransaction", raw))


def count(anvil: AnvilServer, at: Any = "latest") -> int:
    return int(anvil.rpc("eth_getTransactionCount", ALICE, at), 16)


def refused(anvil: AnvilServer, raw: str) -> str:
    with pytest.raises(DevnetError) as told:
        send(anvil, raw)
    return str(told.value)


# ------------------------------------------------------------------------------------------ reorgs


def test_a_reorg_keeps_the_height_changes_the_hashes_and_puts_nothing_back_into_the_pool(
    quiet: AnvilServer,
) -> None:
    tx_hash = send(quiet, signed(0))
    quiet.mine(2)
    before = quiet.rpc("eth_getBlockByNumber", "latest", False)
    quiet.rpc("anvil_reorg", 2, [])
    after = quiet.rpc("eth_getBlockByNumber", "latest", False)
    assert after["number"] == before["number"]
    assert after["hash"] != before["hash"]
    assert quiet.rpc("eth_getTransactionReceipt", tx_hash) is None
    assert quiet.rpc("txpool_status") == {"pending": "0x0", "queued": "0x0"}
    assert count(quiet) == 0


def test_a_reorg_can_put_given_bytes_into_a_given_block(quiet: AnvilServer) -> None:
    raw = signed(0)
    tx_hash = send(quiet, raw)
    quiet.mine(3)
    first = quiet.rpc("eth_getTransactionReceipt", tx_hash)["blockNumber"]
    quiet.rpc("anvil_reorg", 3, [[raw, 2]])
    second = quiet.rpc("eth_getTransactionReceipt", tx_hash)["blockNumber"]
    assert int(second, 16) == int(first, 16) + 2


def test_state_and_logs_of_an_orphaned_block_are_an_error_and_never_an_empty_answer(
    quiet: AnvilServer,
) -> None:
    quiet.mine(2)
    orphan = quiet.rpc("eth_getBlockByNumber", "latest", False)["hash"]
    quiet.rpc("anvil_reorg", 1, [])
    at = {"blockHash": orphan, "requireCanonical": True}
    with pytest.raises(DevnetError):
        quiet.rpc("eth_getTransactionCount", ALICE, at)
    with pytest.raises(DevnetError):
        quiet.rpc("eth_getLogs", {"blockHash": orphan})


def test_counts_and_balances_of_a_block_are_read_by_its_hash(quiet: AnvilServer) -> None:
    quiet.mine()
    before = quiet.rpc("eth_getBlockByNumber", "latest", False)["hash"]
    send(quiet, signed(0))
    quiet.mine()
    at = {"blockHash": before, "requireCanonical": True}
    assert (count(quiet, at), count(quiet)) == (0, 1)
    receipts = quiet.rpc(
        "eth_getBlockReceipts", quiet.rpc("eth_getBlockByNumber", "latest", False)["hash"]
    )
    assert len(receipts) == 1


# -------------------------------------------------------------------------------------------- pool


def test_anvil_replaces_for_any_higher_fee_where_clients_ask_for_a_tenth_more(
    quiet: AnvilServer,
) -> None:
    send(quiet, signed(0, fee_gwei=10))
    assert "replacement transaction underpriced" in refused(quiet, signed(0, fee_gwei=10, value=2))
    higher = send(quiet, signed(0, fee_gwei=11, tip_gwei=1, value=2))
    quiet.mine()
    assert quiet.rpc("eth_getTransactionReceipt", higher)["status"] == "0x1"


def test_a_transaction_that_the_base_fee_overtakes_is_forgotten_silently(
    quiet: AnvilServer,
) -> None:
    tx_hash = send(quiet, signed(0, fee_gwei=2))
    quiet.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * GWEI))
    quiet.mine(2)
    assert quiet.rpc("eth_getTransactionReceipt", tx_hash) is None
    assert quiet.rpc("eth_getTransactionByHash", tx_hash) is None
    assert count(quiet, "pending") == 0


@pytest.mark.parametrize(
    ("words", "raws"),
    [
        ("transaction already imported", (signed(0), signed(0))),
        ("nonce too low", (signed(0), None, signed(0, value=2))),
        (
            "Insufficient funds for gas * price + value",
            (signed(0, value=10**30),),
        ),
    ],
)
def test_anvil_says_why_it_refuses_bytes_in_these_words(
    quiet: AnvilServer, words: str, raws: tuple[str | None, ...]
) -> None:
    *earlier, last = raws
    for each in earlier:
        send(quiet, each) if each else quiet.mine()
    assert last is not None
    assert words in refused(quiet, last)


def test_a_fee_below_the_base_fee_is_refused_at_once(quiet: AnvilServer) -> None:
    quiet.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * GWEI))
    quiet.mine()
    quiet.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * GWEI))
    assert "less than block base fee" in refused(quiet, signed(0, fee_gwei=2))


def test_a_nonce_ahead_waits_until_the_gap_is_filled_and_pending_counts_the_pool(
    quiet: AnvilServer,
) -> None:
    send(quiet, signed(1))
    quiet.mine()
    assert (count(quiet), count(quiet, "pending")) == (0, 0)
    send(quiet, signed(0))
    assert count(quiet, "pending") == 2
    quiet.mine()
    assert count(quiet) == 2


def test_dropping_a_transaction_drops_what_waits_behind_it(quiet: AnvilServer) -> None:
    first = send(quiet, signed(0))
    send(quiet, signed(1))
    quiet.rpc("anvil_dropTransaction", first)
    quiet.mine()
    assert (count(quiet), count(quiet, "pending")) == (0, 0)


# ------------------------------------------------------------------------------------------- reads


def test_safe_and_finalized_lag_by_one_and_two_epochs(
    start_anvil: Callable[..., AnvilServer],
) -> None:
    anvil = start_anvil(automine=False, options=("--slots-in-an-epoch", "2"))
    anvil.mine(10)
    numbers = {
        tag: int(anvil.rpc("eth_getBlockByNumber", tag, False)["number"], 16)
        for tag in ("latest", "safe", "finalized")
    }
    assert numbers == {"latest": 10, "safe": 8, "finalized": 6}


def test_logs_by_range_are_cut_off_at_the_head_without_a_word(quiet: AnvilServer) -> None:
    quiet.mine(2)
    assert quiet.rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0x64"}) == []


def test_fee_history_tells_the_base_fee_of_the_next_block_too(quiet: AnvilServer) -> None:
    quiet.mine(5)
    looks = (quiet.rpc("eth_feeHistory", "0x3", "latest", [50]) for _ in range(_LOOKS_MAX))
    # It learns of new blocks a moment after they are there.
    history = next(each for each in looks if len(each["baseFeePerGas"]) == 4)
    assert len(history["reward"]) == 3


def test_anvil_signs_for_its_accounts_as_a_remote_signer_does(quiet: AnvilServer) -> None:
    raw = quiet.rpc(
        "eth_signTransaction",
        {
            "from": ALICE,
            "to": BOB,
            "nonce": "0x0",
            "value": "0x1",
            "gas": hex(21_000),
            "maxFeePerGas": hex(10 * GWEI),
            "maxPriorityFeePerGas": hex(GWEI),
            "chainId": hex(CHAIN_ID),
        },
    )
    assert Account.recover_transaction(raw) == ALICE


# ----------------------------------------------------------------------------------------- web3.py


def test_web3_would_send_again_by_itself_so_that_it_stays_out_of_sending() -> None:
    assert "eth_sendRawTransaction" in REQUEST_RETRY_ALLOWLIST
    assert "eth_sendRawTransaction" in RPC_METHODS_UNSUPPORTED_DURING_BATCH


def test_web3_raises_for_a_receipt_that_is_not_there_where_the_chain_says_null(
    quiet: AnvilServer,
) -> None:
    unknown = "0x" + "11" * 32
    assert quiet.rpc("eth_getTransactionReceipt", unknown) is None
    web3 = Web3(HTTPProvider(quiet.rpc_url, request_kwargs={"proxies": {"http": "", "https": ""}}))
    with pytest.raises(TransactionNotFound):
        web3.eth.get_transaction_receipt(HexStr(unknown))
