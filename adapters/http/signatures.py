"""HTTP message signatures (RFC 9421) with ed25519, and digests of content (RFC 9530).

The cryptography and the signature base are those of `http-message-signatures`. Which components
must be covered, and for how long a signature is good, is decided in `node.core.partners`.
"""

from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import http_sf
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    MappingKeyResolver,
)
from http_message_signatures.algorithms import ED25519

from node.core.errors import SignatureInvalid
from node.core.partners import SignatureClaim, SignedRequest

_INPUT: Final = "signature-input"
_SCHEMES: Final = ("https", "http")
"""Both are tried: before the node stands whoever ends TLS, and `@target-uri` names the scheme."""


class Ed25519Signatures:
    """See `node.core.ports.partners.RequestSignatures`."""

    def claim(self, request: SignedRequest, tag: str) -> SignatureClaim:
        """What the request's signature of this tag says of itself."""
        given = ", ".join(value for name, value in request.headers if name == _INPUT)
        try:
            members: Any = http_sf.parse(given.encode(), tltype="dictionary")
        except (ValueError, TypeError) as error:
            raise SignatureInvalid(f"the header Signature-Input cannot be read: {error}") from None
        found = [
            (label, covered, parameters)
            for label, (covered, parameters) in members.items()
            if isinstance(covered, list) and parameters.get("tag") == tag
        ]
        if len(found) != 1:
            raise SignatureInvalid(
                f"one signature has the tag {tag!r}; Signature-Input has {len(found)}"
            )
        label, covered, parameters = found[0]
        return SignatureClaim(
            tag,
            label,
            frozenset(http_sf.ser(each) for each in covered),
            key_id=_text(parameters.get("keyid")),
            nonce=_text(parameters.get("nonce")),
            algorithm=_text(parameters.get("alg")),
            created_s=_number(parameters.get("created")),
            expires_s=_number(parameters.get("expires")),
        )

    def check(self, request: SignedRequest, claim: SignatureClaim, public_key: bytes) -> None:
        """Check the signature, and the digest of the body where it is covered."""
        key = Ed25519PublicKey.from_public_bytes(public_key)
        resolver = MappingKeyResolver(public_keys={claim.key_id or "": key}, private_keys={})
        verifier = HTTPMessageVerifier(signature_algorithm=ED25519, key_resolver=resolver)
        fault = "it was made by another key, or over another request"
        for scheme in _SCHEMES:
            try:
                results = verifier.verify(
                    Message(request, scheme),
                    max_age=None,
                    expect_label=claim.label,
                    expect_tag=claim.tag,
                )
                verifier.verify_body(Message(request, scheme), results, request.body)
            except HTTPMessageSignaturesException as error:
                fault = str(error) or fault
            else:
                return
        raise SignatureInvalid(f"the signature {claim.label!r} does not hold: {fault}")


class Message:
    """A request as the library reads it, and writes to it where it signs."""

    def __init__(self, request: SignedRequest, scheme: str) -> None:
        self.method = request.method
        self.url = f"{scheme}://{request.host}{request.target}"
        self.headers = Headers(list(request.headers))


class Headers(MutableMapping[str, str]):
    """Header lines in order; repeated ones stay apart."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        self.lines = lines

    def items(self) -> Any:
        """Every line."""
        return list(self.lines)

    def __getitem__(self, name: str) -> str:
        """All lines of a name, joined."""
        values = [value for key, value in self.lines if key.lower() == name.lower()]
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __setitem__(self, name: str, value: str) -> None:
        """Replace the lines of a name."""
        self.lines = [each for each in self.lines if each[0].lower() != name.lower()]
        self.lines.append((name, value))

    def __delitem__(self, name: str) -> None:
        """Leave the lines of a name out."""
        self.lines = [each for each in self.lines if each[0].lower() != name.lower()]

    def __iter__(self) -> Iterator[str]:
        """Names, once each."""
        return iter(dict.fromkeys(name for name, _ in self.lines))

    def __len__(self) -> int:
        """How many names there are."""
        return len(dict.fromkeys(name for name, _ in self.lines))


def sign(  # noqa: PLR0913 - what a signature says
    request: SignedRequest,
    private_key: Ed25519PrivateKey,
    *,
    key_id: str,
    nonce: str,
    tag: str,
    created_s: int,
    expires_s: int,
    scheme: str = "https",
) -> list[tuple[str, str]]:
    """Headers of the request with its signature, and the digest of its body where it has one.

    Covered is what the node asks for: method, target, digest and idempotency key.
    """
    message = Message(request, scheme)
    covered = ["@method", "@target-uri"]
    if any(name.lower() == "idempotency-key" for name, _ in request.headers):
        covered.append("idempotency-key")
    resolver = MappingKeyResolver(public_keys={}, private_keys={key_id: private_key})
    HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=resolver).sign(
        message,
        key_id=key_id,
        created=datetime.fromtimestamp(created_s, UTC),
        expires=datetime.fromtimestamp(expires_s, UTC),
        nonce=nonce,
        tag=tag,
        label="sig1",
        covered_component_ids=covered,
        body=request.body or None,
    )
    return list(message.headers.items())


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if type(value) is int else None
