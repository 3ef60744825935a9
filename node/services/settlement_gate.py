"""The gate before any nonce: what a batch would do now, asked of the chain at one block.

It spends nothing and writes nothing; the writer acts on what it says.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from node.core.errors import ChainUnavailable
from node.core.ports.chain import BlockRef, CallReverted
from node.core.ports.settlement import Candidate, Lane
from node.core.settlement import (
    BATCHES_FAILED_MAX,
    WAITING_OF,
    Cause,
    Remedy,
    Waiting,
    cause_of,
    remedy_of,
    settle_calldata,
    settle_gas,
    within_float,
)
from node.services.settlement_parts import SettlementParts

_SETTLED, _FAILED, _SKIPPED = 0, 1, 2
_PROBES_AT_ONCE = 16

NUMBER_USED = "number_used"
BATCHES_FAILED = "batches_failed"


@dataclass(slots=True)
class Passage:
    """What the gate says about the candidates.

    Attributes:
        block: The block everything was read at.
        float_units: Tokens the contract holds there.
        batches: What may be written, oldest first.
        refused: Never payable, and nothing of them is written now: the beneficiary cannot receive.
        held: Candidates an operator must look at, by the code that says why.
        waiting: Candidates that must wait, and why.
        pause_note: Set when an operator must act before anything is written.
        nonce: How many transactions of the lane the chain has seen there.
    """

    block: BlockRef
    float_units: int = 0
    batches: list[list[Candidate]] = field(default_factory=list)
    refused: list[Candidate] = field(default_factory=list)
    held: dict[str, list[Candidate]] = field(default_factory=dict)
    waiting: dict[Waiting, list[Candidate]] = field(default_factory=dict)
    pause_note: str | None = None
    nonce: int = 0

    def wait(self, code: Waiting, candidates: Sequence[Candidate]) -> None:
        """Let these wait."""
        self.waiting.setdefault(code, []).extend(candidates)

    def hold(self, code: str, candidates: Sequence[Candidate]) -> None:
        """Leave these to an operator."""
        if candidates:
            self.held.setdefault(code, []).extend(candidates)


class Gate:
    """Examines candidates before anything is written."""

    def __init__(self, parts: SettlementParts) -> None:
        self._parts = parts

    async def examine(
        self, lane: Lane, batches: Sequence[Sequence[Candidate]], unmined: int
    ) -> Passage:
        """What may be written now.

        Args:
            lane: The lane that would send.
            batches: Candidates as they would be batched, oldest first.
            unmined: Slots of the lane that will still cost gas.

        Raises:
            ChainUnavailable: The chain cannot be asked, or is another chain.
        """
        parts = self._parts
        everybody = [each for batch in batches for each in batch]
        head = await self._head()
        passage = Passage(head)
        fault, nonce, can_pay_gas = await asyncio.gather(
            parts.contract.fault(head.hash),
            parts.chain.nonce(lane.address, head.hash),
            self._can_pay_gas(lane, head, batches, unmined),
        )
        passage.pause_note = fault
        passage.nonce = nonce
        if fault or nonce > lane.next_nonce:
            return passage
        facts = await parts.contract.facts(head.hash, [c.record.number for c in everybody])
        passage.float_units = facts.float_units
        if facts.paused:
            passage.wait(Waiting.PAUSED, everybody)
        elif not can_pay_gas:
            passage.wait(Waiting.GAS_LOW, everybody)
        else:
            used = {
                each.transfer_id
                for each, is_used in zip(everybody, facts.used, strict=True)
                if is_used
            }
            passage.hold(NUMBER_USED, [each for each in everybody if each.transfer_id in used])
            await self._simulate(passage, lane, batches, used)
        return passage

    async def used(self, candidates: Sequence[Candidate]) -> frozenset[UUID] | None:
        """Those whose number the contract has paid or voided, at the newest block.

        Returns:
            None: the code is not the known one, so that its answer proves nothing.

        Raises:
            ChainUnavailable: The chain cannot be asked, or is another chain.
        """
        contract = self._parts.contract
        head = await self._head()
        if await contract.fault(head.hash):
            return None
        facts = await contract.facts(head.hash, [each.record.number for each in candidates])
        return frozenset(
            each.transfer_id
            for each, is_used in zip(candidates, facts.used, strict=True)
            if is_used
        )

    async def _head(self) -> BlockRef:
        parts = self._parts
        chain_id, head = await asyncio.gather(parts.chain.chain_id(), parts.chain.head())
        if chain_id != parts.chain_id:
            raise ChainUnavailable(f"the provider is of chain {chain_id}, not {parts.chain_id}")
        return head

    async def _can_pay_gas(
        self, lane: Lane, head: BlockRef, batches: Sequence[Sequence[Candidate]], unmined: int
    ) -> bool:
        """Whether the lane's coin pays the gas limits of all, and as much for each unmined slot."""
        parts = self._parts
        balance_wei, fees = await asyncio.gather(
            parts.chain.native_balance(lane.address, head.hash), parts.market_fees()
        )
        largest = max(settle_gas(len(batch)) for batch in batches)
        gas = sum(settle_gas(len(batch)) for batch in batches) + unmined * largest
        return balance_wei >= gas * fees.max_fee_per_gas_wei

    async def _simulate(
        self,
        passage: Passage,
        lane: Lane,
        batches: Sequence[Sequence[Candidate]],
        used: set[UUID],
    ) -> None:
        """Let the contract say what each batch would do; only what the float pays is asked."""
        left = passage.float_units
        asked: list[list[Candidate]] = []
        for batch in batches:
            unused = [each for each in batch if each.transfer_id not in used]
            count = within_float([each.record.amount for each in unused], left)
            left -= sum(each.record.amount for each in unused[:count])
            if count:
                asked.append(unused[:count])
            if count < len(unused):
                left = 0  # the order is kept: nobody younger goes first
                passage.wait(Waiting.FLOAT_SHORT, unused[count:])
        outcomes = await asyncio.gather(*(self._outcomes(passage, lane, batch) for batch in asked))
        await self._judge(passage, lane, [pair for batch in outcomes for pair in batch])

    async def _outcomes(
        self, passage: Passage, lane: Lane, batch: list[Candidate]
    ) -> list[tuple[list[Candidate], bytes]]:
        """Outcomes of a batch, in halves where it needs more gas than one transaction may have."""
        calldata = settle_calldata([each.record for each in batch])
        try:
            outcomes = await self._parts.contract.simulate(
                passage.block.hash, lane.address, calldata, settle_gas(len(batch))
            )
        except CallReverted as reverted:
            cause = cause_of(reverted.data)
            if cause in (Cause.OUT_OF_GAS, Cause.UNKNOWN) and len(batch) > 1:
                half = len(batch) // 2
                return await self._outcomes(passage, lane, batch[:half]) + await self._outcomes(
                    passage, lane, batch[half:]
                )
            self._whole_reverts(passage, batch, cause, reverted)
            return []
        if len(outcomes) != len(batch):
            raise ChainUnavailable("the contract tells of other records than it was asked")
        return [(batch, outcomes)]

    @staticmethod
    def _whole_reverts(
        passage: Passage, batch: list[Candidate], cause: Cause, reverted: CallReverted
    ) -> None:
        waiting = WAITING_OF.get(cause)
        if waiting is not None:
            passage.wait(waiting, batch)
        else:
            passage.pause_note = f"settle would revert as a whole ({cause}): {reverted}"

    async def _judge(
        self, passage: Passage, lane: Lane, outcomes: list[tuple[list[Candidate], bytes]]
    ) -> None:
        failing = [
            each
            for batch, codes in outcomes
            for each, code in zip(batch, codes, strict=True)
            if code == _FAILED
        ]
        causes = await self._causes(passage, lane, failing)
        for cause in (Cause.NODE_DENIED, Cause.CONTRACT_CHANGED):
            if cause in causes.values():
                passage.pause_note = f"the token refuses every payment of the node ({cause})"
        for batch, codes in outcomes:
            kept = [
                each
                for each, code in zip(batch, codes, strict=True)
                if _is_to_be_written(passage, each, code, causes.get(each.transfer_id))
            ]
            if kept:
                passage.batches.append(kept)

    async def _causes(
        self, passage: Passage, lane: Lane, failing: Sequence[Candidate]
    ) -> dict[UUID, Cause]:
        """Why each fails: what the token answers to it alone, at the same block.

        A payment of the node to itself is asked first: where that fails too, the cause is the
        node's or the token's, and no beneficiary is blamed.
        """
        if not failing:
            return {}
        contract, block = self._parts.contract, passage.block.hash
        control = await contract.refusal(block, lane.address, 0)
        if control is not None and remedy_of(cause_of(control, lane.address)) is not Remedy.RETRY:
            cause = cause_of(control)
            common = Cause.NODE_DENIED if cause is Cause.BENEFICIARY_REFUSED else cause
            return {each.transfer_id: common for each in failing}
        found: dict[UUID, Cause] = {}
        for at in range(0, len(failing), _PROBES_AT_ONCE):
            some = failing[at : at + _PROBES_AT_ONCE]
            reasons = await asyncio.gather(
                *(contract.refusal(block, c.record.beneficiary, c.record.amount) for c in some)
            )
            for each, reason in zip(some, reasons, strict=True):
                if each.record.beneficiary in (bytes(20), contract.address):
                    found[each.transfer_id] = Cause.BENEFICIARY_REFUSED
                elif reason is not None:
                    found[each.transfer_id] = cause_of(reason, each.record.beneficiary)
        return found


def _is_to_be_written(passage: Passage, each: Candidate, code: int, cause: Cause | None) -> bool:
    """Whether a record goes into its batch; where not, the passage says what becomes of it."""
    if code == _SKIPPED:
        passage.hold(NUMBER_USED, [each])
    elif cause is None or remedy_of(cause) is Remedy.RETRY:
        if each.batches_failed < BATCHES_FAILED_MAX:
            return True  # the contract isolates what fails
        passage.hold(BATCHES_FAILED, [each])
    elif remedy_of(cause) is Remedy.VOID:
        passage.refused.append(each)
    elif cause in WAITING_OF:
        passage.wait(WAITING_OF[cause], [each])
    return False
