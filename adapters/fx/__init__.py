"""Sources of exchange rates, and the setting that names them.

The setting is a list of sources in order of preference, separated by commas. Each is a kind, a
colon and its options, separated by semicolons:

    ecb:max_age_s=345600,fixed:USD/USDC=1

Every kind takes `name`, by which its rates are printed in quotes (default: the kind); no two
sources share one. Older rates than `max_age_s` are not used; 0 switches that off in a sandbox.

ecb        `max_age_s` (default 345600), `file` (an `eurofxref-hist.zip` newer than the one in the
           package).
fixed      Rates written `SELL/BUY=RATE`, buy units for one sell unit.
http       `url` (a comma in it is written %2C, a semicolon %3B), `base`, `rates` and `time`
           (where the answer has what, see `adapters.fx.answer`), `max_age_s` (no default);
           `currencies` (those to take, as USD+GBP; default: all), `key_file` and `key_as`
           (`bearer`, `header:NAME`, `query:NAME`; default bearer), `timeout_s` (default 5).
chainlink  Feeds written `SELL/BUY=ADDRESS`, `max_age_s` (no default: a little more than the longest
           heartbeat of these feeds; feeds of another heartbeat are another source), on rollups
           `sequencer` (the address of its uptime feed) and `grace_s` (default 3600);
           `timeout_s` (default 5).

Examples of `http`, by how the service answers:

    http:name=oxr;url=https://openexchangerates.org/api/latest.json;base=USD@base;rates=rates;
        time=timestamp;currencies=EUR+GBP;key_file=/run/keys/oxr;key_as=query:app_id;max_age_s=7200
    http:name=frankfurter;url=https://api.frankfurter.dev/v2/rates?providers=ecb;
        base=EUR@[quote].base;rates=[quote].rate;time=[quote].date;max_age_s=432000
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from eth_utils.address import to_checksum_address

from adapters.fx.answer import ASSET_CODE, Base, Layout
from adapters.fx.answer import Path as AnswerPath
from adapters.fx.chainlink import GRACE_S, ChainCalls, ChainlinkRates, PriceFeed
from adapters.fx.chainlink import TIMEOUT_S as CHAIN_TIMEOUT_S
from adapters.fx.ecb import NATURAL_AGE_S, EcbRates
from adapters.fx.fixed import FixedRates
from adapters.fx.http import KEY_BY_BEARER, TIMEOUT_S, HttpRates, RateService, is_allowed
from adapters.fx.options import Options
from node.core.errors import RateUnavailable
from node.core.ports import Clock
from node.core.ports.quotes import RateSource
from node.core.quotes import Rate
from node.core.units import Address

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_KEY_AS: Final = re.compile(r"bearer|header:[A-Za-z][A-Za-z0-9-]{0,63}|query:[A-Za-z0-9_-]{1,64}")
_CHAINLINK: Final = ("name", "max_age_s", "sequencer", "grace_s", "timeout_s")
_HTTP: Final = (
    "name", "url", "base", "rates", "time", "currencies", "max_age_s", "key_file", "key_as",
    "timeout_s",
)  # fmt: skip
_AGE_S: Final = 3600


def build_sources(
    spec: str, *, sandbox: bool, clock: Clock, chain: ChainCalls
) -> Sequence[RateSource]:
    """The sources a setting names, in its order. Nothing is read yet.

    Args:
        spec: The setting, as above.
        sandbox: Whether `max_age_s=0` (age is not checked) is allowed.
        clock: When configured rates count as observed, and what others must not be ahead of.
        chain: Where price feeds are.

    Raises:
        ValueError: The setting is wrong; says where and what to write. Never with a key.
    """
    entries = [each.strip() for each in spec.split(",") if each.strip()]
    if not entries:
        raise ValueError("no rate source is named; write for example 'ecb,fixed:USD/USDC=1'")
    sources: list[RateSource] = []
    for entry in entries:
        sources.append(_build(entry, clock, chain, sources, sandbox=sandbox))
        names = [each.name for each in sources]
        if names.index(names[-1]) != len(names) - 1:
            raise ValueError(f"two sources are called '{names[-1]}'; give one another with name=")
    return sources


async def close_sources(sources: Sequence[RateSource]) -> None:
    """Close what the sources keep open."""
    for each in sources:
        if isinstance(each, HttpRates):
            await each.close()


def _build(
    entry: str, clock: Clock, chain: ChainCalls, before: Sequence[RateSource], *, sandbox: bool
) -> RateSource:
    if entry.partition(":")[0] not in ("ecb", "fixed", "http", "chainlink"):
        raise _no_such_kind(entry, before)
    options = Options.of(entry)
    match options.kind:
        case "ecb":
            return _ecb(options, sandbox=sandbox)
        case "http":
            return _http(options, clock, sandbox=sandbox)
        case "chainlink":
            return _chainlink(options, clock, chain, sandbox=sandbox)
        case _:
            return _fixed(options, clock)


def _no_such_kind(entry: str, before: Sequence[RateSource]) -> ValueError:
    if before and isinstance(before[-1], HttpRates):  # it may be the rest of an address, and a key
        return ValueError(
            f"what follows the comma behind source '{before[-1].name}' is no rate source;"
            " if it belongs to its url, write the comma as %2C"
        )
    kind = entry.partition(":")[0]
    return ValueError(
        f"'{entry}': there is no rate source '{kind}'; there are 'ecb', 'fixed', 'http'"
        " and 'chainlink' (options of one source are separated by ';', sources by ',')"
    )


def _ecb(options: Options, *, sandbox: bool) -> EcbRates:
    options.allow(("max_age_s", "file", "name"))
    file = Path(options.given["file"]) if "file" in options.given else None
    max_age_s = options.max_age_s(NATURAL_AGE_S, sandbox=sandbox)
    return EcbRates(max_age_s=max_age_s, file=file, name=options.name())


def _fixed(options: Options, clock: Clock) -> FixedRates:
    pairs = options.pairs({"name"}, "SELL/BUY=RATE")
    if not pairs:
        raise options.fault("fixed needs a rate such as fixed:USD/USDC=1")
    for (sell, buy), text in pairs.items():
        try:
            Rate.stated(sell, buy, text, "fixed", clock.now())
        except RateUnavailable:
            raise options.fault(
                f"'{text}' is no rate of two assets; write a plain decimal above zero"
            ) from None
    rates = tuple((sell, buy, text) for (sell, buy), text in pairs.items())
    return FixedRates(rates, clock, options.name())


def _http(options: Options, clock: Clock, *, sandbox: bool) -> HttpRates:
    options.allow(_HTTP)
    url = options.needed("url", "https://rates.example/v1/latest")
    if not is_allowed(url):
        raise options.fault(
            "url is an https:// address (http:// for this machine only) without user, password"
            " and fragment; a key belongs into key_file"
        )
    options.needed("max_age_s", str(_AGE_S))
    key_as = options.given.get("key_as", KEY_BY_BEARER)
    if not _KEY_AS.fullmatch(key_as):
        raise options.fault("key_as is bearer, header:NAME or query:NAME, such as query:app_id")
    if "key_as" in options.given and not options.given.get("key_file"):
        raise options.fault("key_as says how the key is sent; name its file with key_file=PATH")
    service = RateService(
        name=options.name(),
        url=url,
        layout=_layout(options),
        max_age_s=options.max_age_s(_AGE_S, sandbox=sandbox),
        key_file=Path(options.given["key_file"]) if options.given.get("key_file") else None,
        key_as=key_as,
        timeout_s=options.timeout_s(TIMEOUT_S),
    )
    return HttpRates(service, clock)


def _layout(options: Options) -> Layout:
    currencies = tuple(filter(None, options.given.get("currencies", "").split("+")))
    if not all(map(ASSET_CODE.fullmatch, currencies)) or len(set(currencies)) < len(currencies):
        raise options.fault("currencies are asset codes, each once, such as currencies=USD+GBP")
    try:
        base = Base.parse(options.needed("base", "EUR@base"))
    except ValueError as error:
        raise options.fault(f"base is a code, a path, or both as EUR@base: {error}") from None
    if base.code in currencies:
        raise options.fault(f"{base.code} is the base; leave it out of currencies")
    paths: dict[str, AnswerPath] = {}
    for name, example in (("rates", "data.rates"), ("time", "data.timestamp")):
        text = options.needed(name, example)
        try:
            paths[name] = AnswerPath.parse(text)
        except ValueError as error:
            raise options.fault(f"{name} is a path such as {example}: {error}") from None
    return Layout(base, paths["rates"], paths["time"], currencies)


def _chainlink(
    options: Options, clock: Clock, chain: ChainCalls, *, sandbox: bool
) -> ChainlinkRates:
    example = "EUR/USD=0x and 40 hexadecimal digits"
    pairs = options.pairs(_CHAINLINK, example)
    if not pairs:
        raise options.fault(f"chainlink needs a price feed: {example}")
    options.needed("max_age_s", str(_AGE_S))
    feeds = tuple(
        PriceFeed(sell, buy, _address(options, f"{sell}/{buy}", text))
        for (sell, buy), text in pairs.items()
    )
    if same := [feed for feed in feeds if feed.sell == feed.buy]:
        raise options.fault(f"{same[0]} is no pair of two assets")
    sequencer = options.given.get("sequencer")
    if sequencer is None and "grace_s" in options.given:
        raise options.fault("grace_s is how long a sequencer has to be up; name its feed, too")
    return ChainlinkRates(
        feeds=feeds,
        chain=chain,
        clock=clock,
        max_age_s=options.max_age_s(_AGE_S, sandbox=sandbox),
        sequencer=None if sequencer is None else _address(options, "sequencer", sequencer),
        grace_s=options.seconds("grace_s", GRACE_S),
        name=options.name(),
        timeout_s=options.timeout_s(CHAIN_TIMEOUT_S),
    )


def _address(options: Options, name: str, text: str) -> Address:
    """The bytes of an address; one of mixed case must have the checksum of EIP-55."""
    digits = text[2:]
    is_mixed = digits not in (digits.lower(), digits.upper())
    if not _ADDRESS.fullmatch(text) or (is_mixed and to_checksum_address(text) != text):
        raise options.fault(
            f"{name}={text} is no address: 0x and 40 hexadecimal digits, in mixed case only with"
            " the right checksum (EIP-55)"
        )
    return Address(bytes.fromhex(digits))


__all__ = [
    "ChainCalls",
    "ChainlinkRates",
    "EcbRates",
    "FixedRates",
    "HttpRates",
    "build_sources",
    "close_sources",
]
