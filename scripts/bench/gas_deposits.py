"""Gas of sweeping deposit addresses, from receipts of a real anvil, in one run.

    python -m scripts.bench.gas_deposits            print every case
    python -m scripts.bench.gas_deposits --write    write contracts/gas_deposits.md

As `scripts/bench/gas.py`, whose chain, tokens and rules this uses: every figure is `gasUsed` of a
receipt, and two runs agree to the unit. `first`: no forwarder is deployed at the addresses yet;
`later`: each was swept before; `empty`: the same, and nothing is there. Salts have no zero byte,
and the destination holds the token before and after.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from eth_abi.abi import encode

from adapters.evm.artifacts import load
from adapters.evm.deposits import ForwarderAddresses
from node.core.units import Address
from node.devnet.anvil import DEV_ACCOUNTS
from node.devnet.errors import DevnetError
from scripts.bench.gas import TOKENS, Bench, chain

ROOT: Final = Path(__file__).resolve().parents[2]
TABLE: Final = ROOT / "contracts" / "gas_deposits.md"
SWEEPS: Final = ("first", "later", "empty")
ADDRESSES: Final = (1, 10, 100)
_ANYBODY: Final = DEV_ACCOUNTS[2][0]


@dataclass(frozen=True, slots=True)
class Row:
    """One measured sweep.

    Attributes:
        sweep: `first`, `later` or `empty`.
        gas: Of the one transaction.
    """

    token: str
    sweep: str
    addresses: int
    gas: int

    @property
    def per_address(self) -> int:
        """Gas per address, rounded up."""
        return -(-self.gas // self.addresses)


class SweepBench(Bench):
    """The chain of `Bench`, with a factory whose destination is its settlement contract."""

    def sweeps(self) -> Iterator[Row]:
        """Every case of this token, each measured on the same state of the chain."""
        arguments = encode(["address"], [self.contract])
        factory = self._deploy(load("DepositForwarders"), arguments)
        for sweep in SWEEPS:
            for count in ADDRESSES:
                gas = self._apart(partial(self._measured, factory, sweep, _salts(count)))
                yield Row(self.name, sweep, count, gas)

    def _measured(self, factory: str, sweep: str, salts: Sequence[bytes]) -> int:
        addresses = ForwarderAddresses(_bytes(factory), _bytes(self.contract))
        deposits = ["0x" + addresses.address_of(each).hex() for each in salts]
        if sweep != "first":
            self.transfers(deposits)
            self._sweep(factory, salts)
        if sweep != "empty":
            self.transfers(deposits)
        gas = self._sweep(factory, salts)
        if any(self._balance(each) for each in deposits):
            raise DevnetError("an address was not swept")
        return gas

    def _sweep(self, factory: str, salts: Sequence[bytes]) -> int:
        arguments = (self.token, list(salts))
        return self._mined(self._send(_ANYBODY, factory, "sweep(address,bytes32[])", *arguments))


def measure() -> list[Row]:
    """Every case in the table's order, each token on a chain of its own."""
    rows: list[Row] = []
    for token in TOKENS:
        with chain() as rpc_url:
            rows += SweepBench(rpc_url, token).sweeps()
    return rows


def render(rows: Sequence[Row]) -> str:
    """The table as it is committed."""
    lines = [
        "# Gas of sweeping deposits",
        "",
        "Written by `python -m scripts.bench.gas_deposits --write`, which says how it measures;",
        "a test compares it with the chain to the unit. Gas of one transaction; `per address` is",
        "that divided by the addresses, rounded up. `first`: nothing is deployed at the addresses",
        "yet; `later`: each was swept before; `empty`: the same, and nothing is there.",
        "",
        "| token | sweep | addresses | gas | per address |",
        "|---|---|---:|---:|---:|",
    ]
    lines += [
        f"| {row.token} | {row.sweep} | {row.addresses} | {row.gas:,} | {row.per_address:,} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, print, write when asked."""
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
    for row in rows:
        print(
            f"sweep {row.token} {row.sweep} n={row.addresses} gas={row.gas:,}"
            f" per_address={row.per_address:,}"
        )
    if write:
        TABLE.write_text(render(rows), encoding="utf-8")
    return 0


def _salts(count: int) -> list[bytes]:
    """So many salts without a zero byte, the same in each run."""
    return [
        bytes(each or 0xFF for each in hashlib.sha256(f"salt {number}".encode()).digest())
        for number in range(count)
    ]


def _bytes(address: str) -> Address:
    return Address(bytes.fromhex(address[2:]))


if __name__ == "__main__":
    sys.exit(main())
