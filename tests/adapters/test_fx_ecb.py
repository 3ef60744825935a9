"""The ECB's history file: read as it is, and not trusted when it is not what it should be."""

import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from adapters.fx import EcbRates
from adapters.fx.ecb import published_at
from node.core.errors import RateUnavailable
from node.core.ports.quotes import RateSource
from tests.adapters.rate_source_suite import RateSourceSuite

HEADER = "Date,USD,JPY,HRK,"
NEWEST = "2026-10-30,1.1172,175.68,N/A,"
BEFORE = "2026-10-29,1.113,175.92,N/A,"


def history(directory: Path, *lines: str) -> EcbRates:
    """A source over a history file of these lines."""
    file = directory / "eurofxref-hist.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("eurofxref-hist.csv", "\n".join(lines))
    return EcbRates(file=file)


async def read(source: EcbRates) -> dict[str, str]:
    return {rate.buy: rate.text for rate in await source.rates()}


class TestEcbRates(RateSourceSuite):
    """The suite of the port, over the packaged file."""

    @pytest.fixture
    def source(self) -> RateSource:
        return EcbRates()

    @pytest.fixture
    def broken_source(self, tmp_path: Path) -> RateSource:
        return history(tmp_path, "<html>try again later</html>")


async def test_the_packaged_file_has_a_rate_for_every_currency_the_node_sells() -> None:
    rates = await EcbRates().rates()
    assert {"USD", "GBP", "JPY", "PHP", "MXN", "CNY"} <= {rate.buy for rate in rates}
    assert {rate.sell for rate in rates} == {"EUR"}
    assert len({rate.observed_at for rate in rates}) == 1


async def test_only_the_newest_day_counts_and_its_missing_rates_are_left_out(
    tmp_path: Path,
) -> None:
    source = history(tmp_path, HEADER, NEWEST, BEFORE)
    assert await read(source) == {"USD": "1.1172", "JPY": "175.68"}
    assert {rate.observed_at for rate in await source.rates()} == {
        datetime(2026, 10, 30, 15, tzinfo=UTC)
    }


async def test_a_newer_file_is_seen_without_a_restart(tmp_path: Path) -> None:
    source = history(tmp_path, HEADER, NEWEST, BEFORE)
    await source.rates()
    history(tmp_path, HEADER, "2026-11-02,1.12,176,N/A,", NEWEST)
    assert await read(source) == {"USD": "1.12", "JPY": "176"}


@pytest.mark.parametrize("text", ["11.172", "0.11172", "2.3"])
async def test_a_currency_that_jumped_is_left_out_and_the_others_stay(
    tmp_path: Path, text: str
) -> None:
    source = history(tmp_path, HEADER, f"2026-10-30,{text},175.68,N/A,", BEFORE)
    assert await read(source) == {"JPY": "175.68"}


async def test_a_currency_that_is_new_today_is_stated(tmp_path: Path) -> None:
    source = history(tmp_path, HEADER, NEWEST, "2026-10-29,N/A,175.92,N/A,")
    assert await read(source) == {"USD": "1.1172", "JPY": "175.68"}


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [HEADER],
        [HEADER, NEWEST],
        [HEADER, BEFORE, NEWEST],
        [HEADER, NEWEST, NEWEST],
        [HEADER, "2026-10-30,1.1172,175.68,", BEFORE],
        [HEADER, "2026-10-30,N/A,N/A,N/A,", BEFORE],
        [HEADER, "30 October 2026,1.1172,175.68,N/A,", BEFORE],
        [HEADER, "2026-13-30,1.1172,175.68,N/A,", BEFORE],
        *(
            [HEADER, f"2026-10-30,{text},175.68,N/A,", BEFORE]
            for text in ("0", "-1.1", "NaN", "inf", "1e5", "1;1", "é")
        ),
    ],
)
async def test_a_file_that_is_not_what_it_should_be_gives_no_rate_at_all(
    tmp_path: Path, lines: list[str]
) -> None:
    with pytest.raises(RateUnavailable):
        await history(tmp_path, *lines).rates()


async def test_a_missing_or_damaged_archive_gives_no_rate(tmp_path: Path) -> None:
    with pytest.raises(RateUnavailable):
        await EcbRates(file=tmp_path / "nowhere.zip").rates()
    with pytest.raises(RateUnavailable):
        await EcbRates(file=tmp_path).rates()
    damaged = tmp_path / "eurofxref-hist.zip"
    damaged.write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(RateUnavailable):
        await EcbRates(file=damaged).rates()
    with zipfile.ZipFile(damaged, "w"):
        pass
    with pytest.raises(RateUnavailable):
        await EcbRates(file=damaged).rates()


@pytest.mark.parametrize(
    ("day", "hour"),
    [
        (date(2026, 1, 2), 15),
        (date(2026, 3, 28), 15),
        (date(2026, 3, 29), 14),
        (date(2026, 10, 23), 14),
        (date(2026, 10, 24), 14),
        (date(2026, 10, 25), 15),
        (date(2027, 3, 28), 14),
        (date(2027, 10, 31), 15),
    ],
)
def test_rates_are_of_16_hours_central_european_time(day: date, hour: int) -> None:
    assert published_at(day) == datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
