"""The naive program's way to the chain: one web3.py token transfer per payment.

Fees, gas and chain id are filled in by web3.py, as its documentation shows. What can be done
before the nonce is known is done outside the lock, so that payments wait for each other least.
"""

from __future__ import annotations

import asyncio
from typing import Any

from eth_account import Account
from web3 import AsyncHTTPProvider, AsyncWeb3

_ERC20_ABI: list[dict[str, Any]] = [
    {
        "type": "function",
        "name": "transfer",
        "stateMutability": "nonpayable",
        "inputs": [{"name": "to", "type": "address"}, {"name": "value", "type": "uint256"}],
        "outputs": [{"name": "", "type": "bool"}],
    }
]


class PayoutFailed(Exception):
    """The token transfer was mined and reverted."""


class Treasury:
    """The account that pays; one per process, because it numbers its own transactions."""

    def __init__(self, *, rpc_url: str, token: str, private_key: str) -> None:
        self._web3 = AsyncWeb3(AsyncHTTPProvider(rpc_url))
        self._account = Account.from_key(private_key)
        address = AsyncWeb3.to_checksum_address(token)
        self._token = self._web3.eth.contract(address=address, abi=_ERC20_ABI)
        self._nonce_lock = asyncio.Lock()

    async def pay(self, address: str, units: int) -> str:
        """Send `units` of the token and wait until a block holds it; the transaction's hash.

        Raises:
            PayoutFailed: The transaction reverted.
        """
        to = AsyncWeb3.to_checksum_address(address)
        call = self._token.functions.transfer(to, units)
        transaction = await call.build_transaction({"from": self._account.address})
        async with self._nonce_lock:
            transaction["nonce"] = await self._web3.eth.get_transaction_count(
                self._account.address, "pending"
            )
            signed = self._account.sign_transaction(transaction)
            tx_hash = await self._web3.eth.send_raw_transaction(signed.raw_transaction)
        receipt = await self._web3.eth.wait_for_transaction_receipt(tx_hash)
        if receipt["status"] != 1:
            raise PayoutFailed(tx_hash.to_0x_hex())
        return tx_hash.to_0x_hex()

    async def close(self) -> None:
        """Let go of the HTTP session."""
        await self._web3.provider.disconnect()
