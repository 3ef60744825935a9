"""Fees and answers: a bump replaces at every client, and no text is taken for proof."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from node.core.errors import InvariantBroken
from node.core.submission import (
    ANSWERS,
    SEEN,
    AnswerClass,
    FeeRules,
    Fees,
    answer_class,
    bumped_fees,
    fees_within_cap,
    first_fees,
    highest_fees,
    is_cap_refusal,
    strongest,
)

SENT = b"\x01" * 32
wei = st.integers(0, 10**13)
fees = st.tuples(wei, wei).map(lambda pair: Fees(max(pair), min(pair)))
RULES = FeeRules(max_fee_per_gas_wei=10**15)


@given(fees, fees)
def test_a_bump_raises_both_fees_by_an_eighth_rounded_up(old: Fees, market: Fees) -> None:
    new = bumped_fees(old, market, RULES)
    assert new is not None
    for before, after in (
        (old.max_fee_per_gas_wei, new.max_fee_per_gas_wei),
        (old.max_priority_fee_per_gas_wei, new.max_priority_fee_per_gas_wei),
    ):
        assert after > before
        assert after * 1000 >= before * 1125
        assert after * 10 >= before * 11  # what geth and reth ask for


@given(st.lists(fees, min_size=1), fees)
def test_a_bump_is_above_every_attempt_before_it(attempts: list[Fees], market: Fees) -> None:
    new = bumped_fees(highest_fees(attempts), market, RULES)
    assert new is not None
    for each in attempts:
        assert new.max_fee_per_gas_wei > each.max_fee_per_gas_wei
        assert new.max_priority_fee_per_gas_wei > each.max_priority_fee_per_gas_wei


@given(fees, fees, wei)
def test_no_bump_goes_above_the_cap(old: Fees, market: Fees, cap_wei: int) -> None:
    new = bumped_fees(old, market, FeeRules(max_fee_per_gas_wei=cap_wei))
    assert new is None or new.max_fee_per_gas_wei <= cap_wei


@given(wei, st.lists(wei), st.integers(10**6, 10**14))
def test_first_fees_survive_five_full_blocks_unless_capped(
    base_wei: int, tips: list[int], cap_wei: int
) -> None:
    rules = FeeRules(max_fee_per_gas_wei=cap_wei)
    first = first_fees(base_wei, tips, rules)
    assert first.max_fee_per_gas_wei <= cap_wei
    assume(first.max_fee_per_gas_wei < cap_wei)
    after_five_blocks = base_wei * 9**5 // 8**5
    assert first.max_fee_per_gas_wei >= after_five_blocks + first.max_priority_fee_per_gas_wei


@given(fees, fees, st.integers(0, 9))
def test_each_refusal_as_too_low_doubles_the_step_up_to_twice_the_fees(
    old: Fees, market: Fees, refusals: int
) -> None:
    new = bumped_fees(old, market, RULES, refusals)
    assert new is not None
    permille = [1125, 1250, 1500, 2000][min(refusals, 3)]
    assert new.max_fee_per_gas_wei * 1000 >= old.max_fee_per_gas_wei * permille
    wanted_tip = old.max_priority_fee_per_gas_wei * permille
    assert new.max_priority_fee_per_gas_wei * 1000 >= wanted_tip
    if old.max_fee_per_gas_wei > market.max_fee_per_gas_wei and old.max_fee_per_gas_wei > 8:
        assert new.max_fee_per_gas_wei <= 2 * old.max_fee_per_gas_wei


GETH_CAP = "tx fee (1.54 ether) exceeds the configured cap (1.00 ether)"
RETH_CAP = "tx fee (1540000000000000000 wei) exceeds the configured cap (1000000000000000000 wei)"


@pytest.mark.parametrize("message", [GETH_CAP, RETH_CAP])
@given(gas_limit=st.integers(21_000, 2**24), refused=fees)
def test_a_corrected_attempt_stays_under_the_cap_a_provider_named_and_under_what_it_refused(
    message: str, gas_limit: int, refused: Fees
) -> None:
    assert is_cap_refusal(message)
    found = fees_within_cap(message, gas_limit, refused)
    if found is None:
        assert refused.max_fee_per_gas_wei * gas_limit <= 10**18
    else:
        assert found.max_fee_per_gas_wei * gas_limit <= 10**18
        assert found.max_fee_per_gas_wei < refused.max_fee_per_gas_wei
        assert found.max_priority_fee_per_gas_wei <= refused.max_priority_fee_per_gas_wei


@given(st.text(), st.integers(1, 2**24))
def test_words_that_name_no_cap_correct_nothing(message: str, gas_limit: int) -> None:
    assume("exceeds the configured cap" not in message)
    assert fees_within_cap(message, gas_limit, Fees(10**12, 1)) is None


def test_a_tip_above_the_fee_cannot_be_written() -> None:
    with pytest.raises(InvariantBroken):
        Fees(max_fee_per_gas_wei=1, max_priority_fee_per_gas_wei=2)


def test_every_class_but_accepted_and_ambiguous_has_words() -> None:
    spoken = set(AnswerClass) - {AnswerClass.ACCEPTED, AnswerClass.AMBIGUOUS}
    assert {each for each, _ in ANSWERS} == spoken


@given(st.text())
def test_silence_is_ambiguous_whatever_the_words(message: str) -> None:
    found = answer_class(sent_hash=SENT, tx_hash=None, answered=False, message=message)
    assert found is AnswerClass.AMBIGUOUS


def test_only_our_own_hash_is_an_acceptance() -> None:
    def answer(tx_hash: bytes) -> AnswerClass:
        return answer_class(sent_hash=SENT, tx_hash=tx_hash, answered=True, message="")

    assert answer(SENT) is AnswerClass.ACCEPTED
    assert answer(b"\x02" * 32) is AnswerClass.AMBIGUOUS


@given(st.lists(st.sampled_from(AnswerClass), min_size=1))
def test_one_provider_that_has_it_outweighs_all_that_refuse(answers: list[AnswerClass]) -> None:
    together = strongest(answers)
    assert together in answers
    assert (together in SEEN) == any(each in SEEN for each in answers)


def test_no_answer_at_all_is_ambiguous() -> None:
    assert strongest([]) is AnswerClass.AMBIGUOUS
