"""Attempts of one nonce: their fees, what answers lead to, what is sent again, and what is signed.

The chain is real; what a provider answers to a send is scripted where a real client is stricter
than anvil.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from adapters.evm.client import EvmChain
from adapters.evm.signed import Eip1559Reader
from adapters.evm.signer import KeystoreSigner
from node.core.errors import ChainUnavailable, SignerUnavailable
from node.core.ports.chain import (
    FeeHistory,
    SendAnswer,
    SignedTransaction,
    UnsignedTransaction,
)
from node.core.settlement import BatchRules, LaneStatus, PauseReason
from node.core.submission import FeeRules
from node.core.transfers import State
from node.services.settlement.parts import SettlementParts
from node.services.settlement.settling import SettlementService
from tests.onchain import LANE, LANE_KEY
from tests.rig import AnvilServer
from tests.services.settling import Killed, MakeRig, Rig, killer

GWEI = 10**9
Script = Callable[[UnsignedTransaction], str | None]
"""Words of a provider's refusal; None: the bytes go to the real chain."""


@pytest.fixture
async def rig(make_rig: MakeRig, start_anvil: Callable[..., AnvilServer]) -> Rig:
    """A chain that mines only when told; every pass may bump and send again."""
    rig = await make_rig(start_anvil(automine=False))
    rig.fees = FeeRules(bump_after_blocks=0, resend_after_s=0)
    return rig


class Scripted(EvmChain):
    """A chain whose provider says what a script says, and whose sends are written down."""

    def __init__(self, rig: Rig, script: Script = lambda _: None) -> None:
        super().__init__(rig.providers)
        self.script = script
        self.sent: list[UnsignedTransaction] = []

    async def send_raw(self, raw: Sequence[bytes]) -> Sequence[Sequence[SendAnswer]]:
        answers: list[Sequence[SendAnswer]] = []
        for each in raw:
            _, _, transaction = Eip1559Reader().decode(each)
            self.sent.append(transaction)
            words = self.script(transaction)
            if words is None:
                answers += await super().send_raw([each])
            else:
                answers.append([SendAnswer("p", None, -32000, words)])
        return answers


async def paid(rig: Rig, worker: SettlementService, passes: int = 4) -> None:
    for _ in range(passes):
        await worker.run_once()
    rig.onchain.anvil.mine()


def fees_of(sent: Sequence[UnsignedTransaction]) -> list[int]:
    return [each.max_fee_per_gas_wei for each in sent]


async def attempts(rig: Rig) -> list[tuple[int, str, str | None]]:
    rows = await rig.rows("SELECT * FROM attempt ORDER BY sequence")
    return [(row["sequence"], row["fee_source"], row["last_answer"]) for row in rows]


# ------------------------------------------------------------------------------------------- fees


async def test_an_attempt_keeps_the_source_of_its_fees(rig: Rig) -> None:
    class Poor(EvmChain):
        async def fee_history(self, blocks: int, percentile: int) -> FeeHistory:
            history = await super().fee_history(blocks, percentile)
            return FeeHistory(history.next_base_fee_wei, [GWEI], "default")

    await rig.funded(1)
    await rig.worker(chain=Poor(rig.providers)).run_once()
    assert [source for _, source, _ in await attempts(rig)] == ["default"]


async def test_a_first_attempt_offers_twice_the_base_fee_and_never_more_than_the_cap(
    rig: Rig,
) -> None:
    base_wei = 100 * GWEI
    rig.onchain.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(base_wei))
    rig.onchain.anvil.mine()
    rig.fees = FeeRules(max_fee_per_gas_wei=150 * GWEI)
    chain = Scripted(rig)
    await rig.funded(1)
    await rig.worker(chain=chain).run_once()
    (first,) = chain.sent
    assert first.max_fee_per_gas_wei == 150 * GWEI
    assert 0 < first.max_priority_fee_per_gas_wei <= first.max_fee_per_gas_wei


async def test_all_attempts_of_a_nonce_have_its_call_and_its_gas(rig: Rig) -> None:
    chain = Scripted(rig, lambda each: "transaction underpriced" if len(chain.sent) < 4 else None)
    await rig.funded(3)
    worker = rig.worker(chain=chain)
    for _ in range(3):
        await worker.run_once()
        rig.onchain.anvil.mine()  # patience is counted by blocks
    await paid(rig, worker, 3)
    assert len(set(fees_of(chain.sent))) > 2
    assert len({(e.nonce, e.to, e.data, e.gas_limit, e.value_wei) for e in chain.sent}) == 1


# ---------------------------------------------------------------------------------------- answers


async def test_underpriced_in_the_pool_is_bumped_at_once(rig: Rig) -> None:
    rig.fees = FeeRules(bump_after_blocks=1000, resend_after_s=1000)
    chain = Scripted(rig, lambda _: "transaction underpriced" if len(chain.sent) == 1 else None)
    transfers = await rig.funded(2)
    await paid(rig, rig.worker(chain=chain), 2)
    rig.assert_each_paid_once(transfers)
    first, second = fees_of(chain.sent)
    assert second * 1000 >= first * 1125
    assert await attempts(rig) == [
        (1, "fee_history", "underpriced"),
        (2, "bump:fee_history", "accepted"),
    ]


async def test_a_pool_that_stays_full_does_not_drive_fees_up(rig: Rig) -> None:
    rig.fees = FeeRules(bump_after_blocks=1000, resend_after_s=0)
    chain = Scripted(rig, lambda _: "txpool is full")
    transfers = await rig.funded(1)
    worker = rig.worker(chain=chain)
    for _ in range(8):
        await worker.run_once()
        rig.onchain.anvil.mine()
    assert len(await attempts(rig)) == 2
    chain.script = lambda _: None
    await paid(rig, worker)
    rig.assert_each_paid_once(transfers)


async def test_a_fee_the_cap_does_not_allow_is_waited_for_with_the_old_bytes(rig: Rig) -> None:
    rig.fees = FeeRules(max_fee_per_gas_wei=3 * GWEI, bump_after_blocks=0, resend_after_s=0)
    base_wei = 10 * GWEI
    rig.onchain.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(base_wei))
    rig.onchain.anvil.mine()
    chain = Scripted(rig)
    transfers = await rig.funded(1)
    worker = rig.worker(chain=chain)
    for _ in range(3):
        await worker.run_once()
    assert set(fees_of(chain.sent)) == {3 * GWEI}
    assert [(n, a) for n, _, a in await attempts(rig)] == [(1, "underpriced")]
    rig.onchain.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    rig.onchain.anvil.mine()
    await paid(rig, worker)
    rig.assert_each_paid_once(transfers)


async def test_a_strict_client_gets_a_replacement_with_both_fees_up_at_the_first_try(
    rig: Rig,
) -> None:
    """Both fees by at least a tenth, rounded up, as reth has it; the pool keeps the first."""
    pool: dict[int, UnsignedTransaction] = {}

    def strict(new: UnsignedTransaction) -> str | None:
        old = pool.get(new.nonce)
        if old == new:
            return "already known"
        if old is not None and (
            new.max_fee_per_gas_wei * 10 < old.max_fee_per_gas_wei * 11
            or new.max_priority_fee_per_gas_wei * 10 < old.max_priority_fee_per_gas_wei * 11
        ):
            return "replacement transaction underpriced"
        pool[new.nonce] = new
        return None

    chain = Scripted(rig, strict)
    transfers = await rig.funded(1)
    worker = rig.worker(chain=chain)
    await worker.run_once()
    rig.onchain.anvil.rpc("anvil_dropAllTransactions")
    for _ in range(3):
        rig.onchain.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(2 * fees_of(chain.sent)[-1]))
        rig.onchain.anvil.mine()
        await worker.run_once()
    await paid(rig, worker)
    rig.assert_each_paid_once(transfers)
    assert "underpriced_replacement" not in [answer for *_, answer in await attempts(rig)]


async def test_each_refused_replacement_doubles_the_next_step(rig: Rig) -> None:
    def script(new: UnsignedTransaction) -> str | None:
        is_first = new == chain.sent[0]
        return None if is_first else "replacement transaction underpriced"

    chain = Scripted(rig, script)
    transfers = await rig.funded(1)
    worker = rig.worker(chain=chain)
    while len(await attempts(rig)) < 6:
        await worker.run_once()
        rig.onchain.anvil.rpc("anvil_dropAllTransactions")
        rig.onchain.anvil.mine()
    rows = await rig.rows("SELECT max_fee_per_gas_wei AS fee FROM attempt ORDER BY sequence")
    fees = [int(each["fee"]) for each in rows]
    steps = [after * 1000 // before for before, after in pairwise(fees)]
    assert steps == [1125, 1250, 1500, 2000, 2000]
    assert await rig.states(transfers) == {State.SUBMITTED}  # somebody has one of the attempts


async def test_no_bump_while_coin_is_short_and_the_same_bytes_once_it_is_there(rig: Rig) -> None:
    transfers = await rig.funded(2)
    with pytest.raises(Killed):
        await rig.worker(killer("after_store")).run_once()
    await rig.kill()
    rig.onchain.anvil.rpc("anvil_setBalance", LANE, "0x1")
    chain = Scripted(rig)
    worker = rig.worker(chain=chain)
    for _ in range(4):
        await worker.run_once()
        rig.onchain.anvil.mine()
    assert [(n, a) for n, _, a in await attempts(rig)] == [(1, "funds")]
    rig.onchain.anvil.rpc("anvil_setBalance", LANE, hex(10**20))
    await paid(rig, worker, 1)
    rig.assert_each_paid_once(transfers)
    assert len(set(fees_of(chain.sent))) == 1


async def test_a_nonce_too_high_sends_everything_from_the_lowest_open_one_in_order(
    rig: Rig,
) -> None:
    rig.rules = BatchRules(payments_max=1, wait_ms=0)
    rig.fees = FeeRules(bump_after_blocks=1000, resend_after_s=0)
    chain = Scripted(rig, lambda each: "nonce too high" if each.nonce else None)
    transfers = await rig.funded(4)
    worker = rig.worker(chain=chain)
    await worker.run_once()
    rig.onchain.anvil.rpc("anvil_dropAllTransactions")
    chain.script = lambda _: None
    chain.sent.clear()
    await worker.run_once()
    assert [each.nonce for each in chain.sent[:4]] == [0, 1, 2, 3]
    rig.onchain.anvil.mine()
    rig.assert_each_paid_once(transfers)


async def test_dropped_lower_nonces_are_sent_again_in_order(rig: Rig) -> None:
    rig.rules = BatchRules(payments_max=1, wait_ms=0)
    rig.fees = FeeRules(bump_after_blocks=1000, resend_after_s=0)
    transfers = await rig.funded(5)
    worker = rig.worker()
    await worker.run_once()
    (first, *_) = await rig.rows(
        "SELECT a.tx_hash FROM attempt a JOIN slot s ON s.id = a.slot_id ORDER BY s.nonce"
    )
    rig.onchain.anvil.rpc("anvil_dropTransaction", f"0x{first['tx_hash'].hex()}")
    await paid(rig, worker, 1)
    rig.assert_each_paid_once(transfers)


async def test_a_providers_own_cap_gets_a_corrected_attempt_of_the_same_nonce(rig: Rig) -> None:
    def capped(new: UnsignedTransaction) -> str | None:
        fee_wei = new.gas_limit * new.max_fee_per_gas_wei
        if fee_wei <= 10**15:
            return None
        return f"tx fee ({fee_wei} wei) exceeds the configured cap ({10**15} wei)"

    rig.onchain.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    rig.onchain.anvil.mine()
    chain = Scripted(rig, capped)
    transfers = await rig.funded(1)
    worker = rig.worker(chain=chain)
    await paid(rig, worker)
    rig.assert_each_paid_once(transfers)
    found = await attempts(rig)
    assert found[:2] == [(1, "fee_history", "rejected"), (2, "provider_cap", found[1][2])]
    assert chain.sent[1].gas_limit * chain.sent[1].max_fee_per_gas_wei <= 10**15
    assert len({each.nonce for each in chain.sent}) == 1


async def test_a_lane_whose_bytes_nobody_takes_stops_and_says_what_they_said(rig: Rig) -> None:
    chain = Scripted(rig, lambda _: "oversized data: transaction size 200000, limit 131072")
    await rig.funded(1)
    worker = rig.worker(chain=chain)
    for _ in range(3):
        await worker.run_once()
    lane = await rig.lane()
    assert lane.status is LaneStatus.STOPPED
    assert "oversized data" in lane.status_reason
    assert [(n, a) for n, _, a in await attempts(rig)] == [(1, "rejected")]


async def test_an_account_that_a_pool_excludes_stops_its_lane(rig: Rig) -> None:
    chain = Scripted(rig, lambda _: "in-flight transaction limit reached for delegated accounts")
    await rig.funded(1)
    await rig.worker(chain=chain).run_once()
    lane = await rig.lane()
    assert lane.status is LaneStatus.STOPPED
    assert "in-flight" in lane.status_reason


async def test_the_words_of_a_refusal_are_kept_without_what_may_be_a_secret(rig: Rig) -> None:
    chain = Scripted(
        rig, lambda _: "underpriced at https://node.example/v3/S3cr3t-k3y " + "x " * 200
    )
    await rig.funded(1)
    await rig.worker(chain=chain).run_once()
    (row,) = await rig.rows("SELECT last_message FROM attempt WHERE sequence = 1")
    assert row["last_message"].startswith("underpriced at (address) x x")
    assert len(row["last_message"]) <= 200


async def test_unknown_words_fail_nobody_and_the_same_bytes_are_sent_again(rig: Rig) -> None:
    rig.fees = FeeRules(bump_after_blocks=1000, resend_after_s=0)
    chain = Scripted(rig, lambda _: "the moon is in the seventh house")
    transfers = await rig.funded(1)
    worker = rig.worker(chain=chain)
    await worker.run_once()
    assert await rig.states(transfers) == {State.UNKNOWN}
    chain.script = lambda _: None
    await paid(rig, worker)
    rig.assert_each_paid_once(transfers)
    assert len(await attempts(rig)) == 1


async def test_only_the_head_of_line_and_the_next_ten_are_bumped(rig: Rig) -> None:
    rig.rules = BatchRules(payments_max=1, wait_ms=0)
    transfers = await rig.funded(16)
    worker = rig.worker()
    await worker.run_once()
    rig.onchain.anvil.rpc("anvil_dropAllTransactions")
    rig.onchain.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(2 * GWEI))
    rig.onchain.anvil.mine()
    await worker.run_once()
    assert [each["tries"] for each in await rig.slots()] == [2] * 11 + [1] * 5
    rig.onchain.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    await paid(rig, worker)
    rig.assert_each_paid_once(transfers)


# ---------------------------------------------------------------- bumps that fail, and hard pauses


class Failing(KeystoreSigner):
    """A key that signs nothing any more."""

    async def sign(self, transaction: UnsignedTransaction) -> SignedTransaction:
        raise SignerUnavailable("the signer is away")


def with_key(parts: SettlementParts, signer: KeystoreSigner) -> SettlementService:
    return SettlementService(replace(parts, signer=signer))


async def test_a_bump_that_cannot_be_signed_does_not_keep_the_old_bytes_from_being_sent(
    rig: Rig,
) -> None:
    transfers = await rig.funded(1)
    await rig.worker().run_once()
    rig.onchain.anvil.rpc("anvil_dropAllTransactions")
    rig.onchain.anvil.mine()
    await rig.kill()
    await rig.execute("UPDATE attempt SET sends = 3")  # without effect: a bump is due
    worker = with_key(rig.parts(), Failing.of_key(LANE_KEY))
    with pytest.raises(SignerUnavailable):
        await worker.run_once()
    rig.onchain.anvil.mine()
    rig.assert_each_paid_once(transfers)


async def test_a_market_nobody_tells_of_does_not_keep_the_old_bytes_from_being_sent(
    rig: Rig,
) -> None:
    class Deaf(EvmChain):
        async def fee_history(self, blocks: int, percentile: int) -> FeeHistory:
            raise ChainUnavailable("no provider has it")

    transfers = await rig.funded(1)
    await rig.worker().run_once()
    rig.onchain.anvil.rpc("anvil_dropAllTransactions")
    await rig.kill()
    with pytest.raises(ChainUnavailable):
        await rig.worker(chain=Deaf(rig.providers)).run_once()
    rig.onchain.anvil.mine()
    rig.assert_each_paid_once(transfers)


async def paused(rig: Rig, *, hard: bool) -> None:
    async with rig.node.units() as unit:
        await unit.settlement.pause(PauseReason.OPERATOR, "operator:olga", hard=hard, note=None)


@pytest.mark.parametrize("hard", [True, False])
async def test_a_hard_pause_stops_bumps_and_a_soft_one_does_not(rig: Rig, *, hard: bool) -> None:
    chain = Scripted(rig)
    await rig.funded(1)
    worker = rig.worker(chain=chain)
    await worker.run_once()
    await paused(rig, hard=hard)
    rig.onchain.anvil.rpc("anvil_dropAllTransactions")
    rig.onchain.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(100 * GWEI))
    rig.onchain.anvil.mine()
    for _ in range(3):
        await worker.run_once()
    assert len(chain.sent) > 1  # the old bytes go on being sent
    assert (len(await attempts(rig)) == 1) is hard


async def test_a_bump_that_a_hard_pause_overtakes_is_not_sent(rig: Rig) -> None:
    chain = Scripted(rig)
    await rig.funded(1)
    await rig.worker(chain=chain).run_once()
    await rig.kill()
    await rig.execute("UPDATE attempt SET sends = 3")
    rig.onchain.anvil.mine()
    worker = with_key(rig.parts(chain=chain), Pausing.over(rig, hard=True))
    await worker.run_once()
    assert len(await attempts(rig)) == 1
    assert len(set(fees_of(chain.sent))) == 1


class Pausing(KeystoreSigner):
    """A key that takes so long that an operator pauses meanwhile."""

    rig: Rig
    hard: bool

    @classmethod
    def over(cls, rig: Rig, *, hard: bool = False) -> "Pausing":
        signer = cls.of_key(LANE_KEY)
        signer.rig, signer.hard = rig, hard
        return signer

    async def sign(self, transaction: UnsignedTransaction) -> SignedTransaction:
        signed = await super().sign(transaction)
        await paused(self.rig, hard=self.hard)
        return signed


async def test_a_payment_that_is_being_signed_when_a_pause_is_set_does_not_go_out(
    rig: Rig,
) -> None:
    chain = Scripted(rig)
    transfers = await rig.funded(2)
    worker = with_key(rig.parts(chain=chain), Pausing.over(rig))
    for _ in range(3):
        await worker.run_once()
    rig.onchain.anvil.mine()
    assert rig.onchain.payouts() == []
    assert [each.data for each in chain.sent if each.data] == []
    (slot,) = await rig.slots()
    assert (slot["purpose"], slot["nonce"]) == ("noop", 0)
    assert {(e.state, e.slot_id) for e in await rig.again(transfers)} == {(State.FUNDED, None)}
    async with rig.node.units() as unit:
        await unit.settlement.resume(None, "operator:olga")
    await rig.kill()
    await rig.execute("UPDATE slot SET state = 'included', included_block_number = 1")
    await paid(rig, rig.worker())
    rig.assert_each_paid_once(transfers)
