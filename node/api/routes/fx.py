"""Rates, halts of quoting and exposure, as the operator sees and steers them."""

from decimal import Decimal
from typing import Final

from node.api import examples
from node.api.fx_views import FxView, HaltedView, ResumedView, fx_view, halt_view, resumed_view
from node.api.money import check_body
from node.api.operations import OPERATORS, Call, Example, Operations
from node.api.schemas import FxResumeBody, HaltBody
from node.core.ports.idempotency import Answer

operations: Final = Operations("Rates")


@operations.get(
    "/v1/fx",
    who=OPERATORS,
    answer=FxView,
    example=Example(examples.FX),
)
async def show_fx(call: Call[None, None]) -> Answer:
    """Show rates and exposure.

    What each source said last and what is wrong with it, the mid rate of each corridor beside the
    last one that was trusted, the halts in force, and what open quotes sum up to in each currency.
    """
    services = call.services
    return call.answer(fx_view(await services.fx.state(), services.catalog))


@operations.post(
    "/v1/fx/halt",
    who=OPERATORS,
    body=HaltBody,
    status=200,
    answer=HaltedView,
    example=Example({"data": [examples.HALT], "quotes_revoked": 3}, body=examples.HALT_BODY),
)
async def halt_quoting(call: Call[HaltBody, None]) -> Answer:
    """Halt quoting.

    Nothing more is quoted or priced in the currency (null: in any), and every open quote of it is
    revoked. Transfers that were accepted go on. Halting twice changes nothing.
    """
    _check_currency(call, call.body.currency)
    return await call.services.fx.halt(
        call.principal,
        call.body.currency,
        note=call.body.note,
        claim=call.claim,
        render=lambda halted: call.answer(
            {
                "data": [halt_view(each) for each in halted.halts],
                "quotes_revoked": halted.revoked,
            }
        ),
        render_error=call.refusal,
    )


@operations.post(
    "/v1/fx/resume",
    who=OPERATORS,
    body=FxResumeBody,
    status=200,
    answer=ResumedView,
    example=Example({"data": [], "accepted": [examples.FX_LEVEL]}, body=examples.FX_RESUME_BODY),
)
async def resume_quoting(call: Call[FxResumeBody, None]) -> Answer:
    """Resume quoting.

    Ends the halts of a currency, or with null the halt of everything, and nothing else; the answer
    lists those still in force. After a jump this accepts the mid rates as they are now as the new
    levels, and says which; a pair that has no mid rate now keeps its level. `mid_rate` is what was
    seen in `GET /v1/fx`: if the mid rate has left it by more than `jump_max_bps`, or there is none,
    nothing is resumed (`wrong_state`).
    """
    _check_currency(call, call.body.currency)
    return await call.services.fx.resume(
        call.principal,
        call.body.currency,
        mid=None if call.body.mid_rate is None else Decimal(call.body.mid_rate),
        claim=call.claim,
        render=lambda resumed: call.answer(resumed_view(resumed)),
        render_error=call.refusal,
    )


def _check_currency(call: Call[HaltBody | FxResumeBody, None], currency: str | None) -> None:
    if currency is not None:
        check_body(call.services.catalog.asset, currency, None)
