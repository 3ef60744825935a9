"""Keys of partners: bearer keys with scopes, and public keys that requests are signed by.

A partner's own key with the scope `admin` manages them, or an operator. At most two of a name work
at once, so that one can be changed for another without a gap.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from node.core.errors import Conflict, Forbidden, NotFound
from node.core.ids import Prefix, decode_id, encode_id
from node.core.paging import ListQuery, Page
from node.core.parties import ALL_SCOPES, Credential, Principal, Role, Scope
from node.core.partners import SigningKey, check_rotation
from node.core.ports import Clock, Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim
from node.services.idempotency import RenderError, once
from node.services.parties import NewSecret, PartyService
from node.services.partners.terms import visible_partner


class KeyAlreadyCreated(Conflict):
    """The request was carried out before; its secret cannot be shown again (`key_id`)."""

    code = "key_already_created"
    title = "The key was created before"


@dataclass(frozen=True, slots=True)
class KeyAsk:
    """What a key is to be.

    Attributes:
        networks: From where it may be used, CIDR; none: from anywhere.
        expires_in_s: None: it does not expire.
    """

    name: str
    scopes: frozenset[Scope]
    expires_in_s: int | None = None
    networks: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SigningKeyAsk:
    """A public key to be registered; see `KeyAsk`."""

    name: str
    public_key: bytes
    expires_in_s: int | None = None


class PartnerKeys:
    """Makes, shows and revokes keys of partners."""

    def __init__(
        self,
        units: UnitOfWork,
        parties: PartyService,
        clock: Clock,
        new_id: Callable[[], UUID],
    ) -> None:
        self._units = units
        self._clock = clock
        self._parties = parties
        self._new_id = new_id

    def is_live(self, key: Credential | SigningKey) -> bool:
        """Whether a key can be used now, for display."""
        return key.is_live(self._clock.now())

    async def create(
        self,
        principal: Principal,
        partner_id: str,
        ask: KeyAsk,
        claim: Claim | None,
        render: Callable[[NewSecret], Answer],
        render_error: RenderError,
    ) -> Answer:
        """A new key; its secret is shown this once, also when the request is repeated.

        Raises:
            NotFound: There is no such partner for this principal.
            Forbidden: It would have a scope that the key of who asks has not.
            TooManyKeys: Two of this name work.
            InvalidInput: `networks` are none.
        """
        _check_grant(principal, ask.scopes)
        shown: list[Answer] = []

        async def work(unit: Unit) -> Answer:
            partner = await visible_partner(unit, principal, partner_id)
            scopes = None if ask.scopes == ALL_SCOPES else ask.scopes
            owner = Principal(Role.PARTNER, ask.name, partner_id=partner.id, scopes=scopes)
            made = await self._parties.issue(unit, owner, ask.expires_in_s, ask.networks)
            shown.append(render(made))
            if claim is None:
                return shown[0]
            return render_error(
                KeyAlreadyCreated(
                    "this request made a key before, and its secret is shown only once; make"
                    " another with a new Idempotency-Key",
                    key_id=encode_id(Prefix.KEY, made.credential.id),
                )
            )

        kept = await once(self._units, claim, work, render_error)
        return shown[0] if shown else kept

    async def rotate(self, key_id: str, expires_in_s: int | None = None) -> NewSecret:
        """Another key with the owner, name, scopes and networks of this one, which stays.

        Raises:
            NotFound: There is no such key, or it is not a partner's.
            TooManyKeys: Two of this name work.
        """
        async with self._units() as unit:
            old = await unit.partners.credential(decode_id(Prefix.KEY, key_id))
            if old is None or old.principal.partner_id is None:
                raise NotFound("there is no such key of a partner")
            return await self._parties.issue(unit, old.principal, expires_in_s, old.networks)

    async def list(
        self, principal: Principal, partner_id: str, query: ListQuery
    ) -> Page[Credential]:
        """Keys of a partner, newest first; never a secret."""
        async with self._units() as unit:
            partner = await visible_partner(unit, principal, partner_id)
            return await unit.partners.credentials(partner.id, query)

    async def revoke(
        self,
        principal: Principal,
        key_id: str,
        claim: Claim | None,
        render: Callable[[Credential], Answer],
        render_error: RenderError,
    ) -> Answer:
        """End a key for good; again, it stays ended when it was.

        Raises:
            NotFound: There is no such key of a partner for this principal.
        """
        decoded = decode_id(Prefix.KEY, key_id)

        async def work(unit: Unit) -> Answer:
            found = await unit.partners.credential(decoded)
            if found is None or not _owns(principal, found.principal.partner_id):
                raise NotFound("there is no such key")
            await unit.parties.revoke_credential(decoded)
            revoked = await unit.partners.credential(decoded)
            assert revoked is not None
            return render(revoked)

        answer = await once(self._units, claim, work, render_error)
        self._parties.forget()
        return answer

    async def add_signing_key(
        self,
        principal: Principal,
        partner_id: str,
        ask: SigningKeyAsk,
        claim: Claim | None,
        render: Callable[[SigningKey], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Register a public key.

        Raises:
            NotFound: There is no such partner for this principal.
            TooManyKeys: Two of this name work.
        """

        async def work(unit: Unit) -> Answer:
            partner = await visible_partner(unit, principal, partner_id)
            await unit.partners.lock(partner.id)
            check_rotation(ask.name, await unit.partners.live_signing_keys(partner.id, ask.name))
            ends = unit.now + timedelta(seconds=ask.expires_in_s) if ask.expires_in_s else None
            key = SigningKey(self._new_id(), partner.id, ask.name, ask.public_key, unit.now, ends)
            await unit.partners.add_signing_key(key)
            return render(key)

        return await once(self._units, claim, work, render_error)

    async def signing_keys(
        self, principal: Principal, partner_id: str, query: ListQuery
    ) -> Page[SigningKey]:
        """Signing keys of a partner, newest first."""
        async with self._units() as unit:
            partner = await visible_partner(unit, principal, partner_id)
            return await unit.partners.signing_keys(partner.id, query)

    async def revoke_signing_key(
        self,
        principal: Principal,
        key_id: str,
        claim: Claim | None,
        render: Callable[[SigningKey], Answer],
        render_error: RenderError,
    ) -> Answer:
        """End a signing key for good.

        Raises:
            NotFound: There is no such signing key for this principal.
        """
        decoded = decode_id(Prefix.SIGNING_KEY, key_id)

        async def work(unit: Unit) -> Answer:
            found = await unit.partners.signing_key(decoded)
            if found is None or not _owns(principal, found.partner_id):
                raise NotFound("there is no such signing key")
            await unit.partners.revoke_signing_key(decoded)
            revoked = await unit.partners.signing_key(decoded)
            assert revoked is not None
            return render(revoked)

        return await once(self._units, claim, work, render_error)


def _owns(principal: Principal, partner_id: UUID | None) -> bool:
    """Whether a key of this partner exists for the principal; keys of others are not handled here.

    Keys of operators and remitters are ended by `corridor keys revoke`.
    """
    if partner_id is None:
        return False
    return principal.role is Role.OPERATOR or principal.partner_id == partner_id


def _check_grant(principal: Principal, scopes: frozenset[Scope]) -> None:
    """Nobody gives what they have not.

    Raises:
        Forbidden: A scope that the key of who asks has not; with `scope`.
    """
    for scope in sorted(scopes):
        if not principal.may(scope):
            raise Forbidden(
                f"a key without the scope {scope.value!r} cannot give it to another",
                role=str(principal.role),
                scope=scope.value,
            )
