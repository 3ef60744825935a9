"""Values of services as templates print them: amounts, accounts, breaks, links of evidence."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from node.api.operator.chart import Chart
from node.api.operator.templating import grouped
from node.core.catalog import Catalog
from node.core.errors import CurrencyUnknown
from node.core.ids import Prefix, encode_id
from node.core.ports.breaks import Break
from node.core.ports.chain import AddressCodec
from node.core.ports.comparisons import AccountComparison
from node.core.stories import in_whole_units, story
from node.core.units import format_minor

BASE: Final = "/operator"
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_WHOLE: Final = re.compile(r"-?[0-9]{1,78}")
_LOG_NAME: Final = re.compile(r"0x[0-9a-f]{64}:[0-9]+")
_BLOCKS: Final = frozenset({"block_number", "block", "first_block", "last_block", "number"})
_SEQUENCES: Final = frozenset({"ledger_sequence", "sequence", "entry", "ledger_transaction"})


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One account of the chain, printed.

    Attributes:
        difference: What the chain has more than the ledger.
        url: Of its page.
    """

    address: str
    role: str
    asset: str
    path: str
    ledger: str
    mirror: str
    chain: str
    difference: str
    equal: bool
    url: str
    found: AccountComparison


@dataclass(frozen=True, slots=True)
class BreakRow:
    """One break, printed.

    Attributes:
        expected, actual: Amounts in whole units where the break is about a balance.
    """

    id: str
    url: str
    expected: str
    actual: str
    is_overdue: bool
    found: Break


@dataclass(frozen=True, slots=True)
class Fact:
    """One named value; `url` leads to more about it, where there is more."""

    name: str
    value: str
    url: str | None


def is_equal(found: AccountComparison) -> bool:
    """Whether ledger, mirror and chain say the same."""
    return found.ledger == found.mirror == found.chain


class Figures:
    """Prints with the node's own assets and addresses."""

    def __init__(self, catalog: Catalog, addresses: AddressCodec) -> None:
        self._catalog = catalog
        self._addresses = addresses

    def amount(self, minor: int, asset: str) -> str:
        """An amount in whole units; of an asset the node does not know, its minor units."""
        try:
            return format_minor(minor, self._catalog.ledger_asset(asset).digits)
        except CurrencyUnknown:
            return str(minor)

    @property
    def token(self) -> str:
        """Code of the token on the chain."""
        return self._catalog.token.asset.code

    def account(self, found: AccountComparison) -> AccountRow:
        """One account of the chain."""
        asset = found.asset
        address = self._addresses.text(found.address)
        return AccountRow(
            address,
            found.role,
            asset,
            found.path,
            self.amount(found.ledger, asset),
            self.amount(found.mirror, asset),
            self.amount(found.chain, asset),
            self.amount(found.chain - found.ledger, asset),
            is_equal(found),
            f"{BASE}/reconciliation/accounts/{address}/{asset}",
            found,
        )

    def break_row(self, found: Break) -> BreakRow:
        """One break."""
        identity = encode_id(Prefix.BREAK, found.id)
        overdue = (
            found.due_at is not None
            and found.resolved_at is None
            and found.first_seen_at + found.age > found.due_at
        )
        asset = self._asset_of(found)
        return BreakRow(
            identity,
            f"{BASE}/reconciliation/breaks/{identity}",
            self._stated(found.expected, asset),
            self._stated(found.actual, asset),
            overdue,
            found,
        )

    def _asset_of(self, found: Break) -> str | None:
        """What the two numbers of a break are amounts of; None: they may be something else."""
        kind = found.fingerprint.split(":")[1:2]
        if kind in (["balance.token"], ["balance.delta"], ["balance.logs"]):
            return self.token
        return self._catalog.native.code if kind == ["balance.native"] else None

    def story(self, found: Break) -> Sequence[str]:
        """The story of a break, with amounts in whole units."""
        return [in_whole_units(each, self._catalog) for each in story(found)]

    def history(self, detail: Mapping[str, str], found: Break) -> Sequence[Fact]:
        """What a line of a break's history says."""
        asset = self._asset_of(found)
        return facts({name: self._stated(value, asset) for name, value in detail.items()})

    def _stated(self, text: str, asset: str | None) -> str:
        if asset is None or not _WHOLE.fullmatch(text):
            return in_whole_units(text, self._catalog)
        return f"{grouped(self.amount(int(text), asset))} {asset}"

    def chart(self, chart: Chart) -> Mapping[str, str]:
        """The words beside a chart."""
        first, last = chart.samples[0], chart.samples[-1]
        return {
            "low": self.amount(chart.low, chart.asset),
            "high": self.amount(chart.high, chart.asset),
            "first": self.amount(first.chain, chart.asset),
            "last": self.amount(last.chain, chart.asset),
            "largest": self.amount(chart.largest, chart.asset),
        }


def facts(told: Mapping[str, str]) -> Sequence[Fact]:
    """Named values of evidence, with links to what the node has of them."""
    block = next((told[name] for name in told if name in _BLOCKS), "")
    return [Fact(name, value, link(name, value, block)) for name, value in told.items()]


def link(name: str, value: str, block: str = "") -> str | None:
    """Where more is told about a named value; None: nowhere.

    Args:
        name: What it is.
        value: As stored, by whomever: it goes into a path only in a form that is known.
        block: Number of the block it is of, if that is known.
    """
    if name in _BLOCKS and _NUMBER.fullmatch(value):
        return f"{BASE}/blocks/{value}"
    if name in _SEQUENCES and _NUMBER.fullmatch(value):
        return f"{BASE}/ledger/{value}"
    if name in ("log", "block_hash", "log_index") and _NUMBER.fullmatch(block):
        is_log = name != "log" or _LOG_NAME.fullmatch(value)
        return f"{BASE}/blocks/{block}" if is_log else None
    return None if _NUMBER.fullmatch(value) else found(value)


def found(text: str) -> str | None:
    """The page of what is named so: a transfer, a break, a run, a block; None: no such name."""
    kinds = {
        Prefix.TRANSFER: f"{BASE}/transfers",
        Prefix.BREAK: f"{BASE}/reconciliation/breaks",
        Prefix.RUN: f"{BASE}/reconciliation/runs",
    }
    prefix, _, body = text.partition("_")
    if prefix in kinds and body.isascii() and body.isalnum():
        return f"{kinds[Prefix(prefix)]}/{text}"
    return f"{BASE}/blocks/{text}" if _NUMBER.fullmatch(text) else None
