"""`corridor prove reserves`: a directory that appears whole or not at all, and what to do with it.

Not here: what is proven (`node.services.ledger.reserves`).
"""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from node.cli.console import pairs, print_json, stderr, stdout
from node.cli.faults import Fault, Status
from node.cli.installation import settings_of
from node.core.units import format_minor

if TYPE_CHECKING:  # a command loads the node only when it runs
    from node.config import Settings
    from node.core.reserves import Attestation
    from node.services.ledger.reserves import Outcome


@dataclass(frozen=True, slots=True)
class Manner:
    """How to prove.

    Attributes:
        out: The new directory; None: named after the block.
        asset: Code.
    """

    out: Path | None
    asset: str
    as_json: bool


class ProofDirectory:
    """A directory that is being written beside its place; for its owner's eyes only."""

    def __init__(self, beside: Path) -> None:
        self._beside = beside
        (beside / "statements").mkdir(mode=0o700)

    def write(self, name: str, data: bytes) -> None:
        """Write one file.

        Raises:
            Fault: The disk is full, or something like it.
        """
        path = self._beside / name
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
        except OSError as error:  # not to be taken for a database that is away
            raise _unwritable(path, error) from error

    def keep(self, place: Path) -> None:
        """Put the directory into its place, on disk for good.

        Raises:
            Fault: Something is there already, or the disk is full.
        """
        try:
            os.sync()  # many small files: one wait for all of them
            self._beside.rename(place)
        except OSError as error:
            raise _unwritable(place, error) from error


def reserves(state_dir: Path, manner: Manner) -> None:
    """Prove, write and tell.

    Raises:
        Fault: Nothing can be written.
        typer.Exit: Status 1 when ledger and chain differ or the debts are not covered.
    """
    settings = _settings(state_dir)
    with _beside(manner.out or Path("reserves")) as (directory, aside):
        outcome = asyncio.run(_proven(settings, manner, directory, aside))
        place = manner.out or Path(f"reserves-{outcome.block.number}")
        if outcome.attestation is not None:
            directory.keep(place)
    found = outcome.attestation
    if manner.as_json:
        print_json(_document(outcome, place))
    elif found is None:
        _print_differences(outcome)
    else:
        _print(found, place)
    raise typer.Exit(Status.DONE if found is not None and found.is_covered else Status.NO)


def _settings(state_dir: Path) -> "Settings":
    """The settings, with the chain and contracts of the devnet where no chain is named."""
    settings, path = settings_of(state_dir), state_dir / "devnet.json"
    if settings.chain_rpc_urls or not path.is_file():
        return settings
    try:
        told = json.loads(path.read_bytes())
        node = told["nodes"][0]
        chain = {
            "chain_id": int(told["chain"]["chain_id"]),
            "chain_rpc_urls": (str(told["chain"]["rpc_url"]),),
            "token_address": str(told["contracts"]["USDC"]),
            "settlement_address": str(node["settlement"]),
            "treasury_address": str(node["treasury"]),
        }
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise Fault(
            f"{path} cannot be used: {error}", remedy="`corridor devnet up` writes it anew"
        ) from None
    return settings.model_copy(update=chain)


@contextmanager
def _beside(place: Path) -> Iterator[tuple[ProofDirectory, Path]]:
    """A directory beside `place`, removed unless it was kept; and a name for a file beside it.

    Nobody but its owner may look into either.

    Raises:
        Fault: Something is at `place`, or nothing can be written beside it.
    """
    if place.exists():
        raise Fault(
            f"{place} exists already",
            remedy="name another directory with --out",
            status=Status.REFUSED,
        )
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".partial", dir=place.parent))
    except OSError as error:
        raise _unwritable(place, error) from error
    try:
        proof = work / "proof"
        proof.mkdir(mode=0o700)
        yield ProofDirectory(proof), work / "aside"
    finally:
        shutil.rmtree(work, ignore_errors=True)


async def _proven(
    settings: "Settings", manner: Manner, directory: ProofDirectory, aside: Path
) -> "Outcome":
    from node.bootstrap.proving import open_reserves
    from node.services.ledger.reserves import ProofFiles

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=stderr(),
        transient=True,
    )
    with bar, aside.open("w+b") as file:
        task = bar.add_task("accounts", total=None)

        def progress(name: str, done: int, total: int) -> None:
            bar.update(task, description=escape(name or "done"), completed=done, total=total)

        async with open_reserves(settings) as service:
            return await service.prove(manner.asset, ProofFiles(directory.write, file), progress)


def _document(outcome: "Outcome", place: Path) -> dict[str, object]:
    found = outcome.attestation
    told: dict[str, object] = {
        "block": {"number": outcome.block.number, "hash": f"0x{outcome.block.hash.hex()}"},
        "differences": [
            {
                "address": f"0x{each.address.hex()}",
                "ledger_minor": str(each.ledger_minor),
                "chain_minor": str(each.chain_minor),
            }
            for each in outcome.differences
        ],
    }
    if found is None:
        return {**told, "directory": None}
    return {
        **told,
        "directory": str(place),
        "asset": found.audit.asset,
        "statements": found.accounts,
        "root": found.root.hash.hex(),
        "total_minor": str(found.root.minor),
        "reserves_minor": str(found.held_minor),
        "covered": found.is_covered,
    }


def _print(found: "Attestation", place: Path) -> None:
    def amount(minor: int) -> str:
        return f"{format_minor(minor, found.digits)} {found.audit.asset}"

    rows = [
        ("as of final block", f"{found.block.number}"),
        ("", f"0x{found.block.hash.hex()}"),
        ("owed", amount(found.root.minor)),
        ("held on the chain", f"{amount(found.held_minor)}, {len(found.reserves)} addresses"),
        ("root", found.root.hash.hex()),
        ("statements", f"{found.accounts}"),
    ]
    stdout().print(pairs(rows), soft_wrap=True)
    if found.is_covered:
        stdout().print("[green]What is owed is covered.[/]")
    else:
        short = amount(found.root.minor - found.held_minor)
        stdout().print(f"[bold red]Not covered:[/] the chain holds {short} less than is owed.")
    stdout().print(
        f"{escape(str(place))}: publish reserves.json; give each creditor their own file of"
        f" statements/ and nobody else's. They check it without this node:"
        f" python scripts/verify_reserves.py reserves.json cus_….json",
        soft_wrap=True,
    )


def _print_differences(outcome: "Outcome") -> None:
    stdout().print(
        f"[bold red]Ledger and chain differ[/] at final block {outcome.block.number}; nothing was"
        " written. `corridor reconcile --explain` says more.",
        soft_wrap=True,
    )
    for each in outcome.differences:
        stdout().print(
            f"  0x{each.address.hex()}: ledger {each.ledger_minor}, chain {each.chain_minor}"
            f" minor units, difference {each.chain_minor - each.ledger_minor}",
            soft_wrap=True,
        )


def _unwritable(path: Path, error: OSError) -> Fault:
    return Fault(
        f"{path} cannot be written: {error.strerror or error}",
        remedy="check that the directory exists, that it may be written to and that there is room",
        status=Status.REFUSED,
    )
