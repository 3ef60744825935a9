"""What unexplained transactions are, and what follows from them: laws over made-up histories."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from node.core.adoption.calls import RESCUE_SELECTOR, purpose_of
from node.core.adoption.facts import (
    Knowledge,
    KnownSlot,
    KnownTransfer,
    MinedTransaction,
    NumberUse,
    OwnAccounts,
    RequestedMovement,
)
from node.core.adoption.found import AdoptionPlan, Finding, Link
from node.core.adoption.plan import CLOCK_MARGIN, NUMBER_LIMIT, link_of, plan, renumberable
from node.core.mirror import BlockPoint, SettlementKind
from node.core.settlement import (
    PaymentRecord,
    Purpose,
    SlotState,
    settle_calldata,
    token_transfer_calldata,
    void_calldata,
)
from node.core.submission import Fees
from node.core.sweeping import sweep_calldata
from node.core.transfers import State
from node.core.units import Address, BlockHash, TxHash

LANE, OTHER_LANE, TREASURY = (Address(bytes([n]) * 20) for n in (1, 2, 3))
CONTRACT, TOKEN, DEPOSITS, STRANGER = (Address(bytes([n]) * 20) for n in (4, 5, 6, 9))
OWN = OwnAccounts(
    CONTRACT,
    TOKEN,
    "USDC",
    "ETH",
    frozenset({LANE, OTHER_LANE, TREASURY, CONTRACT}),
    TREASURY,
    DEPOSITS,
)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def mined(
    nonce: int,
    data: bytes = b"",
    *,
    to: Address | None = CONTRACT,
    value_wei: int = 0,
    sender: Address = LANE,
    block: int | None = None,
) -> MinedTransaction:
    """A transaction with a hash of its own."""
    tx_hash = TxHash(keccak(bytes([nonce]) + sender + data + bytes([value_wei % 251])))
    number = 100 + nonce if block is None else block
    return MinedTransaction(
        *(tx_hash, sender, nonce, to, value_wei, data, 100_000, Fees(2, 1), b"raw"),
        BlockPoint(number, BlockHash(bytes([number % 256]) * 32)),
        NOON,
        *(nonce, True, 50_000, 10**9),
    )


def a_transfer(number: int, **changes: object) -> KnownTransfer:
    """A transfer that was funded before noon and never written."""
    made = KnownTransfer(
        *(UUID(int=number), number, Address(bytes([0xBE]) * 20), 1000 + number),
        NOON - timedelta(hours=1),
        *(State.FUNDED, False, None),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def record(transfer: KnownTransfer) -> PaymentRecord:
    return PaymentRecord(transfer.number, transfer.beneficiary, transfer.amount)


def a_slot(nonce: int, transaction: MinedTransaction, **changes: object) -> KnownSlot:
    """The slot of a transaction, as it was when it was sent."""
    made = KnownSlot(
        *(UUID(int=1000 + nonce), LANE, nonce, Purpose.SETTLE, SlotState.SUBMITTED),
        *(transaction.to or CONTRACT, transaction.value_wei, transaction.data, None),
        frozenset({transaction.tx_hash}),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def settled(
    transaction: MinedTransaction, transfer: KnownTransfer, kind: SettlementKind | None = None
) -> NumberUse:
    """The contract paid this record in this transaction."""
    return NumberUse(
        transfer.number,
        kind or SettlementKind.SETTLED,
        transaction.tx_hash,
        transaction.mined_at,
        *(transfer.beneficiary, transfer.amount),
    )


def only(planned: AdoptionPlan) -> Finding:
    (found,) = planned.transactions
    return found.finding


# ---------------------------------------------------------------------------- what a transaction is


def test_a_transaction_is_named_by_what_the_database_has_at_its_nonce() -> None:
    sent = mined(7, settle_calldata([record(a_transfer(1))]))
    known = a_slot(7, sent)
    other = a_slot(7, mined(7, settle_calldata([record(a_transfer(2))])))
    assert only(plan(OWN, [sent], Knowledge())) is Finding.NEW
    assert only(plan(OWN, [sent], Knowledge(slots=[known]))) is Finding.KNOWN
    lost = replace(known, hashes=frozenset())
    assert only(plan(OWN, [sent], Knowledge(slots=[lost]))) is Finding.LOST_ATTEMPT
    planned = plan(OWN, [sent], Knowledge(slots=[other]))
    assert only(planned) is Finding.OVERTAKES
    assert planned.overtaken == [other.id]
    done = replace(known, state=SlotState.INCLUDED, tx_hash=sent.tx_hash)
    assert list(plan(OWN, [sent], Knowledge(slots=[done])).transactions) == []


@pytest.mark.parametrize(
    ("transaction", "purpose"),
    [
        (mined(1, to=LANE), Purpose.NOOP),
        (mined(1, settle_calldata([record(a_transfer(1))])), Purpose.SETTLE),
        (mined(1, void_calldata([5])), Purpose.VOID),
        (mined(1, bytes.fromhex("8456cb59")), Purpose.ADMIN),
        (mined(1, settle_calldata([record(a_transfer(1))]), to=STRANGER), Purpose.UNKNOWN),
        (mined(1, settle_calldata([record(a_transfer(1))]), value_wei=1), Purpose.UNKNOWN),
        (mined(1, to=None, data=b"code"), Purpose.UNKNOWN),
        (mined(1, to=STRANGER, value_wei=10**9), Purpose.UNKNOWN),
        (mined(1, token_transfer_calldata(STRANGER, 5), to=TOKEN), Purpose.UNKNOWN),
        (mined(1, token_transfer_calldata(TREASURY, 5), to=TOKEN), Purpose.MOVEMENT),
        (mined(1, to=TREASURY, value_wei=10**9), Purpose.MOVEMENT),
        (mined(1, sweep_calldata(TOKEN, [bytes(32)]), to=DEPOSITS), Purpose.MOVEMENT),
        (mined(1, sweep_calldata(STRANGER, [bytes(32)]), to=DEPOSITS), Purpose.UNKNOWN),
        (mined(1, sweep_calldata(TOKEN, [bytes(32)]), to=STRANGER), Purpose.UNKNOWN),
    ],
)
def test_the_purpose_of_a_call_is_told_from_the_call(
    transaction: MinedTransaction, purpose: Purpose
) -> None:
    assert purpose_of(OWN, transaction) is purpose


@pytest.mark.parametrize(
    ("transaction", "kind"),
    [
        (mined(1, token_transfer_calldata(CONTRACT, 5), to=TOKEN, sender=TREASURY), "float_top_up"),
        (mined(1, to=LANE, value_wei=10**9, sender=TREASURY), "lane_gas"),
        (mined(1, to=TREASURY, value_wei=10**9), "sweep"),
        (mined(1, token_transfer_calldata(TREASURY, 5), to=TOKEN), "sweep"),
        (
            mined(
                1,
                RESCUE_SELECTOR + bytes(12) + TOKEN + bytes(12) + TREASURY + (5).to_bytes(32),
            ),
            "rescue",
        ),
        (mined(1, to=OTHER_LANE, value_wei=10**9), None),
        (mined(1, to=TREASURY, value_wei=10**9 + 1), None),  # no movement has such an amount
        (mined(1, token_transfer_calldata(TREASURY, 2**62), to=TOKEN), None),
    ],
)
def test_what_moves_between_own_addresses_is_a_movement_of_its_kind(
    transaction: MinedTransaction, kind: str | None
) -> None:
    (found,) = plan(OWN, [transaction], Knowledge()).transactions
    assert (found.movement and found.movement.kind) == kind


def test_a_movement_that_was_asked_for_is_carried_out_once() -> None:
    sent = [mined(n, to=LANE, value_wei=5 * 10**9, sender=TREASURY) for n in (1, 2)]
    asked = RequestedMovement(
        *(UUID(int=9), "lane_gas", TREASURY, TREASURY, LANE, "ETH", 5),
        NOON - timedelta(hours=1),
    )
    planned = plan(OWN, sent, Knowledge(movements=[asked]))
    ids = [each.movement.movement_id for each in planned.transactions if each.movement]
    assert ids == [asked.id, None]


def test_a_sweep_of_deposits_is_a_movement_of_what_the_contract_received() -> None:
    sent = mined(1, sweep_calldata(TOKEN, [bytes(32)]), to=DEPOSITS)
    (found,) = plan(OWN, [sent], Knowledge(received={sent.tx_hash: 70})).transactions
    assert found.purpose is Purpose.MOVEMENT
    assert found.movement is not None
    assert (found.movement.kind, found.movement.amount) == ("deposit_sweep", 70)
    assert (found.movement.source, found.movement.to) == (DEPOSITS, CONTRACT)


def test_a_sweep_of_deposits_that_moved_nothing_is_explained_and_no_movement() -> None:
    sent = mined(1, sweep_calldata(TOKEN, [bytes(32)]), to=DEPOSITS)
    (found,) = plan(OWN, [sent], Knowledge()).transactions
    assert (found.purpose, found.movement) == (Purpose.MOVEMENT, None)


def test_the_selector_of_rescue_is_that_of_the_contract() -> None:
    assert keccak(text="rescue(address,address,uint256)")[:4] == RESCUE_SELECTOR


# ------------------------------------------------------------------------------- whose a payment is


def test_a_payment_is_a_transfers_own_only_if_equal_and_not_younger_than_the_block() -> None:
    transfer = a_transfer(1)
    own = record(transfer)
    assert link_of(None, own, NOON) is Link.NO_TRANSFER
    assert link_of(transfer, own, NOON) is Link.LINKED
    assert link_of(transfer, replace(own, amount=5), NOON) is Link.DIFFERS
    assert link_of(transfer, replace(own, beneficiary=STRANGER), NOON) is Link.DIFFERS
    young = replace(transfer, created_at=NOON + CLOCK_MARGIN)
    assert link_of(young, own, NOON) is Link.LINKED  # clocks differ
    younger = replace(transfer, created_at=NOON + CLOCK_MARGIN + timedelta(microseconds=1))
    assert link_of(younger, own, NOON) is Link.TOO_YOUNG
    assert link_of(replace(transfer, state=State.CANCELED), own, NOON) is Link.ENDED


def test_a_transfer_goes_with_the_transaction_that_settled_it_or_the_last_that_tried() -> None:
    transfer = a_transfer(1)
    calls = [mined(n, settle_calldata([record(transfer)])) for n in (1, 2, 3)]
    failed, paid, skipped = (
        settled(each, transfer, kind)
        for each, kind in zip(
            calls,
            (SettlementKind.FAILED, SettlementKind.SETTLED, SettlementKind.SKIPPED),
            strict=True,
        )
    )
    planned = plan(OWN, reversed(calls), Knowledge((), [transfer], [failed, paid, skipped]))
    assert planned.assigned == {transfer.id: calls[1].tx_hash}
    assert planned.renumbered == []
    planned = plan(OWN, calls[:1], Knowledge((), [transfer], [failed]))
    assert planned.assigned == {transfer.id: calls[0].tx_hash}
    planned = plan(OWN, calls[2:], Knowledge((), [transfer], [skipped]))
    assert planned.assigned == {}


def test_numbers_nobody_can_be_given_do_not_raise_the_counter() -> None:
    calls = [mined(1, void_calldata([5, NUMBER_LIMIT, 2**64 - 1])), mined(2, void_calldata([9]))]
    assert plan(OWN, calls, Knowledge()).numbers_to == 10
    assert plan(OWN, (), Knowledge()).numbers_to == 0


# ------------------------------------------------------------------------------------------- laws

numbers = st.integers(1, 12)
states = st.sampled_from([State.FUNDED, State.ON_HOLD, State.SUBMITTED, State.CANCELED])
transfers = st.lists(
    st.builds(
        a_transfer,
        numbers,
        state=states,
        was_written=st.booleans(),
        amount=st.integers(1, 3),
        created_at=st.sampled_from([NOON - timedelta(hours=1), NOON + timedelta(hours=1)]),
    ),
    unique_by=lambda each: each.number,
    max_size=12,
)


@st.composite
def histories(draw: Callable[..., object]) -> tuple[list[MinedTransaction], Knowledge]:
    """Batches on chain, some of whose payments are transfers of the database, some not."""
    known: Sequence[KnownTransfer] = draw(transfers)  # type: ignore[assignment]
    by_number = {each.number: each for each in known}
    calls: list[MinedTransaction] = []
    uses: list[NumberUse] = []
    used: set[int] = set()
    for nonce in range(draw(st.integers(0, 4))):  # type: ignore[call-overload]
        batch = draw(st.lists(numbers, min_size=1, max_size=5, unique=True))
        records = []
        for number in batch:  # type: ignore[attr-defined]
            transfer = by_number.get(number)
            is_own = transfer is not None and draw(st.booleans())
            amount = transfer.amount if is_own and transfer else 4
            records.append(PaymentRecord(number, Address(bytes([0xBE]) * 20), amount))
        call = mined(nonce, settle_calldata(records))
        calls.append(call)
        for each in records:
            is_paid = draw(st.booleans())
            kind = SettlementKind.SETTLED if is_paid else SettlementKind.FAILED
            if each.number in used:
                kind = SettlementKind.SKIPPED
            if kind is SettlementKind.SETTLED:
                used.add(each.number)
            uses.append(
                NumberUse(
                    each.number,
                    kind,
                    call.tx_hash,
                    NOON,
                    each.beneficiary,
                    each.amount,
                )
            )
    return calls, Knowledge((), known, uses)


@given(histories())
def test_whoever_may_be_paid_keeps_its_number_and_nobody_goes_two_ways(
    history: tuple[list[MinedTransaction], Knowledge],
) -> None:
    calls, known = history
    planned = plan(OWN, calls, known)
    by_id = {each.id: each for each in known.transfers}
    paid = {use.number: use for use in known.uses if use.kind is SettlementKind.SETTLED}
    assert not set(planned.assigned) & set(planned.renumbered)
    for transfer_id in planned.renumbered:
        transfer = by_id[transfer_id]
        use = paid[transfer.number]  # it is used, and not by its own payment
        assert not transfer.was_written
        assert use.amount != transfer.amount  # whatever the clocks say
    for transfer in known.transfers:
        use_of_it = paid.get(transfer.number)
        if use_of_it is None or transfer.state is State.CANCELED:
            continue
        is_its = use_of_it.amount == transfer.amount and transfer.created_at < use_of_it.mined_at
        assert (transfer.id in planned.assigned) >= is_its
        if is_its:
            assert planned.assigned[transfer.id] == use_of_it.tx_hash
    assert planned.numbers_to > max((use.number for use in known.uses), default=-1)


@given(histories())
def test_every_payment_that_left_is_linked_or_an_orphan(
    history: tuple[list[MinedTransaction], Knowledge],
) -> None:
    calls, known = history
    planned = plan(OWN, calls, known)
    left = sum(use.kind is SettlementKind.SETTLED for use in known.uses)
    linked = [
        record
        for each in planned.transactions
        for record in each.records
        if record.link is Link.LINKED and record.outcome is SettlementKind.SETTLED
    ]
    assert len(linked) + len(planned.orphans) == left
    assert len({record.transfer_id for record in linked}) == len(linked)


@given(histories(), st.randoms())
def test_the_order_in_which_the_chain_was_read_does_not_matter(
    history: tuple[list[MinedTransaction], Knowledge], chance: object
) -> None:
    calls, known = history
    shuffled = list(calls)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan(OWN, shuffled, known) == plan(OWN, calls, known)


@given(transfers)
def test_without_an_event_of_its_number_nobody_is_renumbered(
    known: Sequence[KnownTransfer],
) -> None:
    assert renumberable(known, ()) == []


@pytest.mark.parametrize("has_transfer", [True, False])
def test_nobody_is_renumbered_while_a_payment_on_its_terms_has_no_transfer(
    has_transfer: bool,
) -> None:
    transfer = a_transfer(1)
    used = settled(mined(1), replace(transfer, amount=7))
    elsewhere = settled(mined(2), replace(transfer, number=5))
    uses = [used, replace(elsewhere, has_transfer=has_transfer)]
    assert renumberable([transfer], uses) == ([transfer.id] if has_transfer else [])


def test_a_payment_on_its_own_terms_is_no_proof_whatever_the_clocks_say() -> None:
    young = a_transfer(1, created_at=NOON + timedelta(days=1))
    assert renumberable([young], [settled(mined(1), young)]) == []
    voided = settled(mined(1), young, SettlementKind.VOIDED)
    assert renumberable([young], [voided]) == [young.id]


@pytest.mark.parametrize("kind", [SettlementKind.SETTLED, SettlementKind.FAILED, None])
def test_a_transfer_in_a_slot_that_can_be_mined_leaves_it_only_if_it_was_paid(
    kind: SettlementKind | None,
) -> None:
    later = a_slot(2, mined(2), hashes=frozenset())
    transfer = a_transfer(1, state=State.SUBMITTED, was_written=True, slot_id=later.id)
    call = mined(1, settle_calldata([record(transfer)]))
    told = [] if kind is None else [settled(call, transfer, kind)]
    is_paid = kind is SettlementKind.SETTLED
    assigned = plan(OWN, [call], Knowledge((), [transfer], told)).assigned
    assert assigned == ({transfer.id: call.tx_hash} if is_paid else {})
    # Its own slot is overtaken: it goes with whoever carries it.
    own = a_slot(1, mined(1, void_calldata([9])), id=later.id, hashes=frozenset())
    assigned = plan(OWN, [call], Knowledge([own], [transfer], told)).assigned
    assert assigned == {transfer.id: call.tx_hash}
