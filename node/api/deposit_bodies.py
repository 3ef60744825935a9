"""What may be in bodies and queries about deposits. See `schemas`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from node.api.bodies import Body, PageQuery
from node.api.schemas import Amount, Currency, Id, Note, Reference, Text
from node.core.deposits import EXPIRES_IN_DEFAULT_S, EXPIRES_IN_MAX_S, EXPIRES_IN_MIN_S


class PaymentRequestBody(Body):
    """What an owner asks to be paid."""

    currency: Currency
    amount: Amount
    reference: Annotated[Reference, Field(description="The owner's own; unique for it.")]
    expires_in_s: Annotated[
        int | None,
        Field(
            ge=EXPIRES_IN_MIN_S,
            le=EXPIRES_IN_MAX_S,
            description=f"Seconds it waits; {EXPIRES_IN_DEFAULT_S}.",
        ),
    ] = None


class AttributionBody(Body):
    """Whose a held deposit is, and why."""

    customer_id: Id | None = None
    partner_id: Id | None = None
    reason: Note

    @model_validator(mode="after")
    def _one_owner(self) -> Self:
        if (self.customer_id is None) == (self.partner_id is None):
            raise PydanticCustomError("one_owner", "give exactly one of customer_id and partner_id")
        return self


class PaymentRequestQuery(PageQuery):
    """Which payment requests."""

    status: Literal["awaiting", "paid", "expired", "accepted"] | None = None
    reference: Text | None = None
    customer_id: Id | None = None


class DepositQuery(PageQuery):
    """Which deposits."""

    status: Literal["credited", "held", "unbooked", "resolved", "orphaned"] | None = None
    customer_id: Id | None = None
    payment_request_id: Id | None = None


class CustomerDepositQuery(PageQuery):
    """Which of a customer's deposits."""

    status: Literal["credited", "held", "unbooked", "resolved", "orphaned"] | None = None
    payment_request_id: Id | None = None
