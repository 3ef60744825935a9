"""What a node answers, as TypedDicts.

Made by `scripts/client_types.py`; not to be edited.
"""

from typing import Any, Generic, TypedDict, TypeVar

T = TypeVar("T")


class MoneyView(TypedDict):
    """An exact amount: a decimal string with exactly the currency's digits."""

    currency: str
    amount: str


class FeeView(TypedDict):
    """One fee, in the sell currency."""

    type: str
    currency: str
    amount: str


class PriceCostView(TypedDict):
    """Everything the sender pays above the mid rate."""

    currency: str
    amount: str
    percent: str


class RateSourceView(TypedDict):
    """A rate as its source states it: `rate` buy units per one sell unit."""

    name: str
    sell: str
    buy: str
    rate: str
    observed_at: str
    stale: bool


class PayoutView(TypedDict):
    """How and how soon the beneficiary is paid."""

    method: str
    estimated_delivery_s: int


class LegView(TypedDict):
    """One exchange of a quote that has two; `partner` made the second, by a quote of its own."""

    partner: str | None
    quote_id: str | None
    sell: MoneyView
    buy: MoneyView
    mid_rate: str
    spread_bps: int
    fees: list[FeeView]


class QuoteView(TypedDict):
    """A firm quote; `status` is active, consumed, expired or revoked (`revoked_reason`)."""

    firm: bool
    fixed_side: str
    sell: MoneyView
    buy: MoneyView
    rate: str
    mid_rate: str
    spread_bps: int
    fees: list[FeeView]
    total_cost: PriceCostView
    rate_sources: list[RateSourceView]
    payout: PayoutView
    id: str
    status: str
    revoked_reason: str | None
    customer_id: str | None
    transfer_id: str | None
    payout_id: str | None
    legs: list[LegView]
    created_at: str
    expires_at: str


class WaitingView(TypedDict):
    """Why a transfer cannot be batched now."""

    code: str
    since: str


class AccountView(TypedDict):
    """An account at a bank; only the end of `number` is shown."""

    type: str
    number: str
    bank_code: str


class BeneficiaryView(TypedDict):
    """Who is paid; where a partner pays out, `account`, and `address` is the partner's."""

    name: str
    country: str
    address: str
    account: AccountView | None


class OnchainView(TypedDict):
    """Where a transfer is on the chain."""

    chain_id: int
    contract: str
    token: str
    payment_number: int
    tx_hash: str | None
    block_number: int | None
    confirmations: int
    final: bool


class PayeeView(TypedDict):
    """Whom a partner was told to pay."""

    name: str
    country: str
    account: AccountView | None


class PartnerPayoutView(TypedDict):
    """What the partner makes of a transfer that it pays out.

    `payout_id` and `reference` are its own, `paid` is what it gets on chain, and `told` what it
    told last: awaiting, working, stuck, undeliverable, paid_out, refunded or expired.
    `refund_policy` says what follows where its rail refuses, and `corrected` whom it was told to
    pay instead of the transfer's beneficiary after that.
    """

    partner: str
    payout_id: str
    reference: str
    paid: MoneyView
    told: str | None
    pay_by: str
    refund_policy: str
    corrected: PayeeView | None


class FailureView(TypedDict):
    """Why a transfer did not pay: its money is back, or it is on hold."""

    code: str
    message: str


class TransferView(TypedDict):
    """A transfer: `status` is the stable word, `state` the precise one."""

    id: str
    status: str
    state: str
    waiting: WaitingView | None
    quote_id: str
    customer_id: str
    sell: MoneyView
    buy: MoneyView
    fees: list[FeeView]
    beneficiary: BeneficiaryView
    client_reference: str | None
    purpose: str | None
    created_at: str
    settle_by: str
    cancellable: bool
    settlement: OnchainView
    payout: PartnerPayoutView | None
    failure: FailureView | None


class PageView(TypedDict, Generic[T]):
    """One page of a list, newest first."""

    data: list[T]
    next_cursor: str | None


class TimelineView(TypedDict):
    """One line of a transfer's timeline; `sequence` from 1."""

    sequence: int
    type: str
    state: str
    status: str
    occurred_at: str
    detail: dict[str, Any]


class ListView(TypedDict, Generic[T]):
    """A list that is shown whole."""

    data: list[T]


class EventView(TypedDict):
    """One event; `sequence` rises, with gaps, and `object_sequence` within its object from 1."""

    sequence: int
    object_sequence: int
    type: str
    object: str
    object_id: str
    state: str
    status: str
    occurred_at: str
    detail: dict[str, Any]


class EventsView(TypedDict):
    """Events, ascending; ask again with `after` = `next_after`."""

    data: list[EventView]
    next_after: int


class RowCountsView(TypedDict):
    """How many rows, and what of them came."""

    total: int
    pending: int
    accepted: int
    rejected: int


class BulkView(TypedDict):
    """A bulk transfer: a file whose rows become transfers.

    `status` is `processing` while rows are pending, `completed` when each is accepted or rejected,
    `rejected` where all or nothing was asked for and it was nothing.
    """

    id: str
    status: str
    mode: str
    format: str
    message_id: str | None
    rows: RowCountsView
    waiting: WaitingView | None
    accept_by: str
    created_at: str
    completed_at: str | None


class TransferCountsView(TypedDict):
    """Where the transfers of accepted rows are; `failed` ones paid nothing."""

    processing: int
    completed: int
    failed: int


class PairSumView(TypedDict):
    """What accepted rows of a pair come to, and what of it is paid."""

    count: int
    sell: MoneyView
    buy: MoneyView
    completed_buy: MoneyView


class BulkProgressView(TypedDict):
    """A bulk transfer with where its transfers are."""

    id: str
    status: str
    mode: str
    format: str
    message_id: str | None
    rows: RowCountsView
    waiting: WaitingView | None
    accept_by: str
    created_at: str
    completed_at: str | None
    transfers: TransferCountsView
    sums: list[PairSumView]


class RowTransferView(TypedDict):
    """The transfer of a row; `buy` is what the beneficiary gets."""

    id: str
    status: str
    state: str
    sell: MoneyView
    buy: MoneyView
    failure: FailureView | None


class RowErrorView(TypedDict):
    """What is wrong with a row; `pointer` leads into the row as JSON has it."""

    pointer: str
    code: str
    message: str


class BulkRowView(TypedDict):
    """A row: `line` of the file (of pain.001 the place of the transaction), from 1.

    `repeated`: the transfer was there before, ordered by an equal row or request.
    """

    line: int
    client_reference: str | None
    status: str
    repeated: bool
    transfer: RowTransferView | None
    errors: list[RowErrorView]


class BulkRowsView(TypedDict):
    """Rows, ascending; ask again with `after` = `next_after`."""

    data: list[BulkRowView]
    next_after: int


class BulkReportView(TypedDict):
    """All of a bulk transfer."""

    bulk_transfer: BulkProgressView
    rows: list[BulkRowView]


class CustomerView(TypedDict):
    """A customer."""

    id: str
    name: str
    country: str
    email: str | None
    created_at: str


class TokenView(TypedDict):
    """A remitter's credential; `token` is shown this once."""

    key_id: str
    customer_id: str
    token: str
    created_at: str


class BalanceView(TypedDict):
    """What a customer has: `available` may be spent, `reserved` is held by open transfers."""

    currency: str
    available: str
    reserved: str


class AsOfView(TypedDict):
    """Up to where the ledger counts: everything up to `sequence`, which was booked at `booked_at`.

    The same question as of the same sequence is answered the same for ever.
    """

    sequence: int
    booked_at: str | None


class AsOfListView(TypedDict, Generic[T]):
    """A list that is shown whole, as of one point of the ledger."""

    data: list[T]
    as_of: AsOfView


class MovementLineView(TypedDict):
    """One line of a statement: `direction` in or out, `balance` after it.

    `kind` is what it belongs to (`top_up`, `transfer`, `correction`); `part` what it is there:
    `deposit` (money came in), `exchange` (what is changed at the mid rate), `spread`, `fees`,
    `other`.
    """

    id: str
    sequence: int
    kind: str
    part: str
    direction: str
    currency: str
    amount: str
    balance: str | None
    transfer_id: str | None
    detail: dict[str, str]
    occurred_at: str


class TopUpView(TypedDict):
    """Money that arrived."""

    id: str
    customer_id: str
    currency: str
    amount: str
    rail: str
    reference: str
    funded_by: str
    created_at: str


class PartnerKeyDocument(TypedDict):
    """A bearer key; `status` is active, expired or revoked. `networks`: none, from anywhere."""

    id: str
    name: str
    scopes: list[str]
    networks: list[str]
    status: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class PartnerLimitDocument(TypedDict):
    """What a partner may do in one currency; `null`: no limit of its own."""

    currency: str
    credit_line: str
    sell_max: str | None
    daily_sell_max: str | None


class PartnerDocument(TypedDict):
    """An institution, and what is agreed with it.

    `status` is active or suspended. `spread_bps` is null where the corridor's own counts.
    """

    id: str
    name: str
    country: str | None
    status: str
    requires_signature: bool
    spread_bps: int | None
    limits: list[PartnerLimitDocument]
    created_at: str


class MeDocument(TypedDict):
    """Whom the key stands for. `partner` is that of the customer, where it is a customer's."""

    role: str
    name: str
    partner_id: str | None
    customer_id: str | None
    key: PartnerKeyDocument
    partner: PartnerDocument | None


class PartnerBalanceDocument(TypedDict):
    """A partner's own money in one currency.

    `available` can be spent: what it paid in and has left, and what is left of its credit line.
    """

    currency: str
    available: str
    reserved: str
    prefunded: str
    credit_line: str
    credit_used: str


class PrefundingDocument(TypedDict):
    """Money that arrived for a partner's own balance."""

    id: str
    partner_id: str
    currency: str
    amount: str
    rail: str
    reference: str
    created_at: str


class NewPartnerKeyDocument(TypedDict):
    """A key with its secret `token`, which is shown this once."""

    id: str
    name: str
    scopes: list[str]
    networks: list[str]
    status: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    token: str


class SigningKeyDocument(TypedDict):
    """A public key (ed25519, base64); its `id` is the `keyid` of signatures."""

    id: str
    name: str
    partner_id: str
    public_key: str
    status: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class DepositAddressDocument(TypedDict):
    """Where tokens can be sent to: whatever arrives is its owner's once it is final.

    Only `token`, on the chain `chain_id`. One of `customer_id` and `partner_id` is null.
    """

    address: str
    chain_id: int
    currency: str
    token: str
    customer_id: str | None
    partner_id: str | None
    created_at: str


class OtherTokenDocument(TypedDict):
    """A Transfer of another token to the address. It pays nothing; `raw_amount` is its log's."""

    token: str
    raw_amount: str
    tx_hash: str
    block_number: int
    log_index: int


class PaymentRequestDocument(TypedDict):
    """What an owner asked to be paid. Its address is its reference on the chain.

    `status` is awaiting, paid, expired or accepted; an expired one becomes paid by a deposit within
    the grace. `flags`: short, tolerated, overpaid, paid_late, too_late, duplicate, too_large.
    `received` is what came; `held` is what of it waits for the rest, or for a person; `surplus` is
    what the deposit that paid it brought above `amount`. `other_tokens` is null in lists.
    """

    id: str
    status: str
    flags: list[str]
    customer_id: str | None
    partner_id: str | None
    reference: str
    currency: str
    amount: str
    received: str
    held: str
    surplus: str
    address: str
    chain_id: int
    token: str
    created_at: str
    expires_at: str
    other_tokens: list[OtherTokenDocument] | None


class DepositDocument(TypedDict):
    """A final transfer of the token to an address of the node.

    `status` is credited (its owner has it), held, unbooked (no entry can hold so much), resolved
    (operators gave it to no owner: it is the node's, or was sent back) or orphaned (its block was
    replaced). `from_address` means nothing: whose it is follows from `to_address`, which is null,
    as `payment_request_id` is, where an operator gave you what came to another's address.
    `ledger_sequence` brought it in, `credited_sequence` took it out of suspense.
    """

    id: str
    status: str
    flags: list[str]
    customer_id: str | None
    partner_id: str | None
    payment_request_id: str | None
    currency: str
    amount: str
    from_address: str
    to_address: str | None
    chain_id: int
    tx_hash: str
    log_index: int
    block_number: int
    block_hash: str
    mined_at: str
    ledger_sequence: int | None
    credited_sequence: int | None
    break_id: str | None
    created_at: str


class PartnerContractDocument(TypedDict):
    """A settlement contract that a partner pays out of.

    Money of payouts goes back to `address` or to `refund_address`, and nowhere else.
    """

    partner_id: str
    chain_id: int
    address: str
    refund_address: str | None
    registered_by: str
    created_at: str


class PayoutDepositDocument(TypedDict):
    """Where and how much the partner pays on chain, in one Transfer or several.

    `amount` of `currency`, the token `token`, in blocks mined until `pay_by`.
    """

    chain_id: int
    token: str
    address: str
    currency: str
    amount: str
    pay_by: str


class PayoutAccountDocument(TypedDict):
    """An account at a bank; only the end of `number` is shown."""

    type: str
    number: str
    bank_code: str


class PayoutPersonDocument(TypedDict):
    """Who is paid. Names and account numbers are masked in every answer."""

    type: str
    name: str
    country: str
    account: PayoutAccountDocument | None


class MatchedDocument(TypedDict):
    """The deposit that paid, with the payment number of the `Settled` right after it."""

    deposit_id: str
    tx_hash: str
    block_number: int
    log_index: int
    contract: str
    settlement_number: int
    amount: str


class PayoutRailDocument(TypedDict):
    """The bank that pays, and which order this is, from 1; a correction makes the next."""

    name: str
    order_id: str
    attempt: int


class RefundDocument(TypedDict):
    """Money of a payout on its way back on chain.

    `status` is pending (set aside), sent (a transfer pays it), completed (final) or failed (the
    partner's balance has it). `reason` is short, late, refused or asked. `contract` and
    `payment_number` are of the `Settled` that pays it, `tx_hash` and `block_number` where it is.
    """

    id: str
    payout_id: str
    partner_id: str
    status: str
    reason: str
    currency: str
    amount: str
    address: str
    transfer_id: str | None
    contract: str | None
    payment_number: int | None
    tx_hash: str | None
    block_number: int | None
    failure: FailureView | None
    created_at: str


class PayoutDocument(TypedDict):
    """A payout for a partner: `status` is the stable word (SEP-31), `state` the precise one.

    pending_sender: awaiting_payment. pending_receiver: matched, or refunding. pending_external:
    ordered. pending_customer_info_update: refused. completed: paid_out. refunded, expired: as
    they say. error: on_hold. `flags`: paid_late, overpaid, short, too_late, returned.
    `received` is what came in final blocks.
    """

    id: str
    status: str
    state: str
    flags: list[str]
    partner_id: str
    quote_id: str
    client_reference: str
    reference: str
    sell: MoneyView
    buy: MoneyView
    fees: list[FeeView]
    deposit: PayoutDepositDocument
    received: str
    beneficiary: PayoutPersonDocument
    purpose: str | None
    refund_policy: str
    refund_address: str
    matched: MatchedDocument | None
    rail: PayoutRailDocument
    refund: RefundDocument | None
    failure: FailureView | None
    created_at: str
    updated_at: str


class ShownEndpointDocument(TypedDict):
    """An endpoint with its new `secret` (`whsec_` and base64), which is shown this once."""

    id: str
    partner_id: str | None
    url: str
    events: list[str]
    status: str
    disabled_reason: str | None
    public_key: str
    previous_until: str | None
    after_sequence: int
    failing_since: str | None
    disabled_at: str | None
    missed_after: int | None
    created_at: str
    secret: str


class WebhookEndpointDocument(TypedDict):
    """Where events are sent to.

    `events` are objects or types; empty: all. `partner_id` is null of an operator's, which gets
    the events of everybody. `public_key` checks signatures `v1a` (`whpk_` and base64 of an Ed25519
    key). Until `previous_until` the secret and the key before the newest sign as well.
    `after_sequence`: events up to it were not sent by themselves. `failing_since`: every attempt
    since then has failed; after 75 h 35 min of that the endpoint is disabled. `disabled_at` and
    `disabled_reason`: since when and why it is disabled; after the newest time not every event
    after `missed_after` was delivered, which is what `redeliver-since` takes, once it is enabled.
    """

    id: str
    partner_id: str | None
    url: str
    events: list[str]
    status: str
    disabled_reason: str | None
    public_key: str
    previous_until: str | None
    after_sequence: int
    failing_since: str | None
    disabled_at: str | None
    missed_after: int | None
    created_at: str


class DeliveryDocument(TypedDict):
    """An event on its way to an endpoint.

    `id` is the header `webhook-id` of every attempt. `status` is pending, delivered, dead (every
    attempt failed, or the receiver answered 410) or canceled (the endpoint was disabled).
    `event_sequence`, `object` and `object_id` are null of a test. `last_status` is that of the
    newest answer; without one `last_error` says why.
    """

    id: str
    endpoint_id: str
    event_sequence: int | None
    type: str
    object: str | None
    object_id: str | None
    status: str
    attempts: int
    next_attempt_at: str | None
    last_status: int | None
    last_error: str | None
    delivered_at: str | None
    created_at: str


class AttemptDocument(TypedDict):
    """One line of a delivery's log. `answer` is the beginning of what the receiver answered."""

    attempt: int
    at: str
    status: int | None
    error: str | None
    duration_ms: int
    answer: str


class DeliveryWithLogDocument(TypedDict):
    """A delivery with its log, oldest attempt first."""

    id: str
    endpoint_id: str
    event_sequence: int | None
    type: str
    object: str | None
    object_id: str | None
    status: str
    attempts: int
    next_attempt_at: str | None
    last_status: int | None
    last_error: str | None
    delivered_at: str | None
    created_at: str
    log: list[AttemptDocument]


class RedeliveredDocument(TypedDict):
    """How many events are sent again; `next_after` continues, null: these were all."""

    count: int
    next_after: int | None


class StatementLineView(TypedDict):
    """A line of a statement, as of the entries; with what the transfer says of itself.

    `posted_sequence` is where it began to count, and `occurred_at` when.
    """

    id: str
    sequence: int
    kind: str
    part: str
    direction: str
    currency: str
    amount: str
    balance: str | None
    transfer_id: str | None
    detail: dict[str, str]
    occurred_at: str
    posted_sequence: int
    client_reference: str | None
    beneficiary_name: str | None


class SumView(TypedDict):
    """So many lines, and their sum."""

    count: int
    amount: str


TotalsView = TypedDict("TotalsView", {"in": SumView, "out": SumView})
""""""


StatementView = TypedDict(
    "StatementView",
    {
        "currency": str,
        "from": str,
        "to": str,
        "is_complete": bool,
        "as_of": AsOfView,
        "opening": str,
        "lines": list[StatementLineView],
        "closing": str,
        "totals": TotalsView,
        "created_at": str,
        "customer_id": str,
    },
)
"""What moved a customer's balance of one currency, oldest first.

`opening` and the lines come to `closing`. Days are those of UTC, both included; `is_complete`
says that the statement reaches to the end of the last one, and `closing` is then the opening of
the next day. Nothing after `as_of` is in it. Balances are posted ones: what open transfers hold
is still in them.
"""


PartnerStatementView = TypedDict(
    "PartnerStatementView",
    {
        "currency": str,
        "from": str,
        "to": str,
        "is_complete": bool,
        "as_of": AsOfView,
        "opening": str,
        "lines": list[StatementLineView],
        "closing": str,
        "totals": TotalsView,
        "created_at": str,
        "partner_id": str,
    },
)
"""What moved a partner's own balance of one currency. See `StatementView`."""


class ReportCostView(TypedDict):
    """What a transfer cost: `sell` is the fees, the spread and what was exchanged at `mid_rate`.

    All but `buy` in the sell currency, to the minor unit as booked.
    """

    transfer_id: str
    customer_id: str
    client_reference: str | None
    status: str
    sell: MoneyView
    service_fee: MoneyView
    network_fee: MoneyView
    spread: MoneyView
    mid_rate: str
    spread_bps: int
    buy: MoneyView
    created_at: str


class CostTotalView(TypedDict):
    """What the completed transfers of a pair come to."""

    count: int
    sell: MoneyView
    service_fees: MoneyView
    network_fees: MoneyView
    spread: MoneyView
    buy: MoneyView


CostReportView = TypedDict(
    "CostReportView",
    {
        "from": str,
        "to": str,
        "is_complete": bool,
        "data": list[ReportCostView],
        "totals": list[CostTotalView],
        "created_at": str,
    },
)
""""""


class PayoutLineView(TypedDict):
    """A payout with its proof: the contract's payment number in a block of the chain."""

    transfer_id: str
    customer_id: str
    client_reference: str | None
    state: str
    completed_at: str
    chain_id: int
    contract: str
    payment_number: int
    tx_hash: str | None
    block_number: int | None
    batch_id: str | None
    beneficiary: str
    amount: MoneyView


SettlementReportView = TypedDict(
    "SettlementReportView",
    {
        "from": str,
        "to": str,
        "is_complete": bool,
        "data": list[PayoutLineView],
        "totals": list[MoneyView],
        "created_at": str,
    },
)
""""""


class AssetView(TypedDict):
    """Something amounts are of; `kind` is fiat, token or native."""

    code: str
    name: str
    digits: int
    kind: str
    chain_id: int | None
    address: str | None


class CorridorView(TypedDict):
    """A pair that can be exchanged, with all it costs."""

    sell: str
    buy: str
    payout: dict[str, Any]
    service_fee_bps: int
    service_fee_min: MoneyView
    network_fee: MoneyView
    spread_bps: int
    sell_min: MoneyView
    sell_max: MoneyView


class PriceView(TypedDict):
    """An indicative price; nothing is promised."""

    firm: bool
    fixed_side: str
    sell: MoneyView
    buy: MoneyView
    rate: str
    mid_rate: str
    spread_bps: int
    fees: list[FeeView]
    total_cost: PriceCostView
    rate_sources: list[RateSourceView]
    payout: PayoutView


class AliveView(TypedDict):
    """The process answers."""

    status: str


class CheckView(TypedDict):
    """One thing that must hold, and what was seen."""

    name: str
    ok: bool
    detail: str


class ReadyView(TypedDict):
    """The node can do its work."""

    status: str
    checks: list[CheckView]
