"""What a ledger transaction says of where it comes from, in the ids that callers know.

The ledger keeps it as it was booked, and hashes it so; operators see that at the ledger transaction
itself (`node.api.booking_views`).
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from node.core.ids import Prefix, encode_id

_NAMED: Final = {"quote": Prefix.QUOTE, "payout": Prefix.PAYOUT}
_TERMS: Final = 4
"""Of what a transfer owes by a partner, the words beside its payout: partner, amount, currency,
hash (`node.services.transfers.paid_by_partners.payout_terms`)."""


def public_detail(detail: Mapping[str, str]) -> dict[str, str]:
    """The same with `quo_...` and `pay_...` where the ledger keeps an id or a partner's terms."""
    return {name: _public(name, text) for name, text in detail.items()}


def payout_named(detail: Mapping[str, str]) -> str:
    """The payout that it names, `pay_...`; empty: none."""
    return _public("payout", detail.get("payout", ""))


def _public(name: str, text: str) -> str:
    prefix = _NAMED.get(name)
    if prefix is None:
        return text
    if name == "payout" and text.count(" ") >= _TERMS:
        return text.partition(" ")[2].rsplit(" ", _TERMS - 1)[0]  # as the partner names it
    try:
        return encode_id(prefix, UUID(text))
    except ValueError:
        return text  # it is public already: of a partner's payout
