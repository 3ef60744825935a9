"""The bank's statements: imported, shown, and what a person confirms."""

from typing import Final

from node.api import bank_examples
from node.api.bank_schemas import (
    BankImportQuery,
    BankLineQuery,
    BankStatementQuery,
    MatchLineBody,
)
from node.api.bank_views import (
    BankLineDocument,
    BankStatementDocument,
    BankStatementsDocument,
    line_document,
    statement_document,
)
from node.api.bodies import Upload
from node.api.operations import OPERATORS, Call, Example, KeyRule, Operations, list_query
from node.api.views import PageView
from node.core.bank import StatementInvalid, StatementUnfit
from node.core.errors import CurrencyUnknown, NotFound, RailUnknown, WrongState
from node.core.ids import Prefix, encode_id
from node.core.ports.idempotency import Answer
from node.services.reconciliation.bank import Imported, StatementFile, SuggestedLine

operations: Final = Operations("Reconciliation")

_PATH: Final = "/v1/reconciliation/bank-statements"
_MEDIA: Final = {"text/xml": "application/xml"}
_AT: Final = {"statement_id": bank_examples.STATEMENT_ID}


@operations.upload(
    _PATH,
    who=OPERATORS,
    uploads=("application/xml", "text/csv"),
    query=BankImportQuery,
    answer=BankStatementsDocument,
    example=Example(
        bank_examples.IMPORTED, query={"rail": "sandbox_bank"}, files=bank_examples.FILES
    ),
    refusals=(StatementInvalid, StatementUnfit, RailUnknown, CurrencyUnknown),
)
async def import_bank_statement(call: Call[Upload, BankImportQuery]) -> Answer:
    """Import a statement of the bank.

    The body is the file, up to 10 MiB: camt.053 (001.02 to 001.08) as `application/xml`, or
    `text/csv` in UTF-8 with a header and the columns `date`, `amount` (decimal point, a minus sign
    where money went out), and, where there are any, `currency`, `reference`, `counterparty`,
    `description`, `servicer_reference`, `balance`.

    Opening balance and lines must make the closing balance, and a statement must begin where the
    newest one ends; lines that were imported before are known by the bank's own reference. The
    same file again changes nothing, and says that all its lines are known. Lines are matched to
    the ledger by an exact reference, amount and direction; what is left on either side is a break
    (`B27`, `B28`, `B29`).
    """

    def render(found: Imported) -> Answer:
        statements = found.statements
        told: BankStatementsDocument = {
            "data": [statement_document(each, call.services.catalog) for each in statements],
            "lines_new": found.lines_new,
            "lines_known": found.lines_known,
        }
        first = encode_id(Prefix.BANK_STATEMENT, statements[0].id)
        return call.answer(told, f"{_PATH}/{first}")

    body, query = call.body, call.query
    return await call.services.bank.import_file(
        call.principal,
        StatementFile(
            query.rail,
            body.content,
            _MEDIA.get(body.media_type, body.media_type),
            query.currency or "",
        ),
        claim=call.claim,
        render=render,
        render_error=call.refusal,
    )


@operations.get(
    _PATH,
    who=OPERATORS,
    query=BankStatementQuery,
    answer=PageView[BankStatementDocument],
    example=Example({"data": [bank_examples.STATEMENT], "next_cursor": None}),
)
async def list_bank_statements(call: Call[None, BankStatementQuery]) -> Answer:
    """List the statements of the bank, newest first."""
    page = await call.services.bank.statements(list_query(call))
    views = [statement_document(each, call.services.catalog) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    f"{_PATH}/{{statement_id}}",
    who=OPERATORS,
    answer=BankStatementDocument,
    example=Example(bank_examples.STATEMENT, path=_AT),
    refusals=(NotFound,),
)
async def show_bank_statement(call: Call[None, None]) -> Answer:
    """Show a statement of the bank: its balances, and how much of it is matched."""
    found = await call.services.bank.statement(call.parameters["statement_id"])
    return call.answer(statement_document(found, call.services.catalog))


@operations.get(
    f"{_PATH}/{{statement_id}}/lines",
    who=OPERATORS,
    query=BankLineQuery,
    answer=PageView[BankLineDocument],
    example=Example({"data": [bank_examples.LINE], "next_cursor": None}, path=_AT),
    refusals=(NotFound,),
)
async def list_bank_lines(call: Call[None, BankLineQuery]) -> Answer:
    """List the lines of a statement, in its order.

    One that is not matched names ledger transactions of the same amount and direction within five
    days: suggestions, which a person confirms or not.
    """
    page = await call.services.bank.lines(call.parameters["statement_id"], list_query(call))
    views = [line_document(each, call.services.catalog) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.post(
    "/v1/reconciliation/bank-lines/{line_id}/match",
    who=OPERATORS,
    key=KeyRule.REQUIRED,
    body=MatchLineBody,
    status=200,
    answer=BankLineDocument,
    example=Example(
        bank_examples.MATCHED,
        body=bank_examples.MATCH_BODY,
        path={"line_id": bank_examples.LINE_ID},
    ),
    refusals=(NotFound, WrongState),
)
async def match_bank_line(call: Call[MatchLineBody, None]) -> Answer:
    """Match a line to a ledger transaction.

    By its sequence, or by the top-up that it booked. Both must be of the same amount and
    direction, and neither matched. For good: a match is not taken back.
    """

    def render(found: SuggestedLine) -> Answer:
        return call.answer(line_document(found, call.services.catalog))

    return await call.services.bank.confirm(
        call.principal,
        call.parameters["line_id"],
        ledger_sequence=call.body.ledger_sequence,
        top_up_id=call.body.top_up_id,
        reason=call.body.reason,
        claim=call.claim,
        render=render,
        render_error=call.refusal,
    )
