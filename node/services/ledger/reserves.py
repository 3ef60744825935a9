"""Proving reserves: what is owed and what the chain holds for it, at one final block.

Ledger and mirror are read in one snapshot that names its final block; the chain is then asked about
exactly that block, so nothing can move in between, and no transaction waits for the chain. Debts
are written aside while the snapshot is read, so memory holds the tree and no more.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Final

from node.core.errors import ChainUnavailable, CurrencyUnknown, InvariantBroken
from node.core.mirror import BlockHeader, BlockPoint, Watch
from node.core.ports import Unit, UnitOfWork
from node.core.ports.mirror import ChainReader
from node.core.ports.reserves import Debt, Holder
from node.core.proof.records import Anchor
from node.core.reserves import (
    RANDOM_BYTES,
    Attestation,
    Audit,
    Reserve,
    SumTree,
    differences,
    published,
    shuffled,
    statement,
)
from node.core.units import Address

_ADDRESSES_AT_ONCE: Final = 500
_TOLD_EVERY: Final = 1000
_ALWAYS_SHOWN: Final = ("contract", "treasury")
_DRAW_BYTES: Final = 8

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done and how much there is. Called from any thread."""


@dataclass(frozen=True, slots=True)
class ProofFiles:
    """Where a proof goes.

    Attributes:
        write: Takes the name of a file and its bytes. Called from any thread.
        aside: An empty file that is nobody's, for what is read once and needed twice.
    """

    write: Callable[[str, bytes], object]
    aside: BinaryIO


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        differences: Addresses of which ledger and chain do not say the same, at the final block.
            Nothing is published of books that are not the chain's.
        attestation: What was written; None where something differs.
    """

    block: BlockPoint
    differences: Sequence[Reserve]
    attestation: Attestation | None


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """Ledger and mirror at one instant; the debts themselves are written aside."""

    made_at: datetime
    final: BlockPoint
    anchor: str
    holders: Sequence[Holder]
    accounts: int
    owed: dict[str, int]


class ReservesService:
    """Proves what the node holds of the token, and what it owes."""

    def __init__(
        self,
        units: UnitOfWork,
        reader: ChainReader,
        watch: Watch,
        *,
        treasury: Address | None,
        digits: int,
        chance: Callable[[int], bytes],
    ) -> None:
        self._units = units
        self._reader = reader
        self._watch = watch
        self._treasury = treasury
        self._digits = digits
        self._chance = chance

    async def prove(
        self,
        asset: str,
        files: ProofFiles,
        progress: Progress = lambda _name, _done, _total: None,
    ) -> Outcome:
        """Write a proof at the mirror's final block: a statement for each creditor, and the whole.

        Raises:
            CurrencyUnknown: The node holds nothing of this asset on the chain.
            ChainUnavailable: The chain is away or has lost the block's state, the mirror has not
                begun, or the chain shows another block at the final number.
            InvariantBroken: A debt is negative: the books are wrong, and nothing is proven.
        """
        if asset != self._watch.token_asset:
            raise CurrencyUnknown(
                f"the node holds no {asset!r} on the chain; it holds {self._watch.token_asset}"
            )
        audit = Audit(self._chance(RANDOM_BYTES), asset)
        read = await self._read(audit, files.aside, progress)
        block = await self._block(read.final)
        reserves = await self._reserves(read, progress)
        if found := differences(reserves):
            return Outcome(read.final, found, None)
        tree = SumTree(read.accounts)
        order = shuffled(tree.slots, self._chance(tree.slots * _DRAW_BYTES))

        def write() -> Attestation:
            self._fill(tree, audit, order, _debts(files.aside))
            root = tree.close()
            if root.minor != sum(read.owed.values()):
                raise InvariantBroken("the tree does not sum up to what is owed")
            attestation = Attestation(
                audit, read.made_at, self._watch.chain_id, block, self._watch.token, self._digits,
                read.anchor, read.owed, root, tree.depth, read.accounts, reserves,
            )  # fmt: skip
            for done, (account, nonce, minor) in enumerate(_debts(files.aside)):
                slot = order[done]
                one = statement(audit, account, nonce, minor, slot, tree.siblings(slot))
                files.write(f"statements/{account.replace('/', '_')}.json", _json(one))
                if done % _TOLD_EVERY == 0:
                    progress("statements", done, read.accounts)
            files.write("reserves.json", _json(published(attestation)))
            progress("", read.accounts, read.accounts)
            return attestation

        return Outcome(read.final, (), await asyncio.to_thread(write))

    async def _read(self, audit: Audit, aside: BinaryIO, progress: Progress) -> _Snapshot:
        async with self._units.snapshot() as unit:
            cursor = await unit.mirror.cursor(self._watch.chain_id)
            if cursor is None:
                raise ChainUnavailable("the mirror has not begun yet; is the worker running?")
            head = max(await unit.verification.heads(), key=lambda each: each.sequence)
            holders = await unit.reserves.holders(self._watch.chain_id, audit.asset)
            count, owed = await self._put_aside(unit, audit.asset, aside, progress)
            return _Snapshot(
                unit.now, cursor.final, str(Anchor(head.batch, head.hash)), holders, count, owed
            )

    async def _put_aside(
        self, unit: Unit, asset: str, aside: BinaryIO, progress: Progress
    ) -> tuple[int, dict[str, int]]:
        """Write debts aside, each with a nonce; how many, and their sum for each kind."""
        count, owed = 0, dict.fromkeys(("customer", "in_flight", "partner", "suspense"), 0)
        async for page in unit.reserves.debts(asset):
            for each in page:
                if each.minor < 0:
                    raise InvariantBroken(f"{each.account} is owed {each.minor} {asset}")
                aside.write(_record(each, self._chance(RANDOM_BYTES)))
                owed[each.kind] = owed.get(each.kind, 0) + each.minor
            count += len(page)
            progress("accounts", count, count)
        return count, owed

    async def _block(self, final: BlockPoint) -> BlockHeader:
        headers = await self._reader.headers(final.number, final.number)
        if not headers:
            raise ChainUnavailable(f"the provider does not show the final block {final.number}")
        if headers[0].hash != final.hash:
            raise ChainUnavailable(
                f"block {final.number} is 0x{headers[0].hash.hex()} at the provider, and was final"
                f" as 0x{final.hash.hex()}: run `corridor reconcile --explain`"
            )
        return headers[0]

    async def _reserves(self, read: _Snapshot, progress: Progress) -> list[Reserve]:
        """What the chain says, beside what the ledger says; addresses without any are left out."""
        named = {each.address: each.minor for each in read.holders}
        deposits = frozenset(each.address for each in read.holders if each.is_deposit)
        for each in (self._watch.contract, self._treasury):
            if each is not None:
                named.setdefault(each, 0)
        addresses, found = sorted(named), list[Reserve]()
        for start in range(0, len(addresses), _ADDRESSES_AT_ONCE):
            progress("addresses", start, len(addresses))
            some = addresses[start : start + _ADDRESSES_AT_ONCE]
            held = await self._reader.token_balances(some, read.final.hash)
            for address, minor in zip(some, held, strict=True):
                role = self._role(address, deposits)
                if minor or named[address] or role in _ALWAYS_SHOWN:
                    found.append(Reserve(address, role, named[address], minor))
        return found

    def _role(self, address: Address, deposits: frozenset[Address]) -> str:
        if address == self._watch.contract:
            return "contract"
        if address == self._treasury:
            return "treasury"
        return "deposit" if address in deposits else "other"

    def _fill(
        self,
        tree: SumTree,
        audit: Audit,
        order: Sequence[int],
        debts: Iterator[tuple[str, bytes, int]],
    ) -> None:
        """Every debt into its slot, and leaves of nothing into the others."""
        used = 0
        for account, nonce, minor in debts:
            tree.put(order[used], audit.leaf(account, nonce, minor), minor)
            used += 1
        for slot in order[used:]:
            tree.put(slot, audit.leaf_of(self._chance(RANDOM_BYTES), 0), 0)


def _record(debt: Debt, nonce: bytes) -> bytes:
    name = debt.account.encode()
    return nonce + debt.minor.to_bytes(8) + len(name).to_bytes(2) + name


def _debts(aside: BinaryIO) -> Iterator[tuple[str, bytes, int]]:
    """Account, nonce and amount of everything that was put aside, in its order."""
    aside.seek(0)
    while head := aside.read(RANDOM_BYTES + 10):
        name = aside.read(int.from_bytes(head[-2:])).decode()
        yield name, head[:RANDOM_BYTES], int.from_bytes(head[RANDOM_BYTES:-2])


def _json(document: dict[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=True, indent=1).encode() + b"\n"
