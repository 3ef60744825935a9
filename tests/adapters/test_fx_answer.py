"""Answers of rate services: the forms that real ones have, and everything else refused."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.fx.answer import (
    DEPTH_MAX,
    RATES_MAX,
    Base,
    Layout,
    Path,
    Unfit,
    observed_at,
    parse,
    rates_in,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOON_S = int(NOON.timestamp())


def layout(base: str, rates: str, time: str, *currencies: str) -> Layout:
    return Layout(Base.parse(base), Path.parse(rates), Path.parse(time), currencies)


def stated(document: object, where: Layout) -> list[str]:
    """Rates as `SELL/BUY=RATE`."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return [f"{each.sell}/{each.buy}={each.text}" for each in rates_in(body, where, "acme", NOON)]


USUAL = layout("EUR@base", "rates", "date")

FORMS: dict[str, tuple[Any, Layout]] = {
    "openexchangerates": (
        {"disclaimer": "", "timestamp": NOON_S, "base": "EUR", "rates": {"USD": 1.1, "EUR": 1}},
        layout("EUR@base", "rates", "timestamp"),
    ),
    "Frankfurter v1": (
        {"amount": 1.0, "base": "EUR", "date": "2026-11-20", "rates": {"USD": 1.1}},
        USUAL,
    ),
    "Frankfurter v2": (
        [{"date": "2026-11-20", "base": "EUR", "quote": "USD", "rate": 1.1}],
        layout("EUR@[quote].base", "[quote].rate", "[quote].date"),
    ),
    "currencyapi": (
        {
            "meta": {"last_updated_at": "2026-11-20T11:59:59Z"},
            "data": {"USD": {"code": "USD", "value": 1.1}},
        },
        layout("EUR", "data.{code}.value", "meta.last_updated_at"),
    ),
    "exchangerate.host": (
        {"success": True, "timestamp": NOON_S, "source": "EUR", "quotes": {"EURUSD": 1.1}},
        layout("EUR@source", "quotes.EUR{code}", "timestamp"),
    ),
    "exchangerate-api": (
        {
            "time_last_update_unix": NOON_S,
            "base_code": "EUR",
            "conversion_rates": {"EUR": 1, "USD": 1.1},
        },
        layout("EUR@base_code", "conversion_rates", "time_last_update_unix"),
    ),
    "a time for each rate": (
        {"result": {"list": [{"c": "USD", "at": "2026-11-20", "mid": {"value": "1.1"}}]}},
        layout("EUR", "result.list[c].mid.value", "result.list[c].at"),
    ),
    "the base as the answer says it": (
        {"base": "EUR", "date": "2026-11-20", "rates": {"USD": "1.1"}},
        layout("base", "rates", "date"),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_forms_of_real_services_are_read(form: str) -> None:
    document, where = FORMS[form]
    assert stated(document, where) == ["EUR/USD=1.1"]


def test_each_rate_has_its_own_time_where_the_answer_gives_one() -> None:
    rows = [
        {"date": date, "base": "EUR", "quote": code, "rate": 2}
        for date, code in (("2026-11-19", "USD"), ("2026-11-20", "GBP"))
    ]
    where = layout("EUR@[quote].base", "[quote].rate", "[quote].date")
    found = rates_in(json.dumps(rows).encode(), where, "acme", NOON)
    assert [(each.buy, each.observed_at.day) for each in found] == [("USD", 19), ("GBP", 20)]


def test_one_row_of_another_base_spoils_the_list() -> None:
    rows = [
        {"date": "2026-11-20", "base": base, "quote": code, "rate": 2}
        for base, code in (("EUR", "USD"), ("USD", "GBP"))
    ]
    with pytest.raises(Unfit, match="different bases"):
        stated(rows, layout("EUR@[quote].base", "[quote].rate", "[quote].date"))


def test_rates_of_different_bases_are_no_answer_though_any_base_will_do() -> None:
    rows = [
        {"date": "2026-11-20", "base": base, "quote": code, "rate": 2}
        for base, code in (("EUR", "USD"), ("USD", "EUR"))
    ]
    with pytest.raises(Unfit, match="different bases"):
        stated(rows, layout("[quote].base", "[quote].rate", "[quote].date"))


def test_a_currency_twice_in_a_list_spoils_it() -> None:
    rows = [{"quote": "USD", "rate": rate} for rate in (1.1, 9.9)]
    with pytest.raises(Unfit, match="USD is there twice"):
        stated({"l": rows, "t": "2026-11-20"}, layout("EUR", "l[quote].rate", "t"))


# Currencies that are named


def test_only_the_currencies_that_are_named_are_looked_at() -> None:
    document = {
        "base": "EUR",
        "date": "2026-11-20",
        "rates": {"USD": 1.1, "BTC": 1e-05, "usd": None, "XAU": 0},
    }
    where = layout("EUR@base", "rates", "date", "USD")
    assert stated(document, where) == ["EUR/USD=1.1"]
    rows = [{"q": "USD", "r": 1.1}, {"q": "1INCH", "r": None}, {"q": "BTC"}]
    listed = layout("EUR", "rows[q].r", "date", "USD")
    assert stated({"rows": rows, "date": "2026-11-20"}, listed) == ["EUR/USD=1.1"]


def test_a_currency_that_is_named_and_missing_spoils_the_answer() -> None:
    document = {"base": "EUR", "date": "2026-11-20", "rates": {"USD": 1.1}, "rows": [{"q": "USD"}]}
    for rates in ("rates", "rows[q]"):
        with pytest.raises(Unfit, match="GBP is missing"):
            stated(document, layout("EUR@base", rates, "date", "USD", "GBP"))


def test_without_names_one_wrong_currency_spoils_the_answer() -> None:
    for name, value in (("BTC", 1e-05), ("usd", 1.1), ("GBP", None), ("GBP", {}), ("", 1)):
        document = {"base": "EUR", "date": "2026-11-20", "rates": {"USD": 1.1, name: value}}
        with pytest.raises(Unfit):
            stated(document, USUAL)


def test_a_name_that_does_not_begin_with_the_base_spoils_the_answer() -> None:
    document = {"source": "EUR", "t": NOON_S, "quotes": {"EURUSD": 1.1, "GBPUSD": 1.3}}
    with pytest.raises(Unfit, match="'GBPUSD' at 'quotes' is no currency"):
        stated(document, layout("EUR@source", "quotes.EUR{code}", "t"))


def test_more_rates_than_any_service_has_are_not_taken() -> None:
    rates = {f"A{number:05}": 1.1 for number in range(RATES_MAX + 1)}
    with pytest.raises(Unfit, match="more than"):
        stated({"base": "EUR", "date": "2026-11-20", "rates": rates}, USUAL)


# Paths


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a..b",
        "a.",
        "a.{code}.{code}",
        "[a].[b]",
        "{code}[a]",
        "a[",
        "a]b",
        "a[b",
        "é",
        "*",
    ],
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no name|more than one"):
        Path.parse(text)


@pytest.mark.parametrize("text", ["", "eur@base", "EUR@", "EUR@a..b", "@base", "EURO-X@base"])
def test_what_is_no_base_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no name|no asset code"):
        Base.parse(text)


# Times


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("1795176000", datetime(2026, 11, 20, 12, tzinfo=UTC)),
        ("1795176000.9", datetime(2026, 11, 20, 12, tzinfo=UTC)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T12:00:00Z", datetime(2026, 11, 20, 12, tzinfo=UTC)),
        ("2026-11-20t12:00:00z", datetime(2026, 11, 20, 12, tzinfo=UTC)),
        ("2026-11-20 14:00:00+02:00", datetime(2026, 11, 20, 12, tzinfo=UTC)),
        ("2026-11-20T12:00:00.123456789Z", datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)),
    ],
)
def test_times_are_read_in_each_of_their_forms(value: str, at: datetime) -> None:
    assert observed_at(value) == at
    assert observed_at(value).tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        None, True, [], {}, "", "now", "20 November 2026", "2026-11-20T12:00:00",
        "2026-11-20T12:00Z", "2026-13-01", "2026-02-30", "2026-11-20T25:00:00Z",
        "0001-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "-1", "1e9",
        "1795176000000", "\u0661\u0662",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(Unfit):
        observed_at(value)


def test_an_hour_ahead_is_a_clock_and_more_is_a_fault() -> None:
    where = layout("EUR@base", "rates", "t")
    for ahead_s, fits in ((3600, True), (3601, False)):
        document = {"base": "EUR", "t": NOON_S + ahead_s, "rates": {"USD": 1.1}}
        if fits:
            assert stated(document, where)
        else:
            with pytest.raises(Unfit, match="in the future"):
                stated(document, where)


# Whatever comes


def test_numbers_keep_their_text() -> None:
    assert parse(b'{"a": 1.10, "b": 12345678901234567890, "c": -0}') == {
        "a": "1.10",
        "b": "12345678901234567890",
        "c": "-0",
    }


@pytest.mark.parametrize("body", ["[{0}]", '[{0}, "[[[\\\\\\"[["]', '{{"a": {0}}}'])
def test_json_may_be_so_deep_and_no_deeper(body: str) -> None:
    deepest = "[" * (DEPTH_MAX - 1) + "]" * (DEPTH_MAX - 1)
    assert parse(body.format(deepest).encode())
    with pytest.raises(Unfit, match="nested too deeply"):
        parse(body.format(f"[{deepest}]").encode())


@pytest.mark.parametrize("piece", [b"[", b'{"a":', b'"', b'"\\', b'\\"', b'["]"'])
def test_hostile_bytes_are_refused_in_good_time(piece: bytes) -> None:
    with pytest.raises(Unfit):
        parse(piece * (262_144 // len(piece)))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["EUR", "USD", "1.1", "2026-11-20", "NaN", NOON_S]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["base", "rates", "date", "quote", "rate", "USD", "EUR", "GBP"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(document=JSON, where=st.sampled_from([form for _, form in FORMS.values()]))
def test_any_document_gives_rates_above_zero_or_none(document: Any, where: Layout) -> None:
    with suppress(Unfit):
        found = rates_in(json.dumps(document).encode(), where, "acme", NOON)
        assert found
        assert all(each.numerator > 0 for each in found)


@given(body=st.binary(max_size=64))
def test_any_bytes_give_a_document_or_none(body: bytes) -> None:
    with suppress(Unfit):
        parse(body)
