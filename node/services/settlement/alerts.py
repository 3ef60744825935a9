"""What about settlement needs a person, from what is seen: pure, and in one place.

Every alert has a code that monitoring knows, the key it is about, what is seen, and what to do; a
test holds the codes and their chapters in `node/docs/operating_settlement.md` together. Not here:
how the facts are read (`node.services.settlement.overview`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from node.core.ports.settlement import Pause
from node.core.ports.settlement_views import ContractView, LaneView, OpenRow
from node.core.settlement import TOKEN_TRANSFER_GAS, LaneStatus, Waiting, settle_gas
from node.core.signing import KeyRole
from node.core.transfers import State
from node.core.units import Address

SETTLE: Final = "settle"
"""Role of the lanes that pay."""

_BUMPS: Final = 3
_FILL_GAS: Final = "send it coin: corridor settlement gas AMOUNT --to ADDRESS"
_FILL_TREASURY: Final = "send it coin from outside; no other key of the node fills the treasury"
_FUNDED: Final = State.FUNDED.value
_UNKNOWN: Final = State.UNKNOWN.value


class AlertCode(StrEnum):
    """What needs a person."""

    ADOPTION_NEEDED = "adoption_needed"
    LANE_STOPPED = "lane_stopped"
    LANE_IDLE = "lane_idle"
    LINE_STUCK = "line_stuck"
    GAS_LOW = "gas_low"
    FLOAT_LOW = "float_low"
    CAP_REACHED = "cap_reached"
    TOKEN_PAUSED = "token_paused"  # noqa: S105 - a code, not a secret
    CONTRACT_PAUSED = "contract_paused"
    PAUSED = "paused"
    OUTCOME_UNKNOWN = "outcome_unknown"


class Severity(StrEnum):
    """How soon."""

    CRITICAL = "critical"  # nothing is paid, or not by this lane, until somebody acts
    WARNING = "warning"  # it will come to that, or clears by itself


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that needs a person.

    Attributes:
        address: The key or contract it is about; None: all of settlement.
        seen: What is the case, without amounts or addresses of customers.
        next_action: What to do about it.
    """

    code: AlertCode
    severity: Severity
    address: Address | None
    seen: str
    next_action: str


@dataclass(frozen=True, slots=True)
class AlertRules:
    """When something is an alert.

    Attributes:
        stuck_after_s: Age of a nonce at the head of the line.
        gas_batches_min: For how many full batches a lane's coin has to last, at twice the gas price
            last paid: a first attempt offers twice the base fee.
        payments_max: Payments of a full batch.
        unknown_after_s: Age of the oldest outcome that nobody knows.
        float_low_units: Token units below which the free float is low, whatever waits; 0: no mark.
        lane_gas_low_wei: Coin below which a key's is low, whatever gas costs; 0: no mark.
    """

    stuck_after_s: int = 108  # three times three blocks of 12 s
    gas_batches_min: int = 4
    payments_max: int = 256
    unknown_after_s: int = 300
    float_low_units: int = 0
    lane_gas_low_wei: int = 0

    @classmethod
    def patient_for(
        cls,
        bump_after_blocks: int,
        block_s: int,
        *,
        payments_max: int,
        float_low_units: int = 0,
        lane_gas_low_wei: int = 0,
    ) -> Self:
        """Rules by which a nonce is stuck after three times the patience before a bump."""
        return cls(
            stuck_after_s=_BUMPS * bump_after_blocks * block_s,
            payments_max=payments_max,
            float_low_units=float_low_units,
            lane_gas_low_wei=lane_gas_low_wei,
        )

    def gas_wei_min(self, role: str, gas_price_wei: int | None) -> int | None:
        """Least coin of a lane that is no alert; None: no mark is set and no price is known.

        Keys that do not pay batches need gas for as many transfers of a token.
        """
        if gas_price_wei is None:
            return self.lane_gas_low_wei or None
        gas = settle_gas(self.payments_max) if role == SETTLE else TOKEN_TRANSFER_GAS
        return max(self.lane_gas_low_wei, 2 * gas_price_wei * gas * self.gas_batches_min)


@dataclass(frozen=True, slots=True)
class Facts:
    """What alerts are made of.

    Attributes:
        roles: Addresses of the settings, and what each is for. A lane of another is retired: nobody
            works it.
        committed_units: Token units in written batches that are not in the block of `contract`.
        gas_price_wei: As last paid; None: never.
    """

    at: datetime
    address: Address
    roles: Sequence[tuple[Address, str]]
    pauses: Sequence[Pause]
    lanes: Sequence[LaneView]
    contract: ContractView | None
    committed_units: int
    open_transfers: Sequence[OpenRow]
    gas_price_wei: int | None
    rules: AlertRules = field(default_factory=AlertRules)

    @property
    def waiting_units(self) -> int:
        """Token units of transfers that wait for a batch."""
        return sum(each.amount for each in self.open_transfers if each.state == _FUNDED)

    @property
    def free_units(self) -> int | None:
        """What is left of the float when everything written is paid; None: it was never seen."""
        return None if self.contract is None else self.contract.float_units - self.committed_units


def alerts(facts: Facts) -> Sequence[Alert]:
    """Everything that needs a person, the worst first, and always in the same order."""
    known = {each.lane.address for each in facts.lanes}
    new = [_idle(key) for key, role in facts.roles if role == SETTLE and key not in known]
    of_lanes = [each for lane in facts.lanes for each in _of_lane(lane, facts)]
    found = [*_of_pauses(facts), *new, *of_lanes, *_of_contract(facts), *_of_transfers(facts)]
    if _waits(facts, Waiting.GAS_LOW) and not any(e.code is AlertCode.GAS_LOW for e in of_lanes):
        seen = "payments wait until a lane has more coin for gas"
        found.append(Alert(AlertCode.GAS_LOW, Severity.CRITICAL, None, seen, _FILL_GAS))
    return sorted(found, key=lambda each: each.severity is not Severity.CRITICAL)


def _of_pauses(facts: Facts) -> Iterator[Alert]:
    for pause in facts.pauses:
        note = f": {pause.note}" if pause.note else ""
        yield Alert(
            AlertCode.PAUSED,
            Severity.CRITICAL,
            None,
            f"{'hard ' if pause.hard else ''}pause {pause.reason} by {pause.paused_by}{note}",
            f"when its cause is gone: corridor settlement resume --reason {pause.reason}",
        )


def _of_lane(view: LaneView, facts: Facts) -> Iterator[Alert]:
    lane, rules = view.lane, facts.rules
    is_own = any(lane.address == each for each, _ in facts.roles)
    if lane.status is LaneStatus.AHEAD:
        yield Alert(
            AlertCode.ADOPTION_NEEDED,
            Severity.CRITICAL,
            lane.address,
            lane.status_reason or "the chain knows more of this key than the database",
            "see what was found: corridor settlement adopt",
        )
    elif lane.status is LaneStatus.STOPPED:
        yield Alert(
            AlertCode.LANE_STOPPED,
            Severity.CRITICAL,
            lane.address,
            lane.status_reason or "the lane stopped itself",
            "mend the cause, then: corridor settlement resume --reason operator",
        )
    elif is_own and view.role == SETTLE and not is_held(view, facts.at):
        yield _idle(lane.address)
    yield from _of_line(view, facts)
    if not is_own:
        return
    least_wei = rules.gas_wei_min(view.role, facts.gas_price_wei) or 1
    if view.balance_wei is not None and view.balance_wei < least_wei:
        is_waiting = view.role == SETTLE and _waits(facts, Waiting.GAS_LOW)
        yield Alert(
            AlertCode.GAS_LOW,
            Severity.CRITICAL if is_waiting else Severity.WARNING,
            lane.address,
            f"{view.balance_wei} wei are left; less than {least_wei} is low",
            _FILL_TREASURY if view.role == KeyRole.TREASURY else _FILL_GAS,
        )
    if view.role == SETTLE and view.cap_left == 0:
        yield _cap_reached(lane.address)


def is_held(view: LaneView, at: datetime) -> bool:
    """Whether a worker holds the lane."""
    return view.lane.lease_until is not None and view.lane.lease_until >= at


def _idle(key: Address) -> Alert:
    return Alert(
        AlertCode.LANE_IDLE,
        Severity.CRITICAL,
        key,
        "no worker holds this lane",
        "start a worker that has its key: corridor work",
    )


def _of_line(view: LaneView, facts: Facts) -> Iterator[Alert]:
    head = view.head
    if head is None or facts.at - head.written_at < timedelta(seconds=facts.rules.stuck_after_s):
        return
    said = ""
    if head.last_answer is not None:
        said = f"; providers say {head.last_answer}"
        said += f" ({head.last_message})" if head.last_message else ""
    age_s = int((facts.at - head.written_at).total_seconds())
    yield Alert(
        AlertCode.LINE_STUCK,
        Severity.CRITICAL,
        view.lane.address,
        f"nonce {head.nonce} is not in a block after {age_s} s and {head.attempts} attempts{said}",
        "look at its attempts: corridor settlement batch ID, with the ID that `lanes` shows",
    )


def _of_contract(facts: Facts) -> Iterator[Alert]:
    contract, address = facts.contract, facts.address
    if contract is not None and contract.token_paused:
        yield Alert(
            AlertCode.TOKEN_PAUSED,
            Severity.CRITICAL,
            address,
            "the token's issuer has paused it: nobody can be paid",
            "nothing is lost: payments wait and go on by themselves; tell the customers",
        )
    if contract is not None and contract.paused:
        yield Alert(
            AlertCode.CONTRACT_PAUSED,
            Severity.CRITICAL,
            address,
            "the settlement contract is paused",
            "after a hard pause: corridor settlement resume; else its pauser or admin unpauses it",
        )
    yield from _of_float(facts)
    if (contract is not None and contract.cap_left == 0) or _waits(facts, Waiting.CAP_REACHED):
        yield _cap_reached(address)


def _of_float(facts: Facts) -> Iterator[Alert]:
    free_units, mark = facts.free_units, facts.rules.float_low_units
    waits = _waits(facts, Waiting.FLOAT_SHORT)
    if waits or (free_units is not None and free_units < max(1, facts.waiting_units)):
        seen = "the contract's float is less than what waits to be paid"
    elif free_units is not None and free_units < mark:
        seen = f"{free_units} units of the contract's float are free; less than {mark} is low"
    else:
        return
    yield Alert(
        AlertCode.FLOAT_LOW,
        Severity.CRITICAL if waits else Severity.WARNING,
        facts.address,
        seen,
        "fill it: corridor settlement top-up AMOUNT",
    )


def _cap_reached(address: Address) -> Alert:
    return Alert(
        AlertCode.CAP_REACHED,
        Severity.WARNING,
        address,
        "the contract lets no more be paid for now",
        "it refills by itself over a day; the admin may raise the cap, which takes a day",
    )


def _of_transfers(facts: Facts) -> Iterator[Alert]:
    long_ago = facts.at - timedelta(seconds=facts.rules.unknown_after_s)
    old = [each for each in facts.open_transfers if each.state == _UNKNOWN]
    if any(each.since < long_ago for each in old):
        yield Alert(
            AlertCode.OUTCOME_UNKNOWN,
            Severity.WARNING,
            None,
            f"of {sum(each.count for each in old)} transfers no provider says that it has them",
            "see that the providers answer: corridor doctor; the same bytes go on being sent",
        )


def _waits(facts: Facts, code: Waiting) -> bool:
    return any(each.state == _FUNDED and each.code == code.value for each in facts.open_transfers)
