"""The setting that names the rate sources: what it may say, and what is said when it is wrong."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.evm.client import EvmChain
from adapters.evm.rpc import Providers
from adapters.fx import (
    ChainlinkRates,
    EcbRates,
    FixedRates,
    HttpRates,
    build_sources,
    close_sources,
)
from adapters.fx.answer import Base, Layout
from adapters.fx.answer import Path as AnswerPath
from adapters.fx.chainlink import PriceFeed
from adapters.fx.http import RateService
from node.config import Settings
from node.core.ports.quotes import RateSource
from node.core.units import Address

NOON = datetime(2026, 10, 30, 12, tzinfo=UTC)
CHAIN = EvmChain(Providers([]))
EURO_FEED = "0xb49f677943BC038e9857d61E7d053CaA2C1734C1"
LOWER_CASE = "0x" + "ab" * 20
HTTP = "http:name=acme;url=https://rates.example/v1;base=EUR;rates=rates;time=time;max_age_s=300"


@dataclass(frozen=True)
class StoppedClock:
    """It is always noon."""

    def now(self) -> datetime:
        return NOON


CLOCK = StoppedClock()


def built(spec: str, *, sandbox: bool = False) -> list[RateSource]:
    return list(build_sources(spec, sandbox=sandbox, clock=CLOCK, chain=CHAIN))


def service_of(spec: str, *, sandbox: bool = False) -> RateService:
    [source] = built(spec, sandbox=sandbox)
    assert isinstance(source, HttpRates)
    return source.service


def test_the_setting_names_sources_in_order_with_their_options() -> None:
    sources = built(
        " ecb:max_age_s=7200;file=/var/lib/rates/eurofxref-hist.zip , fixed:USD/USDC=1;EUR/EURC=1 "
    )
    assert sources == [
        EcbRates(max_age_s=7200, file=Path("/var/lib/rates/eurofxref-hist.zip")),
        FixedRates((("USD", "USDC", "1"), ("EUR", "EURC", "1")), CLOCK),
    ]


def test_the_setting_that_a_node_has_by_itself_is_right() -> None:
    default = str(Settings.model_fields["fx_sources"].default)
    assert [each.name for each in built(default)] == ["ecb", "fixed"]


def test_without_options_the_ecb_source_checks_age() -> None:
    assert built("ecb", sandbox=True) == [EcbRates(max_age_s=345_600)]


def test_an_http_service_is_described_by_its_options() -> None:
    spec = (
        "http:name=acme;url=https://rates.example/v1/latest?symbols=USD%2CGBP;base=EUR@meta.base;"
        "rates=data.{code}.value;time=meta.at;currencies=USD+GBP;max_age_s=300;"
        "key_file=/run/keys/acme;key_as=query:app_id;timeout_s=9"
    )
    assert service_of(spec) == RateService(
        name="acme",
        url="https://rates.example/v1/latest?symbols=USD%2CGBP",
        layout=Layout(
            Base("EUR", AnswerPath(("meta", "base"))),
            AnswerPath(("data",), "{code}", ("value",)),
            AnswerPath(("meta", "at")),
            ("USD", "GBP"),
        ),
        max_age_s=300,
        key_file=Path("/run/keys/acme"),
        key_as="query:app_id",
        timeout_s=9,
    )


def test_an_http_service_has_a_name_and_a_bound_in_time_by_itself() -> None:
    service = service_of(HTTP.replace("name=acme;", ""))
    assert (service.name, service.timeout_s, service.key_file) == ("http", 5, None)


def test_price_feeds_are_named_by_pair_and_address() -> None:
    spec = (
        f"chainlink:EUR/USD={EURO_FEED};USDC/USD={LOWER_CASE};max_age_s=86700;"
        f"sequencer={LOWER_CASE};grace_s=1800;timeout_s=7"
    )
    coin = Address(b"\xab" * 20)
    assert built(spec) == [
        ChainlinkRates(
            feeds=(
                PriceFeed("EUR", "USD", Address(bytes.fromhex(EURO_FEED[2:]))),
                PriceFeed("USDC", "USD", coin),
            ),
            chain=CHAIN,
            clock=CLOCK,
            max_age_s=86_700,
            sequencer=coin,
            grace_s=1800,
            timeout_s=7,
        )
    ]


def test_several_sources_of_a_kind_have_names_of_their_own() -> None:
    feed = f"EUR/USD={LOWER_CASE};max_age_s=3600"
    sources = built(
        f"ecb,ecb:name=ecb-file;file=x.zip,fixed:USD/USDC=1,fixed:name=desk;GBP/USD=1.3,{HTTP},"
        f"{HTTP.replace('acme', 'other')},chainlink:{feed},chainlink:name=slow;{feed}"
    )
    assert [each.name for each in sources] == [
        *("ecb", "ecb-file", "fixed", "desk", "acme", "other", "chainlink", "slow"),
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [("ecb", "ecb:file=x.zip"), (HTTP, HTTP), ("ecb", HTTP.replace("name=acme", "name=ecb"))],
)
def test_two_sources_cannot_share_a_name(first: str, second: str) -> None:
    with pytest.raises(ValueError, match=r"two sources are called '[a-z]+'; give one .* name="):
        built(f"{first},{second}")


async def test_a_source_goes_by_its_name_in_its_rates() -> None:
    [ecb, fixed] = built("ecb:name=reference;max_age_s=0,fixed:name=desk;USD/USDC=1", sandbox=True)
    assert {rate.source for rate in await ecb.rates()} == {"reference"}
    assert {rate.source for rate in await fixed.rates()} == {"desk"}


@pytest.mark.parametrize(
    "spec",
    ["ecb:max_age_s=0", HTTP.replace("300", "0"), f"chainlink:EUR/USD={LOWER_CASE};max_age_s=0"],
)
def test_age_goes_unchecked_in_a_sandbox_only(spec: str) -> None:
    [source] = built(spec, sandbox=True)
    assert source.max_age_s is None
    assert source.natural_age_s is not None
    with pytest.raises(ValueError, match="SANDBOX=1"):
        built(spec)


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("", "no rate source"),
        (" , ", "no rate source"),
        ("oracle", "there are 'ecb', 'fixed', 'http' and 'chainlink'"),
        ("fixed:USD/USDC=1,EUR/EURC=1", "separated by ';'"),
        ("ecb:max_age=5", "no option 'max_age'; it has 'max_age_s', 'file' and 'name'"),
        ("ecb:max_age_s", "name=value"),
        ("ecb:max_age_s=1;max_age_s=2", "each option once"),
        ("ecb:max_age_s=-1", "number of seconds"),
        ("ecb:max_age_s=1h", "number of seconds"),
        ("ecb:max_age_s=\u0661", "number of seconds"),
        ("ecb:name=ECB", "a name has at most 32"),
        ("ecb:name=", "a name has at most 32"),
        ("fixed", "needs a rate"),
        ("fixed:name=desk", "needs a rate"),
        ("fixed:USDC=1", "SELL/BUY=RATE"),
        ("fixed:usd/usdc=1", "SELL/BUY=RATE"),
        ("fixed:USD/USD=1", "no rate of two assets"),
        ("fixed:USD/USDC=0", "plain decimal above zero"),
        ("fixed:USD/USDC=-1", "plain decimal above zero"),
        ("fixed:USD/USDC=NaN", "plain decimal above zero"),
        ("fixed:USD/USDC=1e0", "plain decimal above zero"),
        ("fixed:USD/USDC=1;USDC/USD=1", "state USD/USDC in one direction"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_remedy(spec: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        built(spec, sandbox=True)


def without(spec: str, name: str) -> str:
    """The entry without one of its options."""
    kind, _, options = spec.partition(":")
    return f"{kind}:{';'.join(each for each in options.split(';') if not each.startswith(name))}"


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        *((without(HTTP, each), f"http needs {each}") for each in ("url", "base", "rates", "time")),
        (without(HTTP, "max_age_s"), "http needs max_age_s"),
        (HTTP.replace("https://rates.example", "http://rates.example"), "https:// address"),
        (HTTP.replace("rates.example", "me:pw@rates.example"), "without user, password"),
        (HTTP.replace("https://rates.example/v1", "rates"), "https:// address"),
        (HTTP.replace("rates=rates", "rates=a..b"), "rates is a path such as data.rates"),
        (HTTP.replace("rates=rates", "rates={code}.{code}"), "more than one"),
        (HTTP.replace("time=time", "time=[]"), "time is a path"),
        (HTTP.replace("base=EUR", "base=eur@base"), "base is a code, a path, or both"),
        (f"{HTTP};currencies=USD+usd", "currencies are asset codes"),
        (f"{HTTP};currencies=USD+USD", "each once"),
        (f"{HTTP};currencies=USD+EUR", "EUR is the base"),
        (f"{HTTP};timeout_s=0", "from 1 to 60"),
        (f"{HTTP};timeout_s=61", "from 1 to 60"),
        (f"{HTTP};timeout_s=2.5", "number of seconds"),
        (f"{HTTP};key_as=header:apikey", "name its file"),
        (f"{HTTP};key_file=k;key_as=cookie", "key_as is bearer"),
        (f"{HTTP};key_file=k;key_as=header:a b", "key_as is bearer"),
        (f"{HTTP};key=abc", "http has no option 'key'"),
        ("http", "http needs url"),
    ],
)
def test_a_wrong_http_source_is_refused_with_its_remedy(spec: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        built(spec)


SECRET = "hunter2secret"


@pytest.mark.parametrize(
    "wrong",
    [
        f"{HTTP};base=",
        f"{HTTP};timeout_s=0",
        f"{HTTP};key={SECRET}",
        f"{HTTP};{SECRET}",
        HTTP.replace("/v1", f"/{SECRET}").replace("base=EUR", "base=?"),
        HTTP.replace("/v1", f"/v1?key={SECRET}").replace("max_age_s=300", "max_age_s=0"),
        HTTP.replace("https://", f"https://user:{SECRET}@"),
        HTTP.replace("/v1", f"/v1#{SECRET}"),
        HTTP.replace("/v1", f"/v1?symbols=USD,{SECRET};key={SECRET}"),
        f"{HTTP},{SECRET}",
        f"{HTTP},{SECRET}:{SECRET}={SECRET}",
        HTTP.replace("https://rates.example", f"https://[{SECRET}"),
    ],
)
def test_a_key_in_the_setting_is_never_printed(wrong: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        built(wrong)
    assert SECRET not in str(refusal.value)


def test_a_comma_in_an_address_is_explained() -> None:
    with pytest.raises(ValueError, match=r"source 'acme' .* write the comma as %2C"):
        built(f"{HTTP},GBP")


def test_what_is_wrong_is_shown_with_its_entry() -> None:
    with pytest.raises(
        ValueError, match=r"^'http:name=acme;url=https://rates\.example/\.\.\.;base="
    ):
        built(f"{HTTP};timeout_s=0")


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("chainlink", "needs a price feed"),
        ("chainlink:max_age_s=1", "needs a price feed"),
        (f"chainlink:EUR/USD={LOWER_CASE}", "chainlink needs max_age_s"),
        (f"chainlink:EUR/USD={LOWER_CASE};max_age=1", "write the pair as EUR/USD="),
        ("chainlink:EUR/USD=0x12;max_age_s=1", "is no address"),
        (f"chainlink:EUR/USD={LOWER_CASE[2:]};max_age_s=1", "is no address"),
        (f"chainlink:EUR/USD={EURO_FEED.replace('b4', 'B4')};max_age_s=1", "EIP-55"),
        (f"chainlink:EUR/EUR={LOWER_CASE};max_age_s=1", "no pair of two assets"),
        (
            f"chainlink:EUR/USD={LOWER_CASE};USD/EUR={LOWER_CASE};max_age_s=1",
            "state EUR/USD in one direction",
        ),
        (f"chainlink:EUR/USD={LOWER_CASE};max_age_s=1;sequencer=up", "sequencer=up is no address"),
        (f"chainlink:EUR/USD={LOWER_CASE};max_age_s=1;grace_s=5", "name its feed, too"),
        (
            f"chainlink:EUR/USD={LOWER_CASE};max_age_s=1;sequencer={LOWER_CASE};grace_s=1h",
            "grace_s is a number of seconds",
        ),
        (f"chainlink:EUR/USD={LOWER_CASE};max_age_s=1;timeout_s=0", "from 1 to 60"),
    ],
)
def test_a_wrong_chainlink_source_is_refused_with_its_remedy(spec: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        built(spec)


async def test_closing_the_sources_closes_their_connections() -> None:
    sources = built(f"fixed:USD/USDC=1,{HTTP}")
    await close_sources(sources)
    assert isinstance(sources[1], HttpRates)
    assert sources[1]._http.is_closed
