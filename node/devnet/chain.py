"""Sets up a fresh local chain: contracts, roles, money and the node's keys.

A program of its own (`python -m node.devnet.chain STATE_DIR RPC_URL`), so that the supervisor need
not carry web3. It mines what it sends, so the chain must not be mining by itself.
Not here: how the chain is started (`anvil.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_typing import ChecksumAddress
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.contract.contract import ContractConstructor, ContractFunction
from web3.types import RPCEndpoint, TxParams, TxReceipt, Wei

from adapters.evm import artifacts
from adapters.evm.signer import write_keystore
from adapters.fx import EcbRates
from node.devnet.anvil import DEV_ACCOUNTS
from node.devnet.errors import DevnetError
from node.devnet.magic import DENIED_ADDRESS
from node.devnet.state import StateDirectory, write_json

TOKEN_DIGITS = 6
FLOAT_MINOR = 100_000_000 * 10**TOKEN_DIGITS
TREASURY_MINOR = 10_000_000 * 10**TOKEN_DIGITS
MINT_ALLOWANCE_MINOR = 10_000_000_000 * 10**TOKEN_DIGITS
CAP_MINOR = 2**63 - 1  # of the contract and of each lane: nothing on a devnet reaches it
GAS_MONEY_WEI = 100 * 10**18
LANES = 2
OTHER_KEYS = ("treasury", "pauser", "rescuer")
PRICE_DIGITS = 8  # as every feed of Chainlink against a currency

# A block is final when two follow it (`depth:2`), so all of this is final when the node starts.
_BLOCKS_ON_TOP = 3
# The password lies beside the keystore: a slow derivation would protect nothing here.
_KEYSTORE_ITERATIONS = 1_000


def main() -> None:
    """Set up the chain and write each node's `chain.json`, the first one's as the last step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("rpc_url")
    options = parser.parse_args()
    state = StateDirectory(options.state_dir)
    places = [state.node(name) for name in state.node_names]
    made = set_up(places, options.rpc_url)
    for place, addresses in reversed(list(zip(places, made, strict=True))):
        write_json(place.chain, addresses)


def set_up(places: Sequence[StateDirectory], rpc_url: str) -> list[dict[str, Any]]:
    """Deploy, mint and fund for each node; returns its addresses, of the price feeds by pair.

    Token and price feeds are the same for all; contracts and keys are each node's own. A settlement
    contract holds its float before a node first looks, so the node books it as opening capital.
    """
    # No proxy of the environment can reach a chain on this machine.
    web3 = Web3(HTTPProvider(rpc_url, request_kwargs={"proxies": {"http": "", "https": ""}}))
    admin = Web3.to_checksum_address(DEV_ACCOUNTS[0][0])
    token = _deploy(web3, admin, "TestUSD", admin, admin, admin)
    _transact(web3, admin, token.functions.configureMinter(admin, MINT_ALLOWANCE_MINOR))
    _transact(web3, admin, token.functions.deny(Web3.to_checksum_address(DENIED_ADDRESS)))
    shared = {
        "token": token.address,
        "admin": admin,
        "price_feeds": _deploy_price_feeds(web3, admin),
    }
    made = [{**shared, **_set_up_node(web3, admin, place, token)} for place in places]
    for _ in range(_BLOCKS_ON_TOP):
        _mine(web3)
    return made


def _set_up_node(
    web3: Web3, admin: ChecksumAddress, place: StateDirectory, token: Contract
) -> dict[str, Any]:
    """What is one node's own: keys with coin, contracts, float and treasury."""
    lanes = [_new_key(place, f"lanes/{number}") for number in range(1, LANES + 1)]
    treasury, pauser, rescuer = (_new_key(place, name) for name in OTHER_KEYS)
    settlement = _deploy(
        web3,
        admin,
        "TransferSettlement",
        token.address,
        admin,
        pauser,
        rescuer,
        CAP_MINOR,
        [(lane, CAP_MINOR) for lane in lanes],
    )
    deposits = _deploy(web3, admin, "DepositForwarders", settlement.address)
    _transact(web3, admin, token.functions.mint(settlement.address, FLOAT_MINOR))
    _transact(web3, admin, token.functions.mint(treasury, TREASURY_MINOR))
    for address in (*lanes, treasury, pauser, rescuer):
        _send(web3, {"from": admin, "to": address, "value": Wei(GAS_MONEY_WEI)})
    return {
        "settlement": settlement.address,
        "deposits": deposits.address,
        "treasury": treasury,
        "lanes": lanes,
        "pauser": pauser,
        "rescuer": rescuer,
    }


def _deploy_price_feeds(web3: Web3, admin: ChecksumAddress) -> dict[str, str]:
    """One feed with the ECB's newest dollar rate, as old as that is, and one with a dollar's worth.

    What they say never changes by itself; their owner may say something else.
    """
    rates = asyncio.run(EcbRates(max_age_s=None).rates())
    [dollar] = [each for each in rates if each.buy == "USD"]
    euro_minor = dollar.numerator * 10**PRICE_DIGITS // dollar.denominator
    now_s = web3.eth.get_block("latest")["timestamp"]
    answers = {
        "EUR/USD": (euro_minor, int(dollar.observed_at.timestamp())),
        "USDC/USD": (10**PRICE_DIGITS, now_s),
    }
    addresses: dict[str, str] = {}
    for pair, (answer, time_s) in answers.items():
        description = pair.replace("/", " / ")
        feed = _deploy(web3, admin, "TestPriceFeed", admin, PRICE_DIGITS, description)
        _transact(web3, admin, feed.functions.setAnswer(answer, time_s))
        addresses[pair] = feed.address
    return addresses


def _new_key(state: StateDirectory, name: str) -> ChecksumAddress:
    """Make a key, kept as an encrypted keystore (version 3) with its password beside it."""
    account = Account.create()
    state.keystore(name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_keystore(
        state.keystore(name),
        account.key.hex(),
        secrets.token_hex(16),
        iterations=_KEYSTORE_ITERATIONS,
    )
    return Web3.to_checksum_address(account.address)


def _deploy(web3: Web3, sender: ChecksumAddress, name: str, *arguments: Any) -> Contract:
    artifact = artifacts.load(name)
    factory = web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
    receipt = _transact(web3, sender, factory.constructor(*arguments))
    address = receipt["contractAddress"]
    assert address is not None
    return web3.eth.contract(address=address, abi=artifact.abi)


def _transact(
    web3: Web3, sender: ChecksumAddress, call: ContractFunction | ContractConstructor
) -> TxReceipt:
    return _send(web3, call.build_transaction({"from": sender}))


def _send(web3: Web3, transaction: TxParams) -> TxReceipt:
    """Send from an account that anvil holds the key of, and mine it."""
    tx_hash = web3.eth.send_transaction(transaction)
    _mine(web3)
    receipt = web3.eth.get_transaction_receipt(tx_hash)
    if receipt["status"] != 1:
        raise DevnetError(
            f"setting up the chain failed: transaction {tx_hash.to_0x_hex()} reverted"
        )
    return receipt


def _mine(web3: Web3) -> None:
    web3.provider.make_request(RPCEndpoint("evm_mine"), [])


if __name__ == "__main__":
    main()
