"""What replacements offer, over many patience periods of a transaction that is not mined."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from node.core.ports.settlement import Attempt, OpenSlot
from node.core.settlement import Purpose, SlotState
from node.core.submission import AnswerClass, FeeRules, Fees, first_fees
from node.core.units import Address, TxHash
from node.services.settlement.fees import Market, next_fees

RULES = FeeRules()
BLOCK_S = 12
PERIODS = 60
GWEI = 10**9
SLOT = UUID(int=1)
BASE_FEE_WEI = 10 * GWEI
STILL = first_fees(BASE_FEE_WEI, [GWEI], RULES)
Pool = Callable[[Fees], AnswerClass]


def taken(_: Fees) -> AnswerClass:
    return AnswerClass.ACCEPTED


def full(_: Fees) -> AnswerClass:
    return AnswerClass.UNDERPRICED


def asks_for(least: Fees) -> Pool:
    """A pool that holds something and wants this for a replacement."""

    def answer(fees: Fees) -> AnswerClass:
        is_enough = (
            fees.max_fee_per_gas_wei >= least.max_fee_per_gas_wei
            and fees.max_priority_fee_per_gas_wei >= least.max_priority_fee_per_gas_wei
        )
        return AnswerClass.ACCEPTED if is_enough else AnswerClass.UNDERPRICED_REPLACEMENT

    return answer


def offered(
    pool: Pool,
    *,
    first: Fees = STILL,
    market: Callable[[int], Fees] = lambda _: STILL,
    is_head: bool = True,
) -> list[Fees]:
    """Fees of every attempt of a slot that is never mined."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    patience = timedelta(seconds=RULES.bump_after_blocks * BLOCK_S)
    attempts = [attempt(1, first, pool(first), start)]
    for period in range(1, PERIODS + 1):
        slot = OpenSlot(
            SLOT, 5, Purpose.SETTLE, SlotState.SUBMITTED, Address(bytes(20)), 0, b"", 1, attempts
        )
        now = start + period * patience
        seen = Market(market(period), "fee_history", BASE_FEE_WEI, now)
        step = next_fees(slot, seen, RULES, BLOCK_S, is_head=is_head)
        if step is not None:
            attempts.append(attempt(len(attempts) + 1, step[0], pool(step[0]), now))
    return [each.fees for each in attempts]


def attempt(sequence: int, fees: Fees, answer: AnswerClass, at: datetime) -> Attempt:
    return Attempt(
        tx_hash=TxHash(sequence.to_bytes(32)),
        slot_id=SLOT,
        sequence=sequence,
        raw=b"",
        fees=fees,
        fee_source="fee_history",
        created_at=at,
        last_sent_at=at,
        sends=3,
        last_answer=answer,
    )


@pytest.mark.parametrize("pool", [taken, full])
def test_a_market_that_stands_still_is_outbid_by_twice_at_most(pool: Pool) -> None:
    fees = offered(pool)
    assert len(fees) > 1
    assert fees[-1].max_fee_per_gas_wei <= 2 * STILL.max_fee_per_gas_wei
    assert fees[-1].max_priority_fee_per_gas_wei <= 2 * STILL.max_priority_fee_per_gas_wei


def test_who_waits_for_a_lower_nonce_is_not_raised_while_the_market_stands_still() -> None:
    assert offered(taken, is_head=False) == [STILL]
    assert len(offered(full, is_head=False)) == 2  # once: the pool may be of another mind


@pytest.mark.parametrize("is_head", [True, False])
def test_a_pool_gets_what_it_asks_for_a_replacement_and_little_more(*, is_head: bool) -> None:
    asked = Fees(10 * STILL.max_fee_per_gas_wei, 10 * STILL.max_priority_fee_per_gas_wei)
    last = offered(asks_for(asked), is_head=is_head)[-1]
    assert asked.max_fee_per_gas_wei <= last.max_fee_per_gas_wei
    assert last.max_fee_per_gas_wei <= 2 * asked.max_fee_per_gas_wei
    assert last.max_priority_fee_per_gas_wei <= 2 * asked.max_priority_fee_per_gas_wei


@pytest.mark.parametrize("is_head", [True, False])
def test_a_market_that_rises_is_followed_and_not_outbid_by_much(*, is_head: bool) -> None:
    def rising(period: int) -> Fees:
        return first_fees(BASE_FEE_WEI + period * GWEI, [GWEI], RULES)

    highest = rising(PERIODS)
    last = offered(taken, market=rising, is_head=is_head)[-1]
    assert highest.max_fee_per_gas_wei <= last.max_fee_per_gas_wei
    assert last.max_fee_per_gas_wei <= 2 * highest.max_fee_per_gas_wei
    dearer = highest.max_fee_per_gas_wei // STILL.max_fee_per_gas_wei + 1
    assert last.max_priority_fee_per_gas_wei <= 2 * dearer * STILL.max_priority_fee_per_gas_wei


def test_a_market_that_goes_up_and_down_does_not_drive_the_fees() -> None:
    dear = first_fees(5 * BASE_FEE_WEI, [5 * GWEI], RULES)
    fees = offered(taken, market=lambda period: dear if period % 2 else STILL)
    assert fees[-1].max_fee_per_gas_wei <= 2 * dear.max_fee_per_gas_wei
    assert fees[-1].max_priority_fee_per_gas_wei <= 2 * dear.max_priority_fee_per_gas_wei


def test_a_tip_rises_above_its_cap_only_where_the_market_or_a_pool_asks() -> None:
    at_cap = Fees(100 * GWEI, RULES.tip_max_wei)
    assert offered(taken, first=at_cap, market=lambda _: at_cap) == [at_cap]
    dearer = Fees(150 * GWEI, RULES.tip_max_wei)
    _, replaced = offered(taken, first=at_cap, market=lambda _: dearer)
    assert replaced == Fees(150 * GWEI, RULES.tip_max_wei * 1125 // 1000)
    asked = Fees(150 * GWEI, 60 * GWEI)
    last = offered(asks_for(asked), first=at_cap, market=lambda _: at_cap)[-1]
    assert last.max_priority_fee_per_gas_wei >= asked.max_priority_fee_per_gas_wei
