"""What a deposit to a payout's address means, by who paid it, how much and when. Pure.

It counts only out of a settlement contract registered for the partner, with that contract's
`Settled` directly after the Transfer: its number is how both nodes name the payment. Anything else
is an unknown deposit, which an operator attributes. What is judged is the time of the block.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from node.core.deposits import Flag, Judgement, Ruling
from node.core.mirror import TokenLog
from node.core.payouts import PAYABLE, PayoutState, PayoutTerms
from node.core.units import MINOR_LIMIT, BlockHash

LogName = tuple[BlockHash, int]
"""Block and index of one log."""


@dataclass(frozen=True, slots=True)
class PaymentLog:
    """A Transfer of the token out of a registered contract to the address of a payout."""

    block_hash: BlockHash
    log: TokenLog

    @property
    def name(self) -> LogName:
        """Which log it is."""
        return self.block_hash, self.log.log_index


def judge_payment(
    terms: PayoutTerms, amount: int, mined_at: datetime, grace: timedelta, *, is_proven: bool
) -> Judgement:
    """What one final deposit to a payout's address means (ADR 0028).

    Args:
        terms: Of the payout.
        amount: Token units of the log; above 0.
        mined_at: Time of the block that holds it.
        grace: How long after `pay_by` the quoted rate is honoured.
        is_proven: Whether a registered contract paid it, with its `Settled` next to it.
    """
    if amount >= MINOR_LIMIT:
        return Judgement(Ruling.LEAVE, frozenset({Flag.TOO_LARGE}))
    if not is_proven:
        return Judgement(Ruling.SET_ASIDE, is_differing=True)
    if terms.state not in PAYABLE:  # what a reorg put back into suspense waits for nothing more
        return Judgement(Ruling.CREDIT, frozenset({Flag.DUPLICATE}), released=terms.held)
    if mined_at > terms.pay_by + grace:  # with what is held already it goes back together
        ruling = Ruling.HOLD if terms.held else Ruling.CREDIT
        return Judgement(ruling, frozenset({Flag.TOO_LATE}))
    return _judge_amount(terms, amount, is_late=mined_at > terms.pay_by)


def _judge_amount(terms: PayoutTerms, amount: int, *, is_late: bool) -> Judgement:
    """What a deposit means that came when the quoted rate is honoured."""
    flags = {Flag.PAID_LATE} if is_late else set[Flag]()
    short = terms.amount - terms.held - amount
    if short <= 0:
        flags |= {Flag.OVERPAID} if short < 0 else set()
        return Judgement(Ruling.COMPLETE, frozenset(flags), released=terms.held, surplus=-short)
    if terms.state is PayoutState.EXPIRED:
        return Judgement(Ruling.CREDIT, frozenset(flags | {Flag.SHORT}))
    return Judgement(Ruling.HOLD, frozenset({Flag.SHORT}))


def goes_back(judgement: Judgement) -> bool:
    """Whether the money is the partner's and goes back at once: too late, or too little."""
    return judgement.ruling is Ruling.CREDIT and Flag.DUPLICATE not in judgement.flags


def payout_after(terms: PayoutTerms, amount: int, judgement: Judgement) -> PayoutTerms:
    """The payout once a deposit was judged: what the next log of the same step finds."""
    if judgement.ruling is Ruling.COMPLETE:
        return replace(terms, state=PayoutState.MATCHED, held=0, version=terms.version + 1)
    if judgement.ruling is Ruling.HOLD:
        return replace(terms, held=terms.held + amount)
    if goes_back(judgement):
        return replace(terms, state=PayoutState.REFUNDING, version=terms.version + 1)
    return replace(terms, held=terms.held - judgement.released)
