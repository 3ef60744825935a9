"""The ledger as the operator sees it."""

from typing import Final

from node.api import examples
from node.api.bodies import PageQuery
from node.api.ledger_views import (
    AccountView,
    EntryView,
    TrialView,
    account_view,
    entry_view,
    trial_view,
)
from node.api.operations import OPERATORS, Call, Example, Operations, list_query
from node.api.schemas import AccountQuery
from node.api.views import (
    ListView,
    PageView,
)
from node.core.errors import NotFound
from node.core.ports.idempotency import Answer

operations: Final = Operations("Ledger")


@operations.get(
    "/v1/ledger/trial-balance",
    who=OPERATORS,
    answer=ListView[TrialView],
    example=Example({"data": [examples.TRIAL]}),
)
async def show_trial_balance(call: Call[None, None]) -> Answer:
    """Show the trial balance.

    Posted debits and credits per currency; equal in each row.
    """
    rows = await call.services.accounts.trial_balance()
    return call.answer({"data": [trial_view(each, call.services.catalog) for each in rows]})


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
