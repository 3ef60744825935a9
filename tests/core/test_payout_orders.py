"""What a partner may say of a payout, and what follows of it; two legs told as one price."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.catalog import USDC
from node.core.partner_legs import whole
from node.core.payout_orders import (
    ASKED_AGAIN_MAX_S,
    Expected,
    Matched,
    OrderState,
    PartnerPayout,
    PartnerRefund,
    PartnerState,
    PayoutOrder,
    asked_again_after,
    asks_after,
    beneficiary_hash,
    contradictions,
    follows,
    is_silent,
)
from node.core.payouts import BankAccount
from node.core.quotes import (
    ONE_BPS,
    Corridor,
    Mid,
    PartnerLeg,
    Price,
    Quote,
    Rate,
    price_fixed_sell,
)
from node.core.transfers import TERMINAL, State, accepts, move
from node.core.units import Address, Asset, Money, TxHash

EUR, PHP = Asset("EUR", 2), Asset("PHP", 2)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
QUOTE_ID = UUID(int=7)
TOKEN, ADDRESS = Address(b"\x70" * 20), Address(b"\xda" * 20)
PAID_BY = TxHash(b"\x11" * 32)
SELL, BUY = Money(100_000_000, USDC), Money(570_000, PHP)
ORDER = PayoutOrder(
    QUOTE_ID,
    UUID(int=1),
    b"\x00" * 32,
    OrderState.REGISTERED,
    payout_id="pay_1",
    address=ADDRESS,
    reference="M1",
    pay_by=NOW,
)
EXPECTED = Expected(ORDER, "quo_1", SELL, BUY, 31337, TOKEN, 42, PAID_BY)
TOLD = PartnerPayout(
    "pay_1", PartnerState.PAID_OUT, "quo_1", str(QUOTE_ID), "M1", SELL, BUY, 31337, TOKEN,
    ADDRESS, NOW, Matched(PAID_BY, 42, SELL.minor), None, None,
)  # fmt: skip


def test_the_truth_contradicts_nothing() -> None:
    assert contradictions(EXPECTED, TOLD) == []


@pytest.mark.parametrize(
    "lie",
    [
        {"id": "pay_2"},
        {"quote_id": "quo_2"},
        {"client_reference": "another"},
        {"reference": "M2"},
        {"sell": Money(1, USDC)},
        {"buy": Money(569_999, PHP)},
        {"buy": Money(570_000, EUR)},
        {"chain_id": 1},
        {"token": ADDRESS},
        {"address": TOKEN},
        {"matched": None},
        {"matched": Matched(TxHash(b"\x12" * 32), 42, SELL.minor)},
        {"matched": Matched(PAID_BY, 43, SELL.minor)},
        {"matched": Matched(PAID_BY, 42, SELL.minor - 1)},
        {"refund": PartnerRefund("ref_1", SELL.minor + 1, None, None)},
        {"refund": PartnerRefund("ref_1", 0, None, None)},
        {"state": PartnerState.REFUNDED},
        {"state": PartnerState.REFUNDED, "refund": PartnerRefund("ref_1", 1, None, None)},
    ],
)
def test_every_lie_about_a_payout_is_named(lie: dict[str, object]) -> None:
    found = contradictions(EXPECTED, replace(TOLD, **lie))  # type: ignore[arg-type]
    assert len(found) == 1
    assert found[0].expected != found[0].actual


@given(st.sampled_from(sorted(State)), st.sampled_from(sorted(PartnerState)))
def test_whatever_a_partner_says_only_what_is_at_it_moves_and_only_as_the_machine_lets(
    state: State, told: PartnerState
) -> None:
    way = follows(state, told)
    if state not in (State.PAYOUT_PENDING, State.UNDELIVERABLE):
        assert way == ()
    for happening in way:
        assert accepts(state, happening, was_written=True)
        state = move(state, happening, was_written=True).state
    if told is not PartnerState.PAID_OUT and way:
        assert state not in TERMINAL  # a word alone gives no money back


def test_answers_that_change_nothing_are_no_silence_however_many() -> None:
    asks = 0
    for _ in range(1000):
        asks = asks_after(asks, changed=False)
    assert not is_silent(asks)
    assert is_silent(asks + 20)
    assert asks_after(asks + 20, changed=False) == asks
    assert asks_after(asks, changed=True) == 0


@given(st.integers(0, 10_000))
def test_a_partner_is_asked_again_within_half_a_minute(asks: int) -> None:
    assert timedelta(seconds=1) <= asked_again_after(asks)
    assert asked_again_after(asks) <= timedelta(seconds=ASKED_AGAIN_MAX_S)


def test_no_two_beneficiaries_and_no_two_quotes_have_one_hash() -> None:
    account = BankAccount("12", "34")
    whom = [
        beneficiary_hash(QUOTE_ID, "Jose", "PH", account),
        beneficiary_hash(UUID(int=8), "Jose", "PH", account),
        beneficiary_hash(QUOTE_ID, "JoseP", "H", account),
        beneficiary_hash(QUOTE_ID, "Jose", "PH", BankAccount("1", "234")),
    ]
    assert len(set(whom)) == len(whom)
    assert beneficiary_hash(QUOTE_ID, "Jose", "PH", account) == whom[0]


@given(
    sell=st.integers(1_000, 10_000_000),
    first=st.integers(1, 10**6),
    second=st.integers(1, 10**6),
    spreads=st.tuples(st.integers(0, 500), st.integers(0, 500)),
)
def test_two_legs_together_deliver_at_least_what_their_mid_and_spread_say(
    sell: int, first: int, second: int, spreads: tuple[int, int]
) -> None:
    own = _priced(EUR, USDC, sell, first, spreads[0])
    theirs = _priced(USDC, PHP, own.buy.minor, second, spreads[1])
    leg = PartnerLeg(UUID(int=1), "manila", "quo_1", theirs, NOW)
    both = whole(Quote(QUOTE_ID, "operator:o", None, own, NOW, NOW, leg=leg))
    assert (both.sell, both.buy) == (own.sell, theirs.buy)
    assert both.mid_rate <= own.mid_rate * theirs.mid_rate
    exact_bps = (ONE_BPS - spreads[0]) * (ONE_BPS - spreads[1])
    assert ONE_BPS - both.spread_bps == exact_bps // ONE_BPS
    assert both.total_cost.minor >= 0


def _priced(sell: Asset, buy: Asset, minor: int, hundredths: int, spread_bps: int) -> Price:
    corridor = Corridor(sell, buy, "onchain", 0, 0, 0, spread_bps, 1, 2**61, 60)
    whole_part, rest = divmod(hundredths + 10_000, 100)
    text = f"{whole_part}.{rest:02d}"
    rate = Rate.stated(sell.code, buy.code, text, "test", NOW)
    return price_fixed_sell(corridor, Mid(Decimal(text), (rate,)), minor)
