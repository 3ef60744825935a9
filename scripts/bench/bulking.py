"""Files of bulk transfers with faulty rows among them, and what came of a file, proved row by row.

Every twentieth row is faulty, in one of ten ways in turn: six that are seen when the file is read,
four when the row is priced and accepted. Not here: how fast that is (`bulk.py`).
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from node.core.units import Asset, format_minor, parse_amount
from scripts.bench.measure import BenchFailed

FAULTY_EACH: Final = 20
"""One of so many rows is faulty."""

_COLUMNS: Final = (
    "client_reference", "customer_id", "sell_currency", "sell_amount", "buy_currency",
    "buy_amount", "name", "country", "address", "purpose",
)  # fmt: skip
_FAULTS: Final[Sequence[tuple[str, Mapping[str, str]]]] = (
    ("amount_invalid", {"sell_amount": "12,50"}),
    ("currency_unknown", {"buy_currency": "XYZ"}),
    ("one_amount", {"buy_amount": "5.000000"}),
    ("country_unknown", {"country": "XX"}),
    ("address_invalid", {"address": "0x00"}),
    ("client_reference_used", {"client_reference": "{first}"}),
    ("amount_out_of_range", {"sell_amount": "0.01"}),
    ("pair_not_offered", {"buy_currency": "JPY"}),
    ("not_found", {"customer_id": "cus_" + "0" * 26}),
    ("insufficient_funds", {"sell_currency": "USD"}),  # of which the payer has none
)
_USDC: Final = Asset("USDC", 6)
# As in `load.py`: between 10.00 and 19.99 EUR, so that neighbours differ.
_SELL_MINOR_MIN, _SELL_MINOR_SPAN = 1_000, 1_000


@dataclass(frozen=True, slots=True)
class RowsFile:
    """A file, and what is to come of it.

    Attributes:
        content: CSV.
        codes: Code of each faulty row, by line of the file.
        orders: Address and EUR cents of each other row, by line.
    """

    content: bytes
    codes: Mapping[int, str]
    orders: Mapping[int, tuple[str, int]]

    @property
    def sell_minor(self) -> int:
        """EUR cents of all rows that are not faulty."""
        return sum(minor for _, minor in self.orders.values())


def rows_file(
    rows: int, *, customer_id: str, addresses: Sequence[str], run: str, is_faulty: bool = True
) -> RowsFile:
    """A file of so many rows, a twentieth of them faulty; `run` makes its references differ."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS)
    writer.writeheader()
    codes: dict[int, str] = {}
    orders: dict[int, tuple[str, int]] = {}
    for number in range(rows):
        line = number + 2  # the header is the first
        address = addresses[number % len(addresses)]
        sell_minor = _SELL_MINOR_MIN + number % _SELL_MINOR_SPAN
        cells = {
            "client_reference": f"{run}-{number}",
            "customer_id": customer_id,
            "sell_currency": "EUR",
            "sell_amount": format_minor(sell_minor, 2),
            "buy_currency": "USDC",
            "name": "Bea",
            "country": "PH",
            "address": address,
            "purpose": "family_support",
        }
        if is_faulty and number % FAULTY_EACH == FAULTY_EACH - 1:
            code, changes = _FAULTS[number // FAULTY_EACH % len(_FAULTS)]
            cells |= {name: cell.format(first=f"{run}-0") for name, cell in changes.items()}
            codes[line] = code
        else:
            orders[line] = address, sell_minor
        writer.writerow(cells)
    return RowsFile(text.getvalue().encode(), codes, orders)


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a file that is as it should be.

    Attributes:
        transfers: Transfer of each row that is not faulty, by line.
        units_by_address: USDC units each beneficiary is to get.
        repeated: Rows whose transfer another file had ordered.
    """

    transfers: Mapping[int, str]
    units_by_address: Counter[str]
    repeated: int


def came_of(file: RowsFile, report: Any) -> Came:
    """Read a report, as `GET /v1/bulk-transfers/{bulk_id}/report` answers.

    Raises:
        BenchFailed: A row was not named with its reason, or not accepted with its amount.
    """
    transfers: dict[int, str] = {}
    units: Counter[str] = Counter()
    named: dict[int, str] = {}
    repeated = 0
    for row in report["rows"]:
        line, transfer = row["line"], row["transfer"]
        if transfer is None:
            named[line] = ",".join(each["code"] for each in row["errors"])
            continue
        address, sell_minor = file.orders.get(line, ("", 0))
        if transfer["sell"] != {"currency": "EUR", "amount": format_minor(sell_minor, 2)}:
            raise BenchFailed(f"line {line} sells {transfer['sell']}")
        transfers[line] = transfer["id"]
        units[address] += parse_amount(transfer["buy"]["amount"], _USDC).minor
        repeated += row["repeated"]
    wrong = sorted(named.items() ^ file.codes.items())
    if wrong:
        raise BenchFailed(f"rows were not named with their reasons, such as {wrong[0]}")
    if transfers.keys() != file.orders.keys() or len(set(transfers.values())) != len(transfers):
        raise BenchFailed(f"{len(set(transfers.values()))} transfers of {len(file.orders)} rows")
    return Came(transfers, units, repeated)
