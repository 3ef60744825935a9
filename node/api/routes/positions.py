"""The node's positions, as the operator sees them."""

from typing import Final

from node.api.operations import CSV, OPERATORS, Call, Example, File, Operations
from node.api.position_examples import POSITIONS
from node.api.position_views import PositionsView, file_name, positions_csv, positions_view
from node.api.schemas import PositionQuery
from node.core.errors import CurrencyUnknown, PeriodInvalid
from node.core.ports.idempotency import Answer

operations: Final = Operations("Rates")


@operations.get(
    "/v1/positions",
    who=OPERATORS,
    query=PositionQuery,
    answer=PositionsView,
    files=(CSV,),
    example=Example(POSITIONS),
    refusals=(PeriodInvalid, CurrencyUnknown),
)
async def show_positions(call: Call[None, PositionQuery]) -> Answer | File:
    """Show what the node is long and short of.

    For each currency the posted position, what is pending, spread and fees, and what it is worth in
    the reporting currency at the current mid: `total` since the beginning, `period` from the first
    to the last day asked for, `days` one by one. The sum over the currencies is the unrealised
    result: what would be left if every position were closed now, without spread or fee. Values are
    rounded towards minus infinity, once; results are differences of values, so they add up. A value
    whose rate is not available is null, with a `reason`. As CSV: the days, one row for each
    currency; the parameter `format` alone decides, not `Accept`.
    """
    query = call.query
    positions = await call.services.positions.positions(query.from_, query.to, query.currency)
    if query.format == "csv":
        return File(CSV, file_name(positions), positions_csv(positions))
    return call.answer(positions_view(positions))
