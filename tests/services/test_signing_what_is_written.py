"""Signed is what the books say, within the limits of gas, for the token that was looked at."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from adapters.evm.signer import KeystoreSigner
from node.core.errors import ChainUnavailable
from node.core.ports.chain import SignedTransaction, UnsignedTransaction
from node.core.settlement import LaneStatus
from node.core.signing import KeyRole, SigningFacts, SigningPolicy
from node.core.submission import FeeRules
from node.core.transfers import State
from node.core.units import Address
from node.services.settlement.parts import SettlementParts
from node.services.settlement.settling import SettlementService
from tests.builders import CHAIN_ID
from tests.onchain import LANE_KEY
from tests.rig import AnvilServer
from tests.services.settling import Killed, MakeRig, Rig, killer


@pytest.fixture
async def rig(make_rig: MakeRig, start_anvil: Callable[..., AnvilServer]) -> Rig:
    """A chain that mines only when told."""
    rig = await make_rig(start_anvil(automine=False))
    rig.fees = FeeRules(bump_after_blocks=0, resend_after_s=0)
    return rig


async def paid(rig: Rig, worker: SettlementService) -> None:
    for _ in range(4):
        await worker.run_once()
    rig.onchain.anvil.mine()


def with_key(parts: SettlementParts, signer: KeystoreSigner) -> SettlementService:
    return SettlementService(replace(parts, signer=signer))


async def attempts(rig: Rig) -> int:
    return len(await rig.rows("SELECT FROM attempt"))


TAMPERINGS = {
    "amount": "UPDATE transfer SET buy_amount = buy_amount + 1 WHERE id = $1",
    "beneficiary": "UPDATE transfer SET beneficiary_address = decode(repeat('ab', 20), 'hex')"
    " WHERE id = $1",
    "contract": "UPDATE transfer SET contract = decode(repeat('ab', 20), 'hex') WHERE id = $1",
    "ended": "UPDATE transfer SET state = 'canceled' WHERE id = $1",
}


@pytest.mark.parametrize("what", TAMPERINGS)
async def test_a_call_that_is_not_what_the_books_say_is_not_signed(rig: Rig, what: str) -> None:
    transfers = await rig.funded(3)
    with pytest.raises(Killed):
        await rig.worker(killer("after_write")).run_once()
    await rig.kill()
    statement = TAMPERINGS[what].replace("$1", f"'{transfers[1].id}'")
    await rig.execute(f"SET session_replication_role = replica; {statement}")
    signer = Counting.of_key(LANE_KEY)
    await with_key(rig.parts(), signer).run_once()
    lane = await rig.lane()
    assert lane.status is LaneStatus.STOPPED
    assert "nonce 0 is not signed" in lane.status_reason
    assert signer.signed == 0
    assert await attempts(rig) == 0


class Counting(KeystoreSigner):
    """A key that counts what it signs."""

    signed = 0

    async def sign(self, transaction: UnsignedTransaction) -> SignedTransaction:
        self.signed += 1
        return await super().sign(transaction)


class Lying(KeystoreSigner):
    """A key that signs another amount than it was asked for."""

    async def sign(self, transaction: UnsignedTransaction) -> SignedTransaction:
        return await super().sign(replace(transaction, value_wei=1))


async def test_a_signer_that_signs_something_else_stops_its_lane_and_nothing_is_stored(
    rig: Rig,
) -> None:
    await rig.funded(1)
    await with_key(rig.parts(), Lying.of_key(LANE_KEY)).run_once()
    assert (await rig.lane()).status is LaneStatus.STOPPED
    assert await attempts(rig) == 0


async def test_what_the_keys_policy_forbids_is_not_even_asked_of_the_signer(rig: Rig) -> None:
    await rig.funded(1)
    signer = Counting.of_key(LANE_KEY)
    elsewhere = Address(b"\x77" * 20)
    facts = SigningFacts(CHAIN_ID, elsewhere, rig.onchain.token, None, frozenset(), 10**15)
    policy = SigningPolicy(KeyRole.SETTLE, signer.address, facts)
    worker = SettlementService(replace(rig.parts(), signer=signer, policy=policy))
    await worker.run_once()
    lane = await rig.lane()
    assert lane.status is LaneStatus.STOPPED
    assert "does not sign" in lane.status_reason
    assert signer.signed == 0


# --------------------------------------------------------------------------------- limits of gas


async def test_a_batch_is_no_larger_than_a_block_holds(rig: Rig) -> None:
    rig.onchain.anvil.rpc("evm_setBlockGasLimit", hex(950_000))
    rig.onchain.anvil.mine()
    transfers = await rig.funded(9)
    await rig.worker().run_once()
    assert [each["members"] for each in await rig.slots()] == [5, 4]
    for _ in range(3):
        rig.onchain.anvil.mine()
    rig.assert_each_paid_once(transfers)


async def test_blocks_too_small_for_one_payment_take_no_nonce(rig: Rig) -> None:
    rig.onchain.anvil.rpc("evm_setBlockGasLimit", hex(300_000))
    rig.onchain.anvil.mine()
    await rig.funded(1)
    with pytest.raises(ChainUnavailable, match="holds no payment"):
        await rig.worker().run_once()
    assert await rig.slots() == []


# -------------------------------------------------------------------------------- the token's code


@pytest.mark.parametrize("restarted", [True, False])
async def test_a_token_that_runs_other_code_pauses_once_and_a_resume_accepts_it(
    rig: Rig, *, restarted: bool
) -> None:
    """A proxy's own code stays; where it keeps the address of what it runs tells (ERC-1967)."""
    first = await rig.funded(1)
    worker = rig.worker()
    await paid(rig, worker)
    anvil, token = rig.onchain.anvil, f"0x{rig.onchain.token.hex()}"
    slot = 0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC
    anvil.rpc("anvil_setStorageAt", token, hex(slot), f"0x{'00' * 12}{'77' * 20}")
    anvil.mine()
    if restarted:
        await rig.kill()
        worker = rig.worker()
    await rig.execute("UPDATE slot SET state = 'included', included_block_number = 1")
    second = await rig.funded(1)
    await worker.run_once()
    async with rig.node.units() as unit:
        (pause,) = await unit.settlement.pauses()
        assert pause.note is not None
        assert "code that the token runs has changed" in pause.note
        await unit.settlement.resume(None, "operator:olga")
    assert await rig.states(second) == {State.FUNDED}
    await rig.kill()
    await paid(rig, rig.worker())
    rig.assert_each_paid_once([*first, *second])
