"""What the fakes share: who asks, what there is, and stored answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

from adapters.corridors import load_offer
from adapters.machine import new_id
from node.core.catalog import USDC, TokenInfo, catalog_of
from node.core.errors import NodeError
from node.core.ids import Prefix, encode_id
from node.core.parties import Customer, Principal, Role
from node.core.ports.idempotency import Answer, Claim, StoredAnswer
from node.core.quotes import Mid, Rate
from node.core.units import Address
from node.services.idempotency import RenderError, is_remembered, replay

NOW = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
TOKEN = Address(b"\x70" * 20)
CONTRACT = Address(b"\xc0" * 20)
LANE = Address(b"\x1a" * 20)
CATALOG = catalog_of(TokenInfo(USDC, 31337, TOKEN), load_offer(None, USDC))
MID = Mid(
    Decimal("1.15626"),
    (
        Rate.stated("EUR", "USD", "1.15626", "ecb", NOW),
        Rate.stated("USD", "USDC", "1", "fixed", NOW),
    ),
)

OPERATOR = Principal(Role.OPERATOR, "ops")
SECOND_OPERATOR = Principal(Role.OPERATOR, "otto")
PARTNER = Principal(Role.PARTNER, "shop", partner_id=new_id())
STRANGER = Principal(Role.PARTNER, "other", partner_id=new_id())
ANA = Customer(new_id(), PARTNER.partner_id, "Ana", "DE", None, NOW)
REMITTER = Principal(Role.REMITTER, "Ana", customer_id=ANA.id)
ANA_ID = encode_id(Prefix.CUSTOMER, ANA.id)
SECRETS: Mapping[str, Principal] = {
    "operator-key": OPERATOR,
    "second-operator-key": SECOND_OPERATOR,
    "partner-key": PARTNER,
    "stranger-key": STRANGER,
    "remitter-key": REMITTER,
}


@dataclass
class Memory:
    """Stored answers, and how often work was done: what idempotency is about."""

    stored: dict[tuple[str, str, str, str], StoredAnswer] = field(default_factory=dict)
    locks: dict[tuple[str, str, str, str], asyncio.Lock] = field(default_factory=dict)

    async def once(
        self, claim: Claim | None, work: Callable[[], Awaitable[Answer]], render_error: RenderError
    ) -> Answer:
        """Do work at most once for a claim."""
        if claim is None:
            return await work()
        async with self.locks.setdefault(claim.scope, asyncio.Lock()):
            if earlier := replay(claim, self.stored):
                return earlier
            try:
                answer = await work()
            except NodeError as error:
                if not is_remembered(error):
                    raise
                answer = render_error(error)
            kept = StoredAnswer(claim.request_hash, replace(answer, replayed=True))
            self.stored[claim.scope] = kept
            return answer
