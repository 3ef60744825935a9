"""What else touches the books, equal in three ways: notices, strays, what cannot be read."""

from collections.abc import AsyncIterator, Sequence

import pytest
from eth_utils.crypto import keccak

from adapters.evm import watched
from adapters.evm.decode import SETTLEMENT_TOPICS, TRANSFER_TOPIC, address_topic
from adapters.evm.reader import EvmReader
from adapters.evm.rpc import Providers
from adapters.evm.watched import ALSO_BY_TOPIC_MAX, Watched
from node.core.errors import ChainUnavailable
from node.core.mirror import Facts, Watch
from node.core.units import Address
from node.core.watchlist import NoticeKind
from tests.adapters.emitter import emit
from tests.onchain import ADMIN, LANE, OnChain, address_of
from tests.rig import AnvilServer

CHAIN_ID = 31337
STRANGER, DEPOSIT = Address(b"\x51" * 20), Address(b"\x52" * 20)
OTHER_TOKEN = Address(b"\x77" * 20)
MANY = [Address(number.to_bytes(20)) for number in range(1, ALSO_BY_TOPIC_MAX + 1)] + [DEPOSIT]
SOME = [Address(bytes([0x61, each]) * 10) for each in range(3)]
ZERO = Address(bytes(20))


@pytest.fixture
async def providers(anvil: AnvilServer) -> AsyncIterator[Providers]:
    providers = Providers.at([anvil.rpc_url])
    yield providers
    await providers.close()


@pytest.fixture
def onchain(anvil: AnvilServer) -> OnChain:
    return OnChain.deploy(anvil)


@pytest.fixture
def watch(onchain: OnChain) -> Watch:
    addresses = frozenset({onchain.contract, address_of(LANE)})
    return Watch(CHAIN_ID, onchain.contract, onchain.token, "USDC", "ETH", addresses)


async def facts_since(
    providers: Providers, watch: Watch, above: int, also: Sequence[Address] = ()
) -> list[Facts]:
    """Facts of the blocks with facts above this one, the same in all three ways."""
    reader = EvmReader(providers, watch)
    head = (await reader.head()).number
    headers = await reader.headers(above + 1, head)
    by_hash = await reader.facts(headers, also)
    assert await reader.facts_by_receipts(headers, also) == by_hash
    await providers.call("anvil_mine", ["0x1"])
    with_logs = [each for each in by_hash if each.log_count]
    assert await reader.facts_by_range(above + 1, head, also) == with_logs
    return with_logs


def topic(signature: str) -> str:
    return "0x" + keccak(text=signature).hex()


def newest(onchain: OnChain) -> int:
    return int(onchain.anvil.rpc("eth_blockNumber"), 16)


def kinds(found: Sequence[Facts]) -> list[tuple[NoticeKind, str, bytes | None, int | None]]:
    return [
        (notice.kind, notice.detail["event"], notice.subject, notice.amount)
        for each in found
        for notice in each.notices
    ]


# ------------------------------------------------------------------------------------- notices


async def test_what_the_issuer_does_is_noticed_and_of_denials_only_those_of_own_addresses(
    onchain: OnChain, providers: Providers, watch: Watch
) -> None:
    above, contract = newest(onchain), "0x" + watch.contract.hex()
    for signature, arguments in (
        ("deny(address)", [contract]),
        ("deny(address)", ["0x" + STRANGER.hex()]),
        ("deny(address)", ["0x" + DEPOSIT.hex()]),
        ("undeny(address)", [contract]),
        ("pause()", []),
        ("unpause()", []),
        ("setPauser(address)", [LANE]),
        ("setDenylister(address)", [LANE]),
        ("configureMinter(address,uint256)", [LANE, 7]),
        ("removeMinter(address)", [LANE]),
    ):
        onchain.send(onchain.token, signature, *arguments)
    lane = address_of(LANE)
    changed = NoticeKind.ISSUER_CHANGED
    seen = [
        (NoticeKind.DENIED, "Denied", watch.contract, None),
        (NoticeKind.UNDENIED, "Undenied", watch.contract, None),
        (NoticeKind.ISSUER_PAUSED, "Pause", None, None),
        (NoticeKind.ISSUER_UNPAUSED, "Unpause", None, None),
        (changed, "PauserChanged", lane, None),
        (changed, "DenylisterChanged", lane, None),
        (changed, "MinterConfigured", lane, 7),
        (changed, "MinterRemoved", lane, None),
    ]
    assert kinds(await facts_since(providers, watch, above)) == seen
    also = await facts_since(providers, watch, above, [DEPOSIT])
    assert kinds(also) == [seen[0], (NoticeKind.DENIED, "Denied", DEPOSIT, None), *seen[1:]]
    assert kinds(await facts_since(providers, watch, above, MANY)) == kinds(also)


@pytest.mark.parametrize(
    ("signature", "indexed", "kind"),
    [
        ("Blacklisted(address)", 1, NoticeKind.DENIED),
        ("UnBlacklisted(address)", 1, NoticeKind.UNDENIED),
        ("Paused(address)", 0, NoticeKind.ISSUER_PAUSED),
        ("Unpaused(address)", 0, NoticeKind.ISSUER_UNPAUSED),
        ("Upgraded(address)", 1, NoticeKind.ISSUER_UPGRADED),
        ("Upgraded(address)", 0, NoticeKind.ISSUER_UPGRADED),
        ("BeaconUpgraded(address)", 1, NoticeKind.ISSUER_UPGRADED),
        ("AdminChanged(address,address)", 0, NoticeKind.ISSUER_CHANGED),
        ("OwnershipTransferred(address,address)", 2, NoticeKind.ISSUER_CHANGED),
        ("PauserChanged(address)", 1, NoticeKind.ISSUER_CHANGED),
        ("BlacklisterChanged(address)", 1, NoticeKind.ISSUER_CHANGED),
        ("MasterMinterChanged(address)", 1, NoticeKind.ISSUER_CHANGED),
    ],
)
async def test_events_of_other_issuers_and_of_proxies_are_noticed(
    onchain: OnChain,
    providers: Providers,
    watch: Watch,
    signature: str,
    indexed: int,
    kind: NoticeKind,
) -> None:
    above, word = newest(onchain), address_topic(watch.contract)
    count = signature.count("address")
    data = bytes.fromhex(word[2:]) * (count - indexed)
    emit(onchain.anvil, watch.token, [topic(signature), *[word] * indexed], data)
    (facts,) = await facts_since(providers, watch, above)
    (notice,) = facts.notices
    assert (notice.kind, notice.contract, notice.amount) == (kind, watch.token, None)
    assert f"{notice.detail['event']}(" in signature
    assert set(notice.detail.values()) - {notice.detail["event"]} == {f"0x{watch.contract.hex()}"}


async def test_an_approval_by_an_own_address_is_noticed_also_of_nothing(
    onchain: OnChain, providers: Providers, watch: Watch
) -> None:
    above = newest(onchain)
    for sender, amount in ((LANE, 5), (LANE, 0), (ADMIN, 9)):
        to = "0x" + STRANGER.hex()
        onchain.send(onchain.token, "approve(address,uint256)", to, amount, sender=sender)
    seen = [(NoticeKind.APPROVED, "Approval", STRANGER, amount) for amount in (5, 0)]
    assert kinds(await facts_since(providers, watch, above)) == seen
    assert kinds(await facts_since(providers, watch, above, MANY)) == seen


async def test_how_the_contract_is_administered_is_noticed(
    onchain: OnChain, providers: Providers, watch: Watch
) -> None:
    above, contract, admin = newest(onchain), watch.contract, address_of(ADMIN)
    propose, token = "propose(uint8,address,uint64)", "0x" + watch.token.hex()
    for signature, arguments in (
        ("lowerOperatorCap(address,uint64)", [LANE, 10]),
        ("lowerContractCap(uint64)", [11]),
        ("removeOperator(address)", [LANE]),
        (propose, [0, LANE, 12]),
        ("cancelProposal(uint8,address)", [0, LANE]),
        ("proposeAdmin(address)", [LANE]),
        ("pause()", []),
        ("rescue(address,address,uint256)", [token, ADMIN, 13]),
        ("unpause()", []),
        ("removePauser()", []),
        ("removeRescuer()", []),
    ):
        onchain.send(contract, signature, *arguments)
    found = await facts_since(providers, watch, above)
    lane, changed = address_of(LANE), NoticeKind.CONTRACT_CHANGED
    assert kinds(found) == [
        (changed, "OperatorCapChanged", lane, 10),
        (changed, "ContractCapChanged", None, 11),
        (changed, "OperatorRemoved", lane, None),
        (changed, "Proposed", lane, 12),
        (changed, "ProposalCancelled", lane, 12),
        (changed, "AdminProposed", lane, None),
        (NoticeKind.CONTRACT_PAUSED, "Paused", admin, None),
        (NoticeKind.RESCUED, "Rescued", admin, 13),
        (NoticeKind.CONTRACT_UNPAUSED, "Unpaused", admin, None),
        (changed, "PauserChanged", ZERO, None),
        (changed, "RescuerChanged", ZERO, None),
    ]
    (rescue,) = [each for each in found if each.token_logs]
    assert rescue.notices[0].detail["token"] == token
    assert rescue.token_logs[0].amount == 13


# -------------------------------------------------------------------------------------- strays


@pytest.mark.parametrize("is_item", [False, True])
@pytest.mark.parametrize("sends", [False, True])
async def test_a_transfer_of_another_token_that_names_an_own_address_is_a_stray(
    onchain: OnChain, providers: Providers, watch: Watch, sends: bool, is_item: bool
) -> None:
    above, other = newest(onchain), [address_topic(STRANGER)]
    own = [address_topic(watch.contract)]
    ends = own + other if sends else other + own
    amount = (99).to_bytes(32)
    item = [f"0x{amount.hex()}"] if is_item else []
    emit(onchain.anvil, OTHER_TOKEN, [TRANSFER_TOPIC, *ends, *item], b"" if is_item else amount)
    emit(onchain.anvil, OTHER_TOKEN, [TRANSFER_TOPIC, *other, *other], amount)
    (facts,) = await facts_since(providers, watch, above)
    (stray,) = facts.strays
    assert (stray.token, stray.amount, facts.log_count) == (OTHER_TOKEN, 99, 1)
    assert (stray.from_address == watch.contract, stray.to_address == watch.contract) == (
        sends,
        not sends,
    )


async def test_strays_to_deposit_addresses_are_seen_while_these_are_few(
    onchain: OnChain, providers: Providers, watch: Watch
) -> None:
    above = newest(onchain)
    topics = [TRANSFER_TOPIC, address_topic(STRANGER), address_topic(DEPOSIT)]
    emit(onchain.anvil, OTHER_TOKEN, topics, bytes(32))
    assert await facts_since(providers, watch, above) == []
    assert len((await facts_since(providers, watch, above, [DEPOSIT]))[0].strays) == 1
    assert await facts_since(providers, watch, above, MANY) == []


@pytest.mark.parametrize("also", [[DEPOSIT], MANY], ids=["few", "many"])
async def test_a_transfer_to_a_deposit_address_is_seen_however_many_there_are(
    onchain: OnChain, providers: Providers, watch: Watch, also: list[Address]
) -> None:
    above = newest(onchain)
    for to, amount in ((DEPOSIT, 4), (STRANGER, 5)):
        onchain.send(onchain.token, "mint(address,uint256)", "0x" + to.hex(), amount)
    assert await facts_since(providers, watch, above) == []
    (facts,) = await facts_since(providers, watch, above, also)
    assert [(each.to_address, each.amount) for each in facts.token_logs] == [(DEPOSIT, 4)]


async def test_a_spoofed_event_of_a_stranger_is_no_fact(
    onchain: OnChain, providers: Providers, watch: Watch
) -> None:
    above, own = newest(onchain), address_topic(watch.contract)
    for first in (*SETTLEMENT_TOPICS, topic("Pause()"), topic("Paused(address)")):
        emit(onchain.anvil, OTHER_TOKEN, [first, own])
    emit(onchain.anvil, OTHER_TOKEN, [topic("Approval(address,address,uint256)"), own, own])
    emit(onchain.anvil, OTHER_TOKEN, [TRANSFER_TOPIC, own], bytes(64))
    emit(onchain.anvil, OTHER_TOKEN, [], bytes(64))
    assert await facts_since(providers, watch, above) == []


# ----------------------------------------------------------------------------------- undecoded


@pytest.mark.parametrize("also", [[], MANY], ids=["few", "many"])
async def test_a_log_that_cannot_be_read_is_kept_as_it_came_and_stops_nothing(
    onchain: OnChain, providers: Providers, watch: Watch, also: list[Address]
) -> None:
    above, own = newest(onchain), address_topic(watch.contract)
    for emitter, topics, data in (
        (watch.token, [TRANSFER_TOPIC, own], bytes(64)),
        (watch.token, [TRANSFER_TOPIC, own, own, own], b""),
        (watch.token, [TRANSFER_TOPIC, own, own], b"\1"),
        (watch.token, [topic("Approval(address,address,uint256)"), own], b""),
        (watch.token, [topic("Pause()"), own], b""),
        (watch.contract, [SETTLEMENT_TOPICS[0]], b""),
        (watch.contract, [SETTLEMENT_TOPICS[1], own], b"\2" * 70),
        (watch.contract, [topic("Paused(address)")], b""),
    ):
        emit(onchain.anvil, emitter, topics, data)
        found = (await facts_since(providers, watch, above, also))[-1]
        (log,) = found.undecoded
        assert (log.contract, log.data, found.log_count) == (emitter, data, 1)
        assert [f"0x{each.hex()}" for each in log.topics] == topics
        assert log.fault


# ------------------------------------------------------------------------------------- filters


async def test_a_header_tells_without_a_question_whether_its_block_may_have_facts(
    onchain: OnChain, providers: Providers, watch: Watch
) -> None:
    reader, above = EvmReader(providers, watch), newest(onchain)
    onchain.send(onchain.token, "mint(address,uint256)", "0x" + STRANGER.hex(), 1)
    onchain.send(onchain.token, "mint(address,uint256)", LANE, 1)
    onchain.send(onchain.token, "pause()")
    onchain.send(onchain.token, "unpause()")
    onchain.anvil.mine()
    headers = await reader.headers(above + 1, newest(onchain))
    spoken = [False, True, True, True, False]
    assert list(reader.may_have_facts(headers)) == spoken
    assert list(reader.may_have_facts(headers, [STRANGER])) == [True, *spoken[1:]]
    assert list(reader.may_have_facts(headers, [*MANY, STRANGER])) == spoken
    many = Watched(watch, frozenset([*MANY, STRANGER]))
    assert [many.may_be_in(each) for each in headers] == [True, *spoken[1:]]


@pytest.mark.parametrize("count", [0, ALSO_BY_TOPIC_MAX, ALSO_BY_TOPIC_MAX + 1])
def test_a_block_is_asked_for_with_three_filters(watch: Watch, count: int) -> None:
    assert len(Watched(watch, frozenset(MANY[:count])).filters) == 3


@pytest.mark.parametrize("count", [1, ALSO_BY_TOPIC_MAX - 1, ALSO_BY_TOPIC_MAX])
def test_what_grows_address_by_address_is_what_it_is_at_once(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Only what is new is worked on: with many addresses the rest would hold up the event loop."""
    grown = Watched(watch, frozenset(MANY[:count]))
    worked: list[Address] = []

    def noted(address: Address) -> str:
        worked.append(address)
        return address_topic(address)

    monkeypatch.setattr(watched, "address_topic", noted)
    for number in range(count + 1, count + 4):
        before, had = grown, len(grown.also)
        new = frozenset([SOME[number - count - 1]])
        grown = grown.with_more(new, grown.also | new)
        assert (len(before.also), len(grown.also)) == (had, number)
    assert len([each for each in worked if each not in watch.addresses]) == 3
    monkeypatch.undo()
    at_once = Watched(watch, grown.also)
    assert grown.filters == at_once.filters
    for address in (*SOME[:3], DEPOSIT, STRANGER):
        for ends in ([address, STRANGER], [STRANGER, address]):
            for emitter in (watch.token, OTHER_TOKEN):
                log = {
                    "address": f"0x{emitter.hex()}",
                    "topics": [TRANSFER_TOPIC, *map(address_topic, ends)],
                }
                assert grown.concerns(log) == at_once.concerns(log)
    assert grown.concerns(
        {
            "address": f"0x{watch.token.hex()}",
            "topics": [TRANSFER_TOPIC, address_topic(STRANGER), address_topic(SOME[2])],
        }
    )


async def test_jobs_with_fewer_and_more_addresses_share_a_reader(
    onchain: OnChain, providers: Providers, watch: Watch
) -> None:
    reader, above = EvmReader(providers, watch), newest(onchain)
    for to in (SOME[0], SOME[1]):
        onchain.send(onchain.token, "mint(address,uint256)", "0x" + to.hex(), 1)
    headers = await reader.headers(above + 1, newest(onchain))
    for also in ([], SOME[:1], SOME[:2], SOME[1:2], [*MANY, *SOME[:2]], SOME[:1], []):
        found = await reader.facts(headers, also)
        assert sum(len(each.token_logs) for each in found) == len({*also} & {*SOME[:2]})


async def test_a_provider_that_is_not_beyond_the_last_block_is_not_asked_for_its_logs(
    onchain: OnChain, providers: Providers, watch: Watch
) -> None:
    reader = EvmReader(providers, watch)
    head = newest(onchain)
    with pytest.raises(ChainUnavailable, match="not beyond"):
        await reader.facts_by_range(0, head)
    assert await reader.facts_by_range(head - 1, head - 1) != []
