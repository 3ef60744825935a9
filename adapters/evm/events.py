"""Events that are no payments and touch the books all the same, and how they are read.

Two tables by first topic: what the token's issuer may do (Circle's FiatToken, Test USD,
OpenZeppelin and EIP-1967), and how the settlement contract is administered (SettlementControl).
Issuers differ in what they index, so arguments are taken from the topics first and then from the
data. Not here: payments and transfers (`decode`), which logs are asked for (`watched`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from eth_utils.crypto import keccak

from adapters.evm.decode import RawLog, Unreadable
from node.core.units import Address, TxHash
from node.core.watchlist import Notice, NoticeKind

_WORD: Final = 32
_ADDRESS_BYTES: Final = 20


@dataclass(frozen=True, slots=True)
class Event:
    """One event: how it is read, and what its notice is about.

    Attributes:
        arguments: Name and Solidity type of each, in order; addresses and unsigned integers only.
        subject: The argument that says whom it is about; empty: nobody.
        amount: The argument that is token units; empty: none.
        own: The argument that must be an address of the node, else the event is nobody's
            business; empty: it always is.
    """

    name: str
    kind: NoticeKind
    arguments: Sequence[tuple[str, str]]
    subject: str = ""
    amount: str = ""
    own: str = ""

    @property
    def topic(self) -> str:
        """Its first topic."""
        types = ",".join(each for _, each in self.arguments)
        return "0x" + keccak(text=f"{self.name}({types})").hex()


def _event(
    declaration: str, kind: NoticeKind, subject: str = "", amount: str = "", own: str = ""
) -> Event:
    """An event from its declaration in Solidity, without `indexed`."""
    name, _, inside = declaration.rstrip(")").partition("(")
    split = [each.split() for each in inside.split(",") if each]
    return Event(name, kind, [(name, type_) for type_, name in split], subject, amount, own)


def _table(*events: Event) -> Mapping[str, Event]:
    return {each.topic: each for each in events}


_CHANGED: Final = NoticeKind.ISSUER_CHANGED
ISSUER_EVENTS: Final = _table(
    _event("Pause()", NoticeKind.ISSUER_PAUSED),
    _event("Unpause()", NoticeKind.ISSUER_UNPAUSED),
    _event("Paused(address by)", NoticeKind.ISSUER_PAUSED),
    _event("Unpaused(address by)", NoticeKind.ISSUER_UNPAUSED),
    _event("Denied(address account)", NoticeKind.DENIED, "account", own="account"),
    _event("Undenied(address account)", NoticeKind.UNDENIED, "account", own="account"),
    _event("Blacklisted(address account)", NoticeKind.DENIED, "account", own="account"),
    _event("UnBlacklisted(address account)", NoticeKind.UNDENIED, "account", own="account"),
    _event(
        "Approval(address owner,address spender,uint256 value)",
        NoticeKind.APPROVED,
        "spender",
        "value",
        own="owner",
    ),
    _event("Upgraded(address implementation)", NoticeKind.ISSUER_UPGRADED, "implementation"),
    _event("BeaconUpgraded(address beacon)", NoticeKind.ISSUER_UPGRADED, "beacon"),
    _event("AdminChanged(address previous,address admin)", _CHANGED, "admin"),
    _event("OwnershipTransferStarted(address previous,address owner)", _CHANGED, "owner"),
    _event("OwnershipTransferred(address previous,address owner)", _CHANGED, "owner"),
    _event("PauserChanged(address pauser)", _CHANGED, "pauser"),
    _event("PauserChanged(address previous,address pauser)", _CHANGED, "pauser"),
    _event("DenylisterChanged(address previous,address denylister)", _CHANGED, "denylister"),
    _event("BlacklisterChanged(address blacklister)", _CHANGED, "blacklister"),
    _event("RescuerChanged(address rescuer)", _CHANGED, "rescuer"),
    _event("MasterMinterChanged(address minter)", _CHANGED, "minter"),
    _event("MinterConfigured(address minter,uint256 allowance)", _CHANGED, "minter", "allowance"),
    _event("MinterRemoved(address minter)", _CHANGED, "minter"),
)
"""First topic -> event of the token's issuer."""

_CONTROL: Final = NoticeKind.CONTRACT_CHANGED
_PROPOSED: Final = "(uint8 right,address account,uint64 cap"
CONTROL_EVENTS: Final = _table(
    _event("Paused(address by)", NoticeKind.CONTRACT_PAUSED, "by"),
    _event("Unpaused(address by)", NoticeKind.CONTRACT_UNPAUSED, "by"),
    _event("OperatorCapChanged(address operator,uint64 cap)", _CONTROL, "operator", "cap"),
    _event("OperatorRemoved(address operator)", _CONTROL, "operator"),
    _event("ContractCapChanged(uint64 cap)", _CONTROL, amount="cap"),
    _event("PauserChanged(address previous,address pauser)", _CONTROL, "pauser"),
    _event("RescuerChanged(address previous,address rescuer)", _CONTROL, "rescuer"),
    _event("AdminProposed(address admin,address proposed,uint40 ready_at)", _CONTROL, "proposed"),
    _event("AdminChanged(address previous,address admin)", _CONTROL, "admin"),
    _event(f"Proposed{_PROPOSED},uint40 ready_at)", _CONTROL, "account", "cap"),
    _event(f"ProposalApplied{_PROPOSED})", _CONTROL, "account", "cap"),
    _event(f"ProposalCancelled{_PROPOSED})", _CONTROL, "account", "cap"),
    _event("Rescued(address token,address to,uint256 amount)", NoticeKind.RESCUED, "to", "amount"),
)
"""First topic -> event of the settlement contract that is about no payment number."""


def notice(log: RawLog, event: Event) -> tuple[Notice, Address | None]:
    """The notice in a log with the event's first topic, and the address that must be the node's.

    Raises:
        Unreadable: The log is not the event it seems to be.
    """
    words = [bytes.fromhex(each[2:]) for each in log["topics"][1:]]
    data = bytes.fromhex(log["data"][2:])
    words += [data[start : start + _WORD] for start in range(0, len(data), _WORD)]
    if len(words) != len(event.arguments) or len(data) % _WORD:
        raise Unreadable(
            f"{event.name} has {len(event.arguments)} arguments, the log"
            f" {len(log['topics'])} topics and {len(data)} bytes"
        )
    values = {
        name: _value(event.name, type_, word)
        for (name, type_), word in zip(event.arguments, words, strict=True)
    }
    found = Notice(
        log_index=int(log["logIndex"], 16),
        tx_hash=TxHash(bytes.fromhex(log["transactionHash"][2:])),
        contract=Address(bytes.fromhex(log["address"][2:])),
        kind=event.kind,
        subject=_address(values, event.subject),
        amount=_number(values, event.amount),
        detail={"event": event.name, **{name: _text(each) for name, each in values.items()}},
    )
    return found, _address(values, event.own)


def _value(event: str, type_: str, word: bytes) -> Address | int:
    number = int.from_bytes(word)
    if type_ == "address":
        if any(word[: _WORD - _ADDRESS_BYTES]):
            raise Unreadable(f"{event} has no address where one belongs")
        return Address(word[_WORD - _ADDRESS_BYTES :])
    if number.bit_length() > int(type_.removeprefix("uint")):
        raise Unreadable(f"{event} has a number that is too large for {type_}")
    return number


def _address(values: Mapping[str, Address | int], name: str) -> Address | None:
    value = values.get(name)
    return None if isinstance(value, int) else value


def _number(values: Mapping[str, Address | int], name: str) -> int | None:
    value = values.get(name)
    return value if isinstance(value, int) else None


def _text(value: Address | int) -> str:
    return str(value) if isinstance(value, int) else f"0x{value.hex()}"
