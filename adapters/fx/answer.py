"""What a JSON rate service answers: read without floats, and refused whole when a part is wrong.

Strict JSON (RFC 8259; a member may not be there twice), numbers kept as the text they were sent
as. Where things stand in an answer is told by paths; the forms of real services that they reach:

    rates.CODE = 1.1                    rates=rates              openexchangerates, Frankfurter v1
    data.CODE.value = 1.1               rates=data.{code}.value  currencyapi
    quotes.USDCODE = 1.1                rates=quotes.USD{code}   exchangerate.host
    [{"quote": CODE, "rate": 1.1}, ..]  rates=[quote].rate       Frankfurter v2

One wrong rate makes the whole answer unfit: it comes from the machinery that made the others, and
nobody knows which of them it made wrongly, too. With a list of `currencies` the others are not
looked at. Not here: the request (`http.py`).
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Self, TypeVar

from node.core.errors import RateUnavailable
from node.core.quotes import Rate
from node.core.rates import AHEAD_MAX_S

ASSET_CODE: Final = re.compile(r"[A-Z][A-Z0-9]{1,15}")

DEPTH_MAX: Final = 16
"""Objects and lists inside each other. Looked at before parsing: the parser recurses in C, and ends
the process where something has raised the interpreter's limit of recursion."""

RATES_MAX: Final = 1000
"""More than any service has; every price looks through them."""

_CODE: Final = "{code}"
_NAME: Final = re.compile(r"[A-Za-z0-9_$/ -]{1,64}")
_TEMPLATE: Final = re.compile(r"[A-Za-z0-9_/-]{0,32}\{code\}[A-Za-z0-9_/-]{0,32}")
_LISTED: Final = re.compile(r"\[([A-Za-z0-9_]{1,64})\]")
_BEFORE_LIST: Final = re.compile(r"\.?\[")
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_SHOWABLE: Final = re.compile(r"[A-Za-z0-9.+-]{1,15}|[0-9.+-]{1,40}(?:[eE][0-9+-]{1,8})?")
_ONE: Final = re.compile(r"1(?:\.0+)?")
_UNIX: Final = re.compile(r"([0-9]{1,11})(?:\.[0-9]+)?")
_DAY: Final = r"(?:19[7-9]|2[0-9]{2})[0-9]-[0-9]{2}-[0-9]{2}"  # no year that overflows a sum
_DATE: Final = re.compile(_DAY)
_RFC_3339: Final = re.compile(
    _DAY + r"[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)

_Value = TypeVar("_Value")


class Unfit(Exception):
    """The answer is not one to take rates from; says why, with next to nothing of its text."""


class _Number(str):
    """A JSON number as it was sent."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Path:
    """The way from the answer to a value, or to one value for each currency.

    Attributes:
        before: Names of members, from the outside in.
        choice: Where currencies part: a name with `{code}` in it, or `[member]` for a list of
            objects that name their currency in that member; None: one value for all.
        after: Names of members behind that.
    """

    before: tuple[str, ...]
    choice: str | None = None
    after: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The path written with points, such as `data.{code}.value` or `result[code].rate`.

        Raises:
            ValueError: It is no path; says what is wrong with it.
        """
        parts = _BEFORE_LIST.sub(".[", text).removeprefix(".").split(".")
        choices = [at for at, part in enumerate(parts) if _is_choice(part)]
        if len(choices) > 1:
            raise ValueError(f"'{text}' has more than one {_CODE} or [...]")
        for at, part in enumerate(parts):
            if at not in choices and not _NAME.fullmatch(part):
                raise ValueError(f"'{part}' is no name of a member")
        if not choices:
            return cls(tuple(parts))
        at = choices[0]
        return cls(tuple(parts[:at]), parts[at], tuple(parts[at + 1 :]))

    def one(self, document: object) -> object:
        """The one value.

        Raises:
            Unfit: There is nothing there.
        """
        return _walk(document, self.before, self.before)

    def each(self, document: object, wanted: Sequence[str]) -> Mapping[str, object]:
        """The value of each currency: of those that are wanted, or of all when none is named.

        Raises:
            Unfit: A wanted one is missing, one is there twice, or something is no currency.
        """
        place = _walk(document, self.before, self.before)
        found = self._listed(place, wanted) if self._is_list else self._members(place, wanted)
        whole = (*self.before, str(self.choice), *self.after)
        return {code: _walk(value, self.after, whole) for code, value in found.items()}

    @property
    def _is_list(self) -> bool:
        return self.choice is not None and self.choice.startswith("[")

    def _members(self, place: object, wanted: Sequence[str]) -> Mapping[str, object]:
        if not isinstance(place, dict):
            raise Unfit(f"there is no object at {_shown(self.before)}")
        first, _, last = (self.choice or _CODE).partition(_CODE)
        if wanted:
            return {code: _member(place, f"{first}{code}{last}", code) for code in wanted}
        found: dict[str, object] = {}
        for name, value in place.items():
            inner = name.removeprefix(first).removesuffix(last)
            if name != f"{first}{inner}{last}":
                raise Unfit(f"{_quoted(name)} at {_shown(self.before)} is no currency")
            found[_code(inner)] = value
        return found

    def _listed(self, place: object, wanted: Sequence[str]) -> Mapping[str, object]:
        if not isinstance(place, list):
            raise Unfit(f"there is no list at {_shown(self.before)}")
        named, only = (str(self.choice)[1:-1],), frozenset(wanted)
        found: dict[str, object] = {}
        for item in place:
            code = _walk(item, named, named)
            if isinstance(code, str) and only and code not in only:
                continue
            if (known := _code(code)) in found:
                raise Unfit(f"{known} is there twice")
            found[known] = item
        return {code: _member(found, code, code) for code in wanted or found}


@dataclass(frozen=True, slots=True)
class Base:
    """What one unit of is given in others.

    Attributes:
        code: What it must be; None: what the answer says.
        path: Where the answer says it; None: nowhere.
    """

    code: str | None
    path: Path | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """`EUR`, `meta.base` or, to have it compared, `EUR@meta.base`.

        Raises:
            ValueError: It is none of these.
        """
        code, at, path = text.partition("@")
        if not at and not ASSET_CODE.fullmatch(text):
            return cls(None, Path.parse(text))
        if not ASSET_CODE.fullmatch(code):
            raise ValueError(f"'{code}' is no asset code such as EUR")
        return cls(code, Path.parse(path) if at else None)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where an answer has what.

    Attributes:
        currencies: Those that are taken, each of which must be there; none named: all.
    """

    base: Base
    rates: Path
    time: Path
    currencies: tuple[str, ...] = ()


def rates_in(body: bytes, layout: Layout, source: str, now: datetime) -> Sequence[Rate]:
    """Every rate of an answer, with the time it says it is of.

    A base that is listed against itself must be 1, and is left out.

    Raises:
        Unfit: Something is missing, is not what it should be, or is of the future.
    """
    document = parse(body)
    texts = layout.rates.each(document, layout.currencies)
    if len(texts) > RATES_MAX:
        raise Unfit(f"it has more than {RATES_MAX} rates")
    bases = _for_each(layout.base.path, document, texts, _code)
    if len(set(bases.values())) > 1:
        raise Unfit("its rates are of different bases")
    times = _for_each(layout.time, document, texts, observed_at)
    rates: list[Rate] = []
    for code, value in texts.items():
        base = bases.get(code, layout.base.code)
        if base is None or layout.base.code not in (None, base):
            raise Unfit(f"its base is {base}, not {layout.base.code}")
        if times[code] - now > timedelta(seconds=AHEAD_MAX_S):
            raise Unfit(f"it is of {times[code]:%Y-%m-%dT%H:%M:%SZ}, which is in the future")
        if code != base:
            rates.append(_rate(base, code, value, source, times[code]))
        elif not isinstance(value, str) or not _ONE.fullmatch(value):
            raise Unfit(f"{code}/{base} is not 1")
    if not rates:
        raise Unfit("it has no rates")
    return rates


def parse(body: bytes) -> object:
    """The JSON document; numbers as text.

    Raises:
        Unfit: It is not JSON in UTF-8, or nested too deeply, or a member is there twice.
    """
    _check_depth(body)
    try:
        document: object = json.loads(
            body.decode(),
            parse_float=_Number,
            parse_int=_Number,
            parse_constant=_no_number,
            object_pairs_hook=_object,
        )
    except ValueError:
        raise Unfit("it is not JSON") from None
    return document


def observed_at(value: object) -> datetime:
    """The time an answer says it is of, in UTC.

    RFC 3339 with its offset, Unix seconds (fractions are cut off), or a date. A date is taken for
    its first instant, so that its rates count as older than they are rather than younger.

    Raises:
        Unfit: None of these.
    """
    text = value if isinstance(value, str) else ""
    try:
        if unix := _UNIX.fullmatch(text):
            return datetime.fromtimestamp(int(unix[1]), UTC)
        if isinstance(value, str) and not isinstance(value, _Number):
            if _DATE.fullmatch(text):
                return datetime.combine(date.fromisoformat(text), time(), UTC)
            if _RFC_3339.fullmatch(text):
                return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (OverflowError, ValueError):
        pass  # of the right form, and yet no time, such as a 13th month
    raise Unfit(f"{_quoted(value)} is no time: neither RFC 3339, nor Unix seconds, nor a date")


def _for_each(
    path: Path | None,
    document: object,
    codes: Mapping[str, object],
    read: Callable[[object], _Value],
) -> Mapping[str, _Value]:
    """What a path says of each currency; one value for all where currencies do not part."""
    if path is None:
        return {}
    if path.choice is None:
        value = read(path.one(document))
        return dict.fromkeys(codes, value)
    return {code: read(value) for code, value in path.each(document, tuple(codes)).items()}


def _rate(base: str, code: str, value: object, source: str, at: datetime) -> Rate:
    if not isinstance(value, str):
        raise Unfit(f"{base}/{code} is no number")
    try:
        return Rate.stated(base, code, value, source, at)
    except RateUnavailable:
        raise Unfit(f"{base}/{code} is {_quoted(value)}, not a plain decimal above zero") from None


def _walk(value: object, names: tuple[str, ...], whole: tuple[str, ...]) -> object:
    for name in names:
        if not isinstance(value, dict) or name not in value:
            raise Unfit(f"there is nothing at {_shown(whole)}")
        value = value[name]
    return value


def _member(found: Mapping[str, object], name: str, code: str) -> object:
    if name not in found:
        raise Unfit(f"{code} is missing")
    return found[name]


def _code(value: object) -> str:
    if not isinstance(value, str) or not ASSET_CODE.fullmatch(value):
        raise Unfit(f"{_quoted(value)} is no asset code")
    return value


def _is_choice(part: str) -> bool:
    return bool(_TEMPLATE.fullmatch(part) or _LISTED.fullmatch(part))


def _shown(names: tuple[str, ...]) -> str:
    return f"'{'.'.join(names)}'" if names else "the top"


def _quoted(value: object) -> str:
    """A number or a short plain word as it is; anything else could be a page, or a key."""
    shown = isinstance(value, str) and _SHOWABLE.fullmatch(value)
    return f"'{value}'" if shown else "what is there"


def _check_depth(body: bytes) -> None:
    """Count brackets outside strings, in one pass whatever the bytes are."""
    depth = 0
    for token in _TOKEN.finditer(body):
        bracket = token[0]
        if bracket in (b"[", b"{"):
            depth += 1
            if depth > DEPTH_MAX:
                raise Unfit("its JSON is nested too deeply")
        elif bracket in (b"]", b"}"):
            depth -= 1


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unfit("a member of its JSON is there twice")
    return found


def _no_number(name: str) -> object:
    raise Unfit(f"it holds {name}, which is no number")
