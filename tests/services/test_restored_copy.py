"""A restored copy on a real chain: it stops, adopts and resumes, and nobody is paid twice.

Whatever the copy forgot, and whatever it gave out again: what cannot be explained is told.
"""

from collections.abc import Sequence
from uuid import UUID

import pytest

from adapters.machine import new_id
from node.core.adoption.found import Finding, Link
from node.core.errors import ChainUnavailable, SettlementRecovering
from node.core.ids import Prefix, encode_id
from node.core.parties import Principal, Role
from node.core.ports.idempotency import Answer
from node.core.ports.movements import Movement
from node.core.ports.transfers import Transfer
from node.core.settlement import PauseReason, Purpose
from node.core.transfers import Happening, State
from node.core.units import Address
from node.services.ledger.verifying import VerifyService
from node.services.settlement.renumbering import NUMBER_USED
from node.services.transfers import transfer_moves
from tests.builders import a_claim, render, render_error
from tests.mirrored import BUY, TREASURY, MirroredNode, failing
from tests.onchain import LANE, address_of
from tests.services.adopting import (
    OLGA,
    Copy,
    addressees,
    adopt,
    final,
    lane_of,
    paid,
    resume,
    settle,
)


async def test_a_restored_copy_stops_adopts_and_resumes_and_nobody_is_paid_twice(
    node: MirroredNode, copy: Copy
) -> None:
    before = await paid(node, 3)
    known = await node.ledger.funded(node.payer, 25, sell_minor=100, buy_minor=BUY + 1)
    node = await copy.make()
    lost = await node.ledger.funded(node.payer, 25, sell_minor=100, buy_minor=BUY + 2)
    await settle(node, [*known, *lost])

    restored = await copy.restored()
    await stops_below_what_it_forgot(restored)
    await shows_what_it_would_adopt(restored)
    assert await restored.states(known) == {State.FUNDED}  # looking changes nothing

    adopted = await adopt(restored.adoption())
    assert len(adopted.written) == 1
    assert not (await restored.adoption().look()).is_needed
    lane = await lane_of(restored)
    assert (lane["status"], lane["next_nonce"]) == ("active", restored.onchain.nonce())
    assert await restored.states(known) == {State.INCLUDED}
    await restored.follow()
    assert await restored.states([*before, *known]) == {State.SETTLED}

    late = await restored.ledger.funded(restored.payer, 2, sell_minor=100, buy_minor=BUY + 3)
    assert min(each.payment_number for each in late) > max(each.payment_number for each in lost)
    worker = await restored.settlement()
    await worker.run_once()
    assert await restored.states(late) == {State.FUNDED}  # the pause stays until somebody resumes
    await resume(restored)
    await settle(restored, late)
    assert sorted(restored.onchain.payouts()) == addressees([*before, *known, *lost, *late])
    await tells_the_story(restored, lost)


async def stops_below_what_it_forgot(restored: MirroredNode) -> None:
    """The lane is ahead, settlement pauses, and nothing unknown becomes final."""
    final_number = (await restored.cursor()).final.number
    worker = await restored.settlement()
    assert await worker.run_once() == 0
    assert (await lane_of(restored))["status"] == "ahead"
    await restored.follow()
    (first,) = await restored.rows(
        "SELECT min(block_number) AS n FROM settlement_log WHERE block_number > $1", final_number
    )
    assert (await restored.cursor()).final.number == first["n"] - 1
    async with restored.ledger.units() as unit:
        reasons = [each.reason for each in await unit.settlement.pauses()]
    assert reasons == [PauseReason.FOREIGN_NONCE]
    assert [each.code for each in await restored.open_breaks()] == ["B12"]


async def shows_what_it_would_adopt(restored: MirroredNode) -> None:
    """25 payments of its own transfers, and 25 that it never knew of."""
    shown = await restored.adoption().look()
    assert shown.waits_for == []
    assert {each.finding for each in shown.plan.transactions} == {Finding.NEW}
    assert {each.purpose for each in shown.plan.transactions} == {Purpose.SETTLE}
    links = [record.link for each in shown.plan.transactions for record in each.records]
    assert sorted(links) == [Link.LINKED] * 25 + [Link.NO_TRANSFER] * 25
    assert len(shown.plan.orphans) == 25


async def tells_the_story(restored: MirroredNode, lost: Sequence[Transfer]) -> None:
    """Each payment without a transfer is a break with its number; the books prove all others."""
    run = await restored.reconcile()
    breaks = await restored.open_breaks()
    # Only the money that left without a transfer is missing, until an operator books it.
    assert sorted(each.code for each in breaks) == ["B01"] + ["B06"] * 25 + ["B10"] * 25
    assert f"balance.token:0x{restored.onchain.contract.hex()}" in failing(run)
    unknown = {each.evidence["payment_number"] for each in breaks if each.code == "B10"}
    assert unknown == {str(each.payment_number) for each in lost}
    assert (await VerifyService(restored.ledger.units).verify()).differences == []


async def test_a_restored_copy_gives_no_money_back_before_anybody_has_looked(
    node: MirroredNode, copy: Copy
) -> None:
    await paid(node, 1)
    (transfer, unpaid) = await node.ledger.funded(node.payer, 2, sell_minor=100, buy_minor=BUY + 1)
    node = await copy.make()
    await settle(node, [transfer, unpaid])

    restored = await copy.restored()
    for each in (OLGA, restored.payer):
        with pytest.raises(SettlementRecovering):
            await canceled(restored, each, transfer)
    assert await restored.states([transfer]) == {State.FUNDED}
    assert len(await restored.recollection().compare_lanes()) == 1
    assert (await lane_of(restored))["status"] == "ahead"
    with pytest.raises(SettlementRecovering):
        await restored.funded(1)


async def canceled(node: MirroredNode, principal: Principal, transfer: Transfer) -> Answer:
    """Cancel; a void by an operator, which of a transfer never written is the same."""
    service = node.transfers()
    act = service.void if principal.role is Role.OPERATOR else service.cancel
    transfer_id = encode_id(Prefix.TRANSFER, transfer.id)
    return await act(principal, transfer_id, a_claim(principal), render, render_error)


async def test_money_goes_back_where_the_chain_says_that_nothing_was_paid(
    node: MirroredNode,
) -> None:
    await paid(node, 1)
    transfers = await node.funded(2)
    for principal, each in zip((OLGA, node.payer), transfers, strict=True):
        await canceled(node, principal, each)
    assert await node.states(transfers) == {State.CANCELED}


async def test_no_money_goes_back_while_the_chain_is_away(node: MirroredNode) -> None:
    (transfer,) = await node.funded(1)
    node.onchain.anvil.stop()
    with pytest.raises(ChainUnavailable):
        await canceled(node, node.payer, transfer)
    assert await node.states([transfer]) == {State.FUNDED}


async def restored_without(
    count: int, node: MirroredNode, copy: Copy
) -> tuple[MirroredNode, Sequence[Transfer]]:
    """The node over a copy that knows one payment and not the next ones, and those."""
    await paid(node, 1)
    node = await copy.make()
    lost = await paid(node, count, buy=BUY + 1)
    return await copy.restored(), lost


async def test_transfers_that_a_copy_gave_used_numbers_get_others_and_are_paid_once(
    node: MirroredNode, copy: Copy
) -> None:
    restored, lost = await restored_without(2, node, copy)
    taken = await restored.ledger.funded(restored.payer, 2, sell_minor=100, buy_minor=BUY + 2)
    assert [each.payment_number for each in taken] == [each.payment_number for each in lost]
    await (await restored.settlement()).run_once()
    await restored.follow()
    adopted = await adopt(restored.adoption())
    assert set(adopted.renumbered) == {each.id for each in taken}
    again = await restored.again(taken)
    assert [each.payment_number for each in again] == [adopted.renumbered[t.id] for t in taken]
    assert min(adopted.renumbered.values()) > max(each.payment_number for each in lost)
    assert await restored.timeline(taken[0].id) == ["transfer.funded", "transfer.renumbered"]
    await restored.follow()
    await resume(restored)
    await settle(restored, taken)
    verified = await VerifyService(restored.ledger.units).verify()
    assert verified.differences == []
    assert len(restored.onchain.payouts()) == 5


async def test_an_order_given_again_right_after_a_restore_is_the_one_that_was_paid(
    node: MirroredNode, copy: Copy
) -> None:
    restored, _ = await restored_without(1, node, copy)
    again = await restored.ledger.funded(restored.payer, 1, sell_minor=100, buy_minor=BUY + 1)
    await (await restored.settlement()).run_once()
    await restored.follow()
    await adopt(restored.adoption())
    await restored.follow()
    assert await restored.states(again) == {State.SETTLED}
    assert len(restored.onchain.payouts()) == 2
    assert [each.code for each in await restored.open_breaks()] == ["B12"]
    assert failing(await restored.reconcile()) == []


async def test_a_copy_from_before_a_lane_was_ever_used_stops_too(
    node: MirroredNode, copy: Copy
) -> None:
    transfers = await node.ledger.funded(node.payer, 2, sell_minor=100, buy_minor=BUY + 1)
    node = await copy.make()
    await settle(node, transfers)

    restored = await copy.restored()
    assert await (await restored.settlement()).run_once() == 0
    lane = await lane_of(restored)
    assert (lane["status"], lane["next_nonce"]) == ("ahead", 0)
    await restored.follow()
    await adopt(restored.adoption())
    await restored.follow()
    assert await restored.states(transfers) == {State.SETTLED}
    assert len(restored.onchain.payouts()) == 2


async def test_who_was_held_for_its_number_is_funded_again_with_another(
    node: MirroredNode, copy: Copy
) -> None:
    restored, _ = await restored_without(1, node, copy)
    taken = await restored.ledger.funded(restored.payer, 1, sell_minor=100, buy_minor=BUY + 2)
    async with restored.ledger.units() as unit:
        events = await transfer_moves.apply(
            unit,
            await unit.transfers.lock_many([each.id for each in taken]),
            Happening.HELD,
            changes=lambda _: {"failure": {"code": NUMBER_USED, "message": "it is used"}},
        )
        await unit.events.append(events)
    await restored.follow()
    adopted = await adopt(restored.adoption())
    (again,) = await restored.again(taken)
    assert (again.state, again.failure) == (State.FUNDED, None)
    assert again.payment_number == adopted.renumbered[again.id]
    assert await restored.timeline(again.id) == [
        "transfer.funded",
        "transfer.on_hold",
        "transfer.renumbered",
        "transfer.funded",
    ]


async def test_movements_of_several_keys_that_a_copy_forgot_are_movements_again(
    node: MirroredNode, copy: Copy
) -> None:
    await paid(node, 1)
    onchain = node.onchain
    onchain.send(onchain.token, "mint(address,uint256)", "0x" + TREASURY.hex(), 9_000)
    await (await node.treasury()).run_once()  # from now on it is a lane
    await final(node)
    asked = await request(node, "float_top_up", onchain.contract, "USDC", 4_000)
    node = await copy.make()
    for kind, to, asset, amount in (("lane_gas", address_of(LANE), "ETH", 1_500_000_000),):
        await request(node, kind, to, asset, amount)
    treasury = await node.treasury()
    for _ in range(20):
        await treasury.run_once()
        if node.pool() == 2:
            break
    await final(node)
    lost = await paid(node, 1, buy=BUY + 1)

    restored = await copy.restored()
    await restored.follow()
    adopted = await adopt(restored.adoption())
    assert len(adopted.written) == 2
    await restored.follow()
    rows = await restored.rows("SELECT id, kind, state, made_by FROM movement ORDER BY kind")
    assert [tuple(row)[1:] for row in rows] == [
        ("float_top_up", "settled", "test"),
        ("lane_gas", "settled", OLGA.key),
    ]
    assert rows[0]["id"] == asked
    assert await restored.booked(TREASURY) == 5_000
    codes = sorted(each.code for each in await restored.open_breaks())
    assert codes == ["B04", "B06", "B10", "B12", "B12"]
    assert len(restored.onchain.payouts()) == 1 + len(lost)


async def request(node: MirroredNode, kind: str, to: Address, asset: str, amount: int) -> UUID:
    """A treasury movement as an operator asks for it; its id."""
    async with node.ledger.units() as unit:
        movement = Movement(
            new_id(), kind, TREASURY, TREASURY, to, asset, amount, "requested", None, "test", None,
            unit.now,
        )  # fmt: skip
        await unit.movements.add(movement)
    return movement.id
