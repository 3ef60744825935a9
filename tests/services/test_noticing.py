"""What else a chain says, once it is final: issuer, administrators, look-alikes, the unreadable."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.evm.artifacts import parse
from adapters.evm.reader import EvmReader
from adapters.machine import new_id
from node.core.mirror import BlockHeader, Facts, Finality
from node.core.signing import KeyRole
from node.core.units import Address, TxHash
from node.core.watchlist import Notice, NoticeKind, UndecodedLog
from node.services.mirror.mirroring import MirrorService
from node.store.unit_of_work import StoreUnits
from tests.mirrored import DEPTH_BLOCKS, PAUSER, TREASURY, MirroredNode
from tests.onchain import ADMIN, LANE, OnChain, _deploy, address_of, call
from tests.rig import DEV_ACCOUNTS
from tests.services.test_mirroring import CountingDatabase

STRANGER = "0x" + "57" * 20
ARTIFACTS = Path(__file__).parent.parent / "chain" / "artifacts"


async def finality(node: MirroredNode) -> None:
    """What was sent is final and mirrored."""
    node.mine(DEPTH_BLOCKS)
    await node.follow()


async def breaks(node: MirroredNode, code: str) -> list[Any]:
    """All breaks of a code, open and closed."""
    return await node.rows(
        "SELECT * FROM reconciliation_break WHERE code = $1 ORDER BY first_seen_at, id", code
    )


async def pauses(node: MirroredNode) -> list[str]:
    async with node.ledger.units() as unit:
        return [each.reason for each in await unit.settlement.pauses()]


async def test_a_paused_token_is_a_break_from_its_finality_until_it_is_finally_unpaused(
    node: MirroredNode,
) -> None:
    node.onchain.send(node.onchain.token, "pause()")
    await node.follow()
    assert await breaks(node, "B13") == []
    await finality(node)
    (found,) = await breaks(node, "B13")
    assert found["resolved_at"] is None
    assert found["actual"].startswith("Pause() in block ")
    assert found["evidence"]["contract"] == "0x" + node.onchain.token.hex()
    assert await pauses(node) == []  # settlement reads the token's pause itself

    node.onchain.send(node.onchain.token, "unpause()")
    await node.follow()
    assert (await breaks(node, "B13"))[0]["resolved_at"] is None
    await finality(node)
    (found,) = await breaks(node, "B13")
    assert found["resolution"]["kind"] == "rederived"
    assert found["resolution"]["reason"].startswith("Unpause is final in block ")


async def test_a_pause_that_ends_before_it_is_final_is_a_break_that_is_closed(
    node: MirroredNode,
) -> None:
    for _ in range(2):
        node.onchain.send(node.onchain.token, "pause()")
        node.onchain.send(node.onchain.token, "unpause()")
    await finality(node)
    (found,) = await breaks(node, "B13")
    assert found["resolution"]["kind"] == "rederived"
    node.onchain.send(node.onchain.token, "pause()")
    await finality(node)
    assert [each["resolved_at"] is None for each in await breaks(node, "B13")] == [False, True]


@pytest.mark.parametrize("holder", ["contract", "treasury"])
async def test_a_denied_address_that_holds_tokens_stops_settlement(
    node: MirroredNode, holder: str
) -> None:
    address = {"contract": node.onchain.contract, "treasury": TREASURY}[holder]
    node.onchain.send(node.onchain.token, "deny(address)", "0x" + address.hex())
    await finality(node)
    (found,) = await breaks(node, "B14")
    assert (found["severity"], found["resolved_at"]) == ("critical", None)
    assert await pauses(node) == ["issuer"]
    node.onchain.send(node.onchain.token, "undeny(address)", "0x" + address.hex())
    await finality(node)
    (found,) = await breaks(node, "B14")
    assert found["resolution"]["kind"] == "rederived"
    assert await pauses(node) == ["issuer"]  # an operator has looked at it before it goes on


async def test_a_denied_key_is_a_break_and_settlement_goes_on(node: MirroredNode) -> None:
    with_keys = replace(node, lanes={address_of(LANE): KeyRole.SETTLE, PAUSER: KeyRole.PAUSER})
    for address in (LANE, "0x" + PAUSER.hex()):
        node.onchain.send(node.onchain.token, "deny(address)", address)
    await finality(with_keys)
    assert len(await breaks(node, "B14")) == 2
    assert await pauses(node) == []


async def test_a_denied_stranger_is_nobodys_business(node: MirroredNode) -> None:
    node.onchain.send(node.onchain.token, "deny(address)", STRANGER)
    await finality(node)
    assert await node.rows("SELECT 1 FROM notice") == []
    assert await breaks(node, "B14") == []


async def test_an_approval_by_the_treasury_is_a_break_until_it_is_taken_back(
    node: MirroredNode,
) -> None:
    approve = "approve(address,uint256)"
    treasury = DEV_ACCOUNTS[2][0]
    node.onchain.send(node.onchain.token, approve, STRANGER, 5, sender=treasury)
    node.onchain.send(node.onchain.token, approve, ADMIN, 7, sender=treasury)
    node.onchain.send(node.onchain.token, approve, STRANGER, 5, sender=LANE)
    await finality(node)
    found = await breaks(node, "B18")
    assert len(found) == 3
    assert {each["severity"] for each in found} == {"critical"}
    assert sum(f"owner {treasury.lower()}" in each["actual"] for each in found) == 2
    node.onchain.send(node.onchain.token, approve, STRANGER, 0, sender=treasury)
    await finality(node)
    (closed,) = [each for each in await breaks(node, "B18") if each["resolved_at"] is not None]
    assert closed["fingerprint"].endswith(f"{treasury.lower()}:{STRANGER}")


async def test_a_change_of_the_contracts_rights_is_a_break_for_an_operator(
    node: MirroredNode,
) -> None:
    node.onchain.send(node.onchain.contract, "lowerContractCap(uint64)", 1_000)
    node.onchain.send(node.onchain.contract, "removePauser()")
    await finality(node)
    found = await breaks(node, "B26")
    assert {each["actual"].split("(")[0] for each in found} == {
        "ContractCapChanged",
        "PauserChanged",
    }
    assert {each["resolved_at"] for each in found} == {None}
    assert await pauses(node) == []


async def test_who_may_mint_changes_every_day_and_is_no_break(node: MirroredNode) -> None:
    node.onchain.send(node.onchain.token, "configureMinter(address,uint256)", STRANGER, 1)
    await finality(node)
    (notice,) = await node.rows("SELECT kind, status FROM notice")
    assert tuple(notice) == ("issuer_changed", "final")
    assert await node.open_breaks() == []


async def test_money_that_was_rescued_says_by_whom(node: MirroredNode) -> None:
    contract, token = node.onchain.contract, "0x" + node.onchain.token.hex()
    node.onchain.send(contract, "pause()")
    node.onchain.send(contract, "rescue(address,address,uint256)", token, STRANGER, 777)
    await finality(node)
    (found,) = await breaks(node, "B06")
    tx_hash = found["evidence"]["tx_hash"]
    assert found["cause"] == (
        f"rescued to {STRANGER} by the rescuer's key in transaction {tx_hash}"
    )


# -------------------------------------------------------------------------------- look-alikes, spam


class Lookalikes:
    """A token of somebody else, with events at the asking."""

    def __init__(self, onchain: OnChain) -> None:
        artifact = parse((ARTIFACTS / "LookalikeToken.json").read_text())
        self.onchain = onchain
        self.token = _deploy(onchain.anvil, artifact.bytecode)

    def forge(self, count: int) -> None:
        """So many transfers to the contract, and as many out of the treasury, in one block."""
        contract, treasury = "0x" + self.onchain.contract.hex(), "0x" + TREASURY.hex()
        for _ in range(count):
            for one, other in ((STRANGER, contract), (treasury, STRANGER)):
                self.onchain.anvil.rpc(
                    "eth_sendTransaction",
                    {
                        "from": ADMIN,
                        "to": self.token,
                        "data": call("forge(address,address,uint256)", one, other, 10**9),
                        "gas": hex(100_000),
                    },
                )
        self.onchain.anvil.mine()


async def test_tokens_that_are_not_the_nodes_are_recorded_once_and_never_booked(
    node: MirroredNode,
) -> None:
    booked = await node.rows("SELECT count(*) FROM entry")
    forged = Lookalikes(node.onchain)
    for count in (3, 5):
        forged.forge(count)
        await finality(node)
    rows = await node.rows("SELECT token, status FROM stray_log")
    assert {tuple(row) for row in rows} == {(bytes.fromhex(forged.token[2:]), "final")}
    assert len(rows) == 16
    (found,) = await breaks(node, "B17")
    assert (found["severity"], found["resolution"]["kind"]) == ("info", "recorded")
    assert found["evidence"]["token"] == forged.token.lower()
    assert await node.rows("SELECT count(*) FROM entry") == booked
    assert await node.open_breaks() == []


async def test_many_forged_transfers_take_as_many_statements_as_few(node: MirroredNode) -> None:
    forged = Lookalikes(node.onchain)
    await node.follow()
    counts = []
    for count in (1, 2, 30):
        forged.forge(count)
        node.mine(DEPTH_BLOCKS)
        counted = CountingDatabase(node.database)
        await node.mirror(units=StoreUnits(counted)).run_once()
        counts.append(counted.statements)
    assert counts[1] == counts[2] > 0
    assert len(await breaks(node, "B17")) == 1


async def test_transfers_of_nothing_are_one_record(node: MirroredNode) -> None:
    victim = "0x" + node.onchain.contract.hex()
    for _ in range(3):
        node.onchain.send(
            node.onchain.token, "transferFrom(address,address,uint256)", victim, ADMIN, 0
        )
    await finality(node)
    (found,) = await breaks(node, "B17")
    assert (found["resolution"]["kind"], found["evidence"]["logs"]) == ("recorded", "3")
    assert await node.open_breaks() == []
    assert await pauses(node) == []


async def test_payments_that_another_operator_made_are_paid_and_recorded(
    node: MirroredNode,
) -> None:
    transfers = await node.sent(2)
    (slot,) = await node.rows("SELECT calldata FROM slot")
    node.onchain.anvil.rpc("anvil_dropAllTransactions")
    node.onchain.anvil.rpc(
        "eth_sendTransaction",
        {
            "from": ADMIN,
            "to": "0x" + node.onchain.contract.hex(),
            "data": "0x" + slot["calldata"].hex(),
            "gas": hex(2_000_000),
        },
    )
    node.mine()
    await finality(node)
    assert {each.value for each in await node.states(transfers)} == {"settled"}
    (found,) = await breaks(node, "B09")
    assert (found["severity"], found["resolution"]["kind"]) == ("info", "recorded")
    assert found["actual"].startswith("2 paid as agreed")


# --------------------------------------------------------- what the tokens of the tests never emit


class Adding(EvmReader):
    """Adds to what the next block says, once."""

    notices: Sequence[Notice] = ()
    undecoded: Sequence[UndecodedLog] = ()

    async def facts(
        self, headers: Sequence[BlockHeader], also: Collection[Address] = ()
    ) -> Sequence[Facts]:
        first, *others = await super().facts(headers, also)
        added = replace(first, notices=self.notices, undecoded=self.undecoded)
        self.notices, self.undecoded = (), ()
        return [added, *others]


async def said(
    node: MirroredNode,
    *,
    notices: Sequence[Notice] = (),
    undecoded: Sequence[UndecodedLog] = (),
) -> None:
    """A block says so, and is final."""
    reader = Adding(node.providers, node.watch)
    reader.notices, reader.undecoded = notices, undecoded
    node.mine(1 + DEPTH_BLOCKS)
    mirror = MirrorService(
        units=node.ledger.units,
        reader=reader,
        watch=node.watch,
        lanes=node.lanes,
        finality=Finality(DEPTH_BLOCKS),
        new_id=new_id,
    )
    await mirror.run_once()


async def test_an_upgraded_token_stops_settlement_and_another_administrator_is_told(
    node: MirroredNode,
) -> None:
    token, tx_hash = node.onchain.token, TxHash(b"\x07" * 32)
    upgraded = Notice(
        1, tx_hash, token, NoticeKind.ISSUER_UPGRADED, Address(b"\x11" * 20),
        detail={"event": "Upgraded", "implementation": "0x" + "11" * 20},
    )  # fmt: skip
    changed = replace(
        upgraded, log_index=2, kind=NoticeKind.ISSUER_CHANGED, detail={"event": "AdminChanged"}
    )
    await said(node, notices=[changed])
    assert [each["actual"].split("(")[0] for each in await breaks(node, "B25")] == ["AdminChanged"]
    assert await pauses(node) == []
    await said(node, notices=[upgraded])
    assert len(await breaks(node, "B25")) == 2
    assert await pauses(node) == ["issuer"]


async def test_a_log_that_nobody_can_read_is_kept_as_it_came_with_a_break(
    node: MirroredNode,
) -> None:
    log = UndecodedLog(
        3, TxHash(b"\x07" * 32), node.onchain.token, [b"\x01" * 32, b"\x02" * 32], b"\x03", "short"
    )
    await said(node, undecoded=[log])
    (kept,) = await node.rows("SELECT * FROM undecoded_log")
    assert (kept["topics"], kept["data"], kept["status"]) == (log.topics, log.data, "final")
    (found,) = await breaks(node, "B24")
    assert (found["actual"], found["resolved_at"]) == ("short", None)
    assert found["evidence"]["log_index"] == "3"
