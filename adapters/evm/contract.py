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
from node.core.ports.settlement import ContractFacts, Refusal
from node.core.settlement import (
    NO_CODE_HASH,
    PAYMENT_CALL_GAS,
    numbers_argument,
    token_transfer_calldata,
)
from node.core.units import Address, BlockHash

PAUSED: Final = keccak(text="paused()")[:4]
USED_MANY: Final = keccak(text="usedMany(uint64[])")[:4]
BALANCE_OF: Final = keccak(text="balanceOf(address)")[:4]
CAP_LEFT: Final = keccak(text="capLeft(address)")[:4]
CAP_OF: Final = keccak(text="capOf(address)")[:4]

# Where proxies keep the address of the code they run.
IMPLEMENTATION_SLOTS: Final = (
    int.from_bytes(keccak(text="eip1967.proxy.implementation"), "big") - 1,  # ERC-1967
    int.from_bytes(keccak(text="eip1967.proxy.beacon"), "big") - 1,  # ERC-1967
    int.from_bytes(keccak(text="org.zeppelinos.proxy.implementation"), "big"),  # Circle FiatToken
)
_CALL_OVERHEAD_GAS: Final = 30_000
"""Above what a transaction with one token call pays before the call: 21,000 and its 68 bytes."""
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

    @property
    def address(self) -> Address:
        """Where it is."""
        return self._address

    @property
    def token(self) -> Address:
        """What it pays."""
        return self._token

    async def facts(
        self, block: BlockHash, numbers: Sequence[int], operator: Address | None = None
    ) -> ContractFacts:
        """Pauses, float, used numbers, and what an operator may pay, all at one block."""
        (paused, float_units, token_paused, left, caps), used = await asyncio.gather(
            asyncio.gather(
                self._read(self._address, PAUSED, block),
                self._read(self._token, BALANCE_OF + bytes(12) + self._address, block),
                self._token_paused(block),
                self._caps(CAP_LEFT, operator, block),
                self._caps(CAP_OF, operator, block),
            ),
            asyncio.gather(
                *(
                    self._used(numbers[at : at + _NUMBERS_PER_CALL], block)
                    for at in range(0, len(numbers), _NUMBERS_PER_CALL)
                )
            ),
        )
        return ContractFacts(
            paused=any(paused),
            float_units=int.from_bytes(float_units, "big"),
            used=[flag != 0 for flags in used for flag in flags],
            token_paused=token_paused,
            operator_left=left[0],
            contract_left=left[1],
            operator_cap=caps[0],
            contract_cap=caps[1],
        )

    async def simulate(
        self, block: BlockHash, lane: Address, calldata: bytes, gas_limit: int
    ) -> bytes:
        """Outcome per record of `settle`: 0 settled, 1 failed, 2 skipped."""
        answer = await self._chain.call(
            self._address, calldata, block, sender=lane, gas_limit=gas_limit
        )
        return _bytes_result(answer)

    async def refusal(self, block: BlockHash, beneficiary: Address, amount: int) -> Refusal | None:
        """What the token answers to this payment alone, with the gas the contract gives it."""
        calldata = token_transfer_calldata(beneficiary, amount)
        try:
            answer = await self._chain.call(
                self._token,
                calldata,
                block,
                sender=self._address,
                gas_limit=PAYMENT_CALL_GAS + _CALL_OVERHEAD_GAS,
            )
        except CallReverted as reverted:
            return Refusal(reverted.data, reverted.burnt_gas)
        return None if answer in (b"", _TRUE) else Refusal(answer)

    async def fault(self, block: BlockHash) -> str | None:
        """What is wrong with the code of contract or token; None: it is the known code."""
        code, token_code = await asyncio.gather(
            self._chain.code_hash(self._address, block), self._chain.code_hash(self._token, block)
        )
        if code != self._expected:
            return "the code at the settlement contract's address is not the one of this release"
        if token_code == NO_CODE_HASH:
            return "there is no code at the token's address"
        return None

    async def token_code(self, block: BlockHash) -> bytes:
        """A fingerprint of the code that the token runs, its implementation's if it is a proxy."""
        code, *slots = await asyncio.gather(
            self._chain.code_hash(self._token, block),
            *(self._chain.storage(self._token, slot, block) for slot in IMPLEMENTATION_SLOTS),
        )
        codes = await asyncio.gather(
            *(self._chain.code_hash(Address(slot[-20:]), block) for slot in slots if any(slot))
        )
        return keccak(b"".join([code, *slots, *codes]))

    async def _token_paused(self, block: BlockHash) -> bool:
        try:
            return await self._chain.call(self._token, PAUSED, block) == _TRUE
        except CallReverted:
            return False  # it has no such word

    async def _caps(
        self, view: bytes, operator: Address | None, block: BlockHash
    ) -> tuple[int | None, int | None]:
        """What a view tells of the operator's cap and of the contract's, token units."""
        if operator is None:
            return None, None
        answer = await self._read(self._address, view + bytes(12) + operator, block)
        return int.from_bytes(answer[:_WORD], "big"), int.from_bytes(answer[_WORD:], "big")

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
