"""Entries of a body, read: amounts of their currency, above zero, between two accounts."""

from collections.abc import Sequence

from node.api.bodies import invalid_body
from node.api.money import Fault, faults_of
from node.api.schemas import EntryBody
from node.core.catalog import Catalog
from node.core.ledger import Entry
from node.core.units import parse_minor


def entries_of(bodies: Sequence[EntryBody], catalog: Catalog) -> list[Entry]:
    """The entries that the member `entries` of a body states.

    Raises:
        InvalidInput: `errors` says which are wrong, and why.
    """
    faults: list[Fault] = []
    entries = []
    for place, each in enumerate(bodies):
        pointer = f"/entries/{place}"
        found = faults_of(
            catalog.ledger_asset,
            each.currency,
            each.amount,
            at_currency=f"{pointer}/currency",
            at_amount=f"{pointer}/amount",
        )
        if not found:
            minor = parse_minor(each.amount, catalog.ledger_asset(each.currency))
            if minor == 0:
                found = [(f"{pointer}/amount", "amount_invalid", "an entry is above zero")]
            elif each.debit == each.credit:
                found = [(f"{pointer}/credit", "same_account", "name two accounts")]
            else:
                entries.append(Entry(each.debit, each.credit, each.currency, minor))
        faults += found
    if faults:
        raise invalid_body(faults)
    return entries
