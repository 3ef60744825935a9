"""The third layer of reconciliation: at one block, ledger, mirror and chain hold the same.

Of each address of the node, and of each deposit address that moved: what the ledger's account has,
what the mirror's logs come to, and what the chain says in the state of the final block. Where they
differ, the cause is looked for (`bisecting`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from node.core.breaks import BreakCode, NewBreak, token_balance
from node.core.ledger import chain_account
from node.core.mirror import BlockPoint, Watch
from node.core.ports import UnitOfWork
from node.core.ports.comparisons import AccountComparison, Holder
from node.core.ports.mirror import ChainReader
from node.core.ports.reconciliation import Books
from node.core.reconcile import Check, native_units, none_of, same
from node.core.units import Address
from node.services.reconciliation.bisecting import Bisection

_OFF: Final = BreakCode.LEDGER_OFF_CHAIN
_LOGS: Final = "balance.logs"


@dataclass(frozen=True, slots=True)
class Found:
    """What the comparison of balances found."""

    checks: Sequence[Check]
    comparisons: Sequence[AccountComparison]
    breaks: Sequence[NewBreak] = field(default=())


@dataclass(frozen=True, slots=True)
class Balances:
    """Compares balances with the chain."""

    units: UnitOfWork
    reader: ChainReader
    watch: Watch
    bisection: Bisection

    async def compare(self, books: Books, *, full: bool) -> Found:
        """Every balance at the books' final block."""
        found = [
            *await self._read(books, self.watch.token_asset),
            *await self._read(books, self.watch.native_asset),
        ]
        async with self.units() as unit:
            last = await unit.comparisons.last_of(
                self.watch.chain_id, [(each.address, each.asset) for each in found]
            )
            moved = await unit.comparisons.explained_moves(self.watch.chain_id)
        checks: list[Check] = []
        causes: list[NewBreak] = []
        for each in found:
            before = last.get((each.address, each.asset))
            if each.asset == self.watch.token_asset:
                resolved = moved.get(each.address, (0, 0))
                made, more = await self._token(books, each, before, resolved, full=full)
            else:
                made, more = await self._native(each, before)
            checks += made
            causes += more
        checks += await self._nonces(books)
        if full:
            checks.append(_unheld(books))
        checks.append(none_of("balance.causes", causes))
        return Found(checks, found)

    async def _read(self, books: Books, asset: str) -> list[AccountComparison]:
        """Ledger, mirror and chain of every address, in minor units of the ledger."""
        watch, final = self.watch, books.final
        others = {holder[0] for holder in books.holdings if holder[1] == asset}
        addresses = sorted(watch.addresses | others)
        is_token = asset == watch.token_asset
        with self.reader.pinned():
            if is_token:
                held = await self.reader.token_balances(addresses, final.hash)
            else:
                held = await self.reader.native_balances(addresses, final.hash)
        found: list[AccountComparison] = []
        for address, exact in zip(addresses, held, strict=True):
            holder: Holder = (address, asset)
            mirrored = books.holdings.get(holder, 0)
            found.append(
                AccountComparison(
                    path=chain_account(watch.chain_id, address, asset),
                    address=address,
                    role=self._role(address, books.roles),
                    asset=asset,
                    ledger=books.ledger.get(holder, 0),
                    mirror=mirrored if is_token else native_units(mirrored),
                    chain=exact if is_token else native_units(exact),
                    block=final,
                )
            )
        return found

    def _role(self, address: Address, roles: Mapping[Address, str]) -> str:
        if address == self.watch.contract:
            return "contract"
        if address not in self.watch.addresses:
            return "deposit"
        role = roles.get(address, "own")
        return "lane" if role == "settle" else role

    async def _token(
        self,
        books: Books,
        each: AccountComparison,
        before: AccountComparison | None,
        moved: tuple[int, int],
        *,
        full: bool,
    ) -> tuple[list[Check], list[NewBreak]]:
        """Ledger and mirror beside the chain.

        Args:
            books: What is compared.
            each: The three figures.
            before: The same at the last comparison.
            moved: By how much breaks say the balance moved without logs: in all, and resolved.
            full: The logs are added up from the beginning.
        """
        known, resolved = moved
        point, address = each.block, each.address
        start = BlockPoint(books.start_number, point.hash)
        base = None if full else before
        by_logs = await self.bisection.by_logs(each, base, start)
        finding = None
        unlogged = each.chain - known - by_logs
        was_unlogged = 0 if base is None else base.chain - base.mirror - known
        if unlogged not in (0, None if base is None else was_unlogged):
            finding = await self.bisection.token(each, base, start, by_logs + known)
        elif unlogged == 0 and each.mirror != by_logs:
            finding = self.bisection.holding(each, by_logs)
        cause = ledger_cause = "" if finding is None else finding.cause
        is_new = before is None or before.ledger - before.chain != each.ledger - each.chain
        if each.ledger != each.chain and not cause and (is_new or full):
            ledger_cause = await self.bisection.ledger(each)
        evidence = _evidence(each)
        token = same(
            token_balance(address),
            _OFF,
            expected=each.ledger,
            actual=each.chain,
            evidence=evidence,
            cause=ledger_cause,
        )
        delta = same(
            f"balance.delta:0x{address.hex()}",
            _OFF,
            expected=each.mirror + resolved,
            actual=each.chain,
            evidence=evidence,
            cause=cause,
        )
        logs = same(
            f"{_LOGS}:0x{address.hex()}",
            _OFF,
            expected=by_logs,
            actual=each.mirror,
            evidence=evidence,
            cause=cause,
        )
        if token.breaks and delta.breaks:
            delta = replace(delta, breaks=())  # one difference is one break
        if token.breaks or delta.breaks:
            logs = replace(logs, breaks=())
        return [token, delta, logs], [] if finding is None else list(finding.breaks)

    async def _native(
        self, each: AccountComparison, before: AccountComparison | None
    ) -> tuple[list[Check], list[NewBreak]]:
        cause = ""
        is_new = before is None or before.ledger - before.chain != each.ledger - each.chain
        if each.ledger != each.chain and is_new:
            cause = await self.bisection.native(each, before)
        check = same(
            f"balance.native:0x{each.address.hex()}",
            _OFF,
            expected=each.ledger,
            actual=each.chain,
            evidence=_evidence(each),
            cause=cause,
        )
        return [check], []

    async def _nonces(self, books: Books) -> list[Check]:
        """Transactions of each lane on chain, and slots that are final."""
        lanes = sorted(books.nonces)
        nonces = await self.reader.nonces(lanes, books.final.hash)
        return [
            same(
                f"nonce:0x{address.hex()}",
                BreakCode.FOREIGN_NONCE,
                expected=books.nonces[address],
                actual=nonce,
                evidence={
                    "lane": f"0x{address.hex()}",
                    "block_number": str(books.final.number),
                    "block_hash": f"0x{books.final.hash.hex()}",
                },
                cause=""
                if books.nonces[address] == nonce
                else f"0x{address.hex()} has sent {nonce} transactions up to block"
                f" {books.final.number}, and the node knows of {books.nonces[address]}: the key is"
                " used elsewhere, or the database is an older copy.",
            )
            for address, nonce in zip(lanes, nonces, strict=True)
        ]


def is_sum_of_logs(fingerprint: str) -> bool:
    """Whether a break says that the mirror's figure is not what its logs come to."""
    return fingerprint.startswith(f"{_OFF}:{_LOGS}:")


def _evidence(each: AccountComparison) -> dict[str, str]:
    return {
        "address": f"0x{each.address.hex()}",
        "account": each.path,
        "block_number": str(each.block.number),
        "block_hash": f"0x{each.block.hash.hex()}",
    }


def _unheld(books: Books) -> Check:
    """Accounts of the chain that the mirror knows nothing of have no balance."""
    told = ", ".join(f"{path} {units}" for path, units in sorted(books.unheld.items())[:5])
    return same(
        "balance.unheld",
        BreakCode.LEDGER_LAW,
        expected="no account of the chain without a holding of the mirror",
        actual=told or "no account of the chain without a holding of the mirror",
        cause="The ledger has a balance for an address that the mirror does not follow: it was"
        " booked by hand, or the mirror's rows were taken away.",
    )
