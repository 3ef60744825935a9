"""Gas of settlement beside plain ERC-20 transfers, from receipts of a real anvil, in one run.

    python -m scripts.bench.gas            print every case with its ratio
    python -m scripts.bench.gas --write    write contracts/gas.md, where review sees 1 gas

Every figure is `gasUsed` of a receipt; there is nothing random and no clock in it, so two runs
agree to the unit. The committed artifacts are measured, on the EVM version they are compiled for.

Workload. Beneficiaries are distinct and have no zero byte in their address; amounts have exactly
four bytes, none of them zero; so every payment costs the same calldata (EIP-2028). Payment numbers
are those of a node after 16 million payments. `existing` beneficiaries hold the token, `new` ones
do not. `fresh`: the batch is the first in its bitmap word; `in use`: a number of every word that it
touches was used before. The float, the caps and the operator's balance are in use before and after.
A transfer beside it is one transaction of its own, out of an account that keeps a balance.

Not here: the same measured inside forge, and how many payments a second (`settle.py`).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final, TypeVar

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from adapters.evm.artifacts import Artifact, load, parse
from node.devnet import programs
from node.devnet.anvil import DEV_ACCOUNTS, Anvil
from node.devnet.errors import DevnetError
from node.devnet.rpc import call

ROOT: Final = Path(__file__).resolve().parents[2]
TABLE: Final = ROOT / "contracts" / "gas.md"

TOKENS: Final = ("PlainToken", "TestUSD")
HOLDERS: Final = ("existing", "new")
WORDS: Final = ("fresh", "in use")
BATCHES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 256)
VOIDS: Final = (1, 100, 256)

GOAL_PAYMENTS: Final = 100
GOALS: Final = {
    ("PlainToken", "existing"): 10_500,
    ("PlainToken", "new"): 27_600,
    ("TestUSD", "existing"): 12_800,
}
"""Most gas per payment of a batch of 100 in a fresh word, by token and holders."""

_ADMIN: Final = DEV_ACCOUNTS[0][0]
_OPERATOR: Final = DEV_ACCOUNTS[1][0]
_FLOAT_UNITS: Final = 2 * 10**15
_CAP_UNITS: Final = 10**15
_GAS_LIMIT: Final = 2**24  # the most of a transaction (EIP-7825)
_TRANSFER_GAS_LIMIT: Final = 100_000
_WORD: Final = 256
_FRESH_WORD: Final = 0x010101  # of the bitmap: payment numbers from 16,843,008
_USED_WORD: Final = 0x020202
_WARM_WORD: Final = 0x030303
_FIRST_TIME_S: Final = 2_000_000_000
_BLOCK_S: Final = 12
_ATTEMPTS: Final = 3


Measured = TypeVar("Measured")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured case.

    Attributes:
        call: `settle`, `transfer` or `void`.
        token: Which token; empty for `void`, which calls none.
        holders: Whether the beneficiaries held it before; empty for `void`.
        word: Whether the bitmap word was used before; empty for `transfer`.
        payments: Records, numbers or transfers.
        gas: Of the one transaction; for `transfer` of so many transactions together.
    """

    call: str
    token: str
    holders: str
    word: str
    payments: int
    gas: int

    @property
    def per_payment(self) -> int:
        """Gas per payment, rounded up."""
        return -(-self.gas // self.payments)


@dataclass
class Bench:
    """A chain with one token and its settlement contract, put back after each measurement."""

    rpc_url: str
    name: str
    token: str = field(init=False)
    contract: str = field(init=False)
    time_s: int = field(init=False, default=_FIRST_TIME_S)

    def __post_init__(self) -> None:
        """Deploy; hand out float and caps; give every `existing` beneficiary and word its past."""
        self.token = self._deploy(*_token(self.name))
        settlement = load("TransferSettlement")
        self.contract = self._deploy(settlement, _constructor_arguments(self.token))
        if self.name == "TestUSD":
            self._admin(self.token, "configureMinter(address,uint256)", _ADMIN, 3 * _FLOAT_UNITS)
        for holder in (self.contract, _OPERATOR):
            self._admin(self.token, "mint(address,uint256)", holder, _FLOAT_UNITS)
        # Paying them is what makes beneficiaries hold the token, and float and caps be in use.
        self.settle(_WARM_WORD * _WORD, beneficiaries("existing", _WORD))
        self.void([_USED_WORD * _WORD, (_USED_WORD + 1) * _WORD + _WORD - 1])

    def rows(self, batches: Sequence[int], voids: Sequence[int]) -> Iterator[Row]:
        """Every case of this token, each measured on the same state of the chain."""
        for holders in HOLDERS:
            addresses = beneficiaries(holders, max(batches))
            single = self._apart(partial(self.transfers, addresses))
            for count in batches:
                yield Row("transfer", self.name, holders, "", count, sum(single[:count]))
            for word, count in product(WORDS, batches):
                used = self._apart(partial(self.settle, _first(word), addresses[:count]))
                yield Row("settle", self.name, holders, word, count, used)
        for word, count in product(WORDS, voids):
            numbers = [_first(word) + each for each in range(count)]
            used = self._apart(partial(self.void, numbers))
            yield Row("void", "", "", word, count, used)

    def settle(self, first: int, to: Sequence[str]) -> int:
        """Gas of one batch with consecutive numbers.

        Raises:
            DevnetError: Not every payment was made.
        """
        records = b"".join(
            (first + place).to_bytes(8) + bytes.fromhex(address[2:]) + amount(place).to_bytes(8)
            for place, address in enumerate(to)
        )
        before = self._balance(to[-1])
        used = self._mined(self._send(_OPERATOR, self.contract, "settle(bytes)", records))
        if self._balance(to[-1]) - before != amount(len(to) - 1):
            raise DevnetError("a payment of the batch was not made")
        return used

    def void(self, numbers: Sequence[int]) -> int:
        """Gas of voiding the numbers."""
        return self._mined(self._send(_OPERATOR, self.contract, "void(uint64[])", list(numbers)))

    def transfers(self, to: Sequence[str]) -> list[int]:
        """Gas of each of so many transfers, one a transaction, all in one block."""
        signature = "transfer(address,uint256)"
        hashes = [
            self._send(
                *(_OPERATOR, self.token, signature, address, amount(place)),
                gas_limit=_TRANSFER_GAS_LIMIT,
            )
            for place, address in enumerate(to)
        ]
        self._mine()
        return [self._used(tx_hash) for tx_hash in hashes]

    def _apart(self, measure: Callable[[], Measured]) -> Measured:
        """What `measure` returns; the chain is then as before."""
        snapshot, time_s = self._rpc("evm_snapshot"), self.time_s
        try:
            return measure()
        finally:
            if not self._rpc("evm_revert", snapshot):
                raise DevnetError("the chain could not be put back")
            self.time_s = time_s

    def _balance(self, holder: str) -> int:
        data = _calldata("balanceOf(address)", holder)
        return int(self._rpc("eth_call", {"to": self.token, "data": data}, "latest"), 16)

    def _deploy(self, artifact: Artifact, arguments: bytes = b"") -> str:
        data = "0x" + (artifact.bytecode + arguments).hex()
        transaction = {"from": _ADMIN, "data": data, "gas": hex(_GAS_LIMIT)}
        tx_hash = self._rpc("eth_sendTransaction", transaction)
        self._mined(tx_hash)
        return str(self._rpc("eth_getTransactionReceipt", tx_hash)["contractAddress"])

    def _admin(self, to: str, signature: str, *arguments: object) -> None:
        self._mined(self._send(_ADMIN, to, signature, *arguments))

    def _send(
        self,
        sender: str,
        to: str,
        signature: str,
        *arguments: object,
        gas_limit: int = _GAS_LIMIT,
    ) -> str:
        data = _calldata(signature, *arguments)
        transaction = {"from": sender, "to": to, "data": data, "gas": hex(gas_limit)}
        return str(self._rpc("eth_sendTransaction", transaction))

    def _mined(self, tx_hash: str) -> int:
        self._mine()
        return self._used(tx_hash)

    def _mine(self) -> None:
        self.time_s += _BLOCK_S
        self._rpc("evm_setNextBlockTimestamp", self.time_s)
        self._rpc("evm_mine")

    def _used(self, tx_hash: str) -> int:
        receipt = self._rpc("eth_getTransactionReceipt", tx_hash)
        if receipt is None or receipt["status"] != "0x1":
            raise DevnetError(f"transaction {tx_hash} was not mined or reverted")
        return int(receipt["gasUsed"], 16)

    def _rpc(self, method: str, *params: Any) -> Any:
        return call(self.rpc_url, method, *params)


def measure(
    *,
    tokens: Sequence[str] = TOKENS,
    batches: Sequence[int] = BATCHES,
    voids: Sequence[int] = VOIDS,
) -> list[Row]:
    """Every case in the table's order, each token on a chain of its own."""
    rows: list[Row] = []
    for token in tokens:
        with chain() as rpc_url:
            rows += Bench(rpc_url, token).rows(batches, voids if token == tokens[0] else ())
    return sorted(rows, key=_order)


@contextmanager
def chain() -> Iterator[str]:
    """RPC address of an anvil that mines when told, with blocks at the same times in each run."""
    lifeline = None if programs.parent_death_signal_exists() else programs.Lifeline()
    with tempfile.TemporaryDirectory(prefix="corridor-gas-") as name:
        for attempt in range(1, _ATTEMPTS + 1):
            anvil = Anvil(
                Path(name), programs.free_port(), Path(name) / "anvil.log", automine=False,
                options=("--timestamp", str(_FIRST_TIME_S)),
            )  # fmt: skip
            program = anvil.program()
            process = programs.spawn(program, lifeline=lifeline)
            try:
                programs.wait_ready(process, program, anvil.ready)
            except DevnetError:  # somebody may have taken the port in between
                process.kill()
                process.wait()
                if attempt == _ATTEMPTS:
                    raise
                continue
            try:
                yield anvil.rpc_url
            finally:
                programs.stop(process, program)
            return


def beneficiaries(holders: str, count: int) -> list[str]:
    """So many addresses without a zero byte, the same in each run."""
    return ["0x" + _nonzero(f"{holders} {number}", 20).hex() for number in range(count)]


def amount(place: int) -> int:
    """The amount of a payment by its place in the batch: four bytes, none of them zero."""
    return int.from_bytes(_nonzero(f"amount {place}", 4))


def render(rows: Sequence[Row]) -> str:
    """The table as it is committed."""
    lines = [
        "# Gas of settlement",
        "",
        "Written by `python -m scripts.bench.gas --write`, which says how it measures; a test",
        "compares it with the chain to the unit. Gas of one transaction; `per payment` is that",
        "divided by the payments, rounded up; `transfers` is the gas of as many plain ERC-20",
        "transfers, each in a transaction of its own, in the same run.",
        "",
        "| token | holders | bitmap word | payments | gas | per payment | transfers |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    beside = transfers_by_case(rows)
    for row in rows:
        if row.call == "settle":
            transfers = beside[row.token, row.holders, row.payments]
            lines.append(
                f"| {row.token} | {row.holders} | {row.word} | {row.payments} "
                f"| {row.gas:,} | {row.per_payment:,} | {transfers:,} |"
            )
    lines += [
        "",
        "`void`:",
        "",
        "| bitmap word | numbers | gas | per number |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {row.word} | {row.payments} | {row.gas:,} | {row.per_payment:,} |"
        for row in rows
        if row.call == "void"
    ]
    return "\n".join(lines) + "\n"


def transfers_by_case(rows: Sequence[Row]) -> dict[tuple[str, str, int], int]:
    """Gas of plain transfers by token, holders and count."""
    return {
        (row.token, row.holders, row.payments): row.gas for row in rows if row.call == "transfer"
    }


def goals(rows: Sequence[Row]) -> Iterator[tuple[Row, int]]:
    """The rows that have a goal, each with the most gas per payment that it may take."""
    for row in rows:
        goal = GOALS.get((row.token, row.holders))
        fresh = row.call == "settle" and row.word == "fresh"
        if goal is not None and fresh and row.payments == GOAL_PAYMENTS:
            yield row, goal


def main() -> int:
    """Measure, print, write when asked; exit status 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.relative_to(ROOT)}")
    write = parser.parse_args().write
    try:
        rows = measure()
    except DevnetError as error:
        print(f"gas failed: {error}", file=sys.stderr)
        return 1
    beside = transfers_by_case(rows)
    for row in rows:
        print(_line(row, beside))
    missed = False
    for row, goal in goals(rows):
        met = row.per_payment <= goal
        missed = missed or not met
        print(
            f"goal {row.token} {row.holders}: {row.per_payment:,} of at most {goal:,}: "
            f"{'met' if met else 'MISSED'}"
        )
    if write:
        TABLE.write_text(render(rows), encoding="utf-8")
    return 1 if missed else 0


def _line(row: Row, beside: dict[tuple[str, str, int], int]) -> str:
    case = " ".join(each for each in (row.call, row.token, row.holders, row.word) if each)
    line = f"{case} n={row.payments} gas={row.gas:,} per_payment={row.per_payment:,}"
    if row.call == "settle":
        transfers = beside[row.token, row.holders, row.payments]
        line += f" transfers={transfers:,} ratio={transfers / row.gas:.2f}×"  # noqa: RUF001 - the sign for "times" is meant
    return line


def _order(row: Row) -> tuple[int, int, int, int, int]:
    return (
        ("transfer", "settle", "void").index(row.call),
        ("", *TOKENS).index(row.token),
        ("", *HOLDERS).index(row.holders),
        ("", *WORDS).index(row.word),
        row.payments,
    )


def _first(word: str) -> int:
    """First number of a batch: at a word's start, or just behind the one that was used before."""
    return _FRESH_WORD * _WORD if word == "fresh" else _USED_WORD * _WORD + 1


def _nonzero(seed: str, length: int) -> bytes:
    return bytes(each or 0xFF for each in hashlib.sha256(seed.encode()).digest()[:length])


def _calldata(signature: str, *arguments: object) -> str:
    types = signature.partition("(")[2].removesuffix(")").split(",")
    return "0x" + (keccak(text=signature)[:4] + encode(types, arguments)).hex()


def _token(name: str) -> tuple[Artifact, bytes]:
    """A token and the arguments of its constructor; `PlainToken` exists for tests only."""
    if name == "TestUSD":
        return load(name), encode(["address"] * 3, [_ADMIN] * 3)
    path = ROOT / "tests" / "chain" / "artifacts" / f"{name}.json"
    return parse(path.read_text("utf-8")), b""


def _constructor_arguments(token: str) -> bytes:
    """One operator; the admin has every other role."""
    types = ["address"] * 4 + ["uint64", "(address,uint64)[]"]
    caps = [(_OPERATOR, _CAP_UNITS)]
    return encode(types, [token, _ADMIN, _ADMIN, _ADMIN, _CAP_UNITS, caps])


if __name__ == "__main__":
    sys.exit(main())
