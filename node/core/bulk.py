"""Bulk transfers: a file of orders, and what becomes of each row. Pure.

A row is an order for one transfer; its client reference names it among all orders of its owner, so
it is carried out at most once, in whatever file it comes again. Not here: how files are read
(`node.api.bulk_files`), how rows are priced and accepted (`node.services.bulk.working`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from node.core.errors import InvalidInput, Refused, Throttled
from node.core.parties import Principal
from node.core.payouts import BankAccount, RefundPolicy
from node.core.transfers import STATUS, State, Status

ROWS_MAX: Final = 10_000
"""Most rows of one bulk transfer."""

OPEN_MAX: Final = 100
"""Most bulk transfers of one owner that are under way."""

ACCEPT_WITHIN_DEFAULT_S: Final = 3600
ACCEPT_WITHIN_MAX_S: Final = 86_400
"""How long rows are tried that cannot be accepted now, and how long where nobody says."""

FAULTS_MAX: Final = 20
"""Most faults that are kept of one row."""

REJECTED_TOGETHER: Final = "bulk_rejected"
"""Code of rows that are as they should be, where all or nothing was asked for."""


class BulkFileInvalid(InvalidInput):
    """The file of a bulk transfer cannot be read as a whole (`line` where one is at fault)."""

    code = "bulk_file_invalid"
    title = "The file cannot be read"


class TooManyBulkTransfers(Throttled):
    """As many bulk transfers of the owner as allowed are under way (`limit`)."""

    code = "too_many_bulk_transfers"
    title = "Too many bulk transfers under way"


class PayoutsNotTogether(Refused):
    """All or nothing was asked for, and partners pay rows out (`line`: the first). Nothing stands.

    What is registered with a partner cannot be taken back: its money is kept for it until the time
    to pay is over. One refused row would leave that behind for all the others.
    """

    code = "payouts_not_together"
    title = "What partners pay out is not all or nothing"


class Mode(StrEnum):
    """What a faulty row does to the others."""

    BEST_EFFORT = "best_effort"  # nothing
    ALL_OR_NOTHING = "all_or_nothing"  # none is accepted


class Form(StrEnum):
    """What the file was."""

    JSON_LINES = "jsonl"
    CSV = "csv"
    PAIN_001 = "pain.001"


class BulkStatus(StrEnum):
    """Where a bulk transfer is; its transfers go on by themselves."""

    PROCESSING = "processing"  # rows are being accepted
    COMPLETED = "completed"  # every row is accepted or rejected
    REJECTED = "rejected"  # all or nothing, and it was nothing


class RowStatus(StrEnum):
    """Where a row is."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a row.

    Attributes:
        pointer: JSON pointer (RFC 6901) into the row as JSON has it, whatever the file was;
            empty: the row as a whole.
        code: For programs; those of quotes and transfers.
        message: For people.
    """

    pointer: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Order:
    """A transfer that is ordered at whatever firm price there is; exactly one amount is given.

    Attributes:
        sell: Asset code; `buy` too.
        sell_amount: Decimal string; `buy_amount` too.
        address: The beneficiary's, as the caller wrote it; empty where a partner pays.
        account: Where a partner pays the beneficiary; None: the token itself is paid.
        refund_policy: What follows where the partner's rail refuses for good; None: the money
            comes back.
    """

    client_reference: str
    customer_id: UUID
    sell: str
    buy: str
    sell_amount: str | None
    buy_amount: str | None
    name: str
    country: str
    address: str
    purpose: str | None
    account: BankAccount | None = None
    refund_policy: RefundPolicy | None = None

    @property
    def is_paid_out(self) -> bool:
        """Whether a partner pays the beneficiary."""
        return self.account is not None


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row as it was read: an order, or what is wrong with it.

    Attributes:
        line: Of the file, from 1; of pain.001 the place of the transaction.
        client_reference: Where it could be read.
        group: Of pain.001, `PmtInfId`.
        not_before: Of pain.001, the day it is to be carried out on.
    """

    line: int
    client_reference: str | None
    order: Order | None
    faults: tuple[Fault, ...] = ()
    group: str | None = None
    not_before: date | None = None


@dataclass(frozen=True, slots=True)
class BulkFile:
    """A file that was read.

    Attributes:
        sha256: Of its bytes.
        message_id: Of pain.001, `MsgId`.
        message_name: Of pain.001, such as `pain.001.001.09`.
    """

    form: Form
    sha256: bytes
    rows: Sequence[FileRow]
    message_id: str | None = None
    message_name: str | None = None


@dataclass(frozen=True, slots=True)
class Bulk:
    """A bulk transfer.

    Attributes:
        principal: Who orders; whose credential is revoked meanwhile, has ordered all the same.
        version: Sequence of its newest event.
        rows: How many; of them `accepted` and `rejected` so far.
        passed_line: The line that was tried last in this pass over what is pending.
        waiting_code: Why rows cannot be accepted now.
        accept_by: When rows that are still pending are rejected.
    """

    id: UUID
    principal: Principal
    version: int
    status: BulkStatus
    mode: Mode
    form: Form
    message_id: str | None
    message_name: str | None
    rows: int
    accepted: int
    rejected: int
    passed_line: int
    waiting_code: str | None
    waiting_since: datetime | None
    accept_by: datetime
    created_at: datetime
    completed_at: datetime | None

    @property
    def pending(self) -> int:
        """Rows that are neither accepted nor rejected."""
        return self.rows - self.accepted - self.rejected


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a row: a transfer, or faults; neither means that it is pending still.

    Attributes:
        is_repeated: The transfer was there before: the row, or an equal one, had come already.
    """

    line: int
    transfer_id: UUID | None = None
    faults: tuple[Fault, ...] = ()
    is_repeated: bool = False

    @property
    def status(self) -> RowStatus:
        """Where the row is then."""
        if self.transfer_id is not None:
            return RowStatus.ACCEPTED
        return RowStatus.REJECTED if self.faults else RowStatus.PENDING


@dataclass(frozen=True, slots=True)
class RowTransfer:
    """The transfer of an accepted row, as it is now; amounts in minor units.

    `buy` is what the beneficiary gets: where a partner pays out, of its currency.
    """

    id: UUID
    state: State
    sell_asset: str
    sell: int
    buy_asset: str
    buy: int
    failure: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class BulkRow:
    """A row with what came of it."""

    line: int
    client_reference: str | None
    group: str | None
    order: Order | None
    status: RowStatus
    faults: tuple[Fault, ...]
    is_repeated: bool
    transfer: RowTransfer | None


@dataclass(frozen=True, slots=True)
class Sum:
    """Accepted rows of one pair whose transfers are in one state: how many, and their amounts."""

    sell_asset: str
    buy_asset: str
    state: State
    count: int
    sell: int
    buy: int

    @property
    def status(self) -> Status:
        """The stable word."""
        return STATUS[self.state]


@dataclass(frozen=True, slots=True)
class Progress:
    """A bulk transfer with where its transfers are.

    Attributes:
        as_of: Database clock when that was so.
    """

    bulk: Bulk
    sums: Sequence[Sum]
    as_of: datetime


def due(rows: Sequence[FileRow], today: date) -> Sequence[FileRow]:
    """The same rows; those that are for a later day are faulty, because nothing is kept for it."""
    return [
        each
        if each.not_before is None or each.not_before <= today
        else with_fault(
            each,
            Fault(
                "",
                "not_due",
                f"it is for {each.not_before.isoformat()}; send it on that day, or without a day",
            ),
        )
        for each in rows
    ]


def check_together(mode: Mode, rows: Sequence[FileRow]) -> None:
    """Whether rows may be taken in this mode.

    Raises:
        PayoutsNotTogether: They may not.
    """
    first = next((each for each in rows if each.order and each.order.is_paid_out), None)
    if mode is Mode.ALL_OR_NOTHING and first is not None:
        raise PayoutsNotTogether(
            f"line {first.line} is paid out by a partner, and so is nothing all or nothing; send"
            " the file with mode=best_effort, or rows to addresses in a file of their own",
            line=first.line,
        )


def with_fault(row: FileRow, fault: Fault) -> FileRow:
    """The row with one more fault: it is not carried out."""
    return replace(row, order=None, faults=(*row.faults, fault)[:FAULTS_MAX])


def without_repetitions(rows: Sequence[FileRow]) -> Sequence[FileRow]:
    """The same rows; those whose client reference an earlier row has are faulty."""
    first: dict[str, int] = {}
    checked = []
    for row in rows:
        reference = row.client_reference
        if reference is None:
            checked.append(row)
            continue
        earlier = first.setdefault(reference, row.line)
        if earlier == row.line:
            checked.append(row)
            continue
        fault = Fault(
            "/client_reference",
            "client_reference_used",
            f"line {earlier} of the file has this client_reference",
        )
        checked.append(with_fault(row, fault))
    return checked
