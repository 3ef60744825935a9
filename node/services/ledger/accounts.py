"""Reading the ledger: balances, entries, top-ups, the chart, the trial balance; now or as of then.

Not here: statements of a period (`node.services.ledger.statements`).
"""

from collections.abc import Sequence
from dataclasses import replace

from node.core.errors import NotFound
from node.core.ids import Prefix, decode_id, encode_id
from node.core.ledger import Balance
from node.core.paging import ListQuery, Page
from node.core.parties import Customer, Principal
from node.core.ports import UnitOfWork
from node.core.ports.history import AsOf, EntryRow
from node.core.ports.ledger import AccountRow, TrialRow
from node.core.ports.transfers import TopUp
from node.services.parties import visible_customer
from node.services.points import NEWEST, Asked, point


class AccountService:
    """Reads; nothing here books. What is as of a point comes with the point."""

    def __init__(self, units: UnitOfWork) -> None:
        self._units = units

    async def balances(
        self, principal: Principal, customer_id: str, asked: Asked = NEWEST
    ) -> tuple[AsOf, Sequence[Balance]]:
        """A customer's balances, by currency.

        Raises:
            InFuture: The point asked for has not come yet.
        """
        async with self._units() as unit:
            customer = await visible_customer(unit, principal, customer_id)
        as_of = await point(self._units, asked)
        async with self._units() as unit:
            accounts = await unit.history.accounts_at([_prefix(customer)], as_of.sequence)
        return as_of, [each.balance for each in accounts]

    async def entries(
        self, principal: Principal, customer_id: str, query: ListQuery
    ) -> Page[EntryRow]:
        """A customer's posted entries, newest first, each with the balance of its currency.

        Filters: `currency`.
        """
        currency = query.filters.get("currency")
        async with self._units() as unit:
            customer = await visible_customer(unit, principal, customer_id)
            accounts = [
                each
                for each in await unit.ledger.accounts_below(_prefix(customer))
                if currency in (None, each.balance.asset)
            ]
            return await unit.history.entries(accounts, query, posted_only=True)

    async def top_up(self, principal: Principal, customer_id: str, top_up_id: str) -> TopUp:
        """One top-up of a customer.

        Raises:
            NotFound: There is none of this id, or it is another customer's.
        """
        async with self._units() as unit:
            customer = await visible_customer(unit, principal, customer_id)
            found = await unit.transfers.top_up(decode_id(Prefix.TOP_UP, top_up_id))
        if found is None or found.customer_id != customer.id:
            raise NotFound("there is no such top-up")
        return found

    async def top_ups(
        self, principal: Principal, customer_id: str, query: ListQuery
    ) -> Page[TopUp]:
        """A customer's top-ups, newest first."""
        async with self._units() as unit:
            customer = await visible_customer(unit, principal, customer_id)
            return await unit.transfers.top_ups(customer.id, query)

    async def trial_balance(self, asked: Asked = NEWEST) -> tuple[AsOf, Sequence[TrialRow]]:
        """Posted debits and credits per asset; equal in each row.

        Raises:
            InFuture: The point asked for has not come yet.
        """
        as_of = await point(self._units, asked)
        async with self._units() as unit:
            return as_of, await unit.history.trial_balance_at(as_of.sequence)

    async def accounts(self, query: ListQuery) -> Page[AccountRow]:
        """The chart, newest first. Filters: `path` (prefix), `currency`."""
        async with self._units() as unit:
            return await unit.ledger.accounts(query)

    async def account(self, account_id: str, asked: Asked = NEWEST) -> tuple[AsOf, AccountRow]:
        """One account with its counters; zeros as of before it was opened.

        Raises:
            NotFound: There is no such account.
            InFuture: The point asked for has not come yet.
        """
        async with self._units() as unit:
            account = await unit.ledger.account(decode_id(Prefix.ACCOUNT, account_id))
        if account is None:
            raise NotFound("there is no such account")
        as_of = await point(self._units, asked)
        path = account.balance.path
        async with self._units() as unit:
            balances = await unit.history.balances_at([path], as_of.sequence)
        return as_of, replace(account, balance=balances[path])

    async def account_entries(self, account_id: str, query: ListQuery) -> Page[EntryRow]:
        """Entries of one account, pending and voided ones included, newest first.

        Raises:
            NotFound: There is no such account.
        """
        async with self._units() as unit:
            account = await unit.ledger.account(decode_id(Prefix.ACCOUNT, account_id))
            if account is None:
                raise NotFound("there is no such account")
            return await unit.history.entries([account], query, posted_only=False)


def _prefix(customer: Customer) -> str:
    return f"customer/{encode_id(Prefix.CUSTOMER, customer.id)}/"
