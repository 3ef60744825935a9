"""Reads of one `TransferSettlement` and its token for the gate: see `SettlementContract`.

Every read is of one block by hash. Not here: events (`adapters.evm.decode`).
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from eth_utils.crypto import keccak

from adapters.evm.artifacts import load
from adapters.evm.client import EvmChain
from node.core.errors import ChainUnavailable
from node.core.ports.chain import CallReverted
from node.core.ports.settlement import ContractFacts
from node.core.settlement import numbers_argument, token_transfer_calldata
from node.core.units import Address, BlockHash

PAUSED: Final = keccak(text="paused()")[:4]
USED_MANY: Final = keccak(text="usedMany(uint64[])")[:4]
BALANCE_OF: Final = keccak(text="balanceOf(address)")[:4]
_NO_CODE: Final = keccak(b"")
_WORD: Final = 32
_TRUE: Final = (1).to_bytes(_WORD, "big")
_NUMBERS_PER_CALL: Final = 2048  # 2,100 gas a cold word (EIP-2929): far below any node's cap


class EvmSettlementContract:
    """See `node.core.ports.settlement.SettlementContract`."""

    def __init__(self, chain: EvmChain, address: Address, token: Address) -> None:
        self._chain = chain
        self._address = address
        self._token = token
        self._expected = load("TransferSettlement").deployed_code_hash(
            {"TOKEN": int.from_bytes(token, "big")}
        )
        self._token_code: bytes | None = None

    @property
    def address(self) -> Address:
        """Where it is."""
        return self._address

    @property
    def token(self) -> Address:
        """What it pays."""
        return self._token

    async def facts(self, block: BlockHash, numbers: Sequence[int]) -> ContractFacts:
        """Pause, float and used numbers, all at one block."""
        paused, float_units, *used = await asyncio.gather(
            self._read(self._address, PAUSED, block),
            self._read(self._token, BALANCE_OF + bytes(12) + self._address, block),
            *(
                self._used(numbers[at : at + _NUMBERS_PER_CALL], block)
                for at in range(0, len(numbers), _NUMBERS_PER_CALL)
            ),
        )
        return ContractFacts(
            paused=any(paused),
            float_units=int.from_bytes(float_units, "big"),
            used=[flag != 0 for flags in used for flag in flags],
        )

    async def simulate(
        self, block: BlockHash, lane: Address, calldata: bytes, gas_limit: int
    ) -> bytes:
        """Outcome per record of `settle`: 0 settled, 1 failed, 2 skipped."""
        answer = await self._chain.call(
            self._address, calldata, block, sender=lane, gas_limit=gas_limit
        )
        return _bytes_result(answer)

    async def refusal(self, block: BlockHash, beneficiary: Address, amount: int) -> bytes | None:
        """What the token answers to this payment alone; None: it would pay."""
        try:
            answer = await self._chain.call(
                self._token,
                token_transfer_calldata(beneficiary, amount),
                block,
                sender=self._address,
            )
        except CallReverted as reverted:
            return reverted.data
        return None if answer in (b"", _TRUE) else answer

    async def fault(self, block: BlockHash) -> str | None:
        """What is wrong with the code of contract or token; None: it is the known code."""
        code, token_code = await asyncio.gather(
            self._chain.code_hash(self._address, block), self._chain.code_hash(self._token, block)
        )
        if code != self._expected:
            return "the code at the settlement contract's address is not the one of this release"
        if token_code == _NO_CODE:
            return "there is no code at the token's address"
        if self._token_code is None:
            self._token_code = token_code
        if token_code != self._token_code:
            return "the token's code has changed since this process started"
        return None

    async def _read(self, to: Address, data: bytes, block: BlockHash) -> bytes:
        try:
            answer = await self._chain.call(to, data, block)
        except CallReverted as error:
            raise ChainUnavailable(f"0x{to.hex()} refuses a read: {error}") from error
        if not answer:
            raise ChainUnavailable(f"there is no contract at 0x{to.hex()} in that block")
        return answer

    async def _used(self, numbers: Sequence[int], block: BlockHash) -> bytes:
        flags = _bytes_result(
            await self._read(self._address, USED_MANY + numbers_argument(numbers), block)
        )
        if len(flags) != len(numbers):
            raise ChainUnavailable("the contract tells of other numbers than it was asked")
        return flags


def _bytes_result(answer: bytes) -> bytes:
    """The one `bytes` value a function returned (Solidity ABI)."""
    length = int.from_bytes(answer[_WORD : 2 * _WORD], "big")
    return answer[2 * _WORD : 2 * _WORD + length]
