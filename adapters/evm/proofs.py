"""What stands next to a Transfer in its receipt: the `Settled` of the contract that paid.

Contracts of partners are not followed: anybody may emit anything anywhere, and only what directly
follows a Transfer to an address of the node matters. So the receipt is asked for once, when the
block is about to be final, of all providers. What is read of logs is in `adapters.evm.decode`.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from adapters.evm.answers import address_of_log, receipt_of
from adapters.evm.asking import CALLS_PER_BATCH, Asking
from adapters.evm.client import UNREADABLE, hex_data
from adapters.evm.decode import (
    SETTLEMENT_TOPICS,
    TRANSFER_TOPIC,
    RawLog,
    Unreadable,
    settlement_log,
    token_log,
)
from adapters.evm.errors import Lacking
from adapters.evm.rpc import Call, Providers
from node.core.errors import ChainUnavailable
from node.core.mirror import SettlementKind
from node.core.payout_matching import LogName, PaymentLog
from node.core.units import Address

_Numbers = dict[LogName, int]


class SettledNextTo(Asking):
    """See `node.core.ports.payouts.PaymentProofs`."""

    def __init__(self, providers: Providers, token: Address) -> None:
        super().__init__(providers)
        self._token = hex_data(token)

    async def settlement_numbers(self, logs: Sequence[PaymentLog]) -> Mapping[LogName, int]:
        """Number of the `Settled` of the paying contract directly after each Transfer."""
        hashes = list(dict.fromkeys(each.log.tx_hash for each in logs))
        found: _Numbers = {}
        for start in range(0, len(hashes), CALLS_PER_BATCH):
            part = hashes[start : start + CALLS_PER_BATCH]
            asked = [each for each in logs if each.log.tx_hash in part]
            found |= await self._agreed(asked, [hex_data(each) for each in part])
        return found

    async def _agreed(self, logs: Sequence[PaymentLog], tx_hashes: Sequence[str]) -> _Numbers:
        """What all say that have these receipts as the mirror has their Transfers."""
        calls: list[Call] = [("eth_getTransactionReceipt", [each]) for each in tx_hashes]
        told = self._providers.abreast(await self._providers.batch_of_each(calls))
        readings: list[_Numbers] = []
        for answers in told.values():
            with suppress(Lacking, Unreadable, *UNREADABLE):
                receipts = dict(zip(tx_hashes, answers, strict=True))
                readings.append(self._read(logs, receipts))
        if not readings:
            raise ChainUnavailable("no provider has the receipts of payments to payouts")
        if any(each != readings[0] for each in readings):
            raise ChainUnavailable("providers differ about what follows payments to payouts")
        return readings[0]

    def _read(self, logs: Sequence[PaymentLog], receipts: Mapping[str, Any]) -> _Numbers:
        numbers: _Numbers = {}
        for each in logs:
            answer = receipts[hex_data(each.log.tx_hash)]
            if receipt_of(answer).block_hash != each.block_hash:
                raise Lacking("the receipt is of another block")
            by_index = {int(log["logIndex"], 16): address_of_log(log) for log in answer["logs"]}
            self._check(each, by_index.get(each.log.log_index))
            number = _settled(by_index.get(each.log.log_index + 1), each.log.from_address)
            if number is not None:
                numbers[each.name] = number
        return numbers

    def _check(self, payment: PaymentLog, log: RawLog | None) -> None:
        """Nothing, if the Transfer is in the receipt as the mirror has it.

        Raises:
            Lacking: It is not.
        """
        is_transfer = (
            log is not None
            and log["address"] == self._token
            and log["topics"][:1] == [TRANSFER_TOPIC]
        )
        if log is None or not is_transfer or token_log(log) != payment.log:
            raise Lacking("the receipt lacks the Transfer")


def _settled(log: RawLog | None, contract: Address) -> int | None:
    """The number, if the log is a `Settled` of the contract."""
    if log is None or log["address"] != hex_data(contract) or not log["topics"]:
        return None
    if log["topics"][0] not in SETTLEMENT_TOPICS:
        return None
    try:
        found = settlement_log(log)
    except Unreadable:
        return None
    return found.payment_number if found.kind is SettlementKind.SETTLED else None
