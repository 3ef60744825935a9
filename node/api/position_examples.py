"""The example of positions: the exchange of 200.00 EUR that `node.core.positions` works through."""

from typing import Final

from node.api.examples import AS_OF, PRICE, QUOTE, eur

_LONG: Final = {
    "currency": "EUR",
    "opening": "0.00",
    "in": "198.99",
    "out": "0.00",
    "closing": "198.99",
    "pending": "0.00",
    "spread_earned": "0.39",
    "fees_earned": "0.62",
    "spread_deferred": "0.00",
    "fees_deferred": "0.00",
    "value": "198.99",
    "result": "198.99",
    "reason": None,
}
_SHORT: Final = {
    "currency": "USDC",
    "opening": "0.000000",
    "in": "0.000000",
    "out": "230.074048",
    "closing": "-230.074048",
    "pending": "0.000000",
    "spread_earned": "0.000000",
    "fees_earned": "0.000000",
    "spread_deferred": "0.000000",
    "fees_deferred": "0.000000",
    "value": "-198.99",
    "result": "-198.99",
    "reason": None,
}
_TOGETHER: Final = {"result": "0.00", "reason": None, "positions": [_LONG, _SHORT]}
POSITIONS: Final = {
    "reporting_currency": "EUR",
    "created_at": QUOTE["created_at"],
    "as_of": AS_OF,
    "rates": [
        {"currency": "EUR", "mid_rate": "1", "rate_sources": [], "reason": None},
        {
            "currency": "USDC",
            "mid_rate": PRICE["mid_rate"],
            "rate_sources": PRICE["rate_sources"],
            "reason": None,
        },
    ],
    "open_quotes": [{"currency": "EUR", "open": eur("200.00"), "quotes": 1}],
    "total": _TOGETHER,
    "period": {"from": "2026-11-22", "to": "2026-11-22", **_TOGETHER},
    "days": [{"day": "2026-11-22", "sequence": 13, **_TOGETHER}],
}
