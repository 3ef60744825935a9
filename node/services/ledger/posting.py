"""Posting ledger transactions, in batches: the one way in for whoever has entries to book.

A key books at most once. A repeated key gives the first outcome, also when that was a refusal for
the state of the books; a key that comes with other entries is refused and nothing is written.
Limits are decided in `node.core.posting`, exactly, in the order of arrival. What operators may
book by hand is in `node.services.ledger.bookings`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, cast

from node.core.catalog import Catalog
from node.core.errors import (
    AmountOutOfRange,
    InsufficientFunds,
    InvariantBroken,
    NodeError,
    PostingKeyReused,
)
from node.core.ledger import LedgerTransaction
from node.core.ports import Unit, UnitOfWork
from node.core.ports.ledger import Refusal
from node.core.posting import (
    Shortfall,
    Why,
    WorkingCopy,
    check_form,
    content_digest,
    paths_of,
    same_content,
)
from node.core.reconcile import Cover
from node.core.units import Money
from node.services.batching import WAITING_MAX, GroupCommit, committed

_BATCH_MAX: Final = 512
"""More than elsewhere: there is nothing to store besides the entries."""

_REFUSALS: Final[Mapping[str, type[NodeError]]] = {
    each.code: each for each in (InsufficientFunds, AmountOutOfRange)
}


class PostingService:
    """Posts ledger transactions.

    Args:
        units: Opens transactions.
        catalog: Knows the digits of assets, for the amounts in refusals.
        batch_max: Most ledger transactions of one database transaction.
        waiting_max: Most that wait.
    """

    def __init__(
        self,
        units: UnitOfWork,
        catalog: Catalog,
        *,
        batch_max: int = _BATCH_MAX,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._units = units
        self._catalog = catalog
        self._group = GroupCommit(self._process, batch_max=batch_max, waiting_max=waiting_max)

    async def post(self, transaction: LedgerTransaction) -> int:
        """Book one; its sequence, or that which its key has since it was first booked.

        Raises:
            InsufficientFunds: An account would fall below its floor; with `available`.
            AmountOutOfRange: A counter cannot hold it; with `min` and `max`.
            PostingKeyReused: The key was used with another kind or other entries.
            CurrencyUnknown: An asset that the node does not have.
            Overloaded: Too many wait; nothing was done.
            DatabaseUnavailable: Whether it was booked is not known; repeat it with its key.
            InvariantBroken: It has no form that the ledger could hold.
        """
        self._check(transaction)
        return await self._group.submit(transaction)

    async def post_many(
        self, transactions: Sequence[LedgerTransaction]
    ) -> Sequence[int | Exception]:
        """Book many, in order, a batch at a time; the sequence or the refusal of each.

        They are independent of each other: what is refused leaves the others alone. When the
        database goes away, the rest is not tried and its outcome is that error.

        Raises:
            CurrencyUnknown: As in `post`, before anything is booked; `InvariantBroken` as well.
            Overloaded: Too many wait; nothing was done.
        """
        for each in transactions:
            self._check(each)
        return await self._group.submit_many(transactions)

    async def book(
        self,
        unit: Unit,
        transactions: Sequence[LedgerTransaction],
        *,
        decisions: Collection[str] = (),
    ) -> Sequence[int | NodeError]:
        """Book what can be booked, within a transaction that holds the ledger's lock.

        Args:
            unit: The transaction.
            transactions: In order.
            decisions: Keys of those that the node itself decides: they are refused where they
                would leave what it owes not covered (law 8). All others move customers' money from
                one place to another, or state what has happened.

        Returns:
            The sequence or the refusal of each, in order.
        """
        keys = [each.key for each in transactions]
        booked = await unit.history.transactions(keys)
        refused = await unit.ledger.refusals(keys)
        fresh: dict[str, LedgerTransaction] = {}
        for each in transactions:
            if each.key not in booked and each.key not in refused:
                fresh.setdefault(each.key, each)
        decided = await self._decide(unit, list(fresh.values()), decisions)
        outcomes: list[int | NodeError] = []
        outcome: int | NodeError
        for each in transactions:
            key = each.key
            if (earlier := booked.get(key)) is not None:
                is_same, outcome = same_content(earlier.transaction, each), earlier.sequence
            elif (refusal := refused.get(key)) is not None:
                is_same = refusal.detail["content"] == content_digest(each)
                outcome = _error_of(refusal)
            else:
                first = fresh[key]
                is_same, outcome = first is each or same_content(first, each), decided[key]
            outcomes.append(outcome if is_same else _reused(key))
        return outcomes

    async def _decide(
        self, unit: Unit, transactions: Sequence[LedgerTransaction], decisions: Collection[str]
    ) -> Mapping[str, int | NodeError]:
        """Outcomes, by key, of ledger transactions whose keys have none yet."""
        if not transactions:
            return {}
        accounts = WorkingCopy(await unit.ledger.balances(paths_of(transactions)))
        decided = [each for each in transactions if each.key in decisions]
        cover = await _cover(unit, decided) if decided else None
        accepted: list[LedgerTransaction] = []
        refusals: list[Refusal] = []
        for each in transactions:
            shortfall = cover.shortfall(each) if cover and each.key in decisions else None
            shortfall = shortfall or accounts.take(each)
            if shortfall is None:
                accepted.append(each)
                if cover:
                    cover.take(each)
            else:
                refusals.append(self._refusal(each, shortfall))
        await unit.ledger.remember_refusals(refusals)
        sequences = await unit.ledger.post(accepted)
        return {**sequences, **{each.key: _error_of(each) for each in refusals}}

    async def _process(self, batch: Sequence[LedgerTransaction]) -> Sequence[int | Exception]:
        async def work(unit: Unit, _: Sequence[int | Exception]) -> Sequence[int | Exception]:
            await unit.ledger.lock()
            return await self.book(unit, batch)

        return await committed(self._units, work)

    def _check(self, transaction: LedgerTransaction) -> None:
        check_form(transaction)
        for entry in transaction.entries:
            self._catalog.ledger_asset(entry.asset)

    def _refusal(self, transaction: LedgerTransaction, shortfall: Shortfall) -> Refusal:
        sentence = (
            f"what the node owes in {shortfall.asset} would not be covered by what it has"
            if shortfall.why is Why.NOT_COVERED
            else f"{shortfall.path} does not have what this ledger transaction takes"
        )
        return _refusal_of(transaction, refusal_for(shortfall, self._catalog, sentence))


def refusal_for(shortfall: Shortfall, catalog: Catalog, sentence: str) -> NodeError:
    """The error for an account that cannot take a ledger transaction.

    Args:
        shortfall: What there is.
        catalog: Knows the digits of the asset.
        sentence: What to say when it is money that is missing.
    """
    asset = catalog.ledger_asset(shortfall.asset)
    left = Money(shortfall.left, asset)
    if shortfall.why is not Why.COUNTER_FULL:
        return InsufficientFunds(sentence, available=left.stated)
    return AmountOutOfRange(
        f"{shortfall.path} can take at most {left} {asset.code} more",
        min=Money(1, asset).stated,
        max=left.stated,
    )


async def _cover(unit: Unit, transactions: Sequence[LedgerTransaction]) -> Cover:
    """What is owed and what covers it, in every asset that they name."""
    assets = {entry.asset for each in transactions for entry in each.entries}
    return Cover(await unit.ledger.totals(assets))


def _refusal_of(transaction: LedgerTransaction, error: NodeError) -> Refusal:
    """What is kept of a refusal: enough to refuse again, and to know other entries."""
    return Refusal(
        transaction.key,
        error.code,
        {
            "content": content_digest(transaction),
            "sentence": error.detail,
            "context": dict(error.context),
        },
    )


def _error_of(refusal: Refusal) -> NodeError:
    kind = _REFUSALS.get(refusal.code)
    if kind is None:
        raise InvariantBroken(f"no ledger transaction is refused for {refusal.code!r}")
    context = cast("Mapping[str, object]", refusal.detail["context"])
    return kind(str(refusal.detail["sentence"]), **context)


def _reused(key: str) -> PostingKeyReused:
    return PostingKeyReused(
        f"the key {key!r} was used for another ledger transaction; nothing was booked"
    )
