"""Pages about one thing: a break, a ledger transaction, a block, a transfer."""

from urllib.parse import parse_qs

from starlette.responses import Response

from node.api.operator.figures import facts, found
from node.api.operator.templating import redirect
from node.api.operator.views import PageCall
from node.core.errors import NotFound
from node.core.ids import Prefix, encode_id
from node.core.ports.transfers import EventRow


async def show_break(call: PageCall) -> Response:
    """A break: its story, evidence, history, and what closes it."""
    break_id = call.parameters["break_id"]
    shown = await call.services.breaks.get(break_id)
    history = await call.services.breaks.history(break_id)
    resolution = shown.resolution or {}
    return call.page(
        "break.html",
        row=call.figures.break_row(shown),
        story=call.figures.story(shown),
        evidence=facts(shown.evidence),
        resolution=facts({n: v for n, v in resolution.items() if n not in ("kind", "reason")}),
        history=[(each, call.figures.history(each.detail, shown)) for each in history],
        reopens=None if shown.reopens is None else encode_id(Prefix.BREAK, shown.reopens),
    )


async def show_transaction(call: PageCall) -> Response:
    """A ledger transaction with its entries."""
    row = await call.services.bookings.get(call.parameters["sequence"])
    transfer = row.transaction.transfer_id
    return call.page(
        "transaction.html",
        row=row,
        transfer=None if transfer is None else encode_id(Prefix.TRANSFER, transfer),
        detail=facts(row.transaction.detail),
    )


async def show_block(call: PageCall) -> Response:
    """A block, and every log of it that the mirror has."""
    look = await call.services.blocks.look(call.parameters["number"])
    return call.page(
        "block.html",
        look=look,
        number=look.blocks[0].number,
        token=call.figures.token,
        logs=[(each, facts(each.facts)) for each in look.logs],
    )


async def show_transfer(call: PageCall) -> Response:
    """A transfer, and its timeline."""
    transfer_id = call.parameters["transfer_id"]
    transfer = await call.services.transfers.get(call.principal, transfer_id)
    events = await call.services.transfers.timeline(call.principal, transfer_id)
    return call.page(
        "transfer.html",
        id=transfer_id,
        customer=encode_id(Prefix.CUSTOMER, transfer.customer_id),
        address=call.services.addresses.text(transfer.beneficiary_address),
        transfer=transfer,
        events=[(each, facts(_texts(each))) for each in events],
    )


async def find(call: PageCall) -> Response:
    """Go to what is named: a transfer, a break, a run, or a block by its number."""
    asked = parse_qs(call.query_string.decode("latin-1")).get("q", [""])[0].strip()
    url = found(asked)
    if url is None:
        raise NotFound(
            "write the id of a transfer (tra_…), a break (brk_…) or a run (run_…), or the number"
            " of a block"
        )
    return redirect(url)


def _texts(event: EventRow) -> dict[str, str]:
    return {name: str(value) for name, value in event.detail.items() if value is not None}
