"""Lists in pages: what a caller asks for, one page of the answer, and the cursor between them.

Lists are ordered by (created_at, id) descending, so a page is stable while rows are added. A cursor
is opaque, names the last row of a page, and is bound to the list and its filters. It is no secret
and no permission: a forged one moves where a list begins, never what its owner may see. The SQL
that uses a position is in `node.store`.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, TypeVar
from uuid import UUID

from node.core.errors import CursorInvalid

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 200
ROW_ID_MAX: Final = 2**63 - 1
"""Greatest id of a list whose ids are BIGINT; give it to `ListQuery.position`."""

_UUID_MAX: Final = 2**128 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_BINDING_BYTES: Final = 8
_TIME_BYTES: Final = 8
_ID_BYTES: Final = 16
_CURSOR_BYTES: Final = _BINDING_BYTES + _TIME_BYTES + _ID_BYTES
_CURSOR_CHARACTERS: Final = 43  # of base64url without padding

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Position:
    """One row's place in a list; the next page holds the rows strictly before it.

    Attributes:
        created_at: Aware UTC time of the row, to the microsecond.
        id: The row's id as a number: a UUID's `int`, or a BIGINT.
    """

    created_at: datetime
    id: int

    @property
    def uuid(self) -> UUID:
        """The id where it is a UUID."""
        return UUID(int=self.id)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a caller asks of a list.

    Attributes:
        limit: Rows wanted, 1 to `LIMIT_MAX`.
        cursor: `next_cursor` of the page before; None: from the newest row.
        filters: Names and values as given, already checked, such as `status`.
        scope: Names the list, such as its path, so that a cursor serves no other.
    """

    limit: int = LIMIT_DEFAULT
    cursor: str | None = None
    filters: Mapping[str, str] = field(default_factory=dict)
    scope: str = ""

    def position(self, id_max: int = _UUID_MAX) -> Position | None:
        """Where the page before ended; None: from the newest row.

        Args:
            id_max: Greatest id this list can hold: `ROW_ID_MAX` where ids are BIGINT.

        Raises:
            CursorInvalid: The cursor was not made for this list and these filters.
        """
        if self.cursor is None:
            return None
        packed = _unpack(self.cursor)
        if packed[:_BINDING_BYTES] != self._binding():
            raise CursorInvalid(
                "the cursor belongs to another list or other filters; start without a cursor"
            )
        time_us = int.from_bytes(packed[_BINDING_BYTES:-_ID_BYTES], signed=True)
        row_id = int.from_bytes(packed[-_ID_BYTES:])
        try:
            created_at = _EPOCH + timedelta(microseconds=time_us)
        except OverflowError:
            raise _unreadable() from None
        if row_id > id_max:
            raise _unreadable()
        return Position(created_at, row_id)

    def cursor_at(self, position: Position) -> str:
        """The cursor that continues this list after `position`."""
        time_us = (position.created_at - _EPOCH) // _MICROSECOND
        packed = (
            self._binding()
            + time_us.to_bytes(_TIME_BYTES, signed=True)
            + position.id.to_bytes(_ID_BYTES)
        )
        return urlsafe_b64encode(packed).rstrip(b"=").decode()

    def page(self, rows: Sequence[Item], position_of: Callable[[Item], Position]) -> "Page[Item]":
        """Cut one page from `rows`.

        Args:
            rows: The first `limit + 1` rows from `position()` on, fewer where the list ends; the
                row too many only tells that there is a next page.
            position_of: The place of a row.
        """
        items = tuple(rows[: self.limit])
        if len(rows) <= self.limit:
            return Page(items, None)
        return Page(items, self.cursor_at(position_of(items[-1])))

    def _binding(self) -> bytes:
        """A short hash of the list and its filters; lengths keep names and values apart."""
        parts = [self.scope, *(part for pair in sorted(self.filters.items()) for part in pair)]
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:_BINDING_BYTES]


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list, newest row first.

    Attributes:
        items: At most `limit` rows.
        next_cursor: Continues the list; None: this is its end.
    """

    items: Sequence[Item]
    next_cursor: str | None


def _unpack(cursor: str) -> bytes:
    if len(cursor) != _CURSOR_CHARACTERS or not cursor.isascii():
        raise _unreadable()
    try:
        packed = urlsafe_b64decode(cursor + "=")
    except (Base64Error, ValueError):
        raise _unreadable() from None
    if len(packed) != _CURSOR_BYTES:
        raise _unreadable()
    return packed


def _unreadable() -> CursorInvalid:
    return CursorInvalid("the cursor cannot be read; give `next_cursor` back as it was received")
