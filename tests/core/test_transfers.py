"""The transfer machine: which moves there are, and what they do to the money."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.errors import WrongState
from node.core.ledger import Outcome
from node.core.transfers import (
    MOVES,
    STATUS,
    TERMINAL,
    WITH_PARTNER,
    Happening,
    State,
    accepts,
    move,
)

WITHOUT_REORGS = sorted(set(Happening) - {Happening.UNSETTLED, Happening.REACHED_AGAIN})
PAID = (State.SETTLED, State.PAID_OUT)
HAPPENINGS = st.lists(st.sampled_from(WITHOUT_REORGS), max_size=20)


@given(HAPPENINGS)
def test_money_is_posted_or_voided_at_most_once_and_exactly_when_the_transfer_ends(
    happenings: list[Happening],
) -> None:
    state, was_written, bookings = State.FUNDED, False, []
    for happening in happenings:
        if not accepts(state, happening, was_written=was_written):
            continue
        step = move(state, happening, was_written=was_written)
        was_written = was_written or happening is Happening.SIGNED
        state = step.state
        bookings += [step.booking] if step.booking else []
    assert len(bookings) == (state in TERMINAL)
    if bookings:
        assert bookings == [Outcome.POSTED if state in PAID else Outcome.VOIDED]


@given(st.sampled_from(sorted(TERMINAL)), st.sampled_from(WITHOUT_REORGS), st.booleans())
def test_terminal_states_never_change_unless_finality_itself_is_undone(
    state: State, happening: Happening, was_written: bool
) -> None:
    with pytest.raises(WrongState):
        move(state, happening, was_written=was_written)


@pytest.mark.parametrize("state", sorted(State))
def test_only_what_is_settled_can_be_unsettled_and_that_ends_nothing(state: State) -> None:
    was_final = state is State.SETTLED or state in WITH_PARTNER
    assert accepts(state, Happening.UNSETTLED, was_written=True) == was_final
    step = move(State.SETTLED, Happening.UNSETTLED, was_written=True)
    assert (step.state, step.type, step.booking) == (State.SUBMITTED, "transfer.reorged", None)


@given(HAPPENINGS)
def test_what_was_in_a_written_batch_gives_its_money_back_only_through_voiding(
    happenings: list[Happening],
) -> None:
    state, path = State.FUNDED, [State.FUNDED]
    for happening in happenings:
        if accepts(state, happening, was_written=True):
            state = move(state, happening, was_written=True).state
            path.append(state)
    if state in TERMINAL - {*PAID, State.REFUNDED}:
        assert path[-2] is State.VOIDING


@given(HAPPENINGS)
def test_what_reached_a_partner_ends_by_what_the_partner_did_alone(
    happenings: list[Happening],
) -> None:
    state, path = State.FUNDED, [State.FUNDED]
    for happening in happenings:
        if accepts(state, happening, was_written=True):
            state = move(state, happening, was_written=True).state
            path.append(state)
    if State.PAYOUT_PENDING in path:
        assert state in WITH_PARTNER
    else:
        assert state not in WITH_PARTNER


@pytest.mark.parametrize("state", [State.PAID_OUT, State.REFUNDED])
def test_what_a_partner_did_is_not_undone_by_a_chain(state: State) -> None:
    for happening in (Happening.UNSETTLED, Happening.REACHED_AGAIN):
        step = move(state, happening, was_written=True)
        assert (step.state, step.booking) == (state, None)


@pytest.mark.parametrize("ending", [Happening.CANCELED, Happening.FAILED, Happening.EXPIRED])
def test_what_was_never_written_ends_at_once(ending: Happening) -> None:
    step = move(State.FUNDED, ending, was_written=False)
    assert (step.state, step.booking) == (State(ending), Outcome.VOIDED)


def test_a_void_that_loses_the_race_pays() -> None:
    step = move(State.VOIDING, Happening.SETTLED, was_written=True)
    assert (step.state, step.booking) == (State.SETTLED, Outcome.POSTED)


def test_only_the_mirror_words_pay() -> None:
    assert {happening for (_, happening), state in MOVES.items() if state is State.SETTLED} == {
        Happening.SETTLED
    }


def test_event_types_are_the_state_reached_with_few_exceptions() -> None:
    for (before, happening), after in MOVES.items():
        written = before not in (State.FUNDED, State.ON_HOLD)
        step = move(before, happening, was_written=written)
        own_words = {
            Happening.REORGED: "reorged",
            Happening.UNSETTLED: "reorged",
            Happening.REQUEUED: "requeued",
            Happening.RENUMBERED: "renumbered",
            Happening.REACHED_AGAIN: "reached_again",
            Happening.PAYOUT_RETRIED: "payout_retried",
        }
        assert step.type == f"transfer.{own_words.get(happening, after)}"


def test_every_state_has_a_status() -> None:
    assert set(STATUS) == set(State)
