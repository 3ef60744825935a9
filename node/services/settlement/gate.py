"""The gate before any nonce: what a batch would do now, asked of the chain at one block.

It spends nothing and writes nothing; the writer acts on what it says.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from node.core.errors import ChainUnavailable
from node.core.ports.chain import BlockRef, CallReverted
from node.core.ports.settlement import Candidate, ContractFacts, Lane, Refusal
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
from node.core.units import Address, BlockHash
from node.services.settlement.parts import SettlementParts

_SETTLED, _FAILED, _SKIPPED = 0, 1, 2
_PROBES_AT_ONCE = 16

_NOTHING_READ = ContractFacts(paused=True, float_units=0, used=())

NUMBER_USED = "number_used"
BATCHES_FAILED = "batches_failed"


@dataclass(slots=True)
class Passage:
    """What the gate says about the candidates.

    Attributes:
        block: The block everything was read at.
        facts: The contract there.
        token_code: Fingerprint of the code the token runs there.
        batches: What may be written, oldest first.
        refused: Never payable, and nothing of them is written now: the beneficiary cannot receive.
        held: Candidates an operator must look at, by the code that says why.
        waiting: Candidates that must wait, and why.
        pause_note: Set when an operator must act before anything is written.
        stop_note: Set when this lane can write nothing, whatever others can.
        nonce: How many transactions of the lane the chain has seen there.
    """

    block: BlockRef
    facts: ContractFacts = _NOTHING_READ
    token_code: bytes = b""
    batches: list[list[Candidate]] = field(default_factory=list)
    refused: list[Candidate] = field(default_factory=list)
    held: dict[str, list[Candidate]] = field(default_factory=dict)
    waiting: dict[Waiting, list[Candidate]] = field(default_factory=dict)
    pause_note: str | None = None
    stop_note: str | None = None
    nonce: int = 0

    def wait(self, code: Waiting, candidates: Sequence[Candidate]) -> None:
        """Let these wait."""
        self.waiting.setdefault(code, []).extend(candidates)

    def told(self, code: Waiting) -> Sequence[Candidate]:
        """Those that wait for this."""
        return self.waiting.get(code, ())

    def hold(self, code: str, candidates: Sequence[Candidate]) -> None:
        """Leave these to an operator."""
        if candidates:
            self.held.setdefault(code, []).extend(candidates)


class Gate:
    """Examines candidates before anything is written."""

    def __init__(self, parts: SettlementParts) -> None:
        self._parts = parts

    async def head(self) -> BlockRef:
        """The newest block of the right chain.

        Raises:
            ChainUnavailable: The chain cannot be asked, or is another chain.
        """
        parts = self._parts
        chain_id, head = await asyncio.gather(parts.chain.chain_id(), parts.chain.head())
        if chain_id != parts.chain_id:
            raise ChainUnavailable(f"the provider is of chain {chain_id}, not {parts.chain_id}")
        return head

    async def examine(
        self, lane: Lane, head: BlockRef, batches: Sequence[Sequence[Candidate]], unmined: int
    ) -> Passage:
        """What may be written now.

        Args:
            lane: The lane that would send.
            head: The block at which everything is asked.
            batches: Candidates as they would be batched, oldest first.
            unmined: Slots of the lane that will still cost gas.

        Raises:
            ChainUnavailable: The chain cannot be asked.
        """
        parts = self._parts
        everybody = [each for batch in batches for each in batch]
        passage = Passage(head)
        fault, nonce, can_pay_gas, token_code = await asyncio.gather(
            parts.contract.fault(head.hash),
            parts.chain.nonce(lane.address, head.hash),
            self._can_pay_gas(lane, head, batches, unmined),
            parts.contract.token_code(head.hash),
        )
        passage.pause_note, passage.nonce, passage.token_code = fault, nonce, token_code
        if fault or nonce > lane.next_nonce:
            return passage
        passage.facts = facts = await parts.contract.facts(
            head.hash, [each.record.number for each in everybody], lane.address
        )
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

    async def still_refused(
        self, lane: Lane, block: BlockHash, candidates: Sequence[Candidate]
    ) -> frozenset[UUID]:
        """Those whom the token refuses at an older block too: each alone, for the same cause.

        Args:
            lane: The lane that would send.
            block: One that cannot go away, so that no reorg undoes what they are told.
            candidates: Those it refuses at the newest block.

        Raises:
            ChainUnavailable: The state of that block cannot be asked.
        """
        causes = await self._causes(block, lane, candidates)
        return frozenset(each for each, cause in causes.items() if remedy_of(cause) is Remedy.VOID)

    async def used(self, candidates: Sequence[Candidate]) -> frozenset[UUID] | None:
        """Those whose number the contract has paid or voided, at the newest block.

        Returns:
            None: the code is not the known one, so that its answer proves nothing.

        Raises:
            ChainUnavailable: The chain cannot be asked, or is another chain.
        """
        contract = self._parts.contract
        head = await self.head()
        if await contract.fault(head.hash):
            return None
        facts = await contract.facts(head.hash, [each.record.number for each in candidates])
        return frozenset(
            each.transfer_id
            for each, is_used in zip(candidates, facts.used, strict=True)
            if is_used
        )

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
        """Let the contract say what each batch would do; only what float and caps pay is asked."""
        left = available(passage.facts)
        short = shortage(passage.facts)
        asked: list[list[Candidate]] = []
        for batch in batches:
            unused, oversized = parted(
                [each for each in batch if each.transfer_id not in used], largest(passage.facts)
            )
            passage.wait(Waiting.CAP_REACHED, oversized)
            count = within_float([each.record.amount for each in unused], left)
            left -= sum(each.record.amount for each in unused[:count])
            if count:
                asked.append(unused[:count])
            if count < len(unused):
                left = 0  # the order is kept: nobody younger goes first
                passage.wait(short, unused[count:])
        told = list(passage.told(Waiting.CAP_REACHED)[:1])
        if told and not asked and short is Waiting.CAP_REACHED:
            # An account that is no operator has nothing left either: the contract tells which.
            await self._outcomes(passage, lane, told)
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
            known = {each.transfer_id for each in passage.told(waiting)}
            passage.wait(waiting, [each for each in batch if each.transfer_id not in known])
        elif remedy_of(cause) is Remedy.STOP:
            passage.stop_note = "the contract does not let this account settle: is it an operator?"
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
        causes = await self._causes(passage.block.hash, lane, failing)
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
        self, block: BlockHash, lane: Lane, failing: Sequence[Candidate]
    ) -> dict[UUID, Cause]:
        """Why each fails: what the token answers to it alone, at one block.

        A payment of the node to itself is asked first: where that fails too, the cause is the
        node's or the token's, and no beneficiary is blamed.
        """
        if not failing:
            return {}
        contract = self._parts.contract
        control = await contract.refusal(block, lane.address, 0)
        if control is not None and _cause(control) is not Cause.UNKNOWN:
            cause = _cause(control)
            common = Cause.NODE_DENIED if remedy_of(cause) is Remedy.VOID else cause
            return {each.transfer_id: common for each in failing}
        found: dict[UUID, Cause] = {}
        for at in range(0, len(failing), _PROBES_AT_ONCE):
            some = failing[at : at + _PROBES_AT_ONCE]
            refusals = await asyncio.gather(
                *(contract.refusal(block, c.record.beneficiary, c.record.amount) for c in some)
            )
            for each, refusal in zip(some, refusals, strict=True):
                if each.record.beneficiary in (bytes(20), contract.address):
                    found[each.transfer_id] = Cause.BENEFICIARY_REFUSED
                elif refusal is not None:
                    found[each.transfer_id] = _cause(refusal, each.record.beneficiary)
        return found


def _cause(refusal: Refusal, beneficiary: Address | None = None) -> Cause:
    """The cause of a payment that failed alone."""
    return Cause.GAS_BURNT if refusal.burnt_gas else cause_of(refusal.reason, beneficiary)


def available(facts: ContractFacts, committed: int = 0, committed_of_lane: int = 0) -> int:
    """Token units that float and caps still pay at a block.

    Args:
        facts: The contract at the block.
        committed: Units of all lanes' written batches that are not in that block.
        committed_of_lane: The part of them that the operator asked for has written.
    """
    left = facts.float_units - committed
    if facts.contract_left is not None:
        left = min(left, facts.contract_left - committed)
    if facts.operator_left is not None:
        left = min(left, facts.operator_left - committed_of_lane)
    return left


def largest(facts: ContractFacts) -> int | None:
    """Token units above which no payment fits under a cap, full as it may be; None: no cap."""
    caps = [cap for cap in (facts.operator_cap, facts.contract_cap) if cap is not None]
    return min(caps, default=None)


def parted(
    candidates: Sequence[Candidate], units: int | None
) -> tuple[list[Candidate], list[Candidate]]:
    """Those up to so many token units, and those above, each in their order.

    What is above a cap waits until that is raised, and makes nobody behind it wait. What the
    float or the rest of a cap is short of does: both fill up again.
    """
    fitting = [each for each in candidates if units is None or each.record.amount <= units]
    above = [each for each in candidates if units is not None and each.record.amount > units]
    return fitting, above


def shortage(facts: ContractFacts, committed: int = 0, committed_of_lane: int = 0) -> Waiting:
    """What is short: the float, or a cap."""
    float_left = facts.float_units - committed
    is_cap = available(facts, committed, committed_of_lane) < float_left
    return Waiting.CAP_REACHED if is_cap else Waiting.FLOAT_SHORT


def _is_to_be_written(passage: Passage, each: Candidate, code: int, cause: Cause | None) -> bool:
    """Whether a record goes into its batch; where not, the passage says what becomes of it."""
    if code == _SKIPPED:
        passage.hold(NUMBER_USED, [each])
    elif cause is None or remedy_of(cause) is Remedy.RETRY:
        if each.batches_failed < BATCHES_FAILED_MAX:
            return True  # the contract isolates what fails
        passage.hold(BATCHES_FAILED, [each])
    elif remedy_of(cause) is Remedy.VOID:
        passage.refused.append(each)  # written ones only once it holds at a final block
    elif cause in WAITING_OF:
        passage.wait(WAITING_OF[cause], [each])
    return False
