"""Rows and queries of bulk transfers. See `node.api.schemas`."""

from typing import Annotated, Literal

from pydantic import Field

from node.api.bodies import Body, PageQuery, Query
from node.api.schemas import (
    Amount,
    Currency,
    CurrencyFilter,
    Id,
    Reference,
    TransferBeneficiaryBody,
)
from node.core.bulk import (
    ACCEPT_WITHIN_DEFAULT_S,
    ACCEPT_WITHIN_MAX_S,
    BulkStatus,
    Mode,
    RowStatus,
)
from node.core.paging import LIMIT_DEFAULT, LIMIT_MAX


class BulkSide(Body):
    """What is sold or bought; the amount on exactly one side."""

    currency: Currency | None = None
    amount: Amount | None = None


class BulkRowBody(Body):
    """A row: quote and transfer in one, at whatever firm price there is.

    With an `address` the token is paid there; with an `account` a partner pays it out.
    """

    client_reference: Reference
    customer_id: Id | None = None
    sell: BulkSide = BulkSide()
    buy: BulkSide = BulkSide()
    beneficiary: TransferBeneficiaryBody
    purpose: Reference | None = None
    refund_policy: Annotated[
        Literal["refund", "correct"] | None,
        Field(description="Of a row that a partner pays out; as that of a transfer."),
    ] = None


class BulkQuery(Query):
    """How the rows of a file are to be taken."""

    mode: Annotated[
        Mode,
        Field(
            description="Whether a row that is refused keeps the others from being accepted; not"
            " `all_or_nothing` where partners pay rows out."
        ),
    ] = Mode.BEST_EFFORT
    sell_currency: Annotated[
        CurrencyFilter | None, Field(description="Of rows that name none.")
    ] = None
    buy_currency: Annotated[CurrencyFilter | None, Field(description="Of rows that name none.")] = (
        None
    )
    customer_id: Annotated[Id | None, Field(description="Of rows that name none.")] = None
    refund_policy: Annotated[
        Literal["refund", "correct"] | None,
        Field(description="Of rows that partners pay out and that name none."),
    ] = None
    instructed: Annotated[
        Literal["sell", "buy"],
        Field(description="What `InstdAmt` of pain.001 is: what is sold, or what is bought."),
    ] = "sell"
    accept_within_s: Annotated[
        int,
        Field(
            ge=1,
            le=ACCEPT_WITHIN_MAX_S,
            description="Seconds for which rows are tried that cannot be accepted now.",
        ),
    ] = ACCEPT_WITHIN_DEFAULT_S


class BulkListQuery(PageQuery):
    """Which bulk transfers."""

    status: BulkStatus | None = None


class BulkRowQuery(Query):
    """Which rows."""

    status: RowStatus | None = None
    after: Annotated[
        int, Field(ge=0, le=2**31 - 1, description="`next_after` of the page before.")
    ] = 0
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT


class BulkReportQuery(Query):
    """In which format."""

    format: Literal["json", "csv", "pain.002"] = "json"
