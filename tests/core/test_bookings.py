"""What operators may book by hand: each kind moves its accounts and no others."""

from uuid import UUID

import pytest

from node.core.bookings import BookingKind, Named, check_booking, check_paths, has_loss, named_in
from node.core.errors import InvalidInput, NotFound, RailUnknown
from node.core.ids import Prefix, encode_id
from node.core.ledger import Entry, customer_account, partner_account

CUSTOMER, PARTNER = UUID(int=1), UUID(int=2)
ANN, SHOP = customer_account(CUSTOMER, "EUR"), partner_account(PARTNER, "EUR")
BANK, CAPITAL, LOSS = "bank/sepa/EUR", "capital/EUR", "loss/chargeback/EUR"


def check(kind: BookingKind, *pairs: tuple[str, str], asset: str = "EUR") -> Named:
    entries = [Entry(debit, credit, asset, 100) for debit, credit in pairs]
    return check_booking(kind, entries, rails={"sepa"})


def fault_of(error: InvalidInput) -> dict[str, str]:
    faults = error.context["errors"]
    assert isinstance(faults, list)
    assert len(faults) == 1
    return dict(faults[0])


@pytest.mark.parametrize(
    ("kind", "debit", "credit"),
    [
        (BookingKind.CAPITAL, BANK, CAPITAL),
        (BookingKind.CAPITAL, CAPITAL, BANK),
        (BookingKind.PARTNER_FUNDING, BANK, SHOP),
        (BookingKind.PARTNER_FUNDING, SHOP, BANK),
        (BookingKind.CONVERSION, "fx_position/EUR", BANK),
        (BookingKind.CONVERSION, BANK, "fx_position/EUR"),
        (BookingKind.CHARGEBACK, ANN, BANK),
        (BookingKind.CHARGEBACK, SHOP, BANK),
        (BookingKind.CHARGEBACK, LOSS, BANK),
    ],
)
def test_a_kind_moves_its_accounts(kind: BookingKind, debit: str, credit: str) -> None:
    check(kind, (debit, credit))


@pytest.mark.parametrize(
    ("kind", "debit", "credit"),
    [
        (BookingKind.CAPITAL, BANK, ANN),
        (BookingKind.CAPITAL, BANK, SHOP),
        (BookingKind.PARTNER_FUNDING, CAPITAL, SHOP),
        (BookingKind.PARTNER_FUNDING, ANN, SHOP),
        (BookingKind.CONVERSION, "fx_position/EUR", CAPITAL),
        (BookingKind.CONVERSION, "fx_position/EUR", ANN),
        (BookingKind.CHARGEBACK, BANK, ANN),
        (BookingKind.CHARGEBACK, BANK, LOSS),
        (BookingKind.CHARGEBACK, LOSS, ANN),
    ],
)
def test_a_kind_moves_no_others(kind: BookingKind, debit: str, credit: str) -> None:
    with pytest.raises(InvalidInput, match="does not move") as refused:
        check(kind, (debit, credit))
    assert fault_of(refused.value)["code"] == "account_not_allowed"


@pytest.mark.parametrize("kind", BookingKind)
@pytest.mark.parametrize(
    "path",
    [
        "chain/31337/0x" + "aa" * 20 + "/EUR",
        "in_flight/31337/EUR",
        "deferred/fee/EUR",
        "deferred/spread/EUR",
        "income/fee/EUR",
        "income/spread/EUR",
        "expense/gas/31337/EUR",
        "suspense/31337/EUR",
        "partner_clearing/x/EUR",
        "payout_due/sepa/EUR",
        "pocket/EUR",
        "",
        "/EUR",
    ],
)
def test_what_only_the_node_may_move_is_refused_on_both_sides(kind: BookingKind, path: str) -> None:
    for pair in ((path, BANK), (BANK, path)):
        with pytest.raises(InvalidInput):
            check(kind, pair)


def test_only_a_chargeback_is_no_decision_of_the_node() -> None:
    assert {each for each in BookingKind if not each.is_decided} == {BookingKind.CHARGEBACK}


@pytest.mark.parametrize(
    "path",
    [
        "bank/EUR",
        "bank/sepa/x/EUR",
        "bank/sepa/USD",
        "customer/EUR",
        f"{ANN}/EUR",
        "capital/x/EUR",
        "capital",
        "fx_position//EUR",
        "loss/EUR",
        "loss//EUR",
        "loss/Theft/EUR",
        "loss/a b/EUR",
        "suspense/EUR",
        "chain/31337/EUR",
        "expense/gas/EUR",
    ],
)
def test_a_path_has_the_shape_of_its_account(path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_paths([Entry(CAPITAL, path, "EUR", 100)])
    assert fault_of(refused.value)["pointer"] == "/entries/0/credit"


def test_what_a_chargeback_loses_has_one_name() -> None:
    with pytest.raises(InvalidInput, match="loss/chargeback/EUR"):
        check(BookingKind.CHARGEBACK, ("loss/theft/EUR", BANK))


def test_a_bank_is_one_of_the_node() -> None:
    with pytest.raises(RailUnknown, match="sepa"):
        check(BookingKind.CAPITAL, ("bank/swift/EUR", CAPITAL))


@pytest.mark.parametrize(
    "path", ["customer/x/EUR", f"customer/{encode_id(Prefix.PARTNER, PARTNER)}/EUR",
             "partner/par_/EUR", "partner//EUR"],
)  # fmt: skip
def test_a_name_that_is_no_id_belongs_to_nobody(path: str) -> None:
    with pytest.raises(NotFound):
        named_in([Entry(path, BANK, "EUR", 100)])


def test_whom_a_booking_names_is_told() -> None:
    found = check(BookingKind.CHARGEBACK, (ANN, BANK), (SHOP, BANK), (LOSS, BANK))
    assert found == Named(frozenset({CUSTOMER}), frozenset({PARTNER}))


def test_a_booking_has_entries_of_accounts_of_one_asset() -> None:
    with pytest.raises(InvalidInput, match="at least one entry"):
        check(BookingKind.CAPITAL)
    with pytest.raises(InvalidInput, match="no account for USD"):
        check(BookingKind.CAPITAL, (BANK, CAPITAL), asset="USD")


def test_a_loss_is_what_is_debited_to_one() -> None:
    assert has_loss([Entry(LOSS, BANK, "EUR", 1)])
    assert not has_loss([Entry(BANK, LOSS, "EUR", 1)])
