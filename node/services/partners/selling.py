"""What partners pay and may sell, as a batch of quotes or of transfers is decided.

A partner's own spread counts for what it, or a customer of it, asks to be quoted. Limits count what
its customers sell, whoever ordered it, and what the partner itself has paid out. Its own money that
goes back to it is no sale.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
from uuid import UUID

from node.core.parties import Customer, Principal, Role
from node.core.partners import PartnerLimit, check_daily_sell_max, check_sell_max, day_of
from node.core.ports import Unit
from node.core.units import Money

Pair = tuple[UUID, str]
"""A partner and the asset that is sold."""


def partner_asking(principal: Principal, customer: Customer | None) -> UUID | None:
    """Whose terms a quote has: the partner that asks, or that of the customer who does."""
    if principal.role is Role.REMITTER:
        return customer.partner_id if customer else None
    return principal.partner_id


@dataclass(frozen=True, slots=True)
class QuotedTerms:
    """Terms of the partners that quotes are made for.

    Attributes:
        spreads: Basis points, of those that have their own.
        limits: By partner and asset sold.
    """

    spreads: Mapping[UUID, int] = field(default_factory=dict)
    limits: Mapping[Pair, PartnerLimit] = field(default_factory=dict)

    @classmethod
    async def read(cls, unit: Unit, asked: Iterable[tuple[UUID | None, str]]) -> Self:
        """Terms of these partners, for the assets they sell."""
        pairs = _pairs(asked)
        if not pairs:
            return cls()
        partner_ids = list(dict.fromkeys(partner_id for partner_id, _ in pairs))
        return cls(await unit.partners.spreads(partner_ids), await unit.partners.limits_of(pairs))

    def spread_bps(self, partner_id: UUID | None) -> int | None:
        """The partner's own spread; None: the corridor's counts."""
        return None if partner_id is None else self.spreads.get(partner_id)

    def check(self, partner_id: UUID | None, sell: Money) -> None:
        """Whether one quote of the partner may sell this much.

        Raises:
            LimitExceeded: It may not.
        """
        if partner_id is not None:
            check_sell_max(sell, self.limits.get((partner_id, sell.asset.code)))


@dataclass(slots=True)
class DailyLimits:
    """What partners may still sell today; changes as transfers of a batch are accepted.

    Exact under the ledger's lock: whatever is accepted or registered is so under it.
    """

    now: datetime
    limits: Mapping[Pair, PartnerLimit]
    sold: dict[Pair, int]

    @classmethod
    async def read(cls, unit: Unit, asked: Iterable[tuple[UUID | None, str]]) -> Self:
        """Limits of these partners, and what was sold since 0:00 UTC where there is one."""
        pairs = _pairs(asked)
        limits = await unit.partners.limits_of(pairs) if pairs else {}
        limited = [pair for pair, each in limits.items() if each.daily_sell_max is not None]
        sold = await unit.partners.sold_since(limited, day_of(unit.now)) if limited else {}
        return cls(unit.now, limits, dict(sold))

    def check(self, customer: Customer, sell: Money) -> None:
        """Whether a transfer of the customer may sell this much.

        Raises:
            LimitExceeded: It may not.
        """
        if customer.partner_id is not None:
            self.check_payout(customer.partner_id, sell)

    def check_payout(self, partner_id: UUID, sell: Money) -> None:
        """Whether the partner may have so much paid out.

        Raises:
            LimitExceeded: It may not.
        """
        pair = partner_id, sell.asset.code
        check_daily_sell_max(sell, self.limits.get(pair), self.sold.get(pair, 0), self.now)

    def take(self, customer: Customer, sell: Money) -> None:
        """Count a transfer that is accepted."""
        if (pair := _pair(customer, sell)) is not None:
            self.sold[pair] = self.sold.get(pair, 0) + sell.minor


def _pair(customer: Customer, sell: Money) -> Pair | None:
    return None if customer.partner_id is None else (customer.partner_id, sell.asset.code)


def _pairs(asked: Iterable[tuple[UUID | None, str]]) -> list[Pair]:
    return list(dict.fromkeys((each, asset) for each, asset in asked if each is not None))
