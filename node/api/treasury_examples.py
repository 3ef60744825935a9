"""Examples of treasury movements and rules. A test checks each against its schema."""

from typing import Final

from node.api.examples import MOVEMENT_ID, RULE_ID

_CONTRACT: Final = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
_TREASURY: Final = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
_WHEN: Final = "2026-11-22T16:00:00Z"

MOVEMENT_BODY: Final = {
    "kind": "float_top_up",
    "from": _TREASURY,
    "to": _CONTRACT,
    "currency": "USDC",
    "amount": "1000.000000",
}
MOVEMENT: Final = {
    "id": MOVEMENT_ID,
    "sender": _TREASURY,
    **MOVEMENT_BODY,
    "state": "requested",
    "waiting": None,
    "batch_id": None,
    "rule_id": None,
    "made_by": "operator:ops",
    "failure": None,
    "created_at": _WHEN,
}
RULE_BODY: Final = {
    "kind": "lane_gas",
    "to": None,
    "currency": "ETH",
    "mark": "0.500000000",
    "fill_to": "2.000000000",
    "daily_limit": "10.000000000",
}
RULE: Final = {
    "id": RULE_ID,
    **RULE_BODY,
    "limit_left": "8.500000000",
    "status": "in_force",
    "made_by": "operator:ops",
    "created_at": _WHEN,
    "ended_by": None,
    "ended_at": None,
}
RULE_ENDED: Final = {
    **RULE,
    "status": "ended",
    "ended_by": "operator:ops",
    "ended_at": "2026-11-22T16:01:00Z",
}
