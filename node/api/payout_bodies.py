"""What may be in bodies and queries about payouts for partners. See `schemas`."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from node.api.account_bodies import BankAccountBody
from node.api.bodies import Body, PageQuery
from node.api.forms import WORDS
from node.api.schemas import Country, Id, Note, PersonName, Reference, Text
from node.api.times import Day


class PartnerContractBody(Body):
    """A settlement contract that a partner pays out of."""

    chain_id: Annotated[int, Field(ge=1, le=2**53 - 1)]
    address: Annotated[Text, Field(description="0x and 40 hex digits.")]
    refund_address: Annotated[
        Text | None, Field(description="Where money may go back to besides the contract.")
    ] = None


class PersonBody(Body):
    """Who pays: what IVMS101 asks of a natural or a legal person."""

    type: Literal["natural", "legal"] = "natural"
    name: PersonName
    country: Country
    address: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=280, pattern=WORDS)] | None,
        Field(description="Of residence, or of registration."),
    ] = None
    date_of_birth: Day | None = None
    national_id: Annotated[
        Reference | None, Field(description="Of a person, or the number of a firm's registration.")
    ] = None


class PayeeBody(PersonBody):
    """Who is paid, and where."""

    account: BankAccountBody


class PayoutBody(Body):
    """A payout on a firm quote with payout method `bank`."""

    quote_id: Id
    client_reference: Annotated[Reference, Field(description="The partner's own; unique for it.")]
    beneficiary: PayeeBody
    originator: PersonBody | None = None
    refund_policy: Annotated[
        Literal["refund", "correct"],
        Field(
            description="When the rail refuses for good: send the money back, or wait for a"
            " corrected beneficiary."
        ),
    ] = "refund"
    refund_address: Annotated[
        Text,
        Field(description="A registered contract of the partner, or its registered address."),
    ]
    purpose: Reference | None = None


class PayoutCorrectionBody(Body):
    """The beneficiary as it should have been."""

    beneficiary: PayeeBody


class PayoutRefundBody(Body):
    """Why the money is to go back."""

    reason: Note | None = None


class PayoutQuery(PageQuery):
    """Which payouts."""

    status: (
        Literal[
            "pending_sender",
            "pending_receiver",
            "pending_external",
            "pending_customer_info_update",
            "completed",
            "refunded",
            "expired",
            "error",
        ]
        | None
    ) = None
    client_reference: Text | None = None
    partner_id: Id | None = None
