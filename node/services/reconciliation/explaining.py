"""Why breaks came to be that were opened without saying so: a sentence from what is on chain.

The mirror opens breaks inside the transaction that makes a block final, where nothing may be asked
of the chain. Here the transaction behind each is looked at: who signed it, whether the node wrote
it, and what else it did. A break that has a cause keeps it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from node.core.adoption.facts import MinedTransaction
from node.core.breaks import BreakCode
from node.core.errors import ChainUnavailable
from node.core.ids import Prefix, encode_id
from node.core.mirror import BlockPoint, Watch
from node.core.ports import UnitOfWork
from node.core.ports.breaks import Break
from node.core.ports.comparisons import Known, PaymentFacts
from node.core.ports.mirror import ChainReader, Contradiction
from node.core.units import Address, BlockHash, TxHash
from node.services.reconciliation.bisecting import Bisection

_EXPLAINED_AT_ONCE: Final = 10
_CODES: Final = (
    BreakCode.UNKNOWN_DEPOSIT,
    BreakCode.ORPHAN_OUTBOUND,
    BreakCode.PAID_WRONG,
    BreakCode.FOREIGN_NONCE,
    BreakCode.NATIVE_UNEXPLAINED,
    BreakCode.LEDGER_LAW,
)
_RECORDS: Final = f"{BreakCode.LEDGER_LAW}:chain:"
_COUNTERS: Final = f"{BreakCode.LEDGER_LAW}:balances:"
"""Breaks that name what was altered in the ledger; other laws that do not hold follow from them."""


@dataclass(frozen=True, slots=True)
class Explaining:
    """Finds the cause of breaks that have none."""

    units: UnitOfWork
    reader: ChainReader
    watch: Watch
    bisection: Bisection

    async def causes(
        self, since: BlockPoint | None, to: BlockPoint, roles: Mapping[Address, str]
    ) -> dict[UUID, str]:
        """Break -> the cause that was found, of some that are open and have none.

        Args:
            since: The block of the comparison before.
            to: The block of this one.
            roles: Lane -> what it is for.
        """
        async with self.units() as unit:
            open_ones = await unit.breaks.open_of(_CODES)
        found: dict[UUID, str] = {}
        for each in open_ones:
            if each.cause or len(found) >= _EXPLAINED_AT_ONCE:
                continue
            code = BreakCode(each.code)
            if code is BreakCode.LEDGER_LAW:
                found |= {each.id: cause} if (cause := _consequence(each, open_ones)) else {}
                continue
            try:
                cause = await self._cause(code, each, since, to, roles)
            except Contradiction as error:
                cause = f"What is behind it cannot be read: {error}."
            except ChainUnavailable:
                continue  # at the next comparison
            if cause:
                found[each.id] = cause
        return found

    async def _cause(
        self,
        code: BreakCode,
        each: Break,
        since: BlockPoint | None,
        to: BlockPoint,
        roles: Mapping[Address, str],
    ) -> str:
        if code is BreakCode.NATIVE_UNEXPLAINED:
            return await self._native(each, since, to)
        if code is BreakCode.FOREIGN_NONCE:
            return await self._nonce(each, to)
        hash_text, number = each.evidence.get("tx_hash"), each.evidence.get("block_number")
        if not hash_text or not number:
            return ""
        return await self._of_transaction(
            code, each, TxHash(bytes.fromhex(hash_text[2:])), int(number), roles
        )

    async def _of_transaction(
        self,
        code: BreakCode,
        each: Break,
        tx_hash: TxHash,
        number: int,
        roles: Mapping[Address, str],
    ) -> str:
        """What the transaction behind a break says."""
        async with self.units() as unit:
            point = await unit.comparisons.block(self.watch.chain_id, number)
            known = await unit.comparisons.known_transaction(self.watch.chain_id, tx_hash, number)
        if point is None:
            return ""
        if code is BreakCode.UNKNOWN_DEPOSIT:
            return await self._deposit(each, point)
        signer = await self._signer(tx_hash, point, known, roles)
        if code is BreakCode.PAID_WRONG:
            return f"{await self._payment(each, point)} {signer}".strip()
        rescued = "".join(
            f" It is a rescue: log {index} is the settlement contract's event Rescued, which"
            " only the contract's rescuer can cause."
            for index in known.rescued[:1]
        )
        return f"Transaction 0x{tx_hash.hex()} of block {number} moved it.{rescued} {signer}"

    async def _signer(
        self, tx_hash: TxHash, point: BlockPoint, known: Known, roles: Mapping[Address, str]
    ) -> str:
        """Who signed a transaction, as far as it is one of the node's."""
        if known.slot_id is not None and known.lane is not None:
            return f"The node wrote this transaction for its key 0x{known.lane.hex()}."
        try:
            sent = await self.reader.sent_by(sorted(self.watch.addresses), [point])
        except Contradiction as error:
            return f"Who signed it cannot be said: {error}."
        mine = next((each for each in sent if each.tx_hash == tx_hash), None)
        if mine is None:
            return (
                "It was signed with a key that is none of the node's, by somebody who has a role in"
                " the settlement contract or an allowance."
            )
        role = roles.get(mine.sender, "own")
        return (
            f"It was signed with the node's own key 0x{mine.sender.hex()} ({role}), nonce"
            f" {mine.nonce}, and the node did not write it: the key is used elsewhere."
        )

    async def _deposit(self, each: Break, point: BlockPoint) -> str:
        index = each.evidence.get("log_index", "")
        if not index.isdecimal():
            return ""
        async with self.units() as unit:
            log = await unit.comparisons.token_log(self.watch.chain_id, point.hash, int(index))
        if log is None:
            return ""
        sender = (
            f"0x{log.from_address.hex()} sent" if any(log.from_address) else "The issuer minted"
        )
        return (
            f"{sender} {log.amount} units to 0x{log.to_address.hex()}, which is no customer's"
            " deposit address; no movement of the node and no payment request names this"
            " transaction, so nobody is known to own it."
        )

    async def _payment(self, each: Break, point: BlockPoint) -> str:
        index = each.evidence.get("log_index", "")
        if not index.isdecimal():
            return ""
        async with self.units() as unit:
            paid = await unit.comparisons.payment(
                self.watch.chain_id, BlockHash(point.hash), int(index)
            )
        return "" if paid is None else _payment_words(paid)

    async def _native(self, each: Break, since: BlockPoint | None, to: BlockPoint) -> str:
        told = each.evidence.get("address")
        if since is None or not told:
            return ""
        return await self.bisection.native_fall(Address(bytes.fromhex(told[2:])), since, to)

    async def _nonce(self, each: Break, to: BlockPoint) -> str:
        """What the lane has sent that the node did not write, in the block after the final one."""
        lane = each.evidence.get("lane", "")
        if not lane:
            return ""
        address = Address(bytes.fromhex(lane[2:]))
        async with self.units() as unit:
            following = await unit.comparisons.block(self.watch.chain_id, to.number + 1)
        blocks = [to] if following is None else [to, following]
        strange: list[MinedTransaction] = []
        for sent in await self.reader.sent_by([address], blocks):
            async with self.units() as unit:
                known = await unit.comparisons.known_transaction(
                    self.watch.chain_id, sent.tx_hash, sent.block.number
                )
            if known.slot_id is None:
                strange.append(sent)
        if not strange:
            return (
                f"The account {lane} has sent more on chain than the database knows: its key is"
                " used elsewhere, or the database is an older copy."
            )
        first = strange[0]
        whom = "nobody" if first.to is None else f"0x{first.to.hex()}"
        return (
            f"Transaction 0x{first.tx_hash.hex()} of block {first.block.number}, nonce"
            f" {first.nonce}, to {whom}, was signed with the key of {lane} and not written by the"
            " node: the key is used elsewhere, or the database is an older copy."
        )


def _consequence(each: Break, open_ones: Sequence[Break]) -> str:
    """Why a law of the ledger does not hold, where another break tells what was altered in it.

    Entries that were altered explain counters and sums, and counters explain sums. They explain no
    other record: that would have been altered by itself.
    """
    kinds: tuple[str, ...] = (_RECORDS, _COUNTERS)
    if each.fingerprint.startswith(_COUNTERS):
        kinds = (_RECORDS,)
    elif each.fingerprint.startswith(_RECORDS):
        kinds = ()
    for kind in kinds:
        roots = sorted(
            (root for root in open_ones if root.fingerprint.startswith(kind) and root.cause),
            key=lambda root: (root.first_seen_at, root.fingerprint),
        )
        if roots:
            more = f", and {len(roots) - 1} more of its kind," if len(roots) > 1 else ""
            name = encode_id(Prefix.BREAK, roots[0].id)
            return f"It follows from what break {name}{more} is about: {roots[0].cause}"
    return ""


def _payment_words(paid: PaymentFacts) -> str:
    done = (
        f"Payment number {paid.number} was voided"
        if paid.beneficiary is None or paid.amount is None
        else f"Payment number {paid.number} paid {paid.amount} units to 0x{paid.beneficiary.hex()}"
    )
    if paid.transfer_id is None or paid.due_to is None or paid.due_amount is None:
        return f"{done}, and no transfer of the node has this number."
    transfer = encode_id(Prefix.TRANSFER, paid.transfer_id)
    due = f"its transfer {transfer} is of {paid.due_amount} units to 0x{paid.due_to.hex()}"
    if paid.amount is not None and paid.due_to == paid.beneficiary:
        more = paid.amount - paid.due_amount
        if more:
            due += f": {abs(more)} units too {'much' if more > 0 else 'little'}"
        else:
            due += f" and is {paid.state}"
    return f"{done}; {due}."
