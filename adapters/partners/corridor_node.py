"""A partner that pays out and is a node like this one, asked over its HTTP interface.

Each request is made once, with a key that makes it safe to make again; its whole time and the size
of its answer are bounded. What is a refusal and what is no answer is decided here: a refusal says
that nothing was done, anything else leaves it open (`PartnerUnavailable`).
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

import httpx
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.partners.answers import Assets, Unreadable, leg_of, payout_of
from adapters.partners.peers import Peer
from node.core.errors import BeneficiaryRefused
from node.core.partners import SignedRequest
from node.core.payout_orders import (
    PartnerBusy,
    PartnerPayout,
    PartnerRefused,
    PartnerUnavailable,
    Payee,
)
from node.core.payouts import BANK, BankAccount
from node.core.ports.payout_partners import LegRequest, Registration
from node.core.quotes import PartnerLeg
from node.core.units import Address

_LIMIT_S: Final = 10
_ANSWER_BYTES_MAX: Final = 262_144
_REFUSALS: Final = frozenset({400, 404, 409, 410, 413, 422})
_NO_ANSWER: Final = frozenset({"idempotency_in_progress"})
"""Codes of refusals that leave open what was done."""

_CODE: Final = re.compile(r"[a-z0-9_]{1,64}")
_OF_BENEFICIARY: Final = frozenset({"beneficiary_refused", "account_invalid", "country_refused"})
_BENEFICIARY: Final = "/beneficiary"
_DETAIL_MAX: Final = 300

RequestSigning = Callable[[SignedRequest, Ed25519PrivateKey, str, str], Iterable[tuple[str, str]]]
"""Headers of a request with its signature, by a key of this id, for a URL of this scheme."""


class CorridorNode:
    """See `node.core.ports.payout_partners.PayoutPartner`. Whoever makes it closes it."""

    def __init__(
        self,
        peer: Peer,
        assets: Assets,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        sign: RequestSigning | None = None,
        limit_s: int = _LIMIT_S,
    ) -> None:
        """Nothing is asked yet.

        Args:
            peer: As its file says.
            assets: What the node has, by code: amounts of others are not understood.
            transport: How it is reached; None: over the network, without proxies.
            sign: Signs requests to a peer that names a key for it.
            limit_s: How long a request may take in all.
        """
        self._limit_s = limit_s
        self._signing = sign
        self._peer = peer
        self._assets = assets
        self._http = httpx.AsyncClient(
            base_url=peer.url,
            transport=transport,
            timeout=limit_s,
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of its connections."""
        await self._http.aclose()

    @property
    def name(self) -> str:
        """Of the partner."""
        return self._peer.name

    @property
    def currencies(self) -> frozenset[str]:
        """Codes of what it pays out in."""
        return self._peer.currencies

    @property
    def countries(self) -> frozenset[str]:
        """Where it pays out."""
        return self._peer.countries

    @property
    def contract(self) -> Address:
        """The settlement contract that its refunds come from."""
        return self._peer.settlement_contract

    def webhook_keys(self) -> Sequence[str]:
        """What its webhooks may be signed by."""
        try:
            return self._peer.webhook_keys()
        except ValueError as error:
            raise self._away(str(error)) from None

    async def quote(self, request: LegRequest, partner_id: UUID) -> PartnerLeg:
        """A firm price."""
        is_sell = request.amount.asset == request.token
        sides = {
            "sell": {"currency": request.token.code},
            "buy": {"currency": request.buy.code},
        }
        sides["sell" if is_sell else "buy"]["amount"] = str(request.amount)
        body = {**sides, "payout": {"method": BANK}, "ttl_s": request.ttl_s}
        answer = await self._ask("POST", "/v1/quotes", body)
        try:
            return leg_of(answer, self._assets, self.name, partner_id)
        except Unreadable as error:
            raise self._unreadable(error) from None

    async def register(self, registration: Registration) -> PartnerPayout:
        """Register a payout; repeated under its key it is the same one."""
        sender_name, sender_country = registration.sender
        body = {
            "quote_id": registration.quote_id,
            "client_reference": str(registration.reference),
            "beneficiary": _payee(registration.name, registration.country, registration.account),
            "originator": {"name": sender_name, "country": sender_country},
            "refund_policy": registration.refund_policy.value,
            "refund_address": f"0x{registration.refund_address.hex()}",
            "purpose": registration.purpose,
        }
        return self._payout(await self._ask("POST", "/v1/payouts", body, registration.key))

    async def correct(self, payout_id: str, payee: Payee, key: str) -> PartnerPayout:
        """Give the beneficiary as it should have been."""
        body = {"beneficiary": _payee(payee.name, payee.country, payee.account)}
        return self._payout(await self._ask("POST", f"/v1/payouts/{payout_id}/correct", body, key))

    async def refund(self, payout_id: str, key: str) -> PartnerPayout:
        """Ask for the money back."""
        return self._payout(await self._ask("POST", f"/v1/payouts/{payout_id}/refund", {}, key))

    async def show(self, payout_id: str) -> PartnerPayout:
        """A payout as it stands."""
        return self._payout(await self._ask("GET", f"/v1/payouts/{payout_id}"))

    def _payout(self, answer: object) -> PartnerPayout:
        try:
            return payout_of(answer, self._assets)
        except Unreadable as error:
            raise self._unreadable(error) from None

    async def _ask(
        self, method: str, path: str, body: Mapping[str, object] | None = None, key: str = ""
    ) -> object:
        """The decoded answer of a request that was carried out."""
        headers = {"authorization": f"Bearer {self._key()}", "accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        if key:
            headers["idempotency-key"] = key
        content = None if body is None else orjson.dumps(body)
        request = self._http.build_request(method, path, content=content, headers=headers)
        self._sign(request)
        try:
            async with asyncio.timeout(self._limit_s):
                response = await self._http.send(request, stream=True)
                async with aclosing(response):
                    status, answered = response.status_code, await _read(response)
        except (httpx.HTTPError, httpx.StreamError, TimeoutError, OSError) as error:
            raise self._away(type(error).__name__) from None
        try:
            answer: object = orjson.loads(answered)
        except orjson.JSONDecodeError:
            raise self._away(f"it answers {status} without JSON") from None
        if httpx.codes.is_success(status):
            return answer
        raise self._refusal(status, answer)

    def _sign(self, request: httpx.Request) -> None:
        """Sign it, where the partner is to see signed requests; each time anew."""
        try:
            key = self._peer.signing_key()
        except ValueError as error:
            raise self._away(str(error)) from None
        if key is None:
            return
        if self._signing is None:
            raise self._away("nothing signs requests here")
        signed = SignedRequest(
            method=request.method,
            host=request.headers["host"],
            target=request.url.raw_path.decode("ascii"),
            headers=[(name.lower(), value) for name, value in request.headers.items()],
            body=request.content,
        )
        for name, value in self._signing(signed, key.private, key.id, request.url.scheme):
            request.headers[name] = value

    def _key(self) -> str:
        try:
            return self._peer.key()
        except ValueError as error:
            raise self._away(str(error)) from None

    def _refusal(self, status: int, answer: object) -> Exception:
        """What an answer that is no success means."""
        problem: Mapping[str, Any] = answer if isinstance(answer, dict) else {}
        code, detail = str(problem.get("code", "")), str(problem.get("detail", ""))
        if not _CODE.fullmatch(code):
            return self._away(f"it answers {status} without a code")
        if status == httpx.codes.SERVICE_UNAVAILABLE:
            return PartnerBusy(f"the partner {self.name} cannot do it now ({code}); ask again")
        if status not in _REFUSALS or code in _NO_ANSWER:
            return self._away(f"it answers {status} {code}")
        shown = "".join(each for each in detail[:_DETAIL_MAX] if each.isprintable())
        said = f"{self.name} says: {shown or code}"
        if code in _OF_BENEFICIARY or _is_of_beneficiary(problem):
            return BeneficiaryRefused(said, reason=code)
        return PartnerRefused(said, reason=code)

    def _away(self, why: str) -> PartnerUnavailable:
        return PartnerUnavailable(
            f"the partner {self.name} does not answer ({why}); nothing was consumed, ask again"
        )

    def _unreadable(self, error: Unreadable) -> PartnerUnavailable:
        return self._away(f"its answer cannot be read: {error}")


async def _read(response: httpx.Response) -> bytes:
    """The whole answer, as long as it is not too long."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > _ANSWER_BYTES_MAX:
            raise httpx.StreamError(f"the answer is above {_ANSWER_BYTES_MAX} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _payee(name: str, country: str, account: BankAccount) -> dict[str, object]:
    return {
        "name": name,
        "country": country,
        "account": {
            "type": "bank",
            "number": account.number,
            "bank_code": account.bank_code,
        },
    }


def _is_of_beneficiary(problem: Mapping[str, Any]) -> bool:
    """Whether every fault that a problem lists is at the beneficiary."""
    errors = problem.get("errors")
    return (
        isinstance(errors, list)
        and bool(errors)
        and all(
            isinstance(each, dict) and str(each.get("pointer", "")).startswith(_BENEFICIARY)
            for each in errors
        )
    )
