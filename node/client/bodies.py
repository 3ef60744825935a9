"""What is sent to a node, as TypedDicts.

Made by `scripts/client_types.py`; not to be edited.
"""

from typing import Literal, NotRequired, TypedDict


class QuoteSide(TypedDict):
    """What is sold or bought; the amount on exactly one side."""

    currency: str
    amount: NotRequired[str | None]


class Payout(TypedDict):
    """How the beneficiary is paid."""

    method: NotRequired[Literal["onchain", "bank", "partner"]]
    partner: NotRequired[str | None]


class QuoteBody(TypedDict):
    """A firm quote is asked for."""

    sell: QuoteSide
    buy: QuoteSide
    payout: NotRequired[Payout]
    ttl_s: NotRequired[int | None]
    customer_id: NotRequired[str | None]


class BankAccountBody(TypedDict):
    """Where a beneficiary is paid."""

    type: NotRequired[Literal["bank"]]
    number: str
    bank_code: str


class TransferBeneficiaryBody(TypedDict):
    """Who is paid: at an address on chain, or by a partner at an account."""

    name: str
    country: str
    address: NotRequired[str | None]
    account: NotRequired[BankAccountBody | None]


class TransferBody(TypedDict):
    """A transfer on a firm quote."""

    quote_id: str
    customer_id: NotRequired[str | None]
    beneficiary: TransferBeneficiaryBody
    client_reference: NotRequired[str | None]
    purpose: NotRequired[str | None]
    refund_policy: NotRequired[Literal["refund", "correct"] | None]


class TransferPayeeBody(TypedDict):
    """Who is paid by a partner."""

    name: str
    country: str
    account: BankAccountBody


class TransferCorrectionBody(TypedDict):
    """The beneficiary as it should have been."""

    beneficiary: TransferPayeeBody


class CustomerBody(TypedDict):
    """A new customer."""

    name: str
    country: str
    email: NotRequired[str | None]


class TopUpBody(TypedDict):
    """Money that arrived."""

    currency: str
    amount: str
    rail: str
    reference: str


class KeyBody(TypedDict):
    """A new key of a partner."""

    name: str
    scopes: list[Literal["read", "quote", "pay", "refund", "admin"]]
    expires_in_s: NotRequired[int | None]
    networks: NotRequired[list[str]]


class SigningKeyBody(TypedDict):
    """A public key by which requests are signed."""

    name: str
    public_key: str
    expires_in_s: NotRequired[int | None]


class PaymentRequestBody(TypedDict):
    """What an owner asks to be paid."""

    currency: str
    amount: str
    reference: str
    expires_in_s: NotRequired[int | None]


class PayeeBody(TypedDict):
    """Who is paid, and where."""

    type: NotRequired[Literal["natural", "legal"]]
    name: str
    country: str
    address: NotRequired[str | None]
    date_of_birth: NotRequired[str | None]
    national_id: NotRequired[str | None]
    account: BankAccountBody


class PersonBody(TypedDict):
    """Who pays: what IVMS101 asks of a natural or a legal person."""

    type: NotRequired[Literal["natural", "legal"]]
    name: str
    country: str
    address: NotRequired[str | None]
    date_of_birth: NotRequired[str | None]
    national_id: NotRequired[str | None]


class PayoutBody(TypedDict):
    """A payout on a firm quote with payout method `bank`."""

    quote_id: str
    client_reference: str
    beneficiary: PayeeBody
    originator: NotRequired[PersonBody | None]
    refund_policy: NotRequired[Literal["refund", "correct"]]
    refund_address: str
    purpose: NotRequired[str | None]


class PayoutRefundBody(TypedDict):
    """Why the money is to go back."""

    reason: NotRequired[str | None]


class PayoutCorrectionBody(TypedDict):
    """The beneficiary as it should have been."""

    beneficiary: PayeeBody


class WebhookEndpointBody(TypedDict):
    """Where events are sent to, and which."""

    url: str
    events: NotRequired[list[str]]
    partner_id: NotRequired[str | None]


class RotationBody(TypedDict):
    """How long the secret before the new one is used as well."""

    keep_previous_s: NotRequired[int]


class RedeliverBody(TypedDict):
    """From where on events are sent again."""

    after: int
