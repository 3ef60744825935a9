"""What the HTTP edge calls about breaks and the bank's statements. See `node.api.services`."""

from collections.abc import Callable, Sequence
from typing import Protocol

from node.core.ledger import Entry
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.payout_orders import Conclusion
from node.core.ports.bank import StoredStatement
from node.core.ports.breaks import Break, BreakEvent, OpenBreaks
from node.core.ports.idempotency import Answer, Claim
from node.services.idempotency import RenderError
from node.services.reconciliation.bank import Imported, StatementFile, SuggestedLine
from node.services.reconciliation.breaks import BreakRequest


class BreakDesk(Protocol):
    """See `node.services.reconciliation.breaks.BreakService`."""

    async def page(self, query: ListQuery, /) -> Page[Break]:
        """Breaks."""
        ...

    async def get(self, break_id: str, /) -> Break:
        """One break."""
        ...

    async def history(self, break_id: str, /) -> Sequence[BreakEvent]:
        """What happened to it."""
        ...

    async def summary(self) -> Sequence[OpenBreaks]:
        """Open breaks by code."""
        ...

    async def assign(self, request: BreakRequest, owner: str | None, /) -> Answer:
        """Give it to an operator."""
        ...

    async def resolve(
        self, request: BreakRequest, reason: str, entries: Sequence[Entry], /
    ) -> Answer:
        """Close it, or propose how."""
        ...

    async def conclude(
        self, request: BreakRequest, reason: str, conclusion: Conclusion, evidence: str, /
    ) -> Answer:
        """Propose how the payout that it tells of ends."""
        ...

    async def approve(self, request: BreakRequest, /) -> Answer:
        """Agree with another operator."""
        ...

    async def withdraw(self, request: BreakRequest, reason: str, /) -> Answer:
        """Forget a proposal."""
        ...


class BankDesk(Protocol):
    """See `node.services.reconciliation.bank.BankService`."""

    async def import_file(
        self,
        principal: Principal,
        file: StatementFile,
        /,
        *,
        claim: Claim | None,
        render: Callable[[Imported], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Keep the statements of a file."""
        ...

    async def statements(self, query: ListQuery, /) -> Page[StoredStatement]:
        """Statements."""
        ...

    async def statement(self, statement_id: str, /) -> StoredStatement:
        """One statement."""
        ...

    async def lines(self, statement_id: str, query: ListQuery, /) -> Page[SuggestedLine]:
        """Its lines."""
        ...

    async def confirm(  # noqa: PLR0913 - all by name
        self,
        principal: Principal,
        line_id: str,
        /,
        *,
        ledger_sequence: int | None,
        top_up_id: str | None,
        reason: str,
        claim: Claim | None,
        render: Callable[[SuggestedLine], Answer],
        render_error: RenderError,
    ) -> Answer:
        """Match a line."""
        ...
