"""The mirror's rules over random chains: what it holds is what the chain is, whatever happened."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.mirror import (
    BlockHeader,
    BlockPoint,
    Cause,
    Cursor,
    Facts,
    Finality,
    PlanKind,
    SettlementKind,
    SettlementLog,
    TokenLog,
    cause_of,
    pair_payouts,
    plan,
)
from node.core.units import Address, BlockHash, TxHash

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONTRACT, TREASURY, STRANGER = (Address(bytes([n]) * 20) for n in (1, 2, 3))
DEPTH_BLOCKS = 3


def header(number: int, branch: int, parent: BlockHash) -> BlockHeader:
    hash_ = BlockHash(number.to_bytes(8) + branch.to_bytes(8) + parent[:16])
    return BlockHeader(number, hash_, parent, NOW)


@dataclass
class Chain:
    """A chain that may replace its newest blocks."""

    blocks: list[BlockHeader] = field(default_factory=lambda: [header(0, 0, BlockHash(bytes(32)))])
    branch: int = 0

    def grow(self, count: int) -> None:
        for _ in range(count):
            last = self.blocks[-1]
            self.blocks.append(header(last.number + 1, self.branch, last.hash))

    def reorg(self, depth: int, length: int) -> None:
        """Replace the newest `depth` blocks by `length` others."""
        self.branch += 1
        del self.blocks[max(1, len(self.blocks) - depth) :]
        self.grow(length)


@dataclass
class Mirror:
    """What the service does with a plan, without a store."""

    chain: Chain
    hashes: dict[int, BlockHash] = field(default_factory=dict)
    halted: bool = False

    def __post_init__(self) -> None:
        first = self.chain.blocks[0]
        self.hashes[0] = first.hash
        self.cursor = Cursor(0, first.point, first.point, None, NOW, NOW)

    def look(self, shown: int) -> PlanKind:
        """One pass; the provider shows only its first `shown` blocks."""
        blocks = self.chain.blocks[:shown]
        last = blocks[-1].number
        first = min(last, self.cursor.head.number)
        ours = {n: h for n, h in self.hashes.items() if n >= self.cursor.final.number}
        step = plan(self.cursor, ours, blocks[first:])
        if step.kind is PlanKind.WIDEN:
            step = plan(self.cursor, ours, blocks[self.cursor.final.number :])
        match step.kind:
            case PlanKind.EXTEND:
                for each in step.headers:
                    assert each.parent_hash == self.hashes[each.number - 1]
                    self.hashes[each.number] = each.hash
                self._move(step.headers[-1].point if step.headers else self.cursor.head)
            case PlanKind.REWIND:
                assert step.rewind_to is not None
                self.hashes = {n: h for n, h in self.hashes.items() if n <= step.rewind_to.number}
                self._move(step.rewind_to)
            case PlanKind.HALT:
                self.halted = True
            case PlanKind.WIDEN:
                raise AssertionError("a look from the final block on needs no wider one")
        return step.kind

    def _move(self, head: BlockPoint) -> None:
        number = Finality(DEPTH_BLOCKS).final_number(head.number, None)
        final = self.cursor.final
        if number is not None and number > final.number:
            final = BlockPoint(number, self.hashes[number])
        assert final.number >= self.cursor.final.number
        self.cursor = Cursor(0, head, final, None, NOW, NOW)


step_of_a_chain = st.one_of(
    st.tuples(st.just("grow"), st.integers(1, 6), st.just(0)),
    st.tuples(st.just("reorg"), st.integers(1, DEPTH_BLOCKS), st.integers(1, 6)),
    st.tuples(st.just("lag"), st.integers(1, 4), st.just(0)),
)


@given(st.lists(step_of_a_chain, max_size=30))
def test_reorgs_within_finality_never_stop_the_mirror_and_it_ends_where_the_chain_is(
    steps: list[tuple[str, int, int]],
) -> None:
    chain = Chain()
    mirror = Mirror(chain)
    for word, count, length in steps:
        if word == "grow":
            chain.grow(count)
        elif word == "reorg":
            # Finality counts from the longest head seen: a reorg replaces at most the N newest.
            chain.reorg(count, max(count, length))
        shown = max(1, len(chain.blocks) - (count if word == "lag" else 0))
        mirror.look(shown)
        assert not mirror.halted
        assert mirror.cursor.final.hash == mirror.hashes[mirror.cursor.final.number]
    while mirror.cursor.head != chain.blocks[-1].point:
        mirror.look(len(chain.blocks))
    assert mirror.hashes == {each.number: each.hash for each in chain.blocks}


@given(st.integers(1, 6), st.integers(0, 4))
def test_a_replaced_final_block_halts_the_mirror_and_changes_nothing(
    beyond: int, longer: int
) -> None:
    chain = Chain()
    mirror = Mirror(chain)
    chain.grow(12)
    mirror.look(len(chain.blocks))
    before = dict(mirror.hashes)
    chain.reorg(DEPTH_BLOCKS + beyond, DEPTH_BLOCKS + beyond + longer)
    assert mirror.look(len(chain.blocks)) is PlanKind.HALT
    assert mirror.hashes == before


def test_a_provider_that_lags_behind_is_no_reorg() -> None:
    chain = Chain()
    mirror = Mirror(chain)
    chain.grow(12)
    mirror.look(len(chain.blocks))
    for shown in range(1, 13):
        assert mirror.look(shown) is PlanKind.EXTEND
    assert mirror.cursor.head == chain.blocks[-1].point


def test_blocks_read_while_the_chain_changed_are_not_joined() -> None:
    chain, other = Chain(), Chain(branch=9)
    chain.grow(5)
    other.grow(5)
    mirror = Mirror(chain)
    mixed = [*chain.blocks[:3], *other.blocks[3:]]
    step = plan(mirror.cursor, mirror.hashes, mixed)
    assert [each.number for each in step.headers] == [1, 2]


def test_a_block_is_final_at_depth_plus_one_confirmations() -> None:
    assert Finality(2).final_number(10, None) == 8
    assert Finality(2).final_number(1, None) is None
    assert Finality(None).final_number(10, 7) == 7
    assert Finality(None).final_number(10, None) is None


def token_log(index: int, tx: int = 1, *, out: bool = True, amount: int = 5) -> TokenLog:
    ends = (CONTRACT, STRANGER) if out else (STRANGER, CONTRACT)
    return TokenLog(index, TxHash(bytes([tx]) * 32), *ends, amount)


def settled(index: int, number: int, tx: int = 1) -> SettlementLog:
    return SettlementLog(index, TxHash(bytes([tx]) * 32), SettlementKind.SETTLED, number)


def test_the_payout_of_a_settled_is_the_last_token_log_out_of_the_contract_before_it() -> None:
    tokens = [token_log(0), token_log(1), token_log(3), token_log(4, out=False)]
    first, second = pair_payouts(tokens, [settled(2, 7), settled(5, 8)], CONTRACT)
    assert first.payout == tokens[1]
    assert second.payout == tokens[2]


def test_a_settled_without_a_payout_in_its_own_transaction_has_none() -> None:
    (alone,) = pair_payouts([token_log(0, tx=2)], [settled(1, 7, tx=1)], CONTRACT)
    assert alone.payout is None


def test_one_token_log_never_pays_two_settled() -> None:
    first, second = pair_payouts([token_log(0)], [settled(1, 7), settled(2, 8)], CONTRACT)
    assert (first.payout is not None, second.payout) == (True, None)


def test_every_token_log_has_exactly_one_cause() -> None:
    own = frozenset({CONTRACT, TREASURY})

    def cause(log: TokenLog, *, payout: bool = False, movement: bool = False) -> Cause:
        return cause_of(log, addresses=own, is_payout=payout, is_movement=movement)

    assert cause(token_log(0), payout=True) is Cause.SETTLED
    assert cause(token_log(0), movement=True) is Cause.MOVEMENT
    assert cause(token_log(0)) is Cause.ORPHAN_OUTBOUND
    assert cause(token_log(0, out=False)) is Cause.SUSPENSE
    assert cause(token_log(0, amount=0)) is Cause.NOTHING
    to_itself = TokenLog(0, TxHash(bytes(32)), CONTRACT, CONTRACT, 5)
    assert cause(to_itself) is Cause.NOTHING
    between_own = TokenLog(0, TxHash(bytes(32)), TREASURY, CONTRACT, 5)
    assert cause(between_own) is Cause.ORPHAN_OUTBOUND


def test_the_tag_decides_alone_unless_an_operator_allows_a_depth() -> None:
    for lost in (False, True):
        assert Finality(None).final_number(100, 64, has_lost_its_tag=lost) == 64
        assert Finality(None).final_number(100, None, has_lost_its_tag=lost) is None
        assert Finality(30).final_number(100, 64, has_lost_its_tag=lost) == 70
    both = Finality(30, tag_first=True)
    assert both.final_number(100, 64) == 64
    assert both.final_number(100, None) is None
    assert both.final_number(100, 64, has_lost_its_tag=True) == 70
    assert both.final_number(20, None, has_lost_its_tag=True) is None
    assert [each.asks_for_tag for each in (Finality(None), Finality(30), both)] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("tag_minutes", "head_minutes", "is_lost"),
    [(None, 0, True), (0, 30, False), (0, 31, True), (40, 31, False)],
)
def test_a_tag_is_lost_when_the_head_moved_for_half_an_hour_without_it(
    tag_minutes: int | None, head_minutes: int, is_lost: bool
) -> None:
    point = BlockPoint(1, BlockHash(bytes(32)))
    moved_at = NOW + timedelta(minutes=head_minutes)
    tag_moved_at = None if tag_minutes is None else NOW + timedelta(minutes=tag_minutes)
    cursor = Cursor(0, point, point, None, moved_at, NOW, None, tag_moved_at)
    assert cursor.has_lost_its_tag is is_lost


def test_facts_differ_at_the_first_log_that_only_one_has_or_that_they_read_differently() -> None:
    point = BlockPoint(1, BlockHash(bytes(32)))
    logs = [
        TokenLog(n, TxHash(bytes([n]) * 32), Address(bytes(20)), Address(b"\1" * 20), n)
        for n in range(4)
    ]
    whole = Facts(point, logs, ())
    assert whole.difference(Facts(point, tuple(logs), [])) is None
    assert whole.difference(Facts(point, logs[:2], ())) == 2
    assert Facts(point, logs[1:], ()).difference(whole) == 0
    assert whole.difference(Facts(point, [*logs[:3], replace(logs[3], amount=9)], ())) == 3
    assert whole.of_transaction(logs[2].tx_hash).token_logs == [logs[2]]
