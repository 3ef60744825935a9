"""The worker process: which jobs there are, and of what each is made."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Final

import structlog
import uvloop

from adapters.evm.contract import EvmSettlementContract
from adapters.evm.signed import Eip1559Reader
from adapters.evm.signers import close_signers, open_signers
from adapters.evm.wake import HeadListener
from adapters.failpoint import failpoint
from adapters.machine import keep_memory_private, keep_what_is_loaded, new_id
from node import logs
from node.bootstrap.comparing import until_compared
from node.bootstrap.wiring import Node, open_node
from node.config import Settings, SettingsInvalid
from node.core.ports.chain import Signer
from node.core.settlement import BatchRules
from node.core.signing import KeyRole, SigningPolicy
from node.core.submission import FeeRules
from node.core.sweeping import SweepRules
from node.services.deposits.request_expiry import RequestExpiry
from node.services.ledger.checkpointing import CheckpointService
from node.services.mirror.mirroring import MirrorService
from node.services.settlement.movement_writing import MovementWriter
from node.services.settlement.parts import SettlementParts
from node.services.settlement.settling import SettlementService
from node.services.settlement.sweeping import Sweeper
from node.services.settlement.treasury import TreasuryService
from node.store.lane_lock import AdvisoryLaneLock
from node.workers.loop import Job, run_all

_log = structlog.get_logger()

_CHECKPOINT_IDLE_MS: Final = 5000
_BANK_IDLE_MS: Final = 5000
_PARTNER_IDLE_MS: Final = 500
_BULK_IDLE_MS: Final = 500
_PAYOUT_IDLE_MS: Final = 500
_WATCHING_IDLE_MS: Final = 10_000
_WEBHOOKS_IDLE_MS: Final = 250
_FORGETTING_IDLE_MS: Final = 5000


def run_work(settings: Settings, only: Sequence[str] = ()) -> None:
    """The worker process with the jobs named, or all, until it is told to stop."""
    logs.configure(level=settings.log_level, form=settings.log_format)
    keep_memory_private()  # keys are opened in this process
    uvloop.run(_work(settings, only))


async def _work(settings: Settings, only: Sequence[str]) -> None:
    chosen = _chosen(only)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with open_node(settings) as node, AsyncExitStack() as stack:
        await until_compared(node, stop)
        worker = _Worker(node, stack)
        jobs = [job for name in sorted(chosen) for job in _JOBS[name](worker)]
        keep_what_is_loaded()
        _log.info("working", jobs=[job.name for job in jobs])
        await run_all(jobs, stop)


def _chosen(only: Sequence[str]) -> frozenset[str]:
    if unknown := set(only) - set(_JOBS):
        raise SettingsInvalid(
            f"there is no job {', '.join(sorted(unknown))}; there are {', '.join(sorted(_JOBS))}"
        )
    return frozenset(only or _JOBS)


@dataclass(frozen=True, slots=True)
class _Worker:
    """What jobs are made of.

    Attributes:
        stack: What is to be closed with the worker.
        has_mirrored: Wakes reconciliation, where the mirror runs here too: blocks may be final.
    """

    node: Node
    stack: AsyncExitStack
    has_mirrored: asyncio.Event = field(default_factory=asyncio.Event)


def _mirror_jobs(worker: _Worker) -> Iterator[Job]:
    node = worker.node
    mirror = MirrorService(
        units=node.units,
        reader=node.reader,
        watch=node.watch,
        lanes=node.keys.signers,
        finality=node.settings.finality,
        new_id=new_id,
        failpoint=failpoint(node.settings.failpoint),
        deposit_policy=node.settings.deposit_policy,
        proofs=node.payouts.proofs,
        witnesses_min=node.settings.chain_witnesses,
    )
    idle_ms = min(200, _block_ms(node))
    wake = _heads(node.settings.chain_ws_urls, worker.stack)
    yield Job("mirror", mirror.run_once, idle_ms=idle_ms, wake=wake, wakes=worker.has_mirrored)


def _heads(urls: Sequence[str], stack: AsyncExitStack) -> asyncio.Event | None:
    """Set whenever one of these WebSockets tells of a new head; None: there are none."""
    if not urls:
        return None
    wake = asyncio.Event()

    async def end(task: "asyncio.Task[None]") -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    for url in urls:
        listener = HeadListener(url, wake.set)
        stack.push_async_callback(end, asyncio.create_task(listener.run(), name="heads"))
    return wake


def _reconcile_jobs(worker: _Worker) -> Iterator[Job]:
    node, wake = worker.node, worker.has_mirrored
    checkpoints = CheckpointService(node.units)
    yield Job("reconcile", node.reconciling.run_once, idle_ms=_block_ms(node), wake=wake)
    expiry = RequestExpiry(node.units, node.settings.chain_id, new_id)
    yield Job("reconcile", node.bank.run_once, idle_ms=_BANK_IDLE_MS)
    yield Job("reconcile", checkpoints.run_once, idle_ms=_CHECKPOINT_IDLE_MS)
    yield Job("reconcile", expiry.run_once, idle_ms=_block_ms(node))
    yield Job("reconcile", node.payouts.expiry.run_once, idle_ms=_block_ms(node))
    yield Job("reconcile", node.payouts.watching.run_once, idle_ms=_WATCHING_IDLE_MS)


def _settle_jobs(worker: _Worker) -> Iterator[Job]:
    """One for each of the node's keys: keys are opened here and nowhere else."""
    node, stack = worker.node, worker.stack
    settings, keys = node.settings, node.keys
    own = keys.movable(node.services.catalog.native.code)
    contract = EvmSettlementContract(node.chain, node.watch.contract, node.watch.token)
    at = failpoint(settings.failpoint)
    writing = asyncio.Lock()
    facts = keys.signing(settings)
    sweeps = SweepRules(settings.sweep_above_minor)

    def opened(setting: str) -> list[Signer]:
        signers = open_signers(setting)
        stack.push_async_callback(close_signers, signers)
        return signers

    def parts(signer: Signer, role: KeyRole) -> SettlementParts:
        lock = AdvisoryLaneLock(settings.database_url)  # a connection of its own
        stack.push_async_callback(lock.release)
        return SettlementParts(
            units=node.units,
            chain=node.chain,
            contract=contract,
            signer=signer,
            reader=Eip1559Reader(),
            lock=lock,
            new_id=new_id,
            failpoint=at,
            chain_id=settings.chain_id,
            owner=f"{socket.gethostname()}:{os.getpid()}",
            block_s=max(1, int(settings.chain_block_s)),
            batches=BatchRules(settings.batch_payments_max, settings.batch_wait_ms),
            fees=FeeRules(
                max_fee_per_gas_wei=settings.fee_max_wei,
                tip_max_wei=settings.tip_max_wei,
                bump_after_blocks=settings.bump_after_blocks,
                resend_after_s=settings.resend_after_s,
            ),
            lease_s=settings.lane_lease_s,
            role=role,
            policy=SigningPolicy(role, signer.address, facts),
            writing=writing,
        )

    for signer in opened(settings.signer)[: len(keys.lanes)]:
        lane = parts(signer, KeyRole.SETTLE)
        sweeper = Sweeper(lane, own, sweeps) if signer.address == own.sweeper else None
        settlement = SettlementService(lane, MovementWriter(lane, own), sweeper)
        yield Job("settle", settlement.run_once, idle_ms=min(100, _block_ms(node)))
    for setting, role in (
        (settings.treasury_signer, KeyRole.TREASURY),
        (settings.pauser_signer, KeyRole.PAUSER),
        (settings.rescuer_signer, KeyRole.RESCUER),
    ):
        if setting:
            [signer] = opened(setting)
            service = TreasuryService(parts(signer, role), own, sweeps)
            yield Job("settle", service.run_once, idle_ms=_block_ms(node))


def _deliver_jobs(worker: _Worker) -> Iterator[Job]:
    node, stack = worker.node, worker.stack
    stack.push_async_callback(node.webhook_sender.close)
    stack.push_async_callback(node.webhook_delivery.close)  # the first to be called
    yield Job("deliver", node.webhook_delivery.run_once, idle_ms=_WEBHOOKS_IDLE_MS)
    yield Job("deliver", node.webhook_forgetting.run_once, idle_ms=_FORGETTING_IDLE_MS)
    yield Job("deliver", node.bulk_worker.run_once, idle_ms=_BULK_IDLE_MS)
    if node.partners:
        yield Job("deliver", node.following.run_once, idle_ms=_PARTNER_IDLE_MS)
        yield Job("deliver", node.payout_changes.run_once, idle_ms=_PARTNER_IDLE_MS)
    yield Job("deliver", node.payouts.delivery.run_once, idle_ms=_PAYOUT_IDLE_MS)
    yield Job("deliver", node.payouts.refunds.run_once, idle_ms=_PAYOUT_IDLE_MS)


_JOBS: Final[Mapping[str, Callable[[_Worker], Iterator[Job]]]] = {
    "settle": _settle_jobs,
    "mirror": _mirror_jobs,
    "reconcile": _reconcile_jobs,
    "deliver": _deliver_jobs,
}
"""Names for `corridor work --only`."""


def _block_ms(node: Node) -> int:
    return int(node.settings.chain_block_s * 1000)
