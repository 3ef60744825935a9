"""What acceptance checks and keeps of a transfer that a partner pays out.

Registering the payout goes before, and is `node.services.payouts`.
"""

from uuid import UUID

from node.core.errors import InvalidInput
from node.core.payout_orders import PayoutOrder, QuoteBound, beneficiary_hash
from node.core.payouts import RefundPolicy
from node.core.ports.payout_orders import Asking
from node.core.ports.transfers import Beneficiary, PartnerPayoutRow
from node.core.quotes import Quote


def check_account(to: Beneficiary, quote: Quote) -> None:
    """A partner pays to an account, the chain to an address: what the quote is for was given.

    Raises:
        InvalidInput: The other was.
    """
    if (quote.leg is None) == (to.account is None):
        return
    wanted = ("account", "address") if quote.leg is not None else ("address", "account")
    message = "give `{}` and leave out `{}`: so this quote pays out".format(*wanted)
    fault = {"pointer": "/beneficiary", "code": "wrong_form", "message": message}
    raise InvalidInput("one member of the body is wrong; see `errors`", errors=[fault])


def check_policy(policy: RefundPolicy | None, quote: Quote) -> None:
    """Only what a partner pays out can be undeliverable.

    Raises:
        InvalidInput: A policy was given for what the chain pays.
    """
    if policy is None or quote.leg is not None:
        return
    message = "leave it out: no partner pays this quote out"
    fault = {"pointer": "/refund_policy", "code": "wrong_form", "message": message}
    raise InvalidInput("one member of the body is wrong; see `errors`", errors=[fault])


def asking(
    quote_id: UUID, to: Beneficiary, purpose: str | None, policy: RefundPolicy | None
) -> Asking:
    """What a partner is to be asked to register."""
    assert to.account is not None  # `check_account` goes before
    whom = beneficiary_hash(quote_id, to.name, to.country, to.account)
    return Asking(whom, purpose, policy or RefundPolicy.REFUND)


def check_bound(wanted: Asking, order: PayoutOrder) -> None:
    """What the partner was told is what is asked for.

    Raises:
        QuoteBound: It is something else.
    """
    if wanted.beneficiary_hash != order.beneficiary_hash:
        raise QuoteBound(
            "a payout to another beneficiary is registered for this quote; ask for a new quote"
        )
    if (wanted.purpose, wanted.refund_policy) != (order.purpose, order.refund_policy):
        raise QuoteBound(
            "the payout of this quote is registered with another `purpose` or `refund_policy`;"
            " ask for a new quote"
        )


def payout_terms(quote: Quote, order: PayoutOrder | None) -> dict[str, str]:
    """What the ledger keeps of a payout by a partner: who owes what to whom, under which name."""
    if quote.leg is None or order is None:
        return {}
    delivered = quote.delivered
    parts = (
        order.partner_id,
        order.payout_id,
        delivered.minor,
        delivered.asset.code,
        f"0x{order.beneficiary_hash.hex()}",
    )
    return {"payout": " ".join(map(str, parts))}


def payout_row(quote: Quote, order: PayoutOrder) -> PartnerPayoutRow | None:
    """The payout as a transfer shows it when it is accepted."""
    if quote.leg is None or order.payout_id is None or order.pay_by is None:
        return None
    told = None if order.told is None else order.told.value
    return PartnerPayoutRow(
        quote.leg.partner,
        quote.delivered,
        order.payout_id,
        order.reference or "",
        told,
        order.pay_by,
        order.refund_policy,
    )
