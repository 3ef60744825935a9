"""The breaker: opens after failures in a row, lets one asker probe, and doubles its pause."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from adapters.evm.breaker import PAUSE_MAX_S, PAUSE_S, Breaker, BreakerState


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def state_of(breaker: Breaker) -> BreakerState:
    """Its state now: the type checker takes what it was a line ago for lasting."""
    return breaker.state


def opened(clock: Callable[[], float]) -> Breaker:
    breaker = Breaker(clock)
    breaker.failed()
    assert state_of(breaker) is BreakerState.CLOSED
    breaker.failed()
    assert state_of(breaker) is BreakerState.OPEN
    return breaker


def test_one_failure_leaves_it_closed_and_two_in_a_row_open_it() -> None:
    breaker = Breaker(HandClock())
    for _ in range(5):
        breaker.failed()
        breaker.succeeded()
    assert state_of(breaker) is BreakerState.CLOSED
    assert not opened(HandClock()).may_ask


def test_after_its_pause_one_asker_probes_and_an_answer_closes_it() -> None:
    clock = HandClock()
    breaker = opened(clock)
    clock.seconds += PAUSE_S
    assert state_of(breaker) is BreakerState.HALF_OPEN
    may_ask = [breaker.may_ask]
    breaker.asking()
    may_ask.append(breaker.may_ask)
    assert may_ask == [True, False]
    breaker.succeeded()
    assert (state_of(breaker), breaker.failures) == (BreakerState.CLOSED, 0)


def test_each_failed_probe_doubles_the_pause_up_to_its_most() -> None:
    clock = HandClock()
    breaker = opened(clock)
    pauses = []
    for _ in range(6):
        opened_at_s = clock.seconds
        while state_of(breaker) is BreakerState.OPEN:
            clock.seconds += 1
        pauses.append(int(clock.seconds - opened_at_s))
        breaker.asking()
        breaker.failed()
    assert pauses == [PAUSE_S, 10, 20, 40, PAUSE_MAX_S, PAUSE_MAX_S]


def test_failures_of_several_askers_at_once_count_as_one_opening() -> None:
    clock = HandClock()
    breaker = opened(clock)
    for _ in range(10):
        breaker.failed()
    clock.seconds += PAUSE_S
    assert state_of(breaker) is BreakerState.HALF_OPEN


def test_a_probe_that_was_given_up_leaves_room_for_another() -> None:
    clock = HandClock()
    breaker = opened(clock)
    clock.seconds += PAUSE_S
    breaker.asking()
    breaker.given_up()
    assert breaker.may_ask


@given(st.lists(st.sampled_from(["ask", "succeed", "fail", "give up", "wait"]), max_size=60))
def test_whatever_happened_it_may_be_asked_again_after_the_longest_pause(steps: list[str]) -> None:
    clock = HandClock()
    breaker = Breaker(clock)
    asked = 0
    for step in steps:
        if step == "ask":
            breaker.asking()
            asked += 1
        elif step == "wait":
            clock.seconds += 7
        elif asked:  # an answer belongs to a question
            asked -= 1
            {"succeed": breaker.succeeded, "fail": breaker.failed, "give up": breaker.given_up}[
                step
            ]()
    for _ in range(asked):
        breaker.given_up()
    clock.seconds += PAUSE_MAX_S
    assert breaker.may_ask
