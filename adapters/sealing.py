"""Secrets that the node must be able to use, encrypted for the database.

AES-256-GCM (NIST SP 800-38D) under one key of the node, kept in a file; a random nonce of 96 bits
each time. Who has only the database, or a copy of it, has no secret of an endpoint. The id of the
row is authenticated with it, so a sealed secret cannot be moved to another row.
"""

import os
from base64 import b64decode
from binascii import Error as Base64Error
from pathlib import Path
from typing import Final, Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from node.core.webhooks import (
    WebhooksNotOffered,
)

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_FORM: Final = b"\x01"


class SealedKeys:
    """See `node.core.ports.webhooks.KeyKeeper`."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """By the key in a file: 32 bytes as 64 hexadecimal digits or in base64.

        Raises:
            ValueError: It cannot be read, or holds something else; never says what.
        """
        try:
            text = path.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            raise ValueError(f"the file {path} cannot be read") from None
        for read in (bytes.fromhex, lambda given: b64decode(given, validate=True)):
            try:
                key = read(text)
            except (Base64Error, ValueError):
                continue
            if len(key) == _KEY_BYTES:
                return cls(key)
        raise ValueError(
            f"the file {path} does not hold {_KEY_BYTES} bytes in hexadecimal or base64; make one"
            f" with `openssl rand -hex {_KEY_BYTES}`"
        )

    def seal(self, keys: bytes, endpoint_id: UUID) -> bytes:
        """Encrypted, for this endpoint alone."""
        nonce = os.urandom(_NONCE_BYTES)
        return _FORM + nonce + self._cipher.encrypt(nonce, keys, _FORM + endpoint_id.bytes)

    def open(self, sealed: bytes, endpoint_id: UUID) -> bytes:
        """What was sealed.

        Raises:
            WebhooksNotOffered: It was sealed by another key, for another endpoint, or changed.
        """
        form, nonce, rest = sealed[:1], sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if form == _FORM:
                return self._cipher.decrypt(nonce, rest, _FORM + endpoint_id.bytes)
        except (InvalidTag, ValueError):
            pass
        raise WebhooksNotOffered(
            "the keys of a webhook endpoint cannot be decrypted: CORRIDOR_SECRETS_KEY_FILE names"
            " another key than the one they were encrypted with"
        )
