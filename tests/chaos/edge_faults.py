"""What customers and operators do at the worst moment, through the program's own services."""

from typing import TYPE_CHECKING

from node.core.catalog import USDC
from node.core.errors import NodeError
from node.core.ports.idempotency import Answer
from node.core.settlement import PauseReason
from node.core.units import Money
from node.services.settlement.treasury_operations import MovementRequest
from tests.builders import a_claim, render, render_error
from tests.chaos.bench import LANES, OPERATOR, Payment, transfer_name

if TYPE_CHECKING:
    from tests.chaos.campaign import Campaign

_HARD_PERMILLE = 300


async def cancel(campaign: "Campaign") -> None:
    """A customer cancels one of the newest payments while a worker may be writing it."""
    payment = _newest(campaign)
    if payment is None:
        return
    service = campaign.bench.node.services.transfers
    payer = campaign.bench.payer
    name = transfer_name(payment)
    try:
        answer = await service.cancel(payer, name, a_claim(payer), render, render_error)
    except NodeError as error:
        campaign.tell(f"cancel of {payment.number}: {error.code}")
        return
    if answer.status < 300:
        campaign.note("cancel", str(payment.number))


async def void(campaign: "Campaign") -> None:
    """An operator asks for a void of a payment that may be on its way."""
    payment = _newest(campaign)
    if payment is None:
        return
    service = campaign.bench.node.services.transfers
    name = transfer_name(payment)
    try:
        answer = await service.void(OPERATOR, name, a_claim(OPERATOR), render, render_error)
    except NodeError as error:
        campaign.tell(f"void of {payment.number}: {error.code}")
        return
    if answer.status < 300:
        campaign.note("void", str(payment.number))


async def pause_or_resume(campaign: "Campaign") -> None:
    """An operator pauses settlement, sometimes hard, for a while."""
    await _pause(campaign, hard=campaign.chance.randrange(1000) < _HARD_PERMILLE)


async def _pause(campaign: "Campaign", *, hard: bool) -> None:
    async with campaign.bench.node.units() as unit:
        if await unit.settlement.pauses():
            return
        await unit.settlement.pause(PauseReason.OPERATOR, OPERATOR.key, hard=hard, note=None)

    async def go_on() -> None:
        async with campaign.bench.node.units() as unit:
            await unit.settlement.resume(PauseReason.OPERATOR, OPERATOR.key)

    campaign.note_ordinary("hard pause" if hard else "pause")
    campaign.later(campaign.chance.uniform(0.2, 1.5), go_on)


async def hard_pause(campaign: "Campaign") -> None:
    """An operator pauses settlement and the contract."""
    await _pause(campaign, hard=True)


async def movement(campaign: "Campaign") -> None:
    """The operator moves money between the node's own addresses while faults go on."""
    bench = campaign.bench
    native = bench.node.services.catalog.native
    lane = bench.keys[f"lanes/{campaign.chance.randrange(LANES)}"].address
    treasury, contract = bench.keys["treasury"].address, "0x" + bench.onchain.contract.hex()
    kind, source, to, asset, minor = campaign.chance.choice(
        (
            ("float_top_up", treasury, contract, USDC, campaign.chance.randint(1, 10**6)),
            ("lane_gas", treasury, lane, native, campaign.chance.randint(1, 10**6)),
            ("sweep", lane, treasury, native, campaign.chance.randint(1, 10**6)),
        )
    )
    answer = await bench.node.services.treasury.request_movement(
        MovementRequest(OPERATOR, kind, source, to, Money(minor, asset)),
        None,
        lambda _: Answer(201, b"{}"),
        render_error,
    )
    if answer.status < 300:
        campaign.note_ordinary("treasury movement", kind)


def _newest(campaign: "Campaign") -> Payment | None:
    """One of the newest payments."""
    payments = list(campaign.bench.payments.values())[-16:]
    return campaign.chance.choice(payments) if payments else None
