"""Keys behind HTTP: what a signer answers is used only if it is exactly what was asked for.

The honest one is anvil's own `eth_signTransaction`; each liar tells one lie.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account

from adapters.evm.remote_signer import RemoteSigner, url_fault
from adapters.evm.signer import KeystoreSigner
from node.core.errors import InvariantBroken, SignerUnavailable
from node.core.ports.chain import Signer, UnsignedTransaction
from node.core.units import Address
from tests.adapters.lying_rpc import CLOSE, HANG, LyingRpc, lying
from tests.adapters.signer_suite import ADDRESS, KEY, PAYMENT, SignerSuite
from tests.adapters.test_signer import other_encodings
from tests.rig import DEV_ACCOUNTS, AnvilServer

OWN = Address(bytes.fromhex(ADDRESS[2:]))
NOWHERE = "http://127.0.0.1:1"


@asynccontextmanager
async def at(url: str, token: str | None = None) -> AsyncIterator[RemoteSigner]:
    (signer,) = RemoteSigner.at(url, [OWN], token)
    try:
        yield signer
    finally:
        await signer.close()


class TestAnvilAsASigner(SignerSuite):
    """Anvil holds the keys of its accounts and signs for them."""

    @pytest.fixture
    async def signer(self, anvil: AnvilServer) -> AsyncIterator[Signer]:
        async with at(anvil.rpc_url) as signer:
            yield signer

    @pytest.fixture
    async def broken(self) -> AsyncIterator[Signer | None]:
        async with at(NOWHERE) as signer:
            yield signer


async def test_what_a_remote_key_signs_is_what_the_same_key_here_signs(anvil: AnvilServer) -> None:
    async with at(anvil.rpc_url) as signer:
        assert await signer.sign(PAYMENT) == await KeystoreSigner.of_key(KEY).sign(PAYMENT)


async def test_what_it_signed_is_mined(anvil: AnvilServer) -> None:
    async with at(anvil.rpc_url) as signer:
        signed = await signer.sign(replace(PAYMENT, nonce=0, data=b""))
    assert anvil.rpc("eth_sendRawTransaction", "0x" + signed.raw.hex()) == "0x" + signed.hash.hex()
    anvil.mine()
    receipt = anvil.rpc("eth_getTransactionReceipt", "0x" + signed.hash.hex())
    assert (receipt["status"], receipt["from"]) == ("0x1", ADDRESS.lower())


async def test_the_request_has_the_fields_and_forms_that_signers_know() -> None:
    async with lying(NOWHERE) as server, at(server.url, "a-token") as signer:
        server.lie = lambda _method, _params: {"error": {"code": -32000, "message": "no"}}
        with pytest.raises(SignerUnavailable, match="refuses: -32000: no"):
            await signer.sign(PAYMENT)
        assert server.asked == ["eth_signTransaction"]
        assert server.headers[0][b"authorization"] == b"Bearer a-token"
        assert server.params == [
            [
                {
                    "from": ADDRESS.lower(),
                    "to": "0x" + "11" * 20,
                    "chainId": "0x7a69",
                    "nonce": "0x7",
                    "value": "0x3",
                    "data": "0x0102",
                    "gas": "0x186a0",
                    "maxFeePerGas": "0x77359400",
                    "maxPriorityFeePerGas": "0x3b9aca00",
                    "type": "0x2",
                }
            ]
        ]


async def test_an_object_with_the_raw_bytes_is_an_answer_too() -> None:
    async with lying(NOWHERE) as server, at(server.url) as signer:
        honest = await KeystoreSigner.of_key(KEY).sign(PAYMENT)
        server.lie = answering({"raw": "0x" + honest.raw.hex(), "tx": {}})
        assert await signer.sign(PAYMENT) == honest


# --------------------------------------------------------------------------------------- liars


def answering(result: object) -> Callable[[str, Any], Any]:
    return lambda _method, _params: {"result": result}


LIES: dict[str, UnsignedTransaction] = {
    "chain_id": replace(PAYMENT, chain_id=1),
    "nonce": replace(PAYMENT, nonce=8),
    "to": replace(PAYMENT, to=Address(b"\xee" * 20)),
    "value_wei": replace(PAYMENT, value_wei=4),
    "data": replace(PAYMENT, data=b"\x01\x03"),
    "gas_limit": replace(PAYMENT, gas_limit=100_001),
    "max_fee_per_gas_wei": replace(PAYMENT, max_fee_per_gas_wei=2 * 10**9 + 1),
    "max_priority_fee_per_gas_wei": replace(PAYMENT, max_priority_fee_per_gas_wei=1),
}


async def refusal(
    server: LyingRpc,
    signer: RemoteSigner,
    result: object,
    kind: type[Exception] = SignerUnavailable,
) -> str:
    server.lie = answering(result)
    with pytest.raises(kind) as caught:
        await signer.sign(PAYMENT)
    assert "it is not used" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", LIES)
async def test_another_content_is_not_used(name: str) -> None:
    async with lying(NOWHERE) as server, at(server.url) as signer:
        signed = await KeystoreSigner.of_key(KEY).sign(LIES[name])
        told = await refusal(server, signer, "0x" + signed.raw.hex(), InvariantBroken)
        assert f"another {name} than" in told


async def test_another_key_s_signature_is_not_used() -> None:
    async with lying(NOWHERE) as server, at(server.url) as signer:
        signed = await KeystoreSigner.of_key(DEV_ACCOUNTS[0][1]).sign(PAYMENT)
        told = await refusal(server, signer, "0x" + signed.raw.hex(), InvariantBroken)
        assert "another sender than" in told


async def test_another_encoding_is_not_used() -> None:
    async with lying(NOWHERE) as server, at(server.url) as signer:
        for raw in (await other_encodings()).values():
            await refusal(server, signer, "0x" + raw.hex())


async def test_another_type_is_not_used() -> None:
    common = {"nonce": 7, "gas": 100_000, "to": ADDRESS, "value": 3, "data": b"\1\2"}
    legacy = {**common, "gasPrice": 2 * 10**9, "chainId": 31337}
    with_list = {**legacy, "type": 1, "accessList": []}
    async with lying(NOWHERE) as server, at(server.url) as signer:
        for each in (legacy, with_list):
            signed = Account.from_key(KEY).sign_transaction(each)
            told = await refusal(server, signer, "0x" + bytes(signed.raw_transaction).hex())
            assert "not of type 2" in told


@pytest.mark.parametrize("result", [None, 7, "", "0x", "02", "zz", "0xzz", [], {}, {"raw": None}])
async def test_what_is_no_signed_transaction_is_not_used(result: object) -> None:
    async with lying(NOWHERE) as server, at(server.url) as signer:
        await refusal(server, signer, result)


@pytest.mark.parametrize("fault", [CLOSE, 403, 500, 503, {"neither": 1}], ids=str)
async def test_a_signer_that_does_not_answer_is_asked_once(fault: object) -> None:
    async with lying(NOWHERE) as server, at(server.url) as signer:
        server.lie = lambda _method, _params: fault
        with pytest.raises(SignerUnavailable):
            await signer.sign(PAYMENT)
        assert server.asked == ["eth_signTransaction"]


async def test_a_signer_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.evm.remote_signer.ANSWER_TIMEOUT_S", 0.2)
    async with lying(NOWHERE) as server, at(server.url) as signer:
        server.lie = lambda _method, _params: HANG
        with pytest.raises(SignerUnavailable, match="ReadTimeout"):
            await signer.sign(PAYMENT)
        assert server.asked == ["eth_signTransaction"]


# ------------------------------------------------------------------------------------- the way


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://signer.example", None),
        ("https://signer.example:9000/path", None),
        ("http://127.0.0.1:9000", None),
        ("http://localhost:9000", None),
        ("http://[::1]:9000", None),
        ("http://signer.example:9000", "openly"),
        ("http://10.0.0.7", "openly"),
        ("ftp://signer.example", "https://"),
        ("signer.example", "https://"),
        ("", "https://"),
        ("https://user:secret@signer.example", "token_file"),
        ("http://127.0.0.1:99999999", "no URL"),
        ("http://[::1", "no URL"),
    ],
)
def test_the_way_to_a_signer_is_closed_to_others(url: str, fault: str | None) -> None:
    told = url_fault(url)
    assert (told is None) == (fault is None)
    assert fault is None or fault in str(told)
    assert "secret" not in str(told)
    if fault is not None:
        with pytest.raises(SignerUnavailable):
            RemoteSigner.at(url, [OWN], None)


async def test_a_token_is_in_no_error_and_no_repr() -> None:
    async with lying(NOWHERE) as server, at(server.url, "s3cret-token") as signer:
        server.lie = lambda _method, _params: 403
        with pytest.raises(SignerUnavailable) as caught:
            await signer.sign(PAYMENT)
        assert "s3cret" not in str(caught.value) + repr(signer) + repr(vars(signer))
