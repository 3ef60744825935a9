"""What may be in a body or a query. What answers look like is in `node.api.views`.

Lengths bound every text; control characters are refused, because no database text holds a NUL and
no person means one.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from node.api.account_bodies import BankAccountBody
from node.api.bodies import Body, PageQuery, Query, at_parameter
from node.api.countries import COUNTRIES
from node.api.forms import ADDRESS, AMOUNT, CURRENCY_CODE, EMAIL, NO_CONTROL, RATE, WORDS
from node.api.times import Day, Moment
from node.core.bookings import BookingKind
from node.core.paging import LIMIT_DEFAULT, LIMIT_MAX, ROW_ID_MAX
from node.core.settlement import PauseReason, Purpose, SlotState
from node.core.transfers import State, Status
from node.services.points import NEWEST, Asked

QUOTE_TTL_S_MAX: Final = 1800


def _assigned(code: str) -> str:
    if code not in COUNTRIES:
        raise PydanticCustomError(
            "country_unknown", "write the country as an ISO 3166-1 alpha-2 code such as 'PH'"
        )
    return code


Country = Annotated[
    str,
    AfterValidator(_assigned),
    Field(description="ISO 3166-1 alpha-2.", json_schema_extra={"pattern": "^[A-Z]{2}$"}),
]
Currency = Annotated[
    str,
    Field(min_length=1, max_length=16, description="A code of `GET /v1/assets`, such as `EUR`."),
]
CurrencyFilter = Annotated[str, StringConstraints(pattern=CURRENCY_CODE)]
# Digits and size depend on the currency, so the form is checked with it, in `node.api.money`.
Amount = Annotated[
    str,
    Field(
        max_length=128,
        description="Decimal string, at most the currency's digits and 38 in all; no sign,"
        " exponent or space.",
        json_schema_extra={"pattern": AMOUNT},
    ),
]
Rate = Annotated[str, StringConstraints(pattern=RATE)]
PersonName = Annotated[str, StringConstraints(min_length=1, max_length=140, pattern=WORDS)]
Email = Annotated[str, StringConstraints(max_length=254, pattern=EMAIL)]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=WORDS)]
Note = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=WORDS)]
Text = Annotated[str, StringConstraints(max_length=128, pattern=NO_CONTROL)]
Id = Annotated[str, StringConstraints(max_length=64, pattern=NO_CONTROL)]


class CustomerBody(Body):
    """A new customer."""

    name: PersonName
    country: Country
    email: Email | None = None


class TopUpBody(Body):
    """Money that arrived."""

    currency: Currency
    amount: Amount
    rail: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=WORDS)]
    reference: Annotated[str, StringConstraints(min_length=1, max_length=140, pattern=WORDS)]


class QuoteSide(Body):
    """What is sold or bought; the amount on exactly one side."""

    currency: Currency
    amount: Amount | None = None


class Payout(Body):
    """How the beneficiary is paid."""

    method: Literal["onchain", "bank", "partner"] = "onchain"
    partner: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=WORDS)] | None,
        Field(description="Of method `partner`: which one pays out; null: any that can."),
    ] = None


class QuoteBody(Body):
    """A firm quote is asked for."""

    sell: QuoteSide
    buy: QuoteSide
    payout: Payout = Payout()
    ttl_s: Annotated[
        int | None,
        Field(ge=1, le=QUOTE_TTL_S_MAX, description="Seconds it is kept; the node's own default."),
    ] = None
    customer_id: Annotated[
        Id | None, Field(description="Only this customer's transfer consumes it.")
    ] = None

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if (self.sell.amount is None) == (self.buy.amount is None):
            raise PydanticCustomError(
                "one_amount", "give the amount on exactly one side, sell or buy"
            )
        return self


class BeneficiaryBody(Body):
    """Who is paid on chain."""

    name: PersonName
    country: Country
    address: Annotated[
        Text, Field(description="0x and 40 hex digits; EIP-55 checksum where mixed case is used.")
    ]


class TransferBeneficiaryBody(Body):
    """Who is paid: at an address on chain, or by a partner at an account."""

    name: PersonName
    country: Country
    address: Annotated[
        Text | None,
        Field(description="0x and 40 hex digits; EIP-55 checksum where mixed case is used."),
    ] = None
    account: Annotated[
        BankAccountBody | None,
        Field(description="Instead of `address`, where the quote's payout method is `partner`."),
    ] = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.address is None) == (self.account is None):
            raise PydanticCustomError("one_place", "give exactly one of `address` and `account`")
        return self


class TransferBody(Body):
    """A transfer on a firm quote."""

    quote_id: Id
    customer_id: Annotated[
        Id | None, Field(description="May be left out by a remitter: it is its own.")
    ] = None
    beneficiary: TransferBeneficiaryBody
    client_reference: Annotated[
        Reference | None, Field(description="Unique per partner, or per customer for a remitter.")
    ] = None
    purpose: Reference | None = None
    refund_policy: Annotated[
        Literal["refund", "correct"] | None,
        Field(
            description="Where a partner pays out, and its rail refuses for good: send the money"
            " back (as without this), or wait for a corrected beneficiary."
        ),
    ] = None


class TransferPayeeBody(Body):
    """Who is paid by a partner."""

    name: PersonName
    country: Country
    account: BankAccountBody


class TransferCorrectionBody(Body):
    """The beneficiary as it should have been."""

    beneficiary: TransferPayeeBody


class PauseBody(Body):
    """Nothing new is to be signed."""

    hard: Annotated[
        bool, Field(description="Also stop fee bumps and pause the contract itself.")
    ] = False
    note: Note | None = None


class ResumeBody(Body):
    """A pause ends."""

    reason: Annotated[PauseReason, Field(strict=False, description="The pause that ends.")] = (
        PauseReason.OPERATOR
    )
    note: Note | None = None


class ConfirmBody(Body):
    """What was shown is to be done."""

    confirm: Literal[True]


class HaltBody(Body):
    """Nothing more is to be quoted."""

    currency: Annotated[
        Currency | None, Field(description="On either side; null: nothing at all is quoted.")
    ]
    note: Note | None = None


class FxResumeBody(Body):
    """Quoting goes on."""

    currency: Annotated[
        Currency | None, Field(description="As it was halted; null ends the halt of everything.")
    ]
    mid_rate: Annotated[
        Rate | None,
        Field(
            description="The mid rate of the currency that was seen and is to be accepted. Where"
            " the node has another, or none, nothing is resumed."
        ),
    ] = None


class MovementBody(Body):
    """A treasury movement."""

    kind: Literal["float_top_up", "lane_gas", "sweep", "rescue"]
    from_: Annotated[Text, Field(alias="from", description="Address that pays.")]
    to: Annotated[Text, Field(description="Address that is paid.")]
    currency: Currency
    amount: Amount


class RuleBody(Body):
    """A treasury rule: below `mark`, fill up to `fill_to`, within `daily_limit`."""

    kind: Literal["float_top_up", "lane_gas"]
    to: Annotated[
        Text | None,
        Field(description="What is filled. Left out: the contract, or every lane that settles."),
    ] = None
    currency: Currency
    mark: Annotated[Amount, Field(description="Below it the rule acts.")]
    fill_to: Annotated[Amount, Field(description="Above `mark`.")]
    daily_limit: Annotated[
        Amount,
        Field(description="Most that it moves within any 86,400 s, to all it fills together."),
    ]


class EntryBody(Body):
    """One entry of a ledger transaction."""

    debit: Annotated[Text, Field(description="Path of the account that is debited.")]
    credit: Annotated[Text, Field(description="Path of the account that is credited.")]
    currency: Currency
    amount: Amount


class ConclusionBody(Body):
    """How a payout ends that its partner does not end."""

    outcome: Annotated[
        Literal["given_back", "paid_out"],
        Field(
            description="`given_back`: the customer has its money again, and the node the loss."
            " `paid_out`: the beneficiary was paid; the partner has what it was paid for."
        ),
    ]
    evidence: Annotated[
        Note,
        Field(description="What shows it outside the node: the reference of a bank's receipt."),
    ]


class ResolveBody(Body):
    """How a break ends: with a ledger transaction of these entries, or, without any, a match.

    A break of a payout that a partner does not end (`B30`, `B32`) may have a conclusion instead.
    """

    reason: Note
    entries: Annotated[tuple[EntryBody, ...], Field(max_length=20, strict=False)] = ()
    conclusion: ConclusionBody | None = None


class AssignBody(Body):
    """Who looks after a break."""

    owner: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=WORDS)] | None,
        Field(description="Name of an operator; `null`: nobody."),
    ]


class WithdrawBody(Body):
    """Why a proposal is not to be."""

    reason: Note


class BookingBody(Body):
    """Entries that an operator books by hand, and why."""

    kind: Annotated[
        BookingKind,
        Field(strict=False, description="What happened; it says which accounts may move."),
    ]
    reason: Note
    break_id: Annotated[Id | None, Field(description="The open break it belongs to.")] = None
    reference: Annotated[
        Reference | None, Field(description="The bank's, for matching its statement.")
    ] = None
    entries: Annotated[tuple[EntryBody, ...], Field(min_length=1, max_length=20, strict=False)]


class PriceQuery(Query):
    """What is to be priced; the amount of exactly one side."""

    sell: Currency
    buy: Currency
    sell_amount: Amount | None = None
    buy_amount: Amount | None = None

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if (self.sell_amount is None) == (self.buy_amount is None):
            raise PydanticCustomError(
                "one_amount", "give exactly one of sell_amount and buy_amount"
            )
        return self


class TransferQuery(PageQuery):
    """Which transfers."""

    status: Status | None = None
    state: State | None = None
    customer_id: Id | None = None
    client_reference: Text | None = None


class EntryQuery(PageQuery):
    """Which entries."""

    currency: CurrencyFilter | None = None


class AsOfQuery(Query):
    """As of when; of what is there now, unless one is given."""

    at: Annotated[
        Moment | None, Field(description="What was booked by then counts; RFC 3339, to the µs.")
    ] = None
    sequence: Annotated[
        int | None, Field(ge=0, le=ROW_ID_MAX, description="What was booked up to it counts.")
    ] = None

    @model_validator(mode="after")
    def _one_point(self) -> Self:
        if self.at is not None and self.sequence is not None:
            raise at_parameter("sequence", "one_point", "give at most one of at and sequence")
        return self

    @property
    def asked(self) -> Asked:
        """The point that is meant."""
        return Asked(self.sequence, self.at)


class StatementQuery(AsOfQuery):
    """Which statement, and in which format."""

    currency: Currency
    from_: Annotated[
        Day | None,
        Field(alias="from", description="First day, UTC; the first of the last day's month."),
    ] = None
    to: Annotated[
        Day | None, Field(description="Last day, UTC, included; today, or that of the point.")
    ] = None
    format: Literal["json", "csv", "camt.053"] = "json"

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.to is not None and self.asked != NEWEST:
            raise at_parameter("to", "one_end", "give at most one of to, at and sequence")
        return self


class AccountQuery(PageQuery):
    """Which accounts."""

    path: Annotated[Text | None, Field(description="Paths that start so.")] = None
    currency: CurrencyFilter | None = None


class PositionQuery(Query):
    """Which days and currency, and in which format."""

    from_: Annotated[
        Day | None, Field(alias="from", description="First day, UTC; that of `to`.")
    ] = None
    to: Annotated[
        Day | None, Field(description="Last day, UTC, included; today. At most 366 days.")
    ] = None
    currency: Annotated[CurrencyFilter | None, Field(description="Only this one; all.")] = None
    format: Literal["json", "csv"] = "json"


class BatchQuery(PageQuery):
    """Which batches."""

    lane: Annotated[
        Annotated[str, StringConstraints(pattern=ADDRESS)] | None,
        Field(description="Address of the key that sends them."),
    ] = None
    state: SlotState | None = None
    purpose: Purpose | None = None


class SpendingQuery(Query):
    """Which period."""

    from_: Annotated[
        Moment | None,
        Field(alias="from", description="What became final from then on; a day before `to`."),
    ] = None
    to: Annotated[
        Moment | None,
        Field(description="What became final before it; now. At most 366 days after `from`."),
    ] = None


class RunQuery(PageQuery):
    """Which runs."""

    status: Literal["running", "completed", "failed"] | None = None


class BreakQuery(PageQuery):
    """Which breaks."""

    status: Annotated[
        Literal["open", "proposed", "resolved"] | None,
        Field(description="Those that are proposed are open as well."),
    ] = None
    code: Text | None = None
    severity: Literal["info", "warning", "critical"] | None = None
    owner: Annotated[Text | None, Field(description="Name of an operator.")] = None


class MovementQuery(PageQuery):
    """Which movements."""

    state: Literal["requested", "submitted", "settled", "failed"] | None = None
    kind: Literal["float_top_up", "lane_gas", "sweep", "rescue", "deposit_sweep"] | None = None


class RuleQuery(PageQuery):
    """Which rules."""

    status: Literal["in_force", "ended"] | None = None


class EventQuery(Query):
    """Which events."""

    after: Annotated[
        int, Field(ge=0, le=ROW_ID_MAX, description="`next_after` of the page before.")
    ] = 0
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT
