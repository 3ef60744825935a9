"""The partner's adapter over the HTTP interface of a real second node that pays out."""

from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from adapters.http.signing import sign_now
from adapters.machine import new_id
from adapters.partners import CorridorNode, Peer, load_peers
from adapters.partners.corridor_node import RequestSigning
from node.core.catalog import USDC, assets_with
from node.core.payout_orders import PartnerUnavailable
from node.core.ports.payout_partners import PayoutPartner
from node.core.units import Address, Money
from tests.adapters.payout_partner_suite import REFUND_TO, PayoutPartnerSuite
from tests.api.conftest import RealNode
from tests.api.test_bad_input import headers
from tests.api.test_deposits import begin_mirror


@pytest.fixture
async def manila(deposits_app: RealNode, database_url: str) -> RealNode:
    """A node with pesos at its bank, at which the contract of a partner is registered."""
    node = deposits_app
    await begin_mirror(database_url)
    paid_in = await node.client.post(
        f"/v1/customers/{node.customer_id}/top-ups",
        headers=headers(node.operator, str(new_id())),
        json={
            "currency": "PHP",
            "amount": "1000000.00",
            "rail": "sandbox_bank",
            "reference": "pesos",
        },
    )
    assert paid_in.status_code == 201, paid_in.text
    registered = await node.client.post(
        f"/v1/partners/{node.partner_id}/contracts",
        headers=headers(node.operator, str(new_id())),
        json={"chain_id": 31337, "address": f"0x{REFUND_TO.hex()}"},
    )
    assert registered.status_code == 201, registered.text
    return node


class TestARealNode(PayoutPartnerSuite):
    """The same words as every partner, over the whole of the other node."""

    refund_to = REFUND_TO

    @pytest.fixture
    def partner(self, manila: RealNode, tmp_path: Path) -> PayoutPartner:
        key = tmp_path / "manila.key"
        key.write_text(manila.partner)
        one = frozenset({"PHP"})
        contract = Address(b"\x3a" * 20)
        peer = Peer("manila", "http://node", key, None, frozenset({"PH"}), one, contract)
        return CorridorNode(peer, assets_with(USDC), httpx.ASGITransport(app=manila.app))


class TestARealNodeThatAsksForSignatures(PayoutPartnerSuite):
    """The same, where every request must be signed (RFC 9421)."""

    refund_to = REFUND_TO

    @pytest.fixture
    async def peer(self, manila: RealNode, tmp_path: Path) -> Peer:
        signing, own = Ed25519PrivateKey.generate(), headers(manila.operator, str(new_id()))
        terms = f"/v1/partners/{manila.partner_id}"
        public = signing.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        body = {"name": "signer", "public_key": public.decode()}
        made = await manila.client.post(f"{terms}/signing-keys", headers=own, json=body)
        assert made.status_code == 201, made.text
        asked = {"requires_signature": True}
        changed = await manila.client.post(f"{terms}/terms", headers=own, json=asked)
        assert changed.status_code == 200, changed.text
        one = frozenset({"PHP"})
        return load_peer(tmp_path, manila.partner, signing, made.json()["id"], one)

    @pytest.fixture
    def partner(self, manila: RealNode, peer: Peer) -> PayoutPartner:
        return over(manila, peer, sign_now)

    async def test_what_is_not_signed_is_answered_by_nobody(
        self, manila: RealNode, peer: Peer
    ) -> None:
        unsigned = replace(peer, signing_key_file=None)
        for each in (over(manila, unsigned, sign_now), over(manila, peer, None)):
            with pytest.raises(PartnerUnavailable):
                await self.leg(each, Money(100_000_000, USDC))

    async def test_a_signature_by_another_key_is_no_answer(
        self, manila: RealNode, peer: Peer, tmp_path: Path
    ) -> None:
        other = load_peer(
            tmp_path,
            manila.partner,
            Ed25519PrivateKey.generate(),
            peer.signing_key_id,
            peer.currencies,
        )
        with pytest.raises(PartnerUnavailable):
            await self.leg(over(manila, other, sign_now), Money(100_000_000, USDC))


def over(manila: RealNode, peer: Peer, sign: RequestSigning | None) -> CorridorNode:
    """The node over its ASGI application."""
    transport = httpx.ASGITransport(app=manila.app)
    return CorridorNode(peer, assets_with(USDC), transport, sign=sign)


def load_peer(
    place: Path, secret: str, signing: Ed25519PrivateKey, key_id: str, currencies: frozenset[str]
) -> Peer:
    """A peer as its file names it."""
    place.joinpath("manila.key").write_text(secret)
    place.joinpath("manila.pem").write_bytes(
        signing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    path = place / "peers.toml"
    path.write_text(
        '[[peer]]\nname = "manila"\nurl = "http://node"\nkey_file = "manila.key"\n'
        f'signing_key_file = "manila.pem"\nsigning_key_id = "{key_id}"\ncountries = ["PH"]\n'
        f'currencies = {sorted(currencies)}\nsettlement_contract = "0x{"3a" * 20}"\n'
    )
    [peer] = load_peers(path)
    return peer
