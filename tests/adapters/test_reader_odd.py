"""Whatever JSON comes in the place of an answer, a read ends in a value or in `ChainUnavailable`.

Anything else would end the worker that asked. What an honest chain answers is recorded once;
then one method answers something odd, as a whole or somewhere inside.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.evm.errors import RpcError
from adapters.evm.json_rpc import Call, JsonRpc
from adapters.evm.reader import EvmReader
from adapters.evm.rpc import Providers
from node.core.errors import ChainUnavailable
from node.core.mirror import BlockHeader, Watch
from tests.onchain import ADMIN, LANE, OnChain, address_of, call
from tests.rig import AnvilServer

CHAIN_ID = 31337
OWN = [address_of(LANE), address_of(ADMIN)]


class Recorded(JsonRpc):
    """Answers what was recorded, but for one method."""

    def __init__(self, answers: Mapping[bytes, Any]) -> None:
        super().__init__("http://127.0.0.1:1")
        self.answers = answers
        self.odd: tuple[str, Callable[[Any], Any]] | None = None

    async def _post(self, body: Any, timeout_s: float | None = None) -> Any:
        if isinstance(body, list):
            return [self._told(each) for each in body]
        return self._told(body)

    def _told(self, body: Any) -> Any:
        asked = key((body["method"], body["params"]))
        if asked not in self.answers:  # what an odd answer led to
            return {"id": body["id"], "error": {"code": -32000, "message": "not found"}}
        answer = self.answers[asked]
        if self.odd is None or self.odd[0] != body["method"]:
            return {"id": body["id"], "result": answer}
        told = self.odd[1](answer)
        if isinstance(told, RpcError):
            fault = {"code": told.code, "message": told.message, "data": "0x" + told.data.hex()}
            return {"id": body["id"], "error": fault}
        return {"id": body["id"], "result": told}


class Recording(JsonRpc):
    """Forwards, and keeps what came."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.answers: dict[bytes, Any] = {}

    async def call(
        self, method: str, params: Sequence[Any] = (), *, timeout_s: float | None = None
    ) -> Any:
        answer = await super().call(method, params, timeout_s=timeout_s)
        self.answers[key((method, params))] = answer
        return answer

    async def batch(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> list[Any]:
        answers = await super().batch(calls, timeout_s=timeout_s)
        self.answers |= zip(map(key, calls), answers, strict=True)
        return answers


def key(asked: Call) -> bytes:
    return orjson.dumps([asked[0], list(asked[1])])


@dataclass
class Record:
    """A watch, a block with payments, its provider, and the questions to it."""

    watch: Watch
    header: BlockHeader | None = None
    answers: Mapping[bytes, Any] = field(default_factory=dict)

    def questions(self, reader: EvmReader) -> list[Callable[[], Awaitable[object]]]:
        header = self.header
        assert header is not None
        number, block = header.number, header.hash
        return [
            reader.head,
            reader.finalized_number,
            lambda: reader.hashes_at(number),
            lambda: reader.headers(number - 1, number),
            lambda: reader.facts([header]),
            lambda: reader.facts_by_range(number - 1, number),
            lambda: reader.facts_by_range(number, number),
            lambda: reader.facts_by_receipts([header]),
            lambda: reader.receipts(header.tx_hashes),
            lambda: reader.receipts_and_facts(header.tx_hashes),
            lambda: reader.has_code(self.watch.token, block),
            lambda: reader.token_balances(OWN, block),
            lambda: reader.native_balances(OWN, block),
            lambda: reader.nonces(OWN, block),
            lambda: reader.agreed_nonces(OWN, block),
            lambda: reader.agreed_native_balances(OWN, block),
            lambda: reader.nonces_now(OWN),
            lambda: reader.sent_by(OWN, [header.point]),
        ]

    async def unanswered(
        self, method: str, change: Callable[[Any], Any], kind: type[Recorded] = Recorded
    ) -> int:
        """How many questions have no answer while one method answers otherwise."""
        rpc, count = kind(self.answers), 0
        rpc.odd = (method, change)
        for place in range(len(self.questions(EvmReader(Providers([rpc]), self.watch)))):
            reader = EvmReader(Providers([rpc], chain_id=CHAIN_ID), self.watch)
            try:
                await self.questions(reader)[place]()
            except ChainUnavailable:
                count += 1
        return count

    async def record(self, url: str) -> None:
        """Ask everything of an honest chain."""
        rpc = Recording(url)
        reader = EvmReader(Providers([rpc], chain_id=CHAIN_ID), self.watch)
        newest = await reader.head()
        (self.header,) = await reader.headers(newest.number - 1, newest.number - 1)
        for ask in self.questions(reader):
            await ask()
        await reader.receipts(self.header.tx_hashes)
        await rpc.close()
        self.answers = rpc.answers


@pytest.fixture
def record(anvil: AnvilServer) -> Record:
    """A chain on which two were paid, and what it answers."""
    onchain = OnChain.deploy(anvil)
    records = b"".join(
        number.to_bytes(8) + bytes([number * 17]) * 20 + (100 + number).to_bytes(8)
        for number in (1, 2)
    )
    settle = {
        "from": LANE,
        "to": "0x" + onchain.contract.hex(),
        "data": call("settle(bytes)", records),
        "gas": hex(2_000_000),
    }
    anvil.mined(anvil.rpc("eth_sendTransaction", settle))
    anvil.mine()
    addresses = frozenset({onchain.contract, address_of(LANE)})
    record = Record(Watch(CHAIN_ID, onchain.contract, onchain.token, "USDC", "ETH", addresses))
    asyncio.run(record.record(anvil.rpc_url))
    return record


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(),
    st.sampled_from(
        [
            *("", "0x", "0x0", "-0x1", "0x-1", "0xzz", "é", "latest", "0x" + "f" * 200),
            *("0x" + "f" * n for n in (1, 2, 16, 17, 40, 63, 64, 65, 66)),
            *("-0x" + "f" * n for n in (16, 37, 61, 63)),
            *(hex(10**20), hex(2**63), hex(2**63 - 1), hex(2**256)),
        ]
    ),
    st.text(max_size=5),
    st.lists(st.none() | st.text(max_size=3) | st.integers(), max_size=3),
    st.dictionaries(st.sampled_from(["hash", "number", "logs", "a"]), st.none(), max_size=2),
    st.builds(
        RpcError,
        st.sampled_from([3, -32000, -32005, -32601, 429]),
        st.sampled_from(["", "execution reverted", "out of gas", "internal error"]),
        st.sampled_from([b"", b"\1\2\3\4"]),
    ),
)


@st.composite
def changes(draw: st.DrawFn) -> Callable[[Any], Any]:
    """Puts something odd in the place of an answer, or of something in it, or leaves a member out.

    Where it goes is the same in every answer.
    """
    odd = draw(ODD)
    path = draw(st.lists(st.integers(0, 40), max_size=4))
    leaves_out = bool(path) and draw(st.booleans())

    def changed(value: Any, path: Sequence[int]) -> Any:
        if not path or not isinstance(value, dict | list) or not value:
            return odd
        if isinstance(value, list):
            at = path[0] % len(value)
            middle = [] if leaves_out and len(path) == 1 else [changed(value[at], path[1:])]
            return [*value[:at], *middle, *value[at + 1 :]]
        name = sorted(value)[path[0] % len(value)]
        rest = {each: value[each] for each in value if each != name}
        return (
            rest
            if leaves_out and len(path) == 1
            else {**rest, name: changed(value[name], path[1:])}
        )

    def whole(answer: Any) -> Any:
        return changed(answer, path)

    return whole


def test_an_honest_record_answers_every_question(record: Record) -> None:
    async def ask_all() -> None:
        reader = EvmReader(Providers([Recorded(record.answers)], chain_id=CHAIN_ID), record.watch)
        for ask in record.questions(reader):
            await ask()
        (facts,) = await reader.facts_by_range(record.header.number, record.header.number)  # type: ignore[union-attr]
        assert len(facts.settlement_logs) == 2

    asyncio.run(ask_all())


def always(odd: object) -> Callable[[Any], Any]:
    return lambda _: odd


def each_with(**changed: Any) -> Callable[[Any], Any]:
    """Changes members of an answer, or of each of a list of them."""

    def change(answer: Any) -> Any:
        each = answer if isinstance(answer, list) else [answer]
        found = [{**one, **changed} if isinstance(one, dict) else one for one in each]
        return found if isinstance(answer, list) else found[0]

    return change


ODD_LISTS: Sequence[Any] = ("0x", 5, True, {"a": 1})


@pytest.mark.parametrize(
    ("method", "change"),
    [
        *(("eth_getBlockReceipts", always(odd)) for odd in ODD_LISTS),
        ("eth_getBlockReceipts", always([None])),
        *(("eth_getLogs", always(odd)) for odd in ODD_LISTS),
        ("eth_getBlockByNumber", each_with(timestamp=hex(10**20))),
        ("eth_getBlockByNumber", each_with(timestamp=hex(2**62))),  # beyond the clocks of C
        ("eth_getBlockByNumber", each_with(timestamp=hex(10**12))),
        ("eth_getBlockByNumber", each_with(number=hex(2**63))),
        ("eth_getBlockByNumber", each_with(number="-0x1")),
        ("eth_getBlockByHash", each_with(transactions=[{"from": ADMIN.lower(), "hash": None}])),
        ("eth_getLogs", each_with(data="-0x" + "f" * 63)),
        ("eth_getLogs", each_with(logIndex="-0x1")),
        ("eth_getTransactionCount", lambda _: hex(2**64)),
        ("eth_getBalance", lambda _: hex(2**256)),
        ("eth_blockNumber", lambda _: hex(10**30)),
    ],
)
def test_odd_answers_that_ended_a_worker_end_in_chain_unavailable(
    record: Record, method: str, change: Callable[[Any], Any]
) -> None:
    assert asyncio.run(record.unanswered(method, change)) > 0


@pytest.mark.parametrize("code", [3, -32000])
def test_a_whole_request_that_is_refused_like_a_call_is_unavailable_too(
    record: Record, code: int
) -> None:
    """A contract refuses only what calls it; of everything else a provider says so."""

    class Refusing(Recorded):
        async def _post(self, body: Any, timeout_s: float | None = None) -> Any:
            if isinstance(body, list):
                return {"error": {"code": code, "message": "out of gas", "data": "0x01"}}
            return await super()._post(body, timeout_s)

    asked = record.questions(EvmReader(Providers([]), record.watch))
    assert asyncio.run(record.unanswered("", lambda answer: answer, Refusing)) == len(asked) - 2


def test_whatever_comes_in_the_place_of_an_answer_a_read_ends_well(record: Record) -> None:
    methods = sorted({orjson.loads(each)[0] for each in record.answers})

    @settings(
        max_examples=400,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        deadline=None,
    )
    @given(method=st.sampled_from(methods), change=changes())
    def ends_well(method: str, change: Callable[[Any], Any]) -> None:
        asyncio.run(record.unanswered(method, change))

    ends_well()
