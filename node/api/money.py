"""Amounts at the edge: strings, checked against the currency they are of."""

from collections.abc import Callable

from node.api import bodies
from node.api.problems import QueryInvalid
from node.core.errors import AmountInvalid, CurrencyUnknown
from node.core.units import Asset, parse_amount

AssetOf = Callable[[str], Asset]
"""Finds an asset by its code or raises `CurrencyUnknown`: `Catalog.asset`, `ledger_asset`."""

Reader = Callable[[str, Asset], object]
"""Reads an amount or raises `AmountInvalid`: `parse_amount`; `parse_minor` where limits of their
own follow."""

Fault = tuple[str, str, str]
"""Place (JSON pointer or parameter), code, message."""


def faults_of(
    asset_of: AssetOf,
    currency: str,
    amount: str | None,
    *,
    at_currency: str,
    at_amount: str,
    read: Reader = parse_amount,
) -> list[Fault]:
    """What is wrong with a currency and an amount of it."""
    try:
        asset = asset_of(currency)
    except CurrencyUnknown as error:
        return [(at_currency, error.code, error.detail)]
    if amount is not None:
        try:
            read(amount, asset)
        except AmountInvalid as error:
            return [(at_amount, error.code, error.detail)]
    return []


def check_body(
    asset_of: AssetOf,
    currency: str,
    amount: str | None,
    *,
    pointer: str = "",
    read: Reader = parse_amount,
) -> None:
    """Refuse a body whose `currency` and `amount`, members of the object at `pointer`, are wrong.

    Raises:
        InvalidInput: `errors` says where and why.
    """
    faults = faults_of(
        asset_of,
        currency,
        amount,
        at_currency=f"{pointer}/currency",
        at_amount=f"{pointer}/amount",
        read=read,
    )
    if faults:
        raise bodies.invalid_body(faults)


def check_currency(asset_of: AssetOf, currency: str) -> None:
    """Refuse a query whose parameter `currency` is none.

    Raises:
        QueryInvalid: `errors` says why.
    """
    _refuse(faults_of(asset_of, currency, None, at_currency="currency", at_amount=""))


def check_query(asset_of: AssetOf, side: str, currency: str, amount: str | None) -> None:
    """Refuse a query whose parameters `side` and `side`_amount are wrong.

    Raises:
        QueryInvalid: `errors` says which and why.
    """
    _refuse(faults_of(asset_of, currency, amount, at_currency=side, at_amount=f"{side}_amount"))


def _refuse(faults: list[Fault]) -> None:
    if faults:
        raise QueryInvalid(
            "query parameters are wrong; see `errors`",
            errors=[
                {"parameter": name, "code": code, "message": message}
                for name, code, message in faults
            ],
        )
