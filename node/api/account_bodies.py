"""Accounts at banks, as bodies name them. See `schemas`."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from node.api.bodies import Body
from node.api.forms import BANK_ACCOUNT

AccountText = Annotated[str, StringConstraints(pattern=BANK_ACCOUNT)]


class BankAccountBody(Body):
    """Where a beneficiary is paid."""

    type: Literal["bank"] = "bank"
    number: Annotated[AccountText, Field(description="Account number or IBAN.")]
    bank_code: Annotated[AccountText, Field(description="BIC, or a national code.")]
