"""Files of transfers as calls. What is in them is the node's to read."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from node.client.answers import BulkProgressView
from node.client.calls import Call

MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".csv": "text/csv",
    ".xml": "application/xml",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
}
"""End of a file's name -> how it is read: CSV, pain.001, JSON lines."""


def bulk_key(content: bytes, query: Mapping[str, object]) -> str:
    """The Idempotency-Key of a file: the same for the same file, taken the same way."""
    return f"bulk-{hashlib.sha256(f'{sorted(query.items())}'.encode() + content).hexdigest()}"


def bulk_call(
    file: Path | bytes,
    media_type: str | None,
    key: str | None,
    query: Mapping[str, str | int | None],
) -> Call[BulkProgressView]:
    """The call that sends a file.

    Args:
        file: Where it is, or its content.
        media_type: None: as the end of its name says.
        key: None: that of its content, so that the same file is taken once.
        query: Parameters of the node's `create_bulk_transfer`.

    Raises:
        ValueError: Neither a media type nor a name says what it is.
        OSError: It cannot be read.
    """
    if media_type is None:
        media_type = MEDIA_TYPES.get(file.suffix.lower()) if isinstance(file, Path) else None
    if media_type is None:
        raise ValueError("say what the file is, such as text/csv")
    content = file.read_bytes() if isinstance(file, Path) else file
    given = {name: value for name, value in query.items() if value is not None}
    return Call(
        "POST",
        "/v1/bulk-transfers",
        query=given,
        key=key or bulk_key(content, given),
        content=content,
        media_type=media_type,
    )
