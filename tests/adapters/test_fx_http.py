"""A rate service over HTTP: a real one on this machine, which tells the truth or lies."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.fx.answer import Base, Layout
from adapters.fx.answer import Path as AnswerPath
from adapters.fx.http import HttpRates, RateService, is_allowed, is_loopback
from adapters.machine import SystemClock
from node.core.errors import RateUnavailable
from node.core.ports.quotes import RateSource
from tests.adapters.rate_source_suite import RateSourceSuite
from tests.rate_server import (
    LIES,
    YESTERDAY,
    RateServer,
    serving,
    tell,
    tell_truth,
    truth,
)

LAYOUT = Layout(Base.parse("EUR@base"), AnswerPath.parse("rates"), AnswerPath.parse("timestamp"))
SECRET = "hunter2secret"
PATIENCE_S = 30
HANGS_S = 0.5


def limit_s(words: str) -> float:
    """Long for whoever answers, however slow the machine is; short for whoever never does."""
    return HANGS_S if words.startswith("has not answered") else PATIENCE_S


@dataclass(frozen=True)
class Options:
    """What tests change of a service."""

    layout: Layout = LAYOUT
    key_file: Path | None = None
    key_as: str = "bearer"
    timeout_s: float = PATIENCE_S
    path: str = ""


@asynccontextmanager
async def reading(server: RateServer, options: Options = Options()) -> AsyncIterator[HttpRates]:
    """A source that reads the server."""
    service = RateService(
        name="acme",
        url=server.url + options.path,
        layout=options.layout,
        max_age_s=300,
        key_file=options.key_file,
        key_as=options.key_as,
        timeout_s=options.timeout_s,
    )
    source = HttpRates(service, SystemClock())
    try:
        yield source
    finally:
        await source.close()


async def fault_of(source: HttpRates) -> str:
    """Why the source gives no rate; it must not take for ever to say so."""
    async with asyncio.timeout(2 * PATIENCE_S):
        with pytest.raises(RateUnavailable) as refusal:
            await source.rates()
    assert refusal.value.context == {"source": "acme"}
    return refusal.value.detail


@pytest.fixture
def server() -> Iterator[RateServer]:
    with serving(tell_truth) as running:
        yield running


class TestHttpRates(RateSourceSuite):
    """The suite of the port, over a service that answers well and one that does not."""

    @pytest.fixture
    async def source(self, server: RateServer) -> AsyncIterator[RateSource]:
        async with reading(server) as source:
            yield source

    @pytest.fixture
    async def broken_source(self, server: RateServer) -> AsyncIterator[RateSource]:
        server.answer = tell("<html>")
        async with reading(server) as source:
            yield source


async def test_rates_keep_every_digit_that_was_sent(server: RateServer) -> None:
    at = datetime(2026, 11, 20, 16, 30, 5, tzinfo=UTC)
    server.answer = tell(truth("1.156260000000000001", at=at))
    async with reading(server) as source:
        dollar, pound = await source.rates()
    assert (dollar.sell, dollar.buy, dollar.text) == ("EUR", "USD", "1.156260000000000001")
    assert (pound.sell, pound.buy, pound.text) == ("EUR", "GBP", "0.8631")
    assert (dollar.source, dollar.observed_at) == ("acme", at)


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_is_never_a_rate_and_is_named(server: RateServer, lie: str) -> None:
    server.answer, words = LIES[lie]
    async with reading(server, Options(timeout_s=limit_s(words))) as source:
        fault = await fault_of(source)
    assert words in fault
    assert fault.startswith("the rate service")


@pytest.mark.parametrize("lie", LIES)
async def test_a_fault_repeats_neither_page_nor_key_nor_address(
    server: RateServer, lie: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(SECRET)
    server.answer, words = LIES[lie]
    where = f"/{SECRET}?app_id={SECRET}"
    options = Options(key_file=key_file, timeout_s=limit_s(words), path=where)
    with caplog.at_level(logging.WARNING):
        async with reading(server, options) as source:
            fault = await fault_of(source)
            assert SECRET not in repr(source.service)
    assert SECRET not in fault + caplog.text
    assert "127.0.0.1" not in fault
    assert "<" not in fault
    assert len(fault) < 200


async def test_yesterdays_rates_say_that_they_are_of_yesterday(server: RateServer) -> None:
    server.answer = YESTERDAY
    async with reading(server) as source:
        rates = await source.rates()
        assert source.max_age_s == 300
    ages = {SystemClock().now() - rate.observed_at for rate in rates}
    assert all(timedelta(days=1) <= age < timedelta(days=1, minutes=5) for age in ages)


async def test_a_service_that_is_away_is_named_and_one_that_is_back_is_read_again() -> None:
    with serving(tell_truth) as server:
        async with reading(server) as source:
            assert await source.rates()
            server.answer = LIES["hanging up"][0]
            assert "RemoteProtocolError" in await fault_of(source)
            server.answer = tell_truth
            assert await source.rates()
    async with reading(server) as source:
        assert await fault_of(source) == "the rate service does not answer: it cannot be reached"


async def test_what_hangs_holds_no_connection_afterwards(server: RateServer) -> None:
    server.answer = LIES["a trickle"][0]
    async with reading(server, Options(timeout_s=HANGS_S)) as source:
        for _ in range(3):
            await fault_of(source)
        server.answer = tell_truth
        source.service = replace(source.service, timeout_s=PATIENCE_S)
        assert await source.rates()


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/hal+json"]
)
async def test_json_is_json_under_each_of_its_names(server: RateServer, content_type: str) -> None:
    server.answer = lambda exchange: exchange.http(truth(), content_type=content_type)
    async with reading(server) as source:
        assert await source.rates()


# The key


@dataclass
class Sent:
    """Requests as they arrived."""

    heads: list[bytes] = field(default_factory=list)

    def line(self, name: bytes) -> bytes | None:
        for line in self.heads[-1].split(b"\r\n"):
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip()
        return None


@pytest.mark.parametrize(
    ("key_as", "header", "value", "query"),
    [
        ("bearer", b"authorization", b"Bearer hunter2secret", b"?a=1"),
        ("header:apikey", b"apikey", b"hunter2secret", b"?a=1"),
        ("query:app_id", b"authorization", None, b"?a=1&app_id=hunter2secret"),
    ],
)
async def test_the_key_goes_out_as_the_service_wants_it(
    server: RateServer,
    tmp_path: Path,
    key_as: str,
    header: bytes,
    value: bytes | None,
    query: bytes,
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(f"{SECRET}\n")
    async with reading(server, Options(key_file=key_file, key_as=key_as, path="?a=1")) as source:
        await source.rates()
    sent = Sent(server.requests)
    assert sent.line(header) == value
    assert sent.heads[-1].split(b" ")[1] == b"/v1/latest" + query


async def test_a_key_is_replaced_while_the_node_runs(server: RateServer, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    async with reading(server, Options(key_file=key_file)) as source:
        for key in ("first", "second"):
            key_file.write_text(key)
            await source.rates()
            assert Sent(server.requests).line(b"authorization") == f"Bearer {key}".encode()


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"two\nlines", b"\xff\xfe", b"nul\x00", b"tab\tkey"]
)
async def test_a_key_that_cannot_be_sent_is_a_fault_and_nothing_is_asked(
    server: RateServer, tmp_path: Path, content: bytes
) -> None:
    key_file = tmp_path / "key"
    key_file.write_bytes(content)
    async with reading(server, Options(key_file=key_file)) as source:
        assert "its key file" in await fault_of(source)
    assert server.requests == []


async def test_a_missing_key_file_is_a_fault(server: RateServer, tmp_path: Path) -> None:
    async with reading(server, Options(key_file=tmp_path / "nowhere")) as source:
        assert "its key file cannot be read: FileNotFoundError" in await fault_of(source)


async def test_a_service_cannot_leave_cookies(server: RateServer) -> None:
    server.answer = lambda exchange: exchange.json(truth(), more="set-cookie: a=b; path=/\r\n")
    async with reading(server) as source:
        await source.rates()
        await source.rates()
    assert Sent(server.requests).line(b"cookie") is None


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "https://rates.example/v1/latest?symbols=USD%2CGBP",
        "https://rates.example:8443/",
        "http://127.0.0.1:8080/rates",
        "http://127.9.9.9/",
        "http://localhost/rates",
        "http://[::1]:8080/",
    ],
)
def test_these_addresses_may_be_asked(url: str) -> None:
    assert is_allowed(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "rates.example",
        "http://rates.example/",
        "http://10.0.0.1/",
        "http://localhost.example/",
        "http://127.0.0.1.example/",
        "http://user@127.0.0.1/",
        "https://user:password@rates.example/",
        "https://rates.example/#rates",
        "https:///latest",
        "https://rates.example:port/",
        "https://rates example/",
        "https://[rates.example/",
        "http://[::1%eth0]/",
        "ftp://127.0.0.1/rates",
        "file:///etc/passwd",
    ],
)
def test_these_may_not(url: str) -> None:
    assert not is_allowed(url)


@pytest.mark.parametrize(("host", "here"), [("::1", True), ("::2", False), ("0.0.0.0", False)])
def test_this_machine_is_known_by_its_addresses(host: str, here: bool) -> None:
    assert is_loopback(host) is here
