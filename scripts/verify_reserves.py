"""Check a proof of reserves without the node that wrote it: the standard library and this file.

    python scripts/verify_reserves.py reserves.json                 what the node says of itself
    python scripts/verify_reserves.py reserves.json cus_….json      that your balance is in it
    python scripts/verify_reserves.py reserves.json cus_….json --amount 12.500000

The format is that of node/docs/reserves_proof.md. Exit status: 0 everything holds and what is owed
is covered; 1 something does not hold, with what; 2 wrong usage. Nothing is asked of any network.
"""

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

SUM_LIMIT = 2**62
DEPTH_MAX = 40
BYTES_MAX = 2**28
HASH = re.compile(r"[0-9a-f]{64}")
CHAIN_HASH = re.compile(r"0x[0-9a-f]{64}")
ADDRESS = re.compile(r"0x[0-9a-f]{40}")
MINOR = re.compile(r"0|[1-9][0-9]{0,18}")
ASSET = re.compile(r"[A-Za-z0-9._-]{1,32}")
ACCOUNT = re.compile(r"[A-Za-z0-9._/-]{1,200}")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
ANCHOR = re.compile(r"[0-9]{1,19}:[0-9a-f]{64}")
ROLES = re.compile(r"contract|treasury|deposit|other")
KIND = re.compile(r"[a-z_]{1,32}")


class Fault(Exception):
    """What does not hold."""


def need(holds: object, what: str) -> None:
    """Fail unless it holds."""
    if not holds:
        raise Fault(what)


def read(path: Path) -> tuple[dict[str, Any], bytes]:
    """A JSON object, every member once, and the file's bytes."""

    def once(found: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len({name for name, _ in found}) == len(found), f"{path}: a member stands twice")
        return dict(found)

    def no(text: str) -> Any:
        raise Fault(f"{path}: {text[:20]} is not allowed")

    with path.open("rb") as file:
        data = file.read(BYTES_MAX + 1)
    need(len(data) <= BYTES_MAX, f"{path} is too large")
    try:
        told = json.loads(data, object_pairs_hook=once, parse_float=no, parse_constant=no)
    except (ValueError, RecursionError) as error:
        raise Fault(f"{path} is not JSON: {error}") from None
    need(isinstance(told, dict), f"{path} is no JSON object")
    return told, data


class Members:
    """The members of an object: each is asked for by its form, and none may be left over."""

    def __init__(self, told: Any, where: str, names: str) -> None:
        need(isinstance(told, dict), f"{where} is no object")
        need(set(told) == set(names.split()), f"{where} has other members than {names}")
        self.told, self.where = told, where

    def text(self, name: str, form: re.Pattern[str]) -> str:
        """A text of this form."""
        found = self.told[name]
        need(isinstance(found, str) and form.fullmatch(found), f"{self.where}: {name} is malformed")
        return str(found)

    def number(self, name: str, limit: int) -> int:
        """A whole number from 0 to below `limit`."""
        found = self.told[name]
        need(type(found) is int and 0 <= found < limit, f"{self.where}: {name} is malformed")
        return int(found)

    def minor(self, name: str) -> int:
        """An amount in minor units, below 2^62."""
        found = int(self.text(name, MINOR))
        need(found < SUM_LIMIT, f"{self.where}: {name} is 2^62 or more")
        return found


class Reserves:
    """`reserves.json`, read and added up."""

    def __init__(self, path: Path) -> None:
        told, data = read(path)
        self.sha256 = hashlib.sha256(data).hexdigest()
        all_ = Members(
            told,
            str(path),
            "format audit_id made_at chain_id block token ledger_anchor owed_minor total_minor root"
            " depth reserves reserves_minor covered does_not_show",
        )
        all_.text("format", re.compile(r"corridor-reserves-1"))
        block = Members(told["block"], f"{path} block", "number hash mined_at")
        token = Members(told["token"], f"{path} token", "asset address digits")
        self.audit = bytes.fromhex(all_.text("audit_id", HASH))
        self.made_at, self.mined_at = all_.text("made_at", TIME), block.text("mined_at", TIME)
        self.chain_id, self.number = all_.number("chain_id", 2**63), block.number("number", 2**63)
        self.block_hash, self.asset = block.text("hash", CHAIN_HASH), token.text("asset", ASSET)
        self.token, self.digits = token.text("address", ADDRESS), token.number("digits", 19)
        self.anchor, self.root = all_.text("ledger_anchor", ANCHOR), all_.text("root", HASH)
        self.depth, self.total = all_.number("depth", DEPTH_MAX + 1), all_.minor("total_minor")
        need(self.depth > 0, "a tree has at least two leaves")
        kinds = told["owed_minor"]
        need(isinstance(kinds, dict) and all(map(KIND.fullmatch, kinds)), "owed_minor is malformed")
        owed = Members(kinds, f"{path} owed_minor", " ".join(kinds))
        self.owed = {kind: owed.minor(kind) for kind in kinds}
        need(sum(self.owed.values()) == self.total, "what is owed does not sum up to the total")
        need(isinstance(told["reserves"], list), "reserves is no list")
        rows = [
            Members(each, "a reserve", "address role balance_minor") for each in told["reserves"]
        ]
        self.held = {each.text("address", ADDRESS): each.minor("balance_minor") for each in rows}
        self.roles = {each.text("address", ADDRESS): each.text("role", ROLES) for each in rows}
        need(len(self.held) == len(rows), "an address is counted twice")
        self.reserves = all_.minor("reserves_minor")
        need(sum(self.held.values()) == self.reserves, "the balances do not sum up to the reserves")
        self.covered = self.total <= self.reserves
        need(told["covered"] is self.covered, "whether it is covered does not follow from the sums")
        self.limits = told["does_not_show"]
        need(isinstance(self.limits, list), "does_not_show is no list")
        need(
            all(isinstance(each, str) for each in self.limits), "does_not_show is no list of texts"
        )

    def amount(self, minor: int) -> str:
        """In whole units of the asset."""
        whole, part = divmod(minor, 10**self.digits)
        decimals = f".{part:0{self.digits}}" if self.digits else ""
        return f"{whole}{decimals} {self.asset}"


def check_statement(path: Path, reserves: Reserves) -> tuple[str, int]:
    """Account and amount of a statement whose leaf is in the tree.

    Raises:
        Fault: It is not, or the file is malformed.
    """
    told, _ = read(path)
    all_ = Members(
        told, str(path), "format audit_id asset account nonce amount_minor slot siblings"
    )
    all_.text("format", re.compile(r"corridor-reserves-statement-1"))
    need(bytes.fromhex(all_.text("audit_id", HASH)) == reserves.audit, "it is of another audit")
    need(all_.text("asset", ASSET) == reserves.asset, "it is of another asset")
    account, nonce = all_.text("account", ACCOUNT), bytes.fromhex(all_.text("nonce", HASH))
    amount, slot = all_.minor("amount_minor"), all_.number("slot", 2**reserves.depth)
    siblings = told["siblings"]
    need(isinstance(siblings, list), "siblings is no list")
    need(len(siblings) == reserves.depth, "the way to the root has another length than the tree")
    salted = hashlib.sha256(account.encode() + nonce).digest()
    start = b"\x00" + reserves.audit + reserves.asset.encode() + salted
    found, total = hashlib.sha256(start + amount.to_bytes(8, "big")).digest(), amount
    for height, each in enumerate(siblings):
        beside = Members(each, f"{path} sibling {height}", "hash sum_minor")
        other = bytes.fromhex(beside.text("hash", HASH)), beside.minor("sum_minor")
        left, right = (
            ((found, total), other) if slot >> height & 1 == 0 else (other, (found, total))
        )
        pair = b"".join(hash_ + sum_.to_bytes(8, "big") for hash_, sum_ in (left, right))
        found, total = hashlib.sha256(b"\x01" + pair).digest(), left[1] + right[1]
        need(total < SUM_LIMIT, f"the sum at height {height} is 2^62 or more")
    need(total == reserves.total, f"the sums lead to {total}, the total is {reserves.total}")
    need(found.hex() == reserves.root, f"it leads to the root {found.hex()}, not {reserves.root}")
    return account, amount


def tell(reserves: Reserves, stated: tuple[str, int] | None) -> None:
    """What holds, and what is not shown, in words."""
    print(f"SHA-256 of reserves.json: {reserves.sha256}")
    print(f"Made {reserves.made_at}, chain {reserves.chain_id}, block {reserves.number}")
    print(f"  {reserves.block_hash}, mined {reserves.mined_at}")
    print(f"Token {reserves.asset} {reserves.token}; the ledger ended at {reserves.anchor}")
    print("Holds:")
    if stated is not None:
        print(f"  {stated[0]} is owed {reserves.amount(stated[1])}, and that is in the total.")
        print("  Compare this amount with what your statement of the account says.")
    print(f"  Owed to all creditors together: {reserves.amount(reserves.total)}")
    for kind, minor in sorted(reserves.owed.items()):
        print(f"    {kind}: {reserves.amount(minor)}")
    print(f"  Held by the addresses named: {reserves.amount(reserves.reserves)}")
    for address, minor in reserves.held.items():
        print(f"    {address} {reserves.roles[address]}: {reserves.amount(minor)}")
    print(f"  What is owed is {'covered' if reserves.covered else 'NOT COVERED'}.")
    print("Not shown:")
    for each in reserves.limits:
        print(f"  {ascii(each)[1:-1]}")


def main(arguments: list[str] | None = None) -> int:
    """Check; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reserves", type=Path, help="reserves.json, as published")
    parser.add_argument("statement", type=Path, nargs="?", help="your own statement")
    parser.add_argument("--amount", help="what you are owed as you know it, such as 12.500000")
    given = parser.parse_args(arguments)
    if given.amount is not None and given.statement is None:
        parser.error("--amount needs a statement")
    try:
        reserves = Reserves(given.reserves)
        stated = check_statement(given.statement, reserves) if given.statement else None
        if stated is not None and given.amount is not None:
            known, said = f"{given.amount} {reserves.asset}", reserves.amount(stated[1])
            need(known == said, f"the statement says {said}, you know of {known}")
    except OSError as error:
        print(f"{error.filename} cannot be read: {error.strerror}", file=sys.stderr)
        return 2
    except Fault as fault:
        print(f"NOT PROVEN. {fault}")
        return 1
    tell(reserves, stated)
    print("Proven." if reserves.covered else "The file is sound, and says that not all is covered.")
    return 0 if reserves.covered else 1


if __name__ == "__main__":
    sys.exit(main())
