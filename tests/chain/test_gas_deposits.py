"""The committed table of what sweeping costs is what the committed contracts take, to the unit."""

import pytest

from node.core.sweeping import sweep_gas
from scripts.bench.gas_deposits import ADDRESSES, SWEEPS, TABLE, Row, measure, render


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return measure()


def test_the_committed_table_is_what_receipts_say(rows: list[Row]) -> None:
    remedy = "run: python -m scripts.bench.gas_deposits --write"
    assert TABLE.read_text(encoding="utf-8") == render(rows), remedy


def test_a_sweep_takes_no_more_than_three_quarters_of_the_gas_the_node_gives_it(
    rows: list[Row],
) -> None:
    assert len(rows) == 2 * len(SWEEPS) * len(ADDRESSES)
    assert [row for row in rows if row.gas * 4 > sweep_gas(row.addresses) * 3] == []


def test_an_address_that_was_swept_before_costs_a_quarter_of_the_first_sweep(
    rows: list[Row],
) -> None:
    by_case = {(row.token, row.sweep): row.gas for row in rows if row.addresses == max(ADDRESSES)}
    for token in {token for token, _ in by_case}:
        assert by_case[token, "later"] * 4 < by_case[token, "first"]
        assert by_case[token, "empty"] * 2 < by_case[token, "later"]
