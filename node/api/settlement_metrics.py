"""Settlement's figures as Prometheus series, named `corridor_settlement_...`; few of them.

Labels are keys of the node, reasons and states: never a customer, a transfer or a batch. What each
alert means and what to do is in `node/docs/operating_settlement.md`, which a test compares with
this page. Every process tells the same of the database: do not add processes up.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from node.core.ports.chain import AddressCodec, ProviderHealth
from node.core.ports.settlement_views import LaneView, Spending
from node.core.settlement import LaneStatus, PauseReason, Purpose, Waiting
from node.core.transfers import TERMINAL, State
from node.services.settlement.alerts import SETTLE, AlertCode, is_held
from node.services.settlement.figures import SettlementFigures
from node.services.settlement.overview import SettlementLook

_PREFIX: Final = "corridor_settlement_"
_NONE: Final = "none"


class SettlementSeries(Collector):
    """The figures of one moment."""

    def __init__(self, figures: SettlementFigures, addresses: AddressCodec) -> None:
        self._figures = figures
        self._addresses = addresses

    def collect(self) -> Iterator[Metric]:
        """Every series."""
        look = self._figures.look
        yield from self._lanes(look)
        yield from _contract(look)
        yield from _stops(look)
        yield _transfers(look)
        yield from _totals(self._figures)
        yield from _providers(self._figures.providers)

    def _lanes(self, look: SettlementLook) -> Iterator[Metric]:
        flagged = {(each.code, each.address) for each in look.alerts}

        def told(view: LaneView, code: AlertCode) -> int:
            return int((code, view.lane.address) in flagged)

        def family(name: str, text: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(_PREFIX + name, text, labels=("lane", "role"))

        up = family("lane_up", "Whether the lane works: active, and of those that pay also held.")
        gas = family("lane_gas_wei", "Coin of the lane's account, as last seen, in wei.")
        low = family("lane_gas_low", "Whether that is too little.")
        cap = family("lane_cap_left_units", "What the contract lets the lane pay, token units.")
        unmined = family("lane_unmined", "Nonces of the lane that are not in a block.")
        head = family("head_of_line_age_seconds", "Age of the lowest of them; 0: there is none.")
        stuck = family("lane_stuck", "Whether that is too old.")
        known = {each.lane.address for each in look.lanes}
        for address, role in look.watched.roles:
            if role == SETTLE and address not in known:
                up.add_metric((self._addresses.text(address), role), 0)
        for view in look.lanes:
            if not look.watched.has(view):
                continue
            labels = (self._addresses.text(view.lane.address), view.role)
            up.add_metric(labels, int(_is_up(view, look)))
            if view.balance_wei is not None:
                gas.add_metric(labels, view.balance_wei)
            low.add_metric(labels, told(view, AlertCode.GAS_LOW))
            if view.cap_left is not None:
                cap.add_metric(labels, view.cap_left)
            unmined.add_metric(labels, view.unmined)
            age = None if view.head is None else look.at - view.head.written_at
            head.add_metric(labels, 0 if age is None else age.total_seconds())
            stuck.add_metric(labels, told(view, AlertCode.LINE_STUCK))
        yield from (up, gas, low, cap, unmined, head, stuck)


def _is_up(view: LaneView, look: SettlementLook) -> bool:
    is_worked = view.role != SETTLE or is_held(view, look.at)
    return view.lane.status is LaneStatus.ACTIVE and is_worked


def _contract(look: SettlementLook) -> Iterator[Metric]:
    low = any(each.code is AlertCode.FLOAT_LOW for each in look.alerts)
    yield _gauge(
        "float_low", "Whether the float is less than what waits for it or its mark.", int(low)
    )
    committed = look.committed_units
    yield _gauge("committed_units", "Token units in batches that are under way.", committed)
    seen = look.contract
    if seen is None:
        return
    yield _gauge("float_units", "Token units in the contract, as last seen.", seen.float_units)
    if seen.cap_left is not None:
        text = "What the contract lets all lanes pay, token units."
        yield _gauge("cap_left_units", text, seen.cap_left)
    yield _gauge("contract_paused", "Whether the contract is paused.", int(seen.paused))
    yield _gauge("token_paused", "Whether the token is paused.", int(seen.token_paused))
    age = (look.at - seen.seen_at).total_seconds()
    yield _gauge("contract_seen_age_seconds", "Since when that was last looked at.", age)


def _stops(look: SettlementLook) -> Iterator[Metric]:
    paused = GaugeMetricFamily(
        f"{_PREFIX}paused", "Whether settlement is paused for this reason.", labels=("reason",)
    )
    reasons = {each.reason for each in look.pauses}
    for reason in PauseReason:
        paused.add_metric((reason.value,), int(reason in reasons))
    yield paused
    hard = any(each.hard for each in look.pauses)
    yield _gauge("paused_hard", "Whether one of the pauses stops bumps too.", int(hard))
    ahead = any(each.lane.status is LaneStatus.AHEAD for each in look.lanes)
    yield _gauge("adoption_needed", "Whether a key was used without the database.", int(ahead))
    alerts = GaugeMetricFamily(
        f"{_PREFIX}alerts", "Things that need a person, by code.", labels=("code",)
    )
    for code in AlertCode:
        alerts.add_metric((code.value,), sum(each.code is code for each in look.alerts))
    yield alerts


def _transfers(look: SettlementLook) -> Metric:
    """Open transfers; what could be there and is not is 0, so that a series never ends."""
    counts = {(state.value, _NONE): 0 for state in State if state not in TERMINAL}
    counts |= {(State.FUNDED.value, code.value): 0 for code in Waiting}
    for row in look.open_transfers:
        counts[row.state, row.code or _NONE] = row.count
    family = GaugeMetricFamily(
        f"{_PREFIX}transfers",
        "Transfers that have not ended, by state and what they wait for.",
        labels=("state", "waiting"),
    )
    for labels, count in counts.items():
        family.add_metric(labels, count)
    return family


def _totals(figures: SettlementFigures) -> Iterator[Metric]:
    totals = [
        figures.totals.get(purpose, Spending(purpose, 0, 0, 0, 0, 0, 0)) for purpose in Purpose
    ]

    def by_purpose(name: str, text: str, values: Sequence[int]) -> Metric:
        made = CounterMetricFamily(_PREFIX + name, text, labels=("purpose",))
        for each, value in zip(totals, values, strict=True):
            made.add_metric((each.purpose.value,), value)
        return made

    yield by_purpose("transactions", "That became final.", [each.transactions for each in totals])
    yield by_purpose("gas_used", "Gas of those.", [each.gas_used for each in totals])
    yield by_purpose("fees_wei", "Wei paid for it.", [each.fees_wei for each in totals])
    transactions = sum(each.transactions for each in totals)
    attempts = sum(each.attempts for each in totals)
    for name, text, value in (
        ("reverted", "Of those, what did nothing but cost.", sum(e.reverted for e in totals)),
        ("attempts", "Signed for those.", attempts),
        ("bumps", "Signed for those beyond the first.", max(0, attempts - transactions)),
        ("payments", "Payouts in those.", sum(each.payments for each in totals)),
    ):
        yield CounterMetricFamily(_PREFIX + name, text, value=value)


def _providers(providers: Sequence[ProviderHealth]) -> Iterator[Metric]:
    """The chain's providers as this process sees them; a worker may see others."""
    up = GaugeMetricFamily(
        "corridor_provider_up", "Whether this process asks the provider.", labels=("provider",)
    )
    behind = GaugeMetricFamily(
        "corridor_provider_behind_blocks", "How far it is behind the others.", labels=("provider",)
    )
    failures = CounterMetricFamily(
        "corridor_provider_failures", "Answers that did not come.", labels=("provider",)
    )
    for each in providers:
        up.add_metric((each.name,), int(each.state == "closed"))
        behind.add_metric((each.name,), each.behind_blocks)
        failures.add_metric((each.name,), each.failures_total)
    yield from (up, behind, failures)


def _gauge(name: str, text: str, value: float) -> Metric:  # tidy: T1 because what Prometheus has
    return GaugeMetricFamily(_PREFIX + name, text, value=value)
