"""Bodies and queries about the bank's statements. See `node.api.schemas`."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from node.api.bodies import Body, PageQuery, Query
from node.api.schemas import CurrencyFilter, Id, Note, Text
from node.core.paging import ROW_ID_MAX

_ONE: Final = "name either ledger_sequence or top_up_id"


class BankImportQuery(Query):
    """Of which account a file is."""

    rail: Annotated[Text, Field(description="The node's bank.")]
    currency: Annotated[CurrencyFilter | None, Field(description="Of CSV without that column.")] = (
        None
    )


class BankStatementQuery(PageQuery):
    """Which statements."""

    rail: Text | None = None
    currency: CurrencyFilter | None = None


class BankLineQuery(PageQuery):
    """Which lines."""

    status: Literal["matched", "unmatched"] | None = None


class MatchLineBody(Body):
    """What a line of the bank's statement is in the ledger; exactly one of both, and why."""

    ledger_sequence: Annotated[
        int | None, Field(ge=1, le=ROW_ID_MAX, description="Of the ledger transaction.")
    ] = None
    top_up_id: Annotated[Id | None, Field(description="The top-up that it booked.")] = None
    reason: Note

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.ledger_sequence is None) == (self.top_up_id is None):
            raise PydanticCustomError("exactly_one", _ONE)
        return self
