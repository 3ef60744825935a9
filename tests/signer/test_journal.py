"""What was signed is remembered: one content for a nonce, so much in a day, over restarts."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.errors import SignerUnavailable
from node.core.ports.chain import UnsignedTransaction
from node.core.units import Address
from node.signer.journal import (
    NONCES_KEPT,
    NOOP,
    Journal,
    KeyState,
    SigningRefused,
    content_digest,
    only_process,
)

TODAY = date(2026, 11, 22)
ADDRESS = Address(b"\1" * 20)
LIMIT = 100
PAYMENT = UnsignedTransaction(31337, 7, Address(b"\2" * 20), 0, b"\3", 400_000, 100, 10)


def signed(
    state: KeyState, nonce: int, content: str, units: int = 0, day: date = TODAY
) -> KeyState:
    return state.after(nonce, content, units, units_per_day=LIMIT, today=day)


def test_the_same_content_is_signed_again_and_counts_once() -> None:
    state = signed(KeyState(), 7, "a", 60)
    assert signed(state, 7, "a", 60) is state
    assert signed(state, 7, "a", 60, TODAY + timedelta(days=1)) is state
    assert state.paid_units == 60


def test_another_content_for_a_nonce_is_refused_but_a_no_op_is_not() -> None:
    state = signed(KeyState(), 7, "a", 60)
    with pytest.raises(SigningRefused, match="another transaction was signed for nonce 7"):
        signed(state, 7, "b")
    given_up = signed(state, 7, NOOP)
    assert signed(given_up, 7, NOOP) is given_up
    assert given_up.paid_units == 60
    for content in ("a", "b"):
        with pytest.raises(SigningRefused):
            signed(given_up, 7, content)


def test_a_day_s_limit_may_be_reached_and_not_passed_and_begins_anew_at_midnight() -> None:
    state = signed(signed(KeyState(), 1, "a", 60), 2, "b", 40)
    with pytest.raises(SigningRefused, match="0 are left until midnight UTC"):
        signed(state, 3, "c", 1)
    assert signed(state, 3, "void").paid_units == LIMIT
    assert signed(state, 3, "c", LIMIT, TODAY + timedelta(days=1)).paid_units == LIMIT
    with pytest.raises(SigningRefused, match="100 are left"):
        signed(KeyState(), 1, "a", LIMIT + 1)


def test_a_clock_that_goes_back_gives_no_second_day() -> None:
    state = signed(KeyState(), 1, "a", LIMIT)
    with pytest.raises(SigningRefused):
        signed(state, 2, "b", 1, TODAY - timedelta(days=1))


def test_what_is_forgotten_for_its_age_is_never_signed_again() -> None:
    state = KeyState()
    for nonce in range(NONCES_KEPT + 10):
        state = signed(state, nonce, "a")
    assert len(state.signed) == NONCES_KEPT
    with pytest.raises(SigningRefused, match="long used"):
        signed(state, 9, NOOP)
    assert signed(state, 10, "a") is state


def test_a_nonce_that_an_operator_lets_go_is_signed_anew_and_its_payment_stays_counted() -> None:
    state = signed(KeyState(), 7, "a", 60).forgetting(7)
    assert signed(state, 7, "b", 40).paid_units == LIMIT
    with pytest.raises(SigningRefused):
        signed(state, 7, "b", 41)


requests = st.tuples(
    st.integers(0, 6),
    st.sampled_from(["a", "b", "c", NOOP]),
    st.integers(0, 3),
)


@given(st.lists(requests, max_size=60), st.data())
def test_whatever_is_asked_in_whatever_order_both_promises_are_kept(
    asked: list[tuple[int, str, int]], data: st.DataObject
) -> None:
    units_of = {"a": 30, "b": 50, "c": 100, NOOP: 0}
    state, day_number = KeyState(), 0
    contents: dict[int, list[str]] = {}
    paid: dict[int, int] = {}
    for nonce, content, step in asked:
        day_number += step == 3
        before = state
        try:
            state = signed(
                state, nonce, content, units_of[content], TODAY + timedelta(days=day_number)
            )
        except SigningRefused:
            assert state is before
            continue
        if state is not before:
            contents.setdefault(nonce, []).append(content)
            paid[day_number] = paid.get(day_number, 0) + units_of[content]
    assert all(each <= LIMIT for each in paid.values())
    for history in contents.values():
        payments = [each for each in history if each != NOOP]
        assert len(payments) <= 1
        assert history == [*payments, NOOP][: len(history)] or history == [NOOP]


def test_fees_and_nonce_are_no_part_of_the_content_and_everything_else_is() -> None:
    digest = content_digest(PAYMENT)
    bumped = replace(PAYMENT, nonce=8, max_fee_per_gas_wei=200, max_priority_fee_per_gas_wei=20)
    assert content_digest(bumped) == digest
    others = [
        replace(PAYMENT, chain_id=1),
        replace(PAYMENT, to=ADDRESS),
        replace(PAYMENT, value_wei=1),
        replace(PAYMENT, data=b"\4"),
        replace(PAYMENT, gas_limit=400_001),
    ]
    assert len({digest, *map(content_digest, others)}) == len(others) + 1


# ---------------------------------------------------------------------------------------- files


def test_what_was_written_is_read_by_the_next_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path, ADDRESS)
    assert journal.state == KeyState()
    state = signed(signed(KeyState(), 7, "a", 60), 8, NOOP)
    journal.write(state)
    assert Journal(tmp_path, ADDRESS).state == state
    assert Journal(tmp_path, Address(b"\2" * 20)).state == KeyState()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"day": null}', '{"day": 7}'])
def test_a_damaged_file_stops_the_program_instead_of_starting_anew(
    tmp_path: Path, text: str
) -> None:
    Journal(tmp_path, ADDRESS).write(signed(KeyState(), 7, "a", 60))
    (tmp_path / f"0x{ADDRESS.hex()}.json").write_text(text)
    with pytest.raises(SignerUnavailable, match="damaged"):
        Journal(tmp_path, ADDRESS)


def test_a_write_that_was_interrupted_leaves_the_state_before(tmp_path: Path) -> None:
    journal = Journal(tmp_path, ADDRESS)
    state = signed(KeyState(), 7, "a", 60)
    journal.write(state)
    (tmp_path / f"0x{ADDRESS.hex()}.new").write_text('{"day":')
    assert Journal(tmp_path, ADDRESS).state == state


def test_a_state_that_cannot_be_written_is_not_taken_for_written(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    journal = Journal(directory, ADDRESS)
    directory.rmdir()
    with pytest.raises(OSError, match="No such file"):
        journal.write(signed(KeyState(), 7, "a", 60))
    assert journal.state == KeyState()


def test_two_processes_never_share_a_state_directory(tmp_path: Path) -> None:
    with (
        only_process(tmp_path / "state"),
        pytest.raises(SignerUnavailable, match="another signer process"),
        only_process(tmp_path / "state"),
    ):
        pass
    with only_process(tmp_path / "state"):
        pass
