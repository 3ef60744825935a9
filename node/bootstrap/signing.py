"""The signer process: its file becomes keys, rules and a server. It knows no database, no chain."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from adapters.evm.addresses import Eip55
from adapters.evm.signers import open_signers, signer_addresses
from adapters.machine import SystemClock, keep_memory_private
from node import logs
from node.api.server import Server
from node.core.errors import SignerUnavailable
from node.core.signing import SigningFacts, SigningPolicy
from node.core.units import Address
from node.signer.app import SignerApp
from node.signer.desk import HeldKey, SigningDesk
from node.signer.journal import Journal, only_process
from node.signer.settings import KeySettings, SignerSettings, load_settings


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key for people: its address, its role, what it may pay out in a day (token units)."""

    address: str
    role: str
    units_per_day: int


def run_signer(file: Path, *, log_format: str, on_listening: Callable[[str], None]) -> None:
    """The signer process, until it is told to stop; says once where it answers.

    Raises:
        SignerSettingsInvalid: The file is wrong; says what, and the remedy.
        SignerUnavailable: A keystore or the state cannot be opened, or another process has it.
    """
    logs.configure(level="info", form=log_format)
    keep_memory_private()
    settings = load_settings(file, Eip55())
    with _held(settings) as keys:
        desk = SigningDesk(keys, SystemClock())
        server = Server(
            SignerApp(desk, settings.bearer).asgi(),
            settings.host,
            settings.port,
            lambda: on_listening(f"http://{settings.host}:{settings.port}"),
        )
        uvloop.run(server.serve())


def signer_keys(file: Path) -> Sequence[KeyRow]:
    """The keys that a file names, after opening each of them and the state of each.

    Raises:
        SignerSettingsInvalid, SignerUnavailable: As `run_signer`.
    """
    keep_memory_private()
    with _held(load_settings(file, Eip55())) as keys:
        return [
            KeyRow(Eip55().text(each.signer.address), each.policy.role.value, each.units_per_day)
            for each in keys
        ]


def forget_nonce(file: Path, address_text: str, nonce: int) -> bool:
    """Let another transaction be signed for a nonce; whether there was one to forget.

    Raises:
        AddressInvalid: The address is none.
        SignerSettingsInvalid, SignerUnavailable: As `run_signer`; the process must be stopped.
    """
    settings = load_settings(file, Eip55())
    with only_process(settings.state_dir):
        journal = Journal(settings.state_dir, Eip55().parse(address_text))
        was_known = nonce in journal.state.signed
        if was_known:
            journal.write(journal.state.forgetting(nonce))
        return was_known


@contextmanager
def _held(settings: SignerSettings) -> Iterator[list[HeldKey]]:
    """All keys, opened, for as long as no other process has their state."""
    addresses = [address for each in settings.keys for address in signer_addresses(each.signer)]
    for address in addresses:
        if addresses.count(address) > 1:
            raise SignerUnavailable(
                f"the key of {Eip55().text(address)} is named twice: give each key one role"
            )
    facts = SigningFacts(
        chain_id=settings.chain_id,
        contract=settings.contract,
        token=settings.token,
        treasury=settings.treasury,
        own=settings.own | frozenset(addresses),
        fee_max_wei=settings.fee_max_wei,
        deposits=settings.deposits,
    )
    with only_process(settings.state_dir):
        yield [key for each in settings.keys for key in _keys(each, facts, settings.state_dir)]


def _keys(settings: KeySettings, facts: SigningFacts, state_dir: Path) -> Iterator[HeldKey]:
    for signer in open_signers(settings.signer):
        address: Address = signer.address
        yield HeldKey(
            signer,
            SigningPolicy(settings.role, address, facts),
            Journal(state_dir, address),
            settings.units_per_day,
        )
