"""A fake of the bank's statements: one, with one line that is not matched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from node.api.bank_examples import LINE_ID, STATEMENT_ID
from node.core.bank import Conserved, LedgerItem, StatementInvalid, Tally
from node.core.ids import Prefix, decode_id
from node.core.paging import ListQuery, Page
from node.core.parties import Principal
from node.core.ports.bank import StoredLine, StoredStatement
from node.core.ports.idempotency import Answer, Claim
from node.services.idempotency import RenderError
from node.services.reconciliation.bank import Imported, StatementFile, SuggestedLine
from tests.api.fake_world import NOW, Memory

A_STATEMENT = StoredStatement(
    decode_id(Prefix.BANK_STATEMENT, STATEMENT_ID), "sandbox_bank", "EUR", "PLAY-1", "", 1,
    NOW.date(), NOW.date(), 0, 20_000, 0, 0,
    Conserved(Tally(1, 20_000), Tally(0, 0), Tally(1, 20_000)), "operator:ops", NOW,
)  # fmt: skip
A_LINE = StoredLine(
    decode_id(Prefix.BANK_LINE, LINE_ID), A_STATEMENT.id, "sandbox_bank", "EUR", 1, 20_000,
    NOW.date(), None, ("wire 17",), "a", "Ana", "", False, None, None,
)  # fmt: skip


@dataclass
class FakeBank:
    """Keeps the last file that came."""

    memory: Memory
    file: StatementFile | None = None

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
        if not file.content.startswith((b"<", b"date")):
            raise StatementInvalid("line 1: no statement", line="1")

        async def work() -> Answer:
            self.file = file
            return render(Imported([A_STATEMENT], 1, 0))

        return await self.memory.once(claim, work, render_error)

    async def statements(self, query: ListQuery, /) -> Page[StoredStatement]:
        query.position()
        return Page([A_STATEMENT], None)

    async def statement(self, statement_id: str, /) -> StoredStatement:
        return replace(A_STATEMENT, id=decode_id(Prefix.BANK_STATEMENT, statement_id))

    async def lines(self, statement_id: str, query: ListQuery, /) -> Page[SuggestedLine]:
        decode_id(Prefix.BANK_STATEMENT, statement_id)
        query.position()
        return Page([SuggestedLine(A_LINE, [LedgerItem(7, 20_000, NOW.date(), "wire-17")])], None)

    async def confirm(
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
        identity = decode_id(Prefix.BANK_LINE, line_id)

        async def work() -> Answer:
            line = replace(
                A_LINE, id=identity, ledger_sequence=ledger_sequence or 7, matched_by="confirmed"
            )
            return render(SuggestedLine(line))

        return await self.memory.once(claim, work, render_error)
