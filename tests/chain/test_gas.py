"""The committed table of gas is what the committed contracts take, to the unit."""

import pytest

from scripts.bench.gas import TABLE, Row, goals, measure, render


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return measure()


def test_the_committed_table_is_what_receipts_say(rows: list[Row]) -> None:
    remedy = "run: python -m scripts.bench.gas --write"
    assert TABLE.read_text(encoding="utf-8") == render(rows), remedy


def test_a_payment_in_a_batch_of_100_takes_no_more_gas_than_the_goal(rows: list[Row]) -> None:
    found = [(row.token, row.holders, row.per_payment, goal) for row, goal in goals(rows)]
    assert len(found) == 3
    assert [each for each in found if each[2] > each[3]] == []


def test_from_five_payments_on_a_batch_takes_less_gas_than_transfers(rows: list[Row]) -> None:
    alone = {
        (row.token, row.holders, row.payments): row.gas for row in rows if row.call == "transfer"
    }
    batches = [row for row in rows if row.call == "settle" and row.payments >= 5]
    assert len(batches) == 2 * 2 * 2 * 7
    assert all(row.gas < alone[row.token, row.holders, row.payments] for row in batches)
