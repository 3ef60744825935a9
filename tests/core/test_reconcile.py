"""What reconciliation calls a difference."""

from node.core.breaks import BreakCode, break_of
from node.core.ledger import AccountKind, Balance, Entry, LedgerTransaction
from node.core.mirror import BlockPoint, Facts, TokenLog
from node.core.posting import Why
from node.core.reconcile import (
    Cover,
    different_logs,
    native_units,
    none_of,
    same,
    sides,
    solvency,
)
from node.core.units import Address, BlockHash, TxHash

A, B = Address(b"\x0a" * 20), Address(b"\x0b" * 20)
BLOCK = BlockPoint(7, BlockHash(bytes(32)))


def facts(*logs: TokenLog) -> Facts:
    return Facts(BLOCK, logs, ())


def log(index: int, amount: int = 5) -> TokenLog:
    return TokenLog(index, TxHash(bytes(32)), A, B, amount)


def test_equal_values_make_no_break_and_unequal_ones_make_one() -> None:
    assert same("a", BreakCode.LEDGER_OFF_CHAIN, expected=1, actual=1).ok
    check = same("a", BreakCode.LEDGER_OFF_CHAIN, expected=1, actual=2)
    assert not check.ok
    assert [each.fingerprint for each in check.breaks] == ["B01:a"]


def test_every_code_has_words_for_a_person() -> None:
    for code in BreakCode:
        found = break_of(code, "x", expected=1, actual=2)
        assert found.summary
        assert found.next_action
        assert not none_of("n", [found]).ok


def test_a_log_with_another_content_is_missed_and_phantom() -> None:
    assert different_logs(facts(log(1), log(2)), facts(log(1), log(2))) == ([], [])
    assert different_logs(facts(log(1)), facts(log(1), log(2))) == ([2], [])
    assert different_logs(facts(log(1), log(2)), facts(log(2))) == ([], [1])
    assert different_logs(facts(log(1, 5)), facts(log(1, 6))) == ([1], [1])


def test_native_coin_is_compared_rounded_down() -> None:
    assert native_units(10**9 - 1) == 0
    assert native_units(10**9) == 1


def balance(path: str, kind: AccountKind, *, debits: int = 0, paid: int = 0) -> Balance:
    return Balance(path, kind, path.rpartition("/")[2], 0, debits, 0, paid)


def test_what_is_owed_must_be_covered() -> None:
    held = [
        balance("customer/EUR", AccountKind.LIABILITY, paid=100),
        balance("bank/EUR", AccountKind.ASSET, debits=60),
        balance("fx_position/EUR", AccountKind.EQUITY, debits=40),
        balance("bank/USD", AccountKind.ASSET, debits=999),
    ]
    assert solvency("EUR", held) == (100, 100)
    assert solvency("USD", held) == (0, 999)


def test_sides_that_differ_are_named() -> None:
    held = [
        balance("bank/EUR", AccountKind.ASSET, debits=60),
        balance("capital/EUR", AccountKind.EQUITY, paid=59),
    ]
    assert sides(held)["EUR"] == (60, 59)


def moved(debit: str, credit: str, amount: int, *, pending: bool = False) -> LedgerTransaction:
    return LedgerTransaction("key", "test", [Entry(debit, credit, "EUR", amount)], pending)


def test_what_would_leave_an_asset_short_is_refused_to_the_unit() -> None:
    cover = Cover([])
    cover.take(moved("bank/x/EUR", "customer/ann/EUR", 100))
    cover.take(moved("bank/x/EUR", "capital/EUR", 30))
    assert cover.shortfall(moved("capital/EUR", "bank/x/EUR", 30)) is None
    short = cover.shortfall(moved("capital/EUR", "bank/x/EUR", 31))
    assert short is not None
    assert (short.why, short.asset, short.left) == (Why.NOT_COVERED, "EUR", 30)
    cover.take(moved("capital/EUR", "bank/x/EUR", 20))  # what was accepted counts for the next
    short = cover.shortfall(moved("capital/EUR", "bank/x/EUR", 11))
    assert short is not None
    assert short.left == 10


def test_what_the_position_owes_covers_and_what_is_promised_on_chain_is_owed() -> None:
    cover = Cover([])
    cover.take(moved("bank/x/EUR", "customer/ann/EUR", 100))
    assert cover.shortfall(moved("fx_position/EUR", "bank/x/EUR", 100)) is None
    cover.take(moved("fx_position/EUR", "bank/x/EUR", 100))
    assert cover.shortfall(moved("capital/EUR", "bank/x/EUR", 1)) is not None
    cover.take(moved("bank/x/EUR", "capital/EUR", 50))
    cover.take(moved("fx_position/EUR", "in_flight/1/EUR", 40, pending=True))
    assert cover.shortfall(moved("capital/EUR", "bank/x/EUR", 10)) is None
    assert cover.shortfall(moved("capital/EUR", "bank/x/EUR", 11)) is not None


def test_books_that_are_short_already_may_be_made_no_worse() -> None:
    cover = Cover([])
    cover.take(moved("bank/x/EUR", "customer/ann/EUR", 100))
    cover.take(moved("loss/chargeback/EUR", "bank/x/EUR", 60))
    assert cover.shortfall(moved("bank/x/EUR", "capital/EUR", 1)) is None
    assert cover.shortfall(moved("partner/shop/EUR", "bank/x/EUR", 1)) is None
    short = cover.shortfall(moved("capital/EUR", "bank/x/EUR", 1))
    assert short is not None
    assert short.left == 0
