"""Makes any address of a test chain emit any log, also one that its contract would never emit."""

from collections.abc import Sequence

from tests.onchain import ADMIN
from tests.rig import AnvilServer


def emit(
    anvil: AnvilServer, emitter: bytes, topics: Sequence[str], data: bytes = b"", *, times: int = 1
) -> None:
    """So many transactions, each with this log; the address has its own code again afterwards."""
    address = f"0x{emitter.hex()}"
    code = anvil.rpc("eth_getCode", address, "latest")
    anvil.rpc("anvil_setCode", address, "0x" + _emitting(len(topics)).hex())
    content = "0x" + "".join(each.removeprefix("0x") for each in topics) + data.hex()
    for _ in range(times):
        sent = {"from": ADMIN, "to": address, "data": content, "gas": hex(200_000)}
        receipt = anvil.mined(anvil.rpc("eth_sendTransaction", sent))
        assert len(receipt["logs"]) == 1
    anvil.rpc("anvil_setCode", address, code)


def _emitting(count: int) -> bytes:
    """Code that logs the first words of its calldata as topics and the rest as data."""
    skipped = 32 * count
    size = bytes([0x60, skipped, 0x36, 0x03])  # PUSH1 skipped, CALLDATASIZE, SUB
    copy = size + bytes([0x60, skipped, 0x60, 0, 0x37])  # to memory 0: CALLDATACOPY
    loads = b"".join(bytes([0x60, 32 * each, 0x35]) for each in reversed(range(count)))
    return copy + loads + size + bytes([0x60, 0, 0xA0 + count, 0x00])  # LOGn, STOP
