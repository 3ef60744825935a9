"""Compares the node with the truth about a history, item by item and account by account."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from node.core.ledger import customer_account, suspense_account
from tests.builders import CHAIN_ID
from tests.histories.deposit_truth import Leg, named
from tests.histories.derivation import Derivation, Derived, booked
from tests.histories.history import History
from tests.histories.parties import BUY, CONTRACT, TRANSFERS
from tests.histories.rows import Rows

_SELL_EUR = 100
_FUNDS_EUR = 100_000_000
_SHOWN = 3


class Comparison:
    """Of one history that has come to rest and was reconciled."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._rows = Rows(history.database)
        self.found: list[str] = []

    async def run(self) -> tuple[Sequence[str], Counter[str]]:
        """Everything in which they differ, and which kinds of deposits came."""
        start = await self._rows.start()
        truth = Derivation(self._history, start).derive()
        await self._mirror(truth)
        await self._bookings(truth)
        await self._deposits(truth)
        await self._accounts(truth)
        await self._transfers(truth)
        await self._breaks(truth)
        kinds = truth.deposits.kinds
        for _, kind, *_ in truth.notices.values():
            kinds[f"notice {kind}"] += 1
        for kind, *_ in truth.events.values():
            kinds[f"event {kind}"] += 1
        kinds["undecoded"] += len(truth.undecoded)
        kinds["strays"] += len(truth.strays)
        return self.found, kinds

    def _compare(self, what: str, expected: object, actual: object) -> None:
        if expected != actual:
            self.found.append(f"{what}: {_told(expected, actual)}")

    async def _mirror(self, truth: Derived) -> None:
        logs = self._rows.logs
        self._compare("blocks", truth.blocks, await self._rows.blocks())
        moves = await logs("token_log", "from_address", "to_address", "amount")
        self._compare("token logs", truth.token_logs, moves)
        events = ("kind", "payment_number", "beneficiary", "amount", "payout_log_index")
        self._compare("events", truth.events, await logs("settlement_log", *events))
        notices = await logs("notice", "contract", "kind", "subject", "amount")
        self._compare("notices", truth.notices, notices)
        strays = await logs("stray_log", "token", "from_address", "to_address", "amount")
        self._compare("strays", truth.strays, strays)
        undecoded = await logs("undecoded_log", "contract", "topics", "data")
        self._compare("undecoded", truth.undecoded, undecoded)
        self._compare("slots", truth.slots, await self._rows.slots())

    async def _bookings(self, truth: Derived) -> None:
        """Each log's ledger transaction: between which accounts, and how much."""
        by_key, by_transaction = await self._rows.legs()
        expected = {f"deposit:{CHAIN_ID}:{named(k)}": v for k, v in truth.deposits.legs.items()}
        expected |= truth.opening
        for name, legs in truth.swept.items():
            word = "orphan" if f"B06:{named(name)}" in truth.must else "sweep"
            expected[f"{word}:{CHAIN_ID}:{named(name)}"] = legs
        self._compare("entries of logs", _sorted(expected), _sorted(by_key))
        names = {name for name, key in (await self._rows.booked()).items() if key in by_key}
        logged = {*truth.deposits.legs, *truth.swept}
        payouts = {name for name in truth.deposits.legs if truth.token_logs[name][0] == CONTRACT}
        self._compare("logs that name an entry", logged - payouts, names)
        paid = {
            f"0x{tx.hex()}": sum(amount for _, _, amount in by_transaction.get(f"0x{tx.hex()}", ()))
            for tx in truth.paid
        }
        self._compare("batches", {f"0x{k.hex()}": v for k, v in truth.paid.items()}, paid)
        self._compare("transactions that paid", paid.keys(), by_transaction.keys())

    async def _deposits(self, truth: Derived) -> None:
        self._compare("deposits", truth.deposits.rows, await self._rows.deposits())
        self._compare("requests", truth.deposits.requests, await self._rows.requests())

    async def _accounts(self, truth: Derived) -> None:
        self._compare("holdings", truth.held, await self._rows.holdings())
        self._compare("ledger", booked(truth), await self._rows.ledger("USDC"))
        self._compare("ledger, native", truth.native, await self._rows.ledger("ETH"))
        accounts = await self._rows.accounts("USDC")
        expected: dict[str, int] = defaultdict(int)
        for legs in (*truth.deposits.legs.values(), *truth.opening.values()):
            for debit, credit, amount in legs:
                expected[debit] -= amount
                expected[credit] += amount
        watched = [
            suspense_account(CHAIN_ID, "USDC"),
            *(
                customer_account(each.customer_id, "USDC")
                for each in self._history.customers.owners
                if each.customer_id is not None
            ),
        ]
        for path in watched:
            self._compare(f"account {path}", expected[path], accounts.get(path, 0))

    async def _transfers(self, truth: Derived) -> None:
        """States, and the customer's euros that follow from them."""
        states = await self._rows.states()
        settled = {number for number, state in states.items() if state == "settled"}
        self._compare("settled", truth.settled, settled)
        canceled = {number for number, state in states.items() if state == "canceled"}
        by_others = canceled & truth.others  # where a void was asked for before: it has the proof
        self._compare("canceled", truth.voided - truth.settled, canceled - by_others)
        [payer, _] = self._history.customers.owners
        assert payer.customer_id is not None
        accounts = await self._rows.accounts("EUR")
        paid = accounts[customer_account(payer.customer_id, "EUR")]
        self._compare("the payer's euros", _FUNDS_EUR - _SELL_EUR * len(settled), paid)
        [row] = await self._rows.fetch(
            "SELECT coalesce(sum(credits_pending), 0) AS open FROM account"
            " WHERE path LIKE 'in_flight/%' AND asset = 'USDC'"
        )
        waiting = TRANSFERS - len(settled) - len(canceled)
        self._compare("in flight", BUY * waiting, int(row["open"]))

    async def _breaks(self, truth: Derived) -> None:
        """Those that follow from what happened, and no others."""
        must, may = set(truth.must), set(truth.may)
        off = [each for each, units in truth.orphaned.items() if units]
        must |= {f"B01:balance.token:0x{each.hex()}" for each in off}
        if self._history.halted:
            may |= {each for each in await self._rows.breaks() if each.startswith("B19:")}
        open_ones = await self._rows.breaks()
        self._compare("breaks that are missing", set(), must - open_ones)
        self._compare("breaks that nothing explains", set(), open_ones - must - may)


def _sorted(legs: Mapping[str, Sequence[Leg]]) -> dict[str, list[Leg]]:
    return {key: sorted(each) for key, each in legs.items()}


def _told(expected: object, actual: object) -> str:
    """The first few things in which two values differ."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        keys = [each for each in {**expected, **actual} if expected.get(each) != actual.get(each)]
        told = [f"{_name(key)}: {expected.get(key)} is {actual.get(key)}" for key in keys[:_SHOWN]]
        return f"{len(keys)} differ: {'; '.join(told)}"
    if isinstance(expected, set) and isinstance(actual, set):
        missing = [_name(each) for each in list(expected - actual)[:_SHOWN]]
        more = [_name(each) for each in list(actual - expected)[:_SHOWN]]
        return f"missing {missing}, too many {more}"
    return f"expected {expected}, is {actual}"


def _name(key: object) -> str:
    parts = key if isinstance(key, tuple) else (key,)
    return ":".join(each.hex()[:8] if isinstance(each, bytes) else str(each) for each in parts)
