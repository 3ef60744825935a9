"""What the treasury's jobs read of the chain: token balances, the contract's own pause, sweeps."""

from collections.abc import Sequence

from node.core.errors import ChainUnavailable, InvariantBroken
from node.core.ports.chain import At, CallReverted, Chain
from node.core.sweeping import SweepOutcome, sweep_calldata, sweep_gas, sweep_outcomes
from node.core.treasury import PAUSED_CALL, balance_of_call
from node.core.units import Address


async def token_units(chain: Chain, token: Address, holder: Address, at: At = "latest") -> int:
    """Token units that an address holds.

    Raises:
        ChainUnavailable: No provider answers, or there is no such token.
    """
    return int.from_bytes(await _read(chain, token, balance_of_call(holder), at))


async def is_contract_paused(chain: Chain, contract: Address, at: At = "latest") -> bool:
    """Whether the settlement contract pays nothing.

    Raises:
        ChainUnavailable: No provider answers, or there is no such contract.
    """
    return any(await _read(chain, contract, PAUSED_CALL, at))


async def sweep_preview(
    chain: Chain, deposits: Address, token: Address, salts: Sequence[bytes], sender: Address
) -> Sequence[SweepOutcome]:
    """What a sweep of these addresses would do now, in their order; if it reverts, all fail.

    Raises:
        ChainUnavailable: No provider answers, or there is no such contract.
    """
    try:
        answer = await chain.call(
            deposits,
            sweep_calldata(token, salts),
            "latest",
            sender=sender,
            gas_limit=sweep_gas(len(salts)),
        )
    except CallReverted:
        return [SweepOutcome.FAILED] * len(salts)
    try:
        return sweep_outcomes(answer, len(salts))
    except InvariantBroken as error:
        raise ChainUnavailable(f"0x{deposits.hex()} does not tell of a sweep: {error}") from error


async def _read(chain: Chain, to: Address, data: bytes, at: At) -> bytes:
    try:
        answer = await chain.call(to, data, at)
    except CallReverted as error:
        raise ChainUnavailable(f"0x{to.hex()} refuses a read: {error}") from error
    if not answer:
        raise ChainUnavailable(f"there is no contract at 0x{to.hex()} in that state")
    return answer
