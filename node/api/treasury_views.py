"""What operators are told of the treasury: movements and the rules that make them. See `views`."""

from typing_extensions import TypedDict

from node.api.views import FailureView, failure_view, time_text
from node.core.catalog import Catalog
from node.core.ids import Prefix, encode_id
from node.core.ports.chain import AddressCodec
from node.core.ports.movements import Movement
from node.core.units import format_minor
from node.services.settlement.treasury_operations import RuleLimits

# `from` is a word of Python, so this one is written as a call. `sender` is whose key signs;
# `waiting` says why a requested movement is not sent yet: paused, gas_low, earlier_first,
# slots_full or no_key.
MovementDocument = TypedDict(
    "MovementDocument",
    {
        "id": str,
        "kind": str,
        "sender": str,
        "from": str,
        "to": str,
        "currency": str,
        "amount": str,
        "state": str,
        "waiting": str | None,
        "batch_id": str | None,
        "rule_id": str | None,
        "made_by": str,
        "failure": FailureView | None,
        "created_at": str,
    },
)


class RuleDocument(TypedDict):
    """A rule that tops up below `mark`; `limit_left` is what it may still move now.

    `to` is null where it fills every lane that settles. `status` is in_force or ended.
    """

    id: str
    kind: str
    to: str | None
    currency: str
    mark: str
    fill_to: str
    daily_limit: str
    limit_left: str
    status: str
    made_by: str
    created_at: str
    ended_by: str | None
    ended_at: str | None


def movement_document(
    movement: Movement, catalog: Catalog, addresses: AddressCodec
) -> MovementDocument:
    """A treasury movement."""
    rule_id = movement.rule_id
    return {
        "id": encode_id(Prefix.MOVEMENT, movement.id),
        "kind": movement.kind,
        "sender": addresses.text(movement.sender),
        "from": addresses.text(movement.from_address),
        "to": addresses.text(movement.to_address),
        "currency": movement.asset,
        "amount": format_minor(movement.amount, catalog.ledger_asset(movement.asset).digits),
        "state": movement.state,
        "waiting": movement.waiting,
        "batch_id": None if movement.slot_id is None else encode_id(Prefix.BATCH, movement.slot_id),
        "rule_id": None if rule_id is None else encode_id(Prefix.RULE, rule_id),
        "made_by": movement.made_by,
        "failure": failure_view(movement.failure),
        "created_at": time_text(movement.created_at),
    }


def rule_document(limits: RuleLimits, catalog: Catalog, addresses: AddressCodec) -> RuleDocument:
    """A treasury rule."""
    rule = limits.rule
    digits = catalog.ledger_asset(rule.asset).digits
    return {
        "id": encode_id(Prefix.RULE, rule.id),
        "kind": rule.kind,
        "to": None if rule.to_address is None else addresses.text(rule.to_address),
        "currency": rule.asset,
        "mark": format_minor(rule.mark, digits),
        "fill_to": format_minor(rule.fill_to, digits),
        "daily_limit": format_minor(rule.daily_limit, digits),
        "limit_left": format_minor(limits.limit_left, digits),
        "status": "in_force" if rule.ended_at is None else "ended",
        "made_by": rule.made_by,
        "created_at": time_text(rule.created_at),
        "ended_by": rule.ended_by,
        "ended_at": None if rule.ended_at is None else time_text(rule.ended_at),
    }
