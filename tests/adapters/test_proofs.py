"""What stands next to a Transfer: read of receipts, and believed only where all providers agree."""

from collections.abc import Callable
from typing import Any

import pytest

from adapters.evm.decode import TRANSFER_TOPIC
from adapters.evm.proofs import SettledNextTo
from node.core.errors import ChainUnavailable
from node.core.mirror import TokenLog
from node.core.payout_matching import PaymentLog
from node.core.settlement import PaymentRecord, encode_records
from node.core.units import Address, BlockHash, TxHash
from tests.adapters.lying_rpc import CLOSE
from tests.adapters.reading import Site

FIRST, SECOND = Address(b"\x21" * 20), Address(b"\x22" * 20)


def paid(site: Site) -> list[PaymentLog]:
    """Two payments of one batch of the contract, with the numbers 17 and 2^64 - 1."""
    records = [PaymentRecord(17, FIRST, 5), PaymentRecord(2**64 - 1, SECOND, 6)]
    site.anvil.rpc("evm_setAutomine", True)
    site.onchain.send(site.onchain.contract, "settle(bytes)", encode_records(records))
    block = site.anvil.rpc("eth_getBlockByNumber", "latest", False)
    logs = site.anvil.rpc("eth_getLogs", {"blockHash": block["hash"]})
    return [
        PaymentLog(
            BlockHash(bytes.fromhex(block["hash"][2:])),
            TokenLog(
                int(each["logIndex"], 16),
                TxHash(bytes.fromhex(each["transactionHash"][2:])),
                site.onchain.contract,
                Address(bytes.fromhex(each["topics"][2][26:])),
                int(each["data"], 16),
            ),
        )
        for each in logs
        if each["topics"][0] == TRANSFER_TOPIC
    ]


def proofs(site: Site) -> SettledNextTo:
    return SettledNextTo(site.providers, site.onchain.token)


async def test_each_payment_has_the_number_of_the_settled_right_after_it(site: Site) -> None:
    first, second = paid(site)
    found = await proofs(site).settlement_numbers([first, second])
    assert found == {first.name: 17, second.name: 2**64 - 1}
    assert await proofs(site).settlement_numbers([]) == {}


async def test_a_transfer_without_a_settled_has_no_number(site: Site) -> None:
    site.anvil.rpc("evm_setAutomine", True)
    site.onchain.send(site.onchain.token, "mint(address,uint256)", "0x" + FIRST.hex(), 5)
    receipt = site.anvil.rpc("eth_getBlockReceipts", "latest")[0]
    log = next(each for each in receipt["logs"] if each["topics"][0] == TRANSFER_TOPIC)
    payment = PaymentLog(
        BlockHash(bytes.fromhex(receipt["blockHash"][2:])),
        TokenLog(
            int(log["logIndex"], 16),
            TxHash(bytes.fromhex(receipt["transactionHash"][2:])),
            Address(bytes(20)),
            FIRST,
            5,
        ),
    )
    assert await proofs(site).settlement_numbers([payment]) == {}


def with_logs(change: Callable[[list[Any]], list[Any]]) -> Callable[[Any], Any]:
    return lambda told: {**told, "logs": change(told["logs"])}


def renumbered(logs: list[Any]) -> list[Any]:
    return [
        {**each, "topics": [each["topics"][0], "0x" + f"{18:064x}"]}
        if len(each["topics"]) == 2
        else each
        for each in logs
    ]


def of_another(logs: list[Any]) -> list[Any]:
    return [
        {**each, "address": "0x" + "66" * 20} if len(each["topics"]) == 2 else each for each in logs
    ]


@pytest.mark.parametrize("lie", [renumbered, of_another], ids=["renumbered", "of another"])
async def test_where_providers_differ_nothing_is_believed(
    site: Site, lie: Callable[[list[Any]], list[Any]]
) -> None:
    payments = paid(site)
    site.lie("eth_getTransactionReceipt", with_logs(lie))
    with pytest.raises(ChainUnavailable, match="differ"):
        await proofs(site).settlement_numbers(payments)


UNUSABLE = {
    "none": lambda _: None,
    "another block": lambda told: {**told, "blockHash": "0x" + "99" * 32},
    "no logs": with_logs(lambda _: []),
    "another amount": with_logs(lambda logs: [{**each, "data": "0x"} for each in logs]),
    "no list": with_logs(lambda _: [None]),
}


@pytest.mark.parametrize("lie", UNUSABLE.values(), ids=UNUSABLE)
async def test_who_has_not_the_transfer_says_nothing_and_the_other_counts(
    site: Site, lie: Callable[[Any], Any]
) -> None:
    payments = paid(site)
    site.lie("eth_getTransactionReceipt", lie)
    assert len(await proofs(site).settlement_numbers(payments)) == 2


async def test_where_nobody_answers_the_step_waits(site: Site) -> None:
    payments = paid(site)
    for each in (site.first, site.second):
        each.lie = lambda method, _: CLOSE if method == "eth_getTransactionReceipt" else None
    with pytest.raises(ChainUnavailable):
        await proofs(site).settlement_numbers(payments)
