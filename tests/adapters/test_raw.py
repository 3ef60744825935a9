"""Signed bytes put together from what a chain tells: of every type, or no answer at all."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak
from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.evm.errors import NoAnswer
from adapters.evm.raw import raw_of
from adapters.evm.reader import EvmReader
from adapters.evm.rpc import Providers
from node.core.errors import ChainUnavailable
from node.core.mirror import BlockPoint, Watch
from node.core.units import BlockHash
from tests.onchain import ADMIN, LANE, LANE_KEY, address_of
from tests.rig import AnvilServer

CHAIN_ID = 31337
_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture
async def reader(anvil: AnvilServer) -> AsyncIterator[EvmReader]:
    """A reader of the chain; contract and token play no part."""
    providers = Providers.at([anvil.rpc_url])
    own = address_of(LANE)
    yield EvmReader(providers, Watch(CHAIN_ID, own, own, "USDC", "ETH", frozenset({own})))
    await providers.close()


def newest(anvil: AnvilServer) -> BlockPoint:
    block = anvil.rpc("eth_getBlockByNumber", "latest", False)
    return BlockPoint(int(block["number"], 16), BlockHash(bytes.fromhex(block["hash"][2:])))


LEGACY = {"gasPrice": hex(10**10)}
MARKET = {"maxFeePerGas": hex(10**10), "maxPriorityFeePerGas": hex(10**9)}
LIST = {"accessList": [{"address": ADMIN, "storageKeys": ["0x" + "01" * 32, "0x" + "00" * 32]}]}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [(LEGACY, 0), ({**LEGACY, **LIST}, 1), (MARKET, 2), ({**MARKET, **LIST}, 2)],
)
@pytest.mark.parametrize("to", [ADMIN, None])
async def test_what_an_account_sent_is_read_whole(
    anvil: AnvilServer, reader: EvmReader, changes: Mapping[str, object], kind: int, to: str | None
) -> None:
    call = {"from": LANE, "data": "0x60006000f3", "gas": hex(200_000), **changes}
    tx_hash = anvil.rpc("eth_sendTransaction", {**call, **({"to": to} if to else {})})
    anvil.mined(tx_hash)
    assert int(anvil.rpc("eth_getTransactionByHash", tx_hash)["type"], 16) == kind
    (sent,) = await reader.sent_by([address_of(LANE)], [newest(anvil)])
    assert sent.tx_hash.hex() == tx_hash[2:]
    assert keccak(sent.raw) == sent.tx_hash
    assert (sent.sender, sent.to) == (address_of(LANE), address_of(to) if to else None)
    assert (sent.data.hex(), sent.gas_limit, sent.succeeded) == ("60006000f3", 200_000, True)
    assert sent.fees.max_fee_per_gas_wei == 10**10
    assert await reader.sent_by([address_of(ADMIN)], [newest(anvil)]) == []
    assert list(await reader.nonces_now([address_of(LANE), address_of(ADMIN)])) == [1, 0]


def test_delegations_and_blobs_have_their_bytes_too() -> None:
    common = {
        "chainId": CHAIN_ID,
        "nonce": 3,
        "gas": 100_000,
        "maxFeePerGas": 10,
        "maxPriorityFeePerGas": 1,
        "to": ADMIN,
        "value": 0,
        "data": "0x",
        "accessList": [],
    }
    told = {name: hex(value) for name, value in common.items() if isinstance(value, int)}
    told |= {"to": ADMIN, "input": "0x", "from": LANE.lower()}
    signer = Account.from_key(LANE_KEY)
    authorization = signer.sign_authorization({"chainId": CHAIN_ID, "address": ADMIN, "nonce": 4})
    signed = signer.sign_transaction({**common, "type": 4, "authorizationList": [authorization]})
    granted = {
        "chainId": hex(CHAIN_ID),
        "address": ADMIN,
        "nonce": "0x4",
        "yParity": hex(authorization.y_parity),
        "r": hex(authorization.r),
        "s": hex(authorization.s),
    }
    delegated = {**told, **_signature(signed), "type": "0x4", "authorizationList": [granted]}
    assert raw_of(delegated) == bytes(signed.raw_transaction)

    hashes = ["0x01" + "22" * 31]
    blobs = {"maxFeePerBlobGas": 7, "blobVersionedHashes": hashes}
    signed = signer.sign_transaction({**common, "type": 3, **blobs})
    carried = {**told, **_signature(signed), "type": "0x3", "maxFeePerBlobGas": "0x7"}
    assert raw_of({**carried, "blobVersionedHashes": hashes}) == bytes(signed.raw_transaction)
    with pytest.raises(NoAnswer, match="signed by somebody else"):
        raw_of({**carried, "blobVersionedHashes": hashes, "from": ADMIN.lower()})


@given(key=st.binary(min_size=32, max_size=32), chain_id=st.none() | st.integers(1, 2**40))
def test_a_legacy_transaction_is_of_its_signer_with_and_without_the_chain_in_its_v(
    key: bytes, chain_id: int | None
) -> None:
    assume(0 < int.from_bytes(key) < _CURVE_ORDER)
    signer = Account.from_key(key)
    content = {"nonce": 3, "gasPrice": 10, "gas": 21_000, "to": ADMIN, "value": 5, "data": "0x"}
    of_chain = {} if chain_id is None else {"chainId": chain_id}
    signed = signer.sign_transaction({**content, **of_chain})
    told = {name: hex(value) for name, value in content.items() if isinstance(value, int)}
    told |= {"to": ADMIN, "input": "0x", "from": signer.address.lower(), **_signature(signed)}
    assert raw_of(told) == bytes(signed.raw_transaction)
    with pytest.raises(NoAnswer, match="signed by somebody else"):
        raw_of({**told, "from": LANE.lower()})


def _signature(signed: Any) -> dict[str, str]:
    return {
        "hash": "0x" + bytes(signed.hash).hex(),
        "v": hex(signed.v),
        "r": hex(signed.r),
        "s": hex(signed.s),
    }


async def test_a_transaction_told_otherwise_than_it_was_signed_is_not_believed(
    anvil: AnvilServer,
) -> None:
    tx_hash = anvil.rpc("eth_sendTransaction", {"from": LANE, "to": ADMIN, "value": "0x5"})
    told = anvil.rpc("eth_getTransactionByHash", tx_hash)
    assert keccak(raw_of(told)).hex() == tx_hash[2:]
    for lie in ({"value": "0x6"}, {"from": ADMIN.lower()}, {"type": "0x7e"}, {"r": None}):
        with pytest.raises(NoAnswer):
            raw_of({**told, **lie})


async def test_a_block_that_is_not_there_any_more_is_no_answer(
    anvil: AnvilServer, reader: EvmReader
) -> None:
    with pytest.raises(ChainUnavailable):
        await reader.sent_by([address_of(LANE)], [BlockPoint(1, BlockHash(b"\x01" * 32))])
