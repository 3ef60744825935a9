"""Faults of the chain and of the token. Not here: strangers with a lane's key (`stranger`)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.bench import DEPTH_BLOCKS, LANES, Payment
from tests.onchain import ADMIN, call

if TYPE_CHECKING:
    from tests.chaos.campaign import Campaign

_TOKEN: Final = "token"
_GAS: Final = 200_000
_GAS_MONEY_WEI: Final = 100 * 10**18
_FEE_WEI_MAX: Final = 60 * 10**9
_FEE_WEI_BEYOND: Final = 5 * 10**9


async def reorg(campaign: "Campaign") -> None:
    """The newest blocks are replaced by empty ones; nothing final is touched."""
    depth = campaign.chance.randint(1, DEPTH_BLOCKS - 1)
    campaign.bench.anvil.rpc("anvil_reorg", depth, [])
    campaign.note("reorg", str(depth))


async def reorg_pause(campaign: "Campaign") -> None:
    """The same batches again in other blocks, but after a pause of the token."""
    if is_paused(campaign):
        return
    if await _reorg_after(campaign, _from_admin(campaign, "pause()")):
        campaign.note("reorg with a pause before the batch")
        campaign.leave(_TOKEN, campaign.chance.uniform(0.3, 1.5))


async def reorg_deny(campaign: "Campaign") -> None:
    """The same, after one of the batch's beneficiaries was denied."""
    payment = await _under_way(campaign, ("included", "submitted", "unknown"))
    if payment is None:
        return
    deny_call = _from_admin(campaign, "deny(address)", payment.address)
    if await _reorg_after(campaign, deny_call):
        campaign.note("reorg with a deny before the batch", payment.address)


async def drop(campaign: "Campaign") -> None:
    """A transaction of a lane leaves the pool, and those after it."""
    hashes = _pending(campaign)
    if hashes:
        tx_hash = campaign.chance.choice(hashes)
        campaign.bench.anvil.rpc("anvil_dropTransaction", tx_hash)
        campaign.note("dropped transaction", tx_hash)


async def drop_all(campaign: "Campaign") -> None:
    """The pool is empty."""
    if _pending(campaign):
        campaign.bench.anvil.rpc("anvil_dropAllTransactions")
        campaign.note("dropped pool")


async def base_fee(campaign: "Campaign") -> None:
    """The next block is dear, or cheap again."""
    wei = campaign.chance.randint(1, _FEE_WEI_MAX)
    campaign.bench.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(wei))
    campaign.note("base fee jump", str(wei))


async def base_fee_beyond(campaign: "Campaign") -> None:
    """The next block is dearer than what is under way allows, and those after it for a while."""
    wei = campaign.chance.randint(_FEE_WEI_BEYOND, _FEE_WEI_MAX)
    campaign.bench.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(wei))
    campaign.note("base fee jump", str(wei))


async def pause_token(campaign: "Campaign") -> None:
    """Nobody can be paid for a while."""
    if is_paused(campaign):
        return
    _send(campaign, "pause()")
    campaign.note("token paused")
    campaign.leave(_TOKEN, campaign.chance.uniform(0.2, 1.2))


async def deny(campaign: "Campaign") -> None:
    """A beneficiary is denied: before the gate, or between gate and block."""
    payment = await _under_way(campaign, ("funded", "submitted", "unknown"))
    if payment is not None and not is_paused(campaign):
        _send(campaign, "deny(address)", payment.address)
        campaign.note("beneficiary denied", payment.address)


async def bomb(campaign: "Campaign") -> None:
    """Paying a beneficiary burns all gas, for a while."""
    payment = await _under_way(campaign, ("funded", "submitted", "unknown"))
    if payment is None:
        return
    _send(campaign, "setBomb(address,bool)", payment.address, True)

    async def defuse() -> None:
        _send(campaign, "setBomb(address,bool)", payment.address, False)

    campaign.note("gas bomb", payment.address)
    campaign.later(campaign.chance.uniform(1, 4), defuse)


async def empty_lane(campaign: "Campaign") -> None:
    """A lane has no coin for gas, until somebody gives it some."""
    lane = campaign.bench.keys[f"lanes/{campaign.chance.randrange(LANES)}"].address
    campaign.bench.anvil.rpc("anvil_setBalance", lane, "0x1")
    campaign.emptied.add(lane.lower())
    campaign.note("lane out of gas", lane)
    campaign.leave(lane, campaign.chance.uniform(0.5, 1.5))


async def keep(campaign: "Campaign") -> None:
    """The token's issuer ends a pause, and somebody fills lanes up, when it is time.

    Again, where a reorg undid it: it gives an account back what it had before.
    """
    anvil = campaign.bench.anvil
    if not campaign.is_left(_TOKEN):
        await _unpause(campaign)
    for name, key in campaign.bench.keys.items():
        balance_wei = int(anvil.rpc("eth_getBalance", key.address, "latest"), 16)
        if balance_wei < _GAS_MONEY_WEI // 2 and not campaign.is_left(key.address):
            anvil.rpc("anvil_setBalance", key.address, hex(_GAS_MONEY_WEI))
            campaign.tell(f"{name} has coin again")


async def mend(campaign: "Campaign") -> None:
    """What the token's issuer and the operator put right before the drain."""
    anvil = campaign.bench.anvil
    anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    anvil.mine()
    campaign.leave_nothing()
    await keep(campaign)
    for payment in campaign.bench.payments.values():
        if int(_ask(campaign, "isBomb(address)", payment.address), 16):
            _send(campaign, "setBomb(address,bool)", payment.address, False)


def is_paused(campaign: "Campaign") -> bool:
    """Whether the token is, on the chain as it is now: a reorg may have undone a pause."""
    return int(_ask(campaign, "paused()"), 16) == 1


async def _unpause(campaign: "Campaign") -> None:
    if is_paused(campaign):
        _send(campaign, "unpause()")
        campaign.tell("token unpaused")


async def _under_way(campaign: "Campaign", states: Sequence[str]) -> Payment | None:
    rows = await campaign.bench.rows(
        "SELECT id FROM transfer WHERE state = ANY($1) ORDER BY payment_number", list(states)
    )
    known = [campaign.bench.payments.get(row["id"]) for row in rows]
    found = [each for each in known if each is not None]
    return campaign.chance.choice(found) if found else None


async def _reorg_after(campaign: "Campaign", first: dict[str, str]) -> bool:
    """Replace the newest blocks by ones with `first` and then the same transactions of lanes."""
    anvil = campaign.bench.anvil
    depth = campaign.chance.randint(2, DEPTH_BLOCKS - 1)
    height = campaign.bench.height()
    hashes = [
        bytes.fromhex(tx_hash[2:])
        for number in range(height - depth + 1, height + 1)
        for tx_hash in anvil.rpc("eth_getBlockByNumber", hex(number), False)["transactions"]
    ]
    rows = await campaign.bench.rows(
        "SELECT tx_hash, raw FROM attempt WHERE tx_hash = ANY($1)", hashes
    )
    raws = {row["tx_hash"]: "0x" + row["raw"].hex() for row in rows}
    again = [[raws[tx_hash], 1] for tx_hash in hashes if tx_hash in raws]
    if not again:
        return False
    anvil.rpc("anvil_reorg", depth, [[first, 0], *again])
    return True


def _from_admin(campaign: "Campaign", signature: str, *arguments: object) -> dict[str, str]:
    return {
        "from": ADMIN,
        "to": "0x" + campaign.bench.onchain.token.hex(),
        "data": call(signature, *arguments),
        "gas": hex(_GAS),
    }


def _pending(campaign: "Campaign") -> list[str]:
    """Hashes of the node's own transactions that wait for a block."""
    pool = campaign.bench.anvil.rpc("txpool_content")["pending"]
    own = {key.address.lower() for key in campaign.bench.keys.values()}
    return sorted(
        each["hash"]
        for sender, by_nonce in pool.items()
        if sender.lower() in own
        for each in by_nonce.values()
    )


def _send(campaign: "Campaign", signature: str, *arguments: object) -> None:
    """A call of the token by its admin, mined with whatever else waits."""
    anvil = campaign.bench.anvil
    price = dear_wei(campaign)
    transaction = {**_from_admin(campaign, signature, *arguments), "gasPrice": hex(price)}
    anvil.rpc("eth_sendTransaction", transaction)
    anvil.mine()


def dear_wei(campaign: "Campaign") -> int:
    """Above the base fee for a while. What the chain suggests follows what was paid before."""
    block = campaign.bench.anvil.rpc("eth_getBlockByNumber", "latest", False)
    return 2 * int(block["baseFeePerGas"], 16) + 2 * _FEE_WEI_MAX


def _ask(campaign: "Campaign", signature: str, *arguments: object) -> Any:
    question = _from_admin(campaign, signature, *arguments)
    return campaign.bench.anvil.rpc("eth_call", question, "latest")
