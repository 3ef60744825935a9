"""Final notices, strays and unreadable logs become breaks; they move no money by themselves.

What needs an operator stays open; what the chain takes back (an unpaused token, an approval of 0)
closes by itself; what needs nobody (a look-alike token, a transfer of nothing, a payment made by
somebody else's transaction) is recorded once per token or transaction, so that whoever can emit any
number of logs cannot fill the list of breaks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

from node.core.breaks import BreakCode, NewBreak, break_of
from node.core.mirror import Watch
from node.core.ports import Unit
from node.core.ports.mirror import NoticeRow, OutcomeRow, StraySum, TokenLogRow, UndecodedRow
from node.core.settlement import PauseReason
from node.core.signing import KeyRole
from node.core.units import Address
from node.core.watchlist import NoticeKind
from node.services.ledger.final_bookings import log_name

_ADMINISTRATION: Final = frozenset(
    {"AdminChanged", "OwnershipTransferStarted", "OwnershipTransferred"}
)
"""Changes of who may change the token; who may mint or pause it changes in the course of trade."""


@dataclass(slots=True)
class Noticed:
    """Gathers what one finality step says besides payments.

    Attributes:
        lanes: Accounts that the node signs for, and what for.
        opened: Breaks to be opened, by fingerprint.
        closed: Fingerprints that the chain has taken back, with the sentence why.
        recorded: Breaks that need nobody.
    """

    watch: Watch
    lanes: Mapping[Address, KeyRole]
    opened: dict[str, NewBreak] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    recorded: dict[str, NewBreak] = field(default_factory=dict)
    _pausing: set[str] = field(default_factory=set)

    def read_notices(self, rows: Sequence[NoticeRow]) -> None:
        """What issuer and administrators did, in the chain's order: the last word counts."""
        for row in rows:
            match row.notice.kind:
                case NoticeKind.ISSUER_PAUSED | NoticeKind.ISSUER_UNPAUSED:
                    self._pause_of_token(row)
                case NoticeKind.DENIED | NoticeKind.UNDENIED:
                    self._denial(row)
                case NoticeKind.APPROVED:
                    self._approval(row)
                case NoticeKind.ISSUER_UPGRADED:
                    self._open(
                        BreakCode.ISSUER_CHANGED,
                        log_name(row.block, row.notice.log_index),
                        row,
                        "the token's code as it was",
                        pauses=True,
                    )
                case NoticeKind.ISSUER_CHANGED:
                    if row.notice.detail.get("event") in _ADMINISTRATION:
                        self._open(
                            BreakCode.ISSUER_CHANGED,
                            log_name(row.block, row.notice.log_index),
                            row,
                            "the token's administration as it was",
                        )
                case NoticeKind.CONTRACT_CHANGED:
                    self._open(
                        BreakCode.CONTRACT_CHANGED,
                        log_name(row.block, row.notice.log_index),
                        row,
                        "a change that an administrator of the node has made",
                    )
                case NoticeKind.CONTRACT_PAUSED | NoticeKind.CONTRACT_UNPAUSED | NoticeKind.RESCUED:
                    continue  # settlement reads the pause itself; a rescue is a cause, see below

    def read_undone(self, undone: Sequence[NoticeRow], last: Sequence[NoticeRow]) -> None:
        """Say again what holds after a reorg past finality took notices back.

        Args:
            undone: Notices of replaced blocks.
            last: The last word before them on each thing they are about; none: nobody has spoken.
        """
        self.read_notices(last)
        before = Noticed(self.watch, self.lanes)
        before.read_notices(undone)
        for fingerprint in before.opened.keys() | before.closed.keys():
            if fingerprint not in self.opened and fingerprint not in self.closed:
                self.closed[fingerprint] = "the chain replaced the block that said so"

    def read_undecoded(self, rows: Sequence[UndecodedRow]) -> None:
        """Logs that nobody could read."""
        for row in rows:
            log = row.log
            found = break_of(
                BreakCode.UNDECODED_LOG,
                log_name(row.block, log.log_index),
                expected="an event as its declaration has it",
                actual=log.fault,
                evidence={
                    "contract": _text(log.contract),
                    "tx_hash": f"0x{log.tx_hash.hex()}",
                    "block_number": str(row.block.number),
                    "log_index": str(log.log_index),
                },
            )
            self.opened[found.fingerprint] = found

    def read_spoofs(self, strays: Sequence[StraySum], token_logs: Sequence[TokenLogRow]) -> None:
        """Other tokens, and transfers of nothing: one record per token contract, for ever."""
        for stray in strays:
            self._record_token(
                stray.token,
                "a contract that is not the node's token says that it moved something",
                {
                    "tx_hash": f"0x{stray.tx_hash.hex()}",
                    "block_number": str(stray.block.number),
                    "log_index": str(stray.log_index),
                    "logs": str(stray.logs),
                },
            )
        nothing = [row for row in token_logs if row.log.amount == 0]
        if nothing:
            first = nothing[0]
            self._record_token(
                self.watch.token,
                "the node's token says that it moved 0 units, which anybody can make it say",
                {
                    "tx_hash": f"0x{first.log.tx_hash.hex()}",
                    "block_number": str(first.block.number),
                    "log_index": str(first.log.log_index),
                    "logs": str(len(nothing)),
                },
            )

    def read_payouts(self, payouts: Sequence[OutcomeRow]) -> None:
        """Payments that a transaction made which is not the node's: they count as paid."""
        strangers: dict[bytes, list[OutcomeRow]] = {}
        for outcome in payouts:
            if outcome.slot_id is None:
                strangers.setdefault(outcome.tx_hash, []).append(outcome)
        for tx_hash, outcomes in strangers.items():
            found = break_of(
                BreakCode.PAID_BY_OTHER,
                f"0x{tx_hash.hex()}",
                expected="payments in transactions of the node",
                actual=f"{len(outcomes)} paid as agreed by a transaction of somebody else",
                evidence={
                    "tx_hash": f"0x{tx_hash.hex()}",
                    "block_number": str(outcomes[0].block.number),
                    "payment_number": str(outcomes[0].payment_number),
                },
                cause="another operator of the contract settled the same payment numbers",
            )
            self.recorded[found.fingerprint] = found

    def with_causes(
        self, breaks: Sequence[NewBreak], notices: Sequence[NoticeRow]
    ) -> list[NewBreak]:
        """The same breaks; money that was rescued says so."""
        rescues = {
            (f"0x{row.notice.tx_hash.hex()}", str(row.notice.amount)): row.notice
            for row in notices
            if row.notice.kind is NoticeKind.RESCUED
            and row.notice.detail.get("token") in (None, _text(self.watch.token))
        }
        found = []
        for each in breaks:
            tx_hash = each.evidence.get("tx_hash", "")
            rescue = rescues.get((tx_hash, each.evidence.get("minor", "")))
            if each.code is BreakCode.ORPHAN_OUTBOUND and rescue is not None:
                to = "" if rescue.subject is None else f" to {_text(rescue.subject)}"
                cause = f"rescued{to} by the rescuer's key in transaction {tx_hash}"
                each = replace(  # noqa: PLW2901 - the same break, with its cause
                    each, cause=cause, evidence={**each.evidence, "event": "Rescued"}
                )
            found.append(each)
        return found

    @property
    def pause_note(self) -> str | None:
        """Why settlement must stop; None: it need not."""
        still = sorted(self._pausing & self.opened.keys() - self.closed.keys())
        return self.opened[still[0]].actual if still else None

    # ------------------------------------------------------------------------------------- notices

    def _pause_of_token(self, row: NoticeRow) -> None:
        subject = f"{self.watch.chain_id}:{_text(row.notice.contract)}"
        if row.notice.kind is NoticeKind.ISSUER_UNPAUSED:
            self._close(BreakCode.ISSUER_PAUSED, subject, row)
        else:
            self._open(BreakCode.ISSUER_PAUSED, subject, row, "a token that can be paid with")

    def _denial(self, row: NoticeRow) -> None:
        address = row.notice.subject
        if address is None:
            return
        subject = f"{self.watch.chain_id}:{_text(address)}"
        if row.notice.kind is NoticeKind.UNDENIED:
            self._close(BreakCode.ISSUER_DENIED, subject, row)
            return
        # A lane, a pauser, a rescuer hold no tokens: the others are the float and the treasury.
        holds = address in self.watch.addresses and (
            self.lanes.get(address, KeyRole.TREASURY) is KeyRole.TREASURY
        )
        self._open(
            BreakCode.ISSUER_DENIED,
            subject,
            row,
            "an address whose tokens can move",
            pauses=holds,
        )

    def _approval(self, row: NoticeRow) -> None:
        owner = row.notice.detail.get("owner", "")
        spender = "" if row.notice.subject is None else _text(row.notice.subject)
        subject = f"{self.watch.chain_id}:{owner}:{spender}"
        if row.notice.amount:
            self._open(
                BreakCode.UNWANTED_APPROVAL, subject, row, "nobody who may take the node's tokens"
            )
        else:
            self._close(BreakCode.UNWANTED_APPROVAL, subject, row)

    def _open(
        self,
        code: BreakCode,
        subject: str,
        row: NoticeRow,
        expected: str,
        *,
        pauses: bool = False,
    ) -> None:
        notice = row.notice
        said = ", ".join(f"{k} {v}" for k, v in notice.detail.items() if k != "event")
        event = notice.detail.get("event", notice.kind.value)
        name = log_name(row.block, notice.log_index)
        found = break_of(
            code,
            subject,
            expected=expected,
            actual=f"{event}({said}) in block {row.block.number}, log {name}",
            evidence={
                "contract": _text(notice.contract),
                "tx_hash": f"0x{notice.tx_hash.hex()}",
                "block_number": str(row.block.number),
                "block_hash": f"0x{row.block.hash.hex()}",
                "log_index": str(notice.log_index),
            },
        )
        self.opened[found.fingerprint] = found
        self.closed.pop(found.fingerprint, None)
        if pauses:
            self._pausing.add(found.fingerprint)

    def _close(self, code: BreakCode, subject: str, row: NoticeRow) -> None:
        event = row.notice.detail.get("event", row.notice.kind.value)
        self.closed[f"{code}:{subject}"] = (
            f"{event} is final in block {row.block.number}, transaction"
            f" 0x{row.notice.tx_hash.hex()}"
        )

    def _record_token(self, token: Address, actual: str, evidence: Mapping[str, str]) -> None:
        found = break_of(
            BreakCode.SPOOFED,
            f"{self.watch.chain_id}:{_text(token)}",
            expected="nothing that names the node but what it, or who pays it, has moved",
            actual=actual,
            evidence={"token": _text(token), **evidence},
        )
        self.recorded[found.fingerprint] = found


async def write(unit: Unit, noticed: Noticed, new_id: Callable[[], UUID]) -> None:
    """Open, record and close what was noticed, and pause settlement where it must stop.

    To be called in the transaction of the final cursor.
    """
    found = [*noticed.opened.values(), *noticed.recorded.values()]
    await unit.breaks.open([(new_id(), each) for each in found])
    await unit.breaks.close_all(
        list(noticed.recorded), "recorded", "recorded: nobody has to do anything"
    )
    reason = "; ".join(sorted(set(noticed.closed.values())))
    await unit.breaks.close_all(list(noticed.closed), "rederived", reason)
    if (note := noticed.pause_note) is not None:
        await unit.settlement.pause(PauseReason.ISSUER, by="mirror", note=note, hard=False)


def _text(address: Address) -> str:
    return f"0x{address.hex()}"
