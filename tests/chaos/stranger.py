"""Somebody else who has the key of a lane: what they send with it.

Signed with the key itself, as thieves do, so that hashes and signatures are true. Everything they
send is remembered by its hash: at the end it explains what the node reports of it, and no more.
"""

from typing import TYPE_CHECKING, Any, Final

from eth_account import Account

from node.core.settlement import PaymentRecord, settle_calldata
from tests.builders import CHAIN_ID
from tests.chaos.bench import LANES, Key, Payment
from tests.chaos.chain_faults import dear_wei
from tests.onchain import address_of

if TYPE_CHECKING:
    from tests.chaos.campaign import Campaign

NOTHING: Final = "stranger sends nothing to the lane itself"
COIN: Final = "stranger takes coin out"
OWN: Final = "stranger settles an open number as it is"
OTHER: Final = "stranger settles an open number to another"
NAMES: Final = (NOTHING, COIN, OWN, OTHER)
_COIN_WEI: Final = 10**15
_GAS: Final = 700_000
_OPEN: Final = ("funded", "submitted", "unknown", "included")


async def act(campaign: "Campaign") -> None:
    """Somebody else sends one transaction of a lane."""
    name = campaign.chance.choice(NAMES)
    if name in (OWN, OTHER):
        await _settle(campaign, name)
        return
    thief = campaign.bench.keys["stranger"]
    lane = _lane(campaign)
    to, wei = (thief.address, _COIN_WEI) if name == COIN else (lane.address, 0)
    _send(campaign, lane, name, {"to": to, "value": wei, "gas": 21_000})


async def _settle(campaign: "Campaign", name: str) -> None:
    """Pay a number of the node before the node does, to whom it is owed or to oneself."""
    rows = await campaign.bench.rows(
        "SELECT id, payment_number FROM transfer WHERE state = ANY($1) ORDER BY payment_number",
        list(_OPEN),
    )
    known = campaign.bench.payments
    found = [(known[row["id"]], row["payment_number"]) for row in rows if row["id"] in known]
    if not found:
        return
    payment, number = campaign.chance.choice(found)
    data = settle_calldata([_record(campaign, payment, int(number), name)])
    wanted = {"to": campaign.bench.onchain.contract, "data": data, "value": 0, "gas": _GAS}
    _send(campaign, _lane(campaign), name, wanted, str(number))


def _lane(campaign: "Campaign") -> Key:
    return campaign.bench.keys[f"lanes/{campaign.chance.randrange(LANES)}"]


def _record(campaign: "Campaign", payment: Payment, number: int, name: str) -> PaymentRecord:
    thief = campaign.bench.keys["stranger"].address
    to = payment.address if name == OWN else thief
    return PaymentRecord(number, address_of(to), payment.amount)


def _send(
    campaign: "Campaign", lane: Key, name: str, wanted: dict[str, Any], detail: str = ""
) -> None:
    anvil = campaign.bench.anvil
    price = dear_wei(campaign)
    fees: dict[str, int] = (
        {"gasPrice": price}
        if campaign.chance.randrange(4) == 0  # as old wallets do
        else {"maxFeePerGas": price, "maxPriorityFeePerGas": price, "type": 2}
    )
    nonce = int(anvil.rpc("eth_getTransactionCount", lane.address, "latest"), 16)
    transaction = {"chainId": CHAIN_ID, "nonce": nonce, **wanted, **fees}
    signed = Account.sign_transaction(transaction, lane.private_key)
    campaign.strange.add("0x" + signed.hash.hex())
    anvil.rpc("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex())
    campaign.note(name, f"{lane.address} {detail}")
