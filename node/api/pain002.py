"""The report of a bulk transfer as ISO 20022 pain.002.001.12, CustomerPaymentStatusReportV12.

It answers the pain.001 that the bulk transfer was: each transaction with its status, and why it was
rejected. Statuses and reasons are of ISO's external code sets; the node's own code is in `Prtry`
where they have none that fits, and what it says to people in `AddtlInf`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from pyiso20022.pain import pain_002_001_12 as iso

from node.api.iso20022 import cut, moment, written
from node.core.bulk import Bulk, BulkRow, BulkStatus, RowStatus
from node.core.errors import FormatUnfit
from node.core.ids import Prefix, encode_id
from node.core.transfers import STATUS, Status

_NAME: Final = "pain.002.001.12"
_NO_GROUP: Final = "NOTPROVIDED"

_REASONS: Final[Mapping[str, str]] = {
    "insufficient_funds": "AM04",
    "amount_out_of_range": "AM02",
    "amount_invalid": "AM12",
    "pair_not_offered": "AM03",
    "currency_unknown": "AM11",
    "address_invalid": "AC03",
    "beneficiary_refused": "AC03",
    "partner_unavailable": "AB08",
    "not_found": "AC02",
    "client_reference_used": "DU04",
    "limit_exceeded": "AM14",
    "not_due": "DT01",
    "required": "RR09",
}
"""Code of the node -> ExternalStatusReason1Code; of others the node's own is given."""

_STATUSES: Final[Mapping[Status, str]] = {
    Status.PROCESSING: "ACSP",
    Status.ACTION_REQUIRED: "PDNG",
    Status.COMPLETED: "ACSC",
    Status.CANCELED: "CANC",
    Status.FAILED: "RJCT",
    Status.EXPIRED: "RJCT",
    Status.REFUNDED: "RJCT",
}
"""Of a transfer -> ExternalPaymentTransactionStatus1Code."""


def report_pain002(bulk: Bulk, rows: Sequence[BulkRow], made_at: datetime) -> bytes:
    """The XML document, UTF-8.

    Raises:
        FormatUnfit: The bulk transfer did not come as pain.001.
    """
    if bulk.message_id is None or bulk.message_name is None:
        raise FormatUnfit(
            "pain.002 answers pain.001, and this file was none; ask for format=csv or json"
        )
    report = iso.CustomerPaymentStatusReportV12(
        grp_hdr=iso.GroupHeader86(
            msg_id=f"{encode_id(Prefix.BULK, bulk.id)}", cre_dt_tm=moment(made_at)
        ),
        orgnl_grp_inf_and_sts=iso.OriginalGroupHeader17(
            orgnl_msg_id=cut(bulk.message_id, 35) or _NO_GROUP,
            orgnl_msg_nm_id=bulk.message_name,
            orgnl_nb_of_txs=str(bulk.rows),
            grp_sts=_group_status(bulk),
            nb_of_txs_per_sts=_counts(rows),
        ),
        orgnl_pmt_inf_and_sts=[
            iso.OriginalPaymentInstruction40(
                orgnl_pmt_inf_id=cut(group or "", 35) or _NO_GROUP,
                tx_inf_and_sts=[_transaction(each) for each in members],
            )
            for group, members in groupby(rows, key=_group)
        ],
    )
    return written(iso.Document(cstmr_pmt_sts_rpt=report), _NAME)


def _group(row: BulkRow) -> str | None:
    return row.group


def _group_status(bulk: Bulk) -> str:
    if bulk.status is BulkStatus.PROCESSING:
        return "PDNG"
    if bulk.rejected == bulk.rows:
        return "RJCT"
    return "PART" if bulk.rejected else "ACCP"


def _counts(rows: Iterable[BulkRow]) -> list[Any]:
    return [
        iso.NumberOfTransactionsPerStatus5(dtld_nb_of_txs=str(count), dtld_sts=status)
        for status, count in sorted(Counter(map(_status, rows)).items())
    ]


def _status(row: BulkRow) -> str:
    if row.transfer is not None:
        return _STATUSES[STATUS[row.transfer.state]]
    return "RJCT" if row.status is RowStatus.REJECTED else "PDNG"


def _transaction(row: BulkRow) -> Any:
    transfer = row.transfer
    return iso.PaymentTransaction129(
        orgnl_end_to_end_id=cut(row.client_reference or "", 35),
        tx_sts=_status(row),
        sts_rsn_inf=[_reason(each.code, each.message) for each in row.faults] or _failure(row),
        acct_svcr_ref=encode_id(Prefix.TRANSFER, transfer.id) if transfer else None,
    )


def _failure(row: BulkRow) -> list[Any]:
    """Why a transfer paid nothing."""
    if row.transfer is None or _status(row) not in ("RJCT", "CANC") or not row.transfer.failure:
        return []
    failure = row.transfer.failure
    return [_reason(failure["code"], failure["message"])]


def _reason(code: str, message: str) -> Any:
    known = _REASONS.get(code)
    told = cut(message, 105)
    return iso.StatusReasonInformation12(
        rsn=iso.StatusReason6Choice(cd=known)
        if known
        else iso.StatusReason6Choice(prtry=cut(code, 35)),
        addtl_inf=[told] if told else [],
    )
