"""Requests of the node itself, signed for whoever asks for that (RFC 9421)."""

import secrets
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.http.signatures import sign
from adapters.machine import SystemClock
from node.core.partners import SIGNATURE_TAG, SignedRequest

_LIFE_S: Final = 60
_NONCE_BYTES: Final = 24


def sign_now(
    request: SignedRequest, private_key: Ed25519PrivateKey, key_id: str, scheme: str
) -> list[tuple[str, str]]:
    """Headers of a request with its signature: good once, for a minute.

    Args:
        request: Complete: nothing that is covered may change any more.
        private_key: Of the node.
        key_id: As whoever checks it names its public half, `sig_...`.
        scheme: Of the address that is asked.
    """
    now_s = int(SystemClock().now().timestamp())
    return sign(
        request,
        private_key,
        key_id=key_id,
        nonce=secrets.token_urlsafe(_NONCE_BYTES),
        tag=SIGNATURE_TAG,
        created_s=now_s,
        expires_s=now_s + _LIFE_S,
        scheme=scheme,
    )
