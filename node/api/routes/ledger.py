"""The ledger as the operator sees it."""

from typing import Final

from node.api import examples
from node.api.bodies import PageQuery
from node.api.ledger_views import (
    AccountAsOfView,
    AccountView,
    AsOfListView,
    EntryView,
    TrialView,
    account_view,
    as_of_view,
    entry_view,
    trial_view,
)
from node.api.operations import OPERATORS, Call, Example, Operations, list_query
from node.api.schemas import AccountQuery, AsOfQuery
from node.api.views import PageView
from node.core.errors import InFuture, NotFound
from node.core.ports.idempotency import Answer

operations: Final = Operations("Ledger")


@operations.get(
    "/v1/ledger/trial-balance",
    who=OPERATORS,
    query=AsOfQuery,
    answer=AsOfListView[TrialView],
    example=Example({"data": [examples.TRIAL], "as_of": examples.AS_OF}),
    refusals=(InFuture,),
)
async def show_trial_balance(call: Call[None, AsOfQuery]) -> Answer:
    """Show the trial balance.

    Posted debits and credits per currency; equal in each row. Now, or as of a time or sequence.
    """
    as_of, rows = await call.services.accounts.trial_balance(call.query.asked)
    views = [trial_view(each, call.services.catalog) for each in rows]
    return call.answer({"data": views, "as_of": as_of_view(as_of)})


@operations.get(
    "/v1/ledger/accounts",
    who=OPERATORS,
    query=AccountQuery,
    answer=PageView[AccountView],
    example=Example({"data": [examples.ACCOUNT], "next_cursor": None}),
)
async def list_accounts(call: Call[None, AccountQuery]) -> Answer:
    """List the accounts, newest first."""
    page = await call.services.accounts.accounts(list_query(call))
    views = [account_view(each, call.services.catalog) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    "/v1/ledger/accounts/{account_id}",
    who=OPERATORS,
    query=AsOfQuery,
    answer=AccountAsOfView,
    example=Example(
        {**examples.ACCOUNT, "as_of": examples.AS_OF}, path={"account_id": examples.ACCOUNT_ID}
    ),
    refusals=(NotFound, InFuture),
)
async def show_account(call: Call[None, AsOfQuery]) -> Answer:
    """Show an account.

    With its balances now, or as of a time or sequence; zeros as of before it was opened.
    """
    as_of, row = await call.services.accounts.account(
        call.parameters["account_id"], call.query.asked
    )
    view = account_view(row, call.services.catalog)
    return call.answer({**view, "as_of": as_of_view(as_of)})


@operations.get(
    "/v1/ledger/accounts/{account_id}/entries",
    who=OPERATORS,
    query=PageQuery,
    answer=PageView[EntryView],
    example=Example(
        {"data": [examples.ENTRY], "next_cursor": None}, path={"account_id": examples.ACCOUNT_ID}
    ),
    refusals=(NotFound,),
)
async def list_entries(call: Call[None, PageQuery]) -> Answer:
    """List an account's entries, newest first.

    Pending and voided ones included.
    """
    page = await call.services.accounts.account_entries(
        call.parameters["account_id"], list_query(call)
    )
    views = [entry_view(each, call.services.catalog) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})
