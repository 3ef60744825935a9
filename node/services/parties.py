"""Customers, partners and the credentials by which they are known."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from node.core.errors import Conflict, NotFound, Unauthenticated
from node.core.ids import Prefix, decode_id, encode_id
from node.core.paging import ListQuery, Page
from node.core.parties import Caller, Credential, Customer, Partner, Principal, Role
from node.core.partners import check_rotation, read_networks
from node.core.ports import Clock, Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.services.idempotency import RenderError, once

_CACHE_S: Final = 1  # a revoked credential is refused at most this much later
_CACHE_MAX: Final = 10_000


class TokenAlreadyCreated(Conflict):
    """The request was carried out before; its secret cannot be shown again (`key_id`)."""

    code = "token_already_created"
    title = "The token was created before"


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A credential with its secret, which is shown this once and stored nowhere."""

    credential: Credential
    secret: str


def hash_of(secret: str) -> bytes:
    """SHA-256 of a secret. Secrets are 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).digest()


class PartyService:
    """Who may act, and for whom."""

    def __init__(
        self,
        units: UnitOfWork,
        clock: Clock,
        new_id: Callable[[], UUID],
        new_secret: Callable[[], str],
    ) -> None:
        self._units = units
        self._clock = clock
        self._new_id = new_id
        self._new_secret = new_secret
        self._known: dict[bytes, tuple[datetime, Caller]] = {}
        self._asking: dict[bytes, asyncio.Future[Caller | None]] = {}

    async def authenticate(self, secret: str) -> Principal:
        """The principal of a bearer credential; see `caller`."""
        return (await self.caller(secret)).principal

    async def caller(self, secret: str) -> Caller:
        """A bearer credential with the partner it acts under.

        The look-up is by the SHA-256 of the secret, so its time tells nothing about the secret.
        Credentials are remembered for at most 1 s.

        Raises:
            Unauthenticated: Unknown, expired or revoked.
        """
        digest, now = hash_of(secret), self._clock.now()
        known = self._known.get(digest)
        if known is None or now - known[0] > timedelta(seconds=_CACHE_S):
            caller = await self._look_up(digest, now)
        else:
            caller = known[1]
        credential = caller.credential
        if credential.revoked_at is not None:
            raise Unauthenticated("the credential was revoked; ask for a new one")
        if credential.expires_at is not None and credential.expires_at <= now:
            raise Unauthenticated("the credential has expired; ask for a new one")
        return caller

    async def _look_up(self, digest: bytes, now: datetime) -> Caller:
        """The stored credential; requests that ask at once share one look-up."""
        asking = self._asking.get(digest)
        if asking is None:
            asking = self._asking[digest] = asyncio.ensure_future(self._credential(digest))
            asking.add_done_callback(lambda _: self._asking.pop(digest, None))
        caller = await asyncio.shield(asking)
        if caller is None:
            raise Unauthenticated("the credential is not known; check the Authorization header")
        if len(self._known) >= _CACHE_MAX:
            self._known.clear()
        self._known[digest] = (now, caller)
        return caller

    async def _credential(self, digest: bytes) -> Caller | None:
        async with self._units() as unit:
            caller = await unit.partners.caller_by_hash(digest)
            if caller is not None and caller.credential.is_live(unit.now):
                await unit.partners.note_use(caller.credential.id)
            return caller

    async def create_customer(  # noqa: PLR0913 - what a customer is
        self,
        principal: Principal,
        *,
        name: str,
        country: str,
        email: str | None,
        claim: Claim | None,
        render: Callable[[Customer], Answer],
        render_error: RenderError,
    ) -> Answer:
        """A new customer of the partner, or of the node itself when an operator asks."""

        async def work(unit: Unit) -> Answer:
            customer = Customer(
                self._new_id(), principal.partner_id, name, country, email, unit.now
            )
            await unit.parties.add_customer(customer)
            return render(customer)

        return await once(self._units, claim, work, render_error)

    async def customer(self, principal: Principal, customer_id: str) -> Customer:
        """One customer.

        Raises:
            NotFound: It does not exist for this principal.
        """
        async with self._units() as unit:
            return await visible_customer(unit, principal, customer_id)

    async def customers(self, principal: Principal, query: ListQuery) -> Page[Customer]:
        """Own customers, newest first."""
        async with self._units() as unit:
            return await unit.parties.list_customers(principal, query)

    async def create_token(self, principal: Principal, customer_id: str) -> NewSecret:
        """A remitter's credential for a customer."""
        async with self._units() as unit:
            return await self._issue_token(unit, principal, customer_id)

    async def create_token_once(
        self,
        principal: Principal,
        customer_id: str,
        *,
        claim: Claim | None,
        render: Callable[[NewSecret], Answer],
        render_error: RenderError,
    ) -> Answer:
        """`create_token` for a request that may come again.

        What is kept for a repeated request is `TokenAlreadyCreated` with the `key_id`: the secret
        itself is stored nowhere.
        """
        if claim is None:
            return render(await self.create_token(principal, customer_id))
        shown: list[Answer] = []

        async def work(unit: Unit) -> Answer:
            made = await self._issue_token(unit, principal, customer_id)
            shown.append(render(made))
            return render_error(
                TokenAlreadyCreated(
                    "this request made a token before, and its secret is shown only once;"
                    " make another with a new Idempotency-Key",
                    key_id=encode_id(Prefix.KEY, made.credential.id),
                )
            )

        kept = await once(self._units, claim, work, render_error)
        return shown[0] if shown else kept

    async def create_partner(self, name: str) -> Partner:
        """A new partner; the one of this name when there is one."""
        async with self._units() as unit:
            if partner := await unit.parties.partner_named(name):
                return partner
            partner = Partner(self._new_id(), name, unit.now)
            await unit.parties.add_partner(partner)
            return partner

    async def create_key(
        self,
        principal: Principal,
        *,
        expires_in_s: int | None = None,
        networks: Sequence[str] = (),
    ) -> NewSecret:
        """A credential for a principal, with its scopes.

        Raises:
            TooManyKeys: It is a partner's, and two of this name work.
            InvalidInput: `networks` are none.
        """
        async with self._units() as unit:
            return await self.issue(unit, principal, expires_in_s, networks)

    async def keys(self) -> Sequence[Credential]:
        """Every credential, newest first; never a secret."""
        async with self._units() as unit:
            return await unit.parties.list_credentials()

    async def revoke_key(self, key_id: str) -> None:
        """Revoke a credential, for ever.

        Raises:
            NotFound: There is no such credential.
        """
        async with self._units() as unit:
            if not await unit.parties.revoke_credential(decode_id(Prefix.KEY, key_id)):
                raise NotFound("there is no such key")
        self.forget()

    def forget(self) -> None:
        """Look every credential up again: one of them, or its partner, was changed."""
        self._known.clear()

    async def _issue_token(self, unit: Unit, principal: Principal, customer_id: str) -> NewSecret:
        customer = await visible_customer(unit, principal, customer_id)
        owner = Principal(Role.REMITTER, customer.name, customer_id=customer.id)
        return await self.issue(unit, owner, None)

    async def issue(
        self,
        unit: Unit,
        principal: Principal,
        expires_in_s: int | None,
        networks: Sequence[str] = (),
    ) -> NewSecret:
        """A credential for a principal, within a transaction; see `create_key`."""
        if principal.partner_id is not None:
            await unit.partners.lock(principal.partner_id)
            check_rotation(
                principal.name, await unit.partners.live_keys(principal.partner_id, principal.name)
            )
        secret = self._new_secret()
        expires_at = unit.now + timedelta(seconds=expires_in_s) if expires_in_s else None
        credential = await unit.parties.add_credential(
            self._new_id(), principal, hash_of(secret), expires_at, read_networks(networks)
        )
        return NewSecret(credential, secret)


async def visible_customer(unit: Unit, principal: Principal, customer_id: str) -> Customer:
    """The customer of this id, where it exists for the principal.

    Raises:
        NotFound: It does not.
    """
    decoded = decode_id(Prefix.CUSTOMER, customer_id)
    customer = (await unit.parties.customers([decoded])).get(decoded)
    if customer is None or not customer.is_visible_to(principal):
        raise NotFound("there is no such customer")
    return customer
