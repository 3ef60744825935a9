"""Files of `corridor verify`: an export that appears only whole, and anchors to hold a chain to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from node.cli.faults import Fault, Status
from node.core.proof.export import anchor_of
from node.core.proof.records import Anchor

_CHUNK_BYTES: Final = 2**20


class PartialFile:
    """A file that is being written beside its place, under another name."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file

    def write(self, data: bytes) -> None:
        """Append.

        Raises:
            Fault: The disk is full, or something like it.
        """
        try:
            self._file.write(data)
        except OSError as error:  # not to be taken for a database that is away
            raise _unwritable(self._path, error) from error

    def keep(self) -> int:
        """Put the file into its place, on disk for good; its length in bytes.

        Raises:
            Fault: The disk is full, or something like it.
        """
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            length = self._file.tell()
            Path(self._file.name).replace(self._path)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        return length


@contextmanager
def partial_file(path: Path, *, force: bool) -> Iterator[PartialFile]:
    """A file that will be at `path` if it is kept; else nothing of it stays.

    Raises:
        Fault: Something is there already and `force` is not given, or nothing can be written.
    """
    if path.exists() and not force:
        raise Fault(
            f"{path} exists already",
            remedy="name another file, or add --force to replace it",
            status=Status.REFUSED,
        )
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        file = beside.open("xb", buffering=_CHUNK_BYTES)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield PartialFile(path, file)
    finally:
        with suppress(OSError):  # what is left in the buffer of a full disk
            file.close()
        beside.unlink(missing_ok=True)


def read_anchor(text: str) -> Anchor:
    """The anchor that is written as `NUMBER:HASH`, or that an export ends with.

    Raises:
        Fault: It is neither.
    """
    try:
        return Anchor.parse(text)
    except ValueError as error:
        path, fault = Path(text), str(error)
    if not path.is_file():
        raise Fault(
            f"{text!r} is neither an anchor nor a file: {fault}",
            remedy="give NUMBER:HASH as `corridor verify` prints it, or the file of an export",
            status=Status.USAGE,
        )
    try:
        return anchor_of(_chunks(path))
    except (OSError, ValueError) as error:
        raise Fault(f"{path} holds no anchor: {error}", status=Status.REFUSED) from error


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _unwritable(path: Path, error: OSError) -> Fault:
    return Fault(
        f"{path} cannot be written: {error.strerror or error}",
        remedy="check that the directory exists, that it may be written to and that there is room",
        status=Status.REFUSED,
    )
