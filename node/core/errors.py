"""The error tree: what can go wrong in operation, one class per code.

A family (the classes right below `NodeError`) tells an edge how to answer; `code` tells a program
what happened; `detail` tells a person what to do. HTTP statuses are not here: `node.api.problems`
has the only table.

* NodeError
  x InvalidInput        the request itself is wrong, whatever the state
  x Unauthenticated     nobody known is asking
  x Forbidden           known, but not for this role or scope, not from there, or suspended
  x NotFound            no such object for this principal
  x Conflict            the object is in another state, or taken
  x Refused             understood and declined by a rule of money
  x Throttled           too much at once
  x Unavailable         not now; the same request may work later
* InvariantBroken       our own books are wrong: a bug, caught by nobody
"""

from collections.abc import Mapping
from typing import ClassVar


class NodeError(Exception):
    """An operating error.

    Attributes:
        code: Stable name, part of the public surface.
        title: The code in words, the same for every occurrence.
        retryable: Whether the same request can succeed later without a change.
        detail: One sentence for a person: the fault and the remedy. No personal data.
        context: Members the code promises, such as `available`; JSON values.
    """

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, **context: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.context: Mapping[str, object] = context


class InvariantBroken(AssertionError):
    """The node's own books or rules contradict themselves."""


class InvalidInput(NodeError):
    """Members of the request are wrong (`errors`: pointer, code, message)."""

    code = "invalid_body"
    title = "The request is not valid"


class Unauthenticated(NodeError):
    """No credential, or one that is unknown, expired or revoked."""

    code = "credential_invalid"
    title = "The credential is not valid"


class WebhookUnverified(Unauthenticated):
    """A webhook that came in is not signed by its sender, or was signed at another time."""

    code = "webhook_unverified"
    title = "The webhook is not verified"


class SignatureRequired(Unauthenticated):
    """The partner's requests must be signed (RFC 9421), and this one is not."""

    code = "signature_required"
    title = "The request must be signed"


class SignatureInvalid(Unauthenticated):
    """The request's signature does not hold, or does not cover what it must."""

    code = "signature_invalid"
    title = "The signature is not valid"


class SignatureReplayed(Unauthenticated):
    """A request with this nonce was seen before."""

    code = "signature_replayed"
    title = "The signature was used before"


class Forbidden(NodeError):
    """The principal's role may not do this (`role`), or its key has not the `scope` for it."""

    code = "scope_missing"
    title = "Not allowed for this role or key"


class PartnerSuspended(Forbidden):
    """The partner may look, and nothing else, until an operator resumes it."""

    code = "partner_suspended"
    title = "The partner is suspended"


class NetworkNotAllowed(Forbidden):
    """The key may not be used from the address the request came from."""

    code = "network_not_allowed"
    title = "Not allowed from this network"


class NotFound(NodeError):
    """There is no such object, or it belongs to another."""

    code = "not_found"
    title = "Not found"


class Conflict(NodeError):
    """The object is not in a state that allows this."""

    code = "conflict"
    title = "Conflict"


class Refused(NodeError):
    """A rule of money declines the request."""

    code = "refused"
    title = "Refused"


class Throttled(NodeError):
    """Too much at once."""

    code = "too_many_requests"
    title = "Too many requests"
    retryable = True


class Unavailable(NodeError):
    """Not possible now."""

    code = "unavailable"
    title = "Not available now"
    retryable = True


class AmountInvalid(InvalidInput):
    """Not a decimal string this asset can hold."""

    code = "amount_invalid"
    title = "The amount is not valid"


class CurrencyUnknown(InvalidInput):
    """The node has no asset of this code."""

    code = "currency_unknown"
    title = "The currency is not known"


class PeriodInvalid(InvalidInput):
    """The days asked for end before they begin, are not over, or are too many (`days_max`)."""

    code = "period_invalid"
    title = "The period is not valid"


class InFuture(InvalidInput):
    """What is asked about has not happened yet (`errors`: parameter, code, message)."""

    code = "in_future"
    title = "That has not happened yet"


class CursorInvalid(InvalidInput):
    """The cursor is not of this list with these filters."""

    code = "cursor_invalid"
    title = "The cursor is not valid"


class QuoteUsed(Conflict):
    """Another transfer consumed the quote (`transfer_id`)."""

    code = "quote_used"
    title = "The quote is used"


class QuoteExpired(Conflict):
    """The quote's `expires_at` has passed."""

    code = "quote_expired"
    title = "The quote has expired"


class QuoteRevoked(Conflict):
    """The quote was open when quoting of its currency was halted (`reason`)."""

    code = "quote_revoked"
    title = "The quote was revoked"


class ClientReferenceUsed(Conflict):
    """Another transfer of this owner has the reference (`transfer_id`)."""

    code = "client_reference_used"
    title = "The client reference is used"


class ReferenceUsed(Conflict):
    """This rail's reference was booked before (`top_up_id`)."""

    code = "reference_used"
    title = "The top-up reference is used"


class RequestReferenceUsed(Conflict):
    """Another payment request of this owner has the reference (`payment_request_id`)."""

    code = "request_reference_used"
    title = "The payment request's reference is used"


class ContractRegistered(Conflict):
    """The settlement contract is registered for a partner already."""

    code = "contract_registered"
    title = "The contract is registered"


class CancelTooLate(Conflict):
    """The transfer is written into a batch or has ended."""

    code = "cancel_too_late"
    title = "Too late to cancel"


class WrongState(Conflict):
    """The object's state does not accept this event. Nothing changed."""

    code = "wrong_state"
    title = "Not possible in this state"


class SecondPersonNeeded(Conflict):
    """Two persons decide this, and who asks is the first (`made_by`). Nothing was booked."""

    code = "second_person_needed"
    title = "A second person is needed"


class NumberUsed(Conflict):
    """The contract has used the transfer's payment number (`tx_hash`, `block_number`)."""

    code = "number_used"
    title = "The payment number is used"


class NameTaken(Conflict):
    """An object of this name exists."""

    code = "name_taken"
    title = "The name is taken"


class TooManyKeys(Conflict):
    """Two keys of this name work already: one to use, one to change to (`limit`)."""

    code = "too_many_keys"
    title = "Too many keys of this name"


class AddressInvalid(Refused):
    """The beneficiary address cannot be paid."""

    code = "address_invalid"
    title = "The address is not valid"


class InsufficientFunds(Refused):
    """The available balance is too small (`available`)."""

    code = "insufficient_funds"
    title = "Insufficient funds"


class AmountOutOfRange(Refused):
    """Outside the corridor's limits (`min`, `max`), or rounds to nothing."""

    code = "amount_out_of_range"
    title = "The amount is out of range"


class LimitExceeded(Refused):
    """More than the partner may sell (`limit`, `remaining`, `resets_at`)."""

    code = "limit_exceeded"
    title = "The partner's limit is exceeded"


class CreditLineUsed(Refused):
    """The partner uses more credit than the new line would allow (`used`)."""

    code = "credit_line_used"
    title = "The credit line is in use"


class PairNotOffered(Refused):
    """No corridor sells and buys these."""

    code = "pair_not_offered"
    title = "The pair is not offered"


class DepositsNotOffered(Refused):
    """The node has no contract that makes deposit addresses."""

    code = "deposits_not_offered"
    title = "Deposits are not offered"


class PayoutsNotOffered(Refused):
    """The node pays nothing out for this partner, or not on this quote."""

    code = "payouts_not_offered"
    title = "Payouts are not offered"


class RailUnknown(Refused):
    """The node has no such rail, or not for this principal."""

    code = "rail_unknown"
    title = "The rail is not offered"


class BeneficiaryRefused(Refused):
    """The partner, or the rail, refuses this beneficiary (`reason`). The quote stays active."""

    code = "beneficiary_refused"
    title = "The beneficiary is refused"


class PostingKeyReused(Refused):
    """The key of a ledger transaction was used for another one. Nothing was booked."""

    code = "posting_key_reused"
    title = "The key of the ledger transaction is used"


class FormatUnfit(Refused):
    """The format asked for cannot carry what would be in it."""

    code = "format_unfit"
    title = "The format does not fit"


class StatementTooLarge(Refused):
    """The statement would have more lines than one answer carries (`limit`)."""

    code = "statement_too_large"
    title = "The statement is too large"


class RateLimited(Throttled):
    """More requests than the key, or the address, may send (`retry_after_s`)."""

    code = "rate_limited"
    title = "Too many requests"


class TooManyQuotes(Throttled):
    """The maker holds as many active quotes as allowed (`limit`, `remaining`, `resets_at`)."""

    code = "too_many_quotes"
    title = "Too many active quotes"


class TooManyPaymentRequests(Throttled):
    """As many payment requests of the owner as allowed are not paid (`limit`)."""

    code = "too_many_payment_requests"
    title = "Too many unpaid payment requests"


class RateUnavailable(Unavailable):
    """Sources are missing, too old or disagree: never a number."""

    code = "rate_unavailable"
    title = "No rate now"


class QuotingHalted(Unavailable):
    """Nothing is quoted in this currency until an operator resumes (`currency`, `reason`)."""

    code = "quoting_halted"
    title = "Quoting is halted"


class ExposureLimitReached(Unavailable):
    """Open quotes of this currency sum up to what they may (`limit`, `remaining`, `resets_at`)."""

    code = "exposure_limit_reached"
    title = "Too much is quoted already"


class LiquidityUnavailable(Unavailable):
    """The node's stablecoin is promised to others."""

    code = "liquidity_unavailable"
    title = "No liquidity now"


class SettlementRecovering(Unavailable):
    """An operator must adopt a lane, or accept a reorg past finality, before anything else."""

    code = "settlement_recovering"
    title = "Settlement is recovering"


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""

    code = "database_unavailable"
    title = "The database is away"


class CommitUnknown(DatabaseUnavailable):
    """The connection was lost during COMMIT: what was written may stand, or not.

    Who takes the ledger's lock in a new transaction and looks the keys up knows which: the lost
    transaction holds that lock until it has ended, one way or the other.
    """


class Overloaded(Unavailable):
    """More requests wait than the node can answer soon. Nothing was done."""

    code = "overloaded"
    title = "Too busy"


class ChainUnavailable(Unavailable):
    """No provider of the chain answers."""

    code = "chain_unavailable"
    title = "The chain is away"


class SignerUnavailable(Unavailable):
    """The key of a lane cannot be used now."""

    code = "signer_unavailable"
    title = "The signer is away"
