"""The file that lets an outsider prove the ledger: `node/docs/ledger_export.md` is its format.

Here it is written piece by piece while the ledger is read, and an anchor is read from its end. It
is proven by `scripts/verify_export.py`, which shares nothing with the node but the format.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final

from node.core.proof.books import DerivedBooks
from node.core.proof.records import Anchor, BatchRow, HeadRow

MAGIC: Final = b"CORRIDOR LEDGER\n"
VERSION: Final = 1

_BATCH: Final = struct.Struct(">cqqqq32si")
_ACCOUNTS: Final = struct.Struct(">cq")
_ACCOUNT: Final = struct.Struct(">qqqqq")
_END: Final = struct.Struct(">cqqqqqqqq32s")
_CHECKSUM_BYTES: Final = 32
END_BYTES: Final = _END.size + _CHECKSUM_BYTES
"""Length of the last section: an anchor can be read from so many bytes."""


class ExportWriter:
    """Writes an export in order: batches with their records, then the accounts, then the end.

    Args:
        write: Takes the next bytes of the file.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._digest = sha256()
        self._put(MAGIC + struct.pack(">i", VERSION))

    def begin_batch(self, batch: BatchRow, count: int) -> None:
        """A batch of so many records begins."""
        self._put(
            _BATCH.pack(
                b"B",
                batch.number,
                batch.first_sequence,
                batch.last_sequence,
                batch.created_at_us,
                batch.hash,
                count,
            )
        )

    def write(self, pieces: Sequence[bytes]) -> None:
        """Records, each after its length."""
        self._put(b"".join(pieces))

    def end(self, head: HeadRow, books: DerivedBooks) -> None:
        """Finish the file: every account with its counters, then where the chain ends."""
        self._put(_ACCOUNTS.pack(b"C", len(books.accounts)))
        for number in sorted(books.accounts):
            self._put(_ACCOUNT.pack(number, *books.accounts[number].counters))
        self._put(
            _END.pack(
                b"E",
                len(books.accounts),
                books.transactions,
                books.resolutions,
                books.entries,
                len(books.open),
                head.sequence,
                head.moved_at_us,
                head.batch,
                head.hash,
            )
        )
        self._write(self._digest.digest())

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._write(data)


def anchor_of(chunks: Iterable[bytes]) -> Anchor:
    """The head of an export, once its checksum has been found right.

    Args:
        chunks: The whole file.

    Raises:
        ValueError: Not an export, not of this version, or damaged.
    """
    digest, tail, start = sha256(), b"", b""
    for chunk in chunks:
        tail += chunk
        start = (start + chunk)[: len(MAGIC) + 4]
        digest.update(tail[:-END_BYTES])
        tail = tail[-END_BYTES:]
    if start[: len(MAGIC)] != MAGIC:
        raise ValueError("not an export of a ledger")
    if start[len(MAGIC) :] != struct.pack(">i", VERSION):
        raise ValueError("an export in another version of the format")
    digest.update(tail[:-_CHECKSUM_BYTES])
    if len(tail) != END_BYTES or digest.digest() != tail[-_CHECKSUM_BYTES:]:
        raise ValueError("a damaged export: its checksum does not fit")
    *_, number, found = _END.unpack(tail[:-_CHECKSUM_BYTES])
    return Anchor(number, found)
