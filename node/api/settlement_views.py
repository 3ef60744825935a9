"""What operators are told of settlement: one look, lanes, pauses. See `views`.

Wei are decimal strings, because they pass 2^53. Amounts of the token have its digits. Batches and
spending are in `node.api.batch_views`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from typing_extensions import TypedDict

from node.api.batch_views import text_or_none, time_or_none
from node.api.views import MoneyView, time_text
from node.core.catalog import Catalog
from node.core.ids import Prefix, encode_id
from node.core.ports.chain import AddressCodec, ProviderHealth
from node.core.ports.settlement import Pause
from node.core.ports.settlement_views import (
    HeadOfLine,
    Holding,
    LaneSpending,
    LaneView,
    OpenRow,
)
from node.core.units import format_minor
from node.services.settlement.alerts import Alert
from node.services.settlement.overview import SettlementLook

_COIN_DIGITS: Final = 18


class HeadDocument(TypedDict):
    """The unmined batch with a lane's lowest nonce. Fees in wei per gas, of its newest attempt."""

    batch_id: str
    nonce: int
    purpose: str
    state: str
    age_s: int
    attempts: int
    max_fee_per_gas_wei: str | None
    max_priority_fee_per_gas_wei: str | None
    sends: int
    last_sent_at: str | None
    last_answer: str | None
    last_message: str | None


class LaneDocument(TypedDict):
    """A sending account: `next_nonce` is the first that is not taken.

    `role` is settle, treasury, pauser or rescuer; `retired` says that no setting names the key any
    more. `balance_wei` and `cap_left` are as last seen at
    `seen_at`; below `gas_wei_min` the coin is an alert.
    """

    chain_id: int
    address: str
    role: str
    retired: bool
    status: str
    status_reason: str | None
    balance_wei: str | None
    gas_wei_min: str | None
    cap_left: str | None
    seen_at: str | None
    next_nonce: int
    unmined: int
    oldest_unmined_nonce: int | None
    head_of_line: HeadDocument | None
    lease_owner: str | None
    lease_until: str | None


class SpentLaneDocument(LaneDocument):
    """A lane with what its final transactions came to since its beginning."""

    final_nonces: int
    gas_used: int
    fees_wei: str


class PauseDocument(TypedDict):
    """Why nothing new is signed."""

    reason: str
    hard: bool
    note: str | None
    paused_by: str
    paused_at: str


class LanesDocument(TypedDict):
    """Lanes, and the pauses in force."""

    data: list[SpentLaneDocument]
    pauses: list[PauseDocument]


class PausesDocument(TypedDict):
    """The pauses in force."""

    data: list[PauseDocument]


class ContractDocument(TypedDict):
    """The settlement contract as last seen at a block; all null before the first time.

    `balance` is the float, `committed` what written batches that are not in that block take of it,
    `free` what is left.
    """

    address: str
    block_number: int | None
    seen_at: str | None
    paused: bool | None
    token_paused: bool | None
    balance: MoneyView | None
    committed: MoneyView
    free: MoneyView | None
    cap_left: MoneyView | None


class OpenDocument(TypedDict):
    """Transfers in one open state; `waiting` says why they cannot go on, if something is wrong."""

    state: str
    waiting: str | None
    count: int
    amount: MoneyView
    since: str


class HoldingDocument(TypedDict):
    """What there is of a currency at the mirror's final block: `units` of the token, or wei."""

    currency: str
    amount: str
    units: str
    block_number: int


class AddressDocument(TypedDict):
    """An address of the node: contract, settle, treasury, pauser or rescuer."""

    address: str
    role: str
    holdings: list[HoldingDocument]


class AlertDocument(TypedDict):
    """What needs a person; `severity` is critical or warning."""

    code: str
    severity: str
    address: str | None
    seen: str
    next_action: str


class ProviderDocument(TypedDict):
    """A provider of the chain as the answering process sees it.

    `state` is closed (it is asked), open (it fails), half_open or quarantined (another chain).
    """

    name: str
    state: str
    failures: int
    head: int | None
    behind_blocks: int
    quarantined: str | None


class SettlementDocument(TypedDict):
    """All of settlement at one moment."""

    as_of: str
    chain_id: int
    alerts: list[AlertDocument]
    pauses: list[PauseDocument]
    contract: ContractDocument
    transfers: list[OpenDocument]
    lanes: list[LaneDocument]
    addresses: list[AddressDocument]
    providers: list[ProviderDocument]
    gas_price_wei: str | None


def settlement_document(
    look: SettlementLook,
    providers: Sequence[ProviderHealth],
    catalog: Catalog,
    addresses: AddressCodec,
) -> SettlementDocument:
    """One look at everything."""
    return {
        "as_of": time_text(look.at),
        "chain_id": look.watched.chain_id,
        "alerts": [_alert(each, addresses) for each in look.alerts],
        "pauses": [pause_document(each) for each in look.pauses],
        "contract": _contract(look, catalog, addresses),
        "transfers": [_open(each, catalog) for each in look.open_transfers],
        "lanes": [_lane(each, look, catalog, addresses) for each in look.lanes],
        "addresses": [
            {
                "address": addresses.text(address),
                "role": role,
                "holdings": [
                    _holding(each, look, catalog)
                    for each in look.holdings
                    if each.address == address
                ],
            }
            for address, role in look.watched.roles
        ],
        "providers": [_provider(each) for each in providers],
        "gas_price_wei": text_or_none(look.gas_price_wei),
    }


def lanes_document(
    look: SettlementLook,
    spent: Sequence[LaneSpending],
    catalog: Catalog,
    addresses: AddressCodec,
) -> LanesDocument:
    """Every lane with what it spent."""
    by_lane = {each.lane_id: each for each in spent}
    return {
        "data": [
            _spent_lane(_lane(each, look, catalog, addresses), by_lane.get(each.lane.id))
            for each in look.lanes
        ],
        "pauses": [pause_document(each) for each in look.pauses],
    }


def pause_document(pause: Pause) -> PauseDocument:
    """A pause."""
    return {
        "reason": pause.reason.value,
        "hard": pause.hard,
        "note": pause.note,
        "paused_by": pause.paused_by,
        "paused_at": time_text(pause.paused_at),
    }


def _lane(
    view: LaneView, look: SettlementLook, catalog: Catalog, addresses: AddressCodec
) -> LaneDocument:
    lane, digits = view.lane, catalog.token.asset.digits
    return {
        "chain_id": lane.chain_id,
        "address": addresses.text(lane.address),
        "role": view.role,
        "retired": not look.watched.has(view),
        "status": lane.status.value,
        "status_reason": lane.status_reason,
        "balance_wei": text_or_none(view.balance_wei),
        "gas_wei_min": text_or_none(look.gas_wei_min.get(lane.id)),
        "cap_left": None if view.cap_left is None else format_minor(view.cap_left, digits),
        "seen_at": time_or_none(view.seen_at),
        "next_nonce": lane.next_nonce,
        "unmined": view.unmined,
        "oldest_unmined_nonce": None if view.head is None else view.head.nonce,
        "head_of_line": None if view.head is None else _head(view.head, look.at),
        "lease_owner": lane.lease_owner,
        "lease_until": time_or_none(lane.lease_until),
    }


def _spent_lane(lane: LaneDocument, spent: LaneSpending | None) -> SpentLaneDocument:
    return {
        **lane,
        "final_nonces": 0 if spent is None else spent.transactions,
        "gas_used": 0 if spent is None else spent.gas_used,
        "fees_wei": "0" if spent is None else str(spent.fees_wei),
    }


def _head(head: HeadOfLine, now: datetime) -> HeadDocument:
    fees = head.fees
    return {
        "batch_id": encode_id(Prefix.BATCH, head.slot_id),
        "nonce": head.nonce,
        "purpose": head.purpose.value,
        "state": head.state.value,
        "age_s": int((now - head.written_at).total_seconds()),
        "attempts": head.attempts,
        "max_fee_per_gas_wei": None if fees is None else str(fees.max_fee_per_gas_wei),
        "max_priority_fee_per_gas_wei": (
            None if fees is None else str(fees.max_priority_fee_per_gas_wei)
        ),
        "sends": head.sends,
        "last_sent_at": time_or_none(head.last_sent_at),
        "last_answer": None if head.last_answer is None else head.last_answer.value,
        "last_message": head.last_message,
    }


def _contract(look: SettlementLook, catalog: Catalog, addresses: AddressCodec) -> ContractDocument:
    seen = look.contract
    committed = _money(look.committed_units, catalog)
    if seen is None:
        return {
            "address": addresses.text(look.watched.contract),
            "block_number": None,
            "seen_at": None,
            "paused": None,
            "token_paused": None,
            "balance": None,
            "committed": committed,
            "free": None,
            "cap_left": None,
        }
    return {
        "address": addresses.text(look.watched.contract),
        "block_number": seen.block_number,
        "seen_at": time_text(seen.seen_at),
        "paused": seen.paused,
        "token_paused": seen.token_paused,
        "balance": _money(seen.float_units, catalog),
        "committed": committed,
        "free": _money(max(0, seen.float_units - look.committed_units), catalog),
        "cap_left": None if seen.cap_left is None else _money(seen.cap_left, catalog),
    }


def _open(row: OpenRow, catalog: Catalog) -> OpenDocument:
    return {
        "state": row.state,
        "waiting": row.code,
        "count": row.count,
        "amount": _money(row.amount, catalog),
        "since": time_text(row.since),
    }


def _holding(holding: Holding, look: SettlementLook, catalog: Catalog) -> HoldingDocument:
    is_coin = holding.asset == look.watched.addresses.native
    digits = _COIN_DIGITS if is_coin else catalog.token.asset.digits
    return {
        "currency": holding.asset,
        "amount": format_minor(holding.amount, digits),
        "units": str(holding.amount),
        "block_number": holding.block_number,
    }


def _provider(health: ProviderHealth) -> ProviderDocument:
    return {
        "name": health.name,
        "state": health.state,
        "failures": health.failures,
        "head": health.head,
        "behind_blocks": health.behind_blocks,
        "quarantined": health.quarantined,
    }


def _alert(alert: Alert, addresses: AddressCodec) -> AlertDocument:
    return {
        "code": alert.code.value,
        "severity": alert.severity.value,
        "address": None if alert.address is None else addresses.text(alert.address),
        "seen": alert.seen,
        "next_action": alert.next_action,
    }


def _money(units: int, catalog: Catalog) -> MoneyView:
    asset = catalog.token.asset
    return {"currency": asset.code, "amount": format_minor(units, asset.digits)}
