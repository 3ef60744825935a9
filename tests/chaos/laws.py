"""The laws after the drain: read from the chain and the database, not from what the program says.

Numbers that a restored backup forgot are told apart by the bench's own memory of what it accepted;
everything else has to agree to the unit.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from eth_utils.crypto import keccak

from node.core.ledger import chain_account, customer_account
from node.core.paging import ListQuery
from node.core.ports.transfers import Transfer
from node.core.reconcile import BreakCode
from node.core.transfers import TERMINAL, State
from tests.chaos.bench import Bench, Payment

_SETTLED: Final = "0x" + keccak(text="Settled(uint64)").hex()
_VOIDED: Final = "0x" + keccak(text="Voided(uint64)").hex()
_TRANSFER: Final = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
_PAGE: Final = 200
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
    """What the canonical chain says."""

    settled: Counter[int]
    voided: Counter[int]
    transfers: Counter[tuple[str, int]]


async def judge(bench: Bench, explained: frozenset[str] = frozenset()) -> Verdict:
    """Check every law.

    Args:
        bench: Drained.
        explained: Codes of breaks that the faults of this campaign leave behind.
    """
    verdict = Verdict()
    transfers = await bench.transfers()
    verdict.outcomes.update(str(each.state) for each in transfers.values())
    paid = _paid(bench)
    _every_transfer_has_ended(transfers.values(), verdict)
    _each_number_is_used_once(paid, verdict)
    _each_is_paid_what_was_promised(bench, transfers, paid, verdict)
    await _money_is_back(bench, transfers.values(), verdict)
    await _nonces_are_contiguous(bench, verdict)
    await _books_are_proven(bench, verdict)
    await _books_are_the_chain(bench, explained, paid, verdict)
    return verdict


def _paid(bench: Bench) -> _Paid:
    events = _logs(bench, bench.onchain.contract, [[_SETTLED, _VOIDED]])
    numbers = {topic: Counter[int]() for topic in (_SETTLED, _VOIDED)}
    for each in events:
        numbers[each["topics"][0]][int(each["topics"][1], 16)] += 1
    out = _logs(bench, bench.onchain.token, [_TRANSFER, _topic(bench.onchain.contract)])
    moved = Counter(("0x" + each["topics"][2][26:], int(each["data"], 16)) for each in out)
    return _Paid(numbers[_SETTLED], numbers[_VOIDED], moved)


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
    bench: Bench, transfers: dict[Any, Transfer], paid: _Paid, verdict: Verdict
) -> None:
    left = paid.transfers.copy()
    for payment in bench.payments.values():
        times = left.pop((payment.address, payment.amount), 0)
        transfer = transfers.get(payment.transfer_id)
        if transfer is None:
            if times:
                verdict.forgotten.append(payment.number)
            wrong = times > 1
        else:
            wrong = times != int(transfer.state is State.SETTLED)
        if wrong:
            verdict.differences.append(_told(payment, transfer, times))
    own = "0x" + bench.node.keys.treasury.hex() if bench.node.keys.treasury else ""
    for (address, amount), times in left.items():
        if address != own:
            verdict.differences.append(f"{address} got {amount} units {times} times, for nothing")


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
        if list(row["nonces"]) != list(range(count)):
            missing = sorted(set(range(count)) ^ set(row["nonces"]))
            verdict.differences.append(f"lane {address}: nonces {missing[:20]} are off")


async def _books_are_proven(bench: Bench, verdict: Verdict) -> None:
    outcome = await bench.node.verifying.verify()
    verdict.differences += [f"verify: {each}" for each in outcome.differences]


async def _books_are_the_chain(
    bench: Bench, explained: frozenset[str], paid: _Paid, verdict: Verdict
) -> None:
    run = await bench.node.reconciling.run("operator:chaos")
    known = await bench.transfers()
    forgotten = {each.number for each in bench.payments.values() if each.transfer_id not in known}
    forgotten |= set(paid.voided)  # a void that an older copy does not know of was the node's too
    query = ListQuery(limit=_PAGE, filters={"status": "open"}, scope="breaks")
    for each in (await bench.node.reconciling.breaks(query)).items:
        verdict.breaks[each.code] += 1
        number = int(each.evidence.get("payment_number", -1))
        if each.code not in explained or (number >= 0 and number not in forgotten):
            verdict.differences.append(f"break {each.code} is open: {each.summary}; {each.actual}")
    if not explained:
        verdict.differences += [
            f"reconcile: {each.name}: expected {each.expected}, is {each.actual}"
            for each in run.checks
            if not each.ok
        ]
    held = bench.onchain.balance(bench.onchain.contract)
    account = chain_account(31337, bench.onchain.contract, "USDC")
    async with bench.node.units() as unit:
        booked = (await unit.ledger.balances([account]))[account].posted
    unbooked = sum(
        int(row["amount"])
        for row in await bench.rows(
            "SELECT amount FROM token_log WHERE cause = 'orphan_outbound' AND status = 'final'"
            " AND from_address = $1",
            bytes(bench.onchain.contract),
        )
    )
    if booked != held + unbooked:
        verdict.differences.append(
            f"the ledger says {booked}, the contract holds {held}, unexplained {unbooked}"
        )


_EXPLAINED_BY: Final = {
    "backup restored": frozenset(
        {BreakCode.ORPHAN_OUTBOUND, BreakCode.PAID_WRONG, BreakCode.LEDGER_OFF_CHAIN}
    ),
    "lane out of gas": frozenset(
        {BreakCode.NATIVE_UNEXPLAINED, BreakCode.LEDGER_OFF_CHAIN, BreakCode.UNKNOWN_DEPOSIT}
    ),
}


def explained(faults: Counter[str]) -> frozenset[str]:
    """Codes of the breaks that these faults leave behind for people to close."""
    return frozenset(
        code for name, codes in _EXPLAINED_BY.items() if faults[name] for code in codes
    )
