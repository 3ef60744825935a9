"""Fakes of what operators use: accounts, settlement, reconciliation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from adapters.machine import new_id
from node.api.examples import RUN_ID
from node.core.errors import (
    InFuture,
    NodeError,
    NotFound,
    SettlementRecovering,
)
from node.core.ids import Prefix, decode_id
from node.core.ledger import AccountKind, Balance
from node.core.paging import ListQuery, Page
from node.core.parties import Principal, Role
from node.core.ports.history import AsOf, EntryRow
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.ledger import AccountRow, TrialRow
from node.core.ports.reconciliation import Run
from node.core.ports.settlement import Pause
from node.core.ports.transfers import TopUp
from node.core.settlement import PauseReason
from node.core.statements import Line, Period, Statement
from node.services.idempotency import RenderError
from node.services.points import NEWEST, Asked
from tests.api.fake_world import ANA, ANA_ID, NOW, Memory

A_BALANCE = Balance(f"customer/{ANA_ID}/EUR", AccountKind.LIABILITY, "EUR", 20_000, 0, 0, 100_000)
AN_ENTRY = EntryRow(
    1001, 1, "top_up", "posted", None, False, "bank/sandbox_bank/EUR", "EUR", 100_000, 100_000, 1,
    {"rail": "sandbox_bank"}, NOW,
)  # fmt: skip
A_LINE = Line(
    1001, 1, 1, "top_up", False, "bank/sandbox_bank/EUR", 100_000, 100_000, None, None, None,
    {"rail": "sandbox_bank", "reference": "wire-17"}, NOW,
)  # fmt: skip
HEAD = AsOf(7, NOW)


@dataclass
class FakeAccounts:
    """One account with one entry; top-ups as they were booked."""

    top_ups_booked: Mapping[UUID, TopUp]

    async def top_up(self, principal: Principal, customer_id: str, top_up_id: str, /) -> TopUp:
        await self.balances(principal, customer_id)
        found = self.top_ups_booked.get(decode_id(Prefix.TOP_UP, top_up_id))
        if found is None:
            raise NotFound("there is no such top-up")
        return found

    async def top_ups(
        self, principal: Principal, customer_id: str, query: ListQuery, /
    ) -> Page[TopUp]:
        await self.balances(principal, customer_id)
        query.position()
        return Page(list(self.top_ups_booked.values()), None)

    async def balances(
        self, principal: Principal, customer_id: str, asked: Asked = NEWEST, /
    ) -> tuple[AsOf, Sequence[Balance]]:
        if not ANA.is_visible_to(principal) or customer_id != ANA_ID:
            raise NotFound("there is no such customer")
        return as_of(asked), [A_BALANCE]

    async def entries(
        self, principal: Principal, customer_id: str, query: ListQuery, /
    ) -> Page[EntryRow]:
        await self.balances(principal, customer_id)
        query.position()
        return Page([AN_ENTRY], None)

    async def trial_balance(self, asked: Asked, /) -> tuple[AsOf, Sequence[TrialRow]]:
        return as_of(asked), [TrialRow("EUR", 120_000, 120_000)]

    async def accounts(self, query: ListQuery, /) -> Page[AccountRow]:
        query.position()
        return Page([AccountRow(new_id(), 1, A_BALANCE, NOW)], None)

    async def account(self, account_id: str, asked: Asked, /) -> tuple[AsOf, AccountRow]:
        row = AccountRow(decode_id(Prefix.ACCOUNT, account_id), 1, A_BALANCE, NOW)
        return as_of(asked), row

    async def account_entries(self, account_id: str, query: ListQuery, /) -> Page[EntryRow]:
        decode_id(Prefix.ACCOUNT, account_id)
        query.position()
        return Page([AN_ENTRY], None)


@dataclass
class FakeStatements:
    """One statement; what it is of can be changed."""

    customer_name: str = "Ana"
    lines: Sequence[Line] = (A_LINE,)
    refuses: NodeError | None = None

    async def statement(
        self,
        principal: Principal,
        customer_id: str,
        currency: str,
        /,
        *,
        first: date | None,
        last: date | None,
        asked: Asked,
    ) -> Statement:
        if not ANA.is_visible_to(principal) or customer_id != ANA_ID:
            raise NotFound("there is no such customer")
        if self.refuses:
            raise self.refuses
        period = Period.of(first, last, NOW.date())
        return self._of(ANA.id, currency, period, as_of(asked), Prefix.CUSTOMER)

    async def partner_statement(
        self,
        principal: Principal,
        partner_id: str,
        currency: str,
        /,
        *,
        first: date | None,
        last: date | None,
        asked: Asked,
    ) -> Statement:
        decoded = decode_id(Prefix.PARTNER, partner_id)
        if principal.role is not Role.OPERATOR and principal.partner_id != decoded:
            raise NotFound("there is no such partner")
        period = Period.of(first, last, NOW.date())
        return self._of(decoded, currency, period, as_of(asked), Prefix.PARTNER)

    def _of(
        self, owner_id: UUID, currency: str, period: Period, until: AsOf, kind: Prefix
    ) -> Statement:
        closing = self.lines[-1].balance_after if self.lines else 0
        return Statement(
            owner_id, self.customer_name, currency, period, 0, self.lines, closing,
            until.sequence, until.booked_at, NOW, NOW, kind,
        )  # fmt: skip


def as_of(asked: Asked) -> AsOf:
    """The point, where there are 7 sequences, all booked now."""
    if (asked.sequence or 0) > HEAD.sequence or (asked.at or NOW) > NOW:
        raise InFuture("not yet", errors=[{"parameter": "at", "code": "in_future", "message": ""}])
    return HEAD if asked.sequence is None else AsOf(asked.sequence, NOW)


@dataclass
class FakeSettlement:
    """Pauses in a list; movements as they are asked for."""

    memory: Memory
    paused: list[Pause] = field(default_factory=list)
    is_ahead: bool = False

    async def pauses(self) -> Sequence[Pause]:
        return self.paused

    async def pause(
        self,
        principal: Principal,
        /,
        *,
        hard: bool,
        note: str | None,
        claim: Claim | None,
        render: Callable[[Sequence[Pause]], Answer],
        render_error: RenderError,
    ) -> Answer:
        async def work() -> Answer:
            self.paused = [Pause(PauseReason.OPERATOR, hard, note, principal.key, NOW)]
            return render(self.paused)

        return await self.memory.once(claim, work, render_error)

    async def resume(
        self,
        principal: Principal,
        reason: PauseReason,
        /,
        *,
        claim: Claim | None,
        render: Callable[[Sequence[Pause]], Answer],
        render_error: RenderError,
    ) -> Answer:
        async def work() -> Answer:
            if self.is_ahead and reason is PauseReason.FOREIGN_NONCE:
                raise SettlementRecovering("adopt first: `corridor settlement adopt`")
            self.paused = [each for each in self.paused if each.reason is not reason]
            return render(self.paused)

        return await self.memory.once(claim, work, render_error)


@dataclass
class FakeReconciliation:
    """A run that goes on."""

    memory: Memory

    async def request_run(
        self,
        principal: Principal,
        /,
        *,
        claim: Claim | None,
        render: Callable[[Run], Answer],
        render_error: RenderError,
    ) -> Answer:
        async def work() -> Answer:
            return render(Run(new_id(), "running", None, [], None, principal.key, NOW, None))

        return await self.memory.once(claim, work, render_error)

    async def get(self, run_id: str, /) -> Run:
        identity = decode_id(Prefix.RUN, run_id)
        return Run(identity, "running", None, [], None, "operator:ops", NOW, None)

    async def runs(self, query: ListQuery, /) -> Page[Run]:
        query.position()
        return Page([await self.get(RUN_ID)], None)
