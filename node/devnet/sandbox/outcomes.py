"""Every outcome that a partner can meet in a devnet on purpose: the one table.

`corridor trigger --list`, the page `node/docs/sandbox.md` and the tests in `tests/sandbox` are made
of it. Not here: what triggers do (`triggers`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from node.devnet.magic import ABOVE_MOST, BELOW_LEAST, BEYOND_EVERYBODY, DENIED_ADDRESS


class Group(StrEnum):
    """What an outcome is about."""

    PRICE = "Prices and money"
    CHAIN = "Payments on the chain"
    DEPOSIT = "Being paid on the chain"
    PAYOUT = "Payouts for a partner, by the sandbox's bank"
    PARTNER = "Payouts by a partner"
    ACCESS = "Keys and terms"
    WEBHOOK = "Webhooks"
    NODE = "The node itself"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One outcome.

    Attributes:
        how: The command that forces it, or what to send.
        sees: What the partner sees, in words.
        status: HTTP status of the answer that tells.
        field: Where in that answer; `[]` is any of a list.
        code: What stands there.
        do: What a partner does about it.
    """

    name: str
    group: Group
    how: str
    sees: str
    status: int
    field: str
    code: str
    do: str

    def document(self) -> dict[str, object]:
        """For programs."""
        return asdict(self)


def _trigger(rest: str) -> str:
    return f"`corridor trigger {rest}`"


def _account(end: str) -> str:
    return f"beneficiary's account number ending in `{end}`"


_P, _C, _D = Group.PRICE, Group.CHAIN, Group.DEPOSIT
_O, _B, _A, _W, _N = Group.PAYOUT, Group.PARTNER, Group.ACCESS, Group.WEBHOOK, Group.NODE

_PRICE: Final = (
    Outcome(
        "quote_expired", _P, _trigger("clock --forward 2m"),
        "the quote's time is over; nothing was reserved",
        409, "code", "quote_expired", "ask for a new quote, show the new price",
    ),
    Outcome(
        "rates_contradict", _P, _trigger("rates_contradict"),
        "no price: two rate sources differ by more than they may",
        503, "code", "rate_unavailable", "try again after a while; quotes already made still hold",
    ),
    Outcome(
        "rate_source_away", _P, _trigger("rate_source_away"),
        "nothing: quotes go on from the other sources; the operator is told",
        201, "status", "active", "nothing",
    ),
    Outcome(
        "quoting_halted", _P, _trigger("quoting_halted"),
        "no quote in EUR, and open ones are revoked, until an operator resumes",
        503, "code", "quoting_halted", "try again later; do not retry in a tight loop",
    ),
    Outcome(
        "quote_revoked", _P, _trigger("quoting_halted"),
        "a quote that was open when quoting was halted is refused",
        409, "code", "quote_revoked", "ask for a new quote when quoting goes on",
    ),
    Outcome(
        "amount_too_small", _P, f"sell `{BELOW_LEAST}` EUR",
        "less than the corridor takes; `min` and `max` say how much it takes",
        422, "code", "amount_out_of_range", "send more",
    ),
    Outcome(
        "amount_too_large", _P, f"sell `{ABOVE_MOST}` EUR",
        "more than the corridor takes",
        422, "code", "amount_out_of_range", "send less, or in parts",
    ),
    Outcome(
        "sale_limited", _P, _trigger("sale_limited"),
        "more than this partner may sell at once: 1.00 EUR",
        422, "code", "limit_exceeded", "send less, or ask the operator for other terms",
    ),
    Outcome(
        "money_missing", _P, f"sell `{BEYOND_EVERYBODY}` EUR of a devnet's customer",
        "the customer has less; `available` says how much",
        422, "code", "insufficient_funds", "top the customer up, or send less",
    ),
    Outcome(
        "customer_without_money", _P, _trigger("customer_without_money"),
        "a customer who has nothing at all",
        422, "code", "insufficient_funds", "top the customer up",
    ),
)  # fmt: skip

_CHAIN: Final = (
    Outcome(
        "reorg", _C, _trigger("reorg --depth 1"),
        "`transfer.reorged` in the timeline; it is paid again, once",
        200, "data[].type", "transfer.reorged", "nothing; believe `completed` only",
    ),
    Outcome(
        "transactions_dropped", _C, _trigger("transactions_dropped"),
        "a delay: the node sends the same bytes again",
        200, "status", "completed", "nothing",
    ),
    Outcome(
        "beneficiary_denied", _C, f"beneficiary's address `{DENIED_ADDRESS}`",
        "failed: the token's issuer denies this address; the customer has the money back",
        200, "failure.code", "beneficiary_refused", "ask for another address",
    ),
    Outcome(
        "address_denied", _C, _trigger("address_denied --address 0x..."),
        "the same, for an address of your own choice",
        200, "failure.code", "beneficiary_refused", "ask for another address",
    ),
    Outcome(
        "address_unusable", _C, "beneficiary's address is the token's own",
        "refused at once",
        422, "code", "address_invalid", "ask for another address",
    ),
    Outcome(
        "token_paused", _C, _trigger("token_paused"),
        "it waits: the issuer has paused the token",
        200, "waiting.code", "token_paused", "wait; it goes on by itself",
    ),
    Outcome(
        "lanes_without_gas", _C, _trigger("lanes_without_gas"),
        "it waits: the node has no coin for gas, and then is paused, for coin is missing",
        200, "waiting.code", "gas_low", "wait; an operator fills them up and resumes",
    ),
    Outcome(
        "gas_spike", _C, _trigger("gas_spike"),
        "it is signed and waits for a block that is not so dear",
        200, "state", "submitted", "wait; it goes on by itself",
    ),
    Outcome(
        "settlement_paused", _C, _trigger("settlement_paused"),
        "it waits: an operator has paused settlement",
        200, "waiting.code", "paused", "wait; it can be canceled meanwhile",
    ),
    Outcome(
        "chain_away", _C, _trigger("chain_away"),
        "`/readyz` says which check fails; quotes and transfers are taken, and paid later",
        503, "code", "not_ready", "wait; what was accepted stays accepted",
    ),
    Outcome(
        "transfer_expired", _C,
        f"{_trigger('token_paused --for 0')}, then {_trigger('clock --forward 25h')}",
        "given up after `settle_by`: the customer has the money back",
        200, "status", "expired", "send again",
    ),
)  # fmt: skip

_DEPOSIT: Final = (
    Outcome(
        "deposit_short", _D, _trigger("deposit_short"),
        "a tenth is missing: what came is held, and the request waits for the rest",
        200, "held", "9.000000", "let the payer send the rest, or accept what came",
    ),
    Outcome(
        "deposit_over", _D, _trigger("deposit_over"),
        "paid, and the owner has what was too much as well",
        200, "flags[]", "overpaid", "give the surplus back if you like",
    ),
    Outcome(
        "deposit_late", _D, _trigger("deposit_late"),
        "paid after its end and within the grace (the clock moves)",
        200, "flags[]", "paid_late", "nothing",
    ),
    Outcome(
        "deposit_too_late", _D, _trigger("deposit_too_late"),
        "after the grace as well: the request stays expired (the clock moves a day)",
        200, "flags[]", "too_late", "accept what came, or let an operator give it back",
    ),
    Outcome(
        "deposit_twice", _D, _trigger("deposit_twice"),
        "paid twice: the owner has both",
        200, "flags[]", "duplicate", "give the second back",
    ),
    Outcome(
        "deposit_wrong_token", _D, _trigger("deposit_wrong_token"),
        "not paid; `other_tokens` tells which token came",
        200, "status", "awaiting", "tell the payer which token counts",
    ),
)  # fmt: skip

_PAYOUT: Final = (
    Outcome(
        "payout_paid", _O, _trigger("payout_paid --payout pay_..."),
        "the payment is matched and the bank pays",
        200, "status", "completed", "nothing",
    ),
    Outcome(
        "payout_short", _O, _trigger("payout_short --payout pay_..."),
        "a tenth is missing: it waits for the rest until `pay_by`, then it goes back",
        200, "status", "pending_sender", "send the rest, or wait for the refund",
    ),
    Outcome(
        "payout_by_stranger", _O, _trigger("payout_by_stranger --payout pay_..."),
        "money from anybody but the registered contract never pays it; an operator is told",
        200, "status", "pending_sender", "pay from the registered contract",
    ),
    Outcome(
        "payout_lapsed", _O, _trigger("clock --forward 25h"),
        "nothing came in time",
        200, "status", "expired", "register it again on a new quote",
    ),
    Outcome(
        "account_unknown", _O, _account("0001"),
        "refused when it is registered; the quote stays active",
        422, "code", "beneficiary_refused", "ask for another account",
    ),
    Outcome(
        "account_closed", _O, _account("0002"),
        "the bank refuses; with `refund_policy` `correct` it waits for another beneficiary",
        200, "failure.code", "account_closed", "correct the beneficiary, or ask for the refund",
    ),
    Outcome(
        "account_of_another", _O, _account("0003"),
        "the bank refuses: the account belongs to another name",
        200, "failure.code", "name_mismatch", "correct the beneficiary, or ask for the refund",
    ),
    Outcome(
        "bank_late", _O, _account("0004"),
        "a while at the bank, then paid",
        200, "status", "completed", "wait",
    ),
    Outcome(
        "bank_answer_lost", _O, _account("0005"),
        "paid once: the bank has the order, its answer is lost, and it is ordered again",
        200, "status", "completed", "nothing",
    ),
    Outcome(
        "bank_away", _O, _account("0006"),
        "the bank is away for two tries, then paid",
        200, "status", "completed", "wait",
    ),
    Outcome(
        "bank_returns", _O, _account("0007"),
        "paid, and sent back by the beneficiary's bank afterwards",
        200, "failure.code", "returned", "an operator of the node decides; ask it",
    ),
)  # fmt: skip

_PARTNER: Final = (
    Outcome(
        "partner_away", _B, _trigger("partner_away"),
        "the node that would pay out does not answer (`devnet up --nodes 2`); the quote stays",
        503, "code", "partner_unavailable", "repeat with the same `Idempotency-Key`",
    ),
)  # fmt: skip

_ACCESS: Final = (
    Outcome(
        "key_expired", _A, _trigger("key_expired"),
        "the key it prints has expired (the clock moves a minute)",
        401, "code", "credential_invalid", "use the next key; two of one name may work at once",
    ),
    Outcome(
        "key_revoked", _A, _trigger("key_revoked"),
        "the key it prints was revoked",
        401, "code", "credential_invalid", "use another key",
    ),
    Outcome(
        "key_reads_only", _A, _trigger("key_reads_only"),
        "the key it prints may only read: a quote is refused",
        403, "code", "scope_missing", "use a key with the scope that is named",
    ),
    Outcome(
        "key_elsewhere", _A, _trigger("key_elsewhere"),
        "the key it prints was made for another network",
        403, "code", "network_not_allowed", "send from there, or have the key's networks changed",
    ),
    Outcome(
        "partner_suspended", _A, _trigger("partner_suspended"),
        "nothing new is taken; what there is can be read and goes on",
        403, "code", "partner_suspended", "talk to the operator",
    ),
    Outcome(
        "signature_required", _A, _trigger("signature_required"),
        "requests must be signed (RFC 9421)",
        401, "code", "signature_required", "sign them; `/docs` shows how",
    ),
)  # fmt: skip

_WEBHOOK: Final = (
    Outcome(
        "webhook_lost", _W, _trigger("webhook_lost"),
        "the answer is lost; the same `webhook-id` comes again after 5 seconds",
        200, "status", "delivered", "know what you have by `webhook-id`",
    ),
    Outcome(
        "webhook_refused", _W, _trigger("webhook_refused"),
        "a receiver answers 500; it is tried again, over three days",
        200, "log[].status", "500", "answer 2xx as soon as you have stored it",
    ),
    Outcome(
        "webhook_redirected", _W, _trigger("webhook_redirected"),
        "a redirect is a failure and is not followed",
        200, "log[].status", "302", "give the endpoint's own URL",
    ),
    Outcome(
        "webhook_gone", _W, _trigger("webhook_gone"),
        "a receiver answers 410: the endpoint is disabled",
        200, "status", "disabled", "enable it again, then redeliver what was missed",
    ),
)  # fmt: skip

_NODE: Final = (
    Outcome(
        "worker_killed", _N, _trigger("worker_killed"),
        "a delay: another worker goes on, and nobody is paid twice",
        200, "status", "completed", "nothing",
    ),
    Outcome(
        "database_killed", _N, _trigger("database_killed"),
        "`database_unavailable` for a moment; the same request with the same key is answered once",
        201, "status", "processing", "repeat with the same `Idempotency-Key`",
    ),
)  # fmt: skip

OUTCOMES: Final = (*_PRICE, *_CHAIN, *_DEPOSIT, *_PAYOUT, *_PARTNER, *_ACCESS, *_WEBHOOK, *_NODE)
