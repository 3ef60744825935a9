"""What the mirror follows: the filters providers are asked with, and which log is what.

The same rule sorts the logs of a filtered list and all logs of a block's receipts, so that both
give equal facts. Reading one log is in `adapters.evm.decode` and `events`; asking is in `reader`.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Final

from adapters.evm.bloom import all_in, any_in, bits_of
from adapters.evm.decode import (
    APPROVAL_TOPIC,
    SETTLEMENT_TOPICS,
    TRANSFER_TOPIC,
    RawLog,
    Unreadable,
    address_topic,
    settlement_log,
    stray_log,
    token_log,
    undecoded_log,
)
from adapters.evm.errors import Implausible
from adapters.evm.events import CONTROL_EVENTS, ISSUER_EVENTS, notice
from node.core.mirror import (
    BlockHeader,
    BlockPoint,
    Facts,
    SettlementLog,
    TokenLog,
    Watch,
    pair_payouts,
)
from node.core.units import Address
from node.core.watchlist import Notice, StrayLog, UndecodedLog

ALSO_BY_TOPIC_MAX: Final = 500
"""Of more further addresses than this, every Transfer of the token is read and looked through."""

_TOPICS_PER_FILTER: Final = 1000  # geth refuses more at one position
_WORD_TEXT: Final = 66
_ADDRESS_TEXT: Final = 42
_INDEX_MAX: Final = 2**31 - 1  # what the store holds

_Found = TokenLog | SettlementLog | Notice | StrayLog | UndecodedLog


class Watched:
    """What the mirror follows while the node has these addresses.

    Attributes:
        also: Addresses of the node besides those of the watch.
        filters: What `eth_getLogs` is asked, without the blocks; a log may match several.
    """

    def __init__(self, watch: Watch, also: frozenset[Address]) -> None:
        self.also = also
        self._watch = watch
        self._token, self._contract = f"0x{watch.token.hex()}", f"0x{watch.contract.hex()}"
        self._issuer = {t: each for t, each in ISSUER_EVENTS.items() if t != APPROVAL_TOPIC}
        self._set(frozenset(map(address_topic, watch.addresses | also)))

    def with_more(self, new: frozenset[Address], also: frozenset[Address]) -> "Watched":
        """The same with more further addresses; only those that are new are worked on.

        What there was stays as it is: somebody may be reading with it.

        Args:
            new: What comes to those there are.
            also: All of them.
        """
        found = copy(self)
        found.also = also
        found._set(self._own | frozenset(map(address_topic, new)))  # noqa: SLF001 - of this class
        return found

    def _set(self, own: frozenset[str]) -> None:
        self._own = own
        is_small = len(self.also) <= ALSO_BY_TOPIC_MAX
        always = frozenset(map(address_topic, self._watch.addresses))
        self._own_of_strays = own if is_small else always
        self.filters = self._filters(is_small=is_small)
        self._own_bits = [bits_of(each) for each in sorted(self._own_of_strays)]
        self._is_small = is_small

    def _filters(self, *, is_small: bool) -> Sequence[Mapping[str, object]]:
        """Transfers and approvals of any token at once: the node's own, and strays."""
        topics = [*SETTLEMENT_TOPICS, *CONTROL_EVENTS, *self._issuer]
        if not is_small:
            topics += [TRANSFER_TOPIC, APPROVAL_TOPIC]
        filters: list[Mapping[str, object]] = [
            {"address": [self._token, self._contract], "topics": [sorted(set(topics))]}
        ]
        moves = [TRANSFER_TOPIC, APPROVAL_TOPIC] if is_small else [TRANSFER_TOPIC]
        own = sorted(self._own_of_strays)
        for start in range(0, len(own), _TOPICS_PER_FILTER):
            part = own[start : start + _TOPICS_PER_FILTER]
            filters.append({"topics": [moves, part]})
            filters.append({"topics": [[TRANSFER_TOPIC], None, part]})
        return filters

    def may_be_in(self, header: BlockHeader) -> bool:
        """Whether a block may have what the mirror follows, by what its header says.

        Of many further addresses some would seem to be in any filter that is half full: with them
        it is enough that the token moved.
        """
        bloom = int.from_bytes(header.logs_bloom)
        moves = (TRANSFER_TOPIC, APPROVAL_TOPIC)
        is_moved = any(_has(bloom, self._token, each) for each in moves)
        return self.is_spoken_of(header) or (is_moved and not self._is_small)

    def is_spoken_of(self, header: BlockHeader) -> bool:
        """The same, but of many further addresses none is looked for.

        False positives are normal; they cost one more read. A bloom filter of zeros over
        transactions may be one of a chain that has none, and says nothing.
        """
        bloom = int.from_bytes(header.logs_bloom)
        if bloom == 0:
            return bool(header.tx_hashes)
        has = partial(_has, bloom)
        if (has(TRANSFER_TOPIC) or has(APPROVAL_TOPIC)) and any_in(self._own_bits, bloom):
            return True
        if has(self._token) and any(map(has, self._issuer)):
            return True
        events = (*SETTLEMENT_TOPICS, *CONTROL_EVENTS)
        return has(self._contract) and any(map(has, events))

    def concerns(self, log: RawLog) -> bool:
        """Whether a log is one that becomes a fact. The hot path: most logs end here."""
        topics = log["topics"]
        if len(topics) == 0:
            return False
        topic = topics[0]
        if topic in (TRANSFER_TOPIC, APPROVAL_TOPIC):
            address = log["address"]
            own = self._own if address == self._token else self._own_of_strays
            if len(topics) > 1 and topics[1] in own:
                return bool(topic == TRANSFER_TOPIC or address == self._token)
            return bool(topic == TRANSFER_TOPIC and len(topics) > 2 and topics[2] in own)  # noqa: PLR2004 - the receiver's place
        if log["address"] == self._contract:
            return topic in CONTROL_EVENTS or topic in SETTLEMENT_TOPICS
        return bool(log["address"] == self._token and topic in self._issuer)

    def facts(self, block: BlockPoint, logs: Iterable[RawLog]) -> Facts:
        """Facts of one block out of logs that concern the node; one that came twice counts once.

        Raises:
            Implausible: A log is of another block or of none, or two are at one place.
            LookupError, TypeError, ValueError: What came is no log.
        """
        hash_text, number_text = f"0x{block.hash.hex()}", hex(block.number)
        unique: dict[int, RawLog] = {}
        for log in logs:
            _check(log)
            index = int(log["logIndex"], 16)
            number = log["blockNumber"]
            if log["blockHash"] != hash_text or (
                number != number_text and int(number, 16) != block.number
            ):
                raise Implausible("a log of another block", block, index)
            if log.get("removed"):
                raise Implausible("a log that is marked as removed", block, index)
            if len(log["transactionHash"]) != _WORD_TEXT:
                raise Implausible("a log of no transaction", block, index)
            if not 0 <= index <= _INDEX_MAX:
                raise Implausible("a log at no place", block)
            same = unique.setdefault(index, log)
            if same is not log and same != log:
                raise Implausible("two logs at one place", block, index)
        return self._sorted(block, [unique[index] for index in sorted(unique)])

    def _sorted(self, block: BlockPoint, logs: Iterable[RawLog]) -> Facts:
        tokens: list[TokenLog] = []
        events: list[SettlementLog] = []
        notices: list[Notice] = []
        strays: list[StrayLog] = []
        undecoded: list[UndecodedLog] = []
        for log in logs:
            match self._read(log):
                case TokenLog() as found:
                    tokens.append(found)
                case SettlementLog() as found:
                    events.append(found)
                case Notice() as found:
                    notices.append(found)
                case StrayLog() as found:
                    strays.append(found)
                case UndecodedLog() as found:
                    undecoded.append(found)
                case None:
                    continue
        paired = pair_payouts(tokens, events, self._watch.contract)
        return Facts(block, tokens, paired, notices, strays, undecoded)

    def _read(self, log: RawLog) -> _Found | None:
        """What a log is; None: nobody's business."""
        topic, address = log["topics"][0], log["address"]
        if address not in (self._token, self._contract):
            try:
                return stray_log(log)
            except Unreadable:
                return None  # anybody can emit anything
        try:
            if topic == TRANSFER_TOPIC:
                return token_log(log) if address == self._token else stray_log(log)
            if address == self._contract and topic in SETTLEMENT_TOPICS:
                return settlement_log(log)
            table = ISSUER_EVENTS if address == self._token else CONTROL_EVENTS
            found, must_be_own = notice(log, table[topic])
        except Unreadable as fault:
            return undecoded_log(log, str(fault))
        is_own = must_be_own in self.also or must_be_own in self._watch.addresses
        return found if must_be_own is None or is_own else None


def _check(log: RawLog) -> None:
    """What no chain can have is no log that cannot be read, but an answer that cannot."""
    for each in log["topics"]:
        if len(each) != _WORD_TEXT:
            raise ValueError("a topic has 32 bytes")
    if len(log["address"]) != _ADDRESS_TEXT or not log["data"].startswith("0x"):
        raise ValueError("an address has 20 bytes, and data are data")


def _has(bloom: int, *items: str) -> bool:
    """Whether a bloom filter has all of these addresses and topics."""
    return all(all_in(bits_of(each), bloom) for each in items)
