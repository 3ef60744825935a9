"""What a node answers about quotes and payouts, read into values and checked on the way.

Nothing is taken on trust: an answer that does not fit is no answer (`Unreadable`), and whether it
is about what was ordered is for `node.core.payout_orders` to say.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from node.core.errors import NodeError
from node.core.payout_orders import Matched, PartnerPayout, PartnerRefund, PartnerState
from node.core.quotes import FixedSide, PartnerLeg, Price, Rate
from node.core.units import Address, Asset, Money, TxHash, parse_amount

Assets = Mapping[str, Asset]
"""Code -> asset, those that the node has."""

_STATES: Final[Mapping[str, PartnerState]] = {
    "awaiting_payment": PartnerState.AWAITING,
    "matched": PartnerState.WORKING,
    "ordered": PartnerState.WORKING,
    "refused": PartnerState.UNDELIVERABLE,
    "refunding": PartnerState.UNDELIVERABLE,
    "on_hold": PartnerState.STUCK,
    "paid_out": PartnerState.PAID_OUT,
    "refunded": PartnerState.REFUNDED,
    "expired": PartnerState.EXPIRED,
}
_STATUSES: Final[Mapping[str, PartnerState]] = {
    "pending_sender": PartnerState.AWAITING,
    "pending_receiver": PartnerState.WORKING,
    "pending_external": PartnerState.WORKING,
    "pending_customer_info_update": PartnerState.UNDELIVERABLE,
    "completed": PartnerState.PAID_OUT,
    "refunded": PartnerState.REFUNDED,
    "expired": PartnerState.EXPIRED,
    "error": PartnerState.STUCK,
}
"""SEP-31's words, for states that are newer than this node."""

_TEXT_MAX: Final = 256
_YEAR_MIN: Final = 2000
_YEAR_MAX: Final = 9000  # what is added to a time stays one
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})+")
_RATE: Final = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})?")
_NUMBER_MAX: Final = 2**64
_DELIVERY_S_MAX: Final = 30 * 86_400
_SPREAD_BPS_MAX: Final = 9_999


class Unreadable(ValueError):
    """An answer is not what it should be; says where."""


class Fields:
    """One JSON object of an answer.

    Args:
        value: What was decoded.
        place: Where it is, for the sentence of a fault.
    """

    def __init__(self, value: object, place: str = "the answer") -> None:
        if not isinstance(value, dict):
            raise Unreadable(f"{place} is no object")
        self._value: Mapping[str, Any] = value
        self._place = place

    def object(self, name: str) -> "Fields":
        """A member that is an object."""
        return Fields(self._value.get(name), f"{self._place}/{name}")

    def object_or_none(self, name: str) -> "Fields | None":
        """The same, where it may be null or missing."""
        return None if self._value.get(name) is None else self.object(name)

    def objects(self, name: str) -> list["Fields"]:
        """A member that is a list of objects."""
        value = self._value.get(name)
        if not isinstance(value, list):
            raise self._wrong(name)
        return [Fields(each, f"{self._place}/{name}") for each in value]

    def text(self, name: str) -> str:
        """A member that is a short text of one line; it may stand in a path and in the database."""
        value = self._value.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= _TEXT_MAX:
            raise self._wrong(name)
        if not value.isprintable():
            raise self._wrong(name)
        return value

    def whole(self, name: str, most: int) -> int:
        """A member that is a whole number from 0."""
        value = self._value.get(name)
        if type(value) is not int or not 0 <= value <= most:
            raise self._wrong(name)
        return value

    def flag(self, name: str) -> bool:
        """A member that is true or false."""
        value = self._value.get(name)
        if not isinstance(value, bool):
            raise self._wrong(name)
        return value

    def moment(self, name: str) -> datetime:
        """A member that is a time with its zone, RFC 3339."""
        try:
            moment = datetime.fromisoformat(self.text(name))
        except ValueError:
            raise self._wrong(name) from None
        if moment.tzinfo is None or not _YEAR_MIN <= moment.year <= _YEAR_MAX:
            raise self._wrong(name)
        return moment

    def octets(self, name: str, length: int) -> bytes:
        """A member that is so many bytes in hexadecimal after 0x."""
        text = self.text(name)
        if not _HEX.fullmatch(text) or len(text) != 2 + 2 * length:
            raise self._wrong(name)
        return bytes.fromhex(text[2:])

    def octets_or_none(self, name: str, length: int) -> bytes | None:
        """The same, where it may be null."""
        return None if self._value.get(name) is None else self.octets(name, length)

    def whole_or_none(self, name: str, most: int) -> int | None:
        """A whole number, where it may be null."""
        return None if self._value.get(name) is None else self.whole(name, most)

    def asset(self, name: str, assets: Assets) -> Asset:
        """A member that is the code of an asset the node has."""
        found = assets.get(self.text(name))
        if found is None:
            raise self._wrong(name)
        return found

    def money(self, assets: Assets) -> Money:
        """The object itself, as an amount: `{"currency", "amount"}`."""
        return self.amount("amount", self.asset("currency", assets))

    def amount(self, name: str, asset: Asset) -> Money:
        """A member that is an amount of a known asset."""
        try:
            return parse_amount(self.text(name), asset)
        except NodeError:
            raise self._wrong(name) from None

    def rate(self, name: str) -> Decimal:
        """A member that is a plain decimal above zero."""
        text = self.text(name)
        try:
            rate = Decimal(text) if _RATE.fullmatch(text) else Decimal(0)
        except InvalidOperation:
            raise self._wrong(name) from None
        if rate <= 0:
            raise self._wrong(name)
        return rate

    def _wrong(self, name: str) -> Unreadable:
        return Unreadable(f"{self._place}/{name} is not what it should be")


def leg_of(answer: object, assets: Assets, partner: str, partner_id: UUID) -> PartnerLeg:
    """A firm quote.

    Raises:
        Unreadable: It is none.
    """
    quote = Fields(answer)
    if not quote.flag("firm"):
        raise Unreadable("the quote is not firm")
    price = _price(quote, assets)
    return PartnerLeg(partner_id, partner, quote.text("id"), price, quote.moment("expires_at"))


def payout_of(answer: object, assets: Assets) -> PartnerPayout:
    """A payout as the partner states it.

    Raises:
        Unreadable: It is none.
    """
    payout = Fields(answer)
    deposit = payout.object("deposit")
    sell = payout.object("sell").money(assets)
    failure = payout.object_or_none("failure")
    return PartnerPayout(
        id=payout.text("id"),
        state=_state(payout),
        quote_id=payout.text("quote_id"),
        client_reference=payout.text("client_reference"),
        reference=payout.text("reference"),
        sell=sell,
        buy=payout.object("buy").money(assets),
        chain_id=deposit.whole("chain_id", _NUMBER_MAX),
        token=Address(deposit.octets("token", 20)),
        address=Address(deposit.octets("address", 20)),
        pay_by=deposit.moment("pay_by"),
        matched=_matched(payout.object_or_none("matched"), sell.asset),
        refund=_refund(payout.object_or_none("refund"), sell.asset),
        reason=None if failure is None else failure.text("code"),
    )


def _state(payout: Fields) -> PartnerState:
    known = _STATES.get(payout.text("state")) or _STATUSES.get(payout.text("status"))
    if known is None:
        raise Unreadable("the payout is in no known state")
    return known


def _matched(matched: Fields | None, token: Asset) -> Matched | None:
    if matched is None:
        return None
    return Matched(
        TxHash(matched.octets("tx_hash", 32)),
        matched.whole("settlement_number", _NUMBER_MAX),
        matched.amount("amount", token).minor,
    )


def _refund(refund: Fields | None, token: Asset) -> PartnerRefund | None:
    """What is on its way back; one that failed is not."""
    if refund is None or refund.text("status") == "failed":
        return None
    tx_hash = refund.octets_or_none("tx_hash", 32)
    return PartnerRefund(
        refund.text("id"),
        refund.amount("amount", token).minor,
        None if tx_hash is None else TxHash(tx_hash),
        refund.whole_or_none("payment_number", _NUMBER_MAX),
    )


def _price(quote: Fields, assets: Assets) -> Price:
    sell = quote.object("sell").money(assets)
    fees = {each.text("type"): each.money(assets) for each in quote.objects("fees")}
    if set(fees) != {"service", "network"} or any(fee.asset != sell.asset for fee in fees.values()):
        raise Unreadable("the quote's fees are not service and network, in what it sells")
    payout = quote.object("payout")
    price = Price(
        fixed_side=FixedSide.SELL if quote.text("fixed_side") == "sell" else FixedSide.BUY,
        sell=sell,
        buy=quote.object("buy").money(assets),
        service_fee=fees["service"],
        network_fee=fees["network"],
        mid_rate=quote.rate("mid_rate"),
        spread_bps=quote.whole("spread_bps", _SPREAD_BPS_MAX),
        sources=tuple(_source(each) for each in quote.objects("rate_sources")),
        payout_method=payout.text("method"),
        estimated_delivery_s=payout.whole("estimated_delivery_s", _DELIVERY_S_MAX),
    )
    if price.principal.minor <= 0 or price.buy.minor <= 0:
        raise Unreadable("the quote's fees leave nothing")
    return price


def _source(source: Fields) -> Rate:
    try:
        rate = Rate.stated(
            source.text("sell"),
            source.text("buy"),
            source.text("rate"),
            source.text("name"),
            source.moment("observed_at"),
        )
    except NodeError:
        raise Unreadable("the quote's sources state no rates") from None
    return replace(rate, stale=source.flag("stale"))
