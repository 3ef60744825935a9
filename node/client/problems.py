"""Problems that a node answers, by their code.

Made by `scripts/client_types.py`; not to be edited.
"""

from node.client.errors import Problem


class Refused(Problem):
    """Refused.

    A rule of the node declines the request; `detail` says which.
    """

    code = "refused"


class AddressInvalid(Refused):
    """The address is not valid.

    The beneficiary address cannot be paid: its checksum is wrong (EIP-55), or it is zero, the
    token's or the node's own.
    """

    code = "address_invalid"


class AmountOutOfRange(Refused):
    """The amount is out of range.

    The amount is outside the corridor's limits (`min`, `max`) or rounds to nothing.
    """

    code = "amount_out_of_range"


class BeneficiaryRefused(Refused):
    """The beneficiary is refused.

    The beneficiary will not be paid, for the reason `reason`. Nothing was registered, and the quote
    stays active.
    """

    code = "beneficiary_refused"


class BodyTooLarge(Problem):
    """The body is too large.

    The body is above `limit_bytes` bytes. Nothing was done.
    """

    code = "body_too_large"


class InvalidInput(Problem):
    """The request is not valid.

    Members of the body are wrong. `errors` lists each with a JSON pointer (RFC 6901), a code and a
    message.
    """

    code = "invalid_body"


class BulkFileInvalid(InvalidInput):
    """The file cannot be read.

    The file of a bulk transfer cannot be read as a whole: `detail` says why, `line` where. Nothing
    was stored. Faults of single rows are told in its rows.
    """

    code = "bulk_file_invalid"


class Conflict(Problem):
    """Conflict.

    The object changed meanwhile. Look at it again, then decide.
    """

    code = "conflict"


class CancelTooLate(Conflict):
    """Too late to cancel.

    The transfer is being paid or has ended, so it cannot be canceled.
    """

    code = "cancel_too_late"


class Unavailable(Problem):
    """Not available now.

    Not possible now. Send the same request again later.
    """

    code = "unavailable"


class ChainUnavailable(Unavailable):
    """The chain is away.

    No provider of the chain answers. Send the same request again later.
    """

    code = "chain_unavailable"


class ClientReferenceUsed(Conflict):
    """The client reference is used.

    A transfer (`transfer_id`) or payout (`payout_id`) with this `client_reference` exists. It may
    be the one you wanted.
    """

    code = "client_reference_used"


class Unauthenticated(Problem):
    """The credential is not valid.

    The key is unknown, expired or revoked. Make another, or check that it belongs to this node.
    """

    code = "credential_invalid"


class CredentialMissing(Unauthenticated):
    """A credential is needed.

    Send `Authorization: Bearer <key>`.
    """

    code = "credential_missing"


class CursorInvalid(InvalidInput):
    """The cursor is not valid.

    The cursor is not one of this list with these filters. Start again without a cursor.
    """

    code = "cursor_invalid"


class DatabaseUnavailable(Unavailable):
    """The database is away.

    The node's database is away. Send the same request again later, with the same `Idempotency-Key`:
    whether it was done is not known.
    """

    code = "database_unavailable"


class DepositsNotOffered(Refused):
    """Deposits are not offered.

    The node has no contract that makes deposit addresses, so it cannot be paid on chain.
    """

    code = "deposits_not_offered"


class ExposureLimitReached(Unavailable):
    """Too much is quoted already.

    All open quotes together may sum up to `limit`, and `remaining` is less than this one takes. Ask
    for less, or after `resets_at`, when the first of them expires; `null`: the amount alone is
    above the limit.
    """

    code = "exposure_limit_reached"


class Forbidden(Problem):
    """Not allowed for this role or key.

    The key is good, but its role may not do this; `role` says which it has. Or the key was made
    without the scope that this needs: `scope`. Use a key that has it; the operator makes one, or
    `POST /v1/partners/{partner_id}/keys` with a key that has `admin`.
    """

    code = "scope_missing"


class FormatUnfit(Refused):
    """The format does not fit.

    The format cannot carry this statement: camt.053 has currency codes of three letters, at most 5
    decimal digits and at most 18 digits in all. Ask for `csv` or `json`.
    """

    code = "format_unfit"


class IdempotencyInProgress(Conflict):
    """The first request is still running.

    The first request with this key is still running. Send the same request again after `Retry-
    After` seconds.
    """

    code = "idempotency_in_progress"


class Malformed(Problem):
    """The request cannot be read.

    The request cannot be read. Compare it with the examples of the documentation.
    """

    code = "malformed"


class IdempotencyKeyInvalid(Malformed):
    """The Idempotency-Key is not valid.

    The `Idempotency-Key` is not 1 to 255 visible ASCII characters, or came twice.
    """

    code = "idempotency_key_invalid"


class IdempotencyKeyMissing(Malformed):
    """The Idempotency-Key is missing.

    This operation moves money or changes a transfer, so it needs the header `Idempotency-Key`. Make
    a new random key for each new request, and send the same key again when you repeat one.
    """

    code = "idempotency_key_missing"


class IdempotencyKeyReused(Refused):
    """The idempotency key is used.

    The key was used with another body. Use a new key for a new request.
    """

    code = "idempotency_key_reused"


class InFuture(InvalidInput):
    """That has not happened yet.

    The time, day or sequence has not come yet; `errors` says which. Balances and statements are of
    what was booked.
    """

    code = "in_future"


class InsufficientFunds(Refused):
    """Insufficient funds.

    The available balance is smaller than what is taken; `available` says how much there is. Pay in,
    or take less; then send it with a new `Idempotency-Key`.
    """

    code = "insufficient_funds"


class JsonInvalid(Malformed):
    """The body is not valid JSON.

    The body is not JSON (RFC 8259) in UTF-8, names a member twice, or uses NaN or Infinity. Send
    one JSON object.
    """

    code = "json_invalid"


class KeyAlreadyCreated(Conflict):
    """The key was created before.

    A request with this `Idempotency-Key` made the key `key_id`, and its secret is shown only once.
    If it was lost, make another with a new `Idempotency-Key` and revoke the first.
    """

    code = "key_already_created"


class LimitExceeded(Refused):
    """The partner's limit is exceeded.

    The partner may sell at most `limit`, of one quote or of a day (UTC); `remaining` is left until
    `resets_at` (`null`: of one quote).
    """

    code = "limit_exceeded"


class LiquidityUnavailable(Unavailable):
    """No liquidity now.

    The node's stablecoin is promised to others. Try a smaller amount or later.
    """

    code = "liquidity_unavailable"


class NetworkNotAllowed(Forbidden):
    """Not allowed from this network.

    The key was made for other networks than the address that the request came from. Send it from
    one of them, or with a key that was made for this address.
    """

    code = "network_not_allowed"


class NotFound(Problem):
    """Not found.

    There is no such object, or it belongs to another.
    """

    code = "not_found"


class NotReady(Unavailable):
    """Not ready.

    A check of readiness fails; `checks` says which and why.
    """

    code = "not_ready"


class Overloaded(Unavailable):
    """Too busy.

    More requests wait than the node can answer soon. Nothing was done. Send the same request again
    after `Retry-After` seconds.
    """

    code = "overloaded"


class PairNotOffered(Refused):
    """The pair is not offered.

    No corridor sells and buys this pair; `GET /v1/corridors` lists them. Or the quote is for a
    payout that a partner pays for on the chain: `POST /v1/payouts` takes it.
    """

    code = "pair_not_offered"


class PartnerRefused(Refused):
    """The partner refuses.

    The partner that would pay out refuses; `reason` is its code. Nothing was consumed.
    """

    code = "partner_refused"


class PartnerSuspended(Forbidden):
    """The partner is suspended.

    An operator suspended the partner. What there is can still be read; payments under way go on.
    Ask the operator; the same request is good again afterwards.
    """

    code = "partner_suspended"


class PartnerUnavailable(Unavailable):
    """The partner is away.

    The partner that would pay out does not answer. Nothing was consumed: repeat the request with
    the same key.
    """

    code = "partner_unavailable"


class PayoutsNotOffered(Refused):
    """Payouts are not offered.

    The node does not pay out for this partner: no settlement contract of it is registered, the
    quote is not one of payout method `bank`, or the node has no bank.
    """

    code = "payouts_not_offered"


class PayoutsNotTogether(Refused):
    """What partners pay out is not all or nothing.

    With `mode=all_or_nothing` a file has no rows that partners pay out; `line` is the first. What
    is registered with a partner cannot be taken back. Send the file with `mode=best_effort`, or
    rows to addresses in a file of their own. Nothing was stored.
    """

    code = "payouts_not_together"


class PeriodInvalid(InvalidInput):
    """The period is not valid.

    The days asked for end before they begin, lie ahead, or are more than `days_max`. Days are those
    of UTC.
    """

    code = "period_invalid"


class QueryInvalid(InvalidInput):
    """The query is not valid.

    Query parameters are wrong. `errors` lists each with its name, a code and a message.
    """

    code = "invalid_query"


class QuoteBound(Conflict):
    """The quote is bound to another beneficiary.

    A payout to another beneficiary is registered with the partner for this quote. Ask for a new
    quote.
    """

    code = "quote_bound"


class QuoteExpired(Conflict):
    """The quote has expired.

    The quote's `expires_at` has passed. Ask for a new one.
    """

    code = "quote_expired"


class QuoteRevoked(Conflict):
    """The quote was revoked.

    Quoting of the quote's currency was halted while the quote was open, by an operator or because
    its rate moved too far (`reason` `operator` or `jump`). Nothing was reserved. Ask for a new one
    when quoting goes on.
    """

    code = "quote_revoked"


class QuoteUsed(Conflict):
    """The quote is used.

    The quote already made a transfer: `transfer_id`. Ask for a new quote to send again.
    """

    code = "quote_used"


class QuotingHalted(Unavailable):
    """Quoting is halted.

    Quoting of `currency` (`null`: of all) is halted since `since`, by an operator or because its
    rate moved too far (`reason` `operator` or `jump`), until an operator resumes it.
    """

    code = "quoting_halted"


class RailUnknown(Refused):
    """The rail is not offered.

    The node has no such rail, or not for this role. `detail` names those it has; `sandbox_bank` is
    of sandboxes alone.
    """

    code = "rail_unknown"


class Throttled(Problem):
    """Too many requests.

    Too much at once. Wait `Retry-After` seconds.
    """

    code = "too_many_requests"


class RateLimited(Throttled):
    """Too many requests.

    The key (without one: the address) sent more requests than it may. Wait `Retry-After` seconds;
    `RateLimit` and `RateLimit-Policy` say how many are left and allowed.
    """

    code = "rate_limited"


class RateUnavailable(Unavailable):
    """No rate now.

    The rate sources are missing, too old or disagree, so there is no price.
    """

    code = "rate_unavailable"


class ReferenceUsed(Conflict):
    """The top-up reference is used.

    This reference of the rail was booked before: `top_up_id`. The money is there once.
    """

    code = "reference_used"


class RequestReferenceUsed(Conflict):
    """The payment request's reference is used.

    Another payment request of the same owner has this reference; it is `payment_request_id`.
    Nothing changed.
    """

    code = "request_reference_used"


class SecretAlreadyShown(Conflict):
    """The secret was shown before.

    A request with this `Idempotency-Key` made a secret before, and a secret is shown only once. If
    it was lost, rotate the secret of `webhook_endpoint_id`.
    """

    code = "secret_already_shown"


class SettlementRecovering(Unavailable):
    """Settlement is recovering.

    The operator must recover settlement (`corridor settlement adopt`) before transfers are
    accepted, money goes back, or the pause `foreign_nonce` ends: the chain has transactions that
    the node does not know yet. Or the chain has replaced a block that was final, and two operators
    must decide about that (`corridor mirror status`).
    """

    code = "settlement_recovering"


class SignatureInvalid(Unauthenticated):
    """The signature is not valid.

    The signature of the request does not hold, or does not cover what it must; `detail` says what
    is wrong. It counts wherever `Signature-Input` comes.
    """

    code = "signature_invalid"


class SignatureReplayed(Unauthenticated):
    """The signature was used before.

    A signed request with this nonce was seen before. Sign again, with a new nonce; the
    `Idempotency-Key` stays.
    """

    code = "signature_replayed"


class SignatureRequired(Unauthenticated):
    """The request must be signed.

    The partner's requests must be signed (RFC 9421). `/docs` shows how: ed25519, tag `corridor-v1`,
    a nonce, at most 5 minutes.
    """

    code = "signature_required"


class StatementTooLarge(Refused):
    """The statement is too large.

    The statement would have more than `limit` lines. Ask for a shorter period; `GET
    /v1/customers/{customer_id}/entries` has every line, in pages.
    """

    code = "statement_too_large"


class TokenAlreadyCreated(Conflict):
    """The token was created before.

    A request with this `Idempotency-Key` made the token `key_id`, and a token is shown only once.
    If it was lost, make another with a new key; an operator can revoke the first (`corridor keys
    revoke`).
    """

    code = "token_already_created"


class TooManyBulkTransfers(Throttled):
    """Too many bulk transfers under way.

    `limit` of your bulk transfers are under way. Wait until one is done.
    """

    code = "too_many_bulk_transfers"


class TooManyKeys(Conflict):
    """Too many keys of this name.

    Two keys of this name work already (`limit`), one to use and one to change to. Revoke one first.
    """

    code = "too_many_keys"


class TooManyPaymentRequests(Throttled):
    """Too many unpaid payment requests.

    `limit` payment requests of this owner are not paid. Wait until they are, or until a day after
    they end.
    """

    code = "too_many_payment_requests"


class TooManyQuotes(Throttled):
    """Too many active quotes.

    You hold `limit` active quotes. Use one, or wait until `resets_at`.
    """

    code = "too_many_quotes"


class TooManyWebhookEndpoints(Throttled):
    """Too many webhook endpoints.

    `limit` endpoints of this owner are active. Disable one first.
    """

    code = "too_many_webhook_endpoints"


class WebhookUrlRefused(Refused):
    """Webhooks are not sent there.

    Webhooks go to https URLs with a public address, without user name, password or fragment.
    """

    code = "webhook_url_refused"


class WebhooksNotOffered(Unavailable):
    """Webhooks are not offered.

    The node has no `CORRIDOR_SECRETS_KEY_FILE`, so it keeps no secrets of endpoints and sends no
    webhooks.
    """

    code = "webhooks_not_offered"


class WrongState(Conflict):
    """Not possible in this state.

    The object's state does not allow this. Nothing changed.
    """

    code = "wrong_state"
