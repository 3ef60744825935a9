"""Fakes of what operators' pages show besides the API: sessions, comparisons, blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from node.api.operator.figures import is_equal
from node.core.errors import Forbidden, NotFound, Unauthenticated
from node.core.ledger import chain_account
from node.core.mirror import BlockPoint
from node.core.paging import ListQuery, Page, Position
from node.core.parties import Principal, Role
from node.core.ports.comparisons import (
    AccountComparison,
    ComparisonPoint,
    ComparisonSummary,
    Holder,
)
from node.core.ports.mirror_views import BlockView, LogView
from node.core.units import Address, BlockHash, TxHash
from node.services.mirror.blocks import BlockLook
from node.services.sessions import LIFETIME, NewSession
from tests.api.fake_world import CONTRACT, LANE, NOW, SECRETS

FINAL = BlockPoint(11, BlockHash(b"\xbb" * 32))


def compared(
    address: Address, asset: str, ledger: int, chain: int, role: str = "own"
) -> AccountComparison:
    """One account of the chain; the mirror agrees with the chain."""
    path = chain_account(31337, address, asset)
    return AccountComparison(path, address, role, asset, ledger, chain, chain, FINAL, NOW)


@dataclass
class FakeSessions:
    """Sessions by their token; keys are those of the fake world."""

    owners: dict[str, Principal] = field(default_factory=dict)
    begun: int = 0

    async def sign_in(self, key: str, /) -> NewSession:
        if key not in SECRETS:
            raise Unauthenticated("this key is not known, or does not work any more")
        if SECRETS[key].role is not Role.OPERATOR:
            raise Forbidden("this key is not an operator's")
        self.begun += 1
        token = f"token-{self.begun}"
        self.owners[token] = SECRETS[key]
        return NewSession(token, NOW + LIFETIME)

    async def principal(self, token: str, /) -> Principal | None:
        return self.owners.get(token)

    async def sign_out(self, token: str, /) -> None:
        self.owners.pop(token, None)


@dataclass
class FakeComparisons:
    """Two accounts that agree; a test gives others."""

    found: list[AccountComparison] = field(
        default_factory=lambda: [
            compared(CONTRACT, "USDC", 50_000_000, 50_000_000, "contract"),
            compared(LANE, "ETH", 10**9, 10**9, "settle"),
        ]
    )

    async def summary(self) -> ComparisonSummary:
        equal = [each for each in self.found if is_equal(each)]
        return ComparisonSummary(
            len(self.found),
            len(self.found) - len(equal),
            sum(each.ledger != 0 for each in equal),
            FINAL.number if self.found else None,
            NOW if self.found else None,
        )

    async def page(self, query: ListQuery, /) -> Page[AccountComparison]:
        return Page(self.found[: query.limit], None)

    async def by_verdict(
        self, query: ListQuery, /, *, with_empty: bool = True
    ) -> Page[AccountComparison]:
        position = query.position()
        rows = [
            (place, each)
            for place, each in enumerate(sorted(self.found, key=is_equal), 1)
            if with_empty or each.ledger or not is_equal(each)
        ]
        rows = [row for row in rows if position is None or row[0] > position.id]
        page = query.page(rows, lambda row: Position(NOW, row[0]))
        return Page([each for _, each in page.items], page.next_cursor)

    async def account(self, holder: Holder, /) -> AccountComparison:
        for each in self.found:
            if (each.address, each.asset) == holder:
                return each
        raise NotFound("no account of this address and asset was compared yet")

    async def course(self, holder: Holder, points_max: int, /) -> Sequence[ComparisonPoint]:
        return [
            ComparisonPoint(
                each.address,
                each.asset,
                n,
                NOW - timedelta(minutes=12 - n),
                each.ledger + n * 1000,
                each.mirror + n * 1000,
                each.chain + n * 1000,
            )
            for n in range(1, 12)
            for each in self.found
            if (each.address, each.asset) == holder
        ]


@dataclass
class FakeBlocks:
    """Block 11, which said something of every kind."""

    facts: dict[str, str] = field(default_factory=dict)

    async def look(self, number: str, /) -> BlockLook:
        if number != "11":
            raise NotFound(f"the mirror has no block {number}")
        block = BlockView(11, FINAL.hash, BlockHash(b"\xaa" * 32), NOW, "final")
        log = LogView(
            FINAL.hash, 3, TxHash(b"\xab" * 32), "transfer", 5_000_000, "settled", 1, self.facts
        )
        return BlockLook([block], [log], is_cut=False)
