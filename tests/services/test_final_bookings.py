"""What final facts book, without a database: native coin never drifts from the chain's floor."""

from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from node.core.breaks import BreakCode
from node.core.ledger import Entry, chain_account, suspense_account
from node.core.mirror import BlockPoint, TokenLog, Watch
from node.core.ports.mirror import SlotRow, TokenLogRow
from node.core.reconcile import native_units
from node.core.units import Address, BlockHash, TxHash
from node.services.ledger.final_bookings import FinalBookings

CHAIN_ID = 31337
CONTRACT, TREASURY, LANE, STRANGER = (Address(bytes([n]) * 20) for n in (1, 2, 3, 9))
WATCH = Watch(
    CHAIN_ID, CONTRACT, Address(b"\x70" * 20), "USDC", "ETH", frozenset({CONTRACT, TREASURY, LANE})
)
MOVEMENT = UUID(int=5)


def block(number: int) -> BlockPoint:
    return BlockPoint(number, BlockHash(number.to_bytes(32)))


def slot(
    number: int, *, gas_used: int, price_wei: int, value_wei: int = 0, to: Address = CONTRACT
) -> SlotRow:
    return SlotRow(
        slot_id=UUID(int=number),
        sender=LANE,
        nonce=number,
        purpose="movement" if value_wei else "settle",
        to_address=to,
        value_wei=value_wei,
        block=block(number),
        tx_hash=TxHash(number.to_bytes(32)),
        succeeded=True,
        gas_used=gas_used,
        effective_gas_price_wei=price_wei,
        movement_id=MOVEMENT if value_wei else None,
    )


def posted(bookings: FinalBookings, path: str) -> int:
    """Debits less credits of everything booked on an account."""
    entries = [entry for each in bookings.transactions for entry in each.entries]
    return sum(e.amount for e in entries if e.debit == path) - sum(
        e.amount for e in entries if e.credit == path
    )


spends = st.lists(
    st.tuples(st.integers(21_000, 16_777_216), st.integers(0, 10**12), st.integers(0, 10**18)),
    max_size=12,
)


@given(st.integers(0, 10**20), st.integers(0, 10**20), spends)
def test_after_any_gas_and_movements_the_ledger_is_the_floor_of_the_chain(
    lane_wei: int, treasury_wei: int, spent: list[tuple[int, int, int]]
) -> None:
    start = {(LANE, "ETH"): lane_wei, (TREASURY, "ETH"): treasury_wei}
    bookings = FinalBookings(WATCH, dict(start))
    bookings.book_slots(
        [
            slot(n, gas_used=gas, price_wei=price, value_wei=value, to=TREASURY)
            for n, (gas, price, value) in enumerate(spent, start=1)
        ]
    )
    for address, before_wei in ((LANE, lane_wei), (TREASURY, treasury_wei)):
        path = chain_account(CHAIN_ID, address, "ETH")
        after_wei = bookings.holdings[address, "ETH"]
        assert after_wei >= 0
        assert native_units(before_wei) + posted(bookings, path) == native_units(after_wei)


@given(st.integers(0, 10**20), st.integers(0, 10**20))
def test_what_the_chain_says_beyond_the_mirror_is_a_deposit_or_a_break(
    expected_wei: int, actual_wei: int
) -> None:
    bookings = FinalBookings(WATCH, {(LANE, "ETH"): expected_wei})
    bookings.compare_natives({LANE: actual_wei}, block(1))
    assert bookings.holdings[LANE, "ETH"] == actual_wei
    came_in = -posted(bookings, suspense_account(CHAIN_ID, "ETH"))
    fell = [each.code for each in bookings.breaks]
    if actual_wei >= expected_wei:
        assert (came_in, fell) == (native_units(actual_wei) - native_units(expected_wei), [])
    else:
        assert (came_in, fell) == (0, [BreakCode.NATIVE_UNEXPLAINED])
        assert bookings.stops_settlement


def test_coin_that_comes_back_in_parts_is_booked_by_nobody_twice() -> None:
    bookings = FinalBookings(WATCH, {(LANE, "ETH"): 0}, {LANE: 10})
    bookings.compare_natives({LANE: 4 * 10**9}, block(1))
    assert (bookings.transactions, bookings.end_falls(block(1))) == ([], {LANE})
    [rest] = bookings.breaks
    assert (rest.code, rest.evidence["minor"]) == (BreakCode.NATIVE_UNEXPLAINED, "6")

    again = FinalBookings(WATCH, {(LANE, "ETH"): 4 * 10**9}, {LANE: 6})
    again.book_slots([slot(1, gas_used=5, price_wei=10**9)])  # paid with coin that was missing
    again.compare_natives({LANE: 7 * 10**9}, block(2))
    assert posted(again, suspense_account(CHAIN_ID, "ETH")) == -1 - 1
    assert (again.end_falls(block(2)), again.breaks) == ({LANE}, [])


def token_row(sender: Address, receiver: Address, movement: UUID | None) -> TokenLogRow:
    return TokenLogRow(block(1), TokenLog(0, TxHash(bytes(32)), sender, receiver, 70), movement)


def test_a_treasury_movement_is_booked_between_the_two_addresses() -> None:
    bookings = FinalBookings(WATCH, {(TREASURY, "USDC"): 100})
    bookings.explain_token_logs([token_row(TREASURY, CONTRACT, MOVEMENT)], [], {})
    assert bookings.transactions[0].entries == [
        Entry(
            chain_account(CHAIN_ID, CONTRACT, "USDC"),
            chain_account(CHAIN_ID, TREASURY, "USDC"),
            "USDC",
            70,
        )
    ]
    assert bookings.movements == {MOVEMENT: True}
    assert bookings.holdings == {(TREASURY, "USDC"): 30, (CONTRACT, "USDC"): 70}
    assert bookings.breaks == []


def test_money_rescued_from_the_contract_is_no_orphan_where_a_movement_asked_for_it() -> None:
    bookings = FinalBookings(WATCH, {(CONTRACT, "USDC"): 100})
    bookings.explain_token_logs([token_row(CONTRACT, TREASURY, MOVEMENT)], [], {})
    bookings.book_slots([replace(slot(1, gas_used=0, price_wei=1), movement_id=MOVEMENT)])
    assert posted(bookings, chain_account(CHAIN_ID, TREASURY, "USDC")) == 70
    assert bookings.holdings[CONTRACT, "USDC"] == 30
    assert (bookings.movements, bookings.breaks) == ({MOVEMENT: True}, [])


def test_a_movement_that_reverted_moved_nothing_and_its_gas_is_booked() -> None:
    bookings = FinalBookings(WATCH, {(LANE, "ETH"): 10**18})
    reverted = replace(slot(1, gas_used=50_000, price_wei=10**9), movement_id=MOVEMENT)
    bookings.book_slots([replace(reverted, succeeded=False)])
    assert bookings.movements == {MOVEMENT: False}
    assert [each.kind for each in bookings.transactions] == ["gas"]
    assert posted(bookings, chain_account(CHAIN_ID, LANE, "ETH")) == -50_000


def test_a_move_between_own_addresses_that_nobody_asked_for_is_booked_and_still_a_break() -> None:
    bookings = FinalBookings(WATCH, {(TREASURY, "USDC"): 100})
    bookings.explain_token_logs([token_row(TREASURY, CONTRACT, None)], [], {})
    assert posted(bookings, chain_account(CHAIN_ID, CONTRACT, "USDC")) == 70
    assert [each.code for each in bookings.breaks] == [BreakCode.ORPHAN_OUTBOUND]


def test_money_to_a_stranger_is_not_booked_by_the_mirror() -> None:
    bookings = FinalBookings(WATCH, {(TREASURY, "USDC"): 100})
    bookings.explain_token_logs([token_row(TREASURY, STRANGER, None)], [], {})
    assert bookings.transactions == []
    assert bookings.holdings[TREASURY, "USDC"] == 30
    assert bookings.stops_settlement


def test_a_deposit_no_entry_can_hold_is_a_break_and_no_crash() -> None:
    huge = TokenLog(0, TxHash(bytes(32)), STRANGER, TREASURY, 2**200)
    bookings = FinalBookings(WATCH, {})
    bookings.explain_token_logs([TokenLogRow(block(1), huge, None)], [], {})
    assert bookings.transactions == []
    assert [each.code for each in bookings.breaks] == [BreakCode.UNKNOWN_DEPOSIT]
