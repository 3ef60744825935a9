"""Examples of breaks for the documentation. See `node.api.examples`."""

from typing import Final

from node.api.examples import BREAK, BREAK_ID, RESOLVE_BODY, RESOLVED

_BY: Final = "operator:devnet"

ASSIGN_BODY: Final = {"owner": "devnet"}
WITHDRAW_BODY: Final = {"reason": "the sender was another one"}
ASSIGNED: Final = {**BREAK, "owner": "devnet"}
APPROVED: Final = {
    **RESOLVED,
    "resolved_by": "operator:second",
    "resolution": {**RESOLVED["resolution"], "proposed_by": _BY},  # type: ignore[dict-item]
}
HISTORY: Final = {
    "data": [
        {
            "sequence": number,
            "break_id": BREAK_ID,
            "step": step,
            "by": by,
            "at": BREAK["first_seen_at"],
            "detail": detail,
        }
        for number, step, by, detail in (
            (1, "opened", "reconciliation", {"expected": BREAK["expected"]}),
            (2, "proposed", _BY, {"reason": RESOLVE_BODY["reason"]}),
        )
    ]
}
