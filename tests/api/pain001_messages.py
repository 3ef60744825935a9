"""pain.001 as banks' programs write it: made from pyiso20022's classes, checked by the schema."""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from lxml import etree
from pyiso20022.pain import pain_001_001_09, pain_001_001_12
from xsdata.models.datatype import XmlDate, XmlDateTime

from node.api.iso20022 import written

SCHEMAS = Path(__file__).parent / "iso20022"
ADDRESS = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
_VERSIONS: dict[str, Any] = {
    "pain.001.001.09": pain_001_001_09,
    "pain.001.001.12": pain_001_001_12,
}
NAMES = tuple(_VERSIONS)


@cache
def schema(name: str) -> etree.XMLSchema:
    """Of a message."""
    return etree.XMLSchema(etree.parse(SCHEMAS / f"{name}.xsd"))


@dataclass(frozen=True)
class Instruction:
    """One transaction.

    Attributes:
        equivalent_in: `CcyOfTrf`, where the amount is what is sold for it.
        iban: Of the creditor's account at a bank, instead of an address on the chain.
        number: Or its number, `Othr/Id`.
        bank: Which bank that is: `bic`, `clearing` or `other`.
    """

    reference: str = "pay-1"
    amount: str = "200.00"
    currency: str = "EUR"
    equivalent_in: str | None = None
    address: str = ADDRESS
    iban: str | None = None
    number: str | None = None
    bank: str = "bic"
    account_currency: str | None = None


@dataclass(frozen=True)
class _Version:
    """The classes of one version of the message, by their names without their numbers."""

    name: str

    def of(self, kind: str, **values: Any) -> Any:
        """A value of the class of this name."""
        module = _VERSIONS[self.name]
        [found] = [each for each in dir(module) if re.fullmatch(kind + r"\d+(Choice)?", each)]
        return getattr(module, found)(**values)

    def account(self, number: str, proxy: str | None = None) -> Any:
        """An account by its number, and what stands for it."""
        generic = self.of("GenericAccountIdentification", id=number)
        return self.of(
            "CashAccount",
            id=self.of("AccountIdentification", othr=generic),
            prxy=self.of("ProxyAccountIdentification", id=proxy) if proxy else None,
        )

    def creditor_account(self, each: Instruction) -> dict[str, Any]:
        """Where the creditor is paid: an account at a bank, or an address on the chain."""
        if each.iban is None and each.number is None:
            return {"cdtr_acct": self.account("NOTPROVIDED", each.address)}
        generic = self.of("GenericAccountIdentification", id=each.number) if each.number else None
        bank = {
            "bic": {"bicfi": "BOPIPHMM"},
            "clearing": {
                "clr_sys_mmb_id": self.of("ClearingSystemMemberIdentification", mmb_id="010040018")
            },
            "other": {"othr": self.of("GenericFinancialIdentification", id="BPI 1040")},
        }[each.bank]
        agent = self.of("FinancialInstitutionIdentification", **bank)
        return {
            "cdtr_agt": self.of("BranchAndFinancialInstitutionIdentification", fin_instn_id=agent),
            "cdtr_acct": self.of(
                "CashAccount",
                id=self.of("AccountIdentification", iban=each.iban, othr=generic),
                ccy=each.account_currency,
            ),
        }

    def amount(self, each: Instruction) -> Any:
        """The amount of a transaction."""
        money = _VERSIONS[self.name].ActiveOrHistoricCurrencyAndAmount(
            value=Decimal(each.amount), ccy=each.currency
        )
        if each.equivalent_in is None:
            return self.of("AmountType", instd_amt=money)
        told = self.of("EquivalentAmount", amt=money, ccy_of_trf=each.equivalent_in)
        return self.of("AmountType", eqvt_amt=told)

    def transaction(self, each: Instruction) -> Any:
        """A transaction."""
        return self.of(
            "CreditTransferTransaction",
            pmt_id=self.of("PaymentIdentification", end_to_end_id=each.reference),
            amt=self.amount(each),
            cdtr=self.of(
                "PartyIdentification", nm="Ben", pstl_adr=self.of("PostalAddress", ctry="PH")
            ),
            **self.creditor_account(each),
            purp=self.of("Purpose", cd="SALA"),
        )


def message(
    payer: str,
    *instructions: Instruction,
    name: str = "pain.001.001.09",
    day: date = date(2026, 11, 20),
) -> bytes:
    """A message with one payment of these transactions, valid by its schema."""
    made, module = _Version(name), _VERSIONS[name]
    total = sum((Decimal(each.amount) for each in instructions), Decimal(0))
    agent = made.of("FinancialInstitutionIdentification", nm="Corridor")
    payment = made.of(
        "PaymentInstruction",
        pmt_inf_id="PMT-1",
        pmt_mtd=module.PaymentMethod3Code.TRF,
        nb_of_txs=str(len(instructions)),
        ctrl_sum=total,
        reqd_exctn_dt=made.of("DateAndDateTime", dt=XmlDate.from_date(day)),
        dbtr=made.of("PartyIdentification", nm="Ana"),
        dbtr_acct=made.account(payer),
        dbtr_agt=made.of("BranchAndFinancialInstitutionIdentification", fin_instn_id=agent),
        cdt_trf_tx_inf=[made.transaction(each) for each in instructions],
    )
    header = made.of(
        "GroupHeader",
        msg_id="MSG-1",
        cre_dt_tm=XmlDateTime(2026, 11, 20, 12, 0, 0),
        nb_of_txs=str(len(instructions)),
        ctrl_sum=total,
        initg_pty=made.of("PartyIdentification", nm="Ana"),
    )
    initiation = made.of("CustomerCreditTransferInitiationV", grp_hdr=header, pmt_inf=[payment])
    content = written(module.Document(cstmr_cdt_trf_initn=initiation), name)
    schema(name).assertValid(etree.fromstring(content))
    return content
