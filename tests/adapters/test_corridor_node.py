"""A partner that is a node: what is a refusal, what is no answer, and what its answers must be.

The suite over a real second node is `tests/api/test_paying_partner.py`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from adapters.machine import new_id
from adapters.partners import CorridorNode, Peer, load_peers
from node.core.catalog import USDC, assets_with
from node.core.errors import BeneficiaryRefused
from node.core.payout_orders import (
    PartnerBusy,
    PartnerRefused,
    PartnerState,
    PartnerUnavailable,
    Payee,
)
from node.core.payouts import BankAccount
from node.core.ports.payout_partners import LegRequest, PayoutPartner
from node.core.units import Address, Money
from tests.adapters.payout_partner_suite import PHP, PayoutPartnerSuite, asked
from tests.fake_partner import FakePartner

ASSETS = assets_with(USDC)
CONTRACT = "0x" + "3a" * 20
QUOTE: dict[str, Any] = {
    "id": "quo_1",
    "firm": True,
    "fixed_side": "sell",
    "sell": {"currency": "USDC", "amount": "100.000000"},
    "buy": {"currency": "PHP", "amount": "5700.00"},
    "mid_rate": "57.5",
    "spread_bps": 50,
    "fees": [
        {"type": "service", "currency": "USDC", "amount": "0.000000"},
        {"type": "network", "currency": "USDC", "amount": "0.100000"},
    ],
    "rate_sources": [
        {
            "name": "fix",
            "sell": "USDC",
            "buy": "PHP",
            "rate": "57.5",
            "observed_at": "2026-11-20T15:00:00Z",
            "stale": False,
        }
    ],
    "payout": {"method": "bank", "estimated_delivery_s": 60},
    "expires_at": "2026-11-20T16:00:00Z",
}
PAYOUT: dict[str, Any] = {
    "id": "pay_1",
    "status": "pending_sender",
    "state": "awaiting_payment",
    "quote_id": "quo_1",
    "client_reference": "mine",
    "reference": "M1",
    "sell": QUOTE["sell"],
    "buy": QUOTE["buy"],
    "deposit": {
        "chain_id": 31337,
        "token": "0x" + "70" * 20,
        "address": "0x" + "da" * 20,
        "pay_by": "2026-11-21T15:00:00Z",
    },
    "matched": None,
    "refund": None,
    "failure": None,
}
AMOUNT = Money(100_000_000, USDC)
Answering = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def peer(tmp_path: Path) -> Peer:
    key = tmp_path / "manila.key"
    key.write_text("cor_test_secret\n")
    contract = Address(bytes.fromhex(CONTRACT[2:]))
    one = frozenset({"PHP"})
    return Peer("manila", "http://manila", key, None, frozenset({"PH"}), one, contract)


def over(peer: Peer, answering: Answering) -> CorridorNode:
    return CorridorNode(peer, ASSETS, httpx.MockTransport(answering))


def says(status: int, document: object) -> Answering:
    return lambda _: httpx.Response(status, content=orjson.dumps(document))


class TestTheFake(PayoutPartnerSuite):
    """The fake of the services' tests is held to the same words as the real one."""

    @pytest.fixture
    def partner(self) -> PayoutPartner:
        return FakePartner(31337, Address(b"\x70" * 20))


async def test_a_price_is_asked_for_with_its_key_and_read_to_the_unit(peer: Peer) -> None:
    seen: list[httpx.Request] = []

    def answering(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, content=orjson.dumps(QUOTE))

    leg = await over(peer, answering).quote(LegRequest(USDC, PHP, AMOUNT, 65), new_id())
    assert orjson.loads(seen[0].content) == {
        "sell": {"currency": "USDC", "amount": "100.000000"},
        "buy": {"currency": "PHP"},
        "payout": {"method": "bank"},
        "ttl_s": 65,
    }
    assert seen[0].headers["authorization"] == "Bearer cor_test_secret"
    assert (leg.quote_id, leg.price.buy.minor, leg.price.fees.minor) == ("quo_1", 570_000, 100_000)
    assert leg.price.sources[0].text == "57.5"


async def test_a_registration_goes_under_its_key_and_names_the_beneficiary_in_its_body_alone(
    peer: Peer,
) -> None:
    seen: list[httpx.Request] = []

    def answering(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        document = QUOTE if request.url.path == "/v1/quotes" else PAYOUT
        return httpx.Response(201, content=orjson.dumps(document))

    node = over(peer, answering)
    registration = asked(await node.quote(LegRequest(USDC, PHP, AMOUNT, 65), new_id()))
    payout = await node.register(registration)
    assert seen[1].headers["idempotency-key"] == registration.key
    assert "Maria" not in str(seen[1].url) + str(seen[1].headers)
    assert orjson.loads(seen[1].content)["beneficiary"]["account"]["number"] == "001234567890"
    assert payout.address == Address(b"\xda" * 20)


@pytest.mark.parametrize(
    ("status", "document", "error"),
    [
        (422, {"code": "amount_out_of_range", "detail": "too much"}, PartnerRefused),
        (409, {"code": "quote_expired", "detail": "late"}, PartnerRefused),
        (422, {"code": "beneficiary_refused", "detail": "no"}, BeneficiaryRefused),
        (
            422,
            {"code": "invalid_body", "errors": [{"pointer": "/beneficiary/account/number"}]},
            BeneficiaryRefused,
        ),
        (422, {"code": "invalid_body", "errors": [{"pointer": "/quote_id"}]}, PartnerRefused),
        (409, {"code": "idempotency_in_progress"}, PartnerUnavailable),
        (422, {"detail": "no code"}, PartnerUnavailable),
        (422, {"code": "no\0code", "detail": "x"}, PartnerUnavailable),
        (422, {"code": ["no"], "detail": "x"}, PartnerUnavailable),
        (401, {"code": "credential_invalid"}, PartnerUnavailable),
        (403, {"code": "scope_missing"}, PartnerUnavailable),
        (429, {"code": "rate_limited"}, PartnerUnavailable),
        (500, {"code": "internal"}, PartnerUnavailable),
        (503, {"code": "rate_unavailable"}, PartnerBusy),
        (302, {}, PartnerUnavailable),
    ],
)
async def test_only_a_definite_refusal_is_one(
    peer: Peer, status: int, document: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await over(peer, says(status, document)).quote(LegRequest(USDC, PHP, AMOUNT, 60), new_id())


@pytest.mark.parametrize(
    ("status", "document"),
    [(503, {"detail": "no code"}), (429, {"code": "rate_limited"}), (500, {"code": "internal"})],
)
async def test_only_who_says_why_not_now_is_busy_and_not_away(
    peer: Peer, status: int, document: object
) -> None:
    with pytest.raises(PartnerUnavailable) as raised:
        await over(peer, says(status, document)).show("pay_1")
    assert not isinstance(raised.value, PartnerBusy)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b"null", b'"x"', b"{" * 10_000, b"x" * 300_000]
)
async def test_what_cannot_be_read_is_no_answer(peer: Peer, content: bytes) -> None:
    node = over(peer, lambda _: httpx.Response(200, content=content))
    with pytest.raises(PartnerUnavailable):
        await node.show("pay_1")


@pytest.mark.parametrize(
    "fault", [httpx.ConnectError("no"), httpx.ReadTimeout("no"), httpx.RemoteProtocolError("no")]
)
async def test_what_breaks_on_the_way_is_no_answer(peer: Peer, fault: Exception) -> None:
    def answering(_: httpx.Request) -> httpx.Response:
        raise fault

    with pytest.raises(PartnerUnavailable):
        await over(peer, answering).show("pay_1")


@pytest.mark.parametrize("is_stale", [False, True])
async def test_a_rate_that_the_partner_marked_stale_stays_so(peer: Peer, is_stale: bool) -> None:
    [source] = QUOTE["rate_sources"]
    document = {**QUOTE, "rate_sources": [{**source, "stale": is_stale}]}
    leg = await over(peer, says(201, document)).quote(LegRequest(USDC, PHP, AMOUNT, 60), new_id())
    assert [each.stale for each in leg.price.sources] == [is_stale]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("sell", "amount"), "1e3"),
        (("sell", "amount"), "-1.00"),
        (("sell", "currency"), "XXX"),
        (("buy", "amount"), "0.00"),
        (("mid_rate",), "NaN"),
        (("mid_rate",), "0"),
        (("mid_rate",), 57.5),
        (("spread_bps",), True),
        (("spread_bps",), 10_000),
        (("fees",), []),
        (("fees", 0, "currency"), "PHP"),
        (("fees", 1, "amount"), "200.000000"),
        (("expires_at",), "2026-11-20T16:00:00"),
        (("firm",), False),
        (("id",), "x" * 300),
        (("id",), "quo\0"),
        (("id",), "quo\n1"),
        (("expires_at",), "0001-01-01T00:00:00+23:59"),
        (("expires_at",), "9999-12-31T23:59:59-23:59"),
        (("rate_sources", 0, "rate"), "-1"),
        (("rate_sources", 0, "stale"), "no"),
    ],
)
async def test_a_price_that_is_none_is_no_answer(
    peer: Peer, place: tuple[str | int, ...], value: object
) -> None:
    document = orjson.loads(orjson.dumps(QUOTE))
    inner = document
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    with pytest.raises(PartnerUnavailable):
        await over(peer, says(201, document)).quote(LegRequest(USDC, PHP, AMOUNT, 60), new_id())


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"state": "refused"}, PartnerState.UNDELIVERABLE),
        ({"state": "refunding", "status": "pending_receiver"}, PartnerState.UNDELIVERABLE),
        ({"state": "on_hold"}, PartnerState.STUCK),
        ({"state": "a_newer_word", "status": "pending_external"}, PartnerState.WORKING),
        ({"state": "a_newer_word", "status": "completed"}, PartnerState.PAID_OUT),
    ],
)
async def test_states_are_read_in_their_meaning(
    peer: Peer, changes: dict[str, str], state: PartnerState
) -> None:
    payout = await over(peer, says(200, {**PAYOUT, **changes})).show("pay_1")
    assert payout.state is state


async def test_a_payout_tells_what_paid_it_and_what_sends_the_money_back(peer: Peer) -> None:
    matched = {"tx_hash": "0x" + "11" * 32, "settlement_number": 7, "amount": "100.000000"}
    refund = {
        "id": "ref_1",
        "status": "completed",
        "currency": "USDC",
        "amount": "100.000000",
        "tx_hash": "0x" + "22" * 32,
        "payment_number": 9,
    }
    document = {**PAYOUT, "state": "refunded", "matched": matched, "refund": refund}
    payout = await over(peer, says(200, document)).show("pay_1")
    assert payout.matched is not None
    assert (payout.matched.number, payout.matched.amount) == (7, 100_000_000)
    assert payout.refund is not None
    assert (payout.refund.number, payout.refund.amount) == (9, 100_000_000)
    failed = {**document, "refund": {**refund, "status": "failed"}}
    assert (await over(peer, says(200, failed)).show("pay_1")).refund is None


async def test_a_key_that_cannot_be_read_asks_nobody_anything(peer: Peer) -> None:
    def answering(_: httpx.Request) -> httpx.Response:
        raise AssertionError("it was asked")

    node = over(replace(peer, key_file=peer.key_file.with_name("gone")), answering)
    with pytest.raises(PartnerUnavailable):
        await node.show("pay_1")


async def test_an_answer_that_never_ends_is_given_up(peer: Peer) -> None:
    async def forever(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    node = CorridorNode(peer, ASSETS, httpx.MockTransport(forever), limit_s=1)
    with pytest.raises(PartnerUnavailable):
        await node.show("pay_1")


PEERS = """
[[peer]]
name = "manila"
url = "https://manila.example"
key_file = "manila.key"
webhook_secret_file = "manila.whsec"
countries = ["PH"]
currencies = ["PHP"]
settlement_contract = "0x3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a"
"""


def test_peers_are_read_from_their_file_with_the_files_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "peers.toml"
    path.write_text(PEERS)
    tmp_path.joinpath("manila.key").write_text("hush\n")
    tmp_path.joinpath("manila.whsec").write_text("whsec_one\n\nwhsec_two\n")
    [peer] = load_peers(path)
    assert (peer.name, peer.key(), list(peer.webhook_keys())) == (
        "manila",
        "hush",
        ["whsec_one", "whsec_two"],
    )
    assert "hush" not in repr(peer)


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ('name = "manila"', "", "name is missing"),
        ('"https://manila.example"', '"ftp://manila"', "url"),
        ('["PHP"]', '["php"]', "currencies"),
        ('["PH"]', "[]", "countries"),
        ("3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a", "3a", "settlement_contract"),
        ('name = "manila"', 'name = "manila"\nfee = 1', "no member 'fee'"),
        ("[[peer]]", "[peer]", "write tables"),
        ("url =", 'signing_key_file = "manila.pem"\nurl =', "both of"),
        ("url =", 'signing_key_id = "sig_1"\nsigning_key_file = "a"\nurl =', "signing_key_id"),
    ],
)
def test_a_mistake_in_the_file_of_peers_is_named(
    tmp_path: Path, before: str, after: str, fault: str
) -> None:
    path = tmp_path / "peers.toml"
    path.write_text(PEERS.replace(before, after))
    with pytest.raises(ValueError, match=fault):
        load_peers(path)


@pytest.mark.parametrize("content", [None, b"", b"hush", b"-----BEGIN PRIVATE KEY-----\nAA==\n"])
async def test_a_signing_key_that_cannot_be_read_asks_nobody_anything_and_is_not_shown(
    peer: Peer, content: bytes | None
) -> None:
    path = peer.key_file.with_name("manila.pem")
    if content is not None:
        path.write_bytes(content)

    def answering(_: httpx.Request) -> httpx.Response:
        raise AssertionError("it was asked")

    node = over(replace(peer, signing_key_file=path, signing_key_id="sig_1"), answering)
    with pytest.raises(PartnerUnavailable) as raised:
        await node.show("pay_1")
    assert "hush" not in raised.value.detail


async def test_a_change_goes_under_its_key_to_its_payout(peer: Peer) -> None:
    seen: list[httpx.Request] = []

    def answering(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=orjson.dumps(PAYOUT))

    node, account = over(peer, answering), BankAccount("001234567890", "BOPIPHMM")
    await node.correct("pay_1", Payee("Amihan", "PH", account), "q-correct-1")
    await node.refund("pay_1", "q-refund-2")
    assert [(each.url.path, each.headers["idempotency-key"]) for each in seen] == [
        ("/v1/payouts/pay_1/correct", "q-correct-1"),
        ("/v1/payouts/pay_1/refund", "q-refund-2"),
    ]
    told = orjson.loads(seen[0].content)["beneficiary"]
    assert (told["name"], told["account"]["number"]) == ("Amihan", "001234567890")
    assert orjson.loads(seen[1].content) == {}


def test_two_peers_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "peers.toml"
    path.write_text(PEERS + PEERS)
    with pytest.raises(ValueError, match="two peers"):
        load_peers(path)
