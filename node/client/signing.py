"""Requests signed with ed25519 (RFC 9421), as a node asks of partners that must sign.

Each attempt is signed anew, with a nonce of its own. What must be covered is decided by the node
(`node.core.partners`).
"""

import secrets
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Final

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver
from http_message_signatures.algorithms import ED25519

from node.core.partners import SIGNATURE_TAG

_LIFE_S: Final = 60
_NONCE_BYTES: Final = 24


class RequestSigning(httpx.Auth):
    """To be given to a client as `signing`."""

    requires_request_body = True

    def __init__(
        self,
        key_id: str,
        private_key: Ed25519PrivateKey | bytes,
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251 - the signer's clock
    ) -> None:
        """Nothing is signed yet.

        Args:
            key_id: `sig_...`, which the node gave when the public key was registered.
            private_key: Of it; 32 bytes are its seed (RFC 8032).
            clock: Unix time.
        """
        if isinstance(private_key, bytes):
            private_key = Ed25519PrivateKey.from_private_bytes(private_key)
        self._key_id = key_id
        self._clock = clock
        self._signer = HTTPMessageSigner(
            signature_algorithm=ED25519,
            key_resolver=MappingKeyResolver(public_keys={}, private_keys={key_id: private_key}),
        )

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign one attempt."""
        covered = ["@method", "@target-uri"]
        if "idempotency-key" in request.headers:
            covered.append("idempotency-key")
        created_s = int(self._clock())
        self._signer.sign(
            request,
            key_id=self._key_id,
            created=datetime.fromtimestamp(created_s, UTC),
            expires=datetime.fromtimestamp(created_s + _LIFE_S, UTC),
            nonce=secrets.token_urlsafe(_NONCE_BYTES),
            tag=SIGNATURE_TAG,
            label="sig1",
            covered_component_ids=covered,
            body=request.content or None,
        )
        yield request
