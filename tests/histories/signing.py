"""Transactions of the lane as they are signed, one for each nonce; what they do is the model's."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_account import Account

from tests.builders import CHAIN_ID
from tests.histories.parties import CONTRACT, LANE_KEY


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction of EIP-1559.

    Attributes:
        told: Its fields as JSON-RPC tells them, without its place in a block.
    """

    hash: bytes
    told: Mapping[str, Any]


@cache
def signed_of(nonce: int) -> Signed:
    """The lane's transaction of that nonce."""
    fields = {
        "chainId": hex(CHAIN_ID),
        "nonce": hex(nonce),
        "maxPriorityFeePerGas": "0x1",
        "maxFeePerGas": hex(10**10),
        "gas": "0xf4240",
        "to": "0x" + CONTRACT.hex(),
        "value": "0x0",
    }
    unsigned = {**fields, "type": 2, "to": bytes(CONTRACT), "data": b"", "accessList": []}
    done = Account.sign_transaction(unsigned, LANE_KEY)
    signature = {"yParity": hex(done.v), "r": hex(done.r), "s": hex(done.s)}
    told = {**fields, **signature, "type": "0x2", "input": "0x", "accessList": []}
    return Signed(bytes(done.hash), told)
