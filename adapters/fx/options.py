"""One entry of the setting of rate sources: its kind and its options, each checked when it is read.

Every fault names the entry and the remedy. An entry may hold an address with a key in it, so what
is shown of an `http` entry is its harmless options and the host. Not here: which options a kind
has (`adapters.fx`).
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from adapters.fx.answer import ASSET_CODE

_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_SOURCE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_HARMLESS: Final = frozenset(
    {"name", "base", "rates", "time", "currencies", "max_age_s", "key_file", "key_as", "timeout_s"}
)
_TIMEOUT_S_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class Options:
    """One entry, taken apart at `:`, `;` and the first `=` of each option.

    Attributes:
        kind: What stands before the first colon.
        shown: The entry as it may be printed.
        given: Each option's value.
    """

    kind: str
    shown: str
    given: Mapping[str, str]

    @classmethod
    def of(cls, entry: str) -> Self:
        """Take an entry apart.

        Raises:
            ValueError: An option is there twice, or is not written as name=value.
        """
        kind, _, rest = entry.partition(":")
        parts = [each.strip() for each in rest.split(";") if each.strip()]
        shown = f"{kind}:{';'.join(map(_shown, parts))}" if kind == "http" else entry
        given: dict[str, str] = {}
        for part in parts:
            key, equals, value = part.partition("=")
            if not equals or key in given:
                part_shown = _shown(part) if kind == "http" else part
                raise ValueError(
                    f"'{shown}': write each option once, as name=value, not '{part_shown}'"
                )
            given[key] = value
        return cls(kind, shown, given)

    def fault(self, sentence: str) -> ValueError:
        """The error of this entry."""
        return ValueError(f"'{self.shown}': {sentence}")

    def allow(self, names: Collection[str]) -> None:
        """Check that there are no other options.

        Raises:
            ValueError: There is one.
        """
        if unknown := set(self.given) - set(names):
            first, *others = (f"'{name}'" for name in names)
            raise self.fault(
                f"{self.kind} has no option '{min(unknown)}';"
                f" it has {', '.join([first, *others[:-1]])} and {others[-1]}"
            )

    def needed(self, name: str, example: str) -> str:
        """An option without a default.

        Raises:
            ValueError: It is not given.
        """
        if not self.given.get(name):
            raise self.fault(f"{self.kind} needs {name}, such as {name}={example}")
        return self.given[name]

    def name(self) -> str:
        """The source's name: the kind, unless another is given.

        Raises:
            ValueError: It is not one that can be printed in quotes.
        """
        name = self.given.get("name", self.kind)
        if not _SOURCE_NAME.fullmatch(name):
            raise self.fault("a name has at most 32 of a-z, 0-9, '_' and '-', a letter first")
        return name

    def seconds(self, name: str, default: int) -> int:
        """A number of seconds.

        Raises:
            ValueError: It is something else.
        """
        text = self.given.get(name, str(default))
        if not _SECONDS.fullmatch(text):
            raise self.fault(f"{name} is a number of seconds such as {default}")
        return int(text)

    def max_age_s(self, example: int, *, sandbox: bool) -> int | None:
        """The age that is too old; None: age is not checked, which only a sandbox may ask for.

        Raises:
            ValueError: It is no number of seconds, or 0 outside a sandbox.
        """
        age_s = self.seconds("max_age_s", example)
        if age_s == 0 and not sandbox:
            raise self.fault(
                "max_age_s=0 switches the check of age off, which only a sandbox may"
                f" (SANDBOX=1); write an age such as max_age_s={example}"
            )
        return age_s or None

    def timeout_s(self, default: int) -> int:
        """How long a reading may take.

        Raises:
            ValueError: It is not from 1 to 60.
        """
        limit_s = self.seconds("timeout_s", default)
        if not 1 <= limit_s <= _TIMEOUT_S_MAX:
            raise self.fault(f"timeout_s is from 1 to {_TIMEOUT_S_MAX}, such as {default}")
        return limit_s

    def pairs(self, but: Collection[str], example: str) -> Mapping[tuple[str, str], str]:
        """The options whose names are pairs such as EUR/USD, by sell and buy asset.

        Args:
            but: Options that are not pairs.
            example: What a pair is written like.

        Raises:
            ValueError: There is none, one is not a pair, or one is there in both directions.
        """
        found: dict[tuple[str, str], str] = {}
        for key, value in self.given.items():
            if key in but:
                continue
            sell, slash, buy = key.partition("/")
            if not slash or not ASSET_CODE.fullmatch(sell) or not ASSET_CODE.fullmatch(buy):
                raise self.fault(f"write the pair as {example}, not '{key}={value}'")
            if (buy, sell) in found:
                raise self.fault(f"state {buy}/{sell} in one direction; the other follows from it")
            found[sell, buy] = value
        return found


def _shown(part: str) -> str:
    """An option of an `http` entry without what may be a key."""
    key, equals, value = part.partition("=")
    if key in _HARMLESS:
        return part
    if key != "url":
        return f"{key}=..." if equals else "..."
    try:
        parts = urlsplit(value)
    except ValueError:
        return "url=..."
    return f"url={parts.scheme}://{parts.hostname}/..."
