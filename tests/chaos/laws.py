"""The laws after the drain: read from the chain and the database, not from what the program says.

What a restored backup forgot is told apart by the bench's own memory of what it accepted, and what
a stranger did by the hashes of what it sent; everything else has to agree to the unit. Open breaks
and what they explain: `tests.chaos.open_breaks`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from eth_utils.crypto import keccak

from node.core.ledger import customer_account
from node.core.ports.transfers import Transfer
from node.core.transfers import TERMINAL, State
from node.services.mirror.finalizing import VOIDED_ON_CHAIN
from tests.chaos.bench import Bench, Payment
from tests.chaos.open_breaks import Causes, Unbooked, compare

_SETTLED: Final = "0x" + keccak(text="Settled(uint64)").hex()
_VOIDED: Final = "0x" + keccak(text="Voided(uint64)").hex()
_TRANSFER: Final = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
_NONCES_TOLD: Final = 20
_HONEST_ENDS: Final = frozenset({State.UNKNOWN, State.ON_HOLD})


@dataclass
class Verdict:
    """What is true in the end.

    Attributes:
        outcomes: How many transfers ended how.
        breaks: Open breaks by code, all of them explained by faults.
        forgotten: Numbers that a restored backup forgot and the chain has paid.
        differences: What should be and is not; empty: every law holds.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    breaks: Counter[str] = field(default_factory=Counter)
    forgotten: list[int] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Paid:
    """What the canonical chain says.

    Attributes:
        logs: Every payout: where its log is, number, to whom, how much, by whose transaction.
    """

    settled: Counter[int]
    voided: Counter[int]
    transfers: Counter[tuple[str, int]]
    logs: list["_Payout"]

    def of(self, terms: tuple[str, int]) -> list["_Payout"]:
        """Payouts of these terms: beneficiary and amount."""
        return [each for each in self.logs if (each.address, each.amount) == terms]


@dataclass(frozen=True)
class _Payout:
    """A `Settled` and the token's `Transfer` before it."""

    number: int
    address: str
    amount: int
    tx_hash: str
    places: frozenset[int]


async def judge(bench: Bench, causes: Causes) -> Verdict:
    """Check every law.

    Args:
        bench: Drained.
        causes: What happened that may leave breaks behind.
    """
    verdict = Verdict()
    transfers = await bench.transfers()
    verdict.outcomes.update(str(each.state) for each in transfers.values())
    paid = _paid(bench)
    _every_transfer_has_ended(transfers.values(), verdict)
    _each_number_is_used_once(paid, verdict)
    own_hashes = {
        f"0x{each['tx_hash'].hex()}" for each in await bench.rows("SELECT tx_hash FROM attempt")
    }
    unbooked = _each_is_paid_what_was_promised(
        bench.payments.values(), transfers, paid, causes, own_hashes, verdict
    )
    _nothing_else_left(bench, paid, causes, unbooked, verdict)
    await _money_is_back(bench, transfers.values(), verdict)
    await _nonces_are_contiguous(bench, verdict)
    await _books_are_proven(bench, verdict)
    verdict.breaks, differences = await compare(bench, causes, unbooked)
    verdict.differences += differences
    return verdict


def _paid(bench: Bench) -> _Paid:
    events = _logs(bench, bench.onchain.contract, [[_SETTLED, _VOIDED]])
    numbers = {topic: Counter[int]() for topic in (_SETTLED, _VOIDED)}
    for each in events:
        numbers[each["topics"][0]][int(each["topics"][1], 16)] += 1
    out = _logs(bench, bench.onchain.token, [_TRANSFER, _topic(bench.onchain.contract)])
    moved = Counter((_to(each), int(each["data"], 16)) for each in out)
    places = {(each["transactionHash"], int(each["logIndex"], 16)): each for each in out}
    payouts = []
    for each in events:
        tx_hash, index = each["transactionHash"], int(each["logIndex"], 16)
        if each["topics"][0] == _SETTLED:
            payout = places[tx_hash, index - 1]  # directly before, as the contract promises
            payouts.append(
                _Payout(
                    int(each["topics"][1], 16),
                    _to(payout),
                    int(payout["data"], 16),
                    tx_hash,
                    frozenset({index - 1, index}),
                )
            )
    return _Paid(numbers[_SETTLED], numbers[_VOIDED], moved, payouts)


def _to(log: Any) -> str:
    return "0x" + str(log["topics"][2])[26:]


def _logs(bench: Bench, address: bytes, topics: list[Any]) -> list[Any]:
    asked = {"fromBlock": "0x0", "toBlock": "latest", "address": "0x" + address.hex()}
    return list(bench.anvil.rpc("eth_getLogs", {**asked, "topics": topics}))


def _topic(address: bytes) -> str:
    return "0x" + address.hex().rjust(64, "0")


def _every_transfer_has_ended(transfers: Any, verdict: Verdict) -> None:
    for each in transfers:
        if each.state in TERMINAL:
            continue
        if each.state not in _HONEST_ENDS or each.failure is None:
            verdict.differences.append(f"transfer {each.payment_number} is {each.state} for ever")


def _each_number_is_used_once(paid: _Paid, verdict: Verdict) -> None:
    for number, times in (paid.settled + paid.voided).items():
        if times > 1:
            verdict.differences.append(
                f"number {number} was settled {paid.settled[number]} times and voided"
                f" {paid.voided[number]} times"
            )


def _each_is_paid_what_was_promised(
    payments: Iterable[Payment],
    transfers: Mapping[Any, Transfer],
    paid: _Paid,
    causes: Causes,
    own_hashes: Collection[str],
    verdict: Verdict,
) -> Unbooked:
    """What the node cannot have booked: paid to whom it forgot, or by a stranger.

    Terms are every payment's own; those of the payments are taken out of what was paid.
    """
    unbooked = Unbooked()
    for payment in payments:
        terms = payment.address, payment.amount
        times, payouts = paid.transfers.pop(terms, 0), paid.of(terms)
        transfer = transfers.get(payment.transfer_id)
        if causes.restored and _is_in_part_forgotten(transfer, payouts, own_hashes):
            unbooked.numbers.add(payment.number if transfer is None else transfer.payment_number)
            unbooked.add(payouts)
            if times and transfer is None:
                verdict.forgotten.append(payment.number)
            wrong = times > int(transfer is None or transfer.state is State.ON_HOLD)
        elif transfer is None:
            wrong = True
        elif transfer.state is not State.SETTLED and _are_strange(payouts, causes):
            unbooked.add(payouts)
            wrong = times != len(payouts)
        else:
            wrong = times != int(transfer.state is State.SETTLED)
        if wrong:
            verdict.differences.append(_told(payment, transfer, times))
    return unbooked


def _nothing_else_left(
    bench: Bench, paid: _Paid, causes: Causes, unbooked: Unbooked, verdict: Verdict
) -> None:
    """What no payment asked for went to the treasury, or a stranger sent it."""
    own = "0x" + bench.node.keys.treasury.hex() if bench.node.keys.treasury else ""
    for terms, times in paid.transfers.items():
        payouts = paid.of(terms)
        unbooked.add(payouts)
        by_stranger = len(payouts) == times and _are_strange(payouts, causes)
        if terms[0] != own and not by_stranger:
            verdict.differences.append(f"{terms[0]} got {terms[1]} units {times} times for nothing")


def _is_in_part_forgotten(
    transfer: Transfer | None, payouts: list[_Payout], own_hashes: Collection[str]
) -> bool:
    """Whether an older copy lacks it, or who paid it (it is held then), or who voided it."""
    if transfer is None:
        return True
    if transfer.state is State.ON_HOLD:
        return bool(payouts) and all(each.tx_hash not in own_hashes for each in payouts)
    return (
        transfer.failure is not None and transfer.failure["message"] == VOIDED_ON_CHAIN["message"]
    )


def _are_strange(payouts: list[_Payout], causes: Causes) -> bool:
    return bool(payouts) and all(each.tx_hash in causes.strange for each in payouts)


def _told(payment: Payment, transfer: Transfer | None, times: int) -> str:
    state = "forgotten" if transfer is None else str(transfer.state)
    return f"number {payment.number} is {state} and was paid {times} times to {payment.address}"


async def _money_is_back(bench: Bench, transfers: Any, verdict: Verdict) -> None:
    """What was given by the payer is what was settled; nothing is reserved any more."""
    assert bench.payer.customer_id is not None
    account = customer_account(bench.payer.customer_id, "EUR")
    async with bench.node.units() as unit:
        balance = (await unit.ledger.balances([account]))[account]
    open_minor = sum(each.amounts.sell for each in transfers if each.state not in TERMINAL)
    spent = sum(each.amounts.sell for each in transfers if each.state is State.SETTLED)
    if (balance.posted, balance.reserved) != (bench.payer_minor - spent, open_minor):
        verdict.differences.append(
            f"the payer has {balance.posted} and {balance.reserved} reserved; given"
            f" {bench.payer_minor}, settled {spent}, open {open_minor}"
        )


async def _nonces_are_contiguous(bench: Bench, verdict: Verdict) -> None:
    rows = await bench.rows(
        "SELECT l.address, array_agg(DISTINCT s.nonce ORDER BY s.nonce) AS nonces FROM lane l"
        " JOIN slot s ON s.lane_id = l.id WHERE s.state = 'final' GROUP BY 1"
    )
    for row in rows:
        address = "0x" + row["address"].hex()
        count = int(bench.anvil.rpc("eth_getTransactionCount", address, "latest"), 16)
        for nonce in sorted(set(range(count)) ^ set(row["nonces"]))[:_NONCES_TOLD]:
            verdict.differences.append(
                f"nonce {nonce} of {address}: {await _slots_at(bench, row['address'], nonce)};"
                f" {_sent_as(bench, address, nonce)}"
            )


async def _slots_at(bench: Bench, address: bytes, nonce: int) -> str:
    rows = await bench.rows(
        "SELECT concat_ws(' ', s.purpose, s.state, 'adopted', s.adopted, 'in block',"
        " s.included_block_number, 'created', s.created_at) AS told FROM slot s"
        " JOIN lane l ON l.id = s.lane_id WHERE l.address = $1 AND s.nonce = $2",
        address,
        nonce,
    )
    return "; ".join(each["told"] for each in rows) or "no slot"


def _sent_as(bench: Bench, address: str, nonce: int) -> str:
    """Which transaction of the chain has the nonce."""
    for number in range(bench.height() + 1):
        block: Any = bench.anvil.rpc("eth_getBlockByNumber", hex(number), True)
        for each in block["transactions"]:
            if each["from"] == address and int(each["nonce"], 16) == nonce:
                return f"transaction {each['hash']} in block {number} {block['hash']}"
    return "no transaction of the chain"


async def _books_are_proven(bench: Bench, verdict: Verdict) -> None:
    outcome = await bench.node.verifying.verify()
    verdict.differences += [f"verify: {each}" for each in outcome.differences]
