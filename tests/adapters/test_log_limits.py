"""Words of real clients and providers that a range was too long, and what they allow."""

import pytest

from adapters.evm.log_limits import blocks_allowed, is_too_long

REFUSALS = [
    # Words of geth, of reth (two), of forks of geth, of proxyd.
    ("exceed maximum block range: 5000", 5000),
    ("query exceeds max block range 100000", 100_000),
    ("query exceeds max results 20000, retry with the range 22382105-22382515", 411),
    ("block range is bigger than maxBlockRange", None),
    ("block range too large", None),
    ("backend response too large", None),
    # Words of Alchemy.
    (
        (
            "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block"
            " range and no limit on the response size, or you can request any block range with a"
            " cap of 10K logs in the response. Based on your parameters and the response size"
            " limit, this block range should work: [0x1180fca, 0x1180fd3]"
        ),
        10,
    ),
    (
        (
            "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block"
            " range. Based on your parameters, this block range should work:"
            " [0x1180fca, 0x1180fd3]. Upgrade to PAYG for expanded block range."
        ),
        10,
    ),
    ("You can make eth_getLogs requests with up to a 2K block range", 2000),
    ("Query timeout exceeded. Consider reducing your block range.", None),
    # Words of Infura, thirdweb and zkSync.
    ("query returned more than 10000 results", None),
    (
        "query returned more than 10000 results. Try with this block range [0x1323D60, 0x1323D6F].",
        16,
    ),
    ("range 1000000 exceeds limit of 10000", 10_000),
    # Words of QuickNode, Blast, 1RPC and BlockPI.
    ("eth_getLogs is limited to a 10,000 range", 10_000),
    ("eth_getLogs is limited to a 10,000 blocks range", 10_000),
    ("eth_getLogs is limited to 0 - 50 blocks range", 50),
    ("eth_getLogs is limited to 1024 block range. Please check the parameter requirements", 1024),
    # Words of Ankr, Chainstack, merkle, Tenderly, morph, Harmony and others.
    ("block range is too wide", None),
    ("Block range limit exceeded. See more details at https://docs.example/limits", None),
    ("Max range: 1000", 1000),
    ("range 9009594 is bigger than range limit 2000", 2000),
    (
        "block range is larger than max block range, block range = 5120, max block range = 5000",
        5000,
    ),
    ("requested too many blocks from 0 to 5000000, maximum is set to 1024", 1024),
    ("requested too many blocks; limit is 1000", 1000),
    ("range too large, max is 2000 blocks", 2000),
    ("exceeds the maximum block range of 50,000", 50_000),
    ("please limit your query to at most 1000 blocks", 1000),
    ("requested range too large", None),
    ("logs matched by query exceeds limit of 10000", 10_000),
    ("response is too big", None),
]


@pytest.mark.parametrize(("words", "allowed"), REFUSALS)
def test_a_refusal_of_a_long_range_is_known_with_what_it_allows(
    words: str, allowed: int | None
) -> None:
    assert is_too_long(words)
    assert blocks_allowed(words, 1_000_000) == allowed


@pytest.mark.parametrize(
    "words",
    [
        "block range extends beyond current head block",
        "block range extends beyond current head block: requested 0x2000, head 0x1000",
        "requested block range [4096, 8192] is beyond latest executed block 4000",
        "invalid block range params",
        "exceed max addresses or topics per search position",
        "limit exceeded",
        "please limit your query to 10 requests per second",
        "unknown block",
        "header not found",
        "the method eth_getLogs does not exist/is not available",
        "missing trie node 0xabc",
    ],
)
def test_other_refusals_are_no_reason_to_ask_for_less(words: str) -> None:
    assert not is_too_long(words)


@pytest.mark.parametrize("asked", [1, 10, 411])
def test_a_suggestion_that_is_not_shorter_helps_nobody(asked: int) -> None:
    """Reth suggested the range that it had just refused (paradigmxyz/reth#23810)."""
    words = "query exceeds max results 20000, retry with the range 22382105-22382515"
    assert blocks_allowed(words, asked) is None
