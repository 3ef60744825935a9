"""The only table from errors to HTTP, and the problem document (RFC 9457).

The family of an error decides its status; its code, title and context come from the error. What
each code means for a caller is in `MEANING`, from which `/docs/problems`, the OpenAPI document and
`node/docs/problems.md` are made. `type` is the reference `/docs/problems#<code>`, relative to the
node (RFC 9457 3.1.1 allows it), so it opens the page of the very node that answered.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote

import orjson

from node.core.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NodeError,
    NotFound,
    QuotingHalted,
    Refused,
    Throttled,
    Unauthenticated,
    Unavailable,
)
from node.core.ports.idempotency import Answer

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"
TYPE_BASE: Final = "/docs/problems#"
_PATH_SAFE: Final = "/:@!$&'()*+,;=~"  # RFC 3986 3.3: what a path may hold as it is
_RETRY_AFTER_S: Final = 1
_RETRY_AFTER_HALTED_S: Final = 30  # until a person has looked


class Malformed(NodeError):
    """The request cannot be read as HTTP with a JSON body."""

    code = "malformed"
    title = "The request cannot be read"


class JsonInvalid(Malformed):
    """The body is not JSON."""

    code = "json_invalid"
    title = "The body is not valid JSON"


class IdempotencyKeyMissing(Malformed):
    """This operation needs an Idempotency-Key."""

    code = "idempotency_key_missing"
    title = "The Idempotency-Key is missing"


class IdempotencyKeyInvalid(Malformed):
    """The Idempotency-Key is not 1 to 255 visible ASCII characters."""

    code = "idempotency_key_invalid"
    title = "The Idempotency-Key is not valid"


class QueryInvalid(InvalidInput):
    """Query parameters are wrong (`errors`: parameter, code, message)."""

    code = "invalid_query"
    title = "The query is not valid"


class CredentialMissing(Unauthenticated):
    """No credential came with the request."""

    code = "credential_missing"
    title = "A credential is needed"


class PathUnknown(NotFound):
    """No operation has this path."""

    code = "path_unknown"
    title = "No such path"


class MethodNotAllowed(NodeError):
    """The path has no such method (`allowed`)."""

    code = "method_not_allowed"
    title = "Method not allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(f"this path answers to {', '.join(allowed)}", allowed=list(allowed))
        self.allowed = allowed


class BodyTooLarge(NodeError):
    """The body is larger than the node reads (`limit_bytes`)."""

    code = "body_too_large"
    title = "The body is too large"


class NotReady(Unavailable):
    """A check of readiness fails (`checks`)."""

    code = "not_ready"
    title = "Not ready"


STATUS: Final[Mapping[type[NodeError], int]] = {
    Malformed: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    Conflict: 409,
    BodyTooLarge: 413,
    InvalidInput: 422,
    Refused: 422,
    Throttled: 429,
    NodeError: 500,
    Unavailable: 503,
}
"""Family -> status. The nearest family of an error counts."""

MEANING: Final[Mapping[str, str]] = {
    "malformed": "The request cannot be read. Compare it with the examples of the documentation.",
    "json_invalid": "The body is not JSON (RFC 8259) in UTF-8, names a member twice, or uses NaN or"
    " Infinity. Send one JSON object.",
    "idempotency_key_missing": "This operation moves money or changes a transfer, so it needs the"
    " header `Idempotency-Key`. Make a new random key for each new request, and send the same key"
    " again when you repeat one.",
    "idempotency_key_invalid": "The `Idempotency-Key` is not 1 to 255 visible ASCII characters, or"
    " came twice.",
    "credential_missing": "Send `Authorization: Bearer <key>`.",
    "credential_invalid": "The key is unknown, expired or revoked. Make another, or check that it"
    " belongs to this node.",
    "webhook_unverified": "The webhook is not signed by a key of its sender, or its time is more"
    " than 5 minutes from the node's. Sign the body to the byte (Standard Webhooks 1.0.0).",
    "webhook_url_refused": "Webhooks go to https URLs with a public address, without user name,"
    " password or fragment.",
    "too_many_webhook_endpoints": "`limit` endpoints of this owner are active. Disable one first.",
    "secret_already_shown": "A request with this `Idempotency-Key` made a secret before, and a"
    " secret is shown only once. If it was lost, rotate the secret of `webhook_endpoint_id`.",
    "webhooks_not_offered": "The node has no `CORRIDOR_SECRETS_KEY_FILE`, so it keeps no secrets of"
    " endpoints and sends no webhooks.",
    "signature_required": "The partner's requests must be signed (RFC 9421). `/docs` shows how:"
    " ed25519, tag `corridor-v1`, a nonce, at most 5 minutes.",
    "signature_invalid": "The signature of the request does not hold, or does not cover what it"
    " must; `detail` says what is wrong. It counts wherever `Signature-Input` comes.",
    "signature_replayed": "A signed request with this nonce was seen before. Sign again, with a new"
    " nonce; the `Idempotency-Key` stays.",
    "scope_missing": "The key is good, but its role may not do this; `role` says which it has. Or"
    " the key was made without the scope that this needs: `scope`. Use a key that has it; the"
    " operator makes one, or `POST /v1/partners/{partner_id}/keys` with a key that has `admin`.",
    "partner_suspended": "An operator suspended the partner. What there is can still be read;"
    " payments under way go on. Ask the operator; the same request is good again afterwards.",
    "network_not_allowed": "The key was made for other networks than the address that the request"
    " came from. Send it from one of them, or with a key that was made for this address.",
    "not_found": "There is no such object, or it belongs to another.",
    "path_unknown": "The node has no such path. All paths are at `/docs`.",
    "method_not_allowed": "The path exists, but not with this method; `allowed` names what it has.",
    "conflict": "The object changed meanwhile. Look at it again, then decide.",
    "quote_bound": "A payout to another beneficiary is registered with the partner for this quote."
    " Ask for a new quote.",
    "partner_refused": "The partner that would pay out refuses; `reason` is its code. Nothing was"
    " consumed.",
    "partner_unavailable": "The partner that would pay out does not answer. Nothing was consumed:"
    " repeat the request with the same key.",
    "quote_used": "The quote already made a transfer: `transfer_id`. Ask for a new quote to send"
    " again.",
    "quote_expired": "The quote's `expires_at` has passed. Ask for a new one.",
    "quote_revoked": "Quoting of the quote's currency was halted while the quote was open, by an"
    " operator or because its rate moved too far (`reason` `operator` or `jump`). Nothing was"
    " reserved. Ask for a new one when quoting goes on.",
    "client_reference_used": "A transfer (`transfer_id`) or payout (`payout_id`) with this"
    " `client_reference` exists. It may be the one you wanted.",
    "reference_used": "This reference of the rail was booked before: `top_up_id`. The money is"
    " there once.",
    "request_reference_used": "Another payment request of the same owner has this reference; it is"
    " `payment_request_id`. Nothing changed.",
    "deposits_not_offered": "The node has no contract that makes deposit addresses, so it cannot be"
    " paid on chain.",
    "contract_registered": "This settlement contract is registered for a partner already.",
    "cancel_too_late": "The transfer is being paid or has ended, so it cannot be canceled.",
    "wrong_state": "The object's state does not allow this. Nothing changed.",
    "key_already_created": "A request with this `Idempotency-Key` made the key `key_id`, and its"
    " secret is shown only once. If it was lost, make another with a new `Idempotency-Key` and"
    " revoke the first.",
    "too_many_keys": "Two keys of this name work already (`limit`), one to use and one to change"
    " to. Revoke one first.",
    "second_person_needed": "This is decided by two operators, and `made_by`, who asks, is the"
    " first of them. Nothing was booked. Another operator, with a key of another name, approves it;"
    " `break_id`, where there is one, says at which break.",
    "number_used": "The settlement contract has paid or voided the transfer's payment number, in"
    " the transaction `tx_hash` of block `block_number`. Nothing changed. `detail` says what can be"
    " done.",
    "name_taken": "Another object has this name.",
    "token_already_created": "A request with this `Idempotency-Key` made the token `key_id`, and a"
    " token is shown only once. If it was lost, make another with a new key; an operator can revoke"
    " the first (`corridor keys revoke`).",
    "idempotency_in_progress": "The first request with this key is still running. Send the same"
    " request again after `Retry-After` seconds.",
    "body_too_large": "The body is above `limit_bytes` bytes. Nothing was done.",
    "invalid_body": "Members of the body are wrong. `errors` lists each with a JSON pointer"
    " (RFC 6901), a code and a message.",
    "invalid_query": "Query parameters are wrong. `errors` lists each with its name, a code and a"
    " message.",
    "amount_invalid": "The amount is not a plain decimal string, has more digits than its"
    " currency, or more than 38.",
    "currency_unknown": "The node has no such currency. `GET /v1/assets` lists those it has.",
    "period_invalid": "The days asked for end before they begin, lie ahead, or are more than"
    " `days_max`. Days are those of UTC.",
    "in_future": "The time, day or sequence has not come yet; `errors` says which. Balances and"
    " statements are of what was booked.",
    "cursor_invalid": "The cursor is not one of this list with these filters. Start again without"
    " a cursor.",
    "idempotency_key_reused": "The key was used with another body. Use a new key for a new"
    " request.",
    "posting_key_reused": "The key of a ledger transaction was used for another one. Nothing was"
    " booked.",
    "refused": "A rule of the node declines the request; `detail` says which.",
    "address_invalid": "The beneficiary address cannot be paid: its checksum is wrong (EIP-55), or"
    " it is zero, the token's or the node's own.",
    "beneficiary_refused": "The beneficiary will not be paid, for the reason `reason`. Nothing was"
    " registered, and the quote stays active.",
    "insufficient_funds": "The available balance is smaller than what is taken; `available` says"
    " how much there is. Pay in, or take less; then send it with a new `Idempotency-Key`.",
    "amount_out_of_range": "The amount is outside the corridor's limits (`min`, `max`) or rounds to"
    " nothing.",
    "limit_exceeded": "The partner may sell at most `limit`, of one quote or of a day (UTC);"
    " `remaining` is left until `resets_at` (`null`: of one quote).",
    "credit_line_used": "The partner's balance is `used` below zero, more than the new credit line"
    " would allow. Nothing changed.",
    "pair_not_offered": "No corridor sells and buys this pair; `GET /v1/corridors` lists them. Or"
    " the quote is for a payout that a partner pays for on the chain: `POST /v1/payouts` takes it.",
    "payouts_not_offered": "The node does not pay out for this partner: no settlement contract of"
    " it is registered, the quote is not one of payout method `bank`, or the node has no bank.",
    "rail_unknown": "The node has no such rail, or not for this role. `detail` names those it has;"
    " `sandbox_bank` is of sandboxes alone.",
    "format_unfit": "The format cannot carry this statement: camt.053 has currency codes of three"
    " letters, at most 5 decimal digits and at most 18 digits in all. Ask for `csv` or `json`.",
    "statement_invalid": "The file is no statement of a bank that can be read; `detail` says where"
    " and why, and `line`, where it is known, in which line. Nothing was imported.",
    "statement_unfit": "The bank's statement contradicts itself, or does not follow the newest one"
    " that was imported: `expected` and `actual` say by how much. Nothing was imported; import what"
    " is missing first.",
    "statement_too_large": "The statement would have more than `limit` lines. Ask for a shorter"
    " period; `GET /v1/customers/{customer_id}/entries` has every line, in pages.",
    "too_many_requests": "Too much at once. Wait `Retry-After` seconds.",
    "rate_limited": "The key (without one: the address) sent more requests than it may. Wait"
    " `Retry-After` seconds; `RateLimit` and `RateLimit-Policy` say how many are left and allowed.",
    "bulk_file_invalid": "The file of a bulk transfer cannot be read as a whole: `detail` says why,"
    " `line` where. Nothing was stored. Faults of single rows are told in its rows.",
    "payouts_not_together": "With `mode=all_or_nothing` a file has no rows that partners pay out;"
    " `line` is the first. What is registered with a partner cannot be taken back. Send the file"
    " with `mode=best_effort`, or rows to addresses in a file of their own. Nothing was stored.",
    "too_many_bulk_transfers": "`limit` of your bulk transfers are under way. Wait until one is"
    " done.",
    "too_many_payment_requests": "`limit` payment requests of this owner are not paid. Wait until"
    " they are, or until a day after they end.",
    "too_many_quotes": "You hold `limit` active quotes. Use one, or wait until `resets_at`.",
    "internal": "The node made a mistake. Tell its operator the `request_id`; repeat a POST only"
    " with the same `Idempotency-Key`.",
    "unavailable": "Not possible now. Send the same request again later.",
    "rate_unavailable": "The rate sources are missing, too old or disagree, so there is no price.",
    "overloaded": "More requests wait than the node can answer soon. Nothing was done. Send the"
    " same request again after `Retry-After` seconds.",
    "quoting_halted": "Quoting of `currency` (`null`: of all) is halted since `since`, by an"
    " operator or because its rate moved too far (`reason` `operator` or `jump`), until an operator"
    " resumes it.",
    "exposure_limit_reached": "All open quotes together may sum up to `limit`, and `remaining` is"
    " less than this one takes. Ask for less, or after `resets_at`, when the first of them expires;"
    " `null`: the amount alone is above the limit.",
    "liquidity_unavailable": "The node's stablecoin is promised to others. Try a smaller amount or"
    " later.",
    "settlement_recovering": "The operator must recover settlement (`corridor settlement adopt`)"
    " before transfers are accepted, money goes back, or the pause `foreign_nonce` ends: the chain"
    " has transactions that the node does not know yet. Or the chain has replaced a block that was"
    " final, and two operators must decide about that (`corridor mirror status`).",
    "database_unavailable": "The node's database is away. Send the same request again later, with"
    " the same `Idempotency-Key`: whether it was done is not known.",
    "chain_unavailable": "No provider of the chain answers. Send the same request again later.",
    "signer_unavailable": "The key that signs for the node cannot be used now. Send the same"
    " request again later.",
    "not_ready": "A check of readiness fails; `checks` says which and why.",
}
"""Code -> what it means and what to do. A promise: codes are added, never renamed."""


def status_of(error: type[NodeError]) -> int:
    """The HTTP status of an error's nearest family."""
    return next(STATUS[family] for family in error.__mro__ if family in STATUS)


def all_errors() -> Iterator[type[NodeError]]:
    """Every class of the error tree that is loaded, in order of declaration."""

    def below(family: type[NodeError]) -> Iterator[type[NodeError]]:
        yield family
        for child in family.__subclasses__():
            yield from below(child)

    return below(NodeError)


def problem(error: NodeError, *, path: str, request_id: str) -> Answer:
    """The problem document of `error`, as an answer that can be stored.

    Args:
        error: What went wrong.
        path: Path of the request, decoded; encoded it is the `instance`, a URI reference.
        request_id: For the operator's logs.
    """
    status = status_of(type(error))
    document = {
        "type": TYPE_BASE + error.code,
        "title": error.title,
        "status": status,
        "detail": error.detail,
        "instance": quote(path, safe=_PATH_SAFE, errors="replace"),
        "code": error.code,
        "retryable": error.retryable,
        "request_id": request_id,
    }
    document |= {name: value for name, value in error.context.items() if name not in document}
    return Answer(status, orjson.dumps(document, default=str))


def headers_of(error: NodeError) -> dict[str, str]:
    """Headers that belong to an error besides its document."""
    if isinstance(error, Unauthenticated):
        # RFC 6750 3.1: no error code where no credential was given.
        known = "" if isinstance(error, CredentialMissing) else ', error="invalid_token"'
        return {"WWW-Authenticate": f'Bearer realm="corridor"{known}'}
    if isinstance(error, MethodNotAllowed):
        return {"Allow": ", ".join(error.allowed)}
    if isinstance(error, BodyTooLarge):
        return {"Connection": "close"}  # the rest of the body is not read
    if isinstance(error, QuotingHalted):
        return {"Retry-After": str(_RETRY_AFTER_HALTED_S)}
    if isinstance(error, Unavailable | Throttled) or error.retryable:
        return {"Retry-After": str(error.context.get("retry_after_s", _RETRY_AFTER_S))}
    return {}
