"""Who may pass: credential, role, network, scope, suspension, rate, signature, in this order.

What an operation needs is declared in `node.api.operations`; what a partner agreed to is decided in
`node.core.partners`. The address of a caller is that of its connection, or what a trusted proxy
says of it (`node.api.server`).
"""

from collections.abc import Mapping
from typing import Final

from starlette.types import Scope as Connection

from node.api import bodies
from node.api.problems import CredentialMissing
from node.api.rate_limits import RateLimiter, class_of, refusal
from node.api.services import Services
from node.core.errors import Forbidden, SignatureRequired, Unauthenticated
from node.core.parties import Caller, Role, Scope
from node.core.partners import SignedRequest, refusal_of

ANSWER_HEADERS: Final = "corridor.answer_headers"
"""Key of the ASGI scope: headers of the answer that were decided on the way to it."""

UNLIMITED_TAG: Final = "Health"
"""Whoever watches the node asks often, and without a key."""


class Gate:
    """Lets requests pass, or refuses them.

    Args:
        services: Knows callers and checks signatures.
        limiter: Counts requests; None: nobody is limited.
    """

    def __init__(self, services: Services, limiter: RateLimiter | None = None) -> None:
        self._services = services
        self._limiter = limiter

    async def pass_anyone(self, connection: Connection, tag: str) -> None:
        """Let a request without a credential pass.

        Raises:
            RateLimited: Its address sent too many.
        """
        if tag != UNLIMITED_TAG:
            self._count(connection, Scope.READ, f"address:{address_of(connection)}")

    async def pass_caller(
        self, connection: Connection, who: frozenset[Role], scope: Scope
    ) -> Caller:
        """Let a request with a credential pass, its signature apart.

        Args:
            connection: The request.
            who: Roles that may.
            scope: What its key needs.

        Raises:
            Unauthenticated: No good credential.
            RateLimited: The key, or the address that tries keys, sent too many.
            Forbidden: The role, the network, the scope, or the partner is suspended.
        """
        try:
            caller = await self._services.parties.caller(bearer(connection))
        except Unauthenticated:
            self._count(connection, Scope.READ, f"address:{address_of(connection)}")
            raise
        self._count(connection, scope, f"key:{caller.credential.id}")
        if caller.principal.role not in who:
            raise Forbidden(
                f"this operation is for {' or '.join(sorted(who))}",
                role=str(caller.principal.role),
            )
        refused = refusal_of(
            caller,
            scope=scope,
            is_write=connection["method"] not in ("GET", "HEAD"),
            address=address_of(connection),
        )
        if refused is not None:
            raise refused
        return caller

    def wants_signature(self, connection: Connection, caller: Caller) -> bool:
        """Whether `check_signature` has something to check.

        Raises:
            SignatureRequired: The partner signs each request, and this one is not signed.
        """
        partner = caller.partner
        if partner is None or caller.principal.role is not Role.PARTNER:
            return False
        is_signed = bool(bodies.headers_named(connection, b"signature-input"))
        if partner.requires_signature and not is_signed:
            raise SignatureRequired(
                "requests of this partner are signed (RFC 9421); send Signature-Input and Signature"
            )
        return is_signed

    async def check_signature(self, connection: Connection, caller: Caller, body: bytes) -> None:
        """Check the signature of a partner's request.

        Args:
            connection: The request.
            caller: Who sent it.
            body: All of it.

        Raises:
            SignatureInvalid: It does not hold; SignatureReplayed: it was used before.
        """
        assert caller.partner is not None  # `wants_signature` has looked
        await self._services.signed_requests.check(caller.partner, _signed(connection, body))

    def _count(self, connection: Connection, scope: Scope, caller: str) -> None:
        if self._limiter is None:
            return
        request_class = class_of(connection["method"], scope)
        headers, is_over = self._limiter.take(request_class, caller)
        connection.setdefault(ANSWER_HEADERS, {}).update(headers)
        if is_over:
            raise refusal(request_class, headers)


def headers_for(connection: Connection) -> Mapping[str, str]:
    """Headers of the answer that were decided on the way to it."""
    decided: Mapping[str, str] = connection.get(ANSWER_HEADERS, {})
    return decided


def address_of(connection: Connection) -> str | None:
    """The IP address that the request came from; None: not known."""
    client = connection.get("client")
    return client[0] if client else None


def bearer(connection: Connection) -> str:
    """The secret of `Authorization: Bearer` (RFC 6750 2.1)."""
    values = bodies.headers_named(connection, b"authorization")
    if not values:
        raise CredentialMissing("send `Authorization: Bearer <key>`")
    scheme, _, secret = values[0].partition(b" ")
    secret = secret.strip(b" ")
    if len(values) > 1 or scheme.lower() != b"bearer" or not secret or not secret.isascii():
        raise Unauthenticated("send `Authorization: Bearer <key>`, once")
    return secret.decode()


def _signed(connection: Connection, body: bytes) -> SignedRequest:
    lines = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in connection["headers"]
    ]
    host = next((value for name, value in lines if name == "host"), "")
    query = connection["query_string"].decode("latin-1")
    path = connection["raw_path"].decode("latin-1")
    target = f"{path}?{query}" if query else path
    return SignedRequest(connection["method"], host, target, lines, body)
