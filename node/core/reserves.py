"""Proof of reserves: a Merkle-sum tree over what the node owes, and what is said beside it. Pure.

A leaf is one creditor's balance, a node binds both of its children with both of their sums; a node
that bound only the sum of the two would let a liar understate what is owed (Hu, Zhang, Guo, "Your
money or your life", eprint 2018/1139). The order is random, what is left of the next power of two
is leaves of nothing, and a balance is one leaf: parts of it could be told apart by their sums.

The format is node/docs/reserves_proof.md; `scripts/verify_reserves.py` checks it without this code.
Not here: where balances come from (`node.services.ledger.reserves`).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from node.core.errors import InvariantBroken
from node.core.mirror import BlockHeader
from node.core.units import MINOR_LIMIT, Address

FORMAT: Final = "corridor-reserves-1"
STATEMENT_FORMAT: Final = "corridor-reserves-statement-1"
RANDOM_BYTES: Final = 32
"""Length of an audit's id and of a leaf's nonce."""

_HASH_BYTES: Final = 32
_SUM_BYTES: Final = 8
_NODE_BYTES: Final = _HASH_BYTES + _SUM_BYTES
_PAIR_BYTES: Final = 2 * _NODE_BYTES
_LEAF, _NODE = b"\x00", b"\x01"
_DRAW_BYTES: Final = 8  # against at most 2^32 places: the bias is below 2^-32

NOT_SHOWN: Final = (
    "that the money is the node's own: it may be borrowed for the day, or promised elsewhere",
    "that the node holds the addresses' keys: it signs nothing here; payments from them show that",
    "debts in other currencies, and debts that are in none of the node's books",
    "that nobody was left out: whoever is owed money sees that by a statement of their own",
    "that others were shown the same file: compare its SHA-256, which the script prints",
    "that the balances stood there: any node of the chain answers balanceOf at the block's hash",
)
"""What a reader must not take from a proof, in words."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the tree, a leaf too: its hash, and the sum of the balances below it."""

    hash: bytes
    minor: int


@dataclass(frozen=True, slots=True)
class Audit:
    """What every leaf of one tree is bound to.

    Attributes:
        id: 32 random bytes, so that two trees share no hash.
        asset: Code of the asset owed.
    """

    id: bytes
    asset: str

    def leaf(self, account: str, nonce: bytes, minor: int) -> bytes:
        """Hash of a creditor's leaf; `nonce`: 32 bytes that only this creditor is told."""
        return self.leaf_of(hashlib.sha256(account.encode() + nonce).digest(), minor)

    def leaf_of(self, salted: bytes, minor: int) -> bytes:
        """Hash of the leaf of a salted account; of 32 random bytes and 0: padding."""
        _check(minor)
        told = _LEAF + self.id + self.asset.encode() + salted + minor.to_bytes(_SUM_BYTES)
        return hashlib.sha256(told).digest()


class SumTree:
    """A tree that is filled leaf by leaf and then closed; 80 bytes of memory a leaf.

    Args:
        leaves: How many there must be room for; the tree has the next power of two, at least 2.
    """

    def __init__(self, leaves: int) -> None:
        self.depth = max(1, (leaves - 1).bit_length())
        self._levels = [bytearray(_NODE_BYTES << up) for up in range(self.depth, -1, -1)]

    @property
    def slots(self) -> int:
        """Leaves of the tree."""
        return 1 << self.depth

    def put(self, slot: int, leaf_hash: bytes, minor: int) -> None:
        """Put a leaf into its place."""
        at = slot * _NODE_BYTES
        self._levels[0][at : at + _NODE_BYTES] = leaf_hash + minor.to_bytes(_SUM_BYTES)

    def close(self) -> Node:
        """Make every node above the leaves; the root.

        Raises:
            InvariantBroken: A sum is 2^62 or more.
        """
        for below, above in zip(self._levels, self._levels[1:], strict=False):
            for at in range(0, len(below), _PAIR_BYTES):
                pair = below[at : at + _PAIR_BYTES]
                total = _sum_at(pair, 0) + _sum_at(pair, _NODE_BYTES)
                _check(total)
                above[at // 2 : at // 2 + _NODE_BYTES] = hashlib.sha256(
                    _NODE + pair
                ).digest() + total.to_bytes(_SUM_BYTES)
        return self._node(self._levels[-1], 0)

    def siblings(self, slot: int) -> Sequence[Node]:
        """What leads from a leaf to the root of the closed tree, from below."""
        return [
            self._node(level, slot >> height ^ 1) for height, level in enumerate(self._levels[:-1])
        ]

    @staticmethod
    def _node(level: bytearray, place: int) -> Node:
        at = place * _NODE_BYTES
        return Node(bytes(level[at : at + _HASH_BYTES]), _sum_at(level, at))


def shuffled(count: int, chance: bytes) -> list[int]:
    """The numbers below `count` in an order that nobody chose (Fisher and Yates).

    Args:
        count: At most 2^32.
        chance: 8 random bytes for each.
    """
    order = list(range(count))
    for last in range(count - 1, 0, -1):
        drawn = int.from_bytes(chance[last * _DRAW_BYTES : (last + 1) * _DRAW_BYTES])
        place = drawn % (last + 1)
        order[last], order[place] = order[place], order[last]
    return order


@dataclass(frozen=True, slots=True)
class Reserve:
    """What an address of the node holds of the asset.

    Attributes:
        role: `contract`, `treasury`, `deposit` or `other` (keys of the node).
        ledger_minor: By the ledger.
        chain_minor: By the chain, in the state of the block.
    """

    address: Address
    role: str
    ledger_minor: int
    chain_minor: int


@dataclass(frozen=True, slots=True)
class Attestation:
    """Everything that is said of one asset at one final block.

    Attributes:
        made_at: Time of the snapshot, database clock.
        ledger_anchor: Number and hash of the newest batch of the ledger, see `corridor verify`.
        owed: Kind of creditor -> what they are owed together; sums up to the root's.
        accounts: How many leaves are somebody's; it is not published.
    """

    audit: Audit
    made_at: datetime
    chain_id: int
    block: BlockHeader
    token: Address
    digits: int
    ledger_anchor: str
    owed: Mapping[str, int]
    root: Node
    depth: int
    accounts: int
    reserves: Sequence[Reserve]

    @property
    def held_minor(self) -> int:
        """What the addresses hold together."""
        return sum(each.chain_minor for each in self.reserves)

    @property
    def is_covered(self) -> bool:
        """Whether the addresses hold at least what is owed."""
        return self.root.minor <= self.held_minor


def differences(reserves: Iterable[Reserve]) -> list[Reserve]:
    """Those of which ledger and chain do not say the same."""
    return [each for each in reserves if each.ledger_minor != each.chain_minor]


def published(found: Attestation) -> dict[str, object]:
    """`reserves.json`: what everybody may see. Amounts are minor units in decimal digits."""
    block = found.block
    return {
        "format": FORMAT,
        "audit_id": found.audit.id.hex(),
        "made_at": _time(found.made_at),
        "chain_id": found.chain_id,
        "block": {
            "number": block.number,
            "hash": f"0x{block.hash.hex()}",
            "mined_at": _time(block.mined_at),
        },
        "token": {
            "asset": found.audit.asset,
            "address": f"0x{found.token.hex()}",
            "digits": found.digits,
        },
        "ledger_anchor": found.ledger_anchor,
        "owed_minor": {kind: str(minor) for kind, minor in sorted(found.owed.items())},
        "total_minor": str(found.root.minor),
        "root": found.root.hash.hex(),
        "depth": found.depth,
        "reserves": [
            {
                "address": f"0x{each.address.hex()}",
                "role": each.role,
                "balance_minor": str(each.chain_minor),
            }
            for each in found.reserves
        ],
        "reserves_minor": str(found.held_minor),
        "covered": found.is_covered,
        "does_not_show": list(NOT_SHOWN),
    }


def statement(
    audit: Audit, account: str, nonce: bytes, minor: int, slot: int, siblings: Sequence[Node]
) -> dict[str, object]:
    """One creditor's own file: the inputs of the leaf, and what leads from it to the root."""
    return {
        "format": STATEMENT_FORMAT,
        "audit_id": audit.id.hex(),
        "asset": audit.asset,
        "account": account,
        "nonce": nonce.hex(),
        "amount_minor": str(minor),
        "slot": slot,
        "siblings": [{"hash": each.hash.hex(), "sum_minor": str(each.minor)} for each in siblings],
    }


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _sum_at(level: bytearray, at: int) -> int:
    return int.from_bytes(level[at + _HASH_BYTES : at + _NODE_BYTES])


def _check(minor: int) -> None:
    if not 0 <= minor < MINOR_LIMIT:
        raise InvariantBroken(f"no balance of a proof can be {minor} minor units")
