"""HTTP of the signer: who may ask, what is read, and that each refusal says its rule."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.evm.signed import Eip1559Reader
from adapters.evm.signer import KeystoreSigner
from node.core.settlement import PaymentRecord, settle_calldata
from node.core.signing import KeyRole, SigningFacts, SigningPolicy
from node.core.units import Address
from node.signer.app import BODY_MAX, SignerApp
from node.signer.desk import HeldKey, SigningDesk
from node.signer.journal import Journal
from tests.rig import DEV_ACCOUNTS

TOKEN = "0123456789abcdef" * 4
CONTRACT, USDC, TREASURY = (Address(bytes([number]) * 20) for number in (1, 2, 3))
LANE = KeystoreSigner.of_key(DEV_ACCOUNTS[0][1])
TREASURER = KeystoreSigner.of_key(DEV_ACCOUNTS[1][1])
LIMIT = 1_000
FACTS = SigningFacts(
    31337, CONTRACT, USDC, TREASURY, frozenset({LANE.address, TREASURER.address}), 10**12
)


@dataclass
class HandClock:
    """A clock that a test moves."""

    moment: datetime = field(default_factory=lambda: datetime(2026, 11, 22, 12, tzinfo=UTC))

    def now(self) -> datetime:
        return self.moment


def calldata(number: int, amount: int) -> str:
    record = PaymentRecord(number, Address(b"\xbb" * 20), amount)
    return "0x" + settle_calldata([record]).hex()


def a_request(**changes: object) -> dict[str, Any]:
    members: dict[str, object] = {
        "from": "0x" + LANE.address.hex(),
        "to": "0x" + CONTRACT.hex(),
        "chainId": "0x7a69",
        "nonce": "0x7",
        "value": "0x0",
        "data": calldata(1, 400),
        "gas": "0x61a80",
        "maxFeePerGas": "0x77359400",
        "maxPriorityFeePerGas": "0x1",
        "type": "0x2",
        **changes,
    }
    return {each: value for each, value in members.items() if value is not None}


class Caller:
    """A client of the application, which runs in this process."""

    def __init__(self, directory: Path) -> None:
        self.clock = HandClock()
        keys = [
            HeldKey(
                signer,
                SigningPolicy(role, signer.address, FACTS),
                Journal(directory, signer.address),
                units,
            )
            for signer, role, units in (
                (LANE, KeyRole.SETTLE, LIMIT),
                (TREASURER, KeyRole.TREASURY, 0),
            )
        ]
        app = SignerApp(SigningDesk(keys, self.clock), TOKEN).asgi()
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://signer",
            headers={"authorization": f"Bearer {TOKEN}"},
        )

    async def ask(self, method: str, *params: object) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
        answer = await self.http.post("/", json=body)
        assert answer.status_code == 200
        document = dict(answer.json())
        assert (document.pop("jsonrpc"), document.pop("id")) == ("2.0", 7)
        return document

    async def sign(self, **changes: object) -> dict[str, Any]:
        return await self.ask("eth_signTransaction", a_request(**changes))


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    caller = Caller(tmp_path)
    yield caller
    await caller.http.aclose()


def rule_of(answer: dict[str, Any]) -> str:
    assert answer["error"]["code"] == -32000
    return str(answer["error"]["message"])


# ------------------------------------------------------------------------------------ who asks


@pytest.mark.parametrize(
    "credential", [None, "", "Bearer", "Bearer ", f"bearer {TOKEN}", f"Bearer {TOKEN}x", TOKEN]
)
async def test_without_the_token_nothing_is_told(caller: Caller, credential: str | None) -> None:
    caller.http.headers.pop("authorization")
    headers = {} if credential is None else {"authorization": credential}
    for body in (b"{", b'{"method": "eth_accounts"}'):
        answer = await caller.http.post("/", content=body, headers=headers)
        assert (answer.status_code, answer.content) == (401, b"")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_its_health_is_anybody_s_and_names_no_key(caller: Caller) -> None:
    caller.http.headers.pop("authorization")
    answer = await caller.http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


# --------------------------------------------------------------------------------- what is read


async def test_accounts_are_those_of_the_keys(caller: Caller) -> None:
    answer = await caller.ask("eth_accounts")
    assert answer == {"result": [f"0x{each.address.hex()}" for each in (LANE, TREASURER)]}


async def test_what_is_signed_is_what_was_asked(caller: Caller) -> None:
    answer = await caller.sign()
    sender, _, content = Eip1559Reader().decode(bytes.fromhex(answer["result"][2:]))
    assert sender == LANE.address
    assert (content.nonce, content.to, "0x" + content.data.hex()) == (7, CONTRACT, calldata(1, 400))


@pytest.mark.parametrize("method", ["eth_sign", "eth_sendTransaction", "", None, 7, []])
async def test_nothing_else_is_offered(caller: Caller, method: Any) -> None:
    assert (await caller.ask(method, "0x"))["error"]["code"] == -32601


@pytest.mark.parametrize(
    "changes",
    [
        {"gasPrice": "0x1"},
        {"accessList": []},
        {"blobVersionedHashes": []},
        {"type": "0x0"},
        {"type": 2},
        *({name: None} for name in a_request() if name != "type"),
        *({name: "7"} for name in a_request()),
        *({name: "0x" + "f" * 65} for name in a_request()),
        {"nonce": 7},
        {"data": "0x1"},
    ],
    ids=str,
)
async def test_a_transaction_that_is_not_exactly_said_is_not_signed(
    caller: Caller, changes: dict[str, object]
) -> None:
    assert (await caller.sign(**changes))["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"", -32700), (b"{", -32700), (b"[]", -32600), (b"7", -32600), (b"{}", -32601)],
)
async def test_what_is_no_request_is_an_error(caller: Caller, body: bytes, code: int) -> None:
    answer = await caller.http.post("/", content=body)
    assert answer.json()["error"]["code"] == code


@pytest.mark.parametrize("params", [None, [], {}, [7], [{}, {}], "0x"])
async def test_parameters_that_are_no_transaction_are_an_error(
    caller: Caller, params: object
) -> None:
    body = {"id": 1, "method": "eth_signTransaction", "params": params}
    answer = await caller.http.post("/", json=body)
    assert answer.json()["error"]["code"] == -32602


async def test_a_body_beyond_any_batch_is_not_read(caller: Caller) -> None:
    answer = await caller.http.post("/", content=b" " * (BODY_MAX + 1))
    assert answer.status_code == 413


async def test_the_largest_batch_fits(caller: Caller) -> None:
    records = [PaymentRecord(number, Address(b"\xbb" * 20), 1) for number in range(256)]
    answer = await caller.sign(data="0x" + settle_calldata(records).hex(), gas="0xf42400")
    assert "result" in answer


# --------------------------------------------------------------------------------------- rules


async def test_each_refusal_says_its_rule(caller: Caller) -> None:
    stranger = "0x" + "ee" * 20
    assert "is not held here" in rule_of(await caller.sign(**{"from": stranger}))
    assert "the chain is 31337" in rule_of(await caller.sign(chainId="0x1"))
    assert "fee per gas" in rule_of(await caller.sign(maxFeePerGas=hex(10**12 + 1)))
    assert "role settle" in rule_of(await caller.sign(to=stranger))
    assert "role settle" in rule_of(await caller.sign(data="0x8456cb59"))
    treasurer = "0x" + TREASURER.address.hex()
    assert "role treasury" in rule_of(await caller.sign(**{"from": treasurer}))


async def test_a_fee_bump_is_signed_and_another_batch_of_the_nonce_is_not(caller: Caller) -> None:
    first = await caller.sign()
    bumped = await caller.sign(maxFeePerGas="0x87359400", maxPriorityFeePerGas="0x2")
    assert first["result"] != bumped["result"]
    assert "only its fees" in rule_of(await caller.sign(data=calldata(2, 400)))
    assert "only its fees" in rule_of(await caller.sign(gas="0x61a81"))
    noop = await caller.sign(to="0x" + LANE.address.hex(), data="0x", gas="0x5208")
    assert "result" in noop
    assert "only its fees" in rule_of(await caller.sign())


async def test_the_limit_is_per_day_and_outlives_the_process(
    caller: Caller, tmp_path: Path
) -> None:
    assert "result" in await caller.sign(nonce="0x1", data=calldata(1, 600))
    assert "result" in await caller.sign(nonce="0x2", data=calldata(2, 400))
    again = Caller(tmp_path)
    told = rule_of(await again.sign(nonce="0x3", data=calldata(3, 1)))
    assert "at most 1000 token units in a day" in told
    assert "result" in await again.sign(nonce="0x2", data=calldata(2, 400))
    again.clock.moment += timedelta(days=1)
    assert "result" in await again.sign(nonce="0x3", data=calldata(3, 1_000))
    await again.http.aclose()


async def test_a_refused_request_takes_neither_nonce_nor_limit(caller: Caller) -> None:
    assert "error" in await caller.sign(data=calldata(1, LIMIT + 1))
    assert "error" in await caller.sign(chainId="0x1", data=calldata(1, LIMIT))
    assert "result" in await caller.sign(data=calldata(2, LIMIT))


async def test_nothing_is_signed_that_the_journal_could_not_keep(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    caller = Caller(directory)
    directory.rmdir()
    with pytest.raises(FileNotFoundError):
        await caller.sign()
    directory.mkdir()
    assert "result" in await caller.sign(data=calldata(9, LIMIT))
    await caller.http.aclose()
