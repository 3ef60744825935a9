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
    first_fees,
    highest_fees,
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


def test_a_tip_above_the_fee_cannot_be_written() -> None:
    with pytest.raises(InvariantBroken):
        Fees(max_fee_per_gas_wei=1, max_priority_fee_per_gas_wei=2)


# What clients say, as their sources have it, some with the words around them.
TEXTS = [
    ("already known", AnswerClass.KNOWN),  # geth
    ("known transaction: 0xabc", AnswerClass.KNOWN),  # geth before 1.9
    ("transaction already imported", AnswerClass.KNOWN),  # anvil
    ("Transaction with the same hash was already imported.", AnswerClass.KNOWN),  # OpenEthereum
    ("AlreadyKnown", AnswerClass.KNOWN),  # Nethermind
    ("tx already exists in cache", AnswerClass.KNOWN),
    ("Known transaction", AnswerClass.KNOWN),  # Besu
    ("unknown transaction", AnswerClass.AMBIGUOUS),
    ("nonce too low", AnswerClass.NONCE_LOW),
    ("nonce too low: next nonce 5, tx nonce 4", AnswerClass.NONCE_LOW),
    ("OldNonce", AnswerClass.NONCE_LOW),  # Nethermind
    ("Nonce is too low", AnswerClass.NONCE_LOW),
    ("the nonce was already used", AnswerClass.NONCE_LOW),
    ("replacement transaction underpriced", AnswerClass.UNDERPRICED_REPLACEMENT),
    ("could not replace existing tx", AnswerClass.UNDERPRICED_REPLACEMENT),  # Erigon
    ("ReplacementNotAllowed", AnswerClass.UNDERPRICED_REPLACEMENT),  # Nethermind
    ("transaction underpriced", AnswerClass.UNDERPRICED),
    ("transaction underpriced: gas tip cap 0, minimum needed 1", AnswerClass.UNDERPRICED),
    ("max fee per gas less than block base fee", AnswerClass.UNDERPRICED),
    ("FeeTooLow, MaxFeePerGas too low", AnswerClass.UNDERPRICED),  # Nethermind
    ("Gas price below configured minimum gas price", AnswerClass.UNDERPRICED),  # Besu
    ("nonce too high", AnswerClass.NONCE_HIGH),
    ("Transaction nonce is too far in the future", AnswerClass.NONCE_HIGH),  # Besu
    ("account limit exceeded: pooled 64 txs", AnswerClass.NONCE_HIGH),
    ("gapped-nonce tx from delegated accounts", AnswerClass.RESERVED),  # geth, EIP-7702
    ("address already reserved", AnswerClass.RESERVED),
    ("in-flight transaction limit reached for delegated accounts", AnswerClass.RESERVED),
    ("insufficient funds for gas * price + value: balance 0", AnswerClass.FUNDS),
    ("InsufficientFunds, Balance is zero", AnswerClass.FUNDS),
    ("intrinsic gas too low", AnswerClass.REJECTED),
    ("exceeds block gas limit", AnswerClass.REJECTED),
    ("tx fee (2.00 ether) exceeds the configured cap (1.00 ether)", AnswerClass.REJECTED),
    ("invalid chain id for signer", AnswerClass.REJECTED),
    ("oversized data: transaction size 200000", AnswerClass.REJECTED),
    ("rate limit exceeded", AnswerClass.AMBIGUOUS),
    ("Internal error", AnswerClass.AMBIGUOUS),
    ("", AnswerClass.AMBIGUOUS),
    ("words nobody has seen yet", AnswerClass.AMBIGUOUS),
]


@pytest.mark.parametrize(("message", "wanted"), TEXTS)
def test_the_words_of_clients_have_their_class(message: str, wanted: AnswerClass) -> None:
    for spelled in (message, message.upper(), f"err: {message}"):
        found = answer_class(sent_hash=SENT, tx_hash=None, answered=True, message=spelled)
        assert found is wanted


def test_every_class_but_accepted_and_ambiguous_has_words_and_an_example() -> None:
    spoken = set(AnswerClass) - {AnswerClass.ACCEPTED, AnswerClass.AMBIGUOUS}
    assert {each for each, _ in ANSWERS} == spoken
    assert {each for _, each in TEXTS} >= spoken


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
