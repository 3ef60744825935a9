"""The bloom filter is the one that blocks have."""

from collections.abc import Callable

from adapters.evm.bloom import all_in, any_in, bits_of, bloom_of
from tests.onchain import OnChain
from tests.rig import AnvilServer


def test_the_filter_of_all_logs_of_a_block_is_the_block_s(
    start_anvil: Callable[..., AnvilServer],
) -> None:
    anvil = start_anvil()
    OnChain.deploy(anvil)
    blooms: list[int] = []
    for number in range(int(anvil.rpc("eth_blockNumber"), 16) + 1):
        block = anvil.rpc("eth_getBlockByNumber", hex(number), False)
        receipts = anvil.rpc("eth_getBlockReceipts", block["hash"]) or []
        logs = [log for receipt in receipts for log in receipt["logs"]]
        assert bloom_of(logs) == int(block["logsBloom"], 16)
        blooms.append(bloom_of(logs))
    assert 0 in blooms
    assert any(blooms)


def test_a_filter_has_what_was_put_into_it() -> None:
    here, there = "0x" + "11" * 20, "0x" + "22" * 32
    bloom = bloom_of([{"address": here, "topics": [there]}])
    assert bloom.bit_count() in range(4, 7)
    assert all_in(bits_of(here), bloom)
    assert any_in([bits_of("0x33"), bits_of(there)], bloom)
    assert not any_in([bits_of("0x33")], bloom)
