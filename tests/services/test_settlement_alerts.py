"""What needs a person, and what does not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.machine import new_id
from node.core.ports.settlement import Lane, Pause
from node.core.ports.settlement_views import ContractView, HeadOfLine, LaneView, OpenRow
from node.core.settlement import LaneStatus, PauseReason, Purpose, SlotState, Waiting, settle_gas
from node.core.submission import AnswerClass, Fees
from node.core.units import Address
from node.services.settlement.alerts import (
    AlertCode,
    AlertRules,
    Facts,
    Severity,
    alerts,
)

NOW = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
CONTRACT, LANE = Address(b"\xc0" * 20), Address(b"\x1a" * 20)
GWEI = 10**9
COIN = 10**20
HEAD = HeadOfLine(
    new_id(), 7, Purpose.SETTLE, SlotState.SUBMITTED, NOW, 1, Fees(2 * GWEI, GWEI), 1, NOW,
    AnswerClass.ACCEPTED, None,
)  # fmt: skip
A_LANE = LaneView(
    Lane(1, 31337, LANE, 8, LaneStatus.ACTIVE, None, 1, "worker", NOW + timedelta(seconds=9)),
    "settle", COIN, 5_000_000, NOW, 1, HEAD,
)  # fmt: skip
A_CONTRACT = ContractView(12, 1_000, None, paused=False, token_paused=False, seen_at=NOW)


def facts(**changes: Any) -> Facts:
    usual = Facts(
        at=NOW,
        address=CONTRACT,
        roles=[(CONTRACT, "contract"), (LANE, "settle")],
        pauses=[],
        lanes=[A_LANE],
        contract=A_CONTRACT,
        committed_units=0,
        open_transfers=[],
        gas_price_wei=GWEI,
    )
    return replace(usual, **changes)


def codes(**changes: Any) -> Sequence[AlertCode]:
    return [each.code for each in alerts(facts(**changes))]


def with_lane(**changes: Any) -> Sequence[LaneView]:
    lane = {name: changes.pop(name) for name in ("status", "lease_until") if name in changes}
    return [replace(A_LANE, lane=replace(A_LANE.lane, **lane), **changes)]


def waiting(code: Waiting | None, *, amount: int = 10, state: str = "funded") -> list[OpenRow]:
    return [OpenRow(state, None if code is None else code.value, 1, amount, NOW)]


def test_a_node_that_works_needs_nobody() -> None:
    assert codes() == []
    assert codes(lanes=[], roles=[], contract=None, gas_price_wei=None) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"lanes": with_lane(status=LaneStatus.AHEAD)}, AlertCode.ADOPTION_NEEDED),
        ({"lanes": with_lane(status=LaneStatus.STOPPED)}, AlertCode.LANE_STOPPED),
        ({"lanes": with_lane(lease_until=NOW - timedelta(seconds=1))}, AlertCode.LANE_IDLE),
        ({"lanes": with_lane(lease_until=None)}, AlertCode.LANE_IDLE),
        ({"lanes": with_lane(balance_wei=0)}, AlertCode.GAS_LOW),
        ({"lanes": with_lane(cap_left=0)}, AlertCode.CAP_REACHED),
        ({"open_transfers": waiting(Waiting.CAP_REACHED)}, AlertCode.CAP_REACHED),
        ({"open_transfers": waiting(Waiting.FLOAT_SHORT)}, AlertCode.FLOAT_LOW),
        ({"open_transfers": waiting(None, amount=1_001)}, AlertCode.FLOAT_LOW),
        ({"committed_units": 1_000}, AlertCode.FLOAT_LOW),
        ({"contract": replace(A_CONTRACT, cap_left=0)}, AlertCode.CAP_REACHED),
        ({"contract": replace(A_CONTRACT, paused=True)}, AlertCode.CONTRACT_PAUSED),
        ({"contract": replace(A_CONTRACT, token_paused=True)}, AlertCode.TOKEN_PAUSED),
        (
            {"pauses": [Pause(PauseReason.FOREIGN_NONCE, False, None, "node:settle", NOW)]},
            AlertCode.PAUSED,
        ),
        (
            {"open_transfers": [OpenRow("unknown", None, 2, 5, NOW - timedelta(seconds=301))]},
            AlertCode.OUTCOME_UNKNOWN,
        ),
    ],
)
def test_what_stops_payments_is_an_alert_of_its_own(
    changes: dict[str, Any], code: AlertCode
) -> None:
    (alert,) = alerts(facts(**changes))
    assert alert.code is code
    assert alert.seen
    assert alert.next_action


def test_the_head_of_the_line_is_stuck_after_three_patiences_and_says_what_providers_said() -> None:
    rules = AlertRules.patient_for(3, 12, payments_max=256)
    young = replace(HEAD, written_at=NOW - timedelta(seconds=3 * 3 * 12 - 1))
    assert codes(lanes=with_lane(head=young), rules=rules) == []
    old = replace(
        HEAD,
        written_at=NOW - timedelta(seconds=3 * 3 * 12),
        attempts=3,
        last_answer=AnswerClass.FUNDS,
        last_message="insufficient funds",
    )
    (alert,) = alerts(facts(lanes=with_lane(head=old), rules=rules))
    assert (alert.code, alert.severity) == (AlertCode.LINE_STUCK, Severity.CRITICAL)
    for told in ("nonce 7", "108 s", "3 attempts", AnswerClass.FUNDS.value, "insufficient funds"):
        assert told in alert.seen


def test_gas_is_low_below_four_full_batches_at_twice_the_last_price() -> None:
    least = 4 * 2 * GWEI * settle_gas(256)
    assert codes(lanes=with_lane(balance_wei=least)) == []
    assert codes(lanes=with_lane(balance_wei=least - 1)) == [AlertCode.GAS_LOW]
    assert codes(lanes=with_lane(balance_wei=1), gas_price_wei=None) == []
    assert codes(lanes=with_lane(balance_wei=None)) == []


@pytest.mark.parametrize("role", ["settle", "treasury", "pauser"])
def test_gas_is_low_below_the_mark_of_the_settings_whatever_it_costs(role: str) -> None:
    rules = AlertRules.patient_for(3, 12, payments_max=256, lane_gas_low_wei=10**18)
    usual = {"rules": rules, "roles": [(LANE, role)]}
    for price_wei in (None, 1, GWEI):
        assert codes(lanes=with_lane(role=role, balance_wei=10**18), gas_price_wei=price_wei,
                     **usual) == []  # fmt: skip
        (alert,) = alerts(
            facts(
                lanes=with_lane(role=role, balance_wei=10**18 - 1), gas_price_wei=price_wei, **usual
            )
        )
        assert (alert.code, alert.severity) == (AlertCode.GAS_LOW, Severity.WARNING)
        assert str(10**18) in alert.seen
    dear = 10_000 * GWEI  # where gas costs more than the mark allows for, the price counts
    assert codes(lanes=with_lane(role=role, balance_wei=10**18), gas_price_wei=dear, **usual) == [
        AlertCode.GAS_LOW
    ]


def test_the_treasury_is_filled_from_outside_and_other_keys_by_the_treasury() -> None:
    for role, told in (("treasury", "from outside"), ("pauser", "corridor settlement gas")):
        (alert,) = alerts(facts(lanes=with_lane(role=role, balance_wei=1), roles=[(LANE, role)]))
        assert told in alert.next_action
        assert ("corridor settlement gas" in alert.next_action) == (role != "treasury")


def test_the_float_is_low_when_what_is_free_of_it_is_below_the_mark_of_the_settings() -> None:
    rules = AlertRules.patient_for(3, 12, payments_max=256, float_low_units=900)
    assert codes(rules=rules, committed_units=100) == []
    (alert,) = alerts(facts(rules=rules, committed_units=101))
    assert (alert.code, alert.severity) == (AlertCode.FLOAT_LOW, Severity.WARNING)
    assert "899" in alert.seen
    assert "900" in alert.seen
    assert codes(rules=rules, contract=None) == []


def test_low_gas_is_critical_once_a_payment_waits_for_it() -> None:
    low = with_lane(balance_wei=5)
    (alert,) = alerts(facts(lanes=low))
    assert alert.severity is Severity.WARNING
    (alert,) = alerts(facts(lanes=low, open_transfers=waiting(Waiting.GAS_LOW)))
    assert (alert.severity, alert.address) == (Severity.CRITICAL, LANE)


def test_a_payment_that_waits_for_gas_is_told_even_where_no_price_was_ever_paid() -> None:
    (alert,) = alerts(facts(gas_price_wei=None, open_transfers=waiting(Waiting.GAS_LOW)))
    assert (alert.code, alert.severity, alert.address) == (
        AlertCode.GAS_LOW, Severity.CRITICAL, None,
    )  # fmt: skip


def test_a_key_that_does_not_pay_needs_no_worker_and_little_gas() -> None:
    idle = with_lane(lease_until=None, role="treasury", head=None, balance_wei=10**16)
    assert codes(lanes=idle, roles=[(LANE, "treasury")]) == []


def test_a_key_that_no_worker_ever_had_is_idle() -> None:
    (alert,) = alerts(facts(lanes=[]))
    assert (alert.code, alert.address) == (AlertCode.LANE_IDLE, LANE)


def test_a_retired_key_needs_neither_worker_nor_gas_until_its_line_is_stuck_or_it_is_ahead() -> (
    None
):
    retired = with_lane(lease_until=None, balance_wei=0, cap_left=0, head=None)
    assert codes(lanes=retired, roles=[]) == []
    old = replace(HEAD, written_at=NOW - timedelta(hours=1))
    assert codes(lanes=with_lane(lease_until=None, head=old), roles=[]) == [AlertCode.LINE_STUCK]
    ahead = with_lane(status=LaneStatus.AHEAD, head=None)
    assert codes(lanes=ahead, roles=[]) == [AlertCode.ADOPTION_NEEDED]


def test_what_only_takes_its_turn_is_no_alert() -> None:
    assert codes(open_transfers=waiting(None, amount=1_000)) == []
    assert codes(open_transfers=[OpenRow("unknown", None, 2, 5, NOW)]) == []


def test_what_is_critical_comes_first() -> None:
    found = alerts(facts(contract=replace(A_CONTRACT, cap_left=0, token_paused=True)))
    assert [each.code for each in found] == [AlertCode.TOKEN_PAUSED, AlertCode.CAP_REACHED]
