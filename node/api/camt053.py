"""A statement as ISO 20022 camt.053.001.08, BankToCustomerStatementV08.

Version 08 is the one that CBPR+ and the European banking associations exchange. The classes come
from pyiso20022, which are made from the schema; what goes into which element is said here, and a
test holds the result against the schema itself. Debit and credit are the owner's: money in is
CRDT. One entry of the ledger is one `Ntry`, so a transfer has one for what is exchanged, one for
the spread and one for the fees.

Not everything that JSON and CSV say has an element: what has none is in `AddtlNtryInf` (the part)
and `RmtInf` (a reference longer than its element).
"""

import hashlib
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final

from pyiso20022.camt import camt_053_001_08 as iso
from xsdata.models.datatype import XmlDate

from node.api.iso20022 import ISSUER, cut, moment, written
from node.api.ledger_details import payout_named
from node.api.ledger_views import part_of
from node.core.catalog import Catalog
from node.core.errors import FormatUnfit
from node.core.ids import Prefix, encode_id
from node.core.statements import Line, Statement
from node.core.units import Asset, format_minor

_NAME: Final = "camt.053.001.08"
_CURRENCY: Final = re.compile("[A-Z]{3}")  # ActiveOrHistoricCurrencyCode
_FRACTION_DIGITS_MAX: Final = 5  # of ActiveOrHistoricCurrencyAndAmount
_TOTAL_DIGITS_MAX: Final = 18


def statement_camt053(statement: Statement, catalog: Catalog) -> bytes:
    """The XML document, UTF-8. About half a millisecond a line.

    Raises:
        FormatUnfit: The currency's code is not of three letters, it has more than 5 digits, or an
            amount has more than 18.
    """
    asset = catalog.ledger_asset(statement.asset)
    _check(statement, asset)
    document = iso.Document(
        bk_to_cstmr_stmt=iso.BankToCustomerStatementV08(
            grp_hdr=iso.GroupHeader81(
                msg_id=_message_id(statement), cre_dt_tm=moment(statement.made_at)
            ),
            stmt=[_statement(statement, asset)],
        )
    )
    return written(document, _NAME)


def _check(statement: Statement, asset: Asset) -> None:
    why = None
    totals = statement.totals
    most = max(abs(statement.opening), abs(statement.closing), totals.credited + totals.debited)
    if not _CURRENCY.fullmatch(asset.code):
        why = f"it names currencies by three letters, and {asset.code} is none such"
    elif asset.digits > _FRACTION_DIGITS_MAX:
        why = f"it has {_FRACTION_DIGITS_MAX} decimal digits, and {asset.code} {asset.digits}"
    elif most >= 10**_TOTAL_DIGITS_MAX:
        why = f"its amounts have at most {_TOTAL_DIGITS_MAX} digits"
    if why:
        raise FormatUnfit(f"camt.053 cannot carry this statement: {why}; ask for format=csv")


def _statement(statement: Statement, asset: Asset) -> Any:
    period = statement.period
    begins = datetime.combine(period.first, time(), UTC)
    return iso.AccountStatement9(
        id=cut(f"{asset}-{period.first:%Y%m%d}-{period.last:%Y%m%d}-{statement.sequence}", 35),
        cre_dt_tm=moment(statement.made_at),
        fr_to_dt=iso.DateTimePeriod1(fr_dt_tm=moment(begins), to_dt_tm=moment(statement.ends_at)),
        acct=_account(statement, asset),
        bal=[
            _balance("OPBD", statement.opening, period.first, asset),
            _balance("CLBD", statement.closing, period.last, asset),
        ],
        txs_summry=_summary(statement, asset),
        ntry=[_entry(each, asset) for each in statement.lines],
    )


def _account(statement: Statement, asset: Asset) -> Any:
    """The account as its owner knows it: the owner's id, and the currency."""
    name = cut(statement.owner_name, 140)
    return iso.CashAccount39(
        id=iso.AccountIdentification4Choice(
            othr=iso.GenericAccountIdentification1(id=statement.owner, issr=ISSUER)
        ),
        ccy=asset.code,
        ownr=iso.PartyIdentification135(nm=name) if name else None,
    )


def _balance(code: str, minor: int, day: date, asset: Asset) -> Any:
    return iso.CashBalance8(
        tp=iso.BalanceType13(cd_or_prtry=iso.BalanceType10Choice(cd=code)),
        amt=_amount(abs(minor), asset),
        cdt_dbt_ind=_side(is_debit=minor < 0),
        dt=_day(day),
    )


def _summary(statement: Statement, asset: Asset) -> Any:
    totals = statement.totals
    net = totals.credited - totals.debited
    return iso.TotalTransactions6(
        ttl_ntries=iso.NumberAndSumOfTransactions4(
            nb_of_ntries=str(totals.credits + totals.debits),
            sum=_decimal(totals.credited + totals.debited, asset),
            ttl_net_ntry=iso.AmountAndDirection35(
                amt=_decimal(abs(net), asset), cdt_dbt_ind=_side(is_debit=net < 0)
            ),
        ),
        ttl_cdt_ntries=iso.NumberAndSumOfTransactions1(
            nb_of_ntries=str(totals.credits), sum=_decimal(totals.credited, asset)
        ),
        ttl_dbt_ntries=iso.NumberAndSumOfTransactions1(
            nb_of_ntries=str(totals.debits), sum=_decimal(totals.debited, asset)
        ),
    )


def _entry(line: Line, asset: Asset) -> Any:
    posted_on = _day(line.posted_at.date())
    return iso.ReportEntry10(
        ntry_ref=f"{line.sequence}-{line.id % 1000}",
        amt=_amount(line.amount, asset),
        cdt_dbt_ind=_side(is_debit=line.is_debit),
        sts=iso.EntryStatus1Choice(cd="BOOK"),
        bookg_dt=posted_on,
        val_dt=posted_on,
        acct_svcr_ref=str(line.id),
        bk_tx_cd=iso.BankTransactionCodeStructure4(
            prtry=iso.ProprietaryBankTransactionCodeStructure1(cd=cut(line.kind, 35), issr=ISSUER)
        ),
        ntry_dtls=[iso.EntryDetails9(tx_dtls=[_transaction(line)])],
        addtl_ntry_inf=part_of(line.counter_path),
    )


def _transaction(line: Line) -> Any:
    transfer = line.transfer_id
    part = part_of(line.counter_path)
    payee = cut(line.beneficiary_name or "", 140) if part == "exchange" else None
    reference = line.client_reference or line.detail.get("reference") or payout_named(line.detail)
    told = cut(reference, 140)
    return iso.EntryTransaction10(
        refs=iso.TransactionReferences6(
            acct_svcr_ref=str(line.id),
            end_to_end_id=cut(line.client_reference or "", 35),
            tx_id=encode_id(Prefix.TRANSFER, transfer) if transfer else None,
        ),
        rltd_pties=_paid_to(payee) if payee else None,
        rmt_inf=iso.RemittanceInformation16(ustrd=[told]) if told else None,
    )


def _paid_to(name: str) -> Any:
    return iso.TransactionParties6(cdtr=iso.Party40Choice(pty=iso.PartyIdentification135(nm=name)))


def _message_id(statement: Statement) -> str:
    """The same for the same statement, and for no other: 128 bits of a hash."""
    period = statement.period
    parts = (
        statement.owner_id.hex,
        statement.asset,
        f"{period.first}/{period.last}",
        str(statement.sequence),
    )
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]


def _decimal(minor: int, asset: Asset) -> Decimal:
    return Decimal(format_minor(minor, asset.digits))


def _amount(minor: int, asset: Asset) -> Any:
    return iso.ActiveOrHistoricCurrencyAndAmount(value=_decimal(minor, asset), ccy=asset.code)


def _side(*, is_debit: bool) -> Any:
    return iso.CreditDebitCode.DBIT if is_debit else iso.CreditDebitCode.CRDT


def _day(day: date) -> Any:
    return iso.DateAndDateTime2Choice(dt=XmlDate.from_date(day))
